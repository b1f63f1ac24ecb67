"""How a stage begins where no network of an earlier one is a beginning: a first guess, searched inner functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch

from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term
from pdekan.residuals.validation import Validation
from pdekan.training import warm_start
from pdekan.training.context import Context
from pdekan.training.first_guess import first_guess
from pdekan.training.schedule import Stage
from pdekan.training.search import BRIEF, InnerSearch, Search
from pdekan.training.state import State
from pdekan.training.stopping import Distance

# Relative residual above which the network of an eigenvalue problem is no better a beginning than the eigenfunction.
UNRESOLVED = 0.03
# The share of the seconds left that the search may take, and the residual, relative to a network's own, at which one with finer
# splines stands for the solution.
SEARCH_SHARE, FINER_RESIDUAL = 0.25, 0.3


def begins_anew(context: Context, state: State) -> bool:
    """Whether no network of an earlier stage is a beginning."""
    best = state.best
    if best is None or not math.isfinite(best.relative):
        return True
    return context.eigenfunction is not None and best.relative > UNRESOLVED


def guess(
    context: Context, sizes: Stage, state: State, fitted: list[Term], validation: Validation, sampling: Sampling
) -> Network:
    """A network of a stage's sizes that stands for the eigenfunction, or is fitted to the conditions."""
    anew = warm_start.first_network(context.problem, sizes, replace(state, best=None), None, context.device)
    if context.eigenfunction is None:
        return first_guess(context.fitted, anew, fitted, validation.terms, sampling)
    return context.eigenfunction.guess(context.fitted, anew, fitted, sampling)


def search(context: Context, stage: Stage, state: State, like: Network) -> InnerSearch:
    """The search for a stage, which may take a share of the seconds. like: a network of its sizes."""
    clock, problem = context.clock, context.fitted
    late = state.seconds + SEARCH_SHARE * (clock.budget - state.seconds)
    generator = torch.Generator().manual_seed(problem.training.seed + stage.start)
    options = BRIEF if context.goal.grows else Search()
    return InnerSearch(problem, stage, cast("KAN", like), generator, lambda: clock.is_late(late), options)


def distance_to_finer(stage: Stage, state: State, network: Network, validation: Validation) -> Distance | None:
    """The distance to a network with finer splines, where that is so much better that it stands for the solution."""
    finer = state.finer
    if finer is None or stage.finer:
        return None
    if finer.relative > FINER_RESIDUAL * validation.residuals(network).relative:
        return None
    return Distance.to(finer.network, validation.terms[0])
