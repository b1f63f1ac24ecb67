"""The trainer: stage after stage, as a strategy decides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch

from pdekan.ansatz.unknowns import build_ansatz, inner_network
from pdekan.errors.norms import Errors
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.problem_files.measurements import split_measurements
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.sizes import sizes_at
from pdekan.residuals.terms import is_linear, terms
from pdekan.residuals.validation import Residuals
from pdekan.solutions import reference_files
from pdekan.solutions.solution import Solution
from pdekan.training import graded_coordinates, result
from pdekan.training.context import Context
from pdekan.training.continuation import Continuation, Position, plain, restored
from pdekan.training.eigenvalues import asked_for
from pdekan.training.estimate import Comparison, compared
from pdekan.training.goal import Goal
from pdekan.training.graded_coordinates import sized
from pdekan.training.history import History
from pdekan.training.ladder import composed
from pdekan.training.noise import assumed_noisy, is_unknown, shows_none
from pdekan.training.optimizer_choice import METHODS, SizedGaussNewton
from pdekan.training.posedness.identifiability import undetermined
from pdekan.training.posedness.ill_posed import ill_posed
from pdekan.training.posedness.other_solutions import other_solution
from pdekan.training.posedness.uniqueness import refuse_undetermined
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage, stages
from pdekan.training.setup import PARALLEL, Setup
from pdekan.training.stage_training import LIMITED, StageTraining, TrainedStage
from pdekan.training.standard_errors import standard_errors
from pdekan.training.starts import warm_start
from pdekan.training.state import Candidate, State
from pdekan.training.strategy import Stop
from pdekan.training.threads import threads

LOG = logging.getLogger(__name__)


class Trainer:
    """One training of a problem.

    given: a network that is trained as it stands, instead of those of the schedule. resume: a solution to go on from. Raises
    ProblemError for options that do not fit the problem, and for a solution that does not.
    """

    def __init__(
        self, problem: Problem, given: Network | None = None, setup: Setup | None = None, resume: Solution | None = None
    ) -> None:
        setup = setup or Setup()
        self.problem, self.setup = problem, setup
        given = None if given is None else build_ansatz(problem, given)
        self.method = setup.method or METHODS[problem.training.optimizer]
        went_on = None
        if resume is not None and given is None and setup.strategy is None and setup.device == "cpu":
            went_on = restored(resume, problem)
        trained = problem if went_on is not None and went_on.exact else assumed_noisy(problem)
        goal = Goal.of(trained, given)
        goal = replace(goal, target=max(goal.target, setup.target))
        if went_on is not None:
            goal = replace(goal, target=went_on.target)
        starts = 1 if given is not None or (resume is not None and went_on is None) else problem.training.starts or 1
        self.strategy = setup.strategy or composed(problem, _schedule(problem, given), goal, self.method, starts)
        fitted, validated = split_measurements(trained)
        self.context = Context(
            problem, fitted, validated, goal, self.method, given, torch.device(setup.device),
            History(problem, None if resume is None else resume.history),
            setup.clock(0.0 if resume is None else resume.seconds, problem.training.seconds), setup.callback,
            self._snapshot,
        )  # fmt: skip
        self.resumed = went_on is not None
        self.continuation = (
            Continuation(self._start(resume), goal.target)
            if went_on is None
            else (replace(went_on, state=replace(went_on.state, budget=self.context.clock.budget)))
        )

    @property
    def state(self) -> State:
        """The state that training goes on from."""
        return self.continuation.state

    def check(self) -> None:
        """Raise ProblemError before training: for a network that does not fit, a missing reference, missing conditions."""
        problem, options = self.problem, self.problem.training
        reference_files.check_reference(problem)
        if self.setup.estimate:
            refuse_undetermined(problem)
        if options.adapt:
            graded_coordinates.check(problem)
        if not self.context.goal.grows:
            last = sized(problem, self.strategy.schedule(problem)[-1], self.state.grading)
            parameters = last.parameters(problem.domain.dimension)
            self.context.rows_at_a_time(last, parameters)
            self.method.optimizer(parameters, 0, options.seconds, final=True)

    def solution(self) -> Solution:
        """Train while the strategy names a stage; the solution is the best network, with its errors and their estimate.

        Where the residual meets the target but the estimated error not the tolerance, the target is lowered.
        """
        self.check()
        # where the training goes on, the problem is that of the training before
        if (self.resumed or self.state.best is None) and self.context.given is None:
            with self.context.clock.running():
                self.context = self.context.near(asked_for(self.problem))
        state, stop = self._run(self.continuation)
        if stop.reason is Reason.TOLERANCE and self.setup.strategy is None and is_unknown(self.context.fitted):
            state, stop = self._exact(state, stop)
        comparison, reason = self._compared(state, stop)
        for lowered in range(self.continuation.lowered, self.setup.lowered):
            goal = self.context.goal
            met = stop.reason is Reason.TOLERANCE and self.setup.strategy is None and comparison is not None
            if not met or comparison is None or not comparison.reliable or comparison.worst <= goal.tolerance:
                break
            goal = replace(goal, target=0.3 * goal.target * goal.tolerance / comparison.worst)
            self.context = replace(self.context, goal=goal)
            self.strategy = composed(self.problem, self.strategy.schedule(self.problem), goal, self.method)
            begun = Continuation(replace(state, ended=Reason.STALLED), goal.target, lowered + 1, exact=self.continuation.exact)
            state, stop = self._run(begun)
            comparison, reason = self._compared(state, stop)
        end = result.End(stop.reason, state.words, self.context.goal.tolerance, comparison, reason)
        return self._finished(state, end)

    def _exact(self, state: State, stop: Stop) -> tuple[State, Stop]:
        """Training goes on, to a lower residual, where data whose noise is not known are found to have none."""
        best = state.result()
        known = self._objective(best, state).terms
        if not shows_none(known, best.network, best.relative):
            return state, stop
        fitted, validated = split_measurements(self.problem)
        goal = Goal.of(self.problem, self.context.given)
        self.context = replace(self.context, fitted=fitted, held_out=validated, goal=goal)
        self.strategy = composed(self.problem, self.strategy.schedule(self.problem), goal, self.method)
        return self._run(Continuation(replace(state, ended=Reason.STALLED), goal.target, exact=True))

    def _run(self, begun: Continuation) -> tuple[State, Stop]:
        """The state in which the strategy stops; `continuation` is where another training would go on."""
        state, self.continuation = begun.state, begun
        while isinstance(decision := begun.stage or self.strategy.next(self.problem, state), Stage):
            state = state if decision.start == state.start else state.restarted(decision.start)
            begun = replace(begun, state=state, stage=decision)
            trained = self._prolonged(decision, state) if decision.prolong is not None else self._trained(begun)
            state = self.strategy.accept(trained.state, trained.candidate)
            begun = replace(begun, state=state, stage=None, position=None)
            if trained.finished:
                self.continuation = begun
            LOG.info("stage %d: %s, relative residual %.1e", decision.index + 1, state.ended, trained.candidate.relative)
        return state, decision

    def _compared(self, state: State, stop: Stop) -> tuple[Comparison | None, str | None]:
        """The comparison of the best network with a richer space, or the reason why there is none."""
        if not state.candidates:
            raise ProblemError("the strategy ended before it named a stage; its first decision must be a Stage")
        best = state.result()
        if not self.setup.estimate:
            return None, "not asked for"
        if stop.reason is Reason.INTERRUPTED:
            return None, "interrupted"
        with threads(self.setup.cores):
            comparison = compared(self.problem, best.network, best.relative, state.seconds, earlier=state.second(2.0))
        return (None, comparison) if isinstance(comparison, str) else (comparison, None)

    def _trained(self, begun: Continuation) -> TrainedStage:
        """A stage trained from where it was begun."""
        stage, state, self.continuation = begun.stage, begun.state, begun
        assert stage is not None
        parameters = sized(self.problem, stage, state.grading).parameters(self.problem.domain.dimension)
        with threads(self.setup.cores if parameters >= PARALLEL else 1):
            with self.context.clock.running():
                context = replace(self.context, snapshot=partial(self._snapshot, begun=begun))
                one = StageTraining(context, stage, state)
            trained = one.trained(begun.position)
        self.continuation = replace(begun, position=trained.position)
        return trained

    def _prolonged(self, stage: Stage, state: State) -> TrainedStage:
        """The best network carried over to the sizes of a stage for which training has ended.

        Where it ended by a limit, a training with more of it would not have come here.
        """
        finished = stage.prolong not in LIMITED and state.steps_left(self.problem)
        return TrainedStage(replace(state, stage=stage, ended=stage.prolong), self._carried_over(stage, state), finished)

    def _carried_over(self, stage: Stage, state: State) -> Candidate:
        """The best network carried over to the sizes of another stage, and its residuals there."""
        training, sizes = self.context, sized(self.problem, stage, state.grading)
        assert state.network is not None
        network = state.network
        if not stage.waves:
            network = warm_start.first_network(self.problem, sizes, state, training.given, training.device)
        return Candidate(network, stage, training.validation(sizes, network).residuals(network))

    def _start(self, resume: Solution | None) -> State:
        """The state before the first stage: where an earlier solution ended, if one is given."""
        solve_seconds = self.method.solve_seconds if isinstance(self.method, SizedGaussNewton) else 0.0
        state = State(budget=self.context.clock.budget, seconds_per_solve=solve_seconds / self.setup.cores)
        if resume is None:
            return replace(state, grading=self._first_grading())
        problem, schedule = self.problem, self.strategy.schedule(self.problem)
        network = resume.network.to(self.context.device)
        inner = inner_network(network)
        grading = inner.grading if isinstance(inner, KAN) else None
        widest = max((sized(problem, stage, grading) for stage in schedule), key=lambda stage: stage.hidden)
        warm_start.check_resumable(problem, resume, widest)
        extrapolated = resume.iterations == 0
        first = warm_start.stage_of(schedule, inner, resume.stage)
        if extrapolated and problem.training.adapt:
            wanted = graded_coordinates.needed(problem, network)
            grading = grading if wanted is None else wanted.to(self.context.device)
        if extrapolated and grading is not None:
            first = 0  # in graded coordinates the sizes of the slab before say nothing
        stage = replace(schedule[first], index=first, count=len(schedule))
        state = replace(
            state, best=Candidate(network, stage, Residuals()), grading=grading, first=first, extrapolated=extrapolated,
            affine=is_linear(problem), steps=resume.iterations, seconds=resume.seconds,
        )  # fmt: skip
        return replace(state, best=self._carried_over(stage, state))  # the problem may have changed since

    def _first_grading(self) -> torch.Tensor | None:
        """The coordinates that narrow places of the data need, where the solver chooses the coordinates."""
        grading = graded_coordinates.of_narrow_places(self.problem) if self.problem.training.adapt else None
        return None if grading is None else grading.to(self.context.device)

    def _snapshot(
        self,
        best: Candidate,
        state: State,
        errors: Mapping[str, Errors],
        position: Position | None,
        begun: Continuation | None = None,
    ) -> Solution:
        """The solution of a training that is not finished.

        position: in the stage that begun has, which may not be the one that is being trained when the snapshot is taken.
        """
        end = result.End(Reason.INTERRUPTED, "", self.context.goal.tolerance, None, "interrupted")
        solution = self._solution(best, state, end, errors, {})
        return replace(solution, continuation=plain(replace(begun or self.continuation, position=position)))

    def _finished(self, state: State, end: result.End) -> Solution:
        best = state.result()
        network = best.network.requires_grad_(False)
        if self.setup.interrupted():  # what follows may take as long as many steps
            solution = self._solution(best, state, end, self.context.history.quick_errors(network), {})
            return replace(solution, continuation=plain(self.continuation))
        errors, reference = result.measured(self.problem, network) if self.setup.measure else ({}, None)
        doubts, deviations = list(ill_posed(self.problem)), dict[str, float]()
        if self.problem.parameters:
            objective = self._objective(best, state)
            doubts += undetermined(objective)
            deviations = standard_errors(objective) if self.problem.data else {}
        other = other_solution(self.problem, network) if self.setup.estimate else None
        end = replace(end, doubts=tuple(doubts), other=other)
        solution = self._solution(best, state, end, errors, deviations)
        outputs = result.outputs_of(self.problem, network, end.comparison)
        return replace(solution, reference=reference, continuation=plain(self.continuation), outputs=outputs)

    def _solution(
        self, best: Candidate, state: State, end: result.End, errors: Mapping[str, Errors], deviations: Mapping[str, float]
    ) -> Solution:
        training = self.context
        made = {"device": str(training.device), "seed": self.problem.training.seed, "threads": self.setup.cores}
        found = result.with_errors(self.problem, best.network, deviations, end.comparison.shifts if end.comparison else {})
        return result.solution(self.problem, best, state, end, training.history.arrays(), errors, found, made)

    def _objective(self, best: Candidate, state: State) -> Objective:
        """The least-squares problem of a network on training points of its size."""
        sampling = warm_start.sampling(self.problem, sized(self.problem, best.stage, state.grading), best.network)
        fitted = terms(self.context.fitted, sampling, self.context.device)
        sizes = sizes_at(self.problem, fitted, best.network, trained=True)
        return Objective(self.problem, best.network, fitted, self.problem.training.weights, sizes=sizes)


def _schedule(problem: Problem, given: Network | None) -> tuple[Stage, ...]:
    """The stages of the problem's options, or the one of a given network."""
    if given is None:
        return stages(problem)
    return (Stage("given", (given.parameter_count,)),)
