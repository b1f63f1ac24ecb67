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
