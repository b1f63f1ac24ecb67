"""Collocation points in a domain and on its faces: evenly, or evenly in graded coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Quadrature
from pdekan.networks.grading import lengths_per_axis, to_physical


@dataclass(frozen=True)
class Sampling:
    """How points are laid: `cells` × `order` Gauss points an axis up to three dimensions, else about `count` Sobol points.

    grading: of the coordinates in which they are laid evenly (see `networks.grading`), on a box: as many in all, and along
    every axis in proportion to the lengths that fit along it.
    """

    cells: int
    order: int
    count: int
    seed: int
    grading: Tensor | None = None

    def inside(self, domain: Domain) -> Quadrature:
        """The points in a domain."""
        if self.grading is None or not isinstance(domain, Box):
            return domain.interior(self.cells, self.order, self.count, self.seed)
        return moved(domain.interior(self._along(), self.order, self.count, self.seed), domain, self.grading)

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """The points on one of its faces."""
        if self.grading is None or not isinstance(domain, Box):
            return domain.face(face, self.cells, self.order, count, seed)
        return moved(domain.face(face, self._along(), self.order, count, seed), domain, self.grading)

    def _along(self) -> list[int]:
        """Cells along every axis: in proportion to how many lengths fit along it."""
        assert self.grading is not None
        lengths = lengths_per_axis(self.grading)
        mean = float(lengths.log().mean().exp())
        return [max(1, round(self.cells * float(one) / mean)) for one in lengths]


def moved(rule: Quadrature, domain: Box, grading: Tensor) -> Quadrature:
    """A rule on a box, or on a face of it, moved from ξ to x(ξ), with weights times x'(ξ)."""
    a, b = np.asarray(domain.lower), np.asarray(domain.upper)
    unit = torch.as_tensor(2.0 * (rule.points - a) / (b - a) - 1.0)
    x, slope = (part.numpy() for part in to_physical(unit, grading.cpu(), 1))
    points = a + 0.5 * (b - a) * (x + 1.0)
    if rule.normals is not None:
        across = rule.normals != 0.0
        points, slope = np.where(across, rule.points, points), np.where(across, 1.0, slope)
    return Quadrature(points, rule.weights * slope.prod(axis=1), rule.normals)
