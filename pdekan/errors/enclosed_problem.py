"""A problem with an energy and a network's residuals on the cells of a box, as Taylor models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from pdekan.domains.box import Box
from pdekan.errors.cells_of_box import Cells
from pdekan.errors.energy_problem import EnergyProblem
from pdekan.fields.jets import Derivatives, Frame, Jet, Level
from pdekan.fields.taylor_models import Monomials, TaylorModels
from pdekan.networks.enclosed import enclosed_jet
from pdekan.problems.formulas import Field


@dataclass(frozen=True)
class EnclosedInside:
    """On n cells: A, d rows of d entries ``(n,)``, c ``(n,)``, r ``(n,)``, and the derivatives of v ``(n,)``."""

    diffusion: list[list[TaylorModels]]
    reaction: TaylorModels
    residual: TaylorModels
    slopes: list[TaylorModels]


@dataclass(frozen=True)
class EnclosedProblem:
    """What `EnergyProblem` knows at points, on cells.

    Methods raise NotEnclosed, or ProblemError of a formula, where networks and data are not enclosed.
    """

    energy: EnergyProblem
    basis: Monomials

    @property
    def box(self) -> Box:
        """The domain."""
        return cast("Box", self.energy.problem.domain)

    def inside(self, cells: Cells) -> EnclosedInside:
        """A, c and r on cells."""
        problem, sign, x = self.energy.problem, self.energy.sign, cells.coordinates(self.basis)
        equation, probe = problem.equations[0], torch.zeros(2, problem.domain.dimension, dtype=torch.float64)
        level = max(problem.level_of(equation.operator, probe), Derivatives.GRADIENT)
        frame, points = Frame(problem.domain.coordinates, level), cast("Tensor", x)
        v = enclosed_jet(self.energy.network, x, frame)
        source = problem.right_hand_side(equation.source, equation.operator, points, level, None)
        residual = (self._applied(equation.operator, x, v) - source) * -sign
        reaction = self._applied(equation.operator, x, _unit(frame, x, "value", 0)) * sign
        slopes = [cast("TaylorModels", v.gradient)[:, k] for k in range(frame.dimension)]
        return EnclosedInside(self._diffusion(x, level), reaction, residual, slopes)

    def _diffusion(self, x: TaylorModels, level: Level) -> list[list[TaylorModels]]:
        """A from the second derivatives of the equation's operator."""
        problem, d = self.energy.problem, self.energy.problem.domain.dimension
        frame, operator = Frame(problem.domain.coordinates, level), problem.equations[0].operator
        slots = [
            self._applied(operator, x, _unit(frame, x, "second", k)) * -self.energy.sign for k in range(frame.second_count)
        ]
        zero = x[:, 0] * 0.0
        if level is not Derivatives.FULL:
            return [[slots[i if len(slots) == d else 0] if i == j else zero for j in range(d)] for i in range(d)]
        by_pair = dict(zip(zip(*frame.packed, strict=True), slots, strict=True))
        return [[by_pair[i, j] if i == j else by_pair[min(i, j), max(i, j)] * 0.5 for j in range(d)] for i in range(d)]

    def on_natural(self, face: str, cells: Cells) -> tuple[TaylorModels, TaylorModels]:
        """η and α on cells that are reduced to a face where u is not given."""
        problem, one, x = self.energy.problem, self.energy.natural[face], cells.coordinates(self.basis)
        axis, side = problem.domain.coordinates.index(face[:-1]), 1.0 if face[-1] == "+" else -1.0
        normals = torch.zeros(len(x), problem.domain.dimension, dtype=torch.float64)
        normals[:, axis] = side
        frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT, normals)
        equation = problem.equations[0]
        level = max(problem.level_of(equation.operator, normals[:2]), Derivatives.GRADIENT)
        slope = self._applied(one.operator, x, _unit(frame, x, "gradient", axis)) * side
        inverse = self._diffusion(x, level)[axis][axis] / slope
        v = enclosed_jet(self.energy.network, x, Frame(frame.coordinates, frame.level))
        value = problem.right_hand_side(one.value, one.operator, cast("Tensor", x), frame.level, normals)
        defect = value - self._applied(one.operator, x, Jet(frame, v.value, v.gradient))
        return defect * inverse, self._applied(one.operator, x, _unit(frame, x, "value", 0)) * inverse

    def on_essential(self, face: str, cells: Cells) -> list[TaylorModels]:
        """δ and its derivatives by every coordinate on cells that are reduced to a face where u is given."""
        problem, one = self.energy.problem, self.energy.essential[face]
        few, places = cells.unique()
        x, frame = few.coordinates(self.basis), Frame(problem.domain.coordinates, Derivatives.GRADIENT)
        v, here = enclosed_jet(self.energy.network, x, frame), problem.environment(cast("Tensor", x), frame.level)
        if isinstance(one.value, Field):
            gap = v - one.value(here)
        else:
            gap = v - one.operator(here | problem.exact_jets(cast("Tensor", x), frame.level))
        slopes = cast("TaylorModels", gap.gradient)
        return [cast("TaylorModels", gap.value)[places], *(slopes[:, k][places] for k in range(len(frame.coordinates)))]

    def _applied(self, operator: Field, x: TaylorModels, u: Jet) -> TaylorModels:
        """The value of an operator of u."""
        problem, frame = self.energy.problem, u.frame
        points = cast("Tensor", x)
        value = operator(problem.environment(points, frame.level, frame.normal, {problem.unknowns[0]: u})).value
        return x[:, 0] * 0.0 + value


def _unit(frame: Frame, x: TaylorModels, part: str, slot: int) -> Jet:
    """The jet whose value, or one of whose derivatives, is one, and all others zero."""
    n, sizes = len(x), {"value": (), "gradient": (frame.dimension,), "second": (frame.second_count,)}
    parts = {name: torch.zeros(n, *shape, dtype=torch.float64) for name, shape in sizes.items()}
    parts[part].reshape(n, -1)[:, slot] = 1.0
    second = parts["second"] if frame.level >= Derivatives.SUMMED else None
    return Jet(frame, parts["value"], parts["gradient"], second)
