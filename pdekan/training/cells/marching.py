"""Time marching on cells: slabs of time, whose lengths and cells in space follow the solution, from the start to the end.

Cells span a slab, so that their elimination costs what it costs in space alone, and all of it is linear in the number of slabs.
All of time is marched through again with a smaller tolerance, as long as there is time: the difference estimates the error,
with what the errors of early slabs have become in later ones.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import torch

from pdekan.cells import refinement, system
from pdekan.cells.elimination import UndeterminedError
from pdekan.domains.partition import Partition
from pdekan.errors import norms
from pdekan.fields.jets import TIME
from pdekan.networks import legendre
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.validation import Validation
from pdekan.solutions import reference_files
from pdekan.solutions.solution import Solution
from pdekan.training import result
from pdekan.training.cells.estimate import RELIABLE, at_least, by_difference
from pdekan.training.cells.march import March, Walk
from pdekan.training.cells.slab import Accuracy, Ladder, in_space
from pdekan.training.cells.steps import StepSolver
from pdekan.training.cells.training import refusal
from pdekan.training.clock import StepEndedError
from pdekan.training.estimate import Comparison
from pdekan.training.goal import Goal
from pdekan.training.history import History
from pdekan.training.points import DEFAULT_MEGABYTES
from pdekan.training.posedness.uniqueness import refuse_undetermined
from pdekan.training.progress import Progress
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage
from pdekan.training.setup import Setup
from pdekan.training.state import Candidate, State
from pdekan.training.threads import threads

LOG = logging.getLogger(__name__)
SAMPLING = Sampling(8, 4, 0, 0)  # where a solution is judged that does not reach the end
NOTHING = 10.0  # relative residuals above it are those of no solution, which may have no estimate
COMPARED = -2  # points along an axis of a cell, more than the degree, at which solutions are compared


@dataclass(frozen=True)
class MarchRule:
    """How all of time is marched through.

    first: the relative indicator wanted of the first march; linear problems take its steps and cells as they are, which tells
    the size of the slopes. Then the one reached is lowered by `lowered`, or by at least `least` where there is no time for
    more. growth: seconds grow as its power -growth (0.5 to 0.7 in a few runs). degrees: of the first march, and of the others
    where memory is enough for the cells of the last one. planned: of the seconds left, those that slabs may take together
    for more cells or shorter slabs. soonest: the part of a march after which it is compared with the last one. cells: along
    every axis at first. slabs: of which the first has the length. shortest: of all of time, relative to the indicator wanted.
    numbers: kept of a cell for each of its points and traces and each of its unknowns and traces (7.8 to 9.1 were measured);
    others: megabytes for all else.
    """

    first: float = 0.3
    lowered: float = 0.1
    least: float = 0.6
    growth: float = 0.6
    degrees: tuple[int, int] = (6, 10)
    planned: float = 0.85
    soonest: float = 0.15
    cells: int = 4
    slabs: int = 8
    shortest: float = 0.01
    numbers: float = 9.5
    others: float = 400.0


class CellMarching:
    """The solution of a problem in time on cells, march after march, all of them again where a run is resumed.

    Raises ProblemError for what cannot be solved on cells.
    """

    def __init__(self, problem: Problem, setup: Setup, resume: Solution | None = None, rule: MarchRule = MarchRule()) -> None:
        reason = refusal(problem)
        if reason is not None:
            raise ProblemError(f"cells: {reason}; leave out cells, or set cells = 1")
        self.problem, self.setup, self.rule = problem, setup, rule
        self.column = problem.domain.coordinates.index(TIME)
        self.goal = Goal.of(replace(problem, network=replace(problem.network, degree=None)), None)
        self.device = torch.device("cpu")
        self.history = History(problem, None if resume is None else resume.history)
        self.clock = setup.clock(0.0 if resume is None else resume.seconds, problem.training.seconds)
        self.marches: list[March] = []
        self.partial: March | None = None
        self.too_fine = 0.0  # the indicator wanted of a march for which memory was not enough
        self.comparison: Comparison | None = None
        self.count = 0 if resume is None else resume.iterations
        self.words, self.reason = "", Reason.BUDGET

    def allow(self, seconds: float) -> None:
        """Let `solution`, called once more, go on for so many seconds."""
        self.clock.budget = self.clock.spent + seconds

    def solution(self) -> Solution:
        """March until the estimated error meets the target, or time, memory or round-off end it."""
        reference_files.check_reference(self.problem)
        if self.setup.estimate:
            refuse_undetermined(self.problem)
        with threads(self.setup.cores):
            try:
                self.reason = self._run()
            except UndeterminedError as error:
                raise ProblemError(f"equation and conditions do not determine the solution on cells: {error}") from None
            march = self.marches[-1] if self.marches else self.partial
            assert march is not None
            errors, reference = result.measured(self.problem, march.network)
            return replace(self._solution(march, self.reason), errors=errors or None, reference=reference)

    def _run(self) -> Reason:
        """The reason for which marching ends."""
        with self.clock.running():
            self._is_affine = system.is_affine(self.problem)
            while True:
                wanted = self._next()
                if wanted is None:
                    return Reason.MEMORY if self.too_fine else Reason.BUDGET
                march = self._marched(wanted)
                if march.reason is Reason.MEMORY:
                    self.too_fine = wanted
                    continue
                if march.reason is not Reason.TOLERANCE:
                    self.partial = march
                    return march.reason
                if self.marches and march.relative >= self.marches[-1].relative:
                    return Reason.STALLED
                self._finished(march)
                if self.problem.training.steps is not None and self.count >= self.problem.training.steps:
                    return Reason.STEPS
                alone = math.inf if self.setup.estimate else march.relative
                if (alone if self.comparison is None else self.comparison.worst) <= self.goal.target:
                    return Reason.TOLERANCE

    def _next(self) -> float | None:
        """The indicator wanted of the next march, None where there is no time or memory for one that is better by enough."""
        rule = self.rule
        if not self.marches:
            return math.inf if self._is_affine else rule.first
        last = self.marches[-1]
        left = self.clock.budget - self.clock.spent
        factor = (last.seconds / left) ** (1.0 / rule.growth) if left > 0.0 else math.inf
        reached = max(last.relative, 1e-300)  # more or less than wanted
        factor = max(rule.lowered, factor, math.sqrt(self.too_fine / reached))
        return reached * factor if factor <= rule.least else None

    def _marched(self, wanted: float) -> March:
        """Slabs with an indicator, as far as there is time."""
        solver = self._solver(wanted)
        walk = self._first(wanted, solver)
        reason: Reason | None = None
        while reason is None:
            try:
                reason = self._advanced(solver, walk)
            except StepEndedError as ended:
                reason = ended.reason
        return walk.march(reason, self.column, solver)

    def _advanced(self, solver: StepSolver, walk: Walk) -> Reason | None:
        """Go on by a step, or shorten it; the reason for which there is no other one."""
        lower, upper = walk.times
        if walk.slabs and not solver.has_constant_sources:
            least = walk.slabs[-1].found.size
            walk.partition = solver.for_sources(walk.partition, lower, upper - lower, walk.accuracy, least)
        before = walk.slabs[-1] if walk.slabs else None
        one, taken = solver.solved((lower, upper), before, walk.partition, walk.accuracy, self._seconds_for(lower, upper))
        self.count += 1
        if one is None:
            walk.steps = walk.steps.shortened(1.0, 2)
            return None
        wished = solver.next_length(one, walk.accuracy) / walk.whole
        if not taken:
            walk.steps, walk.partition = walk.steps.shortened(wished), one.mesh.partition
            return None
        walk.slabs.append(one)
        walk.seconds.append(self.clock.spent - walk.began)
        LOG.info("up to %g: %d cells, indicator %.1e", upper, one.mesh.partition.count, one.found.relative)
        walk.steps, walk.partition = walk.steps.next(wished), solver.next_partition(one, walk.accuracy)
        if not self._shown(walk.march(Reason.INTERRUPTED, self.column, solver), upper):
            return Reason.INTERRUPTED
        if walk.steps.position == 1:
            return Reason.TOLERANCE
        loosened = self._loosened(walk.accuracy, upper, walk.seconds[-1])
        if loosened is None:
            return Reason.TOO_SLOW
        walk.accuracy = loosened
        return None

    def _first(self, wanted: float, solver: StepSolver) -> Walk:
        """The first step, the first cells, those of the last march, and the accuracy of all."""
        start, whole = self.problem.domain.lower[self.column], solver.whole
        steps, partition, accuracy = Ladder(Fraction(0), Fraction(1, self.rule.slabs)), self._coarsest(), Accuracy(wanted, 0.0)
        if self.marches:
            last, first = self.marches[-1], self.marches[-1].slabs[0]
            steps = steps.shortened(1.001 * (first.end - first.start) / whole, 0)
            partition, accuracy = first.mesh.partition, Accuracy(wanted, last.size / math.sqrt(whole))
        partition = solver.begun(partition, whole * float(steps.length), accuracy)
        return Walk(start, whole, self.clock.spent, steps, partition, accuracy)

    def _seconds_for(self, start: float, end: float) -> float:
        """What a slab may take, so that the others have the time that they took in the last march, in proportion."""
        if not self.is_planned:
            return math.inf
        return self.rule.planned * self.marches[-1].share(start, end) * (self.clock.budget - self.clock.spent)

    @property
    def is_planned(self) -> bool:
        """Whether there is a march that tells how long parts of the next one take."""
        return len(self.marches) > 1

    def _loosened(self, accuracy: Accuracy, reached: float, taken: float) -> Accuracy | None:
        """The accuracy of the rest: less where the march would not reach the end in time; None where that is not worth it."""
        if not self.is_planned:
            return accuracy
        last, left = self.marches[-1], self.clock.budget - self.clock.spent
        done = last.done(reached)
        if taken / max(done, 1e-3) * (1.0 - done) <= left or done < self.rule.soonest:
            return accuracy
        if accuracy.relative >= self.rule.least * last.relative:
            return None
        return replace(accuracy, relative=min(2.0 * accuracy.relative, self.rule.least * last.relative))

    def _solver(self, wanted: float) -> StepSolver:
        rule, (degree, high), domain = self.rule, self.rule.degrees, self.problem.domain
        if self.marches and max(one.mesh.partition.count for one in self.marches[-1].slabs) <= self._most_cells(high):
            degree = high
        shortest = rule.shortest * min(wanted, rule.first) * (domain.upper[self.column] - domain.lower[self.column])
        return StepSolver(
            self.problem, self.column, degree, shortest, self._coarsest(), self._is_affine, self.device, self.clock,
            self._most_cells(degree), bool(self.marches),
        )  # fmt: skip

    def _coarsest(self) -> Partition:
        space = in_space(self.problem.domain, self.column)
        return Partition.grid(space.lower, space.upper, (self.rule.cells,) * space.dimension)

    def _most_cells(self, degree: int) -> int:
        """How many cells of a degree fit into the memory allowed."""
        d, unknowns = self.problem.domain.dimension - 1, len(self.problem.unknowns)
        megabytes = self.problem.training.memory or DEFAULT_MEGABYTES
        inside, points = unknowns * legendre.count(d, degree), len(self.problem.equations) * (degree + 3) ** d
        sides = 2 * d * unknowns * (legendre.count(d - 1, degree) + legendre.count(d - 1, degree - 1))
        numbers = self.rule.numbers * (points + sides) * (inside + sides)
        return max(1, int((megabytes - self.rule.others) * 1e6 / (8 * numbers)))

    def _finished(self, march: March) -> None:
        """Keep a march, compare it with the one before, write a row of the history."""
        self.marches.append(march)
        coarser = [one for one in self.marches if march.relative <= RELIABLE * one.relative]
        self.comparison = None  # two marches of the same cells have the same error, which their difference does not show
        if self.setup.estimate and coarser:
            other = coarser[-1]
            ratio = march.relative / max(other.relative, 1e-300)
            rule = march.sampling(COMPARED).inside(self.problem.domain)
            compared = by_difference(self.problem, (march.network, other.network), [rule], ratio)
            self.comparison = at_least(compared, march.relative)
        unseen = march.sampling(refinement.UNSEEN)
        self._residuals = Validation.of(self.problem, unseen, self.device).residuals(march.network)
        if self._residuals.relative > NOTHING:
            self.comparison = None
        with self.clock.paused():
            known = norms.measured_unknowns(self.problem)
            errors = self.history.quick_errors(march.network) if known else {}
        loss = march.relative**2
        self.history.append(self.count, self.clock.spent, len(self.marches), loss, self._residuals, errors, {})
        cells = sum(one.mesh.partition.count for one in march.slabs)
        LOG.info("%d slabs, %d cells, indicator %.1e in %.1f s", len(march.slabs), cells, march.relative, march.seconds)

    def _shown(self, march: March, reached: float) -> bool:
        """Tell the callback; whether to go on."""
        if self.setup.callback is None:
            return True
        whole = self.problem.domain.upper[self.column] - self.problem.domain.lower[self.column]
        share = (reached - self.problem.domain.lower[self.column]) / whole
        with self.clock.paused():
            self.words = self.setup.callback(
                Progress(
                    stage=len(self.marches) + 1, stages=len(self.marches) + 2, step=self.count,
                    steps=math.ceil(self.count / max(share, 1e-3)) + 1, seconds=self.clock.spent, budget=self.clock.budget,
                    loss=march.relative**2, relative_residual=march.relative, l2_relative=math.nan,
                    snapshot=lambda: self._solution(self.marches[-1] if self.marches else march, Reason.INTERRUPTED),
                )
            ) or ""  # fmt: skip
        return not self.words

    def _solution(self, march: March, reason: Reason) -> Solution:
        problem, words = self.problem, self.words
        whole = march.reason is Reason.TOLERANCE
        if whole:
            residuals = self._residuals
        else:
            residuals = Validation.of(problem, SAMPLING, self.device).residuals(march.network)
            reached = march.slabs[-1].start
            words = words or f"{reason.sentence}, at {TIME} = {reached:g}"
        unestimated = None
        if self.comparison is None:
            unestimated = (
                "there is no other solution that is less accurate by enough, to compare with"
                if self.setup.estimate
                else "not asked for"
            )
        comparison = self.comparison if whole else None
        end = result.End(reason, words, self.goal.tolerance, comparison, unestimated)
        stage = Stage("cells", (len(march.slabs),), index=len(self.marches), count=len(self.marches) + 1)
        state = State(budget=self.clock.budget, steps=self.count, seconds=self.clock.spent)
        made = {"device": str(self.device), "seed": problem.training.seed, "threads": self.setup.cores}
        candidate = Candidate(march.network.requires_grad_(False), stage, residuals)
        return result.solution(problem, candidate, state, end, self.history.arrays(), {}, {}, made)
