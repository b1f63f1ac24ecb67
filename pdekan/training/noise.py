"""Data whose noise is not known: they are trained on as noisy ones, and taken for exact where the fit shows no noise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term

# How far the misfit of exact data may be above the residual, both relative: a solution that is off by more than its residual
# misses its data by as much.
FITTED = 10.0


def assumed_noisy(problem: Problem) -> Problem:
    """The problem with noise of a size that is not known, nan, where it is not given; a regression is left as it is.

    Noisy data are trained on with small weights, and the solution follows the equation. With the weights of exact data it
    followed the noise: what is sought would be found less exactly than the data allow.
    """
    if not problem.equations:
        return problem
    return replace(problem, data=tuple(replace(one, noise=math.nan) if one.noise is None else one for one in problem.data))


def is_unknown(problem: Problem) -> bool:
    """Whether data are assumed to be noisy."""
    return any(one.noise is not None and math.isnan(one.noise) for one in problem.data)


@torch.no_grad()
def shows_none(terms: list[Term], network: Network, relative: float) -> bool:
    """Whether a network fits all data whose noise is not known as well as the equation. relative: its relative residual."""
    return all(_misfit(term, network) <= FITTED * relative for term in terms if math.isnan(term.noise))


def _misfit(term: Term, network: Network) -> float:
    """The root mean square misfit, relative to that of the data."""

    def size(values: Tensor) -> float:
        return math.sqrt(float(term.share @ values**2))

    return size(term.residual(evaluate(network, term.points, term.frame))) / max(size(term.target), 1e-300)
