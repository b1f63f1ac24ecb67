"""Kolmogorov-Arnold networks as Taylor models: their jets on cells.

About the value c of a node, an activation is the polynomial Σ_k φ^(k)(c)/k! (x - c)^k of the span that c is in, exactly; with a
jump J of the leading coefficient at a knot κ that the node passes, J (x - κ)^p beyond it. Nodes are to stay in [-1, 1].
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from pdekan import splines
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.taylor_models import EPS, INFLATE, NotEnclosed, TaylorModels
from pdekan.networks.base import Network, to_unit_box
from pdekan.networks.kan import KAN
from pdekan.networks.layers import SplineLayer

DERIVATIVES = 2


def enclosed_jet(network: Network, points: TaylorModels, frame: Frame) -> Jet:
    """The jet of the network's first output at the points ``(n, d)`` of cells.

    Raises NotEnclosed with the reason for networks that are not enclosed.
    """
    if not isinstance(network, KAN):
        raise NotEnclosed(f"a {type(network).__name__} is not enclosed, KANs are")
    if network.base != "none" or network.grading is not None or any(network.products):
        raise NotEnclosed("KANs with a base function, graded coordinates or products are not enclosed")
    x = to_unit_box(cast("Tensor", points), frame, network.lower, network.upper)
    for k, layer in enumerate(network.spline_layers):
        x = _nodes(layer, x, inner=k > 0)
    return x[0]


def _nodes(layer: SplineLayer, x: Jet, inner: bool) -> Jet:
    """Σ_i φ_io(x_i)."""
    phi = _activations(layer, cast("TaylorModels", x.value), inner)
    slopes = cast("Tensor", x.gradient)[:, :, None]
    value, gradient = phi[0].sum(1), (phi[1][..., None] * slopes).sum(1)
    if x.second is None:
        return Jet(x.frame, cast("Tensor", value), cast("Tensor", gradient))
    bends = phi[2][..., None] * x.frame.pair(slopes, slopes)
    if inner:
        bends = bends + phi[1][..., None] * x.second[:, :, None]
    return Jet(x.frame, cast("Tensor", value), cast("Tensor", gradient), cast("Tensor", bends.sum(1)))


@dataclass(frozen=True)
class _Pieces:
    """The polynomials Σ_k a_k u^k of all spans, u in [-1/2, 1/2]: a ``(p + 1, inputs, intervals, outputs)`` and its errors."""

    coefficients: Tensor
    errors: Tensor

    @classmethod
    def of(cls, layer: SplineLayer) -> _Pieces:
        """Those of a layer's activations."""
        windows = layer.dense("coefficients").detach().unfold(2, layer.degree + 1, 1)  # (i, o, m, p + 1)
        matrix = splines.local_polynomials(layer.degree)
        sizes = torch.einsum("kb,iomb->kimo", matrix.abs(), windows.abs())
        return cls(torch.einsum("kb,iomb->kimo", matrix, windows), 2.0 * (layer.degree + 2) * EPS * sizes)

    def about(self, span: Tensor, local: Tensor, moved: float) -> tuple[Tensor, Tensor]:
        """Coefficients ``(p + 1, n, i, o)`` about places ``(n, i)`` in spans, and their errors; `moved`: those of places."""
        inputs, degree = torch.arange(span.shape[1])[None], len(self.coefficients) - 1
        own, errors, place = self.coefficients[:, inputs, span], self.errors[:, inputs, span], local[..., None]
        out, slack = torch.zeros_like(own), torch.zeros_like(own)
        for k, j in itertools.combinations_with_replacement(range(degree + 1), 2):
            factor = float(math.comb(j, k)) * place ** (j - k)
            out[k] += factor * own[j]
            slack[k] += factor.abs() * (4.0 * (degree + 3) * EPS * own[j].abs() + errors[j])
            slack[k] += moved * float(math.comb(j, k) * (j - k)) * own[j].abs()
        return out, INFLATE * slack

    @property
    def jumps(self) -> Tensor:
        """Bounds of the jumps of the leading coefficient at inner knots ``(i, m - 1, o)``."""
        last, errors = self.coefficients[-1], self.errors[-1]
        return INFLATE * ((last[:, 1:] - last[:, :-1]).abs() + errors[:, 1:] + errors[:, :-1])


def _activations(layer: SplineLayer, x: TaylorModels, inner: bool) -> list[TaylorModels]:
    """φ, φ' and φ'' ``(n, inputs, outputs)`` at nodes ``(n, inputs)``."""
    p, m, center, radius = layer.degree, layer.intervals, x.polynomial[0], x.varies
    near, half, pieces = center.clamp(-1.0, 1.0), 0.5 * m, _Pieces.of(layer)
    scaled = (near + 1.0) * half
    span = scaled.floor().clamp(0, m - 1)
    coefficients, slack = pieces.about(span.long(), scaled - span - 0.5, 8.0 * EPS * m)
    bent, depth = _bend(coefficients, slack, radius * half), _crossed(center, radius) * half * float(inner)
    beyond_end = (0.5 * bent * depth**2, bent * depth, bent * (depth > 0.0))
    outside = (near != center)[..., None]
    coefficients[0] += torch.where(outside, coefficients[1] * ((center - near) * half)[..., None], 0.0)
    slack[0] += torch.where(
        outside, (slack[1] + 4.0 * EPS * coefficients[1].abs()) * (center - near).abs()[..., None] * half, 0.0
    )
    coefficients[2:], slack[2:] = (torch.where(outside, 0.0, one[2:]) for one in (coefficients, slack))
    away = TaylorModels(x.basis, torch.cat([torch.zeros_like(center)[None], x.polynomial[1:]]), x.rest) * half
    powers = [away * 0.0 + 1.0]
    for _ in range(p):
        powers.append(powers[-1] * away)
    passed = (
        radius[..., None] * INFLATE
        + 4.0 * EPS
        - ((torch.arange(1, m, dtype=torch.float64) * (2.0 / m) - 1.0) - center[..., None]).abs()
    )
    found = []
    for r in range(DERIVATIVES + 1):
        factors = [math.perm(k, r) * half**r for k in range(r, p + 1)]
        terms = [(coefficients[k] * f, slack[k] * f) for k, f in zip(range(r, p + 1), factors, strict=True)]
        reach = torch.where(passed > 0.0, (passed * half).clamp_min(0.0) ** max(p - r, 0), 0.0)
        beyond = math.perm(p, r) * half**r * torch.einsum("nim,imo->nio", reach, pieces.jumps)
        found.append(_combined(terms, powers, beyond + half**r * beyond_end[r]))
    return found


def _crossed(center: Tensor, radius: Tensor) -> Tensor:
    """How far nodes reach over an end of [-1, 1] from the side that the center is on ``(n, i, 1)``."""
    over = torch.where(center.abs() <= 1.0, center.abs() + radius - 1.0, 1.0 - center.abs() + radius)
    return (over + 8.0 * EPS).clamp_min(0.0)[..., None] * INFLATE


def _bend(coefficients: Tensor, slack: Tensor, reach: Tensor) -> Tensor:
    """A bound of |φ''| by u ``(n, i, o)`` within reach."""
    sizes = enumerate(zip(coefficients, slack, strict=True))
    terms = [math.perm(k, 2) * (a.abs() + e) * reach[..., None] ** (k - 2) for k, (a, e) in sizes if k >= 2]
    return INFLATE * torch.stack(terms).sum(0) if terms else torch.zeros_like(coefficients[0])


def _combined(terms: list[tuple[Tensor, Tensor]], powers: list[TaylorModels], rest: Tensor) -> TaylorModels:
    """Σ_k a_k x^k for a ``(n, i, o)`` with errors, x^k ``(n, i)``, and a bound of what is left."""
    polynomial = torch.zeros((len(powers[0].polynomial), *rest.shape), dtype=torch.float64)
    for (a, slack), power in zip(terms, powers, strict=False):
        polynomial += a * power.polynomial[..., None]
        rest = rest + a.abs() * power.rest[..., None] + (slack + 2.0 * len(terms) * EPS * a.abs()) * power.size[..., None]
    return TaylorModels(powers[0].basis, polynomial, INFLATE**2 * rest)
