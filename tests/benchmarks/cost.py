"""Time and memory of an iteration of Gauss-Newton against the size of the problem. Writes cost.md.

    python tests/benchmarks/cost.py [--repeats 7]

One thread; CPU times, so that a busy machine changes them less. An iteration is everything between two accepted steps without
a rejected trial and with a constant ridge: jets, rows, triangle, damped solve, and the trial's solve for the linear part. It is
compared with LAPACK's QR of the same weighted Jacobian, alternating with the iterations.
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
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from ladders import fresh, stage, strategy
from origin import origin
from torch import Tensor

from pdekan.optimizers.base import Step
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problem_files.loader import load_problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.training.memory import memory
from pdekan.training.points import training_points
from pdekan.training.schedule import Stage
from pdekan.training.solver import solve

TABLE = Path(__file__).with_suffix(".md")
ALLOWED = 3.0  # iterations may cost so many factorisations
# damped so much that every step is accepted, and with a ridge that stays
CAUTIOUS = GaussNewton(ridge=0.0, min_ridge=1e-12, damping=100.0, down=1.0, min_gain=-1.0)
NETWORKS = {
    "[2,10,1]": ("poisson_kan_paper", stage((10,), (9, 9), (1, 32))),
    "[3,10,10,1]": ("poisson_3d", stage((10, 10), (7, 7, 7), (3, 3, 3))),
}
POINTS_AN_AXIS = (4, 6, 8, 12)  # times eight cells: on the network of 610 parameters
WIDTHS = (5, 10, 20, 40)  # hidden nodes, on 80² points


class Counted(Objective):
    """An objective that counts its evaluations of rows, and of the linear columns only."""

    full = 0
    partial = 0

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        self.full, self.partial = self.full + (not only_linear), self.partial + only_linear
        return super().blocks(theta, only_linear)


@dataclass(frozen=True)
class Cost:
    """Median seconds of an iteration and of a factorisation of a Jacobian of this size."""

    rows: int
    parameters: int
    iteration: float
    qr: float

    @property
    def ratio(self) -> float:
        return self.iteration / self.qr


def measure(problem_name: str, network: Stage, sampling: Sampling | None, repeats: int) -> Cost:
    """Time iterations without rejected trials, then factorisations."""
    problem = load_problem(problem_name)
    module = fresh(problem, network, 0)
    objective = Counted(problem, module, terms(problem, sampling or training_points(problem, network, 0)))
    theta = module.flat_parameters
    taken: list[float] = []
    factorised: list[float] = []
    shape = (0, 0)
    before = (0.0, 0, 0)

    def watch(step: Step) -> str | None:
        nonlocal before, shape
        now = (time.process_time(), objective.full, objective.partial)
        if step.taken > 1 and (now[1] - before[1], now[2] - before[2]) == (1, 1):
            jacobian = objective.rows(step.theta)[1]
            taken.append(now[0] - before[0])
            factorised.append(factorise(jacobian))
            shape = (len(jacobian), len(theta))
        before = (time.process_time(), objective.full, objective.partial)
        return "enough" if len(taken) == repeats else None

    end = CAUTIOUS.minimise(objective, theta, 5 * repeats, watch)
    if len(taken) < repeats:
        raise RuntimeError(f"only {len(taken)} steps were accepted at once ({end.reason})")
    return Cost(*shape, median(taken), median(factorised))


def factorise(jacobian: Tensor) -> float:
    """Seconds of one QR factorisation without Q."""
    start = time.process_time()
    torch.linalg.qr(jacobian, mode="r")
    return time.process_time() - start


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The p of seconds ∝ sizeᵖ by least squares on logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    a, b = sum(x) / len(x), sum(y) / len(y)
    return sum((u - a) * (v - b) for u, v in zip(x, y, strict=True)) / sum((u - a) ** 2 for u in x)


def peak() -> float:
    """Peak of the resident set in megabytes; that of getrusage is inherited from the parent process."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024 / 1e6  # type: ignore[union-attr]


def rise(name: str, allowed: float | None) -> None:
    """Print by how many megabytes two steps of `solve` raise the peak, after a tiny solve has loaded the libraries."""
    torch.set_num_threads(1)
    problem_name, network = NETWORKS[name]
    problem = load_problem(problem_name)
    problem = replace(problem, training=replace(problem.training, steps=2, seconds=600.0, memory=allowed))
    layers = len(network.degree)
    solve(problem, strategy=strategy(problem, [stage((1,) * (layers - 1), (3,) * layers, (1,) * layers)]))
    before = peak()
    solve(problem, strategy=strategy(problem, [network]))
    sys.stdout.write(json.dumps(peak() - before))


def memories() -> Iterator[str]:
    """A row of the table for every network, each measured in a new process."""
    for name, allowed in (*((name, None) for name in NETWORKS), ("[3,10,10,1]", 200.0), ("[3,10,10,1]", 150.0)):
        problem_name, network = NETWORKS[name]
        command = [sys.executable, __file__, "--memory", name, *([] if allowed is None else ["--allowed", str(allowed)])]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        problem = load_problem(problem_name)
        problem = replace(problem, training=replace(problem.training, memory=allowed))
        measured, predicted = float(found), memory(problem, network) / 1e6
        limit = "" if allowed is None else f"{allowed:g}"
        yield f"| {name} | {limit} | {measured:.0f} | {predicted:.0f} | {measured / predicted:.2f} |\n"


def row(name: str, cost: Cost) -> str:
    """One line of the table of times."""
    met = f" | {'yes' if cost.ratio <= ALLOWED else '**no**'}" if name else ""
    first = f"| {name} " if name else ""
    times = f"{1e3 * cost.iteration:.0f} | {1e3 * cost.qr:.0f} | {cost.ratio:.2f}{met}"
    return f"{first}| {cost.rows} | {cost.parameters} | {times} |\n"


SIZES = "| rows | parameters | iteration, ms | QR, ms | ratio |"
RULE = "|---|---|---|---|---|"


def growth(repeats: int) -> str:
    """Two tables: against the number of points, and against the number of parameters."""
    problem_name, network = NETWORKS["[2,10,1]"]
    points, widths = [], []
    for order in POINTS_AN_AXIS:
        points.append(measure(problem_name, network, Sampling(8, order, 0, 0), repeats))
        say(row("", points[-1]))
    for width in WIDTHS:
        wide = replace(network, hidden=stage((width,), network.degree, network.intervals).hidden)
        widths.append(measure(problem_name, wide, Sampling(8, 10, 0, 0), repeats))
        say(row("", widths[-1]))
    by_rows = exponent([c.rows for c in points], [c.iteration for c in points])
    by_size = exponent([c.parameters for c in widths], [c.iteration for c in widths])
    tables = ["".join(row("", cost) for cost in costs) for costs in (points, widths)]
    return (
        f"## Against the number of points\n\nSeconds ∝ rows^{by_rows:.2f}; a QR alone is linear.\n\n"
        f"{SIZES}\n{RULE}\n{tables[0]}\n"
        f"## Against the number of parameters\n\nSeconds ∝ parameters^{by_size:.2f}; a QR alone is quadratic.\n\n"
        f"{SIZES}\n{RULE}\n{tables[1]}\n"
    )


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(repeats: int) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    where, lines = origin(), []
    for name, (problem_name, network) in NETWORKS.items():
        lines.append(row(name, measure(problem_name, network, None, repeats)))
        say(lines[-1])
    used = []
    for line in memories():
        used.append(line)
        say(line)
    grown = growth(repeats)
    TABLE.write_text(
        f"# Cost of an iteration\n\nMedians of {repeats}. At most {ALLOWED:g} factorisations are allowed; as many points as "
        f"training takes by itself.\n\n| network {SIZES} at most {ALLOWED:g} |\n|---{RULE}---|\n{''.join(lines)}\n{grown}"
        "## Memory\n\nHow much two steps of `solve` raise the peak of the resident set of a fresh process, and what "
        "`plan.memory` says; with `--memory` where a number of megabytes is allowed.\n\n"
        "| network | allowed, MB | measured, MB | predicted, MB | measured / predicted |\n|---|---|---|---|---|\n"
        f"{''.join(used)}\nMade by `python tests/benchmarks/cost.py` ({where}).\n",
        "utf-8",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", choices=list(NETWORKS), help=argparse.SUPPRESS)
    parser.add_argument("--allowed", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory:
        rise(asked.memory, asked.allowed)
    else:
        main(asked.repeats)
