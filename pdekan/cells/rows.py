"""The rows of cells: of the equations inside, of the conditions on the boundary, with weights by the sizes of the cells.

With h_k the sides of a cell and c the coefficients of the operator, S = (Σ (c / h^k)²)^½, summed over the terms with k
derivatives, is the size of the residual of a function of size one that changes over the cell. A jump of the value across a
face orthogonal to axis k is weighted by S √h_k, one of the j-th normal derivative by S h_k^j √h_k, for Laplace's operator
h^-3/2 and h^-1/2 (Aziz, Kellogg and Stephens, Numer. Math. 46 (1985) 263-281): as much as the residual of a function that
removes the jump within a cell. All rows of a cell are divided by S h, which makes their sum of squares one of errors of the
first derivatives: a discrete norm of H^-1, in which solutions with singular second derivatives at corners are approximated
too (Bramble, Lazarov and Pasciak, Math. Comp. 66 (1997) 935-955).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.domains.partition import Integers
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Derivatives, Jet
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.places import Faces
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, equation_terms, term_at, unit

MORE_POINTS = 2  # Gauss points along an axis of a cell, more than the degree


@dataclass(frozen=True, eq=False)
class Linearised:
    """A term's residual about a state u: slope · (the jet of v) = right for a correction u -> v.

    sizes: ``(n, U, K)`` of the parts of the slope by derivatives, see `_sizes`.
    """

    slope: Jet
    right: Tensor


def linearised(term: Term, network: Network | None) -> Linearised:
    """A term about a network's function, or about zero."""
    return linearised_at(term, term.zero() if network is None else evaluate(network, term.points, term.frame))


def linearised_at(term: Term, u: Jet) -> Linearised:
    """A term about a state, by its jet at the points."""
    residual, slope = term.linearised(u)
    return Linearised(slope, _paired(slope, u).sum(1) - residual)


def _paired(slope: Jet, u: Jet) -> Tensor:
    """⟨slope, u⟩ ``(n, U)`` by unknown."""
    out = slope.value * u.value
    if slope.gradient is not None:
        assert u.gradient is not None
        out = out + (slope.gradient * u.gradient).sum(-1)
    if slope.second is not None:
        assert u.second is not None
        out = out + (slope.second * u.second).sum(-1)
    if slope.higher is not None:
        assert u.higher is not None
        out = out + (slope.higher * u.higher).sum(-1)
    return out


def local_rows(one: Linearised, term: Term, corners: tuple[Tensor, Tensor], degree: int) -> Tensor:
    """The rows ``(n, U n_p + 1)`` of a term at points of cells with corners ``(n, d)``, the right-hand side last."""
    low, high = corners
    scale = 2.0 / (high - low)
    basis = legendre.products((term.points - low) * scale - 1.0, scale, degree, term.frame)
    rows = one.slope.value[:, :, None] * basis.value[:, None]
    for weights, part in zip(one.slope.derivatives, basis.derivatives, strict=True):
        if weights is not None and part is not None:
            for k in range(weights.shape[2]):
                if bool((weights[:, :, k] != 0.0).any()):
                    rows = rows + weights[:, :, k, None] * part[:, None, :, k]
    return torch.cat([rows.reshape(len(rows), -1), one.right[:, None]], dim=1)


def sizes(slope: Jet, sides: Tensor) -> Tensor:
    """Squares ``(n, U)`` of the residual of a function of size one that changes over sides ``(n, d)``; see above."""
    out = slope.value.square()
    inverse = 1.0 / sides
    if slope.gradient is not None:
        out = out + (slope.gradient * inverse[:, None]).square().sum(-1)
    if slope.second is not None:
        frame = slope.frame
        if frame.level is Derivatives.SUMMED:
            second = inverse[:, frame.space].square().sum(1, keepdim=True)
        else:
            second = frame.pair(inverse, inverse)
        out = out + (slope.second * second[:, None]).square().sum(-1)
    if slope.higher is not None:
        out = out + (slope.higher * slope.frame.layout.monomials(inverse)[:, None]).square().sum(-1)
    return out


def second_axes(slope: Jet) -> Tensor:
    """``(U, d)``: whether a term has second derivatives of an unknown along an axis."""
    frame, d, count = slope.frame, slope.frame.dimension, slope.value.shape[1]
    out = torch.zeros(count, d, dtype=torch.bool)
    if slope.second is None:
        return out
    present = (slope.second != 0.0).any(0).cpu()
    if frame.level is Derivatives.SUMMED:
        out[:, frame.space] = present
    elif frame.level is Derivatives.DIAGONAL:
        out |= present
    else:
        for s, (i, j) in enumerate(zip(*frame.packed, strict=True)):
            out[:, i] |= present[:, s]
            out[:, j] |= present[:, s]
    return out


@dataclass(frozen=True, eq=False)
class CellRows:
    """The rows of cells of one degree.

    cells: ``(m,)``. rows: ``(m, r, U n + 1)`` of the equations. boundary: those of the conditions by cell. lead: ``(m,)`` the
    factor of all rows of a cell. sizes: S ``(m, U)``. second: ``(U, d)``, see `second_axes`.
    """

    cells: Integers
    rows: Tensor
    boundary: dict[int, list[Tensor]]
    lead: Tensor
    sizes: Tensor
    second: Tensor


def cell_rows(
    problem: Problem, geometry: CellGeometry, cells: Integers, degree: int, network: Network | None, device: torch.device
) -> CellRows:
    """The rows of some cells, linearised about a network's function."""
    low, high = (torch.as_tensor(corner[cells]).to(device) for corner in (geometry.low, geometry.high))
    m = len(cells)
    points, weights = geometry.rule(cells, degree + MORE_POINTS)
    g = points.shape[1]
    rule = Quadrature(points.reshape(-1, problem.domain.dimension), weights.ravel())
    root = torch.as_tensor(weights).to(device).sqrt().reshape(-1, 1)
    each = low.repeat_interleave(g, 0), high.repeat_interleave(g, 0)
    rows, squares = [], torch.zeros(m, len(problem.unknowns), dtype=torch.float64, device=device)
    second = torch.zeros(len(problem.unknowns), problem.domain.dimension, dtype=torch.bool)
    for term in equation_terms(problem, rule, device):
        one, factor = linearised(term, network), 1.0 / unit(term, problem)
        block = local_rows(one, term, each, degree) * (factor * root)
        rows.append(block.reshape(m, g, -1))
        squares = squares + factor**2 * sizes(one.slope, each[1] - each[0]).reshape(m, g, -1).mean(1)
        second |= second_axes(one.slope)
    sizes_of = squares.sqrt()
    lead = 1.0 / (sizes_of.amax(1) * (high - low).amin(1)).clamp_min(1e-300)
    boundary: dict[int, list[Tensor]] = {int(cell): [] for cell in cells}
    for index, block in _conditions(problem, geometry, cells, squares, degree, network):
        for i, own in zip(index.tolist(), block * lead[index, None, None], strict=True):
            boundary[int(cells[i])].append(own)
    return CellRows(cells, torch.cat(rows, dim=1) * lead[:, None, None], boundary, lead, sizes_of, second)


def _conditions(
    problem: Problem, geometry: CellGeometry, cells: Integers, squares: Tensor, degree: int, network: Network | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For every condition and face: the cells on it ``(b,)`` and their rows ``(b, g, U n + 1)``."""
    device = squares.device
    low, high = (torch.as_tensor(corner[cells]).to(device) for corner in (geometry.low, geometry.high))
    for condition in problem.conditions:
        for requirement in condition.weakly().requirements(problem):
            if not isinstance(requirement.place, Faces) or requirement.is_mean:
                continue
            for name in requirement.place.names:
                for which, rule in geometry.boundary(cells, name, degree + MORE_POINTS):
                    index, g = torch.as_tensor(which).to(device), len(rule.weights) // len(which)
                    term = term_at(
                        problem, requirement.label, "conditions", requirement.operator, requirement.value, rule, device
                    )
                    one = linearised(term, network)
                    each = low[index].repeat_interleave(g, 0), high[index].repeat_interleave(g, 0)
                    own = sizes(one.slope, each[1] - each[0]).reshape(len(index), g, -1).mean(1)
                    factor = (squares[index] * own).sum(1).sqrt() / own.sum(1).clamp_min(1e-300)
                    assert term.frame.normal is not None
                    depth = (term.frame.normal.abs() * (each[1] - each[0])).sum(1).sqrt()
                    weight = torch.as_tensor(rule.weights).to(device).sqrt() * depth * factor.repeat_interleave(g)
                    rows = local_rows(one, term, each, degree) * weight[:, None]
                    yield index, rows.reshape(len(index), g, -1)
