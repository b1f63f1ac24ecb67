"""Quadrature in domains of space whose boundary lies on algebraic surfaces, and on their faces.

The domain is cut by planes z = const., each plane by lines y = const., and each line by its intersections with the surfaces.
Between the breaks all integrands are smooth. Along z these are the heights at which a surface or the curve of two surfaces has
a horizontal tangent, and the points that three surfaces have in common; along y the same in a plane. At its ends an interval
may have the singularities of square roots, which the substitution x = a + (b - a) sin²(πs/2) removes.

Source: Saye, J. Comput. Phys. 448 (2022) 110720, for the recursion over dimensions; breaks are found by Newton's method here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.polynomials import Polynomial, eliminated, real_roots, roots, solutions
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.domains.strips import CURVED, MOST, points_for

SAME = 1e-9  # of the size: breaks at a smaller distance are identified, and so are surfaces
BESIDE = 1e-10  # of the size: the distance at which the two sides of a surface are told apart
NEAR = 0.15  # of an interval's width: nearer edges outside of it are not ignored
GROWTH = 5.0  # of the parts into which it is cut then
STARTS = 16  # of Newton's method for each solution of a system, the complex ones included
Distance = Callable[[Array], Array]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rays:
    """Rules for points with a positive distance in a box, whose boundary is on surfaces.

    order: the axis of the rays, that across them in a plane, and that across the planes. surfaces: polynomials in units of
    length, as steep as 1 about where they vanish. reaches: of each the box ``(2, 3)`` that holds what of it may be boundary.
    distance: of points, positive inside.
    """

    surfaces: tuple[Polynomial, ...]
    reaches: tuple[Array, ...]
    distance: Distance
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    order: tuple[int, int, int]
    _heights: dict[int | None, Array] = field(default_factory=dict)

    @property
    def size(self) -> float:
        return max(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @cached_property
    def _permuted(self) -> list[Polynomial]:
        return [one.permuted(self.order) for one in self.surfaces]

    @cached_property
    def _different(self) -> list[int]:
        """The surfaces that no other one before is the same as."""
        found: list[int] = []
        for k in range(len(self.surfaces)):
            if all(self._differ(k, j) for j in found):
                found.append(k)
        return found

    def _inside(self, points: Array) -> np.ndarray:
        """Which points ``(n, 3)``, in the order of the axes, are in the domain."""
        return np.asarray(self.distance(points[:, np.argsort(self.order)]) > 0.0)

    def interior(self, spacing: Sequence[float]) -> Quadrature:
        """Gauss points with about this spacing along every axis."""
        y, z, weights = self._lines(spacing, None)
        rows, start, end = self._segments(y, z)
        length, back = end - start, np.argsort(self.order)
        shapes = [points_for(one, spacing[self.order[0]]) for one in length.tolist()]
        points, parts = [np.empty((0, 3))], [np.empty(0)]
        for shape in sorted(set(shapes)):
            chosen = np.array([other == shape for other in shapes])
            s, along = gauss(0.0, 1.0, *shape)
            columns = [(start[chosen, None] + length[chosen, None] * s).ravel()]
            columns += [np.repeat(one[rows[chosen]], len(s)) for one in (y, z)]
            points.append(np.stack(columns, axis=1)[:, back])
            parts.append(np.outer(weights[rows[chosen]] * length[chosen], along).ravel())
        return Quadrature(np.concatenate(points), np.concatenate(parts))

    def _segments(self, y: Array, z: Array) -> tuple[Index, Array, Array]:
        """The parts of rays at y and z ``(n,)`` that are inside: which ray, where it begins and where it ends."""
        low, high = self.lower[self.order[0]], self.upper[self.order[0]]
        cuts = [np.full((len(y), 1), low), np.full((len(y), 1), high)]
        cuts += [real_roots(self._permuted[k].along(y, z)) for k in self._different]
        x = np.sort(np.clip(np.nan_to_num(np.concatenate(cuts, axis=1), nan=high), low, high), axis=1)
        count = x.shape[1] - 1
        middle = np.stack([0.5 * (x[:, 1:] + x[:, :-1]), *(np.tile(one[:, None], count) for one in (y, z))], axis=2)
        wide = np.diff(x, axis=1) > SAME * self.size
        inside = np.zeros(wide.shape, dtype=bool)
        inside[wide] = self._inside(middle[wide])
        for k in range(1, count):  # what is too thin to be looked at is as what is beside it
            inside[:, k] |= ~wide[:, k] & inside[:, k - 1]
        padded = np.pad(inside, ((0, 0), (1, 1)))
        rows, first = np.nonzero(inside & ~padded[:, :-2])
        last = np.nonzero(inside & ~padded[:, 2:])[1]
        return rows, x[rows, first], x[rows, last + 1]

    def face(self, k: int, spacing: Sequence[float]) -> Quadrature:
        """Points on surface k as far as it is boundary, with outward normals; none where one before is the same."""
        y, z, weights = self._lines(spacing, k)
        surface = self._permuted[k]
        x = real_roots(surface.along(y, z))
        rows, column = np.nonzero(~np.isnan(x))
        points = np.stack([x[rows, column], y[rows], z[rows]], axis=1)
        slope = np.stack([surface.derivative(j)(points) for j in range(3)], axis=1)
        outward = -slope / np.linalg.norm(slope, axis=1)[:, None]
        beyond, before = (self._inside(points + side * BESIDE * self.size * outward) for side in (1.0, -1.0))
        kept = (beyond != before) & (k in self._different)
        outward = np.where(beyond[:, None], -outward, outward)[kept]
        area = weights[rows][kept] / np.abs(outward[:, 0])
        back = np.argsort(self.order)
        return Quadrature(points[kept][:, back], area, outward[:, back])

    def _lines(self, spacing: Sequence[float], only: int | None) -> tuple[Array, Array, Array]:
        """Where rays meet the plane across them ``(n,)``, twice, and their weights; for one surface alone, if given."""
        _, middle, outer = self.order
        z, across = _smoothed(self.heights(only), spacing[outer])
        found = []
        for height, weight, edges in zip(z, across, self._breaks(z, only), strict=True):
            y, along = _smoothed(edges, spacing[middle])
            found.append((y, np.full(len(y), height), weight * along))
        y, z, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return y, z, weights

    def _systems(self, only: int | None, count: int) -> list[list[Polynomial]]:
        """The surfaces by `count` of them that may meet, with one of them given if only that matters."""
        different = self._different if only is None else [only, *(k for k in self._different if self._differ(k, only))]
        chosen = [one for one in combinations(different, count) if only is None or only in one]
        return [[self._permuted[k] for k in one] for one in chosen if self._meet(one)]

    def _meet(self, chosen: Sequence[int]) -> bool:
        """Whether the boxes that hold some surfaces' parts of the boundary have a point in common."""
        ends = np.array([self.reaches[k] for k in chosen])
        return bool((ends[:, 0].max(0) <= ends[:, 1].min(0) + SAME * self.size).all())

    def _differ(self, one: int, other: int) -> bool:
        places = _spread(self.lower, self.upper, 40)
        a, b = self.surfaces[one](places), self.surfaces[other](places)
        return bool(min(np.abs(a - b).max(), np.abs(a + b).max()) > SAME * self.size)

    def heights(self, only: int | None = None) -> Array:
        """The breaks along the outer axis, with the ends of the box, for one surface alone, if given."""
        if only not in self._heights:
            self._heights[only] = self._critical(only)
        return self._heights[only]

    def _critical(self, only: int | None) -> Array:
        outer, size = self.order[2], self.size
        systems = [[a, *(a.derivative(k).times(size) for k in (0, 1))] for (a,) in self._systems(only, 1)]
        for a, b in self._systems(only, 2):
            turned = a.derivative(0) * b.derivative(1) + (a.derivative(1) * b.derivative(0)).times(-1.0)
            systems.append([a, b, turned.times(size)])
        systems += self._systems(only, 3)
        low, high = ([side[k] for k in self.order] for side in (self.lower, self.upper))
        found = [np.array([self.lower[outer], self.upper[outer]])]
        for system in systems:
            if any(one.degree == 0 and not one.is_zero for one in system):
                continue
            count = STARTS * int(np.prod([max(1, one.degree) for one in system]))
            points, converged = solutions(system, _spread(low, high, count), (0, 1, 2), size)
            within = ((points > np.array(low) - SAME * size) & (points < np.array(high) + SAME * size)).all(axis=1)
            found.append(points[converged & within, 2])
        return _apart(np.concatenate(found), self.lower[outer], self.upper[outer], size)

    def _breaks(self, z: Array, only: int | None) -> list[Array]:
        """The breaks along the middle axis in every plane, with the ends of the box."""
        low, high = self.lower[self.order[1]], self.upper[self.order[1]]
        found: list[list[Array]] = [[np.array([low, high])] for _ in z]
        pairs = [(a, a.derivative(0).times(self.size)) for (a,) in self._systems(only, 1)]
        pairs += [(a, b) for a, b in self._systems(only, 2)]
        for a, b in pairs:
            flat = [one for one in (a, b) if one.coefficients.shape[0] == 1 and one.degree > 0]
            if flat:  # made of rays, which meet all that they meet there
                met = [eliminated(one, RAY, z, low, high) for one in flat]
            else:
                met = [self._met(a, b, z, low, high)] if b.degree > 0 else []
            for ys in met:
                for row, y in zip(found, ys, strict=True):
                    row.append(y)
        return [_apart(np.concatenate(row), low, high, self.size) for row in found]

    def _met(self, a: Polynomial, b: Polynomial, z: Array, low: float, high: float) -> list[Array]:
        """The y of the points that two surfaces have in common in every plane: eliminated, then polished by Newton's method."""
        near = eliminated(a, b, z, low, high)
        planes = np.repeat(np.arange(len(z)), [len(one) for one in near])
        y = np.concatenate(near)
        if not len(y):
            return near
        fewer = min((a, b), key=lambda one: one.coefficients.shape[0])
        x = roots(fewer.along(y, z[planes])).real
        starts = np.stack([x.ravel(), *(np.repeat(one, x.shape[1]) for one in (y, z[planes]))], axis=1)
        points, converged = solutions([a, b], starts, (0, 1), self.size)
        planes = np.repeat(planes, x.shape[1])[converged]
        return [points[converged, 1][planes == k] for k in range(len(z))]


RAY = Polynomial(np.array([0.0, 1.0]).reshape(2, 1, 1))


def _spread(lower: Sequence[float], upper: Sequence[float], count: int) -> Array:
    """Random points of a box, the same ones every time."""
    generator = np.random.default_rng(0)
    return np.asarray(generator.uniform(lower, upper, (count, 3)))


def _apart(values: Array, lower: float, upper: float, size: float) -> Array:
    """The values in an interval, in their order, with those that are the same once."""
    x = np.sort(np.clip(values, lower, upper))
    x = x[np.concatenate([[True], np.diff(x) > SAME * size])]
    return np.append(x[x < upper - SAME * size], upper)


def _smoothed(edges: Array, spacing: float) -> tuple[Array, Array]:
    """Gauss points and weights in all intervals between edges, after the substitution for square roots at their ends.

    However short an interval is, it has a fourth of the points that the whole would have, but at most those of one cell.
    """
    points, weights = [], []
    least = min(max(CURVED, math.ceil((edges[-1] - edges[0]) / spacing / 4.0)), MOST)
    for a, b in _graded(edges):
        s, along = gauss(0.0, 1.0, *points_for(0.5 * np.pi * (b - a), spacing, least))
        points.append(a + (b - a) * np.sin(0.5 * np.pi * s) ** 2)
        weights.append(along * (b - a) * 0.5 * np.pi * np.sin(np.pi * s))
    return np.concatenate(points), np.concatenate(weights)


def _graded(edges: Array) -> list[tuple[float, float]]:
    """The intervals between edges, cut so that none has an edge outside of it that is near relative to its width."""
    left = list(pairwise(edges.tolist()))
    before = [np.inf, *(b - a for a, b in left[:-1])]
    after = [*(b - a for a, b in left[1:]), np.inf]
    found = []
    for (a, b), low, high in zip(left, before, after, strict=True):
        middle = []
        while low < NEAR * (b - a):
            a, low = a + GROWTH * low, GROWTH * low
            middle.append(a)
        while high < NEAR * (b - a):
            b, high = b - GROWTH * high, GROWTH * high
            middle.append(b)
        found += middle
    return list(pairwise(np.sort(np.concatenate([edges, found])).tolist()))
