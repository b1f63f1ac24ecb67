"""Marches through time on cells: the slabs as far as they go, and how long they took."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from pdekan.cells.sampling import Slice, SliceSampling
from pdekan.domains.partition import Partition
from pdekan.domains.quadrature import gauss
from pdekan.networks.base import Network
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.training.cells.slab import Accuracy, CellSlab, Ladder
from pdekan.training.cells.steps import StepSolver
from pdekan.training.reasons import Reason

POINTS = 2e5  # in space, of all slices together
SLICES = 16  # of time, at which solutions are judged and compared


@dataclass(eq=False)
class Walk:
    """A march on its way: the next step and its first cells, and the slabs so far with the seconds after each of them."""

    start: float
    whole: float
    began: float
    steps: Ladder
    partition: Partition
    accuracy: Accuracy
    slabs: list[CellSlab] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def times(self) -> tuple[float, float]:
        """Of the next step."""
        position, length = self.steps.position, self.steps.length
        return self.start + self.whole * float(position), self.start + self.whole * float(position + length)

    def march(self, reason: Reason, column: int, solver: StepSolver) -> March:
        """The march so far; from where it ends the solution stays as it is."""
        slabs, seconds, end = list(self.slabs), list(self.seconds), self.start + self.whole
        if self.steps.position < 1:
            slabs.append(slabs[-1].continued(end) if slabs else solver.still())
            seconds.append(seconds[-1] if seconds else 0.0)
        return March(tuple(slabs), tuple(seconds), reason, column)


@dataclass(frozen=True, eq=False)
class March:
    """Slabs from the start as far as they go. times: seconds after each of them. reason: TOLERANCE where that is the end."""

    slabs: tuple[CellSlab, ...]
    times: tuple[float, ...]
    reason: Reason
    column: int

    @property
    def seconds(self) -> float:
        """Those for all slabs."""
        return max(self.times, default=0.0)

    @property
    def breaks(self) -> list[float]:
        """The ends of all slabs but the last one, which goes on beyond its end."""
        return [one.end for one in self.slabs[:-1]]

    def share(self, start: float, end: float) -> float:
        """Of the seconds from a time on, what this march took up to another."""
        a, b = np.interp((start, end), (self.slabs[0].start, *self.breaks, self.slabs[-1].end), (0.0, *self.times))
        return float((b - a) / max(self.seconds - a, 1e-300))

    def done(self, reached: float) -> float:
        """The part of its seconds after which this march reached a time."""
        whole = np.interp(reached, (self.slabs[0].start, *self.breaks, self.slabs[-1].end), (0.0, *self.times))
        return float(whole / max(self.seconds, 1e-300))

    @property
    def relative(self) -> float:
        """The indicator of all slabs, relative to the slopes."""
        return math.hypot(*(one.error for one in self.slabs)) / max(self.size, 1e-300)

    @property
    def size(self) -> float:
        """That of the slopes."""
        return math.hypot(*(one.found.size for one in self.slabs))

    @property
    def network(self) -> Network:
        """The function of all slabs."""
        return PiecewiseInTime([one.network for one in self.slabs], self.breaks, self.column)

    def sampling(self, more: int) -> SliceSampling:
        """Points at some times, in the cells that there are then, along an axis `more` than their degree."""
        last, cells = len(self.slabs) - 1, max(one.mesh.partition.count for one in self.slabs)
        points = cells * (int(self.slabs[0].mesh.degrees[0]) + more) ** self.slabs[0].mesh.partition.dimension
        count = min(SLICES, max(2, round(POINTS / points)))
        chosen = [self.slabs[k] for k in sorted({round(k) for k in np.linspace(0, last, count)})]
        whole = (self.slabs[-1].end - self.slabs[0].start) / sum(one.end - one.start for one in chosen)
        slices = []
        for one in chosen:
            times, weights = gauss(one.start, one.end, 1, 2)
            slices += [Slice(t, w * whole, one.mesh.geometry, one.mesh.degrees) for t, w in zip(times, weights, strict=True)]
        first = self.slabs[0]
        start = Slice(first.start, 1.0, first.mesh.geometry, first.mesh.degrees)
        return SliceSampling(1, 1, 1, 0, slices=tuple(slices), start=start, column=self.column, more=more)
