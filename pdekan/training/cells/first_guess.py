"""A first guess on cells for nonlinear problems in time: slabs of time, each solved on cells from the end of the one before.

Gauss-Newton steps on all of time begin from no function at all, and may lead away from the solution where a long time is to be
predicted. In a short slab they do not; the function of all slabs is near enough to the solution for steps on all of time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from pdekan.ansatz.time_slabs import slab
from pdekan.fields.jets import TIME
from pdekan.networks.base import Network
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.problem import Problem

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellMarch:
    """How slabs are chosen.

    count: slabs at first. enough: the relative indicator of a slab's cells that is accepted; a slab that misses it is halved,
    one that meets it is followed by one `longer` times as long. share: of the seconds left, that one may take. smallest: the
    length, relative to all of time, below which there is no guess.
    """

    count: int = 8
    enough: float = 5e-2
    longer: float = 1.5
    share: float = 0.5
    smallest: float = 1e-3
    patience: float = 2.0


def marches(problem: Problem) -> bool:
    """Whether a problem can be solved slab by slab."""
    return TIME in problem.domain.coordinates and any(one.is_initial for one in problem.conditions)


def marched(
    problem: Problem,
    left: Callable[[], float],
    train: Callable[[Problem], tuple[Network, float]],
    rule: CellMarch = CellMarch(),
) -> Network | None:
    """The function of all slabs, None where time or slabs of any length do not suffice.

    left: the seconds that are left. train: the network that solves the problem of a slab, and its relative indicator.
    """
    column = problem.domain.coordinates.index(TIME)
    start, end = problem.domain.lower[column], problem.domain.upper[column]
    length, position = (end - start) / rule.count, start
    networks: list[Network] = []
    breaks: list[float] = []
    longest = 0.0
    while position < end:
        upper = position + length if position + 1.2 * length < end else end
        if left() <= 0.0 or length < rule.smallest * (end - start):
            return None
        before = networks[-1] if networks else None
        began = left()
        part = slab(problem, (position, upper), 0, before, min(rule.share * began, rule.patience * longest or math.inf))
        network, indicator = train(part)
        LOG.info("slab %g to %g: indicator %.1e", position, upper, indicator)
        if indicator <= rule.enough:
            longest = max(longest, began - left())
            networks.append(network)
            breaks.append(upper)
            position, length = upper, rule.longer * (upper - position)
        else:
            length = 0.5 * (upper - position)
    return PiecewiseInTime(networks, breaks[:-1], column)
