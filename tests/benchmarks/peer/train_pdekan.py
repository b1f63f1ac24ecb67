"""pdekan as it stands: its defaults, or with --mlp a tanh network [2, 64, 1] trained by the same Gauss-Newton method.

What is observed is the network that does best on unseen points so far, which is what a user would get.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from measure import Clock, Solution, main
from statements import Array, Problem

import pdekan
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.training.progress import Progress

STARTS = 100  # of the tanh network: more than the budget allows


def evaluated(solution: pdekan.Solution) -> Solution:
    def at(points: Array) -> tuple[Array, Array]:
        return solution(points), solution.gradient(points)

    return at


def options(problem: Problem, clock: Clock) -> tuple[NetworkOptions | None, TrainingOptions]:
    """The file's own, but for the budget; or those of the tanh network, which starts anew where it stalls."""
    training = replace(pdekan.load_problem(problem.name).training, seconds=clock.budget)
    if "--mlp" not in sys.argv:
        return None, training
    return NetworkOptions(kind="mlp", hidden=(64,)), replace(training, starts=STARTS)


def solve(problem: Problem, clock: Clock) -> None:
    network, training = options(problem, clock)
    best: tuple[float, pdekan.Solution | None] = (math.inf, None)
    last = 0.0

    def watch(progress: Progress) -> str | None:
        nonlocal best, last
        if progress.relative_residual < best[0]:
            best = (progress.relative_residual, progress.snapshot())
        last = clock.seconds()
        if clock.due() and best[1] is not None:
            clock.observe(evaluated(best[1]), best[1].parameters)
        return "the benchmark's time is used up" if clock.expired() else None

    solution = pdekan.solve(pdekan.load_problem(problem.name), network=network, training=training, watch=watch)
    # what solve does after its last step is to measure the error, which is no part of training
    clock.observe(evaluated(solution), solution.parameters, last)


if __name__ == "__main__":
    main(solve, "pdekan", "torch")
