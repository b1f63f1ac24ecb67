"""What is found or used beside the unknowns: parameters, measurements, enrichments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pdekan.domains.quadrature import Array
from pdekan.problems.formulas import Constant, Field, Formula, Less, RightHandSide, as_field


@dataclass(frozen=True)
class Parameter:
    """A number that training finds, between bounds. Raises ValueError for an initial value that is not between them."""

    initial: float
    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not (self.lower < self.initial < self.upper and math.isfinite(self.initial)):
            raise ValueError(f"initial value {self.initial:g} is not between {self.lower:g} and {self.upper:g}")


def with_known_value(
    operator: Field, value: Formula | RightHandSide, parameters: Mapping[str, Parameter]
) -> tuple[Field, Formula | RightHandSide]:
    """Operator and value of the same condition, where the value depends on no parameter."""
    if isinstance(value, RightHandSide):
        return operator, value
    written = as_field(value)
    if not set(getattr(written, "names", ())) & set(parameters):
        return operator, written
    return Less(operator, written), Constant(0.0)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Values ``(n,)`` of unknowns, measured at points ``(n, d)``; nan where one was not measured.

    noise: standard deviation of the values' errors, in their units; None where it is not known or there is none.
    """

    points: Array
    values: Mapping[str, Array]
    noise: float | None = None
    name: str = "data"


@dataclass(frozen=True)
class Enrichment:
    """A function whose multiples are added to the network of an unknown; the factor is found like its coefficients."""

    expression: Field
    unknown: str = "u"
