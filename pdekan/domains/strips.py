"""Quadrature inside a planar boundary: strips between two of its arcs, Gauss points along x and along y.

Verticals through every end, vertical tangent and meeting of arcs cut the domain into strips a < x < b between the graphs of
two arcs. Where one of them has a vertical tangent at an end of its strip it behaves like a square root there, and
x = a + (b - a) s², or x = (a + b)/2 - (b - a)/2 cos θ for both ends, makes the integrand analytic. A vertical tangent that
is beyond the strip but near it would slow the convergence: such strips are halved until it is far for their width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pdekan.domains.arcs import Arc
from pdekan.domains.quadrature import Array, Quadrature, gauss

SAME = 1e-12  # of the width: abscissae as near as this are one
LEAST = 2  # points along a strip, however thin
CURVED = 6  # the same where a side is an arc of an ellipse: halves of halves then leave 1e-11
MOST = 16  # points of a Gauss rule before it becomes a composite one
FAR = 0.5  # of a strip's width: vertical tangents farther away do no harm


@dataclass(frozen=True)
class Strip:
    """The set lower.height(x) < y < upper.height(x), left < x < right."""

    left: float
    right: float
    lower: Arc
    upper: Arc

    @property
    def width(self) -> float:
        return self.right - self.left


def points_for(extent: float, spacing: float, least: int = LEAST) -> tuple[int, int]:
    """Cells, and points in each, of a composite Gauss rule with about the spacing given."""
    count = max(least, math.ceil(extent / spacing - 1e-9))
    cells = math.ceil(count / MOST)
    return cells, math.ceil(count / cells)


def strips(boundary: Iterable[Arc]) -> list[Strip]:
    """The domain to the left of closed curves, as strips that do not overlap."""
    graphs = [graph for arc in boundary for graph in arc.graphs()]
    ranges = np.array([np.sort(graph.ends[:, 0]) for graph in graphs])
    size = ranges[:, 1].max() - ranges[:, 0].min()
    cuts = np.unique(ranges)
    cuts = cuts[np.concatenate([[True], np.diff(cuts) > SAME * size])]
    found: dict[tuple[int, int], Strip] = {}
    done: list[Strip] = []
    for left, right in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        pairs = _pairs(graphs, ranges, 0.5 * (left + right))
        done += [strip for key, strip in found.items() if key not in pairs]
        found = {(i, j): Strip(found[i, j].left if (i, j) in found else left, right, graphs[i], graphs[j]) for i, j in pairs}
    return [part for strip in [*done, *found.values()] for part in _graded(strip, SAME * size)]


def _pairs(graphs: Sequence[Arc], ranges: Array, x: float) -> list[tuple[int, int]]:
    """Which graphs bound the domain from below and from above on the vertical at x."""
    across = np.flatnonzero((ranges[:, 0] < x) & (x < ranges[:, 1])).tolist()
    rising = sorted((float(graphs[k].height(np.array([x]))[0]), k) for k in across)
    order = [k for _, k in rising]
    # the inside is on the left: above an arc that runs to the right, below one that runs to the left
    rightward = {k: graphs[k].ends[1, 0] > graphs[k].ends[0, 0] for k in order}
    return [(i, j) for i, j in pairwise(order) if rightward[i] and not rightward[j]]


def _branches(strip: Strip) -> list[float]:
    return [x for arc in (strip.lower, strip.upper) for x in arc.branches or ()]


def _graded(strip: Strip, same: float) -> list[Strip]:
    """The strip in halves of halves, until no vertical tangent is near and beyond it."""
    beyond = [max(strip.left - x, x - strip.right) for x in _branches(strip)]
    if not any(same < gap < FAR * strip.width for gap in beyond):
        return [strip]
    middle = 0.5 * (strip.left + strip.right)
    halves = replace(strip, right=middle), replace(strip, left=middle)
    return [part for half in halves for part in _graded(half, same)]


def _columns(strip: Strip, spacing: float) -> tuple[Array, Array]:
    """Abscissae and weights along a strip, with the change of variable that its ends need."""
    a, width = strip.left, strip.width
    near = 1e-6 * width  # grading leaves no vertical tangent at such a distance but at the very end
    at_left = any(abs(x - strip.left) < near for x in _branches(strip))
    at_right = any(abs(x - strip.right) < near for x in _branches(strip))
    stretch = {0: 1.0, 1: 1.5, 2: 0.5 * np.pi}[at_left + at_right]  # dx/ds is up to 2 or π/2
    s, weights = gauss(0.0, 1.0, *points_for(stretch * width, spacing, CURVED if _branches(strip) else LEAST))
    if at_left and at_right:
        return a + width * np.sin(0.5 * np.pi * s) ** 2, weights * width * 0.5 * np.pi * np.sin(np.pi * s)
    if at_left:
        return a + width * s**2, weights * width * 2.0 * s
    if at_right:
        return a + width * (1.0 - (1.0 - s) ** 2), weights * width * 2.0 * (1.0 - s)
    return a + width * s, weights * width


def rule(parts: Sequence[Strip], spacing: tuple[float, float]) -> Quadrature:
    """Points with about the spacing given along x and y; weights sum to the area up to the rule's error."""
    points, weights = [], []
    for strip in parts:
        x, along = _columns(strip, spacing[0])
        low = strip.lower.height(x)
        tall = np.maximum(strip.upper.height(x) - low, 0.0)
        shapes = [points_for(extent, spacing[1]) for extent in tall.tolist()]
        for shape in sorted(set(shapes)):
            chosen = np.array([other == shape for other in shapes])
            t, across = gauss(0.0, 1.0, *shape)
            y = low[chosen, None] + tall[chosen, None] * t
            points.append(np.stack([np.repeat(x[chosen], len(t)), y.ravel()], axis=1))
            weights.append(np.outer(along[chosen] * tall[chosen], across).ravel())
    return Quadrature(np.concatenate(points), np.concatenate(weights))
