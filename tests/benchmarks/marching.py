"""Seconds of a march through time on cells, against the cells of a slab and against the slabs. Writes marching.md.

    python tests/benchmarks/marching.py

One thread; CPU times, so that a busy machine changes them less. Slabs are of one length on the same cells, each solved once
from the end of the one before, with problems in space that are factorised once: what adaptive marches are made of. Errors are
relative, in L2, in all of the time marched through.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from cells import spread
from origin import origin

from pdekan.domains.box import box
from pdekan.domains.partition import Partition
from pdekan.errors import norms
from pdekan.fields.functions import exp
from pdekan.fields.operators import d, laplacian
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.conditions import dirichlet, initial
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem
from pdekan.training.cells.slab import Accuracy, CellSlab
from pdekan.training.cells.steps import StepSolver
from pdekan.training.clock import Clock

TABLE = Path(__file__).with_suffix(".md")
DEGREE, LENGTH = 8, 0.05
# cells along an axis of a slab, slabs
BY_CELLS = ((4, 4), (8, 4), (16, 4), (32, 4))
BY_SLABS = ((8, 2), (8, 4), (8, 8), (8, 16))


@dataclass(frozen=True)
class Cost:
    """The CPU seconds of a march, and its error."""

    cells: int
    slabs: int
    unknowns: int
    seconds: float
    error: float


def moving(end: float) -> Problem:
    """A peak that moves through a square while heat is conducted."""
    return Problem(
        box(x=(0.0, 1.0), y=(0.0, 1.0), t=(0.0, end)),
        lambda u: d(u, "t") - 0.1 * laplacian(u),
        EXACT,
        (initial(EXACT), dirichlet(EXACT, on=("x-", "x+", "y-", "y+"))),
        exact=lambda x, y, t: exp(-20.0 * ((x - 0.2 - 0.5 * t) ** 2 + (y - 0.5) ** 2)),
    )


def cost(n: int, slabs: int) -> Cost:
    """That of so many slabs on n x n cells."""
    problem = moving(slabs * LENGTH)
    domain = problem.domain
    partition = Partition.grid(domain.lower[:2], domain.upper[:2], (n, n))
    clock, device = Clock(0.0, math.inf), torch.device("cpu")
    found: list[CellSlab] = []
    began = time.process_time()
    with clock.running():
        solver = StepSolver(problem, 2, DEGREE, math.inf, partition, True, device, clock, partition.count)
        for k in range(slabs):
            before = found[-1] if found else None
            one, _ = solver.solved((k * LENGTH, (k + 1) * LENGTH), before, partition, Accuracy(math.inf, 0.0))
            assert one is not None
            found.append(one)
    seconds = time.process_time() - began
    network = PiecewiseInTime([one.network for one in found], [one.end for one in found[:-1]], 2)
    error = norms.measure(problem, network)["u"].l2_relative
    return Cost(partition.count, slabs, math.prod(solver.system.shape), seconds, error)


def table(title: str, found: Sequence[Cost]) -> str:
    """The marches, and how far from proportional to cells times slabs their seconds are."""
    each = [1e3 * one.seconds / (one.cells * one.slabs) for one in found]
    rows = "".join(
        f"| {c.cells} | {c.slabs} | {c.unknowns} | {c.seconds:.2f} | {one:.2f} | {c.error:.1e} |\n"
        for c, one in zip(found, each, strict=True)
    )
    names = "cells", "slabs", "unknowns in space", "seconds", "ms a cell and slab", "relative L2"
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|"
    return f"## {title}\n\n{head}\n{rows}\nWithin a factor of {spread(each):.2f} of a line.\n\n"


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    cost(2, 1)  # loads the libraries
    parts = [
        table("More cells", [cost(*one) for one in BY_CELLS]),
        table("More slabs", [cost(*one) for one in BY_SLABS]),
    ]
    sys.stdout.write("".join(parts))
    TABLE.write_text(
        "# Cost of a march through time on cells\n\nA peak that moves through a square while heat is conducted; "
        f"degree {DEGREE}, slabs of {LENGTH:g}; CPU seconds, one thread.\n\n{''.join(parts)}"
        f"Made by `python tests/benchmarks/marching.py` ({origin()}).\n",
        "utf-8",
    )


if __name__ == "__main__":
    main()
