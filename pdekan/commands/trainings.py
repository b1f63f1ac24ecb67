"""What the commands of studies share: the directory, the trainings with their progress, files and printed tables."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE
from pdekan.commands.terminal import console, interruptible, note
from pdekan.output.findings import Findings, Heading
from pdekan.output.progress_bar import ProgressLine, ShowProgress, progress_display
from pdekan.output.tables import Table, table
from pdekan.runs import directory as runs
from pdekan.studies import engine, folder
from pdekan.studies.folder import Contents
from pdekan.studies.rows import Row, Task

STOPPING = "stopping; trainings in hand are given up, those that are done are kept and --resume goes on from them"
# the kind of network that a row is of, and its error; None for a row without an error
Score = Callable[[Row], tuple[str, float] | None]


@dataclass(frozen=True)
class Trainings:
    """The directory of a study, the rows it has, in the order of its tasks, and the number of tasks."""

    directory: Path
    rows: list[Row]
    tasks: int

    @property
    def unfinished(self) -> bool:
        """Whether rows are missing."""
        return len(self.rows) < self.tasks


def train(
    options: argparse.Namespace,
    name: str,
    task: engine.Train,
    tasks: Sequence[Task],
    score: Score,
    writes: bool = False,
    common: Mapping[str, Any] | None = None,
) -> Trainings:
    """Execute the tasks without a row, in outputs/name/NNN or in the directory of the options.

    writes: whether trainings write files of their own; their configurations then have the study's `directory`. common: more of
    what all configurations have, as for `engine.run`.
    Raises StudyError, OutputError and OSError; a directory without any row is then removed.
    """
    directory, earlier = _directory(options, name, tasks)
    try:
        with interruptible(STOPPING) as interrupted, progress_display("study", remaining=False) as show:
            watch = _watcher(show, interrupted, score, earlier)
            where = {"workers": options.workers, "scheduler": options.scheduler}
            places = {"directory": str(directory.absolute())} if writes else {}
            rows = engine.run(task, tasks, directory, **where, watch=watch, common={**places, **(common or {})})
    except BaseException:
        folder.discard(directory)
        raise
    return Trainings(directory, rows, len(tasks))


def report(options: argparse.Namespace, study: Trainings, contents: Contents, tables: Iterable[Table], failed: bool) -> int:
    """Write the study's files, print it and return the exit code. failed: whether no training has a result."""
    summary = folder.write(contents, study.directory, study.unfinished)
    if options.json:
        print(json.dumps(summary))
    else:
        for one in tables:
            _print(one)
        console().print(f"study  {study.directory}")
    if study.unfinished:
        note(f"{len(study.rows)} of {study.tasks} trainings are done; --resume goes on with the others")
        return RESUMABLE
    return NOT_CONVERGED if failed else DONE


def report_findings(
    options: argparse.Namespace, study: Trainings, heading: Heading, findings: Findings, more: Mapping[str, Any] | None = None
) -> int:
    """Print the sentences of a study, then as `report`. more: what its summary has beside the findings."""
    contents = folder.findings_contents(heading, findings, study.rows)
    if not options.json:
        for sentence in findings.sentences:
            console().print(sentence)
    failed = all(row.result is None for row in study.rows)
    contents = replace(contents, summary={**contents.summary, **(more or {})})
    return report(options, study, contents, map(table, findings.tables), failed)


def _directory(options: argparse.Namespace, name: str, tasks: Sequence[Task]) -> tuple[Path, list[Row]]:
    """The directory of the study, and the rows that are in it already."""
    if options.resume:
        directory, rows = folder.resumed(options.output, name, tasks)
        note(f"{directory}: {len(rows)} of {len(tasks)} trainings are done, {len(tasks) - len(rows)} are left")
        return directory, rows
    return runs.fresh_directory(name) if options.output is None else folder.claim(options.output, options.force), []


def _watcher(show: ShowProgress, interrupted: Callable[[], bool], score: Score, earlier: Sequence[Row]) -> engine.StudyCallback:
    """Shows the progress of a study: the dashboard's address once, and after every row the lowest error of each kind."""
    best: dict[str, float] = {}
    dashboard_noted = False

    def update_best(row: Row) -> None:
        """Remember the error of a row where it is the least of its kind."""
        scored = score(row)
        if scored is not None:
            kind, error = scored
            best[kind] = min(error, best.get(kind, math.inf))

    def watch(progress: engine.StudyProgress) -> str | None:
        """Show the progress; a reason to end the study where Ctrl-C was pressed."""
        nonlocal dashboard_noted
        if progress.dashboard is not None and not dashboard_noted:
            dashboard_noted = True
            note(f"dashboard: {progress.dashboard}" + ("" if progress.dashboard_has_pages else ", empty without bokeh"))
        if progress.newest is not None:
            update_best(progress.newest)
        show(ProgressLine(progress.seconds, progress.done / progress.total, _detail(progress, best)))
        return "interrupted" if interrupted() else None

    for row in earlier:
        update_best(row)
    return watch


def _detail(progress: engine.StudyProgress, best: dict[str, float]) -> str:
    # short enough for the 80 columns of a terminal with the bar
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
    """Print aligned columns, every row on one line even if it is wider than the terminal: broken cells cannot be read."""
    lines = (table.header, *table.rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = console()
    out.print(table.title, style="bold")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print("  ".join(cells).rstrip(), soft_wrap=True)
