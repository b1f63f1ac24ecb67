"""Cells in a domain that interfaces cut into regions: each lies in one region, and the pieces of interfaces between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdekan.domains import pieces
from pdekan.domains.base import Domain
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.partition import CellFaces, Integers, Partition
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.domains.regions import Regions


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


class RegionGeometry(CellGeometry):
    """Cells that lie in one region each."""

    def __init__(self, domain: Domain, base: CellGeometry, regions: Regions) -> None:
        self.base, self.domain, self.partition, self.regions = base, domain, base.partition, regions
        self.low, self.high, self.whole, self.active = base.low, base.high, base.whole, base.active
        self.smallest = base.smallest
        low, high = base.partition.cells
        self.inside = regions.inside(0.5 * (low + high))

    def faces(self, periodic: Sequence[int] = ()) -> CellFaces:
        every = self.base.faces(periodic)
        return every.taken(~self._apart(every))

    @property
    def joints(self) -> Joints:
        """The pieces of interfaces."""
        every = self.base.faces()
        return FlatJoints.of(every.taken(self._apart(every)), self.inside)

    def rule(self, cells: Integers, order: int) -> tuple[Array, Array]:
        return self.base.rule(cells, order)

    def boundary(self, cells: Integers, face: str, order: int) -> Iterator[tuple[Integers, Quadrature]]:
        return self.base.boundary(cells, face, order)

    def _apart(self, faces: CellFaces) -> NDArray[np.bool_]:
        """Which faces are between cells in different regions; periodic ones are not."""
        return np.asarray((self.inside[faces.first] != self.inside[faces.second]).any(1) & (faces.shift == 0.0))


def geometry(domain: Domain, partition: Partition, shapes: Collection[Domain] = ()) -> CellGeometry:
    """The cells of a partition of the box around a domain, in the regions into which shapes cut it.

    Raises DomainError for other domains than boxes and planar ones, at rest or in time.
    """
    base = pieces.geometry(domain, partition)
    return RegionGeometry(domain, base, Regions.of(domain, shapes)) if shapes else base
