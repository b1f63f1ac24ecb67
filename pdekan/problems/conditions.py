"""Conditions: a class for each kind, and a function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.fields.operators import normal
from pdekan.problems.condition import (
    BOUNDARY,
    START,
    Condition,
    Enforce,
    EnforcedCondition,
    OperatorCondition,
    Statement,
    ValueCondition,
)
from pdekan.problems.formulas import (
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
from pdekan.problems.places import Across, At, Faces, Inside, OppositeFaces, Requirement, Setting

DOMAIN = "domain"  # the default of a mean
Names = str | tuple[str, ...] | list[str]


@dataclass(frozen=True)
class Dirichlet(ValueCondition):
    """u = value."""

    kind: ClassVar[str] = "dirichlet"
    keys: ClassVar[frozenset[str]] = frozenset({"value", "enforce"})
    inside: ClassVar[bool] = True


@dataclass(frozen=True)
class Neumann(EnforcedCondition):
    """n · ∇u = value."""

    kind: ClassVar[str] = "neumann"
    keys: ClassVar[frozenset[str]] = frozenset({"value", "enforce"})
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


def refusal(kind: str, keys: Mapping[str, Any]) -> str | None:
    """Why the keys stated in a problem file make no condition of a kind, or None where they do."""
    condition = CONDITIONS[kind]
    if keys["enforce"] == "exact" and isinstance(keys.get("on"), dict):
        return 'enforce = "exact" is for values on faces; leave it out'
    if keys["enforce"] == "exact" and ("enforce" not in condition.keys or "operator" in keys):
        kinds = " and ".join(name for name, one in CONDITIONS.items() if "enforce" in one.keys)
        return f'enforce = "exact" is for the values of {kinds} conditions; leave it out'
    return condition.refusal(keys)


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


def neumann(
    value: Formula | RightHandSide = 0.0, on: Names = BOUNDARY, unknown: str = "u", enforce: Enforce = "weak"
) -> Neumann:
    """n · ∇u = value; exact only where values are."""
    return Neumann.of(Statement(_names(on), right_hand_side(value), None, unknown, enforce))


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
