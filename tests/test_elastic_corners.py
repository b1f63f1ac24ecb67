"""Exponents of elastic bodies at corners against published ones, equations that are elasticity's, solutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from autograd_derivatives import assert_derivatives

import pdekan as pk
from pdekan.cells.corners import vertices
from pdekan.domains.combinations import planar
from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.jets import Derivatives, Frame
from pdekan.singularities.corner_data import data_exponents
from pdekan.singularities.corners import singularities
from pdekan.singularities.elastic_corners import exponents, kappa, powers

L_ANGLE = 1.5 * math.pi
PLANE_STRAIN = 1.8  # κ = 3 - 4ν at ν = 0.3


def test_without_traction_they_are_those_of_problem_3_of_nistir_7668() -> None:
    found = exponents(L_ANGLE, (True, True), PLANE_STRAIN, 1.0)
    assert [one.real for one in found] == pytest.approx([0.5444837367825, 0.9085291898461, 1.0], abs=1e-9)


def test_at_a_crack_they_are_halves_and_at_an_interface_of_conditions_they_oscillate() -> None:
    assert exponents(2 * math.pi, (True, True), PLANE_STRAIN, 2.1) == pytest.approx([0.5, 1.0, 1.5, 2.0])
    (first, *_) = exponents(math.pi, (False, True), PLANE_STRAIN, 1.0)
    assert first == pytest.approx(0.5 + 1j * math.log(PLANE_STRAIN) / (2 * math.pi))  # Muskhelishvili (1953), section 114


@pytest.mark.parametrize("free", [(True, True), (False, False)])
def test_exponents_are_zeros_of_the_conditions_on_both_sides(free: tuple[bool, bool]) -> None:
    """The conditions on both sides of the sector, by finite differences, are a singular matrix of the functions."""
    order = exponents(L_ANGLE, free, PLANE_STRAIN, 0.9)[0].real

    def smallest(order: float) -> float:
        rows = []
        for angle in (0.0, L_ANGLE):
            rows += list(_conditions(order, angle, free[0]))
        values = np.linalg.svd(np.array(rows), compute_uv=False)
        return float(values[-1] / values[0])

    assert smallest(order) < 1e-6
    assert smallest(order + 0.05) > 1e-3


def _conditions(order: float, angle: float, free: bool) -> np.ndarray:
    """Displacements or tractions at (r, θ) = (1, angle) of A = 1, i and B = 1, i: two rows, four columns. μ = 1."""

    def displacement(x: float, y: float, a: complex, b: complex) -> np.ndarray:
        w = complex(x, y) * np.exp(-0.5j * L_ANGLE)  # the cut of the angle is opposite to the bisector
        power = np.exp(order * (np.log(abs(w)) + 1j * (np.angle(w) + 0.5 * L_ANGLE)))
        z = complex(x, y)
        u = PLANE_STRAIN * a * power - z * np.conj(order * a * power / z) - np.conj(b * power)
        return np.array([u.real, u.imag]) / 2.0

    h, x, y = 1e-5, math.cos(angle), math.sin(angle)
    columns = []
    for a, b in ((1, 0), (1j, 0), (0, 1), (0, 1j)):
        if not free:
            columns.append(displacement(x, y, a, b))
            continue
        dx = (displacement(x + h, y, a, b) - displacement(x - h, y, a, b)) / (2 * h)
        dy = (displacement(x, y + h, a, b) - displacement(x, y - h, a, b)) / (2 * h)
        nu = (3.0 - PLANE_STRAIN) / 4.0
        lam = 2.0 * nu / (1.0 - 2.0 * nu)
        div, shear = dx[0] + dy[1], dx[1] + dy[0]
        n = (-y, x)
        columns.append(
            np.array([
                (lam * div + 2 * dx[0]) * n[0] + shear * n[1], shear * n[0] + (lam * div + 2 * dy[1]) * n[1],
            ])
        )  # fmt: skip
    return np.array(columns).T


def test_equations_of_isotropic_bodies_are_known_by_their_coefficients() -> None:
    mu, lam = 0.5, 1.2
    own = [np.diag([lam + 2 * mu, mu]), np.diag([mu, lam + 2 * mu])]
    mixed = np.array([[0.0, 0.5 * (lam + mu)], [0.5 * (lam + mu), 0.0]])
    assert kappa([[own[0], mixed], [-3 * mixed, -3 * own[1]]]) == pytest.approx((lam + 3 * mu) / (lam + mu))
    assert kappa([[own[0], mixed], [mixed, 1.1 * own[1]]]) is None
    assert kappa([[np.eye(2), 0 * mixed], [0 * mixed, np.eye(2)]]) is None


def test_derivatives_of_complex_powers_are_those_of_autograd() -> None:
    functions = CornerFunctions((0.3, -0.2), (0.8, 0.5, -0.6, 1.1), 4.0, tuple(powers(1.6 + 0.3j)))
    assert_derivatives(functions, torch.as_tensor(np.random.default_rng(0).random((20, 2)) + 0.5))


def test_values_of_a_complex_power() -> None:
    """r^(α + iβ) e^(i(α + iβ)θ): its real part at r = 2, θ = 0 is 2^α cos(β log 2)."""
    functions = CornerFunctions((0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 0.0, (Power(1.5, 1.5, False, False, 0.3),))
    value = functions.jet(torch.tensor([[2.0, 0.0]], dtype=torch.float64), Frame(("x", "y"), Derivatives.VALUE)).value
    assert float(value) == pytest.approx(2**1.5 * math.cos(0.3 * math.log(2.0)))


def test_a_crack_whose_values_are_given_has_their_exponents() -> None:
    """Those of the values along the crack, 0.5445, are none of the corner's, which are halves."""
    (tip,) = (one for one in singularities(pk.load_problem("nist/03_elasticity_mode1")) if one.point == (0.0, 0.0))
    assert tip.exponents == pytest.approx([0.5, 0.5444837367825, 1.5, 1.5444837367825, 2.5, 2.5444837367825, 3.5], abs=1e-6)


@pytest.mark.nightly  # by day: its exponents, and a solution with functions of a corner
def test_a_crack_whose_values_are_given_is_solved_to_round_off() -> None:
    solution = pk.solve("nist/03_elasticity_mode1", estimate=False)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert max(one.h1_seminorm_relative for one in solution.errors.values()) < 1e-10


def test_singular_values_at_a_corner_of_a_square_bring_their_exponent() -> None:
    """u = r^(1/2) cos(θ/2) on the unit square, harmonic, with values like √x and √y/√2 beside the corner."""

    def exact(x: pk.Jet, y: pk.Jet) -> pk.Jet:
        return (x * x + y * y) ** 0.25 * pk.cos(pk.atan2(y, x) * 0.5)

    square = pk.box(x=(0, 1), y=(0, 1))
    problem = pk.Problem(square, lambda u: pk.laplacian(u), 0.0, (pk.dirichlet(pk.EXACT),), exact=exact)
    (corner,) = (one for one in singularities(problem) if one.point == (0.0, 0.0))
    assert corner.exponents[0] == pytest.approx(0.5, abs=1e-7)
    solution = pk.solve(problem, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].h1_seminorm_relative < 1e-6


def test_singular_slopes_bring_an_exponent_larger_by_one() -> None:
    """A slope like x^-0.6 on y = 0 and a value like y^1.3 on x = 0."""
    square = pk.box(x=(0, 1), y=(0, 1))
    conditions = (
        pk.neumann(lambda x: x**-0.6 * (1.0 + x), on="y-"),
        pk.dirichlet(lambda y: y**1.3, on="x-"),
        pk.dirichlet(0.0, on=["x+", "y+"]),
    )
    problem = pk.Problem(square, lambda u: pk.laplacian(u), 0.0, conditions)
    domain = planar(square)
    (corner,) = (one for one in vertices(domain) if one.point == (0.0, 0.0))
    assert data_exponents(problem, domain, corner) == pytest.approx([0.4, 1.3], abs=1e-7)
