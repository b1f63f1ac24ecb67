"""What every optimizer is given and gives back; none of them knows what a network or an equation is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor


class Products(Protocol):
    """The Jacobian J ``(n, P)`` at a point as a linear map, with the residual ``(n,)`` there."""

    @property
    def residual(self) -> Tensor:
        """r at the point."""

    def linear(self) -> Tensor:
        """The trailing columns ``(n, linear)`` of J, of the entries that the model is linear in."""

    def forward(self, v: Tensor) -> Tensor:
        """J v ``(n,)``."""

    def adjoint(self, w: Tensor) -> Tensor:
        """Jᵀ w ``(P,)``."""


class LeastSquares(Protocol):
    """Minimise ‖r(θ)‖² over θ ``(P,)``."""

    @property
    def linear(self) -> int:
        """How many trailing entries of θ the model is linear in."""

    @property
    def affine(self) -> bool:
        """Whether r is affine in those entries, so that one linear solve finds the best of them."""

    @property
    def roomy(self) -> bool:
        """Whether all rows come in one block, so that there is room to keep what was worked out of them."""

    def rows(self, theta: Tensor, only_linear: bool = False) -> tuple[Tensor, Tensor]:
        """Residual ``(n,)`` and Jacobian ``(n, P)``, or only its trailing linear columns."""

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """The same, some rows at a time."""

    def products(self, theta: Tensor) -> Products:
        """Residual and Jacobian at θ without forming the Jacobian."""

    def loss(self, theta: Tensor) -> float:
        """‖r‖²."""

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """‖r‖² and its gradient ``(P,)``."""

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        """An equivalent, better scaled θ: equal but for the linear entries, which are to be solved for again.

        lazily: θ itself, unless it is badly scaled.
        """


@dataclass(frozen=True)
class Step:
    """Parameters that a step, or a burst of them, led to, the loss there, and how many steps were taken so far."""

    theta: Tensor
    loss: float
    taken: int = 0


# called after every accepted step, and before the first by those that solve for a linear part then; returns a reason to stop,
# or None to go on
Watch = Callable[[Step], str | None]


@dataclass(frozen=True)
class Outcome:
    """Where an optimizer ended and why: "stalled", "steps", "singular", or what its watch said."""

    theta: Tensor
    loss: float
    steps: int
    reason: str


P = TypeVar("P", contravariant=True)


class Optimizer(Protocol[P]):
    """A method with its options, for problems of a type P such as `LeastSquares`; passed as an object."""

    def minimise(self, problem: P, theta: Tensor, steps: int, watch: Watch) -> Outcome:
        """Minimise from theta ``(P,)`` with at most so many accepted steps; the result is never worse than theta."""
