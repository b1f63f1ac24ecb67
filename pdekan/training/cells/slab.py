"""Slabs of time on cells in space: a step's solution, and what is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import Indicators
from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.partition import Partition
from pdekan.domains.pieces import geometry
from pdekan.fields.jets import TIME
from pdekan.networks import legendre
from pdekan.networks.cells import CellNetwork
from pdekan.networks.cells_in_time import CellsInTime
from pdekan.problems.conditions import Periodic
from pdekan.problems.problem import Problem
from pdekan.training.cells.first_guess import marches


def goes_by_slabs(problem: Problem) -> bool:
    """Whether a problem is one of two coordinates in space and time, which conditions at its start and in space determine, and
    which no interfaces cut. Steps know derivatives by time up to the second.
    """
    domain = problem.domain
    if problem.interfaces or domain.dimension != TENSOR_DIMENSIONS or not marches(problem):
        return False
    periodic = any(isinstance(one, Periodic) and one.coordinate == TIME for one in problem.conditions)
    at_end = any(f"{TIME}+" in one.faces(domain) for one in problem.conditions if not isinstance(one, Periodic))
    return not (periodic or at_end) and all(problem.order_along(one, TIME) <= 2 for one in problem.unknowns)


def in_space(domain: Domain, column: int) -> Domain:
    """A domain at one time."""
    if isinstance(domain, Cylinder):
        return domain.base
    keep = [k for k in range(domain.dimension) if k != column]
    lower, upper = (tuple(ends[k] for k in keep) for ends in (domain.lower, domain.upper))
    return Box(tuple(domain.coordinates[k] for k in keep), lower, upper)


@dataclass(frozen=True)
class Ladder:
    """A step of all of time, from a position in [0, 1]; lengths are halves and doubles of each other.

    Positions are multiples of the length, so that equal steps end where time does.
    """

    position: Fraction
    length: Fraction

    def next(self, wished: float) -> Ladder:
        """The step after this one: half, or twice or more times as long, if that is wished."""
        position, length = self.position + self.length, self.length
        if length > wished:
            return Ladder(position, length / 2)
        while 2 * length <= wished and (position / (2 * length)).denominator == 1 and position + 2 * length <= 1:
            length *= 2
        return Ladder(position, length)

    def shortened(self, wished: float, least: int = 1) -> Ladder:
        """A shorter step from the same position, halved at least so many times."""
        length = self.length / 2**least
        while length > wished:
            length /= 2
        return Ladder(self.position, length)


@dataclass(frozen=True, eq=False)
class CellSlab:
    """A step and its solution. found: errors in space; in_time: the error that is due to time."""

    start: float
    end: float
    mesh: Mesh
    network: CellsInTime
    found: Indicators
    in_time: float

    @property
    def error(self) -> float:
        """The indicator of space and time."""
        return float(np.hypot(np.linalg.norm(self.found.cells), self.in_time))

    @property
    def series(self) -> Tensor:
        """Coefficients ``(m, U, q + 1, n)`` of polynomials of time."""
        coefficients = self.network.space.coefficients.detach()
        return coefficients.reshape(self.mesh.partition.count, self.network.outputs, self.network.degree + 1, -1)

    def continued(self, end: float) -> CellSlab:
        """A step after this one, in which the solution stays as it is."""
        series = self.series
        values = legendre.legendre(torch.ones(1, dtype=torch.float64), self.network.degree)[0][0]
        still = torch.zeros_like(series)
        still[:, :, 0] = torch.einsum("j,mujn->mun", values, series)
        network = network_of(self.mesh, still, (self.end, end), self.network.column)
        return replace(self, start=self.end, end=end, network=network)


def network_of(mesh: Mesh, series: Tensor, times: tuple[float, float], column: int) -> CellsInTime:
    """The network with coefficients ``(m, U, q + 1, n)`` of polynomials of time."""
    _, unknowns, degrees, _ = series.shape
    space = CellNetwork(mesh.partition, mesh.degrees, unknowns * degrees, (mesh.geometry.low, mesh.geometry.high))
    with torch.no_grad():
        space.coefficients.copy_(series.reshape(-1))
    return CellsInTime(space, unknowns, *times, column).requires_grad_(False)


@dataclass(frozen=True)
class Accuracy:
    """What is wanted of slabs: the relative indicator; size: the least that it is relative to, by the root of a length."""

    relative: float
    size: float

    def allowed(self, found: Indicators, length: float) -> float:
        """The indicator that a slab may have."""
        return self.relative * max(found.size, self.size * float(np.sqrt(length)))


def space_mesh(problem: Problem, column: int, partition: Partition, degree: int) -> Mesh:
    """The cells of a partition in space, those at periodic faces joined."""
    periodic = [problem.domain.coordinates.index(one.coordinate) for one in problem.conditions if isinstance(one, Periodic)]
    cells = geometry(in_space(problem.domain, column), partition)
    faces = cells.faces([k - (k > column) for k in periodic])
    return Mesh(partition, np.full(partition.count, degree), faces, cells)
