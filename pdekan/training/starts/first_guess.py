"""Where the training of a nonlinear problem begins: at what conditions and data say of the unknowns, extended into the domain.

Residuals such as those of Arrhenius' law, of powers or of logarithms are not finite, or nearly constant, at random functions.
The guess minimises, over the network's last layer,

    Σ ‖B u - g‖² + ε Σ_k ‖∇u_k‖²

with the conditions and data that are affine in u, nondimensional, and a small ε: the harmonic extension of their values, which
lies between them (maximum principle). Where the residual is not finite there either, larger ε lead to their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pdekan.networks.base import Network
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.formulas import Partial, PythonField, itself
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import Term, is_affine, terms

# ε, from the extension to the mean: u differs from the conditions' values by about ε times its slope.
SMOOTHNESS = (1e-3, 1e-1, 1e1, 1e3, 1e6)
LEVELS = (1.0, -1.0)  # values that are tried where conditions say nothing or zero, and zero has no finite residual


@torch.no_grad()
def first_guess(problem: Problem, network: Network, fitted: list[Term], unseen: list[Term], sampling: Sampling) -> Network:
    """A random network with its last layer solved for; the network itself where residuals are affine, or nothing is better.

    fitted: the terms that it will be trained on; unseen: those of validation, where residuals shall be finite too.
    """
    if network.linear_parameters == 0 or all(is_affine(term, problem) for term in fitted):
        return network
    objective = Objective(problem, network, fitted)
    start = objective.normalise(network.flat_parameters)
    for theta in _guesses(problem, objective, start, sampling):
        guess = objective.load(theta)
        if all(bool(torch.isfinite(one.residual(guess.jet(one.points, one.frame))).all()) for one in (*fitted, *unseen)):
            return network if theta is start else guess
    return network


def _guesses(problem: Problem, objective: Objective, start: Tensor, sampling: Sampling) -> Iterator[Tensor]:
    """Parameters to begin with, the best ones first."""
    device = start.device
    slopes = [Partial(unknown, x) for unknown in problem.unknowns for x in problem.domain.coordinates]
    smooth = replace(problem, equation=slopes, source=0.0)
    said = [one for one in terms(smooth, sampling, device) if one.group == "equation" or is_affine(one, problem)]
    if not any(bool((one.target != 0.0).any()) for one in said):
        yield start
    for smoothness in SMOOTHNESS:
        yield solved(smooth, objective, [_weighing(one, smoothness) for one in said], start)
    for level in LEVELS:
        constant = values_are(problem, level)
        yield solved(constant, objective, terms(constant, sampling, device), start)


def values_are(problem: Problem, level: float) -> Problem:
    """u = level for every unknown."""
    values = [PythonField(itself, (name,)) for name in problem.unknowns]
    return replace(problem, equation=values, source=level, conditions=(), data=())


def _weighing(term: Term, smoothness: float) -> Term:
    """A slope's term with a factor on its squares; those of conditions as they are."""
    return replace(term, share=smoothness * term.share) if term.group == "equation" else term


def solved(problem: Problem, objective: Objective, fitted: list[Term], theta: Tensor) -> Tensor:
    """The parameters with the last layer that solves a linear least-squares problem."""
    linear = Objective(problem, objective.network, fitted)
    return GaussNewton(ridge=1e-12).minimise(linear, theta, 0, lambda step: None).theta
