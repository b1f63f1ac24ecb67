"""Variants of Gauss-Newton, its objective and its points, for the ablation; none is an option of the library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Quadrature, sobol
from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network
from pdekan.optimizers.base import LeastSquares
from pdekan.optimizers.gauss_newton import GaussNewton, _damped, _State
from pdekan.residuals.least_squares import Objective


class NormalisedOnce(Objective):
    """Hidden nodes are renormalised once, before the first step of a stage."""

    done = False

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        if self.done:
            return theta
        self.done = True
        return super().normalise(theta, lazily)


class Together(NormalisedOnce):
    """No parameter counts as linear after the first solve: all parameters are stepped together.

    Without the linear solve a renormalisation would change the function, so that it is not repeated either.
    """

    def separate(self, theta: Tensor) -> Tensor:
        """Solve for the linear parameters once, at the start."""
        start = GaussNewton().minimise(self, theta, 0, lambda step: None).theta
        self.linear, self.affine = 0, False
        return start

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        for residual, jacobian in super().blocks(theta, only_linear):
            yield residual, jacobian[:, :0] if only_linear and self.linear == 0 else jacobian


class Scattered(Box):
    """A box with Sobol points of equal weights, as many as the Gauss points that they replace."""

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        return _equal(self.lower, self.upper, (cells * order) ** self.dimension, seed)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        aligned = super().face(name, cells, order, count, seed)
        k = self.coordinates.index(name[:-1])
        rest = [j for j in range(self.dimension) if j != k]
        rule = _equal([self.lower[j] for j in rest], [self.upper[j] for j in rest], len(aligned.points), seed)
        points = np.insert(rule.points, k, aligned.points[:, k], axis=1)
        return Quadrature(points, rule.weights, aligned.normals)


def _equal(lower: object, upper: object, count: int, seed: int) -> Quadrature:
    rule = sobol(lower, upper, count, seed)  # type: ignore[arg-type]
    return Quadrature(rule.points[:count], np.full(count, rule.weights.sum() / count))


class Sum(Network):
    """first + factor · second."""

    def __init__(self, first: Network, factor: float, second: Network) -> None:
        super().__init__()
        self.inputs, self.outputs = first.inputs, first.outputs
        self.first, self.factor, self.second = first, factor, second

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self.first.jet(points, frame) + self.second.jet(points, frame) * self.factor


@dataclass(frozen=True)
class Unscaled(GaussNewton):
    """Damping relative to the largest column, not to the norm of every column."""

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        reduced = _reduced(problem, state, ridge)
        if reduced is None:
            return None, damping
        scale = torch.full_like(reduced.scale, float(reduced.scale.max()))
        for _ in range(self.trials):
            trial = _tried(self, problem, state, ridge, _damped(reduced.projected / scale, reduced.residual, damping) / scale)
            if trial is not None and trial.cost < state.cost:
                return trial, damping / self.down
            damping *= self.up
        return None, damping


@dataclass(frozen=True)
class GainRatio(GaussNewton):
    """Damping by the ratio of gained to predicted (Nielsen, report IMM-REP-1999-05, Technical University of Denmark, 1999)."""

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        reduced = _reduced(problem, state, ridge)
        if reduced is None:
            return None, damping
        raised = 2.0
        for _ in range(self.trials):
            scaled = reduced.projected / reduced.scale
            step = _damped(scaled, reduced.residual, damping)
            trial = _tried(self, problem, state, ridge, step / reduced.scale)
            if trial is not None and trial.cost < state.cost:
                left = scaled @ step + reduced.residual
                predicted = float(reduced.residual @ reduced.residual - left @ left)
                ratio = (state.cost - trial.cost) / max(predicted, 1e-300)
                return trial, damping * max(1.0 / 3.0, 1.0 - (2.0 * min(ratio, 2.0) - 1.0) ** 3)
            damping *= raised
            raised *= 2.0
        return None, damping


@dataclass(frozen=True)
class Geodesic(GaussNewton):
    """With geodesic acceleration (Transtrum and Sethna, arXiv:1201.5885): half of the second-order correction is added.

    The second directional derivative of the residual along the step is a central difference with `width` of the step; a step
    whose correction is longer than `most` of itself is rejected.
    """

    width: float = 0.1
    most: float = 0.75

    def _step(self, problem: LeastSquares, state: _State, ridge: float, damping: float) -> tuple[_State | None, float]:
        kept = Kept(problem.linear, problem.affine, *problem.rows(state.theta))
        reduced = _reduced(kept, state, ridge)
        if reduced is None:
            return None, damping
        for _ in range(self.trials):
            step = _damped(reduced.projected / reduced.scale, reduced.residual, damping) / reduced.scale
            along = _along(step, reduced, problem.linear)
            ahead, behind = (_residual(problem, state.theta + h * along) for h in (self.width, -self.width))
            curvature = (ahead - 2.0 * kept.residual + behind) / self.width**2
            correction = _correction(reduced, kept.jacobian.T @ curvature, damping)
            if float((correction * reduced.scale).norm()) < self.most * float((step * reduced.scale).norm()):
                trial = _tried(self, problem, state, ridge, step + 0.5 * correction)
                if trial is not None and trial.cost < state.cost:
                    return trial, damping / self.down
            damping *= self.up
        return None, damping


@dataclass(frozen=True)
class Kept:
    """Residual and Jacobian at one point, stored for several uses."""

    linear: int
    affine: bool
    residual: Tensor
    jacobian: Tensor

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows at once, for the stored theta."""
        yield self.residual, self.jacobian


def _along(step: Tensor, reduced: _Reduced, linear: int) -> Tensor:
    """The step of the inner parameters with the optimal step of the linear parameters."""
    corner, beside = reduced.triangle[:linear, :linear], reduced.triangle[:linear, linear:-1]
    right = -(reduced.triangle[:linear, -1] + beside @ step)
    return torch.cat([step, torch.linalg.solve_triangular(corner, right[:, None], upper=True)[:, 0]])


def _correction(reduced: _Reduced, gradient: Tensor, damping: float) -> Tensor:
    """a = -(RᵀR + damping · scale²)⁻¹ Jᵀ r″ by semi-normal equations, its inner entries; gradient: Jᵀ r″."""
    inner = len(reduced.scale)
    gradient = torch.cat([gradient[inner:], gradient[:inner]])  # the triangle has the linear columns first
    factor = reduced.triangle[:-1, :-1].clone()
    linear = len(factor) - inner
    damped = torch.cat([reduced.projected, damping**0.5 * torch.diag(reduced.scale)])
    factor[linear:, linear:] = torch.linalg.qr(damped, mode="r").R
    half = torch.linalg.solve_triangular(factor.T, -gradient[:, None], upper=False)
    correction: Tensor = torch.linalg.solve_triangular(factor, half, upper=True)[linear:, 0]
    return correction


@dataclass(frozen=True)
class _Reduced:
    """Kaufman's projected Jacobian and residual, the norms of its columns, and their triangular factor."""

    projected: Tensor
    residual: Tensor
    scale: Tensor
    triangle: Tensor


def _triangle(problem: LeastSquares | Kept, theta: Tensor, ridge: float) -> Tensor | None:
    """The R of a QR factorisation of [J_linear, J_inner, r], the ridge's rows included; None where it is not finite."""
    linear = problem.linear
    triangle = theta.new_zeros(linear, len(theta) + 1)
    triangle.diagonal().fill_(ridge**0.5)
    triangle[:, -1] = ridge**0.5 * theta[len(theta) - linear :]
    for residual, jacobian in problem.blocks(theta):
        inner = jacobian.shape[1] - linear
        rows = torch.cat([jacobian[:, inner:], jacobian[:, :inner], residual[:, None]], dim=1)
        triangle = torch.linalg.qr(torch.cat([triangle, rows]), mode="r").R
    if not bool(torch.isfinite(triangle).all()):
        return None
    square = theta.new_zeros(len(theta) + 1, len(theta) + 1)
    square[: len(triangle)] = triangle
    return square


def _reduced(problem: LeastSquares | Kept, state: _State, ridge: float) -> _Reduced | None:
    triangle = _triangle(problem, state.theta, ridge)
    if triangle is None:
        return None
    projected = triangle[problem.linear : -1, problem.linear : -1]
    scale = projected.norm(dim=0)
    scale = scale.clamp_min(max(1e-6 * float(scale.max()), 1e-300))
    return _Reduced(projected, triangle[problem.linear : -1, -1], scale, triangle)


def _tried(optimizer: GaussNewton, problem: LeastSquares, state: _State, ridge: float, step: Tensor) -> _State | None:
    """The state after a step of the inner parameters."""
    theta = state.theta.clone()
    theta[: len(step)] += step
    return optimizer._project(problem, problem.normalise(theta), ridge)


def _residual(problem: LeastSquares, theta: Tensor) -> Tensor:
    return torch.cat([residual for residual, _ in problem.blocks(theta, only_linear=True)])
