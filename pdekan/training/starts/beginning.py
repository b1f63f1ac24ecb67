"""How a stage begins where no network of an earlier one is a beginning: a first guess, searched inner functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch

from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term
from pdekan.residuals.validation import Validation
from pdekan.training.context import Context
from pdekan.training.schedule import FIRST_WAVES, WAVES, Stage
from pdekan.training.starts import warm_start
from pdekan.training.starts.first_guess import first_guess
from pdekan.training.starts.nearest import nearest
from pdekan.training.starts.search import BRIEF, InnerSearch, Search
from pdekan.training.state import State
from pdekan.training.stopping import Distance

# Relative residual above which the network of an eigenvalue problem is no better a beginning than the eigenfunction.
UNRESOLVED = 0.03
# The shares of the seconds left that a search and a fit to a finer network may take, and the residuals, relative to a network's
# own, at which a finer one stands for the solution, and at which no better one is looked for.
SEARCH_SHARE, FIT_SHARE, FINER_RESIDUAL, NEGLIGIBLE = 0.25, 0.9, 0.3, 0.01
# The errors, relative to the solution, above which splines are so coarse that other inner functions than the solution's own are
# looked for: by a search for a small residual, and by a fit to the finer network.
COARSE, FITTED = 1e-3, 1e-6


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
    options = BRIEF if context.goal.grows else Search()
    expired = _expired(context, state, SEARCH_SHARE)
    return InnerSearch(context.fitted, stage, cast("KAN", like), _generator(context, stage), expired, options)


def coarse_starts(context: Context, stage: Stage, state: State, like: Network, distance: Distance) -> list[Network]:
    """Networks of a stage's sizes to begin with where those of a finer one are too coarse. like: that one in these sizes.

    A fit takes as many steps as time allows: there is none where the steps are given. The last stage has it, and stages before
    need no search then.
    """
    error, found = distance(like) / distance.norm, list[Network | None]()
    timed = context.problem.training.steps is None
    if error > FITTED and stage.final and timed:
        generator, expired = _generator(context, stage), _expired(context, state, FIT_SHARE)
        found.append(nearest(context.fitted, stage, cast("KAN", like), distance.network, generator, expired))
    if error > COARSE and found in ([], [None]) and (stage.final or not timed):
        found.append(search(context, stage, state, like).in_own_splines(distance.network))
    return [one for one in found if one is not None]


def _expired(context: Context, state: State, share: float) -> Callable[[], bool]:
    """Whether a share of the seconds left is over."""
    late = state.seconds + share * (context.clock.budget - state.seconds)
    return lambda: context.clock.is_late(late)


def _generator(context: Context, stage: Stage) -> torch.Generator:
    return torch.Generator().manual_seed(context.fitted.training.seed + stage.start)


def distance_to_finer(
    context: Context, stage: Stage, state: State, network: Network, validation: Validation
) -> Distance | None:
    """The distance to a network that stands for the solution: one with finer splines or with plane waves inside.

    None where neither is far better than the stage's own network.
    """
    if state.finer is None or stage.finer:
        return None
    d, finer = context.problem.domain.dimension, state.finer.network

    def residual(one: Network) -> float:
        return validation.residuals(one).relative

    for sizes in (FIRST_WAVES[d][-1], WAVES[d][0][1:]):
        if residual(finer) > NEGLIGIBLE * residual(network):
            with context.clock.running():
                waves = search(context, stage, state, network).by_waves(*sizes)
            finer = min(finer, waves, key=residual)
    return Distance.to(finer, validation.terms[0]) if residual(finer) <= FINER_RESIDUAL * residual(network) else None
