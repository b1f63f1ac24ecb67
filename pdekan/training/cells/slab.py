"""One slab of time on cells that span it: solved, refined in space, and shortened where it is steep in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.time_slabs import slab
from pdekan.cells import refinement, sources, system
from pdekan.cells.elimination import Memory
from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import Indicators, RefinementRule
from pdekan.cells.sampling import CellSampling
from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.domains.partition import Partition
from pdekan.fields.jets import TIME, Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.problems.conditions import Periodic
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Residuals, Validation
from pdekan.training.cells.first_guess import marches
from pdekan.training.clock import Clock, StepEndedError
from pdekan.training.reasons import Reason

ROUND_OFF = 1e-10  # of slopes, where the solution's are not known: smaller sources are not looked at


def goes_by_slabs(problem: Problem) -> bool:
    """Whether a problem is one of two coordinates in space and time, which conditions at its start and in space determine."""
    domain = problem.domain
    periodic = any(isinstance(one, Periodic) and one.coordinate == TIME for one in problem.conditions)
    at_end = any(f"{TIME}+" in one.faces(domain) for one in problem.conditions if not isinstance(one, Periodic))
    return domain.dimension == TENSOR_DIMENSIONS and marches(problem) and not (periodic or at_end)


@dataclass(frozen=True)
class SlabRule:
    """How a slab is solved.

    rounds: the most meshes. newton: the most Gauss-Newton steps on a mesh, which end where the indicator falls by less than a
    tenth. steep: the shares of time in the squared error above which a slab that is not good enough is shortened, by a factor
    from `shortened` to `halved`: where time alone makes it too large, and elsewhere. safety, most: of the factor between the
    lengths of slabs. joined: levels of cuts that are taken back between slabs. left: of the indicator allowed, what cells may
    have together that are not cut. looser: factors of the indicator allowed, the first of which leads to cells for which there
    is time. most_begun: cells for the sources.
    """

    rounds: int = 5
    newton: int = 8
    steep: tuple[float, float] = (0.2, 0.5)
    halved: float = 0.5
    shortened: float = 0.7
    safety: float = 0.9
    most: float = 2.0
    joined: int = 2
    left: float = 0.7
    looser: tuple[float, ...] = (1.0, 2.0, 4.0)
    most_begun: int = 400


@dataclass(frozen=True, eq=False)
class CellSlab:
    """A slab, its mesh and its solution. in_time: how much of the indicator is due to time."""

    problem: Problem
    mesh: Mesh
    network: CellNetwork
    found: Indicators
    in_time: float

    @property
    def error(self) -> float:
        """The indicator of all cells."""
        return float(np.linalg.norm(self.found.cells))

    def residuals(self, device: torch.device) -> Residuals:
        """Those on points that the rows do not use."""
        rule = CellSampling.of(self.mesh.geometry, self.mesh.degrees, refinement.UNSEEN)
        return Validation.of(self.problem, rule, device).residuals(self.network)


@dataclass(frozen=True)
class Accuracy:
    """What is wanted of slabs: the relative indicator; size: the least that it is relative to, by the root of a length."""

    relative: float
    size: float

    def allowed(self, found: Indicators, length: float) -> float:
        """The indicator that a slab may have."""
        return self.relative * max(found.size, self.size * float(np.sqrt(length)))


@dataclass(frozen=True, eq=False)
class SlabSolver:
    """Solves slabs of a problem.

    column: that of time. shortest: the length at which slabs are taken as they are. strict: whether StepEndedError is raised
    where memory is too small for the cells that are needed, instead of taking a slab as it is.
    """

    problem: Problem
    column: int
    degree: int
    shortest: float
    coarsest: Partition
    is_affine: bool
    device: torch.device
    clock: Clock
    most_cells: int
    strict: bool = False
    memory: Callable[[], Memory] = Memory
    rule: SlabRule = SlabRule()

    def solved(
        self,
        times: tuple[float, float],
        before: CellSlab | None,
        partition: Partition,
        wanted: Accuracy,
        seconds: float = np.inf,
    ) -> tuple[CellSlab, bool]:
        """The slab and whether it is taken; one that is not is to be shortened. partition: the first cells in space.

        seconds: what the slab may take, about; it is taken as it is where more cells or shorter slabs would take longer.
        """
        (start, end), memory, until = times, self.memory(), self.clock.spent + seconds
        length = end - start
        last = None if before is None else before.network
        part = slab(self.problem, times, 0, last, self.problem.training.seconds)
        mesh = Mesh.of(part, partition_at(partition, self.column, start, end), np.full(partition.count, self.degree))
        for _ in range(self.rule.rounds):
            began = self.clock.spent
            one = self._newton(part, mesh, last, start, memory)
            left, taken = until - self.clock.spent, max(self.clock.spent - began, 1e-9)
            allowed = wanted.allowed(one.found, length)
            if one.error <= allowed:
                return one, True
            if not np.isfinite(one.error):
                return one, length <= self.shortest
            share, (some, much) = one.in_time**2, self.rule.steep
            steep = share > (some if one.in_time * one.error > allowed else much)
            if steep and length > self.shortest and taken / self.rule.shortened < left:
                return one, False
            finer = self._finer(one, allowed, left / taken)
            if finer.partition.count > self.most_cells and self.strict:
                raise StepEndedError(Reason.MEMORY)
            if not mesh.partition.count < finer.partition.count <= self.most_cells:
                break
            mesh = finer
            if 2 * mesh.partition.count > self.most_cells:
                memory = self.memory()  # there is no room for two of them
        return one, True

    def begun(
        self, start: float, end: float, before: CellSlab | None, partition: Partition, wanted: Accuracy
    ) -> Partition | None:
        """The first cells of a slab: those that its sources need, seen on dense points; None where it is too long for them."""
        goal, short = wanted.relative, end - start <= self.shortest
        least = max(ROUND_OFF, wanted.size * float(np.sqrt(end - start)), 0.0 if before is None else before.found.size)
        part = slab(self.problem, (start, end), 0, None, self.problem.training.seconds)
        here, most = partition_at(partition, self.column, start, end), min(self.rule.most_begun, self.most_cells)
        rule = RefinementRule(axes=self.space)
        finer = sources.resolving(part, here, self.degree, (goal,), max(most, here.count), rule, least)
        return finer if short or sources.is_resolved(part, finer, self.degree, goal, self.column, least) else None

    @property
    def space(self) -> tuple[int, ...]:
        """The columns of the other coordinates."""
        return tuple(k for k in range(self.problem.domain.dimension) if k != self.column)

    def next_length(self, one: CellSlab, wanted: Accuracy, taken: bool) -> float:
        """The length of a slab after one that was taken, or instead of one that was not."""
        k, rule = self.column, self.rule
        length = one.problem.domain.upper[k] - one.problem.domain.lower[k]
        if not np.isfinite(one.error):
            return max(self.shortest, rule.halved * length)
        ratio = wanted.allowed(one.found, length) / max(one.error * one.in_time, 1e-300)
        factor = rule.safety * ratio ** (1.0 / (self.degree - 1))
        low, high = (rule.safety, rule.most) if taken else (rule.halved, rule.shortened)
        return float(max(self.shortest, length * min(high, max(low, factor))))

    def next_partition(self, one: CellSlab, wanted: Accuracy) -> Partition:
        """The cells in space that the next slab begins with: those joined whose indicators are far below what is wanted.

        Errors of slopes grow by 2^p where cells become twice as large.
        """
        length = one.problem.domain.upper[self.column] - one.problem.domain.lower[self.column]
        enough = wanted.allowed(one.found, length) / np.sqrt(len(one.found.cells))
        low, high = self.coarsest.cells
        most = (1.0 + 1e-9) * (high - low).max(axis=0)
        most[self.column] = np.inf
        small = one.found.cells <= enough * 0.5**self.degree
        return one.mesh.partition.coarsened(small, most, self.rule.joined)

    def _newton(self, part: Problem, mesh: Mesh, last: Network | None, start: float, memory: Memory) -> CellSlab:
        """The solution on a mesh; of a nonlinear problem from the end of the slab before."""
        unknowns = len(part.unknowns)
        state: Network | None = None
        if not self.is_affine and last is not None:
            state = system.projected(AtTime(last, self.column, start), mesh, unknowns)
        previous = np.inf
        for _ in range(1 if self.is_affine else self.rule.newton):
            one = system.solved(part, mesh, state, self.device, self.clock.check, memory if self.is_affine else self.memory())
            found = refinement.indicators(part, mesh, one, self.device)
            state = one.network
            if not found.relative < 0.9 * previous:
                break
            previous = found.relative
        return CellSlab(part, mesh, one.network.requires_grad_(False), found, self._in_time(mesh, one.network, found))

    def _in_time(self, mesh: Mesh, network: CellNetwork, found: Indicators) -> float:
        """The share of the indicator by the highest coefficients along time, which those along the other axes add up to one."""
        d, total = mesh.partition.dimension, 0.0
        for block, degree, error in zip(network.blocks(), mesh.degrees.tolist(), found.cells.tolist(), strict=True):
            tails = refinement.smoothness(block.detach(), d, degree)[1] if error > 0.0 else np.zeros(d)
            total += float(error**2 * tails[self.column] ** 2 / max((tails**2).sum(), 1e-300))
        return float(np.sqrt(total)) / max(float(np.linalg.norm(found.cells)), 1e-300)

    def _finer(self, one: CellSlab, allowed: float, times: float) -> Mesh:
        """The cells with the largest indicators cut in space, as many as leave what is allowed with the others.

        times: how many times as many cells there may be; if even the loosest indicator needs more, none is cut.
        """
        largest = np.argsort(-one.found.cells)
        left = np.sqrt(np.cumsum(one.found.cells[largest[::-1]] ** 2))[::-1]
        rule = RefinementRule(share=0.0, most=self.degree, axes=self.space)
        for factor in self.rule.looser:
            chosen = np.zeros_like(one.found.cells)
            worst = largest[left > self.rule.left * factor * allowed]
            chosen[worst] = one.found.cells[worst]
            finer = refinement.refined(one.problem, one.mesh, one.network, replace(one.found, cells=chosen), 0.0, rule)
            if finer.partition.count <= times * one.mesh.partition.count:
                return finer
        return one.mesh


def partition_at(partition: Partition, column: int, start: float, end: float) -> Partition:
    """The cells in space over another interval of time."""
    lower, upper = list(partition.lower), list(partition.upper)
    lower[column], upper[column] = start, end
    return replace(partition, lower=tuple(lower), upper=tuple(upper))


class AtTime(Network):
    """A network's function at one time, for all times."""

    def __init__(self, network: Network, column: int, time: float) -> None:
        super().__init__()
        self.network, self.column, self.time = network, column, time
        self.inputs, self.outputs = network.inputs, network.outputs

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        there = points.clone()
        there[:, self.column] = self.time
        return self.network.jet(there, frame)
