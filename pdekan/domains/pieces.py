"""Cells in a domain: which are inside, pieces of those that its boundary cuts, rules on them, and the faces between them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.combinations import Combination, planar
from pdekan.domains.cylinder import END, START, Cylinder
from pdekan.domains.partition import CellFaces, Integers, Partition
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array, Quadrature

SLIVER = 1e-9  # of the area of a cell: smaller pieces are left out
REMEMBERED = 100_000  # pieces
# Cells whose rows are made at a time, and the most numbers of their arrays, points times functions.
TOGETHER, NUMBERS = 128, 10**7
# of the size of a planar domain: its arcs are cut with tolerances of 1e-9 of it, by which sides of smaller cells are confused
SMALLEST = 1e-6


class CellGeometry(ABC):
    """The cells of a partition in a domain. low, high: ``(m, d)`` corners of the boxes around their pieces. whole: ``(m,)``
    whether a cell is a box. active: ``(m,)`` whether there is anything of it in the domain. smallest: sides of cells.
    """

    low: Array
    high: Array
    whole: Integers
    active: Integers
    partition: Partition
    smallest: float = 0.0

    @abstractmethod
    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        """The faces between cells, as far as they are in the domain."""

    @abstractmethod
    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        """Points ``(m, g, d)`` and weights ``(m, g)`` inside cells that are whole, or in a single cell."""

    @abstractmethod
    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        """For cells that have parts of a face of the domain, their places among `cells` and as many points on each part."""

    def quadrature(self, degrees: Integers, more: int) -> Quadrature:
        """Points in all cells, along an axis `more` than the degrees."""
        points, weights = [np.zeros((0, self.partition.dimension))], [np.zeros(0)]
        for cells in self.groups(degrees):
            x, w = self.rule(cells, int(degrees[cells[0]]) + more)
            points.append(x.reshape(-1, x.shape[2]))
            weights.append(w.ravel())
        return Quadrature(np.concatenate(points), np.concatenate(weights))

    def groups(self, degrees: Integers) -> list[Integers]:
        """Active cells of equal degree: whole ones, some together, and each other one by itself."""
        out: list[Integers] = []
        for p in np.unique(degrees[self.active]):
            together = max(1, min(TOGETHER, NUMBERS // int(p + 1) ** (2 * self.partition.dimension)))
            cells = np.flatnonzero(self.active & self.whole & (degrees == p))
            out += [cells[k : k + together] for k in range(0, len(cells), together)]
            out += [np.array([cell]) for cell in np.flatnonzero(self.active & ~self.whole & (degrees == p))]
        return out


class BoxGeometry(CellGeometry):
    """All cells of a box."""

    def __init__(self, domain: Box, partition: Partition) -> None:
        self.domain, self.partition = domain, partition
        self.low, self.high = partition.cells
        self.whole = self.active = np.ones(partition.count, dtype=bool)

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        return self.partition.faces(periodic)

    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        return on_boxes(self.low[cells], self.high[cells], None, order)

    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        k, at_upper = self.domain.coordinates.index(face[:-1]), face[-1] == "+"
        low, high = self.low[cells], self.high[cells]
        edge = self.domain.upper[k] if at_upper else self.domain.lower[k]
        index = np.flatnonzero((high if at_upper else low)[:, k] == edge)
        if len(index):
            a, b = low[index], high[index]
            a[:, k] = b[:, k] = edge
            points, weights = on_boxes(a, b, np.full(len(index), k), order)
            normals = np.zeros_like(points)
            normals[..., k] = 1.0 if at_upper else -1.0
            d = low.shape[1]
            yield index, Quadrature(points.reshape(-1, d), weights.ravel(), normals.reshape(-1, d))


class PlanarGeometry(CellGeometry):
    """The cells of the box around a planar domain, cut by its boundary."""

    def __init__(self, domain: Planar, partition: Partition) -> None:
        self.domain, self.partition, self.smallest = domain, partition, SMALLEST * domain.size
        self.low, self.high = (corner.copy() for corner in partition.cells)
        sides = self.high - self.low
        distance = domain.distance(0.5 * (self.low + self.high))
        reach = 0.5 * np.linalg.norm(sides, axis=1)
        self.active, self.whole = distance > -reach, np.ones(partition.count, dtype=bool)
        self.pieces: dict[int, Planar] = {}
        for cell in np.flatnonzero(np.abs(distance) <= reach).tolist():
            box = tuple(self.low[cell].tolist()), tuple(self.high[cell].tolist())
            piece, area = piece_of(domain, *box), sides[cell].prod()
            if piece is None or piece.measure < SLIVER * area:
                self.active[cell] = False
                continue
            self.pieces[cell], self.whole[cell] = piece, piece.measure > (1.0 - SLIVER) * area
            self.low[cell], self.high[cell] = piece.lower, piece.upper

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        every = self.partition.faces(periodic)
        kept, parts = [], []
        for i, (a, b) in enumerate(zip(every.first.tolist(), every.second.tolist(), strict=True)):
            if not (self.active[a] and self.active[b]):
                continue
            other = 1 - int(every.axis[i])
            low, high = every.lower[i, other], every.upper[i, other]
            for start, stop in self._inside(a, b, int(every.axis[i]), low, high):
                kept.append(i)
                parts.append((other, start, stop))
        index = np.array(kept, dtype=np.int64)
        lower, upper = every.lower[index], every.upper[index]
        for row, (k, start, stop) in enumerate(parts):
            lower[row, k], upper[row, k] = start, stop
        return CellFaces(every.first[index], every.second[index], every.axis[index], lower, upper, every.shift[index])

    def _inside(self, a: int, b: int, axis: int, low: float, high: float) -> Iterator[tuple[float, float]]:
        """The parts of a face low … high between cells a, below, and b that are in the domain."""
        name = f"part2.{self.domain.coordinates[axis]}"
        for cell, side in ((a, "+"), (b, "-")):
            if cell not in self.pieces:  # it is inside, and so are its sides
                yield low, high
                return
            if cell == b:
                continue
            for arc in self.pieces[cell].arcs:
                if arc.name == name + side:
                    ends = np.sort(arc.ends[:, 1 - axis])
                    start, stop = max(low, float(ends[0])), min(high, float(ends[1]))
                    if stop - start > SLIVER * (high - low):
                        yield start, stop
            if b in self.pieces:
                return

    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        if self.whole[cells].all():
            return on_boxes(self.low[cells], self.high[cells], None, order)
        (cell,) = cells.tolist()
        rule = self.pieces[cell].interior(1, order, 0, 0)
        return rule.points[None], rule.weights[None]

    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        name = f"part1.{face}"
        for place, cell in enumerate(cells.tolist()):
            piece = self.pieces.get(cell)
            if piece is not None and name in piece.faces:
                yield np.array([place]), piece.face(name, 1, order, 0, 0)


class CylinderGeometry(CellGeometry):
    """The cells of the box around a planar domain in time, cut by its boundary; they are over all of the interval of time."""

    def __init__(self, domain: Cylinder, partition: Partition) -> None:
        base = domain.base
        if not isinstance(base, Planar):
            raise DomainError(f"a {base.type_name} in time cannot be cut into cells")
        if (partition.axis == 2).any():
            raise DomainError("cells of a planar domain in time span the interval of time; cut them in space alone")
        self.domain, self.partition = domain, partition
        self.base = PlanarGeometry(base, Partition(base.lower, base.upper, partition.axis, partition.at))
        times = np.broadcast_to([domain.start, domain.end], (partition.count, 2))
        self.low, self.high = np.column_stack([self.base.low, times[:, 0]]), np.column_stack([self.base.high, times[:, 1]])
        self.active, self.whole, self.smallest = self.base.active, self.base.whole, self.base.smallest

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        every = self.base.faces(periodic)
        lower, upper = (
            np.column_stack([corner, np.full(len(every), time)])
            for corner, time in ((every.lower, self.domain.start), (every.upper, self.domain.end))
        )
        return replace(every, lower=lower, upper=upper)

    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        if self.whole[cells].all():
            return on_boxes(self.low[cells], self.high[cells], None, order)
        points, weights = self.base.rule(cells, order)
        rule = self.domain.in_time(Quadrature(points[0], weights[0]), 1, order)
        return rule.points[None], rule.weights[None]

    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        if face not in (START, END):
            for which, rule in self.base.boundary(cells, face, order):
                yield which, self.domain.in_time(rule, 1, order)
            return
        for which in self._like(cells):
            points, weights = self.base.rule(cells[which], order)
            yield which, self.domain.at_end(face, Quadrature(points.reshape(-1, 2), weights.ravel()))

    def _like(self, cells: Integers) -> list[Integers]:
        """The places among cells of those that are whole, and of each other one that is active."""
        whole = np.flatnonzero(self.whole[cells] & self.active[cells])
        cut = np.flatnonzero(~self.whole[cells] & self.active[cells])
        return [part for part in (whole, *cut[:, None]) if len(part)]


@functools.lru_cache(maxsize=REMEMBERED)
def piece_of(domain: Planar, low: tuple[float, ...], high: tuple[float, ...]) -> Planar | None:
    """What of a cell is in a domain; None for nothing."""
    cell = planar(Box(domain.coordinates, low, high))
    try:
        return Combination("intersection", (domain, replace(cell)), coordinates=domain.coordinates)
    except DomainError:
        return None


def geometry(domain: Domain, partition: Partition) -> CellGeometry:
    """The cells of a partition of the box around a domain.

    Raises DomainError for other domains than boxes and planar ones, at rest or in time.
    """
    if isinstance(domain, Box):
        return BoxGeometry(domain, partition)
    if isinstance(domain, Planar):
        return PlanarGeometry(domain, partition)
    if isinstance(domain, Cylinder):
        return CylinderGeometry(domain, partition)
    raise DomainError(f"a {domain.type_name} cannot be cut into cells")
