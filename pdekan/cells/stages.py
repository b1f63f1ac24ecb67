"""Steps in time on cells in space: the stages of a Radau formula, by least squares for each of its rates.

The stages' increments W = U - u(t_0) have slopes A^-1 W / h. In the coordinates V^-1 W the equations fall into one problem of
least squares in space for each rate λ of the formula, in which ∂/∂t is multiplication by λ/h; its rows and their weights are
those of `rows`. Gauss-Newton steps take the derivative of all stages at one of them, so that it falls apart too (simplified
Newton: Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.8). Of second derivatives by time, the slopes
are taken as unknowns with the same formula, so that they are multiplied by (λ/h)².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from pdekan.cells import system
from pdekan.cells.elimination import Front
from pdekan.cells.factorisation import Triangle
from pdekan.cells.mesh import Mesh
from pdekan.cells.patches import Patch, inside, on_boundary
from pdekan.cells.radau import Radau
from pdekan.cells.rows import MORE_POINTS, CellRows
from pdekan.cells.symbols import Coefficients, in_space, sizes
from pdekan.networks import legendre
from pdekan.problems.problem import Problem


@dataclass(frozen=True, eq=False)
class State:
    """A function at one time: coefficients ``(m, U, n)`` of it and of its derivative by time."""

    value: Tensor
    slope: Tensor


@dataclass(frozen=True, eq=False)
class Weighted:
    """The operator of a patch in space, and the weights ``(m, g)`` of its rows and residuals."""

    symbol: Coefficients
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Mode:
    """The least-squares problem in space of one rate.

    weighted: rows by patch. coupling: the rows between cells and faces, sparse. lead: ``(m,)``, see `rows.CellRows`.
    """

    weighted: list[Weighted]
    coupling: scipy.sparse.csr_matrix
    triangle: Triangle
    lead: Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """The stages of a step: coefficients ``(s, m, U, n)`` of values and slopes.

    unmatched: ``(m,)`` squares of the weighted residuals of conditions and jumps. correction: the relative size of the last
    one, nan where the stages are not finite.
    """

    values: Tensor
    slopes: Tensor
    unmatched: Tensor
    correction: float


@dataclass(frozen=True, eq=False)
class StepSystem:
    """Steps of a problem on a mesh in space.

    mesh: the cells in space, of one degree. column: that of time. units: of the equations' residuals.
    """

    problem: Problem
    mesh: Mesh
    column: int
    formula: Radau
    units: Sequence[float]
    device: torch.device
    check_time: Callable[[], None] = lambda: None
    equations: list[list[Patch]] = field(init=False)
    conditions: list[Patch] = field(init=False)

    def __post_init__(self) -> None:
        parts = self.problem, self.mesh, self.column, MORE_POINTS, self.device
        object.__setattr__(self, "equations", inside(*parts))
        object.__setattr__(self, "conditions", on_boundary(*parts))

    @property
    def patches(self) -> list[tuple[Patch, float]]:
        """All patches, with the factors of their residuals."""
        own = [(one, 1.0 / unit) for group in self.equations for one, unit in zip(group, self.units, strict=True)]
        return own + [(one, 1.0) for one in self.conditions]

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of a function's coefficients."""
        n = legendre.count(self.mesh.partition.dimension, int(self.mesh.degrees[0]))
        return self.mesh.partition.count, len(self.problem.unknowns), n

    @torch.no_grad()
    def slopes(self, time: float, state: State, curvature: Tensor | None = None) -> list[Coefficients]:
        """The operators of all patches, linearised about a function."""
        series = [state.value[None], state.slope[None], (state.slope if curvature is None else curvature)[None]]
        return [one.slopes(time, [part[:, one.cells] for part in series]) for one, _ in self.patches]

    @torch.no_grad()
    def modes(self, operators: Sequence[Coefficients], length: float) -> list[Mode]:
        """The factorised problems of all rates, for steps of a length."""
        return [self._mode(operators, complex(rate) / length) for rate in self.formula.rates]

    def _mode(self, operators: Sequence[Coefficients], rate: complex) -> Mode:
        symbols = [in_space(one, self.column, rate) for one in operators]
        groups, weighted, own = [], [], iter(symbols)
        m, unknowns, n = self.shape
        dtype = torch.complex128 if rate.imag else torch.float64
        empty = torch.as_tensor(~self.mesh.geometry.active).to(dtype)
        normal = torch.diag_embed(empty[:, None].expand(m, unknowns * n)).contiguous()
        for patches in self.equations:
            group, blocks = self._equation_rows(patches, [next(own) for _ in patches], normal)
            groups.append(group)
            weighted += blocks
        by_cell = {int(cell): (group, i) for group in groups for i, cell in enumerate(group.cells)}
        for patch in self.conditions:
            weighted.append(self._on_condition(patch, next(own), by_cell, normal))
        names = [name for k, name in enumerate(self.problem.domain.coordinates) if k != self.column]
        matched = system.matched(self.problem, names, torch.stack([group.second for group in groups]).any(0))
        couplings = system.couplings_of(self.mesh, groups, matched, None)
        columns = [unknowns * n] * m + system.sizes_of_faces(self.mesh, matched)
        leaves = self._leaves(normal, couplings)
        triangle = Triangle.of(system.children_of(self.mesh.partition), leaves, columns, self.check_time)
        lead = torch.ones(m, dtype=torch.float64)
        for group in groups:
            lead[torch.as_tensor(group.cells)] = group.lead.cpu()
        return Mode(weighted, _sparse(couplings, columns, m), triangle, lead)

    def _leaves(self, normal: Tensor, couplings: system.Couplings) -> dict[int, Front]:
        """The normal equations of every cell and its faces, by node: those of rows C u - λ have -C beside the identity."""
        m, width, out = len(normal), normal.shape[1], {}
        for cell, (own, equations) in enumerate(zip(couplings, normal, strict=True)):
            blocks = (cell, *(m + one.face for one in own))
            rows = torch.cat([one.rows for one in own]) if own else equations.real.new_zeros(0, width)
            gram = torch.eye(width + len(rows), dtype=normal.dtype)
            gram[:width, :width] = equations + rows.T @ rows
            gram[:width, width:], gram[width:, :width] = -rows.T, -rows
            out[int(self.mesh.partition.leaves[cell])] = Front(blocks, gram)
        return out

    def _equation_rows(
        self, patches: list[Patch], symbols: list[Coefficients], normal: Tensor
    ) -> tuple[CellRows, list[Weighted]]:
        """The weights of the equations in some cells, as in `rows.cell_rows`; normal equations are added to those of cells."""
        (m, g), first = patches[0].shape, patches[0]
        sides = 2.0 / first.scale
        root = first.weights.sqrt()
        squares = torch.zeros(m, self.shape[1], dtype=torch.float64, device=self.device)
        second = torch.zeros(self.shape[1], sides.shape[1], dtype=torch.bool)
        for symbol, unit in zip(symbols, self.units, strict=True):
            squares += sizes(symbol, sides.repeat_interleave(g, 0)).reshape(m, g, -1).mean(1) / unit**2
            for index, part in symbol.items():
                if len(index) == 2:
                    second[:, list(index)] |= (part != 0.0).any(0).cpu()[:, None]
        lead = 1.0 / (squares.amax(1).sqrt() * sides.amin(1)).clamp_min(1e-300)
        weighted = [Weighted(symbol, root * lead[:, None] / unit) for symbol, unit in zip(symbols, self.units, strict=True)]
        for patch, one in zip(patches, weighted, strict=True):
            _add_normal(normal, patch, one)
        return CellRows(first.cells, root, {}, lead, squares.sqrt(), second), weighted

    def _on_condition(
        self, patch: Patch, symbol: Coefficients, by_cell: dict[int, tuple[CellRows, int]], normal: Tensor
    ) -> Weighted:
        """The weights of a condition, as in `rows.cell_rows`; normal equations are added to those of cells."""
        (m, g), sides = patch.shape, 2.0 / patch.scale
        squares = torch.stack([by_cell[cell][0].sizes[by_cell[cell][1]].square() for cell in patch.cells.tolist()])
        lead = torch.stack([by_cell[cell][0].lead[by_cell[cell][1]] for cell in patch.cells.tolist()])
        own = sizes(symbol, sides.repeat_interleave(g, 0)).reshape(m, g, -1).mean(1)
        factor = (squares * own).sum(1).sqrt() / own.sum(1).clamp_min(1e-300)
        assert patch.rule.normals is not None
        normals = torch.as_tensor(patch.rule.normals).to(self.device).reshape(m, g, -1)
        depth = (normals.abs() * sides[:, None]).sum(2).sqrt()
        one = Weighted(symbol, patch.weights.sqrt() * depth * (factor * lead)[:, None])
        _add_normal(normal, patch, one)
        return one

    @torch.no_grad()
    def step(
        self, modes: list[Mode], state: State, start: float, length: float, guess: Tensor | None, enough: float, most: int
    ) -> Step:
        """The stages after a state.

        guess: their increments. enough: the relative size of a correction that is the last one. most: corrections.
        """
        formula = self.formula
        slopes, times = torch.as_tensor(formula.slopes) / length, start + length * formula.nodes
        into, out = torch.as_tensor(formula.into), torch.as_tensor(formula.out)
        increments = state.value.new_zeros(len(times), *self.shape) if guess is None else guess
        terms = [one.term(times.tolist()) for one, _ in self.patches]
        last, size = np.inf, np.inf
        for _ in range(most):
            self.check_time()
            first = torch.einsum("ij,jmun->imun", slopes, increments)
            second = torch.einsum("ij,jmun->imun", slopes, first - state.slope)
            series = [state.value + increments, first, second]
            hats = []
            for (patch, _), term in zip(self.patches, terms, strict=True):
                jet = patch.jet(term.frame, [part[:, patch.cells] for part in series])
                residual = term.residual(jet).reshape(len(times), *patch.shape)
                hats.append(torch.einsum("ri,img->rmg", into, residual.to(into)))
            sums = torch.einsum("ri,imun->rmun", into, series[0].to(into))
            corrections, squares = zip(
                *(self._correction(mode, [hat[r] for hat in hats], sums[r]) for r, mode in enumerate(modes)), strict=True
            )
            change = torch.einsum("ir,rmun->imun", out, torch.stack([one.to(out) for one in corrections])).real
            increments = increments + change
            size = float(torch.linalg.vector_norm(change)) / max(float(torch.linalg.vector_norm(series[0] + change)), 1e-300)
            if not enough < size < last:
                break
            last = size
        first = torch.einsum("ij,jmun->imun", slopes, increments)
        unmatched = length * torch.stack(squares).sum(0) / len(times)
        return Step(state.value + increments, first, unmatched, size)

    def _correction(self, mode: Mode, residuals: list[Tensor], function: Tensor) -> tuple[Tensor, Tensor]:
        """The correction ``(m, U, n)`` for residuals of all patches and the jumps of a function; see `Step` for the squares."""
        m, unknowns, n = self.shape
        if not mode.triangle.is_complex:
            residuals, function = [one.real for one in residuals], function.real
        right = function.new_zeros(mode.triangle.size)
        cells = right[: m * unknowns * n].reshape(m, -1)
        weighted = [one.weights * residual for one, residual in zip(mode.weighted, residuals, strict=True)]
        for (patch, _), one, rest in zip(self.patches, mode.weighted, weighted, strict=True):
            part = patch.pulled_back(one.symbol, one.weights * rest)
            cells.index_add_(0, patch.index, -part.flatten(1))
        everything = np.concatenate([function.reshape(-1).numpy(), np.zeros(mode.triangle.size - m * unknowns * n)])
        jumps = mode.coupling @ everything
        right -= torch.as_tensor(mode.coupling.T @ jumps)
        x = mode.triangle.solve(right)[: m * unknowns * n].reshape(m, -1)
        squares = torch.zeros(m, dtype=torch.float64)
        for (patch, _), one, rest in zip(self.patches, mode.weighted, weighted, strict=True):
            if patch.statement.group == "conditions":
                own = x[patch.index].reshape(len(patch.cells), unknowns, n)
                left = one.weights * patch.applied(one.symbol, own) + rest
                squares.index_add_(0, patch.index, left.abs().square().sum(1))
        return x.reshape(m, unknowns, n), squares


def _add_normal(normal: Tensor, patch: Patch, one: Weighted) -> None:
    """Add the normal equations of a patch's rows to those of all cells ``(m, U n, U n)``."""
    rows = patch.rows(one.symbol).flatten(2) * one.weights[..., None]
    normal.index_add_(0, patch.index, (rows.mH @ rows).to(normal))


def _sparse(couplings: system.Couplings, columns: Sequence[int], m: int) -> scipy.sparse.csr_matrix:
    """The rows between cells and faces as a matrix."""
    starts = np.concatenate([[0], np.cumsum(columns)])
    values, rows, places, first = [], [], [], 0
    for cell, own in enumerate(couplings):
        for one in own:
            block = one.rows.numpy()
            i, j = np.nonzero(block)
            values += [block[i, j], -np.ones(len(block))]
            rows += [first + i, first + np.arange(len(block))]
            places += [starts[cell] + j, starts[m + one.face] + np.arange(len(block))]
            first += len(block)
    if not values:
        return scipy.sparse.csr_matrix((0, int(starts[-1])))
    return scipy.sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(places))), shape=(first, int(starts[-1]))
    )
