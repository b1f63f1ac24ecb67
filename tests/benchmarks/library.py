"""Solve every problem of the library with its defaults and write the README's table and picture.

    python tests/benchmarks/library.py

The table says which machine, versions and commit made it. Times are of training alone and depend on the machine.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from origin import origin
from PIL import Image

from pdekan import run
from pdekan.library import library
from pdekan.problem_file import load_problem
from pdekan.solution import Solution
from pdekan.solver import solve

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "outputs" / "figures" / "poisson_kan_paper.png"
HEADER = """| problem | status | parameters | seconds | relative L2 | relative H1 seminorm | max error |
|---|---|---|---|---|---|---|
"""


def row(name: str, solution: Solution) -> str:
    """One line of the table: errors of the worst unknown, none where no closed form is known."""
    errors = list((solution.errors or {}).values())
    columns = ([e.l2_relative for e in errors], [e.h1_seminorm_relative for e in errors], [e.linf for e in errors])
    numbers = " | ".join(f"{max(column):.1e}" if column else "–" for column in columns)
    return f"| {name} | {solution.status} | {solution.parameters} | {solution.seconds:.1f} | {numbers} |\n"


def picture(solution: Solution, directory: Path) -> None:
    """Solution, error and training history of the KAN paper's problem, side by side."""
    run.write(solution, directory)
    parts = [Image.open(directory / f"{name}.png").convert("RGB") for name in ("solution", "error", "history")]
    height = min(part.height for part in parts)
    parts = [part.resize((round(part.width * height / part.height), height)) for part in parts]
    joined = Image.new("RGB", (sum(part.width for part in parts), height), "white")
    left = 0
    for part in parts:
        joined.paste(part, (left, 0))
        left += part.width
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    joined.resize((joined.width // 2, height // 2)).save(PICTURE, optimize=True)


def main() -> None:
    """Solve, print and write."""
    lines, where = [], origin(None)
    for name in library():
        solution = solve(load_problem(name))
        lines.append(row(name, solution))
        sys.stdout.write(lines[-1])
        if name == "poisson_kan_paper":
            picture(solution, run.fresh_directory(name, ROOT / "outputs"))
    made = f"Made by `python tests/benchmarks/library.py` ({where})."
    table = f"<!-- library -->\n{HEADER}{''.join(lines)}\n{made}\n<!-- end -->"
    text = README.read_text("utf-8")
    README.write_text(re.sub(r"<!-- library -->.*<!-- end -->", lambda _: table, text, flags=re.S), "utf-8")


if __name__ == "__main__":
    main()
