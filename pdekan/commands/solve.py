"""`pdekan solve`: train a network for a problem, measure its error, write the run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import torch
from rich.table import Table

from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE, UsageError
from pdekan.commands.terminal import Standing, console, interruptible, progress_display
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import SUFFICIENT_ACCURACY
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.well_posedness import doubts
from pdekan.runs import directory as runs
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training import solver
from pdekan.training.solver import Progress

STATUS_CODES = {"converged": DONE, "interrupted": RESUMABLE, "stalled": NOT_CONVERGED, "budget": NOT_CONVERGED}
STOPPING = "stopping after this step; the run will be written"


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code. Raises ProblemError, OutputError, UsageError and OSError."""
    overrides = list(options.set)
    overrides += [
        f"training.{key}={getattr(options, key)}"
        for key in ("seed", "tolerance", "memory")
        if getattr(options, key) is not None
    ]
    problem = load_problem(options.file, overrides)
    _check_device(options.device)
    for doubt in doubts(problem):
        print(f"pdekan: warning: {doubt}", file=sys.stderr)
    earlier = None
    if options.resume:
        directory = options.output or runs.latest_directory(problem.name)
        earlier = load_solution(runs.find(directory))
        if earlier.name != problem.name:
            raise UsageError(f"{directory} holds a run of {earlier.name!r}, not of {problem.name!r}")
    elif options.output is not None:
        directory = runs.claim_directory(options.output, options.force)
    else:
        directory = runs.fresh_directory(problem.name)
    try:
        checkpoint = runs.Checkpoints(directory)
        with interruptible(STOPPING) as interrupted, progress_display(problem.title or problem.name) as show:

            def watch(progress: Progress) -> str | None:
                show(_standing(progress))
                checkpoint(progress)
                return "interrupted" if interrupted() else None

            solution = solver.solve(problem, resume=earlier, device=options.device, watch=watch)
    except BaseException:
        runs.discard(directory)
        raise
    files = runs.write(solution, directory)
    summary = runs.report(solution, directory, files)
    if options.json:
        print(json.dumps(summary))
    else:
        _print_summary(solution, summary)
    return STATUS_CODES[solution.status]


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu")


def _standing(progress: Progress) -> Standing:
    done = max(progress.step / progress.steps, progress.seconds / progress.budget)
    return Standing(progress.seconds, done, _detail(progress), progress.stage)


def _detail(progress: Progress) -> str:
    text = f"stage {progress.stage}/{progress.stages} step {progress.step} loss {progress.loss:.1e}"
    text += f" residual {progress.relative_residual:.1e}"
    return text if progress.l2_relative != progress.l2_relative else f"{text} L2 {progress.l2_relative:.1e}"


def _print_summary(solution: Solution, summary: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    network, slabs = summary["network"], ""
    if network["kind"] == "slabs":
        slabs, network = f"{len(network['networks'])} slabs of time, the last a ", network["networks"][-1]
    reference = None if solution.problem is None else solution.problem.exact_reference
    sizes = f"{network['kind'].upper()} {network.get('widths', '')}"
    if network["kind"] == "kan":
        sizes += f", degree {_plain(network['degree'])}, intervals {_plain(network['intervals'])}"
    rows = [
        ("status", f"{solution.status}: {solution.reason}"),
        ("network", f"{slabs}{sizes}, {solution.parameters} parameters"),
        ("training", f"{solution.iterations} steps in {solution.seconds:.1f} s, seed {solution.seed}"),
        (
            "residual",
            f"{solution.residual:.2e} equation, {solution.condition_residual:.2e} conditions (mean, on unseen points)",
        ),
    ]
    if solution.data_residual is not None:
        rows.append(("data", f"{solution.data_residual:.2e} (root mean square misfit)"))
    for name, one in solution.found.items():
        spread = "" if one.standard_error is None else f" ± {one.standard_error:.2g} (standard error)"
        rows.append((f"found {name}", f"{one.value:.8g}{spread}"))
    for name, e in (solution.errors or {}).items():
        rows.append(
            (
                f"error of {name}",
                f"L2 {e.l2_relative:.2e}, H1 seminorm {e.h1_seminorm_relative:.2e} (relative), max {e.linf:.2e}",
            )
        )
        if summary["reference"] is not None:
            rows.append(("", _reference(e, summary["reference"])))
        if e.sampling_error > 0.0:
            rows.append(("", f"on {e.points} quasi-random points; L2 is known to {100 * e.sampling_error:.2g} %"))
    if solution.errors is None:
        rows.append(("error", "not known: the problem states no exact solution" if reference is None else "not known"))
    rows.append(("run", summary["run"]))
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _reference(errors: Errors, name: str) -> str:
    """What errors were measured against, and whether that is known well enough."""
    own, measured = (errors.reference_l2, errors.reference_h1_seminorm), (errors.l2, errors.h1_seminorm)
    text = f"against {name}"
    if any(one != one for one in own):
        return f"{text}, whose own error is not known"
    text += f", itself known to {own[0]:.0e} (L2) and {own[1]:.0e} (H1 seminorm), absolute"
    if all(one <= SUFFICIENT_ACCURACY * error for one, error in zip(own, measured, strict=True)):
        return text
    return f"{text}: not ten times below the error, which may be of the reference"


def _plain(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "/".join(map(str, values))
