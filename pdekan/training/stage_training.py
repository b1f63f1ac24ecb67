"""The training of one stage: a fit whose steps are validated, recorded, and asked whether to go on."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, replace

from torch.nn.utils import vector_to_parameters

from pdekan.ansatz.unknowns import parameter_values
from pdekan.networks.base import Network
from pdekan.optimizers.base import LeastSquares, Optimizer, Outcome, Step
from pdekan.residuals.adaptive_sampling import resampled
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.sizes import sizes_at
from pdekan.residuals.terms import terms
from pdekan.residuals.validation import Residuals
from pdekan.solutions.solution import Solution
from pdekan.training.context import Context
from pdekan.training.continuation import Position
from pdekan.training.fit import fit
from pdekan.training.graded_coordinates import sized
from pdekan.training.memory import graphs
from pdekan.training.optimizer_choice import SizedGaussNewton
from pdekan.training.progress import Progress
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage
from pdekan.training.starts import warm_start
from pdekan.training.starts.beginning import COARSE, begins_anew, coarse_starts, distance_to_finer, guess, search
from pdekan.training.state import Candidate, State
from pdekan.training.stopping import BestStep, Budget, Distance, Rule, SteepForCoordinates, Tolerance, ValidatedStep, first

# Reasons that are limits of the training: with more seconds or steps, the stage would have gone on.
LIMITED = (Reason.STEPS, Reason.BUDGET, Reason.INTERRUPTED, Reason.MEMORY)


@dataclass(frozen=True)
class TrainedStage:
    """The state after a stage, and the network that it ended with.

    finished: whether it ended by itself, and not by a limit of the training; position: of its last step, else.
    """

    state: State
    candidate: Candidate
    finished: bool
    position: Position | None = None


class StageTraining:
    """The training of one stage, from the state before it; made while the clock is running."""

    def __init__(self, context: Context, stage: Stage, state: State) -> None:
        self.context, self.stage, self.state, self.words = context, stage, state, ""
        problem, sizes = context.problem, sized(context.problem, stage, state.grading)
        self.begun = state.best or state.rejected
        # what waves represent at first does not matter where one linear solve replaces it
        self.solved_at_once = stage.waves and state.affine and self.begun is not None
        network = warm_start.first_network(
            problem, sizes, state, context.given, context.device, projected=not self.solved_at_once
        )
        sampling = warm_start.sampling(problem, sizes, network)
        inside = resampled(problem, network, sampling, context.device) if stage.resample else None
        fitted = terms(context.fitted, sampling, context.device, inside)
        self.validation = context.validation(sizes, network)
        if stage.kind != "given" and begins_anew(context, state):
            network = guess(context, sizes, state, fitted, self.validation, sampling)
        if problem.training.adapt and state.best is not None:  # on points that lie as those of the new network
            best = replace(state.best, residuals=self.validation.residuals(state.best.network))
            self.state = replace(state, best=best)
        if stage.search and state.best is None:
            with context.clock.running():
                found = search(context, stage, state, network).network()
            self.state, network = replace(self.state, found=found is not None), found or network
        self.network = network  # as it is before the fit
        self.theta = network.flat_parameters
        self.rows = sum(len(term.target) for term in fitted)
        rows_at_a_time = context.rows_at_a_time(sizes, len(self.theta))
        known = sizes_at(problem, fitted, network, trained=state.best is not None)
        self.objective = Objective(
            problem, network, fitted, problem.training.weights, rows_at_a_time, context.clock.check,
            graphs(problem.training.memory), known,
        )  # fmt: skip
        self.distance = distance_to_finer(context, stage, state, network, self.validation)
        self.best_step = BestStep(worse=2.0 if state.grading is None else 1.0)
        if self.distance is not None:
            self._select_by(self.distance)
        self.steep = SteepForCoordinates(problem, state.grading)
        self._last, self._fastest = context.clock.spent, math.inf
        # taken: steps before the optimizer started anew
        self.optimizer, self.taken = "", 0
        self.position: Position | None = None

    def _select_by(self, distance: Distance) -> None:
        """Select the step nearest to a network with finer splines, and begin with the nearest of several networks."""
        with self.context.clock.running():
            found = coarse_starts(self.context, self.stage, self.state, self.network, distance)
        nearest = min(self.network, *found, key=distance) if found else self.network
        self.theta = nearest.flat_parameters
        self.best_step.keep(Step(self.theta, math.inf), distance(nearest))
        if self.best_step.error > COARSE * distance.norm:
            self.best_step.worse = math.inf
        elif self.context.problem.training.steps is None:  # a fit is nearer than what steps come to, and needs the time
            self.best_step.worse, self.best_step.patience = 1.0, 1

    def trained(self, position: Position | None = None) -> TrainedStage:
        """The stage after the fit, which goes on from a position if there is one."""
        clock, parameters = self.context.clock, len(self.theta)
        before = self._last = clock.spent
        with clock.running():
            outcome = self._fitted(position)
        finished = outcome.reason not in LIMITED or (self.stage.waves and outcome.reason == Reason.STEPS)
        if self.stage.waves:
            outcome = self._of_one_solve(outcome)
        theta = outcome.theta if self.best_step.theta is None else self.best_step.theta
        network = self.objective.load(theta)
        candidate = Candidate(network, self.stage, self.validation.residuals(network))
        reason = self._reason(Reason(outcome.reason), candidate)
        state, seconds = self.state, clock.spent - before
        if self.stage.waves:
            state = replace(state, seconds_per_solve=seconds / parameters**3)
        elif outcome.steps:
            state = replace(state, seconds_per_step=min(self._fastest, seconds / outcome.steps) / parameters**2)
        again = state.ended is Reason.REGRIDDING and state.stage == self.stage
        state = replace(
            state, stage=self.stage, ended=reason, repeats=state.repeats + 1 if again else 0, grading=self.steep.grading,
            affine=self.objective.affine, steps=state.steps + outcome.steps, seconds=clock.spent, words=self.words,
        )  # fmt: skip
        return TrainedStage(state, candidate, finished, self.position)

    def _fitted(self, position: Position | None) -> Outcome:
        """The outcome of the optimizer's steps."""
        optimizer, begin = self._optimizer(), None if position is None else position.step
        self.optimizer = repr(optimizer)
        if position is not None and begin is not None and len(begin.theta) != len(self.theta):
            begin = None  # checkpoints of version 0.1.0 may have that of the stage before
        if position is not None and begin is not None:
            self.best_step, self.steep.grading = replace(position.best_step), position.grading
            if begin.memory is None or self.optimizer != position.optimizer:  # it starts anew, from the step's parameters
                self.taken, self.best_step.taken, self.theta, begin = begin.taken, 0, begin.theta, None
                self.state = replace(self.state, steps=self.state.steps + self.taken)
            elif (reason := self._reason_at(begin)) is not None:
                return Outcome(begin.theta, begin.loss, begin.taken, reason)
        return fit(self.objective, optimizer, self.theta, self._steps(), self._after, begin)

    def _reason_at(self, step: Step) -> Reason | None:
        """The reason to stop after a step that was recorded, but maybe not yet asked for."""
        network, seconds = self.objective.load(step.theta), self.context.clock.spent
        relative = self.validation.residuals(network).relative
        return first(self._rules(), ValidatedStep(step, network, relative, self._error(network, relative), seconds, 0.0))

    def _error(self, network: Network, relative: float) -> float:
        """What steps are compared by."""
        return relative if self.distance is None else self.distance(network)

    def _reason(self, reason: Reason, candidate: Candidate) -> Reason:
        """Why the stage ended, once its network is known."""
        if reason is Reason.REGRIDDING or (not reason.ends_training and self.steep.found(candidate.network)):
            return Reason.REGRIDDING
        met = reason is Reason.STALLED and candidate.relative <= self.context.goal.target
        return Reason.TOLERANCE if met else reason

    def _optimizer(self) -> Optimizer[LeastSquares]:
        method = self.context.method
        if self.stage.waves and isinstance(method, SizedGaussNewton):
            return method.for_waves(self.begun.relative if self.solved_at_once and self.begun is not None else 1.0)
        seconds = self.context.problem.training.seconds
        return method.optimizer(len(self.theta), self.rows, seconds, self.stage.final)

    def _steps(self) -> int:
        """How many steps the stage may take; plane waves are solved for by the optimizer before its first one."""
        return 0 if self.stage.waves else self.context.steps_of_stage(self.state)

    @staticmethod
    def _of_one_solve(outcome: Outcome) -> Outcome:
        """The outcome of a stage of plane waves: the solve for the last layer counts as a step."""
        reason = Reason.STALLED if outcome.reason is Reason.STEPS else outcome.reason
        return replace(outcome, steps=1, reason=reason)

    def _rules(self) -> list[Rule]:
        """The stopping rules, in the order in which they are asked."""
        goal, rules = self.context.goal, list[Rule]()
        if not goal.noisy:
            rules.append(Tolerance(goal.target))
        if not self.stage.waves:
            rules.append(self.steep)
        if self._selects:
            rules.append(self.best_step)
        return rules if self.stage.waves else [*rules, Budget(self.context.clock.budget)]

    @property
    def _selects(self) -> bool:
        """Whether the step is kept that is best on validation points, and not the one with the lowest loss.

        Not where the user asked for the network, unless it is compared with a finer one, nor where data are noisy.
        """
        goal, dense = self.context.goal, self.context.method.forms_jacobian
        if self.distance is not None:
            return True
        return not goal.noisy and (self.state.grading is not None or (goal.grows and dense))

    def _after(self, step: Step) -> Reason | None:
        """Validate a step, record it, and ask the callback and the rules. Only the time of the step itself is counted."""
        context, graded = self.context, self.state.grading is not None
        counts = step.taken > 0 or self.stage.waves
        if not counts and not context.problem.training.adapt:
            return None
        network = self.objective.load(step.theta)
        residuals = self.validation.residuals(network)
        error = self._error(network, residuals.relative)
        if self._selects:
            self.best_step.keep(step, error)
        if not counts:  # the solve for the last layer, before the first step: in graded coordinates it may be enough
            met = residuals.relative <= context.goal.target and not context.goal.noisy
            if not (met and graded):
                steep = self.begun is not None and self.steep.found(network)
                return Reason.REGRIDDING if steep else None
        seconds = context.clock.spent
        kept = replace(step, theta=step.theta.clone())
        if not self.stage.waves:
            memory = None if self.taken else step.memory  # which is of the optimizer's own start
            at = replace(kept, taken=self.taken + step.taken, memory=memory)
            self.position = Position(at, self.optimizer, replace(self.best_step), self.steep.grading)
        with context.clock.paused():
            words = self._recorded(kept, network, residuals, seconds)
        one = ValidatedStep(step, network, residuals.relative, error, seconds, seconds - self._last)
        self._last, self._fastest = seconds, min(self._fastest, one.duration)
        if words is not None:
            self.words = words
            return Reason.INTERRUPTED
        return first(self._rules(), one)

    def _recorded(self, step: Step, network: Network, residuals: Residuals, seconds: float) -> str | None:
        """Write a row of the history, and return what the callback says."""
        context, state, stage = self.context, self.state, self.stage
        taken, errors = state.steps + step.taken + stage.waves, context.history.quick_errors(network)
        context.history.append(taken, seconds, stage.index, step.loss, residuals, errors, parameter_values(network))
        if context.callback is None:
            return None
        untrained, position = self.network, self.position

        def snapshot() -> Solution:  # also in the middle of a later step, when `network` has other parameters
            """The best network so far as a solution."""
            now = replace(state, steps=taken, seconds=context.clock.spent)
            candidate = Candidate(untrained, stage, residuals)
            best = min((candidate, *state.results), key=lambda one: one.relative)
            known = errors if best is candidate else context.history.quick_errors(best.network)
            copied = deepcopy(best.network)
            if best is candidate:
                vector_to_parameters(step.theta.clone(), copied.parameters())
            return context.snapshot(replace(best, network=copied), now, known, position)

        return context.callback(
            Progress(
                stage=stage.index + 1,
                stages=stage.count,
                step=taken,
                steps=context.problem.training.steps or context.method.steps * stage.count,
                seconds=seconds,
                budget=context.clock.budget,
                loss=step.loss,
                relative_residual=residuals.relative,
                l2_relative=max((e.l2_relative for e in errors.values()), default=math.nan),
                snapshot=snapshot,
            )
        )
