"""Steps in time on cells in space: the stages of a Radau formula, by a problem in space for each of its rates.

The stages' increments W = U - u(t_0) have slopes A^-1 W / h. In the coordinates V^-1 W the equations fall into one problem in
space for each rate λ of the formula, in which ∂/∂t is multiplication by λ/h. Residuals of all of them are tested by the
operator B of the real rate, B^T (A_λ w - r) + C^T C w = 0 with rows weighted as those of `rows` and C those of jumps: for this
rate that is least squares, and all stages are those of one system of ordinary differential equations, for which the formula is
stable. (With least squares for each rate by itself waves grew from step to step.) Test functions v + L v/λ are those of
streamline diffusion (Brooks and Hughes, Comput. Methods Appl. Mech. Eng. 32 (1982) 199-259).

Gauss-Newton steps take the derivative of all stages at one of them, so that it falls apart too (simplified Newton: Hairer and
Wanner, Solving Ordinary Differential Equations II, section IV.8). Of second derivatives by time, the slopes are taken as
unknowns with the same formula, so that they are multiplied by (λ/h)².
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
from pdekan.cells.factorisation import Factors
from pdekan.cells.mesh import Mesh
from pdekan.cells.patches import Patch, inside, on_boundary
from pdekan.cells.radau import Radau
from pdekan.cells.rows import MORE_POINTS, CellRows
from pdekan.cells.symbols import Coefficients, in_space, sizes
from pdekan.fields.jet_parts import split
from pdekan.networks import legendre
from pdekan.problems.problem import Problem


@dataclass(frozen=True, eq=False)
class State:
    """A function at one time: coefficients ``(m, U, n)`` of it and of its derivative by time."""

    value: Tensor
    slope: Tensor


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of all rows, and the rows between cells and faces.

    symbols: the operators of all patches at the real rate, by which residuals are tested. of_patches: ``(m, g)`` each.
    lead: ``(m,)``, see `rows.CellRows`. couplings: rows by cell, also as a matrix. columns: the sizes of all blocks.
    """

    symbols: list[Coefficients]
    of_patches: list[Tensor]
    lead: Tensor
    couplings: system.Couplings
    matrix: scipy.sparse.csr_matrix
    columns: list[int]


@dataclass(frozen=True, eq=False)
class Mode:
    """The factorised problem in space of one rate, with what is the same for all rates."""

    weights: Weights
    factors: Factors


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
    def slopes(self, time: float, state: State) -> list[Coefficients]:
        """The operators of all patches, linearised about a function; its second derivative by time is taken as the first."""
        series = [state.value[None], state.slope[None], state.slope[None]]
        return [one.slopes(time, [part[:, one.cells] for part in series]) for one, _ in self.patches]

    @torch.no_grad()
    def modes(self, operators: Sequence[Coefficients], length: float) -> list[Mode]:
        """The factorised problems of all rates, for steps of a length."""
        reference = complex(self.formula.rates[0]) / length
        weights = self._weights([in_space(one, self.column, reference) for one in operators])
        matrices = self._matrices(operators, weights)
        return [self._mode(matrices, complex(rate) / length, weights) for rate in self.formula.rates]

    def _matrices(self, operators: Sequence[Coefficients], weights: Weights) -> list[Tensor]:
        """The tested operators ``(m, U n, U n)`` of all cells by power of the rate."""
        m, unknowns, n = self.shape
        out = [torch.zeros(m, unknowns * n, unknowns * n, dtype=torch.float64) for _ in range(3)]
        out[0] += torch.diag_embed(torch.as_tensor(~self.mesh.geometry.active).double()[:, None].expand(m, unknowns * n))
        parts = zip(self.patches, operators, weights.symbols, weights.of_patches, strict=True)
        for (patch, _), operator, symbol, own in parts:
            test = (patch.rows(symbol).flatten(2) * own.square()[..., None]).mT
            for power, total in enumerate(out):
                part = {index: one for index, one in operator.items() if split(index, self.column)[1] == power}
                if part:
                    total.index_add_(0, patch.index, test @ patch.rows(in_space(part, self.column, 1.0 + 0.0j)).flatten(2))
        return out

    def _mode(self, matrices: list[Tensor], rate: complex, weights: Weights) -> Mode:
        factor = rate if rate.imag else rate.real
        total = matrices[0] + factor * matrices[1] + factor**2 * matrices[2]
        leaves = self._leaves(total, weights.couplings)
        return Mode(weights, Factors.of(system.children_of(self.mesh.partition), leaves, weights.columns, self.check_time))

    def _leaves(self, normal: Tensor, couplings: system.Couplings) -> dict[int, Front]:
        """The equations of every cell and its faces, by node: those of rows C u - λ have -C beside the identity."""
        m, width, out = len(normal), normal.shape[1], {}
        for cell, (own, equations) in enumerate(zip(couplings, normal, strict=True)):
            blocks = (cell, *(m + one.face for one in own))
            rows = torch.cat([one.rows for one in own]) if own else equations.real.new_zeros(0, width)
            gram = torch.eye(width + len(rows), dtype=normal.dtype)
            gram[:width, :width] = equations + rows.T @ rows
            gram[:width, width:], gram[width:, :width] = -rows.T, -rows
            out[int(self.mesh.partition.leaves[cell])] = Front(blocks, gram)
        return out

    def _weights(self, symbols: list[Coefficients]) -> Weights:
        """The weights of rows by the sizes of operators, as in `rows.cell_rows`."""
        m, unknowns, n = self.shape
        groups, of_patches, own = [], [], iter(symbols)
        for patches in self.equations:
            group = self._sizes(patches, [next(own) for _ in patches])
            groups.append(group)
            of_patches += [patches[0].weights.sqrt() * group.lead[:, None] / unit for unit in self.units]
        squares, lead = torch.zeros(m, unknowns, dtype=torch.float64), torch.ones(m, dtype=torch.float64)
        for group in groups:
            squares[group.cells], lead[group.cells] = group.sizes.square().cpu(), group.lead.cpu()
        of_patches += [self._of_condition(patch, next(own), squares, lead) for patch in self.conditions]
        names = [name for k, name in enumerate(self.problem.domain.coordinates) if k != self.column]
        matched = system.matched(self.problem, names, torch.stack([group.second for group in groups]).any(0))
        couplings = system.couplings_of(self.mesh, groups, matched, None)
        columns = [unknowns * n] * m + system.sizes_of_faces(self.mesh, matched)
        return Weights(symbols, of_patches, lead, couplings, _sparse(couplings, columns, m), columns)

    def _sizes(self, patches: list[Patch], symbols: list[Coefficients]) -> CellRows:
        """The sizes of the equations' operators in some cells; there are no rows."""
        (m, g), sides = patches[0].shape, 2.0 / patches[0].scale
        squares = torch.zeros(m, self.shape[1], dtype=torch.float64, device=self.device)
        second = torch.zeros(self.shape[1], sides.shape[1], dtype=torch.bool)
        for symbol, unit in zip(symbols, self.units, strict=True):
            squares += sizes(symbol, sides.repeat_interleave(g, 0)).reshape(m, g, -1).mean(1) / unit**2
            for index, part in symbol.items():
                if len(index) == 2:
                    second[:, list(index)] |= (part != 0.0).any(0).cpu()[:, None]
        lead = 1.0 / (squares.amax(1).sqrt() * sides.amin(1)).clamp_min(1e-300)
        return CellRows(patches[0].cells, squares.new_zeros(m, 0, 1), {}, lead, squares.sqrt(), second)

    def _of_condition(self, patch: Patch, symbol: Coefficients, squares: Tensor, lead: Tensor) -> Tensor:
        """The weights of a condition. squares: ``(m, U)`` sizes of the equations' operators."""
        (m, g), sides = patch.shape, 2.0 / patch.scale
        own = sizes(symbol, sides.repeat_interleave(g, 0)).reshape(m, g, -1).mean(1)
        factor = (squares[patch.index].to(own) * own).sum(1).sqrt() / own.sum(1).clamp_min(1e-300)
        assert patch.rule.normals is not None
        normals = torch.as_tensor(patch.rule.normals).to(self.device).reshape(m, g, -1)
        depth = (normals.abs() * sides[:, None]).sum(2).sqrt()
        return patch.weights.sqrt() * depth * (factor * lead[patch.index].to(own))[:, None]

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
        if not mode.factors.is_complex:
            residuals, function = [one.real for one in residuals], function.real
        right = function.new_zeros(mode.factors.size)
        cells = right[: m * unknowns * n].reshape(m, -1)
        own, patches = mode.weights.of_patches, [one for one, _ in self.patches]
        weighted = [weights * residual for weights, residual in zip(own, residuals, strict=True)]
        for patch, symbol, weights, rest in zip(patches, mode.weights.symbols, own, weighted, strict=True):
            cells.index_add_(0, patch.index, -patch.pulled_back(symbol, weights * rest).flatten(1))
        everything = np.concatenate([function.reshape(-1).numpy(), np.zeros(mode.factors.size - m * unknowns * n)])
        jumps = mode.weights.matrix @ everything
        right -= torch.as_tensor(mode.weights.matrix.T @ jumps)
        x = mode.factors.solve(right)[: m * unknowns * n].reshape(m, -1)
        squares = torch.zeros(m, dtype=torch.float64)
        for patch, symbol, weights, rest in zip(patches, mode.weights.symbols, own, weighted, strict=True):
            if patch.statement.group == "conditions":
                there = x[patch.index].reshape(len(patch.cells), unknowns, n)
                left = weights * patch.applied(symbol, there) + rest
                squares.index_add_(0, patch.index, left.abs().square().sum(1))
        return x.reshape(m, unknowns, n), squares


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
