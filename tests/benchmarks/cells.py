"""Seconds and memory of a solution on cells against the number of cells. Writes cells.md.

    python tests/benchmarks/cells.py [--repeats 3]

One thread; CPU times, so that a busy machine changes them less. A solution is everything from the cells to the network: faces,
rows, elimination, substitution. Each size is measured in a new process.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from origin import origin

from pdekan.cells.mesh import Mesh
from pdekan.cells.system import solved
from pdekan.domains.box import box
from pdekan.domains.partition import Partition
from pdekan.fields.functions import exp, sin
from pdekan.fields.operators import laplacian
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem

TABLE = Path(__file__).with_suffix(".md")
ROD, SQUARE = box(x=(0.0, 1.0)), box(x=(0.0, 1.0), y=(0.0, 1.0))
# equations, degree of the cells, cells along an axis
CASES = {
    "rod": (ROD, lambda x: sin(9.0 * x), 14, (70, 140, 350, 700, 1400, 3500, 7000)),
    "square": (SQUARE, lambda x, y: sin(9.0 * x) * exp(y), 10, (4, 6, 9, 13, 20, 28, 40)),
}


@dataclass(frozen=True)
class Cost:
    """The least CPU seconds of a solution, and by how many megabytes it raises the peak of the resident set."""

    cells: int
    unknowns: int
    seconds: float
    megabytes: float


def peak() -> float:
    """Peak of the resident set in megabytes; that of getrusage is inherited from the parent process."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024 / 1e6  # type: ignore[union-attr]


def measure(name: str, n: int, repeats: int) -> None:
    """Print the cost of one size, after a small solution has loaded the libraries."""
    torch.set_num_threads(1)
    domain, exact, degree, _ = CASES[name]
    problem = Problem(domain, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=exact)

    def seconds(count: int) -> tuple[float, int, int]:
        partition = Partition.grid(domain.lower, domain.upper, (count,) * domain.dimension)
        began = time.process_time()
        network = solved(problem, Mesh.of(problem, partition, np.full(partition.count, degree))).network
        return time.process_time() - began, partition.count, network.linear_parameters

    seconds(3)
    before = peak()
    taken = [seconds(n) for _ in range(repeats)]
    sys.stdout.write(json.dumps([taken[0][1], taken[0][2], min(one[0] for one in taken), peak() - before]))


def costs(name: str, repeats: int) -> Iterator[Cost]:
    """The costs of all sizes, each measured in a new process."""
    for n in CASES[name][3]:
        command = [sys.executable, __file__, "--measure", name, str(n), "--repeats", str(repeats)]
        yield Cost(*json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def spread(values: Sequence[float]) -> float:
    """By which factor values deviate from their geometric mean of least and greatest: those for a cell from a line."""
    return math.sqrt(max(values) / min(values))


def table(name: str, found: Sequence[Cost]) -> str:
    """The sizes with the costs of a cell, and how far from proportional they are."""
    rows = "".join(
        f"| {c.cells} | {c.unknowns} | {c.seconds:.2f} | {1e3 * c.seconds / c.cells:.2f} | {c.megabytes:.0f} | "
        f"{c.megabytes / c.cells:.2f} |\n"
        for c in found
    )
    time_, memory = spread([c.seconds / c.cells for c in found]), spread([c.megabytes / c.cells for c in found])
    head = "| cells | unknowns | seconds | ms a cell | MB | MB a cell |\n|---|---|---|---|---|---|"
    return (
        f"## A {name}, degree {CASES[name][2]}\n\n{head}\n{rows}\nWithin a factor of {time_:.2f} of a line in seconds, "
        f"{memory:.2f} in memory.\n\n"
    )


def main(repeats: int) -> None:
    """Measure, print and write."""
    where, parts = origin(), []
    for name in CASES:
        parts.append(table(name, list(costs(name, repeats))))
        sys.stdout.write(parts[-1])
        sys.stdout.flush()
    TABLE.write_text(
        f"# Cost of a solution on cells\n\nPoisson's equation, once; the least CPU seconds of {repeats}, one thread; memory is "
        f"the rise of the peak of the resident set.\n\n{''.join(parts)}Made by `python tests/benchmarks/cells.py` ({where}).\n",
        "utf-8",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("CASE", "N"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.measure[0], int(asked.measure[1]), asked.repeats)
    else:
        main(asked.repeats)
