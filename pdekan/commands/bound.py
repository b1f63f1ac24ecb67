"""`pdekan bound`: bounds of the energy norm of a run's error."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

from rich.table import Table

from pdekan.commands.codes import DONE
from pdekan.commands.terminal import console, note
from pdekan.output.progress_bar import ProgressLine, progress_display
from pdekan.problems.formulas import ProblemError
from pdekan.runs import directory as runs
from pdekan.runs import summary
from pdekan.runs.lock import locked
from pdekan.solutions.bounded import error_bound
from pdekan.solutions.solution import Solution, load_solution


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, OutputError and OSError."""
    file = runs.solution_file(options.run_path)
    with locked(file.parent):
        solution = bounded(load_solution(file))
        runs.write_bound(solution, file)
    if options.json:
        print(json.dumps({"schema": 1, "file": str(file), "bound": summary.of_solution(solution)["bound"]}))
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for row in bound_rows(solution):
            table.add_row(*row)
        console().print(table)
    return DONE


def bounded(solution: Solution) -> Solution:
    """The solution with the bound of its error, with progress. Raises ProblemError where the theory does not apply."""
    began = time.monotonic()
    with progress_display(f"{solution.name}: bounds") as show:
        bound = error_bound(solution, watch=lambda fraction, text: show(ProgressLine(time.monotonic() - began, fraction, text)))
    return replace(solution, bound=bound)


def bounded_or_not(solution: Solution) -> Solution:
    """The same, and a note with the reason where there is none."""
    try:
        return bounded(solution)
    except ProblemError as error:
        note(f"pdekan: no bound of the error: {error}")
        return solution


def bound_rows(solution: Solution) -> list[tuple[str, str]]:
    """The bound in words, with what it assumes."""
    if solution.bound is None:
        return []
    one = solution.bound
    relative = "" if one.energy_relative != one.energy_relative else f", at most {one.energy_relative:.2e} of the solution's"
    text = f"energy norm of the error between {one.energy_lower:.3e} and {one.energy_upper:.3e}{relative} ({one.kind})"
    return [("bound", text), *(("", assumption) for assumption in one.assumptions)]
