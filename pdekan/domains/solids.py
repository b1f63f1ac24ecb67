"""Shapes of space: cylinders, tori and half-spaces, whose boundaries lie on surfaces of polynomials."""

from __future__ import annotations

import functools
import math
import operator
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt

from pdekan.domains.ball import SPACE
from pdekan.domains.base import Domain, DomainError, product_distance
from pdekan.domains.polynomials import Polynomial, linear
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.domains.rays import Rays
from pdekan.domains.validation import STATED, Radius, Triple, finite, positive, space
from pdekan.fields.jets import Jet

FINE = 48  # points along an axis in every part of the domain, for its volume
CHECKED = 12  # points along an axis at which the sign of a level is checked
Length = Annotated[float, Gt(0), STATED]


@dataclass(frozen=True)
class Surface:
    """A face's surface: a polynomial in units of length, positive inside, and an axis to which it is not parallel.

    lower, upper: the corners of a box that holds the face. across: the axis across which planes cut it in simple curves.
    """

    name: str
    level: Polynomial
    axis: int
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    across: int | None = None


@dataclass(frozen=True)
class Solid(Domain):
    """A domain in space, bounded by algebraic surfaces.

    Raises DomainError unless the coordinates are three different names without time.
    """

    coordinates: tuple[str, ...] = field(default=SPACE, kw_only=True)
    lower: tuple[float, ...] = field(init=False, repr=False, compare=False)
    upper: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        space(self.coordinates, 3)
        lower, upper = self._bounds()
        object.__setattr__(self, "lower", tuple(map(float, lower)))
        object.__setattr__(self, "upper", tuple(map(float, upper)))

    @abstractmethod
    def _bounds(self) -> tuple[Array, Array]:
        """The corners of a box that holds the domain."""

    @abstractmethod
    def _surfaces(self) -> list[Surface]:
        """The surfaces that the boundary lies on."""

    @cached_property
    def surfaces(self) -> tuple[Surface, ...]:
        """The surfaces that the boundary lies on."""
        return tuple(self._surfaces())

    @cached_property
    def measure(self) -> float:
        """The volume, by a fine rule."""
        spacing = [(b - a) / FINE for a, b in zip(self.lower, self.upper, strict=True)]
        return float(self._inner.interior(spacing).weights.sum())

    @cached_property
    def faces(self) -> tuple[str, ...]:
        """Names of the surfaces of which a part is boundary."""
        coarse = [self.size] * 3
        return tuple(one.name for k, one in enumerate(self.surfaces) if len(self._rays[one.axis].face(k, coarse).weights))

    @cached_property
    def _rays(self) -> tuple[Rays, Rays, Rays]:
        """The rules with rays along each axis; planes cut across the axis of a torus, where they cut it in circles."""
        if not np.isfinite([self.lower, self.upper]).all():
            raise DomainError(f"a {self.type_name} has no end; it may be a part of an intersection or a difference")
        levels = tuple(one.level for one in self.surfaces)
        reaches = tuple(np.array([one.lower, one.upper]) for one in self.surfaces)
        across = next((one.across for one in self.surfaces if one.across is not None), 2)
        found = []
        for ray in range(3):
            middle, outer = sorted({0, 1, 2} - {ray}, key=lambda k: (k == across, k))
            found.append(Rays(levels, reaches, self.distance, self.lower, self.upper, (ray, middle, outer)))
        return found[0], found[1], found[2]

    @property
    def _inner(self) -> Rays:
        """The rule inside: the first whose planes cut as they should."""
        return self._rays[1 if self._rays[1].order[2] == 0 else 0]

    @cached_property
    def _rules(self) -> dict[tuple[str, int], Quadrature]:
        return {}

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss points along lines, about as dense as `cells` × `order` points along each side of the bounding box."""
        return self._inner.interior([(b - a) / (cells * order) for a, b in zip(self.lower, self.upper, strict=True)])

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The same on a face, as dense as `cells` × `order` points along the longest side of the domain."""
        name = self.single(name)
        k, surface = next((k, one) for k, one in enumerate(self.surfaces) if one.name == name)
        key = name, cells * order
        if key not in self._rules:  # a face is asked for by every check and term
            self._rules[key] = self._rays[surface.axis].face(k, [self.size / (cells * order)] * 3)
        return self._rules[key]

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """The polynomial that vanishes on a face's surface, with slope one there, on a torus between 1 ∓ tube_radius / radius.

        Raises DomainError where the surface runs through the domain.
        """
        name = self.single(name)
        if name not in self._levels:
            return super().level(name, position)
        level = next(one.level for one in self.surfaces if one.name == name).coefficients
        total = 0.0 * position[0]
        for powers in np.argwhere(level):
            factors = [position[k] for k in range(3) for _ in range(powers[k])]
            total = total + functools.reduce(operator.mul, factors, float(level[tuple(powers)]) + 0.0 * position[0])
        return total

    @cached_property
    def _levels(self) -> frozenset[str]:
        """The faces whose polynomial is not negative in the domain and on the other faces."""
        rules = [self.interior(1, CHECKED, 0, 0), *(self.face(name, 1, CHECKED, 0, 0) for name in self.faces)]
        points = np.concatenate([rule.points for rule in rules])
        return frozenset(one.name for one in self.surfaces if (one.level(points) >= -1e-9 * self.size).all())


@dataclass(frozen=True)
class RoundCylinder(Solid):
    """The points within `radius` of the segment from `start` to `end`, between its ends; faces "side", "start" and "end".

    Raises DomainError for a radius that is not positive, for a segment without length and for numbers that are not finite.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float

    def __post_init__(self) -> None:
        finite("start", *self.start)
        finite("end", *self.end)
        positive("radius", self.radius)
        positive("the distance from start to end", self.length)
        super().__post_init__()

    @property
    def type_name(self) -> str:
        return "cylinder"

    @property
    def length(self) -> float:
        return math.dist(self.start, self.end)

    @property
    def _along(self) -> Array:
        return np.asarray(np.subtract(self.end, self.start) / self.length)

    def _bounds(self) -> tuple[Array, Array]:
        reach = self.radius * np.sqrt(np.maximum(1.0 - self._along**2, 0.0))
        return np.minimum(self.start, self.end) - reach, np.maximum(self.start, self.end) + reach

    def _surfaces(self) -> list[Surface]:
        a = self._along
        along, distance = linear(a, -float(a @ self.start)), distance_squared(self.start)
        side = linear((0, 0, 0), self.radius**2) + distance.times(-1.0) + along * along
        reach, flat = self.radius * np.sqrt(np.maximum(1.0 - a**2, 0.0)), int(np.abs(a).argmax())
        back = along.times(-1.0) + linear((0, 0, 0), self.length)
        first, second = ((tuple(end - reach), tuple(end + reach)) for end in (np.array(self.start), np.array(self.end)))
        return [
            Surface("side", side.times(0.5 / self.radius), int(np.abs(a).argmin()), self.lower, self.upper),
            Surface("start", along, flat, *first),
            Surface("end", back, flat, *second),
        ]

    def distance(self, points: Array) -> Array:
        """Distance to the boundary, negative outside."""
        along = (points - self.start) @ self._along
        across = self.radius - np.linalg.norm(points - self.start - along[:, None] * self._along, axis=1)
        return product_distance(across, np.minimum(along, self.length - along))


@dataclass(frozen=True)
class Torus(Solid):
    """The points within `tube_radius` of a circle about `center`, whose axis is along a coordinate; face "outer".

    Raises DomainError unless 0 < tube_radius < radius, for another axis and for numbers that are not finite.
    """

    center: tuple[float, float, float]
    axis: str
    radius: float
    tube_radius: float

    def __post_init__(self) -> None:
        finite("center", *self.center)
        if self.axis not in self.coordinates:
            raise DomainError(f"axis is {self.axis!r}; it is one of {', '.join(self.coordinates)}")
        positive("radius", self.radius)
        positive("tube_radius", self.tube_radius)
        if self.tube_radius >= self.radius:
            raise DomainError(f"tube_radius is {self.tube_radius} and radius {self.radius}; the first needs to be the smaller")
        super().__post_init__()

    @property
    def _along(self) -> int:
        return self.coordinates.index(self.axis)

    def _bounds(self) -> tuple[Array, Array]:
        reach = self.radius * (1.0 - np.eye(3)[self._along]) + self.tube_radius
        return self.center - reach, self.center + reach

    def _surfaces(self) -> list[Surface]:
        unit, outer, inner = np.eye(3)[self._along], self.radius, self.tube_radius
        along, square = linear(unit, -float(unit @ self.center)), distance_squared(self.center)
        shifted = square + linear((0, 0, 0), outer**2 - inner**2)
        across = square + (along * along).times(-1.0)
        level = (across.times(4.0 * outer**2) + (shifted * shifted).times(-1.0)).times(1.0 / (8.0 * outer**2 * inner))
        return [Surface("outer", level, (self._along + 1) % 3, self.lower, self.upper, self._along)]

    def distance(self, points: Array) -> Array:
        """Distance to the boundary, negative outside."""
        from_center = points - self.center
        along = from_center[:, self._along]
        across = np.linalg.norm(np.delete(from_center, self._along, axis=1), axis=1)
        return np.asarray(self.tube_radius - np.hypot(across - self.radius, along))


@dataclass(frozen=True)
class HalfSpace(Solid):
    """The points behind the plane through `point` that `normal` points out of; face "plane". Only a part: it has no volume.

    Raises DomainError for a normal of no length and for numbers that are not finite.
    """

    point: tuple[float, float, float]
    normal: tuple[float, float, float]

    def __post_init__(self) -> None:
        finite("point", *self.point)
        finite("normal", *self.normal)
        positive("the length of normal", math.hypot(*self.normal))
        super().__post_init__()

    @property
    def type_name(self) -> str:
        return "half_space"

    @property
    def _unit(self) -> Array:
        return np.divide(self.normal, math.hypot(*self.normal))

    def _bounds(self) -> tuple[Array, Array]:
        return np.full(3, -math.inf), np.full(3, math.inf)

    def _surfaces(self) -> list[Surface]:
        level = linear(-self._unit, float(self._unit @ self.point))
        return [Surface("plane", level, int(np.abs(self._unit).argmax()), self.lower, self.upper)]

    def distance(self, points: Array) -> Array:
        """Distance to the plane, negative outside."""
        return np.asarray((self.point - points) @ self._unit)


def distance_squared(center: Sequence[float]) -> Polynomial:
    """|x - center|²."""
    axes = [linear(unit, -c) for unit, c in zip(np.eye(3), center, strict=True)]
    return axes[0] * axes[0] + axes[1] * axes[1] + axes[2] * axes[2]


def _triple(what: str, numbers: Sequence[float]) -> tuple[float, float, float]:
    if len(numbers) != 3:
        raise DomainError(f"{what} has {len(numbers)} coordinates; it needs three")
    x, y, z = map(float, numbers)
    return x, y, z


def cylinder(
    start: Annotated[Triple, STATED] = (0.0, 0.0, 0.0),
    end: Annotated[Triple, STATED] = (0.0, 0.0, 1.0),
    radius: Radius = 1.0,
    coordinates: tuple[str, ...] = SPACE,
) -> RoundCylinder:
    """A round cylinder from the middle of one end to that of the other; faces are "side", "start" and "end".

    Raises DomainError as `RoundCylinder`.
    """
    return RoundCylinder(_triple("start", start), _triple("end", end), float(radius), coordinates=coordinates)


def torus(
    center: Triple = (0.0, 0.0, 0.0),
    axis: Literal["x", "y", "z"] = "z",
    radius: Radius = 1.0,
    tube_radius: Length = 0.25,
    coordinates: tuple[str, ...] = SPACE,
) -> Torus:
    """The points within the radius of a tube of a circle about a center, with a given axis; its boundary is "outer".

    Raises DomainError as `Torus`.
    """
    return Torus(_triple("center", center), axis, float(radius), float(tube_radius), coordinates=coordinates)


def half_space(
    point: Annotated[Triple, STATED] = (0.0, 0.0, 0.0),
    normal: Annotated[Triple, STATED] = (0.0, 0.0, 1.0),
    coordinates: tuple[str, ...] = SPACE,
) -> HalfSpace:
    """The points behind a plane, to which the normal points from them: a part of combinations, with the face "plane".

    Raises DomainError as `HalfSpace`.
    """
    return HalfSpace(_triple("point", point), _triple("normal", normal), coordinates=coordinates)
