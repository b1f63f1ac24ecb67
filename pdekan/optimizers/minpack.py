"""Levenberg-Marquardt as MINPACK has it (Moré, in Numerical Analysis, Lecture Notes in Mathematics 630 (1978) 105-116)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from pdekan.optimizers.base import Outcome, Step, Watch


class Rows(Protocol):
    """Minimise ‖r(θ)‖² over θ ``(P,)``, with n ≥ P rows."""

    def rows(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Residual ``(n,)`` and Jacobian ``(n, P)``."""


@dataclass(frozen=True)
class Minpack:
    """SciPy's interface to it, with columns scaled by their lengths; for problems of few parameters.

    A step is an evaluation of the residual. The watch is asked once, at the end.
    """

    def minimise(self, problem: Rows, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most so many evaluations."""

        def part(k: int, x: NDArray) -> NDArray:  # type: ignore[type-arg]
            return problem.rows(torch.as_tensor(x))[k].numpy()

        result = least_squares(
            lambda x: part(0, x), theta.numpy(), lambda x: part(1, x), method="lm", x_scale="jac", max_nfev=steps
        )
        step = Step(torch.as_tensor(result.x), 2.0 * float(result.cost), int(result.nfev))
        ended = "steps" if result.status == 0 else "stalled"
        return Outcome(step.theta, step.loss, step.taken, watch(step) or ended)
