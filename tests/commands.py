"""The command line as tests call it."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
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


@contextlib.contextmanager
def started(*arguments: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process of its own, with `before` executed in it first; it does not outlive the block."""
    program = f"import sys\n{before}\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def process(folder: Path, arguments: Sequence[str]) -> Iterator[BaseProcess]:
    """A process of its own that runs a command in a directory, with a checkpoint after every step; killed with the block.

    It is forked from one that has imported the package, so that little of its time is spent on that.
    """
    server = get_context("forkserver")
    server.set_forkserver_preload(["pdekan.commands.solve", "pdekan.commands.export", "pdekan.commands.plot"])
    running = server.Process(target=_run, args=(folder, list(arguments)))
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
