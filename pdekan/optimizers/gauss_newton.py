"""Gauss-Newton with variable projection, column-scaled damping and a ridge that is reduced in stages.

Write θ = (a, c) with c the entries that the model is linear in. For every a the best c is found by an orthogonal solve, and
steps are taken on a alone with Kaufman's projected Jacobian (Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432;
Kaufman, BIT 15 (1975) 49-57). Minimised is ‖r‖² + ridge ‖c‖². All factorisations are of J itself, never of JᵀJ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
        start = problem.rows(theta, only_linear=True)[0]
        best = theta, float(start @ start)
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
        inner = len(state.theta) - problem.linear
        if inner == 0:
            return None, damping
        residual, jacobian = problem.rows(state.theta)
        jacobian = jacobian[:, :inner]
        rows = len(residual)
        projected = torch.cat([jacobian, jacobian.new_zeros(len(state.residual) - rows, inner)])
        projected = projected - state.q @ (state.q[:rows].T @ jacobian)
        scale = projected.norm(dim=0)
        scale = scale.clamp_min(max(1e-6 * float(scale.max()), 1e-300))
        triangle = torch.linalg.qr(torch.cat([projected / scale, state.residual[:, None]], dim=1), mode="r").R
        if not bool(torch.isfinite(triangle).all()):
            return None, damping
        u, s, vt = torch.linalg.svd(triangle[:inner, :inner])
        along = u.T @ triangle[:inner, inner]
        for _ in range(self.trials):
            step = -(vt.T @ (s / (s**2 + damping) * along)) / scale
            theta = state.theta.clone()
            theta[:inner] += step
            trial = _project(problem, problem.normalise(theta), ridge, newton_steps=1)
            if trial is not None and trial.cost < state.cost:
                return trial, damping / 5.0
            damping *= 4.0
        return None, damping


@dataclass(frozen=True)
class _State:
    """Parameters, and the residual there; residual and orthonormal basis q of the linear columns include the ridge's rows.

    along: the residual's part that the linear columns can take away, as coordinates in q; linear_step: the step that does.
    """

    theta: Tensor
    residual: Tensor
    q: Tensor
    along: Tensor
    linear_step: Tensor
    cost: float
    loss: float


def _project(problem: LeastSquares, theta: Tensor, ridge: float, newton_steps: int = NEWTON_STEPS) -> _State | None:
    """Solve for the linear part of theta; None where the numbers do not stay finite.

    Where the residual is not affine in it, take Gauss-Newton steps, halved until they lower the cost.
    """
    inner = len(theta) - problem.linear
    state = _factorised(problem, theta, ridge)
    for _ in range(newton_steps):
        if state is None:
            return None
        step = state.linear_step
        theta = torch.cat([state.theta[:inner], state.theta[inner:] + step])
        if problem.affine:
            right = state.residual - state.q @ state.along
            loss = float(right[: len(right) - problem.linear].square().sum())
            return replace(state, theta=theta, residual=right, cost=float(right @ right), loss=loss)
        if float(state.along @ state.along) <= NEWTON_GAIN * state.cost:
            return state
        for _ in range(HALVINGS):
            trial = _factorised(problem, theta, ridge)
            if trial is not None and trial.cost < state.cost:
                break
            step = 0.5 * step
            theta = torch.cat([state.theta[:inner], state.theta[inner:] + step])
        else:
            return state
        state = trial
    return state


def _factorised(problem: LeastSquares, theta: Tensor, ridge: float) -> _State | None:
    """The state at theta as it stands, with the factorisation of its linear columns; None where it is not finite."""
    residual, a = problem.rows(theta, only_linear=True)
    linear = theta[len(theta) - problem.linear :]
    eye = ridge**0.5 * torch.eye(problem.linear, dtype=a.dtype, device=a.device)
    right = torch.cat([residual, ridge**0.5 * linear])
    if not bool(torch.isfinite(right).all() & torch.isfinite(a).all()):
        return None
    q, r = torch.linalg.qr(torch.cat([a, eye]))
    along = q.T @ right
    step = torch.linalg.solve_triangular(r, -along[:, None], upper=True)[:, 0]
    if not bool(torch.isfinite(step).all()):
        return None
    return _State(theta, right, q, along, step, float(right @ right), float(residual @ residual))
