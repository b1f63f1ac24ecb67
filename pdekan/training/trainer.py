"""Training: stages, refinement, and the judgement on points that training never saw."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch.nn.utils import parameters_to_vector

from pdekan.ansatz.unknowns import build_ansatz, inner_network, parameter_values
from pdekan.errors import norms as errors_module
from pdekan.errors.norms import Errors
from pdekan.errors.references import Reference
from pdekan.networks.base import Network, NoJacobian
from pdekan.networks.kan import KAN
from pdekan.optimizers.base import Outcome, Step, Watch
from pdekan.problem_files.measurements import held_out
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.adaptive_sampling import resampled
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.residuals.validation import Judge, Residuals
from pdekan.solutions import reference_files
from pdekan.solutions.solution import Found, Solution, environment
from pdekan.training import graded_coordinates, optimizer_choice
from pdekan.training.history import Clock, History
from pdekan.training.optimizer_choice import Optimizer
from pdekan.training.schedule import Stage, is_open, stages, unseen_points
from pdekan.training.stage_selection import Climb, Judged
from pdekan.training.standard_errors import standard_errors
from pdekan.training.warm_start import Succession, check_resumable, stage_of

# The relative residual on unseen points at which a solution counts as converged where the user names no tolerance.
ACCEPTED = 1e-4
# The one at which training stops where the user names neither a tolerance nor a network: the network could always grow.
TARGET = 1e-7
# Parameters from which on more threads are used. Measured on two cores with 848 to 1896 of them: two threads are 1.6 times as
# quick as one on an idle machine, and 1.4 to 1.8 times slower where another process computes; with 138, 1.4 and 3 times.
PARALLEL = 1000
REASONS = {
    "tolerance": "the residual on unseen points met the tolerance",
    "stalled": "no step lowers the loss any further",
    "steps": "the steps allowed were used up",
    "budget": "the time allowed was used up",
    "memory": "no larger network fits into the memory allowed",
    "interrupted": "interrupted",
    "singular": "the first least-squares problem was singular or not finite",
    "diverged": "the loss stopped being finite",
    "outgrown": "the solution became too steep for its coordinates, and the steps allowed were used up",
}
LOG = logging.getLogger(__name__)
# After these the next start or stage may still do better; any other reason ends the training.
ENDS_OF_A_STAGE = ("stalled", "steps", "singular", "diverged", "outgrown")
# Steps after which training asks whether the solution has outgrown the coordinates that it is found in.
LOOK = 2
# A stage ends after so many steps without a lesser residual on unseen points, in coordinates that are not graded where it is
# so many times larger by then: the network has begun to wiggle between the points.
PATIENCE, WORSE = 6, 2.0
# How many times a stage begins again in other coordinates.
AGAIN = 6


@dataclass(frozen=True)
class Progress:
    """What a watcher sees after every step: where training stands. snapshot() is the solution as it is."""

    stage: int
    stages: int
    step: int
    steps: int
    seconds: float
    budget: float
    loss: float
    relative_residual: float
    l2_relative: float
    snapshot: Callable[[], Solution]


# called after every step; a reason, such as "interrupted", stops the training
Watcher = Callable[[Progress], str | None]


@dataclass
class _Least:
    """The parameters of a stage that are best on unseen points, and the step that led there."""

    theta: torch.Tensor | None = None
    relative: float = math.inf
    taken: int = 0


class _OutOfTimeError(Exception):
    """The time allowed has passed in the middle of a step."""


class Training:
    """One training of a problem: the clock, the history and the best network so far.

    given: a network that is trained as it stands, instead of those of the plan. resume: a solution to go on from. threads: how
    many large arrays may use, small ones are left to one. Raises ProblemError for options that do not fit the problem, and for
    a solution that does not.
    """

    def __init__(
        self,
        problem: Problem,
        given: Network | None,
        device: str,
        watch: Watcher | None,
        resume: Solution | None,
        threads: int = 1,
    ) -> None:
        self.problem, self.device, self.watch = problem, torch.device(device), watch
        self.fitted, self.held_out = held_out(problem)
        self.options = problem.training
        self.threads = threads
        self.tolerance = self.options.tolerance or ACCEPTED
        self.grows = given is None and is_open(problem)
        # noise is not to be fitted to any tolerance: training goes on until it stalls, and the network grows no further then
        self.noisy = any(measured.noise for measured in problem.data)
        self.target = self.options.tolerance or ((ACCEPTED if self.noisy else TARGET) if self.grows else 0.0)
        self.plan: tuple[Stage | None, ...] = (None,) if given is not None else stages(problem)
        if self.options.resample:
            self.plan = tuple(stage for stage in self.plan for _ in range(2))
        self.first = 0
        self.taken = 0
        own = None if given is None else build_ansatz(problem, given)
        self.succession = Succession(problem, own, self.device, self.grows, self.options.seed)
        self.climb = Climb(self.plan, self.target, self.grows)
        self.winner: Judged | None = None  # of the starts before
        self.affine = False  # whether the problem has proved to be linear in the last layer's coefficients
        self.pace: float | None = None  # seconds of a step for each of P², of the stage before
        self.solving = optimizer_choice.SOLVING / threads  # seconds of solving for plane waves for each of P³, of those before
        if resume is not None:
            self._resumed(resume)
        self.history = History(problem, None if resume is None else resume.history)
        self.clock = Clock(0.0 if resume is None else resume.seconds, self.options.seconds)

    def _resumed(self, resume: Solution) -> None:
        """Begin where an earlier solution ended."""
        network, succession = resume.network.to(self.device), self.succession
        inner = inner_network(network)
        succession.grading = inner.grading if isinstance(inner, KAN) else None
        planned = [stage for stage in map(self._planned, range(len(self.plan))) if stage is not None]
        check_resumable(self.problem, resume, max(planned, key=lambda stage: stage.hidden, default=None))
        succession.guessed = resume.iterations == 0
        self.first = stage_of(self.plan, inner, resume.stage)
        self.taken = resume.iterations
        self.climb.best = Judged(network, self.first, Residuals())
        if succession.guessed:
            succession.outgrows(network)
            self.first = self.first if succession.grading is None else 0  # in graded coordinates a stage begins afresh
        self.climb.best = self._judged(self.first)  # judged anew: the problem may have changed since

    @property
    def best(self) -> Judged | None:
        """The best network of this start so far."""
        return self.climb.best

    def solution(self) -> Solution:
        """Train from every start, keep the network that does best on unseen points, and measure its errors."""
        self.check()
        starts = 1 if self.best is not None or self.succession.given is not None else (self.options.starts or 1)
        for start in range(starts):
            self.succession.seed = self.options.seed + start
            reason = self._train()
            assert self.best is not None
            if self.winner is None or self.best.relative < self.winner.relative:
                self.winner = self.best
            if reason not in ENDS_OF_A_STAGE or self._steps_left() <= 0:
                break
            self.climb = Climb(self.plan, self.target, self.grows)
        assert self.winner is not None
        network = self.winner.network.requires_grad_(False)
        errors, reference = measured(self.problem, network)
        return replace(self._finished(self.winner, reason, errors, self._uncertainty(network)), reference=reference)

    def _train(self) -> str:
        """Train stage by stage; returns the reason of the end."""
        reason = "stalled"
        for index in range(self.first, len(self.plan)):
            hopeless = self.climb.is_hopeless(index, self.affine)
            if hopeless or self.succession.is_smaller(self._planned(index), self.climb.network):
                continue
            obstacle = self._obstacle(index)
            if obstacle is not None:
                reason = obstacle
                if self.climb.is_of_waves(index):
                    continue  # trained networks have fewer nodes
                break
            with threads(self.threads if self._parameters(index) >= PARALLEL else 1):
                reason = self._stage(index)
                for _ in range(AGAIN):  # from the same start, in coordinates that suit what was found
                    if reason == "outgrown" and self._steps_left() > 0:
                        reason = self._stage(index)
            if reason not in ENDS_OF_A_STAGE or self._steps_left() <= 0:
                break
        self.climb.end()
        assert self.best is not None
        if not self.grows and self.best.stage < len(self.plan) - 1:  # the network that was asked for, whenever training ended
            self.climb.best = self._judged(len(self.plan) - 1)
            if reason == "tolerance" and self.best.relative > self.target:
                reason = self._stage(len(self.plan) - 1)
        return reason

    def check(self) -> None:
        """Refuse a network that was asked for and does not fit, and a reference that cannot be had, before training."""
        reference_files.check(self.problem)
        if self.options.adapt:
            graded_coordinates.check(self.problem)
        if not self.grows:
            last = len(self.plan) - 1
            self._rows(last)
            optimizer_choice.optimizer(self.options, self._parameters(last), dense=True, last=True)

    def _planned(self, index: int) -> Stage | None:
        """A stage of the plan, sized for the coordinates that solutions so far have asked for."""
        stage = self.plan[index]
        return None if stage is None else self.succession.sized(stage)

    def _parameters(self, index: int) -> int:
        """How many parameters the network of a stage has."""
        stage = self._planned(index)
        return _count(self.succession.given) if stage is None else stage.parameters(self.problem.domain.dimension)

    def _obstacle(self, index: int) -> str | None:
        """The reason why a stage cannot be trained, if there is one."""
        if self._too_long(index):
            return "budget"
        return "memory" if self.grows and self.best is not None and not self._fits(index) else None

    def _too_long(self, index: int) -> bool:
        """Whether two steps of a stage would take longer than what is left, were a step's seconds to grow with P² only.

        They grow with P³ in the end, but not for small networks; a stage that proves too slow is ended by the clock. Solving
        for plane waves takes as long for each P³ as for those before.
        """
        stage, last = self._planned(index), self.pace
        if stage is not None and stage.waves:
            return self.clock.spent + self.solving * self._parameters(index) ** 3 > self.clock.budget
        if self.best is None or stage is None or last is None or self.options.optimizer != "gauss-newton":
            return False
        work = self._parameters(index) ** 2
        return self.clock.spent + 2.0 * last * work > self.clock.budget

    def _rows(self, index: int) -> int | None:
        """How many rows a stage takes at a time, None for all. Raises ProblemError where the memory allowed is too small."""
        return optimizer_choice.rows_at_a_time(
            self.options, self._planned(index), self._parameters(index), self.problem.domain.dimension
        )

    def _fits(self, index: int) -> bool:
        """Whether a stage can be trained in the memory that is allowed."""
        try:
            self._rows(index)
        except ProblemError:
            return False
        return True

    def _judged(self, index: int) -> Judged:
        """The best network carried over to a later stage, judged there."""
        assert self.best is not None
        stage = self._planned(index)
        network = self.best.network if stage is not None and stage.waves else self.succession.first(stage, self.best.network)
        sampling = self.succession.sampling(stage, network)
        judge = Judge.of(self.held_out, unseen_points(sampling), self.device)
        return Judged(network, index, judge.residuals(network))

    def _stage(self, index: int) -> str:
        """Train one stage and judge it; returns the reason of its end."""
        stage = self._planned(index)
        waves = stage is not None and stage.waves
        at_once = waves and self.affine and self.best is not None  # whatever the last layer says before it is solved for
        with self.clock.running():
            network = self.succession.first(stage, self.climb.network, imitating=not at_once)
        sampling = self.succession.sampling(stage, network)
        inside = None
        if self.options.resample and self.best is not None and self.problem.equations:
            inside = resampled(self.problem, network, sampling, self.device)
        training = terms(self.fitted, sampling, self.device, inside)
        judge = Judge.of(self.held_out, unseen_points(sampling), self.device)
        if self.options.adapt and self.best is not None:  # judged anew, on points that lie as those that others are judged on
            self.climb.best = replace(self.best, residuals=judge.residuals(self.best.network))
        theta = parameters_to_vector(network.parameters()).detach()
        rows = sum(len(term.target) for term in training)
        dense = optimizer_choice.is_dense(self.options, len(theta), rows)
        last = index == len(self.plan) - 1
        if waves:
            optimizer: Optimizer = optimizer_choice.of_waves(self.best.relative if at_once and self.best is not None else 1.0)
        else:
            optimizer = optimizer_choice.optimizer(self.options, len(theta), dense, last)
        objective = Objective(self.problem, network, training, self.options.weights, self._rows(index), self._pulse)
        self.affine = objective.affine
        least = _Least()
        watch = self._watcher(index, objective, judge, least, waves)
        outcome = self._minimised(optimizer, objective, theta, watch, waves)
        trained = objective.load(outcome.theta if least.theta is None else least.theta)
        judged = Judged(trained, index, judge.residuals(trained))
        if self.climb.keep(judged):
            self.succession.guessed = False
        if outcome.reason == "outgrown" or (outcome.reason in ENDS_OF_A_STAGE and self.succession.outgrows(trained)):
            return "outgrown"
        return "tolerance" if outcome.reason == "stalled" and judged.relative <= self.target else outcome.reason

    def _minimised(self, optimizer: Optimizer, objective: Objective, theta: torch.Tensor, watch: Watch, alone: bool) -> Outcome:
        """What the optimizer comes to; the best that it had when time is out in the middle of a step.

        alone: solve for the linear part alone, which counts as a step.
        """
        before, began, best = self.taken, self.clock.spent, Step(theta, math.inf)

        def watched(step: Step) -> str | None:
            """Keep the best step, count it, and ask the watch."""
            nonlocal best
            if step.loss < best.loss:
                best = replace(step, theta=step.theta.clone())  # some optimizers go on in the same memory
            self.taken = before + step.taken + alone
            return watch(step)

        try:
            with self.clock.running():
                outcome = optimizer.minimise(objective, theta, 0 if alone else self._steps_left(), watched)
        except NoJacobian as error:
            raise ProblemError(str(error)) from error
        except _OutOfTimeError:
            outcome = Outcome(best.theta, best.loss, self.taken - before, "budget")
        if alone and outcome.reason == "steps":  # none were allowed
            outcome = replace(outcome, reason="stalled")
        self.taken = before + outcome.steps + alone
        if alone:
            self.solving = (self.clock.spent - began) / len(theta) ** 3
        elif outcome.steps:
            self.pace = (self.clock.spent - began) / outcome.steps / len(theta) ** 2
        return outcome

    def _pulse(self) -> None:
        """Called many times in a step. Raises _OutOfTimeError where the time allowed has passed."""
        if self.clock.spent > self.clock.budget:
            raise _OutOfTimeError

    def _selects(self) -> bool:
        """Whether of a stage the step is kept that is best on unseen points, and no more are taken long after it.

        Not where others than the solver ask for a network, whose loss is to be the least, nor where noise has the last word.
        """
        dense = self.options.optimizer == "gauss-newton"
        return self.succession.grading is not None or (self.grows and dense and not self.noisy)

    def _steps_left(self) -> int:
        if self.options.steps is not None:
            return self.options.steps - self.taken
        return optimizer_choice.STEPS[self.options.optimizer]

    def _watcher(self, index: int, objective: Objective, judge: Judge, least: _Least, alone: bool) -> Watch:
        """Records every step and says when to stop. Time spent on errors, which training does not need, is not counted.

        alone: as in `_minimised`.
        """
        earlier, selects = self.clock.spent, self._selects()

        def watch(step: Step) -> str | None:
            """Judge the network of a step, write it down, and give the reason to stop, if there is one."""
            nonlocal earlier
            is_step = step.taken > 0 or alone
            if not is_step and not self.options.adapt:
                return None
            network = objective.load(step.theta)
            judged = Judged(network, index, judge.residuals(network))
            if selects and judged.relative < least.relative:
                least.theta, least.relative, least.taken = step.theta.clone(), judged.relative, step.taken
            met = judged.relative <= self.target and not self.noisy
            # the linear part alone is no step; in graded coordinates it may do
            if not is_step and not (met and self.succession.grading is not None):
                return "outgrown" if self.best is not None and self.succession.outgrows(network) else None
            spent = self.clock.spent
            with self.clock.paused():
                errors = self.history.quick_errors(network)
                self.history.append(self.taken, spent, index, step.loss, judged.residuals, errors, parameter_values(network))
                reason = self.watch(self._progress(judged, errors)) if self.watch is not None else None
            last, earlier = spent - earlier, spent
            if reason is not None:
                return reason
            if met:
                return "tolerance"
            if not alone and step.taken % LOOK == 0 and self.succession.outgrows(network):
                return "outgrown"
            worse = judged.relative > (1.0 if self.succession.grading is not None else WORSE) * least.relative
            if selects and worse and step.taken >= least.taken + PATIENCE:
                return "stalled"
            # the next step, where there is one, will take as long as this one
            return "budget" if not alone and spent + last > self.clock.budget else None

        return watch

    def _progress(self, judged: Judged, errors: Mapping[str, Errors]) -> Progress:
        def snapshot() -> Solution:
            kept = [one for one in (self.winner, self.best) if one is not None]
            best = min((judged, *kept), key=lambda one: one.relative)
            known = errors if best is judged else self.history.quick_errors(best.network)
            return self._finished(replace(best, network=deepcopy(best.network)), "interrupted", known)

        return Progress(
            stage=judged.stage + 1,
            stages=len(self.plan),
            step=self.taken,
            steps=self.options.steps or optimizer_choice.STEPS[self.options.optimizer] * len(self.plan),
            seconds=self.history.seconds,
            budget=self.clock.budget,
            loss=self.history.loss,
            relative_residual=judged.relative,
            l2_relative=max((e.l2_relative for e in errors.values()), default=math.nan),
            snapshot=snapshot,
        )

    def _uncertainty(self, network: Network) -> dict[str, float]:
        """The standard errors of the parameters that were found from data."""
        if not (self.problem.parameters and self.problem.data):
            return {}
        sampling = self.succession.sampling(self._planned(self.winner.stage if self.winner is not None else 0), network)
        training = terms(self.fitted, sampling, self.device)
        return standard_errors(Objective(self.problem, network, training, self.options.weights))

    def _finished(
        self, best: Judged, reason: str, errors: Mapping[str, Errors], uncertainty: Mapping[str, float] | None = None
    ) -> Solution:
        """The solution that the best network makes, named by how training ended."""
        converged = best.relative <= self.tolerance
        status = "stalled"
        if reason == "interrupted" or reason not in REASONS:  # a watcher's own words
            status = "interrupted"
        elif converged:
            status = "converged"
        elif reason in ("budget", "steps", "memory"):
            status = "budget"
        judgement = f"relative residual {best.relative:.1e} is {'within' if converged else 'above'} {self.tolerance:.0e}"
        return Solution(
            domain=self.problem.domain,
            unknowns=self.problem.unknowns,
            network=best.network,
            problem=self.problem,
            name=self.problem.name,
            status=status,
            reason=f"{REASONS.get(reason, reason)}; the {judgement}",
            seed=self.options.seed,
            iterations=self.taken,
            seconds=self.clock.spent,
            residual=best.residuals.equation,
            condition_residual=best.residuals.conditions,
            data_residual=best.residuals.data if self.problem.data else None,
            relative_residual=best.relative,
            tolerance=self.tolerance,
            stage=best.stage,
            history=self.history.arrays(),
            errors=dict(errors) or None,
            found=with_errors(best.network, uncertainty or {}),
            environment=environment() | {"device": str(self.device), "seed": self.options.seed, "threads": self.threads},
        )


def measured(problem: Problem, network: Network) -> tuple[dict[str, Errors], Reference | None]:
    """The errors of a network, and what they were measured against beside formulas; none are lost where that fails."""
    try:
        reference = reference_files.known(problem, network)
    except ProblemError as error:
        LOG.warning("errors are not known: %s", error)
        reference = None
    return errors_module.measure(problem, network, reference), reference


def with_errors(network: Network, uncertainty: Mapping[str, float]) -> dict[str, Found]:
    """The parameters that were found, with their standard errors where known."""
    return {name: Found(value, uncertainty.get(name)) for name, value in parameter_values(network).items()}


def _count(network: Network | None) -> int:
    """How many parameters a network has."""
    return 0 if network is None else sum(p.numel() for p in network.parameters())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's number of threads for a while: on small arrays more gain nothing, and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
