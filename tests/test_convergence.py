"""Rates of convergence, regressed from errors on refined knots and held against theory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from pdekan import splines
from pdekan.domains.box import box
from pdekan.domains.quadrature import gauss
from pdekan.errors.norms import Errors, measure
from pdekan.fields.functions import exp, sin
from pdekan.fields.operators import dx, laplacian
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import dirichlet, neumann
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

INTERVALS = (16, 32, 64)


def rate(intervals: Sequence[int], errors: Sequence[float]) -> float:
    """The slope p of error ~ n^-p by least squares in the logarithms."""
    return -float(np.polyfit(np.log(intervals), np.log(errors), 1)[0])


# Least-squares approximation


def fit_errors(degree: int, intervals: int) -> tuple[float, float]:
    """L2 error and H1 seminorm of the error of a least-squares spline to sin(πx + 0.3)."""
    x = splines.sample_points(degree, intervals)
    coefficients = splines.fit(x, torch.sin(torch.pi * x + 0.3), degree, intervals)
    points, weights = gauss(-1.0, 1.0, intervals, 10)
    value, slope = (part.numpy() @ coefficients.numpy() for part in splines.basis(torch.tensor(points), degree, intervals, 1))
    error, error_slope = value - np.sin(np.pi * points + 0.3), slope - np.pi * np.cos(np.pi * points + 0.3)
    return math.sqrt(weights @ error**2), math.sqrt(weights @ error_slope**2)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_least_squares_splines_converge_at_the_optimal_rates(degree: int) -> None:
    """‖u - s‖ ~ h^(k+1) and ‖(u - s)'‖ ~ h^k for degree k (de Boor 2001, ch. XII)."""
    l2, h1 = zip(*(fit_errors(degree, n) for n in INTERVALS), strict=True)
    assert rate(INTERVALS, l2) == pytest.approx(degree + 1, abs=0.2)
    assert rate(INTERVALS, h1) == pytest.approx(degree, abs=0.2)
    # and the constant: within a factor of twenty of the best local Taylor remainder π^(k+1) (h/2)^(k+1) / (k+1)!
    h = 2.0 / INTERVALS[-1]
    assert l2[-1] < 20.0 * (math.pi * h / 2.0) ** (degree + 1) / math.factorial(degree + 1)


# Poisson's equation by least squares of the residual


def solve_errors(problem: Problem, degree: int, intervals: int) -> Errors:
    """Errors of a KAN without hidden layer, a single spline, trained by our own objective and optimizer."""
    network = KAN((1, 1), degree, intervals, "none", problem.domain.lower, problem.domain.upper)
    objective = Objective(problem, network, terms(problem, Sampling(intervals, degree + 2, 0, 0)))
    start = network.flat_parameters
    outcome = GaussNewton().minimise(objective, start, 10, lambda step: None)
    assert outcome.steps == 0  # affine in all parameters: solved for, no step
    return measure(problem, objective.load(outcome.theta))["u"]


def poisson(*conditions: Condition) -> Problem:
    return Problem(
        box(x=(-1, 1)), lambda u: laplacian(u), EXACT, conditions, exact=lambda x: sin(math.pi * x + 0.3) + 0.5 * exp(x)
    )


PROBLEMS = {
    "dirichlet": poisson(dirichlet(EXACT)),
    "dirichlet and neumann": poisson(dirichlet(EXACT, on="x-"), neumann(EXACT, on="x+")),
    "variable coefficient": Problem(
        box(x=(0, 2)), lambda u, x: dx((1.0 + x**2) * dx(u)) - u, EXACT, (dirichlet(EXACT),), exact=lambda x: sin(2.0 * x + 0.3)
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_poissons_equation_converges_at_the_rates_of_least_squares(problem: Problem, degree: int) -> None:
    """Theory of least squares of the residual (Bramble and Schatz, Math. Comp. 25 (1971) 1-32).

    The method minimises ‖u_h'' - f‖ (in one dimension a spline meets the conditions exactly, whatever their weight), so the
    error e is optimal in H2, ‖e''‖ ~ h^(k-1), and e'' is orthogonal to the second derivatives of the splines. By duality
    (Aubin and Nitsche), with w'' + … = e and w approximated from splines of degree k - 2, the L2 error gains
    h^min(2, k-1) and the H1 seminorm h^min(1, k-1): rates min(k + 1, 2k - 2) and k. So quadratic splines are no better in L2
    than in H1, which Galerkin's method would not do.
    """
    errors = [solve_errors(problem, degree, n) for n in INTERVALS]
    assert rate(INTERVALS, [e.l2 for e in errors]) == pytest.approx(min(degree + 1, 2 * degree - 2), abs=0.3)
    assert rate(INTERVALS, [e.h1_seminorm for e in errors]) == pytest.approx(degree, abs=0.3)
    assert errors[0].l2_relative < 10.0 ** (1 - degree)


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_solutions_are_close_to_the_best_the_space_can_do(degree: int) -> None:
    """Absolute errors, not rates alone: within a small factor of direct approximation of the same function."""
    target = Problem(box(x=(-1, 1)), lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x: sin(math.pi * x + 0.3))
    for intervals in INTERVALS:
        best = fit_errors(degree, intervals)
        found = solve_errors(target, degree, intervals)
        assert found.l2 < 5.0 * best[0]
        assert found.h1_seminorm < 5.0 * best[1]


def test_rows_carry_the_root_of_their_quadrature_weight() -> None:
    """Without it the sum of squares is another norm, and the rates above are not the theory's."""
    problem = PROBLEMS["dirichlet"]
    (equation, *_) = terms(problem, Sampling(8, 5, 0, 0))
    objective = Objective(problem, KAN((1, 1), 3, 8), terms(problem, Sampling(8, 5, 0, 0)))
    ratio = (objective.factors[0] ** 2 / equation.share).numpy()
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    _, weights = gauss(-1.0, 1.0, 8, 5)
    np.testing.assert_allclose(equation.share.numpy(), weights / 2.0, rtol=1e-12)
