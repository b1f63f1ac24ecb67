"""Unions, intersections and differences of domains of the plane, or of space, which may be nested.

In the plane all arcs of the parts are cut where they meet. A piece belongs to the boundary if the combination is on exactly one
of its two sides, and is oriented so that this is its left. Whether a part is on a side of a piece is decided by the test for
its inside or, if the piece lies on the boundary of the part, by the direction of that boundary: boundaries that two parts share
need no tolerance. Adjacent pieces that remain are merged to one arc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray

from pdekan.domains.arcs import Arc
from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box
from pdekan.domains.planar import PLANE, SAME, Planar
from pdekan.domains.polynomials import linear
from pdekan.domains.quadrature import Array
from pdekan.domains.shapes import Polygon, Rectangle
from pdekan.domains.solids import Solid, Surface, distance_squared

TOUCHING = 1e-7  # of the size: nearer cuts are identified; where curves touch, their intersection has half the digits
CLOSED = 1e-5  # of the size: the largest gap between consecutive arcs
Sides = NDArray[np.bool_]
Parts = Annotated[Domain, Len(2, 200)]
# Which points are in the combination, from which points are in each part.
OPERATIONS: dict[str, Callable[[Sequence[Sides]], Sides]] = {
    "union": lambda inside: np.asarray(np.any(inside, axis=0)),
    "intersection": lambda inside: np.asarray(np.all(inside, axis=0)),
    "difference": lambda inside: np.asarray(inside[0] & ~np.any(inside[1:], axis=0)),
}


@dataclass(frozen=True)
class SolidCombination(Solid):
    """The points that are in any part (union), in all (intersection), or in the first part only (difference).

    Faces are the faces of the parts, "part1.outer", …, as far as they bound the combination; a face that two parts share is
    named after the first. Raises DomainError for parts with different coordinates, and for a combination without volume or end.
    """

    kind: str
    parts: tuple[Domain, ...]

    def __post_init__(self) -> None:
        _check_coordinates(self.kind, self.parts)
        super().__post_init__()
        whole = f"the {self.kind} of {len(self.parts)} parts"
        if (np.subtract(self.upper, self.lower) <= 0.0).any():
            raise DomainError(f"{whole} is empty; check their places and sizes")
        if not np.isfinite([self.lower, self.upper]).all():
            raise DomainError(f"{whole} has no end; a half-space may be cut with, or cut away, but not added")
        if self.measure <= 1e-12 * float(np.prod(np.subtract(self.upper, self.lower))):
            raise DomainError(f"{whole} is empty; check their places and sizes")

    @property
    def type_name(self) -> str:
        return self.kind

    def _bounds(self) -> tuple[Array, Array]:
        lower, upper = np.array([part.lower for part in self.parts]), np.array([part.upper for part in self.parts])
        if self.kind == "difference":
            return lower[0], upper[0]
        return (lower.min(0), upper.max(0)) if self.kind == "union" else (lower.max(0), upper.min(0))

    def _surfaces(self) -> list[Surface]:
        return [replace(one, name=f"part{k + 1}.{one.name}") for k, part in enumerate(self.parts) for one in surfaces(part)]

    def distance(self, points: Array) -> Array:
        """Positive inside and negative outside, 0 on the boundary; in size at most the distance to it."""
        distances = [part.distance(points) for part in self.parts]
        if self.kind == "union":
            return np.asarray(np.max(distances, axis=0))
        first = 1 if self.kind == "difference" else len(distances)
        return np.asarray(np.min([*distances[:first], *(-one for one in distances[first:])], axis=0))


def surfaces(part: Domain) -> list[Surface]:
    """The surfaces that the boundary of a part lies on. Raises DomainError for a domain that cannot be a part."""
    if isinstance(part, Solid):
        return list(part.surfaces)
    if isinstance(part, Ball) and part.dimension == 3:
        level = linear((0, 0, 0), part.radius**2) + distance_squared(part.center).times(-1.0)
        return [Surface("outer", level.times(0.5 / part.radius), 0, part.lower, part.upper)]
    if isinstance(part, Box) and part.dimension == 3:
        return [_side(part, k, end) for end in "-+" for k in range(3)]
    raise DomainError(
        f"a {part.type_name} of dimension {part.dimension} cannot be a part in space; parts are boxes, balls, cylinders, tori, "
        "half-spaces and combinations of them"
    )


def _side(box: Box, k: int, end: str) -> Surface:
    """A face of a box."""
    unit, (lower, upper) = np.eye(3)[k], (list(box.lower), list(box.upper))
    at = lower[k] if end == "-" else upper[k]
    lower[k] = upper[k] = at
    level = linear(unit, -at) if end == "-" else linear(-unit, at)
    return Surface(box.coordinates[k] + end, level, k, tuple(lower), tuple(upper))


@dataclass(frozen=True)
class Combination(Planar):
    """The points in any part (union), in all parts (intersection), or in the first part only (difference).

    Faces are the faces of the parts, "part1.outer", …, as far as they bound the combination; a face that two parts share is
    named after the first. Raises DomainError for parts with different coordinates, for fewer than two parts, for an empty
    combination, and for curves that almost touch, where the sides of the boundary are undetermined.
    """

    kind: str
    parts: tuple[Planar, ...]

    def __post_init__(self) -> None:
        if self.kind not in OPERATIONS:
            raise DomainError(f"a combination is one of {', '.join(OPERATIONS)}, not {self.kind}")
        if len(self.parts) < 2:
            raise DomainError(f"{self.kind} of {len(self.parts)} parts; at least two are needed")
        _check_coordinates(self.kind, self.parts)
        super().__post_init__()
        starts, ends = (np.stack([arc.at(np.array(arc.span[k])) for arc in self.arcs]).reshape(-1, 2) for k in (0, 1))
        gaps = np.linalg.norm(ends[:, None] - starts, axis=2).min(axis=1)
        if gaps.max() > CLOSED * self.size:
            x, y = ends[gaps.argmax()]
            raise DomainError(
                f"the boundary of the {self.kind} is not closed at ({x:g}, {y:g}): curves almost touch there; "
                "move them apart, or make them touch exactly"
            )

    @property
    def type_name(self) -> str:
        return self.kind

    def _inside(self, points: Array) -> Sides:
        return OPERATIONS[self.kind]([part._inside(points) for part in self.parts])

    def _outline(self) -> list[Arc]:
        arcs = [replace(arc, name=f"part{k + 1}.{arc.name}") for k, part in enumerate(self.parts) for arc in part.arcs]
        size = max(part.size for part in self.parts)
        boxes, around = np.stack([arc.box for arc in arcs]), np.array([(part.lower, part.upper) for part in self.parts])
        kept: list[Arc] = []
        for k, arc in enumerate(arcs):
            near, reached = (_meet(boxes[k], others, CLOSED * size) for others in (boxes, around))
            if reached.all() or self.kind != "intersection":
                before, after = (
                    [arcs[j] for j in np.flatnonzero(near) if low <= j < high] for low, high in ((0, k), (k + 1, len(arcs)))
                )
                kept += self._kept(arc, before, after, reached, SAME * size)
        if not kept:
            raise DomainError(f"the {self.kind} of {len(self.parts)} parts is empty; check their places and sizes")
        return kept

    def _kept(self, arc: Arc, before: Sequence[Arc], after: Sequence[Arc], reached: Sides, same: float) -> Iterator[Arc]:
        """The pieces of an arc that bound the combination, with it on the left, and do not lie on an arc before.

        before, after: arcs that it may meet; reached: the parts that it may meet.
        """
        at = cuts(arc, [*before, *after], same)
        middles = 0.5 * (at[1:] + at[:-1])
        points, normals = arc.at(middles), arc.normal(middles)
        none = np.zeros(len(points), dtype=bool)
        sides = [part.sides(points, normals) if near else (none, none) for part, near in zip(self.parts, reached, strict=True)]
        front, behind = (OPERATIONS[self.kind](states) for states in zip(*sides, strict=True))
        taken = np.any([none, *(other.distance(points) < same for other in before)], axis=0)
        turn = np.where(taken, 0, behind.astype(int) - front.astype(int))
        for way, group in groupby(range(len(turn)), key=lambda k: int(turn[k])):
            run = list(group)
            ends = float(at[run[0]]), float(at[run[-1] + 1])
            if way != 0:
                yield arc.trimmed(*ends) if way > 0 else arc.trimmed(*reversed(ends))


def _meet(box: Array, others: Array, reach: float) -> Sides:
    """Which boxes ``(n, 2, 2)``, lower corners first, are at most `reach` away from another along both axes."""
    return np.asarray((np.maximum(box[0], others[:, 0]) - np.minimum(box[1], others[:, 1]) <= reach).all(axis=1))


def cuts(arc: Arc, others: Sequence[Arc], same: float) -> Array:
    """The t of the ends of an arc, of its intersections with other arcs, and of their ends that lie on it."""
    found = [np.array(arc.span)]
    for other in others:
        t = arc.nearest(other.ends)
        touching = np.linalg.norm(arc.at(t) - other.ends, axis=1) < same
        found += [arc.roots(other.conic), t[touching]]
    t = np.sort(np.concatenate(found))
    apart = np.linalg.norm(np.diff(arc.at(t), axis=0), axis=1) > same * TOUCHING / SAME
    full = np.diff(t) > 1.0  # a closed curve ends where it begins
    t = t[np.concatenate([[True], apart | full])]
    t[-1] = max(arc.span)
    return np.asarray(t if arc.span[0] < arc.span[1] else t[::-1])


def planar(part: Domain) -> Planar:
    """The part of a combination; a box in two dimensions becomes a rectangle. Raises DomainError for other domains."""
    if isinstance(part, Planar):
        return part
    if isinstance(part, Box) and part.dimension == 2:
        (a, b), (c, d) = part.lower, part.upper
        return Rectangle((a, b), (c, d), coordinates=part.coordinates)
    raise DomainError(
        f"a {part.type_name} of dimension {part.dimension} cannot be a part; planar ones and boxes are, or all of space"
    )


def _check_coordinates(kind: str, parts: Sequence[Domain]) -> None:
    names = {part.coordinates for part in parts}
    if len(names) > 1:
        listed = " and ".join(sorted(", ".join(name) for name in names))
        raise DomainError(f"the parts of a {kind} have coordinates {listed}; they need the same")


def _combination(kind: str, parts: Sequence[Domain]) -> Combination | SolidCombination:
    if len(parts) > 1 and all(part.dimension == 3 for part in parts):
        return SolidCombination(kind, tuple(parts), coordinates=parts[0].coordinates)
    shapes = tuple(planar(part) for part in parts)
    if any(isinstance(shape, Polygon) and shape.slits for shape in shapes):
        raise DomainError("a polygon with a slit cannot be a part; state the slit in a polygon that is the domain")
    return Combination(kind, shapes, coordinates=shapes[0].coordinates if shapes else PLANE)


def union(*parts: Parts) -> Combination | SolidCombination:
    """The points that are in any of the parts; boundaries are "part1.outer", …

    Raises DomainError as `Combination` and `SolidCombination`, and for parts that are of neither kind.
    """
    return _combination("union", parts)


def intersection(*parts: Parts) -> Combination | SolidCombination:
    """The points that are in all of the parts; boundaries are "part1.outer", …

    Raises DomainError as `union`.
    """
    return _combination("intersection", parts)


def difference(*parts: Parts) -> Combination | SolidCombination:
    """The difference of the first part and the others; boundaries are "part1.outer", …

    Raises DomainError as `union`.
    """
    return _combination("difference", parts)
