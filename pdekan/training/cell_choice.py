"""Whether a problem is solved by one network or by a network for each cell, where its options leave that open."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, replace

import torch

from pdekan.cells import sources
from pdekan.cells.corners import corners
from pdekan.cells.refinement import UNSEEN
from pdekan.cells.sampling import CellSampling
from pdekan.domains.partition import Partition
from pdekan.domains.pieces import geometry
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.networks.cells import CellNetwork
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.cell_training import RULE as CELLS
from pdekan.training.cell_training import CellTraining, refusal
from pdekan.training.schedule import is_open
from pdekan.training.setup import Setup
from pdekan.training.trainer import Trainer

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChoiceRule:
    """When cells are tried: where the sources need more than `many` times the first cells to be represented to `accuracy`.

    Of the library's smooth problems in boxes the sources need as many as there are at first, of a Helmholtz problem twice as
    many, of the peaks and fronts of NISTIR 7668 three times as many or more. In space the factor is larger: there plane waves
    solve smooth problems whose sources need 20 cells instead of 8. share: of the seconds, for the cells; one network
    has the rest where the cells do not meet the tolerance. At re-entrant corners solutions may be smooth all the same: there
    one network has the first `trial` of the seconds, and the rest if it leaves less than `left` as relative residual.
    """

    many: tuple[float, float, float] = (2.2, 2.2, 4.0)
    accuracy: float = 1e-4
    most: int = 400
    share: float = 0.6
    trial: float = 0.2
    left: float = 1e-3


RULE = ChoiceRule()


class Cause(enum.Enum):
    """Why cells are tried."""

    STATED = "the problem file asks for them"
    SOURCES = "sources are local"
    CORNERS = "the domain has re-entrant corners, and one network may leave much"


def cause(problem: Problem, rule: ChoiceRule = RULE) -> Cause | None:
    """Why a problem is solved on cells, or tried there; None where it is not."""
    network, training = problem.network, problem.training
    if network.local:
        return Cause.STATED
    stated = network.cells is not None or training.points is not None or training.starts is not None or training.resample
    if stated or training.optimizer != "gauss-newton" or not problem.equations or not is_open(problem):
        return None
    if refusal(problem) is not None:
        return None
    if is_local(problem, rule):
        return Cause.SOURCES
    return Cause.CORNERS if corners(problem.domain) else None


def solved_on_cells(problem: Problem, setup: Setup, rule: ChoiceRule = RULE) -> Solution | None:
    """The solution where cells are tried, or None where they are not."""
    reason = cause(problem, rule)
    if reason is Cause.STATED:
        return CellTraining(problem, setup).solution()
    if reason is Cause.SOURCES and not any(isinstance(one, PlaneFunctions) for one in problem.singular):
        return _cells_first(problem, setup, rule)
    return None if reason is None else _cells_last(problem, setup, rule)  # functions of planes may be all that is local


def is_local(problem: Problem, rule: ChoiceRule = RULE) -> bool:
    """Whether the sources of a problem are so local that cells are tried."""
    d = problem.domain.dimension
    partition = Partition.grid(problem.domain.lower, problem.domain.upper, (CELLS.first[d - 1],) * d)
    needed = sources.resolving(problem, partition, CELLS.degrees[d - 1], (rule.accuracy,), rule.most).count
    return needed > rule.many[d - 1] * partition.count


def _cells_first(problem: Problem, setup: Setup, rule: ChoiceRule) -> Solution:
    """The solution on cells or, where it does not meet the tolerance, the better one of it and that of one network."""
    local = _within(problem, setup, rule.share * problem.training.seconds, cells=True)
    left = problem.training.seconds - local.seconds
    if local.status in ("converged", "interrupted") or left <= 0.0:
        return local
    return _better(problem, setup, local, _within(problem, setup, left, cells=False))


def _cells_last(problem: Problem, setup: Setup, rule: ChoiceRule) -> Solution:
    """The solution of one network, which has more time where it is nearly good enough, or the better one of it and cells."""
    seconds = problem.training.seconds
    single = _within(problem, setup, rule.trial * seconds, cells=False)
    if single.status == "interrupted":
        return single
    if single.relative_residual < rule.left:
        ended = single.seconds < rule.trial * seconds  # by itself
        return single if ended else replace(Trainer(problem, None, setup, single).solution(), problem=problem)
    left = seconds - single.seconds
    return _better(problem, setup, _within(problem, setup, left, cells=True), single) if left > 0.0 else single


def _within(problem: Problem, setup: Setup, seconds: float, cells: bool) -> Solution:
    """The solution on cells, or of one network, in some of the seconds."""
    part = replace(problem, training=replace(problem.training, seconds=seconds))
    training = CellTraining(part, setup) if cells else Trainer(part, None, setup)
    return replace(training.solution(), problem=problem)


def _better(problem: Problem, setup: Setup, local: Solution, single: Solution) -> Solution:
    """The solution with the smaller estimated error, or else relative residual at the cells' points, with the seconds of both.

    Near a corner the residual is large beside terms of its place, however small the error is.
    """
    if "interrupted" in (local.status, single.status):
        return local
    if local.estimate is not None and single.estimate is not None:
        estimates = [max(one.l2_relative for one in each.values()) for each in (local.estimate, single.estimate)]
        LOG.info("estimated relative error %.1e on cells, %.1e of one network", *estimates)
        better = single if estimates[1] < estimates[0] else local
        return replace(better, seconds=local.seconds + single.seconds)
    assert isinstance(local.network, CellNetwork)
    points = CellSampling.of(geometry(problem.domain, local.network.partition), local.network.cell_degrees, UNSEEN)
    validation = Validation.of(problem, points, torch.device(setup.device))
    residuals = [validation.residuals(one.network).relative for one in (local, single)]
    LOG.info("relative residual %.1e on cells, %.1e of one network", *residuals)
    better = local if not residuals[1] < residuals[0] else single
    return replace(better, seconds=local.seconds + single.seconds)
