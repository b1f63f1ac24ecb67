"""Balls in three dimensions and more."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, Len

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.quadrature import Array, Quadrature, gauss, sobol
from pdekan.domains.strips import points_for
from pdekan.domains.validation import Radius, finite, positive, space
from pdekan.fields.jets import Jet

SPACE = ("x", "y", "z")
VECTOR = "x"  # of the coordinates, where there are more
MOST = 100  # dimensions


@dataclass(frozen=True)
class Ball(Domain):
    """The ball about `center`; face "outer". Above three dimensions points are quasi-random, with equal weights.

    vector: the name of all coordinates, above three dimensions. Raises DomainError for fewer than three dimensions, for a
    radius that is not positive, for numbers that are not finite, and unless the coordinates are as many different names
    without time.
    """

    center: tuple[float, ...]
    radius: float
    coordinates: tuple[str, ...] = SPACE
    vector: str | None = field(default=None, init=False)
    lower: tuple[float, ...] = field(init=False, repr=False, compare=False)
    upper: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.center) < 3:
            raise DomainError(f"center has {len(self.center)} coordinates; it needs three or more")
        space(self.coordinates, len(self.center))
        object.__setattr__(self, "vector", VECTOR if self.dimension > 3 else None)
        finite("center", *self.center)
        positive("radius", self.radius)
        object.__setattr__(self, "lower", tuple(c - self.radius for c in self.center))
        object.__setattr__(self, "upper", tuple(c + self.radius for c in self.center))

    @property
    def measure(self) -> float:
        """π^(d/2) r^d / Γ(d/2 + 1)."""
        d = self.dimension
        return math.exp(0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1.0)) * self.radius**d

    @property
    def faces(self) -> tuple[str, ...]:
        return ("outer",)

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss rule in the radius times a rule on the sphere; about as dense as `cells` × `order` points along each axis.

        Above three dimensions a Gaussian direction times u^(1/d), from Sobol points of d + 1 dimensions.
        """
        if self.dimension > 3:
            uniform = sobol([0.0] * (self.dimension + 1), [1.0] * (self.dimension + 1), count, seed).points
            points = self.radius * uniform[:, -1:] ** (1.0 / self.dimension) * _directions(uniform[:, :-1])
            return Quadrature(points + self.center, np.full(len(points), self.measure / len(points)))
        spacing = 2.0 / (cells * order)
        r, along = gauss(0.0, 1.0, *points_for(1.0, spacing))
        directions, solid = _sphere(points_for(1.44, spacing))
        points = np.multiply.outer(self.radius * r, directions).reshape(-1, 3)
        weights = np.outer(self.radius**3 * along * r**2, solid).ravel()
        return Quadrature(points + self.center, weights)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss rule in cos θ, `cells` × `order` points from pole to pole, times the trapezoidal rule in φ, twice as many."""
        self.resolve(name)
        if self.dimension > 3:
            normals = _directions(sobol([0.0] * self.dimension, [1.0] * self.dimension, count, seed).points)
            area = self.measure * self.dimension / self.radius
            return Quadrature(self.radius * normals + self.center, np.full(len(normals), area / len(normals)), normals)
        normals, solid = _sphere((cells, order))
        return Quadrature(self.radius * normals + self.center, self.radius**2 * solid, normals)

    def distance(self, points: Array) -> Array:
        """r - |x - center|."""
        return self.radius - np.asarray(np.linalg.norm(points - self.center, axis=1))

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """(r² - |x - center|²) / (2 r), whose gradient on the sphere has length one."""
        self.resolve(name)
        squares = [(position[k] - c) * (position[k] - c) for k, c in enumerate(self.center)]
        return (self.radius**2 - functools.reduce(operator.add, squares)) / (2.0 * self.radius)


def _directions(uniform: Array) -> Array:
    """Unit vectors ``(n, d)`` of Gaussian ones, which points ``(n, d)`` of the unit cube are mapped to."""
    from scipy.special import ndtri

    gaussian = ndtri(np.clip(uniform, 1e-16, 1.0 - 1e-16))
    return np.asarray(gaussian / np.linalg.norm(gaussian, axis=1)[:, None])


def _sphere(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Points ``(n, 3)`` and weights of the unit sphere: composite Gauss in cos θ, the trapezoidal rule in φ.

    One cell of order m with 2m steps is exact for polynomials of degree 2m - 1.
    """
    z, weights = gauss(-1.0, 1.0, *shape)
    steps = 2 * len(z)
    angle = 2.0 * np.pi * (np.arange(steps) + 0.5) / steps
    across = np.sqrt((1.0 - z) * (1.0 + z))
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([np.multiply.outer(across, around).reshape(-1, 2), np.repeat(z, steps)[:, None]], axis=1)
    return points, np.repeat(weights * 2.0 * np.pi / steps, steps)


def ball(
    center: Annotated[Sequence[float], Len(3, MOST)] = (0.0, 0.0, 0.0),
    radius: Radius = 1.0,
    dimension: Annotated[int | None, Ge(3), Le(MOST), "of a ball about 0; coordinates are then x1, x2, …"] = None,
    coordinates: tuple[str, ...] | None = None,
) -> Ball:
    """The points of space within a radius of a center; its boundary is "outer".

    Above three dimensions the coordinates are x1, x2, … and x is their vector. Raises DomainError as `Ball`.
    """
    count = len(center) if dimension is None else dimension
    if len(center) != count:
        if any(center):
            raise DomainError(f"center has {len(center)} coordinates and dimension is {count}; leave out one of them")
        center = (0.0,) * count
    names = SPACE if count <= 3 else tuple(f"{VECTOR}{k + 1}" for k in range(count))
    return Ball(tuple(map(float, center)), float(radius), coordinates or names)
