"""Gauss-Newton with variable projection, column-scaled damping and a ridge that falls with the loss.

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

# The solve for the linear part where the residual is not affine in it, until less than GAIN of the cost is to be had.
NEWTON_STEPS, NEWTON_GAIN, HALVINGS = 20, 1e-1, 6

# Columns that are factorised together. Of a triangle with rows below it, the zeros are spared panel by panel: with 1.6 rows for
# each of 5472 columns that is 1.2 times as quick as all at once, with 0.6 of them 1.4 times.
PANEL = 1024


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
    least: float = 0.02
    patience: int = 10

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` accepted steps; the result is never worse, and never NaN."""
        normalised = problem.normalise(theta)
        start, size = problem.loss(theta), problem.loss(_without_linear(problem, normalised)) or 1.0
        ridge = max(self.floor, self.ridge * min(1.0, start / size))
        state = _project(problem, normalised, ridge)
        if state is None:
            return Outcome(theta, math.inf, 0, "singular")
        damping, losses, reason = self.damping, [state.loss], "steps"
        wish = watch(Step(state.theta, state.loss))  # the linear part alone may do
        while wish is None and len(losses) <= steps:
            while (wanted := max(self.floor, self.ridge * state.loss / size)) < 0.5 * ridge:
                ridge = wanted
                state = (_project(problem, state.theta, ridge) if problem.affine else state.weighed(ridge)) or state
            trial, damping = self._step(problem, state, ridge, damping)
            if trial is None:
                reason = "stalled"
                break
            state = trial
            losses.append(state.loss)
            wish = watch(Step(state.theta, state.loss, len(losses) - 1))
            if len(losses) > self.patience and state.loss > (1.0 - self.least) * losses[-1 - self.patience]:
                reason = "stalled"
                break
        # the ridge may have thrown away a better start
        best, loss = (theta, start) if start < state.loss else (state.theta, state.loss)
        return Outcome(best, loss, len(losses) - 1, wish or reason)

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        """The first damped step that lowers the cost, and the next damping; None where no trial does."""
        inner = len(state.theta) - problem.linear
        if inner == 0:
            return None, damping
        model = _model(problem, state, ridge)
        if model is None:
            return None, damping
        # what the best choice of the linear part leaves of the other columns: Kaufman's projected Jacobian
        projected, residual = model.below[:inner, :inner], model.below[:inner, inner]
        scale = projected.norm(dim=0)
        scale = scale.clamp_min(max(1e-6 * float(scale.max()), 1e-300))
        for _ in range(self.trials):
            step = _damped(projected / scale, residual, damping) / scale
            trial = _tried(problem, state, model, step, ridge)
            if trial is not None and trial.cost < state.cost:
                return trial, damping / self.down
            damping *= self.up
        return None, damping


@dataclass(frozen=True)
class _State:
    """Parameters, and cost and loss there, with and without the ridge.

    left: what of the cost the best linear step leaves, were the residual affine in the linear parameters. reflections: of the
    linear columns, which do not change with an affine step; None where there is no room to keep them.
    """

    theta: Tensor
    cost: float
    loss: float
    left: float
    linear_step: Tensor
    reflections: _Reflections | None

    def moved(self, ridge: float) -> _State:
        """The state after the best linear step, for an affine residual."""
        theta = _moved(self.theta, self.linear_step)
        loss = max(0.0, self.left - ridge * _squared(theta[len(theta) - len(self.linear_step) :]))
        return replace(self, theta=theta, cost=self.left, loss=loss, linear_step=torch.zeros_like(self.linear_step))

    def weighed(self, ridge: float) -> _State:
        """The state with another ridge."""
        cost = self.loss + ridge * _squared(self.theta[len(self.theta) - len(self.linear_step) :])
        return replace(self, cost=cost, reflections=None)  # which are those of the linear columns above the old ridge


@dataclass(frozen=True)
class _Reflections:
    """LAPACK's Householder reflections of [triangle; rows], panel by panel, which make it a triangle ``(n, n)`` again.

    Those of a panel leave the rows of all others in the triangle as they are.
    """

    triangle: Tensor
    panels: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, triangle: Tensor, rows: Tensor) -> _Reflections:
        """Those of an upper triangle ``(n, n)`` with rows ``(m, n)`` below it.

        A panel is turned by those before it, then factorised: beside rows and triangle there is room for one panel to work in.
        """
        n = len(triangle)
        found = cls(torch.zeros_like(triangle), [])
        for start in range(0, n, PANEL):
            here = slice(start, min(n, start + PANEL))
            columns = found.turned(_stacked(triangle[:, here], rows[:, here]))
            factors, tau = torch.geqrf(_stacked(columns[here], columns[n:]))
            found.triangle[:start, here] = columns[:start]
            found.triangle[here, here] = factors[: len(tau)].triu()
            found.panels.append((factors, tau))
        return found

    def turned(self, columns: Tensor) -> Tensor:
        """Qᵀ times columns ``(n + m, k)``, which may be overwritten."""
        n = len(self.triangle)
        for k, panel in enumerate(self.panels):
            here = slice(k * PANEL, min(n, (k + 1) * PANEL))
            if here == slice(0, n):
                return _turned(panel, columns)
            turned = _turned(panel, _stacked(columns[here], columns[n:]))
            columns[here], columns[n:] = turned[: here.stop - here.start], turned[here.stop - here.start :]
        return columns


@dataclass(frozen=True)
class _Model:
    """R of a QR factorisation of [J_linear, J_inner, r] in three blocks, the ridge's rows included.

    triangle ``(L, L)``, beside ``(L, I + 1)``: of the linear columns and beside them; below ``(I + 1, I + 1)``: under them.
    """

    triangle: Tensor
    beside: Tensor
    below: Tensor

    def linear_step(self, step: Tensor) -> Tensor:
        """The best step of the linear part beside a step of the other one."""
        inner = len(step)
        right = -(self.beside[:, :inner] @ step + self.beside[:, inner])
        found: Tensor = torch.linalg.solve_triangular(self.triangle, right[:, None], upper=True)[:, 0]
        return found


def _tried(problem: LeastSquares, state: _State, model: _Model, step: Tensor, ridge: float) -> _State | None:
    """The state after a step of the inner part.

    Where the residual is affine in the linear part, that is solved for again; else it takes the step that the model gives it
    beside what the inner part has become, which costs no factorisation.
    """
    inner, theta = len(step), state.theta.clone()
    theta[:inner] += step
    if problem.affine:
        return _project(problem, problem.normalise(theta), ridge)
    theta[inner:] += model.linear_step(step)
    return _project(problem, problem.normalise(theta, lazily=True), ridge)


def _project(problem: LeastSquares, theta: Tensor, ridge: float) -> _State | None:
    """Solve for the linear part of theta; None where the numbers do not stay finite.

    Where the residual is not affine in it, take Gauss-Newton steps, halved until they lower the cost.
    """
    state = _factorised(problem, theta, ridge)
    for _ in range(NEWTON_STEPS):
        if state is None:
            return None
        step = state.linear_step
        if problem.affine:
            return state.moved(ridge)
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
    linear = problem.linear
    triangle, along, left, reflections = _ridge(theta, linear, ridge), ridge**0.5 * theta[len(theta) - linear :], 0.0, None
    for residual, jacobian in problem.blocks(theta, only_linear=True):
        reflections = _Reflections.of(triangle, jacobian)
        turned = reflections.turned(torch.cat([along, residual])[:, None])[:, 0]
        triangle, along, left = reflections.triangle, turned[:linear], left + _squared(turned[linear:])
        reflections = reflections if problem.roomy else None
    step = torch.linalg.solve_triangular(triangle, -along[:, None], upper=True)[:, 0]
    cost = left + _squared(along)
    if not (math.isfinite(cost) and bool(torch.isfinite(step).all())):
        return None
    loss = max(0.0, cost - ridge * _squared(theta[len(theta) - linear :]))
    return _State(theta, cost, loss, left, step, reflections)


def _model(problem: LeastSquares, state: _State, ridge: float) -> _Model | None:
    """The linear model of the residual at a state.

    Built block by block, so that memory is bounded by a block's. None where it is not finite.
    """
    linear, theta = problem.linear, state.theta
    inner = len(theta) - linear
    triangle, below = _ridge(theta, linear, ridge), theta.new_empty(0, inner + 1)
    beside = theta.new_zeros(linear, inner + 1)  # the linear columns
    beside[:, inner] = ridge**0.5 * theta[inner:]
    for residual, jacobian in problem.blocks(theta):
        reflections = state.reflections or _Reflections.of(triangle, jacobian[:, inner:])
        triangle = reflections.triangle
        rest = theta.new_empty(inner + 1, linear + len(residual)).T  # in the order that LAPACK wants
        rest[:linear], rest[linear:, :inner], rest[linear:, inner] = beside, jacobian[:, :inner], residual
        del jacobian  # before the factorisation takes memory of its own
        rest = reflections.turned(rest)
        beside, rows = rest[:linear].clone(), rest[linear:]
        below = torch.linalg.qr(torch.cat([below, rows]) if len(below) else rows, mode="r").R
        del rest, rows
    return _Model(triangle, beside, below) if bool(torch.isfinite(below).all()) else None


def _ridge(theta: Tensor, linear: int, ridge: float) -> Tensor:
    """The ridge's rows in the linear columns."""
    return torch.diag(theta.new_full((linear,), ridge**0.5))


def _stacked(top: Tensor, bottom: Tensor) -> Tensor:
    """Rows above others, in the order that LAPACK wants."""
    both = top.new_empty(top.shape[1], len(top) + len(bottom)).T
    both[: len(top)], both[len(top) :] = top, bottom
    return both


def _turned(panel: tuple[Tensor, Tensor], columns: Tensor) -> Tensor:
    """Qᵀ of some reflections times columns."""
    turned: Tensor = torch.ormqr(*panel, columns, left=True, transpose=True)
    return turned
