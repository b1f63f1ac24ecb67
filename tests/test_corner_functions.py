"""Functions of corners: their derivatives against autograd, exponents against closed forms, solutions that need them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from autograd_derivatives import assert_derivatives

import pdekan as pk
from pdekan import EXACT, Problem, TrainingOptions, dirichlet, laplacian, neumann
from pdekan.domains.base import Domain
from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.singular import SingularNetwork
from pdekan.singularities.corners import singularities
from pdekan.singularities.crossings import Sector, exponents

L_SHAPE = pk.polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)])
HEXAGON = pk.polygon([(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)])
SLIT = pk.polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)])
SQUARE = pk.box(x=(0, 1), y=(0, 1))
SIDES = [f"edge{k}" for k in range(2, 7)]
POWERS = (Power(0.7, 0.7, False), Power(2.0, 2.0, True, True), Power(1.7, 0.3, True), Power(2.4, 0.4, False, True))


def poisson(domain: Domain, source: float = 1.0) -> Problem:
    return Problem(domain, lambda u: -laplacian(u), source, (dirichlet(0.0),))


@pytest.mark.parametrize("far", [0.0, 0.7])
def test_derivatives_of_corner_functions_are_those_of_autograd(far: float) -> None:
    functions = CornerFunctions((0.3, -0.2), (0.8, 0.5, -0.6, 1.1), 4.0, POWERS, far=far)
    assert_derivatives(functions, torch.as_tensor(np.random.default_rng(0).random((20, 2)) + 0.5))


def test_values_of_corner_functions_are_their_formulas() -> None:
    """On the second side of a right angle at the origin θ is π/2; in its middle π/4."""
    functions = CornerFunctions(
        (0.0, 0.0), (math.sqrt(0.5), math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(0.5)), math.pi / 2, POWERS
    )
    for angle in (0.0, math.pi / 4, math.pi / 2):
        points = torch.tensor([[2.0 * math.cos(angle), 2.0 * math.sin(angle)]], dtype=torch.float64)
        value = functions.jet(points, Frame(("x", "y"), Derivatives.VALUE)).value[0].tolist()
        log = math.log(2.0)
        assert value == pytest.approx([
            2**0.7 * math.cos(0.7 * angle),
            4.0 * (log * math.sin(2.0 * angle) + angle * math.cos(2.0 * angle)),
            2**1.7 * math.sin(0.3 * angle),
            2**2.4 * (log * math.cos(0.4 * angle) - angle * math.sin(0.4 * angle)),
        ])  # fmt: skip


def test_harmonic_ones_are_harmonic_to_the_last_digit_beside_the_corner() -> None:
    functions = CornerFunctions(
        (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 1.5 * math.pi, (Power(2 / 3, 2 / 3, True), Power(2.0, 2.0, True, True))
    )
    points = torch.tensor([[1e-6, 2e-6], [-1e-9, 1e-9]], dtype=torch.float64)
    second = functions.jet(points, Frame(("x", "y"), Derivatives.SUMMED)).second
    assert second is not None
    assert (second == 0.0).all()


@pytest.mark.parametrize(
    ("problem", "point", "exponents"),
    [
        (poisson(L_SHAPE, 0.0), (0.0, 0.0), [2 / 3, 4 / 3, 8 / 3, 10 / 3]),
        (poisson(L_SHAPE, 1.0), (0.0, 0.0), [2 / 3, 4 / 3, 2.0, 8 / 3]),  # r² log r, by the source
        (poisson(SLIT, 0.0), (0.0, 0.0), [0.5, 1.5, 2.5, 3.5]),
        (poisson(HEXAGON), (1.0, 0.0), [1.5, 4.5, 7.5]),  # and no logarithms where r³ sin 3θ agrees with the data
        (
            Problem(L_SHAPE, lambda u: laplacian(u), 0.0, (dirichlet(0.0, on="edge1"), neumann(0.0, on=SIDES))),
            (0.0, 0.0), [1 / 3, 5 / 3, 7 / 3],
        ),
        (poisson(SQUARE), (0.0, 0.0), [2.0, 4.0, 6.0, 8.0]),
    ],
)  # fmt: skip
def test_exponents(problem: Problem, point: tuple[float, float], exponents: list[float]) -> None:
    found = {tuple(np.round(one.point, 9) + 0.0): one for one in singularities(problem)}
    np.testing.assert_allclose(found[point].exponents[: len(exponents)], exponents)


def test_where_smooth_data_agree_there_are_no_functions() -> None:
    smooth = Problem(
        SQUARE, lambda u: -laplacian(u) + u, EXACT, (dirichlet(EXACT),), exact=lambda x, y: pk.exp(x) * pk.sin(2 * x + y)
    )
    assert singularities(smooth) == []


def test_the_principal_part_at_the_corner_decides() -> None:
    """-u_xx - 4 u_yy on a sector: the image of y under y/2 has another angle."""
    wedge = pk.polygon([(0, 0), (1, 0), (1, 2), (0, 2), (-1, 1)])  # interior angle 3π/4 at the origin
    problem = Problem(wedge, lambda u: -pk.dx(pk.dx(u)) - 4 * pk.dy(pk.dy(u)), 0.0, (dirichlet(0.0),))
    (one,) = (one for one in singularities(problem) if one.point == (0.0, 0.0))
    assert one.exponents[0] == pytest.approx(math.pi / (math.pi - math.atan(0.5)))


def test_a_corner_where_the_condition_changes_is_solved_to_round_off() -> None:
    """u = r^(1/3) sin(θ/3): u = 0 at θ = 0, u_θ = 0 at 3π/2."""

    def exact(x: pk.Jet, y: pk.Jet) -> pk.Jet:
        theta = 3 * math.pi / 4 + pk.atan2(-x - y, y - x)
        return (x * x + y * y) ** (1 / 6) * pk.sin(theta / 3)

    conditions = (dirichlet(0.0, on="edge1"), neumann(0.0, on="edge6"), dirichlet(exact, on=SIDES[:-1]))
    solution = pk.solve(Problem(L_SHAPE, lambda u: laplacian(u), 0.0, conditions))
    assert solution.status == "converged"
    r = np.array([1e-4, 1e-2, 0.5])
    np.testing.assert_allclose(
        solution(np.stack([-r, r], axis=1)), (math.sqrt(2.0) * r) ** (1 / 3) * math.sin(math.pi / 4), atol=1e-12
    )


def test_the_source_one_on_a_square_against_the_series_and_from_a_file(tmp_path: Path) -> None:
    """u(1/2, 1/2) = 1/8 - Σ 4 sin(mπ/2) / (π³ m³ cosh(mπ/2)) over odd m: x (1 - x)/2 less a harmonic series."""
    solution = pk.solve(poisson(SQUARE), training=TrainingOptions(seconds=20.0))
    k = np.arange(1, 60, 2)
    signs = np.where((k - 1) % 4 == 0, 1.0, -1.0)
    middle = 0.125 - float((4 * signs / (math.pi**3 * k**3 * np.cosh(k * math.pi / 2))).sum())
    assert isinstance(solution.network, SingularNetwork)
    assert float(solution([[0.5, 0.5]])[0]) == pytest.approx(middle, rel=1e-7)
    path = tmp_path / "square.vtkhdf"
    solution.save(path)
    again = pk.load_solution(path)
    points = np.random.default_rng(0).random((50, 2))
    np.testing.assert_array_equal(again(points), solution(points))


def test_exponents_where_interfaces_cross_are_those_of_closed_forms() -> None:
    """Kellogg's crossing with R = 161.4476… has λ = 0.1 (NISTIR 7668, problem 11); without jumps there are integers alone."""
    quarter = 0.5 * math.pi
    crossing = [Sector(k * quarter, quarter, 161.4476387975881 if k % 2 == 0 else 1.0) for k in range(4)]
    np.testing.assert_allclose(exponents(crossing, None, 2.05), [0.1, 1.9, 2.0], atol=1e-9)
    np.testing.assert_allclose(exponents([Sector(0.0, 4 * quarter, 3.0)], None, 2.5), [1.0, 2.0], atol=1e-7)
    two = [Sector(0.0, quarter, 1.0), Sector(quarter, 2 * quarter, 1.0)]  # an angle of 3π/2
    np.testing.assert_allclose(exponents(two, (False, False), 1.5), [2 / 3, 4 / 3], atol=1e-9)
    np.testing.assert_allclose(exponents(two, (False, True), 1.1), [1 / 3, 1.0], atol=1e-9)
    # tan(λ π/2)² = k₂/k₁ between a value on one side and a slope on the other
    unlike = [Sector(0.0, quarter, 1.0), Sector(quarter, quarter, 4.0)]
    np.testing.assert_allclose(exponents(unlike, (False, True), 0.9), [2.0 / math.pi * math.atan(0.5)], atol=1e-9)


def test_the_functions_of_a_crossing_are_found_without_declarations() -> None:
    (crossing,) = singularities(pk.load_problem("nist/11_crossing"))
    assert crossing.point == pytest.approx((0.0, 0.0), abs=1e-9)
    assert crossing.exponents[0] == pytest.approx(0.1, abs=1e-6)


@pytest.mark.nightly  # by day: that its functions are found, and that solutions at corners have theirs
def test_the_crossing_of_interfaces_is_solved_without_declarations() -> None:
    solution = pk.solve("nist/11_crossing", training=TrainingOptions(steps=1), estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-6
    assert solution.errors["u"].h1_seminorm_relative < 1e-6
