"""What the numbers and names that make a domain have to be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pdekan.domains.base import DomainError
from pdekan.fields.jets import TIME

Point = tuple[float, float]


def finite(what: str, *numbers: float) -> tuple[float, ...]:
    """The numbers as floats. Raises DomainError, naming what they are, where one is not finite."""
    if not all(math.isfinite(number) for number in numbers):
        raise DomainError(f"{what} is {', '.join(map(str, numbers))}; it needs finite numbers")
    return tuple(float(number) for number in numbers)


def positive(what: str, number: float) -> None:
    """Raises DomainError, naming what it is, for a number that is not finite and positive."""
    finite(what, number)
    if number <= 0.0:
        raise DomainError(f"{what} is {number}; it needs to be positive")


def point(what: str, numbers: Sequence[float]) -> Point:
    """Two finite numbers. Raises DomainError, naming what they are, for anything else."""
    if len(numbers) != 2:
        raise DomainError(f"{what} has {len(numbers)} coordinates; it needs two")
    x, y = finite(what, *numbers)
    return x, y


def space(coordinates: Sequence[str], count: int) -> None:
    """Raises DomainError unless there are `count` different names, none of them time."""
    if len(coordinates) != count or len(set(coordinates)) != count or TIME in coordinates:
        listed = ", ".join(coordinates)
        raise DomainError(f"coordinates {listed}: {count} different names are needed, {TIME} not among them")
