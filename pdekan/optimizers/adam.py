"""Adam: torch's, with a learning rate that falls geometrically, for any network."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Memory, Outcome, Step, Watch, inside_bounds

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what torch's optimizer keeps of a tensor


@dataclass(frozen=True)
class Adam:
    """Options of Adam: the learning rate falls from first to last; the watch is called every `burst` steps."""

    first: float = 1e-2
    last: float = 1e-4
    burst: int = 20

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """Minimise from theta ``(P,)`` with `steps` steps; the best finite point is kept."""
        leaf = (problem.normalise(theta) if memory is None else memory["theta"]).clone().requires_grad_()
        optimizer = torch.optim.Adam([leaf], lr=self.first)
        decay = (self.last / self.first) ** (1.0 / max(1, steps))
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
        best, best_loss, first = leaf.detach().clone(), float("inf"), 0
        if memory is not None:
            best, best_loss, first = memory["best"], memory["best_loss"], memory["taken"]
            optimizer.state[leaf].update(deepcopy({name: memory[name] for name in MOMENTS}))
            optimizer.param_groups[0]["lr"] = memory["rate"]
        for step in range(first, steps + 1):
            theta, loss, leaf.grad = inside_bounds(problem, leaf.detach())
            if loss < best_loss:
                best, best_loss = theta.clone(), loss
            if not torch.isfinite(leaf.grad).all():
                return Outcome(best, best_loss, step, "diverged")
            if step == steps:
                break
            leaf.data.copy_(theta)
            optimizer.step()
            schedule.step()
            if step % self.burst == 0 or step == steps - 1:
                kept = {
                    "theta": leaf.detach(),
                    "rate": optimizer.param_groups[0]["lr"],
                    "best_loss": best_loss,
                    "taken": step + 1,
                }
                kept |= {name: optimizer.state[leaf][name] for name in MOMENTS}
                reason = watch(Step(best, best_loss, step + 1, {"best": best, "best_loss": best_loss, **deepcopy(kept)}))
                if reason is not None:
                    return Outcome(best, best_loss, step + 1, reason)
        return Outcome(best, best_loss, steps, "steps")
