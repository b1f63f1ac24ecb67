"""What tests of `pdekan scaling` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

STRING = """\
schema = 1
name = "string"
title = "A string under its own weight"

[domain]
type = "box"
x = [0.0, 1.0]

[equation]
operator = "-dx(dx(u))"
source = "pi**2*sin(pi*x)"

[[conditions]]
type = "dirichlet"

[exact]
u = "sin(pi*x)"

[training]
steps = 3
"""
TINY = ("--hidden", "2", "--intervals", "2,3,4", "--mlp", "3", "--seeds", "1", "--seconds", "1", "--no-grown")


def sketch(directory: Path, _: Any, suffix: str) -> dict[str, Path]:
    """Empty figures, where it matters only that there are some."""
    paths = {name: directory / f"{name}{suffix}" for name in ("scaling", "seconds")}
    for path in paths.values():
        path.touch()
    return paths
