"""Stopping rules: after a step was validated, each says whether the stage ends, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pdekan.networks.base import Network
from pdekan.optimizers.base import Step
from pdekan.problems.problem import Problem
from pdekan.training.graded_coordinates import needed
from pdekan.training.reasons import Reason


@dataclass(frozen=True)
class ValidatedStep:
    """A step with its network and the relative residual on validation points. duration: in seconds, of this step."""

    step: Step
    network: Network
    relative: float
    seconds: float
    duration: float


class Rule(Protocol):
    """A stopping rule of one stage."""

    def __call__(self, one: ValidatedStep) -> Reason | None:
        """The reason to stop after a step, None to go on."""


@dataclass(frozen=True)
class Tolerance:
    """Stops where the residual is at most the target."""

    target: float

    def __call__(self, one: ValidatedStep) -> Reason | None:
        return Reason.TOLERANCE if one.relative <= self.target else None


@dataclass
class BestStep:
    """Keeps the step that is best on validation points, and stops long after it.

    patience: steps without a lower residual after which a stage ends, where the residual is `worse` times the least by then:
    the network has begun to oscillate between its points. On a plate with a hole the third stage's residual went from 5e-3 to
    2e-1 while its loss fell 500-fold.
    """

    worse: float = 2.0
    patience: int = 6
    theta: Tensor | None = None
    relative: float = math.inf
    taken: int = 0

    def keep(self, step: Step, relative: float) -> None:
        """Remember a step if it is the best so far."""
        if relative < self.relative:
            self.theta, self.relative, self.taken = step.theta.clone(), relative, step.taken

    def __call__(self, one: ValidatedStep) -> Reason | None:
        late = one.step.taken >= self.taken + self.patience
        return Reason.STALLED if late and one.relative > self.worse * self.relative else None


@dataclass
class SteepForCoordinates:
    """Stops where the solution is too steep for its coordinates; `grading` are those that it needs.

    every: steps between two looks, each of which costs an evaluation at some thousand points.
    """

    problem: Problem
    grading: Tensor | None
    every: int = 2

    def found(self, network: Network) -> bool:
        """Whether a network's function needs another grading, which is kept."""
        wanted = needed(self.problem, network) if self.problem.training.adapt else None
        self.grading = self.grading if wanted is None else wanted.to(next(network.parameters()).device)
        return wanted is not None

    def __call__(self, one: ValidatedStep) -> Reason | None:
        return Reason.REGRIDDING if one.step.taken % self.every == 0 and self.found(one.network) else None


@dataclass(frozen=True)
class Budget:
    """Stops where another step, as long as this one, would not fit into the seconds allowed."""

    seconds: float

    def __call__(self, one: ValidatedStep) -> Reason | None:
        return Reason.BUDGET if one.seconds + one.duration > self.seconds else None


def first(rules: Sequence[Rule], one: ValidatedStep) -> Reason | None:
    """The reason of the first rule that stops."""
    return next((reason for rule in rules if (reason := rule(one)) is not None), None)
