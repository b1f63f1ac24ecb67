"""Variable projection for many small problems of one shape at once, in batched arrays.

The method is that of `gauss_newton` for residuals r + L(a) c that are affine in the entries c: for every a the best c by an
orthogonal solve, and steps on a alone with Kaufman's projected Jacobian (BIT 15 (1975) 49-57). Each problem has a damping and
a ridge of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class ManyProblems(Protocol):
    """Problems of minimising ‖r + L(a) c‖² over a ``(B, …)`` and c ``(B, l)``, with one r for all."""

    @property
    def residual(self) -> Tensor:
        """r ``(n,)``."""

    def normalised(self, a: Tensor) -> Tensor:
        """Better scaled entries that mean the same."""

    def linear(self, a: Tensor) -> Tensor:
        """L(a) ``(B, n, l)``."""

    def inner(self, a: Tensor, c: Tensor) -> Tensor:
        """The derivatives of L(a) c by a ``(B, n, q)``."""


@dataclass(frozen=True)
class Solved:
    """Problems solved for their linear entries. loss: ‖r + L c‖² ``(B,)``; penalty: ‖c‖²."""

    a: Tensor
    c: Tensor
    loss: Tensor
    penalty: Tensor

    def cost(self, ridge: Tensor) -> Tensor:
        """The loss with the ridge's share."""
        return self.loss + ridge * self.penalty

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.a, self.c, self.loss, self.penalty

    @classmethod
    def joined(cls, several: Sequence[Solved]) -> Solved:
        """All problems of several."""
        return cls(*(torch.cat(column) for column in zip(*(one.parts for one in several), strict=True)))

    def at(self, index: Tensor) -> Solved:
        """Some of the problems."""
        return Solved(*(part[index] for part in self.parts))

    def best(self) -> Solved:
        """The problems in the order of their losses."""
        return self.at(self.loss.argsort())


@dataclass(frozen=True)
class ManyGaussNewton:
    """Options as those of `GaussNewton`, of the same meaning."""

    ridge: float = 1e-6
    min_ridge: float = 1e-24
    damping: float = 1e-2
    down: float = 5.0
    up: float = 4.0

    def minimise(self, problem: ManyProblems, a: Tensor, steps: int, expired: Callable[[], bool] = lambda: False) -> Solved:
        """Minimise from a ``(B, …)`` by so many trial steps; a trial that does not lower the cost is not taken.

        expired: asked before every step; where it is true, there are no more.
        """
        size = problem.residual.square().sum()
        damping = a.new_full((len(a),), self.damping)
        ridge = a.new_full((len(a),), self.ridge)
        state, reflections = self._solved(problem, problem.normalised(a), ridge)
        model = self._model(problem, state, reflections)
        for _ in range(steps):
            if expired():
                break
            ridge = (self.ridge * state.loss / size).clamp_min(self.min_ridge).minimum(ridge)
            step = _damped(model, damping).reshape(state.a.shape)
            trial, reflections = self._solved(problem, problem.normalised(state.a + step), ridge)
            taken = trial.cost(ridge) < state.cost(ridge)
            damping = torch.where(taken, damping / self.down, damping * self.up)
            if not bool(taken.any()):
                continue
            state = Solved(*(_chosen(taken, new, old) for new, old in zip(trial.parts, state.parts, strict=True)))
            model[taken] = self._model(problem, trial.at(taken), (reflections[0][taken], reflections[1][taken]))
        return state

    @staticmethod
    def _solved(problem: ManyProblems, a: Tensor, ridge: Tensor) -> tuple[Solved, tuple[Tensor, Tensor]]:
        """The best linear entries, and LAPACK's reflections of the QR factorisation of [L; √ridge · identity]."""
        rows = problem.linear(a)
        n, columns = rows.shape[1:]
        penalty = ridge.sqrt()[:, None, None] * torch.eye(columns, dtype=a.dtype, device=a.device)
        reflections = torch.geqrf(torch.cat([rows, penalty], dim=1))
        right = problem.residual.expand(len(a), n)
        right = torch.cat([right, right.new_zeros(len(a), columns)], dim=1)[..., None]
        right = torch.ormqr(*reflections, right, left=True, transpose=True)
        triangle = reflections[0][:, :columns].triu()
        c = torch.linalg.solve_triangular(triangle, -right[:, :columns], upper=True)[..., 0]
        cost, squared = right[:, columns:, 0].square().sum(1), c.square().sum(1)
        loss = torch.where(torch.isfinite(cost + squared), (cost - ridge * squared).clamp_min(0.0), torch.inf)
        return Solved(a, c, loss, squared), reflections

    @staticmethod
    def _model(problem: ManyProblems, state: Solved, reflections: tuple[Tensor, Tensor]) -> Tensor:
        """R ``(B, q + 1, q + 1)`` of the projected Jacobian and the residual."""
        jacobian, columns = problem.inner(state.a, state.c), state.c.shape[1]
        b, n, q = jacobian.shape
        rest = jacobian.new_zeros(b, n + columns, q + 1)
        rest[:, :n, :q], rest[:, :n, q] = jacobian, problem.residual
        below = torch.ormqr(*reflections, rest, left=True, transpose=True)[:, columns:]
        model: Tensor = torch.linalg.qr(below, mode="r").R
        return model


def _damped(model: Tensor, damping: Tensor) -> Tensor:
    """The steps ``(B, q)`` that minimise ‖J s + r‖² + damping ‖D s‖², D being the norms of J's columns."""
    q = model.shape[2] - 1
    scale = model[:, :, :q].norm(dim=1)
    scale = scale.maximum(1e-6 * scale.amax(1, keepdim=True)).clamp_min(1e-300)
    scaled = model.clone()
    scaled[:, :, :q] /= scale[:, None]
    rows = model.new_zeros(len(model), q, q + 1)
    rows[:, :, :q] = damping.sqrt()[:, None, None] * torch.eye(q, dtype=model.dtype, device=model.device)
    r = torch.linalg.qr(torch.cat([scaled, rows], dim=1), mode="r").R
    step: Tensor = torch.linalg.solve_triangular(r[:, :q, :q], -r[:, :q, q:], upper=True)[..., 0] / scale
    return step


def _chosen(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Entries of the new tensor where taken ``(B,)``, of the old one elsewhere."""
    return torch.where(taken.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
