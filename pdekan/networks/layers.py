"""One layer of a Kolmogorov-Arnold network: a learnable spline on every edge, sums or products at the nodes.

A sum node is Σ_i φ_io(x_i) (arXiv:2404.19756, eq. 2.5), a product node Π_i φ_io(x_i) (multiplication in KAN 2.0,
arXiv:2408.10205, section 2, with one edge a factor).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from pdekan import splines
from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Jet
from pdekan.fields.pullbacks import product_pullback, with_flat

# an edge of a layer: the indices of its input and its output
Edge = tuple[int, int]


class SplineLayer(nn.Module):
    """One layer of edges φ_io = Σ_b c_iob B_b; node o sums them over the inputs i, the last `products` nodes multiply them.

    With base "silu", φ = w_b silu + w_s Σ c B (arXiv:2404.19756, eq. 2.10). coefficients: ``(inputs, outputs, n)``.
    pruned: edges (i, o) without parameters, constant 0 into a sum and 1 into a product; where there are any, the parameters are
    those of the other edges, coefficients ``(edges, n)``. Raises ValueError for pruned edges that are not in the layer.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        degree: int,
        intervals: int,
        base: str = "none",
        products: int = 0,
        pruned: Iterable[Edge] = (),
    ) -> None:
        super().__init__()
        splines.check_sizes(degree, intervals)
        self.inputs, self.outputs, self.degree, self.intervals, self.base = inputs, outputs, degree, intervals, base
        self.products, self.pruned = products, tuple(sorted(set(pruned)))
        kept = torch.ones(inputs, outputs, dtype=torch.bool)
        for i, o in self.pruned:
            if not (0 <= i < inputs and 0 <= o < outputs):
                raise ValueError(f"pruned edge ({i}, {o}): a layer of {inputs} inputs and {outputs} outputs has no such edge")
            kept[i, o] = False
        self.kept: Tensor
        self.register_buffer("kept", kept, persistent=False)
        edges = (self.edges,) if self.pruned else (inputs, outputs)
        if base == "silu":
            self.spline_weight = nn.Parameter(torch.ones(edges, dtype=torch.float64))
            self.base_weight = nn.Parameter(torch.zeros(edges, dtype=torch.float64))
        size = splines.count(degree, intervals)
        self.coefficients = nn.Parameter(torch.zeros(*edges, size, dtype=torch.float64))

    @property
    def sums(self) -> int:
        """How many of the nodes are sums."""
        return self.outputs - self.products

    @property
    def edges(self) -> int:
        """How many edges have parameters."""
        return self.inputs * self.outputs - len(self.pruned)

    @property
    def linear_parameters(self) -> int:
        """How many trailing parameters the outputs depend on linearly, in a layer of sum nodes."""
        return self.coefficients.numel() + (self.base_weight.numel() if self.base == "silu" else 0)

    def dense(self, name: str) -> Tensor:
        """A parameter as ``(inputs, outputs, …)``, with entries for pruned edges that make them constant."""
        values: Tensor = getattr(self, name)
        if not self.pruned:
            return values
        filled = values.new_full((self.inputs, self.outputs, *values.shape[1:]), float(name == "spline_weight"))
        if name == "coefficients":
            filled[:, self.sums :] = 1.0
        return filled.index_put((self.kept,), values)

    @torch.no_grad()
    def set_dense(self, name: str, values: Tensor) -> None:
        """Set a parameter from ``(inputs, outputs, …)``; entries of pruned edges are ignored."""
        getattr(self, name).copy_(values[self.kept] if self.pruned else values)

    def bases(self, x: Tensor, derivatives: int) -> Bases:
        """Basis values at x ``(n, inputs)``, and the base function's."""
        base = _silu(x)[: derivatives + 1] if self.base == "silu" else None
        return Bases(splines.local_basis(x, self.degree, self.intervals, derivatives), base)

    def activations(self, bases: Bases) -> list[Tensor]:
        """φ and its derivatives ``(n, inputs, outputs)``, as many as the bases hold."""
        spline = bases.local.combine(self.dense("coefficients"))
        if bases.base is None:
            return spline
        pairs, of_spline, of_base = zip(spline, bases.base, strict=True), self.dense("spline_weight"), self.dense("base_weight")
        return [of_spline * phi + of_base * base[..., None] for phi, base in pairs]

    def nodes(self, phi: list[Tensor], x: Jet) -> Jet:
        """The nodes' jets from the activations' values and derivatives ``(n, inputs, outputs)``."""
        if not self.products:
            return _sums(phi, x)
        multiplied = reduce(operator.mul, edge_jets([part[..., self.sums :] for part in phi], x))
        if not self.sums:
            return multiplied
        return concatenated([_sums([part[..., : self.sums] for part in phi], x), multiplied], dim=1)

    def forward(self, x: Jet) -> Jet:
        """The nodes' jets from the inputs'."""
        return self.nodes(self.activations(self.bases(x.value, x.frame.order)), x)

    @torch.no_grad()
    def rescale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Replace the outputs y by scale · y + shift ``(outputs,)``, exactly: B-splines sum to one.

        A product node's scale must be positive, its shift zero.
        """
        edges = self.kept.sum(0)  # into every node
        factor = scale.repeat(self.inputs, 1)
        factor[:, self.sums :] = factor[:, self.sums :] ** (1.0 / edges[self.sums :])
        shift_of_edge = (shift / edges).expand(self.inputs, -1)
        if self.base == "silu":
            self.set_dense("base_weight", self.dense("base_weight") * factor)
            shift_of_edge = shift_of_edge / self.dense("spline_weight")
        self.set_dense("coefficients", self.dense("coefficients") * factor[..., None] + shift_of_edge[..., None])

    @torch.no_grad()
    def substitute_inputs(self, scale: Tensor, shift: Tensor) -> None:
        """Replace the activations φ(x) by φ((x - shift) / scale) ``(inputs,)``; a least-squares fit."""
        self.refit((self.sample_points()[:, None] - shift) / scale)

    def sample_points(self) -> Tensor:
        """The points ``(n,)`` that `refit` fits at."""
        return splines.sample_points(self.degree, self.intervals).to(self.coefficients.detach())

    @torch.no_grad()
    def refit(self, x: Tensor) -> None:
        """Fit activations with the values at `sample_points` that these have at x ``(n, inputs)``: least squares."""
        t = self.sample_points()
        target = self.activations(self.bases(x, 0))[0]
        if self.base == "silu":
            target = (target - self.dense("base_weight") * _silu(t)[0][:, None, None]) / self.dense("spline_weight")
        fitted = splines.fit(t, target, self.degree, self.intervals)
        self.set_dense("coefficients", fitted.permute(1, 2, 0))


@dataclass(frozen=True)
class Bases:
    """The spline basis with its derivatives at points, and the base function's values and derivatives ``(n, inputs)``."""

    local: splines.LocalBasis
    base: list[Tensor] | None


def _squared_gradient(x: Jet) -> Tensor:
    """∂x ⊙ ∂x, computed once where all points share the gradient, as they do for coordinates."""
    gradient = x.gradient
    assert gradient is not None
    if len(gradient) > 1 and gradient.stride(0) == 0:
        return x.frame.pair(gradient[:1], gradient[:1]).expand(len(gradient), *(-1,) * (gradient.ndim - 1))
    return x.frame.pair(gradient, gradient)


def _higher_powers(x: Jet) -> list[Tensor]:
    """The higher derivatives ``(n, inputs, h)`` of (x - x₀)^k / k!, k = 1 … order."""
    return [power[..., x.frame.layout.first :] for power in x.powers]


def _sums(phi: list[Tensor], x: Jet) -> Jet:
    """Σ_i φ_io(x_i)."""
    gradient = second = higher = None
    if x.gradient is not None:
        gradient = torch.einsum("nio,nid->nod", phi[1], x.gradient)
    if x.gradient is not None and x.second is not None:
        pair = _squared_gradient(x)
        second = torch.einsum("nio,nis->nos", phi[2], pair) + torch.einsum("nio,nis->nos", phi[1], x.second)
    if x.higher is not None:
        pairs = zip(phi[1:], _higher_powers(x), strict=False)
        higher = cast("Tensor", sum(torch.einsum("nio,nih->noh", phi_k, power) for phi_k, power in pairs))
    return Jet(x.frame, phi[0].sum(1), gradient, second, higher=higher)


def edge_jets(phi: list[Tensor], x: Jet) -> list[Jet]:
    """φ_io(x_i) as a jet with a component for every node o, for every input i."""
    gradient = second = higher = None
    if x.gradient is not None:
        gradient = phi[1][..., None] * x.gradient[:, :, None]
    if x.gradient is not None and x.second is not None:
        pair = _squared_gradient(x)
        second = phi[2][..., None] * pair[:, :, None] + phi[1][..., None] * x.second[:, :, None]
    if x.higher is not None:
        pairs = zip(phi[1:], _higher_powers(x), strict=False)
        higher = cast("Tensor", sum(phi_k[..., None] * power[:, :, None] for phi_k, power in pairs))
    edges = Jet(x.frame, phi[0], gradient, second, higher=higher)
    return [edges.each(lambda part, i=i: part[:, i]) for i in range(phi[0].shape[1])]  # type: ignore[misc]


def _cotangents_of_factors(factors: list[Jet], cotangent: Jet) -> Jet:
    """Derivative of ⟨cotangent, Π_i factor_i⟩ by every factor's jet, ``(n, inputs, nodes, …)``."""
    one = cotangent.frame.constant(1.0, cotangent.value).each(lambda part: part[:, None])
    before = list(accumulate(factors[:-1], operator.mul, initial=one))
    after = list(accumulate(factors[:0:-1], operator.mul, initial=one))[::-1]
    others = (a * b for a, b in zip(before, after, strict=True))
    return concatenated([product_pullback(cotangent, rest).each(lambda part: part[:, None]) for rest in others], dim=1)


@dataclass(frozen=True)
class EdgeCotangent:
    """Derivative of ⟨cotangent, output⟩ by the edges' jets.

    by_edge: ``(n, inputs, o, …)``, or with 1 in place of inputs where all edges into a node share it. factors: derivatives by
    the numbers φ, φ', φ'' ``(n, inputs or 1, o)``, up to the order that the jets keep.
    """

    by_edge: Jet
    factors: list[Tensor]

    @classmethod
    def of(cls, by_edge: Jet, x: Jet) -> EdgeCotangent:
        """From the chain rule ∂φ(x) = φ' ∂x, ∂²φ(x) = φ'' ∂x ⊙ ∂x + φ' ∂²x."""
        factors = [by_edge.value]
        if x.gradient is not None and by_edge.gradient is not None:
            first = torch.einsum("niod,nid->nio", by_edge.gradient, x.gradient)
            if x.second is not None and by_edge.second is not None:
                first = first + torch.einsum("nios,nis->nio", by_edge.second, x.second)
                pair = _squared_gradient(x)
                factors += [first, torch.einsum("nios,nis->nio", by_edge.second, pair)]
                if by_edge.higher is not None:
                    more = [torch.einsum("nioh,nih->nio", by_edge.higher, power) for power in _higher_powers(x)]
                    factors = [factors[0], factors[1] + more[0], factors[2] + more[1], *more[2:]]
                return cls(by_edge, factors)
            factors.append(first)
        return cls(by_edge, factors)


@dataclass(frozen=True)
class LayerTrace:
    """A layer evaluated at a jet, with what derivatives by its parameters and by its inputs need."""

    layer: SplineLayer
    x: Jet
    bases: Bases

    @cached_property
    def phi(self) -> list[Tensor]:
        """Activations and their derivatives ``(n, inputs, outputs)``."""
        return self.layer.activations(self.bases)

    @cached_property
    def output(self) -> Jet:
        """The nodes' jets."""
        return self.layer.nodes(self.phi, self.x)

    def cotangents(self, cotangent: Jet) -> EdgeCotangent:
        """From the nodes' cotangent to the edges'."""
        layer, n, inputs = self.layer, len(self.x.value), self.layer.inputs
        shared = cotangent.each(lambda part: part[:, None])
        if not layer.products:
            return EdgeCotangent.of(shared, self.x)
        sums = layer.sums
        edges = edge_jets([part[..., sums:] for part in self.phi], self.x)
        multiplied = _cotangents_of_factors(edges, cotangent.each(lambda part: part[:, sums:]))
        if not sums:
            return EdgeCotangent.of(multiplied, self.x)
        added = shared.each(lambda part: part[:, :, :sums].expand(n, inputs, *(-1,) * (part.ndim - 2)))
        return EdgeCotangent.of(concatenated([added, multiplied], dim=2), self.x)

    def rows(self, cotangent: EdgeCotangent, only_linear: bool = False) -> Tensor:
        """Derivative by the layer's flat parameters ``(n, p)``."""
        n, factors, local = len(self.x.value), cotangent.factors, self.bases.local
        piece = factors[0][..., None] * local.pieces[0][:, :, None]
        for factor, part in zip(factors[1:], local.pieces[1:], strict=False):
            piece.addcmul_(factor[..., None], part[:, :, None])
        layer = self.layer
        spline = splines.LocalBasis(local.index[:, :, None], [], local.count).scatter(piece)
        if layer.pruned:
            spline = spline[:, layer.kept]
        if self.bases.base is None:
            return spline.reshape(n, -1)
        pairs = zip(factors, self.bases.base, strict=False)
        base = cast("Tensor", sum(factor * silu[..., None] for factor, silu in pairs))
        if layer.pruned:
            base = base[:, layer.kept]
        linear = [base.reshape(n, -1), (layer.spline_weight[..., None] * spline).reshape(n, -1)]
        if only_linear:
            return torch.cat(linear, dim=1)
        weight = (spline * layer.coefficients).sum(-1)
        return torch.cat([weight.reshape(n, -1), *linear], dim=1)

    def pullback(self, cotangent: EdgeCotangent) -> Jet:
        """Derivative of ⟨cotangent, output⟩ by the input's jet."""
        phi, frame, by_edge = self.phi, self.x.frame, cotangent.by_edge
        value = cast("Tensor", sum((factor * phi[r + 1]).sum(2) for r, factor in enumerate(cotangent.factors)))
        gradient = second = None
        if by_edge.gradient is not None:
            gradient = torch.einsum("nio,niod->nid", phi[1], by_edge.gradient)
        if by_edge.second is not None and gradient is not None and self.x.gradient is not None:
            second = torch.einsum("nio,nios->nis", phi[1], by_edge.second)
            curved = torch.einsum("nio,nios->nis", phi[2], by_edge.second)
            gradient = gradient + 2.0 * frame.pair_pullback(curved, self.x.gradient)
        pulled = Jet(frame, value, gradient, second)
        return pulled if by_edge.higher is None else self._with_higher(pulled, by_edge.higher)

    def _with_higher(self, pulled: Jet, higher: Tensor) -> Jet:
        """The pullback with what it owes to higher derivatives ``(n, inputs or 1, o, h)``: the transpose of φ'(x) times."""
        layout, phi = self.x.frame.layout, self.phi
        parts = [torch.einsum("nio,nioh->nih", slope, higher.expand(-1, slope.shape[1], -1, -1)) for slope in phi[1:]]
        total = sum(layout.pullback(part, power) for part, power in zip(parts[1:], self.x.powers, strict=False))
        low, high = cast("Tensor", total)[..., 1 : layout.first], cast("Tensor", total)[..., layout.first :] + parts[0]
        # the value's is in `factors` already
        return with_flat(pulled, torch.cat([torch.zeros_like(low[..., :1]), low, high], dim=-1))


def _silu(x: Tensor) -> list[Tensor]:
    """silu(x) = x σ(x) and its first five derivatives."""
    s = torch.sigmoid(x)
    s1 = s * (1 - s)
    s2 = s1 * (1 - 2 * s)
    s3 = s2 * (1 - 2 * s) - 2 * s1**2
    s4 = s3 * (1 - 2 * s) - 6 * s1 * s2
    s5 = s4 * (1 - 2 * s) - 8 * s1 * s3 - 6 * s2**2
    return [x * s, s + x * s1, 2 * s1 + x * s2, 3 * s2 + x * s3, 4 * s3 + x * s4, 5 * s4 + x * s5]
