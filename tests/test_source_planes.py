"""Sources that are infinite or jump at planes: exponents against closed forms, derivatives against autograd, solutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from autograd_derivatives import assert_derivatives

import pdekan as pk
from pdekan import EXACT, Problem, TrainingOptions, dirichlet, dx, laplacian, where
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.networks.kinds import build
from pdekan.networks.singular import SingularNetwork
from pdekan.residuals.singular_points import with_points_beside
from pdekan.singularities.power_laws import NoPowerLawError, exponent
from pdekan.singularities.source_planes import plane_functions

SQUARE = pk.box(x=(0, 1), y=(0, 1))
QUICK = TrainingOptions(seconds=20.0)


def test_derivatives_are_those_of_autograd() -> None:
    functions = PlaneFunctions((0.1, 0.2), (0.6, 0.8), (1.1, 2.0, 3.6), 3)
    points = torch.as_tensor(np.random.default_rng(0).random((20, 2)) - 0.3)
    values = functions.jet(points, Frame(("x", "y"), Derivatives.VALUE)).value
    assert values.shape == (20, functions.count)
    assert bool((values == 0.0).all(dim=1).any())  # on the other side
    assert_derivatives(functions, points)


def test_values_are_powers_of_the_distance() -> None:
    functions = PlaneFunctions((0.5, 0.0), (0.5, 0.0), (1.5,), 1)
    values = functions.jet(
        torch.tensor([[1.0, 0.25], [0.0, 0.25]], dtype=torch.float64), Frame(("x", "y"), Derivatives.VALUE)
    ).value
    assert values.abs()[0].tolist() == pytest.approx([0.25**1.5, 0.25 * 0.25**1.5])  # P_1 of y, over half of the size
    assert values[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("order", [-1.4, -0.9, -0.3, 0.5, 1.7])
def test_exponent_of_a_sum_of_powers(order: float) -> None:
    found = exponent(lambda t: t**order * (2.0 + np.sin(t)) + np.exp(t), 1.0)
    assert found == pytest.approx(order, abs=1e-7)


def test_smooth_functions_have_no_exponent() -> None:
    assert exponent(lambda t: np.exp(3.0 * t) + 1.0, 1.0) is None
    assert exponent(lambda t: np.zeros_like(t), 1.0) is None
    assert exponent(lambda t: np.exp(-740.0 + 20.0 * t), 1.0) is None  # smaller than all normal numbers
    assert exponent(lambda t: np.exp(-1000.0 * (1.0 - 20.0 * t) ** 2), 1.0) is None  # some are


def test_logarithms_are_no_powers() -> None:
    with pytest.raises(NoPowerLawError):
        exponent(np.log, 1.0)


def power(x: Jet, exponent: float) -> Jet:
    return where(x.value > 0.0, where(x.value > 0.0, x, 1.0) ** exponent, 0.0)


def test_planes_are_found_on_faces_and_inside() -> None:
    """On the left x^-0.7 gives u like x^1.3; along x + y = 1.2 there is a jump."""
    problem = Problem(
        SQUARE, lambda u: -laplacian(u), lambda x, y: x**-0.7 + where((x + y).value > 1.2, 3.0, x * y), (dirichlet(0.0),)
    )
    face, line = plane_functions(problem)
    assert face.powers == pytest.approx([1.3, 2.3, 3.3, 4.3, 5.3], abs=1e-7)
    assert face.normal == pytest.approx((1.0, 0.0))
    assert line.powers == (2.0, 3.0, 4.0, 5.0, 6.0)
    assert np.abs(line.normal) == pytest.approx([0.5**0.5] * 2)
    assert np.array(line.point) @ np.array(line.normal) == pytest.approx(np.sign(line.normal[0]) * 1.2 * 0.5**0.5)


def test_smooth_problems_have_none() -> None:
    assert plane_functions(pk.load_problem("poisson_sine")) == ()
    assert plane_functions(pk.load_problem("nist/04_peak")) == ()


def test_points_beside_a_plane_have_rows_of_the_same_size() -> None:
    """The source is like s^-1.4 there: weights times its square are one number, and a tenth of all weights is theirs."""
    inside = SQUARE.interior(4, 4, 0, 0)
    rule = with_points_beside(inside, SQUARE, [PlaneFunctions((0.0, 0.5), (1.0, 0.0), (0.6, 1.6), 3)], 0)
    s, weights = rule.points[len(inside.points) :, 0], rule.weights[len(inside.points) :]
    assert len(s) == 9 * 2 * 4
    assert s.min() == pytest.approx(1e-6)
    assert s.max() == pytest.approx(1e-2)
    assert weights * s**-2.8 == pytest.approx(weights[0] * s[0] ** -2.8)
    assert with_points_beside(inside, SQUARE, [PlaneFunctions((0.0, 0.5), (1.0, 0.0), (2.0,), 3)], 0) is inside


def test_infinite_source_at_a_side_is_solved_and_stored(tmp_path: Path) -> None:
    problem = Problem(
        SQUARE, lambda u: -laplacian(u), EXACT, (dirichlet(EXACT),),
        exact=lambda x, y: x**0.7 * pk.sin(2.0 * y) + pk.exp(x * y), training=QUICK,
    )  # fmt: skip
    solution = pk.solve(problem, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].h1_seminorm_relative < 1e-6
    assert isinstance(solution.network, SingularNetwork)
    points = np.random.default_rng(0).random((50, 2))
    solution.save(tmp_path / "solution.vtkhdf")
    assert np.array_equal(pk.load_solution(tmp_path / "solution.vtkhdf")(points), solution(points))


def test_stored_planes_of_a_huge_degree_are_refused() -> None:
    network = pk.KAN([2, 2, 1], degree=3, intervals=2)
    architecture = SingularNetwork(network, [PlaneFunctions((0.0, 0.0), (1.0, 0.0), (1.5,), 3)]).architecture()
    architecture["planes"][0]["degree"] = 10**6
    with pytest.raises(ValueError, match="degree"):
        build(architecture)


def test_source_between_two_sides_is_solved() -> None:
    """-u'' = |x - 0.3|^-0.5 with zero ends: u = 4/3 (0.3^1.5 (1 - x) + 0.7^1.5 x - |x - 0.3|^1.5)."""
    problem = Problem(
        pk.box(x=(0, 1)), lambda u: -dx(dx(u)), lambda x: ((x - 0.3) * (x - 0.3)) ** -0.25, (dirichlet(0.0),), training=QUICK
    )  # fmt: skip
    solution = pk.solve(problem, estimate=False)
    x = np.linspace(0.0, 1.0, 41)
    exact = 4.0 / 3.0 * (0.3**1.5 * (1.0 - x) + 0.7**1.5 * x - np.abs(x - 0.3) ** 1.5)
    assert np.abs(solution(x[:, None]) - exact).max() < 1e-9


def test_planes_of_sources_that_an_exact_solution_makes_are_found() -> None:
    """|s|^1.5 across a slanted line, whose Laplacian is infinite on both sides."""

    def exact(x: Jet, y: Jet) -> Jet:
        s = x - 0.6 * y - 0.13
        return (s * s) ** 0.75

    problem = Problem(SQUARE, lambda u: -laplacian(u), EXACT, (dirichlet(EXACT),), exact=exact)
    found = plane_functions(problem)
    assert [one.powers[0] for one in found] == pytest.approx([1.5, 1.5], abs=1e-6)
    assert np.abs(found[0].normal) == pytest.approx(np.array([1.0, 0.6]) / np.hypot(1.0, 0.6))


def test_an_infinite_source_at_an_end_of_an_interval_is_solved() -> None:
    """Neither cells nor graded points go down to where x^-1.4 cannot be computed with."""
    problem = Problem(
        pk.box(x=(0, 1)), lambda u: -dx(dx(u)), EXACT, (dirichlet(EXACT),),
        exact=lambda x: x**0.6 + pk.sin(5.0 * x), training=QUICK,
    )  # fmt: skip
    solution = pk.solve(problem, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-9
