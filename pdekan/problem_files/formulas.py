"""Formulas of a problem file in their places: equations, conditions, exact solution, enrichments and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pdekan.domains.base import Domain
from pdekan.problem_files import schema
from pdekan.problem_files.integral_terms import IntegralTerms
from pdekan.problem_files.names import KEYWORDS, REFERENCE, SOURCE, VALUE, Parameters
from pdekan.problem_files.parser import Expression, Kind, Scope, parse
from pdekan.problem_files.quantities import quantity
from pdekan.problem_files.reader import Source
from pdekan.problem_files.schema import ProblemFile
from pdekan.problems.condition import Condition, Statement
from pdekan.problems.conditions import CONDITIONS
from pdekan.problems.formulas import EXACT, ProblemError, RightHandSide, as_field, right_hand_side
from pdekan.problems.functionals import Quantity
from pdekan.problems.parameters import Enrichment


@dataclass(frozen=True)
class Formulas:
    """Reads the formulas of a validated file in a scope; faults are noted in the source. integrals: those found so far."""

    file: ProblemFile
    source: Source
    domain: Domain
    scope: Scope
    integrals: IntegralTerms

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The names of the unknowns."""
        return tuple(self.file.unknowns)

    def formula(self, text: str, *path: str | int, of_unknown: bool) -> Expression | float:
        """A scalar formula that does, or does not, depend on an unknown."""
        found, scope = list[Expression](), self.scope
        with self.source.noting(*path):
            if of_unknown:
                text, scope = self.integrals.taken_out(text, scope)
            expression = parse(text, scope)
            if expression.kind is Kind.VECTOR:
                raise ProblemError("is a vector; a scalar is needed (dot, div, sum and prod make one)")
            mentioned = [name for name in (*self.unknowns, *self.integrals.found) if name in expression.names]
            if of_unknown and not mentioned:
                raise ProblemError(f"does not mention {_one_of(self.unknowns)}")
            if not of_unknown and mentioned:
                raise ProblemError(f"depends on the unknown {mentioned[0]}; move that to the operator")
            found.append(expression)
        return found[0] if found else 0.0  # a number stands in where a fault was noted, which check() raises

    def right(self, text: str, keyword: str, *path: str | int) -> Expression | RightHandSide | float:
        """A right-hand side: a formula, or by its keyword what the exact solution says."""
        if text != keyword and text in KEYWORDS:
            self.source.add(path, f'"{text}" has no meaning here; what the exact solution says is "{keyword}" here')
            return 0.0
        if text != keyword:
            return self.formula(text, *path, of_unknown=False)
        for name in self.unknowns:
            if name not in self.file.exact:
                self.source.add(path, f'"{keyword}" needs an exact solution; add [exact] with {name} = "…"')
        return EXACT

    def equations(self) -> tuple[list[Expression | float], list[Expression | RightHandSide | float]]:
        """Operators and sources, as many of both; none for a regression."""
        table = self.file.equation
        if table is None:
            return [], []
        sources = table.source * len(table.operator) if len(table.source) == 1 else table.source
        several = len(table.operator) > 1
        lefts, rights = [], []
        for k, (left, right) in enumerate(zip(table.operator, sources, strict=True)):
            lefts.append(self.formula(left, "equation", "operator", *((k,) if several else ()), of_unknown=True))
            place = ("equation", "source", *((k,) if len(table.source) > 1 else ()))
            rights.append(self.right(right, SOURCE, *place))
        return lefts, rights

    def exact(self) -> dict[str, Expression | float] | None:
        """The exact solution by unknown or parameter, None where none is stated."""
        formulas = {name: text for name, text in self.file.exact.items() if name != REFERENCE}
        sought = (*self.unknowns, *self.integrals.unknowns, *Parameters.of(self.file).trainable)
        for name in formulas:
            if name not in sought:
                self.source.add(("exact", name), f"is no unknown; {_listed(self.unknowns)}")
        known = {name: text for name, text in formulas.items() if name in sought}
        return {name: self.formula(text, "exact", name, of_unknown=False) for name, text in known.items()} or None

    def outputs(self) -> dict[str, Quantity]:
        """The quantities of the solution by name."""
        found = {}
        for name, text in self.file.outputs.items():
            with self.source.noting("outputs", name):
                found[name] = quantity(text, self.scope, self.domain)
        return found

    def unknown(self, name: str | None, *path: str | int) -> str:
        """An unknown that a table names; where there is only one it need not."""
        if name is None and len(self.unknowns) > 1:
            self.source.add(path, f'needs unknown = "…"; {_listed(self.unknowns)}')
        elif name is not None and name not in self.unknowns:
            self.source.add((*path, "unknown"), f"{name!r} is no unknown; {_listed(self.unknowns)}")
        return name or self.unknowns[0]

    def enrichment(self, k: int, table: schema.Enrichment) -> Enrichment:
        """The k-th [[enrichment]]."""
        expression = self.formula(table.expression, "enrichment", k, "expression", of_unknown=False)
        return Enrichment(as_field(expression), self.unknown(table.unknown, "enrichment", k))

    def condition(self, k: int, table: schema.Condition) -> Condition:
        """The k-th [[conditions]]; its faults are noted with their places in the file."""
        place, kind, domain = ("conditions", k), CONDITIONS[table.type], self.domain
        unknown = None if kind.for_every_unknown else self.unknowns[0]
        if table.unknown is not None or not (kind.for_every_unknown or table.operator is not None):
            unknown = self.unknown(table.unknown, *place)
        at = tuple(table.on.items()) if isinstance(table.on, dict) else ()
        on = () if at else tuple(table.on or kind.default_on)
        for name in on:
            with self.source.noting(*place, "on"):
                kind.check_name(name, domain, self.file.domain.interfaces)
        misplaced = kind.refusal_of_place(at, domain) if at else kind.refusal_of_faces(on, domain)
        if misplaced is not None:
            self.source.add((*place, "on"), misplaced)
        value = self.right("0" if table.value is None else table.value, VALUE, *place, "value")
        operator = None
        if table.operator is not None:
            operator = as_field(self.formula(table.operator, *place, "operator", of_unknown=True))
        return kind.of(Statement(on, right_hand_side(value), operator, unknown, table.enforce, at))


def _one_of(unknowns: Sequence[str]) -> str:
    return f"the unknown {unknowns[0]}" if len(unknowns) == 1 else f"any of the unknowns {', '.join(unknowns)}"


def _listed(unknowns: Sequence[str]) -> str:
    return f"the unknown is {unknowns[0]}" if len(unknowns) == 1 else f"the unknowns are {', '.join(unknowns)}"
