"""The command line: arguments in, exit code out. Results go to stdout, progress and messages to stderr."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdekan.library import titles

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from pdekan.problems import Problem
    from pdekan.solution import Solution
    from pdekan.solver import Progress

DONE, INTERNAL, USAGE, NOT_CONVERGED, RESUMABLE, INTERRUPTED = 0, 1, 2, 3, 75, 130
STATUS_CODES = {"converged": DONE, "interrupted": RESUMABLE, "stalled": NOT_CONVERGED, "budget": NOT_CONVERGED}


class UsageError(ValueError):
    """A command that cannot be carried out as given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see DESIGN's list in --help)."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return DONE
    except Exception as error:
        if _is_users(error):
            print(f"pdekan: {error}", file=sys.stderr)
            return USAGE
        traceback.print_exc()
        print("pdekan: internal error; please report it with the lines above and the problem file", file=sys.stderr)
        return INTERNAL


def _is_users(error: Exception) -> bool:
    """Whether the message alone is what the user needs."""
    if isinstance(error, (UsageError, OSError)):
        return True
    # named by module, because importing them takes torch's second
    return any(kind.__name__ in ("ProblemError", "OutputError") for kind in type(error).__mro__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pdekan",
        description="Solve partial differential equations with Kolmogorov-Arnold networks, and know the error.",
        epilog="exit codes: 0 done; 1 internal error; 2 usage or problem file; 3 did not converge (the run is written all "
        "the same); 75 interrupted, --resume goes on; 130 interrupted with nothing to resume",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    solve = _command(commands, "solve", _solve, "train a network for a problem, measure its error, write the run")
    _problem_arguments(solve)
    solve.add_argument("--output", type=Path, metavar="DIR", help="the run's directory (default: a fresh outputs/NAME/NNN)")
    solve.add_argument("--seed", type=int, help="seed of the random start")
    solve.add_argument("--tolerance", type=float, help="grow the network until the relative residual on unseen points is below")
    solve.add_argument("--memory", type=float, metavar="MB", help="megabytes that training may take (default: 2000)")
    solve.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: cpu)")
    solve.add_argument("--resume", action="store_true", help="go on with the run in --output, or with the newest one")
    solve.add_argument("--force", action="store_true", help="overwrite what is in --output")

    check = _command(commands, "check", _check, "validate a problem file and say what would be solved")
    _problem_arguments(check)

    export = _command(commands, "export", _export, "evaluate a run on another grid and write HDF5 again")
    export.add_argument("run_path", type=Path, metavar="RUN", help="a run's directory, or its solution.vtkhdf")
    export.add_argument("--grid", type=_grid, metavar="200x200", help="points along each axis")
    export.add_argument("--to", type=Path, metavar="FILE", help="the file to write (default: RUN/export.vtkhdf)")
    export.add_argument("--force", action="store_true", help="overwrite the file")

    plot = _command(commands, "plot", _plot, "draw a run's figures again")
    plot.add_argument("run_path", type=Path, metavar="RUN", help="a run's directory, or its solution.vtkhdf")
    plot.add_argument("--to", type=Path, metavar="DIR", help="where to write them (default: the run's directory)")
    plot.add_argument("--format", choices=("png", "svg"), default="png", help="file format (default: png)")

    _command(commands, "list", _list, "the problem library that ships with pdekan")
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(run=run)
    return command


def _problem_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a problem file, or the name of a library problem")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="replace a value of the file; may repeat",
    )


def _grid(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a grid; write numbers joined by x, as 200x200") from None
    if min(shape) < 2 or max(shape) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r}: every axis needs 2 to 100000 points")
    return shape


def _solve(options: argparse.Namespace) -> int:
    from pdekan import run
    from pdekan.problem_file import load_problem
    from pdekan.solution import load_solution
    from pdekan.solver import solve

    overrides = list(options.set)
    overrides += [
        f"training.{key}={getattr(options, key)}"
        for key in ("seed", "tolerance", "memory")
        if getattr(options, key) is not None
    ]
    problem = load_problem(options.file, overrides)
    _check_device(options.device)
    earlier = None
    if options.resume:
        directory = options.output or run.latest_directory(problem.name)
        earlier = load_solution(run.find(directory))
        if earlier.name != problem.name:
            raise UsageError(f"{directory} holds a run of {earlier.name!r}, not of {problem.name!r}")
    elif options.output is not None:
        directory = run.claim_directory(options.output, options.force)
    else:
        directory = run.fresh_directory(problem.name)
    try:
        checkpoint = run.Checkpoints(directory)
        with _interruptible() as interrupted, _progress_display(problem.title or problem.name) as show:

            def watch(progress: Progress) -> str | None:
                show(progress)
                checkpoint(progress)
                return "interrupted" if interrupted() else None

            solution = solve(problem, resume=earlier, device=options.device, watch=watch)
    except BaseException:
        run.discard(directory)
        raise
    files = run.write(solution, directory)
    summary = run.report(solution, directory, files)
    if options.json:
        print(json.dumps(summary))
    else:
        _print_summary(solution, summary)
    return STATUS_CODES[solution.status]


def _check_device(device: str) -> None:
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu")


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Until the block ends, the first SIGINT or SIGTERM is noted and the second one raises KeyboardInterrupt."""
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)
        print("\nstopping after this step; the run will be written (once more to stop at once)", file=sys.stderr)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_display(title: str) -> Iterator[Callable[[Progress], None]]:
    """A live bar on a terminal, else a line every ten seconds; both on stderr."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title[:40], total=1.0, detail="starting")
        yield lambda progress: _advance(bar, task, progress)


def _advance(bar: Bar, task: Any, progress: Progress) -> None:
    done = max(progress.step / progress.steps, progress.seconds / progress.budget)
    bar.update(task, completed=min(1.0, done), detail=_detail(progress))


def _lines(title: str) -> Callable[[Progress], None]:
    last, stage = time.monotonic(), 0

    def show(progress: Progress) -> None:
        nonlocal last, stage
        if time.monotonic() - last >= 10.0 or progress.stage != stage:
            last, stage = time.monotonic(), progress.stage
            print(f"{title}: {progress.seconds:.0f} s, {_detail(progress)}", file=sys.stderr, flush=True)

    return show


def _detail(progress: Progress) -> str:
    text = f"stage {progress.stage}/{progress.stages} step {progress.step} loss {progress.loss:.1e}"
    text += f" residual {progress.relative_residual:.1e}"
    return text if progress.l2_relative != progress.l2_relative else f"{text} L2 {progress.l2_relative:.1e}"


def _print_summary(solution: Solution, summary: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    network = summary["network"]
    sizes = f"{network['kind'].upper()} {network.get('widths', '')}"
    if network["kind"] == "kan":
        sizes += f", degree {_plain(network['degree'])}, intervals {_plain(network['intervals'])}"
    rows = [
        ("status", f"{solution.status}: {solution.reason}"),
        ("network", f"{sizes}, {solution.parameters} parameters"),
        ("training", f"{solution.iterations} steps in {solution.seconds:.1f} s, seed {solution.seed}"),
        (
            "residual",
            f"{solution.residual:.2e} equation, {solution.condition_residual:.2e} conditions (mean, on unseen points)",
        ),
    ]
    for name, e in (solution.errors or {}).items():
        rows.append(
            (
                f"error of {name}",
                f"L2 {e.l2_relative:.2e}, H1 seminorm {e.h1_seminorm_relative:.2e} (relative), max {e.linf:.2e}",
            )
        )
        if e.sampling_error > 0.0:
            rows.append(("", f"on {e.points} quasi-random points; L2 is known to {100 * e.sampling_error:.2g} %"))
    if solution.errors is None:
        rows.append(("error", "not known: the problem states no exact solution"))
    rows.append(("run", summary["run"]))
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Any:
    """stdout, without wrapping where it is not a terminal, so that scripts get whole lines."""
    from rich.console import Console

    return Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200)


def _plain(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "/".join(map(str, values))


def _check(options: argparse.Namespace) -> int:
    from pdekan.checks import exact_residuals
    from pdekan.problem_file import load_problem

    problem = load_problem(options.file, options.set)
    mismatch = {} if problem.exact is None else exact_residuals(problem)
    wrong = {".".join(map(str, place)): value for place, value in mismatch.items() if not value < 1e-6}
    answer = _checked(problem) | {"exact_residuals": {".".join(map(str, place)): value for place, value in mismatch.items()}}
    if options.json:
        print(json.dumps(answer))
    else:
        _print_checked(answer)
    if wrong:
        listed = ", ".join(f"{place} (off by {value:.2g})" for place, value in wrong.items())
        raise UsageError(f"{options.file}: the exact solution does not satisfy {listed}")
    return DONE


def _checked(problem: Problem) -> dict[str, Any]:
    """What would be solved, as plain data."""
    from pdekan.plan import is_open, memory, stages

    plan = [
        {
            "widths": stage.widths(problem.domain.dimension),
            "degree": stage.degree,
            "intervals": stage.intervals,
            "parameters": stage.parameters(problem.domain.dimension),
            "memory_megabytes": round(memory(problem, stage) / 1e6, 1),
        }
        for stage in stages(problem)
    ]
    intervals = zip(problem.domain.lower, problem.domain.upper, strict=True)
    return {
        "schema": 1,
        "name": problem.name,
        "title": problem.title,
        "reference": problem.reference,
        "domain": dict(zip(problem.domain.coordinates, intervals, strict=True)),
        "equation": f"{getattr(problem.equation, 'text', '…')} = {getattr(problem.source, 'text', problem.source)}",
        "conditions": [f"{c.kind} on {', '.join(c.on)}" for c in problem.conditions],
        "optimizer": problem.training.optimizer,
        "seconds": problem.training.seconds,
        "tolerance": problem.training.tolerance,
        "grows": is_open(problem),
        "stages": plan,
    }


def _print_checked(answer: dict[str, Any]) -> None:
    console = _console()
    console.print(f"{answer['name']}: {answer['title']}")
    if answer["reference"]:
        console.print(f"  source      {answer['reference']}")
    domain = list(answer["domain"].items())
    shown = " × ".join(f"{name} in [{a:g}, {b:g}]" for name, (a, b) in domain[:4]) + (" × …" if len(domain) > 4 else "")
    console.print(f"  domain      {shown}")
    console.print(f"  equation    {answer['equation']}")
    for condition in answer["conditions"]:
        console.print(f"  condition   {condition}")
    for k, stage in enumerate(answer["stages"]):
        sizes = f"{list(stage['widths'])} degree {list(stage['degree'])} intervals {list(stage['intervals'])}"
        console.print(f"  stage {k + 1}     {sizes}: {stage['parameters']} parameters, {stage['memory_megabytes']} MB")
    if answer["grows"]:
        console.print("  network     grows stage by stage until the tolerance is met")
    for place, value in answer["exact_residuals"].items():
        console.print(
            f"  exact       satisfies {place} to {value:.1e}"
            if value < 1e-6
            else f"  exact       misses {place} by {value:.2g}"
        )


def _export(options: argparse.Namespace) -> int:
    from pdekan import run
    from pdekan.solution import load_solution

    file = run.find(options.run_path)
    target = options.to or file.parent / "export.vtkhdf"
    if target.exists() and not options.force:
        raise UsageError(f"{target} exists; choose another file, or --force to overwrite it")
    solution = load_solution(file)
    try:
        samples_shape = options.grid
        solution.save(target, samples_shape)
    except ValueError as error:
        raise UsageError(str(error)) from None
    print(json.dumps({"schema": 1, "file": os.fspath(target)}) if options.json else f"wrote {target}")
    return DONE


def _plot(options: argparse.Namespace) -> int:
    from pdekan import run

    file = run.find(options.run_path)
    drawn = run.redraw(file, options.to or file.parent, "." + options.format)
    if options.json:
        print(json.dumps({"schema": 1, "files": drawn}))
    else:
        for path in drawn.values():
            print(path)
    return DONE


def _list(options: argparse.Namespace) -> int:
    library = titles()
    if options.json:
        print(json.dumps({"schema": 1, "problems": library}))
    else:
        width = max(map(len, library), default=0)
        for name, title in library.items():
            print(f"{name:<{width}}  {title}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
