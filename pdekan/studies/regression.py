"""Functions that networks learn from values, and how wrong they are where they saw none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.quadrature import Array, sobol
from pdekan.problems.options import NetworkOptions, Nodes
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution

TRAINED_ON, TESTED_ON = 1, 2  # seeds of the points
TESTS = 2**13


@dataclass(frozen=True, eq=False)
class Target:
    """A function of points ``(n, d)`` with values ``(n,)``, on the box lower … upper, to be learned from `count` values.

    noise: the standard deviation of normal errors of the values that are learned from, not of those that are tested on.
    """

    name: str
    formula: Callable[[Array], Array]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    count: int = 1024
    noise: float = 0.0

    def problem(self) -> Problem:
        """The regression, of which the solver holds a fifth of the values back to judge by.

        Up to three dimensions points lie as densely along an axis as the zeros of Chebyshev polynomials: evenly spread ones
        leave corners empty, where what fits the rest errs most. In more dimensions nearly all would be corners.
        """
        d = len(self.lower)
        points = sobol((0.0,) * d, (1.0,) * d, self.count, TRAINED_ON).points
        if d <= TENSOR_DIMENSIONS:
            points = 0.5 * (1.0 - np.cos(math.pi * points))
        a, b = np.array(self.lower), np.array(self.upper)
        points = a + (b - a) * points
        values = self.formula(points)
        if self.noise:
            generator = np.random.default_rng(TRAINED_ON)
            values = values + self.noise * generator.standard_normal(len(values))
        data = Measurements(points, {"u": values}, self.noise or None)
        return Problem(Box(tuple(f"x{k + 1}" for k in range(d)), self.lower, self.upper), data=(data,), name=self.name)

    def test_points(self) -> Array:
        """Points ``(m, d)`` spread evenly over the box, others than those that are learned from."""
        return sobol(self.lower, self.upper, TESTS, TESTED_ON).points

    def error(self, solution: Solution) -> float:
        """The root mean square error on the test points, in the function's units."""
        points = self.test_points()
        return rms(solution(points) - self.formula(points))


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def network(configuration: Mapping[str, Any]) -> NetworkOptions:
    """The network of a training's configuration: kind, hidden, and of a KAN degree and intervals of every layer.

    Where it says products, all hidden nodes multiply.
    """
    if configuration["kind"] == "mlp":
        return NetworkOptions("mlp", configuration["hidden"])
    nodes = [Nodes(product=n) if configuration.get("products") else Nodes(n) for n in configuration["hidden"]]
    return NetworkOptions("kan", nodes, configuration["degree"], configuration["intervals"])


def shape(configuration: Mapping[str, Any], inputs: int) -> str:
    """[2,5,1], with × behind the number of nodes that multiply."""
    mark = "×" if configuration.get("products") else ""
    return f"[{','.join([str(inputs), *(f'{n}{mark}' for n in configuration['hidden']), '1'])}]"
