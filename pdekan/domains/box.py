"""Boxes in any number of dimensions; a coordinate named t is time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.quadrature import Array, Cells, Quadrature, sobol, tensor_gauss
from pdekan.domains.validation import UNITS, finite, positive
from pdekan.fields.jets import Jet

TENSOR_DIMENSIONS = 3  # up to here points are tensor Gauss rules, above scrambled Sobol


@dataclass(frozen=True)
class Box(Domain):
    """The product of the intervals [lower[k], upper[k]]; faces "x-", "x+", ….

    Raises DomainError for an empty or infinite interval, and for repeated names.
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    vector: str | None = None

    def __post_init__(self) -> None:
        if not (len(self.coordinates) == len(self.lower) == len(self.upper) > 0):
            raise DomainError("a box needs at least one coordinate, and one interval for each")
        if len(set(self.coordinates)) < len(self.coordinates):
            raise DomainError(f"coordinates repeat: {', '.join(self.coordinates)}")
        for name, a, b in zip(self.coordinates, self.lower, self.upper, strict=True):
            if not (np.isfinite(a) and np.isfinite(b) and a < b):
                raise DomainError(f"interval of {name} is [{a}, {b}]; it needs finite ends, the first below the second")
            finite(f"interval of {name}", a, b)
            positive(f"the length of the interval of {name}", b - a)
        if not 0.0 < self.measure < math.inf:
            raise DomainError(f"the box's measure is {self.measure}, since its sides are too short or too long{UNITS}")

    @property
    def measure(self) -> float:
        """∏ (upper - lower), in the units of the coordinates."""
        return math.prod(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @property
    def corners(self) -> Array:
        if self.dimension > TENSOR_DIMENSIONS:
            return super().corners
        return np.array(list(itertools.product(*zip(self.lower, self.upper, strict=True))))

    @property
    def faces(self) -> tuple[str, ...]:
        """Two faces for each coordinate."""
        return tuple(name + side for name in self.coordinates for side in "-+")

    def interior(self, cells: int | Sequence[Cells], order: int, count: int, seed: int) -> Quadrature:
        """Gauss rule of `cells` × `order` points for each axis; above three dimensions, at least `count` Sobol points.

        cells: one number, or for each axis a number or the edges between cells.
        """
        if self.dimension <= TENSOR_DIMENSIONS:
            along = [cells] * self.dimension if isinstance(cells, int) else cells
            return tensor_gauss(self.lower, self.upper, along, order)
        return sobol(self.lower, self.upper, count, seed)

    def face(self, name: str, cells: int | Sequence[Cells], order: int, count: int, seed: int) -> Quadrature:
        """The same on a face, with outward normals."""
        name = self.single(name)
        k, side = self.coordinates.index(name[:-1]), name[-1]
        rest = [j for j in range(self.dimension) if j != k]
        lower, upper = [self.lower[j] for j in rest], [self.upper[j] for j in rest]
        if self.dimension <= TENSOR_DIMENSIONS:
            rule = tensor_gauss(lower, upper, [cells if isinstance(cells, int) else cells[j] for j in rest], order)
        else:
            rule = sobol(lower, upper, count, seed)
        points = np.insert(rule.points, k, self.lower[k] if side == "-" else self.upper[k], axis=1)
        normals = np.zeros_like(points)
        normals[:, k] = -1.0 if side == "-" else 1.0
        return Quadrature(points, rule.weights, normals)

    def distance(self, points: Array) -> Array:
        """Distance to the nearest face; outside the box, minus the distance to the box."""
        past = np.maximum(np.asarray(self.lower) - points, points - np.asarray(self.upper))
        outside = np.linalg.norm(np.maximum(past, 0.0), axis=1)
        return np.asarray(np.where(outside > 0.0, -outside, -past.max(axis=1)))

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """The distance to the face's plane."""
        name = self.single(name)
        k = self.coordinates.index(name[:-1])
        return position[k] - self.lower[k] if name[-1] == "-" else self.upper[k] - position[k]


def box(**bounds: tuple[float, float]) -> Box:
    """A box from its intervals: ``box(x=(-1, 1), y=(-1, 1))``; t is time."""
    ends = [_interval(name, one) for name, one in bounds.items()]
    return Box(tuple(bounds), tuple(a for a, _ in ends), tuple(b for _, b in ends))


def _interval(name: str, ends: Any) -> tuple[float, float]:
    """The two ends of an interval. Raises DomainError for anything else."""
    if isinstance(ends, (Sequence, np.ndarray)) and not isinstance(ends, str) and len(ends) == 2:
        with suppress(TypeError, ValueError):
            return float(ends[0]), float(ends[1])
    raise DomainError(f"{name} is {ends!r}; an interval is two numbers, such as {name}=(0, 1)")


def hypercube(dimension: int, lower: float, upper: float) -> Box:
    """[lower, upper]^dimension with coordinates x1, x2, … and x as their vector."""
    names = tuple(f"x{k + 1}" for k in range(dimension))
    return Box(names, (float(lower),) * dimension, (float(upper),) * dimension, vector="x")
