"""Stopping rules: after a step was validated, each says whether the stage ends, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.optimizers.base import Step
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term
from pdekan.training.graded_coordinates import needed
from pdekan.training.reasons import Reason

LOOK_EVERY = 2  # steps, whether coordinates are too steep: a look costs an evaluation at some thousand points


@dataclass(frozen=True)
class ValidatedStep:
    """A step with its network and the relative residual on validation points.

    error: what steps are compared by, the residual or a `Distance`. duration: in seconds, of this step.
    """

    step: Step
    network: Network
    relative: float
    error: float
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


@dataclass(frozen=True)
class Distance:
    """√(‖e‖ ‖∇e‖) for the difference e from a network that stands for the solution, at points of a quadrature.

    Both norms fall with it, and units of length do not matter; it bounds that of H^½ by interpolation. values: the jet of that
    network, of one unknown.

    Where splines are coarse, least squares of the residual say little of the error: on sin πx sin πy² with cubic splines of 20
    intervals steps that lower the loss by a third multiply the error by up to ten.
    """

    network: Network
    points: Tensor
    share: Tensor
    values: Jet

    @classmethod
    @torch.no_grad()
    def to(cls, network: Network, term: Term) -> Distance:
        """To a network, at the points of a term."""
        frame = Frame(term.frame.coordinates, Derivatives.GRADIENT)
        return cls(network, term.points, term.share, network.jet(term.points, frame)[0])

    @property
    def norm(self) -> float:
        """That of the network, the distance to zero."""
        return self._of(self.values)

    @torch.no_grad()
    def __call__(self, network: Network) -> float:
        return self._of(network.jet(self.points, self.values.frame)[0] - self.values)

    def _of(self, e: Jet) -> float:
        assert e.gradient is not None
        value, slope = e.value.square(), e.gradient.square().sum(1)
        return math.sqrt(math.sqrt(float((self.share @ value) * (self.share @ slope))))


@dataclass
class BestStep:
    """Keeps the step that is best on validation points, and stops long after it.

    patience: steps without a lower error after which a stage ends, where the error is `worse` times the least by then:
    the network has begun to oscillate between its points. On a plate with a hole the third stage's residual went from 5e-3 to
    2e-1 while its loss fell 500-fold.
    """

    worse: float = 2.0
    patience: int = 6
    theta: Tensor | None = None
    error: float = math.inf
    taken: int = 0

    def keep(self, step: Step, error: float) -> None:
        """Remember a step if it is the best so far."""
        if error < self.error:
            self.theta, self.error, self.taken = step.theta.clone(), error, step.taken

    def __call__(self, one: ValidatedStep) -> Reason | None:
        late = one.step.taken >= self.taken + self.patience
        return Reason.STALLED if late and one.error > self.worse * self.error else None


@dataclass
class SteepForCoordinates:
    """Stops where the solution is too steep for its coordinates; `grading` are those that it needs."""

    problem: Problem
    grading: Tensor | None

    def found(self, network: Network) -> bool:
        """Whether a network's function needs another grading, which is kept."""
        wanted = needed(self.problem, network) if self.problem.training.adapt else None
        self.grading = self.grading if wanted is None else wanted.to(network.device)
        return wanted is not None

    def __call__(self, one: ValidatedStep) -> Reason | None:
        return Reason.REGRIDDING if one.step.taken % LOOK_EVERY == 0 and self.found(one.network) else None


@dataclass(frozen=True)
class Budget:
    """Stops where another step, as long as this one, would not fit into the seconds allowed."""

    seconds: float

    def __call__(self, one: ValidatedStep) -> Reason | None:
        return Reason.BUDGET if one.seconds + one.duration > self.seconds else None


def first(rules: Sequence[Rule], one: ValidatedStep) -> Reason | None:
    """The reason of the first rule that stops."""
    return next((reason for rule in rules if (reason := rule(one)) is not None), None)
