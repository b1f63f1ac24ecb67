"""Levenberg-Marquardt without the Jacobian: steps by damped LSMR from products J v and Jᵀ w alone.

For networks of many parameters, where J ``(n, P)`` is too large to factorise or to keep. Write θ = (a, c) with c the entries
that the model is linear in. As in `gauss_newton` the best c for every a follows from an orthogonal solve, its n × |c| matrix
being small, and steps are taken on a: with Q an orthonormal basis of that matrix's columns and D the lengths of J's columns,
s = D⁻¹ z solves

    min ‖(1 - QQᵀ) J D⁻¹ z + r‖² + λ ‖z‖²

by LSMR (Fong and Saunders, SIAM J. Sci. Comput. 33 (2011) 2950-2971; SciPy's), which needs one product with J and one with Jᵀ
an iteration and stops early: an inexact Newton step (Dembo, Eisenstat and Steihaug, SIAM J. Numer. Anal. 19 (1982) 400-408).
λ follows the ratio of the actual to the predicted decrease (as in Madsen, Nielsen and Tingleff, Methods for Non-Linear Least
Squares Problems, 2nd ed., 2004, section 3.2). Where there are more than `max_linear` linear entries, or none, c is a part of a.
Entries on a bound that the gradient would cross are held; steps are projected onto the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Memory, Outcome, Products, Step, Watch


@dataclass(frozen=True)
class MatrixFree:
    """Options of the method.

    ridges: on the linear entries, one after the other, each until a step gains less than `ridge_gain` of the cost. They start
    lower than those of `GaussNewton`, as steps are expensive: with 1e-6 a KAN of 103 000 parameters ends its first step at a
    loss of 2e-6, with 1e-9 at 2e-8; small networks gain from larger ones.
    damping: the first λ, relative to columns of length one. forcing: LSMR stops when its gradient has fallen to this part.
    iterations: of LSMR in a step, at most. probes: random vectors for the columns' lengths. trials: rejected steps in a row
    that end a ridge. acceptance: a step is accepted if its decrease is more than this part of the predicted one. The method
    stalls after `patience` steps in a row that gain less than `min_gain` of the cost.
    max_linear: more linear entries are not eliminated: their n × |c| matrix would need as much memory as the Jacobian.
    """

    ridges: tuple[float, ...] = (1e-9, 1e-12, 1e-15)
    damping: float = 1e-2
    forcing: float = 0.1
    iterations: int = 100
    probes: int = 8
    ridge_gain: float = 0.1
    min_gain: float = 0.02
    trials: int = 8
    patience: int = 3
    acceptance: float = 1e-4
    max_linear: int = 3000

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """Minimise from theta ``(P,)`` with at most `steps` accepted steps; the result is never worse, and never NaN."""
        generator, taken, idle, level, damping = torch.Generator().manual_seed(0), 0, 0, 0, self.damping
        if memory is None:
            start = problem.products(theta).residual
            best = Step(theta, _finite_or_inf(float(start @ start)))
            state = self._project(problem, problem.normalise(theta), 0) or self._project(problem, theta, 0)
        else:
            taken, idle, level, damping = (memory[name] for name in ("taken", "idle", "level", "damping"))
            generator.set_state(memory["generator"])
            best = Step(memory["best"], memory["best_loss"], taken)
            state = self._project(problem, memory["start"], memory["start_level"])
        if state is None:
            return Outcome(theta, math.inf, 0, "singular")
        stop: str | None = None
        while stop is None and taken < steps and idle < self.patience:
            trial, damping = self._step(problem, state, level, damping, generator)
            gain = 0.0 if trial is None else 1.0 - trial.cost / state.cost
            state, taken = (state, taken) if trial is None else (trial, taken + 1)
            best = min(best, Step(state.theta, state.loss, taken), key=lambda step: step.loss)
            if level < len(self.ridges) - 1 and state.linear:
                if gain < self.ridge_gain:
                    level += 1
                    state = self._project(problem, state.theta, level) or state
            else:
                idle = self.patience if trial is None else idle + 1 if gain < self.min_gain else 0
            if trial is not None:
                kept = {"taken": taken, "idle": idle, "level": level, "damping": damping, "generator": generator.get_state()}
                kept |= {"best": best.theta, "best_loss": best.loss, "start": state.start, "start_level": state.level}
                stop = watch(Step(best.theta, best.loss, taken, kept))
        best = min(best, Step(state.theta, state.loss, taken), key=lambda step: step.loss)
        return Outcome(best.theta, best.loss, taken, stop or ("stalled" if idle >= self.patience else "steps"))

    def _step(
        self, problem: LeastSquares, state: State, level: int, damping: float, generator: torch.Generator
    ) -> tuple[State | None, float]:
        """The first damped step that lowers the cost as predicted, and the next damping; None where no trial does."""
        inner = len(state.theta) - state.linear
        if inner == 0:
            return None, damping
        products, bounds = cast("LinearMap", state), problem.bounds
        if bounds is not None:
            products = _Free(state, ~bounds.held(state.theta[:inner], state.adjoint(state.residual)))
        lengths, growth = column_lengths(products, self.probes, generator), 2.0
        for _ in range(self.trials):
            step, predicted = damped_step(products, lengths, damping, self.forcing, self.iterations)
            theta = torch.cat([state.theta[:inner] + step, state.theta[inner:]])
            theta = theta if bounds is None else bounds.projected(theta)
            trial = self._project(problem, problem.normalise(theta) if state.linear else theta, level)
            ratio = -1.0 if trial is None or predicted <= 0.0 else (state.cost - trial.cost) / predicted
            if ratio > self.acceptance:
                return trial, damping * max(1.0 / 5.0, 1.0 - (2.0 * min(ratio, 1.0) - 1.0) ** 3)
            damping, growth = damping * growth, 2.0 * growth
        return None, damping

    def _project(self, problem: LeastSquares, theta: Tensor, level: int) -> State | None:
        state = project(problem, theta, self.ridges[level], self.max_linear)
        return None if state is None else replace(state, start=theta, level=level)


class LinearMap(Protocol):
    """The products that a step is computed from."""

    @property
    def residual(self) -> Tensor: ...
    def forward(self, v: Tensor) -> Tensor: ...
    def adjoint(self, w: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Free:
    """Products with the columns of free entries ``(P,)``; the others, which are held on a bound, are zero."""

    products: LinearMap
    free: Tensor

    @property
    def residual(self) -> Tensor:
        return self.products.residual

    def forward(self, v: Tensor) -> Tensor:
        return self.products.forward(self.free * v)

    def adjoint(self, w: Tensor) -> Tensor:
        return self.free * self.products.adjoint(w)


def damped_step(products: LinearMap, lengths: Tensor, damping: float, forcing: float, iterations: int) -> tuple[Tensor, float]:
    """The step s = D⁻¹ z, and the decrease of ‖r‖² that the linear model predicts of it.

    z is LSMR's solution of min ‖J D⁻¹ z + r‖² + damping ‖z‖² for D = lengths ``(P,)``, taken when the gradient of that is at
    most `forcing` times what it is at z = 0.
    """
    residual = products.residual

    def forward(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return _array(products.forward(_tensor(z, residual) / lengths))

    def adjoint(w: NDArray[np.float64]) -> NDArray[np.float64]:
        return _array(products.adjoint(_tensor(w, residual)) / lengths)

    right = -_array(residual)
    gradient, size = float(np.linalg.norm(adjoint(right))), float(np.linalg.norm(right))
    if gradient == 0.0 or not math.isfinite(gradient):
        return torch.zeros_like(lengths), 0.0
    # SciPy's LSMR stops at ‖Āᵀr̄‖ <= atol ‖Ā‖ ‖r̄‖, its estimate of ‖Ā‖ being at most Frobenius's norm: columns of about
    # length one above the damping's
    norm = math.sqrt(len(lengths) * (1.0 + damping))
    from scipy.sparse.linalg import LinearOperator, lsmr  # a tenth of a second, which other optimizers do not need

    operator = LinearOperator((len(right), len(lengths)), matvec=forward, rmatvec=adjoint, dtype=np.float64)
    z = lsmr(operator, right, math.sqrt(damping), forcing * gradient / (norm * size), 0.0, 0.0, iterations)[0]
    model = forward(z) - right
    return _tensor(z, residual) / lengths, size**2 - float(model @ model)


@dataclass(frozen=True)
class State:
    """Parameters, the last `linear` of which minimise the cost, and products with the inner columns of (1 - QQᵀ) J.

    residual and q, an orthonormal basis of the linear columns, include the ridge's rows. start, level: the parameters and the
    ridge that the linear entries were solved for with.
    """

    theta: Tensor
    linear: int
    residual: Tensor
    q: Tensor
    products: Products
    cost: float
    loss: float
    start: Tensor | None = None
    level: int = 0

    def forward(self, v: Tensor) -> Tensor:
        """(1 - QQᵀ) J v for the inner columns."""
        out = self.products.forward(torch.cat([v, v.new_zeros(self.linear)]))
        rows = len(out)
        out = torch.cat([out, out.new_zeros(len(self.residual) - rows)])
        return out - self.q @ (self.q[:rows].T @ out[:rows])

    def adjoint(self, w: Tensor) -> Tensor:
        """Jᵀ (1 - QQᵀ) w for the inner columns."""
        w = w - self.q @ (self.q.T @ w)
        return self.products.adjoint(w[: len(self.products.residual)])[: len(self.theta) - self.linear]


def project(problem: LeastSquares, theta: Tensor, ridge: float, max_linear: int) -> State | None:
    """Solve for the linear entries of theta, by one Gauss-Newton step; None where the result is not finite."""
    if not 0 < problem.linear <= max_linear:
        products = problem.products(theta)
        loss = float(products.residual @ products.residual)
        q = products.residual.new_zeros(len(products.residual), 0)
        return State(theta, 0, products.residual, q, products, loss, loss) if math.isfinite(loss) else None
    inner = len(theta) - problem.linear
    products = problem.products(theta)
    residual, a = products.residual, products.linear()
    right = torch.cat([residual, ridge**0.5 * theta[inner:]])
    if not bool(torch.isfinite(right).all() & torch.isfinite(a).all()):
        return None
    eye = ridge**0.5 * torch.eye(problem.linear, dtype=a.dtype, device=a.device)
    q, r = torch.linalg.qr(torch.cat([a, eye]))
    step = torch.linalg.solve_triangular(r, -(q.T @ right)[:, None], upper=True)[:, 0]
    solved = _at(problem, torch.cat([theta[:inner], theta[inner:] + step]), ridge, q)
    if problem.affine:
        return solved
    plain = _at(problem, theta, ridge, q)  # the step may be too long
    return min((one for one in (solved, plain) if one is not None), key=lambda one: one.cost, default=None)


def _at(problem: LeastSquares, theta: Tensor, ridge: float, q: Tensor) -> State | None:
    products = problem.products(theta)
    residual = torch.cat([products.residual, ridge**0.5 * theta[len(theta) - problem.linear :]])
    cost, loss = float(residual @ residual), float(products.residual @ products.residual)
    return State(theta, problem.linear, residual, q, products, cost, loss) if math.isfinite(cost) else None


def column_lengths(products: LinearMap, probes: int, generator: torch.Generator) -> Tensor:
    """Estimates of the lengths ``(P,)`` of J's columns: E[(Jᵀz)²] over random signs z is their square.

    (Bekas, Kokiopoulou and Saad, Appl. Numer. Math. 57 (2007) 1214-1229, for the diagonal of JᵀJ.) At least a thousandth
    of the mean, so that no length is zero.
    """
    squares = torch.zeros(())
    for _ in range(probes):
        signs = 2.0 * torch.randint(0, 2, products.residual.shape, generator=generator).to(products.residual) - 1.0
        squares = squares + products.adjoint(signs).square() / probes
    return squares.sqrt().clamp_min(max(1e-3 * float(squares.mean().sqrt()), 1e-300))


def _finite_or_inf(x: float) -> float:
    return x if math.isfinite(x) else math.inf


def _array(x: Tensor) -> NDArray[np.float64]:
    return np.asarray(x.detach().cpu().numpy(), dtype=np.float64)


def _tensor(x: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.as_tensor(x, dtype=like.dtype, device=like.device)
