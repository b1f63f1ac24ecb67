"""B-splines against SciPy, NumPy, autograd and the identities that define them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline, insert

from pdekan import splines

DEGREES = range(1, splines.MAX_DEGREE + 1)
INTERVALS = (1, 2, 5, 12)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def inner_points(count: int = 57, seed: int = 1) -> torch.Tensor:
    """Random points inside (-1, 1); knots have probability zero."""
    return 2.0 * torch.rand(count, generator=generator(seed), dtype=torch.float64) - 1.0


def knots(degree: int, intervals: int) -> np.ndarray:
    return -1.0 + (2.0 / intervals) * np.arange(-degree, intervals + degree + 1)


def scipy_basis(x: np.ndarray, degree: int, intervals: int, derivative: int) -> np.ndarray:
    eye = np.eye(splines.count(degree, intervals))
    spline = BSpline(knots(degree, intervals), eye, degree)
    return spline(x) if derivative == 0 else spline.derivative(derivative)(x)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("intervals", INTERVALS)
def test_basis_and_three_derivatives_agree_with_scipy(degree: int, intervals: int) -> None:
    x = inner_points()
    ours = splines.basis(x, degree, intervals, 3)
    assert len(ours) == 4
    for derivative, part in enumerate(ours):
        assert part.shape == (len(x), intervals + degree)
        if derivative > degree:
            assert not part.any()
            continue
        scipy = scipy_basis(x.numpy(), degree, intervals, derivative)
        np.testing.assert_allclose(part.numpy(), scipy, rtol=0, atol=1e-12 * max(1.0, np.abs(scipy).max()))


@pytest.mark.parametrize("degree", DEGREES)
def test_basis_at_knots_and_both_ends_agrees_with_scipy(degree: int) -> None:
    # continuous there: values, and derivatives up to degree - 1
    x = np.linspace(-1.0, 1.0, 7)
    for derivative, part in enumerate(splines.basis(torch.tensor(x), degree, 6, min(3, degree - 1))):
        scipy = scipy_basis(x, degree, 6, derivative)
        np.testing.assert_allclose(part.numpy(), scipy, rtol=0, atol=1e-12 * max(1.0, np.abs(scipy).max()))


@pytest.mark.parametrize("degree", DEGREES)
def test_basis_is_a_partition_of_unity_with_local_nonnegative_functions(degree: int) -> None:
    value, *derivatives = splines.basis(inner_points(), degree, 6, 3)
    torch.testing.assert_close(value.sum(-1), torch.ones(57, dtype=torch.float64), rtol=0, atol=1e-14)
    assert value.min() >= -1e-16
    assert ((value != 0).sum(-1) <= degree + 1).all()
    for part in derivatives:
        assert part.sum(-1).abs().max() <= 1e-13 * max(1.0, float(part.abs().max()))


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 9, 12])
def test_derivatives_agree_with_autograd(degree: int) -> None:
    coefficients = random(splines.count(degree, 4))
    x = torch.cat([inner_points(), torch.tensor([-1.7, -1.2, 1.1, 2.5], dtype=torch.float64)]).requires_grad_()
    closed = [part @ coefficients for part in splines.basis(x, degree, 4, 3)]
    for lower, higher in pairwise(closed):
        (slope,) = torch.autograd.grad(lower.sum(), x, create_graph=True, materialize_grads=True)
        torch.testing.assert_close(slope, higher, rtol=1e-12, atol=1e-12 * float(higher.detach().abs().max() + 1))


def test_basis_keeps_the_shape_and_type_of_its_points() -> None:
    x = inner_points(12).reshape(3, 4)
    torch.testing.assert_close(splines.basis(x, 3, 5)[0].reshape(12, -1), splines.basis(x.reshape(-1), 3, 5)[0])
    single = splines.basis(x.float(), 3, 5, 1)
    assert single[1].dtype == torch.float32
    torch.testing.assert_close(single[1].double(), splines.basis(x, 3, 5, 1)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("ratio", [2, 3])
@pytest.mark.parametrize("intervals", [1, 2, 5])
def test_knot_insertion_keeps_the_function(degree: int, ratio: int, intervals: int) -> None:
    coefficients = random(splines.count(degree, intervals), 2)
    fine = splines.refine(coefficients, degree, intervals, degree, ratio * intervals)
    assert fine.shape == (splines.count(degree, ratio * intervals), 2)
    x = torch.cat([torch.linspace(-1.4, 1.4, 29, dtype=torch.float64), inner_points()])
    old = splines.basis(x, degree, intervals)[0] @ coefficients
    new = splines.basis(x, degree, ratio * intervals)[0] @ fine
    torch.testing.assert_close(new, old, rtol=0, atol=1e-13 * float(old.abs().max()))


@pytest.mark.parametrize("degree", [1, 3, 6])
def test_knot_insertion_agrees_with_scipys_insert(degree: int) -> None:
    intervals = 4
    coefficients = random(splines.count(degree, intervals))
    t, padded = knots(degree, intervals), np.pad(coefficients.numpy(), (0, degree + 1))
    tck = (t, padded, degree)
    for new in -1.0 + (2.0 / intervals) * (np.arange(intervals) + 0.5):
        tck = insert(new, tck)
    # Boehm's knots end as they did; ours go on in the fine step, so functions over the ends differ, inner ones do not
    scipy = BSpline(*tck)
    fine = splines.refine(coefficients, degree, intervals, degree, 2 * intervals)
    x = inner_points()
    np.testing.assert_allclose((splines.basis(x, degree, 2 * intervals)[0] @ fine).numpy(), scipy(x.numpy()), atol=1e-13)
    if degree == 3:  # knots of a function of the middle: 4 - 2 … 4 + 2 fine steps, all inside
        ours = {round(float(a), 9): float(c) for a, c in zip(splines.greville(3, 8), fine, strict=True)}
        theirs = {round(float(tck[0][i + 1 : i + 4].mean()), 9): float(tck[1][i]) for i in range(len(tck[0]) - 4)}
        assert ours[0.0] == pytest.approx(theirs[0.0], abs=1e-13)


@pytest.mark.parametrize(
    ("degree", "intervals", "new_degree", "new_intervals"), [(2, 3, 5, 3), (5, 8, 5, 12), (7, 9, 4, 6), (1, 4, 1, 6)]
)
def test_refinement_that_is_not_nested_is_the_least_squares_fit(
    degree: int, intervals: int, new_degree: int, new_intervals: int
) -> None:
    coefficients = random(splines.count(degree, intervals), 3)
    moved = splines.refine(coefficients, degree, intervals, new_degree, new_intervals)
    x = splines.sample_points(max(degree, new_degree), max(intervals, new_intervals))
    old = splines.basis(x, degree, intervals)[0] @ coefficients
    design = splines.basis(x, new_degree, new_intervals)[0]
    expected, *_ = np.linalg.lstsq(design.numpy(), old.numpy(), rcond=None)
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-9)
    # the normal equations: what is left over is orthogonal to the space
    assert (design.T @ (design @ moved - old)).abs().max() < 1e-12 * old.abs().max() * len(x)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_raising_the_degree_keeps_polynomials_that_the_old_space_holds(degree: int) -> None:
    x = torch.linspace(-1.0, 1.0, 101, dtype=torch.float64)
    polynomial = np.polynomial.Polynomial(random(degree + 1).numpy())
    coarse = splines.fit(x, torch.tensor(polynomial(x.numpy())), degree, 4)
    raised = splines.refine(coarse, degree, 4, degree + 2, 4)
    np.testing.assert_allclose((splines.basis(x, degree + 2, 4)[0] @ raised).numpy(), polynomial(x.numpy()), atol=1e-12)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("intervals", INTERVALS)
def test_greville_abscissae_reproduce_x_everywhere(degree: int, intervals: int) -> None:
    x = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)
    value, slope = splines.basis(x, degree, intervals, 1)
    abscissae = splines.greville(degree, intervals)
    torch.testing.assert_close(value @ abscissae, x, rtol=0, atol=1e-13)
    torch.testing.assert_close(slope @ abscissae, torch.ones_like(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", DEGREES)
def test_beyond_the_knots_a_spline_goes_on_as_its_tangent(degree: int) -> None:
    coefficients = random(splines.count(degree, 5))
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    end, end_slope = (part @ coefficients for part in splines.basis(ends, degree, 5, 1))
    for distance in (1e-9, 0.3, 2.0, 1e3):
        x = ends * (1.0 + distance)
        value, slope, second, third = (part @ coefficients for part in splines.basis(x, degree, 5, 3))
        torch.testing.assert_close(value, end + end_slope * (x - ends), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(slope, end_slope, rtol=1e-12, atol=1e-12)
        assert not second.any()
        assert not third.any()


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10**6))
def test_fit_agrees_with_numpys_least_squares(degree: int, intervals: int, seed: int) -> None:
    x = splines.sample_points(degree, intervals)
    y = random(len(x), seed=seed)
    design = splines.basis(x, degree, intervals)[0].numpy()
    expected, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    # unclamped B-splines of high degree on few intervals are ill-conditioned: round-off is magnified accordingly
    tolerance = 1e-14 * np.linalg.cond(design) * np.abs(y.numpy()).max()
    np.testing.assert_allclose(design @ splines.fit(x, y, degree, intervals).numpy(), design @ expected, atol=tolerance)


@given(st.integers(1, 12), st.integers(1, 16))
def test_sample_points_determine_the_spline(degree: int, intervals: int) -> None:
    x = splines.sample_points(degree, intervals)
    assert len(x) >= splines.count(degree, intervals)
    assert (x.diff() > 0).all()
    assert x[0] > -1.0
    assert x[-1] < 1.0
    design = splines.basis(x, degree, intervals)[0]
    if degree <= 9:  # beyond, end functions of a single interval vanish next to round-off
        assert torch.linalg.matrix_rank(design, rtol=1e-12) == design.shape[1]
    truth = random(design.shape[1])
    found = splines.fit(x, design @ truth, degree, intervals)
    torch.testing.assert_close(design @ found, design @ truth, rtol=0, atol=1e-11)


def test_fit_takes_many_functions_at_once_and_few_data() -> None:
    x = splines.sample_points(3, 4)
    y = random(len(x), 2, 3)
    together = splines.fit(x, y, 3, 4)
    assert together.shape == (7, 2, 3)
    torch.testing.assert_close(together[:, 1, 2], splines.fit(x, y[:, 1, 2], 3, 4))
    few = torch.tensor([-0.5, 0.1, 0.7], dtype=torch.float64)
    design = splines.basis(few, 3, 4)[0].numpy()
    target = np.array([1.0, -2.0, 0.5])
    minimum_norm = np.linalg.pinv(design) @ target
    np.testing.assert_allclose(splines.fit(few, torch.tensor(target), 3, 4).numpy(), minimum_norm, atol=1e-12)


@pytest.mark.parametrize(
    ("degree", "intervals", "derivatives"),
    [(0, 4, 0), (13, 4, 0), (-1, 4, 0), (3, 0, 0), (3, -2, 0), (3, 4, 6), (3, 4, -1)],
)
def test_arguments_that_make_no_sense_are_refused(degree: int, intervals: int, derivatives: int) -> None:
    with pytest.raises(ValueError, match=r"degree|intervals|derivatives"):
        splines.basis(torch.zeros(3, dtype=torch.float64), degree, intervals, derivatives)


def test_points_that_are_no_numbers_give_no_numbers() -> None:
    """A diverging optimizer must see a loss that is not finite, not an index out of bounds."""
    value, slope = splines.basis(torch.tensor([0.3, float("nan")], dtype=torch.float64), 3, 4, 1)
    assert torch.isfinite(value[0]).all()
    assert torch.isnan(value[1]).any()
    assert torch.isnan(slope[1]).any()


@pytest.mark.parametrize("outputs", [1, 2, 9])
@pytest.mark.parametrize("intervals", [1, 12])
def test_combining_local_functions_is_the_product_with_all_of_them(outputs: int, intervals: int) -> None:
    """Few outputs take their coefficients to the points, many spread the basis; both ways are tried here."""
    x, degree = inner_points().reshape(-1, 3), 4
    local = splines.local_basis(x, degree, intervals, 2)
    coefficients = random(3, outputs, splines.count(degree, intervals))
    dense = splines.basis(x, degree, intervals, 2)
    for ours, part in zip(local.combine(coefficients), dense, strict=True):
        expected = torch.stack([part[:, i] @ coefficients[i].T for i in range(3)], dim=1)
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("points", [9, 4000])
def test_few_outputs_many_outputs_and_many_intervals_agree(points: int) -> None:
    """Splines are summed by gathering coefficients or by products with all of them, of all derivatives together where few."""
    generator = torch.Generator().manual_seed(0)
    x = 2.2 * torch.rand(points, 2, generator=generator, dtype=torch.float64) - 1.1
    for intervals in (5, 400):
        basis = splines.local_basis(x, 3, intervals, 2)
        coefficients = torch.randn(2, 50, splines.count(3, intervals), generator=generator, dtype=torch.float64)
        for k, (together, piece) in enumerate(zip(basis.combine(coefficients), basis.pieces, strict=True)):
            expected = torch.einsum("nib,iob->nio", basis.scatter(piece), coefficients)
            torch.testing.assert_close(together, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()), msg=str(k))
