"""A study's directory: its rows as they come, and at the end its HDF5 file, figures, table and summary."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from pdekan.output import findings_figures, findings_file, study_figures, study_file, study_table, tables
from pdekan.output.atomic import write_text
from pdekan.output.findings import Findings, Heading
from pdekan.output.study import Run, Study
from pdekan.runs import directory as run_module
from pdekan.studies import rows
from pdekan.studies.rows import Row, StudyError, Task, plain

STUDY, TABLE, SUMMARY = "study.h5", "table.md", "summary.json"
SUFFIXES = (".png", ".svg")

# from a directory and the ending of the files to figures by name
Draw = Callable[[Path, str], Mapping[str, Path]]


@dataclass(frozen=True)
class Contents:
    """What a study leaves in its directory beside its rows.

    save: writes the HDF5 file. table: in Markdown. draw: writes the figures. summary: what `--json` prints, less the files.
    """

    save: Callable[[Path], None]
    table: str
    draw: Draw
    summary: Mapping[str, Any]


def claim(path: Path, force: bool) -> Path:
    """The directory a user asks for, without an earlier study. Raises OutputError where it holds something and force is off."""
    run_module.claim_directory(path, force)
    with rows.row_file(path):  # nobody is at work on it
        for name in (rows.FILE, STUDY, TABLE, *_figures(path), SUMMARY):
            (path / name).unlink(missing_ok=True)
    return path


def resumed(path: Path | None, name: str, tasks: Iterable[Task]) -> tuple[Path, list[Row]]:
    """The directory of a study to go on with, or of the newest outputs/name/NNN, and the rows of these tasks in it.

    Raises StudyError where there is none, and where all that it holds belongs to other tasks.
    """
    directory = path if path is not None else run_module.latest_directory(name, rows.FILE)
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
        run_module.remove_if_empty(directory)


def of_scaling(study: Study) -> Contents:
    """What a scaling study leaves."""

    def draw(directory: Path, suffix: str) -> Mapping[str, Path]:
        return {} if all(map(failed, study.runs)) else study_figures.write_all(directory, study, suffix)

    return Contents(partial(study_file.write, study=study), study_table.markdown(study), draw, _summary(study))


def of_findings(heading: Heading, findings: Findings, found: Sequence[Row]) -> Contents:
    """What an experiment leaves; found: its rows."""
    texts = [tables.table(one) for one in findings.tables]
    paragraphs = (f"Source: {heading.source}.", *findings.sentences)
    return Contents(
        save=partial(findings_file.write, heading=heading, findings=findings),
        table=tables.markdown(heading.title, paragraphs, texts, heading.command),
        draw=lambda directory, suffix: findings_figures.write_all(directory, findings.pictures, suffix),
        summary=plain(
            {
                "schema": 1,
                "name": heading.name,
                "findings": findings.sentences,
                "tables": {one.name: dict(one.columns) for one in findings.tables},
                "trainings": len(found),
                "failed": sum(row.result is None for row in found),
                "seconds": sum(row.seconds or 0.0 for row in found),
                "environment": dict(heading.environment),
            }
        ),
    )


def write(contents: Contents, directory: Path, interrupted: bool) -> dict[str, Any]:
    """Write all files but the rows'; what `summary.json` holds and `--json` prints."""
    (directory / rows.FILE).touch()  # an interrupted study may have no row, and can be resumed
    contents.save(directory / STUDY)
    write_text(directory / TABLE, contents.table)
    files = {"rows": directory / rows.FILE, "study": directory / STUDY, "table": directory / TABLE}
    for suffix in SUFFIXES:
        files |= {f"{name}_{suffix[1:]}": path for name, path in contents.draw(directory, suffix).items()}
    files["summary"] = directory / SUMMARY
    summary = {
        **contents.summary,
        "study": os.fspath(directory),
        "interrupted": interrupted,
        "files": {name: os.fspath(path) for name, path in files.items()},
    }
    write_text(directory / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def redraw(file: Path, directory: Path, suffix: str) -> dict[str, str]:
    """Draw a study's figures again into a directory. Raises OutputError where there is no study, or nothing to draw."""
    drawn: Mapping[str, Path]
    if findings_file.kind(file) == findings_file.KIND:
        pictures = findings_file.read(file)[1].pictures
        directory.mkdir(parents=True, exist_ok=True)
        drawn = findings_figures.write_all(directory, pictures, suffix)
    else:
        study = study_file.read(file)
        directory.mkdir(parents=True, exist_ok=True)
        drawn = study_figures.write_all(directory, study, suffix)
    return {name: os.fspath(path) for name, path in drawn.items()}


def find(path: Path) -> Path | None:
    """The HDF5 file of a study, given as its directory or as the file; None for anything else, such as a run."""
    file = path / STUDY if path.is_dir() else path
    return file if file.suffix == Path(STUDY).suffix and file.is_file() else None


def failed(run: Run) -> bool:
    """Whether a run has no error that could be drawn."""
    return not math.isfinite(run.l2_mean_square)


def _figures(directory: Path) -> list[str]:
    """The figures of the study in a directory, by what its summary says."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # there is none, or it is not one of ours
        files = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))["files"]
        endings = tuple(f"_{suffix[1:]}" for suffix in SUFFIXES)
        return [Path(path).name for name, path in files.items() if name.endswith(endings)]
    return []


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
