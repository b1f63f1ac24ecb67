"""Jumps that no interface declares: found where they are, refused where a flux is lost, and declared as the message says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pdekan as pk
from pdekan.cli import main
from pdekan.problem_files.loader import loads
from pdekan.problem_files.parser import Expression
from pdekan.problem_files.well_posedness import warnings
from pdekan.problems.discontinuities import coefficient_jumps, data_singularities, narrow, refuse_undeclared
from pdekan.problems.formulas import ProblemError
from pdekan.problems.jump_surfaces import surfaces
from pdekan.problems.problem import Problem
from pdekan.training.solver import check

PLATE = """
schema = 1
name = "plate"
[domain]
type = "box"
x = [0.0, 2.0]
y = [0.0, 1.0]
{time}
[functions]
k = "{k}"
[equation]
operator = "{operator}"
source = "{source}"
[[conditions]]
type = "dirichlet"
value = "0"
"""


def plate(k: str, operator: str, source: str = "1", time: str = "") -> Problem:
    return loads(PLATE.format(k=k, operator=operator, source=source, time=time))


LOST = {
    "a line": ("where(y < 0.3, 1, 50)", "-div(k*grad(u))", "y = 0.3;", 'operator = "k*normal(u)"'),
    "sign": ("3 + sign(x - 0.7)", "-dx(k*dx(u)) - dy(k*dy(u))", "x = 0.7;", 'operator = "k*dx(u)"'),
    "a circle": (
        "where((x - 1)**2 + (y - 0.4)**2 < 0.04, 1, 2)", "u - div(k*grad(u))", "the circle of radius 0.2 around (1, 0.4);",
        'disk", center = [1.0, 0.4], radius = 0.2}',
    ),
    "a circle and a line": (
        "where((x - 1)**2 + (y - 0.4)**2 < 0.04, 1, where(x > 1.5, 3, 2))", "-div(k*grad(u))",
        "the circle of radius 0.2 around (1, 0.4); x = 1.5;", "radius = 0.2}",
    ),
    "a sloping line": ("where(x + 2*y < 1.5, 1, 2)", "div(k*grad(u))", "0.5*x + y = 0.75;", "a shape whose boundary it is"),
    "an ellipse": ("where(x**2 + 2*y**2 < 0.5, 1, 2)", "div(k*grad(u))", "near x = ", "a shape whose boundary it is"),
    "a speed": ("where(x < 0.7, 1, 2)", "dx(k*u) + dy(u)", "x = 0.7;", 'operator = "k*u"'),
    "inside of a laplacian": ("where(x < 0.7, 1, 2)", "laplacian(k*u)", "x = 0.7;", "[[conditions]]"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_a_coefficient_under_a_derivative_is_refused_where_it_jumps(name: str) -> None:
    k, operator, place, declared = LOST[name]
    with pytest.raises(ProblemError) as caught:
        check(plate(k, operator))
    first, rest = str(caught.value).split(", where no interface is declared", 1)
    assert place in first + ";"
    assert declared in rest
    assert ('type = "interface"\non = "jump"\n\n' in rest) == (name != "a speed")  # else the unknown itself may jump


KEPT = {
    "kinks": ("1 + abs(y - 0.7) + max(x, y) + sqrt(x)", "-div(k*grad(u))"),
    "steep": ("2 + tanh(1e5*(x - 0.3))", "-div(k*grad(u))"),
    "a function of u": ("where(u < 0.7, 1, 2)", "-div(k*grad(u))"),
    "a jump along the derivative's lines": ("where(y < 0.3, 1, 2)", "-dx(k*dx(u)) - dy(dy(u))"),
    "in front of a derivative": ("where(y < 0.3, 1, 2)", "-k*laplacian(u) + k*dx(u)"),
    "a pole": ("1/(x - 0.777)", "-div(k*grad(u))"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_loses_no_flux_is_not_refused(name: str) -> None:
    refuse_undeclared(plate(*KEPT[name]))


ENTIRE = {
    "numbers": ("2*pi/3", "-k*laplacian(u)", "1"),
    "elementary functions": ("2 + sin(3*x)*cos(y) + exp(-x)", "-div(k*grad(u))", "sinh(x) - cosh(y)/4"),
    "powers": ("1 + x**2 + y**0", "-dx(k*dx(u)) - dy(dy(u)) + u**3", "x**4"),
}


@pytest.mark.parametrize("name", ENTIRE)
def test_formulas_without_jumps_are_not_looked_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (equation,) = plate(*ENTIRE[name]).equations
    assert equation.operator.is_entire
    assert isinstance(equation.source, Expression)
    assert equation.source.is_entire
    monkeypatch.setattr(Expression, "is_entire", False)  # looking finds none either
    problem = plate(*ENTIRE[name])
    assert not len(coefficient_jumps(problem, equation))
    assert not len(data_singularities(problem, equation))


@pytest.mark.parametrize(
    "k", ["abs(x)", "sign(x)", "where(x < 1, 1, 2)", "max(x, y)", "1/(1 + x)", "x**0.5", "x**-1", "tan(x)", "x**y"]
)
def test_formulas_that_may_jump_are(k: str) -> None:
    (equation,) = plate(k, "-laplacian(u) + k*u").equations
    assert not equation.operator.is_entire


def test_python_formulas_moving_jumps_and_solids() -> None:
    def equation(u: pk.Jet, x: pk.Jet, y: pk.Jet) -> pk.Jet:
        return pk.div(pk.where(x.value + y.value < 0.6, 1.0, 0.0 * x + 4.0) * pk.grad(u))

    square = Problem(pk.disk((0.0, 0.0), 1.0), equation, 1.0, (pk.dirichlet(0.0),))
    with pytest.raises(ProblemError, match=r"an equation differentiates jumps at x \+ y = 0\.6"):
        pk.solve(square)
    moving = plate("where(x < 0.5 + 0.1*t, 1, 2)", "dt(u) - div(k*grad(u))", time="t = [0.0, 3.0]")
    (equation_in_time,) = moving.equations
    points = coefficient_jumps(moving, equation_in_time).points.numpy()
    np.testing.assert_allclose(points[:, 0], 0.5 + 0.1 * points[:, 2], atol=1e-8)
    solid = Problem(
        pk.box(x=(-1, 1), y=(-1, 1), z=(-1, 1)),
        lambda u, x, y, z: pk.div(pk.where((x * x + y * y + z * z).value < 0.25, 1.0, 0.0 * x + 4.0) * pk.grad(u)),
        conditions=(pk.dirichlet(0.0),),
    )
    (place,) = surfaces(solid.domain, coefficient_jumps(solid, solid.equations[0]))
    assert place.words == "the sphere of radius 0.5 around (0, 0, 0)"
    assert place.shape == '{type = "ball", center = [0.0, 0.0, 0.0], radius = 0.5}'


def test_declared_interfaces_are_not_found_and_others_are() -> None:
    problem = pk.load_problem("coated_cylinder")
    assert not len(coefficient_jumps(problem, problem.equations[0]))
    half = pk.load_problem("coated_cylinder", {"domain.interfaces.core.radius": 0.51})
    with pytest.raises(ProblemError, match=r"the circle of radius 0\.5 around"):
        check(half)


def test_the_declaration_of_the_message_solves_the_problem() -> None:
    """u'' k = 0 from 0 to 1 over two layers of equal width: the temperature between them is k2 / (k1 + k2)."""
    text = PLATE.format(k="where(x < 1, 3, 1)", operator="-div(k*grad(u))", source="0", time="").replace('value = "0"', "")
    text += 'value = "0"\non = "x-"\n[[conditions]]\ntype = "dirichlet"\nvalue = "1"\non = "x+"\n'
    text += '[[conditions]]\ntype = "neumann"\nvalue = "0"\non = ["y-", "y+"]\n'
    with pytest.raises(ProblemError) as caught:
        check(loads(text))
    solution = pk.solve(loads(text + "\n" + str(caught.value).split("\n\n", 1)[1]))
    assert solution.status == "converged"
    np.testing.assert_allclose(solution([[1.0, 0.3], [0.5, 0.6], [1.5, 0.1]]), [0.25, 0.125, 0.625], atol=1e-6)


SMOOTHNESS = {
    "a source": ("1", "-laplacian(u)", "where(y < 0.5, 1, -1)", "y = 0.5"),
    "a reaction": ("where(x < 0.7, 1, 2)", "-laplacian(u) + k*u", "1", "x = 0.7"),
    "a factor": ("where(x < 0.7, 1, 2)", "-k*laplacian(u)", "1", "x = 0.7"),
}


@pytest.mark.parametrize("name", SMOOTHNESS)
def test_other_jumps_are_warned_of(name: str) -> None:
    k, operator, source, place = SMOOTHNESS[name]
    problem = plate(k, operator, source)
    (warning,) = [one for one in warnings(problem) if "jumps at" in one]
    assert f"jumps at {place}:" in warning
    assert not [one for one in warnings(plate("1 + x", "-k*laplacian(u)", "exp(-9*x)")) if "jumps" in one]


def test_users_are_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    k, operator = LOST["a line"][:2]
    (tmp_path / "plate.toml").write_text(PLATE.format(k=k, operator=operator, source="1", time=""))
    for command in (["check", "plate.toml"], ["solve", "plate.toml"], ["solve", "plate.toml", "--no-estimate"]):
        assert main(command) == 2
        out, message = capsys.readouterr()
        assert out == ""
        assert "[domain.interfaces]\njump = {type" in message
    assert [path.name for path in tmp_path.iterdir()] == ["plate.toml"]


NARROW = {
    "a strip": ("1", "where(abs(x - 0.37) < 1e-5, 1e5, 0)", 2e-5),
    "two comparisons": ("1", "where(x > 0.37, where(x < 0.3701, 1e4, 0), 0)", 1e-4),
    "a spot": ("where((x - 1)**2 + (y - 0.4)**2 < 1e-8, 1e8, 0)", "1", 2e-4),
    "a sloping strip": ("where(abs(x + y - 0.37) < 1e-5, 1, 2)", "1", 2e-5),
}


@pytest.mark.parametrize("name", NARROW)
def test_regions_that_no_point_would_see_are_refused(name: str) -> None:
    k, source, width = NARROW[name]
    problem = plate(k, "-laplacian(u) + k*u", source)
    region = narrow(problem, problem.equations[0])
    assert region is not None
    assert region.width == pytest.approx(width, rel=1e-4)


def test_a_region_that_no_point_would_see_ends_a_check() -> None:
    with pytest.raises(ProblemError, match="other values in a region of width"):
        check(plate("1", "-laplacian(u) + k*u", NARROW["a strip"][1]))


SEEN = {
    "a wide one": ("where(abs(x - 0.37) < 0.01, 1, 2)", "1"),
    "a pole that is left out": ("1", "where(abs(x - 0.37) < 1e-9, 1, sin(x - 0.37)/(x - 0.37))"),
    "one of the unknown": ("where(abs(u - 0.7) < 1e-9, 1, 2)", "1"),
}


@pytest.mark.parametrize("name", SEEN)
def test_other_regions_are_not(name: str) -> None:
    k, source = SEEN[name]
    check(plate(k, "-laplacian(u) + k*u", source))
