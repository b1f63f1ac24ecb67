"""The command line as tests call it."""

from __future__ import annotations

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
