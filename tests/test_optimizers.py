"""Self-scaled Broyden, what all optimizers share, and bounds: known answers, SciPy, and inputs out to break them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from least_squares import NO_RIDGE_TO_SPEAK_OF, RIDGE, Method, Recorder, Written, assert_sound, rosenbrock, silent, tensor
from scipy.optimize import lsq_linear, minimize
from torch import Tensor

from pdekan.networks.kan import KAN
from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import Bounds, LeastSquares, Memory, Outcome, Step, Watch
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.optimizers.ssbroyden import SSBroyden, scaling, update
from pdekan.problem_files.loader import load_problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

# --- Self-scaled Broyden


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
    theta = network.flat_parameters
    best = []
    for method in (SSBroyden(), LBFGS()):
        counted = Counted(Objective(problem, network, terms(problem, Sampling(5, 3, 0, 0))))
        method.minimise(counted, theta, 600, silent)
        best.append(min(counted.losses[:600]))
    assert best[0] < 0.5 * best[1]


# --- What all share


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


# --- Bounds


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
    theta = network.flat_parameters
    count = 5 if isinstance(method, MatrixFree) else 12  # whose later steps take long

    def minimised(memory: Memory | None) -> tuple[Outcome, list[Step]]:
        objective, seen = Objective(problem, network, terms(problem, Sampling(5, 3, 0, 0))), list[Step]()
        return method.minimise(objective, theta, count, seen.append, memory), seen

    straight, steps = minimised(None)
    kept = [k for k, step in enumerate(steps) if step.memory is not None]
    assert len(kept) >= 4
    for k in (kept[0], kept[len(kept) // 2], kept[-1]):
        again, seen = minimised(steps[k].memory)
        assert torch.equal(again.theta, straight.theta)
        assert (again.loss, again.steps, again.reason) == (straight.loss, straight.steps, straight.reason)
        assert [step.loss for step in seen] == [step.loss for step in steps[k + 1 :]]
