"""Functionals of the unknowns: integrals, values at points, extrema, and formulas in which names stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pdekan.domains.base import Domain
from pdekan.fields.jets import TIME
from pdekan.problems.formulas import Field

Kind = Literal["integral", "at", "max", "min"]


@dataclass(frozen=True)
class Quantity:
    """A formula, with functionals by the names that stand for them in it."""

    text: str
    formula: Field
    functionals: Mapping[str, Functional] = field(default_factory=dict)

    def free(self, domain: Domain) -> tuple[str, ...]:
        """The coordinates that its value depends on, in the order of the domain."""
        names = set(getattr(self.formula, "names", ()))
        found = set(domain.coordinates) if names - set(self.functionals) else set()
        for one in self.functionals.values():
            found |= set(one.free(domain))
        return tuple(name for name in domain.coordinates if name in found)


@dataclass(frozen=True)
class Functional:
    """integral: over space at each time, over a face, or over one coordinate; at: the value where coordinates have given
    values; max, min: over space at each time.

    over: the name of a face or of a coordinate, None for space. place: the coordinates of `at`.
    """

    kind: Kind
    of: Quantity
    over: str | None = None
    place: Mapping[str, float] = field(default_factory=dict)

    def free(self, domain: Domain) -> tuple[str, ...]:
        """The coordinates that its value depends on, in the order of the domain."""
        inner = self.of.free(domain)
        if self.kind == "at":
            return tuple(name for name in inner if name not in self.place)
        if self.over in domain.coordinates:
            return tuple(name for name in inner if name != self.over)
        is_time = self.over in (TIME + "-", TIME + "+") or domain.coordinates == (TIME,)
        return (TIME,) if TIME in inner and not is_time else ()
