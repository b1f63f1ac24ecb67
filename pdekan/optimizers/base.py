"""The protocol of the optimizers: least-squares problems, steps, watches and outcomes, without networks or equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor


class Products(Protocol):
    """The Jacobian J ``(n, P)`` at a point as a linear map, with the residual ``(n,)`` there."""

    @property
    def residual(self) -> Tensor:
        """r at the point."""

    def linear(self) -> Tensor:
        """The trailing columns ``(n, linear)`` of J, of the linear entries of θ."""

    def forward(self, v: Tensor) -> Tensor:
        """J v ``(n,)``."""

    def adjoint(self, w: Tensor) -> Tensor:
        """Jᵀ w ``(P,)``."""


@dataclass(frozen=True)
class Bounds:
    """lower ≤ θ ≤ upper for the leading entries ``(S,)`` of θ, infinite where there is none."""

    lower: Tensor
    upper: Tensor

    def projected(self, theta: Tensor) -> Tensor:
        """The nearest θ ``(P,)`` between the bounds."""
        count = len(self.lower)
        return torch.cat([theta[:count].clamp(self.lower, self.upper), theta[count:]])

    def held(self, theta: Tensor, gradient: Tensor) -> Tensor:
        """Whether entries ``(P,)`` are on a bound that a step down the gradient would cross.

        (Bertsekas, SIAM J. Control Optim. 20 (1982) 221-246, eq. 9 with ε = 0.)
        """
        count, held = len(self.lower), torch.zeros_like(theta, dtype=torch.bool)
        inside, slope = theta[:count], gradient[:count]
        held[:count] = ((inside <= self.lower) & (slope >= 0.0)) | ((inside >= self.upper) & (slope <= 0.0))
        return held


class LeastSquares(Protocol):
    """The problem of minimising ‖r(θ)‖² over θ ``(P,)``; the network is linear in the trailing entries of θ."""

    @property
    def bounds(self) -> Bounds | None:
        """Between which θ is sought, None for all of space."""

    @property
    def linear(self) -> int:
        """The number of linear entries of θ."""

    @property
    def affine(self) -> bool:
        """Whether r is affine in the linear entries, so that one linear solve minimises over them."""

    @property
    def in_one_block(self) -> bool:
        """Whether all rows come in one block, so that there is memory to keep its factorisation."""

    def rows(self, theta: Tensor, only_linear: bool = False) -> tuple[Tensor, Tensor]:
        """Residual ``(n,)`` and Jacobian ``(n, P)``, or only its trailing linear columns."""

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Residual and Jacobian as `rows` returns them, some rows at a time."""

    def products(self, theta: Tensor) -> Products:
        """Residual at θ and products with the Jacobian there, without forming it."""

    def loss(self, theta: Tensor) -> float:
        """‖r‖²."""

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """‖r‖² and its gradient ``(P,)``."""

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        """A θ with better scaled hidden nodes, of about the same function; its linear entries must be solved for again.

        lazily: θ itself, unless it is badly scaled.
        """


# What an optimizer goes on from, by name: tensors, numbers, and lists of them.
Memory = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """Parameters after one or more steps, the loss there, and the number of steps so far.

    memory: of optimizers that can go on from the step to the bit; see `Resumable`.
    """

    theta: Tensor
    loss: float
    taken: int = 0
    memory: Memory | None = None


def inside_bounds(problem: LeastSquares, theta: Tensor) -> tuple[Tensor, float, Tensor]:
    """The nearest θ between the bounds, with loss and gradient, which is zero for entries that are held on a bound."""
    bounds = problem.bounds
    if bounds is None:
        return theta, *problem.loss_and_gradient(theta)
    theta = bounds.projected(theta)
    loss, gradient = problem.loss_and_gradient(theta)
    return theta, loss, torch.where(bounds.held(theta, gradient), 0.0, gradient)


# called after accepted steps, and by optimizers that begin with a solve for the linear entries after that; returns a reason to
# stop, or None
Watch = Callable[[Step], str | None]


@dataclass(frozen=True)
class Outcome:
    """The result of an optimizer; reason is "stalled", "steps", "singular", "diverged", or that of its watch."""

    theta: Tensor
    loss: float
    steps: int
    reason: str


P = TypeVar("P", contravariant=True)


class Optimizer(Protocol[P]):
    """A method with its options, for problems of a type P such as `LeastSquares`; passed as an object."""

    def minimise(self, problem: P, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most so many accepted steps; the result is never worse than theta."""


class Resumable(Protocol[P]):
    """An optimizer whose steps have a memory: given that of a step, it goes on as if it had not been stopped there."""

    def minimise(self, problem: P, theta: Tensor, steps: int, watch: Watch, memory: Memory | None = None) -> Outcome:
        """As `Optimizer.minimise`; theta and steps are those that the first call was given, or more steps."""
