"""The triangle of a sparse least-squares problem, kept to solve with many right-hand sides.

With R from the elimination of `elimination`, the normal equations R^H R x = A^H b are solved by two substitutions, up and down
the tree. Errors are those of a QR solution after a step of refinement x + R^-1 R^-H A^H (b - A x): the corrected seminormal
equations (Björck, Linear Algebra Appl. 88/89 (1987) 31-48).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.elimination import (
    TOGETHER,
    Child,
    Eliminated,
    Front,
    Order,
    UndeterminedError,
    by_height,
    last_nodes,
    order_of,
)  # fmt: skip

SHIFT = 1e-12  # of the diagonal, that is added to normal equations which round-off makes indefinite; corrections remove it


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Nodes of one height with triangles of one shape, k of them with each: R ``(b, w, w)``, S ``(b, w, s)``, and the columns
    of both, ``(b, k, w)`` and ``(b, k, s)``.
    """

    triangle: Tensor
    beside: Tensor
    own: Tensor
    kept: Tensor


@dataclass(frozen=True, eq=False)
class Triangle:
    """R of all nodes, from the leaves to the root. size: the number of unknowns, those of blocks one after the other."""

    groups: list[_Nodes]
    size: int

    @classmethod
    def of(
        cls,
        children: Sequence[Child],
        leaves: dict[int, Front],
        sizes: Sequence[int],
        check_time: Callable[[], None] = lambda: None,
    ) -> Triangle:
        """Factorise. leaves: normal equations by node, with as many rows as columns; see `elimination.solve`.

        Raises UndeterminedError where they are not positive definite.
        """
        starts = np.concatenate([[0], np.cumsum(sizes)])

        def columns(blocks: Sequence[int]) -> list[int]:
            return [k for block in blocks for k in range(starts[block], starts[block + 1])]

        kept = _eliminated(children, leaves, sizes, check_time)
        groups = []
        for nodes in by_height(children):
            same: dict[int, list[Eliminated]] = defaultdict(list)
            for node in nodes:
                if kept[node].eliminated:
                    same[id(kept[node].rows)].append(kept[node])
            alike = defaultdict(list)
            for one in same.values():
                alike[one[0].rows.shape, len(one)].append(one)
            for (shape, count), several in alike.items():
                rows = torch.stack([one[0].rows for one in several])
                own = torch.tensor([[columns(node.eliminated) for node in one] for one in several])
                beside = torch.tensor([[columns(node.kept) for node in one] for one in several], dtype=torch.int64)
                width = shape[0]
                beside = beside.reshape(len(several), count, -1)
                groups.append(_Nodes(rows[:, :, :width], rows[:, :, width:-1], own, beside))
        return cls(groups, int(starts[-1]))

    @property
    def is_complex(self) -> bool:
        """Whether there are complex numbers."""
        return self.groups[0].triangle.is_complex()

    def solve(self, right: Tensor) -> Tensor:
        """x ``(size,)`` with R^H R x = right."""
        x = right.clone()
        for one in self.groups:
            part = torch.linalg.solve_triangular(one.triangle.mH, x[one.own].mT, upper=False)
            x[one.own] = part.mT
            x.index_add_(0, one.kept.ravel(), -(one.beside.mH @ part).mT.ravel())
        for one in reversed(self.groups):
            below = x[one.own].mT - one.beside @ x[one.kept].mT
            x[one.own] = torch.linalg.solve_triangular(one.triangle, below, upper=True).mT
        return x


def _eliminated(
    children: Sequence[Child], leaves: Mapping[int, Front], sizes: Sequence[int], check_time: Callable[[], None]
) -> dict[int, Eliminated]:
    """What is kept of every node: triangles of the normal equations, by Schur complements."""
    fronts = dict(leaves)
    kept: dict[int, Eliminated] = {}
    last = last_nodes(children, leaves)
    for nodes in by_height(children):
        alike: dict[tuple[object, ...], list[_Waiting]] = defaultdict(list)
        for node in nodes:
            parts = [fronts.pop(child) for child in children[node] or (node,)]
            one = _Waiting(node, parts, order_of(node, parts, last))
            alike[one.pattern(sizes)].append(one)
        for several in alike.values():
            for first in range(0, len(several), TOGETHER):
                check_time()
                _eliminate(several[first : first + TOGETHER], sizes, kept, fronts)
    return kept


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A node that is to be eliminated, with the normal equations of a leaf, or what is left of the children's."""

    node: int
    parts: list[Front]
    order: Order

    def columns(self, sizes: Sequence[int]) -> list[list[int]]:
        """The places of the columns of every part."""
        places, total = {}, 0
        for block in (*self.order[0], *self.order[1]):
            places[block] = range(total, total + sizes[block])
            total += sizes[block]
        return [[k for block in part.blocks for k in places[block]] for part in self.parts]

    def pattern(self, sizes: Sequence[int]) -> tuple[object, ...]:
        """What nodes share that are eliminated together."""
        widths = tuple(sum(sizes[block] for block in blocks) for blocks in self.order)
        return widths, tuple(map(tuple, self.columns(sizes))), self.parts[0].rows.dtype


def _eliminate(
    several: Sequence[_Waiting], sizes: Sequence[int], kept: dict[int, Eliminated], fronts: dict[int, Front]
) -> None:
    """Eliminate nodes of one pattern."""
    first = several[0]
    width, remaining = (sum(sizes[block] for block in blocks) for blocks in first.order)
    count, total = len(several), width + remaining
    gram = first.parts[0].rows.new_zeros(count, total, total)
    for k, columns in enumerate(first.columns(sizes)):
        index = torch.tensor(columns, dtype=torch.int64)
        places = (total * index[:, None] + index).ravel()
        gram.view(count, -1).index_add_(1, places, torch.stack([one.parts[k].rows for one in several]).reshape(count, -1))
    own = gram[:, :width, :width]
    lower, info = torch.linalg.cholesky_ex(own)
    if bool(info.any()):
        lower, info = torch.linalg.cholesky_ex(own + torch.diag_embed(SHIFT * own.diagonal(dim1=1, dim2=2)))
    if bool(info.any()):
        raise UndeterminedError("an unknown has no rows that determine it")
    beside = torch.linalg.solve_triangular(lower, gram[:, :width, width:], upper=False)
    rest = gram[:, width:, width:] - beside.mH @ beside
    rows = torch.cat([lower.mH, beside, beside.new_zeros(count, width, 1)], dim=2)
    for one, triangle, left in zip(several, rows, rest, strict=True):
        kept[one.node], fronts[one.node] = Eliminated(*one.order, triangle), Front(one.order[1], left)
