"""The clock of a training, and its deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class OutOfTimeError(Exception):
    """The time allowed has passed in the middle of a step."""


class Clock:
    """Seconds of training; it stands still outside of `running`, and within `paused`."""

    def __init__(self, spent: float, seconds: float) -> None:
        self.budget = spent + seconds
        self._spent = spent
        self._since: float | None = None

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self._spent + (0.0 if self._since is None else time.perf_counter() - self._since)

    def check(self) -> None:
        """Raise OutOfTimeError where the time allowed has passed."""
        if self.spent > self.budget:
            raise OutOfTimeError

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block."""
        self._since = time.perf_counter()
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
            self._since = time.perf_counter()
