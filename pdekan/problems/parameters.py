"""Trainable parameters, ranges of parameters, measurements and enrichments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pdekan.domains.quadrature import Array
from pdekan.problems.formulas import Constant, Difference, Field, Formula, RightHandSide, as_field, names_of


@dataclass(frozen=True)
class Parameter:
    """A number that is trained, between bounds. Raises ValueError for an initial value that is not between them."""

    initial: float
    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not (self.lower < self.initial < self.upper and math.isfinite(self.initial)):
            raise ValueError(f"initial value {self.initial:g} is not between {self.lower:g} and {self.upper:g}")


@dataclass(frozen=True)
class Range:
    """The interval of a parameter for all of whose values a problem is solved. Raises ValueError for an empty one."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise ValueError(f"range [{self.lower:g}, {self.upper:g}]: it needs finite ends, the first below the second")

    @property
    def middle(self) -> float:
        """Its middle."""
        return 0.5 * (self.lower + self.upper)


def with_known_value(
    operator: Field, value: Formula | RightHandSide, parameters: Mapping[str, Parameter]
) -> tuple[Field, Formula | RightHandSide]:
    """An equivalent operator and value, the value independent of the parameters: operator - value = 0 if need be."""
    if isinstance(value, RightHandSide):
        return operator, value
    written = as_field(value)
    if not names_of(written) & set(parameters):
        return operator, written
    return Difference(operator, written), Constant(0.0)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Values ``(n,)`` of unknowns, measured at points ``(n, d)``; nan where one was not measured.

    noise: standard deviation of the values' errors, in their units; None where it is not known or there is none. skipped: rows
    of the file without a point or a value.
    """

    points: Array
    values: Mapping[str, Array]
    noise: float | None = None
    name: str = "data"
    skipped: int = 0


@dataclass(frozen=True)
class Enrichment:
    """A function that is added to the network of an unknown with a trained factor."""

    expression: Field
    unknown: str = "u"
