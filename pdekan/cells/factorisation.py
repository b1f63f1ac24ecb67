"""Sparse systems of equations along a binary tree, factorised once and solved with many right-hand sides.

Multifrontal elimination as in `elimination`, of square systems: each node eliminates the unknowns that no other one has, with
pivots among these alone, and hands the Schur complement to its parent. Source: Duff and Reid, ACM Trans. Math. Softw. 9 (1983)
302-325; Davis, Direct Methods for Sparse Linear Systems (2006), section 6.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.elimination import TOGETHER, Child, Front, Order, UndeterminedError, by_height, last_nodes, order_of


@dataclass(frozen=True, eq=False)
class _Nodes:
    """b nodes of one pattern: K₁₁ ``(b, w, w)`` as its factors and pivots, K₁₁⁻¹ K₁₂ ``(b, w, s)`` and K₂₁ ``(b, s, w)``.

    own, kept: the columns of both, ``(b, w)`` and ``(b, s)``.
    """

    factors: Tensor
    pivots: Tensor
    beside: Tensor
    below: Tensor
    own: Tensor
    kept: Tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of all nodes, from the leaves to the root. size: of the unknowns, those of blocks one after the other."""

    groups: list[_Nodes]
    size: int

    @classmethod
    def of(
        cls,
        children: Sequence[Child],
        leaves: dict[int, Front],
        sizes: Sequence[int],
        check_time: Callable[[], None] = lambda: None,
    ) -> Factors:
        """Factorise. leaves: the equations by node, with as many rows as columns, which are taken out; see `elimination.solve`.

        Raises UndeterminedError where they are singular.
        """
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        fronts, groups, last = leaves, [], last_nodes(children, leaves)
        for nodes in by_height(children):
            alike: dict[tuple[object, ...], list[_Waiting]] = defaultdict(list)
            for node in nodes:
                parts = [fronts.pop(child) for child in children[node] or (node,)]
                one = _Waiting(node, parts, order_of(node, parts, last))
                alike[one.pattern(sizes)].append(one)
            for several in alike.values():
                while several:
                    check_time()
                    groups.append(_eliminated(several[:TOGETHER], sizes, starts, fronts))
                    del several[:TOGETHER]
        return cls([one for one in groups if one.own.shape[1]], int(starts[-1]))

    @property
    def is_complex(self) -> bool:
        """Whether there are complex numbers."""
        return any(one.factors.is_complex() for one in self.groups)

    def solve(self, right: Tensor) -> Tensor:
        """The solution ``(size,)``."""
        x = right.clone()
        for one in self.groups:
            part = torch.linalg.lu_solve(one.factors, one.pivots, x[one.own][..., None].to(one.factors))
            x[one.own] = part[..., 0].to(x)
            x.index_add_(0, one.kept.ravel(), -(one.below @ part).ravel().to(x))
        for one in reversed(self.groups):
            x[one.own] -= (one.beside @ x[one.kept][..., None].to(one.beside))[..., 0].to(x)
        return x


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A node that is to be eliminated, with the equations of a leaf, or what is left of the children's."""

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


def _places(blocks: Sequence[int], starts: Sequence[int]) -> list[int]:
    """The columns of blocks."""
    return [k for block in blocks for k in range(starts[block], starts[block + 1])]


def _eliminated(several: Sequence[_Waiting], sizes: Sequence[int], starts: Sequence[int], fronts: dict[int, Front]) -> _Nodes:
    """Eliminate nodes of one pattern; what is left of them is put among the fronts."""
    first = several[0]
    width, remaining = (sum(sizes[block] for block in blocks) for blocks in first.order)
    count, total = len(several), width + remaining
    matrix = first.parts[0].rows.new_zeros(count, total, total)
    for k, columns in enumerate(first.columns(sizes)):
        index = torch.tensor(columns, dtype=torch.int64)
        places = (total * index[:, None] + index).ravel()
        matrix.view(count, -1).index_add_(1, places, torch.stack([one.parts[k].rows for one in several]).reshape(count, -1))
    factors, pivots, info = torch.linalg.lu_factor_ex(matrix[:, :width, :width])
    if bool(info.any()):
        raise UndeterminedError("an unknown has no rows that determine it")
    below = matrix[:, width:, :width].contiguous()
    beside = torch.linalg.lu_solve(factors, pivots, matrix[:, :width, width:])
    rest = matrix[:, width:, width:] - below @ beside
    for one, left in zip(several, rest, strict=True):
        fronts[one.node] = Front(one.order[1], left)
    own, kept = (torch.tensor([_places(one.order[i], starts) for one in several], dtype=torch.int64) for i in (0, 1))
    own, kept = own.reshape(count, -1), kept.reshape(count, -1)
    return _Nodes(factors, pivots, beside, below, own, kept)
