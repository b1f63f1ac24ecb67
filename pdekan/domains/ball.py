"""Balls in three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.domains.strips import points_for
from pdekan.domains.validation import Radius, Triple, finite, positive, space
from pdekan.fields.jets import Jet


@dataclass(frozen=True)
class Ball(Domain):
    """The ball about `center`; face "outer".

    Raises DomainError for a radius that is not positive, for numbers that are not finite, and unless the coordinates are three
    different names without time.
    """

    center: tuple[float, float, float]
    radius: float
    coordinates: tuple[str, ...] = ("x", "y", "z")
    vector: str | None = field(default=None, init=False)
    lower: tuple[float, ...] = field(init=False, repr=False, compare=False)
    upper: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        space(self.coordinates, 3)
        finite("center", *self.center)
        positive("radius", self.radius)
        object.__setattr__(self, "lower", tuple(c - self.radius for c in self.center))
        object.__setattr__(self, "upper", tuple(c + self.radius for c in self.center))

    @property
    def measure(self) -> float:
        """4π r³ / 3."""
        return 4.0 / 3.0 * math.pi * self.radius**3

    @property
    def faces(self) -> tuple[str, ...]:
        return ("outer",)

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss rule in the radius times a rule on the sphere; about as dense as `cells` × `order` points along each axis."""
        spacing = 2.0 / (cells * order)
        r, along = gauss(0.0, 1.0, *points_for(1.0, spacing))
        directions, solid = _sphere(points_for(1.44, spacing))
        points = np.multiply.outer(self.radius * r, directions).reshape(-1, 3)
        weights = np.outer(self.radius**3 * along * r**2, solid).ravel()
        return Quadrature(points + self.center, weights)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss rule in cos θ, `cells` × `order` points from pole to pole, times the trapezoidal rule in φ, twice as many."""
        self.resolve(name)
        normals, solid = _sphere((cells, order))
        return Quadrature(self.radius * normals + self.center, self.radius**2 * solid, normals)

    def distance(self, points: Array) -> Array:
        """r - |x - center|."""
        return self.radius - np.asarray(np.linalg.norm(points - self.center, axis=1))

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """(r² - |x - center|²) / (2 r), whose gradient on the sphere has length one."""
        self.resolve(name)
        x, y, z = (position[k] - self.center[k] for k in range(3))
        return (self.radius**2 - (x * x + y * y + z * z)) / (2.0 * self.radius)


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


def ball(center: Triple = (0.0, 0.0, 0.0), radius: Radius = 1.0, coordinates: tuple[str, ...] = ("x", "y", "z")) -> Ball:
    """The points of space within a radius of a center; its boundary is "outer".

    Raises DomainError as `Ball`.
    """
    if len(center) != 3:
        raise DomainError(f"center has {len(center)} coordinates; it needs three")
    x, y, z = map(float, center)
    return Ball((x, y, z), float(radius), coordinates)
