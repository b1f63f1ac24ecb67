"""Train a KAN of 103 000 parameters on the KAN paper's Poisson problem without its Jacobian. Writes matrix_free.md.

    python tests/benchmarks/matrix_free.py [CPU SECONDS for each method]

One thread. CPU times, so that a busy machine changes them less. Each method runs in a process of its own, in which the peak of
memory (resident set, including torch) is measured; the baseline is the same before training.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from origin import origin

from pdekan.errors import norms
from pdekan.networks.kan import KAN
from pdekan.optimizers.base import Step
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import load_problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

TABLE = Path(__file__).with_suffix(".md")
PROBLEM = "poisson_kan_paper"
HIDDEN, DEGREE, INTERVALS = (100, 100), 5, 5
SAMPLING = Sampling(cells=6, order=6, count=0, seed=0)
METHODS = {"matrix-free": MatrixFree, "lbfgs": LBFGS}
HEADER = """| method | CPU seconds | steps | loss | relative L2 error | peak memory, MB |
|---|---|---|---|---|---|
"""


def peak() -> int:
    """Peak of the resident set in megabytes (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def train(method: str, budget: float) -> None:
    """Print a line of JSON: sizes, and for the start and every step seen the time, loss, error and peak of memory."""
    torch.set_num_threads(1)
    assert PROBLEM in library()
    problem = load_problem(PROBLEM)
    domain = problem.domain
    network = KAN((domain.dimension, *HIDDEN, 1), DEGREE, INTERVALS, "none", domain.lower, domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    objective = Objective(problem, network, terms(problem, SAMPLING))
    theta = network.flat_parameters
    rule = domain.interior(7, 5, 0, 1)
    rows: list[tuple[float, int, float, float, int]] = []
    aside = time.process_time()  # measuring errors is no part of the training

    def watch(step: Step) -> str | None:
        nonlocal aside
        spent, memory = time.process_time() - aside, peak()
        error = norms.measure_on_rule(problem, objective.load(step.theta), rule)["u"].l2_relative
        rows.append((spent, step.taken, step.loss, error, memory))
        aside = time.process_time() - spent
        return "budget" if spent >= budget else None

    watch(Step(theta, objective.loss_and_gradient(theta)[0]))
    baseline, aside = peak(), time.process_time()
    METHODS[method]().minimise(objective, theta, 10**6, watch)
    size = len(objective.products(theta).residual)
    sys.stdout.write(json.dumps({"parameters": len(theta), "rows": size, "baseline": baseline, "steps": rows}))


def main(budget: float) -> None:
    """Run every method, and write the table."""
    lines, jacobian, words = [], 0.0, ""
    for method in METHODS:
        command = [sys.executable, __file__, method, str(budget)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        seen = found["steps"]
        for spent, taken, loss, error, memory in [*seen[:: max(1, len(seen) // 6)], seen[-1]]:
            line = f"| {method} | {spent:.0f} | {taken} | {loss:.1e} | {error:.1e} | {memory} |\n"
            lines += [line] if line not in lines else []
        jacobian = 8e-6 * found["parameters"] * found["rows"]
        words = (
            f"KAN {list(HIDDEN)} of degree {DEGREE} with {INTERVALS} intervals: {found['parameters']} parameters, "
            f"{found['rows']} residual rows, problem {PROBLEM}. The Jacobian alone would take {jacobian:.0f} MB, and dense "
            f"Gauss-Newton about seven arrays of its size; before training the process holds {found['baseline']} MB.\n\n"
        )
    made = f"\nMade by `python tests/benchmarks/matrix_free.py {budget:g}` ({origin()}).\n"
    TABLE.write_text(f"# Gauss-Newton without the Jacobian\n\n{words}{HEADER}{''.join(lines)}{made}", "utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        train(sys.argv[1], float(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) == 2 else 120.0)
