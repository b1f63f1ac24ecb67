"""Eigenvalue problems: the eigenfunction whose eigenvalue is next to the parameters' initial values.

A problem with sought parameters that holds for u = 0, but for as many numbers as it has parameters, has many solutions: these
numbers prescribe a norm, a mean or a slope. Asked for is the function of size one that satisfies the rest best for the initial
values: for a self-adjoint operator ‖(A - λ) u‖ / ‖u‖ is least for the eigenvalue next to λ. It is found by linear algebra, in a
space of splines or plane waves; training starts from it, and keeps the parameters nearer to its eigenvalue than to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import build_ansatz, network_outputs, parameter_values
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective, triangle
from pdekan.residuals.terms import Term, initial_values, is_affine, terms
from pdekan.training.points import own_points
from pdekan.training.schedule import Stage
from pdekan.training.starts.first_guess import solved, values_are

# Factors of an eigenfunction, among which the prescribed norm is looked for.
SIZES = tuple(sign * 10.0 ** (k / 4) for k in range(-24, 25) for sign in (1.0, -1.0))
REDUNDANT = 1e-8  # relative to the largest column: below it coefficients count as redundant
HOMOGENEOUS = 1e-12  # residual of u = 0
ITERATIONS = 3  # of eigenfunction and eigenvalue in turn, each of which squares the error
MOST = 32  # functions that are looked at
SPACES = {1: 128, 2: 16}  # splines in one dimension, plane waves in two
DISTINCT = 100.0  # residual, relative to the least, of functions that belong to another eigenvalue
SEEN = 1e-6  # what a linear norm must be of a function, relative to others: it is zero for odd functions where it is a mean


@dataclass(frozen=True)
class Eigenfunction:
    """The eigenfunction that was asked for. parameters: its eigenvalue, with bounds half-way to the next ones."""

    network: Network
    parameters: Mapping[str, Parameter]

    def near(self, problem: Problem) -> Problem:
        """The problem with its parameters near the eigenvalue."""
        return replace(problem, parameters=self.parameters)

    @torch.no_grad()
    def guess(self, problem: Problem, network: Network, fitted: list[Term], sampling: Sampling) -> Network:
        """A network whose last layer fits the eigenfunction. fitted: the terms that it will be trained on."""
        objective = Objective(problem, network, fitted)
        start = objective.normalise(network.flat_parameters)
        said = terms(values_are(problem, 0.0), sampling, start.device)
        count = len(problem.unknowns)
        targets = [evaluate(self.network, one.points, one.frame).value[:, k] for k, one in enumerate(said[:count])]
        said = [replace(one, target=target) for one, target in zip(said, targets, strict=True)]
        return objective.load(solved(values_are(problem, 0.0), objective, said, start))


@torch.no_grad()
def asked_for(problem: Problem) -> Eigenfunction | None:
    """The eigenfunction next to the parameters' initial values; None for other problems and above two dimensions.

    With A = QR the rows of the linear terms and M those of values, it is c = R⁻¹ v with v the first right singular vector of
    M R⁻¹. The parameters follow by a Gauss-Newton step for c as it is.
    """
    d = problem.domain.dimension
    if d not in SPACES or not problem.parameters or problem.data or not problem.equations:
        return None
    stage = Stage("kan", (SPACES[d],) * (d - 1), (1,) * (d - 1) + (9,), (1,) * (d - 1) + (SPACES[d],), waves=True)
    sampling = own_points(problem, stage, problem.training.seed)
    fitted = terms(problem, sampling)
    linear = [one for one in fitted if _is_homogeneous(one, problem)]
    norms = [one for one in fitted if one not in linear]
    few = 0 < sum(len(one.target) for one in norms) <= len(problem.parameters)
    if not few or any(one.group == "equation" for one in norms):
        return None
    widths = (*stage.widths(d)[:-1], network_outputs(problem))
    inner = KAN(widths, stage.degree, stage.intervals, "none", problem.domain.lower, problem.domain.upper)
    inner.initialise(torch.Generator().manual_seed(problem.training.seed))
    network = build_ansatz(problem, inner)
    objective, homogeneous = (Objective(problem, network, some) for some in (fitted, linear))
    theta = objective.normalise(objective.network.flat_parameters)
    values = values_are(problem, 0.0)
    sizes = Objective(values, objective.network, terms(values, sampling)).rows(theta, only_linear=True)[1]
    sizes = torch.linalg.qr(sizes, mode="r").R
    affine = [one for one in norms if is_affine(one, problem)]
    seen = Objective(problem, network, affine).rows(theta, only_linear=True)[1] if affine else None
    width = 0.0
    for _ in range(ITERATIONS):
        theta, width = _improved(problem, homogeneous, theta, sizes, seen)
    unit = theta[-objective.linear :]
    theta = min((torch.cat([theta[: -len(unit)], size * unit]) for size in SIZES), key=objective.loss)
    network = objective.load(theta)
    found = parameter_values(network)
    near = {name: _near(one, found[name], width) for name, one in problem.parameters.items()}
    return Eigenfunction(network, near)


def _is_homogeneous(term: Term, problem: Problem) -> bool:
    """Whether a residual is linear in the unknowns."""
    at_zero = term.residual(term.zero(initial_values(problem, term.points)))
    return is_affine(term, problem) and bool((at_zero.abs() <= HOMOGENEOUS).all())


def _improved(
    problem: Problem, homogeneous: Objective, theta: Tensor, sizes: Tensor, seen: Tensor | None
) -> tuple[Tensor, float]:
    """The best function for the parameters, then the best parameters for it; and half of their distance to other functions'.

    sizes: the triangle of the rows M; seen: those of linear norms, which must not vanish.
    """
    count, parameters, theta = sizes.shape[1], len(problem.parameters), theta.clone()
    rows = homogeneous.rows(theta, only_linear=True)[1]
    r = triangle(rows, REDUNDANT * rows.norm(dim=0).max())
    _, amplified, vectors = torch.linalg.svd(torch.linalg.solve_triangular(r, sizes, upper=True, left=False))
    residuals = 1.0 / amplified.clamp_min(1e-300)  # ascending
    functions = torch.linalg.solve_triangular(r, vectors.T, upper=True) * residuals  # each of size one
    chosen = 0
    if seen is not None:
        strength = (seen @ functions[:, :MOST]).norm(dim=0)
        chosen = int((strength > SEEN * strength.max()).nonzero()[0])
    theta[-count:] = functions[:, chosen]
    residual, jacobian = homogeneous.rows(theta)
    slopes = jacobian[:, :parameters]
    theta[:parameters] -= torch.linalg.lstsq(slopes, residual[:, None]).solution[:, 0]
    if homogeneous.bounds is not None:
        theta = homogeneous.bounds.projected(theta)
    others = residuals[residuals > DISTINCT * residuals[chosen]]
    return theta, 0.5 * float(others[0] / slopes.norm()) if len(others) else math.inf


def _near(parameter: Parameter, value: float, width: float) -> Parameter:
    """A parameter at a value, with bounds on both sides of it."""
    width = max(width, 1e-6 * max(1.0, abs(value)))
    lower, upper = max(parameter.lower, value - width), min(parameter.upper, value + width)
    inside = min(max(value, lower + 1e-9 * width), upper - 1e-9 * width)
    return Parameter(inside, lower, upper)
