"""Training several KANs of a problem on the same points and within one budget, so that they can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from pdekan.ansatz.unknowns import inner_network
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.optimizers.base import LeastSquares, Step
from pdekan.problem_files.measurements import split_measurements
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.residuals.validation import Residuals, Validation
from pdekan.training.clock import Clock, StepEndedError
from pdekan.training.fit import fit
from pdekan.training.optimizer_choice import METHODS
from pdekan.training.points import training_points, validation_points
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage


@dataclass(frozen=True)
class Retrained:
    """A network with its residuals on validation points and its loss."""

    network: Network
    residuals: Residuals
    loss: float

    @property
    def relative(self) -> float:
        return self.residuals.relative

    @property
    def kan(self) -> KAN:
        return cast("KAN", inner_network(self.network))


class Retraining:
    """Trains KANs of a problem by Gauss-Newton, on the points that a network of the first one's sizes is trained on.

    seconds: the budget of all together. callback: called after every step with the relative residual and the seconds so far;
    words that it returns, or "budget", are kept in `stopped`, and nothing is trained afterwards.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        seconds: float = math.inf,
        callback: Callable[[float, float], str | None] = lambda relative, seconds: None,
    ) -> None:
        kan = cast("KAN", inner_network(network))
        self.problem, self.method = problem, METHODS["gauss-newton"]
        self.stage = Stage("kan", kan.widths[1:-1], kan.degree, kan.intervals, kan.base, kan.products, kan.outputs)
        fitted, validated = split_measurements(problem)
        sampling = training_points(problem, self.stage, problem.training.seed)
        self.terms = terms(fitted, sampling, kan.device)
        self.validation = Validation.of(validated, validation_points(sampling), kan.device)
        self.points = self.terms[0].points  # inside the domain; of a regression, the measurements'
        self.clock, self.steps, self.stopped = Clock(0.0, seconds), 0, ""
        self._callback = callback

    def validated(self, network: Network) -> Retrained:
        """A network as it stands."""
        return Retrained(network, self.validation.residuals(network), self.objective(network).loss(network.flat_parameters))

    def trained(self, network: Network, target: float, patient: bool = False) -> Retrained:
        """The network trained until its relative residual is at most target, or no step lowers the loss any further.

        patient: whether to go on while steps gain anything.
        """
        objective = self.timed(network)
        theta = self.fitted(objective, objective, network.flat_parameters, self.method.steps, target, patient)
        return self.validated(objective.load(theta))

    def fitted(
        self,
        problem: LeastSquares,
        objective: Objective,
        theta: Tensor,
        steps: int,
        target: float = -math.inf,
        patient: bool = False,
    ) -> Tensor:
        """The parameters at the end of a fit of `problem`, whose networks are those of the objective."""
        if self.stopped:
            return theta
        before = self.steps

        def stop(step: Step) -> Reason | None:
            """Ask the callback, and whether the target is met."""
            self.steps = before + step.taken
            relative = self.validation.residuals(objective.load(step.theta)).relative
            self.stopped = self._callback(relative, self.clock.spent) or ""
            if self.stopped:
                return Reason.INTERRUPTED
            return Reason.TOLERANCE if relative <= target else None

        rows, seconds = sum(len(term.target) for term in self.terms), self.problem.training.seconds
        return fit(problem, self.method.optimizer(len(theta), rows, seconds, final=patient), theta, steps, stop).theta

    def objective(self, network: Network) -> Objective:
        """The least-squares problem that the network is trained on."""
        return self._objective(network, lambda: None)

    def timed(self, network: Network) -> Objective:
        """The same, which raises StepEndedError where the budget is used up."""
        return self._objective(network, self._check_time)

    def _objective(self, network: Network, check: Callable[[], None]) -> Objective:
        parameters, dimension = network.parameter_count, self.problem.domain.dimension
        rows = self.method.rows_at_a_time(self.stage, parameters, dimension, self.problem.training.memory)
        return Objective(self.problem, network, self.terms, self.problem.training.weights, rows, check)

    def _check_time(self) -> None:
        if self.clock.spent > self.clock.budget:
            self.stopped = Reason.BUDGET
            raise StepEndedError(Reason.BUDGET)
