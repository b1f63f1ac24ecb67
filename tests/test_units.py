"""What is said of a solution does not depend on the units of the unknown, of the equation or of the coordinates."""

from __future__ import annotations

from dataclasses import replace

import pytest

import pdekan as pk
from pdekan import EXACT, Problem, TrainingOptions, dirichlet, laplacian
from pdekan.problems.options import Weights
from pdekan.training.amplification import amplification
from pdekan.training.estimate import compared

UNITS = [(1.0, 1.0), (1e12, 1.0), (1e-12, 1.0), (1.0, 1e-9), (1.0, 1e9), (1e12, 1e-9)]


def poisson(dimension: int, coefficient: float, length: float) -> Problem:
    """-k Δu = π² d sin (πx/L) sin (πy/L), which u = (L²/k) sin (πx/L) sin (πy/L) solves."""
    size, wave = length**2 / coefficient, pk.pi / length
    exact = (lambda x: size * pk.sin(wave * x)) if dimension == 1 else (lambda x, y: size * pk.sin(wave * x) * pk.sin(wave * y))
    return Problem(
        pk.box(**dict.fromkeys("xy"[:dimension], (0.0, length))), lambda u: -coefficient * laplacian(u), EXACT,
        (dirichlet(0.0),), exact=exact, training=TrainingOptions(seconds=20.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dimension", "coefficient", "length"),
    [
        *((1, *units) for units in UNITS),
        (2, *UNITS[-1]),
        *(pytest.param(2, *units, marks=pytest.mark.nightly) for units in UNITS[:-1]),
    ],
)
def test_poisson_in_any_units(dimension: int, coefficient: float, length: float) -> None:
    problem = poisson(dimension, coefficient, length)
    solution = pk.solve(problem)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    assert solution.estimate is not None
    assert solution.estimate["u"].l2_relative < 1e-4
    assert amplification(problem) == pytest.approx(amplification(poisson(dimension, 1.0, 1.0)), rel=1e-6)
    found = compared(problem, solution.network, solution.relative_residual, 1.0)
    assert not isinstance(found, str)
    assert 0.1 < found.amplification < 100.0


def test_nor_on_weights() -> None:
    problem = poisson(1, 1e12, 1.0)
    weighted = replace(problem, training=replace(problem.training, weights=Weights(1e-24, 1.0, 1.0)))
    assert amplification(weighted) == amplification(problem)


@pytest.mark.parametrize("scale", [1e-12, pytest.param(1e12, marks=pytest.mark.nightly)])
def test_a_resonance_is_one_in_any_units(scale: float) -> None:
    """u'' + π² u = s sin 2πx: any multiple of sin πx may be added."""
    problem = Problem(
        pk.box(x=(0, 1)), lambda u: laplacian(u) + pk.pi**2 * u, lambda x: scale * pk.sin(2 * pk.pi * x), (dirichlet(0.0),),
        training=TrainingOptions(seconds=2.0),
    )  # fmt: skip
    solution = pk.solve(problem)
    assert solution.status == "unreliable"
    assert "a resonance" in solution.reason
