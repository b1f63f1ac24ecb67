"""`pdekan formula`: search for a closed form of a run's solution, verify it, and put it into the run's file."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from pdekan.ansatz.unknowns import inner_network
from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE, UsageError
from pdekan.commands.terminal import GRACE, Signals, console, interruptible
from pdekan.networks.kan import KAN
from pdekan.output.progress_bar import ProgressLine, progress_display
from pdekan.runs import directory as runs
from pdekan.runs.lock import locked
from pdekan.solutions.solution import Solution, load_solution
from pdekan.symbolic import report, search
from pdekan.symbolic.drawing import drawing
from pdekan.symbolic.edges import ROUND_OFF, candidates
from pdekan.symbolic.sampling import inner_box
from pdekan.symbolic.search import Formula

SECONDS = 120.0  # for the search, where no others are asked for
STOPPING = "stopping the search; the run stays as it was"


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, UsageError, OutputError and OSError."""
    seconds = SECONDS if options.seconds is None else options.seconds
    if not (seconds > 0.0 and math.isfinite(seconds)):
        raise UsageError(f"--seconds {seconds:g}: a time above zero is needed")
    file = runs.solution_file(options.run_path)
    if options.edges:
        return _edges(load_solution(file), options.json)
    with locked(file.parent), interruptible(STOPPING, GRACE) as signals:
        solution, started = load_solution(file), time.monotonic()
        formula = _search(solution, seconds, signals)
        outcome: dict[str, Any] = {"schema": report.SCHEMA, "name": solution.name, "run": os.fspath(file.parent), "files": {}}
        if formula is None:
            outcome |= {"verdict": "none", "meaning": search.NONE, "seconds": time.monotonic() - started}
        with signals.undisturbed():
            if formula is not None:
                outcome |= _written(formula, solution, file)
            if options.json:
                print(json.dumps(outcome))
            else:
                _print(outcome)
            if formula is not None:
                return DONE
            return RESUMABLE if signals() else NOT_CONVERGED


def _search(solution: Solution, allowed: float, signals: Signals) -> Formula | None:
    """The formula that was found, None where there is none or a signal ended the search."""
    started = time.monotonic()
    try:
        with progress_display(f"formula of {solution.name}", remaining=False) as show:

            def watch(what: str) -> str | None:
                """Show what is tried; a reason to end the search where Ctrl-C was pressed."""
                seconds = time.monotonic() - started
                show(ProgressLine(seconds, seconds / allowed, what))
                return "interrupted" if signals() else None

            return search.find(solution, seconds=allowed, watch=watch)
    except KeyboardInterrupt:
        return None


def _written(formula: Formula, solution: Solution, file: Path) -> dict[str, Any]:
    """A formula as JSON, once it is in the run's file."""
    has_equations, domain = solution.problem is not None and bool(solution.problem.equations), solution.domain
    stated = report.plain(formula, domain.coordinates, has_equations)
    drawn = drawing(formula.substituted, domain.coordinates, *inner_box(domain))
    return stated | {"files": runs.write_formula(replace(solution, formula=stated), file, drawn)}


def _edges(solution: Solution, as_json: bool) -> int:
    """Print the functions of the library that each edge of the network may be."""
    kan = inner_network(solution.network)
    if not isinstance(kan, KAN):
        raise UsageError(f"--edges: the network is a {type(kan).__name__}; only the edges of a KAN are functions")
    points = solution.domain.interior(16, 3, 2048, 0).points
    known = (solution.estimate or {}).values()
    noise = max((one.l2_relative for one in known), default=solution.relative_residual)
    edges = candidates(kan, points, noise=max(noise, ROUND_OFF))
    if as_json:
        described = [
            {
                "layer": one.layer,
                "from": one.source,
                "to": one.target,
                "families": [[name, sine] for name, sine, _ in one.matches],
            }
            for one in edges
        ]
        print(json.dumps({"schema": report.SCHEMA, "name": solution.name, "edges": described}))
        return DONE
    table = Table("layer", "from", "to", "may be (sine of the angle to it)", box=None, pad_edge=False)
    for one in edges:
        named = ", ".join(f"{name} ({sine:.0e})" for name, sine, _ in one.matches) or "nothing that the library has"
        table.add_row(str(one.layer), str(one.source), str(one.target), named)
    console().print(table)
    return DONE


def _print(outcome: dict[str, Any]) -> None:
    if outcome["verdict"] == "none":
        console().print(f"{outcome['meaning']} in {outcome['seconds']:.0f} s; the network stands for the solution all the same")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, text in {**outcome["text"], **outcome["parameters"]}.items():
        table.add_row(f"{name} =", text)
    table.add_row("verdict", outcome["meaning"])
    for check in outcome["checks"]:
        table.add_row("", f"{check['name']}: {_check_result(check)}")
    for what, path in outcome["files"].items():
        table.add_row(what, path)
    console().print(table)


def _check_result(check: dict[str, Any]) -> str:
    if check["zero"]:
        return "zero"
    return ", ".join(part for part in (f"at most {check['relative']:.1e}, relative", check["note"]) if part)
