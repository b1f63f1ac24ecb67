"""What a training aims at."""

from __future__ import annotations

from dataclasses import dataclass

from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.training.schedule import is_open


@dataclass(frozen=True)
class Goal:
    """Relative residuals on validation points. tolerance: a solution below it has converged. target: training stops there.

    grows: whether the solver chooses the network, which could always grow. noisy: whether data have noise, which is not to be
    fitted to any tolerance: training goes on until it stalls, and the network grows no further then.
    """

    tolerance: float
    target: float
    grows: bool
    noisy: bool

    @classmethod
    def of(cls, problem: Problem, given: Network | None, accepted: float = 1e-4, target: float = 1e-7) -> Goal:
        """The goal of a problem; accepted, target: tolerance and target where the user names no tolerance.

        A network that was asked for is trained until it stalls, whatever its residual.
        """
        grows = given is None and is_open(problem)
        noisy = any(measured.noise for measured in problem.data)
        default = (accepted if noisy else target) if grows else 0.0
        return cls(problem.training.tolerance or accepted, problem.training.tolerance or default, grows, noisy)
