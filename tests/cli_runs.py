"""What tests of the command line share."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from commands import TINY as UNTITLED

from pdekan import cli

TITLED = UNTITLED.replace('name = "tiny"\n', 'name = "tiny"\ntitle = "A string under its own weight"\n')
TINY = TITLED + "\n[network]\nhidden = [2]\ndegree = 5\nintervals = 4\n"
SQUARE = TINY.replace("x = [0.0, 1.0]\n", "x = [0.0, 1.0]\ny = [0.0, 2.0]\n").replace("-dx(dx(u))", "-laplacian(u)")
DRAWN = ("--tolerance", "0.01")
QUICK = (*DRAWN, "--no-figures")  # which take most of the time
HOPELESS = ("--tolerance", "1e-13", "--set", "training.steps=1", "--no-figures")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def everything(folder: Path) -> list[str]:
    """Files and folders, empty ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def solved(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The directory of a run of the tiny problem, and what was printed about it."""
    (folder / "tiny.toml").write_text(TINY)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["solve", str(folder / "tiny.toml"), "--output", str(folder / "run"), "--json"]) == 0
    return folder / "run", json.loads(out.getvalue())
