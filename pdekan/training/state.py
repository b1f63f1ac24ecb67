"""Where a training stands between two stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.residuals.sizes import TINY
from pdekan.residuals.validation import Residuals
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage


@dataclass(frozen=True)
class Candidate:
    """The network that a stage ended with, and its residuals on validation points."""

    network: Network
    stage: Stage
    residuals: Residuals

    @property
    def relative(self) -> float:
        return self.residuals.relative


@dataclass(frozen=True)
class State:
    """What a strategy decides by; a training replaces it after every stage.

    best: the network that the next stage starts from. earlier: the last one before it with twice its residual or more.
    rejected: the last plane waves that were trained and not taken. winner: the best network of the starts before this one.
    finer: that of a stage with finer splines than those asked for. gain: the factor by which the last trained network lowered
    the residual of the one before it. grading: the coordinates ``(d, n)`` that the solution needs, see `graded_coordinates`.
    stage, ended: the last stage and why it ended; repeats: how often it was trained again in other coordinates. first: the
    place in the schedule at which a resumed training begins.
    extrapolated: whether `best` was not trained for this problem, but for the slab of time before. affine: whether the
    residuals are affine in the last layer's coefficients. found: whether a search found the network. steps, seconds, budget:
    used so far, and the seconds allowed. seconds_per_step, seconds_per_solve: of the last stage's fastest step, by P² and by P³
    for P parameters. start: the number of the restart. words: of a callback that interrupted the training.
    """

    budget: float
    best: Candidate | None = None
    earlier: Candidate | None = None
    rejected: Candidate | None = None
    winner: Candidate | None = None
    finer: Candidate | None = None
    gain: float = math.inf
    grading: torch.Tensor | None = None
    stage: Stage | None = None
    ended: Reason | None = None
    repeats: int = 0
    first: int = 0
    extrapolated: bool = False
    affine: bool = False
    found: bool = False
    steps: int = 0
    seconds: float = 0.0
    seconds_per_step: float | None = None
    seconds_per_solve: float = 0.0
    start: int = 0
    words: str = ""

    @property
    def network(self) -> Network | None:
        """The best network, where there is one."""
        return None if self.best is None else self.best.network

    @property
    def candidates(self) -> list[Candidate]:
        """The networks that were kept, of all starts."""
        return [one for one in (self.winner, self.best, self.rejected, self.earlier) if one is not None]

    @property
    def results(self) -> list[Candidate]:
        """The candidates without an earlier network, which may have other sizes than those asked for."""
        return [one for one in (self.winner, self.best, self.rejected) if one is not None]

    def result(self) -> Candidate:
        """The best network of all starts."""
        return min(self.results, key=lambda one: one.relative)

    def second(self, factor: float) -> Candidate | None:
        """The best of the networks with at least so many times the residual of the result."""
        least = factor * self.result().relative
        return min((one for one in self.candidates if one.relative >= least), key=lambda one: one.relative, default=None)

    def improved(self, candidate: Candidate, factor: float = 2.0) -> State:
        """The state with a better network, of which the one before is kept where the residual fell by the factor."""
        before = None if self.extrapolated else self.best
        fell = before is not None and before.relative >= factor * candidate.relative
        return replace(self, best=candidate, earlier=before if fell else self.earlier, extrapolated=False)

    def steps_left(self, problem: Problem) -> bool:
        """Whether the steps that the problem allows in all are not used up."""
        return problem.training.steps is None or self.steps < problem.training.steps

    def goes_on(self, problem: Problem) -> bool:
        """Whether another stage may follow the last one."""
        return self.ended is None or not (self.ended.ends_training or not self.steps_left(problem))

    def beside(self, waves: Candidate) -> State:
        """The state with waves that were not taken; of several before all trained networks, those of lower residual."""
        if self.best is not None or self.rejected is None:
            return replace(self, rejected=waves)
        better, worse = sorted((waves, self.rejected), key=lambda one: one.relative)
        return replace(self, rejected=better, earlier=worse if worse.relative >= 2.0 * better.relative else self.earlier)

    def gain_of(self, candidate: Candidate) -> float:
        """The factor by which a network lowers the residual of the best one, at least 1."""
        return self.gain if self.best is None else max(1.0, self.best.relative / max(candidate.relative, TINY))

    def restarted(self, start: int) -> State:
        """The state at the beginning of another start: of the one before, only its best network is kept."""
        return replace(
            self, winner=self.result(), best=None, earlier=None, rejected=None, finer=None, gain=math.inf, grading=None,
            stage=None,
            ended=None, repeats=0, extrapolated=False, start=start,
        )  # fmt: skip
