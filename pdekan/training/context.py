"""What is the same for all stages of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from pdekan.errors.norms import Errors
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.clock import Clock
from pdekan.training.continuation import Position
from pdekan.training.eigenvalues import Eigenfunction
from pdekan.training.goal import Goal
from pdekan.training.history import History
from pdekan.training.optimizer_choice import Method
from pdekan.training.points import validation_points
from pdekan.training.progress import Callback
from pdekan.training.schedule import Stage
from pdekan.training.starts import warm_start
from pdekan.training.state import Candidate, State


@dataclass(frozen=True)
class Context:
    """What is the same for all stages of a training.

    fitted, held_out: the problem with the data that are fitted, and with those kept for validation. given: a network of the
    user's. snapshot: makes a solution of the best of some candidates, in a state, with these errors if they are known, and
    with the position of the last step. eigenfunction: that an eigenvalue problem asks for.
    """

    problem: Problem
    fitted: Problem
    held_out: Problem
    goal: Goal
    method: Method
    given: Network | None
    device: torch.device
    history: History
    clock: Clock
    callback: Callback | None
    snapshot: Callable[[Candidate, State, Mapping[str, Errors], Position | None], Solution]
    eigenfunction: Eigenfunction | None = None

    def near(self, eigenfunction: Eigenfunction | None) -> Context:
        """The training of the problem near an eigenfunction, if there is one."""
        if eigenfunction is None:
            return self
        problem, fitted, held_out = (eigenfunction.near(one) for one in (self.problem, self.fitted, self.held_out))
        return replace(self, problem=problem, fitted=fitted, held_out=held_out, eigenfunction=eigenfunction)

    def steps_of_stage(self, state: State) -> int:
        """How many steps the next stage may take."""
        allowed = self.problem.training.steps
        return self.method.steps if allowed is None else allowed - state.steps

    def rows_at_a_time(self, stage: Stage, parameters: int) -> int | None:
        """How many rows of the Jacobian a step takes at a time; see `Method.rows_at_a_time`."""
        problem = self.problem
        return self.method.rows_at_a_time(stage, parameters, problem.domain.dimension, problem.training.memory)

    def validation(self, stage: Stage, network: Network) -> Validation:
        """The validation points of a stage."""
        sampling = warm_start.sampling(self.problem, stage, network)
        points = validation_points(sampling, self.problem.domain.dimension, network.parameter_count)
        return Validation.of(self.held_out, points, self.device)
