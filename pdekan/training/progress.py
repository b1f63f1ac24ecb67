"""What a callback learns after every step of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pdekan.solutions.solution import Solution


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step.

    stage, stages: the number of the stage, from 1, and how many the schedule has. step, steps: taken and allowed so far.
    seconds, budget: used and allowed. snapshot: makes a solution of the best network so far.
    """

    stage: int
    stages: int
    step: int
    steps: int
    seconds: float
    budget: float
    loss: float
    relative_residual: float
    l2_relative: float
    snapshot: Callable[[], Solution]


# called after every step; words, such as "interrupted", stop the training
Callback = Callable[[Progress], str | None]
