"""Conditions: a class for each kind, with its keys in a problem file, its checks and the requirements that it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.fields.jets import TIME
from pdekan.fields.operators import normal
from pdekan.problems.formulas import (
    EXACT,
    Constant,
    Field,
    Formula,
    Partial,
    ProblemError,
    PythonField,
    RightHandSide,
    as_field,
    itself,
    right_hand_side,
)
from pdekan.problems.places import Across, At, Faces, Inside, OppositeFaces, Requirement, Section, Setting

BOUNDARY = "boundary"  # all faces but those of time
DOMAIN = "domain"  # the default of a mean
START = TIME + "-"
Enforce = Literal["weak", "exact"]
Names = str | tuple[str, ...] | list[str]


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
        if keys["enforce"] == "exact" and isinstance(keys.get("on"), dict):
            return 'enforce = "exact" is for values on faces; leave it out'
        if keys["enforce"] == "exact" and ("enforce" not in cls.keys or "operator" in keys):
            kinds = " and ".join(kind for kind, one in CONDITIONS.items() if "enforce" in one.keys)
            return f'enforce = "exact" is for the values of {kinds} conditions; leave it out'
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
        """One for each face; above three dimensions one for all, as hundreds of small terms would be slow."""
        if self.at:
            return [Requirement(str(self), self.operator, self.value, Section(self.at))]
        faces = self.faces(problem.domain)
        if problem.domain.dimension > TENSOR_DIMENSIONS:
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
class ValueCondition(OperatorCondition):
    """An operator condition that may state the values of an unknown; enforce "exact" builds these into the network."""

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
class Dirichlet(ValueCondition):
    """u = value."""

    kind: ClassVar[str] = "dirichlet"
    keys: ClassVar[frozenset[str]] = frozenset({"value", "enforce"})
    inside: ClassVar[bool] = True


@dataclass(frozen=True)
class Neumann(OperatorCondition):
    """n · ∇u = value."""

    kind: ClassVar[str] = "neumann"
    keys: ClassVar[frozenset[str]] = frozenset({"value"})
    default_operator: ClassVar[Callable[..., Any]] = staticmethod(normal)


@dataclass(frozen=True)
class Robin(OperatorCondition):
    """operator(u) = value, where the operator has to be stated."""

    kind: ClassVar[str] = "robin"
    inside: ClassVar[bool] = True
    needs: ClassVar[Mapping[str, str]] = {
        "operator": 'a robin condition needs an operator, such as operator = "normal(u) + 2*u"'
    }


@dataclass(frozen=True)
class Initial(ValueCondition):
    """u = value, or operator(u) = value, at the start of time."""

    kind: ClassVar[str] = "initial"
    default_on: ClassVar[tuple[str, ...]] = (START,)
    is_initial: ClassVar[bool] = True

    def restarted(self, value: Callable[[Field], Field]) -> Condition:
        """The condition with the value that the operator has at a later start."""
        return replace(self, value=value(self.operator))

    @classmethod
    def refusal_of_faces(cls, on: tuple[str, ...], domain: Domain) -> str | None:
        """Elsewhere than at the start of time."""
        return None if on == cls.default_on else f'an initial condition is on "{START}"; use dirichlet elsewhere'


@dataclass(frozen=True)
class Periodic(Condition):
    """The unknown, or every one, and its derivative by a coordinate agree on the two faces of that coordinate.

    Where the equations have third or fourth derivatives by it, second and third ones agree too.
    """

    kind: ClassVar[str] = "periodic"
    default_on: ClassVar[tuple[str, ...]] = ()
    keys: ClassVar[frozenset[str]] = frozenset()
    for_every_unknown: ClassVar[bool] = True

    @property
    def coordinate(self) -> str:
        """The coordinate whose faces are joined."""
        return self.on[0][:-1]

    def requirements(self, problem: Setting) -> list[Requirement]:
        """For each unknown its jump and that of its derivative, and of higher ones by the order of the equations."""
        place = OppositeFaces(self.coordinate)
        found = []
        for unknown in problem.unknowns if self.unknown is None else [self.unknown]:
            label = f"periodic in {self.coordinate}" + (f", {unknown}" if len(problem.unknowns) > 1 else "")
            found.append(Requirement(label, PythonField(itself, (unknown,)), Constant(0.0), place))
            found.append(Requirement(label + ", slope", Partial(unknown, self.coordinate), Constant(0.0), place))
            for order in range(2, problem.order_along(unknown, self.coordinate)):
                words = f"{label}, derivative {order}"
                found.append(Requirement(words, Partial(unknown, self.coordinate, order), Constant(0.0), place))
        return found

    @classmethod
    def refusal_of_faces(cls, on: tuple[str, ...], domain: Domain) -> str | None:
        """Elsewhere than on the two faces of a coordinate of a box."""
        opposite = set(on) == set(OppositeFaces(on[0][:-1]).names) and isinstance(domain, Box)
        return None if opposite else f'{list(on)} are not two opposite faces of a box, such as ["x-", "x+"]'

    @classmethod
    def refusal(cls, keys: Mapping[str, Any]) -> str | None:
        """Also without two faces."""
        needed = 'a periodic condition is on two opposite faces: on = ["x-", "x+"]'
        return super().refusal(keys) or (None if len(keys.get("on", ())) == 2 else needed)

    @classmethod
    def of(cls, statement: Statement) -> Self:
        """The lower face comes first; there is neither operator nor value."""
        return cls(OppositeFaces(statement.on[0][:-1]).names, unknown=statement.unknown)


@dataclass(frozen=True)
class Mean(OperatorCondition):
    """The mean of an operator over the domain, or over faces together: 1/|Ω| ∫ operator(u) = value, a number."""

    kind: ClassVar[str] = "mean"
    default_on: ClassVar[tuple[str, ...]] = (DOMAIN,)
    has_points: ClassVar[bool] = False

    def requirements(self, problem: Setting) -> list[Requirement]:
        """One."""
        place = Inside() if DOMAIN in self.on else Faces(tuple(self.faces(problem.domain)))
        return [Requirement(f"mean over {', '.join(self.on)}", self.operator, self.value, place, is_mean=True)]

    def faces(self, domain: Domain) -> list[str]:
        """None for a mean over the domain."""
        return [] if DOMAIN in self.on else super().faces(domain)

    @classmethod
    def check_name(cls, name: str, domain: Domain, interfaces: Collection[str]) -> None:
        """Raise ValueError for a name that is neither the domain nor one of its faces."""
        if name != DOMAIN:
            domain.resolve(name)


@dataclass(frozen=True)
class Interface(OperatorCondition):
    """An operator jumps by the value across an interface, from the inside of the shape that bounds it to the outside."""

    kind: ClassVar[str] = "interface"
    default_on: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, str]] = {
        "on": "an interface condition names its interface: on = …, one of [domain.interfaces]"
    }
    has_points: ClassVar[bool] = False

    def requirements(self, problem: Setting) -> list[Requirement]:
        """One for each interface."""
        return [Requirement(f"jump across {name}", self.operator, self.value, Across(name)) for name in self.on]

    def faces(self, domain: Domain) -> list[str]:
        """None: an interface is not on the boundary."""
        return []

    @classmethod
    def check_name(cls, name: str, domain: Domain, interfaces: Collection[str]) -> None:
        """Raise ProblemError for a name that is no interface."""
        if name not in interfaces:
            known = ", ".join(interfaces) or "none: add [domain.interfaces]"
            raise ProblemError(f"no interface {name!r}; the interfaces are {known}")


CONDITIONS: dict[str, type[Condition]] = {
    one.kind: one for one in (Dirichlet, Neumann, Robin, Periodic, Initial, Mean, Interface)
}  # in the order in which messages and the JSON schema list them


def _names(on: Names | Mapping[str, float]) -> tuple[str, ...]:
    if isinstance(on, Mapping):
        return ()
    return (on,) if isinstance(on, str) else tuple(on)


def _at(on: Names | Mapping[str, float]) -> At:
    return tuple(on.items()) if isinstance(on, Mapping) else ()


def _operator(formula: Formula | None) -> Field | None:
    return None if formula is None else as_field(formula)


def dirichlet(
    value: Formula | RightHandSide = 0.0,
    on: Names | Mapping[str, float] = BOUNDARY,
    unknown: str = "u",
    enforce: Enforce = "weak",
) -> Dirichlet:
    """u = value, on faces, or where coordinates have values, as ``on={"x": 0.5}``."""
    return Dirichlet.of(Statement(_names(on), right_hand_side(value), None, unknown, enforce, _at(on)))


def neumann(value: Formula | RightHandSide = 0.0, on: Names = BOUNDARY, unknown: str = "u") -> Neumann:
    """n · ∇u = value."""
    return Neumann.of(Statement(_names(on), right_hand_side(value), None, unknown))


def robin(operator: Formula, value: Formula | RightHandSide = 0.0, on: Names | Mapping[str, float] = BOUNDARY) -> Robin:
    """operator(u) = value, for example ``robin(lambda u: normal(u) + 2 * u, 1.0)``."""
    return Robin.of(Statement(_names(on), right_hand_side(value), as_field(operator), at=_at(on)))


def periodic(coordinate: str, unknown: str | None = None) -> Periodic:
    """The unknown, or every one, and its derivative by the coordinate agree on the coordinate's two faces."""
    return Periodic(OppositeFaces(coordinate).names, unknown=unknown)


def initial(
    value: Formula | RightHandSide = 0.0,
    operator: Formula | None = None,
    unknown: str = "u",
    enforce: Enforce = "weak",
) -> Initial:
    """u = value at the start of time; `operator` for another initial condition, as ``lambda u: dt(u)`` of a wave."""
    return Initial.of(Statement((START,), right_hand_side(value), _operator(operator), unknown, enforce))


def mean(value: Formula | RightHandSide = 0.0, operator: Formula | None = None, on: Names = DOMAIN, unknown: str = "u") -> Mean:
    """The mean over the domain, or over faces, of u or of an operator: 1/|Ω| ∫ operator(u) = value, a number."""
    return Mean.of(Statement(_names(on), right_hand_side(value), _operator(operator), unknown))


def interface(
    on: Names, value: Formula | RightHandSide = 0.0, operator: Formula | None = None, unknown: str = "u"
) -> Interface:
    """u, or an operator such as the flux ``lambda k, u: k * normal(u)``, jumps by the value across an interface."""
    return Interface.of(Statement(_names(on), right_hand_side(value), _operator(operator), unknown))
