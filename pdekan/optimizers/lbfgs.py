"""L-BFGS with a strong Wolfe line search: torch's, for any network."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Memory, Outcome, Step, Watch, inside_bounds

# What torch's optimizer keeps between two calls.
CURVATURE = ("n_iter", "func_evals", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


@dataclass(frozen=True)
class LBFGS:
    """Options of L-BFGS: iterations come in bursts, and the watch is called after each.

    It restarts after a burst that gains less than `min_gain` of the loss, and stalls after `patience` of these in a row.
    """

    history: int = 50
    burst: int = 20
    min_gain: float = 1e-6
    patience: int = 3

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` iterations; the best finite point is kept."""
        done, idle, anew = 0, 0, False
        if memory is None:
            leaf, optimizer = self._restart(problem.normalise(theta))
            best, best_loss, _ = inside_bounds(problem, leaf.detach().clone())
        else:
            best, best_loss, done, idle, anew = (memory[name] for name in ("best", "best_loss", "done", "idle", "anew"))
            leaf, optimizer = self._restart(memory["theta"])
            optimizer.state[leaf].update(deepcopy({name: memory[name] for name in CURVATURE}))
        if not math.isfinite(best_loss):
            return Outcome(best, math.inf, 0, "singular")
        stop: str | None = None
        while stop is None and done < steps and idle < self.patience:
            if anew:  # drop the curvature and continue from the best point, normalised
                leaf, optimizer = self._restart(problem.normalise(best))
            optimizer.param_groups[0]["max_iter"] = min(self.burst - done % self.burst, steps - done)
            done += _burst(problem, leaf, optimizer)
            theta, loss, _ = inside_bounds(problem, leaf.detach())
            idle = 0 if loss < (1.0 - self.min_gain) * best_loss else idle + 1
            anew = idle > 0 or not torch.equal(theta, leaf)  # no progress, not finite, or beyond a bound
            if loss < best_loss:
                best, best_loss = theta.clone(), loss
                kept = {"theta": leaf.detach(), "best_loss": best_loss, "done": done, "idle": idle, "anew": anew}
                kept |= {name: optimizer.state[leaf][name] for name in CURVATURE}
                stop = watch(Step(best, best_loss, done, {"best": best, **deepcopy(kept)}))
        return Outcome(best, best_loss, done, stop or ("stalled" if idle >= self.patience else "steps"))

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
