"""Regions: the parts into which the boundaries of shapes cut a domain."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.arcs import Segment
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.partition import Plate
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array

REGION_SAMPLES = (24, 2, 4096)  # points at which regions are looked for: cells, order, count of `Domain.interior`


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a domain, each by whether the shapes contain it, in ascending order. size: of the domain. only: the number
    that all points have, None where they have that of their region.
    """

    shapes: tuple[Domain, ...]
    rows: tuple[tuple[bool, ...], ...]
    size: float
    only: int | None = None

    @classmethod
    def of(cls, domain: Domain, shapes: Collection[Domain]) -> Self:
        """Those into which shapes cut a domain, found at the points of REGION_SAMPLES."""
        empty = cls(tuple(shapes), (), domain.size)
        inside = empty.inside(domain.interior(*REGION_SAMPLES, 0).points)
        return cls(empty.shapes, tuple(sorted({tuple(row) for row in inside.tolist()})), domain.size)

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Whether the shapes contain points, ``(n, shapes)``.

        What they share with the domain's boundary is theirs: nearer than an interface's two sides are (`places.OFFSET`),
        points count as inside.
        """
        if not self.shapes:
            return np.zeros((len(points), 0), dtype=bool)
        return np.stack([shape.distance(points) > -1e-12 * self.size for shape in self.shapes], axis=1)

    def numbers(self, points: Array) -> NDArray[np.int64]:
        """The regions ``(n,)`` of points ``(n, d)``; 0 for those in regions that are too small for a sample point."""
        if self.only is not None:
            return np.full(len(points), self.only, dtype=np.int64)
        found = self.found(points)
        return np.where(found < 0, 0, found)

    def found(self, points: Array) -> NDArray[np.int64]:
        """The regions ``(n,)`` of points ``(n, d)``; -1 for those in regions that are too small for a sample point."""
        inside = self.inside(points)
        within = np.stack([(inside == region).all(1) for region in self.rows], axis=1)
        return np.where(within.any(1), within.argmax(1), -1)

    def everywhere(self, region: int) -> Regions:
        """The regions, of which one is said to be everywhere."""
        return replace(self, only=region)

    @property
    def plates(self) -> list[Plate]:
        """The parts of the shapes' boundaries that are orthogonal to an axis."""
        return [plate for shape in self.shapes for plate in _plates(shape, SAME * self.size)]

    @property
    def are_aligned(self) -> bool:
        """Whether every shape is bounded by plates alone."""
        return all(
            isinstance(shape, Box) or (isinstance(shape, Planar) and len(_plates(shape, SAME * self.size)) == len(shape.arcs))
            for shape in self.shapes
        )


def _plates(shape: Domain, same: float) -> list[Plate]:
    found = []
    if isinstance(shape, Box):
        for k in range(shape.dimension):
            for at in (shape.lower[k], shape.upper[k]):
                found.append(Plate(k, at, np.array(shape.lower), np.array(shape.upper)))
    elif isinstance(shape, Planar):
        for arc in shape.arcs:
            (low, high), straight = arc.box, isinstance(arc, Segment)
            found += [Plate(k, float(low[k]), low, high) for k in range(2) if straight and high[k] - low[k] <= same]
    return found
