"""The progress of long work, on stderr: a bar on a terminal or in a notebook, else a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

LINE_SECONDS = 10.0


@dataclass(frozen=True)
class ProgressLine:
    """The progress of work: seconds so far, the fraction done, from 0 to 1, and details; a new stage is shown at once."""

    seconds: float
    fraction: float
    detail: str
    stage: int = 0


class Stderr(Console):
    """stderr, on which progress is shown; where its reader is gone the work goes on without a word."""

    def on_broken_pipe(self) -> None:
        """Write no more, where rich would end the program."""
        self.quiet = True


ShowProgress = Callable[[ProgressLine], None]


@contextmanager
def progress_display(title: str, remaining: bool = True, console: Console | None = None) -> Iterator[ShowProgress]:
    """A live bar on a terminal or in a notebook, else a line every ten seconds; both on stderr.

    remaining: whether the bar estimates the time left, which needs updates every few seconds. console: for tests.
    """
    console = console or Stderr(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield _lines(title, console)
        return
    # what is narrow gives way from the right: details first, then the title
    name, detail = (Column(ratio=share, no_wrap=True, overflow="ellipsis") for share in (2, 3))
    columns = [TextColumn("{task.description}", table_column=name), BarColumn(bar_width=12)]
    time_left = [TimeRemainingColumn(compact=True)] if remaining else []
    text = TextColumn("{task.fields[detail]}", table_column=detail)
    with Progress(*columns, *time_left, text, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(title, total=1.0, detail="starting")
        yield lambda now: bar.update(task, completed=min(1.0, now.fraction), detail=now.detail)


def _lines(title: str, console: Console) -> ShowProgress:
    last, stage = time.monotonic(), 0

    def show(now: ProgressLine) -> None:
        """Print a line where the last one is old, or of another stage."""
        nonlocal last, stage
        if time.monotonic() - last >= LINE_SECONDS or now.stage != stage:
            last, stage = time.monotonic(), now.stage
            with suppress(BrokenPipeError):  # rich before 13.9 raises it
                console.print(f"{title}: {now.seconds:.0f} s, {now.detail}", markup=False, highlight=False, soft_wrap=True)

    return show
