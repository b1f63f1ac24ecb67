"""Gauss-Newton with variable projection, column-scaled damping and a ridge that falls with the loss.

Write θ = (a, c) with c the linear entries and a the inner ones. For every a the best c follows from an orthogonal solve, and
steps are taken on a alone with Kaufman's projected Jacobian (Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432;
Kaufman, BIT 15 (1975) 49-57). The cost is ‖r‖² + ridge ‖c‖². All factorisations are of J, none of JᵀJ. Between bounds, steps
are those of the damped model there (Kanzow, Yamashita and Fukushima, J. Comput. Appl. Math. 172 (2004) 375-397, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.optimizers.base import Bounds, LeastSquares, Memory, Outcome, Step, Watch

_Position = tuple["_State", float, float, list[float]]  # with the ridge, the next damping, and the losses so far


@dataclass(frozen=True)
class GaussNewton:
    """Options of the method.

    ridge: as a multiple of the loss relative to that of zero linear parameters, so that it falls with the loss; never below
    `min_ridge`. damping: the first Levenberg-Marquardt parameter, relative to columns scaled to length one; it is divided by
    `down` after every step and multiplied by `up` after every rejected one (a rule by the ratio of gained to predicted was as
    good on the two problems of tests/benchmarks/ablation.md). The method stalls when `patience` steps in a row together gain
    less than `min_gain` of the loss, or after `trials` rejected steps.

    Where the residual is not affine in the linear entries, these are solved for by at most `linear_steps` Gauss-Newton steps,
    each halved at most `halvings` times, until a step would gain less than `linear_gain` of the cost.

    panel: columns that are factorised together. A triangle with rows below it is factorised panel by panel, which skips its
    zeros: with 1.6 rows for each of 5472 columns that is 1.2 times as fast as all at once, with 0.6 of them 1.4 times.
    """

    ridge: float = 1e-6
    min_ridge: float = 1e-24
    damping: float = 1e-2
    down: float = 5.0
    up: float = 4.0
    trials: int = 10
    min_gain: float = 0.02
    patience: int = 10
    linear_steps: int = 20
    linear_gain: float = 1e-1
    halvings: int = 6
    panel: int = 1024

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` accepted steps; the result is never worse, and never NaN."""
        normalised = problem.normalise(theta)
        start, size = problem.loss(theta), problem.loss(_without_linear(problem, normalised)) or 1.0
        size = size if math.isfinite(size) else start  # functions such as log(u) are not finite at zero
        position = self._first(problem, [normalised, theta], start / size) if memory is None else self._again(problem, memory)
        if position is None:
            return Outcome(theta, math.inf, 0, "singular")
        state, ridge, damping, losses = position
        # the linear solve may be enough
        stop, rejected = watch(Step(state.theta, state.loss)) if memory is None else None, False
        while stop is None and len(losses) <= steps and not self._stalled(losses):
            while (lower := max(self.min_ridge, self.ridge * state.loss / size)) < 0.5 * ridge:
                ridge = lower
                state = (self._project(problem, state.theta, ridge) if problem.affine else state.with_ridge(ridge)) or state
            trial, damping = self._step(problem, state, ridge, damping)
            if trial is None:
                rejected = True
                break
            state = trial
            losses.append(state.loss)
            kept = {"theta": state.theta, "cost": state.cost, "ridge": ridge, "damping": damping, "losses": [*losses]}
            stop = watch(Step(state.theta, state.loss, len(losses) - 1, kept))
        # with the ridge, a start of lower loss may have been given up
        best, loss = (theta, start) if start < state.loss else (state.theta, state.loss)
        reason = "stalled" if rejected or self._stalled(losses) else "steps"
        return Outcome(best, loss, len(losses) - 1, stop or reason)

    def _first(self, problem: LeastSquares, starts: list[Tensor], loss: float) -> _Position | None:
        """Where the method begins, of the starts from the first that it can. loss: relative to that of zero linear entries."""
        ridge = max(self.min_ridge, self.ridge * min(1.0, loss))
        states = (self._project(problem, theta, ridge) for theta in starts)
        state = next((one for one in states if one is not None), None)
        return None if state is None else (state, ridge, self.damping, [state.loss])

    def _again(self, problem: LeastSquares, memory: Memory) -> _Position | None:
        """Where the method was: the factorisation, too large to keep, is computed again."""
        state, losses = self._linearised(problem, memory["theta"], memory["ridge"]), [*memory["losses"]]
        if state is None:
            return None
        # an affine residual was linearised before its linear step, so that these numbers differ in their last bits
        return replace(state, cost=memory["cost"], loss=losses[-1]), memory["ridge"], memory["damping"], losses

    def _stalled(self, losses: list[float]) -> bool:
        """Whether the last `patience` steps gained too little."""
        return len(losses) > self.patience and losses[-1] > (1.0 - self.min_gain) * losses[-1 - self.patience]

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        """The first damped step that lowers the cost, and the next damping; None where no trial does."""
        inner = len(state.theta) - problem.linear
        if inner == 0:
            return None, damping
        model = self._model(problem, state, ridge)
        if model is None:
            return None, damping
        # Kaufman's projected Jacobian: the inner columns, orthogonal to the linear ones
        projected, residual = model.below[:inner, :inner], model.below[:inner, inner]
        scale = projected.norm(dim=0)
        scale = scale.clamp_min(max(1e-6 * float(scale.max()), 1e-300))
        room = None if problem.bounds is None else _room(problem.bounds, state.theta, scale)
        for _ in range(self.trials):
            step = _damped(projected / scale, residual, damping, room) / scale
            trial = self._trial(problem, state, model, step, ridge)
            if trial is not None and trial.cost < state.cost:
                return trial, damping / self.down
            damping *= self.up
        return None, damping

    def _trial(self, problem: LeastSquares, state: _State, model: _Model, step: Tensor, ridge: float) -> _State | None:
        """The state after a step of the inner entries.

        Where the residual is affine in the linear entries, they are solved for again; else they start from the model's step,
        which needs no factorisation.
        """
        inner, theta = len(step), state.theta.clone()
        theta[:inner] += step
        if problem.bounds is not None:
            theta = problem.bounds.projected(theta)  # up to rounding it is there
        if problem.affine:
            return self._project(problem, problem.normalise(theta), ridge)
        theta[inner:] += model.linear_step(step)
        return self._project(problem, problem.normalise(theta, lazily=True), ridge)

    def _project(self, problem: LeastSquares, theta: Tensor, ridge: float) -> _State | None:
        """Solve for the linear entries of theta; None where the result is not finite."""
        state = self._linearised(problem, theta, ridge)
        for _ in range(self.linear_steps):
            if state is None:
                return None
            step = state.linear_step
            if problem.affine:
                return state.after_linear_step(ridge)
            if state.cost - state.predicted <= self.linear_gain * state.cost:
                return state
            for _ in range(self.halvings):
                trial = self._linearised(problem, _add_linear(state.theta, step), ridge)
                if trial is not None and trial.cost < state.cost:
                    break
                step = 0.5 * step
            else:
                return state
            state = trial
        return state

    def _linearised(self, problem: LeastSquares, theta: Tensor, ridge: float) -> _State | None:
        """The state at theta, with the best linear step from there; None where it is not finite."""
        linear = problem.linear
        triangle, reflections = _ridge_rows(theta, linear, ridge), None
        right, predicted = ridge**0.5 * theta[len(theta) - linear :], 0.0
        for residual, jacobian in problem.blocks(theta, only_linear=True):
            reflections = _Reflections.of(triangle, jacobian, self.panel)
            column = reflections.applied(torch.cat([right, residual])[:, None])[:, 0]
            triangle, right, predicted = reflections.triangle, column[:linear], predicted + _squared(column[linear:])
            reflections = reflections if problem.in_one_block else None
        step = torch.linalg.solve_triangular(triangle, -right[:, None], upper=True)[:, 0]
        cost = predicted + _squared(right)
        if not (math.isfinite(cost) and bool(torch.isfinite(step).all())):
            return None
        loss = max(0.0, cost - ridge * _squared(theta[len(theta) - linear :]))
        return _State(theta, cost, loss, predicted, step, reflections)

    def _model(self, problem: LeastSquares, state: _State, ridge: float) -> _Model | None:
        """The linear model of the residual at a state, built block by block to bound the memory; None if not finite."""
        linear, theta = problem.linear, state.theta
        inner = len(theta) - linear
        triangle, below = _ridge_rows(theta, linear, ridge), theta.new_empty(0, inner + 1)
        beside = theta.new_zeros(linear, inner + 1)
        beside[:, inner] = ridge**0.5 * theta[inner:]
        for residual, jacobian in problem.blocks(theta):
            reflections = state.reflections or _Reflections.of(triangle, jacobian[:, inner:], self.panel)
            triangle = reflections.triangle
            rest = theta.new_empty(inner + 1, linear + len(residual)).T  # in LAPACK's column-major order
            rest[:linear], rest[linear:, :inner], rest[linear:, inner] = beside, jacobian[:, :inner], residual
            del jacobian  # before the factorisation needs memory of its own
            rest = reflections.applied(rest)
            beside, rows = rest[:linear].clone(), rest[linear:]
            below = torch.linalg.qr(torch.cat([below, rows]) if len(below) else rows, mode="r").R
            del rest, rows
        return _Model(triangle, beside, below) if bool(torch.isfinite(below).all()) else None


@dataclass(frozen=True)
class _State:
    """Parameters, and cost and loss there, with and without the ridge.

    predicted: the cost after the best linear step, were the residual affine in the linear parameters. reflections: of the
    linear columns, which a linear step does not change; None where there is no memory to keep them.
    """

    theta: Tensor
    cost: float
    loss: float
    predicted: float
    linear_step: Tensor
    reflections: _Reflections | None

    def after_linear_step(self, ridge: float) -> _State:
        """The state after the best linear step, for an affine residual."""
        theta = _add_linear(self.theta, self.linear_step)
        loss = max(0.0, self.predicted - ridge * _squared(theta[len(theta) - len(self.linear_step) :]))
        return replace(self, theta=theta, cost=self.predicted, loss=loss, linear_step=torch.zeros_like(self.linear_step))

    def with_ridge(self, ridge: float) -> _State:
        """The state with another ridge, for a residual that is not affine."""
        cost = self.loss + ridge * _squared(self.theta[len(self.theta) - len(self.linear_step) :])
        return replace(self, cost=cost, reflections=None)  # the reflections depend on the ridge


@dataclass(frozen=True)
class _Reflections:
    """LAPACK's Householder reflections of the QR factorisation of [triangle; rows], panel by panel; triangle is its R.

    Those of a panel change of the triangle's rows only its own.
    """

    triangle: Tensor
    panels: list[tuple[Tensor, Tensor]]
    size: int

    @classmethod
    def of(cls, triangle: Tensor, rows: Tensor, size: int) -> _Reflections:
        """Those of an upper triangle ``(n, n)`` with rows ``(m, n)`` below it, in panels of `size` columns.

        The reflections of earlier panels are applied to a panel before it is factorised: beside rows and triangle, memory is
        needed for one panel.
        """
        n = len(triangle)
        result = cls(torch.zeros_like(triangle), [], size)
        for start in range(0, n, size):
            here = slice(start, min(n, start + size))
            columns = result.applied(_stacked(triangle[:, here], rows[:, here]))
            factors, tau = torch.geqrf(_stacked(columns[here], columns[n:]))
            result.triangle[:start, here] = columns[:start]
            result.triangle[here, here] = factors[: len(tau)].triu()
            result.panels.append((factors, tau))
        return result

    def applied(self, columns: Tensor) -> Tensor:
        """Qᵀ times columns ``(n + m, k)``, which may be overwritten."""
        n = len(self.triangle)
        for k, panel in enumerate(self.panels):
            here = slice(k * self.size, min(n, (k + 1) * self.size))
            if here == slice(0, n):
                return torch.ormqr(*panel, columns, left=True, transpose=True)
            product = torch.ormqr(*panel, _stacked(columns[here], columns[n:]), left=True, transpose=True)
            columns[here], columns[n:] = product[: here.stop - here.start], product[here.stop - here.start :]
        return columns


@dataclass(frozen=True)
class _Model:
    """R = [triangle, beside; 0, below] of a QR factorisation of [J_linear, J_inner, r], the ridge's rows included.

    triangle: ``(L, L)``. beside: ``(L, I + 1)``. below: ``(I + 1, I + 1)``.
    """

    triangle: Tensor
    beside: Tensor
    below: Tensor

    def linear_step(self, step: Tensor) -> Tensor:
        """The best step of the linear entries together with a step of the inner ones."""
        inner = len(step)
        right = -(self.beside[:, :inner] @ step + self.beside[:, inner])
        linear: Tensor = torch.linalg.solve_triangular(self.triangle, right[:, None], upper=True)[:, 0]
        return linear


def _without_linear(problem: LeastSquares, theta: Tensor) -> Tensor:
    """The parameters with zero for the linear entries."""
    inner = len(theta) - problem.linear
    return torch.cat([theta[:inner], torch.zeros_like(theta[inner:])])


def _add_linear(theta: Tensor, linear_step: Tensor) -> Tensor:
    """Parameters after a step of the linear entries."""
    inner = len(theta) - len(linear_step)
    return torch.cat([theta[:inner], theta[inner:] + linear_step])


def _squared(x: Tensor) -> float:
    return float(x @ x)


def _room(bounds: Bounds, theta: Tensor, scale: Tensor) -> Bounds:
    """How far the leading entries of θ may go, times their scale."""
    count = len(bounds.lower)
    return Bounds((bounds.lower - theta[:count]) * scale[:count], (bounds.upper - theta[:count]) * scale[:count])


def _damped(a: Tensor, b: Tensor, damping: float, bounds: Bounds | None = None) -> Tensor:
    """The s between bounds that minimises ‖a s + b‖² + damping ‖s‖².

    The bounded entries come last in the triangle, whose lower corner is the problem for them alone: bounded-variable least
    squares (Stark and Parker, Comput. Stat. 10 (1995) 129-141; SciPy's). The others follow from the rows above it.
    """
    n = a.shape[1]
    eye = damping**0.5 * torch.eye(n, dtype=a.dtype, device=a.device)
    stacked = torch.cat([torch.cat([a, b[:, None]], dim=1), torch.cat([eye, eye.new_zeros(n, 1)], dim=1)])
    if bounds is None:
        r = torch.linalg.qr(stacked, mode="r").R
        step: Tensor = torch.linalg.solve_triangular(r[:n, :n], -r[:n, n:], upper=True)[:, 0]
        return step
    count = len(bounds.lower)
    order = [*range(count, n), *range(count), n]
    r = torch.linalg.qr(stacked[:, order], mode="r").R
    from scipy.optimize import lsq_linear  # a tenth of a second, for bounded parameters only

    corner, right = r[n - count : n, n - count : n].cpu().numpy(), -r[n - count : n, n].cpu().numpy()
    limits = bounds.lower.cpu().numpy(), bounds.upper.cpu().numpy()
    bounded = torch.as_tensor(lsq_linear(corner, right, limits, method="bvls").x).to(a)
    right_above = -r[: n - count, n] - r[: n - count, n - count : n] @ bounded
    free = torch.linalg.solve_triangular(r[: n - count, : n - count], right_above[:, None], upper=True)[:, 0]
    return torch.cat([bounded, free])


def _ridge_rows(theta: Tensor, linear: int, ridge: float) -> Tensor:
    """The rows √ridge · identity that the ridge adds to the linear columns."""
    return torch.diag(theta.new_full((linear,), ridge**0.5))


def _stacked(top: Tensor, bottom: Tensor) -> Tensor:
    """Rows above others, in LAPACK's column-major order."""
    both = top.new_empty(top.shape[1], len(top) + len(bottom)).T
    both[: len(top)], both[len(top) :] = top, bottom
    return both
