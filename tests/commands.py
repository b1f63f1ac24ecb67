"""The command line as tests call it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context, reduction
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from pdekan import cli
from pdekan.runs import directory

# a problem that is solved in a second
TINY = """\
schema = 1
name = "tiny"

[domain]
type = "box"
x = [0.0, 1.0]

[equation]
operator = "-dx(dx(u))"
source = "pi**2*sin(pi*x)"

[[conditions]]
type = "dirichlet"
value = "0"

[exact]
u = "sin(pi*x)"
"""


def command(*arguments: str) -> int:
    """The exit code of a command, be it returned or raised by the parser."""
    try:
        return cli.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def files(folder: Path) -> list[str]:
    """Names of what a study left in its directory, but for its lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != "study.lock")


class Started:
    """A command in a process of its own, with the methods of `subprocess.Popen` that tests use.

    It is forked from one that has imported the package, so that little of its time is spent on that.
    """

    def __init__(self, before: str, arguments: Sequence[str]) -> None:
        ends = [os.pipe() for _ in range(2)]
        self.stdout, self.stderr = (os.fdopen(reading, encoding="utf-8") for reading, _ in ends)
        context = _server()
        place = os.getcwd(), dict(os.environ) | {"OMP_NUM_THREADS": "1"}
        self._process = context.Process(target=_started, args=(*place, before, arguments, *(Sent(end) for _, end in ends)))
        self._process.start()
        for _, writing in ends:
            os.close(writing)

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """What else it writes to stdout and stderr until it ends; it is killed after so many seconds."""
        timer = threading.Timer(timeout, self.kill)
        timer.start()
        with ThreadPoolExecutor(1) as pool:
            out, err = pool.submit(self.stdout.read), self.stderr.read()
        self._process.join()
        timer.cancel()
        return out.result(), err

    def close(self) -> None:
        self.kill()
        self._process.join()
        self.stdout.close()
        self.stderr.close()


class Sent:
    """A file descriptor that goes to the process along with its arguments."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (reduction.DupFd(self.number),)


def _received(sent: object) -> int:
    return int(sent.detach())  # type: ignore[attr-defined]


def _started(folder: str, environment: dict[str, str], before: str, arguments: Sequence[str], out: int, err: int) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    warnings.simplefilter("error")
    exec(before, {})
    sys.exit(cli.main(arguments))


@contextlib.contextmanager
def started(*arguments: str, before: str = "") -> Iterator[Started]:
    """A process of its own, with `before` executed in it first; it does not outlive the block."""
    with contextlib.closing(Started(before, arguments)) as process:
        yield process


def _server() -> ForkServerContext:
    """Where processes are forked."""
    server = get_context("forkserver")
    server.set_forkserver_preload(["pdekan.commands.solve", "pdekan.commands.export", "pdekan.commands.plot"])
    return server


@contextlib.contextmanager
def process(folder: Path, arguments: Sequence[str]) -> Iterator[BaseProcess]:
    """A process of its own that runs a command in a directory, with a checkpoint after every step; killed with the block.

    It is forked from one that has imported the package, so that little of its time is spent on that.
    """
    running = _server().Process(target=_run, args=(folder, list(arguments)))
    running.start()
    try:
        yield running
    finally:
        running.kill()
        running.join()


def _run(folder: Path, arguments: list[str]) -> None:
    os.chdir(folder)
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    directory.Checkpoints = functools.partial(directory.Checkpoints, seconds=0.0)  # type: ignore[assignment, misc]
    sys.exit(cli.main(arguments))
