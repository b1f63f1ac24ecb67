"""How points are laid in a domain and on its faces: evenly, or evenly in graded coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Quadrature
from pdekan.grading import spread


@dataclass(frozen=True)
class Sampling:
    """How points are laid: `cells` × `order` Gauss points an axis up to three dimensions, else about `count` Sobol points.

    grading: of the coordinates in which they are laid evenly (see `pdekan.grading`); only on boxes.
    """

    cells: int
    order: int
    count: int
    seed: int
    grading: Tensor | None = None

    def inside(self, domain: Domain) -> Quadrature:
        """The points in a domain."""
        return self._graded(domain, domain.interior(self.cells, self.order, self.count, self.seed))

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """The points on one of its faces."""
        return self._graded(domain, domain.face(face, self.cells, self.order, count, seed))

    def _graded(self, domain: Domain, rule: Quadrature) -> Quadrature:
        return rule if self.grading is None else moved(rule, domain.lower, domain.upper, self.grading)


def moved(rule: Quadrature, lower: Sequence[float], upper: Sequence[float], grading: Tensor) -> Quadrature:
    """A rule on the box lower … upper, or on a face of it, as evenly laid in ξ as it was in x, with weights times x'(ξ)."""
    a, b = np.asarray(lower), np.asarray(upper)
    unit = torch.as_tensor(2.0 * (rule.points - a) / (b - a) - 1.0)
    x, slope = (part.numpy() for part in spread(unit, grading.cpu(), 1))
    points = a + 0.5 * (b - a) * (x + 1.0)
    if rule.normals is not None:
        across = rule.normals != 0.0
        points, slope = np.where(across, rule.points, points), np.where(across, 1.0, slope)
    return Quadrature(points, rule.weights * slope.prod(axis=1), rule.normals)
