"""What conditions of every kind have: keys in a problem file, checks, and the requirements that they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.fields.jets import TIME
from pdekan.problems.formulas import EXACT, Field, ProblemError, PythonField, RightHandSide, itself
from pdekan.problems.places import At, Faces, Requirement, Section, Setting

BOUNDARY = "boundary"  # all faces but those of time
START = TIME + "-"
MANY_FACES = 64  # up to here a condition has a term for each
Enforce = Literal["weak", "exact"]


@dataclass(frozen=True)
class Statement:
    """The keys of a condition in a problem file, formulas parsed; None for an operator or unknown that is left out.

    at: in place of `on`, values of coordinates.
    """

    on: tuple[str, ...]
    value: Field | RightHandSide
    operator: Field | None = None
    unknown: str | None = None
    enforce: Enforce = "weak"
    at: At = ()


@dataclass(frozen=True)
class Condition(ABC):
    """What holds for the unknowns beside the equations; a subclass returns its requirements.

    on: names of faces or interfaces. unknown: the one that the condition is for, None for that of an operator, or for all.
    at: in place of `on`, values of coordinates inside the domain.

    In problem files: kind is the name; default_on holds where `on` is left out; keys may be stated beside `type`, `on` and
    `unknown`; needs has the messages for keys that are missing; for_every_unknown: no unknown means all of them.
    has_points: whether each of its faces has training points of its own. is_initial: whether it holds at the start of time.
    """

    on: tuple[str, ...]
    unknown: str | None = field(default=None, kw_only=True)
    at: At = field(default=(), kw_only=True)

    kind: ClassVar[str]
    default_on: ClassVar[tuple[str, ...]] = (BOUNDARY,)
    keys: ClassVar[frozenset[str]] = frozenset({"value", "operator"})
    needs: ClassVar[Mapping[str, str]] = {}
    for_every_unknown: ClassVar[bool] = False
    has_points: ClassVar[bool] = True
    is_initial: ClassVar[bool] = False
    inside: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.kind} at {Section(self.at)}" if self.at else f"{self.kind} on {', '.join(self.on)}"

    @abstractmethod
    def requirements(self, problem: Setting) -> list[Requirement]:
        """What has to hold, each a term of the loss; those at the same place share the place object."""

    @property
    def needs_exact(self) -> bool:
        """Whether the condition takes a value from the exact solution."""
        return False

    @property
    def is_exact(self) -> bool:
        """Whether the condition is built into the network instead of being trained."""
        return False

    def weakly(self) -> Condition:
        """The same condition, enforced by training."""
        return self

    def restarted(self, value: Callable[[Field], Field]) -> Condition:
        """The condition at a later start of time; value: maps its operator to the new value."""
        return self

    def faces(self, domain: Domain) -> list[str]:
        """The faces of the domain that the condition is on, in the order of `on`."""
        return [face for name in self.on for face in domain.resolve(name)]

    def check(self, problem: Setting) -> None:
        """Raise ProblemError for a condition on what does not exist."""
        if self.unknown is not None and self.unknown not in problem.unknowns:
            raise ProblemError(f"{self.unknown!r} is no unknown; the unknowns are {', '.join(problem.unknowns)}")
        misplaced = self.refusal_of_place(self.at, problem.domain) if self.at else None
        if misplaced is not None:
            raise ProblemError(misplaced)
        for name in self.on:
            if name == START and TIME not in problem.domain.coordinates:
                raise ProblemError(f"{self.kind} condition: the domain has no time; name one of its coordinates {TIME}")
            try:
                self.check_name(name, problem.domain, problem.interfaces)
            except ValueError as error:
                raise ProblemError(f"{self.kind} condition: {error}") from None

    @classmethod
    def check_name(cls, name: str, domain: Domain, interfaces: Collection[str]) -> None:
        """Raise ValueError for a name in `on` that does not exist."""
        domain.resolve(name)

    @classmethod
    def refusal_of_faces(cls, on: tuple[str, ...], domain: Domain) -> str | None:
        """Why a problem file may not state the condition on these names together, or None where it may."""
        return None

    @classmethod
    def refusal_of_place(cls, at: At, domain: Domain) -> str | None:
        """Why the condition may not be stated at these values of coordinates, or None where it may."""
        if not cls.inside:
            return f"a {cls.kind} condition is on faces; inside of the domain state a dirichlet or a robin condition"
        names = [name for name, _ in at]
        for name in names:
            if name not in domain.coordinates:
                return f"{name} is no coordinate; the coordinates are {', '.join(domain.coordinates)}"
        if len(at) < domain.dimension and not isinstance(domain, Box):
            return f"all coordinates are needed here: {', '.join(domain.coordinates)}; only parts of boxes have fewer"
        middle = np.array([0.5 * (a + b) for a, b in zip(domain.lower, domain.upper, strict=True)])
        middle[[domain.coordinates.index(name) for name in names]] = [value for _, value in at]
        return None if domain.contains(middle[None])[0] else f"{Section(at)} is outside of the domain"

    @classmethod
    def refusal(cls, keys: Mapping[str, Any]) -> str | None:
        """Why the keys stated in a problem file make no such condition, or None where they do."""
        if "operator" in keys and "operator" not in cls.keys:
            return f"a {cls.kind} condition has no operator; use robin"
        if "value" in keys and "value" not in cls.keys:
            return f"a {cls.kind} condition has no value"
        return next((message for key, message in cls.needs.items() if key not in keys), None)

    @classmethod
    def of(cls, statement: Statement) -> Self:
        """The condition that a problem file states."""
        return cls(statement.on, unknown=statement.unknown)


@dataclass(frozen=True)
class OperatorCondition(Condition):
    """operator(unknowns) = value at every point of faces."""

    operator: Field
    value: Field | RightHandSide

    default_operator: ClassVar[Callable[..., Any]] = staticmethod(itself)

    def requirements(self, problem: Setting) -> list[Requirement]:
        """One for each face; above three dimensions, and on many faces, one for all: hundreds of small terms would be slow."""
        if self.at:
            return [Requirement(str(self), self.operator, self.value, Section(self.at))]
        faces = self.faces(problem.domain)
        if problem.domain.dimension > TENSOR_DIMENSIONS or len(faces) > MANY_FACES:
            return [Requirement(str(self), self.operator, self.value, Faces(tuple(faces)))]
        return [Requirement(f"{self.kind} on {face}", self.operator, self.value, Faces((face,))) for face in faces]

    @property
    def needs_exact(self) -> bool:
        """Whether the value is that of the exact solution."""
        return self.value is EXACT

    @classmethod
    def of(cls, statement: Statement) -> Self:
        """Without an operator, with the class's own of the unknown."""
        return cls(statement.on, statement.operator or cls.operator_of(statement.unknown), statement.value, at=statement.at)

    @classmethod
    def operator_of(cls, unknown: str | None) -> Field:
        """The class's own operator of an unknown."""
        assert unknown is not None
        return PythonField(cls.default_operator, (unknown,))


@dataclass(frozen=True)
class EnforcedCondition(OperatorCondition):
    """An operator condition that enforce = "exact" builds into the network, where it states values or slopes of an unknown."""

    enforce: Enforce = "weak"

    keys: ClassVar[frozenset[str]] = frozenset({"value", "operator", "enforce"})

    @property
    def is_exact(self) -> bool:
        """Whether the values are built into the network."""
        return self.enforce == "exact"

    def weakly(self) -> Condition:
        """The same condition, enforced by training."""
        return replace(self, enforce="weak")

    @classmethod
    def of(cls, statement: Statement) -> Self:
        """Without an operator, for the unknown itself."""
        one = statement
        return cls(one.on, one.operator or cls.operator_of(one.unknown), one.value, one.enforce, unknown=one.unknown, at=one.at)


@dataclass(frozen=True)
class ValueCondition(EnforcedCondition):
    """A condition that may state the values of an unknown."""
