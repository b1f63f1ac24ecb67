"""What tests of optimizers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import Bounds, Outcome, Step
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.optimizers.ssbroyden import SSBroyden

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


def rosenbrock(linear: int = 0) -> Written:
    return Written(lambda theta: torch.stack([10.0 * (theta[1] - theta[0] ** 2), 1.0 - theta[0]]), linear)


def assert_sound(problem: Written, start: Tensor, outcome: Outcome) -> None:
    """Finite, what it says it is, and no worse than the start."""
    assert torch.isfinite(outcome.theta).all()
    assert outcome.loss == pytest.approx(problem.loss(outcome.theta), rel=1e-6, abs=1e-25)
    assert outcome.loss <= problem.loss(start) * (1.0 + 1e-12) or not math.isfinite(problem.loss(start))
