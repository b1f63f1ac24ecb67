"""Points inside or on faces of a domain at which formulas of a problem are evaluated before it is solved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Jet, Level
from pdekan.problems.formulas import Field, Formula, RightHandSide
from pdekan.problems.places import Place
from pdekan.problems.problem import Problem

Trial = Callable[[Jet], Jet]  # a function of one coordinate
Rule = tuple[int, int, int, int]  # cells, order, count and seed of a quadrature rule


@dataclass(frozen=True)
class Sample:
    """Points ``(n, d)`` inside, or on a face with its normals."""

    problem: Problem
    points: Tensor
    normals: Tensor | None = None

    @classmethod
    def of(cls, problem: Problem, rule: Quadrature) -> Sample:
        """The points of a quadrature rule."""
        normals = None if rule.normals is None else torch.as_tensor(rule.normals)
        return cls(problem, torch.as_tensor(rule.points), normals)

    def level(self, operator: Field) -> Level:
        """The derivatives that an operator needs. Raises ProblemError above fourth order."""
        return self.problem.level_of(operator, self.points[:2], None if self.normals is None else self.normals[:2])

    def right_hand_side(self, value: Formula | RightHandSide, operator: Field) -> Tensor:
        """Values ``(n,)`` of a right-hand side; EXACT is the operator applied to the exact solution."""
        return self.problem.right_hand_side(value, operator, self.points, self.level(operator), self.normals)

    def trial(self, trial: Trial, level: Level, coordinate: str | None = None) -> Jet:
        """The jet of a trial function of a coordinate, by default the first."""
        environment = self.problem.environment(self.points, level, self.normals)
        return trial(environment[coordinate or self.problem.domain.coordinates[0]])

    def applied(
        self,
        operator: Field,
        trial: Trial,
        coordinate: str | None = None,
        scale: Mapping[str, float] | None = None,
        shift: Mapping[str, float] | None = None,
    ) -> Tensor:
        """An operator ``(n,)`` applied to a trial function for all unknowns, each times its scale, plus shifts.

        Parameters are at their initial values.
        """
        level = self.level(operator)
        u = self.trial(trial, level, coordinate)
        sought = {name: u * scale[name] if scale else u for name in self.problem.unknowns}
        sought |= {name: sought[name] + constant for name, constant in (shift or {}).items()}
        sought |= {name: u.frame.constant(one.initial, u.value) for name, one in self.problem.parameters.items()}
        return operator(self.problem.environment(self.points, level, self.normals, sought)).value


def rules(problem: Problem, place: Place, rule: Rule) -> Iterator[Quadrature]:
    """The quadrature rules of a place, made one by one."""
    return place.rules(problem, lambda: problem.domain.interior(*rule), lambda shape, face: shape.face(face, *rule))


def samples(problem: Problem, place: Place, rule: Rule) -> Iterator[Sample]:
    """The points of a place: a sample for each of its faces."""
    return (Sample.of(problem, one) for one in rules(problem, place, rule))
