"""Solve the problems of the library with the settings of their files and write docs/library.md, with a picture of each.

    python tests/benchmarks/library.py               # all of them, one after the other on all cores
    python tests/benchmarks/library.py --workers 2   # two at a time, which share the cores, the longest first
    python tests/benchmarks/library.py disk annulus  # some; the other rows stay

The table has the machine, versions and commit of each row. Times are of training alone.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from origin import origin
from PIL import Image

from pdekan.output import figures
from pdekan.output.thumbnails import thumbnail
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import load_problem
from pdekan.problems.problem import Problem
from pdekan.runs import directory
from pdekan.solutions.solution import Solution
from pdekan.training.solver import solve

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "library.md"
PICTURES = ROOT / "docs" / "library"
FRONT = ROOT / "outputs" / "figures" / "poisson_kan_paper.png"
COLOURS = 64  # of a picture on the page
# The best relative L2 error that we know to be published for the same problem, with its source.
PUBLISHED = {
    "poisson_5d": "2.6e-7 (SPRING, arXiv:2505.12149)",
    "harmonic_10d": "1.2e-5 (SPRING, arXiv:2505.12149)",
    "quadratic_100d": "3.6e-3 (SPRING, arXiv:2505.12149)",
    "poisson_kan_paper": "L2² 5.3e-8 (KAN [2,10,1], arXiv:2404.19756, figure 3.3)",
}
TEXT = """# The library, solved

The problems that ship with pdekan, with the settings of their files: most say nothing of network or training, so that these are
the defaults, which stop at a relative residual of 1e-7 or after a minute. Errors are those of the worst unknown against the
exact solution, on points that training never saw; a dash where none is known. "Converged" is a statement about the estimated
error.
`pdekan list` names them, `pdekan solve NAME` solves one.

| | problem | sought | status | parameters | seconds | residual | relative L2 | relative H1 seminorm | published relative L2 |
|---|---|---|---|---|---|---|---|---|---|
"""


def solved(name: str, seconds: float) -> tuple[str, dict[str, Any]]:
    """A problem's name and row, after training for the seconds of its file or those given, if fewer; draws its picture."""
    problem = load_problem(name)
    training = replace(problem.training, seconds=min(problem.training.seconds, seconds))
    solution = solve(replace(problem, training=training))
    draw(solution, PICTURES / f"{name}.png")
    if name == "poisson_kan_paper":
        front(solution)
    return name, row(problem, solution)


def row(problem: Problem, solution: Solution) -> dict[str, Any]:
    """The data of a row of the table."""
    errors = list((solution.errors or {}).values())
    return {
        "title": problem.title,
        "unknowns": ", ".join(problem.sought),
        "status": solution.status,
        "parameters": solution.parameters,
        "seconds": round(solution.seconds, 1),
        "residual": solution.relative_residual,
        "l2": max((e.l2_relative for e in errors), default=None),
        "h1_seminorm": max((e.h1_seminorm_relative for e in errors), default=None),
        "found": {key: [one.value, one.standard_error] for key, one in solution.found.items()},
        "made": origin(None),
    }


def draw(solution: Solution, path: Path) -> None:
    """The first unknown, small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.save(thumbnail(solution.sample()), path)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def front(solution: Solution) -> None:
    """Solution, error and training history of the KAN paper's problem, side by side, for the README."""
    with tempfile.TemporaryDirectory() as folder:
        directory.write(solution, Path(folder))
        parts = [Image.open(Path(folder) / f"{name}.png").convert("RGB") for name in ("solution", "error", "history")]
    height = min(part.height for part in parts)
    parts = [part.resize((round(part.width * height / part.height), height)) for part in parts]
    joined = Image.new("RGB", (sum(part.width for part in parts), height), "white")
    left = 0
    for part in parts:
        joined.paste(part, (left, 0))
        left += part.width
    FRONT.parent.mkdir(parents=True, exist_ok=True)
    joined.resize((joined.width // 2, height // 2)).save(FRONT, optimize=True)


def line(name: str, kept: dict[str, Any]) -> str:
    """One row of the page."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.1e}"

    picture = f"![{name}](library/{name}.png)"
    found = "".join(f"; {key} = {value:.6g}{_spread(error)}" for key, (value, error) in kept["found"].items())
    cells = [
        picture, f"**{name}**<br>{kept['title']}{found}", kept["unknowns"], kept["status"], str(kept["parameters"]),
        f"{kept['seconds']:.1f}", number(kept["residual"]), number(kept["l2"]), number(kept["h1_seminorm"]),
        PUBLISHED.get(name, "–"),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _spread(error: float | None) -> str:
    return "" if error is None else f" ± {error:.2g}"


def page(rows: dict[str, dict[str, Any]]) -> str:
    """The whole page, with the origins of its rows below."""
    origins: dict[str, list[str]] = {}
    for name, kept in rows.items():
        origins.setdefault(kept["made"], []).append(name)
    made = "".join(f"- {where}: {_named(names, rows)}\n" for where, names in origins.items())
    lines = "".join(line(name, kept) for name, kept in rows.items())
    return f"{TEXT}{lines}\nMade by `python tests/benchmarks/library.py`:\n\n{made}"


def _named(names: Iterable[str], rows: dict[str, dict[str, Any]]) -> str:
    listed = list(names)
    return "all" if len(listed) == len(rows) else ", ".join(listed)


def main() -> None:
    """Solve the given problems; write rows and page after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="problems, by default all")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side, which share the cores")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of one training at most (default: those of its file)")
    options = parser.parse_args()
    threads = max(1, torch.get_num_threads() // options.workers)
    rows = json.loads(ROWS.read_text("utf-8")) if ROWS.exists() else {}
    before = {name: rows[name]["seconds"] if name in rows else math.inf for name in options.names or library()}
    names = sorted(before, key=before.__getitem__, reverse=True)
    with multiprocessing.get_context("spawn").Pool(options.workers, torch.set_num_threads, (threads,)) as pool:
        for name, kept in pool.imap_unordered(partial(solved, seconds=options.seconds), names):
            rows[name] = kept
            rows = {one: rows[one] for one in library() if one in rows}
            ROWS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
            PAGE.write_text(page(rows), "utf-8")
            sys.stdout.write(line(name, kept))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
