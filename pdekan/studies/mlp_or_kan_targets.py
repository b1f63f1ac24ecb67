"""The functions on which KANs and MLPs are compared, all chosen before the first training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.fields.jets import Derivatives
from pdekan.problem_files.loader import load_problem
from pdekan.problems.problem import Problem
from pdekan.studies.regression import Target, kan_paper_example

TRAINING_VALUES, TRAINING_VALUES_ABOVE_2D = 2048, 4096
RANDOM_NODES = 100  # of the random network
# by the number of inputs, degree and intervals of a KAN's inner and outer splines
SPLINES: Mapping[int, tuple[tuple[int, int], tuple[int, int]]] = {
    2: ((7, 4), (7, 8)),
    5: ((5, 1), (7, 4)),
    10: ((4, 1), (5, 3)),
}


@dataclass(frozen=True, eq=False)
class Goal:
    """A function to be learned. about: its property; equation: the library's problem that has it as solution, or ""."""

    about: str
    target: Target
    equation: str = ""

    @property
    def inputs(self) -> int:
        """The number of variables."""
        return len(self.target.lower)

    def problem(self) -> Problem:
        """The library's problem, or the regression."""
        return load_problem(self.equation) if self.equation else self.target.problem()


def _values(about: str, name: str, formula: Callable[[Array], Array], d: int, lower: float = -1.0, noise: float = 0.0) -> Goal:
    count = TRAINING_VALUES if d == 2 else TRAINING_VALUES_ABOVE_2D
    return Goal(about, Target(name, formula, (lower,) * d, (1.0,) * d, count, noise))


def _equation(about: str, name: str) -> Goal:
    problem = load_problem(name)
    box = problem.domain
    assert isinstance(box, Box)

    def solution(points: Array) -> Array:
        values: Array = problem.exact_jet(torch.as_tensor(points), Derivatives.VALUE).value.numpy()
        return values

    return Goal(about, Target(name, solution, box.lower, box.upper), name)


def _smooth(x: Array) -> Array:
    return kan_paper_example(x[:, 0], x[:, 1])


def _friedman(x: Array) -> Array:
    """Friedman's first test function: Ann. Statist. 19 (1991) 1-67, section 4.3."""
    pair: Array = 10.0 * np.sin(math.pi * x[:, 0] * x[:, 1])
    return pair + 20.0 * (x[:, 2] - 0.5) ** 2 + 10.0 * x[:, 3] + 5.0 * x[:, 4]


def _random_network(x: Array) -> Array:
    """Σ c tanh(w · x + b) with normal w, b and c."""
    generator = np.random.default_rng(0)
    weights, biases, outer = (
        generator.standard_normal((x.shape[1], RANDOM_NODES)),
        *generator.standard_normal((2, RANDOM_NODES)),
    )
    values: Array = np.tanh(x @ weights + biases) @ outer / math.sqrt(RANDOM_NODES)
    return values


@cache
def goals() -> Mapping[str, Goal]:
    """All functions by name."""
    every = (
        _values("smooth, two variables", "smooth", _smooth, 2),
        _equation("Poisson equation of the KAN paper", "poisson_kan_paper"),
        _equation("nonlinear equation", "nonlinear_cubic"),
        _equation("equation with layers", "outflow_layers"),
        _values("five variables, two of them coupled", "friedman", _friedman, 5, lower=0.0),
        _values("ten variables, additive", "additive", lambda x: np.sin(math.pi * x) @ (1.0 / np.arange(1.0, 11.0)), 10),
        _values("kink along a circle", "kink", lambda x: np.abs((x**2).sum(1) - 0.5), 2),
        _values("oscillating", "oscillating", lambda x: np.sin(4.0 * math.pi * x[:, 0]) * np.sin(3.0 * math.pi * x[:, 1]), 2),
        _values("the smooth one from noisy values", "noisy", _smooth, 2, noise=0.1),
        _values("a random MLP, five variables", "random_network", _random_network, 5),
    )
    return {goal.target.name: goal for goal in every}
