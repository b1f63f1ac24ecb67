"""What tests of cli share."""

from __future__ import annotations

from pathlib import Path

from commands import TINY as UNTITLED

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
