"""Formulas written out: each text is read, or run, again and gives the same values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy
from sympy import (
    Abs,
    Float,
    Max,
    Min,
    Piecewise,
    Rational,
    acosh,
    acot,
    coth,
    erf,
    erfc,
    exp,
    log,
    pi,
    sech,
    sign,
    sin,
    sqrt,
    tan,
)

from pdekan.problem_files.parser import ExpressionError
from pdekan.symbolic.expressions import NotSymbolic, symbol
from pdekan.symbolic.writing import latex, python_source, read, text

x, y = symbol("x"), symbol("y")
EXPRESSIONS = [
    sin(pi * x) * exp(-y / 3), Rational(1, 3) ** x, 2 ** (x / 3), sympy.E * x, x**-2, (x + y) ** Rational(1, 3), 1 / (x * y),
    -x / (2 * y) + sqrt(2) / 3,
    Piecewise((x, (x < 1) & (y > Rational(7, 10))), (y, (x > 2) | (y < 1)), (0, True)),
    acosh(2 + x),
    Float(0.1) * x**1.5, x ** -Rational(2, 3), Abs(x - y) + Max(x, y, 1), Min(x, y) * sign(y - x), erf(x) - erfc(y), x ** (-y),
    -(x**2), (-x) ** 3, pi**-2, Rational(-2, 3) * (x - 1) ** 2, tan(x) / coth(y), sech(x), acot(x), x ** (y**x), (x**y) ** x,
    log(x) / log(10), sympy.atan2(y, -x), Float(1.5e-300) * x, 10**20 * y, sympy.Integer(3), sqrt(x) / sqrt(y), 1 / sqrt(x + y),
    exp(-((x - Rational(3, 10)) ** 2) / (4 * y + 1)) / (4 * y + 1), -sqrt(3) * (-x + Rational(1, 2)) / 7, exp(x) ** 2 / exp(y),
]  # fmt: skip
PLACES = np.random.default_rng(3).uniform(0.3, 1.9, (12, 2))


def at(expression: sympy.Expr) -> list[float]:
    return [float(expression.subs({x: a, y: b})) for a, b in PLACES.tolist()]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_text_is_read_again(expression: sympy.Expr) -> None:
    np.testing.assert_allclose(at(read(text(expression), ("x", "y"))), at(expression), rtol=1e-13)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_sympys_own_text_is_read_again(expression: sympy.Expr) -> None:
    try:
        found = read(sympy.srepr(expression), ("x", "y"))
    except ExpressionError:
        assert expression.has(acosh, coth, sech, acot, erfc)  # what formulas have no name for
    else:
        assert found == expression


def test_exact_expressions_come_back_the_same() -> None:
    for expression in (sin(2 * pi * x) / 3, sqrt(2) * exp(-(pi**2) * y / 10), Rational(1, 7) * x**2 - sympy.E):
        assert read(text(expression), ("x", "y")) == expression


@pytest.mark.parametrize("expression", [sympy.I * x, sympy.gamma(x), sympy.oo + 0 * x, Piecewise((x, x > 0)), sympy.nan])
def test_what_formulas_cannot_say_is_refused(expression: sympy.Expr) -> None:
    with pytest.raises(NotSymbolic):
        text(expression)
    with pytest.raises(NotSymbolic):
        python_source({"u": expression}, ("x",))


@pytest.mark.parametrize(
    "written",
    ["__import__('os')", "sin('x')", "Add('1', 2)", "Symbol(name)", "Integer('__import__(\"os\")')",
     "Mul(open('x'), Integer(1))", "Pow(Symbol('x', real=True), Lambda(1))", "Float(__import__('os'))"],
)  # fmt: skip
def test_text_is_never_run(written: str) -> None:
    with pytest.raises((ExpressionError, ValueError)):
        read(written, ("x",))


def test_the_python_function_stands_alone(tmp_path: Path) -> None:
    """In a process of its own, of which only NumPy and SciPy are asked."""
    names = {f"u{k}": expression for k, expression in enumerate(EXPRESSIONS)}
    program = (
        python_source(names, ("x", "y"))
        + "\nimport json, sys\n"
        + "assert not [m for m in sys.modules if m.startswith(('sympy', 'torch', 'pdekan'))]\n"
        + f"p = numpy.array({PLACES.tolist()})\n"
        + f"print(json.dumps([globals()[n](p[:, 0], p[:, 1]).tolist() for n in {list(names)}]))\n"
    )
    file = tmp_path / "formula.py"
    file.write_text(program, encoding="utf-8")
    run = subprocess.run([sys.executable, "-W", "error", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for found, expression in zip(json.loads(run.stdout), EXPRESSIONS, strict=True):
        np.testing.assert_allclose(found, at(expression), rtol=1e-12)


def test_the_module_needs_nothing_but_what_it_imports() -> None:
    source = python_source({"u": pi * x + sympy.E}, ("x",))
    assert "scipy" not in source
    space: dict[str, object] = {}
    exec(source, space)
    assert space["u"](2.0) == pytest.approx(2.0 * np.pi + np.e)  # type: ignore[operator]


def test_the_python_function_broadcasts_and_takes_whole_numbers() -> None:
    space: dict[str, object] = {}
    exec(python_source({"u": x**-2 + y, "one": sympy.Integer(1)}, ("x", "y")), space)
    u, one = space["u"], space["one"]
    assert callable(u)
    assert callable(one)
    np.testing.assert_array_equal(u(np.array([[1], [2]]), np.array([0, 1])), [[1.0, 2.0], [0.25, 1.25]])
    np.testing.assert_array_equal(one(np.zeros((2, 1)), 0), np.ones((2, 1)))


def test_latex() -> None:
    assert latex(sqrt(2) * sin(pi * x) / 3) == r"\frac{\sqrt{2} \sin{\left(\pi x \right)}}{3}"
