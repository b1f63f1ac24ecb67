"""Whether a problem is solved by one network or by a network for each cell, where its options leave that open."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pdekan.cells import sources
from pdekan.cells.corners import corners
from pdekan.cells.interfaces import partition_of
from pdekan.cells.refinement import UNSEEN
from pdekan.cells.sampling import CellSampling
from pdekan.cells.system import is_affine
from pdekan.domains.region_cells import geometry
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.cells_in_time import CellsInTime
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.cells.first_guess import marches
from pdekan.training.cells.marching import CellMarching
from pdekan.training.cells.slab import goes_by_slabs
from pdekan.training.cells.training import ADAPTIVE, CellTraining, refusal
from pdekan.training.cells.training import RULE as CELLS
from pdekan.training.estimate import compared
from pdekan.training.goal import Goal
from pdekan.training.graded_coordinates import looked_at
from pdekan.training.progress import Callback, Progress
from pdekan.training.reasons import Reason
from pdekan.training.schedule import is_open
from pdekan.training.setup import Setup
from pdekan.training.trainer import Trainer

LOG = logging.getLogger(__name__)
TRIED = "cells are tried"  # why one network ends


@dataclass(frozen=True)
class ChoiceRule:
    """When cells are tried: first of all where the sources need more than `many` times the first cells to be represented to
    `accuracy`, by at most `most` cells.

    Of the library's smooth problems in boxes the sources need as many as there are at first, of a Helmholtz problem twice as
    many, of the peaks and fronts of NISTIR 7668 three times as many or more. In space the factor is larger: there plane waves
    solve smooth problems whose sources need 20 cells instead of 8. share: of the seconds, for these cells; one network
    has the rest where they do not meet the tolerance. of_interfaces: that where interfaces are why; one network left 0.7 of the
    gradient of a battery of five materials where cells left 0.003.

    In all other problems one network begins. Cells are tried, for as many seconds as it took, where after `trial` of the
    seconds, `soonest` at least, its residual is above `left` and will not meet the tolerance if it goes on falling as it did;
    after half of the seconds they are no more. After six seconds of sixty layers left 1e-2 to 3e-1, Stokes flow in a cavity
    1e-3, Kovasznay flow and a Helmholtz problem less than 1e-5. Of a nonlinear problem in time, which may have to be marched
    through, cells have `most_of` the seconds: they had found nothing of a front of Fisher's equation after 13 of 60, which was
    right to 3e-9 after 42; one network ended with an error of 0.2.
    hopeless: the residual above which time is marched through on cells after `soonest`, with all seconds that are left: one
    network left 0.5 after 48 seconds of heat about seventeen holes.
    worth: the share of the seconds that is enough to try cells after one network that has stalled.
    marched: the share of the seconds left in which time is marched through twice, with a network for each cell, before the
    better one goes on; marched_first: instead of `share`.
    """

    many: tuple[float, float, float] = (2.2, 2.2, 4.0)
    accuracy: float = 1e-4
    most: int = 400
    share: float = 0.6
    of_interfaces: float = 0.9
    trial: float = 0.1
    soonest: float = 2.0
    left: float = 3e-3
    hopeless: float = 0.3
    worth: float = 0.3
    marched: float = 0.85
    marched_first: float = 0.9
    most_of: float = 0.75


RULE = ChoiceRule()


class Cause(enum.Enum):
    """Why cells are tried."""

    STATED = "the problem file asks for them"
    SOURCES = "sources are local"
    INTERFACES = "interfaces cut the domain"
    CORNERS = "the domain has re-entrant corners, and one network may leave much"
    LEFT = "one network may leave much"


def cause(problem: Problem, rule: ChoiceRule = RULE) -> Cause | None:
    """Why a problem is solved on cells, or may be tried there; None where it is not."""
    network, training = problem.network, problem.training
    if network.local:
        return Cause.STATED
    stated = network.cells is not None or training.points is not None or training.starts is not None or training.resample
    if stated or training.optimizer != "gauss-newton" or not problem.equations or not is_open(problem):
        return None
    if refusal(problem) is not None:
        return None
    if problem.interfaces:  # functions of crossings are better than small cells
        return None if problem.singular else Cause.INTERFACES
    # functions of planes may be all that is local
    if not any(isinstance(one, PlaneFunctions) for one in problem.singular) and is_local(problem, rule):
        return Cause.SOURCES
    return Cause.CORNERS if corners(problem.domain) else Cause.LEFT


def chosen(problem: Problem, setup: Setup, rule: ChoiceRule = RULE) -> Solution | None:
    """The solution on cells or of one network, whichever is better; None where cells are not tried."""
    reason = cause(problem, rule)
    if reason is None:
        return None
    if reason is Cause.STATED:
        return on_cells(problem, setup).solution()
    if reason in (Cause.SOURCES, Cause.INTERFACES):
        return _cells_first(problem, setup, rule, rule.share if reason is Cause.SOURCES else rule.of_interfaces)
    return _network_first(problem, setup, rule)


def is_of_cells(network: Network) -> bool:
    """Whether a network is one of cells, at once or in slabs of time."""
    return isinstance(network.parts[0] if isinstance(network, PiecewiseInTime) else network, (CellNetwork, CellsInTime))


def on_cells(problem: Problem, setup: Setup, resume: Solution | None = None) -> CellTraining | CellMarching:
    """The training on cells of a problem: all at once, or slab by slab where there is time beside two coordinates."""
    in_slabs = problem.network.cells in (ADAPTIVE, None) and goes_by_slabs(problem)
    return (CellMarching if in_slabs else CellTraining)(problem, setup, resume)


def _tried(problem: Problem, spent: float, rule: ChoiceRule) -> float:
    """The seconds for which cells are tried: as many as one network took, or what marches through time may take."""
    seconds = problem.training.seconds
    twice = rule.marched * (seconds - spent) if goes_by_slabs(problem) else 0.0
    return max(spent, twice, rule.most_of * seconds if marches(problem) and not is_affine(problem) else 0.0)


def is_local(problem: Problem, rule: ChoiceRule = RULE) -> bool:
    """Whether the sources of a problem are so local that cells are tried at once."""
    d = problem.domain.dimension
    partition = partition_of(problem, (CELLS.first[d - 1],) * d)
    needed = sources.resolving(problem, partition, CELLS.degrees[d - 1], (rule.accuracy,), rule.most).count
    return needed > rule.many[d - 1] * partition.count


def outlook(seconds: Sequence[float], residuals: Sequence[float], until: float, back: float = 4.0) -> float:
    """The factor by which a residual will have fallen when `until` seconds are over.

    If it goes on as the power of the seconds by which the least one fell since a time `back` times shorter.
    """
    now, last = seconds[-1], min(residuals)
    then = max(1, int(np.searchsorted(seconds, now / back, side="right")))
    start, before = seconds[then - 1], min(residuals[:then])
    if not (0.0 < start < now and 0.0 < last < before < math.inf and until > now):
        return 1.0
    return float((last / before) ** (math.log(until / now) / math.log(now / start)))


@dataclass
class _Trial:
    """A callback that ends the training of one network where it will not meet the tolerance; it calls another one first.

    marched: whether cells march through time.
    """

    seconds: float
    tolerance: float
    rule: ChoiceRule
    callback: Callback | None
    marched: bool = False
    ended: bool = False
    times: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)

    def __call__(self, progress: Progress) -> str | None:
        words = None if self.callback is None else self.callback(progress)
        self.times.append(progress.seconds)
        self.residuals.append(progress.relative_residual)
        soonest = self.rule.soonest if self.marched else max(self.rule.trial * self.seconds, self.rule.soonest)
        if words or not soonest <= progress.seconds <= 0.5 * self.seconds:
            return words
        least = min(self.residuals)
        expected = least * outlook(self.times, self.residuals, self.seconds)
        self.ended = not (least <= self.rule.left or expected <= self.tolerance)
        return TRIED if self.ended else None

    @property
    def is_hopeless(self) -> bool:
        """Whether cells march through time, and one network has found next to nothing."""
        return self.marched and min(self.residuals) > self.rule.hopeless


def _cells_first(problem: Problem, setup: Setup, rule: ChoiceRule, share: float) -> Solution:
    """The solution on cells or, where it does not meet the tolerance, the better one of it and that of one network."""
    seconds = problem.training.seconds
    share = rule.marched_first if goes_by_slabs(problem) else share
    local = _if_determined(on_cells(_within(problem, share * seconds), setup))
    if local is None:
        return replace(Trainer(looked_at(problem), None, setup).solution(), problem=problem)
    local = replace(local, problem=problem)
    left = seconds - local.seconds
    if local.status in ("converged", "interrupted") or left <= 0.0:
        return local
    return _better(problem, setup, local, Trainer(_within(looked_at(problem), left), None, setup).solution())


def _network_first(problem: Problem, setup: Setup, rule: ChoiceRule) -> Solution:
    """The solution of one network, or of cells where they have the smaller error after as many seconds, and go on."""
    seconds, one = problem.training.seconds, looked_at(problem)
    trial = _Trial(seconds, Goal.of(problem, None).tolerance, rule, setup.callback, goes_by_slabs(problem))
    by_steps = problem.training.steps is not None  # which then decide alone, however fast they are
    single = Trainer(one, None, setup if by_steps else replace(setup, callback=trial)).solution()
    left = seconds - single.seconds
    if not trial.ended and (by_steps or single.status != "stalled" or left < rule.worth * seconds):
        return single
    if not trial.ended or trial.is_hopeless:
        local = _if_determined(on_cells(_within(problem, left), setup))
        return single if local is None else _better(problem, setup, single, local)
    training = on_cells(_within(problem, _tried(problem, single.seconds, rule)), setup)
    local = _if_determined(training)
    spent = 0.0 if local is None else local.seconds
    left = max(seconds - single.seconds - spent, 0.01 * seconds)
    if local is not None and (local.status == "interrupted" or _is_better(problem, setup, local, single, left)):
        if training.reason in (Reason.BUDGET, Reason.TOO_SLOW):
            training.allow(left)
            local = training.solution()
        return replace(local, problem=problem, seconds=single.seconds + local.seconds)
    went_on = Trainer(_within(one, left), None, setup, single).solution()
    return replace(went_on, problem=problem, seconds=went_on.seconds + spent)


def _if_determined(training: CellTraining | CellMarching) -> Solution | None:
    """The solution on cells; None where the first linearisation leaves unknowns open, as at u = 0 in div(u grad(u)).

    One network may have another beginning.
    """
    try:
        return training.solution()
    except ProblemError as error:
        LOG.info("cells are left out: %s", error)
        return None


def _better(problem: Problem, setup: Setup, first: Solution, second: Solution) -> Solution:
    """The better one of two solutions of which one is on cells; interrupted where the second one is."""
    local, single = (first, second) if is_of_cells(first.network) else (second, first)
    better = local if _is_better(problem, setup, local, single) else _ended(single)
    if second.status == "interrupted":
        better = replace(better, status=second.status, reason=second.reason)
    return replace(better, problem=problem, seconds=first.seconds + second.seconds)


def _ended(single: Solution) -> Solution:
    """One network's solution after cells had the rest of the time."""
    if TRIED not in single.reason:
        return single
    return replace(single, status="budget", reason=single.reason.replace(TRIED, Reason.BUDGET.sentence))


def _within(problem: Problem, seconds: float) -> Problem:
    """The problem with other seconds."""
    return replace(problem, training=replace(problem.training, seconds=seconds))


def _is_better(problem: Problem, setup: Setup, local: Solution, single: Solution, more: float = 0.0) -> bool:
    """Whether cells have, or will have after more seconds, the smaller estimated error.

    Or else the smaller relative residual at the cells' points: near a corner that is large beside terms of its place, however
    small the error is.
    """
    cells, known = local.network, _estimated_error(problem, local)
    if local.status == "converged" != single.status or (known or math.inf) < RULE.hopeless < single.relative_residual:
        return True  # of one network the error is larger, or it has found next to nothing: no estimate is needed
    errors = [known, _estimated_error(problem, single)]
    if None in errors and not isinstance(cells, CellNetwork):
        errors = [local.relative_residual, single.relative_residual]
    elif None in errors:
        assert isinstance(cells, CellNetwork)
        points = CellSampling.of(
            geometry(problem.domain, cells.partition, problem.interfaces.values()), cells.cell_degrees, UNSEEN
        )
        validation = Validation.of(problem, points, torch.device(setup.device))
        errors = [validation.residuals(one.network).relative for one in (local, single)]
    expected = []
    for error, one in zip(errors, (local, single), strict=True):
        times, residuals = one.history["seconds"].tolist(), one.history["residual"].tolist()
        expected.append(error * outlook(times, residuals, times[-1] + more) if error is not None and times else math.inf)
    LOG.info("expected error %.1e on cells, %.1e of one network", *expected)
    return not expected[1] < expected[0]


def _estimated_error(problem: Problem, solution: Solution) -> float | None:
    """The largest relative error of all unknowns, estimated now where that was not done; None where it is not known."""
    if solution.estimate is not None:
        return max(one.l2_relative for one in solution.estimate.values())
    if is_of_cells(solution.network):
        return None
    found = compared(problem, solution.network, solution.relative_residual, solution.seconds)
    return None if isinstance(found, str) else found.worst
