"""The clock of a training, which can end a step in its middle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pdekan.training.reasons import Reason


class StepEndedError(Exception):
    """A step was ended in its middle; reason: BUDGET or INTERRUPTED."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class Clock:
    """Seconds of training; it stands still outside of `running`, and within `paused`.

    interrupted: called by `check`; whether the training is to end. now: seconds on any clock, such as that of the thread's
    processor time, which does not depend on what else the machine does.
    """

    def __init__(
        self,
        spent: float,
        seconds: float,
        interrupted: Callable[[], bool] = lambda: False,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.budget, self._interrupted = spent + seconds, interrupted
        self._now = now or (lambda: time.perf_counter())
        self._spent = spent
        self._since: float | None = None

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self._spent + (0.0 if self._since is None else self._now() - self._since)

    def check(self) -> None:
        """Raise StepEndedError where the training is interrupted or the time allowed has passed; called within `running`."""
        if self.is_late(math.inf):
            raise StepEndedError(Reason.INTERRUPTED)
        if self.spent > self.budget:
            raise StepEndedError(Reason.BUDGET)

    def is_late(self, spent: float) -> bool:
        """Whether the training is interrupted, or has taken more than so many seconds; called within `running`."""
        with self.paused():
            interrupted = self._interrupted()
        return interrupted or self.spent > spent

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block."""
        self._since = self._now()
        try:
            yield
        finally:
            self._spent, self._since = self.spent, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the seconds of a block within a running one."""
        self._spent, self._since = self.spent, None
        try:
            yield
        finally:
            self._since = self._now()
