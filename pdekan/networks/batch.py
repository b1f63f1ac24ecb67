"""Many KANs [d, w, 1] of one shape, evaluated together: a small network then costs as little as its arithmetic.

A hidden node h = Σ_p V_p a_p is linear in its coefficients a; V are the values of the first layer's basis at the points. With
the slope (s, s', s'') of an affine residual r by u, ∇u and ∂²u, and u = Σ_j ψ_j(h_j),

    r = r(0) + Σ_j s ψ_j + f_j ψ_j' + g_j ψ_j'',    f_j = s'·∇h_j + s''·∂²h_j,    g_j = s''·(∇h_j ⊙ ∇h_j)

at every point; its derivatives by the coefficients of ψ_j and by those of h_j follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan import splines
from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Jet
from pdekan.networks.kan import KAN, MARGIN, MAX_GRID_DIMENSION, SCATTERED_MARGIN
from pdekan.networks.layers import edge_jets


@dataclass(frozen=True)
class AffineRows:
    """Residual rows that are affine in a scalar field u, with the first layer's basis at their points.

    basis: the d · n functions of that layer at the points ``(N, p, …)``. slope: of the rows by the jet of u ``(N, …)``. row:
    ``(N,)``, to which row a point belongs. residual: the rows at u = 0 ``(rows,)``.
    """

    basis: Jet
    slope: Jet
    row: Tensor
    residual: Tensor

    @classmethod
    def of(cls, network: KAN, points: Tensor, slope: Jet, row: Tensor, residual: Tensor) -> AffineRows:
        """At points ``(N, d)`` of a KAN's box, for its first layer's splines; slope: ``(N, 1, …)``."""
        x, bases = network.prepare(points, slope.frame)
        dense = [bases.local.scatter(piece) for piece in bases.local.pieces]
        return cls(concatenated(edge_jets(dense, x), dim=1), slope[0], row, residual)

    def folded(self, values: Tensor) -> Tensor:
        """Sums over the points of each row, of numbers ``(B, N, …)``."""
        if len(self.row) == len(self.residual):
            return values
        return values.new_zeros(len(values), len(self.residual), *values.shape[2:]).index_add_(1, self.row, values)


def coefficients(polynomials: Tensor, degree: int) -> Tensor:
    """Coefficients ``(B, d · (degree + 1), w)`` of splines with one interval, from those of x, x², … ``(B, d, w, powers)``.

    Of a lower degree they are least-squares fits.
    """
    t = splines.sample_points(degree, 1)
    powers = torch.stack([t**k for k in range(1, polynomials.shape[-1] + 1)], dim=1)
    return torch.einsum("bdwk,sk->bdsw", polynomials, splines.fit(t, powers, degree, 1)).flatten(1, 2)


@dataclass(frozen=True)
class KANBatch:
    """B networks whose nodes are sums of splines without base functions.

    degree, intervals: of the inner and the outer layer. inner: ``(B, p, w)``, outer: ``(B, w, m)``, the coefficients; p counts
    those of d edges.
    """

    degree: tuple[int, int]
    intervals: tuple[int, int]
    inner: Tensor
    outer: Tensor

    @classmethod
    def of(cls, inner: Tensor, degree: Sequence[int], intervals: Sequence[int]) -> KANBatch:
        """Networks with inner coefficients ``(B, p, w)``, and outer ones at zero."""
        outer = inner.new_zeros(len(inner), inner.shape[2], splines.count(degree[1], intervals[1]))
        return cls((degree[0], degree[1]), (intervals[0], intervals[1]), inner, outer)

    def part(self, members: Tensor) -> KANBatch:
        """Some of the networks."""
        return replace(self, inner=self.inner[members], outer=self.outer[members])

    @property
    def linear(self) -> int:
        """The number of outer coefficients of a network."""
        return self.outer.shape[1] * self.outer.shape[2]

    def refined(self, degree: Sequence[int], intervals: Sequence[int]) -> KANBatch:
        """The same functions on other spline spaces: exact where they are nested (see `splines.refine`)."""
        b, _, w = self.inner.shape
        edges = self.inner.reshape(b, -1, splines.count(self.degree[0], self.intervals[0]), w).movedim(2, 0)
        inner = splines.refine(edges, self.degree[0], self.intervals[0], degree[0], intervals[0]).movedim(0, 2)
        outer = splines.refine(self.outer.movedim(2, 0), self.degree[1], self.intervals[1], degree[1], intervals[1])
        return KANBatch(
            (degree[0], degree[1]), (intervals[0], intervals[1]), inner.reshape(b, -1, w), outer.movedim(0, 2).contiguous()
        )

    def normalised(self, rows: Sequence[AffineRows], dimension: int) -> KANBatch:
        """The networks with the range of every hidden node over the points mapped to [-margin, margin]; outer ones at zero.

        Exact, since B-splines sum to one: a constant is spread over the d edges.
        """
        ranges = [(one.basis.value @ self.inner).aminmax(dim=1, keepdim=True) for one in rows]
        low = torch.stack([one.min for one in ranges]).amin(0)
        high = torch.stack([one.max for one in ranges]).amax(0)
        margin = MARGIN if dimension <= MAX_GRID_DIMENSION else SCATTERED_MARGIN
        scale = 2.0 * margin / (high - low).clamp_min(1e-12)
        shift = -0.5 * scale * (low + high) / dimension
        return replace(self, inner=scale * self.inner + shift, outer=torch.zeros_like(self.outer))

    def linear_rows(self, rows: Sequence[AffineRows]) -> Tensor:
        """Derivatives of the rows by the outer coefficients ``(B, rows, w · m)``."""
        return torch.cat([self._linear(one) for one in rows], dim=1)

    def inner_rows(self, rows: Sequence[AffineRows]) -> Tensor:
        """Derivatives of the rows by the inner coefficients ``(B, rows, p · w)``."""
        return torch.cat([self._inner(one) for one in rows], dim=1)

    def _hidden(self, rows: AffineRows) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """The hidden nodes, the factors s, f, g ``(B, N, w)`` as far as the slope has them, and ∇h ``(B, N, w, D)``."""
        basis, slope, a = rows.basis, rows.slope, self.inner
        h = basis.value @ a
        factors = [slope.value[:, None].expand_as(h)]
        if slope.gradient is None or basis.gradient is None:
            return h, factors, None
        gradient = torch.einsum("npd,bpw->bnwd", basis.gradient, a)
        first = self._along(rows) @ a
        if slope.second is None:
            return h, [*factors, first], gradient
        pair = slope.frame.pair(gradient, gradient)
        return h, [*factors, first, (pair * slope.second[:, None]).sum(-1)], gradient

    @staticmethod
    def _along(rows: AffineRows) -> Tensor:
        """s'·∇V + s''·∂²V ``(N, p)``."""
        basis, slope = rows.basis, rows.slope
        assert basis.gradient is not None
        assert slope.gradient is not None
        first = torch.einsum("npd,nd->np", basis.gradient, slope.gradient)
        if slope.second is not None and basis.second is not None:
            first = first + torch.einsum("nps,ns->np", basis.second, slope.second)
        return first

    def _linear(self, rows: AffineRows) -> Tensor:
        h, factors, _ = self._hidden(rows)
        local = splines.local_basis(h, self.degree[1], self.intervals[1], len(factors) - 1)
        piece = factors[0][..., None] * local.pieces[0]
        for factor, part in zip(factors[1:], local.pieces[1:], strict=True):
            piece = piece.addcmul_(factor[..., None], part)
        return rows.folded(local.scatter(piece).flatten(2))

    def _inner(self, rows: AffineRows) -> Tensor:
        h, factors, gradient = self._hidden(rows)
        local = splines.local_basis(h, self.degree[1], self.intervals[1], len(factors))
        coefficients = self.outer[:, None].expand(-1, h.shape[1], -1, -1).gather(3, local.index)
        psi = [(piece * coefficients).sum(-1) for piece in local.pieces]
        weight = sum((factor * psi[k + 1] for k, factor in enumerate(factors)), start=torch.zeros_like(h))
        result = weight[:, :, None] * rows.basis.value[..., None]
        slope, basis = rows.slope, rows.basis
        if gradient is not None and basis.gradient is not None:
            result.addcmul_(self._along(rows)[..., None], psi[1][:, :, None])
            if slope.second is not None:
                steep = 2.0 * slope.frame.pair_pullback(slope.second[:, None], gradient) * psi[2][..., None]
                result += torch.einsum("npd,bnwd->bnpw", basis.gradient, steep)
        return rows.folded(result.flatten(2))

    def network(self, member: int, like: KAN) -> KAN:
        """One of them as a KAN on the box and in the coordinates of another one of these sizes."""
        widths = (like.inputs, self.inner.shape[2], 1)
        kan = like.resized(widths, self.degree, self.intervals, (0,), ((), ()))
        size = splines.count(self.degree[0], self.intervals[0])
        first, last = kan.spline_layers
        first.set_dense("coefficients", self.inner[member].reshape(like.inputs, size, -1).transpose(1, 2))
        last.set_dense("coefficients", self.outer[member][:, None])
        return kan
