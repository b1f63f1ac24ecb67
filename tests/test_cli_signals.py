"""Signals, sent to processes in the middle of steps and of writing, and the lock of a run's directory."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, cast

import pytest
from commands import TINY, Started, command, started

from pdekan.commands.terminal import interruptible
from pdekan.problem_files.loader import load_problem
from pdekan.runs.directory import SOLUTION, Checkpoints
from pdekan.runs.lock import locked
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training.progress import Progress
from pdekan.training.solver import solve

PROBLEM = TINY + "\n[network]\nhidden = [2]\ndegree = 5\nintervals = 4\n"
SOLVE = ("solve", "tiny.toml", "--output", "out", "--json")
QUICK = ("--tolerance", "0.01")
TO_THE_END = ("--tolerance", "1e-15")
ENOUGH = 60  # seconds, many times what a process needs to end

# A block of work that has no end, as in a step that takes hours; the thirtieth is in the sixth step or so.
LONG_STEP = """
import signal, sys, time
from pdekan.residuals.least_squares import Objective

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
block, calls = Objective._block, []

def endless(self, *arguments):
    calls.append(None)
    if len(calls) == {block}:
        print("long step", file=sys.stderr, flush=True)
    while len(calls) >= {block}:
        {between}
        time.sleep(0.01)
    return block(self, *arguments)

Objective._block = endless
"""
ASKING, IN_THE_FIRST = (LONG_STEP.format(block=block, between="self._check_time()") for block in (30, 2))
NOT_ASKING = LONG_STEP.format(block=30, between="pass")
# the same after training, in the comparison with a richer space
ESTIMATING = """
import sys, time
from pdekan.training import trainer

def endless(*arguments, **named):
    print("long step", file=sys.stderr, flush=True)
    while True:
        time.sleep(0.01)

trainer.compared = endless
"""
# a signal, and two more, in the middle of a function of pdekan
IN = """
import os, signal
import {module} as module

signal.signal(signal.SIGHUP, signal.SIG_DFL)
function = module.{name}

def signalling(*arguments, **named):
    module.{name} = function
    for number in (signal.SIG{signal}, signal.SIGINT, signal.SIGINT):
        os.kill(os.getpid(), number)
    return function(*arguments, **named)

module.{name} = signalling
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(PROBLEM)
    return tmp_path


def wait_for(process: Started, line: str) -> None:
    """Read the process's stderr up to a line."""
    lines = []
    for one in process.stderr:
        lines.append(one)
        if line in one:
            return
    raise AssertionError("".join(lines))


def assert_whole(run: Path) -> Solution:
    """The solution of a run whose files are those of its summary."""
    summary = json.loads((run / "summary.json").read_text())
    assert {str(path.relative_to(run.parent)) for path in run.iterdir()} == set(summary["files"].values())
    solution = load_solution(run / SOLUTION)
    assert (solution.status, solution.iterations) == (summary["status"], summary["iterations"])
    return solution


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_step_in_its_middle(number: signal.Signals, workplace: Path) -> None:
    with started(*SOLVE, *TO_THE_END, before=ASKING) as process:
        wait_for(process, "long step")
        process.send_signal(number)
        out, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 75, err
    left = assert_whole(workplace / "out")
    assert left.status == json.loads(out)["status"] == "interrupted"
    assert left.iterations >= 1
    assert not list((workplace / "out").glob("*.png"))
    assert command(*SOLVE, "--resume", *QUICK) == 0
    assert assert_whole(workplace / "out").status == "converged"


@pytest.mark.parametrize(
    ("work", "numbers"),
    [
        (NOT_ASKING, [signal.SIGTERM]),
        (NOT_ASKING, [signal.SIGINT, signal.SIGINT]),
        (ESTIMATING, [signal.SIGTERM]),
    ],
)
def test_what_does_not_ask_is_ended_too_and_the_last_step_is_kept(
    work: str, numbers: list[signal.Signals], workplace: Path
) -> None:
    """After some seconds, or at once where the user insists."""
    with started(*SOLVE, *(QUICK if work is ESTIMATING else TO_THE_END), before=work) as process:
        wait_for(process, "long step")
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.5)  # two signals at once are one
        _, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 75, err
    left = assert_whole(workplace / "out")
    assert left.status == "interrupted"
    assert left.iterations == len(left.history["step"]) >= 1


def test_a_signal_in_the_middle_of_the_first_step(workplace: Path) -> None:
    """The network before the first step is a start like any."""
    with started(*SOLVE, *TO_THE_END, before=IN_THE_FIRST) as process:
        wait_for(process, "long step")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 75, err
    assert assert_whole(workplace / "out").iterations == 0
    assert command(*SOLVE, "--resume", *QUICK) == 0
    assert assert_whole(workplace / "out").status == "converged"


def test_a_request_writes_a_checkpoint_in_the_middle_of_a_step_and_the_run_goes_on(workplace: Path) -> None:
    file = workplace / "out" / SOLUTION
    rarely = "import functools\nfrom pdekan.runs import directory\n"
    rarely += "directory.Checkpoints = functools.partial(directory.Checkpoints, seconds=1e9)"
    with started(*SOLVE, *TO_THE_END, before=ASKING + rarely) as process:
        wait_for(process, "long step")
        assert not file.exists()
        process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + ENOUGH
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        left = load_solution(file)
        assert left.iterations >= 1
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 75, err
    assert assert_whole(workplace / "out").iterations == left.iterations


@pytest.mark.parametrize("number", ["TERM", "HUP", "INT"])
@pytest.mark.parametrize(
    ("module", "name", "figures"),
    [
        ("pdekan.output.vtkhdf", "store_unstructured", 0),
        ("pdekan.output.figures", "save", 1),
        ("pdekan.runs.directory", "write_text", 0),
    ],
)
def test_what_is_being_written_is_written_and_further_figures_are_not(
    module: str, name: str, figures: int, number: str, workplace: Path
) -> None:
    where = IN.format(module=module, name=name, signal=number)
    with started(*SOLVE, *QUICK, before=where) as process:
        out, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 75, err
    assert assert_whole(workplace / "out").status == json.loads(out)["status"] == "converged"
    assert len(list((workplace / "out").glob("*.png"))) == figures


def test_a_lost_terminal_loses_no_result(workplace: Path) -> None:
    """The kernel sends SIGHUP, and every further write to the terminal is an error."""
    ours, theirs = pty.openpty()
    program = f"{ASKING}\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"

    def control() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, "solve", "tiny.toml", "--output", "out", *TO_THE_END],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=control,
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            shown = b""
            while b"long step" not in shown:
                shown += os.read(ours, 1000)
            os.close(ours)
            assert process.wait(ENOUGH) == 75
        finally:
            process.kill()
    assert assert_whole(workplace / "out").status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("arguments", [("export", "out"), ("plot", "out"), ("report", "out"), ("bound", "out")])
def test_other_commands_end_with_whole_files_or_none(
    arguments: tuple[str, ...], number: signal.Signals, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while the first file is written, when it is there under another name."""
    assert command(*SOLVE, *QUICK, "--no-figures") == 0
    before = {path.name: path.read_bytes() for path in (workplace / "out").iterdir()}
    before_signals = signal.signal(number, signal.SIG_DFL)  # also where the tests run under nohup
    monkeypatch.setattr("pdekan.output.atomic.os.fsync", lambda _: os.kill(os.getpid(), number))
    try:
        assert command(*arguments) == 130
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before_signals)
    assert {path.name: path.read_bytes() for path in (workplace / "out").iterdir()} == before


def test_under_nohup_the_terminal_may_be_lost() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible("stopping") as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals()
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_checkpoints_do_not_wait_for_the_end_of_a_step(workplace: Path) -> None:
    file = workplace / SOLUTION
    checkpoints = Checkpoints(workplace, seconds=1.0)
    checkpoints.save_if_due()  # there is nothing to save
    solution = solve(load_problem("tiny.toml", ["training.steps=1"]))

    class OneStep:
        def snapshot(self) -> Solution:
            return solution

    checkpoints(cast("Progress", OneStep()))
    time.sleep(1.0)
    checkpoints.save_if_due()
    assert load_solution(file).iterations == 1
    file.unlink()
    time.sleep(1.0)
    checkpoints.save_if_due()
    assert not file.exists()  # nothing new has come


def test_a_snapshot_can_be_taken_in_the_middle_of_a_later_step() -> None:
    """It has the parameters that the step ended with, and not those that are being tried."""
    taken: list[tuple[Solution, Progress]] = []
    later: list[Solution] = []

    def watch(progress: Progress) -> None:
        taken.append((progress.snapshot(), progress))

    def interrupted() -> bool:
        if len(taken) > len(later):
            later.append(taken[-1][1].snapshot())
        return len(later) == 4

    options = ["training.tolerance=1e-15"]
    solution = solve(load_problem("tiny.toml", options), watch=watch, interrupted=interrupted)
    assert solution.status == "interrupted"
    assert solution.iterations == len(taken) == 4
    x: Any = [[0.2], [0.6]]
    for (at_its_end, _), afterwards in zip(taken, later, strict=True):
        assert afterwards(x).tolist() == at_its_end(x).tolist()
        assert afterwards.iterations == at_its_end.iterations
    assert solution(x).tolist() == pytest.approx(later[-1](x).tolist(), abs=1e-6)


def test_one_directory_has_one_process(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*SOLVE, *QUICK) == 0
    before = {path.name: path.read_bytes() for path in (workplace / "out").iterdir()}
    capsys.readouterr()
    with locked(workplace / "out"):
        for arguments in (
            [*SOLVE, "--force"],
            [*SOLVE, "--resume", "--tolerance", "1e-9"],
            ["formula", "out"],
            ["prune", "out", "--output", "out", "--force"],
        ):
            assert command(*arguments) == 2
            captured = capsys.readouterr()
            assert captured.out == ""
            assert "out: another process is at work on this run" in captured.err
    assert {path.name: path.read_bytes() for path in (workplace / "out").iterdir()} == before
    assert command(*SOLVE, *QUICK, "--force") == 0


def test_a_second_process_is_refused_before_the_first_one_has_written(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(*SOLVE, *TO_THE_END, before=ASKING) as process:
        wait_for(process, "long step")
        assert command(*SOLVE) == 2
        assert "another process is at work" in capsys.readouterr().err
        process.kill()
        process.communicate(timeout=ENOUGH)
    assert command(*SOLVE, *QUICK, "--force") == 0  # the lock ended with the process


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_a_signal_in_the_middle_of_an_import_ends_the_command(number: str, workplace: Path) -> None:
    """numpy turns KeyboardInterrupt into an ImportError, as other packages may."""
    before = f"""
import importlib, os, signal
imported = importlib.import_module

def interrupted(name, *more):
    importlib.import_module = imported
    try:
        os.kill(os.getpid(), signal.SIG{number})
    except KeyboardInterrupt:
        raise ImportError("cannot load module more than once per process") from None
    return imported(name, *more)

importlib.import_module = interrupted
"""
    with started(*SOLVE, before=before) as process:
        _, err = process.communicate(timeout=ENOUGH)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert not (workplace / "out").exists()
