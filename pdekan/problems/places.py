"""Places where conditions hold, with their quadrature, and the requirements of conditions there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Quadrature, appended, joined
from pdekan.problems.formulas import Field, ProblemError, RightHandSide

# Distance of the two sides of an interface from it, in sizes of the domain.
OFFSET = 1e-10
NEAR_BOUNDARY = 1e-6  # of the domain's size: points of an interface within this distance of the boundary are left out

InsideRule = Callable[[], Quadrature]  # the quadrature rule in the domain
FaceRule = Callable[[Domain, str], Quadrature]  # the quadrature rule on a face of a shape


class Setting(Protocol):
    """The part of a problem that its conditions depend on."""

    @property
    def domain(self) -> Domain:
        """Where the equation holds."""

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the unknowns."""

    @property
    def interfaces(self) -> Mapping[str, Domain]:
        """Shapes by name, whose boundaries are interfaces."""

    def order_along(self, unknown: str, coordinate: str) -> int:
        """The highest order of derivatives by a coordinate in equations for an unknown, at least two."""


class Place(ABC):
    """A set of points, or of pairs of points.

    sides: 1, or 2 for pairs, which have a single rule: the first points of all pairs, then the second ones. gap: distance of
    points of a pair that approximate the same point, in sizes of the domain.
    """

    sides: ClassVar[int] = 1
    gap: ClassVar[float] = 0.0

    @property
    def faces(self) -> tuple[str, ...]:
        """The faces of the domain of which the place consists, point by point."""
        return ()

    @abstractmethod
    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """A quadrature rule for each face of the place, or one for all of it.

        inside: makes the rule in the domain. Raises ProblemError for a place without points.
        """


@dataclass(frozen=True)
class Inside(Place):
    """The domain."""

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """The rule in the domain."""
        yield inside()


@dataclass(frozen=True)
class Faces(Place):
    """Faces of the domain."""

    names: tuple[str, ...]

    @property
    def faces(self) -> tuple[str, ...]:
        """Their names."""
        return self.names

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """A rule for each face."""
        return (face(problem.domain, name) for name in self.names)


At = tuple[tuple[str, float], ...]  # coordinates with their values


@dataclass(frozen=True)
class Section(Place):
    """The part of a domain in which some coordinates have given values: a point, where all have; a part of a box."""

    at: At

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """The point, or the points of a face of the box with coordinates moved to the values."""
        domain, known = problem.domain, dict(self.at)
        if len(known) == domain.dimension:
            yield Quadrature(np.array([[known[name] for name in domain.coordinates]]), np.ones(1))
            return
        rule = face(domain, f"{self.at[0][0]}-")
        points = rule.points.copy()
        for name, value in self.at:
            points[:, domain.coordinates.index(name)] = value
        points, where = np.unique(points, axis=0, return_inverse=True)
        yield Quadrature(points, np.asarray(np.bincount(where.ravel(), rule.weights), dtype=np.float64))

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value:g}" for name, value in self.at)


@dataclass(frozen=True)
class OppositeFaces(Place):
    """Pairs of points on the two faces of a coordinate, the lower one first."""

    coordinate: str
    sides: ClassVar[int] = 2

    @property
    def names(self) -> tuple[str, str]:
        """The two faces."""
        return self.coordinate + "-", self.coordinate + "+"

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """The points of the lower face and their images on the upper one; both rules are made, as each takes a seed."""
        rule, _ = [face(problem.domain, name) for name in self.names]
        k = problem.domain.coordinates.index(self.coordinate)
        opposite = rule.points.copy()
        opposite[:, k] = problem.domain.upper[k]
        yield Quadrature(np.concatenate([rule.points, opposite]), rule.weights)


@dataclass(frozen=True)
class Across(Place):
    """Pairs of points on both sides of an interface, the outer one first, with the outward normal of its shape for both."""

    interface: str
    sides: ClassVar[int] = 2
    gap: ClassVar[float] = OFFSET

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        """One rule for the whole interface, as far as it lies in the domain."""
        domain, shape = problem.domain, problem.interfaces[self.interface]
        rule = appended([face(shape, name) for name in shape.faces])
        assert rule.normals is not None
        size = max(b - a for a, b in zip(domain.lower, domain.upper, strict=True))
        within = domain.distance(rule.points) > NEAR_BOUNDARY * size
        if not within.any():
            raise ProblemError(f"interface {self.interface} has no points in the domain")
        points, normals = rule.points[within], rule.normals[within]
        offset = OFFSET * size * normals
        yield Quadrature(
            np.concatenate([points + offset, points - offset]), rule.weights[within], np.concatenate([normals, normals])
        )


@dataclass(frozen=True)
class Requirement:
    """operator(unknowns) = value at a place: at each of its points, as the jump between those of a pair, or on average.

    label: the name of the requirement in reports and messages.
    """

    label: str
    operator: Field
    value: Field | RightHandSide
    place: Place
    is_mean: bool = False

    @property
    def faces(self) -> tuple[str, ...]:
        """The faces of the domain at each of whose points operator(unknowns) = value; none for jumps and means."""
        return () if self.is_mean else self.place.faces

    def rule(self, rules: list[Quadrature]) -> Quadrature:
        """The rules of the place as one: each face of the same weight, or in a mean each of its measure."""
        return appended(rules) if self.is_mean else joined(rules)
