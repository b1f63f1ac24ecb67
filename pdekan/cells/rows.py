"""The rows of cells: of the equations inside, of the conditions on the boundary, with weights by the sizes of the cells.

With h_k the sides of a cell and c the coefficients of the operator, S = (Σ (c / h^k)²)^½, summed over the terms with k
derivatives, is the size of the residual of a function of size one that changes over the cell. A jump of the value across a
face orthogonal to axis k is weighted by S √h_k, one of the normal derivative by S h_k √h_k, for Laplace's operator h^-3/2 and
h^-1/2 (Aziz, Kellogg and Stephens, Numer. Math. 46 (1985) 263-281): as much as the residual of a function that removes the
jump within a cell. All rows of a cell are divided by S h, which makes their sum of squares one of errors of the first
derivatives: a discrete norm of H^-1, in which solutions with singular second derivatives at corners are approximated too
(Bramble, Lazarov and Pasciak, Math. Comp. 66 (1997) 935-955).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.box import Box
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Array, Quadrature
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
    u = term.zero() if network is None else evaluate(network, term.points, term.frame)
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
    return out


def local_rows(one: Linearised, term: Term, corners: tuple[Tensor, Tensor], degree: int) -> Tensor:
    """The rows ``(n, U n_p + 1)`` of a term at points of cells with corners ``(n, d)``, the right-hand side last."""
    low, high = corners
    scale = 2.0 / (high - low)
    basis = legendre.products((term.points - low) * scale - 1.0, scale, degree, term.frame)
    rows = one.slope.value[:, :, None] * basis.value[:, None]
    for weights, part in ((one.slope.gradient, basis.gradient), (one.slope.second, basis.second)):
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
    problem: Problem, partition: Partition, cells: Integers, degree: int, network: Network | None, device: torch.device
) -> CellRows:
    """The rows of some cells, linearised about a network's function."""
    low, high = (torch.as_tensor(corner[cells]).to(device) for corner in partition.cells)
    m = len(cells)
    points, weights = on_boxes(low.cpu().numpy(), high.cpu().numpy(), None, degree + MORE_POINTS)
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
    for index, block in _conditions(problem, low, high, squares, degree, network):
        for i, own in zip(index.tolist(), block * lead[index, None, None], strict=True):
            boundary[int(cells[i])].append(own)
    return CellRows(cells, torch.cat(rows, dim=1) * lead[:, None, None], boundary, lead, sizes_of, second)


def _conditions(
    problem: Problem, low: Tensor, high: Tensor, squares: Tensor, degree: int, network: Network | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For every condition and face: the cells on it ``(b,)`` and their rows ``(b, g, U n + 1)``."""
    domain, device = problem.domain, low.device
    assert isinstance(domain, Box)
    for condition in problem.conditions:
        for requirement in condition.weakly().requirements(problem):
            if not isinstance(requirement.place, Faces) or requirement.is_mean:
                continue
            for name in requirement.place.names:
                k, at_upper = domain.coordinates.index(name[:-1]), name[-1] == "+"
                edge = domain.upper[k] if at_upper else domain.lower[k]
                index = torch.nonzero((high if at_upper else low)[:, k] == edge)[:, 0]
                if not len(index):
                    continue
                a, b = low[index].cpu().numpy(), high[index].cpu().numpy()
                rule, weights = _face_rule(a, b, k, at_upper, degree + MORE_POINTS)
                g = weights.shape[1]
                term = term_at(problem, requirement.label, "conditions", requirement.operator, requirement.value, rule, device)
                one = linearised(term, network)
                each = low[index].repeat_interleave(g, 0), high[index].repeat_interleave(g, 0)
                own = sizes(one.slope, each[1] - each[0]).reshape(len(index), g, -1).mean(1)
                factor = (squares[index] * own).sum(1).sqrt() / own.sum(1).clamp_min(1e-300)
                depth = (high - low)[index, k]
                weight = torch.as_tensor(weights).to(device).sqrt() * (factor * depth.sqrt())[:, None]
                rows = local_rows(one, term, each, degree).reshape(len(index), g, -1)
                yield index, rows * weight[:, :, None]


def _face_rule(low: Array, high: Array, k: int, at_upper: bool, order: int) -> tuple[Quadrature, Array]:
    """The Gauss rule on the cells' lower or upper faces along an axis, with normals, and its weights ``(b, g)``."""
    a, b = low.copy(), high.copy()
    if at_upper:
        a[:, k] = high[:, k]
    else:
        b[:, k] = low[:, k]
    points, weights = on_boxes(a, b, np.full(len(low), k), order)
    normals = np.zeros_like(points)
    normals[..., k] = 1.0 if at_upper else -1.0
    d = low.shape[1]
    return Quadrature(points.reshape(-1, d), weights.ravel(), normals.reshape(-1, d)), weights
