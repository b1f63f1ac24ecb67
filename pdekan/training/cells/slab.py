"""One step in time on cells in space: solved, refined in space, and shortened where it is steep in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.time_slabs import slab
from pdekan.cells import refinement, sources
from pdekan.cells.elimination import UndeterminedError
from pdekan.cells.initial_values import fitted, initial_state, representing, stated
from pdekan.cells.mesh import Mesh
from pdekan.cells.patches import Patch, inside
from pdekan.cells.radau import radau
from pdekan.cells.refinement import Indicators, RefinementRule
from pdekan.cells.stages import Mode, State, Step, StepSystem
from pdekan.cells.symbols import Coefficients
from pdekan.domains.box import Box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.pieces import CellGeometry, geometry
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.networks import legendre
from pdekan.networks.cells import CellNetwork
from pdekan.networks.cells_in_time import CellsInTime
from pdekan.problems.conditions import Periodic
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import unit
from pdekan.training.cells.first_guess import marches
from pdekan.training.clock import Clock, StepEndedError
from pdekan.training.reasons import Reason

SPACE = 2  # coordinates in space
ROUND_OFF = 1e-10  # of slopes, where the solution's are not known: smaller sources are not looked at
SAME = 1e-12  # relative difference of coefficients that are the same at all times


def goes_by_slabs(problem: Problem) -> bool:
    """Whether a problem is one of two coordinates in space and time, which conditions at its start and in space determine."""
    domain = problem.domain
    periodic = any(isinstance(one, Periodic) and one.coordinate == TIME for one in problem.conditions)
    at_end = any(f"{TIME}+" in one.faces(domain) for one in problem.conditions if not isinstance(one, Periodic))
    return domain.dimension == SPACE + 1 and marches(problem) and not (periodic or at_end)


@dataclass(frozen=True)
class SlabRule:
    """How a step is solved.

    stages: of the formula. rounds: the most meshes. newton: the most corrections with one factorisation, and the most of these.
    enough: the relative size of the last correction, relative to the indicator wanted.
    steep: the share of time in the squared error above which a step that is not good enough is shortened, by a factor
    from `halved` to `shortened`. least: of all of time, the length of steps after which one that finds no solution is the last.
    safety, most: of the factor between lengths, which changes where it is above `longer`. joined:
    levels of cuts that are taken back between steps, where at least the share `fewer` of the cells is spared. left: of the
    indicator allowed, what cells may have together that are not cut. looser: factors of the indicator allowed, the first of
    which leads to cells for which there is time. most_begun: cells for sources and initial values; represented: the relative
    error of these in L2, relative to the indicator wanted.
    """

    stages: int = 5
    rounds: int = 6
    newton: tuple[int, int] = (5, 4)
    enough: float = 1e-2
    steep: float = 0.5
    halved: float = 0.3
    least: float = 1e-6
    shortened: float = 0.7
    safety: float = 0.8
    most: float = 3.0
    longer: float = 1.4
    joined: int = 2
    fewer: float = 0.1
    left: float = 0.7
    represented: float = 0.1
    looser: tuple[float, ...] = (1.0, 2.0, 4.0)
    most_begun: int = 1000


@dataclass(frozen=True, eq=False)
class CellSlab:
    """A step and its solution. in_time: the part of the error that is due to time; found has that of space."""

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

    def continued(self, end: float) -> CellSlab:
        """A step after this one, in which the solution stays as it is."""
        series = self.series
        values = legendre.legendre(torch.ones(1, dtype=torch.float64), self.network.degree)[0][0]
        still = torch.zeros_like(series)
        still[:, :, 0] = torch.einsum("j,mujn->mun", values, series)
        network = network_of(self.mesh, still.movedim(2, 1), (self.end, end), self.network.column)
        return replace(self, start=self.end, end=end, network=network)

    @property
    def series(self) -> Tensor:
        """Coefficients ``(m, U, q + 1, n)``."""
        return series_of(self.network)


def network_of(mesh: Mesh, series: Tensor, times: tuple[float, float], column: int) -> CellsInTime:
    """The network with coefficients ``(m, q + 1, U, n)`` of polynomials of time."""
    _, degrees, unknowns, _ = series.shape
    space = CellNetwork(mesh.partition, mesh.degrees, unknowns * degrees, (mesh.geometry.low, mesh.geometry.high))
    with torch.no_grad():
        space.coefficients.copy_(series.transpose(1, 2).reshape(-1))
    return CellsInTime(space, unknowns, *times, column).requires_grad_(False)


def series_of(network: CellsInTime) -> Tensor:
    """Coefficients ``(m, U, q + 1, n)`` of a network whose cells are of one degree."""
    m = network.space.partition.count
    return network.space.coefficients.detach().reshape(m, network.outputs, network.degree + 1, -1)


@dataclass(frozen=True)
class Accuracy:
    """What is wanted of slabs: the relative indicator; size: the least that it is relative to, by the root of a length."""

    relative: float
    size: float

    def allowed(self, found: Indicators, length: float) -> float:
        """The indicator that a slab may have."""
        return self.relative * max(found.size, self.size * float(np.sqrt(length)))


@dataclass(eq=False)
class SlabSolver:
    """Solves steps of a problem.

    column: that of time. shortest: the length at which steps are taken as they are. strict: whether StepEndedError is raised
    where memory is too small for the cells that are needed, instead of taking a step as it is.
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
    rule: SlabRule = SlabRule()
    _factorised: tuple[StepSystem, float, list[Mode]] | None = field(default=None, init=False)
    _unseen: tuple[Mesh, list[list[Patch]]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.formula = radau(self.rule.stages)
        nodes = torch.as_tensor(2.0 * np.concatenate([[0.0], self.formula.nodes]) - 1.0)
        self.values_at_nodes = legendre.legendre(nodes, self.rule.stages)[0]
        self.into_series = torch.linalg.inv(self.values_at_nodes)
        space = self.mesh(self.coarsest)
        begun = inside(self.problem, space, self.column, 2, self.device)[0]
        start = self.problem.domain.lower[self.column]
        self.units = [unit(one.term([start]), self.problem) for one in begun]
        self.system = StepSystem(self.problem, space, self.column, self.formula, self.units, self.device, self.clock.check)
        self.is_constant, self.has_constant_sources = self._constant()

    def _constant(self) -> tuple[bool, bool]:
        """Whether operators, and whether sources, are the same at all times, seen at three of them."""
        times = np.linspace(self.problem.domain.lower[self.column], self.problem.domain.upper[self.column], 4)[1:].tolist()
        m, unknowns, n = self.system.shape
        zero = torch.zeros(m, unknowns, n, dtype=torch.float64)
        operators = [self.system.slopes(time, State(zero, zero)) for time in times] if self.is_affine else []
        targets = [[one.term([time]).target for one, _ in self.system.patches if one.statement.group == "equation"] for time in times]
        constant = all(all(map(_are_same, operators[0], other)) for other in operators[1:]) if operators else False
        return constant, all(_near(a, b) for other in targets[1:] for a, b in zip(targets[0], other, strict=True))

    def mesh(self, partition: Partition) -> Mesh:
        """The cells of a partition in space."""
        problem, k = self.problem, self.column
        periodic = [problem.domain.coordinates.index(one.coordinate) for one in problem.conditions if isinstance(one, Periodic)]
        cells = geometry(in_space(problem.domain, k), partition)
        return Mesh(partition, np.full(partition.count, self.degree), cells.faces([i - (i > k) for i in periodic]), cells)

    def solved(
        self,
        times: tuple[float, float],
        before: CellSlab | None,
        partition: Partition,
        wanted: Accuracy,
        seconds: float = np.inf,
    ) -> tuple[CellSlab | None, bool]:
        """The step and whether it is taken; one that is not is to be shortened. None where Gauss-Newton steps find no solution.

        partition: the first cells. seconds: what the step may take, about; it is taken as it is where more cells or shorter steps would take longer.
        """
        (start, end), until, domain = times, self.clock.spent + seconds, self.problem.domain
        length = end - start
        self._on(partition)
        for _ in range(self.rule.rounds):
            began = self.clock.spent
            one = self._step(start, end, before, wanted)
            if one is None:
                if length <= self.rule.least * (domain.upper[self.column] - domain.lower[self.column]):
                    raise StepEndedError(Reason.DIVERGED)
                return None, False
            left, taken = until - self.clock.spent, max(self.clock.spent - began, 1e-9)
            allowed = wanted.allowed(one.found, length)
            if one.error <= allowed:
                return one, True
            steep = one.in_time**2 > self.rule.steep * one.error**2
            if steep and length > self.shortest and taken / self.rule.shortened < left:
                return one, False
            finer = self._finer(one, allowed, left / taken)
            if finer.count > self.most_cells and self.strict:
                raise StepEndedError(Reason.MEMORY)
            if not one.mesh.partition.count < finer.count <= self.most_cells:
                break
            self._on(finer)
        return one, True

    def begun(self, partition: Partition, length: float, wanted: Accuracy) -> Partition:
        """The first cells of all: those that the initial values and the sources need, seen on dense points."""
        start, most = self.problem.domain.lower[self.column], min(self.rule.most_begun, self.most_cells)
        values = stated(self.problem, self.column, start, self.device)
        goal = self.rule.represented * min(wanted.relative, 1.0)
        mesh = representing(self.problem, self.mesh(partition), self.column, values, goal, most, self.mesh)
        return self.for_sources(mesh.partition, start, length, wanted, 0.0)

    def for_sources(self, partition: Partition, start: float, length: float, wanted: Accuracy, least: float) -> Partition:
        """The cells that the sources of a step need. least: the size of slopes that errors are relative to."""
        most = max(partition.count, min(self.rule.most_begun, self.most_cells))
        least = max(ROUND_OFF, wanted.size * float(np.sqrt(length)), least)
        instant = sources.Instant(self.column, start + 0.5 * length, length)
        goals = (min(wanted.relative, 1.0),)
        return sources.resolving(self.problem, partition, self.degree, goals, most, least=least, instant=instant)

    def next_length(self, one: CellSlab, wanted: Accuracy) -> float:
        """The length of a step that time allows after one, or instead of one that was not taken."""
        rule, length = self.rule, one.end - one.start
        ratio = wanted.allowed(one.found, length) / max(np.sqrt(2.0) * one.in_time, 1e-300)
        return float(max(self.shortest, length * max(rule.halved, rule.safety * ratio ** (1.0 / rule.stages))))

    def next_partition(self, one: CellSlab, wanted: Accuracy) -> Partition:
        """The cells that the next step begins with: those joined whose indicators are far below what is wanted.

        Errors of slopes grow by 2^p where cells become twice as large.
        """
        enough = wanted.allowed(one.found, one.end - one.start) / np.sqrt(len(one.found.cells))
        low, high = self.coarsest.cells
        small = one.found.cells <= enough * 0.5**self.degree
        coarser = one.mesh.partition.coarsened(small, (1.0 + 1e-9) * (high - low).max(axis=0), self.rule.joined)
        spared = one.mesh.partition.count - coarser.count
        return coarser if spared > self.rule.fewer * one.mesh.partition.count else one.mesh.partition

    def _on(self, partition: Partition) -> None:
        """Go over to other cells."""
        if partition is not self.system.mesh.partition:
            mesh = self.mesh(partition)
            self.system = StepSystem(self.problem, mesh, self.column, self.formula, self.units, self.device, self.clock.check)
            self._factorised = None

    def _step(self, start: float, end: float, before: CellSlab | None, wanted: Accuracy) -> CellSlab | None:
        """The solution on the present cells; None where there is none."""
        mesh, length = self.system.mesh, end - start
        state, guess = self._begin(before, start, length)
        enough = max(min(1e-4, self.rule.enough * wanted.relative), 1e-13)
        found = self._stages(state, guess, start, length, enough)
        if found is None:
            return None
        step, modes = found
        nodes = torch.cat([state.value[None], step.values])
        series = torch.einsum("jk,kmun->mujn", self.into_series, nodes)
        network = network_of(mesh, series.transpose(1, 2), (start, end), self.column)
        found, in_time = self._indicators(state, step, series, modes[0], start, length)
        return CellSlab(start, end, mesh, network, found, in_time)

    def _stages(
        self, state: State, guess: Tensor | None, start: float, length: float, enough: float
    ) -> tuple[Step, list[Mode]] | None:
        """The stages and their problems, those of the last step if they will do; None where there is no solution."""
        tries, refactored = self.rule.newton
        for k in range(refactored + 1):
            try:
                modes = self._modes(state, guess, start, length, k > 0 or (self.is_affine and not self.is_constant))
            except UndeterminedError:
                return None
            step = self.system.step(modes, state, start, length, guess, enough, 2 if self.is_affine else tries)
            if self.is_affine or step.correction <= enough:
                return step, modes
            if step.correction < 1.0:
                guess = step.values - state.value
            elif k:
                return None
        return None

    def _begin(self, before: CellSlab | None, start: float, length: float) -> tuple[State, Tensor | None]:
        """The state at the start of a step, and of a nonlinear problem a guess of the stages' increments."""
        mesh, k = self.system.mesh, self.column
        if before is None:
            return initial_state(self.problem, mesh, k, start, self.device), None
        series = before.series
        if before.mesh.partition is not mesh.partition:
            frame = Frame(tuple(f"x{i}" for i in range(mesh.partition.dimension)), Derivatives.VALUE)

            def values(rule: Quadrature) -> Tensor:
                return before.network.space.jet(torch.as_tensor(rule.points).to(self.device), frame).value

            series = fitted(self.problem, mesh, k, values, self.device).reshape(mesh.partition.count, *series.shape[1:3], -1)
        scale = 2.0 / (before.end - before.start)
        one = torch.ones(1, dtype=torch.float64)
        at_end = legendre.legendre(one, self.rule.stages, 1)
        state = State(*(torch.einsum("j,mujn->mun", part[0] * scale**i, series) for i, part in enumerate(at_end)))
        if self.is_affine:
            return state, None
        if scale * length > 2.0 + 1e-9:  # polynomials would grow
            return state, torch.as_tensor(length * self.formula.nodes)[:, None, None, None] * state.slope
        later = torch.as_tensor(1.0 + scale * length * self.formula.nodes)
        ahead = torch.einsum("kj,mujn->kmun", legendre.legendre(later, self.rule.stages)[0], series)
        return state, ahead - state.value

    def _modes(self, state: State, guess: Tensor | None, start: float, length: float, anew: bool) -> list[Mode]:
        """The factorised problems of the present cells, those of the last step of this length unless they are made anew."""
        known = self._factorised
        if known is not None and not anew and known[0] is self.system and abs(known[1] - length) < SAME * length:
            return known[2]
        k = self.rule.stages // 2
        about = state
        if guess is not None:
            slopes = torch.as_tensor(self.formula.slopes[k]) / length
            about = State(state.value + guess[k], torch.einsum("j,jmun->mun", slopes, guess))
        operators = self.system.slopes(start + length * float(self.formula.nodes[k]), about)
        modes = self.system.modes(operators, length)
        self._factorised = self.system, length, modes
        return modes

    def _indicators(
        self, state: State, step: Step, series: Tensor, mode: Mode, start: float, length: float
    ) -> tuple[Indicators, float]:
        """Errors of slopes: in space by residuals at unseen points at stages, in time by the highest coefficients."""
        if self._unseen is None or self._unseen[0] is not self.system.mesh:
            mesh = self.system.mesh
            self._unseen = mesh, inside(self.problem, mesh, self.column, refinement.UNSEEN, self.device)
        formula = self.formula
        stages = [self.rule.stages // 2, self.rule.stages - 1]
        curvature = torch.einsum("ij,jmun->imun", torch.as_tensor(formula.slopes[stages]) / length, step.slopes - state.slope)
        functions = [step.values[stages], step.slopes[stages], curvature]
        times = (start + length * formula.nodes[stages]).tolist()
        squares, lead, weight = step.unmatched.numpy().copy(), mode.lead.numpy(), length / len(stages)
        size, in_time = 0.0, np.zeros(self.rule.stages)
        diameter = self.problem.domain.size
        for patches in self._unseen[1]:
            cells = patches[0].cells
            for patch, one in zip(patches, self.units, strict=True):
                term = patch.term(times)
                jet = patch.jet(term.frame, [part[:, cells] for part in functions])
                residual = term.residual(jet).reshape(len(times), *patch.shape).numpy() / one
                squares[cells] += weight * lead[cells] ** 2 * (patch.weights.numpy() * residual**2).sum((0, 2))
            size += weight * float(self._slopes(patches[0], functions[0][:, cells], diameter).sum())
            in_time += self._slopes(patches[0], series[cells].movedim(2, 0)[1:], diameter)
        return Indicators(np.sqrt(squares), float(np.sqrt(size))), self._left_out(np.sqrt(length * in_time))

    def _left_out(self, sizes: Array) -> float:
        """What is left out in time: the slopes of the highest coefficient, times the factor by which the coefficients fall.

        sizes: of the coefficients of degrees 1 to q. The second smallest factor is taken where the last one is larger: errors in
        space leave coefficients that do not fall.
        """
        factors = sizes[1:] / np.maximum(sizes[:-1], 1e-300)
        factor = min(1.0, float(np.sort(factors)[1]))
        return float(min(sizes[-1], sizes[1] * factor ** (len(sizes) - 2)) * min(1.0, factor))

    def _slopes(self, patch: Patch, functions: Tensor, diameter: float) -> Array:
        """The squared sizes of functions' slopes in some cells, and of their values over the size of the domain."""
        total = np.zeros(len(functions))
        for index in [(), *((k,) for k in range(patch.nodes.shape[2]))]:
            squares = patch.values(index, functions).square()
            total += (patch.weights[..., None] * squares).sum((1, 2, 3)).numpy() / (1.0 if index else diameter**2)
        return total

    def _finer(self, one: CellSlab, allowed: float, times: float) -> Partition:
        """The cells with the largest indicators cut, as many as leave what is allowed with the others.

        times: how many times as many cells there may be; if even the loosest indicator needs more, none is cut.
        """
        partition = one.mesh.partition
        largest = np.argsort(-one.found.cells)
        left = np.sqrt(np.cumsum(one.found.cells[largest[::-1]] ** 2))[::-1]
        rule, blocks = RefinementRule(), one.series.flatten(1, 2)
        low, high = one.mesh.geometry.low, one.mesh.geometry.high
        for factor in self.rule.looser:
            axes = {}
            for cell in largest[left > self.rule.left * factor * allowed].tolist():
                tails = refinement.smoothness(blocks[cell], partition.dimension, self.degree)[1]
                axes[cell] = [k for k in rule.cut(tails).tolist() if high[cell, k] - low[cell, k] > one.mesh.geometry.smallest]
            finer = partition.refined(axes)[0]
            if finer.count <= times * partition.count:
                return finer
        return partition


def in_space(domain: Box | Cylinder, column: int) -> Box:
    """A domain at one time."""
    if isinstance(domain, Cylinder):
        return domain.base
    ends = (tuple(part[:column] + part[column + 1 :]) for part in (domain.coordinates, domain.lower, domain.upper))
    return Box(*ends)


def _are_same(one: Coefficients, other: Coefficients) -> bool:
    """Whether two operators have the same coefficients."""
    return one.keys() == other.keys() and all(_near(one[index], other[index]) for index in one)


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= SAME * one.abs().max())
