"""Local networks on cells: solved, measured, refined where the indicators are large."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdekan.cells import corners, interfaces, refinement, sources, system
from pdekan.cells.elimination import Memory, UndeterminedError
from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import Indicators, RefinementRule
from pdekan.cells.sampling import CellSampling
from pdekan.cells.system import Solved
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.planar import Planar
from pdekan.domains.shapes import Polygon
from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.fields.jets import TIME
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions import reference_files
from pdekan.solutions.solution import Solution
from pdekan.training import result
from pdekan.training.cells.estimate import Step, compared_with, comparison
from pdekan.training.cells.first_guess import marched, marches
from pdekan.training.cells.slab import goes_by_slabs
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
ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class CellRule:
    """How cells are begun with and when refinement ends.

    degrees, first: by dimension, the degree of the polynomials and the first cells along an axis. accuracy: the relative
    indicator of the slopes' error at which refinement ends, relative to the target of the residual. newton: the most
    Gauss-Newton steps on one mesh; one is enough from a solution with an indicator of `near`, whose square is the error of a
    linearisation. stagnation: refinement ends after so many steps without an indicator `less` times the least
    one. wide: bytes for each square of a cell's unknowns and traces. growth: of the seconds for a cell, from few to many.
    first_share: of the time left, that the first cells may take which resolve the sources. at_once: how many times as many
    cells a step towards them may have. shares: of the largest indicator, above which cells are refined: the first for whose
    cells there is time. lost: the factor of the residual from the first step on the first cells to the last one from which on a
    nonlinear problem in time is marched through, in at most `march_share` of the seconds, to an error of about `march`, where
    the steps on all of time begin then, on cells that represent it to `represented`: on those for 1e-2 a pair of solitons
    was lost again. It is 1 and more for a pair of solitons and Allen and Cahn's equation, 0.9 for the
    front of Burgers' equation, 0.05 for two solitons that meet.
    """

    degrees: tuple[int, int, int] = (14, 10, 6)
    first: tuple[int, int, int] = (4, 4, 2)
    accuracy: float = 0.1
    newton: int = 20
    near: float = 0.1
    stagnation: int = 5
    less: float = 0.7
    wide: float = 50.0
    growth: float = 1.5
    first_share: float = 0.3
    at_once: float = 12.0
    few: float = 1.1
    shares: tuple[float, ...] = (0.1, 0.3, 0.7)
    lost: float = 0.97
    march: float = 1e-2
    represented: float = 1e-4
    march_share: float = 0.6


RULE = CellRule()


def refusal(problem: Problem) -> str | None:
    """Why a problem cannot be solved on cells, or None where it can."""
    domain = problem.domain
    in_slabs = problem.network.cells in (ADAPTIVE, None) and goes_by_slabs(problem)
    shape = domain.base if isinstance(domain, Cylinder) and in_slabs else domain
    if not isinstance(shape, Box | Planar) or domain.dimension > TENSOR_DIMENSIONS:
        kind = f"{domain.type_name} of dimension {domain.dimension}"
        return (
            f"the domain is a {kind}; cells fill boxes up to three dimensions and plane shapes, with adaptive ones also in time"
        )
    requirements = [one for condition in problem.conditions for one in condition.requirements(problem)]
    for what, there in (
        ("parameters that are sought", problem.parameters),
        ("data", problem.data),
        ("enrichments", problem.enrichments),
        ("exact conditions", any(one.is_exact for one in problem.conditions)),
        ("means over all of time", TIME in domain.coordinates and any(one.is_mean for one in requirements)),
        ("conditions inside", any(one.at for one in problem.conditions)),
        ("slabs of time", problem.training.slabs > 1),
        ("graded coordinates", problem.training.adapt),
        ("slits", isinstance(shape, Polygon) and bool(shape.slits)),
        ("an MLP", problem.network.kind == "mlp"),
    ):
        if there:
            return f"there are {what}"
    return interfaces.refusal(problem)


class CellTraining:
    """The solution of a problem on cells, step by step. Raises ProblemError for what cannot be solved on cells."""

    def __init__(self, problem: Problem, setup: Setup, resume: Solution | None = None, rule: CellRule = CellRule()) -> None:
        reason = refusal(problem)
        if reason is not None:
            raise ProblemError(f"cells: {reason}; leave out cells, or set cells = 1")
        self.problem, self.setup, self.rule = problem, setup, rule
        self.goal = Goal.of(replace(problem, network=replace(problem.network, degree=None)), None)
        self.target = rule.accuracy * self.goal.target
        self.device = torch.device(setup.device)
        self.adaptive = problem.network.cells in (ADAPTIVE, None)
        self.history = History(problem, None if resume is None else resume.history)
        spent = 0.0 if resume is None else resume.seconds
        self.clock = setup.clock(spent, problem.training.seconds)
        self.count = 0 if resume is None else resume.iterations
        self.start = None if resume is None else resume.network
        self.steps: list[Step] = []
        self.coarse = 0  # steps on cells that are not compared with others
        self.words, self.reason = "", Reason.BUDGET
        self.memory = Memory(setup.triangles)

    def solution(self) -> Solution:
        """Solve and refine until the estimated error meets the target, or time, memory or round-off end it."""
        reference_files.check_reference(self.problem)
        if self.setup.estimate:
            refuse_undetermined(self.problem)
        with threads(self.setup.cores):
            self.reason = self._run()
            best = self.steps[0]
            if self.adaptive:
                best = min(self.steps, key=lambda step: step.found.relative)
            comparison, unestimated = self._compared(best, self.reason)
        end = result.End(self.reason, self.words, self.goal.tolerance, comparison, unestimated)
        errors, reference = result.measured(self.problem, best.network)
        return replace(self._solution(best, end, errors), reference=reference)

    def _run(self) -> Reason:
        """The reason for which refinement ends."""
        try:
            with self.clock.running():
                mesh = self.steps[-1].mesh if self.steps else self._begun()
                while True:
                    seconds = self.clock.spent
                    if mesh is not self.steps[-1].mesh:
                        self._step(mesh, self.clock.check)
                    reason = self._reason(mesh)
                    if reason is not None:
                        return reason
                    taken, before = self.clock.spent - seconds, mesh
                    for share in self.rule.shares:
                        mesh = self._next_mesh(share)
                        predicted = taken * _work(mesh) / _work(before) if self.adaptive else 0.0
                        if predicted < self.clock.budget - self.clock.spent:
                            break
                    else:
                        return Reason.TOO_SLOW
                    if mesh.degrees.shape == before.degrees.shape and (mesh.degrees == before.degrees).all():
                        return Reason.STALLED
        except StepEndedError as ended:
            return ended.reason
        except UndeterminedError as error:
            raise ProblemError(f"equation and conditions do not determine the solution on cells: {error}") from None

    def allow(self, seconds: float) -> None:
        """Let `solution`, called once more, go on for so many seconds."""
        self.clock.budget = self.clock.spent + seconds

    def _begun(self) -> Mesh:
        """The first mesh that is refined by its solution; those before it are solved."""
        self._affine = system.is_affine(self.problem)
        mesh = self._first_mesh()
        self._step(mesh, lambda: None)  # there is always a solution
        if self.adaptive and _is_lost(self) and (guess := _marched(self)) is not None:
            most = self._most_cells(int(mesh.degrees.max())) // 2
            mesh = refinement.representing(self.problem, mesh, guess, self.rule.represented, most)
            self.start, self.steps = guess, []
            self._step(mesh, lambda: None)
        return self._resolved(mesh) if self.adaptive and self.start is None else mesh

    def _first_mesh(self) -> Mesh:
        problem, rule, domain = self.problem, self.rule, self.problem.domain
        if isinstance(self.start, CellNetwork):
            return Mesh.of(problem, self.start.partition, self.start.cell_degrees)
        stated, d = problem.network.degree, domain.dimension
        degree = stated if isinstance(stated, int) else rule.degrees[d - 1]
        cells = problem.network.cells
        counts = (rule.first[d - 1],) * d
        if not self.adaptive and cells is not None:
            counts = (cells,) * d if isinstance(cells, int) else tuple(map(int, cells))
        if len(counts) != d:
            raise ProblemError(
                f"network.cells has {len(counts)} numbers for {d} coordinates; write one for each, or a single number"
            )
        partition = interfaces.partition_of(problem, counts)
        return Mesh.of(problem, partition, np.full(partition.count, degree))

    def _resolved(self, mesh: Mesh) -> Mesh:
        """The mesh that the sources and corners need, as far as there is time, reached in steps of which each is solved."""
        began = 0.0
        while True:
            finer = self._resolving(mesh, (self.clock.spent - began) / mesh.partition.count)
            if finer is mesh:
                return mesh
            self.coarse, mesh, began = len(self.steps), finer, self.clock.spent
            self._step(mesh, self.clock.check)

    def _resolving(self, mesh: Mesh, seconds: float) -> Mesh:
        """The next mesh on the way; the same one where it is enough. seconds: that the last step took for a cell."""
        degree, rule = int(mesh.degrees[0]), self.rule
        in_time = rule.first_share * (self.clock.budget - self.clock.spent) / (rule.growth * seconds)
        goals = [10.0**-k for k in range(1, 1 + math.ceil(-math.log10(self.target)))]
        most = int(min(in_time, self._most_cells(degree) / 2, rule.at_once * mesh.partition.count))
        partition = sources.resolving(self.problem, mesh.partition, degree, goals, most)
        partition = corners.graded(partition, self.problem.domain, self.target, most)
        if partition.count <= rule.few * mesh.partition.count:
            return mesh
        return Mesh.of(self.problem, partition, np.full(partition.count, degree))

    def _most_cells(self, degree: int) -> int:
        """How many cells of a degree fit into the memory allowed."""
        d, megabytes = self.problem.domain.dimension, self.problem.training.memory or DEFAULT_MEGABYTES
        unknowns = len(self.problem.unknowns)
        width = unknowns * (legendre.count(d, degree) + 2 * self.problem.order * d * legendre.count(d - 1, degree))
        return max(1, int(megabytes * 1e6 / (self.rule.wide * width**2)))

    def _step(self, mesh: Mesh, check_time: Callable[[], None]) -> None:
        """Solve on a mesh: once where the problem is affine, else by Gauss-Newton steps from the solution before."""
        problem, start = self.problem, self.steps[-1].network if self.steps else self.start
        state = None if start is None or self._affine else system.projected(start, mesh, len(problem.unknowns))
        last, before = math.inf, self.steps[-1].found.relative if self.steps else math.inf
        for k in range(1 if self._affine else self.rule.newton):
            one = system.solved(problem, mesh, state, self.device, check_time, self.memory)
            found = refinement.indicators(problem, mesh, one, self.device)
            state = one.network
            self._keep(mesh, one, found)
            near = k == 0 and found.relative < before <= self.rule.near
            if near or found.relative > 0.9 * last or found.relative <= self.target:
                break
            last = found.relative

    def _keep(self, mesh: Mesh, one: Solved, found: Indicators) -> None:
        """Measure a solution, write a row of the history, tell the callback."""
        problem, rule = self.problem, CellSampling.of(mesh.geometry, mesh.degrees, refinement.UNSEEN)
        self.count += 1
        stage = Stage("cells", (mesh.partition.count,), index=len(self.steps), count=len(self.steps) + 1)
        residuals = Validation.of(problem, rule, self.device).residuals(one.network)
        step = Step(mesh, one.network, found, Candidate(one.network, stage, residuals))
        if self.steps and self.steps[-1].mesh is mesh:
            self.steps.pop()
        self.steps.append(step)
        with self.clock.paused():
            known = norms.measured_unknowns(problem)
            errors = norms.measure(problem, one.network) if known else {}
        loss = float((found.cells**2).sum())
        self.history.append(self.count, self.clock.spent, stage.index, loss, residuals, errors, {})
        LOG.info("%d cells, indicator %.1e, relative residual %.1e", mesh.partition.count, found.relative, residuals.relative)
        if self.setup.callback is None:
            return
        with self.clock.paused():
            words = self.setup.callback(self._progress(step, loss, errors))
        if words:
            self.words = words
            raise StepEndedError(Reason.INTERRUPTED)

    def _progress(self, step: Step, loss: float, errors: Mapping[str, Errors]) -> Progress:
        interrupted = result.End(Reason.INTERRUPTED, "", self.goal.tolerance, None, "interrupted")
        return Progress(
            stage=len(self.steps),
            stages=len(self.steps) + 1,
            step=self.count,
            steps=self.count + self.rule.newton,
            seconds=self.clock.spent,
            budget=self.clock.budget,
            loss=loss,
            relative_residual=step.candidate.relative,
            l2_relative=max((e.l2_relative for e in errors.values()), default=math.nan),
            snapshot=lambda: self._solution(step, interrupted, errors),
        )

    def _reason(self, mesh: Mesh) -> Reason | None:
        """Why refinement ends after a step, or None where it goes on."""
        values = [step.found.relative for step in self.steps]
        if not self.adaptive:
            return Reason.STALLED if len(self.steps) > 1 else None
        if not math.isfinite(values[-1]):
            return Reason.DIVERGED
        if values[-1] <= self.target and len(self.steps) - self.coarse > 1:
            return Reason.TOLERANCE
        old = values[: -self.rule.stagnation]
        if old and min(values[-self.rule.stagnation :]) > self.rule.less * min(old):
            return Reason.STALLED
        if mesh.partition.count > self._most_cells(int(mesh.degrees.max())):
            return Reason.MEMORY
        steps = self.problem.training.steps
        return Reason.STEPS if steps is not None and self.count >= steps else None

    def _next_mesh(self, share: float) -> Mesh:
        """Refined, or of higher degrees where a first mesh meets the target, or is not to be refined."""
        last = self.steps[-1]
        if not self.adaptive or last.found.relative <= self.target:
            return refinement.enriched(self.problem, last.mesh)
        return refinement.refined(self.problem, last.mesh, last.network, last.found, self.target, RefinementRule(share))

    def _compared(self, best: Step, reason: Reason) -> tuple[Comparison | None, str | None]:
        """The estimated errors of the best solution, by the one before it or, of cells asked for, by the one after it."""
        if not self.setup.estimate:
            return None, "not asked for"
        if reason is Reason.INTERRUPTED:
            return None, "interrupted"
        other = compared_with(best, self.steps, self.coarse, self.adaptive)
        if other is None:
            return None, "there was no time for a second solution with another residual to compare with"
        return comparison(self.problem, best, other), None

    def _solution(self, best: Step, end: result.End, errors: Mapping[str, Errors]) -> Solution:
        state = State(budget=self.clock.budget, steps=self.count, seconds=self.clock.spent)
        made = {"device": str(self.device), "seed": self.problem.training.seed, "threads": self.setup.cores}
        network = best.network.requires_grad_(False)
        candidate = replace(best.candidate, network=network)
        return result.solution(self.problem, candidate, state, end, self.history.arrays(), errors, {}, made)


def _work(mesh: Mesh) -> float:
    """What a step on a mesh takes, about: the sum of the squares of the cells' unknowns."""
    return float(np.sum(mesh.degrees.astype(float) ** (2 * mesh.partition.dimension)))


def _is_lost(training: CellTraining) -> bool:
    """Whether the steps on the first cells led nowhere, and a problem in time may be marched through."""
    if training.start is not None or not marches(training.problem) or system.is_affine(training.problem):
        return False
    residuals = training.history.arrays()["residual"]
    return not residuals[-1] <= training.rule.lost * residuals[0]


def _marched(training: CellTraining) -> Network | None:
    """The solution in slabs of time, to start from."""
    rule, clock = training.rule, training.clock
    until = clock.spent + rule.march_share * (clock.budget - clock.spent)
    once, setup = replace(rule, lost=math.inf, accuracy=1.0), replace(training.setup, callback=None, estimate=False)

    def train(part: Problem) -> tuple[Network, float]:
        """The best network for a slab, and its relative indicator."""
        one = CellTraining(replace(part, training=replace(part.training, tolerance=rule.march)), setup, rule=once)
        reason = one._run()
        if reason is Reason.INTERRUPTED:
            raise StepEndedError(reason)
        best = min(one.steps, key=lambda step: step.found.relative)
        return best.network, best.found.relative

    return marched(training.problem, lambda: until - clock.spent, train)
