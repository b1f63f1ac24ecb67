"""`pdekan solve`: train a network for a problem, measure its error, write the run."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from pdekan.cells.elimination import Triangles, triangles
from pdekan.commands.bound import bound_rows, bounded_or_not
from pdekan.commands.codes import DONE, NOT_CONVERGED, RESUMABLE, UsageError
from pdekan.commands.terminal import GRACE, Signals, console, interruptible, note
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import SUFFICIENT_ACCURACY
from pdekan.output.progress_bar import progress_display
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.well_posedness import warnings
from pdekan.problems.problem import Problem
from pdekan.runs import directory as runs
from pdekan.runs.lock import locked
from pdekan.runs.summary import network_in_words
from pdekan.solutions.outputs import Output
from pdekan.solutions.solution import Solution
from pdekan.training import solver
from pdekan.training.advice import advice
from pdekan.training.continuation import is_same
from pdekan.training.points import DEFAULT_MEGABYTES
from pdekan.training.posedness.uniqueness import silent_faces
from pdekan.training.progress import Progress, line

STATUS_CODES = {
    "converged": DONE,
    "interrupted": RESUMABLE,
    "stalled": NOT_CONVERGED,
    "budget": NOT_CONVERGED,
    "unreliable": NOT_CONVERGED,
}
STOPPING = "stopping; the run will be written"
FINISHED = (
    "this run is finished; it goes on with a larger training.seconds, training.steps or --memory, or another --tolerance, and "
    "begins again with --force"
)


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, OutputError, UsageError and OSError."""
    with interruptible(STOPPING, GRACE) as signals:
        given = {key: getattr(options, key) for key in ("seed", "tolerance", "memory")}
        overrides = [f"training.{key}={value}" for key, value in given.items() if value is not None]
        problem = load_problem(options.file, [*options.set, *overrides], allow_outside=options.allow_outside)
        _check_device(options.device)
        if options.report:
            from pdekan.commands.report import check_installed  # it imports matplotlib

            check_installed()
        for warning in (*warnings(problem), *silent_faces(problem)):
            note(f"pdekan: warning: {warning}")
        return _resumed(options, problem, signals) if options.resume else _fresh(options, problem, signals)


def _fresh(options: argparse.Namespace, problem: Problem, signals: Signals) -> int:
    """A new run; its exit code."""
    with runs.claimed(options.output, problem.name, options.force) as directory:
        return _solved(options, problem, directory, None, signals)


def _resumed(options: argparse.Namespace, problem: Problem, signals: Signals) -> int:
    """Go on with a run, unless it is finished; its exit code."""
    directory = options.output or runs.latest_directory(problem.name)
    file = runs.solution_file(directory)
    with locked(file.parent):
        earlier = runs.load_resumed(file)
        if earlier.name != problem.name:
            raise UsageError(f"{directory} holds a run of {earlier.name!r}, not of {problem.name!r}")
        if finished(earlier, problem):
            note(f"{directory}: {FINISHED}")
            with signals.undisturbed():
                _report(options, *_added(options, earlier, file))
            return STATUS_CODES[earlier.status]
        try:
            return _solved(options, problem, directory, earlier, signals)
        except KeyboardInterrupt:  # before the first step
            return RESUMABLE


def _added(options: argparse.Namespace, solution: Solution, file: Path) -> tuple[Solution, dict[str, Any]]:
    """A finished run and its summary, with the bound and the page that are asked for now."""
    if options.bound and solution.bound is None:
        solution = bounded_or_not(solution)
        runs.write_bound(solution, file)
    written = runs.written_summary(solution, file.parent)
    if options.report:
        written["files"]["report"] = runs.write_report(file)
    return solution, written


def _solved(options: argparse.Namespace, problem: Problem, directory: Path, earlier: Solution | None, signals: Signals) -> int:
    """Train, write the run and print its summary; its exit code."""
    solution = _train(options, problem, directory, earlier, signals)
    if options.bound and not signals():
        solution = bounded_or_not(solution)
    with signals.undisturbed():
        summary = runs.write(solution, directory, interrupted=signals, figures=not options.no_figures, report=options.report)
        _report(options, solution, summary)
        if signals():
            note(f"figures may be missing; `pdekan plot {directory}` draws them")
            return RESUMABLE
    return STATUS_CODES[solution.status]


def _train(
    options: argparse.Namespace, problem: Problem, directory: Path, earlier: Solution | None, signals: Signals
) -> Solution:
    """Train with progress and checkpoints; a signal ends the training, in the middle of a step too.

    Where that takes longer than the grace, or the user is impatient, the last step's solution is returned. Raises
    KeyboardInterrupt where there is none.
    """
    checkpoints = runs.Checkpoints(directory, signals.checkpoint_requested, earlier is not None)

    def interrupted() -> bool:
        """Keep the state where it is time to; whether Ctrl-C was pressed."""
        with signals.undisturbed():
            checkpoints.save_if_due()
        return signals()

    try:
        with progress_display(problem.title or problem.name) as show, _triangles(options.scheduler) as by:

            def watch(progress: Progress) -> str | None:
                """Show a step and keep the best solution; a reason to end the training where Ctrl-C was pressed."""
                show(line(progress))
                with signals.undisturbed():
                    checkpoints(progress)
                return "interrupted" if signals() else None

            return solver.solve(
                problem, resume=earlier, device=options.device, watch=watch, interrupted=interrupted,
                estimate=not options.no_estimate, triangles=by,
            )  # fmt: skip
    except KeyboardInterrupt:
        with signals.undisturbed():
            solution = checkpoints.latest()
        if solution is None:
            raise
        return solution


def _report(options: argparse.Namespace, solution: Solution, summary: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(summary))
    else:
        _print_summary(solution, summary, options.typed)


@contextmanager
def _triangles(scheduler: str | None) -> Iterator[Triangles]:
    """Who factorises cells: the workers of a cluster, where there is one."""
    if scheduler is None:
        yield triangles
        return
    from pdekan.studies.cell_workers import on_workers  # they import dask
    from pdekan.studies.cluster import cluster

    with cluster(None, scheduler, 1) as client:
        made, used = on_workers(client), list[bool]()

        def counted(stacks: Iterator[Tensor]) -> Iterator[Tensor]:
            used.append(True)
            return made(stacks)

        yield counted
    if not used:
        note("pdekan: warning: --scheduler was of no use: the problem was not solved on cells all at once, see [network] cells")


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu")


def _print_summary(solution: Solution, summary: dict[str, Any], typed: str) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    residuals = f"{solution.residual:.2e} equation, {solution.condition_residual:.2e} conditions (mean, on unseen points)"
    rows = [
        ("status", f"{solution.status}: {solution.reason}"),
        ("network", f"{network_in_words(summary['network'])}, {solution.parameters} parameters"),
        ("training", f"{solution.iterations} steps in {solution.seconds:.1f} s, seed {solution.seed}"),
        ("residual", residuals),
    ]
    if solution.data_residual is not None:
        rows.append(("data", f"{solution.data_residual:.2e} (root mean square misfit)"))
    for name, one in solution.found.items():
        spread = "" if one.standard_error is None else f" ± {one.standard_error:.2g} (standard error)"
        if one.discretisation_error is not None:
            spread += f", off by {one.discretisation_error:.1g} (discretisation, estimated)"
        rows.append((f"found {name}", f"{one.value:.8g}{spread}{', on its bound' if one.on_bound else ''}"))
    for row in (
        *rows,
        *_estimate_rows(solution),
        *_family_rows(solution),
        *((name, _output(one)) for name, one in solution.outputs.items()),
        *bound_rows(solution),
        *_error_rows(solution, summary["reference"]),
        ("run", summary["run"]),
        *([("report", summary["files"]["report"])] if "report" in summary["files"] else []),
    ):
        table.add_row(*row)
    out = console()
    out.print(table)
    for text in next_lines(solution, typed):
        out.print(text, soft_wrap=True)


def next_lines(solution: Solution, typed: str) -> Iterator[str]:
    """What to type next where it may help, each after its reason. typed: the command that made the solution."""
    for k, one in enumerate(advice(solution)):
        words = [word for word in shlex.split(typed) if word != "--force" or "--resume" not in one.options]
        yield f"{'or' if k else 'next'}: {one.reason}"
        yield f"    {shlex.join(words)} {one.options}"


def _estimate_rows(solution: Solution) -> list[tuple[str, str]]:
    """The estimated errors of every unknown with their method, or the reason why there are none."""
    if solution.estimate is None:
        return [("estimated error", f"none: {solution.estimate_reason}")]
    return [
        (
            "estimated error" + (f" {name}" if len(solution.estimate) > 1 else ""),
            f"L2 {one.l2_relative:.2e}, H1 seminorm {one.h1_seminorm_relative:.2e} (relative, by {one.method})",
        )
        for name, one in solution.estimate.items()
    ]


def _output(one: Output) -> str:
    """A quantity with its estimated error, in words."""
    text = f"{one.value:.10g}" + ("" if one.estimate is None else f", off by {one.estimate:.1g} (estimated)")
    return text if one.times is None else f"{text}, at the end of time"


def _family_rows(solution: Solution) -> list[tuple[str, str]]:
    """The ranges of a family, and its worst member, by exact solutions where these are known."""
    if solution.family is None:
        return []
    ranges = ", ".join(f"{name} in [{a:g}, {b:g}]" for name, (a, b) in solution.family["parameters"].items())
    rows = [("family", f"{ranges}: {len(solution.family['nodes'])} members, polynomials between them")]
    for name, one in (solution.family["errors"] or {}).items():
        at = ", ".join(f"{parameter} = {value:.4g}" for parameter, value in one["worst"]["at"].items())
        worst, mean = one["worst"]["l2_relative"], one["mean"]["l2_relative"]
        text = f"L2 {worst:.2e} (relative) at {at}; {mean:.2e} on average over {one['members']} members"
        rows.append((f"worst member{f' {name}' if len(solution.unknowns) > 1 else ''}", text))
    return rows


def _error_rows(solution: Solution, reference: str | None) -> list[tuple[str, str]]:
    """The errors of every unknown, and the name of the reference that they were measured against."""
    if solution.errors is None:
        stated = solution.problem is not None and solution.problem.exact_reference is not None
        return [("error", "not known" if stated else "not known: the problem states no exact solution")]
    rows = []
    for name, e in solution.errors.items():
        norms = f"L2 {e.l2_relative:.2e}, H1 seminorm {e.h1_seminorm_relative:.2e} (relative), max {e.linf:.2e}"
        rows.append((f"error of {name}", norms))
        if reference is not None:
            rows.append(("", _reference(e, reference)))
        if e.sampling_error > 0.0:
            rows.append(("", f"on {e.points} quasi-random points; L2 is known to {100 * e.sampling_error:.2g} %"))
    return rows


def _reference(errors: Errors, name: str) -> str:
    """The reference of errors, its own error, and whether that is small enough."""
    own, measured = (errors.reference_l2, errors.reference_h1_seminorm), (errors.l2, errors.h1_seminorm)
    text = f"against {name}"
    if any(map(math.isnan, own)):
        return f"{text}, whose own error is not known"
    text += f", itself known to {own[0]:.0e} (L2) and {own[1]:.0e} (H1 seminorm), absolute"
    if all(one <= SUFFICIENT_ACCURACY * error for one, error in zip(own, measured, strict=True)):
        return text
    return f"{text}: not ten times below the error, which may be of the reference"


def finished(earlier: Solution, problem: Problem) -> bool:
    """Whether a run ended by itself, and the problem is its own one, with the same tolerance and no limit above its own."""
    before = earlier.problem
    if earlier.status == "interrupted" or before is None or not is_same(before, problem):
        return False
    return all(new <= old for new, old in zip(_limits(problem), _limits(before), strict=True))


def _limits(problem: Problem) -> tuple[float, float, float]:
    """Seconds, steps and megabytes."""
    training = problem.training
    return training.seconds, training.steps or math.inf, training.memory or DEFAULT_MEGABYTES
