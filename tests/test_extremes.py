"""Numbers at the ends of what floats hold, empty domains and misplaced derivatives: an error with its place, no traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import command

from pdekan import NetworkOptions, Problem, TrainingOptions, box, dirichlet, exp, laplacian, solve
from pdekan.problem_files.loader import loads
from pdekan.problem_files.reader import ProblemFileError
from pdekan.problem_files.well_posedness import warnings
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements

TEXT = """schema = 1
name = "p"
[domain]
{domain}
[equation]
operator = "laplacian(u)"
[[conditions]]
type = "dirichlet"
on = "boundary"
value = {value}
{more}
"""
BOX = 'type = "box"\nx = [0.0, 1.0]\ny = [0.0, 1.0]'
DISK, FAR = '{type = "disk", radius = 1.0}', '{type = "disk", center = [5.0, 0.0], radius = 1.0}'
DOMAINS = {
    "disk": ('type = "disk"\nradius = 1e300', "radius is 1e\\+300; at most 1e\\+50 is allowed: write"),
    "small disk": ('type = "disk"\nradius = 1e-300', "radius is 1e-300; at least 1e-50"),
    "infinite": ('type = "ellipse"\nradii = [inf, 1.0]', "radii.0: found inf, expected a finite number"),
    "nan": ('type = "ellipse"\nradii = [1.0, nan]', "radii.1: found nan, expected a finite number"),
    "ball": ('type = "ball"\nradius = 1e154', "radius is 1e\\+154; at most"),
    "annulus": ('type = "annulus"\ninner_radius = 1.0\nouter_radius = 1e300', "outer_radius is 1e\\+300"),
    "polygon": ('type = "polygon"\nvertices = [[0.0, 0.0], [1e300, 0.0], [0.0, 1e300]]', "point 2 is 1e\\+300, 0.0; at most"),
    "center": ('type = "disk"\nradius = 1.0\ncenter = [1e300, 0.0]', "center is 1e\\+300, 0.0; at most"),
    "box": ('type = "box"\nx = [0.0, 1e-300]', "the length of the interval of x is 1e-300; at least 1e-50"),
    "long box": ('type = "box"\nx = [-1e300, 1e300]', "interval of x is -1e\\+300, 1e\\+300; at most"),
    "hundred": ('type = "box"\ndimension = 100\nbounds = [0.0, 1e9]', "measure is inf, since its sides"),
    "thin hundred": ('type = "box"\ndimension = 100\nbounds = [0.0, 1e-9]', "measure is 0.0"),
    "time": ('type = "disk"\nradius = 1.0\nt = [0.0, 1e300]', "interval of t is 0.0, 1e\\+300; at most"),
    "part": (f'type = "union"\nparts = [{DISK}, {{type = "disk", radius = 1e-300}}]', "radius is 1e-300; at least"),
    "empty": (f'type = "intersection"\nparts = [{DISK}, {FAR}]', "the intersection of 2 parts is empty"),
    "nothing left": (f'type = "difference"\nparts = [{DISK}, {DISK}]', "the difference of 2 parts is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOMAINS)
def test_domains_that_cannot_be_computed_with(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    domain, message = DOMAINS[name]
    text = TEXT.format(domain=domain, value=0, more="")
    with pytest.raises(ProblemFileError, match=message):
        loads(text)
    (tmp_path / "p.toml").write_text(text)
    assert command("check", str(tmp_path / "p.toml")) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("length", [1e-9, 1e9])
def test_lengths_of_nature_are_allowed(length: float) -> None:
    domain = f'type = "box"\nx = [0.0, {length}]\ny = [0.0, {length}]'
    assert loads(TEXT.format(domain=domain, value=0, more="")).domain.measure == length**2


def test_derivatives_in_values() -> None:
    """A known one is taken, where it can be; an exact condition and an exact solution have to be written out."""
    taken = loads(TEXT.format(domain=BOX, value='"dx(x**2)"', more=""))
    assert warnings(taken) == []
    with pytest.raises(ProblemFileError, match=r":9: conditions.0: exact conditions: derivatives are not supported in a value"):
        loads(TEXT.format(domain=BOX, value='"dx(x)"', more='enforce = "exact"'))
    with pytest.raises(ProblemFileError, match=r":\d+: exact.u: derivatives are not supported in an exact solution"):
        loads(TEXT.format(domain=BOX, value='"exact"', more='[exact]\nu = "dx(x**2)"'))
    with pytest.raises(ProblemFileError, match=r"conditions.0.value: depends on the unknown u; move that to the operator"):
        loads(TEXT.format(domain=BOX, value='"dx(u)"', more=""))


LARGE = {
    "a source": ("1e200", "0", "equation.source: the right-hand side is 1e\\+200 at x = .*; at most 1e\\+50 is allowed: write"),
    "data": ("0", "1e150", "conditions.0.value: the right-hand side is 1e\\+150 at x = .*; at most 1e\\+50"),
    "an infinite source": ("1e308*x*1e10", "0", "equation.source: the right-hand side is inf"),
}


@pytest.mark.parametrize("name", LARGE)
def test_right_hand_sides_whose_squares_are_no_numbers(name: str) -> None:
    source, value, message = LARGE[name]
    text = TEXT.format(domain=BOX, value=f'"{value}"', more="").replace('laplacian(u)"', f'laplacian(u)"\nsource = "{source}"')
    with pytest.raises(ProblemFileError, match=message):
        loads(text)


@pytest.mark.parametrize("cells", [1, 2])
def test_nor_may_formulas_of_python_have_them(cells: int) -> None:
    for source, value in ((1e200, 0.0), (0.0, 1e150)):
        problem = Problem(
            box(x=(0, 1)), lambda u: laplacian(u), source, (dirichlet(value),), network=NetworkOptions(cells=cells)
        )
        with pytest.raises(ProblemError, match=r"the right-hand side is 1e\+\d+ at x = .*; at most 1e\+50 is allowed"):
            solve(problem)


def test_measurements_that_are_too_large() -> None:
    data = Measurements(np.array([[0.3], [0.6]]), {"u": np.array([np.nan, 1e150])})
    problem = Problem(box(x=(0, 1)), lambda u: laplacian(u), 0.0, (dirichlet(0.0),), data=(data,))
    with pytest.raises(ProblemError, match=r"data, u: the right-hand side is 1e\+150 at x = 0.6; at most"):
        solve(problem)


def test_an_equation_without_solution_is_not_said_to_be_solved() -> None:
    """u² = -1, and u'' + e^u = -100, beyond the fold of Bratu's problem."""
    for operator, source in ((lambda u: u**2, -1.0), (lambda u: laplacian(u) + exp(u), -100.0)):
        problem = Problem(box(x=(0, 1)), operator, source, (dirichlet(0.0),), training=TrainingOptions(steps=5, seconds=2.0))
        solution = solve(problem, estimate=False)
        assert solution.status in ("budget", "stalled", "unreliable")
        assert solution.tolerance < solution.relative_residual < np.inf
        assert np.isfinite(solution(np.array([[0.3]]))).all()
