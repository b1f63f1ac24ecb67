"""The cells on which a problem is solved, with their degrees, the faces between them and the pieces of interfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pdekan.domains.partition import CellFaces, Integers, Partition
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.region_cells import Joints, RegionGeometry, geometry
from pdekan.networks.cells import CellNetwork
from pdekan.problems.conditions import Periodic
from pdekan.problems.problem import Problem


@dataclass(frozen=True, eq=False)
class Mesh:
    """A partition with the degrees ``(m,)`` of its cells, the faces between them, and the pieces of interfaces."""

    partition: Partition
    degrees: Integers
    faces: CellFaces
    geometry: CellGeometry
    joints: Joints | None = None

    @classmethod
    def of(cls, problem: Problem, partition: Partition, degrees: Integers) -> Mesh:
        """The cells of a problem, those at periodic faces joined."""
        names = [one.coordinate for one in problem.conditions if isinstance(one, Periodic)]
        periodic = [problem.domain.coordinates.index(name) for name in names]
        cells = geometry(problem.domain, partition, problem.interfaces.values())
        joints = cells.joints if isinstance(cells, RegionGeometry) else None
        return cls(partition, degrees, cells.faces(periodic), cells, joints)

    def network(self, outputs: int) -> CellNetwork:
        """The network of the cells, with coefficients zero."""
        out = CellNetwork(self.partition, self.degrees, outputs, (self.geometry.low, self.geometry.high))
        return out.within(self.geometry.regions) if isinstance(self.geometry, RegionGeometry) else out

    @property
    def regions(self) -> Integers:
        """The regions ``(m,)`` of the cells, 0 without interfaces."""
        cells = self.geometry
        return cells.region if isinstance(cells, RegionGeometry) else np.zeros(self.partition.count, dtype=np.int64)

    @property
    def face_degrees(self) -> Integers:
        """The degrees ``(f,)`` of the traces: the larger one of both cells."""
        return np.maximum(self.degrees[self.faces.first], self.degrees[self.faces.second])
