"""`pdekan prune`: take away what a run's network does not need, and write what is left as a new run."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pdekan.ansatz.unknowns import inner_network
from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE
from pdekan.commands.terminal import Standing, console, interruptible, progress_display
from pdekan.networks.kan import KAN
from pdekan.pruning import prune
from pdekan.pruning.prune import Progress, Pruned
from pdekan.runs import directory as runs
from pdekan.runs.network_picture import picture
from pdekan.solutions.solution import Solution, load_solution

STOPPING = "stopping after this step; what was reached will be written"


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code. Raises ProblemError, OutputError and OSError."""
    solution = load_solution(runs.find(options.run_path))
    given = {key: getattr(options, key) for key in ("factor", "tolerance", "seconds") if getattr(options, key) is not None}
    prune.check(solution)
    if options.output is not None:
        directory = runs.claim_directory(options.output, options.force)
    else:
        directory = runs.fresh_directory(solution.name)
    try:
        title = solution.name if solution.problem is None else solution.problem.title or solution.name
        with interruptible(STOPPING) as interrupted, progress_display(title) as show:

            def watch(progress: Progress) -> str | None:
                show(_standing(progress))
                return "interrupted" if interrupted() else None

            pruned = prune.prune(solution, watch=watch, **given)
    except BaseException:
        runs.discard(directory)
        raise
    drawings = [picture(one, f"{_sizes(one)}, {one.parameters} parameters") for one in (pruned.before, pruned.after)]
    files = runs.write(pruned.after, directory, drawings)
    report = runs.report(pruned.after, directory, files)
    if options.json:
        print(json.dumps(report | {"pruning": _plain(pruned)}))
    else:
        _print_comparison(pruned, report)
    if pruned.interrupted:
        return RESUMABLE
    return DONE if pruned.after.status == "converged" else NOT_CONVERGED


def _standing(progress: Progress) -> Standing:
    detail = f"{sum(progress.hidden)} nodes, {progress.edges} edges; {progress.trying}: residual"
    return Standing(progress.seconds, progress.seconds / progress.budget, f"{detail} {progress.relative_residual:.1e}")


def _kan(solution: Solution) -> KAN:
    kan = inner_network(solution.network)
    assert isinstance(kan, KAN)
    return kan


def _sizes(solution: Solution) -> str:
    return str(list(_kan(solution).widths))


def _plain(pruned: Pruned) -> dict[str, Any]:
    """What happened, as JSON."""
    keys = ("network", "parameters", "parameters_paper", "relative_residual", "errors")
    before = pruned.before.summary()
    return {
        "before": {key: before[key] for key in keys},
        "steps": [asdict(step) for step in pruned.steps],
        "largest_residual_allowed": pruned.bound,
        "reason": pruned.reason,
    }


def _print_comparison(pruned: Pruned, report: dict[str, Any]) -> None:
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
    console().print(f"run {report['run']}")
