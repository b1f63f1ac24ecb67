"""`pdekan report`: one HTML page of a run or a study, to be sent to someone and read anywhere."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from pathlib import Path

from pdekan.commands.codes import DONE, UsageError
from pdekan.output.atomic import write_text
from pdekan.runs import directory as runs
from pdekan.studies import folder

INSTALL = 'reports of runs need Bokeh, which is not installed: pip install "pdekan[report]"'


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises UsageError, OutputError and OSError."""
    if options.output is not None and not options.output.parent.is_dir():
        raise UsageError(f"{options.output}: there is no folder {options.output.parent}; make it, or choose another place")
    study = study_in(options.path)
    if study is not None:
        file, page = study, folder.study_report(study)
    else:
        check_installed()
        from pdekan.runs.report import run_report

        file = runs.solution_file(options.path)
        page = run_report(file)
    target = options.output or file.parent / runs.REPORT
    write_text(target, page)
    print(json.dumps({"schema": 1, "file": os.fspath(target)}) if options.json else f"wrote {target}")
    return DONE


def study_in(path: Path) -> Path | None:
    """The HDF5 file of the study at a path, None for a run. Raises UsageError where there is neither."""
    study = folder.find(path)
    if study is None and not (path.is_file() or (path / runs.SOLUTION).is_file()):
        raise UsageError(f"{path}: no run here, and no study (neither {runs.SOLUTION} nor {folder.STUDY} is there)")
    return study


def check_installed() -> None:
    """Raise UsageError where Bokeh is missing."""
    if importlib.util.find_spec("bokeh") is None:
        raise UsageError(INSTALL)
