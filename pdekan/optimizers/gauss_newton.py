"""Gauss-Newton with variable projection, column-scaled damping and a ridge that falls with the loss.

Write θ = (a, c) with c the entries that the model is linear in. For every a the best c is found by an orthogonal solve, and
steps are taken on a alone with Kaufman's projected Jacobian (Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432;
Kaufman, BIT 15 (1975) 49-57). Minimised is ‖r‖² + ridge ‖c‖². All factorisations are of J itself, never of JᵀJ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Outcome, Step, Watch

# The solve for the linear part where the residual is not affine in it: at first until less than GAIN of the cost is to be had,
# later, from a good start, a single step.
NEWTON_STEPS, NEWTON_GAIN, HALVINGS = 20, 1e-12, 6


@dataclass(frozen=True)
class GaussNewton:
    """Options of the method.

    ridge: as a multiple of the loss relative to that of zero linear parameters, so that it falls with the loss; never below
    `floor`. damping: the first Levenberg-Marquardt parameter, relative to columns scaled to length one; it is divided by
    `down` after every step and multiplied by `up` after every rejected one. The end is reached when `patience` steps in a row
    together gain less than `least` of the loss, or after `trials` rejected steps.

    A smaller first guess of the damping at every step is often rejected; a rule by the ratio of gained to predicted was as
    good on the two problems of tests/benchmarks/ablation.md.
    """

    ridge: float = 1e-6
    floor: float = 1e-24
    damping: float = 1e-2
    down: float = 5.0
    up: float = 4.0
    trials: int = 10
    least: float = 0.1
    patience: int = 5

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` accepted steps; the result is never worse, and never NaN."""
        normalised = problem.normalise(theta)
        start, size = _loss(problem, theta), _loss(problem, _without_linear(problem, normalised)) or 1.0
        ridge = max(self.floor, self.ridge * min(1.0, start / size))
        state = _project(problem, normalised, ridge)
        if state is None:
            return Outcome(theta, math.inf, 0, "singular")
        damping, losses, reason = self.damping, [state.loss], "steps"
        while len(losses) <= steps:
            while (wanted := max(self.floor, self.ridge * state.loss / size)) < 0.5 * ridge:
                ridge = wanted
                state = _project(problem, state.theta, ridge) or state
            trial, damping = self._step(problem, state, ridge, damping)
            if trial is None:
                reason = "stalled"
                break
            state = trial
            losses.append(state.loss)
            wish = watch(Step(state.theta, state.loss, len(losses) - 1))
            if wish is not None:
                reason = wish
                break
            if len(losses) > self.patience and state.loss > (1.0 - self.least) * losses[-1 - self.patience]:
                reason = "stalled"
                break
        # the ridge may have thrown away a better start
        best, loss = (theta, start) if start < state.loss else (state.theta, state.loss)
        return Outcome(best, loss, len(losses) - 1, reason)

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        """The first damped step that lowers the cost, and the next damping; None where no trial does."""
        linear, inner = problem.linear, len(state.theta) - problem.linear
        if inner == 0:
            return None, damping
        triangle = _triangle(problem, state.theta, ridge)
        if triangle is None:
            return None, damping
        # below the linear columns stands what their best choice leaves of the others: Kaufman's projected Jacobian
        projected, residual = triangle[linear:-1, linear:-1], triangle[linear:-1, -1]
        scale = projected.norm(dim=0)
        scale = scale.clamp_min(max(1e-6 * float(scale.max()), 1e-300))
        for _ in range(self.trials):
            theta = state.theta.clone()
            theta[:inner] += _damped(projected / scale, residual, damping) / scale
            trial = _project(problem, problem.normalise(theta), ridge, newton_steps=1)
            if trial is not None and trial.cost < state.cost:
                return trial, damping / self.down
            damping *= self.up
        return None, damping


@dataclass(frozen=True)
class _State:
    """Parameters, and cost and loss there, with and without the ridge.

    left: what of the cost the best linear step leaves, were the residual affine in the linear parameters.
    """

    theta: Tensor
    cost: float
    loss: float
    left: float
    linear_step: Tensor

    @classmethod
    def at(cls, theta: Tensor, cost: float, ridge: float, left: float, linear_step: Tensor) -> _State:
        """The loss is the cost without the ridge's part."""
        loss = max(0.0, cost - ridge * _squared(theta[len(theta) - len(linear_step) :]))
        return cls(theta, cost, loss, left, linear_step)


def _project(problem: LeastSquares, theta: Tensor, ridge: float, newton_steps: int = NEWTON_STEPS) -> _State | None:
    """Solve for the linear part of theta; None where the numbers do not stay finite.

    Where the residual is not affine in it, take Gauss-Newton steps, halved until they lower the cost.
    """
    state = _factorised(problem, theta, ridge)
    for _ in range(newton_steps):
        if state is None:
            return None
        step = state.linear_step
        if problem.affine:
            return _State.at(_moved(state.theta, step), state.left, ridge, state.left, torch.zeros_like(step))
        if state.cost - state.left <= NEWTON_GAIN * state.cost:
            return state
        for _ in range(HALVINGS):
            trial = _factorised(problem, _moved(state.theta, step), ridge)
            if trial is not None and trial.cost < state.cost:
                break
            step = 0.5 * step
        else:
            return state
        state = trial
    return state


def _loss(problem: LeastSquares, theta: Tensor) -> float:
    """‖r‖² at theta."""
    return sum(_squared(residual) for residual, _ in problem.blocks(theta, only_linear=True))


def _without_linear(problem: LeastSquares, theta: Tensor) -> Tensor:
    """The parameters with zero for those that the model is linear in."""
    inner = len(theta) - problem.linear
    return torch.cat([theta[:inner], torch.zeros_like(theta[inner:])])


def _moved(theta: Tensor, linear_step: Tensor) -> Tensor:
    """Parameters whose trailing, linear ones take a step."""
    inner = len(theta) - len(linear_step)
    return torch.cat([theta[:inner], theta[inner:] + linear_step])


def _squared(x: Tensor) -> float:
    return float(x @ x)


def _damped(a: Tensor, b: Tensor, damping: float) -> Tensor:
    """The s that minimises ‖a s + b‖² + damping ‖s‖²."""
    n = a.shape[1]
    eye = damping**0.5 * torch.eye(n, dtype=a.dtype, device=a.device)
    stacked = torch.cat([torch.cat([a, b[:, None]], dim=1), torch.cat([eye, eye.new_zeros(n, 1)], dim=1)])
    r = torch.linalg.qr(stacked, mode="r").R
    step: Tensor = torch.linalg.solve_triangular(r[:n, :n], -r[:n, n:], upper=True)[:, 0]
    return step


def _factorised(problem: LeastSquares, theta: Tensor, ridge: float) -> _State | None:
    """The state at theta as it stands, and its best linear step; None where it is not finite."""
    triangle = _triangle(problem, theta, ridge, only_linear=True)
    if triangle is None:
        return None
    along, left = triangle[:-1, -1], float(triangle[-1, -1]) ** 2
    step = torch.linalg.solve_triangular(triangle[:-1, :-1], -along[:, None], upper=True)[:, 0]
    if not bool(torch.isfinite(step).all()):
        return None
    return _State.at(theta, left + _squared(along), ridge, left, step)


def _triangle(problem: LeastSquares, theta: Tensor, ridge: float, only_linear: bool = False) -> Tensor | None:
    """The R of a QR factorisation of [J_linear, J_inner, r], the ridge's rows included; None where it is not finite.

    Of the Jacobian or, only_linear, of its linear columns. Built block by block, so that memory is bounded by a block's.
    """
    linear = problem.linear
    width = (linear if only_linear else len(theta)) + 1
    triangle = theta.new_zeros(linear, width)
    triangle.diagonal().fill_(ridge**0.5)
    triangle[:, -1] = ridge**0.5 * theta[len(theta) - linear :]
    for residual, jacobian in problem.blocks(theta, only_linear):
        inner, known = jacobian.shape[1] - linear, len(triangle)
        stacked = theta.new_empty(known + len(residual), width)
        stacked[:known] = triangle
        stacked[known:, :linear], stacked[known:, linear:-1] = jacobian[:, inner:], jacobian[:, :inner]
        stacked[known:, -1] = residual
        del jacobian  # before the factorisation takes memory of its own
        triangle = torch.linalg.qr(stacked, mode="r").R
        del stacked
    if not bool(torch.isfinite(triangle).all()):
        return None
    square = theta.new_zeros(width, width)
    square[: len(triangle)] = triangle
    return square
