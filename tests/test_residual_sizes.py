"""Relative residuals: independent of the units of unknowns, also of nonlinear equations, and of factors of the equation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_bvp

import pdekan as pk
from pdekan import Problem, dirichlet, dx, laplacian
from pdekan.networks.base import ModuleNetwork
from pdekan.residuals.validation import Validation
from pdekan.training.points import training_points, validation_points
from pdekan.training.schedule import stages

LINE, SQUARE = pk.box(x=(0, 2)), pk.box(x=(0, 1), y=(0, 1))


class Wave(torch.nn.Module):
    """height (2 + sin(x + …)): a function that solves nothing."""

    def __init__(self, *heights: float) -> None:
        super().__init__()
        self.heights = torch.nn.Parameter(torch.tensor(heights, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        phase = x.sum(1, keepdim=True) + torch.arange(len(self.heights), dtype=torch.float64)
        return self.heights * (2.0 + torch.sin(phase))


def relative(problem: Problem, *heights: float) -> float:
    network = ModuleNetwork(Wave(*heights), problem.domain.dimension, len(heights))
    points = validation_points(training_points(problem, stages(problem)[0], 0))
    return Validation.of(problem, points, torch.device("cpu")).residuals(network).relative


def decay(rate: float) -> Problem:
    return Problem(LINE, lambda u: dx(u) + rate * u * u, 0.0, (dirichlet(2.0 / rate, "x-"),))


@pytest.mark.parametrize("height", [1e-5, 1e4])
def test_a_nonlinear_equation_in_other_units(height: float) -> None:
    """v' + v² = 0 with u = h v is u' + u²/h = 0."""
    assert relative(decay(1.0 / height), height) == pytest.approx(relative(decay(1.0), 1.0), rel=1e-9)


def test_a_system_in_other_units() -> None:
    def prey(scale: float) -> Problem:
        return Problem(
            LINE, (lambda r, p: dx(r) - r + r * p / scale, lambda r, p: dx(p) - r * p / scale + p), 0.0,
            (dirichlet(3.0 * scale, "x-", "r"), dirichlet(2.5 * scale, "x-", "p")), unknowns=("r", "p"),
        )  # fmt: skip

    assert relative(prey(100.0), 100.0, 80.0) == pytest.approx(relative(prey(1.0), 1.0, 0.8), rel=1e-9)


FACTORS = {
    "a step of a hundred": lambda x: 1.01 + pk.tanh(30 * (x - 0.4)),
    "an exponential": lambda x: pk.exp(-4 * x),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_of_the_equation_changes_nothing(name: str) -> None:
    factor = FACTORS[name]
    plain = Problem(SQUARE, lambda u, x: laplacian(u) - 30 * u, 0.0, (dirichlet(3.0),))
    scaled = replace(plain, equation=lambda u, x: factor(x) * (laplacian(u) - 30 * u))
    assert relative(scaled, 1.0) == pytest.approx(relative(plain, 1.0), rel=1e-9)


def test_a_residual_where_coefficients_are_small_counts_as_much() -> None:
    """ε on the right and 1 on the left: in ε u'' - ε u = 0 a residual of ε is as large as one of 1 on the left."""
    eps = 1e-2
    problem = Problem(
        LINE, lambda u, x: pk.where(x.value < 1.0, 1.0 + 0.0 * x, eps + 0.0 * x) * (laplacian(u) - u), 0.0, (dirichlet(3.0),)
    )
    plain = replace(problem, equation=lambda u, x: laplacian(u) - u)
    assert relative(problem, 1.0) == pytest.approx(relative(plain, 1.0), rel=1e-9)


@pytest.mark.parametrize("height", [1e-6, 300.0])
def test_training_does_not_depend_on_units(height: float) -> None:
    """-Δu + u³/h² = 3 h with u = 2 h on the boundary: step by step the same function times h."""

    def solved(h: float) -> pk.Solution:
        problem = Problem(SQUARE, lambda u: -laplacian(u) + u**3 / h**2, 3.0 * h, (dirichlet(2.0 * h),))
        return pk.solve(problem, training=pk.TrainingOptions(steps=4), estimate=False)

    plain, scaled = solved(1.0), solved(height)
    points = [[0.2, 0.3], [0.5, 0.5], [0.9, 0.6]]
    np.testing.assert_allclose(scaled(points) / height, plain(points), rtol=1e-7)
    np.testing.assert_allclose(scaled.history["residual"], plain.history["residual"], rtol=1e-3)


@pytest.mark.parametrize("heights", [(1.0, 1e-4), (1e5, 1.0)])
def test_systems_of_unknowns_in_units_of_their_own_are_solved(heights: tuple[float, float]) -> None:
    a, b = heights

    def fast(u: pk.Jet, v: pk.Jet) -> pk.Jet:
        return -laplacian(u) + 3.0 * u * v / b

    def slow(u: pk.Jet, v: pk.Jet) -> pk.Jet:
        return -laplacian(v) + b * (u / a) ** 2 - v

    values = (dirichlet(lambda x: a * (1.0 + x), unknown="u"), dirichlet(lambda x: b * (2.0 - x), unknown="v"))
    problem = Problem(pk.box(x=(0, 1)), [fast, slow], 0.0, values, unknowns=("u", "v"))
    found = pk.solve(problem, training=pk.TrainingOptions(tolerance=1e-6), estimate=False)
    exact = solve_bvp(
        lambda x, y: [y[1], 3.0 * y[0] * y[2], y[3], y[0] ** 2 - y[2]],
        lambda left, right: [left[0] - 1.0, right[0] - 2.0, left[2] - 2.0, right[2] - 1.0],
        np.linspace(0, 1, 20), np.ones((4, 20)), tol=1e-9,
    )  # fmt: skip
    points = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(found(points[:, None]) / heights, exact.sol(points)[[0, 2]].T, rtol=1e-5)
