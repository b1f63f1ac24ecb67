"""Conditions on faces of the domain, on interfaces, and on means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pdekan.fields.jets import TIME
from pdekan.fields.operators import normal
from pdekan.problems.formulas import EXACT, Field, Formula, PythonField, RightHandSide, as_field, itself, right_hand_side

DOMAIN = "domain"  # what the mean is taken over where no face is named
Kind = Literal["dirichlet", "neumann", "robin", "periodic", "initial", "mean", "interface"]
Enforce = Literal["weak", "exact"]
Names = str | tuple[str, ...] | list[str]


@dataclass(frozen=True)
class Condition:
    """operator(unknowns) = value on faces of the domain.

    Periodic conditions join two opposite faces and have no operator. The mean of an operator is taken over all of its faces
    together, or over the domain ("domain"). On an interface the operator jumps by the value, from the inside of the shape
    that bounds it to the outside. enforce: "exact" for values of `unknown` that are built into the network.
    """

    kind: Kind
    on: tuple[str, ...]
    operator: Field | None = None
    value: Field | RightHandSide = EXACT
    enforce: Enforce = "weak"
    unknown: str | None = None


def _names(on: Names) -> tuple[str, ...]:
    return (on,) if isinstance(on, str) else tuple(on)


def dirichlet(
    value: Formula | RightHandSide = 0.0, on: Names = "boundary", unknown: str = "u", enforce: Enforce = "weak"
) -> Condition:
    """u = value."""
    return Condition("dirichlet", _names(on), PythonField(itself, (unknown,)), right_hand_side(value), enforce, unknown)


def neumann(value: Formula | RightHandSide = 0.0, on: Names = "boundary", unknown: str = "u") -> Condition:
    """n · ∇u = value."""
    return Condition("neumann", _names(on), PythonField(normal, (unknown,)), right_hand_side(value))


def robin(operator: Formula, value: Formula | RightHandSide = 0.0, on: Names = "boundary") -> Condition:
    """operator(u) = value, for example ``robin(lambda u: normal(u) + 2 * u, 1.0)``."""
    return Condition("robin", _names(on), as_field(operator), right_hand_side(value))


def periodic(coordinate: str, unknown: str | None = None) -> Condition:
    """The unknown, or every one, and its derivative by the coordinate agree on the coordinate's two faces."""
    return Condition("periodic", (coordinate + "-", coordinate + "+"), unknown=unknown)


def initial(
    value: Formula | RightHandSide = 0.0,
    operator: Formula | None = None,
    unknown: str = "u",
    enforce: Enforce = "weak",
) -> Condition:
    """u = value at the start of time; `operator` for another initial condition, as ``lambda u: dt(u)`` of a wave."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("initial", (TIME + "-",), field, right_hand_side(value), enforce, unknown)


def mean(
    value: Formula | RightHandSide = 0.0, operator: Formula | None = None, on: Names = DOMAIN, unknown: str = "u"
) -> Condition:
    """The mean over the domain, or over faces, of u or of an operator: 1/|Ω| ∫ operator(u) = value, a number."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("mean", _names(on), field, right_hand_side(value))


def interface(
    on: Names, value: Formula | RightHandSide = 0.0, operator: Formula | None = None, unknown: str = "u"
) -> Condition:
    """u, or an operator such as the flux ``lambda k, u: k * normal(u)``, jumps by the value across an interface."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("interface", _names(on), field, right_hand_side(value))
