"""`pdekan prune`: remove nodes and edges that a run's network does not need, and write the rest as a new run."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from pdekan.ansatz.unknowns import inner_network
from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE
from pdekan.commands.terminal import console, interruptible
from pdekan.networks.kan import KAN
from pdekan.output.progress_bar import ProgressLine, progress_display
from pdekan.pruning import prune
from pdekan.pruning.prune import Pruned, PruningProgress
from pdekan.runs import directory as runs
from pdekan.runs import summary
from pdekan.runs.network_drawing import drawing
from pdekan.solutions.solution import Solution, load_solution

STOPPING = "stopping after this step; what was reached will be written"


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, OutputError and OSError."""
    solution = load_solution(runs.solution_file(options.run_path))
    given = {key: getattr(options, key) for key in ("factor", "tolerance", "seconds") if getattr(options, key) is not None}
    prune.check(solution)
    title = solution.name if solution.problem is None else solution.problem.title or solution.name
    claimed = runs.claimed(options.output, solution.name, options.force)
    with interruptible(STOPPING) as interrupted, claimed as directory:
        with progress_display(title) as show:

            def watch(progress: PruningProgress) -> str | None:
                show(_line(progress))
                return "interrupted" if interrupted() else None

            pruned = prune.prune(solution, watch=watch, **given)
        with interrupted.undisturbed():
            drawings = [drawing(one, f"{_sizes(one)}, {one.parameters} parameters") for one in (pruned.before, pruned.after)]
            written = runs.write(pruned.after, directory, drawings, interrupted)
            if options.json:
                print(json.dumps(written | {"pruning": _plain(pruned)}))
            else:
                _print_comparison(pruned, directory)
            if interrupted():
                return RESUMABLE
    return DONE if pruned.after.status == "converged" else NOT_CONVERGED


def _line(progress: PruningProgress) -> ProgressLine:
    detail = f"{sum(progress.hidden)} nodes, {progress.edges} edges; {progress.trying}: residual"
    return ProgressLine(progress.seconds, progress.seconds / progress.budget, f"{detail} {progress.relative_residual:.1e}")


def _kan(solution: Solution) -> KAN:
    kan = inner_network(solution.network)
    assert isinstance(kan, KAN)
    return kan


def _sizes(solution: Solution) -> str:
    return str(list(_kan(solution).widths))


def _plain(pruned: Pruned) -> dict[str, Any]:
    """Network before, steps and reason for the end, as JSON."""
    keys = ("network", "parameters", "parameters_paper", "relative_residual", "errors")
    before = summary.of_solution(pruned.before)
    return {
        "before": {key: before[key] for key in keys},
        "steps": [asdict(step) for step in pruned.steps],
        "largest_residual_allowed": pruned.bound,
        "reason": pruned.reason,
    }


def _print_comparison(pruned: Pruned, directory: Path) -> None:
    both = (pruned.before, pruned.after)
    table = Table("", "before", "after", box=None, pad_edge=False, header_style="")
    table.add_row("nodes", *map(_sizes, both))
    table.add_row("edges", *(str(prune.edges(_kan(one))) for one in both))
    table.add_row("parameters", *(str(one.parameters) for one in both))
    table.add_row("residual (relative)", *(f"{one.relative_residual:.2e}" for one in both))
    for name in pruned.after.errors or {}:
        for label, key in (("L2", "l2_relative"), ("H1 seminorm", "h1_seminorm_relative")):
            errors = [(one.errors or {}).get(name) for one in both]
            cells = ["not known" if e is None else f"{getattr(e, key):.2e}" for e in errors]
            table.add_row(f"error of {name}, {label}", *cells)
    console().print(table)
    seconds = pruned.after.seconds - pruned.before.seconds
    console().print(f"{pruned.reason}, after {seconds:.1f} s; residuals up to {pruned.bound:.1e} were allowed")
    console().print(f"run {directory}")
