"""`pdekan export`: evaluate a run, or a member of a family, elsewhere, and write it in HDF5 or for other programs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence

from pdekan.commands.codes import DONE, UsageError
from pdekan.output.atomic import write_text
from pdekan.runs import directory as runs
from pdekan.solutions.exports import WRITERS
from pdekan.solutions.lines import along, line
from pdekan.solutions.solution import load_solution

POINTS = 201  # of a line


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises UsageError, OutputError and OSError."""
    file = runs.solution_file(options.run_path)
    target = options.to or file.parent / (runs.EXPORT if options.line is None else runs.LINE)
    if options.line is not None and target.suffix.lower() in WRITERS:
        raise UsageError(f"{target}: along --line a CSV table is written; end the name in .csv, or leave out --line")
    if target.exists() and not options.force:
        raise UsageError(f"{target} exists; choose another file, or --force to overwrite it")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}; make it, or choose another place")
    solution = load_solution(file)
    try:
        if options.parameter:
            solution = solution.member(**_once(options.parameter))
        if options.line is None:
            solution.save(target, options.grid, options.time)
        else:
            write_text(target, along(solution, line(solution.domain, options.line), options.points or POINTS))
    except ValueError as error:
        raise UsageError(str(error)) from None
    print(json.dumps({"schema": 1, "file": os.fspath(target)}) if options.json else f"wrote {target}")
    return DONE


def _once(stated: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Values by name. Raises UsageError for a name that is stated twice."""
    names = [name for name, _ in stated]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--parameter {name} is stated {names.count(name)} times; state it once")
    return dict(stated)
