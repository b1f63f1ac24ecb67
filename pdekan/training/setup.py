"""How a training is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pdekan.cells.elimination import Triangles, triangles
from pdekan.training.clock import Clock
from pdekan.training.optimizer_choice import Method
from pdekan.training.progress import Callback
from pdekan.training.strategy import Strategy

# Measured on two cores with 848 to 1896 parameters: two threads are 1.6 times as fast as one on an idle machine, and 1.4 to 1.8
# times slower where another process computes; with 138 parameters 1.4 and 3 times.
PARALLEL = 1000


@dataclass(frozen=True)
class Setup:
    """How a training is run: what the user passes beside the problem.

    estimate: whether the error is estimated; lowered: how often the target may be lowered for it. triangles: who factorises the
    rows of cells, see `cells.elimination`. cores: threads that networks of PARALLEL parameters and more may use, smaller ones
    use one. now: what seconds are counted by, see `Clock`. target: the least residual at which training stops, where that of
    the goal is smaller. measure: whether the errors of one network are measured in the end.
    """

    strategy: Strategy | None = None
    method: Method | None = None
    device: str = "cpu"
    callback: Callback | None = None
    interrupted: Callable[[], bool] = lambda: False
    cores: int = 1
    estimate: bool = True
    lowered: int = 3
    triangles: Triangles = triangles
    now: Callable[[], float] | None = None
    target: float = 0.0
    measure: bool = True

    def clock(self, spent: float, seconds: float) -> Clock:
        """A clock of a training that has taken so many seconds and may take others."""
        return Clock(spent, seconds, self.interrupted, self.now)
