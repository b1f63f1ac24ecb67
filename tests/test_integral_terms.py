"""Integrals in equations and conditions, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import pdekan as pk
from pdekan.problem_files.loader import ProblemFileError, load_problem, loads
from pdekan.problem_files.validation import exact_residuals

X = np.linspace(0.0, 1.0, 21)[:, None]
NONLOCAL = """\
schema = 1
name = "nonlocal"
[domain]
type = "box"
x = [0.0, 1.0]
[equation]
operator = "-dx(dx(u)) + integral(u)"
source = 1
[[conditions]]
type = "dirichlet"
value = 0
"""
AT_THE_END = """\
type = "dirichlet"
on = "x-"
value = 1
[[conditions]]
type = "robin"
on = "x+"
operator = "u - integral(u)"
"""


def test_a_source_that_depends_on_the_mean() -> None:
    solution = pk.solve(loads(NONLOCAL))
    assert solution.found["integral1"].value == pytest.approx(1.0 / 13.0, abs=1e-8)  # c = (1 - c)/12
    np.testing.assert_allclose(solution(X), 6.0 / 13.0 * X[:, 0] * (1.0 - X[:, 0]), atol=1e-7)


def test_a_condition_that_depends_on_the_mean() -> None:
    text = NONLOCAL.replace(" + integral(u)", "").replace('type = "dirichlet"\nvalue = 0\n', AT_THE_END)
    solution = pk.solve(loads(text))
    np.testing.assert_allclose(solution(X), 1.0 + 2.0 / 3.0 * X[:, 0] - 0.5 * X[:, 0] ** 2, atol=1e-6)


def test_exact_solutions_satisfy_them_on_faces_too() -> None:
    assert max(exact_residuals(load_problem("thermostat")).values()) < 1e-12
    assert exact_residuals(load_problem("thermostat", {"equation.source": "pi**2*sin(pi*x) + 21/pi"}))["equation",] > 1e-3
    disk = NONLOCAL.replace('type = "box"\nx = [0.0, 1.0]', 'type = "disk"\nradius = 2.0').replace("dx(dx(u))", "laplacian(u)")
    disk = disk.replace("integral(u)", "u*integral(normal(u), outer) - integral(normal(u), outer)")
    problem = loads(disk.replace("source = 1", 'source = "manufactured"') + '[exact]\nu = "4 - x**2 - y**2"\n')
    assert [value for value in problem.exact.values() if isinstance(value, float)] == pytest.approx([-16.0 * np.pi])  # type: ignore[union-attr]
    assert len(problem.parameters) == 1  # the same integral twice
    assert max(exact_residuals(problem).values()) < 1e-12


def test_an_integral_at_each_time_is_a_field() -> None:
    """∂u/∂t = -∫u dx, constant in space at first: exp(-t) in a rod of length 1; the running integral is x exp(-t)."""
    text = NONLOCAL.replace("x = [0.0, 1.0]", "x = [0.0, 1.0]\nt = [0.0, 1.0]").replace(
        "-dx(dx(u)) + integral(u)", "dt(u) + integral(u)"
    )
    text = text.replace("source = 1", "source = 0").replace('type = "dirichlet"\nvalue = 0', 'type = "initial"\nvalue = 1')
    solution = pk.solve(loads(text), estimate=False)
    points = np.random.default_rng(0).random((20, 2))
    decay = np.exp(-points[:, 1])
    assert solution.problem is not None
    assert solution.problem.unknowns == ("u", "integral1", "integral1_up_to")
    np.testing.assert_allclose(solution(points), np.stack([decay, decay, points[:, 0] * decay], axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "x = [0.0, 1.0]",
            "x = [0.0, 1.0]\ny = [0.0, 1.0]\nt = [0.0, 1.0]",
            r"operator: integral\(u\) depends on t; .*over one",
        ),
        ("integral(u)", "integral(u, t)", r"there is no such face or coordinate"),
        ("integral(u)", "integral(u, z)", r"there is no such face or coordinate; the faces are x-, x\+"),
        ("integral(u)", "max(u)", "equations and conditions have integrals of fields alone"),
        ("source = 1", 'source = "integral(u)"', r"unknown function 'integral'.*\[outputs\]"),
        ("[equation]", "[parameters]\nmu = {range = [1.0, 2.0]}\n[equation]", "a family has no integrals in its equations"),
    ],
)
def test_integrals_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        loads(NONLOCAL.replace(old, new, 1))
