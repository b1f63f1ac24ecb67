"""L-BFGS with a strong Wolfe line search: torch's, for any network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Outcome, Step, Watch, inside_bounds


@dataclass(frozen=True)
class LBFGS:
    """Options of L-BFGS: iterations come in bursts, and the watch is called after each.

    It restarts after a burst that gains less than `min_gain` of the loss, and stalls after `patience` of these in a row.
    """

    history: int = 50
    burst: int = 20
    min_gain: float = 1e-6
    patience: int = 3

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` iterations; the best finite point is kept."""
        theta = problem.normalise(theta)
        best, best_loss, _ = inside_bounds(problem, theta)
        if not math.isfinite(best_loss):
            return Outcome(best, math.inf, 0, "singular")
        leaf, optimizer = self._restart(theta)
        done = idle = 0
        while done < steps:
            optimizer.param_groups[0]["max_iter"] = min(self.burst, steps - done)
            done += _burst(problem, leaf, optimizer)
            theta, loss, _ = inside_bounds(problem, leaf.detach())
            idle = 0 if loss < (1.0 - self.min_gain) * best_loss else idle + 1
            if loss < best_loss:
                best, best_loss = theta.clone(), loss
                reason = watch(Step(best, best_loss, done))
                if reason is not None:
                    return Outcome(best, best_loss, done, reason)
            if idle == self.patience:
                return Outcome(best, best_loss, done, "stalled")
            if idle or not torch.equal(theta, leaf):  # no progress, not finite, or beyond a bound: drop the curvature
                leaf, optimizer = self._restart(problem.normalise(best))
        return Outcome(best, best_loss, done, "steps")

    def _restart(self, theta: Tensor) -> tuple[Tensor, torch.optim.LBFGS]:
        leaf = theta.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [leaf],
            max_iter=self.burst,
            history_size=self.history,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )
        return leaf, optimizer


def _burst(problem: LeastSquares, leaf: Tensor, optimizer: torch.optim.LBFGS) -> int:
    """One call of torch's optimizer; returns the number of its iterations, at least one."""

    def closure() -> float:
        _, loss, leaf.grad = inside_bounds(problem, leaf.detach())
        return loss

    before = int(optimizer.state[leaf].get("n_iter", 0))
    optimizer.step(closure)
    return max(1, int(optimizer.state[leaf]["n_iter"]) - before)
