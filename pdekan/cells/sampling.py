"""Collocation points that lie as the cells do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.partition import Integers
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.domains.region_cells import RegionGeometry
from pdekan.fields.jets import TIME
from pdekan.residuals.collocation import Sampling


@dataclass(frozen=True, eq=False)
class CellSampling(Sampling):
    """Gauss points in every cell and on every cell's part of the boundary, along an axis `more` than the cell's degree."""

    geometry: CellGeometry = field(kw_only=True)
    degrees: Integers = field(kw_only=True)
    more: int = field(kw_only=True)

    @classmethod
    def of(cls, geometry: CellGeometry, degrees: Integers, more: int) -> CellSampling:
        """The points of some cells."""
        return cls(1, 1, 1, 0, geometry=geometry, degrees=degrees, more=more)

    def inside(self, domain: Domain) -> Quadrature:
        """The points in the cells."""
        return self.geometry.quadrature(self.degrees, self.more)

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """Those on a face of the domain, or of a shape that an interface bounds, as dense as cells are on average."""
        if isinstance(self.geometry, RegionGeometry) and domain is not self.geometry.domain:
            cells = math.ceil(self.geometry.partition.count ** (1.0 / self.geometry.partition.dimension))
            return domain.face(face, cells, int(self.degrees.max()) + self.more, count, seed)
        rules = []
        for p in np.unique(self.degrees[self.geometry.active]):
            cells = np.flatnonzero(self.geometry.active & (self.degrees == p))
            rules += [rule for _, rule in self.geometry.boundary(cells, face, int(p) + self.more)]
        return appended(rules)


@dataclass(frozen=True, eq=False)
class Slice:
    """Cells in space at one time, with a weight."""

    time: float
    weight: float
    geometry: CellGeometry
    degrees: Integers


@dataclass(frozen=True, eq=False)
class SliceSampling(Sampling):
    """Points in the cells of slices of time, along an axis `more` than the cells' degree, and on their boundaries.

    start: that of time, where initial conditions hold. column: of time.
    """

    slices: tuple[Slice, ...] = field(kw_only=True)
    start: Slice = field(kw_only=True)
    column: int = field(kw_only=True)
    more: int = field(kw_only=True)

    def inside(self, domain: Domain) -> Quadrature:
        """The points in the cells."""
        return appended([self._at(one, one.geometry.quadrature(one.degrees, self.more)) for one in self.slices])

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """Those on a face of the domain."""
        if face == f"{TIME}-":
            rule = self._at(self.start, self.start.geometry.quadrature(self.start.degrees, self.more))
            normals = np.zeros_like(rule.points)
            normals[:, self.column] = -1.0
            return Quadrature(rule.points, rule.weights, normals)
        rules = []
        for one in self.slices:
            cells = np.flatnonzero(one.geometry.active)
            order = int(one.degrees.max()) + self.more
            rules += [self._at(one, rule) for _, rule in one.geometry.boundary(cells, face, order)]
        return appended(rules)

    def _at(self, one: Slice, rule: Quadrature) -> Quadrature:
        normals = None if rule.normals is None else np.insert(rule.normals, self.column, 0.0, axis=1)
        return Quadrature(np.insert(rule.points, self.column, one.time, axis=1), rule.weights * one.weight, normals)
