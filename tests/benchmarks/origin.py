"""The origin of a benchmark's table: machine, versions and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# what benchmarks write: one run after another shall not call the tree dirty
WRITTEN = (
    "docs/benchmarks.md",
    "docs/formulas.md",
    "docs/library.md",
    "docs/library",
    "docs/verification.md",
    "outputs/figures",
    "tests/benchmarks/*.md",
    "tests/benchmarks/*.json",
)


def processor() -> str:
    """The processor's model, or the architecture if the model is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def commit() -> str:
    """The short hash of the checkout, "-dirty" behind it where tracked files other than benchmarks' own tables differ."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":(exclude){path}" for path in WRITTEN))
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def made() -> dict[str, Any]:
    """Machine, cores, Python and commit, for a file that keeps them."""
    return {
        "machine": f"{processor()}, {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit(),
    }


def words(facts: dict[str, Any], packages: dict[str, str], threads: int | None = 1) -> str:
    """Facts of `made` and the packages' versions in a line; threads None: those that torch takes by itself."""
    number = "" if threads is None else "one thread of " if threads == 1 else f"{threads} threads of "
    versions = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
    where = f"{facts['machine']}, {number}{facts['cores']} cores"
    return f"{where}, Python {facts['python']}, {versions}, commit {facts['commit']}"


def origin(threads: int | None = 1) -> str:
    """The line under a table of pdekan alone."""
    import torch  # kept out of scripts that only start others

    return words(made(), {"torch": torch.__version__}, threads)
