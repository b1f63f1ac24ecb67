"""Third and fourth derivatives: jets of formulas against SymPy, the derivatives that operators need, conditions, solutions."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import sympy
import torch

from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.shapes import disk
from pdekan.fields.functions import composed, exp, sin
from pdekan.fields.jets import Frame, Jet, MissingDerivative
from pdekan.fields.multi_indices import Higher, indices, is_closed, layout
from pdekan.fields.operators import dt, dx, laplacian
from pdekan.problem_files.loader import ProblemFileError, loads
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import dirichlet, initial, neumann, periodic, robin
from pdekan.problems.formulas import EXACT, Formula, ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.training.posedness.uniqueness import missing_conditions, refuse_undetermined
from pdekan.training.solver import solve

Conditions = tuple[Condition, ...]
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
    points = 0.3 + torch.rand(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
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
        value = sympy.lambdify((sx, sy), derivative, "mpmath")
        for n, (a, b) in enumerate(points.tolist()):
            exact = float(value(a, b))
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


def test_a_level_is_copied_with_its_derivatives() -> None:
    assert copy.deepcopy(ALL) == ALL != Higher([(0, 0, 0)])
    assert pickle.loads(pickle.dumps(ALL)).indices == ALL.indices


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


SQUARE, CHANNEL, ROD = box(x=(0, 1), y=(0, 1)), box(x=(0, 4), t=(0, 1)), box(x=(0, 1))


def bending(u: Jet) -> Jet:
    return laplacian(laplacian(u))


def dispersion(u: Jet) -> Jet:
    return dt(u) + dx(dx(dx(u)))


MOMENT, SHEAR = robin(lambda u: dx(dx(u)), 0.0, "x+"), robin(lambda u: dx(dx(dx(u))), 0.0, "x+")


@pytest.mark.parametrize(
    ("domain", "operator", "conditions"),
    [
        (ROD, bending, [dirichlet(), neumann()]),
        (ROD, bending, [dirichlet(0.0, "x-"), neumann(0.0, "x-"), MOMENT, SHEAR]),
        (SQUARE, bending, [dirichlet(), neumann()]),
        (disk(), bending, [dirichlet(0.0, "outer"), neumann(0.0, "outer")]),
        (CHANNEL, dispersion, [initial(), dirichlet(), neumann(0.0, "x+")]),
        (CHANNEL, dispersion, [initial(), periodic("x")]),
    ],
)
def test_conditions_that_determine_the_solution_are_enough(domain: Domain, operator: Formula, conditions: Conditions) -> None:
    assert not list(missing_conditions(Problem(domain, operator, 0.0, conditions)))


@pytest.mark.parametrize(
    ("domain", "operator", "conditions", "words"),
    [
        (ROD, bending, [dirichlet(), neumann(0.0, "x-")], r"4 conditions on x- and x\+ together, of which 3"),
        (SQUARE, bending, [dirichlet()], r"4 conditions on y- and y\+ together, of which 2"),
        (disk(), bending, [dirichlet(0.0, "outer")], "2 conditions on outer, of which 1"),
        (CHANNEL, dispersion, [initial(), dirichlet()], r"3 conditions on x- and x\+ together, of which 2"),
        (CHANNEL, lambda u: dt(dt(u)) + bending(u), [initial(), dirichlet(), neumann()], r'operator = "dt\(u\)"'),
    ],
)
def test_a_condition_too_few_is_refused_with_how_many_are_needed(
    domain: Domain, operator: Formula, conditions: Conditions, words: str
) -> None:
    with pytest.raises(ProblemError, match=words):
        refuse_undetermined(Problem(domain, operator, 0.0, conditions))


def test_a_beam_is_solved_to_round_off() -> None:
    """A cantilever under its weight, u = x² (6 - 4 x + x²) / 24: the bending moment and the shear force vanish at its end."""
    conditions = [dirichlet(0.0, "x-"), neumann(0.0, "x-"), MOMENT, SHEAR]
    solution = solve(Problem(ROD, bending, 1.0, conditions, exact=lambda x: x * x * (x * x - 4.0 * x + 6.0) / 24.0))
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-11


@pytest.mark.parametrize("options", [NetworkOptions(kind="mlp", hidden=[8]), NetworkOptions(hidden=[4], degree=7, intervals=4)])
def test_every_network_trains_on_a_fourth_derivative(options: NetworkOptions) -> None:
    one = Problem(ROD, bending, lambda x: exp(x), [dirichlet(EXACT), neumann(EXACT)], exact=lambda x: exp(x), network=options)
    solution = solve(one, training=TrainingOptions(steps=40, seconds=20.0), estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-6


def test_exact_conditions_hold_where_the_equation_is_of_fourth_order() -> None:
    conditions = [dirichlet(EXACT, enforce="exact"), neumann(EXACT)]
    solution = solve(Problem(SQUARE, bending, EXACT, conditions, exact=lambda x, y: x**3 * y**2), estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-7
    edge = np.array([[0.0, 0.3], [1.0, 0.7], [0.4, 1.0]])
    np.testing.assert_allclose(solution(edge), edge[:, 0] ** 3 * edge[:, 1] ** 2, atol=1e-14)


def test_an_initial_value_problem_of_third_order_is_solved_in_slabs() -> None:
    conditions = [initial(EXACT), initial(EXACT, lambda u: dt(u)), initial(EXACT, lambda u: dt(dt(u)))]
    one = Problem(box(t=(0, 3)), lambda u: dt(dt(dt(u))) + u * dt(dt(u)), EXACT, conditions, exact=lambda t: sin(t * 3.0))
    solution = solve(one)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-7


def test_finite_elements_say_that_they_know_second_order_only() -> None:
    conditions = [dirichlet(), neumann()]
    with pytest.raises(ProblemError, match='reference = "fem" knows equations of second order'):
        solve(Problem(SQUARE, bending, 1.0, conditions, exact_reference="fem"))
