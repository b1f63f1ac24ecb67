"""The network of coarse splines that is nearest in L2 to one that stands for the solution.

Where splines are coarse, a lower residual does not mean a smaller error, and other inner functions are better than those of the
solution. They are found by a fit of values: ∫ (u - v)² is minimised over networks u, for a network v of a far lower residual.
Many starts are compared with two intervals; the best are refined, which is exact where knots are nested, and trained on, until
they have the intervals asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Quadrature, sobol
from pdekan.networks.base import Network
from pdekan.networks.batch import KANBatch
from pdekan.networks.kan import KAN
from pdekan.optimizers.many import ManyGaussNewton, Solved
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, terms
from pdekan.training.points import own_points, training_points
from pdekan.training.schedule import Stage
from pdekan.training.starts.first_guess import values_are
from pdekan.training.starts.search import InnerProblems, minimised, starts_near

LOG = logging.getLogger(__name__)
# Points inside for each parameter.
POINTS = 6
# Intervals on the way to those asked for, the same for all sizes: a larger network begins with the functions of a smaller one.
# With half of their own intervals each time, networks [2,5,1] of 30 intervals ended above those of 20.
CHAIN = (2, 5, 10, 20, 40, 80)
# Valleys are narrow: dampings that change more slowly than elsewhere have two thirds of the rejected steps.
METHOD = ManyGaussNewton(down=3.0, up=2.0, acceleration=0.75)


@dataclass(frozen=True)
class Round:
    """Trial steps for at most so many networks, the best of the round before."""

    networks: int
    steps: int


@dataclass(frozen=True)
class Fits:
    """How the nearest network is looked for.

    first, then, last: the rounds with the fewest intervals, after every refinement, and at the end. work: multiplications of a
    round before the last, less than a second of them, which may leave fewer networks and steps: time is for the sizes asked
    for. With 4e9 networks [2,10,1] of 20 intervals ended after 12 seconds at errors 13 times as large.
    ridge: of refined networks. numbers: entries of Jacobians in memory at once; most: of one network's, above which there is no
    fit.
    """

    first: tuple[Round, ...] = (Round(128, 10), Round(24, 15), Round(8, 30))
    then: tuple[Round, ...] = (Round(8, 10), Round(3, 20))
    last: Round = Round(1, 150)
    work: float = 1.5e9
    ridge: float = 1e-16
    numbers: int = 2**22
    most: int = 2**25


@torch.no_grad()
def nearest(
    problem: Problem,
    stage: Stage,
    like: KAN,
    finer: Network,
    generator: torch.Generator,
    expired: Callable[[], bool] = lambda: False,
    fits: Fits = Fits(),
) -> KAN | None:
    """A network of a stage's sizes that is near to a finer one, the nearest that was found; None where it is too large.

    like: a network with the box that the result shall have.
    """
    d = problem.domain.dimension
    if _points(stage, d) * stage.parameters(d) > fits.most:
        return None
    a, rounds, method, before = Tensor(), fits.first, METHOD, stage.intervals
    for sizes in refinements(stage):
        near, fitted = nearness(problem, sizes, finer)
        many = InnerProblems.of(near, sizes, like, fitted)
        if a.numel() == 0:
            a = starts_near(problem, sizes, like, finer, rounds[0].networks, generator)
        else:
            a = KANBatch.of(a, stage.degree, before).refined(stage.degree, sizes.intervals).inner
        steps = max(1, int(fits.work / (len(many.residual) * many.columns**2)))
        limited = [Round(min(one.networks, -(-steps // one.steps)), min(one.steps, steps)) for one in rounds]
        if sizes.intervals == stage.intervals:
            limited = [*(one for one in limited if one.networks > 1), fits.last]
        for one in limited:
            found: Solved = minimised(many, a[: one.networks], one.steps, fits.numbers, expired, method)
            a = found.a
        before, rounds, method = sizes.intervals, fits.then, replace(METHOD, ridge=fits.ridge)
        LOG.info("nearest: %s intervals, loss %.1e of %.1e", sizes.intervals, found.loss[0], many.residual.square().sum())
    return many.batch(found.a, found.c).network(0, like)


def nearness(problem: Problem, stage: Stage, finer: Network) -> tuple[Problem, list[Term]]:
    """The problem u = v for a finer network v, and its terms on points for a stage."""
    near, sampling = values_are(problem, 0.0), own_points(problem, stage, problem.training.seed)
    with torch.no_grad():
        fitted = terms(near, sampling, finer.device, fit_points(problem, stage))
        return near, [replace(term, target=finer(term.points)[:, 0]) for term in fitted]


def fit_points(problem: Problem, stage: Stage) -> Quadrature:
    """Points of equal weights inside, on all faces and at corners: no hidden node leaves the range of the fit elsewhere.

    In boxes those inside are scattered, at other places of every interval; where sources are narrow they are denser there.
    """
    domain, count = problem.domain, _points(stage, problem.domain.dimension)
    wanted = replace(problem, training=replace(problem.training, points=count))
    sampling = training_points(wanted, stage, problem.training.seed)
    if isinstance(domain, Box) and not sampling.narrow:
        inside = sobol(domain.lower, domain.upper, count, sampling.seed).points[:count]
    else:
        inside = sampling.inside(domain).points
    share = -(-sampling.count // max(1, len(domain.faces)))
    faces = [sampling.on(domain, face, share, sampling.seed + k).points for k, face in enumerate(domain.faces)]
    return Quadrature.even(np.concatenate([inside, *faces, domain.corners]))


def _points(stage: Stage, d: int) -> int:
    """How many points inside a fit has in d dimensions."""
    return POINTS * stage.parameters(d)


def refinements(stage: Stage, chain: Sequence[int] = CHAIN) -> list[Stage]:
    """The stages with fewer intervals, from the coarsest on, at the end the stage itself."""
    finest = max(stage.intervals)
    fewer = [[max(1, round(n * most / finest)) for n in stage.intervals] for most in chain if most < finest]
    return [*(replace(stage, intervals=tuple(intervals)) for intervals in fewer), stage]
