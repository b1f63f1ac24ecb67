"""Whether a nonlinear problem has another solution: a small space of functions is solved in from starts far from the one found.

Boundary value problems in one and two dimensions are looked at, without parameters or data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.formulas import PythonField, itself
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import Term, terms
from pdekan.residuals.validation import Validation
from pdekan.training.amplification import trial_network
from pdekan.training.clock import Clock
from pdekan.training.fit import fit
from pdekan.training.points import own_points, validation_points
from pdekan.training.starts.first_guess import solved

HEIGHTS = (3.0, -3.0, 10.0, -10.0)  # how far starts lie from the solution, in its sizes, or in ones where it is smaller
TRIAL = (24, 16)  # by dimension the splines or waves of the space
RESIDUAL = (1e-3, 1e-2)  # by dimension, relative: below it a function of the space counts as a solution
DIFFERENCE = 0.1  # relative: above it a solution is another one
SECONDS = 1.0  # of the processor, after which no start is made


@torch.no_grad()
def other_solution(problem: Problem, network: Network) -> float | None:
    """The relative L2 difference of another solution from that of a network, None where none was found."""
    d = problem.domain.dimension
    if (
        d > len(TRIAL)
        or len(problem.unknowns) > 2
        or TIME in problem.domain.coordinates
        or not problem.equations
        or problem.parameters
        or problem.data
    ):
        return None
    small, stage = trial_network(problem, TRIAL)
    sampling = own_points(problem, stage, problem.training.seed)
    fitted = terms(problem, sampling)
    clock = Clock(0.0, SECONDS, now=time.thread_time)
    objective = Objective(problem, small, fitted, problem.training.weights, None, clock.check)
    if objective.affine:
        return None
    points, validation = fitted[0].points, Validation.of(problem, validation_points(sampling), torch.device("cpu"))
    u, share = _values(network, problem, points), fitted[0].point_share
    theta = small.flat_parameters
    with clock.running():
        for start in _starts(problem, points, u):
            if clock.spent > clock.budget:
                break
            guess = solved(problem, objective, list(_terms_of(problem, fitted[0], start)), theta)
            outcome = fit(objective, GaussNewton(ridge=1e-12), guess, 0, lambda step: None)
            found = objective.load(outcome.theta)
            if validation.residuals(found).relative > RESIDUAL[d - 1]:
                continue
            v = _values(found, problem, points)
            sizes = [math.sqrt(float((share @ one**2).sum())) for one in (u - v, u, v)]
            difference = sizes[0] / max(sizes[1], sizes[2], 1e-300)
            if difference > DIFFERENCE:
                return difference
    return None


def _values(network: Network, problem: Problem, points: Tensor) -> Tensor:
    """The unknowns' values ``(n, U)``."""
    value = evaluate(network, points, Frame(problem.domain.coordinates, Derivatives.VALUE)).value
    return value[:, : len(problem.unknowns)]


def _starts(problem: Problem, points: Tensor, u: Tensor) -> Iterator[Tensor]:
    """Values ``(n, U)``: the solution's, with a parabola added that vanishes on the faces of the bounding box."""
    lower, upper = points.new_tensor(problem.domain.lower), points.new_tensor(problem.domain.upper)
    position = 2.0 * (points - lower) / (upper - lower) - 1.0
    bump = (1.0 - position**2).prod(dim=1, keepdim=True)
    size = u.abs().amax(dim=0).clamp_min(1.0)
    return (u + height * size * bump for height in HEIGHTS)


def _terms_of(problem: Problem, like: Term, values: Tensor) -> Iterator[Term]:
    """Terms that say u = values at the points of another one."""
    for k, name in enumerate(problem.unknowns):
        yield replace(like, name=name, operator=PythonField(itself, (name,)), target=values[:, k])
