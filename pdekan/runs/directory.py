"""Runs: a directory with all that one solve left behind."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pdekan.output import figures, network_figure, vtkhdf
from pdekan.output.atomic import write_text
from pdekan.output.network_figure import Drawing
from pdekan.output.samples import Array, OutputError
from pdekan.runs.network_picture import is_pictured, picture
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training.progress import Progress

SOLUTION, HISTORY, PROBLEM, SUMMARY = "solution.vtkhdf", "history.jsonl", "problem.toml", "summary.json"
NETWORK, MODULE = "network.png", "formula.py"
CHECKPOINT_SECONDS = 15.0
CHECKPOINT_POINTS = 9  # an axis: a checkpoint is for going on, not for looking at


def fresh_directory(name: str, root: Path = Path("outputs")) -> Path:
    """A new, empty directory root/name/NNN, numbered from 001; safe against other processes that do the same."""
    parent = root / name
    parent.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in parent.iterdir() if p.name.isdigit()), default=0)
    while True:
        directory = parent / f"{number:03d}"
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            number += 1


def discard(directory: Path, root: Path = Path("outputs")) -> None:
    """Remove a run's directory in which nothing was written, and what that leaves empty up to the root of all runs."""
    for folder in (directory, *directory.parents):
        if any(folder.iterdir()):
            return
        folder.rmdir()
        if root not in folder.parents:
            return


def latest_directory(name: str, file: str = SOLUTION, root: Path = Path("outputs")) -> Path:
    """The newest directory root/name/NNN by its file. Raises OutputError where there is none."""
    found = [path for path in (root / name).glob("*") if (path / file).is_file()]
    if not found:
        raise OutputError(f"no run of {name} under {root / name}: there is nothing to resume")
    return max(found, key=lambda path: (path / file).stat().st_mtime)


def claim_directory(path: Path, force: bool) -> Path:
    """The directory a user asks for, made if need be. Raises OutputError where it holds something and force is off."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} exists and is not a directory")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise OutputError(f"{path} exists and is not empty; choose another directory, --resume it, or --force to overwrite it")
    path.mkdir(parents=True, exist_ok=True)
    return path


def find(path: Path) -> Path:
    """The solution file of a run, given as its directory or as the file. Raises OutputError where there is none."""
    file = path / SOLUTION if path.is_dir() else path
    if not file.is_file():
        raise OutputError(f"{path}: no run here ({SOLUTION} is missing); `pdekan solve` prints where it left one")
    return file


class Checkpoints:
    """Saves the solution as it stands every now and then, so that a killed training can go on."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOLUTION
        self._next = time.monotonic() + CHECKPOINT_SECONDS

    def __call__(self, progress: Progress) -> None:
        """Save, if the last time is long enough ago."""
        if time.monotonic() < self._next:
            return
        solution = progress.snapshot()
        solution.save(self._path, (CHECKPOINT_POINTS,) * solution.sampled_axes)
        self._next = time.monotonic() + CHECKPOINT_SECONDS


def write(solution: Solution, directory: Path, networks: Sequence[Drawing] = ()) -> dict[str, str]:
    """Write all files of a run; returns their paths by what they are: solution, history, problem, summary, figures.

    networks: to be drawn on one more figure.
    """
    samples = solution.sample()
    vtkhdf.write(directory / SOLUTION, samples, solution.record())
    write_text(directory / HISTORY, _history_lines(solution))
    files = {"solution": directory / SOLUTION, "history": directory / HISTORY}
    if solution.problem is not None and solution.problem.text is not None:
        write_text(directory / PROBLEM, solution.problem.text)
        files["problem"] = directory / PROBLEM
    drawn = figures.write_all(directory, samples, solution.history, marks=_marks(solution))
    if networks:
        drawn["network"] = directory / NETWORK
        figures.save(network_figure.networks(networks), drawn["network"])
    files |= {f"figure_{name}": path for name, path in drawn.items()}
    files["summary"] = directory / SUMMARY
    for path in _ours(directory) - set(files.values()):  # of an earlier run that was overwritten
        path.unlink(missing_ok=True)
    named = {name: os.fspath(path) for name, path in files.items()}
    write_text(directory / SUMMARY, json.dumps(report(solution, directory, named), indent=2) + "\n")
    return named


def report(solution: Solution, directory: Path, files: dict[str, str]) -> dict[str, Any]:
    """What `summary.json` holds and `pdekan solve --json` prints."""
    return solution.summary() | {"run": os.fspath(directory), "environment": dict(solution.environment), "files": files}


def _ours(directory: Path) -> set[Path]:
    """The files of the run in a directory: those that any run may have, and its unknowns' figures by what its summary says."""
    names = {
        SOLUTION,
        HISTORY,
        PROBLEM,
        SUMMARY,
        NETWORK,
        MODULE,
        "formula.png",
        "formula.svg",
        *(f"{name}.png" for name in ("solution", "exact", "error", "history")),
    }
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # there is none, or it is not one of ours
        files = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))["files"]
        names |= {Path(path).name for what, path in files.items() if what.startswith("figure_")}
    return {directory / name for name in names}


def redraw(run: Path, directory: Path, suffix: str) -> dict[str, str]:
    """Draw a run's figures again into a directory. Raises OutputError where there is no run."""
    solution = load_solution(find(run))
    directory.mkdir(parents=True, exist_ok=True)
    drawn = figures.write_all(directory, solution.sample(), solution.history, suffix, _marks(solution))
    if is_pictured(solution):
        drawn["network"] = directory / f"network{suffix}"
        figures.save(network_figure.networks([picture(solution)]), drawn["network"])
    return {name: os.fspath(path) for name, path in drawn.items()}


def write_formula(solution: Solution, file: Path, drawn: Drawing) -> dict[str, str]:
    """Put a solution's formula into its run's file, and beside it as a Python module and as pictures; returns their paths."""
    assert solution.formula is not None
    vtkhdf.write(file, vtkhdf.read_samples(file), solution.record())
    write_text(file.parent / MODULE, solution.formula["python"])
    files = {"solution": file, "module": file.parent / MODULE}
    for suffix in ("png", "svg"):
        files[f"figure_formula_{suffix}"] = file.parent / f"formula.{suffix}"
        figures.save(network_figure.networks([drawn]), files[f"figure_formula_{suffix}"])
    return {name: os.fspath(path) for name, path in files.items()}


def _marks(solution: Solution) -> Array | None:
    """Where measurements were taken."""
    data = () if solution.problem is None else solution.problem.data
    return np.concatenate([one.points for one in data]) if data else None


def _history_lines(solution: Solution) -> str:
    """One JSON object a step; what was not measured is null."""
    columns = {name: values.tolist() for name, values in solution.history.items()}
    lines = []
    for row in zip(*columns.values(), strict=True):
        cells = dict(zip(columns, row, strict=True))
        whole = {name: int(cells[name]) for name in ("step", "stage")}
        lines.append(json.dumps({k: (v if math.isfinite(v) else None) for k, v in cells.items()} | whole))
    return "".join(line + "\n" for line in lines)
