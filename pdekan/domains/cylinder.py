"""Space-time cylinders: a domain that does not change in time, times an interval of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pdekan.domains.base import Domain, DomainError, product_distance
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.quadrature import Array, Quadrature, gauss, sobol
from pdekan.domains.validation import finite
from pdekan.fields.jets import TIME, Jet

START, END = TIME + "-", TIME + "+"


@dataclass(frozen=True)
class InTime(Domain):
    """A domain at every time of an interval, resting or moving; faces are those of the base, "t-" and "t+".

    Raises DomainError for an empty or infinite interval, and for a base with time.
    """

    base: Domain
    start: float
    end: float
    coordinates: tuple[str, ...] = field(init=False, repr=False, compare=False)
    lower: tuple[float, ...] = field(init=False, repr=False, compare=False)
    upper: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        finite("interval of t", self.start, self.end)
        if self.start >= self.end:
            raise DomainError(f"interval of t is [{self.start}, {self.end}]; it needs the first end below the second")
        if TIME in self.base.coordinates:
            raise DomainError("the base has time already")
        object.__setattr__(self, "coordinates", (*self.base.coordinates, TIME))

    @property
    def faces(self) -> tuple[str, ...]:
        return (*self.base.faces, START, END)

    def at_end(self, name: str, rule: Quadrature) -> Quadrature:
        """A rule of space on "t-" or "t+", with normals."""
        points = np.insert(rule.points, self.base.dimension, self.start if name == START else self.end, axis=1)
        normals = np.zeros_like(points)
        normals[:, -1] = -1.0 if name == START else 1.0
        return Quadrature(points, rule.weights, normals)

    def _distance(self, across: Array, t: Array) -> Array:
        """The distance from the distance to the boundary in space, and the times of points."""
        return product_distance(across, np.minimum(t - self.start, self.end - t))

    def _end_level(self, name: str, t: Jet) -> Jet:
        """t - start on "t-", end - t on "t+"."""
        return t - self.start if name == START else self.end - t


@dataclass(frozen=True)
class Cylinder(InTime):
    """base × [start, end]. Raises DomainError as `InTime`, and for a box, which takes t as a coordinate."""

    def __post_init__(self) -> None:
        if isinstance(self.base, Box):
            raise DomainError("a box in time is a box: give it an interval of t")
        super().__post_init__()
        object.__setattr__(self, "lower", (*self.base.lower, float(self.start)))
        object.__setattr__(self, "upper", (*self.base.upper, float(self.end)))

    @property
    def measure(self) -> float:
        """The measure of the base times end - start."""
        return self.base.measure * (self.end - self.start)

    @property
    def corners(self) -> Array:
        points = self.base.corners
        return np.concatenate([np.insert(points, len(self.base.lower), t, axis=1) for t in (self.start, self.end)])

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The rule of the base times a Gauss rule of `cells` × `order` points in time; above three dimensions Sobol points."""
        if self.base.dimension > TENSOR_DIMENSIONS:
            return self._at_times(self.base.interior(cells, order, count, seed), seed)
        if self.dimension > TENSOR_DIMENSIONS:
            points = sobol(self.lower, self.upper, max(1, math.ceil(count / self.filling)), seed).points
            points = points[self.base.contains(points[:, :-1])]
            return Quadrature(points, np.full(len(points), self.measure / len(points)))
        return self.in_time(self.base.interior(cells, order, count, seed), cells, order)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The same on a face of the base; on "t-" and "t+" the rule of the base. Above three dimensions Gauss rules, too."""
        if self.base.dimension > TENSOR_DIMENSIONS and name not in (START, END):
            return self._at_times(self.base.face(name, cells, order, count, seed), seed)
        if self.dimension > TENSOR_DIMENSIONS:
            cells, order = 1, max(1, math.ceil((count / self.filling) ** (1.0 / (self.dimension - 1))))
        if name not in (START, END):
            return self.in_time(self.base.face(name, cells, order, count, seed), cells, order)
        return self.at_end(name, self.base.interior(cells, order, count, seed))

    def _at_times(self, rule: Quadrature, seed: int) -> Quadrature:
        """The points of a rule, each at one time; these are stratified, in a random order."""
        generator, n = np.random.default_rng(seed), len(rule.points)
        t = self.start + (self.end - self.start) * (generator.permutation(n) + generator.random(n)) / n
        normals = None if rule.normals is None else np.insert(rule.normals, self.base.dimension, 0.0, axis=1)
        points = np.insert(rule.points, self.base.dimension, t, axis=1)
        return Quadrature(points, rule.weights * (self.end - self.start), normals)

    def in_time(self, rule: Quadrature, cells: int, order: int) -> Quadrature:
        """A rule of space times a Gauss rule in time."""
        t, weights = gauss(self.start, self.end, cells, order)
        points = np.concatenate([np.repeat(rule.points, len(t), axis=0), np.tile(t, len(rule.points))[:, None]], axis=1)
        normals = None
        if rule.normals is not None:
            normals = np.insert(np.repeat(rule.normals, len(t), axis=0), self.base.dimension, 0.0, axis=1)
        return Quadrature(points, np.outer(rule.weights, weights).ravel(), normals)

    def distance(self, points: Array) -> Array:
        """Distance to the nearest face; outside, minus the distance to the cylinder."""
        return self._distance(self.base.distance(points[:, :-1]), points[:, -1])

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """That of the base; on "t-" and "t+", t - start and end - t."""
        if name in (START, END):
            return self._end_level(name, position[self.base.dimension])
        return self.base.level(name, [position[k] for k in range(self.base.dimension)])
