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

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Child = tuple[int, int] | None  # the children of a node, None for a leaf
Key = bytes
Waiting = tuple[int, Tensor]  # a node and its rows
Triangles = Callable[[Iterator[Tensor]], Iterator[Tensor]]  # the triangles of stacks of rows (k, r, c), in their order
TOGETHER = 64


class UndeterminedError(ValueError):
    """The rows do not determine all unknowns."""


@dataclass(frozen=True, eq=False)
class Front:
    """Rows of a node: blocks names those of its columns, in order; rows ``(r, c + 1)``, the right-hand side last."""

    blocks: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Eliminated:
    """What is kept of a node: [R, S | b] with R x_eliminated + S x_kept = b."""

    eliminated: tuple[int, ...]
    kept: tuple[int, ...]
    rows: Tensor


@dataclass(frozen=True, eq=False)
class LeastSquaresSolution:
    """The minimiser by block, and the squared length of the residual of all rows."""

    values: dict[int, Tensor]
    squared_residual: float


def triangles(stacks: Iterator[Tensor]) -> Iterator[Tensor]:
    """The triangles of QR factorisations, made here."""
    return (torch.linalg.qr(stack, mode="r").R for stack in stacks)


class Memory:
    """Reduced rows of nodes by what determines them, so that what did not change since the last solution is not reduced again.

    The key of a leaf is a digest of its rows, that of another node is made of its children's and of the order of the columns.
    triangles: who reduces the others.
    """

    def __init__(self, triangles: Triangles = triangles) -> None:
        self.triangles = triangles
        self._known: dict[Key, Tensor] = {}
        self._used: dict[Key, Tensor] = {}

    def get(self, key: Key) -> Tensor | None:
        """The reduced rows of a node, if they are known."""
        found = self._used.get(key, self._known.get(key))
        if found is not None:
            self._used[key] = found
        return found

    def put(self, key: Key, rows: Tensor) -> None:
        """Remember the reduced rows of a node."""
        self._used[key] = rows

    def next(self) -> None:
        """Forget what the last solution did not use."""
        self._known, self._used = self._used, {}


def solve(
    children: Sequence[Child],
    leaves: dict[int, Front],
    sizes: Sequence[int],
    check_time: Callable[[], None] = lambda: None,
    memory: Memory | None = None,
) -> LeastSquaresSolution:
    """Minimise the length of all rows' residuals.

    children: those of every node, parents before children, node 0 the root. leaves: fronts by node, which are taken out. sizes:
    the number of columns of every block. check_time: called before every block of work. memory: of solutions before. Raises
    UndeterminedError where a block is not determined.
    """
    kept, squared = eliminated(children, leaves, sizes, check_time, memory)
    return LeastSquaresSolution(_substituted(children, kept, sizes), squared)


def eliminated(
    children: Sequence[Child],
    leaves: dict[int, Front],
    sizes: Sequence[int],
    check_time: Callable[[], None] = lambda: None,
    memory: Memory | None = None,
) -> tuple[dict[int, Eliminated], float]:
    """What is kept of every node, and the squared length of the residual of all rows; see `solve`."""
    fronts, squared = leaves, 0.0
    kept: dict[int, Eliminated] = {}
    last, memory = last_nodes(children, leaves), memory or Memory()
    keys: dict[int, Key] = {}
    for nodes in by_height(children):
        orders = {node: order_of(node, _parts(node, children[node], fronts), last) for node in nodes}
        keys |= {node: _key(children[node], fronts, keys, node, orders[node]) for node in nodes}
        waiting = defaultdict(list)
        first = {keys[node]: node for node in reversed(nodes)}  # of equal ones one is reduced
        for node in first.values():
            if memory.get(keys[node]) is None:
                rows = _stacked(children[node], fronts, node, orders[node], sizes)
                waiting[rows.shape].append((node, rows))
                for part in children[node] or (node,):
                    del fronts[part]
        _reduce(list(waiting.values()), keys, memory, check_time)
        for node in nodes:
            reduced_rows, (out, stay) = memory.get(keys[node]), orders[node]
            assert reduced_rows is not None
            width, remaining = _width(out, sizes), _width(stay, sizes)
            if len(reduced_rows) < width:
                raise UndeterminedError("fewer rows than unknowns")
            kept[node] = Eliminated(out, stay, reduced_rows[:width])
            for part in children[node] or (node,):
                fronts.pop(part, None)
            fronts[node] = Front(stay, reduced_rows[width : width + remaining, width:])
            squared += float(reduced_rows[width + remaining :, -1].abs().square().sum())
    memory.next()
    return kept, squared


def _reduce(groups: list[list[Waiting]], keys: Mapping[int, Key], memory: Memory, check_time: Callable[[], None]) -> None:
    """Put the triangles of rows into the memory; the groups, of nodes with rows of the same shape, are emptied."""
    sent: deque[list[int]] = deque()

    def stacks() -> Iterator[Tensor]:
        for group in _batches(groups):
            check_time()
            sent.append([node for node, _ in group])
            stack = torch.stack([rows for _, rows in group])
            group.clear()
            yield stack

    for reduced in memory.triangles(stacks()):
        for node, rows in zip(sent.popleft(), reduced, strict=True):
            memory.put(keys[node], rows.clone())


def _batches(groups: list[list[Waiting]]) -> Iterator[list[Waiting]]:
    """Nodes with rows of the same shape, which are reduced in one call, TOGETHER at most."""
    for group in groups:
        while group:
            yield group[:TOGETHER]
            del group[:TOGETHER]


def _width(blocks: Sequence[int], sizes: Sequence[int]) -> int:
    return sum(sizes[block] for block in blocks)


def last_nodes(children: Sequence[Child], leaves: Mapping[int, Front]) -> dict[int, int]:
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


def by_height(children: Sequence[Child]) -> list[list[int]]:
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


Order = tuple[tuple[int, ...], tuple[int, ...]]


def _parts(node: int, pair: Child, fronts: Mapping[int, Front]) -> list[Front]:
    return [fronts[node]] if pair is None else [fronts[child] for child in pair]


def order_of(node: int, parts: Sequence[Front], last: Mapping[int, int]) -> Order:
    """The blocks of parts that a node eliminates, and those that it keeps."""
    blocks = dict.fromkeys(block for part in parts for block in part.blocks)
    return tuple(b for b in blocks if last[b] == node), tuple(b for b in blocks if last[b] != node)


def _key(pair: Child, fronts: Mapping[int, Front], keys: Mapping[int, Key], node: int, order: Order) -> Key:
    """What determines the reduced rows of a node: its rows or those of its children, and the order of the columns."""
    parts = _parts(node, pair, fronts)
    place = {block: k for k, block in enumerate((*order[0], *order[1]))}
    columns = tuple(place[block] for part in parts for block in part.blocks)
    content: tuple[object, ...]
    if pair is None:
        content = (parts[0].rows.shape, hashlib.blake2b(parts[0].rows.cpu().numpy().tobytes(), digest_size=16).digest())
    else:
        content = tuple(keys[child] for child in pair)
    text = repr((content, columns, len(order[0]))).encode()
    return hashlib.blake2b(text, digest_size=16).digest()


def _stacked(pair: Child, fronts: Mapping[int, Front], node: int, order: Order, sizes: Sequence[int]) -> Tensor:
    """The rows of a node, those of its children one below the other, with the columns in an order."""
    parts = _parts(node, pair, fronts)
    starts, total = {}, 0
    for block in (*order[0], *order[1]):
        starts[block] = total
        total += sizes[block]
    rows = parts[0].rows.new_zeros(sum(len(part.rows) for part in parts), total + 1)
    first = 0
    for part in parts:
        columns = [torch.arange(starts[block], starts[block] + sizes[block]) for block in part.blocks]
        index = torch.cat([*columns, torch.tensor([total])]).to(rows.device)
        rows[first : first + len(part.rows), index] = part.rows
        first += len(part.rows)
    return rows


def _substituted(children: Sequence[Child], kept: Mapping[int, Eliminated], sizes: Sequence[int]) -> dict[int, Tensor]:
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
