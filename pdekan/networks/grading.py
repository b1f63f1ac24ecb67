"""Graded coordinates: monotone maps of the axes of a box that spread out the places where a function is steep.

Every coordinate x in [-1, 1] becomes ξ in [-1, 1] by x = x(ξ), a spline with increasing coefficients, hence monotone
(de Boor, A Practical Guide to Splines, 2001, ch. XI, variation diminution). A grading is the tensor ``(d, m)`` of the
coefficients of all axes. x'(ξ) is proportional to a length h(x) over which the function changes: points evenly spaced in ξ
equidistribute the density 1/h (Huang and Russell, Adaptive Moving Mesh Methods, 2011, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pdekan import splines
from pdekan.fields.jets import Jet

# Of a map: a high degree and few intervals make it smooth on the scale on which it is graded. On the front of Burgers'
# equation splines of degree 9 over a map of degree 5 with 64 intervals reached 3e-5, over this one 2e-8.
DEGREE, DENSITY = 9, 1.4
# The most that lengths may grow along an axis, dh/dx.
STEEPEST = 1.0
# The longest length, a half axis, and how many times it must be the shortest for an axis to be graded at all.
LONGEST, UNEVEN = 1.0, 4.0
NEWTON = 5


def spread(xi: Tensor, grading: Tensor, derivatives: int = 0) -> list[Tensor]:
    """x(ξ) of every axis and its derivatives, each ``(n, d)``, at ξ ``(n, d)``."""
    local = splines.local_basis(xi, DEGREE, grading.shape[1] - DEGREE, derivatives)
    return [part[..., 0] for part in local.combine(grading[:, None])]


def counts(grading: Tensor, ungraded: float = 2.0 / LONGEST) -> Tensor:
    """About how many lengths h fit along every axis, ``(d,)``: ∫ dx/h, and a given number along those that are not graded.

    x' = c h with c = ½ ∫ dx/h, hence dh/dx = x''/(c x'), which reaches STEEPEST somewhere on an axis that was graded.
    """
    xi = torch.linspace(-1.0, 1.0, 401, dtype=grading.dtype, device=grading.device)
    _, first, second = spread(xi[:, None].expand(-1, len(grading)), grading, 2)
    found = 2.0 / STEEPEST * (second / first).abs().amax(0)
    return torch.where(found > 2.0 / LONGEST, found, ungraded)


@torch.no_grad()
def inverse(x: Tensor, grading: Tensor) -> Tensor:
    """The ξ ``(n, d)`` of x ``(n, d)``, by Newton's iteration from a table."""
    nodes = torch.linspace(-1.0, 1.0, 8 * (grading.shape[1] - DEGREE) + 1, dtype=x.dtype, device=x.device)
    table = spread(nodes[:, None].expand(-1, x.shape[1]), grading)[0]
    xi = torch.stack([interpolated(x[:, k], table[:, k], nodes) for k in range(x.shape[1])], dim=1)
    for _ in range(NEWTON):
        value, slope = spread(xi, grading, 1)
        xi = xi - (value - x) / slope
    inside = x.abs() <= 1.0  # also after round-off: beyond the ends splines have no second derivative
    kept: Tensor = torch.where(inside, xi.clamp(-1.0, 1.0), xi)
    return kept


def graded(x: Jet, grading: Tensor) -> Jet:
    """The jet of ξ from that of x, with d components: dξ/dx = 1/x', d²ξ/dx² = -x''/x'³."""
    xi = inverse(x.value, grading)
    _, first, second = spread(xi, grading, 2)
    slope, bend = (1.0 / first)[..., None], (-second / first**3)[..., None]
    gradient = hessian = None
    if x.gradient is not None:
        gradient = slope * x.gradient
        if x.second is not None:
            hessian = bend * x.frame.pair(x.gradient, x.gradient) + slope * x.second
    return Jet(x.frame, xi, gradient, hessian)


def limited(nodes: Tensor, lengths: Tensor) -> Tensor:
    """The largest lengths ``(n,)`` below the given ones and LONGEST that grow by no more than STEEPEST along the nodes."""
    apart = (nodes[:, None] - nodes).abs()
    return (lengths.clamp_max(LONGEST) + STEEPEST * apart).amin(1)


def equidistributing(axes: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
    """The grading for lengths at increasing nodes of [-1, 1], a pair ``(n,), (n,)`` an axis; None where all are even enough."""
    axes = [(nodes, limited(nodes, lengths)) for nodes, lengths in axes]
    uneven = [bool(lengths.max() > UNEVEN * lengths.min()) for _, lengths in axes]
    if not any(uneven):
        return None
    totals = [_total(*axis) for axis, graded in zip(axes, uneven, strict=True) if graded]
    intervals = max(math.ceil(DENSITY * float(total[-1])) for total in totals)
    even = splines.greville(DEGREE, intervals)
    rows = [_coefficients(*axis, intervals) if graded else even for axis, graded in zip(axes, uneven, strict=True)]
    return torch.stack(rows)


def _total(nodes: Tensor, lengths: Tensor) -> Tensor:
    """∫ dx/h from -1 to the nodes ``(n,)``."""
    density = 1.0 / lengths
    return torch.cat([density.new_zeros(1), (0.5 * (density[1:] + density[:-1]) * nodes.diff()).cumsum(0)])


def _coefficients(nodes: Tensor, lengths: Tensor, intervals: int) -> Tensor:
    """Schoenberg's spline of the equidistributing map: its values at the Greville abscissae; -1 and 1 stay where they are."""
    total = _total(nodes, lengths)
    row = interpolated(splines.greville(DEGREE, intervals), 2.0 * total / total[-1] - 1.0, nodes)
    ends = spread(torch.tensor([[-1.0], [1.0]], dtype=row.dtype), row[None])[0][:, 0]
    found: Tensor = 2.0 * (row - ends[0]) / ends.diff() - 1.0
    return found


def interpolated(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The broken line through (x, y), x increasing, at points ``(n,)``; beyond its ends it goes on straight."""
    place = (torch.searchsorted(x.contiguous(), at.contiguous()) - 1).clamp(0, len(x) - 2)
    slope: Tensor = (y[place + 1] - y[place]) / (x[place + 1] - x[place])
    return y[place] + (at - x[place]) * slope


def coarseness(grading: Tensor, wanted: Tensor) -> float:
    """How many times farther apart than in `wanted` evenly spaced ξ lie in x, where it is the most."""
    xi = torch.linspace(-1.0, 1.0, 401, dtype=wanted.dtype)[:, None].expand(-1, len(wanted))
    x, slope = spread(xi, wanted, 1)
    return float((spread(inverse(x, grading), grading, 1)[1] / slope).max())
