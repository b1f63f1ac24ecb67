"""Gauss-Newton on small least-squares problems: known answers, SciPy, and inputs that are out to break it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from least_squares import (
    NO_RIDGE_TO_SPEAK_OF,
    RIDGE,
    Dense,
    Method,
    Recorder,
    Written,
    assert_sound,
    rosenbrock,
    silent,
    tensor,
)
from scipy.optimize import least_squares
from torch import Tensor

from pdekan.optimizers.adam import Adam
from pdekan.optimizers.gauss_newton import GaussNewton, _Reflections
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree, column_lengths, damped_step, project
from pdekan.optimizers.ssbroyden import SSBroyden


def exponentials(noise: float = 0.0, affine: bool = True, in_one_block: bool = False) -> Written:
    """Fit c_1 exp(-a_1 t) + c_2 exp(-a_2 t); θ = (a_1, a_2, c_1, c_2). The data come from a = (0.7, 3), c = (2, -1)."""
    t = torch.linspace(0.0, 4.0, 60, dtype=torch.float64)
    data = 2.0 * torch.exp(-0.7 * t) - torch.exp(-3.0 * t)
    data = data + noise * torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Written(lambda theta: torch.exp(-t[:, None] * theta[:2]) @ theta[2:] - data, 2, affine, in_one_block)


# --- Gauss-Newton


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("in_one_block", [True, False])
def test_gauss_newton_finds_the_rates_of_a_sum_of_exponentials(affine: bool, in_one_block: bool) -> None:
    problem, start = exponentials(affine=affine, in_one_block=in_one_block), tensor(0.2, 5.0, 0.0, 0.0)
    outcome = GaussNewton(RIDGE).minimise(problem, start, 100, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta.tolist() == pytest.approx([0.7, 3.0, 2.0, -1.0], rel=1e-6)
    assert outcome.reason == "stalled"
    assert outcome.loss < 1e-16


@pytest.mark.parametrize("affine", [True, False])
def test_gauss_newton_ends_at_a_stationary_point_of_the_full_problem(affine: bool) -> None:
    """Kaufman's projected Jacobian leaves out a term that vanishes with the gradient, not the gradient itself."""
    problem = exponentials(noise=0.05, affine=affine)
    start = tensor(0.2, 5.0, 0.0, 0.0)
    outcome = GaussNewton(RIDGE, patience=12).minimise(problem, start, 200, silent)
    residual, jacobian = problem.rows(outcome.theta)
    cosines = (jacobian.T @ residual) / (jacobian.norm(dim=0) * residual.norm())
    assert outcome.loss > 0.05  # the data cannot be met: large-residual problem
    assert cosines.abs().max() < 1e-6
    scipy = least_squares(
        lambda x: problem.residual(torch.tensor(x)).numpy(), [0.2, 5.0, 1.0, -0.5], xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert outcome.loss == pytest.approx(2.0 * scipy.cost, rel=1e-9)
    np.testing.assert_allclose(outcome.theta.numpy(), scipy.x, rtol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
def test_what_is_kept_of_the_linear_columns_changes_no_step(affine: bool) -> None:
    """With room for it, the factorisation of a trial serves the next step; without, it is worked out again, in blocks."""
    kept, anew = Recorder(), Recorder()
    for in_one_block, recorder in ((True, kept), (False, anew)):
        GaussNewton().minimise(exponentials(0.05, affine, in_one_block), tensor(0.2, 5.0, 0.0, 0.0), 8, recorder)
    assert len(kept.steps) >= 5
    for first, second in zip(kept.steps, anew.steps, strict=True):
        np.testing.assert_allclose(first.theta.numpy(), second.theta.numpy(), rtol=1e-8)


def test_projecting_takes_fewer_steps_than_stepping_in_all_parameters() -> None:
    """The point of variable projection (Golub and Pereyra): compared with the same method that knows of no linear part."""
    steps = []
    for linear in (2, 0):
        problem, recorder = exponentials(), Recorder()
        problem.linear = linear
        GaussNewton(RIDGE).minimise(problem, tensor(0.2, 5.0, 1.0, 1.0), 200, recorder)
        steps.append(next(k for k, step in enumerate(recorder.steps) if step.loss < 1e-10))
    assert steps[0] < steps[1]


def test_gauss_newton_solves_a_linear_problem_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((30, 6), (30,)))
    problem = Written(lambda theta: a @ theta - b, 6)
    for start in (torch.zeros(6, dtype=torch.float64), 1e3 * torch.ones(6, dtype=torch.float64)):
        outcome = GaussNewton(RIDGE).minimise(problem, start, 20, silent)
        assert_sound(problem, start, outcome)
        np.testing.assert_allclose(outcome.theta.numpy(), np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)[0], rtol=1e-9)
        assert outcome.steps == 0
        assert outcome.reason == "stalled"


def test_the_ridge_is_tikhonovs() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((30, 6), (30,)))
    outcome = GaussNewton(min_ridge=0.5).minimise(
        Written(lambda theta: a @ theta - b, 6), torch.ones(6, dtype=torch.float64), 20, silent
    )
    expected = torch.linalg.solve(a.T @ a + 0.5 * torch.eye(6, dtype=torch.float64), a.T @ b)
    torch.testing.assert_close(outcome.theta, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("panel", [1, 3, 7, 8, 100])
@pytest.mark.parametrize("rows", [1, 4, 20])
def test_a_triangle_with_rows_below_is_factorised_panel_by_panel(panel: int, rows: int) -> None:
    """Against all of it at once: the same RᵀR, the same least-squares solution by NumPy, and columns keep their lengths."""
    generator = torch.Generator().manual_seed(rows)
    triangle = torch.randn(7, 7, generator=generator, dtype=torch.float64).triu()
    below = torch.randn(rows, 7, generator=generator, dtype=torch.float64)
    columns = torch.randn(7 + rows, 2, generator=generator, dtype=torch.float64)
    given = below.clone(), triangle.clone()
    reflections = _Reflections.of(triangle, below, panel)
    torch.testing.assert_close((below, triangle), given, rtol=0.0, atol=0.0)  # neither is overwritten
    whole = torch.cat([triangle, below])
    found = reflections.triangle
    assert torch.equal(found, found.triu())
    torch.testing.assert_close(found.T @ found, whole.T @ whole)
    turned = reflections.applied(columns.clone())
    solution = np.linalg.lstsq(whole.numpy(), columns.numpy(), rcond=None)[0]
    torch.testing.assert_close(torch.linalg.solve_triangular(found, turned[:7], upper=True), torch.as_tensor(solution))
    torch.testing.assert_close(turned.norm(dim=0), columns.norm(dim=0))


@pytest.mark.parametrize("linear", [0, 1])
def test_gauss_newton_with_and_without_a_linear_part_solves_rosenbrock(linear: int) -> None:
    problem, start = rosenbrock(linear), tensor(-1.2, 1.0)
    outcome = GaussNewton(RIDGE).minimise(problem, start, 200, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("start", [(0.5, 4.0), (-1.0, 2.0), (3.0, -2.0)])
def test_gauss_newton_agrees_with_scipy_on_a_nonlinear_fit(start: tuple[float, float]) -> None:
    """A sum of a resonance and a slope; nothing in it is linear."""
    t = torch.linspace(-2.0, 2.0, 41, dtype=torch.float64)
    data = torch.atan(1.5 * t) + 0.3 * torch.cos(5.0 * t)
    problem = Written(lambda theta: torch.atan(theta[0] * t + theta[1]) - data)
    outcome = GaussNewton(RIDGE, patience=10).minimise(problem, tensor(*start), 300, silent)
    scipy = least_squares(
        lambda x: problem.residual(torch.tensor(x)).numpy(), outcome.theta.numpy(), xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert_sound(problem, tensor(*start), outcome)
    assert outcome.loss == pytest.approx(2.0 * scipy.cost, rel=1e-8)


def test_the_units_of_the_inner_parameters_do_not_matter() -> None:
    """Damping is relative to columns of length one, so steps are the same in any units."""
    losses = []
    for units in (tensor(1.0, 1.0, 1.0, 1.0), tensor(1e-2, 1e2, 1.0, 1.0)):
        problem, recorder = in_units(exponentials(), units), Recorder()
        GaussNewton(RIDGE).minimise(problem, tensor(0.2, 5.0, 0.0, 0.0) / units, 8, recorder)
        losses.append([step.loss for step in recorder.steps])
    assert losses[1][:6] == pytest.approx(losses[0][:6], rel=1e-5)  # then they are at round-off


def in_units(problem: Written, units: Tensor) -> Written:
    return Written(lambda theta: problem.residual(theta * units), problem.linear)


def test_gauss_newton_steps_never_raise_the_cost_and_the_watch_sees_them_all() -> None:
    recorder = Recorder()
    problem = exponentials(noise=0.05)
    outcome = GaussNewton(min_ridge=1e-20).minimise(problem, tensor(0.2, 5.0, 0.0, 0.0), 60, recorder)
    losses = [step.loss for step in recorder.steps]
    assert [step.taken for step in recorder.steps] == list(range(outcome.steps + 1))  # the first is the linear part's alone
    assert losses == sorted(losses, reverse=True)
    assert recorder.steps[-1].loss == outcome.loss
    for step in recorder.steps:
        assert step.loss == pytest.approx(problem.loss(step.theta), rel=1e-10)


def test_gauss_newton_on_a_function_that_is_not_a_number_in_part_of_the_space() -> None:
    """log(a) + c = 0 with a full step that would cross a = 0."""
    t = torch.linspace(0.1, 1.0, 20, dtype=torch.float64)
    problem = Written(lambda theta: theta[1] * torch.log(theta[0] * t) - torch.log(1e-3 * t), 1)
    start = tensor(2.0, 0.5)
    outcome = GaussNewton(RIDGE).minimise(problem, start, 200, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta[0] > 0
    assert outcome.loss < 1e-3 * problem.loss(start)


@pytest.mark.parametrize(
    "method", [GaussNewton(), MatrixFree(), SSBroyden(), LBFGS(), Adam()], ids=lambda method: type(method).__name__
)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_that_is_not_finite_is_named_and_gives_no_number_for_one(method: Method, bad: float) -> None:
    problem = Written(lambda theta: torch.stack([theta[0] * bad, theta[1] - 1.0]), 1)
    start = tensor(1.0, 0.0)
    outcome = method.minimise(problem, start, 10, silent)
    assert outcome.reason in ("singular", "diverged")
    assert not math.isnan(outcome.loss)
    torch.testing.assert_close(outcome.theta, start)


@pytest.mark.parametrize(
    "method",
    [GaussNewton(), MatrixFree(), SSBroyden(burst=5), LBFGS(burst=5), Adam(first=0.5, last=0.5, burst=1)],
    ids=lambda method: type(method).__name__,
)
def test_a_gradient_that_stops_being_finite_ends_at_the_best_finite_point(method: Method) -> None:
    """sqrt(θ + 2) has a wall at -2, and the descent leads there."""
    problem = Written(lambda theta: torch.stack([torch.sqrt(theta[0] + 2.0) + 0.1, 0.01 * theta[1]]), 1)
    start = tensor(0.0, 1.0)
    outcome = method.minimise(problem, start, 300, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta[0] >= -2.0


@pytest.mark.parametrize("affine", [True, False])
def test_gauss_newton_with_a_singular_jacobian(affine: bool) -> None:
    """Two inner parameters that act as one, two linear ones that act as one, and one of each that does nothing."""
    t = torch.linspace(0.0, 2.0, 30, dtype=torch.float64)

    def residual(theta: Tensor) -> Tensor:
        return (
            (theta[3] + theta[4]) * torch.exp(-(theta[0] + theta[1]) * t)
            - 3.0 * torch.exp(-1.3 * t)
            + 0.0 * (theta[2] + theta[5])
        )

    problem, start = Written(residual, 3, affine), tensor(0.1, 0.2, 0.3, 0.0, 0.0, 0.0)
    outcome = GaussNewton(min_ridge=1e-14).minimise(problem, start, 100, silent)
    assert_sound(problem, start, outcome)
    assert float(outcome.theta[0] + outcome.theta[1]) == pytest.approx(1.3, abs=1e-5)
    assert float(outcome.theta[3] + outcome.theta[4]) == pytest.approx(3.0, abs=1e-4)
    assert float(outcome.theta[3]) == pytest.approx(float(outcome.theta[4]), abs=1e-5)  # the ridge picks the least norm
    assert float(outcome.theta[2]) == pytest.approx(0.3)


def test_gauss_newton_with_fewer_rows_than_parameters() -> None:
    problem = Written(lambda theta: torch.stack([theta[0] * theta[2] - 1.0, theta[1] + theta[3] - 2.0]), 2)
    start = tensor(0.5, 0.5, 0.0, 0.0)
    outcome = GaussNewton().minimise(problem, start, 50, silent)
    assert_sound(problem, start, outcome)
    assert outcome.loss < 1e-8


def test_gauss_newton_from_the_solution_stays_there() -> None:
    problem, start = exponentials(), tensor(0.7, 3.0, 2.0, -1.0)
    outcome = GaussNewton().minimise(problem, start, 50, silent)
    assert outcome.theta.tolist() == pytest.approx([0.7, 3.0, 2.0, -1.0], rel=1e-4)
    assert outcome.loss < 1e-8


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gauss_newton_is_never_worse_than_its_start_whatever_the_ridge(steps: int) -> None:
    """A good start must not be thrown away by the first, large ridge."""
    problem, start = exponentials(), tensor(0.7, 3.0, 2.0, -1.0 + 1e-9)
    outcome = GaussNewton().minimise(problem, start, steps, silent)
    assert_sound(problem, start, outcome)


# --- Without the Jacobian


def random_dense(rows: int, columns: int, seed: int = 0) -> Dense:
    generator = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    jacobian = jacobian * torch.logspace(-2, 1, columns, dtype=torch.float64)
    return Dense(torch.randn(rows, generator=generator, dtype=torch.float64), jacobian)


def dense_step(products: Dense, lengths: Tensor, damping: float) -> Tensor:
    """The damped step by an orthogonal solve of [J D⁻¹; √λ 1] z = [-r; 0]."""
    scaled = products.jacobian / lengths
    stacked = torch.cat([scaled, damping**0.5 * torch.eye(len(lengths), dtype=torch.float64)])
    right = torch.cat([-products.residual, torch.zeros(len(lengths), dtype=torch.float64)])
    return torch.linalg.lstsq(stacked, right[:, None]).solution[:, 0] / lengths


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (20, 20)], ids=str)
@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
def test_the_damped_step_is_that_of_an_orthogonal_solve(shape: tuple[int, int], damping: float) -> None:
    products = random_dense(*shape)
    lengths = products.jacobian.norm(dim=0)
    step, predicted = damped_step(products, lengths, damping, 1e-12, 2000)
    expected = dense_step(products, lengths, damping)
    torch.testing.assert_close(step, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))
    after = products.residual + products.jacobian @ step
    assert predicted == pytest.approx(float(products.residual @ products.residual - after @ after), rel=1e-9)


@pytest.mark.parametrize("forcing", [0.5, 1e-2, 1e-4])
def test_lsmr_stops_where_the_forcing_says_and_asks_for_less_the_larger_it_is(forcing: float) -> None:
    products, damping = random_dense(60, 100), 1e-3
    lengths = products.jacobian.norm(dim=0)
    step, _ = damped_step(products, lengths, damping, forcing, 2000)
    asked = products.asked
    scaled, z = products.jacobian / lengths, step * lengths
    gradient = scaled.T @ (scaled @ z + products.residual) + damping * z
    assert gradient.norm() <= forcing * (scaled.T @ products.residual).norm()
    damped_step(products, lengths, damping, 1e-10, 2000)
    assert asked < 0.7 * (products.asked - asked)


def test_a_step_takes_no_more_iterations_than_allowed() -> None:
    products = random_dense(60, 100)
    damped_step(products, torch.ones(100, dtype=torch.float64), 1e-8, 1e-12, 7)
    assert products.asked <= 2 * (7 + 2)


def test_column_lengths_are_those_of_the_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    # one entry a row: a single probe tells
    single = Dense(torch.ones(3, dtype=torch.float64), torch.diag(tensor(3.0, -0.5, 2.0)))
    torch.testing.assert_close(column_lengths(single, 1, generator), tensor(3.0, 0.5, 2.0))
    products = random_dense(30, 20)
    lengths = column_lengths(products, 3000, generator)
    torch.testing.assert_close(lengths, products.jacobian.norm(dim=0), rtol=0.1, atol=0.0)
    idle = Dense(torch.ones(2, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64))
    assert (column_lengths(idle, 2, generator) > 0).all()


@pytest.mark.parametrize("affine", [True, False])
def test_products_of_a_projected_state_are_those_of_the_projected_jacobian(affine: bool) -> None:
    problem, ridge = exponentials(noise=0.05, affine=affine), 1e-3
    state = project(problem, tensor(0.2, 5.0, 0.3, 0.4), ridge, max_linear=2)
    assert state is not None
    residual, jacobian = problem.rows(state.theta)
    columns = torch.cat([jacobian, torch.zeros(2, 4, dtype=torch.float64)])
    columns[-2:, 2:] = ridge**0.5 * torch.eye(2, dtype=torch.float64)
    basis = torch.linalg.qr(columns[:, 2:]).Q
    expected = columns[:, :2] - basis @ (basis.T @ columns[:, :2])
    v, w = tensor(0.3, -1.2), torch.linspace(-1.0, 1.0, 62, dtype=torch.float64) ** 3
    torch.testing.assert_close(state.forward(v), expected @ v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.adjoint(w), expected.T @ w, rtol=1e-12, atol=1e-12)
    # the linear entries are at their best: the gradient by them vanishes
    assert float((jacobian[:, 2:].T @ residual + ridge * state.theta[2:]).abs().max()) < 1e-10


@pytest.mark.parametrize("linear", [2, 0])
@pytest.mark.parametrize("affine", [True, False])
def test_matrix_free_finds_the_minimum_that_scipy_finds(linear: int, affine: bool) -> None:
    problem = exponentials(noise=0.05, affine=affine)
    problem.linear = linear
    start = tensor(0.2, 5.0, 1.0, -0.5)
    outcome = MatrixFree(NO_RIDGE_TO_SPEAK_OF, patience=12).minimise(problem, start, 200, silent)
    assert_sound(problem, start, outcome)
    scipys = least_squares(
        lambda x: problem.residual(torch.tensor(x)).numpy(), start.numpy(), xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert outcome.loss == pytest.approx(2.0 * scipys.cost, rel=1e-7)


def test_matrix_free_takes_all_entries_alike_where_the_linear_ones_are_too_many() -> None:
    problem, start = exponentials(), tensor(0.2, 5.0, 0.0, 0.0)
    state = project(problem, start, 1e-6, max_linear=1)
    assert state is not None
    assert state.linear == 0
    outcome = MatrixFree(patience=12, max_linear=1).minimise(problem, start, 100, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta.tolist() == pytest.approx([0.7, 3.0, 2.0, -1.0], rel=1e-4)
