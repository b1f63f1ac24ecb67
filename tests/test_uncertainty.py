"""Standard errors: those of linear regression in closed form, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from scipy.stats import t as student

from pdekan.ansatz.unknowns import build_ansatz, parameter_values
from pdekan.domains.box import box
from pdekan.fields.functions import sin
from pdekan.fields.jets import Jet
from pdekan.fields.operators import laplacian
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import as_field
from pdekan.problems.options import Weights
from pdekan.problems.parameters import Enrichment, Measurements, Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.training.standard_errors import standard_errors

LINE = box(x=(0, 1))


def splines(degree: int, intervals: int) -> KAN:
    network = KAN((1, 1), (degree,), (intervals,), "none", LINE.lower, LINE.upper)
    network.initialise(torch.Generator().manual_seed(0))
    return network


def fitted(problem: Problem, network: KAN, weights: Weights | None = None) -> tuple[dict[str, float], dict[str, float]]:
    """Parameters at the minimum, and their standard errors."""
    objective = Objective(problem, build_ansatz(problem, network), terms(problem, Sampling(4, 8, 0, 0)), weights)
    theta = objective.network.flat_parameters
    outcome = GaussNewton(patience=4).minimise(objective, theta, 60, lambda _: None)
    return parameter_values(objective.load(outcome.theta)), standard_errors(objective)


def a_line(
    noise: float | None, a: Parameter, b: Parameter, count: int = 12, parts: int = 1
) -> tuple[Problem, np.ndarray, np.ndarray]:
    """u = a x + b, where the network can be a line and nothing else: the least squares are those of linear regression."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.random(count))
    y = 1.5 * x + 0.7 + 0.1 * rng.standard_normal(count)
    data = tuple(Measurements(p[:, None], {"u": q}, noise) for p, q in zip(np.split(x, parts), np.split(y, parts), strict=True))

    def equation(u: Jet, x: Jet, a: Jet, b: Jet) -> Jet:
        return u - a * x - b

    return Problem(LINE, equation, parameters={"a": a, "b": b}, data=data), x, y


BOUNDS = [
    (Parameter(1.0), Parameter(0.0)),
    (Parameter(1.0, 0.5, 4.0), Parameter(0.1, 0.0)),
    (Parameter(1.0, upper=3.0), Parameter(1.0, 0.2, 1.1)),
]


@pytest.mark.parametrize(("a", "b"), BOUNDS)
@pytest.mark.parametrize("weights", [None, Weights(3.0, 1.0, 0.2)])
@pytest.mark.parametrize("parts", [1, 2])
def test_known_noise_gives_the_errors_of_linear_regression(
    a: Parameter, b: Parameter, weights: Weights | None, parts: int
) -> None:
    """σ² (XᵀX)⁻¹, in the parameters' own units whatever bounds they are kept between."""
    problem, x, y = a_line(0.3, a, b, parts=parts)
    values, errors = fitted(problem, splines(1, 1), weights)
    design = np.stack([x, np.ones_like(x)], axis=1)
    np.testing.assert_allclose(list(values.values()), np.linalg.lstsq(design, y)[0], rtol=1e-4)
    expected = 0.3 * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose(list(errors.values()), expected, rtol=1e-4)


@pytest.mark.parametrize("count", [3, 12])
def test_unknown_noise_is_estimated_without_bias(count: int) -> None:
    """s² = ‖r‖²/(n - 2): two degrees of freedom went into the line."""
    problem, x, y = a_line(None, *BOUNDS[0], count=count)
    _, errors = fitted(problem, splines(1, 1))
    design = np.stack([x, np.ones_like(x)], axis=1)
    residual = y - design @ np.linalg.lstsq(design, y)[0]
    expected = np.sqrt(residual @ residual / (count - 2) * np.diag(np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose(list(errors.values()), expected, rtol=1e-4)


def test_unknown_noise_cannot_be_told_from_as_many_data_as_unknowns() -> None:
    assert fitted(a_line(None, *BOUNDS[0], count=2)[0], splines(1, 1))[1] == {}


def test_series_of_different_noise_count_each_with_its_own() -> None:
    """Two series with one weight: A Σ Aᵀ with the A of equal weights, (XᵀX)⁻¹Xᵀ."""
    problem, x, _ = a_line(0.3, *BOUNDS[0], parts=2)
    first, second = problem.data
    other = Measurements(second.points, second.values, 0.6)
    mixed = Problem(LINE, problem.equation, parameters=problem.parameters, data=(first, other))
    _, errors = fitted(mixed, splines(1, 1))
    a = np.linalg.pinv(np.stack([x, np.ones_like(x)], axis=1))
    sigma = np.repeat([0.3, 0.6], 6)
    np.testing.assert_allclose(list(errors.values()), np.sqrt(np.diag(a @ np.diag(sigma**2) @ a.T)), rtol=1e-4)


def test_what_data_do_not_determine_has_no_error() -> None:
    """Of a + b alone something is known, and of the slope."""
    x = np.linspace(0.1, 0.9, 5)
    problem = Problem(
        LINE, lambda u, a, b, c, x: u - a - b - c * x, parameters={name: Parameter(0.5) for name in "abc"},
        data=(Measurements(x[:, None], {"u": 1.0 + x}, 0.1),),
    )  # fmt: skip
    _, errors = fitted(problem, splines(1, 1))
    assert list(errors) == ["c"]
    assert errors["c"] == pytest.approx(0.1 / math.sqrt(float(((x - x.mean()) ** 2).sum())), rel=1e-4)


DATA, NOISE, TRUTH, SEEDS = 16, 0.02, 2.0, 40
FREE = DATA - 8  # about what the network leaves, where it follows data of unknown noise


def diffusion(seed: int, given: bool) -> Problem:
    """-k u'' = π² sin πx with k sought from noisy u = sin(πx)/k."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0.05, 0.95, DATA)
    u = np.sin(math.pi * x) / TRUTH + NOISE * rng.standard_normal(DATA)
    return Problem(
        LINE, lambda u, k: -k * laplacian(u), lambda x: math.pi**2 * sin(math.pi * x), (dirichlet(0.0),),
        parameters={"k": Parameter(1.0, 0.05, 50.0)}, data=(Measurements(x[:, None], {"u": u}, NOISE if given else None),),
    )  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
def test_intervals_hold_the_truth_as_often_as_they_say(given: bool) -> None:
    """95 % of them: of so many seeds, as many as a binomial test does not doubt; Student's t where the noise is estimated."""
    network, hits, scores = splines(8, 1), 0, []
    width = 1.96 if given else float(student.ppf(0.975, FREE))
    for seed in range(SEEDS):
        values, errors = fitted(diffusion(seed, given), network)
        scores.append((values["k"] - TRUTH) / errors["k"])
        hits += abs(scores[-1]) < width
    assert binomtest(hits, SEEDS, 0.95).pvalue > 0.01, (hits, scores)
    assert abs(np.mean(scores)) < 3.0 / math.sqrt(SEEDS)  # and no bias
    assert 0.7 < np.std(scores) < 1.4


def test_the_error_is_that_of_the_amplitude() -> None:
    """u is c sin πx with c = 1/k, so that Var c = σ²/Σ sin² πxᵢ and the error of k is k² times that of c."""
    values, errors = fitted(diffusion(0, given=True), splines(10, 1))
    x = np.linspace(0.05, 0.95, DATA)
    assert errors["k"] == pytest.approx(values["k"] ** 2 * NOISE / np.sqrt((np.sin(math.pi * x) ** 2).sum()), rel=1e-2)


def test_factors_of_enrichments_and_coefficients_do_not_stand_in_for_parameters() -> None:
    """Parameters come first in the rows, whatever comes after them."""
    plain, x, _ = a_line(0.3, *BOUNDS[0])
    more = Problem(
        LINE, plain.equation, parameters=plain.parameters, data=plain.data,
        enrichments=(Enrichment(as_field(lambda x: x**2), "u"),), conditions=(dirichlet(0.7, "x-"),),
    )  # fmt: skip
    _, errors = fitted(more, splines(1, 1), Weights(1.0, 1e6, 1e-6))
    expected = 0.3 / math.sqrt(float(x @ x))  # b is held by the condition
    assert errors["a"] == pytest.approx(expected, rel=1e-3)
    assert errors["b"] < 1e-3 * errors["a"]


def test_a_parameter_on_its_bound_has_no_error_and_the_others_are_those_of_a_line_through_it() -> None:
    """b is at most 0.5 and would be about 0.7; then a is found as if b were known."""
    problem, x, y = a_line(0.3, Parameter(1.0), Parameter(0.1, 0.0, 0.5))
    values, errors = fitted(problem, splines(1, 1))
    assert values["b"] == 0.5
    assert values["a"] == pytest.approx(float(x @ (y - 0.5)) / float(x @ x), rel=2e-3)
    assert list(errors) == ["a"]
    assert errors["a"] == pytest.approx(0.3 / math.sqrt(float(x @ x)), rel=2e-3)
