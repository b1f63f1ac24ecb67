"""A study's directory: its rows as they come, and at the end its HDF5 file, figures, table and summary."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pdekan import run as run_module
from pdekan.output import study_figures, study_file, study_table
from pdekan.output.atomic import write_text
from pdekan.output.study import Run, Study
from pdekan.studies import rows
from pdekan.studies.rows import StudyError, Task, plain

STUDY, TABLE, SUMMARY = "study.h5", "table.md", "summary.json"
SUFFIXES = (".png", ".svg")
FIGURES = ("scaling", "seconds")


def fresh(name: str) -> Path:
    """A new directory for a study of a problem, outputs/NAME_scaling/NNN."""
    return run_module.fresh_directory(_folder(name))


def claim(path: Path, force: bool) -> Path:
    """The directory a user asks for, without an earlier study. Raises OutputError where it holds something and force is off."""
    run_module.claim_directory(path, force)
    with rows.row_file(path):  # nobody is at work on it
        for name in (rows.FILE, STUDY, TABLE, SUMMARY, *(f"{name}{suffix}" for name in FIGURES for suffix in SUFFIXES)):
            (path / name).unlink(missing_ok=True)
    return path


def resumed(path: Path | None, name: str, tasks: Iterable[Task]) -> tuple[Path, list[rows.Row]]:
    """The directory of a study to go on with, or of the newest one of a problem, and the rows of these tasks in it.

    Raises StudyError where there is none, and where all that it holds belongs to other tasks.
    """
    directory = path if path is not None else run_module.latest_directory(_folder(name), rows.FILE)
    if not (directory / rows.FILE).is_file():
        raise StudyError(f"{directory} holds no study to go on with ({rows.FILE} is missing)")
    with rows.row_file(directory) as file:
        found = [file.rows[task.key] for task in tasks if task.key in file.rows and not file.rows[task.key].lost]
        if file.rows and not found:
            raise StudyError(
                f"{directory}: none of its {len(file.rows)} rows is of a training that is asked for; give the problem and the "
                f"options that it was started with, or leave out --resume"
            )
    return directory, found


def discard(directory: Path) -> None:
    """Remove a directory that has no row, and what that leaves empty up to the root of all runs."""
    if not (directory / rows.FILE).exists():
        (directory / rows.LOCK).unlink(missing_ok=True)
        run_module.discard(directory)


def write(study: Study, directory: Path, interrupted: bool) -> dict[str, Any]:
    """Write all files but the rows'; what `summary.json` holds and `pdekan scaling --json` prints."""
    (directory / rows.FILE).touch()  # an interrupted study may have no row, and can be resumed
    study_file.write(directory / STUDY, study)
    write_text(directory / TABLE, study_table.markdown(study))
    files = {"rows": directory / rows.FILE, "study": directory / STUDY, "table": directory / TABLE}
    if not all(failed(run) for run in study.runs):
        for suffix in SUFFIXES:
            drawn = study_figures.write_all(directory, study, suffix)
            files |= {f"{name}_{suffix[1:]}": path for name, path in drawn.items()}
    files["summary"] = directory / SUMMARY
    summary = _summary(study) | {
        "study": os.fspath(directory),
        "interrupted": interrupted,
        "files": {name: os.fspath(path) for name, path in files.items()},
    }
    write_text(directory / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def redraw(file: Path, directory: Path, suffix: str) -> dict[str, str]:
    """Draw a study's figures again into a directory. Raises OutputError where there is no study, or nothing to draw."""
    study = study_file.read(file)
    directory.mkdir(parents=True, exist_ok=True)
    return {name: os.fspath(path) for name, path in study_figures.write_all(directory, study, suffix).items()}


def find(path: Path) -> Path | None:
    """The HDF5 file of a study, given as its directory or as the file; None for anything else, such as a run."""
    file = path / STUDY if path.is_dir() else path
    return file if file.suffix == Path(STUDY).suffix and file.is_file() else None


def failed(run: Run) -> bool:
    """Whether a run has no error that could be drawn."""
    return not math.isfinite(run.l2_mean_square)


def _summary(study: Study) -> dict[str, Any]:
    """A study as JSON-able data, NaN as None, without what only its HDF5 file holds; seconds: of all trainings together."""
    columns = [field.name for field in fields(Run) if field.name != "history"]
    summary: dict[str, Any] = plain(
        {
            "schema": 1,
            "name": study.name,
            "runs": [{name: getattr(run, name) for name in columns} for run in study.runs],
            "failed": sum(map(failed, study.runs)),
            "seconds": sum(run.seconds for run in study.runs if math.isfinite(run.seconds)),
            **{name: [asdict(row) for row in getattr(study, name)] for name in ("spreads", "slopes", "limit", "paper")},
            "environment": dict(study.environment),
        }
    )
    return summary


def _folder(name: str) -> str:
    return f"{name}_scaling"
