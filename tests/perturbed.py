"""Solutions that are known but for a small, smooth error: what a search for formulas is given, without the training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdekan.fields.functions import sin, stacked
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Found, Solution


class Perturbed(Network):
    """The exact solution of a problem, with a ripple of a relative size on every unknown."""

    def __init__(self, problem: Problem, error: float) -> None:
        super().__init__()
        self.problem, self.error = problem, error
        self.inputs, self.outputs = problem.domain.dimension, len(problem.sought)
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # says on which device the network is

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        exact = self.problem.exact_jets(points, frame.level, frame.normal)
        ripple: Jet | float = 1.0
        for k in range(min(3, self.inputs)):
            ripple = ripple * sin(frame.coordinate(points, k) * (7.3 + k) + float(k))
        fields = []
        for name in self.problem.sought:
            field = exact[name]
            if name in self.problem.unknowns:
                field = field + ripple * (self.error * float(field.value.abs().max()))
            fields.append(field)
        return stacked(fields)


def perturbed(problem: Problem, error: float = 1e-7) -> Solution:
    """A solution that trained to a relative residual of `error`."""
    middle = torch.tensor([[0.5 * (a + b) for a, b in zip(problem.domain.lower, problem.domain.upper, strict=True)]])
    exact = problem.exact_jets(middle.double(), Derivatives.VALUE)
    found = {name: Found(float(exact[name].value[0]) * (1.0 + 1e-6), 1e-6) for name in problem.parameters}
    return Solution(
        domain=problem.domain,
        unknowns=problem.unknowns,
        network=Perturbed(problem, error),
        problem=problem,
        name=problem.name,
        status="converged",
        reason="the residual on unseen points met the tolerance",
        seed=0,
        iterations=1,
        seconds=1.0,
        residual=error,
        condition_residual=error,
        data_residual=None,
        relative_residual=error,
        tolerance=1e-4,
        stage=0,
        history={},
        errors=None,
        found=found,
    )
