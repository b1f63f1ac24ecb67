"""Regression of functions: training data, test points and errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.quadrature import Array, sobol
from pdekan.networks.base import Network
from pdekan.problems.options import NetworkOptions, Nodes
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution

TRAINING_SEED, TEST_SEED = 1, 2  # of the points
TEST_POINTS = 2**13


@dataclass(frozen=True, eq=False)
class Target:
    """A function of points ``(n, d)`` with values ``(n,)`` on the box lower … upper, and the number of training values.

    noise: the standard deviation of normal errors in the training values; test values have none.
    """

    name: str
    formula: Callable[[Array], Array]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    count: int = 1024
    noise: float = 0.0

    @classmethod
    def of_coordinates(cls, name: str, lower: Sequence[float], upper: Sequence[float], formula: Callable[..., Array]) -> Target:
        """A target by a formula of d coordinates ``(n,)``."""
        return cls(name, lambda points: formula(*points.T), tuple(lower), tuple(upper))

    def problem(self) -> Problem:
        """The regression problem; the solver uses a fifth of the values for validation.

        Up to three dimensions points have the density of Chebyshev nodes along each axis: uniform points leave out the corners,
        where the error is then largest. In more dimensions nearly all points would be in corners.
        """
        d = len(self.lower)
        points = sobol((0.0,) * d, (1.0,) * d, self.count, TRAINING_SEED).points
        if d <= TENSOR_DIMENSIONS:
            points = 0.5 * (1.0 - np.cos(math.pi * points))
        a, b = np.array(self.lower), np.array(self.upper)
        points = a + (b - a) * points
        values = self.formula(points)
        if self.noise:
            generator = np.random.default_rng(TRAINING_SEED)
            values = values + self.noise * generator.standard_normal(len(values))
        data = Measurements(points, {"u": values}, self.noise or None)
        return Problem(Box(tuple(f"x{k + 1}" for k in range(d)), self.lower, self.upper), data=(data,), name=self.name)

    def test_points(self) -> Array:
        """Points ``(m, d)`` distributed uniformly in the box, other than the training points."""
        return sobol(self.lower, self.upper, TEST_POINTS, TEST_SEED).points

    def error(self, solution: Solution) -> float:
        """The root mean square error on the test points, in the function's units."""
        points = self.test_points()
        return rms(solution(points) - self.formula(points))


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def kan_paper_example(x: Array, y: Array) -> Array:
    """exp(sin πx + y²), the first example of arXiv:2404.19756."""
    values: Array = np.exp(np.sin(np.pi * x) + y**2)
    return values


@torch.no_grad()
def network_values(network: Network, points: Array) -> Array:
    """The first output ``(n,)`` of a network at points ``(n, d)``."""
    values: Array = network(torch.as_tensor(points))[:, 0].numpy()
    return values


def network(configuration: Mapping[str, Any]) -> NetworkOptions:
    """The network of a configuration: kind, hidden, for a KAN degree and intervals of every layer; products: product nodes."""
    if configuration["kind"] == "mlp":
        return NetworkOptions("mlp", configuration["hidden"])
    nodes = [Nodes(product=n) if configuration.get("products") else Nodes(n) for n in configuration["hidden"]]
    return NetworkOptions("kan", nodes, configuration["degree"], configuration["intervals"])


def shape(configuration: Mapping[str, Any], inputs: int) -> str:
    """The widths as [2,5,1], with × after the number of product nodes."""
    mark = "×" if configuration.get("products") else ""
    return f"[{','.join([str(inputs), *(f'{n}{mark}' for n in configuration['hidden']), '1'])}]"
