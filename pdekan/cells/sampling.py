"""Collocation points that lie as the cells do."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdekan.domains.base import Domain
from pdekan.domains.cell_rules import cell_rule, face_rule
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Quadrature
from pdekan.residuals.collocation import Sampling


@dataclass(frozen=True, eq=False)
class CellSampling(Sampling):
    """Gauss points in every cell and on every cell's side of the boundary, along an axis `more` than the cell's degree."""

    partition: Partition = field(kw_only=True)
    degrees: Integers = field(kw_only=True)
    more: int = field(kw_only=True)

    @classmethod
    def of(cls, partition: Partition, degrees: Integers, more: int) -> CellSampling:
        """The points of a partition."""
        return cls(1, 1, 1, 0, None, partition=partition, degrees=degrees, more=more)

    def inside(self, domain: Domain) -> Quadrature:
        """The points in the cells."""
        return cell_rule(self.partition, self.degrees, self.more)

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """Those on a face of the box."""
        axis = domain.coordinates.index(face[:-1])
        return face_rule(self.partition, self.degrees, axis, face[-1] == "+", self.more)
