"""Unions, intersections and differences of shapes of space, balls and boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box
from pdekan.domains.polynomials import linear
from pdekan.domains.quadrature import Array
from pdekan.domains.solids import Solid, Surface, distance_squared


@dataclass(frozen=True)
class SolidCombination(Solid):
    """The points that are in any part (union), in all (intersection), or in the first part only (difference).

    Faces are the faces of the parts, "part1.outer", …, as far as they bound the combination; a face that two parts share is
    named after the first. Raises DomainError for parts with different coordinates, and for a combination without volume or end.
    """

    kind: str
    parts: tuple[Domain, ...]

    def __post_init__(self) -> None:
        names = {part.coordinates for part in self.parts}
        if len(names) > 1:
            listed = " and ".join(sorted(", ".join(name) for name in names))
            raise DomainError(f"the parts of a {self.kind} have coordinates {listed}; they need the same")
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
