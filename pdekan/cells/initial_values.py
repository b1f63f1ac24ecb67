"""Functions on cells in space from their values: those that initial conditions state, and those of other cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.mesh import Mesh
from pdekan.cells.patches import Patch, inside
from pdekan.cells.refinement import UNSEEN, RefinementRule, smoothness
from pdekan.cells.rows import MORE_POINTS
from pdekan.cells.sources import LOOKED_AT, MISSED
from pdekan.cells.stages import State
from pdekan.cells.symbols import coefficients
from pdekan.domains.partition import Partition
from pdekan.domains.quadrature import Array, Quadrature, tensor_gauss
from pdekan.fields.jet_parts import split
from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.networks import legendre
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import Faces
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import term_at

CPU = torch.device("cpu")
Values = Callable[[Quadrature], Tensor]  # ``(n, K)`` at points in space


def fitted(problem: Problem, mesh: Mesh, column: int, values: Values, device: torch.device) -> Tensor:
    """Coefficients ``(m, K, n)`` of the least-squares fits of K functions in the cells."""
    d = mesh.partition.dimension
    n, out = legendre.count(d, int(mesh.degrees[0])), None
    for patch, *_ in inside(problem, mesh, column, MORE_POINTS, device):
        at = values(patch.rule).reshape(*patch.shape, -1)
        if out is None:
            out = at.new_zeros(mesh.partition.count, at.shape[2], n)
        out[patch.index] = _fit(patch, at)
    assert out is not None
    return out


def _fit(patch: Patch, values: Tensor) -> Tensor:
    """The coefficients of functions with values ``(m, g, K)``; the basis is orthonormal where cells are boxes."""
    basis = patch.basis(())
    if len(basis) == 1:
        mean = patch.weights / patch.weights.sum(1, keepdim=True)
        return torch.einsum("mg,mgk,gn->mkn", mean, values, basis[0])
    root = patch.weights.sqrt()[..., None]
    fit: Tensor = torch.linalg.lstsq(basis * root, values * root, driver="gelsd").solution
    return fit.mT


def stated(problem: Problem, column: int, start: float, device: torch.device) -> Values:
    """Values ``(n, 2 U)`` of the unknowns, then of their derivatives by time, that the initial conditions state.

    What they do not state is zero. Raises ProblemError for conditions that contain derivatives in space.
    """
    face, count = f"{TIME}-", len(problem.unknowns)
    every = [one for condition in problem.conditions for one in condition.weakly().requirements(problem)]
    requirements = [one for one in every if isinstance(one.place, Faces) and face in one.place.names]

    def values(rule: Quadrature) -> Tensor:
        at = Quadrature(np.insert(rule.points, column, start, axis=1), rule.weights)
        n = len(at.points)
        matrix = torch.zeros(n, len(requirements), 2 * count, dtype=torch.float64, device=device)
        right = torch.zeros(n, len(requirements), dtype=torch.float64, device=device)
        for k, one in enumerate(requirements):
            term = term_at(problem, one.label, "conditions", one.operator, one.value, at, device)
            residual, slope = term.linearised(term.zero())
            right[:, k] = -residual
            for index, part in coefficients(slope).items():
                space, order = split(index, column)
                if space or order > 1:
                    raise ProblemError(f"{one.label}: derivatives in space cannot be stated where time is marched through")
                matrix[:, k, order * count : (order + 1) * count] = part
        same = bool((matrix == matrix[:1]).all())
        solved: Tensor = torch.linalg.pinv(matrix[:1] if same else matrix) @ right[..., None]
        return solved[..., 0]

    return values


def initial_state(problem: Problem, mesh: Mesh, column: int, start: float, device: torch.device) -> State:
    """The state that the initial conditions state."""
    value, slope = fitted(problem, mesh, column, stated(problem, column, start, device), device).chunk(2, dim=1)
    return State(value, slope)


@torch.no_grad()
def representing(
    problem: Problem, mesh: Mesh, column: int, values: Values, goal: float, most: int, of: Callable[[Partition], Mesh]
) -> Mesh:
    """The mesh, cut until its polynomials represent functions, as far as there are at most so many cells.

    goal: of the difference in L2, relative to each function. of: the mesh of a partition. Functions are looked at on a dense
    grid, so that nothing narrower than a cell is missed.
    """
    while mesh.partition.count < most:
        axes = _cuts(problem, mesh, column, values, goal)
        finer = mesh.partition.refined(axes)[0]
        if not axes or finer.count > most:
            break
        mesh = of(finer)
    return mesh


def _cuts(problem: Problem, mesh: Mesh, column: int, values: Values, goal: float) -> dict[int, list[int]]:
    """The axes along which cells are cut whose fit is not as good as is wanted, at unseen points, or else on the dense grid."""
    fit, d, degree = fitted(problem, mesh, column, values, CPU), mesh.partition.dimension, int(mesh.degrees[0])
    squares, size = np.zeros((mesh.partition.count, fit.shape[1])), np.zeros(fit.shape[1])
    for patch, *_ in inside(problem, mesh, column, UNSEEN, CPU):
        at = values(patch.rule).reshape(*patch.shape, -1)
        deviation = patch.values((), fit[None, patch.index])[0] - at
        squares[patch.cells] += (patch.weights[..., None] * deviation.square()).sum(1).numpy()
        size += (patch.weights[..., None] * at.square()).sum((0, 1)).numpy()
    enough = goal**2 * size / mesh.partition.count
    wrong = np.flatnonzero((squares > enough).any(axis=1)).tolist()
    if wrong:
        return {cell: RefinementRule(along=0.5).cut(smoothness(fit[cell], d, degree)[1]).tolist() for cell in wrong}
    area = (mesh.geometry.high - mesh.geometry.low).prod(axis=1, keepdims=True)
    narrow = (_largest(problem, mesh, column, values, fit) * area > MISSED**2 * enough).any(axis=1)
    return {cell: list(range(d)) for cell in np.flatnonzero(narrow).tolist()}


def _largest(problem: Problem, mesh: Mesh, column: int, values: Values, fit: Tensor) -> Array:
    """The largest squared deviations ``(m, K)`` of a fit in the cells, on a dense grid."""
    partition, d = mesh.partition, mesh.partition.dimension
    grid = tensor_gauss(partition.lower, partition.upper, (LOOKED_AT[d],) * d, 1).points
    middle = 0.5 * (problem.domain.lower[column] + problem.domain.upper[column])
    grid = grid[problem.domain.contains(np.insert(grid, column, middle, axis=1))]
    network = mesh.network(fit.shape[1])
    network.coefficients.copy_(fit.reshape(-1))
    shown = network.jet(torch.as_tensor(grid), Frame(tuple(f"x{k}" for k in range(d)), Derivatives.VALUE)).value
    deviation = shown - values(Quadrature(grid, np.ones(len(grid))))
    out = np.zeros((partition.count, fit.shape[1]))
    np.maximum.at(out, partition.locate(torch.as_tensor(grid)).numpy(), deviation.square().numpy())
    return out
