"""Collocation points in a domain and on its faces: evenly, or evenly in graded coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Cells, Quadrature
from pdekan.networks.grading import lengths_per_axis, to_physical
from pdekan.problems.problem import NarrowPlace

GROWTH = 4.0  # of cells from one to the next away from a narrow place
SLIVER = 0.1  # of a narrow place's width: edges nearer to the next are left out


@dataclass(frozen=True)
class Sampling:
    """How points are laid: `cells` × `order` Gauss points an axis up to three dimensions, else about `count` Sobol points.

    grading: of the coordinates in which they are laid evenly (see `networks.grading`), on a box: as many in all, and along
    every axis in proportion to the lengths that fit along it. narrow: places on a box about which cells are as short as the
    places are wide, and four times as long from one to the next, where coordinates are not graded. on_face: points on a face
    that is no box's, at least: functions of the corners of a small hole vary along it.
    """

    cells: int
    order: int
    count: int
    seed: int
    grading: Tensor | None = None
    narrow: tuple[NarrowPlace, ...] = ()
    on_face: int = 0

    def inside(self, domain: Domain) -> Quadrature:
        """The points in a domain."""
        if not isinstance(domain, Box):
            return domain.interior(self.cells, self.order, self.count, self.seed)
        if self.grading is None:
            return domain.interior(self.cells_along(domain), self.order, self.count, self.seed)
        return moved(domain.interior(self._along(), self.order, self.count, self.seed), domain, self.grading)

    def on(self, domain: Domain, face: str, count: int, seed: int) -> Quadrature:
        """The points on one of its faces."""
        if not isinstance(domain, Box):
            rule = domain.face(face, self.cells, self.order, count, seed)
            finer = math.ceil(self.on_face / len(rule.points))
            return rule if finer <= 1 else domain.face(face, finer * self.cells, self.order, count, seed)
        if self.grading is None:
            return domain.face(face, self.cells_along(domain), self.order, count, seed)
        return moved(domain.face(face, self._along(), self.order, count, seed), domain, self.grading)

    def cells_along(self, domain: Domain) -> list[Cells]:
        """Cells along every axis, where coordinates are not graded: equal ones, or those about narrow places."""
        return [self._cells(k, *ends) for k, ends in enumerate(zip(domain.lower, domain.upper, strict=True))]

    def _cells(self, k: int, lower: float, upper: float) -> Cells:
        places = [place for place in self.narrow if place.axis == k and lower < place.position < upper]
        if not places:
            return self.cells
        width = (upper - lower) / self.cells
        edges = [np.linspace(lower, upper, self.cells + 1)]
        for place in places:
            reach = place.width * GROWTH ** np.arange(max(1, math.ceil(math.log(width / place.width, GROWTH))))
            edges.append(place.position + np.concatenate([-reach, [0.0], reach]))
        inner = np.unique(np.concatenate(edges))
        inner = inner[(inner > lower) & (inner < upper)]
        apart = np.diff(np.append(inner, upper)) > SLIVER * min(place.width for place in places)
        return tuple(inner[apart].tolist())

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
