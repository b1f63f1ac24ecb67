"""What every peer's script shares: one clock, one measure of the error, one way to report. numpy only.

A script runs `main(solve)`: it reads the problem's name and the budget, and `solve(problem, clock)` calls `clock.observe`
along training. Every observation is a JSON line on stdout; whatever else a package prints goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version

import numpy as np
from statements import PROBLEMS, Array, Problem

CELLS, ORDER = 40, 5  # of the composite Gauss rule, an axis: 40 000 points that no peer trains on
FIRST, FACTOR = 0.5, 1.2  # seconds of the first observation, and from each to the next

# values (n,) and gradients (n, 2) at points (n, 2)
Solution = Callable[[Array], tuple[Array, Array]]


def gauss(lower: float, upper: float) -> tuple[Array, Array]:
    """Composite Gauss-Legendre nodes and weights on an interval."""
    nodes, weights = np.polynomial.legendre.leggauss(ORDER)
    width = (upper - lower) / CELLS
    starts = lower + width * np.arange(CELLS)
    return (starts[:, None] + width * (nodes + 1) / 2).ravel(), np.tile(weights * width / 2, CELLS)


def errors(problem: Problem, solution: Solution) -> dict[str, float]:
    """‖e‖/‖u‖ and ‖∇e‖/‖∇u‖ in L2 over the box, e = solution - u."""
    (x, wx), (y, wy) = (gauss(a, b) for a, b in zip(problem.lower, problem.upper, strict=True))
    points = np.stack([axis.ravel() for axis in np.meshgrid(x, y, indexing="ij")], axis=1)
    weights = np.outer(wx, wy).ravel()
    value, gradient = solution(points)
    exact = problem.u(points[:, 0], points[:, 1])
    slope = np.stack(problem.grad_u(points[:, 0], points[:, 1]), axis=1)
    assert value.shape == exact.shape
    assert gradient.shape == slope.shape
    return {
        "l2_relative": float(np.sqrt(weights @ (value - exact) ** 2 / (weights @ exact**2))),
        "h1_seminorm_relative": float(np.sqrt(weights @ ((gradient - slope) ** 2).sum(1) / (weights @ (slope**2).sum(1)))),
    }


class Clock:
    """Seconds since training began, without those that measuring errors took, held against a budget."""

    def __init__(self, problem: Problem, budget: float) -> None:
        self.problem, self.budget = problem, budget
        self.out = sys.stdout
        self.start()

    def start(self) -> None:
        """Set back to zero."""
        self.started, self.aside, self.next = time.perf_counter(), 0.0, FIRST

    def seconds(self) -> float:
        return time.perf_counter() - self.started - self.aside

    def expired(self, part: float = 1.0) -> bool:
        """Whether the budget, or a part of it, is used up."""
        return self.seconds() >= part * self.budget

    def due(self) -> bool:
        """Whether it is time for the next observation; the last one is made when the budget is used up."""
        return self.next <= self.seconds() < self.budget

    def observe(self, solution: Solution, unknowns: int, seconds: float | None = None) -> None:
        """Measure the errors and report them; the time that takes is not counted."""
        begun = time.perf_counter()
        seconds = self.seconds() if seconds is None else seconds
        row = {"seconds": seconds, **errors(self.problem, solution), "unknowns": int(unknowns)}
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()
        while self.next <= seconds:
            self.next *= FACTOR
        self.aside += time.perf_counter() - begun


def one_core() -> None:
    """Keep this process on one core, where the system can: not every package can be told to use one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main(solve: Callable[[Problem, Clock], None], *packages: str) -> None:
    """Run a peer on the problem that the command line names, and report the versions of its packages first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments, _ = parser.parse_known_args()
    one_core()
    sys.stdout.write(json.dumps({"versions": {name: version(name) for name in packages}}) + "\n")
    problem = PROBLEMS[arguments.problem]
    clock = Clock(problem, arguments.seconds)
    with redirect_stdout(sys.stderr):
        clock.start()
        solve(problem, clock)
