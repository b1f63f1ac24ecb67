"""Graded coordinates: monotone maps of the axes of a box that enlarge the regions where a function is steep.

A physical coordinate x in [-1, 1] is a function x(ξ) of a computational one, ξ in [-1, 1]: a spline with increasing
coefficients, hence monotone (de Boor, A Practical Guide to Splines, 2001, ch. XI, variation diminution). A grading is the
tensor ``(d, m)`` of the coefficients of all axes. x'(ξ) is proportional to a length h(x) over which the function changes:
points evenly spaced in ξ equidistribute the density 1/h (Huang and Russell, Adaptive Moving Mesh Methods, 2011, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pdekan import splines
from pdekan.fields.jets import Jet, compose

# Degree of the maps, and their intervals for each length h along the axis: a high degree and few intervals make a map smooth on
# the scale of h. On the front of Burgers' equation splines of degree 9 over a map of degree 5 with 64 intervals reached 3e-5,
# over this one 2e-8.
MAP_DEGREE, MAP_INTERVALS_PER_LENGTH = 9, 1.4
MAX_LENGTH_SLOPE = 1.0  # of the lengths h along an axis, dh/dx
MAX_LENGTH = 1.0  # half an axis
MIN_LENGTH_RATIO = 4.0  # of the longest to the shortest length, above which an axis is graded
NEWTON_STEPS = 5  # of the inverse map, from a table: its error is then round-off


def to_physical(xi: Tensor, grading: Tensor, derivatives: int = 0) -> list[Tensor]:
    """x(ξ) of every axis and its derivatives, each ``(n, d)``, at ξ ``(n, d)``."""
    local = splines.local_basis(xi, MAP_DEGREE, grading.shape[1] - MAP_DEGREE, derivatives)
    return [part[..., 0] for part in local.combine(grading[:, None])]


def lengths_per_axis(grading: Tensor, ungraded: float = 2.0 / MAX_LENGTH) -> Tensor:
    """About how many lengths h an axis has, ``(d,)``: ∫ dx/h, and the number `ungraded` for axes that are not graded.

    x' = c h with c = ½ ∫ dx/h, hence dh/dx = x''/(c x'), whose maximum is MAX_LENGTH_SLOPE on an axis that was graded.
    """
    xi = torch.linspace(-1.0, 1.0, 401, dtype=grading.dtype, device=grading.device)
    _, first, second = to_physical(xi[:, None].expand(-1, len(grading)), grading, 2)
    lengths = 2.0 / MAX_LENGTH_SLOPE * (second / first).abs().amax(0)
    return torch.where(lengths > 2.0 / MAX_LENGTH, lengths, ungraded)


@torch.no_grad()
def to_computational(x: Tensor, grading: Tensor) -> Tensor:
    """The ξ ``(n, d)`` of x ``(n, d)``, by Newton's iteration from a table."""
    nodes = torch.linspace(-1.0, 1.0, 8 * (grading.shape[1] - MAP_DEGREE) + 1, dtype=x.dtype, device=x.device)
    table = to_physical(nodes[:, None].expand(-1, x.shape[1]), grading)[0]
    xi = torch.stack([interpolate(x[:, k], table[:, k], nodes) for k in range(x.shape[1])], dim=1)
    for _ in range(NEWTON_STEPS):
        value, slope = to_physical(xi, grading, 1)
        xi = xi - (value - x) / slope
    # round-off must not move a point of the box out of it: beyond the ends splines have no second derivative
    clamped: Tensor = torch.where(x.abs() <= 1.0, xi.clamp(-1.0, 1.0), xi)
    return clamped


def computational_jet(x: Jet, grading: Tensor) -> Jet:
    """The jet of ξ from that of x, with d components: dξ/dx = 1/x', d²ξ/dx² = -x''/x'³.

    d³ξ/dx³ = (3 x''² - x' x''') / x'⁵, d⁴ξ/dx⁴ = (10 x' x'' x''' - x'² x'''' - 15 x''³) / x'⁷ (Abramowitz and Stegun 3.6.25).
    """
    xi = to_computational(x.value, grading)
    _, first, second, *more = to_physical(xi, grading, max(2, x.frame.order))
    slopes = [xi, 1.0 / first, -second / first**3]
    if more:
        slopes.append((3.0 * second**2 - first * more[0]) / first**5)
    if len(more) > 1:
        slopes.append((10.0 * first * second * more[0] - first**2 * more[1] - 15.0 * second**3) / first**7)
    return compose(lambda _: tuple(slopes), x)


def limit_slopes(nodes: Tensor, lengths: Tensor) -> Tensor:
    """The largest lengths ``(n,)`` below the given ones and MAX_LENGTH whose slopes along the nodes obey MAX_LENGTH_SLOPE."""
    distances = (nodes[:, None] - nodes).abs()
    return (lengths.clamp_max(MAX_LENGTH) + MAX_LENGTH_SLOPE * distances).amin(1)


def equidistribute(axes: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
    """The grading for lengths at increasing nodes of [-1, 1], a pair ``(n,), (n,)`` an axis; None where no axis needs one."""
    axes = [(nodes, limit_slopes(nodes, lengths)) for nodes, lengths in axes]
    graded = [bool(lengths.max() > MIN_LENGTH_RATIO * lengths.min()) for _, lengths in axes]
    if not any(graded):
        return None
    totals = [_integral(*axis) for axis, uneven in zip(axes, graded, strict=True) if uneven]
    intervals = max(math.ceil(MAP_INTERVALS_PER_LENGTH * float(total[-1])) for total in totals)
    identity = splines.greville(MAP_DEGREE, intervals)
    rows = [_coefficients(*axis, intervals) if uneven else identity for axis, uneven in zip(axes, graded, strict=True)]
    return torch.stack(rows)


def _integral(nodes: Tensor, lengths: Tensor) -> Tensor:
    """∫ dx/h from -1 to the nodes ``(n,)``."""
    density = 1.0 / lengths
    return torch.cat([density.new_zeros(1), (0.5 * (density[1:] + density[:-1]) * nodes.diff()).cumsum(0)])


def _coefficients(nodes: Tensor, lengths: Tensor, intervals: int) -> Tensor:
    """Schoenberg's spline of the equidistributing map: its values at the Greville abscissae; it keeps -1 and 1."""
    total = _integral(nodes, lengths)
    row = interpolate(splines.greville(MAP_DEGREE, intervals), 2.0 * total / total[-1] - 1.0, nodes)
    ends = to_physical(torch.tensor([[-1.0], [1.0]], dtype=row.dtype), row[None])[0][:, 0]
    coefficients: Tensor = 2.0 * (row - ends[0]) / ends.diff() - 1.0
    return coefficients


def interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The piecewise linear function through (x, y), x increasing, at points ``(n,)``; extrapolated linearly."""
    k = (torch.searchsorted(x.contiguous(), at.contiguous()) - 1).clamp(0, len(x) - 2)
    slope: Tensor = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
    return y[k] + (at - x[k]) * slope


def coarseness(grading: Tensor, wanted: Tensor) -> float:
    """The largest ratio of the distances in x of evenly spaced ξ under a grading to those under another one."""
    xi = torch.linspace(-1.0, 1.0, 401, dtype=wanted.dtype)[:, None].expand(-1, len(wanted))
    x, slope = to_physical(xi, wanted, 1)
    return float((to_physical(to_computational(x, grading), grading, 1)[1] / slope).max())
