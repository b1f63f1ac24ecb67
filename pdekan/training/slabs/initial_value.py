"""Initial value problems in one coordinate: slabs whose lengths follow the solution, from its start to its end.

The first slab is all of the interval; one that misses its tolerance is tried again shorter, one that meets it is followed by a
longer one (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.4, eq. 4.13). Then all is
solved again with a hundredth of the tolerance: the difference estimates the error at the end of all slabs, where those of early
slabs may have grown. Where it is too large, the better solution takes the place of the other.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pdekan.domains.box import Box
from pdekan.domains.quadrature import gauss
from pdekan.errors.estimate import Estimate
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.evaluation import evaluate
from pdekan.problem_files.narrow_data import narrow_places
from pdekan.problems.condition import OperatorCondition
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training import result
from pdekan.training.clock import Clock, StepEndedError
from pdekan.training.estimate import COMPARISON, Comparison
from pdekan.training.goal import Goal
from pdekan.training.history import History
from pdekan.training.progress import Callback, Progress
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage, is_open
from pdekan.training.slabs.fit import Slab, SlabFit, fitted
from pdekan.training.slabs.standing import March, Standing, plain
from pdekan.training.state import Candidate, State

LOG = logging.getLogger(__name__)
BESIDE = 4.0  # widths beside narrow places of the data at which slabs end, as at the places themselves
SAMPLING = Sampling(64, 4, 0, 0)  # where a solution is judged that does not reach the end


@dataclass(frozen=True)
class Lengths:
    """How slabs are chosen.

    tolerances: of the error that a slab adds, from the first solution to the last one. safety, least, most: of the factor
    between lengths. rejected: the largest factor after a slab that missed its tolerance. smallest: relative to the position,
    the length at which there is no going on.
    """

    tolerances: tuple[float, ...] = (1e-9, 1e-11, 1e-13)
    safety: float = 0.8
    least: float = 0.1
    most: float = 4.0
    rejected: float = 0.6
    smallest: float = 1e-13

    def factor(self, error: float, tolerance: float, order: int) -> float:
        """By how much the next slab is longer than one that added an error."""
        if not math.isfinite(error):
            return self.least
        wanted = self.safety * math.pow(tolerance / max(error, 1e-300), 1.0 / order)
        return min(self.most if error <= tolerance else self.rejected, max(self.least, wanted))


def applies(problem: Problem) -> bool:
    """Whether a problem is an initial value problem in one coordinate, with a network and points that the solver chooses."""
    options, domain = problem.training, problem.domain
    if domain.dimension != 1 or not isinstance(domain, Box) or problem.network.base != "none" or not is_open(problem):
        return False
    more = problem.parameters or problem.data or problem.enrichments or problem.interfaces
    default = replace(options, seed=0, seconds=60.0, tolerance=None, memory=None) == TrainingOptions()
    if more or not default or len(problem.equations) != len(problem.unknowns):
        return False
    start = domain.faces[0]
    return bool(problem.conditions) and all(
        isinstance(one, OperatorCondition) and not one.is_exact and one.has_points and problem.faces(one) == [start]
        for one in problem.conditions
    )


@dataclass
class InitialValueTraining:
    """The training of an initial value problem.

    estimate: whether the error is estimated. standing: where the marches are, at first and then. earlier: the history so far
    of a run that goes on.
    """

    problem: Problem
    clock: Clock
    callback: Callback | None = None
    estimate: bool = True
    lengths: Lengths = field(default_factory=Lengths)
    rule: SlabFit = field(default_factory=SlabFit)
    standing: Standing = field(default_factory=Standing)
    earlier: Mapping[str, NDArray[np.float64]] | None = None
    words: str = ""
    began_nowhere: bool = False

    def __post_init__(self) -> None:
        self.history = History(self.problem, self.earlier)
        self.goal = Goal.of(self.problem, None)
        places = [(one.position, BESIDE * one.width) for one in narrow_places(self.problem)]
        self.stops = sorted(x + side * width for x, width in places for side in (-1.0, 0.0, 1.0))

    def solution(self) -> Solution:
        """The first solution whose estimated error is within the tolerance, else the best one."""
        reason = "not asked for"
        while not self._is_enough():
            better, one = self._marched(), self.standing
            if better.reason is Reason.TOLERANCE:
                self.standing = self._with(better)
            elif one.found is None:
                return self._finished(better, None, reason)
            elif better.reason is Reason.INTERRUPTED:
                return self._finished(replace(one.found, reason=better.reason), one.comparison, reason)
            else:
                reason = f"a better solution to compare with was not found: {better.reason.sentence}"
                break
        assert self.standing.found is not None
        return self._finished(self.standing.found, self.standing.comparison, reason)

    def _is_enough(self) -> bool:
        """Whether a march was found that needs no better one, or the last one has been made."""
        one = self.standing
        if one.found is None:
            return False
        met = one.comparison is not None and one.comparison.worst <= self.goal.tolerance
        return met or not self.estimate or one.number == len(self.lengths.tolerances)

    def _with(self, better: March) -> Standing:
        """Where the marches are with another one that reached the end."""
        one, comparison, found = self.standing, None, better
        if one.found is not None:
            comparison = _compared(self.problem, one.found, better)
            found = one.found if comparison.worst <= self.goal.tolerance else better
        return replace(one, number=one.number + 1, found=found, comparison=comparison, slabs=(), length=None)

    def _marched(self) -> March:
        """Slabs that each add at most the tolerance to the error, as far as there is time."""
        start, end = self.problem.domain.lower[0], self.problem.domain.upper[0]
        tolerance, slabs = self.lengths.tolerances[self.standing.number], list(self.standing.slabs)
        length = end - start if self.standing.length is None else self.standing.length
        position, before = (slabs[-1].end, slabs[-1].network) if slabs else (start, None)
        while position < end:
            upper = position + length if position + 1.2 * length < end else end
            upper = next((stop for stop in self.stops if position < stop < upper), upper)
            try:
                with self.clock.running():
                    self.clock.check()
                    slab = fitted(self.problem, position, upper, before, self.clock.check, self.rule)
            except StepEndedError as ended:
                return March(tuple(slabs), ended.reason)
            accepted = slab.error <= tolerance
            length = (upper - position) * self.lengths.factor(slab.error, tolerance, self.rule.degree)
            if accepted:
                slabs.append(slab)
                position, before = upper, slab.network
            self.standing = replace(self.standing, slabs=tuple(slabs), length=length, fits=self.standing.fits + 1)
            if not accepted and length <= self.lengths.smallest * max(abs(position), abs(end - start) * self.lengths.smallest):
                return March(tuple(slabs), Reason.STALLED)
            if accepted and not self._shown():
                return March(tuple(slabs), Reason.INTERRUPTED)
        return March(tuple(slabs), Reason.TOLERANCE)

    def _shown(self) -> bool:
        """Write a row of the history and tell the callback; whether to go on."""
        one = self.standing
        last, so_far = one.slabs[-1], March(one.slabs, Reason.INTERRUPTED)
        self.history.append(one.fits, self.clock.spent, one.number, last.error**2, last.residuals, {}, {})
        if self.callback is None:
            return True
        self.words = self.callback(
            Progress(
                stage=one.number + 1, stages=len(self.lengths.tolerances), step=one.fits, steps=one.fits,
                seconds=self.clock.spent, budget=self.clock.budget, loss=last.error**2,
                relative_residual=last.residuals.relative, l2_relative=math.nan,
                snapshot=lambda: self._solution(so_far, None, "interrupted", one),
            )
        ) or ""  # fmt: skip
        return not self.words

    def _finished(self, march: March, comparison: Comparison | None, reason: str) -> Solution:
        if not march.slabs:
            self.began_nowhere = march.reason is Reason.STALLED
            march = replace(march, slabs=(self._whole(),))
        solution = self._solution(march, comparison, reason, self.standing)
        errors, reference = result.measured(self.problem, solution.network)
        return replace(solution, errors=dict(errors) or None, reference=reference)

    def _whole(self) -> Slab:
        """The whole interval as one slab, where there is no shorter one."""
        lower, upper = self.problem.domain.lower[0], self.problem.domain.upper[0]
        return fitted(self.problem, lower, upper, None, lambda: None, self.rule)

    def _solution(self, march: March, comparison: Comparison | None, reason: str, standing: Standing) -> Solution:
        problem, network = self.problem, march.network()
        residuals, words = march.residuals, self.words
        end, reached = problem.domain.upper[0], march.slabs[-1].end
        if march.reason is not Reason.TOLERANCE:
            validation = Validation.of(problem, SAMPLING, torch.device("cpu"))
            residuals = validation.residuals(network)
            place = f"{problem.domain.coordinates[0]} = {reached:g}"
            words = words or f"{_ENDS.get(march.reason, march.reason.sentence)}, at {place}"
            if self.began_nowhere:
                words = "no slab is short enough to begin with: initial values may contradict equations"
        stage = Stage("kan", (), (self.rule.degree,), (self.rule.intervals,), outputs=len(problem.unknowns))
        state = State(self.clock.budget, steps=standing.fits, seconds=self.clock.spent)
        stop = result.End(march.reason, words, self.goal.tolerance, comparison, None if comparison else reason)
        best = Candidate(network.requires_grad_(False), stage, residuals)
        made = {"device": "cpu", "seed": problem.training.seed, "threads": 1}
        LOG.info("%d slabs up to %g of %g", len(march.slabs), reached, end)
        solution = result.solution(problem, best, state, stop, self.history.arrays(), {}, {}, made)
        return replace(solution, continuation=plain(standing))


_ENDS = {Reason.STALLED: "no slab is short enough: the solution may end here"}


@torch.no_grad()
def _compared(problem: Problem, march: March, better: March) -> Comparison:
    """The differences of two solutions by unknown, at Gauss points of every slab of the better one."""
    ends = [problem.domain.lower[0], *(one.end for one in better.slabs)]
    rules = [gauss(a, b, 1, 10) for a, b in itertools.pairwise(ends)]
    points = torch.as_tensor(np.concatenate([x for x, _ in rules]))[:, None]
    weights = torch.as_tensor(np.concatenate([w for _, w in rules]))
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    u, v = (evaluate(one.network(), points, frame) for one in (march, better))
    estimates = {}
    for k, name in enumerate(problem.unknowns):
        assert u.gradient is not None
        assert v.gradient is not None
        pairs = (u.value[:, k], v.value[:, k]), (u.gradient[:, k, 0], v.gradient[:, k, 0])
        (l2, size), (h1, steepness) = (
            (float(weights @ (a - b) ** 2) ** 0.5, float(weights @ b**2) ** 0.5 or 1.0) for a, b in pairs
        )
        estimates[name] = Estimate(l2, l2 / size, h1, h1 / steepness, COMPARISON)
    return Comparison(estimates, True, max(one.l2_relative for one in estimates.values()), 0.0)
