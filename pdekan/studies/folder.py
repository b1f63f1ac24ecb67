"""A study's directory: its rows, and at the end its HDF5 file, figures, table, summary and report."""

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

from pdekan.output import findings_figures, report_page, study_figures, study_table, tables
from pdekan.output.atomic import write_text
from pdekan.output.findings import KIND, Findings, Heading, kind_of_study, read_findings, write_findings
from pdekan.output.report_page import Section, paragraph
from pdekan.output.study import Run, Study, read_study, write_study
from pdekan.output.tables import Table
from pdekan.runs import directory as run_module
from pdekan.studies import rows
from pdekan.studies.rows import Row, StudyError, Task, json_data

STUDY, TABLE, SUMMARY = "study.h5", "table.md", "summary.json"
RUNS = "runs"  # a directory for each solution that a study keeps
SUFFIXES = (".png", ".svg")

# writes figures with a suffix into a directory; their paths by name
Draw = Callable[[Path, str], Mapping[str, Path]]


@dataclass(frozen=True)
class Contents:
    """The contents of a study's directory beside its rows.

    save: writes the HDF5 file. table: in Markdown. draw: writes the figures. summary: the JSON data without the files.
    """

    save: Callable[[Path], None]
    table: str
    draw: Draw
    summary: Mapping[str, Any]


def claim(path: Path, force: bool) -> Path:
    """A directory without an earlier study. Raises OutputError where it is not empty, unless force is on."""
    run_module.claim_directory(path, force)
    with rows.row_file(path):  # locked: no other process runs this study
        for name in (rows.FILE, STUDY, TABLE, *_figures(path), SUMMARY):
            (path / name).unlink(missing_ok=True)
        for solution in (path / RUNS).glob(f"*/{run_module.SOLUTION}"):
            solution.unlink()
            run_module.remove_if_empty(solution.parent, path)
    return path


def resumed(path: Path | None, name: str, tasks: Iterable[Task]) -> tuple[Path, list[Row]]:
    """The directory of a study to resume, by default the newest outputs/name/NNN, and its rows of these tasks.

    Raises StudyError where there is none, and where all of its rows are of other tasks.
    """
    directory = path if path is not None else run_module.latest_directory(name, rows.FILE)
    if not (directory / rows.FILE).is_file():
        raise StudyError(f"{directory} holds no study to go on with ({rows.FILE} is missing)")
    with rows.row_file(directory) as file:
        kept = [file.rows[task.key] for task in tasks if task.key in file.rows and not file.rows[task.key].lost]
        if file.rows and not kept:
            raise StudyError(
                f"{directory}: none of its {len(file.rows)} rows is of a training that is asked for; give the problem and the "
                f"options that it was started with, or leave out --resume"
            )
    return directory, kept


def discard(directory: Path) -> None:
    """Remove a directory without a row, and empty directories above it up to the root of all runs."""
    if not (directory / rows.FILE).exists():
        (directory / rows.LOCK).unlink(missing_ok=True)
        run_module.remove_if_empty(directory)


def scaling_contents(study: Study) -> Contents:
    """The contents of a scaling study's directory."""

    def draw(directory: Path, suffix: str) -> Mapping[str, Path]:
        return {} if all(map(failed, study.runs)) else study_figures.write_all(directory, study, suffix)

    return Contents(partial(write_study, study=study), study_table.markdown(study), draw, _summary(study))


def findings_contents(heading: Heading, findings: Findings, study_rows: Sequence[Row]) -> Contents:
    """The contents of an experiment's directory."""
    texts = [tables.table(one) for one in findings.tables]
    paragraphs = (f"Source: {heading.source}.", *findings.sentences)
    return Contents(
        save=partial(write_findings, heading=heading, findings=findings),
        table=tables.markdown(heading.title, paragraphs, texts, heading.command),
        draw=lambda directory, suffix: findings_figures.write_all(directory, findings.pictures, suffix),
        summary=json_data(
            {
                "schema": 1,
                "name": heading.name,
                "findings": findings.sentences,
                "tables": {one.name: dict(one.columns) for one in findings.tables},
                "trainings": len(study_rows),
                "failed": sum(row.result is None for row in study_rows),
                "seconds": sum(row.seconds or 0.0 for row in study_rows),
                "environment": dict(heading.environment),
            }
        ),
    )


def write(contents: Contents, directory: Path, interrupted: bool) -> dict[str, Any]:
    """Write all files but the rows'; the data of `summary.json` and `--json`."""
    (directory / rows.FILE).touch()  # an interrupted study without a row can be resumed
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
    """Draw a study's figures again into a directory. Raises OutputError for a file without a study or without errors."""
    draw: partial[dict[str, Path]]
    if kind_of_study(file) == KIND:
        draw = partial(findings_figures.write_all, directory, read_findings(file)[1].pictures, suffix)
    else:
        draw = partial(study_figures.write_all, directory, read_study(file), suffix)
    directory.mkdir(parents=True, exist_ok=True)
    return {name: os.fspath(path) for name, path in draw().items()}


def find(path: Path) -> Path | None:
    """The HDF5 file of a study, given by its directory or the file; None for any other path."""
    file = path / STUDY if path.is_dir() else path
    return file if file.suffix == Path(STUDY).suffix and file.is_file() else None


def failed(run: Run) -> bool:
    """Whether a run has no error."""
    return not math.isfinite(run.l2_mean_square)


def _figures(directory: Path) -> list[str]:
    """The figures of the study in a directory, by its summary."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no summary of a study
        files = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))["files"]
        endings = tuple(f"_{suffix[1:]}" for suffix in SUFFIXES)
        return [Path(path).name for name, path in files.items() if name.endswith(endings)]
    return []


def _summary(study: Study) -> dict[str, Any]:
    """A study as JSON data, without histories and the problem; seconds: of all trainings."""
    columns = [field.name for field in fields(Run) if field.name != "history"]
    summary: dict[str, Any] = json_data(
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


def study_report(file: Path) -> str:
    """The page of the study in a file. Raises OutputError where there is none."""
    if kind_of_study(file) == KIND:
        heading, findings = read_findings(file)
        lead = paragraph(f"Source: {heading.source}", "soft") + "".join(map(paragraph, findings.sentences))
        figures = "".join(report_page.drawing(findings_figures.draw(one), one.title or one.name) for one in findings.pictures)
        return _page(heading.title, lead, figures, tuple(tables.table(one) for one in findings.tables), heading.command)
    study = read_study(file)
    figures = ""
    if not all(map(failed, study.runs)):
        figures = report_page.drawing(study_figures.scaling(study), "Mean square errors against the size of the network")
        figures += report_page.drawing(study_figures.seconds(study), "Least errors against seconds of training")
    return _page(
        study.title or study.name, "", figures, study_table.tables(study) + study_table.comparisons(study), study.command
    )


def _page(title: str, lead: str, figures: str, results: tuple[Table, ...], command: str) -> str:
    sections = [Section("Figures", figures)] if figures else []
    sections += [Section(one.title, report_page.table(one.header, one.rows)) for one in results]
    sections.append(Section("Reproduce", report_page.code(command, "command")))
    return report_page.page(title, lead, sections)
