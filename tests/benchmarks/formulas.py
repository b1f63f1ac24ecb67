"""Solve problems of the library, search for their closed forms, and write the table of docs/formulas.md.

    python tests/benchmarks/formulas.py                # all of them, on two processes
    python tests/benchmarks/formulas.py heat_1d bratu  # some; the other rows stay

Trainings have at most half a minute, searches two minutes. The search knows the run only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from origin import origin

from pdekan.problem_files.loader import load_problem
from pdekan.symbolic.expressions import symbol
from pdekan.symbolic.search import NONE, find
from pdekan.symbolic.templates import evaluate
from pdekan.symbolic.writing import text
from pdekan.training.solver import solve

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "formulas.md"
BEGIN, END = "<!-- table -->\n", "<!-- end table -->"
TRAINING, SEARCH = 30.0, 120.0  # seconds
# with a closed form, and at the end without one, or with one that the library of functions does not reach
NAMES = (
    "poisson_sine", "poisson_kan_paper", "regression", "poisson_5d", "heat_1d", "diffusivity", "advection", "eigenvalue_square",
    "helmholtz", "klein_gordon", "convection_diffusion", "mixed_poisson", "conductivity", "disk", "ball_3d", "harmonic_10d",
    "allen_cahn_wave", "burgers_wave", "fisher_wave", "periodic", "telegraph", "wave", "variable_coefficient", "stokes",
    "kovasznay", "bratu", "gelfand_disk", "harmonic_oscillator", "minimal_surface", "p_laplace",
    "driven_cavity", "l_shape", "sine_gordon_breather", "heat_disk",
)  # fmt: skip


def row(name: str) -> dict[str, Any]:
    """The data of a row of the table."""
    torch.set_num_threads(1)
    limit = min(TRAINING, load_problem(name).training.seconds)
    problem = load_problem(name, [f"training.seconds={limit}"])
    solution = solve(problem)
    found = find(solution, seconds=SEARCH)
    known = {
        "residual": solution.relative_residual,
        "network": max((e.l2_relative for e in (solution.errors or {}).values()), default=None),
        "training": round(solution.seconds, 1),
        "made": origin(None),
    }
    if found is None:
        return {**known, "verdict": NONE, "formula": "", "error": None, "search": None}
    points = problem.domain.interior(8, 4, 500, 3).points
    environment = {symbol(c): points[:, k] for k, c in enumerate(problem.domain.coordinates)}
    error = None
    if all(unknown in problem.exact_fields for unknown in problem.unknowns):
        exact = problem.exact_jets(torch.as_tensor(points), 0)  # type: ignore[arg-type]
        errors = []
        for unknown in problem.unknowns:
            wanted = exact[unknown].value.numpy()
            off = evaluate(found.substituted[unknown], environment) - wanted
            errors.append(float(np.sqrt(np.mean(off**2) / np.mean(wanted**2))))
        error = max(errors)
    stated = {**found.expressions, **found.parameters}
    return {
        **known,
        "verdict": found.verdict.kind,
        "formula": "; ".join(f"{key} = {text(one)}" for key, one in stated.items()),
        "error": error,
        "search": round(found.seconds, 1),
    }


def line(name: str, kept: dict[str, Any]) -> str:
    """One row of the table."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.1e}"

    formula = f"`{kept['formula']}`" if kept["formula"] else ""
    search = "–" if kept["search"] is None else f"{kept['search']:.1f}"
    cells = [name, kept["verdict"], formula, number(kept["network"]), number(kept["error"]), f"{kept['training']:.1f}", search]
    return f"| {' | '.join(cells)} |\n"


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The table with its origin."""
    names = ("problem", "verdict", "formula", "L2 of the network", "L2 of the formula", "training, s", "search, s")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    origins = "; ".join(_merged({kept["made"] for kept in rows.values()}))
    lines = "".join(line(name, rows[name]) for name in NAMES if name in rows)
    return f"{head}{lines}\nMade by `python tests/benchmarks/formulas.py` ({origins}).\n"


def _merged(origins: Iterable[str]) -> Iterator[str]:
    """Origins that differ in the commit alone, in one."""
    parts = sorted(tuple(one.split(", commit ")) for one in origins)
    for machine, group in itertools.groupby(parts, key=lambda one: one[0]):
        yield f"{machine}, commits {', '.join(commit for _, commit in group)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {}
    with multiprocessing.get_context("spawn").Pool(options.workers, maxtasksperchild=1) as pool:
        for name, kept in zip(options.names, pool.imap(row, options.names), strict=True):
            rows[name] = kept
            sys.stdout.write(line(name, kept))
            sys.stdout.flush()
            ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text(before + table(rows) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
