"""Whether a problem is solved by one network or by a network for each cell, where its options leave that open."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch

from pdekan.cells import sources
from pdekan.cells.refinement import UNSEEN
from pdekan.cells.sampling import CellSampling
from pdekan.domains.partition import Partition
from pdekan.domains.pieces import geometry
from pdekan.networks.cells import CellNetwork
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.cell_training import RULE, CellTraining, refusal
from pdekan.training.schedule import is_open
from pdekan.training.setup import Setup
from pdekan.training.trainer import Trainer

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChoiceRule:
    """When cells are tried: where the sources need more than `many` times the first cells to be represented to `accuracy`.

    Of the library's smooth problems in boxes the sources need as many as there are at first, of a Helmholtz problem twice as
    many, of the peaks and fronts of NISTIR 7668 three times as many or more. share: of the seconds, for the cells; one network
    has the rest where the cells do not meet the tolerance.
    """

    many: float = 2.2
    accuracy: float = 1e-4
    most: int = 400
    share: float = 0.6


def is_local(problem: Problem, rule: ChoiceRule = ChoiceRule()) -> bool:
    """Whether the sources of a problem are so local that cells are tried."""
    network, training = problem.network, problem.training
    stated = network.cells is not None or training.points is not None or training.starts is not None or training.resample
    if stated or training.optimizer != "gauss-newton" or not problem.equations or not is_open(problem):
        return False
    if refusal(problem) is not None:
        return False
    d = problem.domain.dimension
    partition = Partition.grid(problem.domain.lower, problem.domain.upper, (RULE.first[d - 1],) * d)
    needed = sources.resolving(problem, partition, RULE.degrees[d - 1], (rule.accuracy,), rule.most).count
    return needed > rule.many * partition.count


def solved(problem: Problem, setup: Setup, rule: ChoiceRule = ChoiceRule()) -> Solution:
    """The solution on cells or, where it does not meet the tolerance, the better one of it and that of one network."""
    seconds = problem.training.seconds
    first = replace(problem, training=replace(problem.training, seconds=rule.share * seconds))
    local = replace(CellTraining(first, setup).solution(), problem=problem)
    if local.status in ("converged", "interrupted"):
        return local
    rest = replace(problem, training=replace(problem.training, seconds=seconds - local.seconds))
    single = replace(Trainer(rest, None, setup).solution(), problem=problem)
    assert isinstance(local.network, CellNetwork)
    cells = geometry(problem.domain, local.network.partition)
    points = CellSampling.of(cells, local.network.cell_degrees, UNSEEN)
    validation = Validation.of(problem, points, torch.device(setup.device))
    residuals = [validation.residuals(one.network).relative for one in (local, single)]
    LOG.info("relative residual %.1e on cells, %.1e of one network", *residuals)
    better = local if not residuals[1] < residuals[0] else single
    return replace(better, seconds=local.seconds + single.seconds)
