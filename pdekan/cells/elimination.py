"""Sparse linear least squares by multifrontal QR along a binary tree.

The columns of the matrix fall into blocks. Every leaf of the tree has rows of its own, with few of the blocks. A block is
eliminated at the lowest node above all leaves whose rows have it: there the rows of the two children, triangles after their own
eliminations, are stacked and reduced by one Householder QR. Orthogonal transformations only, so that errors are those of a
dense QR; where blocks are the unknowns on faces between cells and the tree is that of the cuts, it is nested dissection, with
O(m^1.5) operations and O(m log m) numbers for m cells in a plane. Source: Duff and Reid, ACM Trans. Math. Softw. 9 (1983)
302-325; for QR: Davis, Direct Methods for Sparse Linear Systems (2006), section 5.4; George, SIAM J. Numer. Anal. 10 (1973)
345-363.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Child = tuple[int, int] | None  # the children of a node, None for a leaf


class UndeterminedError(ValueError):
    """The rows do not determine all unknowns."""


@dataclass(frozen=True, eq=False)
class Front:
    """Rows of a node: blocks names those of its columns, in order; rows ``(r, c + 1)``, the right-hand side last."""

    blocks: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True, eq=False)
class _Eliminated:
    """What is kept of a node: [R, S | b] with R x_eliminated + S x_kept = b."""

    eliminated: tuple[int, ...]
    kept: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True, eq=False)
class LeastSquaresSolution:
    """The minimiser by block, and the squared length of the residual of all rows."""

    values: dict[int, Tensor]
    squared_residual: float


def solve(
    children: Sequence[Child],
    leaves: Mapping[int, Front],
    sizes: Sequence[int],
    check_time: Callable[[], None] = lambda: None,
) -> LeastSquaresSolution:
    """Minimise the length of all rows' residuals.

    children: those of every node, parents before children, node 0 the root. leaves: fronts by node. sizes: the number of
    columns of every block. check_time: called before every block of work. Raises UndeterminedError where a block is not
    determined.
    """
    fronts, kept, squared = dict(leaves), {}, 0.0
    last = _last_nodes(children, leaves)
    for nodes in _by_height(children):
        waiting = [(node, _stacked(node, children, fronts, last, sizes)) for node in nodes]
        for group in _alike(waiting):
            check_time()
            reduced = torch.linalg.qr(torch.stack([rows for _, _, _, rows in group]), mode="r").R
            for (node, out, stay, _), rows in zip(group, reduced, strict=True):
                width, remaining = _width(out, sizes), _width(stay, sizes)
                if len(rows) < width:
                    raise UndeterminedError("fewer rows than unknowns")
                kept[node] = _Eliminated(out, stay, rows[:width])
                fronts[node] = Front(stay, rows[width : width + remaining, width:])
                squared += float(rows[width + remaining :, -1].square().sum())
        for node in nodes:
            for child in children[node] or ():
                del fronts[child]
    return LeastSquaresSolution(_substituted(children, kept, sizes), squared)


def _width(blocks: Sequence[int], sizes: Sequence[int]) -> int:
    return sum(sizes[block] for block in blocks)


def _last_nodes(children: Sequence[Child], leaves: Mapping[int, Front]) -> dict[int, int]:
    """The node at which each block is eliminated: the lowest one above all leaves that have it."""
    parent = {child: node for node, pair in enumerate(children) for child in pair or ()}
    last: dict[int, int] = {}
    for leaf, front in leaves.items():
        for block in front.blocks:
            a, b = last.get(block, leaf), leaf
            while a != b:  # parents have smaller numbers
                a, b = (parent[a], b) if a > b else (a, parent[b])
            last[block] = a
    return last


def _by_height(children: Sequence[Child]) -> list[list[int]]:
    """The nodes, leaves first, each after its children."""
    heights = np.zeros(len(children), dtype=np.int64)
    for node in range(len(children) - 1, -1, -1):
        pair = children[node]
        if pair is not None:
            heights[node] = 1 + max(heights[pair[0]], heights[pair[1]])
    levels: dict[int, list[int]] = defaultdict(list)
    for node, height in enumerate(heights.tolist()):
        levels[height].append(node)
    return [levels[height] for height in sorted(levels)]


Stacked = tuple[tuple[int, ...], tuple[int, ...], Tensor]


def _stacked(
    node: int, children: Sequence[Child], fronts: Mapping[int, Front], last: Mapping[int, int], sizes: Sequence[int]
) -> Stacked:
    """The blocks that a node eliminates, those that it keeps, and its rows with the columns in this order."""
    pair = children[node]
    parts = [fronts[node]] if pair is None else [fronts[child] for child in pair]
    blocks = dict.fromkeys(block for part in parts for block in part.blocks)
    out = tuple(block for block in blocks if last[block] == node)
    stay = tuple(block for block in blocks if last[block] != node)
    starts, total = {}, 0
    for block in (*out, *stay):
        starts[block] = total
        total += sizes[block]
    rows = parts[0].rows.new_zeros(sum(len(part.rows) for part in parts), total + 1)
    first = 0
    for part in parts:
        columns = [torch.arange(starts[block], starts[block] + sizes[block]) for block in part.blocks]
        index = torch.cat([*columns, torch.tensor([total])]).to(rows.device)
        rows[first : first + len(part.rows), index] = part.rows
        first += len(part.rows)
    return out, stay, rows


def _alike(waiting: Sequence[tuple[int, Stacked]]) -> list[list[tuple[int, tuple[int, ...], tuple[int, ...], Tensor]]]:
    """Nodes with rows of the same shape together: they are reduced in one call."""
    groups = defaultdict(list)
    for node, (out, stay, rows) in waiting:
        groups[rows.shape].append((node, out, stay, rows))
    return list(groups.values())


def _substituted(children: Sequence[Child], kept: Mapping[int, _Eliminated], sizes: Sequence[int]) -> dict[int, Tensor]:
    """The blocks, from the root down."""
    values: dict[int, Tensor] = {}
    for node in range(len(children)):
        one = kept[node]
        width = _width(one.eliminated, sizes)
        if not width:
            continue
        right = one.rows[:, -1]
        if one.kept:
            right = right - one.rows[:, width:-1] @ torch.cat([values[block] for block in one.kept])
        x = torch.linalg.solve_triangular(one.rows[:, :width], right[:, None], upper=True)[:, 0]
        if not bool(torch.isfinite(x).all()):
            raise UndeterminedError("an unknown has no rows that determine it")
        for block, part in zip(one.eliminated, x.split([sizes[block] for block in one.eliminated]), strict=True):
            values[block] = part
    return values
