"""The terminal: results on stdout, progress on stderr, Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0


@dataclass(frozen=True)
class ProgressLine:
    """The progress of work: seconds so far, the fraction done, from 0 to 1, and details; a new stage is shown at once."""

    seconds: float
    fraction: float
    detail: str
    stage: int = 0


ShowProgress = Callable[[ProgressLine], None]


def console() -> Console:
    """stdout, without wrapping where it is not a terminal, so that scripts get whole lines."""
    on_terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, soft_wrap=not on_terminal, width=None if on_terminal else 200)


def note(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def interruptible(message: str) -> Iterator[Callable[[], bool]]:
    """In the block the first SIGINT or SIGTERM prints a message, and the second raises KeyboardInterrupt.

    Yields a function that returns whether a signal was received.
    """
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        note(f"\n{message} (once more to stop at once)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_display(title: str, remaining: bool = True) -> Iterator[ShowProgress]:
    """A live bar on a terminal, else a line every ten seconds; both on stderr.

    remaining: whether the bar estimates the time left, which needs updates every few seconds.
    """
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[detail]}"))
    time_left = (TimeRemainingColumn(),) if remaining else ()
    with Progress(*columns, *time_left, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title[:40], total=1.0, detail="starting")
        yield lambda now: bar.update(task, completed=min(1.0, now.fraction), detail=now.detail)


def _lines(title: str) -> ShowProgress:
    last, stage = time.monotonic(), 0

    def show(now: ProgressLine) -> None:
        nonlocal last, stage
        if time.monotonic() - last >= LINE_SECONDS or now.stage != stage:
            last, stage = time.monotonic(), now.stage
            note(f"{title}: {now.seconds:.0f} s, {now.detail}")

    return show
