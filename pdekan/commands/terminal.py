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
class Standing:
    """Where work stands: the seconds so far, the part that is done, from 0 to 1, and details; a new chapter is news."""

    seconds: float
    fraction: float
    detail: str
    chapter: int = 0


Show = Callable[[Standing], None]


def console() -> Console:
    """stdout, without wrapping where it is not a terminal, so that scripts get whole lines."""
    on_terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, soft_wrap=not on_terminal, width=None if on_terminal else 200)


def note(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def interruptible(message: str) -> Iterator[Callable[[], bool]]:
    """Until the block ends, the first SIGINT or SIGTERM is noted, with a message, and the second raises KeyboardInterrupt."""
    noted: list[int] = []

    def hear(number: int, _: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)
        note(f"\n{message} (once more to stop at once)")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_display(title: str, remaining: bool = True) -> Iterator[Show]:
    """A live bar on a terminal, else a line every ten seconds; both on stderr.

    remaining: whether the bar guesses the time left, which takes steps that come every few seconds.
    """
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[detail]}"))
    guess = (TimeRemainingColumn(),) if remaining else ()
    with Progress(*columns, *guess, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title[:40], total=1.0, detail="starting")
        yield lambda now: bar.update(task, completed=min(1.0, now.fraction), detail=now.detail)


def _lines(title: str) -> Show:
    last, chapter = time.monotonic(), 0

    def show(now: Standing) -> None:
        nonlocal last, chapter
        if time.monotonic() - last >= LINE_SECONDS or now.chapter != chapter:
            last, chapter = time.monotonic(), now.chapter
            note(f"{title}: {now.seconds:.0f} s, {now.detail}")

    return show
