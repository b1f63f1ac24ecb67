"""Formulas on SymPy expressions: every operation against jets at random points, numbers and names as they are written."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
import torch

from pdekan.domains.box import hypercube
from pdekan.fields.jets import Derivatives, Frame
from pdekan.problem_files.interpreter import OPERATIONS
from pdekan.problem_files.parser import Scope, parse
from pdekan.problems.conditions import neumann
from pdekan.problems.formulas import Constant, Difference, PythonField
from pdekan.symbolic.expressions import Coordinates, NotSymbolic, applied, derivative, number, symbol
from pdekan.symbolic.writing import read

SCOPE = Scope(("x", "y", "t"), "r", ("u", "v"))
U, V = "sin(x*y) + t*exp(x/2) + 2", "cos(x - t)*y**2 + 3"
NORMAL = (0.6, -0.8, 0.0)
FORMULAS = [
    *(f"{name}(u/3)" for name in ("sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "exp", "log", "log10", "sqrt", "erf")),
    "asin(u/20)", "acos(u/20)", "abs(x*u)", "dx(abs(y*u))", "laplacian(abs(x**3))", "sign(x - y)", "dx(sign(x)*u)",
    "atan2(u, x)", "atan2(-y, -u)", "dx(atan2(y, x))", "min(x, y, u)", "max(x*u, v)", "laplacian(max(x**3, y**3))",
    "where(x < y, u, v)", "where(x <= y, 1, v)", "where(x > 0.1, dx(u), 0)", "where(x >= u, u, v)", "where(x == y, u, v)",
    "where(x != y, u, v)", "u + v", "u - 2", "u*v", "u/v", "u**3", "u**(1/3)", "v**x", "2**u", "-u", "dx(u)", "dt(dx(u))",
    "dot(grad(u), grad(v))", "div(v*grad(u))", "div(dot(grad(u), grad(u))*grad(u))", "laplacian(u*v)", "normal(u*v)",
    "sum(sin(pi*r))", "prod(r + 2)", "sum(where(r < 0.5, r, r**2))", "sum(max(r, 0.1))", "dot(r, r)", "sum(abs(r))", "sum(-r)",
    "sum(r/2)", "e**x + pi*y", "laplacian(log(u)*v)", "0.1*u + 1e-3", "sqrt(2)*x", "dx(exp(sin(pi*x)))",
]  # fmt: skip


def points() -> np.ndarray:
    return np.random.default_rng(5).uniform(-0.9, 0.9, (40, 3))


@pytest.mark.parametrize("text", FORMULAS)
def test_every_operation_gives_what_jets_give(text: str) -> None:
    x = torch.as_tensor(points())
    frame = Frame(SCOPE.coordinates, Derivatives.FULL, torch.tensor(NORMAL, dtype=torch.float64).expand(len(x), 3))
    jets = {name: frame.coordinate(x, k) for k, name in enumerate(SCOPE.coordinates)} | {"r": frame.position(x)}
    of_coordinates = Scope(SCOPE.coordinates, "r")
    fields = {name: parse(formula, of_coordinates)(jets) for name, formula in (("u", U), ("v", V))}
    expression = parse(text, SCOPE)
    expected = expression({**jets, **fields}).value.numpy()

    space = Coordinates(SCOPE.coordinates, "r", tuple(number(n) for n in NORMAL))
    forms = {name: read(formula, SCOPE.coordinates) for name, formula in (("u", U), ("v", V))}
    found = applied(expression, {**space.names, **forms}, space)
    values = [float(found.subs(dict(zip(space.symbols, point, strict=True)))) for point in points().tolist()]
    np.testing.assert_allclose(values, expected, rtol=1e-11, atol=1e-12)


def test_every_operation_is_among_them() -> None:
    used = {step.operation for text in FORMULAS for step in parse(text, SCOPE).steps}
    assert set(OPERATIONS) <= used


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("0.01", sympy.Rational(1, 100)),
        ("2.5e-3", sympy.Rational(1, 400)),
        ("1/3", sympy.Rational(1, 3)),
        ("2*pi", 2 * sympy.pi),
        ("pi**2/4", sympy.pi**2 / 4),
        ("3.141592653589793", sympy.Rational(3141592653589793, 10**15)),
        ("3.141592653589793 - pi", sympy.Rational(3141592653589793, 10**15) - sympy.pi),
        ("e", sympy.E),
        ("sqrt(8)", 2 * sympy.sqrt(2)),
        ("0.1 + 0.2", sympy.Rational(3, 10)),
        ("cos(pi/3)", sympy.Rational(1, 2)),
        ("-(0.5)**2", -sympy.Rational(1, 4)),
        ("where(1 < 2, pi, 3)", sympy.pi),
    ],
)
def test_numbers_are_what_is_written(text: str, form: sympy.Expr) -> None:
    assert read(text, ("x",)) == form


def test_numbers_reach_functions_and_parameters_as_they_are_written() -> None:
    scope = Scope(("x",), parameters={"k": 0.3}, functions={"rate": parse("k*pi", Scope(("x",), parameters={"k": 0.3}))})
    space = Coordinates(("x",))
    assert applied(parse("sin(rate*x)", scope), space.names, space) == sympy.sin(3 * sympy.pi * symbol("x") / 10)


def test_a_huge_power_of_a_fraction_is_not_written_out() -> None:
    found = read("1.0000001**1000000", ("x",))
    assert found.is_Pow
    assert float(found) == pytest.approx(1.0000001**1000000, rel=1e-9)


def test_laplacian_and_divergence_leave_time_out() -> None:
    space = Coordinates(("x", "t"))
    assert applied(parse("laplacian(t**4*x**2)", Scope(("x", "t"))), space.names, space) == 2 * symbol("t") ** 4


def test_fields_of_python_that_conditions_are_made_of() -> None:
    space = Coordinates(("x", "y"), None, (sympy.Integer(-1), sympy.Integer(0)))
    names = {**space.names, "u": symbol("x") ** 2 * symbol("y")}
    slope = neumann(0.0).operator
    assert slope is not None
    assert applied(slope, names, space) == -2 * symbol("x") * symbol("y")
    assert applied(Difference(slope, Constant(0.5)), names, space) == -2 * symbol("x") * symbol("y") - sympy.Rational(1, 2)


def test_what_has_no_symbolic_form_is_refused() -> None:
    space = Coordinates(("x",))
    with pytest.raises(NotSymbolic, match="PythonField"):
        applied(PythonField(lambda x: x, ("x",)), space.names, space)
    with pytest.raises(NotSymbolic, match="boundary"):
        applied(parse("normal(u)", Scope(("x",), unknowns=("u",))), {**space.names, "u": symbol("x")}, space)
    with pytest.raises(NotSymbolic, match="'u'"):
        applied(parse("u", Scope(("x",), unknowns=("u",))), space.names, space)
    with pytest.raises(NotSymbolic, match="no derivative"):
        derivative(sympy.Function("f", real=True)(symbol("x")), "x")


def test_many_coordinates_as_a_vector() -> None:
    domain = hypercube(6, 0.0, 1.0)
    space = Coordinates(domain.coordinates, domain.vector)
    found = applied(parse("laplacian(sum(x**2))", Scope(domain.coordinates, domain.vector)), space.names, space)
    assert found == 12
