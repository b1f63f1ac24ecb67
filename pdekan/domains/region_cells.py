"""Cells in a domain that interfaces cut into regions: each lies in one region, and the pieces of interfaces between them."""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdekan.domains import pieces
from pdekan.domains.arcs import Arc, Conic
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.combinations import Combination, cuts, planar
from pdekan.domains.partition import LEAF, REGION, CellFaces, Integers, Partition
from pdekan.domains.pieces import REMEMBERED, SLIVER, SMALLEST, CellGeometry, piece_of
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.domains.regions import Regions

NARROW = 1e-8  # of the domain's size: cells are not narrower, as the sides of an interface are looked at beside it
BESIDE = 1e-8  # of the domain's size: where it is looked at which cells are on both sides of an arc


@dataclass(frozen=True, eq=False)
class Joints(ABC):
    """Pieces of interfaces, each between two cells. shape: ``(f,)`` the shape that a piece bounds; outer, inner: ``(f,)`` the
    cells outside of it and inside; place: ``(f,)`` numbers that are the same where several shapes share a piece.
    """

    place: Integers
    shape: Integers
    outer: Integers
    inner: Integers

    def __len__(self) -> int:
        return len(self.shape)

    @abstractmethod
    def rule(self, which: Integers, order: int) -> Quadrature:
        """As many Gauss points on each of some pieces, with normals out of the shapes."""


@dataclass(frozen=True, eq=False)
class FlatJoints(Joints):
    """Faces between cells. axis: ``(f,)`` to which they are orthogonal; lower, upper: ``(f, d)``; sign: ``(f,)`` of normals."""

    axis: Integers
    lower: Array
    upper: Array
    sign: Array

    @classmethod
    def of(cls, faces: CellFaces, inside: NDArray[np.bool_]) -> FlatJoints:
        """The faces between cells, for every shape that holds one of both. inside: ``(m, shapes)`` for every cell."""
        first, second = inside[faces.first], inside[faces.second]
        face, shape = np.nonzero(first != second)
        out = second[face, shape]  # the second cell, above the first, is inside
        outer = np.where(out, faces.first[face], faces.second[face])
        inner = np.where(out, faces.second[face], faces.first[face])
        sign = np.where(out, -1.0, 1.0)
        return cls(face, shape, outer, inner, faces.axis[face], faces.lower[face], faces.upper[face], sign)

    def rule(self, which: Integers, order: int) -> Quadrature:
        points, weights = on_boxes(self.lower[which], self.upper[which], self.axis[which], order)
        normals = np.zeros_like(points)
        normals[np.arange(len(which)), :, self.axis[which]] = self.sign[which, None]
        d = points.shape[2]
        return Quadrature(points.reshape(-1, d), weights.ravel(), normals.reshape(-1, d))


@dataclass(frozen=True, eq=False)
class ArcJoints(Joints):
    """Pieces of arcs of a plane."""

    arcs: tuple[Arc, ...]

    def rule(self, which: Integers, order: int) -> Quadrature:
        parts = []
        for arc in (self.arcs[k] for k in which.tolist()):
            first, last = arc.span
            t, weights = gauss(first, last, 1, order)
            parts.append((arc.at(t), np.abs(weights) * np.linalg.norm(arc.velocity(t), axis=1), arc.normal(t)))
        return Quadrature(*(np.concatenate(one) for one in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a box in a region. sides: what comes before names of the box's sides and of the domain's faces in its own."""

    shape: Planar
    sides: str


class RegionGeometry(CellGeometry):
    """Cells that lie in one region each: boxes, and the parts of boxes that interfaces cut. region: ``(m,)`` of the cells."""

    def __init__(self, domain: Domain, base: CellGeometry, regions: Regions) -> None:
        self.base, self.domain, self.partition, self.regions = base, domain, base.partition, regions
        self.low, self.high, self.whole, self.active = (
            base.low.copy(), base.high.copy(), base.whole.copy(), base.active.copy()
        )  # fmt: skip
        low, high = base.partition.cells
        parted = base.partition.parted
        self.smallest = max(base.smallest, (SMALLEST if parted.any() else NARROW) * domain.size)
        own = base.partition.at[base.partition.leaves].astype(np.int64)
        self.region = np.where(parted, own, regions.numbers(0.5 * (low + high)))
        self.parts: dict[int, Part] = {}
        for cell in np.flatnonzero(parted & base.active).tolist():
            box = tuple(low[cell].tolist()), tuple(high[cell].tolist())
            part, area = part_of(planar(domain), regions, int(self.region[cell]), *box), (high - low)[cell].prod()
            if part is None:
                self.active[cell] = False
                continue
            self.whole[cell] = part.shape.measure > (1.0 - SLIVER) * area
            if not self.whole[cell]:
                self.parts[cell], self.low[cell], self.high[cell] = part, part.shape.lower, part.shape.upper

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        every = self.base.faces(periodic)
        same = (self.region[every.first] == self.region[every.second]) | (every.shift != 0.0)
        every = every.taken(same & self.active[every.first] & self.active[every.second])
        if not self.parts:
            return every
        found = [(i, *ends) for i in range(len(every)) for ends in self._shared(every, i)]
        index = np.array([i for i, _, _ in found], dtype=np.int64)
        out = every.taken(index)
        rows = np.arange(len(index))
        out.lower[rows, 1 - out.axis], out.upper[rows, 1 - out.axis] = (np.array([row[k] for row in found]) for k in (1, 2))
        return out

    def _shared(self, faces: CellFaces, i: int) -> list[tuple[float, float]]:
        """The parts of a face that both cells at it have."""
        axis = int(faces.axis[i])
        low, high = float(faces.lower[i, axis - 1]), float(faces.upper[i, axis - 1])
        found = [(low, high)]
        for cell, side in ((int(faces.first[i]), "+"), (int(faces.second[i]), "-")):
            if cell in self.parts:
                name = f"{self.parts[cell].sides}part2.{self.domain.coordinates[axis]}{side}"
                ends = [np.sort(arc.ends[:, 1 - axis]) for arc in self.parts[cell].shape.arcs if arc.name == name]
                found = [(max(a, float(start)), min(b, float(stop))) for a, b in found for start, stop in ends]
        return [(a, b) for a, b in found if b - a > SLIVER * (high - low)]

    @property
    def joints(self) -> Joints:
        """The pieces of interfaces."""
        if self.partition.parted.any():
            return arc_joints(self)
        every = self.base.faces()
        apart = (self.region[every.first] != self.region[every.second]) & (every.shift == 0.0)
        return FlatJoints.of(every.taken(apart), np.array(self.regions.rows)[self.region])

    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        if self.whole[cells].all():
            return on_boxes(self.low[cells], self.high[cells], None, order)
        (cell,) = cells.tolist()
        if cell not in self.parts:
            return self.base.rule(cells, order)
        rule = self.parts[cell].shape.interior(1, order, 0, 0)
        return rule.points[None], rule.weights[None]

    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        cut = np.array([cell in self.parts for cell in cells.tolist()], dtype=bool)
        places = np.flatnonzero(~cut)
        for which, rule in self.base.boundary(cells[places], face, order):
            yield places[which], rule
        for place in np.flatnonzero(cut).tolist():
            part = self.parts[int(cells[place])]
            name = f"{part.sides}part1.{face}"
            if name in part.shape.faces:
                yield np.array([place]), part.shape.face(name, 1, order, 0, 0)


@functools.lru_cache(maxsize=REMEMBERED)
def part_of(domain: Planar, regions: Regions, region: int, low: tuple[float, ...], high: tuple[float, ...]) -> Part | None:
    """The part of a box in a domain that is in a region; None for nothing, or a sliver."""
    shape: Planar | None = piece_of(domain, low, high)
    centre, reach = 0.5 * (np.array(low) + np.array(high))[None], 0.5 * math.dist(low, high)
    sides = ""
    for other, inside in zip(regions.shapes, regions.rows[region], strict=True):
        distance = float(other.distance(centre)[0])
        if shape is None or (abs(distance) > reach and (distance > 0.0) != inside):
            return None
        if abs(distance) <= reach:
            shape = _combined("intersection" if inside else "difference", shape, planar(other))
            sides += "part1."
    if shape is None or shape.measure < SLIVER * math.prod(b - a for a, b in zip(low, high, strict=True)):
        return None
    return Part(shape, sides)


def _combined(kind: str, shape: Planar, other: Planar) -> Planar | None:
    try:
        return Combination(kind, (shape, other), coordinates=shape.coordinates)
    except DomainError:
        return None


def parted(domain: Domain, partition: Partition, regions: Regions) -> Partition:
    """The partition with those cells cut into parts that interfaces cut."""
    low, high = partition.cells
    centres, reach = 0.5 * (low + high), 0.5 * np.linalg.norm(high - low, axis=1)
    near = np.stack([np.abs(shape.distance(centres)) <= reach for shape in regions.shapes]).any(0)
    found = {}
    for cell in np.flatnonzero(near).tolist():
        box = tuple(low[cell].tolist()), tuple(high[cell].tolist())
        every = [k for k in range(len(regions.rows)) if part_of(planar(domain), regions, k, *box) is not None]
        if len(every) > 1:
            found[cell] = every
    return partition.split(found)


def arc_joints(cells: RegionGeometry) -> ArcJoints:
    """The pieces of all interfaces of a plane, each between two cells."""
    domain, regions, size = planar(cells.domain), cells.regions, cells.domain.size
    arcs = [(k, arc) for k, shape in enumerate(regions.shapes) for arc in planar(shape).arcs]
    rows: list[tuple[int, int, int, Arc]] = []
    for k, arc in arcs:
        others = [other for _, other in arcs if other is not arc] + list(domain.arcs)
        at = cuts(arc, others, SAME * size)
        for first, last in itertools.pairwise(at.tolist()):
            middle = np.array([0.5 * (first + last)])
            if domain.distance(arc.at(middle))[0] <= BESIDE * size:
                continue
            sides = [_reached(cells, arc, first, last, sign) for sign in (1.0, -1.0)]
            ends = sorted({end for side in sides for a, b, _ in side for end in (a, b)})
            for a, b in itertools.pairwise(ends):
                if b - a > SLIVER * abs(last - first):
                    outer, inner = (_cell_at(side, 0.5 * (a + b)) for side in sides)
                    if cells.active[outer] and cells.active[inner]:
                        rows.append((k, outer, inner, arc.trimmed(a, b)))
    numbers, every = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3).T, tuple(row[3] for row in rows)
    return ArcJoints(_places(every, SAME * size), numbers[0], numbers[1], numbers[2], every)


def _places(arcs: Sequence[Arc], same: float) -> Integers:
    """The first arcs ``(f,)`` with the same middle."""
    middles = np.array([arc.at(0.5 * sum(arc.span))[0] for arc in arcs]).reshape(-1, 2)
    near = np.linalg.norm(middles[:, None] - middles, axis=2) <= same
    return np.asarray(near.argmax(1), dtype=np.int64)


def _cell_at(side: Sequence[tuple[float, float, int]], t: float) -> int:
    return next(cell for a, b, cell in side if a <= t <= b)


def _reached(cells: RegionGeometry, arc: Arc, first: float, last: float, sign: float) -> list[tuple[float, float, int]]:
    """The intervals of t with the cells beside an arc, on the side of its normal or on the other one."""
    partition, found = cells.partition, []

    def beside(a: float, b: float) -> Array:
        middle = np.array([0.5 * (a + b)])
        return np.asarray(arc.at(middle) + sign * BESIDE * cells.domain.size * arc.normal(middle))

    region = int(cells.regions.numbers(beside(first, last))[0])
    waiting = [(0, min(first, last), max(first, last))]
    while waiting:
        node, a, b = waiting.pop()
        axis, at = int(partition.axis[node]), float(partition.at[node])
        if axis == LEAF:
            found.append((a, b, int(partition.cell_of_node[node])))
            continue
        if axis == REGION:
            waiting.append((int(partition.upper_child[node]) if region >= at else node + 1, a, b))
            continue
        line = Conic((at, 0.0) if axis == 0 else (0.0, at), (0.0, 0.0, 0.0), (1.0, 0.0) if axis == 0 else (0.0, 1.0), 0.0)
        roots = [t for t in np.sort(arc.roots(line)).tolist() if a < t < b]
        for start, stop in itertools.pairwise([a, *roots, b]):
            above = beside(start, stop)[0, axis] >= at
            waiting.append((int(partition.upper_child[node]) if above else node + 1, start, stop))
    return found


def geometry(domain: Domain, partition: Partition, shapes: Collection[Domain] = ()) -> CellGeometry:
    """The cells of a partition of the box around a domain, in the regions into which shapes cut it.

    Raises DomainError for other domains than boxes and planar ones, at rest or in time.
    """
    base = pieces.geometry(domain, partition)
    return RegionGeometry(domain, base, Regions.of(domain, shapes)) if shapes else base
