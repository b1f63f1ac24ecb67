"""Training networks of a problem again and again, on the same points and within one budget: so they can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan.ansatz.unknowns import inner_network
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.optimizers.base import LeastSquares, Step
from pdekan.problem_files.measurements import held_out
from pdekan.problems.problem import Problem
from pdekan.pruning.sparsity import Sparse, norms, penalty, sizes
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.residuals.validation import Judge, Residuals
from pdekan.training import optimizer_choice
from pdekan.training.history import Clock
from pdekan.training.schedule import Stage, training_points, unseen_points

# The penalty's size at first, as a part of the loss of zero: with less of it a network of ten nodes for sin πx sin πy² keeps
# seven of them, with more it is trained anew for long afterwards.
STRENGTH = 1e-4
# Rounds of sparsifying, steps in each; the end is where a round gains less than GAIN of the penalty, or SHARE of the time that
# is left was used up.
ROUNDS, STEPS, GAIN, SHARE = 8, 10, 0.02, 0.2


@dataclass(frozen=True)
class Fitted:
    """A trained network, with its residuals on unseen points and its loss."""

    network: Network
    residuals: Residuals
    loss: float

    @property
    def relative(self) -> float:
        return self.residuals.relative

    @property
    def kan(self) -> KAN:
        return cast("KAN", inner_network(self.network))


class _StoppedError(Exception):
    """The time allowed has passed, or somebody watching has enough."""


class Refitting:
    """Trains KANs of a problem by Gauss-Newton, on the points that a network of the first one's sizes is trained on.

    seconds: the budget of all together; watch: called after every step with the relative residual and the seconds so far; a
    reason that it gives, or "budget", is kept in `stopped`, and nothing is trained afterwards.
    """

    def __init__(self, problem: Problem, network: Network, seconds: float, watch: Callable[[float, float], str | None]) -> None:
        kan = cast("KAN", inner_network(network))
        self.problem, self.options = problem, replace(problem.training, optimizer="gauss-newton")
        self.device = kan.lower.device
        fitted, judged = held_out(problem)
        self.stage = Stage("kan", kan.widths[1:-1], kan.degree, kan.intervals, kan.base, kan.products, kan.outputs)
        sampling = training_points(problem, self.stage, self.options.seed)
        self.terms = terms(fitted, sampling, self.device)
        self.judge = Judge.of(judged, unseen_points(sampling), self.device)
        self.points = self.terms[0].points  # inside the domain; of a regression, the measurements'
        self.clock, self.steps, self.stopped = Clock(0.0, seconds), 0, ""
        self._watch = watch

    def judged(self, network: Network) -> Fitted:
        """A network as it stands."""
        return Fitted(network, self.judge.residuals(network), self.objective(network).loss(_start(network)))

    def fitted(self, network: Network, target: float, patient: bool = False) -> Fitted:
        """The network trained until its relative residual is at most target, or no step lowers the loss any further.

        patient: whether to go on while there is anything to gain, be it slowly.
        """
        objective = self.objective(network)

        def reached(relative: float) -> bool:
            return relative <= target

        theta = self._minimised(objective, objective, _start(network), patient, reached)
        return self.judged(objective.load(theta))

    def sparsified(self, network: Network) -> Network:
        """The network trained with the penalty of `pdekan.sparsity` beside its loss, round by round."""
        objective, theta = self.objective(network), _start(network)
        outputs = sizes(cast("KAN", inner_network(network)), self.points)
        zero = theta.clone()
        zero[len(theta) - objective.linear :] = 0.0
        before, end = _penalty(network, outputs), self.clock.spent + SHARE * (self.clock.budget - self.clock.spent)
        with suppress(_StoppedError):
            strength = STRENGTH * objective.loss(zero) / before
            for _ in range(ROUNDS):
                problem = Sparse(objective, objective.load(theta), outputs, strength)
                theta = self._minimised(problem, objective, theta, False, None)
                after = _penalty(objective.load(theta), outputs)
                if after > (1.0 - GAIN) * before or self.clock.spent > end:
                    break
                before = after
        return objective.load(theta)

    def _minimised(
        self,
        problem: LeastSquares,
        objective: Objective,
        theta: Tensor,
        patient: bool,
        reached: Callable[[float], bool] | None,
    ) -> Tensor:
        """The parameters that training comes to, or the best until it was stopped."""
        if self.stopped:
            return theta
        best, taken = Step(theta, math.inf), self.steps

        def watched(step: Step) -> str | None:
            """Keep the best step, count it, and give the reason to stop, if there is one."""
            nonlocal best
            best = replace(step, theta=step.theta.clone()) if step.loss < best.loss else best
            self.steps = taken + step.taken
            relative = self.judge.residuals(objective.load(step.theta)).relative
            self.stopped = self._watch(relative, self.clock.spent) or ""
            if self.stopped:
                raise _StoppedError
            return "tolerance" if reached is not None and reached(relative) else None

        dense = optimizer_choice.is_dense(self.options, len(theta), sum(len(term.target) for term in self.terms))
        optimizer = optimizer_choice.optimizer(self.options, len(theta), dense, last=patient)
        allowed = optimizer_choice.STEPS["gauss-newton"] if reached is not None else STEPS
        try:
            return optimizer.minimise(problem, theta, allowed, watched).theta
        except _StoppedError:
            return best.theta

    def objective(self, network: Network) -> Objective:
        """The least-squares problem that the network is trained on."""
        parameters = sum(p.numel() for p in network.parameters())
        rows = optimizer_choice.rows_at_a_time(self.options, self.stage, parameters, self.problem.domain.dimension)
        return Objective(self.problem, network, self.terms, self.options.weights, rows, self._pulse)

    def _pulse(self) -> None:
        if not self.stopped and self.clock.spent > self.clock.budget:
            self.stopped = "budget"
            raise _StoppedError


def _start(network: Network) -> Tensor:
    return parameters_to_vector(network.parameters()).detach().clone()


def _penalty(network: Network, outputs: Tensor) -> float:
    return penalty(norms(cast("KAN", inner_network(network)), outputs))
