"""What a callback learns after every step of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pdekan.output.progress_bar import ProgressLine, ShowProgress
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


def line(progress: Progress) -> ProgressLine:
    """The progress as it is shown."""
    fraction = max(progress.step / progress.steps, progress.seconds / progress.budget)
    text = f"residual {progress.relative_residual:.1e} stage {progress.stage}/{progress.stages} step {progress.step}"
    if not math.isnan(progress.l2_relative):
        text = f"L2 {progress.l2_relative:.1e} {text}"
    return ProgressLine(progress.seconds, fraction, f"{text} loss {progress.loss:.1e}", progress.stage)


def shown(show: ShowProgress, watch: Callback | None) -> Callback:
    """A callback that shows the progress, and then is another one."""

    def callback(progress: Progress) -> str | None:
        """Show the progress, then call the other callback."""
        show(line(progress))
        return None if watch is None else watch(progress)

    return callback
