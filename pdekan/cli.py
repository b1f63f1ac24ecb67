"""The command line: arguments in, exit code out. Results go to stdout, progress and messages to stderr.

May import commands.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from pdekan.commands.codes import DONE, INTERNAL, INTERRUPTED, USAGE, UsageError
from pdekan.commands.combinations import refuse_ignored
from pdekan.commands.option_values import (
    assignment,
    count,
    grid,
    names,
    networks,
    networks_or_none,
    number,
    numbers,
    positive,
    times,
    whole,
)

# of our errors, those whose message alone is what the user needs; by name, because importing them takes torch's second
USERS_ERRORS = ("ProblemError", "OutputError", "StudyError")
HINTS = {
    errno.ENOENT: "look at the names of the folders",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
    errno.EISDIR: "name a file in it",
    errno.EEXIST: "it is no folder; choose another place",
    errno.EFBIG: "no file may be so large here, see `ulimit -f`",
    errno.ENOSPC: "make room, or choose another place",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (listed by --help)."""
    given = sys.argv[1:] if arguments is None else arguments
    options = argument_parser().parse_args(given)
    # what makes the same again: a study that was resumed is the one that was not interrupted
    options.typed = shlex.join(["pdekan", *(word for word in given if word != "--resume")])
    try:
        refuse_ignored(options)
        with _ended_by_signals():
            # imported when it is needed: the library is listed, and help is given, without torch
            with _signals_later():
                command = importlib.import_module(f"pdekan.commands.{options.module}")
            code = int(command.run(options))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # what is left of the text goes nowhere, and is no error at the interpreter's end
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if _is_users(error):
            print(f"pdekan: {_in_words(error)}", file=sys.stderr)
            return USAGE
        traceback.print_exc()
        print("pdekan: internal error; please report it with the lines above and the problem file", file=sys.stderr)
        return INTERNAL


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP end a command as SIGINT does, unless it handles them itself; only the first one does.

    Files that are being written are removed on the way out, and locks given back. Under nohup SIGHUP stays ignored.
    """

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    caught = [one for one in (signal.SIGTERM, signal.SIGHUP) if mine and signal.getsignal(one) is signal.SIG_DFL]
    for one in caught:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in caught:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def _signals_later() -> Iterator[None]:
    """A signal that comes in the block is delivered at its end: an import that is interrupted may raise anything."""
    received: list[int] = []
    mine = threading.current_thread() is threading.main_thread()
    caught = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if mine and signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, lambda number, _: received.append(number)) for one in caught}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if received:
        signal.raise_signal(received[0])


def _is_users(error: Exception) -> bool:
    """Whether the message alone is what the user needs."""
    return isinstance(error, (UsageError, OSError)) or any(kind.__name__ in USERS_ERRORS for kind in type(error).__mro__)


def _in_words(error: Exception) -> str:
    """The message of an error; of the operating system's about a file, the file first and what to look at."""
    if not (isinstance(error, OSError) and error.filename and error.strerror):
        return str(error)
    hint = HINTS.get(error.errno or 0, "look at its permissions, or choose another place")
    return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}; {hint}"


class Parser(argparse.ArgumentParser):
    """A parser whose errors suggest what is spelt alike, or where help is."""

    def error(self, message: str) -> NoReturn:
        """Print the message with a suggestion, and exit."""
        wrong = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        hint = _suggestion(self, wrong[1] or wrong[2]) if wrong else ""
        super().error(f"{message}; {hint or f'`{self.prog} --help` says what is allowed'}")


def _suggestion(parser: argparse.ArgumentParser, word: str) -> str:
    """What was likely meant by a word that a parser does not know; empty where nothing is known."""
    known = list(_words(parser))
    owners = [owner for owner, one in known if owner and one == word]
    if len(owners) == len(COMMANDS):
        return f"{word} stands after the command, as in: pdekan solve FILE {word}"
    if owners:
        return f"{word} is an option of {', '.join(owners)}; --set replaces any value of a file"
    if re.fullmatch(r"\w+\.[\w.]+=.*", word):
        return f"values of the file are replaced by: --set {word}"
    if word.endswith(".toml"):
        return f"did you mean: pdekan solve {word}"
    close = difflib.get_close_matches(word, [one for _, one in known], n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def _words(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The options and choices of a parser, and the options of its commands behind the command's name."""
    for action in parser._actions:
        yield from (("", one) for one in (*action.option_strings, *(action.choices or ())))
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from ((name, one) for one in command._option_string_actions)


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="pdekan",
        description="Solve partial differential equations with Kolmogorov-Arnold networks, and know the error.",
        epilog="exit codes: 0 done; 1 internal error; 2 usage or problem file; 3 did not converge (the run is written all "
        "the same); 75 interrupted, --resume goes on; 130 interrupted with nothing to resume",
    )
    parser.add_argument("--version", action="version", version=f"pdekan {version('pdekan')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (text, add_arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        command.set_defaults(module=MODULES.get(name, name))
        add_arguments(command)
    commands.choices["completion"].set_defaults(commands=commands.choices)
    return parser


def _solve_arguments(solve: argparse.ArgumentParser) -> None:
    _problem_arguments(solve)
    solve.add_argument("--output", type=Path, metavar="DIR", help="the run's directory (default: a fresh outputs/NAME/NNN)")
    solve.add_argument("--seed", type=whole, help="seed of the random start")
    solve.add_argument(
        "--tolerance", type=number, help="grow the network until the relative residual on unseen points is below"
    )
    solve.add_argument("--memory", type=number, metavar="MB", help="megabytes that training may take (default: 2000)")
    solve.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: cpu)")
    solve.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster that factorises cells, as tcp://host:8786")
    solve.add_argument("--no-estimate", action="store_true", help="leave out the estimate of the error")
    solve.add_argument("--bound", action="store_true", help="bound the energy norm of the error from above and below")
    solve.add_argument("--no-figures", action="store_true", help="draw none; `pdekan plot` draws them later")
    solve.add_argument("--report", action="store_true", help="write report.html too, a page to read in any browser")
    solve.add_argument("--resume", action="store_true", help="go on with the run in --output, or with the newest one")
    solve.add_argument("--force", action="store_true", help="overwrite what is in --output")


def _study_arguments(study: argparse.ArgumentParser) -> None:
    study.add_argument("name", nargs="?", metavar="NAME", help="the experiment; without it they are listed")
    study.add_argument("--seeds", type=count, metavar="N", help="random starts of every network (default: the experiment's)")
    study.add_argument("--quick", action="store_true", help="fewer and smaller trainings, one seed where not given")
    _place_arguments(study, "outputs/NAME_study/NNN")


def _export_arguments(export: argparse.ArgumentParser) -> None:
    _run_argument(export)
    export.add_argument("--grid", type=grid, metavar="200x200", help="points along each axis")
    export.add_argument("--time", type=times, metavar="T,T", help="at these times; --grid then has no number for time")
    export.add_argument(
        "--parameter", type=assignment, action="append", metavar="mu=1.3", help="of a family, the member; may repeat"
    )
    export.add_argument(
        "--line",
        metavar="x=0:1,y=0.5",
        help="CSV of points along a line: every coordinate a value or from:to; one that is left out runs along all of it",
    )
    export.add_argument("--points", type=count, metavar="N", help="of the line (default: 201)")
    export.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="the file to write, .vtkhdf, .pvd, .nc, .png, .svg, .pt2 or .onnx (default: RUN/export.vtkhdf, RUN/line.csv)",
    )
    export.add_argument("--force", action="store_true", help="overwrite the file")


def _bound_arguments(bound: argparse.ArgumentParser) -> None:
    _run_argument(bound)


def _plot_arguments(plot: argparse.ArgumentParser) -> None:
    plot.add_argument(
        "path", type=Path, metavar="RUN", help="a run's or a study's directory, or its solution.vtkhdf or study.h5"
    )
    plot.add_argument("--to", type=Path, metavar="DIR", help="where to write them (default: where the file is)")
    plot.add_argument("--format", choices=("png", "svg", "pdf"), help="file format (default: png)")
    plot.add_argument("--animate", action="store_true", help="write animations in time instead: GIF, and MP4 where ffmpeg is")


def _report_arguments(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "path", type=Path, metavar="RUN_OR_STUDY", help="a run's or a study's directory, or its solution.vtkhdf or study.h5"
    )
    report.add_argument("--output", type=Path, metavar="FILE", help="the file to write (default: report.html beside it)")


def _prune_arguments(prune: argparse.ArgumentParser) -> None:
    _run_argument(prune)
    prune.add_argument("--factor", type=number, metavar="F", help="how much the relative residual may grow (default: 10)")
    prune.add_argument("--tolerance", type=number, metavar="T", help="a relative residual that is good enough in any case")
    prune.add_argument("--seconds", type=number, metavar="S", help="budget (default: 60)")
    prune.add_argument("--output", type=Path, metavar="DIR", help="the new run's directory (default: a fresh outputs/NAME/NNN)")
    prune.add_argument("--force", action="store_true", help="overwrite what is in --output")


def _formula_arguments(formula: argparse.ArgumentParser) -> None:
    _run_argument(formula)
    formula.add_argument("--seconds", type=number, metavar="S", help="time for the search (default: 120)")
    formula.add_argument("--edges", action="store_true", help="only say what each edge of the network may be")


def _run_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_path", type=Path, metavar="RUN", help="a run's directory, or its solution.vtkhdf")


def _problem_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a problem file, or the name of a library problem")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="replace a value of the file; may repeat",
    )
    _outside_argument(command)


def _outside_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--allow-outside", action="store_true", help="read files outside of the problem file's directory too")


def _new_arguments(new: argparse.ArgumentParser) -> None:
    new.add_argument(
        "name", nargs="?", default="problem", metavar="NAME", help="its name; the file is NAME.toml (default: problem)"
    )
    new.add_argument("--dimensions", type=whole, choices=(1, 2, 3), default=2, help="space coordinates (default: 2)")
    new.add_argument("--time", action="store_true", help="with a coordinate t")
    new.add_argument("--unknowns", type=names, default=("u",), metavar="u,v", help="names of the unknowns (default: u)")
    new.add_argument("--force", action="store_true", help="overwrite the file")


def _show_arguments(show: argparse.ArgumentParser) -> None:
    show.add_argument("name", metavar="NAME", help="a library problem; `pdekan list` shows all")
    show.add_argument("--to", type=Path, metavar="FILE", help="write it to a file instead of printing it")
    show.add_argument("--force", action="store_true", help="overwrite the file")


def _completion_arguments(completion: argparse.ArgumentParser) -> None:
    completion.add_argument(
        "shell",
        choices=("bash", "zsh", "fish"),
        help="as in: pdekan completion bash > ~/.local/share/bash-completion/completions/pdekan",
    )


def _scaling_arguments(scaling: argparse.ArgumentParser) -> None:
    _problem_arguments(scaling)
    sizes = scaling.add_argument_group("what is trained", "lists are joined by commas, the layers of one network by x")
    sizes.add_argument("--hidden", type=networks, metavar="5,7,5x5", help="hidden layers of the KANs (default: 5,7,10)")
    sizes.add_argument("--intervals", type=numbers, metavar="5,10", help="knot intervals (default: 5,10,15,20,30)")
    sizes.add_argument("--degree", type=whole, metavar="K", help="degree of the splines (default: 3)")
    sizes.add_argument("--optimizer", type=names, metavar="NAMES", help="of KANs, a curve each (default: gauss-newton)")
    sizes.add_argument(
        "--mlp",
        type=networks_or_none,
        metavar="10,50x50",
        help="hidden layers of the MLPs, or none (default: widths 5 to 100 in one, two and three layers)",
    )
    sizes.add_argument(
        "--mlp-optimizer",
        type=names,
        metavar="NAMES",
        help="of MLPs; the best of them counts (default: gauss-newton,ssbroyden,lbfgs)",
    )
    sizes.add_argument("--no-grown", action="store_true", help="leave out the networks that the solver itself chooses")
    sizes.add_argument("--seeds", type=count, metavar="N", help="random starts of every network (default: 3)")
    sizes.add_argument("--seconds", type=number, metavar="S", help="budget of one training (default: 20)")
    sizes.add_argument("--quick", action="store_true", help="few sizes, one seed, short budgets, where not given: a first look")
    _place_arguments(scaling, "outputs/NAME_scaling/NNN")


def _bench_arguments(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("folder", type=Path, metavar="FOLDER", help="a folder of problem files, or a suite of the library")
    _outside_argument(bench)
    bench.add_argument("--seconds", type=positive, metavar="S", help="budget of each problem (default: that of its file)")
    _place_arguments(bench, "outputs/FOLDER_bench/NNN")


def _place_arguments(command: argparse.ArgumentParser, fresh: str) -> None:
    place = command.add_argument_group("where")
    place.add_argument("--workers", type=count, metavar="N", help="processes to train in (default: one a core)")
    place.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster to train on, as tcp://host:8786")
    place.add_argument("--output", type=Path, metavar="DIR", help=f"its directory (default: a fresh {fresh})")
    place.add_argument("--resume", action="store_true", help="go on with the study in --output, or with the newest one")
    place.add_argument("--force", action="store_true", help="overwrite the study in --output")


# The commands, each with what it does and the function that adds its arguments; its module is that of its name.
COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "solve": ("train a network for a problem, measure its error, write the run", _solve_arguments),
    "check": ("validate a problem file and say what would be solved", _problem_arguments),
    "scaling": ("train many sizes, and say how the error falls with them", _scaling_arguments),
    "study": ("repeat a published experiment with Kolmogorov-Arnold networks", _study_arguments),
    "bench": ("solve every problem file of a folder, and say what converged and whether that was true", _bench_arguments),
    "export": ("evaluate a run on another grid or along a line, and write it in HDF5 or for other programs", _export_arguments),
    "bound": ("bounds of a run's error in the energy norm, where the equation has one", _bound_arguments),
    "plot": ("draw the figures of a run or a study again", _plot_arguments),
    "report": ("one HTML page of a run or a study: problem, errors, solution to zoom and slide through", _report_arguments),
    "prune": ("take away what a run's network does not need, and train what is left", _prune_arguments),
    "formula": ("a closed form of a run's solution, checked against the equation", _formula_arguments),
    "list": ("the problem library that ships with pdekan", lambda command: None),
    "show": ("print a library problem, or copy it to a file", _show_arguments),
    "new": ("write a commented problem file to begin with", _new_arguments),
    "schema": ("the JSON schema of problem files, for editors", lambda command: None),
    "completion": ("a script that completes commands, options and problems in a shell", _completion_arguments),
}
MODULES = {"list": "listing"}


if __name__ == "__main__":
    sys.exit(main())
