"""What the commands of studies share: where a study is written, its trainings with a display, and how it ends."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE
from pdekan.commands.terminal import Show, Standing, console, interruptible, note, progress_display
from pdekan.output.tables import Table
from pdekan.runs import directory as runs
from pdekan.studies import engine, folder
from pdekan.studies.folder import Contents
from pdekan.studies.rows import Row, Task

STOPPING = "stopping; trainings in hand are given up, those that are done are kept and --resume goes on from them"
# a name for what a row is one of, and its error; None for a row without one
Score = Callable[[Row], tuple[str, float] | None]


@dataclass(frozen=True)
class Trained:
    """Where a study is, the rows it has, in the order of its tasks, and how many there would be."""

    directory: Path
    rows: list[Row]
    tasks: int

    @property
    def unfinished(self) -> bool:
        """Whether rows are missing."""
        return len(self.rows) < self.tasks


def trained(options: argparse.Namespace, name: str, train: engine.Train, tasks: Sequence[Task], score: Score) -> Trained:
    """Train what has no row yet, in outputs/name/NNN or where the options say.

    Raises StudyError, OutputError and OSError; a directory without any row is then gone again.
    """
    directory, found = _directory(options, name, tasks)
    try:
        with interruptible(STOPPING) as interrupted, progress_display("study", remaining=False) as show:
            watch = _watcher(show, interrupted, score, found)
            where = {"workers": options.workers, "scheduler": options.scheduler}
            rows = engine.run(train, tasks, directory, **where, watch=watch)
    except BaseException:
        folder.discard(directory)
        raise
    return Trained(directory, rows, len(tasks))


def ended(options: argparse.Namespace, study: Trained, contents: Contents, tables: Iterable[Table], failed: bool) -> int:
    """Write the study's files and print it; the exit code. failed: whether no training came to a result."""
    summary = folder.write(contents, study.directory, study.unfinished)
    if options.json:
        print(json.dumps(summary))
    else:
        for table in tables:
            _print(table)
        console().print(f"study  {study.directory}")
    if study.unfinished:
        note(f"{len(study.rows)} of {study.tasks} trainings are done; --resume goes on with the others")
        return RESUMABLE
    return NOT_CONVERGED if failed else DONE


def _directory(options: argparse.Namespace, name: str, tasks: Sequence[Task]) -> tuple[Path, list[Row]]:
    """Where the study is written, and the rows that are there already."""
    if options.resume:
        directory, found = folder.resumed(options.output, name, tasks)
        note(f"{directory}: {len(found)} of {len(tasks)} trainings are done, {len(tasks) - len(found)} are left")
        return directory, found
    return runs.fresh_directory(name) if options.output is None else folder.claim(options.output, options.force), []


def _watcher(show: Show, interrupted: Callable[[], bool], score: Score, found: Sequence[Row]) -> engine.StudyWatcher:
    """Shows where the study stands: the cluster's address once, and after every row the lowest error of each kind."""
    best: dict[str, float] = {}
    told = False

    def take(row: Row) -> None:
        scored = score(row)
        if scored is not None:
            kind, error = scored
            best[kind] = min(error, best.get(kind, math.inf))

    def watch(progress: engine.StudyProgress) -> str | None:
        nonlocal told
        if progress.dashboard is not None and not told:
            told = True
            note(f"dashboard: {progress.dashboard}" + ("" if progress.dashboard_has_pages else ", empty without bokeh"))
        if progress.newest is not None:
            take(progress.newest)
        show(Standing(progress.seconds, progress.done / progress.total, _detail(progress, best)))
        return "interrupted" if interrupted() else None

    for row in found:
        take(row)
    return watch


def _detail(progress: engine.StudyProgress, best: dict[str, float]) -> str:
    # with the bar it fits into the 80 columns of a terminal
    text = f"{progress.done} done, {progress.failed} failed, {progress.left} left"
    if progress.waits_for_workers:
        text += ", waiting for workers"
    elif progress.seconds_left is not None:
        text += f" ({_duration(progress.seconds_left)})"
    errors = ", ".join(f"{kind.upper()} {best[kind]:.0e}" for kind in sorted(best))
    return f"{text}, L2 {errors}" if errors else text


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _print(table: Table) -> None:
    """The columns aligned, every row on one line, be it wider than the terminal: cells would be broken beyond reading."""
    lines = (table.header, *table.rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = console()
    out.print(table.title, style="bold")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print("  ".join(cells).rstrip(), soft_wrap=True)
