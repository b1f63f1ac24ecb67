"""Planar domains, defined by the arcs of their boundary and a test whether points are inside."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from pdekan.domains import strips
from pdekan.domains.arcs import Arc, Segment
from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.domains.validation import space
from pdekan.fields.jets import Jet

SAME = 1e-9  # of the size: points at a smaller distance are identified
PLANE = ("x", "y")
TURN = math.pi / 12.0  # between points of a curved arc, at most
CHECKED = 24  # points along each axis at which the sign of a level function is checked


@dataclass(frozen=True)
class Planar(Domain):
    """A domain in two dimensions, on the left of the closed curves that its arcs form.

    Raises DomainError unless the coordinates are two different names without time.
    """

    coordinates: tuple[str, ...] = field(default=PLANE, kw_only=True)
    arcs: tuple[Arc, ...] = field(init=False, repr=False, compare=False)
    lower: tuple[float, ...] = field(init=False, repr=False, compare=False)
    upper: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        space(self.coordinates, 2)
        object.__setattr__(self, "arcs", tuple(self._outline()))
        boxes = np.stack([arc.box for arc in self.arcs])
        object.__setattr__(self, "lower", tuple(boxes[:, 0].min(axis=0).tolist()))
        object.__setattr__(self, "upper", tuple(boxes[:, 1].max(axis=0).tolist()))

    @abstractmethod
    def _outline(self) -> Iterable[Arc]:
        """The arcs of the boundary, oriented so that the inside is on their left."""

    @abstractmethod
    def _inside(self, points: Array) -> NDArray[np.bool_]:
        """Which points ``(n, 2)`` are inside; undetermined for points on the boundary."""

    @cached_property
    def measure(self) -> float:
        """The area ½ ∮ x dy - y dx, in closed form."""
        return math.fsum(arc.swept for arc in self.arcs)

    @property
    def corners(self) -> Array:
        return np.concatenate([arc.ends for arc in self.arcs])

    @property
    def faces(self) -> tuple[str, ...]:
        """Names of the arcs without repetition: the pieces of an arc that was cut have the same name."""
        return tuple(self._arcs_of)

    @cached_property
    def _arcs_of(self) -> dict[str, list[Arc]]:
        """The arcs of every face."""
        found: dict[str, list[Arc]] = {}
        for arc in self.arcs:
            found.setdefault(arc.name, []).append(arc)
        return found

    @cached_property
    def _edges(self) -> Edges | None:
        """The straight arcs, if there are some."""
        segments = [arc for arc in self.arcs if isinstance(arc, Segment)]
        return Edges(segments) if segments else None

    @cached_property
    def _strips(self) -> list[list[strips.Strip]]:
        return strips.chains(strips.strips(self.arcs))

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss points in strips between arcs, as dense as `cells` × `order` points along each side of the bounding box."""
        width, height = ((b - a) / (cells * order) for a, b in zip(self.lower, self.upper, strict=True))
        return strips.rule(self._strips, (width, height))

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss points along the arcs of a name, as dense as `cells` × `order` points along the longest side of the domain."""
        name = self.single(name)
        spacing = self.size / (cells * order)
        rules = [_along(arc, spacing) for arc in self._arcs_of[name]]
        points, weights, normals = (np.concatenate(parts) for parts in zip(*rules, strict=True))
        return Quadrature(points, weights, normals)

    def nearest(self, points: Array) -> tuple[Array, Array]:
        """Distance ``(n,)`` of points ``(n, 2)`` to the boundary, and the outward normals ``(n, 2)`` at the nearest points."""
        distance, normals = np.full(len(points), np.inf), np.zeros_like(points)
        if self._edges is not None:
            distance, normals = self._edges.nearest(points)
        for arc in self.arcs:
            if isinstance(arc, Segment):
                continue
            t = arc.nearest(points)
            gap = np.linalg.norm(points - arc.at(t), axis=1)
            closer = gap < distance
            distance[closer], normals[closer] = gap[closer], arc.normal(t[closer])
        return distance, normals

    def distance(self, points: Array) -> Array:
        """Distance to the nearest arc, negative outside."""
        return self._signed(points, self.nearest(points)[0])

    def _signed(self, points: Array, distance: Array) -> Array:
        # all points nearer than the boundary are on the same side; the shifted one is not on a line that two parts share
        aside = points + 0.5 * distance[:, None] * np.array([math.cos(1.0), math.sin(1.0)])
        return np.where(self._inside(aside), distance, -distance)

    def sides(self, points: Array, normals: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether the domain is just in front of points ``(n, 2)``, in the direction of normals ``(n, 2)``, and just behind.

        At points on the boundary the given normals have to be normal to it.
        """
        distance, outward = self.nearest(points)
        on = distance < SAME * self.size
        inside = self._signed(points, distance) > 0.0
        same = (outward * normals).sum(axis=1) > 0.0
        return np.where(on, ~same, inside), np.where(on, same, inside)

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """The distance to the line of a straight edge, or (1 - (x/a)² - (y/b)²) √(ab)/2 for an ellipse with half-axes a, b.

        The latter has slope one on a circle, and between √(b/a) and √(a/b) on an ellipse. Raises DomainError if the line or
        the ellipse runs through the domain.
        """
        name = self.single(name)
        if name not in self._levels:
            return super().level(name, position)
        conic = next(arc.conic for arc in self.arcs if arc.name == name)
        return conic(position[0], position[1])

    @cached_property
    def _levels(self) -> frozenset[str]:
        """The faces whose conic is not negative inside and on the other faces: it does not run through the domain."""
        inside = self.interior(1, CHECKED, 0, 0).points
        ends = [arc.at(np.linspace(*arc.span, CHECKED)) for arc in self.arcs]
        x, y = np.concatenate([inside, *ends]).T
        return frozenset(arc.name for arc in self.arcs if (arc.conic(x, y) >= -SAME * self.size).all())


def _along(arc: Arc, spacing: float) -> tuple[Array, Array, Array]:
    """Points, weights and normals of a composite Gauss rule on an arc."""
    first, last = arc.span
    if isinstance(arc, Segment):
        length = math.dist(arc.start, arc.end)
        t, weights = gauss(first, last, *strips.points_for(length, spacing))
        return arc.at(t), weights * length, arc.normal(first).repeat(len(t), axis=0)
    coarse = arc.at(np.linspace(first, last, 2 * strips.MOST + 1))
    length = float(np.linalg.norm(np.diff(coarse, axis=0), axis=1).sum())
    least = max(strips.LEAST, math.ceil(abs(last - first) / TURN))  # around a hole smaller than the spacing
    t, weights = gauss(first, last, *strips.points_for(length, spacing, least))
    speed = np.linalg.norm(arc.velocity(t), axis=1)
    return arc.at(t), np.abs(weights) * speed, arc.normal(t)


class Edges:
    """Segments with a tree of their bounding boxes."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._starts, self._ends = (np.array([one.ends[k] for one in segments]) for k in (0, 1))
        self._tree = shapely.STRtree(shapely.linestrings(np.stack([self._starts, self._ends], axis=1)))

    def nearest(self, points: Array) -> tuple[Array, Array]:
        """Distance ``(n,)`` of points ``(n, 2)`` to the nearest segment, and its outward normals ``(n, 2)``.

        Of segments at the same distance it is the first one; points that are not finite are at the distance inf.
        """
        distance, normals = np.full(len(points), np.inf), np.zeros_like(points)
        known = np.flatnonzero(np.isfinite(points).all(axis=1))
        found = np.full(len(points), len(self._starts))
        which, segments = self._tree.query_nearest(shapely.points(points[known]))
        np.minimum.at(found, known[which], segments)
        start, along = self._starts[found[known]], (self._ends - self._starts)[found[known]]
        apart = points[known] - start
        t = np.clip((apart * along).sum(axis=1) / (along * along).sum(axis=1), 0.0, 1.0)
        distance[known] = np.linalg.norm(apart - t[:, None] * along, axis=1)
        normals[known] = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1)[:, None]
        return distance, normals
