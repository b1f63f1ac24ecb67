"""The network of coarse splines that is nearest in L2 to one that stands for the solution.

Where splines are coarse, a lower residual does not mean a smaller error, and other inner functions are better than those of the
solution. Such a network is therefore a fit of values: it minimises ∫ (u - v)² over networks u, for a network v of a far lower
residual. Many starts are compared with few intervals; the best of them are refined, which is exact where knots are nested, and
trained on, until they have the intervals asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.networks.base import Network
from pdekan.networks.batch import KANBatch, coefficients
from pdekan.networks.kan import KAN
from pdekan.optimizers.many import Solved
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, terms
from pdekan.training.first_guess import values_are
from pdekan.training.inner_starts import spread, starts
from pdekan.training.points import training_points
from pdekan.training.schedule import Stage
from pdekan.training.search import InnerProblems, minimised, read

LOG = logging.getLogger(__name__)
# Points for each parameter: with five a network [2,5,1] of 5 intervals had errors five times as large between them.
POINTS = 8


@dataclass(frozen=True)
class Round:
    """Trial steps for at most so many networks, the best of the round before."""

    networks: int
    steps: int


@dataclass(frozen=True)
class Plan:
    """How the nearest network is looked for.

    coarsest: with how many intervals, at most, starts are compared. first, then: the rounds there and after every refinement.
    work: multiplications of a round there and of the others, which may leave fewer networks, or none: these are only
    refined. ridge: of refined networks. numbers: entries of Jacobians in memory at once.
    """

    coarsest: int = 3
    first: tuple[Round, ...] = (Round(256, 10), Round(40, 20), Round(12, 60))
    then: tuple[Round, ...] = (Round(8, 20), Round(2, 40))
    work: tuple[float, float] = (2e10, 1.2e11)
    ridge: float = 1e-16
    numbers: int = 2**22


@torch.no_grad()
def nearest(
    problem: Problem,
    stage: Stage,
    like: KAN,
    finer: Network,
    generator: torch.Generator,
    expired: Callable[[], bool] = lambda: False,
    plan: Plan = Plan(),
) -> KAN | None:
    """The nearest network of a stage's sizes to a finer one; None where they are too large for a search.

    like: a network with the box that the result shall have.
    """
    found: Solved | None = None
    before = stage.intervals
    for sizes in refinements(stage, plan.coarsest):
        near, fitted = nearness(problem, sizes, finer)
        many = InnerProblems.of(near, sizes, like, fitted)
        if found is None:
            a = _starts(problem, sizes, like, finer, plan.first[0].networks, generator)
            found = _after(many, a, plan, plan.first, plan.work[0], 1e-6, expired)
        else:
            a = KANBatch.of(found.a, stage.degree, before).refined(stage.degree, sizes.intervals).inner
            found = _after(many, a, plan, plan.then, plan.work[1], plan.ridge, expired)
            found = found or minimised(many, a[:1], 0, plan.numbers, expired, plan.ridge)
        if found is None:
            return None
        before = sizes.intervals
        LOG.info("nearest: %s intervals, loss %.1e of %.1e", sizes.intervals, found.loss[0], many.residual.square().sum())
    assert found is not None
    return many.batch(found.a, found.c).network(0, like)


def _after(
    many: InnerProblems,
    a: Tensor,
    plan: Plan,
    rounds: tuple[Round, ...],
    work: float,
    ridge: float,
    expired: Callable[[], bool],
) -> Solved | None:
    """The best networks after rounds of so much work each; None where one network is too much."""
    found = None
    for one in rounds:
        count = min(one.networks, int(work / (2.0 * one.steps * len(many.residual) * many.columns**2)))
        if count and not (found and expired()):
            found = minimised(many, (a if found is None else found.a)[:count], one.steps, plan.numbers, expired, ridge)
    return found


def nearness(problem: Problem, stage: Stage, finer: Network) -> tuple[Problem, list[Term]]:
    """The problem u = v for a finer network v, and its terms on points for a stage."""
    training = replace(problem.training, points=POINTS * stage.parameters(problem.domain.dimension))
    near = replace(values_are(problem, 0.0), training=training)
    device = next(finer.parameters()).device
    with torch.no_grad():
        fitted = terms(near, training_points(near, stage, training.seed), device)
        return near, [replace(term, target=finer(term.points)[:, 0]) for term in fitted]


def refinements(stage: Stage, coarsest: int) -> list[Stage]:
    """A stage and those before it with half its intervals, until there are no more than the coarsest ones; these come first."""
    sizes = [stage]
    while max(sizes[0].intervals) > coarsest:
        sizes.insert(0, replace(sizes[0], intervals=tuple(max(1, n // 2) for n in sizes[0].intervals)))
    return sizes


def _starts(problem: Problem, stage: Stage, like: KAN, finer: Network, count: int, generator: torch.Generator) -> Tensor:
    """Inner coefficients of starts of all kinds, half of them plane waves; some are read off the finer network."""
    position, solution = read(problem, stage, finer, like)
    width = stage.hidden[0]
    kinds = starts(count - count // 2, width, solution, position, generator)
    a = torch.cat([spread(count // 2, like.inputs, width, generator), kinds])
    a = a[torch.randperm(count, generator=generator)]  # fewer of them may be taken
    polynomials = coefficients(a, stage.degree[0]).to(position)
    return KANBatch.of(polynomials, stage.degree, (1, stage.intervals[1])).refined(stage.degree, stage.intervals).inner
