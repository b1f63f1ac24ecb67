"""`pdekan plot`: draw the figures of a run or a study again."""

from __future__ import annotations

import argparse
import json

from pdekan.commands.codes import DONE, UsageError
from pdekan.commands.report import study_in
from pdekan.runs import directory as runs
from pdekan.studies import folder


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises UsageError, OutputError and OSError."""
    study = study_in(options.path)
    file, redraw = (study, folder.redraw) if study is not None else (runs.solution_file(options.path), runs.redraw)
    if options.animate and study is not None:
        raise UsageError(f"{options.path}: a study has no time; --animate is for runs")
    directory = options.to or file.parent
    drawn = runs.animate(file, directory) if options.animate else redraw(file, directory, f".{options.format or 'png'}")
    if options.json:
        print(json.dumps({"schema": 1, "files": drawn}))
    else:
        for path in drawn.values():
            print(path)
    return DONE
