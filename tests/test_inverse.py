"""Inverse problems: what is found is the minimum of least squares, whether the noise of the data is given or not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

import pdekan as pk

TRUTH, COUNT = 0.3, 200


def temperature(diffusivity: float, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The solution of u_t = D u_xx that begins as sin πx."""
    return np.exp(-diffusivity * math.pi**2 * t) * np.sin(math.pi * x)


def measured(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    points = random.uniform(size=(COUNT, 2))
    return points, temperature(TRUTH, *points.T) + noise * random.standard_normal(COUNT)


def rod(points: np.ndarray, values: np.ndarray, noise: float | None) -> pk.Problem:
    return pk.Problem(
        domain=pk.box(x=(0, 1), t=(0, 1)),
        equation=lambda u, D: pk.dt(u) - D * pk.dx(pk.dx(u)),
        source=0.0,
        conditions=[pk.dirichlet(0.0, on=("x-", "x+")), pk.initial(lambda x: pk.sin(pk.pi * x))],
        parameters={"D": pk.Parameter(1.0, 0.0)},
        data=[pk.Measurements(points, {"u": values}, noise)],
        training=pk.TrainingOptions(seconds=60),
    )


@pytest.mark.parametrize(
    ("noise", "given"),
    [(0.01, True), (0.01, False), *(pytest.param(noise, False, marks=pytest.mark.nightly) for noise in (1e-3, 0.1))],
)
def test_the_minimum_of_least_squares_is_found_within_few_steps(noise: float, given: bool) -> None:
    """By SciPy for the exact family of solutions; nothing is left to do after a second of the minute allowed."""
    points, values = measured(noise)
    minimum = least_squares(lambda d: temperature(d[0], *points.T) - values, [TRUTH], xtol=1e-14, ftol=1e-14).x[0]
    solution = pk.solve(rod(points, values, noise if given else None), estimate=False)
    found = solution.found["D"]
    assert found.standard_error is not None
    assert found.standard_error == pytest.approx(0.113 * noise, rel=0.1)  # of the linear model in D at the truth
    assert abs(found.value - minimum) < 0.01 * found.standard_error
    assert solution.iterations < 30


def test_data_that_show_no_noise_are_fitted_to_the_end() -> None:
    points, values = measured(0.0)
    solution = pk.solve(rod(points, values, None))
    assert solution.found["D"].value == pytest.approx(TRUTH, abs=1e-8)
    assert solution.data_residual is not None
    assert solution.data_residual < 1e-8
