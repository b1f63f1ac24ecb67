"""Steps in time on cells in space: solved, refined in space, and shortened where they are steep in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pdekan.cells import refinement, sources
from pdekan.cells.elimination import UndeterminedError
from pdekan.cells.initial_values import fitted, initial_state, representing, stated
from pdekan.cells.mesh import Mesh
from pdekan.cells.patches import Patch, inside
from pdekan.cells.radau import radau
from pdekan.cells.refinement import Indicators, RefinementRule
from pdekan.cells.stages import Mode, State, Step, StepSystem
from pdekan.cells.step_errors import step_errors
from pdekan.cells.symbols import Coefficients
from pdekan.domains.partition import Partition
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks import legendre
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import unit
from pdekan.training.cells.slab import Accuracy, CellSlab, network_of, space_mesh
from pdekan.training.clock import Clock, StepEndedError
from pdekan.training.reasons import Reason

ROUND_OFF = 1e-10  # of slopes, where the solution's are not known: smaller sources are not looked at
SAME = 1e-12  # relative difference of what is the same at all times


@dataclass(frozen=True)
class StepRule:
    """How a step is solved.

    stages: of the formula. rounds: the most meshes. newton: the most corrections with one factorisation, and the most of these.
    enough: the relative size of the last correction, by the indicator wanted, and the most that it may be. steep: the share of
    time in the squared error above which a step that is not good enough is shortened, if there is time for one that is
    `shorter`. least: of all of time, the length at which a step that has no solution is the last one. safety: of the length of
    the next one. joined: levels of cuts that are taken back between steps, where at least the share `fewer` of the cells is
    spared. left: of the indicator allowed, what cells may have together that are not cut. looser: factors of the indicator
    allowed, the first of which leads to cells for which there is time. most_begun: cells for sources and initial values;
    represented: the relative error of these in L2, by the indicator wanted.
    """

    stages: int = 5
    rounds: int = 6
    newton: tuple[int, int] = (5, 4)
    enough: tuple[float, float] = (1e-2, 1e-4)
    steep: float = 0.5
    shorter: float = 0.7
    least: float = 1e-6
    safety: float = 0.8
    joined: int = 2
    fewer: float = 0.1
    left: float = 0.7
    looser: tuple[float, ...] = (1.0, 2.0, 4.0)
    most_begun: int = 1000
    represented: float = 0.1


@dataclass(eq=False)
class StepSolver:
    """Solves steps of a problem; cells and factorised problems are kept for steps of the same length.

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
    rule: StepRule = StepRule()
    _factorised: tuple[StepSystem, float, list[Mode]] | None = field(default=None, init=False)
    _unseen: tuple[Mesh, list[list[Patch]]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.formula = radau(self.rule.stages)
        nodes = torch.as_tensor(2.0 * np.concatenate([[0.0], self.formula.nodes]) - 1.0)
        self.into_series = torch.linalg.inv(legendre.legendre(nodes, self.rule.stages)[0])
        domain, k = self.problem.domain, self.column
        self.whole, space = domain.upper[k] - domain.lower[k], self.mesh(self.coarsest)
        begun = inside(self.problem, space, k, 2, self.device)[0]
        self.units = [unit(one.term([domain.lower[k]]), self.problem) for one in begun]
        self.system = self._system(space)
        self.is_constant, self.has_constant_sources = _constant(self.system, self.is_affine)

    def mesh(self, partition: Partition) -> Mesh:
        """The cells of a partition in space."""
        return space_mesh(self.problem, self.column, partition, self.degree)

    def solved(
        self,
        times: tuple[float, float],
        before: CellSlab | None,
        partition: Partition,
        wanted: Accuracy,
        seconds: float = np.inf,
    ) -> tuple[CellSlab | None, bool]:
        """The step and whether it is taken; one that is not is to be shortened. None where there is no solution.

        partition: the first cells. seconds: what the step may take, about; it is taken as it is where more cells or shorter
        steps would take longer. Raises StepEndedError where no step however short has a solution.
        """
        (start, end), until = times, self.clock.spent + seconds
        length = end - start
        self._on(partition)
        for _ in range(self.rule.rounds):
            began = self.clock.spent
            one = self._step(start, end, before, wanted)
            if one is None:
                if length <= self.rule.least * self.whole:
                    raise StepEndedError(Reason.DIVERGED)
                return None, False
            left, taken = until - self.clock.spent, max(self.clock.spent - began, 1e-9)
            allowed = wanted.allowed(one.found, length)
            if one.error <= allowed:
                break
            steep = one.in_time**2 > self.rule.steep * one.error**2
            if steep and length > self.shortest and taken / self.rule.shorter < left:
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

    def still(self) -> CellSlab:
        """The initial values, for all of time."""
        start, (m, unknowns, n) = self.problem.domain.lower[self.column], self.system.shape
        series = torch.zeros(m, unknowns, self.rule.stages + 1, n, dtype=torch.float64)
        series[:, :, 0] = initial_state(self.problem, self.system.mesh, self.column, start, self.device).value
        times = start, start + self.whole
        found = Indicators(np.full(m, np.inf), 0.0)
        return CellSlab(*times, self.system.mesh, network_of(self.system.mesh, series, times, self.column), found, np.inf)

    def for_sources(self, partition: Partition, start: float, length: float, wanted: Accuracy, least: float) -> Partition:
        """The cells that the sources of a step need. least: the size of slopes that errors are relative to."""
        most = max(partition.count, min(self.rule.most_begun, self.most_cells))
        least = max(ROUND_OFF, wanted.size * float(np.sqrt(length)), least)
        instant, goals = sources.Instant(self.column, start + 0.5 * length, length), (min(wanted.relative, 1.0),)
        return sources.resolving(self.problem, partition, self.degree, goals, most, least=least, instant=instant)

    def next_length(self, one: CellSlab, wanted: Accuracy) -> float:
        """The length of a step that time allows after one, or instead of one that was not taken."""
        length = one.end - one.start
        ratio = wanted.allowed(one.found, length) / max(np.sqrt(2.0) * one.in_time, 1e-300)
        return float(max(self.shortest, length * self.rule.safety * ratio ** (1.0 / self.rule.stages)))

    def next_partition(self, one: CellSlab, wanted: Accuracy) -> Partition:
        """The cells that the next step begins with: those joined whose indicators are far below what is wanted.

        Errors of slopes grow by 2^p where cells become twice as large.
        """
        partition = one.mesh.partition
        enough = wanted.allowed(one.found, one.end - one.start) / np.sqrt(partition.count)
        low, high = self.coarsest.cells
        small = one.found.cells <= enough * 0.5**self.degree
        coarser = partition.coarsened(small, (1.0 + 1e-9) * (high - low).max(axis=0), self.rule.joined)
        return coarser if partition.count - coarser.count > self.rule.fewer * partition.count else partition

    def _system(self, mesh: Mesh) -> StepSystem:
        return StepSystem(self.problem, mesh, self.column, self.formula, self.units, self.device, self.clock.check)

    def _on(self, partition: Partition) -> None:
        """Go over to other cells."""
        if partition is not self.system.mesh.partition:
            self.system, self._factorised = self._system(self.mesh(partition)), None

    def _step(self, start: float, end: float, before: CellSlab | None, wanted: Accuracy) -> CellSlab | None:
        """The solution on the present cells; None where there is none."""
        system, length = self.system, end - start
        state, guess = self._begin(before, start, length)
        by_wanted, most = self.rule.enough
        solved = self._stages(state, guess, start, length, max(min(most, by_wanted * wanted.relative), 1e-13))
        if solved is None:
            return None
        step, modes = solved
        series = torch.einsum("jk,kmun->mujn", self.into_series, torch.cat([state.value[None], step.values]))
        if self._unseen is None or self._unseen[0] is not system.mesh:
            self._unseen = system.mesh, inside(self.problem, system.mesh, self.column, refinement.UNSEEN, self.device)
        found, in_time = step_errors(system, self._unseen[1], modes[0], state, step, series, start, length)
        return CellSlab(start, end, system.mesh, network_of(system.mesh, series, (start, end), self.column), found, in_time)

    def _stages(
        self, state: State, guess: Tensor | None, start: float, length: float, enough: float
    ) -> tuple[Step, list[Mode]] | None:
        """The stages and their problems, those of the last step if they will do; None where there is no solution."""
        tries, factorisations = self.rule.newton
        for k in range(factorisations + 1):
            try:
                modes = self._modes(state, guess, start, length, k > 0 or (self.is_affine and not self.is_constant))
            except UndeterminedError:
                if self.is_affine:
                    raise
                return None
            step = self.system.step(modes, state, start, length, guess, enough, tries)
            if self.is_affine or step.correction <= enough:
                return step, modes
            if step.correction < 1.0:
                guess = step.values - state.value
            elif k:
                return None
        return None

    def _begin(self, before: CellSlab | None, start: float, length: float) -> tuple[State, Tensor | None]:
        """The state at the start of a step, and of a nonlinear problem a guess of the stages' increments."""
        mesh = self.system.mesh
        if before is None:
            return initial_state(self.problem, mesh, self.column, start, self.device), None
        series, scale = before.series, 2.0 / (before.end - before.start)
        if before.mesh.partition is not mesh.partition:
            series = self._projected(before, mesh).reshape(mesh.partition.count, *series.shape[1:3], -1)
        at_end = legendre.legendre(torch.ones(1, dtype=torch.float64), self.rule.stages, 1)
        state = State(*(torch.einsum("j,mujn->mun", part[0] * scale**i, series) for i, part in enumerate(at_end)))
        if self.is_affine:
            return state, None
        nodes = torch.as_tensor(length * self.formula.nodes)
        if length > (1.0 + SAME) * (before.end - before.start):  # polynomials would grow
            return state, nodes[:, None, None, None] * state.slope
        ahead = torch.einsum("kj,mujn->kmun", legendre.legendre(1.0 + scale * nodes, self.rule.stages)[0], series)
        return state, ahead - state.value

    def _projected(self, before: CellSlab, mesh: Mesh) -> Tensor:
        """The coefficients of a step on other cells."""
        frame = Frame(tuple(f"x{k}" for k in range(mesh.partition.dimension)), Derivatives.VALUE)

        def values(rule: Quadrature) -> Tensor:
            return before.network.space.jet(torch.as_tensor(rule.points).to(self.device), frame).value

        return fitted(self.problem, mesh, self.column, values, self.device)

    def _modes(self, state: State, guess: Tensor | None, start: float, length: float, anew: bool) -> list[Mode]:
        """The factorised problems of the present cells, those of the last step of this length unless they are made anew."""
        known = self._factorised
        if known is not None and not anew and abs(known[1] - length) < SAME * length:
            return known[2]
        k, about = self.rule.stages // 2, state
        if guess is not None:
            slopes = torch.as_tensor(self.formula.slopes[k]) / length
            about = State(state.value + guess[k], torch.einsum("j,jmun->mun", slopes, guess))
        self._factorised = None  # there may be no room for two
        modes = self.system.modes(self.system.slopes(start + length * float(self.formula.nodes[k]), about), length)
        self._factorised = self.system, length, modes
        return modes

    def _finer(self, one: CellSlab, allowed: float, times: float) -> Partition:
        """The cells with the largest indicators cut, as many as leave what is allowed with the others.

        times: how many times as many cells there may be; if even the loosest indicator needs more, none is cut.
        """
        mesh, rule, blocks = one.mesh, RefinementRule(), one.series.flatten(1, 2)
        largest = np.argsort(-one.found.cells)
        left = np.sqrt(np.cumsum(one.found.cells[largest[::-1]] ** 2))[::-1]
        wide = mesh.geometry.high - mesh.geometry.low > mesh.geometry.smallest
        for factor in self.rule.looser:
            axes = {}
            for cell in largest[left > self.rule.left * factor * allowed].tolist():
                tails = refinement.smoothness(blocks[cell], mesh.partition.dimension, self.degree)[1]
                axes[cell] = [k for k in rule.cut(tails).tolist() if wide[cell, k]]
            finer = mesh.partition.refined(axes)[0]
            if finer.count <= times * mesh.partition.count:
                return finer
        return mesh.partition


def _constant(system: StepSystem, is_affine: bool) -> tuple[bool, bool]:
    """Whether operators, and whether sources, are the same at all times, seen at three of them."""
    domain = system.problem.domain
    times = np.linspace(domain.lower[system.column], domain.upper[system.column], 4)[1:].tolist()
    zero = torch.zeros(system.shape, dtype=torch.float64)
    operators = [system.slopes(time, State(zero, zero)) for time in times] if is_affine else []
    equations = [one for patches in system.equations for one in patches]
    targets = [[one.term([time]).target for one in equations] for time in times]
    constant = bool(operators) and all(_same(operators[0], other) for other in operators[1:])
    return constant, all(_near(a, b) for other in targets[1:] for a, b in zip(targets[0], other, strict=True))


def _same(ones: Sequence[Coefficients], others: Sequence[Coefficients]) -> bool:
    """Whether operators have the same coefficients."""
    pairs = zip(ones, others, strict=True)
    return all(a.keys() == b.keys() and all(_near(a[index], b[index]) for index in a) for a, b in pairs)


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= SAME * one.abs().max())
