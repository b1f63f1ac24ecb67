"""The limit of tensor splines, against dense least squares, SciPy's own tensor splines, and theory's rates."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from scipy.interpolate import BSpline, NdBSpline

from pdekan.domains.box import Box
from pdekan.domains.quadrature import tensor_gauss
from pdekan.problem_files.loader import load_problem
from pdekan.problems.formulas import ProblemError
from pdekan.studies import fits
from pdekan.studies.limits import Exact, SplineAxis, l2_projection, limit, limits, ritz_projection, spline_axis

NAMES = ("x", "y", "z")
LOWER, UPPER = (-1.0, 0.5, 2.0), (1.0, 2.0, 2.7)


def box(dimension: int) -> Box:
    return Box(NAMES[:dimension], LOWER[:dimension], UPPER[:dimension])


def wave(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp(a·x) sin(b·x), which vanishes on no face."""
    a, b = np.array([0.3, -0.2, 0.4]), np.array([1.5, 2.1, 1.2])
    d = points.shape[1]
    growth, phase = np.exp(points @ a[:d]), points @ b[:d]
    slope = growth[:, None] * (np.sin(phase)[:, None] * a[:d] + np.cos(phase)[:, None] * b[:d])
    return growth * np.sin(phase), slope


def published(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin πx sin πy²."""
    x, y = points.T
    sx, cx = np.sin(np.pi * x), np.cos(np.pi * x)
    sy, cy = np.sin(np.pi * y**2), np.cos(np.pi * y**2)
    return sx * sy, np.stack([np.pi * cx * sy, 2 * np.pi * y * sx * cy], axis=1)


def axes_of(domain: Box, degree: int, intervals: int) -> list[SplineAxis]:
    return [spline_axis(a, b, degree, intervals) for a, b in zip(domain.lower, domain.upper, strict=True)]


def projections(domain: Box, exact: Exact, degree: int, intervals: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the L2 and of the Ritz projection."""
    axes = axes_of(domain, degree, intervals)
    mesh = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    values, slopes = exact(np.stack([m.ravel() for m in mesh], axis=1))
    best = l2_projection(axes, values.reshape(mesh[0].shape))
    return best, ritz_projection(axes, best, slopes.reshape(*mesh[0].shape, -1))


def knots(lower: float, upper: float, degree: int, intervals: int) -> np.ndarray:
    return np.concatenate([[lower] * degree, np.linspace(lower, upper, intervals + 1), [upper] * degree])


def mean_squares(domain: Box, exact: Exact, degree: int, intervals: int, coefficients: np.ndarray) -> tuple[float, float]:
    """Both errors of a spline as SciPy evaluates it, on a finer quadrature whose points are others."""
    rule = tensor_gauss(domain.lower, domain.upper, [2 * intervals] * domain.dimension, degree + 3)
    t = tuple(knots(a, b, degree, intervals) for a, b in zip(domain.lower, domain.upper, strict=True))
    spline = NdBSpline(t, coefficients, degree)
    values, slopes = exact(rule.points)
    l2 = rule.weights @ (spline(rule.points) - values) ** 2
    units = np.eye(domain.dimension, dtype=int)
    h1 = sum(rule.weights @ (spline(rule.points, nu=tuple(units[k])) - slopes[:, k]) ** 2 for k in range(domain.dimension))
    return float(l2 / domain.measure), float(h1 / domain.measure)


@pytest.mark.parametrize(("degree", "intervals"), [(3, 28), (5, 26), (7, 24), (9, 22)])
def test_reference_values_of_the_published_problem(degree: int, intervals: int) -> None:
    """Relative L2 errors of the Ritz projection with 841 unknowns, computed independently with a Galerkin method."""
    reference = {3: 2.6e-5, 5: 3.3e-7, 7: 7.8e-9, 9: 4.2e-10}[degree]
    domain = Box(("x", "y"), (-1.0, -1.0), (1.0, 1.0))
    rule = tensor_gauss(domain.lower, domain.upper, [20, 20], 8)
    size = np.sqrt(rule.weights @ published(rule.points)[0] ** 2 / domain.measure)
    _, ritz = projections(domain, published, degree, intervals)
    l2, h1 = mean_squares(domain, published, degree, intervals, ritz)
    found = limit(domain, published, degree, intervals)
    assert found.unknowns == 841
    assert np.sqrt(l2) / size == pytest.approx(reference, rel=0.02)
    assert 0.85 * l2 <= found.l2_mean_square <= l2  # the L2 projection is a little better
    assert found.h1_seminorm_mean_square == pytest.approx(h1, rel=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_errors_fall_at_theorys_rate(dimension: int, degree: int) -> None:
    domain, intervals = box(dimension), {1: (8, 16), 2: (8, 16), 3: (5, 10)}[dimension]
    coarse, fine = (limit(domain, wave, degree, count) for count in intervals)
    rates = [np.log2(fine.mean_square(norm) / coarse.mean_square(norm)) for norm in ("l2", "h1_seminorm")]
    assert rates == pytest.approx([fits.theory("l2", degree), fits.theory("h1_seminorm", degree)], abs=0.45)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2, 3, 6])
def test_polynomials_of_the_degree_are_exact(dimension: int, degree: int) -> None:
    def polynomial(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        factors = [(x - 0.3) ** degree + x for x in points.T]
        slopes = [degree * (x - 0.3) ** (degree - 1) + 1 for x in points.T]
        parts = [[slopes[b] if a == b else factors[b] for b in range(len(factors))] for a in range(len(factors))]
        return np.prod(factors, axis=0), np.stack([np.prod(part, axis=0) for part in parts], axis=1)

    size = float(np.max(polynomial(np.array([UPPER[:dimension]]))[0]))
    found = limit(box(dimension), polynomial, degree, 4)
    assert found.l2_mean_square < (1e-13 * size) ** 2 * 10
    assert found.h1_seminorm_mean_square < (1e-12 * size) ** 2 * 10


def dense_designs(domain: Box, degree: int, intervals: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Values of all tensor functions and their slopes at the points of a finer rule, as full matrices; points, √weights."""
    rule = tensor_gauss(domain.lower, domain.upper, [2 * intervals] * domain.dimension, degree + 4)
    tables = []
    for x, a, b in zip(rule.points.T, domain.lower, domain.upper, strict=True):
        spline = BSpline(knots(a, b, degree, intervals), np.eye(intervals + degree), degree)
        tables.append((spline(x), spline.derivative()(x)))
    designs = []
    for k in (None, *range(domain.dimension)):
        parts = [table[1 if k == j else 0] for j, table in enumerate(tables)]
        designs.append(reduce(lambda p, q: np.einsum("ni,nj->nij", p, q).reshape(len(p), -1), parts))
    return designs, rule.points, np.sqrt(rule.weights)


@pytest.mark.parametrize(("dimension", "degree", "intervals"), [(1, 3, 7), (2, 2, 5), (2, 3, 4), (3, 2, 2), (3, 1, 3)])
def test_projections_are_the_dense_least_squares_solutions(dimension: int, degree: int, intervals: int) -> None:
    domain = box(dimension)
    best, ritz = projections(domain, wave, degree, intervals)
    designs, points, root = dense_designs(domain, degree, intervals)
    values, slopes = wave(points)
    free = np.zeros(best.shape, dtype=bool)
    free[(slice(1, -1),) * dimension] = True
    np.testing.assert_array_equal(ritz[~free], best[~free])

    def solved(rows: list[np.ndarray], data: np.ndarray) -> np.ndarray:
        matrix, right = np.concatenate([root[:, None] * row for row in rows]), np.concatenate([root * d for d in data])
        right = right - matrix[:, ~free.ravel()] @ best[~free]
        return np.linalg.lstsq(matrix[:, free.ravel()], right, rcond=None)[0]

    np.testing.assert_allclose(best[free], solved(designs[:1], values[None]), atol=1e-7)
    np.testing.assert_allclose(ritz[free], solved(designs[1:], slopes.T), atol=1e-7)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_any_other_free_coefficients_are_worse(dimension: int) -> None:
    domain, degree, intervals = box(dimension), 2, 4
    best, ritz = projections(domain, wave, degree, intervals)
    found = limit(domain, wave, degree, intervals)
    generator = np.random.default_rng(0)
    for _ in range(3):
        change = np.zeros_like(best)
        inside = (slice(1, -1),) * dimension
        change[inside] = 1e-4 * generator.normal(size=change[inside].shape)
        for sign in (-1.0, 1.0):
            assert mean_squares(domain, wave, degree, intervals, best + sign * change)[0] > found.l2_mean_square
            assert mean_squares(domain, wave, degree, intervals, ritz + sign * change)[1] > found.h1_seminorm_mean_square


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_errors_are_those_of_scipys_spline_on_another_quadrature(dimension: int) -> None:
    domain = box(dimension)
    best, ritz = projections(domain, wave, 3, 5)
    found = limit(domain, wave, 3, 5)
    assert found.l2_mean_square == pytest.approx(mean_squares(domain, wave, 3, 5, best)[0], rel=1e-6)
    assert found.h1_seminorm_mean_square == pytest.approx(mean_squares(domain, wave, 3, 5, ritz)[1], rel=1e-6)


def test_boundary_values_are_exact_at_corners_and_best_on_edges() -> None:
    best, _ = projections(box(2), wave, 3, 6)
    corners = np.array([[a, b] for a in (-1.0, 1.0) for b in (0.5, 2.0)])
    np.testing.assert_allclose(best[::8, ::8].ravel(), wave(corners)[0], atol=1e-12)

    def edge(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = wave(np.column_stack([points, np.full(len(points), 0.5)]))
        return value, slope[:, :1]

    on_edge, _ = projections(box(1), edge, 3, 6)
    np.testing.assert_allclose(best[:, 0], on_edge, atol=1e-12)


def test_a_problems_limit_is_that_of_its_exact_solution() -> None:
    found = limits(load_problem("poisson_kan_paper", []), 3, [4, 8])
    domain = Box(("x", "y"), (-1.0, -1.0), (1.0, 1.0))
    for point, intervals in zip(found, (4, 8), strict=True):
        other = limit(domain, published, 3, intervals)
        assert (point.degree, point.intervals, point.unknowns) == (3, intervals, (intervals + 1) ** 2)
        assert point.l2_mean_square == pytest.approx(other.l2_mean_square, rel=1e-9)
        assert point.h1_seminorm_mean_square == pytest.approx(other.h1_seminorm_mean_square, rel=1e-9)


@pytest.mark.parametrize(
    ("domain", "degree", "intervals", "words"),
    [
        (Box(tuple("abcd"), (0.0,) * 4, (1.0,) * 4), 3, 3, "4 dimensions"),
        (box(1), 0, 3, "degree 0"),
        (box(1), 1, 1, "three in all"),
        (box(1), 3, 0, "0 intervals"),
    ],
)
def test_refusals(domain: Box, degree: int, intervals: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        limit(domain, wave, degree, intervals)


def test_no_limit_without_an_exact_solution() -> None:
    problem = load_problem("poisson_kan_paper", [])
    with pytest.raises(ProblemError):
        limits(replace(problem, exact=None), 3, [4])
