"""Accuracy with default settings: every problem of the library, and problems that nothing was tuned on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdekan import cos, cosh, dirichlet, dt, dx, exp, initial, laplacian, log, pi, sin, solve
from pdekan.domains.box import box
from pdekan.library import library
from pdekan.problem_file import load_problem
from pdekan.problems import EXACT, Problem
from pdekan.solution import Solution

# smooth and of low frequency, in two dimensions: nothing excuses more than this
SMOOTH = (
    "convection_diffusion",
    "heat_1d",
    "mixed_neumann_robin",
    "nonlinear_cubic",
    "periodic",
    "poisson_kan_paper",
    "poisson_sine",
    "variable_coefficient",
)
L2 = dict.fromkeys(SMOOTH, 1e-6) | {"reaction_diffusion_layers": 1e-8}
H1_SEMINORM = {"poisson_kan_paper": 1e-5}
ANY = 1e-4

# Training with a tolerance takes the very steps that it takes without, only fewer: what holds early holds at the end.
# Residuals are larger than errors where the solution is smooth, so these are enough; None: to the end.
TOLERANCE = dict.fromkeys(SMOOTH, 5e-6) | {
    "convection_diffusion": None,
    "periodic": 1e-5,
    "reaction_diffusion_layers": None,
}


def assert_solved(solution: Solution, l2: float, h1_seminorm: float = float("inf")) -> None:
    assert solution.errors is not None
    errors = solution.errors[solution.unknown]
    measured = (
        f"relative L2 {errors.l2_relative:.2e}, H1 seminorm {errors.h1_seminorm_relative:.2e}; {solution.status}: "
        f"{solution.reason}; {solution.iterations} steps in {solution.seconds:.1f} s, {solution.parameters} parameters"
    )
    assert errors.l2_relative <= l2, measured
    assert errors.h1_seminorm_relative <= h1_seminorm, measured
    assert solution.status == "converged", measured
    # what is called converged is so by a residual on unseen points, not by the exact solution
    assert solution.relative_residual <= solution.tolerance


def trained(problem: Problem, tolerance: float | None) -> Solution:
    """With the problem's own settings but for the tolerance, and with time enough on a slow machine."""
    return solve(problem, training=replace(problem.training, tolerance=tolerance, seconds=600.0))


def test_every_bound_belongs_to_a_problem() -> None:
    assert set(L2) | set(H1_SEMINORM) | set(TOLERANCE) <= set(library())


@pytest.mark.parametrize("name", library())
def test_the_library_is_solved(name: str) -> None:
    solution = trained(load_problem(name), TOLERANCE.get(name, ANY))
    assert_solved(solution, L2.get(name, ANY), H1_SEMINORM.get(name, float("inf")))


UNSEEN = {
    "logarithm": Problem(
        domain=box(x=(-1, 1), y=(-1, 1)),
        equation=lambda u: -laplacian(u),
        source=EXACT,
        conditions=(dirichlet(EXACT),),
        exact=lambda x, y: log(2 + x * x + sin(x * y)),
    ),
    "oblong": Problem(
        domain=box(x=(0, 2), y=(0, 1)),
        equation=lambda u: laplacian(u),
        source=lambda x, y: -3 * exp(x) * cos(2 * y),
        conditions=(dirichlet(lambda x, y: exp(x) * cos(2 * y)),),
        exact=lambda x, y: exp(x) * cos(2 * y),
    ),
    "long box": Problem(
        domain=box(x=(0, 10), y=(0, 1)),
        equation=lambda u: -laplacian(u),
        source=0.0,
        conditions=(dirichlet(EXACT),),
        exact=lambda x, y: sin(x) * cosh(y) + x / 5,
    ),
    "five oscillations": Problem(
        domain=box(x=(0, 1)),
        equation=lambda u, x: -dx((2 + sin(3 * x)) * dx(u)) + u,
        source=EXACT,
        conditions=(dirichlet(EXACT),),
        exact=lambda x: sin(10 * pi * x) + x,
    ),
    "heat with a source": Problem(
        domain=box(x=(0, 1), t=(0, 2)),
        equation=lambda u: dt(u) - 0.5 * laplacian(u),
        source=lambda x, t: x + (pi**2 / 2 - 1) * exp(-t) * sin(pi * x),
        conditions=(
            dirichlet(0.0, on="x-"),
            dirichlet(lambda t: t, on="x+"),
            initial(lambda x: sin(pi * x)),
        ),
        exact=lambda x, t: exp(-t) * sin(pi * x) + x * t,
    ),
    "hill in a cube": Problem(
        domain=box(x=(-1, 1), y=(-1, 1), z=(-1, 1)),
        equation=lambda u: -laplacian(u),
        source=EXACT,
        conditions=(dirichlet(EXACT),),
        exact=lambda x, y, z: exp(-x * x - y * y - z * z),
    ),
    "other units": Problem(  # kilometres and tenths of a millimetre: only ratios may matter
        domain=box(x=(0, 1000), y=(-1000, 1000)),
        equation=lambda u: -laplacian(u),
        source=EXACT,
        conditions=(dirichlet(EXACT),),
        exact=lambda x, y: 1e-4 * sin(x * (2e-3 * pi)) * exp(y * 1e-3),
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_problems_that_nothing_was_tuned_on(name: str) -> None:
    assert_solved(trained(UNSEEN[name], ANY), ANY)
