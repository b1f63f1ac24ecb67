"""Accuracies of pdekan against targets with limits of parameters and seconds. Writes accuracy.md.

    python tests/benchmarks/accuracy.py [--cases NAME …] [--seeds 0 1 2 3 4]

One thread. Seconds are of training, without the measuring of errors, on an idle machine. A target is met when the medians over
the seeds are within its error, its parameters and its seconds; five per cent more seconds are allowed, since the clock is read
once a step.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from ladders import Rung, strategy
from origin import origin
from targets import LAYER, target

from pdekan.solutions.solution import Solution
from pdekan.training.solver import solve

TABLE = Path(__file__).with_suffix(".md")
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SHOWN = (1, 2, 3, 5, 6, 7, 8)  # columns of the table that the site shows
SEPARABLE = """\
Medians (least … greatest) over the seeds. sin πx sin πy and sin πx sin πy² are separable: a product node with a line behind it
is exact up to the splines of x and of y, so those rows say nothing about other problems. The four in many dimensions a KAN
with one hidden layer represents exactly, up to splines of one variable: with one node (cosines, quadratic), two (product of
sines of sums) and six (harmonic). `gaussian_and_layer` is exp(-10((x - 0.2)² + (y + 0.1)²)) cos 3xy + tanh 4(x - y).
[accuracy.md](../tests/benchmarks/accuracy.md) has H1 errors, and the commit that each row was measured at."""
NEVER = 1e-30  # a tolerance that no residual meets: training goes on to the end of its budget or ladder
OVERRUN = 1.05  # the clock is read once a step, so that a budget is overrun by part of a step


@dataclass(frozen=True)
class Case:
    """A problem, its ladder of networks (empty for the default schedule), and its target.

    must, aim: relative L2 errors, required and desired. parameters: the largest number, or None.
    """

    name: str
    problem: str
    network: str
    rungs: tuple[Rung, ...]
    seconds: float
    must: float
    aim: float | None = None
    parameters: int | None = None
    starts: int = 1
    tolerance: float = NEVER

    def target(self) -> str:
        """The target in words."""
        aim = f", aim {self.aim:.0e}" if self.aim else ""
        most = f", ≤ {self.parameters} parameters" if self.parameters else ""
        return f"≤ {self.must:.0e}{aim} in {self.seconds:g} s{most}"


PRODUCT = (Rung(0, (6, 2), (1, 1), 1), Rung(0, (9, 8), (1, 1), 1), Rung(0, (9, 24), (1, 1), 1))
SUMS = "[2,10,1], sums"
CASES = (
    Case(
        "paper-10s",
        "poisson_kan_paper",
        SUMS,
        (Rung(10, (3, 1), (9, 8)), Rung(10, (6, 1), (9, 16)), Rung(10, (9, 1), (9, 16))),
        seconds=10.0,
        must=2e-7,
        parameters=600,
    ),
    Case(
        "paper-30s",
        "poisson_kan_paper",
        SUMS,
        (Rung(10, (3, 1), (9, 8)), Rung(10, (6, 1), (9, 16)), Rung(10, (9, 1), (9, 32))),
        seconds=30.0,
        must=1e-8,
        aim=1e-10,
    ),
    Case(
        "sine-2",
        "poisson_sine",
        "[2,2,1], sums",
        (Rung(2, (3, 1), (9, 8)), Rung(2, (6, 1), (9, 24)), Rung(2, (6, 1), (9, 50))),
        seconds=5.0,
        must=1e-9,
        aim=1e-11,
        parameters=150,
        starts=4,
    ),
    Case("sine-product", "poisson_sine", "[2,1,1], product", PRODUCT, seconds=2.0, must=1e-9, parameters=100),
    Case("paper-product", "poisson_kan_paper", "[2,1,1], product", PRODUCT, seconds=2.0, must=1e-9, parameters=100),
    Case("layer", LAYER, "defaults", (), seconds=60.0, must=1e-5, aim=1e-7, tolerance=1e-9),
    Case("helmholtz", "helmholtz", "defaults", (), seconds=60.0, must=1e-5, aim=1e-7, tolerance=1e-9),
    Case("cosines-5d", "poisson_5d", "defaults", (), seconds=120.0, must=1e-9, tolerance=1e-9),
    Case("harmonic-10d", "harmonic_10d", "defaults", (), seconds=120.0, must=1e-8, tolerance=1e-8),
    Case("quadratic-100d", "quadratic_100d", "defaults", (), seconds=120.0, must=1e-8, tolerance=1e-8),
    Case("product-6d", "product_6d", "defaults", (), seconds=120.0, must=1e-4, tolerance=1e-5),
)


@dataclass(frozen=True)
class Run:
    """The result of one seed."""

    l2: float
    h1: float
    parameters: int
    seconds: float


def train(case: Case, seed: int) -> Run:
    """Solve the case's problem from one seed."""
    problem = target(case.problem)
    training = replace(problem.training, seed=seed, seconds=case.seconds, starts=case.starts, tolerance=case.tolerance)
    problem = replace(problem, training=training)
    return _run(solve(problem, strategy=strategy(problem, case.rungs) if case.rungs else None))


def _run(solution: Solution) -> Run:
    assert solution.errors is not None
    errors = solution.errors["u"]
    return Run(errors.l2_relative, errors.h1_seminorm_relative, solution.parameters, solution.seconds)


def verdict(case: Case, runs: Sequence[Run]) -> str:
    """Whether the medians meet the target."""
    error, seconds = median(run.l2 for run in runs), median(run.seconds for run in runs)
    reasons = []
    if error > case.must:
        reasons.append("error")
    if seconds > OVERRUN * case.seconds:
        reasons.append("seconds")
    if case.parameters is not None and max(run.parameters for run in runs) > case.parameters:
        reasons.append("parameters")
    if reasons:
        return f"**no**: {', '.join(reasons)}"
    if case.aim is None:
        return "yes"
    return "yes, the aim too" if error <= case.aim else "yes, not the aim"


def spread(values: Sequence[float]) -> str:
    """Median (least … greatest)."""
    return f"{median(values):.1e} ({min(values):.1e} … {max(values):.1e})"


def row(case: Case, runs: Sequence[Run], commit: str) -> str:
    """One line of the table."""
    numbers = [spread([run.l2 for run in runs]), spread([run.h1 for run in runs])]
    numbers += [f"{median(run.parameters for run in runs):g}", f"{median(run.seconds for run in runs):.1f}"]
    cells = [case.name, case.problem, case.network, *numbers, case.target(), verdict(case, runs), commit]
    return f"| {' | '.join(cells)} |\n"


HEADER = """| case | problem | network | relative L2 | relative H1 seminorm | parameters | seconds | target | met | commit |
|---|---|---|---|---|---|---|---|---|---|
"""
NOTES = """\
Medians, least and greatest over the seeds. `poisson_kan_paper` is the problem of figure 3.3 of arXiv:2404.19756, with
u = sin πx sin πy²; `poisson_sine` has u = sin πx sin πy. Both are separable, so that a single product node with a linear
function behind it can be exact up to the splines of x and of y: rows with a product say what that is worth where it
fits, and nothing about other problems. sin πx sin πy = (cos π(x - y) - cos π(x + y)) / 2 is also a sum of two plane waves,
which [2,2,1] can find. `gaussian_and_layer`, u = exp(-10((x - 0.2)² + (y + 0.1)²)) cos 3xy + tanh 4(x - y), is neither a
product nor a sum of functions of one variable; it and helmholtz (sin πx sin 4πy) are solved with the defaults and a small
tolerance, and so are the problems in many dimensions, all of which a KAN with one hidden layer represents exactly but for the
splines of one variable: the sum of cosines with one hidden node, Σ x_{2i-1} x_{2i} with six of degree 2, ‖x‖² with one, the
product of two sines of sums as the difference of two cosines with two. Five per cent more seconds than allowed are let pass.
"""


def report(cases: Sequence[Case], rows: Sequence[str], seeds: Sequence[int], where: str) -> str:
    """The page: table, notes, ladders, and origin."""
    ladders = "".join(
        f"- {case.name}: "
        + " → ".join(f"{rung.inner[0]}/{rung.inner[1]}, {rung.outer[0]}/{rung.outer[1]}" for rung in case.rungs)
        + (f"; the best of {case.starts} starts goes on" if case.starts > 1 else "")
        + "\n"
        for case in cases
        if case.rungs
    )
    made = f"Made by `python tests/benchmarks/accuracy.py`, seeds {', '.join(map(str, seeds))} ({where})."
    words = f"Ladders, degree/intervals of the inner and of the outer splines:\n\n{ladders}"
    return f"# Accuracy\n\n{HEADER}{''.join(rows)}\n{NOTES}\n{words}\n{made}\n"


def kept(renewed: Sequence[str]) -> dict[str, str]:
    """The existing rows of cases that are not run."""
    lines = TABLE.read_text("utf-8").splitlines(keepends=True) if TABLE.exists() else []
    old = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    return {case.name: old[case.name] for case in CASES if case.name in old and case.name not in renewed}


def publish() -> None:
    """Write the table into docs/benchmarks.md, without some of its columns."""
    page = TABLE.read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page if line.startswith("| ")]
    short = ["| " + " | ".join(row[k] for k in SHOWN) + " |" for row in rows]
    short.insert(1, "|" + "---|" * len(SHOWN))
    made = next(line for line in page if line.startswith("Made by"))
    block = "\n".join(["<!-- accuracy -->", *short, "", SEPARABLE, "", made, "<!-- end accuracy -->"])
    text = PAGE.read_text("utf-8")
    PAGE.write_text(re.sub(r"<!-- accuracy -->.*<!-- end accuracy -->", lambda _: block, text, flags=re.S), "utf-8")


def main() -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--report", action="store_true", help="only put the table that is there into the site's page again")
    asked = parser.parse_args()
    if asked.report:
        publish()
        return
    torch.set_num_threads(1)
    where = origin()
    commit = where.rsplit(" ", 1)[1]
    rows = kept(asked.cases)
    for case in (case for case in CASES if case.name in asked.cases):
        runs = []
        for seed in asked.seeds:
            runs.append(train(case, seed))
            sys.stdout.write(f"{case.name} seed {seed}: L2 {runs[-1].l2:.1e}, {runs[-1].seconds:.1f} s\n")
            sys.stdout.flush()
        rows[case.name] = row(case, runs, commit)
        sys.stdout.write(rows[case.name])
    cases = [case for case in CASES if case.name in rows]
    TABLE.write_text(report(cases, [rows[case.name] for case in cases], asked.seeds, where), "utf-8")
    publish()


if __name__ == "__main__":
    main()
