"""Optimizers on small least-squares problems without networks: known answers, SciPy, and inputs that are out to break them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares, lsq_linear, minimize
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan.networks.kan import KAN
from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import Bounds, LeastSquares, Memory, Outcome, Step, Watch
from pdekan.optimizers.gauss_newton import GaussNewton, _Reflections
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree, column_lengths, damped_step, project
from pdekan.optimizers.ssbroyden import SSBroyden, scaling, update
from pdekan.problem_files.loader import load_problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

Method = GaussNewton | MatrixFree | SSBroyden | LBFGS | Adam
Residual = Callable[[Tensor], Tensor]
RIDGE = 1e-14  # relative to the loss: next to none
NO_RIDGE_TO_SPEAK_OF = (1e-8, 1e-16, 1e-20)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass
class Written:
    """A least-squares problem from its residual, differentiated by autograd."""

    residual: Residual
    linear: int = 0
    affine: bool = True
    in_one_block: bool = False
    bounds: Bounds | None = None

    def rows(self, theta: Tensor, only_linear: bool = False) -> tuple[Tensor, Tensor]:
        leaf = theta.clone().requires_grad_()
        residual = self.residual(leaf)
        cotangent = torch.ones_like(residual).requires_grad_()
        # Jᵀ times a cotangent, differentiated by the cotangent: a column a parameter instead of a row a residual
        (pulled,) = torch.autograd.grad(residual, leaf, cotangent, create_graph=True)
        columns = [torch.autograd.grad(one, cotangent, retain_graph=True)[0] for one in pulled]
        jacobian = torch.stack(columns, dim=1)
        return residual.detach(), jacobian[:, len(theta) - self.linear :] if only_linear else jacobian

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        residual, jacobian = self.rows(theta, only_linear)
        half = 0 if self.in_one_block else len(residual) // 2  # in two, as a problem that does not fit in memory would come
        if half:
            yield residual[:half], jacobian[:half]
        yield residual[half:], jacobian[half:]

    def products(self, theta: Tensor) -> Dense:
        return Dense(*self.rows(theta), trailing=self.linear)

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        leaf = theta.clone().requires_grad_()
        loss = self.residual(leaf).square().sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        return theta

    def loss(self, theta: Tensor) -> float:
        return float(self.residual(theta).square().sum())


@dataclass
class Dense:
    """Products with a Jacobian that is there; asked: how many products were asked for."""

    residual: Tensor
    jacobian: Tensor
    trailing: int = 0
    asked: int = 0

    def linear(self) -> Tensor:
        return self.jacobian[:, self.jacobian.shape[1] - self.trailing :]

    def forward(self, v: Tensor) -> Tensor:
        self.asked += 1
        return self.jacobian @ v

    def adjoint(self, w: Tensor) -> Tensor:
        self.asked += 1
        return self.jacobian.T @ w


@dataclass
class Recorder:
    """A watch that keeps every step and stops after some."""

    stop_after: int = 10**9
    steps: list[Step] = field(default_factory=list)

    def __call__(self, step: Step) -> str | None:
        self.steps.append(replace(step, theta=step.theta.clone()))
        return "interrupted" if len(self.steps) >= self.stop_after else None


def silent(step: Step) -> None:
    return None


def exponentials(noise: float = 0.0, affine: bool = True, in_one_block: bool = False) -> Written:
    """Fit c_1 exp(-a_1 t) + c_2 exp(-a_2 t); θ = (a_1, a_2, c_1, c_2). The data come from a = (0.7, 3), c = (2, -1)."""
    t = torch.linspace(0.0, 4.0, 60, dtype=torch.float64)
    data = 2.0 * torch.exp(-0.7 * t) - torch.exp(-3.0 * t)
    data = data + noise * torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Written(lambda theta: torch.exp(-t[:, None] * theta[:2]) @ theta[2:] - data, 2, affine, in_one_block)


def rosenbrock(linear: int = 0) -> Written:
    return Written(lambda theta: torch.stack([10.0 * (theta[1] - theta[0] ** 2), 1.0 - theta[0]]), linear)


def assert_sound(problem: Written, start: Tensor, outcome: Outcome) -> None:
    """Finite, what it says it is, and no worse than the start."""
    assert torch.isfinite(outcome.theta).all()
    assert outcome.loss == pytest.approx(problem.loss(outcome.theta), rel=1e-6, abs=1e-25)
    assert outcome.loss <= problem.loss(start) * (1.0 + 1e-12) or not math.isfinite(problem.loss(start))


# Gauss-Newton


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


# Without the Jacobian


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


# Self-scaled Broyden


def positive_definite(size: int, seed: int) -> Tensor:
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T + 0.1 * torch.eye(size, dtype=torch.float64)


def update_in_terms_of_the_hessian(inverse: Tensor, step: Tensor, change: Tensor, tau: float, phi: float) -> Tensor:
    """The update of B = H⁻¹ (Al-Baali, Spedicato and Maggioni 2014): τ (B - Bs sᵀB / sᵀBs + θ sᵀBs w wᵀ) + y yᵀ / yᵀs."""
    b = torch.linalg.inv(inverse)
    along, curvature = b @ step, change @ step
    a = (step @ along) * (change @ inverse @ change) / curvature**2 - 1.0
    theta = (1.0 - phi) / (1.0 + a * phi)
    w = change / curvature - along / (step @ along)
    scaled = b - torch.outer(along, along) / (step @ along) + theta * (step @ along) * torch.outer(w, w)
    return tau * scaled + torch.outer(change, change) / curvature


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_the_self_scaled_update_inverts_the_hessians_and_meets_the_secant_equation(size: int, first: bool, seed: int) -> None:
    inverse, hessian = positive_definite(size, seed), positive_definite(size, seed + 50)
    gradient = positive_definite(size, seed + 100)[0]
    length = 10.0 ** (seed / 2 - 2)
    step = -length * (inverse @ gradient)
    change = hessian @ step
    after = inverse.clone()
    update(after, step, change, gradient, first)
    torch.testing.assert_close(after @ change, step, rtol=1e-9, atol=1e-9 * float(step.abs().max()))
    torch.testing.assert_close(after, after.T, rtol=1e-12, atol=1e-13 * float(after.abs().max()))
    assert torch.linalg.eigvalsh(after).min() > 0.0
    b = float(step @ torch.linalg.solve(inverse, step) / (change @ step))
    tau, phi = scaling(b, float(change @ inverse @ change / (change @ step)), size, first)
    expected = torch.linalg.inv(update_in_terms_of_the_hessian(inverse, step, change, tau, phi))
    torch.testing.assert_close(after, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("b", "h", "first", "tau", "phi"),
    [
        (1.0, 2.0, False, 1.0, 1.0),  # θ = 0: BFGS
        (0.5, 4.0, False, 0.5**0.5, 0.0),  # θ = 1, σ = 2: DFP, scaled by σ^(-1/2)
        (2.0, 1.0, False, 0.5, 3.0),  # θ = -1/2, σ = 1/2
        (2.0, 1.0, True, 2.0, 3.0),  # h / σ
        (4.0, 0.25, False, 0.25, 1.0),  # no choice: s and Hy are parallel
        (1.0, 1.0, False, 1.0, 1.0),
    ],
)
def test_scaling_by_hand_for_three_parameters(b: float, h: float, first: bool, tau: float, phi: float) -> None:
    assert scaling(b, h, 3, first) == pytest.approx((tau, phi), rel=1e-12)


def test_a_step_along_which_the_slope_falls_leaves_the_inverse_hessian_alone() -> None:
    inverse = positive_definite(3, 0)
    kept, step = inverse.clone(), tensor(1.0, 2.0, -1.0)
    update(inverse, step, -step, tensor(1.0, 0.0, 0.0))
    assert torch.equal(inverse, kept)


def test_ssbroyden_converges_superlinearly_and_about_as_fast_as_scipys_bfgs() -> None:
    problem, recorder = rosenbrock(), Recorder()
    counted = Counted(problem)
    SSBroyden(burst=1).minimise(counted, tensor(-1.2, 1.0), 100, recorder)
    losses = [step.loss for step in recorder.steps if 1e-28 < step.loss < 1e-2]
    ratios = [b / a for a, b in pairwise(losses)]
    assert min(ratios[-2:]) < 1e-3  # a linear rate would stay
    scipys = minimize(
        lambda x: float(problem.residual(torch.tensor(x)).square().sum()),
        [-1.2, 1.0],
        jac=lambda x: problem.loss_and_gradient(torch.tensor(x))[1].numpy(),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    needed = next(k for k, loss in enumerate(counted.losses) if loss < 1e-20)
    assert needed < 2 * scipys.nfev


@dataclass
class Counted:
    """A problem that keeps the losses asked for."""

    problem: LeastSquares
    losses: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        loss, gradient = self.problem.loss_and_gradient(theta)
        self.losses.append(loss)
        return loss, gradient


@pytest.mark.parametrize("size", [10, 40])
def test_ssbroyden_solves_an_ill_conditioned_quadratic_in_few_steps(size: int) -> None:
    """Condition number 1e6 of the Hessian; steepest descent would need about a million steps."""
    weights = torch.logspace(0, 3, size, dtype=torch.float64)
    problem = Written(lambda theta: weights * (theta - 1.0))
    outcome = SSBroyden().minimise(problem, torch.zeros(size, dtype=torch.float64), 8 * size, silent)
    assert outcome.loss < 1e-16
    assert_sound(problem, torch.zeros(size, dtype=torch.float64), outcome)


@pytest.mark.nightly
def test_ssbroyden_trains_a_network_further_than_lbfgs_with_as_many_gradients() -> None:
    problem = load_problem("poisson_sine")
    network = KAN((2, 5, 1), 5, 5, "none", problem.domain.lower, problem.domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    theta = parameters_to_vector(network.parameters()).detach()
    best = []
    for method in (SSBroyden(), LBFGS()):
        counted = Counted(Objective(problem, network, terms(problem, Sampling(5, 3, 0, 0))))
        method.minimise(counted, theta, 600, silent)
        best.append(min(counted.losses[:600]))
    assert best[0] < 0.5 * best[1]


# What all share


def quadratic() -> Written:
    """Affine, with the condition number 1e4 of JᵀJ, minimum 0.25 at (1, -2)."""
    return Written(lambda theta: torch.stack([theta[0] - 1.0, 100.0 * (theta[1] + 2.0), theta[0] * 0.0 + 0.5]), 1)


METHODS = {
    "gauss-newton": (GaussNewton(RIDGE), 50, 1e-7),
    "matrix-free": (MatrixFree(NO_RIDGE_TO_SPEAK_OF), 50, 1e-7),
    "ssbroyden": (SSBroyden(), 200, 1e-6),
    "lbfgs": (LBFGS(), 200, 1e-6),
    "adam": (Adam(first=0.1, last=1e-3), 800, 1e-2),
}
every_method = pytest.mark.parametrize(("method", "steps", "accuracy"), METHODS.values(), ids=METHODS.keys())


@every_method
def test_every_method_finds_the_minimum_of_a_quadratic(method: Method, steps: int, accuracy: float) -> None:
    problem, start = quadratic(), tensor(0.0, 0.0)
    outcome = method.minimise(problem, start, steps, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta.tolist() == pytest.approx([1.0, -2.0], abs=accuracy)
    assert outcome.loss == pytest.approx(0.25, rel=accuracy)


@pytest.mark.parametrize(
    ("method", "steps", "accuracy"),
    [(SSBroyden(), 60, 1e-8), (LBFGS(), 200, 1e-4), (Adam(first=0.1, last=1e-2), 1500, 0.1)],
    ids=["ssbroyden", "lbfgs", "adam"],
)
def test_first_order_methods_find_rosenbrocks_valley_floor(
    method: SSBroyden | LBFGS | Adam, steps: int, accuracy: float
) -> None:
    problem, start = rosenbrock(), tensor(-1.2, 1.0)
    outcome = method.minimise(problem, start, steps, silent)
    assert_sound(problem, start, outcome)
    assert outcome.theta.tolist() == pytest.approx([1.0, 1.0], abs=accuracy)


@every_method
def test_every_method_stops_when_its_watch_says_so(method: Method, steps: int, accuracy: float) -> None:
    recorder: Watch = Recorder(stop_after=1)
    problem, start = rosenbrock(), tensor(-1.2, 1.0)
    outcome = method.minimise(problem, start, steps, recorder)
    assert outcome.reason == "interrupted"
    assert outcome.steps <= 20
    assert_sound(problem, start, outcome)


@every_method
@pytest.mark.parametrize("allowed", [0, 1, 7, 30])
def test_no_method_takes_more_steps_than_allowed(method: Method, steps: int, accuracy: float, allowed: int) -> None:
    problem, start = rosenbrock(), tensor(-1.2, 1.0)
    outcome = method.minimise(problem, start, allowed, silent)
    assert outcome.steps <= allowed
    assert outcome.reason in ("steps", "stalled")
    assert_sound(problem, start, outcome)


@every_method
def test_watches_see_losses_that_never_rise(method: Method, steps: int, accuracy: float) -> None:
    recorder = Recorder()
    outcome = method.minimise(rosenbrock(), tensor(-1.2, 1.0), 60, recorder)
    losses = [step.loss for step in recorder.steps]
    assert losses
    assert losses == sorted(losses, reverse=True)
    assert outcome.loss <= losses[-1]


@every_method
def test_no_method_changes_the_start_it_is_given(method: Method, steps: int, accuracy: float) -> None:
    start = tensor(-1.2, 1.0)
    method.minimise(rosenbrock(), start, 5, silent)
    assert start.tolist() == [-1.2, 1.0]


@every_method
def test_a_flat_function_is_stalled_or_used_up(method: Method, steps: int, accuracy: float) -> None:
    outcome = method.minimise(Written(lambda theta: 0.0 * theta + 1.0, 1), tensor(0.3, 0.4), 40, silent)
    assert outcome.loss == pytest.approx(2.0)
    assert outcome.reason in ("stalled", "steps")
    assert torch.isfinite(outcome.theta).all()


# Bounds


def held_at_first() -> tuple[Written, Tensor]:
    """Minimum at (1, 1); from the start the first entry would fall below its bound until the second one is near."""
    bounds = Bounds(tensor(-1.5, -math.inf), tensor(2.0, math.inf))
    return Written(lambda theta: torch.stack([theta.sum() - 2.0, 0.3 * (theta[0] - theta[1])]), bounds=bounds), tensor(
        -1.5, 8.0
    )


BOUNDED = {
    "gauss-newton": (GaussNewton(RIDGE, patience=40), 100, 1e-7),
    "matrix-free": (MatrixFree(NO_RIDGE_TO_SPEAK_OF, patience=40), 100, 1e-7),
    "ssbroyden": (SSBroyden(), 200, 1e-6),
    "lbfgs": (LBFGS(), 400, 1e-3),
    "adam": (Adam(first=0.1, last=1e-2), 1500, 0.1),
}
every_bounded = pytest.mark.parametrize(("method", "steps", "accuracy"), BOUNDED.values(), ids=BOUNDED.keys())


@every_bounded
def test_an_entry_leaves_its_bound_where_the_minimum_is_inside(method: Method, steps: int, accuracy: float) -> None:
    problem, start = held_at_first()
    assert problem.bounds is not None
    assert problem.bounds.held(start, problem.loss_and_gradient(start)[1]).tolist() == [True, False]
    outcome = method.minimise(problem, start, steps, silent)
    assert outcome.theta.tolist() == pytest.approx([1.0, 1.0], abs=accuracy)


@every_bounded
@pytest.mark.parametrize("seed", range(3))
def test_bounded_least_squares_agree_with_scipy(method: Method, steps: int, accuracy: float, seed: int) -> None:
    """Three of five entries are bounded; the minimum without bounds lies outside."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((9, 5)), 3.0 * rng.standard_normal(9)
    lower, upper = np.array([-0.2, -math.inf, 0.1]), np.array([0.3, 0.1, 0.4])
    expected = lsq_linear(a, b, (np.append(lower, [-math.inf] * 2), np.append(upper, [math.inf] * 2)), method="bvls")
    assert np.abs(np.linalg.lstsq(a, b, rcond=None)[0][:3] - expected.x[:3]).max() > 0.1
    matrix, right = torch.as_tensor(a), torch.as_tensor(b)
    bounds = Bounds(torch.as_tensor(lower), torch.as_tensor(upper))
    problem = Written(lambda theta: matrix @ theta - right, bounds=bounds)
    outcome = method.minimise(problem, tensor(0.0, 0.0, 0.2, 0.0, 0.0), steps, silent)
    inside = outcome.theta[:3].numpy()
    assert (inside >= lower).all()
    assert (inside <= upper).all()
    np.testing.assert_allclose(outcome.theta.numpy(), expected.x, atol=max(accuracy, 1e-5))


def test_a_step_out_of_the_domain_of_the_residual_is_shortened() -> None:
    """log θ = -8 from θ = 1: the full step leads to -7, where there is no logarithm."""
    problem = Written(lambda theta: torch.stack([torch.log(theta[0]) + 8.0, theta[1]]), 1)
    outcome = GaussNewton(RIDGE).minimise(problem, tensor(1.0, 1.0), 60, silent)
    assert float(outcome.theta[0]) == pytest.approx(math.exp(-8.0), rel=1e-6)


def test_a_residual_that_is_not_finite_at_zero_is_minimised_from_where_it_is() -> None:
    """The ridge is relative to the loss of zero linear entries, which is infinite here."""
    problem = Written(lambda theta: torch.stack([theta[0] * theta[1] ** -2 - 4.0, theta[0] - 1.0]), 1, affine=False)
    outcome = GaussNewton(RIDGE).minimise(problem, tensor(2.0, 1.0), 60, silent)
    assert outcome.theta.tolist() == pytest.approx([1.0, 0.5], rel=1e-5)


@pytest.mark.parametrize(
    "method",
    [GaussNewton(), MatrixFree(), SSBroyden(burst=2), LBFGS(burst=2, history=3), Adam(burst=2)],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("name", ["poisson_sine", "nonlinear_cubic"])
def test_a_method_goes_on_from_the_memory_of_any_step_to_the_bit(method: Method, name: str) -> None:
    problem = load_problem(name)
    network = KAN((2, 4, 1), 3, 3, "none", problem.domain.lower, problem.domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    theta = parameters_to_vector(network.parameters()).detach()

    def minimised(memory: Memory | None) -> tuple[Outcome, list[Step]]:
        objective, seen = Objective(problem, network, terms(problem, Sampling(5, 3, 0, 0))), list[Step]()
        return method.minimise(objective, theta, 12, seen.append, memory), seen

    straight, steps = minimised(None)
    kept = [k for k, step in enumerate(steps) if step.memory is not None]
    assert len(kept) >= 4
    for k in (kept[0], kept[len(kept) // 2], kept[-1]):
        again, seen = minimised(steps[k].memory)
        assert torch.equal(again.theta, straight.theta)
        assert (again.loss, again.steps, again.reason) == (straight.loss, straight.steps, straight.reason)
        assert [step.loss for step in seen] == [step.loss for step in steps[k + 1 :]]
