"""Checks of the numbers and names that domains are made from; a problem file is checked by the same annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Gt, Len

from pdekan.domains.base import DomainError
from pdekan.fields.jets import TIME

Point = tuple[float, float]
SMALLEST, LARGEST = 1e-50, 1e50  # of lengths: their squares, cubes and second derivatives have to be numbers too
UNITS = ": write the problem in other units"
STATED = object()  # metadata of a parameter that problem files have to state although it has a default
Pair = Annotated[Sequence[float], Len(2, 2)]
Triple = Annotated[Sequence[float], Len(3, 3)]
Radius = Annotated[float, Gt(0), STATED]


def finite(what: str, *numbers: float) -> tuple[float, ...]:
    """The numbers as floats. Raises DomainError for one that is not finite, or too large to compute with."""
    if not all(math.isfinite(number) for number in numbers):
        raise DomainError(f"{what} is {', '.join(map(str, numbers))}; it needs finite numbers")
    if any(abs(number) > LARGEST for number in numbers):
        raise DomainError(f"{what} is {', '.join(map(str, numbers))}; at most {LARGEST:g} is allowed{UNITS}")
    return tuple(float(number) for number in numbers)


def positive(what: str, number: float) -> None:
    """Raises DomainError for a number that is not finite and positive, and for one that is too small or too large."""
    finite(what, number)
    if number <= 0.0:
        raise DomainError(f"{what} is {number}; it needs to be positive")
    if number < SMALLEST:
        raise DomainError(f"{what} is {number}; at least {SMALLEST:g} is allowed{UNITS}")


def point(what: str, numbers: Sequence[float]) -> Point:
    """Two finite numbers as floats. Raises DomainError for anything else."""
    if len(numbers) != 2:
        raise DomainError(f"{what} has {len(numbers)} coordinates; it needs two")
    x, y = finite(what, *numbers)
    return x, y


def space(coordinates: Sequence[str], count: int) -> None:
    """Raises DomainError unless there are `count` different names without time."""
    if len(coordinates) != count or len(set(coordinates)) != count or TIME in coordinates:
        listed = ", ".join(coordinates)
        raise DomainError(f"coordinates {listed}: {count} different names are needed, {TIME} not among them")
