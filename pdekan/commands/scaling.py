"""`pdekan scaling`: train networks of many sizes, and say how the error falls with them."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE
from pdekan.output import study_table
from pdekan.problem_file import load_problem
from pdekan.studies import engine, folder, scaling
from pdekan.studies.rows import Row, Task
from pdekan.studies.scaling import Plan, Trial
from pdekan.terminal import Show, Standing, console, interruptible, note, progress_display

STOPPING = "stopping; trainings in hand are given up, those that are done are kept and --resume goes on from them"
# options and what they are in a plan
GIVEN = {
    "hidden": "hidden", "intervals": "intervals", "degree": "degree", "optimizer": "optimizers", "mlp": "mlp",
    "mlp_optimizer": "mlp_optimizers", "seeds": "seeds", "seconds": "seconds",
}  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code. Raises ProblemError, StudyError, OutputError and OSError."""
    problem = load_problem(options.file, options.set)
    plan = _plan(options)
    trials = scaling.trials(problem, plan)
    tasks = scaling.tasks(trials)
    directory, found = _directory(options, problem.name, tasks)
    try:
        with interruptible(STOPPING) as interrupted, progress_display("study", remaining=False) as show:
            watch = _watcher(show, interrupted, trials, found)
            where = {"workers": options.workers, "scheduler": options.scheduler}
            rows = engine.run(scaling.train, tasks, directory, **where, watch=watch)
    except BaseException:
        folder.discard(directory)
        raise
    study = scaling.study(problem, plan, trials, rows, options.typed)
    unfinished = len(rows) < len(tasks)
    summary = folder.write(study, directory, unfinished)
    if options.json:
        print(json.dumps(summary))
    else:
        for table in study_table.tables(study):
            _print(table)
        console().print(f"study  {directory}")
    if unfinished:
        note(f"{len(rows)} of {len(tasks)} trainings are done; --resume goes on with the others")
        return RESUMABLE
    return NOT_CONVERGED if all(map(folder.failed, study.runs)) else DONE


def _plan(options: argparse.Namespace) -> Plan:
    """The plan that is asked for; what is given wins over --quick."""
    given = {name: getattr(options, option) for option, name in GIVEN.items() if getattr(options, option) is not None}
    return replace(scaling.QUICK if options.quick else Plan(), **given)


def _directory(options: argparse.Namespace, name: str, tasks: Sequence[Task]) -> tuple[Path, list[Row]]:
    """Where the study is written, and the rows that are there already."""
    if options.resume:
        directory, found = folder.resumed(options.output, name, tasks)
        note(f"{directory}: {len(found)} of {len(tasks)} trainings are done, {len(tasks) - len(found)} are left")
        return directory, found
    return folder.fresh(name) if options.output is None else folder.claim(options.output, options.force), []


def _watcher(show: Show, interrupted: Callable[[], bool], trials: Sequence[Trial], found: Sequence[Row]) -> engine.Watcher:
    """Shows where the study stands: the cluster's address once, and after every row the lowest error of each kind."""
    kinds = {trial.task.key: trial.kind for trial in trials}
    best: dict[str, float] = {}
    told = False

    def take(row: Row) -> None:
        error = None if row.result is None else row.result["l2_relative"]
        if error is not None:
            best[kinds[row.key]] = min(error, best.get(kinds[row.key], math.inf))

    def watch(progress: engine.Progress) -> str | None:
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


def _detail(progress: engine.Progress, best: dict[str, float]) -> str:
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


def _print(table: study_table.Table) -> None:
    """The columns aligned, every row on one line, be it wider than the terminal: cells would be broken beyond reading."""
    lines = (table.header, *table.rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = console()
    out.print(table.title, style="bold")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print("  ".join(cells).rstrip(), soft_wrap=True)
