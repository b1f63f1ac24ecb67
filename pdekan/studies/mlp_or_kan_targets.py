"""What a KAN and an MLP are compared on: chosen before any of it was trained, and nothing left out afterwards."""

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
from pdekan.studies.regression import Target

POINTS, MANY_POINTS = 2048, 4096  # values to learn from, in two dimensions and in more
NODES = 100  # of the random network
# KANs of so many inputs: degree and intervals of the inner splines, of the outer ones.
SPLINES: Mapping[int, tuple[tuple[int, int], tuple[int, int]]] = {
    2: ((7, 4), (7, 8)),
    5: ((5, 1), (7, 4)),
    10: ((4, 1), (5, 3)),
}


@dataclass(frozen=True, eq=False)
class Goal:
    """Something to be learned. about: what it stands for; equation: a problem of the library, whose solution the target is."""

    about: str
    target: Target
    equation: str = ""

    @property
    def inputs(self) -> int:
        """How many variables it has."""
        return len(self.target.lower)

    def problem(self) -> Problem:
        """The equation, or the regression."""
        return load_problem(self.equation) if self.equation else self.target.problem()


def _values(about: str, name: str, formula: Callable[[Array], Array], d: int, lower: float = -1.0, noise: float = 0.0) -> Goal:
    count = POINTS if d == 2 else MANY_POINTS
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
    """The KAN paper's toy function."""
    values: Array = np.exp(np.sin(math.pi * x[:, 0]) + x[:, 1] ** 2)
    return values


def _friedman(x: Array) -> Array:
    """Friedman's first test function: Ann. Statist. 19 (1991) 1-67, section 4.3."""
    pair: Array = 10.0 * np.sin(math.pi * x[:, 0] * x[:, 1])
    return pair + 20.0 * (x[:, 2] - 0.5) ** 2 + 10.0 * x[:, 3] + 5.0 * x[:, 4]


def _random_network(x: Array) -> Array:
    """Σ c tanh(w · x + b) with normal w, b and c."""
    generator = np.random.default_rng(0)
    weights, biases, outer = generator.standard_normal((x.shape[1], NODES)), *generator.standard_normal((2, NODES))
    values: Array = np.tanh(x @ weights + biases) @ outer / math.sqrt(NODES)
    return values


@cache
def goals() -> Mapping[str, Goal]:
    """All of them by name."""
    found = (
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
    return {goal.target.name: goal for goal in found}
