"""The schedule as a strategy: stages from small networks to large ones, plane waves among them, and what options add."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.training.cells.training import refusal
from pdekan.training.goal import Goal
from pdekan.training.graded_coordinates import sized
from pdekan.training.optimizer_choice import Method
from pdekan.training.reasons import Reason, Skip
from pdekan.training.schedule import Stage
from pdekan.training.starts import warm_start
from pdekan.training.state import Candidate, State
from pdekan.training.strategy import AfterWaves, Regridding, RequestedNetwork, Resampling, Restarts, Stop, Strategy

LOG = logging.getLogger(__name__)
FLOOR, LITTLE = 10.0, 1.1  # see `Ladder`
ENDS = {Skip.TIME: Reason.TOO_SLOW, Skip.MEMORY: Reason.MEMORY}


@dataclass(frozen=True)
class PlaneWaves:
    """When plane waves are tried, and when training goes on from them.

    near: the first waves are skipped where the best network is within this factor of the target. The trained network that
    comes after the first ones lowers residuals by 10 to 200 in a few steps, or by little in many; waves come before it where
    more than this is to be gained. gain: waves are kept where they gain this factor, or more than the trained network before
    them. Where they do not, training may find what they cannot represent, the direction of a layer for one. more: the factor
    that each next number of waves gains, about: 5 to 8 on a plate with a hole, 10 to 100 on other problems of the library.
    """

    near: float = 300.0
    gain: float = 10.0
    more: float = 10.0

    def skip(self, stages: tuple[Stage, ...], index: int, state: State, target: float) -> Skip | None:
        """Why waves would do no better than training, if so.

        Several outputs always try the first waves: trained networks have nodes for each output, waves share theirs. Where one
        linear solve finds the waves (`affine`), later ones are compared with what the rejected ones would gain by then.
        """
        assert state.best is not None
        if state.rejected is not None:
            between = stages[state.rejected.stage.index : index] if state.affine else ()
            expected = state.rejected.relative / self.more ** sum(one.waves for one in between)
            return Skip.LITTLE_GAIN if state.best.relative <= expected else None
        first = not any(one.waves for one in stages[:index])
        near = first and stages[index].outputs == 1 and state.best.relative <= self.near * target
        return Skip.NEAR_TARGET if near else None

    def suffice(self, candidate: Candidate, state: State, target: float) -> bool:
        """Whether training goes on from these waves; from those that come before all trained networks only near the target."""
        if state.best is None:
            return candidate.relative <= self.near * target
        if state.best.stage.waves:
            return True
        return candidate.relative <= max(target, state.best.relative / min(self.gain, state.gain))


@dataclass(frozen=True)
class Ladder(Strategy):
    """Trains one stage after the other and skips those that cannot help.

    target: the residual at which training ends. method: of the optimizer, whose time and memory decide which stages fit.
    grows: whether the best network is kept, and not the way to the last stage, which the user asked for. noisy: whether data
    have noise, whose residual a larger network does not lower: training ends where one within FLOOR of the target gained
    less than the factor LITTLE. trained_only: whether plane waves and searches are left out.
    """

    stages: tuple[Stage, ...]
    target: float
    method: Method
    grows: bool = True
    waves: PlaneWaves = PlaneWaves()
    noisy: bool = False
    trained_only: bool = False

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        if state.ended is not None and not state.goes_on(problem):
            return Stop(state.ended)
        if self._at_noise(state):
            return Stop(state.ended or Reason.STALLED)
        start, slow = state.first if state.stage is None else state.stage.index + 1, False
        for index in range(start, len(self.stages)):
            stage = self.stages[index]
            skip = self._useless(problem, index, state) or self._obstacle(problem, stage, state)
            if skip is None:
                return replace(stage, index=index, count=len(self.stages))
            LOG.info("stage %d of %d is skipped: %s", index + 1, len(self.stages), skip.value)
            slow |= skip is Skip.TIME
            if skip in ENDS and not stage.waves:  # trained networks after waves have fewer nodes
                return (self._patient(state) if slow else None) or Stop(ENDS[skip])
        return (self._patient(state) or Stop(Reason.TOO_SLOW)) if slow else Stop(state.ended or Reason.STALLED)

    def _at_noise(self, state: State) -> bool:
        """Whether what is left of the residual is due to the noise of data."""
        near = state.best is not None and state.best.relative <= FLOOR * self.target
        return self.noisy and self.grows and near and state.gain < LITTLE

    def _patient(self, state: State) -> Stage | None:
        """The best network once more, in the time that no larger one can use: as a last one, it is trained while it gains."""
        best, last = state.best, state.stage
        if not self.grows or best is None or best.stage.waves or last is None or last.final:
            return None
        return replace(best.stage, index=last.index, count=last.index + 1)

    def schedule(self, problem: Problem) -> tuple[Stage, ...]:
        return self.stages

    def accept(self, state: State, candidate: Candidate) -> State:
        waves = candidate.stage.waves
        gain = state.gain if waves else state.gain_of(candidate)
        if waves and not self.waves.suffice(candidate, state, self.target):
            return state.beside(candidate)
        state = replace(state, gain=gain, finer=candidate if candidate.stage.finer else state.finer)
        if self.grows and state.best is not None and candidate.relative >= state.best.relative:
            return state
        return replace(state.improved(candidate), rejected=None if waves else state.rejected)

    def _useless(self, problem: Problem, index: int, state: State) -> Skip | None:
        """Why a stage would not lower the residual, if so."""
        stage = self.stages[index]
        if self.trained_only and (stage.waves or stage.search):
            return Skip.TRIED
        if state.best is None:
            return None
        if stage.waves and (skip := self.waves.skip(self.stages, index, state, self.target)) is not None:
            return skip
        if stage.search and self.grows and not state.found:
            return Skip.NOT_FOUND
        smaller = self.grows and warm_start.is_smaller(sized(problem, stage, state.grading), state)
        return Skip.FEWER_NODES if smaller else None

    def _obstacle(self, problem: Problem, stage: Stage, state: State) -> Skip | None:
        """Why a stage cannot be trained, if so."""
        stage, dimension = sized(problem, stage, state.grading), problem.domain.dimension
        by_clock = problem.training.steps is None  # else the same steps are the same stages, however fast they are
        if by_clock and state.seconds + self._seconds(stage, stage.parameters(dimension), state) > state.budget:
            return Skip.TIME
        if not self.grows or state.best is None:
            return None
        try:
            self.method.rows_at_a_time(stage, stage.parameters(dimension), dimension, problem.training.memory)
        except ProblemError:
            return Skip.MEMORY
        return None

    def _seconds(self, stage: Stage, parameters: int, state: State) -> float:
        """What a stage takes at least, as far as it is known: one solve for waves, else two steps.

        The seconds of a step grow with P³ in the end, but not for small networks; P² is a lower bound. A stage that proves
        too slow is ended by the clock.
        """
        if stage.waves:
            return state.seconds_per_solve * parameters**3
        if state.best is None or state.seconds_per_step is None or not self.method.forms_jacobian:
            return 0.0
        return 2.0 * state.seconds_per_step * parameters**2


def composed(problem: Problem, schedule: tuple[Stage, ...], goal: Goal, method: Method, starts: int = 1) -> Strategy:
    """The stages of a schedule, one after the other, as the options `resample`, `adapt` and `starts` want them."""
    ladder = Ladder(schedule, goal.target, method, goal.grows, noisy=goal.noisy)
    strategy: Strategy = ladder
    # where cells can be tried, they come after waves
    if any(stage.waves for stage in schedule) and goal.grows and starts == 1 and refusal(problem) is not None:
        strategy = AfterWaves(ladder, replace(ladder, trained_only=True), goal.target)
    if problem.training.resample:
        strategy = Resampling(strategy)
    if problem.training.adapt:
        strategy = Regridding(strategy)
    if not goal.grows:
        last = len(schedule) - 1
        strategy = RequestedNetwork(strategy, replace(schedule[last], index=last, count=len(schedule)), goal.target)
    return Restarts(strategy, starts) if starts > 1 else strategy
