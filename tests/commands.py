"""The command line as tests call it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pdekan import cli


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
