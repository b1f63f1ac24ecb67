"""Conditions built into a network: u = g + φ N, where g has the prescribed values and φ vanishes on their faces.

φ vanishes with its gradient on faces whose normal derivative is built in too, which has to be that of g: 0 on a clamped plate.

On a box g is the transfinite interpolant of the values on the faces (Gordon, SIAM J. Numer. Anal. 8 (1971) 158-177), so that
it depends on these alone. Elsewhere the values' formulas are continued into the domain, and blended by inverse levels
where there are several (Rvachev, Sheiko, Shapiro, Tsukanov, Comput. Methods Appl. Mech. Eng. 190 (2001) 3291-3310, eq. 7).
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.domains.base import DomainError
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative
from pdekan.fields.operators import normal
from pdekan.problems.condition import EnforcedCondition
from pdekan.problems.conditions import Neumann
from pdekan.problems.formulas import EXACT, Environment, Field, ProblemError, RightHandSide
from pdekan.problems.problem import Problem

# Coordinates of a box whose faces may carry exact values: the interpolant takes 3^n evaluations of them.
MOST = 4
# Points from which φ's height is taken, and points on every face at which g is checked: cells, order, count, seed.
INSIDE, ON_FACES = (4, 2, 64, 0), (2, 4, 16, 0)
# Largest deviation of g from the prescribed values, relative to their size.
AGREES = 1e-6
# Added to levels that blend several values: where faces meet it makes the mean of theirs, elsewhere it is negligible.
BLENDED = 1e-12


@dataclass(frozen=True)
class Lifting:
    """g and φ of one unknown. slopes: the conditions for normal derivatives. height: what φ is divided by."""

    problem: Problem
    unknown: str
    conditions: tuple[EnforcedCondition, ...]
    slopes: tuple[EnforcedCondition, ...] = ()
    height: float = 1.0

    @classmethod
    def of(cls, problem: Problem, unknown: str) -> Lifting | None:
        """The lifting of an unknown, or None where none of its conditions is exact.

        Raises ProblemError for conditions that cannot be built in: values on faces that have no level, values that disagree
        where faces meet, enriched unknowns.
        """
        stated = exact_conditions(problem, unknown)
        if not stated:
            return None
        exact = tuple(one for one in stated if not isinstance(one, Neumann))
        slopes = tuple(one for one in stated if isinstance(one, Neumann))
        if any(enrichment.unknown == unknown for enrichment in problem.enrichments):
            raise ProblemError(f"{unknown} is enriched: its conditions cannot be exact; enforce them weakly")
        lifting = cls(problem, unknown, exact, slopes)
        alone = [face for one in slopes for face in problem.faces(one) if face not in lifting.faces]
        if alone:
            raise ProblemError(
                f"an exact normal derivative on {alone[0]}, where the values of {unknown} are not exact: state both, or "
                "enforce it weakly"
            )
        if not isinstance(problem.domain, Box) and any(c.value is EXACT for c in exact):
            raise ProblemError(
                "a value taken from the exact solution is known on the boundary only, and on this domain an exact condition "
                "continues it inside; write a formula, or enforce it weakly"
            )
        if isinstance(problem.domain, Box) and len({face[:-1] for face in lifting.faces}) > MOST:
            raise ProblemError(f"exact conditions on the faces of more than {MOST} coordinates; enforce them weakly")
        heights = lifting.level(_position(problem, problem.domain.interior(*INSIDE).points)).value
        # a power of two: the function of a saved network does not depend on the last digits of the sample
        lifting = replace(lifting, height=2.0 ** round(math.log2(float(heights.max()))))
        lifting._check_values()
        lifting._check_slopes()
        return lifting

    def _check_values(self) -> None:
        """Raise ProblemError where no g has all the prescribed values."""
        gaps, size = [], 0.0
        for condition in self.conditions:
            for face in self.problem.faces(condition):
                points = torch.as_tensor(self.problem.domain.face(face, *ON_FACES).points)
                environment = self.problem.environment(points, Derivatives.VALUE)
                try:
                    wanted = self._field(condition.value)(environment).value
                except MissingDerivative:
                    raise ProblemError(
                        "exact conditions: derivatives are not supported in a value; write them out, or enforce it weakly"
                    ) from None
                gaps.append((face, float((self.values(environment).value - wanted).abs().max())))
                size = max(size, float(wanted.abs().max()))
        for face, gap in gaps:
            if not gap <= AGREES * size:
                raise ProblemError(
                    f"exact conditions: on {face} the values of {self.unknown} disagree with those on another face, where both "
                    "meet or are the same; make them agree, or enforce them weakly"
                )

    def _check_slopes(self) -> None:
        """Raise ProblemError where the normal derivative of g is not the prescribed one."""
        for condition in self.slopes:
            for face in self.problem.faces(condition):
                rule = self.problem.domain.face(face, *ON_FACES)
                points, normals = torch.as_tensor(rule.points), torch.as_tensor(rule.normals)
                environment = self.problem.environment(points, Derivatives.GRADIENT, normals)
                given, wanted = normal(self.values(environment)).value, self._slope(condition, points, normals)
                gap, size = float((given - wanted).abs().max()), float(torch.maximum(given.abs(), wanted.abs()).max())
                if not gap <= AGREES * max(size, 1e-300):
                    raise ProblemError(
                        f"an exact normal derivative on {face}: it has to be that of the values, continued inside, and differs "
                        f"by up to {gap:.2g}; enforce it weakly"
                    )

    def _slope(self, condition: EnforcedCondition, points: Tensor, normals: Tensor) -> Tensor:
        return self.problem.right_hand_side(condition.value, condition.operator, points, Derivatives.GRADIENT, normals)

    @property
    def faces(self) -> list[str]:
        """All faces with exact values."""
        return [face for condition in self.conditions for face in self.problem.faces(condition)]

    def level(self, position: Sequence[Jet]) -> Jet:
        """φ: zero on the faces, at most two inside; twice so where the slope is exact."""
        flat = [face for condition in self.slopes for face in self.problem.faces(condition)]
        return self._product([*self.faces, *flat], position) / self.height

    def values(self, environment: Environment) -> Jet:
        """g: it has the prescribed values on the faces."""
        position = [environment[name] for name in self.problem.domain.coordinates]
        if isinstance(self.problem.domain, Box):
            return self._transfinite(self.problem.domain, position)
        levels = [self._product(self.problem.faces(condition), position) + BLENDED for condition in self.conditions]
        values = [self._field(condition.value)(environment) for condition in self.conditions]
        if len(values) == 1:
            return values[0]
        weights = [functools.reduce(operator.mul, levels[:k] + levels[k + 1 :]) for k in range(len(levels))]
        blended = sum((weight * value for weight, value in zip(weights, values, strict=True)), start=weights[0] * 0.0)
        return blended / functools.reduce(operator.add, weights)

    def _product(self, faces: Sequence[str], position: Sequence[Jet]) -> Jet:
        domain = self.problem.domain
        half = 0.5 * domain.size
        try:
            return functools.reduce(operator.mul, (domain.level(face, position) / half for face in faces))
        except DomainError as error:
            raise ProblemError(str(error)) from None

    def _field(self, value: Field | RightHandSide) -> Field:
        return self.problem.exact_fields[self.unknown] if isinstance(value, RightHandSide) else value

    def _transfinite(self, domain: Box, position: Sequence[Jet]) -> Jet:
        """⊕ P_k = Σ (-1)^(|S|+1) Π_{k ∈ S} P_k over sets S of coordinates, P_k interpolating linearly between two faces."""
        sides: dict[int, dict[str, Field]] = {}
        for condition in self.conditions:
            for face in self.problem.faces(condition):
                sides.setdefault(domain.coordinates.index(face[:-1]), {})[face[-1]] = self._field(condition.value)
        total = position[0] * 0.0
        for size in range(1, len(sides) + 1):
            for chosen in itertools.combinations(sides, size):
                for corner in itertools.product(*(sides[k].items() for k in chosen)):
                    total = total + self._at_corner(domain, position, chosen, corner, sides) * (-1.0) ** (size + 1)
        return total

    def _at_corner(
        self,
        domain: Box,
        position: Sequence[Jet],
        chosen: Sequence[int],
        corner: Sequence[tuple[str, Field]],
        sides: dict[int, dict[str, Field]],
    ) -> Jet:
        """One product of interpolations: the value with some coordinates moved to their faces, times its weights."""
        moved, weight = list(position), None
        for k, (side, _) in zip(chosen, corner, strict=True):
            moved[k] = position[k].frame.constant(domain.lower[k] if side == "-" else domain.upper[k], position[k].value)
            if len(sides[k]) == 2:
                share = (position[k] - domain.lower[k]) / (domain.upper[k] - domain.lower[k])
                share = share if side == "+" else 1.0 - share
                weight = share if weight is None else weight * share
        environment = dict(zip(domain.coordinates, moved, strict=True)) | self.problem.constants
        if domain.vector is not None:
            environment[domain.vector] = stacked(moved)
        value = corner[0][1](environment)
        return value if weight is None else value * weight


def exact_conditions(problem: Problem, unknown: str) -> tuple[EnforcedCondition, ...]:
    """The conditions for an unknown that are built into the network."""
    return tuple(c for c in problem.conditions if isinstance(c, EnforcedCondition) and c.is_exact and c.unknown == unknown)


def _position(problem: Problem, points: Array) -> list[Jet]:
    x = torch.as_tensor(points)
    frame = Frame(problem.domain.coordinates)
    return [frame.coordinate(x, k) for k in range(problem.domain.dimension)]
