"""The PINNacle suite: every file is a sound problem of physics alone, exact solutions solve it, published mistakes do not."""

from __future__ import annotations

import tomllib

import pytest
import torch

from pdekan.fields.jets import Derivatives
from pdekan.problem_files.library import problems, suites
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.validation import exact_residuals

NAMES = [name for name in problems() if name.startswith("pinnacle/")]
EXACT = ["heat_2d_ms", "heat_inv", "heat_nd", "poisson_inv", "poisson_nd", "wave_1d", "wave_2d_ms"]


@pytest.mark.parametrize("name", NAMES)
def test_files_state_the_physics_alone(name: str) -> None:
    stated = tomllib.loads(problems()[name].read_text("utf-8"))
    assert not {"network", "training", "enrichment"} & set(stated)
    assert "2306.08827" in stated["reference"]
    problem = load_problem(name)
    assert problem.name == name.replace("/", "_")
    assert problem.equations


@pytest.mark.parametrize("name", EXACT)
def test_exact_solutions_satisfy_their_problems(name: str) -> None:
    assert max(exact_residuals(load_problem(f"pinnacle/{name}")).values()) < 1e-12


def test_the_published_wave_solves_another_equation() -> None:
    published = "(sin(pi*x)*sinh(pi*y) + sinh(3*pi*x)*sin(2*pi*y))*cos(pi*t)"
    problem = load_problem("pinnacle/wave_2d_ms", {"exact.u": published})
    assert exact_residuals(problem)["equation",] > 0.1


def test_the_published_source_of_the_conductivity_is_another_one() -> None:
    published = "2*pi*((2*x + 1)*cos(pi*x)*sin(pi*y) + (2*y + 1)*sin(pi*x)*cos(pi*y))*k**2"
    problem = load_problem("pinnacle/poisson_inv", {"functions.g": published})
    assert exact_residuals(problem)["equation",] > 0.1


def test_the_sources_of_the_25_squares_are_where_they_were_published() -> None:
    problem = load_problem("pinnacle/poisson_2d_ms")
    (equation,) = problem.equations
    centres = torch.tensor([[-8.0, -8.0], [8.0, -8.0], [-8.0, 8.0], [0.0, 4.0]], dtype=torch.float64)
    source = problem.right_hand_side(equation.source, equation.operator, centres, Derivatives.FULL, None)
    # (c00 + c11)/a of squares (0, 0), (4, 0), (0, 4), (2, 3) in poisson_a_coef.dat and poisson_f_coef.dat of the published code
    published = [-0.029674780869164613, -0.0022268296469865464, 6.603267956759928, 0.36556952970723106]
    assert source.tolist() == pytest.approx(published, rel=1e-6)


def test_the_suite_is_listed() -> None:
    assert "pinnacle" in suites()
    assert len(NAMES) == 22
