"""Strategies: what is trained next. They are pure: the same problem and state give the same decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from pdekan.problems.problem import Problem
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage, stages
from pdekan.training.state import Candidate, State


@dataclass(frozen=True)
class Stop:
    """The end of a training, with its reason."""

    reason: Reason


class Strategy(ABC):
    """Decides which network is trained next, and which of the trained ones is kept.

    Strategies compose: one wraps another and adds a rule of its own. A strategy of a user's own is passed to `pdekan.solve`.
    """

    @abstractmethod
    def next(self, problem: Problem, state: State) -> Stage | Stop:
        """The next stage, or the end. Nothing is trained yet where ``state.stage`` is None."""

    def schedule(self, problem: Problem) -> tuple[Stage, ...]:
        """The stages among which a resumed training finds its place, by default those of the problem's options."""
        return stages(problem)

    def accept(self, state: State, candidate: Candidate) -> State:
        """The state with the network that a stage ended with, if it is kept; by default where its residual is lower."""
        if state.best is not None and candidate.relative >= state.best.relative:
            return state
        return replace(state.improved(candidate), gain=state.gain_of(candidate))


@dataclass(frozen=True)
class Wrapper(Strategy):
    """A strategy that adds a rule to another one."""

    inner: Strategy

    def schedule(self, problem: Problem) -> tuple[Stage, ...]:
        return self.inner.schedule(problem)

    def accept(self, state: State, candidate: Candidate) -> State:
        return self.inner.accept(state, candidate)


@dataclass(frozen=True)
class Regridding(Wrapper):
    """Trains a stage again, in the coordinates that its solution needs, while it becomes too steep for those it has.

    repeats: how often one stage is trained again. Fronts of the Allen-Cahn equation took up to four.
    """

    repeats: int = 6

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        again = state.ended is Reason.REGRIDDING and state.repeats < self.repeats and state.steps_left(problem)
        return state.stage if again and state.stage is not None else self.inner.next(problem, state)


@dataclass(frozen=True)
class Resampling(Wrapper):
    """Trains every stage whose network is kept a second time, on points that lie more densely where the residual is large."""

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        stage, best = state.stage, state.best
        kept = stage is not None and best is not None and best.stage == stage
        if kept and stage is not None and not stage.resample and problem.equations and state.goes_on(problem):
            return replace(stage, resample=True)
        return self.inner.next(problem, state)


@dataclass(frozen=True)
class RequestedNetwork(Wrapper):
    """Ends with the network that was asked for, whenever training ends: the best one is prolonged to its sizes.

    It is trained where that changed a residual which had met the target.
    """

    last: Stage
    target: float

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        decision, best, stage = self.inner.next(problem, state), state.best, state.stage
        if isinstance(decision, Stage) or best is None:
            return decision
        if best.stage.index < self.last.index:
            return replace(self.last, prolong=decision.reason)
        missed = stage is not None and stage.prolong is Reason.TOLERANCE and best.relative > self.target
        return self.last if missed else decision


@dataclass(frozen=True)
class AfterWaves(Wrapper):
    """Trains networks from random parameters where another strategy stalls with plane waves that miss the target.

    Trained networks have fewer nodes than the waves before them and cannot begin with their function. trained: a strategy that
    has none but trained ones. target: a relative residual.
    """

    trained: Strategy
    target: float

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        if state.start == 0:
            decision, best = self.inner.next(problem, state), state.best
            stalled = isinstance(decision, Stop) and decision.reason is Reason.STALLED
            if not stalled or best is None or not best.stage.waves or best.relative <= self.target:
                return decision
            state = state.restarted(1)
        decision = self.trained.next(problem, state)
        return replace(decision, start=1) if isinstance(decision, Stage) else decision


@dataclass(frozen=True)
class Restarts(Wrapper):
    """Trains again from other random numbers, `starts` times in all, while the target is not met."""

    starts: int

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        decision = self.inner.next(problem, state)
        if isinstance(decision, Stage):
            return replace(decision, start=state.start)
        if decision.reason.ends_training or not state.steps_left(problem) or state.start + 1 >= self.starts:
            return decision
        start = state.start + 1
        first = self.inner.next(problem, state.restarted(start))
        return replace(first, start=start) if isinstance(first, Stage) else first
