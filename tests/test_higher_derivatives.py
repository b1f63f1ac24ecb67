"""Third and fourth derivatives: jets of formulas against SymPy, the derivatives that operators need, conditions, solutions."""

from __future__ import annotations

import pytest
import sympy
import torch

from pdekan.fields.functions import composed, exp, sin
from pdekan.fields.jets import Frame, Jet, MissingDerivative
from pdekan.fields.multi_indices import Higher, indices, is_closed, layout
from pdekan.fields.operators import dx, laplacian
from pdekan.problem_files.loader import ProblemFileError, loads
from pdekan.problems.problem import Problem

ALL = Higher(indices(2, 3, 4))
BEAM = """
schema = 1
name = "beam"
[domain]
type = "box"
x = [0.0, 1.0]
{more}
[equation]
operator = "{operator}"
source = "manufactured"
[[conditions]]
type = "dirichlet"
on = ["x-", "x+"]
value = "exact"
[exact]
u = "{exact}"
"""


def problem(operator: str, exact: str = "exp(x)", more: str = "") -> Problem:
    return loads(BEAM.format(operator=operator, exact=exact, more=more))


def position(level: Higher = ALL) -> tuple[Jet, Jet]:
    points = 0.3 + torch.rand(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = Frame(("x", "y"), level)
    return frame.coordinate(points, 0), frame.coordinate(points, 1)


@pytest.mark.parametrize(
    "formula",
    [
        "sin(x*y) + cos(x - y)**2", "exp(x)*log(1 + x*y)", "x**3*y**2 + x**4", "sqrt(x + y)/(1 + x*y)", "tanh(3*x - y**2)",
        "erf(x*y)*x", "x**y", "2**(x*y)", "atan(x/y) + asin(x*y/4)", "sinh(x)*cosh(y) + tan(x/2)", "atan2(y, x)",
    ],
)  # fmt: skip
def test_all_derivatives_up_to_fourth_order_agree_with_sympy(formula: str) -> None:
    x, y = position()
    points = torch.stack([x.value, y.value], dim=1)
    parsed = problem("dx(u)", formula, "y = [0.0, 1.0]").exact_jet(points, ALL)
    sx, sy = sympy.symbols("x y", positive=True)
    expression = sympy.sympify(formula, locals={"x": sx, "y": sy})
    for index, place in parsed.frame.layout.places.items():
        derivative = expression.diff(*((sx, sy)[k] for k in index)) if index else expression
        for n, (a, b) in enumerate(points.tolist()):
            exact = float(derivative.evalf(25, subs={sx: a, sy: b}))
            assert float(parsed.flat[n, place]) == pytest.approx(exact, rel=1e-10, abs=1e-10 * (1 + abs(exact)))


def test_a_composition_of_fields_is_the_formula_written_out() -> None:
    x, y = position()
    p, q = x * y, exp(x) - y
    outer = Frame(("a", "b"), ALL)
    inside = torch.stack([p.value, q.value], dim=1)
    a, b = outer.coordinate(inside, 0), outer.coordinate(inside, 1)
    found, expected = composed(sin(a) * b * b, [p, q]), sin(p) * q * q
    torch.testing.assert_close(found.flat, expected.flat, rtol=1e-11, atol=1e-11)


def test_the_pullback_of_products_is_the_transpose_of_products() -> None:
    kept = layout(2, ALL.indices)
    a, u = (torch.randn(3, len(kept.places), generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    cotangent = torch.randn(3, len(ALL.indices), generator=torch.Generator().manual_seed(2)).double()
    there = (cotangent * kept.product(a, u)[:, kept.first :]).sum(1)
    torch.testing.assert_close((kept.pullback(cotangent, a) * u).sum(1), there, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("operator", "needed"),
    [
        ("dx(dx(dx(u))) + dy(u)", {(0, 0, 0)}),
        ("dx(dx(dx(dx(u)))) + dy(dy(u))", {(0, 0, 0), (0, 0, 0, 0)}),
        ("dy(dx(dx(u)))", {(0, 0, 1)}),
        ("laplacian(laplacian(u))", {(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1)}),
        ("div(x*grad(u))*dy(laplacian(u))", {(0, 0, 1), (1, 1, 1)}),
    ],
)
def test_only_the_derivatives_that_an_operator_needs_are_kept(operator: str, needed: set[tuple[int, ...]]) -> None:
    one = problem(operator, "exp(x)*y", "y = [0.0, 1.0]")
    level = one.level_of(one.equations[0].operator, torch.tensor([[0.3, 0.4], [0.5, 0.6]], dtype=torch.float64))
    assert isinstance(level, Higher)
    assert set(level.indices) == needed
    assert is_closed(level.indices)


def test_derivatives_that_are_not_kept_are_refused_and_not_wrong() -> None:
    x, y = position(Higher([(0, 0, 0)]))
    u = sin(x * y)
    third = dx(dx(dx(u)))
    torch.testing.assert_close(third.value, -(y.value**3) * torch.cos(x.value * y.value), rtol=1e-12, atol=1e-12)
    for missing in (lambda: dx(third), lambda: dx(laplacian(u)), lambda: laplacian(dx(u))):
        with pytest.raises(MissingDerivative):
            missing()


def test_a_fifth_derivative_is_refused_with_what_to_do() -> None:
    with pytest.raises(ProblemFileError, match=r"equation.operator: derivatives above fourth order.*as unknowns of their own"):
        problem("dx(dx(dx(dx(dx(u)))))")


def test_periodic_conditions_join_as_many_derivatives_as_the_equation_has() -> None:
    text = BEAM.format(operator="dt(u) + dx(dx(dx(dx(u))))", exact="exp(-t)*sin(2*pi*x)", more="t = [0.0, 1.0]")
    text = text.replace('type = "dirichlet"', 'type = "periodic"').replace('value = "exact"\n', "")
    text += '[[conditions]]\ntype = "initial"\nvalue = "exact"\n'
    labels = [one.label for one in loads(text).conditions[0].requirements(loads(text))]
    assert labels == ["periodic in x", *(f"periodic in x, {what}" for what in ("slope", "derivative 2", "derivative 3"))]
