"""pdekan as it stands: its defaults, or with --mlp a tanh network [2, 64, 1] trained by the same Gauss-Newton method."""

from __future__ import annotations

import sys
from dataclasses import replace

from measure import Clock, Solution, main
from statements import Array, Problem

import pdekan
from pdekan.problems import NetworkOptions
from pdekan.solver import Progress


def evaluated(solution: pdekan.Solution) -> Solution:
    def at(points: Array) -> tuple[Array, Array]:
        return solution(points), solution.gradient(points)

    return at


def solve(problem: Problem, clock: Clock) -> None:
    stated = pdekan.load_problem(problem.name)
    training = replace(stated.training, seconds=clock.budget)
    network = None
    if "--mlp" in sys.argv:
        network = NetworkOptions(kind="mlp", hidden=(64,))
        # it has one stage where a KAN has several: as many steps as the budget allows
        training = replace(training, steps=10**6)
    last = 0.0

    def watch(progress: Progress) -> str | None:
        nonlocal last
        last = clock.seconds()
        if clock.due():
            solution = progress.snapshot()
            clock.observe(evaluated(solution), solution.parameters)
        return "the benchmark's time is used up" if clock.expired() else None

    solution = pdekan.solve(stated, network=network, training=training, watch=watch)
    # what solve does after its last step is to measure the error, which is no part of training
    clock.observe(evaluated(solution), solution.parameters, last)


if __name__ == "__main__":
    main(solve, "pdekan", "torch")
