"""Self-scaled Broyden: a dense quasi-Newton method that trains networks further than L-BFGS, at P² numbers of memory.

With g the gradient, s = αd the step along d = -Hg, y the change of the gradient, the approximation H of the inverse Hessian
becomes

    H⁺ = (H - Hy yᵀH / yᵀHy + φ (yᵀHy) v vᵀ) / τ + s sᵀ / yᵀs,        v = s / yᵀs - Hy / yᵀHy,

and satisfies H⁺y = s for every τ and φ: BFGS is τ = φ = 1, DFP τ = 1, φ = 0. Here, as in Urbán, Stefanou and Pons,
arXiv:2405.04230 (the choice that the program beside that paper names SSBroyden2), after Al-Baali, Spedicato and Maggioni,
Optim. Methods Softw. 29 (2014) 937-954, with

    b = sᵀH⁻¹s / yᵀs = -α gᵀs / yᵀs,    h = yᵀHy / yᵀs,    a = bh - 1 >= 0,
    ρ = min(1, h (1 - √(a / (1 + a)))),    θ = max((ρ - 1) / a, min(1 / ρ, (1 - b) / b)),    σ = 1 + aθ,
    φ = (1 - θ) / σ,
    τ = min(1, 1/b) min(σ^(-1/(P-1)), 1/θ) where θ > 0, else min(min(1, 1/b) σ^(-1/(P-1)), σ);

in the first step, from H = 1, τ = h / σ. H stays positive definite, for yᵀs > 0 by the line search and σ > 0.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.optimizers.base import LeastSquares, Memory, Outcome, Step, Watch, inside_bounds


@dataclass(frozen=True)
class SSBroyden:
    """Options of the method; the watch is called every `burst` steps.

    decrease, curvature: the constants c_1 and c_2 of the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization,
    2006, eq. 3.7). trials: points a line search may try in each of its two phases. It stalls after `patience` restarts in a row
    that gain less than `min_gain` of the loss. remembered: with more parameters a step's memory would be too large.
    """

    burst: int = 20
    decrease: float = 1e-4
    curvature: float = 0.9
    trials: int = 25
    min_gain: float = 1e-6
    patience: int = 3
    remembered: int = 2000

    def minimise(self, problem: LeastSquares, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """Minimise ‖r‖² from theta ``(P,)`` with at most `steps` steps; the result is never worse, and never NaN."""
        points = _starts(problem, theta) if memory is None else [_Point.at(problem, memory[name]) for name in ("best", "theta")]
        best, point = points
        if not point.finite:
            return Outcome(theta, math.inf, 0, "singular")
        taken, idle, reason, first = 0, 0, "steps", memory is None
        if memory is not None:
            taken, idle, before, inverse = memory["taken"], memory["idle"], memory["before"], memory["inverse"].clone()
        while taken < steps:
            if first:
                before, inverse = best.loss, (torch.eye(len(point.theta), dtype=point.theta.dtype, device=point.theta.device))
            while taken < steps and bool(torch.isfinite(inverse).all()):
                after = self._searched(problem, point, inverse, first)
                if after is None:
                    break
                update(inverse, after.theta - point.theta, after.gradient - point.gradient, point.gradient, first)
                point, taken, first = after, taken + 1, False
                best = point if point.loss < best.loss else best
                if taken % self.burst == 0:
                    kept = {"best": best.theta, "theta": point.theta, "taken": taken, "idle": idle, "before": before}
                    stop = watch(Step(best.theta, best.loss, taken, self._with_curvature(kept, inverse)))
                    if stop is not None:
                        return Outcome(best.theta, best.loss, taken, stop)
            idle = idle + 1 if best.loss >= (1.0 - self.min_gain) * before else 0
            if taken < steps and idle == self.patience:
                reason = "stalled"
                break
            # as where a node has left the knots and the loss jumps: drop the curvature, continue from a rescaled point
            point, first = _rescaled(problem, best), True
        if taken % self.burst:
            reason = watch(Step(best.theta, best.loss, taken)) or reason
        return Outcome(best.theta, best.loss, taken, reason)

    def _with_curvature(self, memory: Memory, inverse: Tensor) -> Memory | None:
        """The memory with H, None where it is too large."""
        return {**memory, "inverse": inverse.clone()} if len(inverse) <= self.remembered else None

    def _searched(self, problem: LeastSquares, point: _Point, inverse: Tensor, first: bool) -> _Point | None:
        """The point that a line search along -Hg accepts; None where it finds none that is finite and lower."""
        from scipy.optimize import line_search  # a tenth of a second, which most commands do not need

        direction = -(inverse @ point.gradient)
        tried = {0.0: point}
        # SciPy's first step length follows from the loss before: this one makes a first step down the gradient about one long
        before = point.loss + 0.5 * float(point.gradient.norm()) if first else None

        def at(length: float) -> _Point:
            """The point at a length along the direction, evaluated once."""
            if length not in tried:
                tried[length] = _Point.at(problem, point.theta + length * direction)
            return tried[length]

        # SciPy searches over the length alone, so that vectors stay where they are
        with warnings.catch_warnings(action="ignore"):  # SciPy warns where it finds no point
            length, *_, slope = line_search(
                lambda x: at(float(x[0])).loss,
                lambda x: (at(float(x[0])).gradient @ direction).reshape(1).cpu().numpy(),
                np.zeros(1),
                np.ones(1),
                old_fval=point.loss,
                old_old_fval=before,
                c1=self.decrease,
                c2=self.curvature,
                maxiter=self.trials,
            )
        # without a result, as where the loss is discontinuous along the line, the lowest point tried is accepted
        failed = length is None or slope is None
        after = min(tried.values(), key=lambda one: one.loss) if failed else at(float(length))
        return after if after.finite and after.loss < point.loss else None


@torch.no_grad()
def update(inverse: Tensor, step: Tensor, change: Tensor, gradient: Tensor, first: bool = False) -> None:
    """Replace H ``(P, P)`` by H⁺, from the step s, the gradient's change y, and the gradient that s = -αHg started from.

    H and H⁺ are symmetric and positive definite; where yᵀs is not positive, H stays. first: the step was taken from H = 1.
    """
    curvature = float(change @ step)
    if not curvature > 0.0:
        return
    h_y = inverse @ change
    y_h_y = float(change @ h_y)
    # sᵀH⁻¹s = -α gᵀs with s = -αHg, which gives α
    direction = inverse @ gradient
    length = -float(step @ direction) / float(direction @ direction)
    tau, phi = scaling(-length * float(gradient @ step) / curvature, y_h_y / curvature, len(step), first)
    v = step / curvature - h_y / y_h_y
    inverse.mul_(1.0 / tau).addr_(h_y, h_y, alpha=-1.0 / (y_h_y * tau))
    inverse.addr_(v, v, alpha=phi * y_h_y / tau).addr_(step, step, alpha=1.0 / curvature)


def scaling(b: float, h: float, parameters: int, first: bool = False) -> tuple[float, float]:
    """τ and φ of the module's docstring; BFGS's φ = 1 where the step leaves no choice, a = 0."""
    a = b * h - 1.0
    if a <= 1e-14:  # Cauchy and Schwarz hold up to rounding
        return (h if first else min(1.0, 1.0 / b)), 1.0
    rho = min(1.0, h * (1.0 - math.sqrt(a / (1.0 + a))))
    theta = max((rho - 1.0) / a, min(1.0 / rho, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    phi = (1.0 - theta) / sigma
    if first:
        return h / sigma, phi
    root = sigma ** (-1.0 / (parameters - 1))
    smaller = min(1.0, 1.0 / b)
    return (smaller * min(root, 1.0 / theta) if theta > 0.0 else min(smaller * root, sigma)), phi


@dataclass(frozen=True)
class _Point:
    """Parameters with the loss and its gradient; the loss is infinite where it is NaN."""

    theta: Tensor
    loss: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and bool(torch.isfinite(self.gradient).all())

    @staticmethod
    def at(problem: LeastSquares, theta: Tensor) -> _Point:
        theta, loss, gradient = inside_bounds(problem, theta)
        return _Point(theta, math.inf if math.isnan(loss) else loss, gradient)


def _starts(problem: LeastSquares, theta: Tensor) -> tuple[_Point, _Point]:
    """The better one of theta and the normalised theta, and the one to begin with: the normalised, if it is finite."""
    given, point = _Point.at(problem, theta), _Point.at(problem, problem.normalise(theta))
    point = point if point.finite else given
    return (point if not given.finite or point.loss < given.loss else given), point


def _rescaled(problem: LeastSquares, point: _Point) -> _Point:
    """The normalised point, with its linear entries solved for where that lowers the loss."""
    normalised = _Point.at(problem, problem.normalise(point.theta))
    candidates = [normalised]
    if problem.linear and normalised.finite:
        residual, a = problem.rows(normalised.theta, only_linear=True)
        change = torch.zeros_like(point.theta)
        change[-problem.linear :] = -_least_squares(a, residual)
        candidates.append(_Point.at(problem, normalised.theta + change))
    return min((one for one in candidates if one.finite), key=lambda one: one.loss, default=point)


def _least_squares(a: Tensor, b: Tensor) -> Tensor:
    """The shortest x that minimises ‖a x - b‖, by a singular value decomposition; columns may be linearly dependent."""
    u, s, vt = torch.linalg.svd(a, full_matrices=False)
    keep = s > 1e-12 * s.max()
    shortest: Tensor = vt[keep].T @ ((u[:, keep].T @ b) / s[keep])
    return shortest
