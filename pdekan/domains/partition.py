"""Partitions of a box into cells: a binary tree of cuts, whose leaves are the cells, and the faces between them.

An interval tree, a quadtree or an octree is such a tree, with one, two or three cuts for each of its splits; cells may also be
cut along one axis only. Neighbours need not be of the same size: a face is what two cells share.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdekan.domains.quadrature import Array

Integers = NDArray[np.int64]
LEAF = -1  # the axis of a node that is not cut
REGION = -2  # that of a node whose children have the same box, and lie in different regions of it


@dataclass(frozen=True, eq=False)
class CellFaces:
    """Faces between pairs of cells: `first` lies below `second` along `axis`, all ``(f,)``; lower, upper: ``(f, d)``.

    shift: ``(f,)`` what is added to the coordinate along the axis on the side of the second cell, for periodic faces.
    """

    first: Integers
    second: Integers
    axis: Integers
    lower: Array
    upper: Array
    shift: Array

    def __len__(self) -> int:
        return len(self.first)

    def taken(self, kept: NDArray[np.bool_] | Integers) -> CellFaces:
        """Some of the faces."""
        first, second, axis = (part[kept] for part in (self.first, self.second, self.axis))
        return CellFaces(first, second, axis, self.lower[kept], self.upper[kept], self.shift[kept])


@dataclass(frozen=True, eq=False)
class Partition:
    """The cells of the box lower … upper: nodes of a binary tree in preorder, the root first, a node's lower child next.

    axis: ``(N,)`` along which a node is cut, LEAF for a cell. at: ``(N,)`` the coordinate of the cut. Of a node with axis
    REGION it is the least region of the second child, of a cell below such nodes its region. Cells are numbered in the order of
    their nodes.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    axis: Integers
    at: Array

    @classmethod
    def whole(cls, lower: Sequence[float], upper: Sequence[float]) -> Partition:
        """The box as one cell."""
        return cls(tuple(lower), tuple(upper), np.full(1, LEAF), np.zeros(1))

    @classmethod
    def grid(cls, lower: Sequence[float], upper: Sequence[float], counts: Sequence[int]) -> Partition:
        """Equal cells, so many along each axis, by cuts near the middle of the axis along which most cells are left."""
        axis, at = _grid(lower, upper, counts)
        return cls(tuple(lower), tuple(upper), np.array(axis), np.array(at))

    @property
    def dimension(self) -> int:
        """That of the box."""
        return len(self.lower)

    @property
    def count(self) -> int:
        """The number of cells."""
        return (len(self.axis) + 1) // 2

    @functools.cached_property
    def leaves(self) -> Integers:
        """The nodes of the cells."""
        return np.flatnonzero(self.axis == LEAF)

    @functools.cached_property
    def cell_of_node(self) -> Integers:
        """The numbers of the cells by node, -1 for nodes that are cut."""
        out = np.full(len(self.axis), -1)
        out[self.leaves] = np.arange(self.count)
        return out

    @functools.cached_property
    def upper_child(self) -> Integers:
        """The second child of every node that is cut, -1 for the others; the first one is the next node."""
        out = np.full(len(self.axis), -1)
        waiting: list[int] = []
        for node, axis in enumerate(self.axis.tolist()):
            if waiting and out[waiting[-1]] == -2:
                out[waiting.pop()] = node
            if axis == LEAF:
                if waiting:
                    out[waiting[-1]] = -2  # the next node is its second child
            else:
                waiting.append(node)
        return out

    @functools.cached_property
    def boxes(self) -> tuple[Array, Array]:
        """Lower and upper corners ``(N, d)`` of the nodes' boxes."""
        low, high = np.empty((len(self.axis), self.dimension)), np.empty((len(self.axis), self.dimension))
        low[0], high[0] = self.lower, self.upper
        for node, (axis, at) in enumerate(zip(self.axis.tolist(), self.at.tolist(), strict=True)):
            if axis != LEAF:
                for child in (node + 1, self.upper_child[node]):
                    low[child], high[child] = low[node], high[node]
            if axis >= 0:
                high[node + 1, axis] = low[self.upper_child[node], axis] = at
        return low, high

    @property
    def cells(self) -> tuple[Array, Array]:
        """Lower and upper corners ``(m, d)`` of the cells."""
        low, high = self.boxes
        return low[self.leaves], high[self.leaves]

    @functools.cached_property
    def parted(self) -> NDArray[np.bool_]:
        """Whether cells ``(m,)`` are below a node with axis REGION."""
        out = np.zeros(len(self.axis), dtype=bool)
        for node in np.flatnonzero(self.axis != LEAF).tolist():
            for child in (node + 1, self.upper_child[node]):
                out[child] = out[node] or self.axis[node] == REGION
        return out[self.leaves]

    def locate(self, points: Tensor, regions: Tensor | None = None) -> Tensor:
        """The cells ``(n,)`` of points ``(n, d)``, the upper one of points on a face; points outside are moved to the box.

        regions: ``(n,)`` those of the points, where cells are parts of boxes.
        """
        axis, at = torch.as_tensor(self.axis), torch.as_tensor(self.at)
        upper = torch.as_tensor(self.upper_child)
        axis, at, upper = axis.to(points.device), at.to(points), upper.to(points.device)
        node = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        active = torch.arange(len(points), device=points.device)
        while True:
            here = node[active]
            going = axis[here] != LEAF
            active, here = active[going], here[going]
            if not len(active):
                break
            place = points[active, axis[here].clamp_min(0)]
            if regions is not None:
                place = torch.where(axis[here] == REGION, regions[active].to(place), place)
            above = place >= at[here]
            node[active] = torch.where(above, upper[here], here + 1)
        return torch.as_tensor(self.cell_of_node).to(points.device)[node]

    def refined(self, axes: Mapping[int, Sequence[int]]) -> tuple[Partition, Integers]:
        """The partition with some cells cut in halves along some axes, and the former cell ``(m,)`` of each new one."""
        axis: list[int] = []
        at: list[float] = []
        former: list[int] = []
        low, high = self.boxes

        def cut(cell: int, a: Array, b: Array, along: Sequence[int]) -> None:
            """Halve a cell along its axes, one after the other."""
            if not along:
                axis.append(LEAF)
                at.append(float(self.at[self.leaves[cell]]))
                former.append(cell)
                return
            k, middle = along[0], 0.5 * (a[along[0]] + b[along[0]])
            axis.append(k)
            at.append(middle)
            for start, stop in ((a[k], middle), (middle, b[k])):
                x, y = a.copy(), b.copy()
                x[k], y[k] = start, stop
                cut(cell, x, y, along[1:])

        for node in range(len(self.axis)):
            cell = int(self.cell_of_node[node])
            if cell < 0:
                axis.append(int(self.axis[node]))
                at.append(float(self.at[node]))
            else:
                cut(cell, low[node], high[node], axes.get(cell, ()))
        return Partition(self.lower, self.upper, np.array(axis), np.array(at)), np.array(former)

    def split(self, regions: Mapping[int, Sequence[int]]) -> Partition:
        """The partition with some cells cut into parts in several regions each, in ascending order."""
        axis: list[int] = []
        at: list[float] = []
        for node in range(len(self.axis)):
            own = regions.get(int(self.cell_of_node[node]), ())
            for before, after in itertools.pairwise(own):
                axis += [REGION, LEAF]
                at += [after, before]
            axis.append(int(self.axis[node]))
            at.append(float(own[-1] if own else self.at[node]))
        return Partition(self.lower, self.upper, np.array(axis), np.array(at))

    def coarsened(self, joined: NDArray[np.bool_], most: Array, levels: int) -> Partition:
        """The partition with cells joined that are all in `joined` ``(m,)``.

        At most so many levels of cuts are taken back, and no cell becomes larger than sides most ``(d,)``.
        """
        low, high = self.boxes
        height, size = np.zeros(len(self.axis)), np.ones(len(self.axis), dtype=np.int64)
        for node in range(len(self.axis) - 1, -1, -1):
            if self.axis[node] == LEAF:
                height[node] = 0.0 if joined[self.cell_of_node[node]] else np.inf
            else:
                pair = [node + 1, self.upper_child[node]]
                height[node], size[node] = 1.0 + height[pair].max(), 1 + size[pair].sum()
        joins = (height <= levels) & (high - low <= most).all(axis=1)
        axis, at, node = [], [], 0
        while node < len(self.axis):
            axis.append(LEAF if joins[node] else int(self.axis[node]))
            at.append(0.0 if joins[node] else float(self.at[node]))
            node += int(size[node]) if joins[node] else 1
        return Partition(self.lower, self.upper, np.array(axis), np.array(at))

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        """The faces between cells, those across the box along the periodic axes included."""
        found: list[tuple[int, int, int, float]] = []
        for node in np.flatnonzero(self.axis >= 0).tolist():
            pairs = self._touching(node + 1, int(self.upper_child[node]), int(self.axis[node]))
            found += [(a, b, int(self.axis[node]), 0.0) for a, b in pairs]
        for k in periodic:
            found += [(a, b, k, self.lower[k] - self.upper[k]) for a, b in self._touching(0, 0, k)]
        low, high = self.cells
        first, second, axis = np.array([row[:3] for row in found], dtype=np.int64).reshape(-1, 3).T
        lower, upper = np.maximum(low[first], low[second]), np.minimum(high[first], high[second])
        rows = np.arange(len(first))
        lower[rows, axis] = upper[rows, axis] = high[first, axis]
        return CellFaces(first, second, axis, lower, upper, np.array([row[3] for row in found]))

    def _touching(self, below: int, above: int, axis: int) -> Iterator[tuple[int, int]]:
        """Pairs of cells that share a face orthogonal to the axis: one in the node below it, the other in the one above."""
        low, high = self.boxes
        others = [k for k in range(self.dimension) if k != axis]
        waiting = [(below, above)]
        while waiting:
            a, b = waiting.pop()
            if any(low[a, k] >= high[b, k] or low[b, k] >= high[a, k] for k in others):
                continue
            if self.axis[a] != LEAF:
                inner = [int(self.upper_child[a])] if self.axis[a] == axis else [a + 1, int(self.upper_child[a])]
                waiting += [(one, b) for one in inner]
            elif self.axis[b] != LEAF:
                inner = [b + 1] if self.axis[b] == axis else [b + 1, int(self.upper_child[b])]
                waiting += [(a, one) for one in inner]
            else:
                yield int(self.cell_of_node[a]), int(self.cell_of_node[b])

    def on_face(self, axis: int, upper: bool) -> Integers:
        """The cells at the lower or the upper face of the box along an axis."""
        low, high = self.cells
        return np.flatnonzero(high[:, axis] == self.upper[axis] if upper else low[:, axis] == self.lower[axis])


def _grid(lower: Sequence[float], upper: Sequence[float], counts: Sequence[int]) -> tuple[list[int], list[float]]:
    """The nodes of `Partition.grid`."""
    axis: list[int] = []
    at: list[float] = []

    def cut(start: list[int], stop: list[int]) -> None:
        """Cut cells start … stop along their longest side until each is alone."""
        sizes = [b - a for a, b in zip(start, stop, strict=True)]
        k = int(np.argmax(sizes))
        if sizes[k] == 1:
            axis.append(LEAF)
            at.append(0.0)
            return
        middle = start[k] + sizes[k] // 2
        axis.append(k)
        at.append(lower[k] + (upper[k] - lower[k]) * middle / counts[k])
        cut(start, [*stop[:k], middle, *stop[k + 1 :]])
        cut([*start[:k], middle, *start[k + 1 :]], stop)

    cut([0] * len(counts), list(counts))
    return axis, at


class Plate(NamedTuple):
    """A part of a plane orthogonal to an axis: where it is along the axis, and corners ``(d,)`` of a box around it."""

    axis: int
    at: float
    low: Array
    high: Array


def fitted(
    lower: Sequence[float], upper: Sequence[float], counts: Sequence[int], plates: Sequence[Plate], same: float
) -> Partition:
    """Cells that no plate cuts, as wide as those of `Partition.grid` at most.

    Boxes are cut where plates are, each time at the one that is nearest to the middle of a long side, then into equal cells.
    same: the distance at which planes are not told apart.
    """
    axis: list[int] = []
    at: list[float] = []
    widths = (np.array(upper) - np.array(lower)) / np.array(counts)

    def cut(low: Array, high: Array, near: Sequence[Plate]) -> None:
        """Cut a box at the plates in it, and what has none into equal cells."""
        near = [one for one in near if _crosses(one, low, high, same)]
        if not near:
            few = np.maximum(np.ceil((high - low) / widths - 1e-9).astype(int), 1)
            axes, places = _grid(low.tolist(), high.tolist(), few.tolist())
            axis.extend(axes)
            at.extend(places)
            return
        sides, middle = high - low, 0.5 * (low + high)
        one = min(near, key=lambda one: abs(one.at - middle[one.axis]) / sides[one.axis] ** 2)
        axis.append(one.axis)
        at.append(one.at)
        rest = np.arange(len(low)) != one.axis
        cut(low, np.where(rest, high, one.at), near)
        cut(np.where(rest, low, one.at), high, near)

    cut(np.array(lower), np.array(upper), plates)
    return Partition(tuple(lower), tuple(upper), np.array(axis), np.array(at))


def _crosses(plate: Plate, low: Array, high: Array, same: float) -> bool:
    """Whether a plate is inside of a box."""
    k = plate.axis
    rest = np.arange(len(low)) != k
    beside = (plate.low[rest] >= high[rest] - same) | (plate.high[rest] <= low[rest] + same)
    return bool(low[k] + same < plate.at < high[k] - same) and not beside.any()
