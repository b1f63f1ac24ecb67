"""Suites: all problem files of a folder, each solved on its defaults, and what came out case by case."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdekan.errors.norms import Errors
from pdekan.output.findings import Bar, Colour, Columns, Curve, Findings, Panel, Picture
from pdekan.problem_files.library import problem_files
from pdekan.problem_files.loader import load_problem
from pdekan.runs.directory import SOLUTION
from pdekan.studies.experiment import result
from pdekan.studies.folder import RUNS
from pdekan.studies.rows import Row, StudyError, Task
from pdekan.training import solver
from pdekan.training.threads import threads

HONEST_FACTOR = 10.0  # a solution called converged may be off by so many times its tolerance
CASE = ("name", "status", "parameters", "seconds", "l2_relative", "h1_seminorm_relative", "estimate", "honest")
COLUMNS = (*CASE, "tolerance", "reason")  # of the table
DETAILS = ("tolerance", "reason", "solution")


def tasks(folder: Path, seconds: float | None) -> list[Task]:
    """A task for each problem file of a folder, in alphabetical order; seconds: the budget of each instead of its own.

    A file that has changed makes another task. Raises StudyError where there is no such folder or no problem file in it, and
    OSError for a file that cannot be read.
    """
    if not folder.is_dir():
        what = "is not a folder; `pdekan solve` solves one problem" if folder.exists() else "there is no such folder"
        raise StudyError(f"{folder}: {what}")
    files = problem_files(folder)
    if not files:
        raise StudyError(f"{folder}: no problem files in it (names that end in .toml); folders below it are not searched")
    overrides = {} if seconds is None else {"training.seconds": seconds}
    return [
        Task(
            {
                "file": str(path.absolute()),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "overrides": overrides,
            }
        )
        for path in files.values()
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker does: solve a problem file, write its solution, and return its row.

    configuration: that of a task, and the suite's `directory`. Raises ProblemError for a file that is no sound problem.
    """
    kept = Path(RUNS) / _name(configuration) / SOLUTION
    path = Path(configuration["directory"]) / kept
    path.unlink(missing_ok=True)  # of the file before it was changed
    problem = load_problem(
        configuration["file"], configuration["overrides"], allow_outside=configuration.get("allow_outside", False)
    )
    with threads(1):
        solution = solver.solve(problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    solution.save(path)
    errors = [] if solution.errors is None else list(solution.errors.values())
    return {
        "status": solution.status,
        "parameters": solution.parameters,
        "seconds": solution.seconds,
        "l2_relative": _largest(one.l2_relative for one in errors),
        "h1_seminorm_relative": _largest(one.h1_seminorm_relative for one in errors),
        "estimate": _largest(one.l2_relative for one in (solution.estimate or {}).values()),
        "honest": honest(solution.status, solution.tolerance, errors if len(errors) == len(solution.unknowns) else []),
        "tolerance": solution.tolerance,
        "reason": solution.reason,
        "solution": str(kept),
    }


def honest(status: str, tolerance: float, errors: Sequence[Errors]) -> bool | None:
    """Whether a solution that is called converged is within ten times its tolerance, by the relative L2 errors of all unknowns.

    True for any other status, which promises nothing. None where the errors are not known, or where the reference solution is
    not accurate enough to decide.
    """
    if not errors:
        return None
    if status != "converged":
        return True
    # an exact solution that vanishes has no relative error; one whose own error is not known counts as exact
    known = [(one.l2_relative, _uncertainty(one)) for one in errors if math.isfinite(one.l2_relative)]
    bound = HONEST_FACTOR * tolerance
    if any(error - uncertainty > bound for error, uncertainty in known):
        return False
    return True if known and all(error + uncertainty <= bound for error, uncertainty in known) else None


def cases(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows of a suite as JSON data; without a solution the status is "failed", the reason the message."""
    return [{"name": _name(row.configuration)} | _outcome(row) for row in rows]


def findings(folder: Path, rows: Sequence[Row]) -> Findings:
    """How many cases converged, and whether that was true; a table of all cases, and a figure of those that were solved."""
    outcomes = cases(rows)
    counts = _counts(outcomes)
    sentence = f"{len(outcomes)} cases of {folder.name}: " + ", ".join(f"{n} {name}" for name, n in counts.items() if n) + "."
    columns = {name: [_cell(name, one[name]) for one in outcomes] for name in COLUMNS}
    table = Columns("cases", "Cases: largest relative errors of all unknowns", columns)
    solved = [result(row) for row in rows if row.result is not None]
    return Findings((sentence,), (table,), (_picture(solved, counts),) if solved else ())


def _name(configuration: Mapping[str, Any]) -> str:
    return Path(configuration["file"]).stem


def _largest(values: Iterable[float]) -> float:
    """The largest finite value, nan without any."""
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _uncertainty(errors: Errors) -> float:
    """The error of the reference solution, relative to its norm; 0 where it is not known, and for a formula."""
    share = errors.reference_l2 / errors.l2 if errors.l2 > 0.0 else 0.0
    return 0.0 if math.isnan(share) else share * errors.l2_relative


def _outcome(row: Row) -> dict[str, Any]:
    if row.result is not None:
        return dict(row.result)
    return dict.fromkeys((*CASE[1:], *DETAILS)) | {"status": "failed", "reason": row.failure}


def _cell(name: str, value: Any) -> str | int | float:
    """A value in the table's column: texts as they are, numbers with nan for unknown."""
    if name == "honest":
        return {True: "yes", False: "no", None: "not known"}[value]
    if name in ("name", "status", "reason"):
        return str(value)
    if name == "parameters":
        return "–" if value is None else str(value)
    return math.nan if value is None else float(value)


TICKS = tuple(digit * 10.0**k for k in range(-3, 7) for digit in (1.0, 3.0))  # of seconds and parameters
# what a case can end as, and the colour of its bar
ENDS: dict[str, Colour] = {
    "converged within ten tolerances": "green",
    "converged, error not known": "blue",
    "converged and wrong": "red",
    "not converged": "orange",
    "failed": "grey",
}


def _end(outcome: Mapping[str, Any]) -> str:
    right, unknown, wrong, unfinished, failed = ENDS
    if outcome["status"] == "failed":
        return failed
    if outcome["status"] != "converged":
        return unfinished
    return {True: right, False: wrong, None: unknown}[outcome["honest"]]


def _counts(outcomes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    ends = [_end(outcome) for outcome in outcomes]
    return {name: ends.count(name) for name in ENDS}


def _picture(solved: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> Picture:
    """Errors against seconds and parameters in both norms, and a bar for each kind of end."""
    norms: tuple[tuple[str, str, Colour, str], ...] = (
        ("l2_relative", "L2", "blue", "o"),
        ("h1_seminorm_relative", "H1 seminorm", "orange", "D"),
    )

    def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([one[name] for one in solved], np.float64)

    against = [
        Panel(
            tuple(Curve(column(x), column(y), label, colour, "", marker) for y, label, colour, marker in norms),
            x=x,
            y="relative error",
            scale="log",
            x_ticks=TICKS,
        )
        for x in ("seconds", "parameters")
    ]
    bars = Panel((), x="cases", bars=tuple(Bar(name, counts[name], colour) for name, colour in ENDS.items()))
    return Picture("errors", (*against, bars), 3, (11.0, 3.6))
