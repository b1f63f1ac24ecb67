"""Points where interfaces meet each other or the boundary: how solutions behave there, r^λ.

In the sectors about such a point, with angles ω_j and coefficients k_j of -div(k∇u), the solution is r^λ φ(θ) with
φ'' + λ² φ = 0 in each and φ, k φ' continuous. The pair (φ, k φ') goes through a sector by

    [cos λω, sin λω / (kλ); -kλ sin λω, cos λω],

so that λ is a zero of 2 - tr T for the product T of all matrices about an inner point, and of an element of T between two sides
of the boundary (Kellogg, Applicable Anal. 4 (1975) 101-129; Nicaise, Polygonal Interface Problems (1993), chapter 2).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pdekan.domains.arcs import Arc
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array

STEP, TOUCHING = 2e-3, 1e-9  # between values of λ that are compared; of a double zero
BESIDE = 1e-6  # of the domain's size: where coefficients are looked at, beside a crossing


@dataclass(frozen=True)
class Sector:
    """An angle between two rays from a point, from `first` counterclockwise, with the coefficient in it."""

    first: float
    opening: float
    coefficient: float


def exponents(sectors: Sequence[Sector], ends: tuple[bool, bool] | None, highest: float) -> list[float]:
    """All λ in (0, highest]. ends: at a point of the boundary, whether the slope is given on the first and on the last ray."""

    def transfer(order: float) -> Array:
        """The matrix by which value and flux of r^order change across all sectors."""
        product = np.eye(2)
        for one in sectors:
            c, s, k = math.cos(order * one.opening), math.sin(order * one.opening), one.coefficient * order
            product = np.array([[c, s / k], [-k * s, c]]) @ product
        return product

    def characteristic(order: float) -> float:
        """A function of the order that vanishes where r^order satisfies what holds at the ends."""
        t = transfer(order)
        if ends is None:
            return float(2.0 - t.trace())
        size = 1.0 / (sectors[0].coefficient * order)
        unit = t[:, 0] if ends[0] else t[:, 1] / size  # from (1, 0) or (0, k λ)
        return float(unit[1] * size if ends[1] else unit[0])

    return _zeros(characteristic, highest)


def _zeros(f: Callable[[float], float], highest: float) -> list[float]:
    from scipy.optimize import brentq, minimize_scalar  # a tenth of a second, for crossings only

    grid = np.arange(STEP, highest + 0.5 * STEP, STEP)
    values = np.array([f(x) for x in grid])
    found = [brentq(f, a, b, xtol=1e-14) for a, b, u, v in zip(grid, grid[1:], values, values[1:], strict=False) if u * v < 0.0]
    sizes = np.abs(values)
    for k in np.flatnonzero((sizes[1:-1] < sizes[:-2]) & (sizes[1:-1] <= sizes[2:])) + 1:
        if values[k - 1] * values[k + 1] > 0.0:
            around = (grid[k - 1], grid[k + 1])
            least = minimize_scalar(lambda x: abs(f(x)), bounds=around, method="bounded", options={"xatol": 1e-12})
            if least.fun < TOUCHING * max(1.0, float(sizes.max())):
                found.append(float(least.x))
    return sorted(found)


@dataclass(frozen=True)
class Crossing:
    """A point with the sectors about it, in the order of their angles. sides: faces of the domain at the first and last ray."""

    point: tuple[float, float]
    sectors: tuple[Sector, ...]
    sides: tuple[str, str] | None


def crossings(domain: Planar, shapes: Sequence[Planar], coefficient: Callable[[Array], Array | None]) -> list[Crossing]:
    """The points at which straight interfaces meet each other, the boundary, or turn; none where a curved one is about.

    coefficient: k at points ``(n, 2)``, None where it is no scalar.
    """
    inner = [(None, *_ends(arc)) for shape in shapes for arc in shape.arcs]
    outer = [(arc.name, *_ends(arc)) for arc in domain.arcs]
    if not all(is_straight(arc, domain.size) for shape in (domain, *shapes) for arc in shape.arcs):
        return []
    found: list[Array] = []
    for (_, a, b), (_, c, d) in itertools.product(inner, [*inner, *outer]):
        point = _meeting(a, b, c, d, domain.size)
        if point is not None and not any(np.linalg.norm(point - one) < SAME * domain.size for one in found):
            found.append(point)
    inside = domain.distance(np.array(found).reshape(-1, 2)) > -SAME * domain.size
    every = (_crossing(point, inner, outer, domain, coefficient) for point in np.array(found).reshape(-1, 2)[inside])
    return [one for one in every if one is not None]


Segment = tuple[str | None, Array, Array]


def _crossing(
    point: Array,
    inner: Sequence[Segment],
    outer: Sequence[Segment],
    domain: Planar,
    coefficient: Callable[[Array], Array | None],
) -> Crossing | None:
    """The crossing at a point where interfaces meet; None where there is one sector, or no scalar coefficient."""
    near = SAME * domain.size
    sides = {angle: str(name) for name, angle in _rays(point, outer, near)}
    rays = {angle: "" for _, angle in _rays(point, inner, near) if _leads_inside(domain, point, angle)} | sides
    angles = _distinct(rays)
    if len(angles) < 2 or (sides and len(sides) != 2):
        return None
    pairs = list(zip(angles, [*angles[1:], angles[0] + 2.0 * math.pi], strict=True))
    if sides:  # the sectors from one side to the other, through the domain
        kept = [_leads_inside(domain, point, 0.5 * (a + b)) for a, b in pairs]
        start = next(k for k, keep in enumerate(kept) if keep and not kept[k - 1])
        pairs = [pairs[(start + k) % len(pairs)] for k in range(sum(kept))]
    middles = np.array([point + BESIDE * domain.size * _direction(0.5 * (a + b)) for a, b in pairs])
    values = coefficient(middles)
    if values is None or len(pairs) < 2:
        return None
    sectors = tuple(Sector(a, b - a, float(k)) for (a, b), k in zip(pairs, values, strict=True))
    ends = (rays[pairs[0][0]], rays[_reduced(pairs[-1][1], angles)]) if sides else None
    return Crossing((float(point[0]), float(point[1])), sectors, ends)


def is_straight(arc: Arc, size: float) -> bool:
    """Whether an arc is a segment."""
    start, middle, end = arc.at(np.linspace(*arc.span, 3))
    return bool(np.linalg.norm(middle - 0.5 * (start + end)) <= SAME * size)


def _ends(arc: Arc) -> tuple[Array, Array]:
    start, end = arc.at(np.array(arc.span))
    return start, end


def _meeting(a: Array, b: Array, c: Array, d: Array, size: float) -> Array | None:
    """The point that two segments share, an end of one where they are parallel; None without one, or for the same segment."""
    u, v, w = b - a, d - c, c - a
    cross = float(u[0] * v[1] - u[1] * v[0])
    if abs(cross) > SAME * size**2:
        s, t = (w[0] * v[1] - w[1] * v[0]) / cross, (w[0] * u[1] - w[1] * u[0]) / cross
        return np.asarray(a + s * u) if -SAME <= s <= 1.0 + SAME and -SAME <= t <= 1.0 + SAME else None
    same = [p for p in (a, b) for q in (c, d) if np.linalg.norm(p - q) < SAME * size]
    return same[0] if len(same) == 1 else None


def _rays(point: Array, segments: Sequence[Segment], near: float) -> list[tuple[str | None, float]]:
    """The directions in which segments lead away from a point on them, in [0, 2π), with their names."""
    found = []
    for name, a, b in segments:
        along = b - a
        t = float(np.clip((point - a) @ along / (along @ along), 0.0, 1.0))
        if np.linalg.norm(a + t * along - point) < near:
            ends = [end for end in (a, b) if np.linalg.norm(end - point) > near]
            found += [(name, math.atan2(*(end - point)[::-1]) % (2.0 * math.pi)) for end in ends]
    return found


def _distinct(angles: Iterable[float]) -> list[float]:
    """Angles in ascending order, each direction once."""
    found: list[float] = []
    for angle in sorted(angles):
        if all(abs(math.remainder(angle - one, 2.0 * math.pi)) > SAME for one in found):
            found.append(angle)
    return found


def _leads_inside(domain: Planar, point: Array, angle: float) -> bool:
    return bool(domain.distance((point + BESIDE * domain.size * _direction(angle))[None])[0] > SAME * domain.size)


def _direction(angle: float) -> Array:
    return np.array([math.cos(angle), math.sin(angle)])


def _reduced(angle: float, angles: Sequence[float]) -> float:
    """The one of the angles that is the same up to full turns."""
    return min(angles, key=lambda one: abs(math.remainder(angle - one, 2.0 * math.pi)))
