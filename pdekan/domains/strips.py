"""Quadrature in planar domains: strips between two arcs of the boundary, with Gauss points along x and y.

Vertical lines through all ends and vertical tangents of arcs cut the domain into strips a < x < b between the graphs of two
arcs. An arc with a vertical tangent at an end of its strip behaves like a square root there; the substitution
x = a + (b - a) s², or x = (a + b)/2 - (b - a)/2 cos θ for both ends, makes the integrand analytic. A vertical tangent
outside of the strip but near it slows the convergence: such strips are halved until it is far relative to their width.

Where many strips between straight arcs are narrower than the spacing of points, as below a coast line, a rule for each of them
would have many times the points: their columns are laid across them all, with the area of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pdekan.domains.arcs import Arc
from pdekan.domains.quadrature import Array, Quadrature, gauss

SAME = 1e-12  # of the width: abscissae at a smaller distance are identified
LEAST = 2  # the least number of points along or across a strip
CURVED = 6  # the same along a strip beside an ellipse: with repeated halving, the relative error is 1e-11
MOST = 16  # the largest number of Gauss points in one cell
MANY = 8  # strips within one spacing that share their columns
FAR = 0.5  # of the width of a strip: vertical tangents at larger distances are ignored


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
    """The number of cells, and of points in each, of a composite Gauss rule with about this spacing."""
    count = max(least, math.ceil(extent / spacing - 1e-9))
    cells = math.ceil(count / MOST)
    return cells, math.ceil(count / cells)


def strips(boundary: Iterable[Arc]) -> list[Strip]:
    """Disjoint strips that make up the domain on the left of closed curves."""
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
    """Indices of the graphs that bound the domain from below and from above at x."""
    across = np.flatnonzero((ranges[:, 0] < x) & (x < ranges[:, 1])).tolist()
    # the domain is on the left: above an arc that runs to the right, below one that runs to the left
    rightward = {k: graphs[k].ends[1, 0] > graphs[k].ends[0, 0] for k in across}
    # of the two sides of a slit, the one with the domain below comes first
    order = sorted(across, key=lambda k: (float(graphs[k].height(np.array([x]))[0]), rightward[k]))
    return [(i, j) for i, j in pairwise(order) if rightward[i] and not rightward[j]]


def _branches(strip: Strip) -> list[float]:
    return [x for arc in (strip.lower, strip.upper) for x in arc.branches or ()]


def _graded(strip: Strip, same: float) -> list[Strip]:
    """The strip, halved repeatedly until no vertical tangent is outside of a part and near it."""
    beyond = [max(strip.left - x, x - strip.right) for x in _branches(strip)]
    if not any(same < gap < FAR * strip.width for gap in beyond):
        return [strip]
    middle = 0.5 * (strip.left + strip.right)
    halves = replace(strip, right=middle), replace(strip, left=middle)
    return [part for half in halves for part in _graded(half, same)]


def _columns(strip: Strip, spacing: float) -> tuple[Array, Array]:
    """Abscissae and weights along a strip, after the substitution for vertical tangents at its ends."""
    a, width = strip.left, strip.width
    near = 1e-6 * width  # after grading, a vertical tangent this near is at the end itself
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


def chains(parts: Sequence[Strip]) -> list[list[Strip]]:
    """Strips between straight arcs that have whole sides in common, from left to right; all others alone."""
    found: list[list[Strip]] = []
    ending: dict[float, list[list[Strip]]] = {}  # by the right end of their last strip
    for strip in parts:
        chain = next((chain for chain in ending.get(strip.left, ()) if _continues(chain[-1], strip)), None)
        if chain is None:
            chain = []
            found.append(chain)
        chain.append(strip)
        ending.setdefault(strip.right, []).append(chain)
    return found


def _continues(one: Strip, other: Strip) -> bool:
    """Whether the right side of a strip is the left one of another, and arcs are straight."""
    if _branches(one) or _branches(other):
        return False
    x = np.array([one.right])
    return all(
        math.isclose(float(a.height(x)[0]), float(b.height(x)[0]), abs_tol=SAME * one.width)
        for a, b in ((one.lower, other.lower), (one.upper, other.upper))
    )


def _runs(chain: Sequence[Strip], spacing: float) -> Iterator[Sequence[Strip]]:
    """The strips of a chain: MANY or more within one spacing together, the others alone."""
    first = 0
    while first < len(chain):
        last = first + 1
        while last < len(chain) and chain[last].right - chain[first].left <= spacing:
            last += 1
        yield from [chain[first:last]] if last - first >= MANY else ([one] for one in chain[first:last])
        first = last


def _area(strip: Strip) -> float:
    """The area between straight arcs."""
    x = np.array([0.5 * (strip.left + strip.right)])
    return strip.width * float(strip.upper.height(x)[0] - strip.lower.height(x)[0])


def _across(run: Sequence[Strip], spacing: float) -> tuple[Array, Array, Array, Array]:
    """Abscissae, weights, lower ends and heights of the columns of a run of strips."""
    if len(run) == 1:
        x, along = _columns(run[0], spacing)
        low = run[0].lower.height(x)
        return x, along, low, np.maximum(run[0].upper.height(x) - low, 0.0)
    x, along = gauss(run[0].left, run[-1].right, 1, LEAST)
    at = [run[k] for k in np.searchsorted([strip.right for strip in run[:-1]], x)]
    low, high = (
        np.array([float(arc.height(x[k : k + 1])[0]) for k, arc in enumerate(arcs)])
        for arcs in zip(*((strip.lower, strip.upper) for strip in at), strict=True)
    )
    tall = np.maximum(high - low, 0.0)
    return x, along * (math.fsum(map(_area, run)) / float(along @ tall)), low, tall


def rule(parts: Sequence[Sequence[Strip]], spacing: tuple[float, float]) -> Quadrature:
    """Gauss points with about this spacing along x and y in chains of strips."""
    points, weights = [], []
    for run in (run for chain in parts for run in _runs(chain, spacing[0])):
        x, along, low, tall = _across(run, spacing[0])
        shapes = [points_for(extent, spacing[1]) for extent in tall.tolist()]
        for shape in sorted(set(shapes)):
            chosen = np.array([other == shape for other in shapes])
            t, across = gauss(0.0, 1.0, *shape)
            y = low[chosen, None] + tall[chosen, None] * t
            points.append(np.stack([np.repeat(x[chosen], len(t)), y.ravel()], axis=1))
            weights.append(np.outer(along[chosen] * tall[chosen], across).ravel())
    return Quadrature(np.concatenate(points), np.concatenate(weights))
