"""Quadrature rules: exactness, measure, normals, and the divergence theorem that ties faces to the inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdekan.domains.box import Box, box, hypercube
from pdekan.domains.quadrature import gauss, sobol, tensor_gauss

BOXES = {
    "line": box(x=(-1, 2)),
    "rectangle": box(x=(-1, 1), y=(0.5, 3)),
    "space and time": box(x=(0, 1), t=(0, 0.25)),
    "cuboid": box(x=(-1, 1), y=(0, 0.5), z=(2, 5)),
}
every_box = pytest.mark.parametrize("domain", BOXES.values(), ids=BOXES.keys())


def monomial_integral(domain: Box, powers: np.ndarray) -> float:
    a, b = np.array(domain.lower), np.array(domain.upper)
    return float(np.prod((b ** (powers + 1) - a ** (powers + 1)) / (powers + 1)))


@given(st.integers(1, 12), st.integers(1, 5), st.floats(-3, 3), st.floats(0.1, 4))
def test_gauss_is_exact_to_degree_twice_the_order_less_one(order: int, cells: int, lower: float, width: float) -> None:
    points, weights = gauss(lower, lower + width, cells, order)
    assert points.shape == weights.shape == (cells * order,)
    assert (weights > 0).all()
    assert (np.diff(points) > 0).all()
    # Legendre polynomials, shifted to the interval: the integral is the width for degree 0, nothing for the others
    for degree in range(2 * order):
        polynomial = np.polynomial.Legendre.basis(degree, domain=[lower, lower + width])
        assert weights @ polynomial(points) == pytest.approx(width if degree == 0 else 0.0, abs=1e-13 * width * order)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_gauss_is_not_exact_one_degree_further_and_converges_with_the_cells(order: int) -> None:
    exact = 2.0 / (2 * order + 1)
    errors = []
    for cells in (1, 2, 4):
        points, weights = gauss(-1.0, 1.0, cells, order)
        errors.append(exact - weights @ points ** (2 * order))
    assert errors[0] > 1e-5
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(rates, 2 * order, atol=0.02)


@every_box
@pytest.mark.parametrize(("cells", "order"), [(1, 3), (3, 2), (2, 4)])
def test_tensor_rules_are_exact_for_every_monomial_inside(domain: Box, cells: int, order: int) -> None:
    rule = domain.interior(cells, order, 0, 0)
    assert rule.points.shape == ((cells * order) ** domain.dimension, domain.dimension)
    assert rule.normals is None
    assert rule.weights.sum() == pytest.approx(domain.measure, rel=1e-14)
    assert (rule.points > domain.lower).all()
    assert (rule.points < domain.upper).all()
    for powers in np.ndindex(*(2 * order,) * domain.dimension):
        exact = monomial_integral(domain, np.array(powers))
        scale = rule.weights @ np.abs(np.prod(rule.points ** np.array(powers), axis=1))
        assert rule.weights @ np.prod(rule.points ** np.array(powers), axis=1) == pytest.approx(exact, abs=1e-13 * scale)


@every_box
def test_faces_lie_on_the_boundary_with_unit_outward_normals(domain: Box) -> None:
    area = 0.0
    for face in domain.faces:
        rule = domain.face(face, 2, 3, 0, 0)
        k = domain.coordinates.index(face[:-1])
        end, sign = (domain.lower[k], -1.0) if face.endswith("-") else (domain.upper[k], 1.0)
        assert (rule.points[:, k] == end).all()
        expected = np.zeros_like(rule.points)
        expected[:, k] = sign
        np.testing.assert_array_equal(rule.normals, expected)
        # a step along the normal leaves the box, one against it enters
        inside = (
            (rule.points - 1e-6 * rule.normals >= domain.lower) & (rule.points - 1e-6 * rule.normals <= domain.upper)
        ).all(1)
        assert inside.all()
        assert rule.weights.sum() == pytest.approx(domain.measure / (domain.upper[k] - domain.lower[k]), rel=1e-14)
        area += rule.weights.sum()
    sides = np.subtract(domain.upper, domain.lower)
    assert area == pytest.approx(2.0 * domain.measure * (1.0 / sides).sum(), rel=1e-13)


@every_box
@pytest.mark.parametrize("seed", range(5))
def test_divergence_theorem_for_random_polynomial_fields(domain: Box, seed: int) -> None:
    """∫_Ω div v = ∮ v · n, exact for polynomials: it fails for a wrong weight, a wrong normal or a forgotten face."""
    d, degree = domain.dimension, 4
    generator = np.random.default_rng(seed)
    coefficients = generator.standard_normal((d, *(degree + 1,) * d))

    def value(k: int, points: np.ndarray, by: int | None = None) -> np.ndarray:
        total = np.zeros(len(points))
        for powers, c in np.ndenumerate(coefficients[k]):
            factors = [points[:, j] ** p if j != by else p * points[:, j] ** max(p - 1, 0) for j, p in enumerate(powers)]
            total += c * np.prod(factors, axis=0)
        return total

    inside = domain.interior(2, 3, 0, 0)
    divergence = inside.weights @ sum(value(k, inside.points, by=k) for k in range(d))
    flux = 0.0
    for face in domain.faces:
        rule = domain.face(face, 2, 3, 0, 0)
        flux += rule.weights @ sum(value(k, rule.points) * rule.normals[:, k] for k in range(d))
    assert divergence == pytest.approx(flux, rel=1e-11)


def test_a_product_over_no_dimension_is_one_point() -> None:
    rule = tensor_gauss([], [], [], 3)
    assert rule.points.shape == (1, 0)
    np.testing.assert_array_equal(rule.weights, [1.0])


@pytest.mark.parametrize("count", [1, 5, 64, 1000])
def test_sobol_weights_are_equal_and_sum_to_the_measure(count: int) -> None:
    rule = sobol([-1.0, 0.0, 2.0, 0.0], [1.0, 3.0, 2.5, 1.0], count, 0)
    n = len(rule.points)
    assert n >= count
    assert n & (n - 1) == 0
    np.testing.assert_array_equal(rule.weights, rule.weights[0])
    assert rule.weights.sum() == pytest.approx(2.0 * 3.0 * 0.5, rel=1e-13)


def test_sobol_points_are_balanced_reproducible_and_change_with_the_seed() -> None:
    first, same, other = (sobol([0.0] * 5, [1.0] * 5, 1024, seed).points for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.01
    for k in range(5):  # every one of 1024 slices along an axis holds one point
        np.testing.assert_array_equal(np.sort(np.floor(1024 * first[:, k])), np.arange(1024))


def test_in_many_dimensions_points_fill_box_and_faces_evenly() -> None:
    domain = hypercube(6, -1.0, 1.0)
    assert domain.coordinates == ("x1", "x2", "x3", "x4", "x5", "x6")
    inside = domain.interior(99, 99, 4096, 0)
    np.testing.assert_allclose(inside.weights @ inside.points**2, domain.measure / 3.0, rtol=2e-3)
    face = domain.face("x3+", 99, 99, 2048, 1)
    assert (face.points[:, 2] == 1.0).all()
    assert (face.normals[:, 2] == 1.0).all()
    assert face.weights.sum() == pytest.approx(2.0**5)
    np.testing.assert_allclose((face.weights @ face.points**2)[[0, 1, 3, 4, 5]], 2.0**5 / 3.0, rtol=2e-3)


def test_the_boundary_leaves_time_out() -> None:
    domain = BOXES["space and time"]
    assert domain.faces == ("x-", "x+", "t-", "t+")
    assert domain.resolve("boundary") == ("x-", "x+")
    assert domain.resolve("t-") == ("t-",)
    with pytest.raises(ValueError, match="the faces are x-, x\\+, t-, t\\+"):
        domain.resolve("y-")


@pytest.mark.parametrize("bounds", [{"x": (1, 1)}, {"x": (2, 1)}, {"x": (0, np.inf)}, {"x": (np.nan, 1)}, {}], ids=str)
def test_boxes_that_are_none_are_refused(bounds: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"box needs|interval of"):
        box(**bounds)


def test_coordinates_must_differ() -> None:
    with pytest.raises(ValueError, match="repeat"):
        Box(("x", "x"), (0.0, 0.0), (1.0, 1.0))
