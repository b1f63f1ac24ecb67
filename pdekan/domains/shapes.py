"""Planar shapes: disks and ellipses, annuli, polygons with holes, and rectangles as parts of combinations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import shapely
from annotated_types import Len, MaxLen
from numpy.typing import NDArray
from shapely.validation import explain_validity

from pdekan.domains.arcs import Arc, EllipseArc, Segment
from pdekan.domains.base import DomainError
from pdekan.domains.planar import PLANE, Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.domains.validation import STATED, Pair, Point, Radius, finite, point, positive

SLIT_GAP = 1e-10  # of the size: distance of the points of a slit's faces from it
Slit = tuple[Point, Point]


def pairs(vertices: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
    """The vertices. Raises DomainError for one that is not two numbers."""
    for vertex in vertices:
        if len(vertex) != 2:
            raise DomainError(f"found {vertex!r}; a vertex is [x, y]")
    return vertices


Vertices = Annotated[Sequence[Sequence[float]], Len(3, 10_000), pairs]


def _circle(name: str, center: Point, radius: float) -> EllipseArc:
    return EllipseArc(name, center, (-radius, 0.0), (0.0, -radius))


@dataclass(frozen=True)
class Ellipse(Planar):
    """An ellipse with half-axes `radii`, rotated by `angle` in radians; face "outer". A disk has equal half-axes.

    Raises DomainError for a radius that is not positive and for numbers that are not finite.
    """

    center: Point
    radii: Point
    angle: float = 0.0

    def __post_init__(self) -> None:
        finite("center", *self.center)
        finite("angle", self.angle)
        for radius in self.radii:
            positive("radius", radius)
        super().__post_init__()

    @property
    def type_name(self) -> str:
        return "disk" if self.radii[0] == self.radii[1] else "ellipse"

    def _outline(self) -> list[Arc]:
        (a, b), c, s = self.radii, math.cos(self.angle), math.sin(self.angle)
        leftmost = math.atan2(b * s, -a * c)  # the arc begins at a vertical tangent, where it is cut anyway
        return [EllipseArc("outer", self.center, (a * c, a * s), (-b * s, b * c), leftmost, leftmost + 2.0 * math.pi)]

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(self.arcs[0].conic(*points.T) > 0.0)


@dataclass(frozen=True)
class Annulus(Planar):
    """The region between two circles about `center`; faces "inner" and "outer".

    Raises DomainError unless 0 < inner_radius < outer_radius, and for numbers that are not finite.
    """

    center: Point
    inner_radius: float
    outer_radius: float

    def __post_init__(self) -> None:
        finite("center", *self.center)
        positive("inner_radius", self.inner_radius)
        positive("outer_radius", self.outer_radius)
        if self.inner_radius >= self.outer_radius:
            between = f"inner_radius is {self.inner_radius} and outer_radius {self.outer_radius}"
            raise DomainError(f"{between}; the first needs to be the smaller")
        super().__post_init__()

    def _outline(self) -> list[Arc]:
        hole = _circle("inner", self.center, self.inner_radius)
        return [hole.trimmed(hole.last, hole.first), _circle("outer", self.center, self.outer_radius)]

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(np.all([arc.conic(*points.T) > 0.0 for arc in self.arcs], axis=0))


@dataclass(frozen=True)
class Rectangle(Planar):
    """A rectangle with sides along the axes, as a part of a combination; faces are those of a box."""

    corner: Point
    opposite: Point

    def _outline(self) -> list[Arc]:
        (a, b), (c, d), (x, y) = self.corner, self.opposite, self.coordinates
        corners = [(a, b), (c, b), (c, d), (a, d)]
        ends = zip((y + "-", x + "+", y + "+", x + "-"), corners, corners[1:] + corners[:1], strict=True)
        return [Segment(*side) for side in ends]

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(((points > self.corner) & (points < self.opposite)).all(axis=1))


@dataclass(frozen=True)
class Polygon(Planar):
    """A polygon with vertices in either orientation, and holes; faces "edge1" (from vertex 1 to 2), …, "hole1.edge1", ….

    Vertices that lead from the boundary inwards and back the same way make a slit. Its two sides are faces of their own, and
    their points lie SLIT_GAP of the size off the slit, each on its own side.

    Raises DomainError for fewer than three vertices, for edges that meet except at common ends, for a slit that is not
    strictly inside, for a hole that is not strictly inside or touches another hole or a slit, and for numbers that are not
    finite.
    """

    vertices: tuple[Point, ...]
    holes: tuple[tuple[Point, ...], ...] = ()

    def __post_init__(self) -> None:
        outer, slits = without_slits(self.vertices)
        shell = _ring("vertices", outer)
        _check_slits(slits, shell)
        holes = [_ring(f"hole {k + 1}", hole) for k, hole in enumerate(self.holes)]
        for k, hole in enumerate(holes):
            _check_hole(k, hole, shell, holes[:k])
            if any(hole.intersects(shapely.LineString(slit)) for slit in slits):
                raise DomainError(f"hole {k + 1} meets a slit; move it, or make the slit part of the hole's boundary")
        super().__post_init__()

    @cached_property
    def slits(self) -> tuple[Slit, ...]:
        """The segments of slits, the end nearer to the boundary first."""
        return tuple(without_slits(self.vertices)[1])

    @cached_property
    def _slit_faces(self) -> frozenset[str]:
        """The faces that are sides of slits."""
        ends = {frozenset(slit) for slit in self.slits}
        return frozenset(arc.name for arc in self.arcs if isinstance(arc, Segment) and frozenset((arc.start, arc.end)) in ends)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """As that of any planar domain; the points of a slit are off it, on the side that the face is of."""
        rule = super().face(name, cells, order, count, seed)
        if self.single(name) not in self._slit_faces:
            return rule
        assert rule.normals is not None
        return replace(rule, points=rule.points - SLIT_GAP * self.size * rule.normals)

    def _outline(self) -> Iterator[Arc]:
        yield from _edges("", self.vertices, leftward=True)
        for k, hole in enumerate(self.holes):
            yield from _edges(f"hole{k + 1}.", hole, leftward=False)

    @cached_property
    def _shape(self) -> shapely.Polygon:
        shape = shapely.Polygon(without_slits(self.vertices)[0], self.holes)
        shapely.prepare(shape)
        return shape

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(shapely.contains_xy(self._shape, points), dtype=bool)


def without_slits(vertices: Sequence[Point]) -> tuple[list[Point], list[Slit]]:
    """A closed line without the pieces that it runs there and back, and these pieces, the innermost first."""
    ring, slits = list(vertices), []
    k = 0
    while k < len(ring):
        before, after = ring[k - 1], ring[(k + 1) % len(ring)]
        if len(ring) > 3 and before == after != ring[k]:
            slits.append((before, ring[k]))
            ring = [vertex for j, vertex in enumerate(ring) if j not in (k, (k + 1) % len(ring))]
            k = 0
        else:
            k += 1
    return ring, slits


def _edges(prefix: str, vertices: Sequence[Point], leftward: bool) -> Iterator[Segment]:
    """Edges named in the order of the vertices and oriented so that the area within is on their left, or on their right."""
    edges = [Segment(f"{prefix}edge{k + 1}", p, vertices[(k + 1) % len(vertices)]) for k, p in enumerate(vertices)]
    turned = (math.fsum(edge.swept for edge in edges) > 0.0) != leftward
    return (edge.trimmed(1.0, 0.0) if turned else edge for edge in edges)


def disk(center: Pair = (0.0, 0.0), radius: Radius = 1.0, coordinates: tuple[str, ...] = PLANE) -> Ellipse:
    """The points of the plane within a radius of a center; its boundary is "outer".

    Raises DomainError as `Ellipse`.
    """
    return Ellipse(point("center", center), (float(radius), float(radius)), coordinates=coordinates)


def ellipse(
    center: Pair = (0.0, 0.0),
    radii: Annotated[Pair, STATED] = (1.0, 1.0),
    angle: float = 0.0,
    coordinates: tuple[str, ...] = PLANE,
) -> Ellipse:
    """An ellipse with its half-axes, the first turned against the x-axis by an angle in radians; its boundary is "outer".

    Raises DomainError as `Ellipse`.
    """
    return Ellipse(point("center", center), point("radii", radii), float(angle), coordinates=coordinates)


def annulus(
    center: Pair = (0.0, 0.0),
    inner_radius: Radius = 0.5,
    outer_radius: Radius = 1.0,
    coordinates: tuple[str, ...] = PLANE,
) -> Annulus:
    """The points of the plane between two circles, "inner" and "outer".

    Raises DomainError as `Annulus`.
    """
    return Annulus(point("center", center), float(inner_radius), float(outer_radius), coordinates=coordinates)


def polygon(
    vertices: Vertices, holes: Annotated[Sequence[Vertices], MaxLen(1000)] = (), coordinates: tuple[str, ...] = PLANE
) -> Polygon:
    """A polygon with boundaries "edge1", … from vertex i to i + 1, and holes with "hole1.edge1", …

    Raises DomainError as `Polygon`.
    """
    rings = [tuple((float(x), float(y)) for x, y in pairs(ring)) for ring in (vertices, *holes)]
    return Polygon(rings[0], tuple(rings[1:]), coordinates=coordinates)


def _ring(what: str, vertices: Sequence[Point]) -> shapely.Polygon:
    """A closed polygonal line as a polygon. Raises DomainError if it meets itself or has no area."""
    if len(vertices) < 3:
        raise DomainError(f"{what}: {len(vertices)} points; a polygon needs at least three")
    for k, vertex in enumerate(vertices):
        finite(f"{what}, point {k + 1}", *vertex)
        if vertex == vertices[k - 1]:
            again = f"point {k + 1} repeats the one before it" if k else "the last point repeats the first"
            raise DomainError(f"{what}: {again}; leave it out (the last edge closes the polygon by itself)")
    shape = shapely.Polygon(vertices)
    if not shape.is_valid:
        raise DomainError(f"{what}: edges meet elsewhere than at their ends: {explain_validity(shape).lower()}")
    if shape.area <= 1e-12 * shape.length**2:
        raise DomainError(f"{what}: all points are on one line")
    return shape


def _check_slits(slits: Sequence[Slit], shell: shapely.Polygon) -> None:
    roots = {slit[0] for slit in slits} - {slit[1] for slit in slits}
    for k, slit in enumerate(slits):
        line = shapely.LineString(slit)
        allowed = shapely.MultiPoint([root for root in roots if root in slit])
        if not shell.contains(line) or not line.intersection(shell.exterior).difference(allowed).is_empty:
            raise DomainError(
                f"the slit from {slit[0]} to {slit[1]} is not strictly inside the polygon; it begins on the boundary and ends "
                "before it meets it again"
            )
        for other in slits[:k]:
            shared = shapely.MultiPoint([end for end in slit if end in other])
            if not line.intersection(shapely.LineString(other)).difference(shared).is_empty:
                raise DomainError(f"slits cross: {other[0]} to {other[1]} and {slit[0]} to {slit[1]}")


def _check_hole(k: int, hole: shapely.Polygon, shell: shapely.Polygon, others: Sequence[shapely.Polygon]) -> None:
    if not shell.contains_properly(hole):
        raise DomainError(f"hole {k + 1} is not strictly inside the polygon; move it, or take a difference of polygons")
    for j, other in enumerate(others):
        if hole.intersects(other):
            raise DomainError(f"hole {k + 1} meets hole {j + 1}; join them to one")
