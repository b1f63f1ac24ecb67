"""Gauss-Newton with variable projection, column-scaled damping and a ridge that is reduced in stages.

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

    ridges: taken one after the other, each until a step gains less than `gain` of the cost; the last until `patience` steps
    in a row gain less than `least`. damping: the first Levenberg-Marquardt parameter, relative to columns scaled to length
    one. trials: rejected steps before giving up on a ridge.
    """

    ridges: tuple[float, ...] = (1e-6, 1e-8, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16)
    damping: float = 1e-2
    gain: float = 0.1
    least: float = 0.05
    trials: int = 10
    patience: int = 3

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` accepted steps; the result is never worse, and never NaN."""
        state = _project(problem, problem.normalise(theta), self.ridges[0])
        if state is None:
            return Outcome(theta, math.inf, 0, "singular")
        start = sum(_squared(residual) for residual, _ in problem.blocks(theta, only_linear=True))
        best = theta, start
        damping, level, taken, idle, reason = self.damping, 0, 0, 0, "steps"
        while taken < steps:
            trial, damping = self._step(problem, state, self.ridges[level], damping)
            gain = 0.0 if trial is None else 1.0 - trial.cost / state.cost
            if trial is not None:
                state, taken = trial, taken + 1
                wish = watch(Step(state.theta, state.loss, taken))
                if wish is not None:
                    reason = wish
                    break
            if level < len(self.ridges) - 1:
                if gain < self.gain:
                    level += 1
                    state = _project(problem, state.theta, self.ridges[level]) or state
            else:
                idle = idle + 1 if gain < self.least else 0
                if trial is None or idle == self.patience:
                    reason = "stalled"
                    break
        # the first, large ridge may have thrown away a better start
        theta, loss = best if best[1] < state.loss else (state.theta, state.loss)
        return Outcome(theta, loss, taken, reason)

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
                return trial, damping / 5.0
            damping *= 4.0
        return None, damping


@dataclass(frozen=True)
class _State:
    """Parameters, and cost and loss there, with and without the ridge.

    reducible: how much of the cost the best linear step takes away, were the residual affine in the linear parameters.
    """

    theta: Tensor
    cost: float
    loss: float
    reducible: float
    linear_step: Tensor


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
            theta = _moved(state.theta, step)
            cost = state.cost - state.reducible
            return _State(theta, cost, cost - ridge * _squared(theta[len(theta) - problem.linear :]), 0.0, 0.0 * step)
        if state.reducible <= NEWTON_GAIN * state.cost:
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
    along, left = triangle[:-1, -1], float(triangle[-1, -1])
    step = torch.linalg.solve_triangular(triangle[:-1, :-1], -along[:, None], upper=True)[:, 0]
    if not bool(torch.isfinite(step).all()):
        return None
    reducible = _squared(along)
    cost = left**2 + reducible
    return _State(theta, cost, cost - ridge * _squared(theta[len(theta) - problem.linear :]), reducible, step)


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
        inner = jacobian.shape[1] - linear
        rows = torch.cat([jacobian[:, inner:], jacobian[:, :inner], residual[:, None]], dim=1)
        triangle = torch.linalg.qr(torch.cat([triangle, rows]), mode="r").R
    if not bool(torch.isfinite(triangle).all()):
        return None
    square = theta.new_zeros(width, width)
    square[: len(triangle)] = triangle
    return square
