"""Formulas: functions of the jets of coordinates and unknowns."""

from __future__ import annotations

import enum
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pdekan.fields.jets import Jet
from pdekan.fields.operators import d

Environment = Mapping[str, Any]  # jets of coordinates and unknowns, then numbers, which are values of parameters
Formula = Callable[..., Jet | float] | float


class ProblemError(ValueError):
    """A problem that cannot be solved as stated; the message names the fault, its place and a remedy."""


class RightHandSide(enum.Enum):
    """A right-hand side that is computed from the exact solution instead of a formula."""

    EXACT = "exact"


EXACT = RightHandSide.EXACT


class Field(ABC):
    """A formula: a function of the jets of named coordinates and unknowns, and of parameters."""

    @property
    def is_entire(self) -> bool:
        """Whether it is known to consist of entire functions: it then has no jump and no pole where its names have none."""
        return False

    @abstractmethod
    def __call__(self, environment: Environment) -> Jet:
        """The jet of the value. Raises ProblemError for a name that is not in the environment."""


@dataclass(frozen=True)
class PythonField(Field):
    """A Python function whose parameters are names: ``lambda x, y: sin(x) * y``; numbers become constant fields."""

    function: Callable[..., Jet | float]
    names: tuple[str, ...]

    def __call__(self, environment: Environment) -> Jet:
        missing = [name for name in self.names if name not in environment]
        if missing:
            raise ProblemError(f"unknown name {missing[0]!r}; known here: {', '.join(environment)}")
        try:
            value = self.function(*(environment[name] for name in self.names))
        except TypeError as error:
            if "Jet" not in str(error):
                raise
            hint = "write sin, exp, … of pdekan for those of math, and where(x.value < 0.5, a, b) for a comparison"
            raise ProblemError(f"a formula of {', '.join(self.names)} cannot be evaluated: {error}; {hint}") from error
        if isinstance(value, Jet):
            return value
        like: Jet = next(iter(environment.values()))
        return like.frame.constant(_number(value), like.value)


@dataclass(frozen=True)
class Constant(Field):
    """The same number everywhere."""

    number: float

    @property
    def is_entire(self) -> bool:
        return True

    def __call__(self, environment: Environment) -> Jet:
        like: Jet = next(iter(environment.values()))
        return like.frame.constant(self.number, like.value)


@dataclass(frozen=True)
class Difference(Field):
    """The difference of two formulas."""

    first: Field
    second: Field

    @property
    def is_entire(self) -> bool:
        return self.first.is_entire and self.second.is_entire

    def __call__(self, environment: Environment) -> Jet:
        return self.first(environment) - self.second(environment)


@dataclass(frozen=True)
class Partial(Field):
    """∂u/∂(coordinate) of an unknown u, or a higher derivative by the coordinate."""

    unknown: str
    coordinate: str
    order: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the formula depends on."""
        return (self.unknown,)

    @property
    def is_entire(self) -> bool:
        return True

    def __call__(self, environment: Environment) -> Jet:
        u: Jet = environment[self.unknown]
        for _ in range(self.order):
            u = d(u, self.coordinate)
        return u


def names_of(formula: Field | RightHandSide) -> frozenset[str]:
    """The names that a formula mentions, as far as it lists them."""
    return frozenset(getattr(formula, "names", ()))


def itself(u: Jet) -> Jet:
    """The operator of conditions for values."""
    return u


def as_field(formula: Formula | Field) -> Field:
    """A plain Python function of named coordinates and unknowns, or a number, as a Field; a Field is returned unchanged.

    Raises ProblemError for anything else.
    """
    if isinstance(formula, Field):
        return formula
    if callable(formula):
        return PythonField(formula, tuple(inspect.signature(formula).parameters))
    if not hasattr(formula, "__float__"):
        hint = "write a function such as lambda x: sin(x), or a number; text is read from problem files, by load_problem"
        raise ProblemError(f"{formula!r} is no formula; {hint}")
    return Constant(_number(formula))


def _number(value: Any) -> float:
    """A number that a user gave as a formula or a formula returned. Raises ProblemError for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        what = f"{value!r} is neither a number nor a formula's value"
        raise ProblemError(f"{what}; a formula returns what it computes of the names that it is given") from None


def right_hand_side(value: Formula | RightHandSide) -> Field | RightHandSide:
    """A value or a source as a Field; EXACT is returned unchanged."""
    return value if isinstance(value, RightHandSide) else as_field(value)
