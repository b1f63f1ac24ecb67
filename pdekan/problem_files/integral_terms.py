"""Integrals in equations and conditions: each is a number that is found with the unknowns, equal to it by a condition.

integral(f) stands for c with ∫ (f - c/|Ω|) = 0, so that the least-squares problem has one more row and one more column for it.
integral(f, x) of a function of t too stands for an unknown I(t), and for V(x, t) with ∂V/∂x = f, V = 0 at the lower end of x,
∂I/∂x = 0 and I = V at its upper end: all of this is local, so that it is trained as other equations are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.fields.jets import TIME
from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.parser import Expression, Scope, parse
from pdekan.problem_files.quantities import taken_out
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import DOMAIN, Mean, Robin
from pdekan.problems.formulas import EXACT, Constant
from pdekan.problems.functionals import Functional
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem

RUNNING = "_up_to"  # after the name of an integral: that from the lower end of a coordinate
FINE = (24, 8, 2**14, 0)  # of exact values: cells, order, count and seed of the rules


@dataclass
class IntegralTerms:
    """The integrals that were found so far, by the names that stand for them."""

    domain: Domain
    found: dict[str, Functional] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)  # of those that are functions the coordinate that they are over

    def taken_out(self, text: str, scope: Scope) -> tuple[str, Scope]:
        """A formula with names in the place of integrals, and the scope with these. Raises ExpressionError."""
        text = taken_out(text, scope, self.domain, lambda one: self._name(one, scope))
        return text, replace(scope, unknowns=(*scope.unknowns, *self.found))

    def _name(self, one: Functional, scope: Scope) -> str:
        if one.kind != "integral" or one.of.functionals:
            raise ExpressionError(f"{one.kind}(…) of {one.of.text!r}: equations and conditions have integrals of fields alone")
        over = self._coordinate(one)
        same = [name for name, other in self.found.items() if (other.of.text, other.over) == (one.of.text, one.over)]
        name = same[0] if same else f"integral{len(self.found) + 1}"
        while name in scope.values and not same:
            name += "_"
        self.found[name] = one
        if over is not None:
            self.fields[name] = over
        return name

    def _coordinate(self, one: Functional) -> str | None:
        """The coordinate that an integral is over which is a function of the others; None for a number."""
        if not (left := one.free(self.domain)):
            return None
        axes = [name for name in self.domain.coordinates if name != TIME]
        over = one.over or (axes[0] if len(axes) == 1 else None)
        if over not in axes or not isinstance(self.domain, Box):
            raise ExpressionError(
                f"integral({one.of.text}) depends on {', '.join(left)}; in equations and conditions integrals are numbers, or "
                "over one coordinate of a box, not time: integral(f, x)"
            )
        return over

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The integrals that are functions, and what leads to them."""
        return tuple(name for one in self.fields for name in (one, one + RUNNING))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The numbers that are found for the others."""
        return {name: Parameter(0.0) for name in self.found if name not in self.fields}

    def equations(self, scope: Scope) -> list[Expression]:
        """What the functions satisfy inside: ∂V/∂x - f = 0 and ∂I/∂x = 0."""
        scope = replace(scope, unknowns=(*scope.unknowns, *self.unknowns))
        texts = [
            text
            for name, over in self.fields.items()
            for text in (f"d{over}({name}{RUNNING}) - ({self.found[name].of.text})", f"d{over}({name})")
        ]
        return [parse(text, scope) for text in texts]

    def conditions(self, scope: Scope) -> list[Condition]:
        """What makes the numbers equal to the integrals."""
        out: list[Condition] = []
        inner = replace(scope, unknowns=(*scope.unknowns, *self.unknowns))
        for name, over in self.fields.items():
            running = name + RUNNING
            out += [
                Robin((over + "-",), parse(running, inner), Constant(0.0)),
                Robin((over + "+",), parse(f"{name} - {running}", inner), Constant(0.0)),
            ]
        for name in self.parameters:
            one = self.found[name]
            on = (DOMAIN,) if self._inside(one) else (str(one.over),)
            size = float(self._rule(one).weights.sum())
            share = parse(f"({one.of.text}) - {name}/{size!r}", replace(scope, unknowns=(*scope.unknowns, name)))
            out.append(Mean(on, share, Constant(0.0)))
        return out

    def known(self, problem: Problem) -> Problem:
        """The problem with the exact values of its integrals, where those of all unknowns are known."""
        if not self.found or self.fields or not all(name in problem.exact_fields for name in problem.unknowns):
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
