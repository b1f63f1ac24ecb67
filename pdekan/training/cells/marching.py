"""Time marching on cells: slabs of time, whose lengths and cells in space follow the solution, from the start to the end.

Cells span a slab, so that their elimination costs what it costs in space alone, and all of it is linear in the number of slabs.
All of time is marched through again with a smaller tolerance, as long as there is time: the difference estimates the error,
with what the errors of early slabs have become in later ones.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdekan.cells import system
from pdekan.cells.elimination import Memory, UndeterminedError
from pdekan.domains.partition import Partition
from pdekan.domains.quadrature import Quadrature
from pdekan.errors import norms
from pdekan.errors.norms import CELL_POINTS
from pdekan.fields.jets import TIME
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.validation import Residuals, Validation
from pdekan.solutions import reference_files
from pdekan.solutions.solution import Solution
from pdekan.training import result
from pdekan.training.cells.estimate import RELIABLE, by_difference
from pdekan.training.cells.slab import Accuracy, CellSlab, SlabSolver
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


@dataclass(frozen=True)
class MarchRule:
    """How all of time is marched through.

    first: the relative indicator wanted of the first march; then the one reached is lowered by `lowered`, or by at least
    `least` where there is no time for more. growth: seconds grow as its power -growth (0.5 to 0.7 in a few runs). degrees: of
    the first march, and of the others where memory is enough for twice the cells of the last one. planned: of the seconds left,
    those that slabs may take together for more cells or shorter slabs. longer: the most by which slabs become longer that took
    more than that. cells: along every axis at first. slabs: of which the first has the length. shortest: of all of time,
    relative to the indicator wanted. wide: bytes for each square of a cell's unknowns and traces.
    """

    first: float = 0.3
    lowered: float = 0.1
    least: float = 0.6
    growth: float = 0.6
    degrees: tuple[int, int] = (6, 8)
    planned: float = 0.85
    longer: float = 2.0
    cells: int = 4
    slabs: int = 8
    shortest: float = 0.01
    wide: float = 25.0


@dataclass(frozen=True, eq=False)
class March:
    """Slabs from the start as far as they go. times: seconds after each of them. reason: TOLERANCE where that is the end."""

    slabs: tuple[CellSlab, ...]
    times: tuple[float, ...]
    reason: Reason
    column: int

    @property
    def seconds(self) -> float:
        """Those for all slabs."""
        return max(self.times, default=0.0)

    @property
    def breaks(self) -> list[float]:
        """The ends of all slabs but the last one, which goes on beyond its end."""
        return [one.problem.domain.upper[self.column] for one in self.slabs[:-1]]

    def share(self, start: float, end: float) -> float:
        """Of the seconds from a time on, what this march took up to another."""
        first = self.slabs[0].problem.domain.lower[self.column]
        last = self.slabs[-1].problem.domain.upper[self.column]
        a, b = np.interp((start, end), (first, *self.breaks, last), (0.0, *self.times))
        return float((b - a) / max(self.seconds - a, 1e-300))

    @property
    def relative(self) -> float:
        """The indicator of all slabs, relative to the slopes."""
        return math.hypot(*(one.error for one in self.slabs)) / max(self.size, 1e-300)

    @property
    def size(self) -> float:
        """That of the slopes."""
        return math.hypot(*(one.found.size for one in self.slabs))

    @property
    def network(self) -> Network:
        """The function of all slabs."""
        return PiecewiseInTime([one.network for one in self.slabs], self.breaks, self.column)

    def residuals(self, device: torch.device) -> Residuals:
        """Root mean squares over all slabs; the relative one is the largest."""
        parts = [one.residuals(device) for one in self.slabs]
        lengths = np.array(
            [one.problem.domain.upper[self.column] - one.problem.domain.lower[self.column] for one in self.slabs]
        )
        squares = np.square([(one.equation, one.conditions) for one in parts])
        equation, conditions = np.sqrt(lengths / lengths.sum() @ squares)
        return Residuals(float(equation), float(conditions), math.inf, max(one.relative for one in parts))

    def rules(self) -> Iterator[Quadrature]:
        """Points in all cells, slab by slab."""
        return (one.mesh.geometry.quadrature(one.mesh.degrees, CELL_POINTS) for one in self.slabs)


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
        self.device = torch.device(setup.device)
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
            return rule.first
        last = self.marches[-1]
        left = self.clock.budget - self.clock.spent
        factor = (last.seconds / left) ** (1.0 / rule.growth) if left > 0.0 else math.inf
        reached = max(last.relative, 1e-300)  # more or less than wanted
        factor = max(rule.lowered, factor, math.sqrt(self.too_fine / reached))
        return reached * factor if factor <= rule.least else None

    def _marched(self, wanted: float) -> March:
        """Slabs with an indicator, as far as there is time."""
        domain, k, began = self.problem.domain, self.column, self.clock.spent
        position, end = domain.lower[k], domain.upper[k]
        solver, before, reason = self._solver(wanted, end - position), None, Reason.TOLERANCE
        slabs: list[CellSlab] = []
        times: list[float] = []
        length, partition, accuracy = self._first(wanted, end - position)
        while position < end:
            upper = position + (end - position) / max(1, math.ceil((end - position) / length - 0.1))
            begun = solver.begun(position, upper, before, partition, accuracy)
            if begun is None:
                length = 0.5 * (upper - position)
                continue
            try:
                seconds = self._seconds_for(position, upper)
                one, taken = solver.solved((position, upper), before, begun, accuracy, seconds)
            except StepEndedError as ended:
                reason = ended.reason
                break
            self.count += 1
            length = solver.next_length(one, accuracy, taken)
            if not taken:
                partition = one.mesh.partition
                continue
            if not math.isfinite(one.error):
                reason = Reason.DIVERGED
                break
            slabs, times = [*slabs, one], [*times, self.clock.spent - began]
            LOG.info("up to %g: %d cells, indicator %.1e", upper, one.mesh.partition.count, one.found.relative)
            length = max(length, (upper - position) * self._behind(times, seconds))
            partition, before, position = solver.next_partition(one, accuracy), one, upper
            if not self._shown(March(tuple(slabs), tuple(times), Reason.INTERRUPTED, k)):
                reason = Reason.INTERRUPTED
                break
        if not slabs:
            slabs, times = [self._whole(solver)], [self.clock.spent - began]
        return March(tuple(slabs), tuple(times), reason, k)

    def _first(self, wanted: float, whole: float) -> tuple[float, Partition, Accuracy]:
        """Length and cells of the first slab, those of the last march, and the accuracy of all."""
        if not self.marches:
            return whole / self.rule.slabs, self._coarsest(), Accuracy(wanted, 0.0)
        last, domain = self.marches[-1], self.marches[-1].slabs[0].problem.domain
        length = domain.upper[self.column] - domain.lower[self.column]
        return length, last.slabs[0].mesh.partition, Accuracy(wanted, last.size / math.sqrt(whole))

    def _seconds_for(self, start: float, end: float) -> float:
        """What a slab may take, so that the others have the time that they took in the last march, in proportion."""
        if not self.marches:
            return math.inf
        return self.rule.planned * self.marches[-1].share(start, end) * (self.clock.budget - self.clock.spent)

    def _behind(self, times: list[float], seconds: float) -> float:
        """By which factor the last slab took longer than it may: by as much the next one is longer, with as many cells."""
        taken = times[-1] - (times[-2] if len(times) > 1 else 0.0)
        return min(taken / max(seconds, 1e-9), self.rule.longer)

    def _solver(self, wanted: float, length: float) -> SlabSolver:
        degree, high = self.rule.degrees
        if self.marches and 2 * max(one.mesh.partition.count for one in self.marches[-1].slabs) <= self._most_cells(high):
            degree = high
        shortest = self.rule.shortest * wanted * length
        return SlabSolver(
            self.problem, self.column, degree, shortest, self._coarsest(), self._is_affine, self.device, self.clock,
            self._most_cells(degree), bool(self.marches), lambda: Memory(self.setup.triangles),
        )  # fmt: skip

    def _coarsest(self) -> Partition:
        domain = self.problem.domain
        counts = [1 if k == self.column else self.rule.cells for k in range(domain.dimension)]
        return Partition.grid(domain.lower, domain.upper, counts)

    def _most_cells(self, degree: int) -> int:
        """How many cells of a degree fit into the memory allowed."""
        d, megabytes = self.problem.domain.dimension, self.problem.training.memory or DEFAULT_MEGABYTES
        sides = 2 * (d - 1) * (legendre.count(d - 1, degree) + legendre.count(d - 1, degree - 1))
        width = len(self.problem.unknowns) * (legendre.count(d, degree) + sides)
        return max(1, int(megabytes * 1e6 / (self.rule.wide * width**2)))

    def _whole(self, solver: SlabSolver) -> CellSlab:
        """All of time as one slab on the coarsest cells, where there was no time for any other."""
        domain, k = self.problem.domain, self.column
        at_once = replace(solver, clock=self.setup.clock(0.0, math.inf), rule=replace(solver.rule, rounds=1, newton=1))
        return at_once.solved((domain.lower[k], domain.upper[k]), None, self._coarsest(), Accuracy(math.inf, 0.0))[0]

    def _finished(self, march: March) -> None:
        """Keep a march, compare it with the one before, write a row of the history."""
        self.marches.append(march)
        coarser = [one for one in self.marches if march.relative <= RELIABLE * one.relative]
        self.comparison = None  # two marches of the same cells have the same error, which their difference does not show
        if self.setup.estimate and coarser:
            other = coarser[-1]
            ratio = march.relative / max(other.relative, 1e-300)
            self.comparison = by_difference(self.problem, (march.network, other.network), march.rules(), ratio)
        self._residuals = march.residuals(self.device)
        with self.clock.paused():
            known = norms.measured_unknowns(self.problem)
            errors = self.history.quick_errors(march.network) if known else {}
        loss = march.relative**2
        self.history.append(self.count, self.clock.spent, len(self.marches), loss, self._residuals, errors, {})
        cells = sum(one.mesh.partition.count for one in march.slabs)
        LOG.info("%d slabs, %d cells, indicator %.1e in %.1f s", len(march.slabs), cells, march.relative, march.seconds)

    def _shown(self, march: March) -> bool:
        """Tell the callback; whether to go on."""
        if self.setup.callback is None:
            return True
        reached = march.slabs[-1].problem.domain.upper[self.column]
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
            reached = march.slabs[-1].problem.domain.upper[self.column]
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
