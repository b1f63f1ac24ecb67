"""Integrals in equations and conditions: each is a number that is found with the unknowns, equal to it by a condition.

integral(f) stands for c with ∫ (f - c/|Ω|) = 0, so that the least-squares problem has one more row and one more column for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.fields.jets import TIME
from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.parser import Scope, parse
from pdekan.problem_files.quantities import taken_out
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import DOMAIN, Mean
from pdekan.problems.formulas import EXACT, Constant
from pdekan.problems.functionals import Functional
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem

FINE = (24, 8, 2**14, 0)  # of exact values: cells, order, count and seed of the rules


@dataclass
class IntegralTerms:
    """The integrals that were found so far, by the names that stand for them."""

    domain: Domain
    found: dict[str, Functional] = field(default_factory=dict)

    def taken_out(self, text: str, scope: Scope) -> tuple[str, Scope]:
        """A formula with names in the place of integrals, and the scope with these. Raises ExpressionError."""
        text = taken_out(text, scope, self.domain, lambda one: self._name(one, scope))
        return text, replace(scope, unknowns=(*scope.unknowns, *self.found))

    def _name(self, one: Functional, scope: Scope) -> str:
        if one.kind != "integral" or one.of.functionals:
            raise ExpressionError(f"{one.kind}(…) of {one.of.text!r}: equations and conditions have integrals of fields alone")
        left = one.free(self.domain)
        if left:
            raise ExpressionError(
                f"integral({one.of.text}) depends on {', '.join(left)}; in equations and conditions integrals are numbers, of "
                f"the domain or a face, in problems without {TIME}"
            )
        same = [name for name, other in self.found.items() if (other.of.text, other.over) == (one.of.text, one.over)]
        name = same[0] if same else f"integral{len(self.found) + 1}"
        while name in scope.values and not same:
            name += "_"
        self.found[name] = one
        return name

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The numbers that are found for them."""
        return {name: Parameter(0.0) for name in self.found}

    def conditions(self, scope: Scope) -> list[Condition]:
        """What makes the numbers equal to the integrals."""
        out: list[Condition] = []
        for name, one in self.found.items():
            on = (DOMAIN,) if self._inside(one) else (str(one.over),)
            size = float(self._rule(one).weights.sum())
            share = parse(f"({one.of.text}) - {name}/{size!r}", replace(scope, unknowns=(*scope.unknowns, name)))
            out.append(Mean(on, share, Constant(0.0)))
        return out

    def known(self, problem: Problem) -> Problem:
        """The problem with the exact values of its integrals, where those of all unknowns are known."""
        if not self.found or not all(name in problem.exact_fields for name in problem.unknowns):
            return problem
        values = {}
        for name, one in self.found.items():
            rule = self._rule(one)
            points, normals = torch.as_tensor(rule.points), None if rule.normals is None else torch.as_tensor(rule.normals)
            level = problem.level_of(one.of.formula, points[:2], None if normals is None else normals[:2])
            column = problem.right_hand_side(EXACT, one.of.formula, points, level, normals)
            values[name] = float(np.asarray(rule.weights) @ column.numpy())
        return replace(problem, exact={**problem.exact_fields, **values})

    def _inside(self, one: Functional) -> bool:
        return one.over is None or one.over in self.domain.coordinates

    def _rule(self, one: Functional) -> Quadrature:
        if self._inside(one):
            return self.domain.interior(*FINE)
        return appended([self.domain.face(face, *FINE) for face in self.domain.resolve(str(one.over))])
