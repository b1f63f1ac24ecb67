"""The rows of cells: of the equations inside, of the conditions on the boundary, with weights by the sizes of the cells.

With h_k the sides of a cell and c the coefficients of the operator, S = (Σ (c / h^k)²)^½, summed over the terms with k
derivatives, is the size of the residual of a function of size one that changes over the cell. A jump of the value across a
face orthogonal to axis k is weighted by S √h_k, one of the j-th normal derivative by S h_k^j √h_k, for Laplace's operator
h^-3/2 and h^-1/2 (Aziz, Kellogg and Stephens, Numer. Math. 46 (1985) 263-281): as much as the residual of a function that
removes the jump within a cell. All rows of a cell are divided by S h, which makes their sum of squares one of errors of the
first derivatives: a discrete norm of H^-1, in which solutions with singular second derivatives at corners are approximated
too (Bramble, Lazarov and Pasciak, Math. Comp. 66 (1997) 935-955). Where cells span all of time, S has the derivatives by time
alone in that factor, as the effects of a residual add up over time however small the cells are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.partition import Integers
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import TIME, Derivatives, Frame, Jet
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
    return Linearised(slope, paired(slope, u).sum(1) - residual)


def paired(slope: Jet, u: Jet) -> Tensor:
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
    return rows_at(one, term.points, corners, degree)


def rows_at(one: Linearised, points: Tensor, corners: tuple[Tensor, Tensor], degree: int) -> Tensor:
    """The same, with the basis at given points."""
    low, high = corners
    scale = 2.0 / (high - low)
    basis = legendre.products((points - low) * scale - 1.0, scale, degree, one.slope.frame)
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


def tensors(frame: Frame, second: Tensor) -> Tensor:
    """The matrices ``(n, d, d)`` of the derivatives of a residual by the second derivatives that a frame keeps."""
    if frame.level is Derivatives.SUMMED:
        space = torch.tensor([float(name != TIME) for name in frame.coordinates], dtype=torch.float64)
        return second[:, :, None] * torch.diag(space)
    if frame.level is Derivatives.DIAGONAL:
        return torch.diag_embed(second)
    matrix = second.new_zeros(len(second), frame.dimension, frame.dimension)
    i, j = frame.packed
    matrix[:, i, j] += 0.5 * second
    matrix[:, j, i] += 0.5 * second
    return matrix


def along_axes(slope: Jet) -> Tensor:
    """Squares ``(n, d)`` of the coefficients of second derivatives along every axis, those of all unknowns together."""
    frame, out = slope.frame, slope.value.new_zeros(len(slope.value), slope.frame.dimension)
    if slope.second is None:
        return out
    squares = slope.second.square().sum(1)
    if frame.level is Derivatives.SUMMED:
        out[:, frame.space] = squares
    elif frame.level is Derivatives.DIAGONAL:
        out += squares
    else:
        for s, (i, j) in enumerate(zip(*frame.packed, strict=True)):
            if i == j:
                out[:, i] += squares[:, s]
    return out


def has_derivatives(slope: Jet) -> bool:
    """Whether a term has derivatives of unknowns."""
    return any(part is not None and bool((part != 0.0).any()) for part in slope.derivatives)


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


def rows_of_whole(one: Linearised, scale: Tensor, nodes: Tensor, degree: int) -> Tensor:
    """The rows of a term up to second order at points that lie in all cells as nodes ``(g, d)`` in [-1, 1]^d; scale: 2/h."""
    frame, m, g = one.slope.frame, len(scale), len(nodes)
    basis, at = legendre.reference(nodes, degree, frame), scale.repeat_interleave(g, 0)
    weights, parts = [one.slope.value], [basis.value]
    if one.slope.gradient is not None and basis.gradient is not None:
        weights += (one.slope.gradient * at[:, None]).unbind(2)
        parts += basis.gradient.unbind(2)
    if one.slope.second is not None and basis.second is not None:
        second = one.slope.second * legendre.factors(at, frame)[:, None]
        if frame.level is Derivatives.SUMMED:
            second = second[:, :, frame.space]
            parts += basis.second[..., frame.space].unbind(2)
        else:
            parts += basis.second.unbind(2)
        weights += second.unbind(2)
    kept = [k for k, weight in enumerate(weights) if bool((weight != 0.0).any())] or [0]
    left = torch.stack([weights[k].reshape(m, g, -1) for k in kept], dim=3)  # (m, g, U, K)
    right = torch.stack([parts[k] for k in kept], dim=1)  # (g, K, n)
    return torch.cat([torch.einsum("mguk,gkn->mgun", left, right).reshape(m * g, -1), one.right[:, None]], dim=1)


def with_mean(rows: Tensor, roots: Tensor, factors: Tensor) -> Tensor:
    """Rows ``(m, g, n)`` at points with roots of weights ``(m, g)``, their part along the mean times factors ``(m,)``."""
    along = roots / torch.linalg.vector_norm(roots, dim=1, keepdim=True)
    mean = (along[:, :, None] * rows).sum(1, keepdim=True)
    out: Tensor = rows + (factors - 1.0)[:, None, None] * along[:, :, None] * mean
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
    problem: Problem,
    geometry: CellGeometry,
    cells: Integers,
    degree: int,
    network: Network | None,
    device: torch.device,
    means: Tensor | None = None,
) -> CellRows:
    """The rows of some cells, linearised about a network's function. means: ``(m,)`` of all cells, see `balance`."""
    low, high = (torch.as_tensor(corner[cells]).to(device) for corner in (geometry.low, geometry.high))
    m = len(cells)
    points, weights = geometry.rule(cells, degree + MORE_POINTS)
    whole, g = bool(geometry.whole[cells].all()), points.shape[1]
    nodes = torch.as_tensor(reference_rule(points.shape[2], degree + MORE_POINTS)[0]).to(device)
    rule = Quadrature(points.reshape(-1, problem.domain.dimension), weights.ravel())
    root = torch.as_tensor(weights).to(device).sqrt().reshape(-1, 1)
    each = low.repeat_interleave(g, 0), high.repeat_interleave(g, 0)
    rows, squares = [], torch.zeros(m, len(problem.unknowns), dtype=torch.float64, device=device)
    over_time, in_time = _over_time(problem, geometry, each[1] - each[0]), torch.zeros_like(squares)
    second = torch.zeros(len(problem.unknowns), problem.domain.dimension, dtype=torch.bool)
    for term in equation_terms(problem, rule, device):
        one, factor = linearised(term, network), 1.0 / unit(term, problem)
        at_once = whole and not term.frame.higher
        block = rows_of_whole(one, 2.0 / (high - low), nodes, degree) if at_once else local_rows(one, term, each, degree)
        block = (block * (factor * root)).reshape(m, g, -1)
        rows.append(block if means is None else with_mean(block, root.reshape(m, g), means[cells]))
        squares = squares + factor**2 * sizes(one.slope, each[1] - each[0]).reshape(m, g, -1).mean(1)
        in_time = in_time + factor**2 * sizes(one.slope, over_time).reshape(m, g, -1).mean(1)
        second |= second_axes(one.slope)
    sizes_of = squares.sqrt()
    leading = torch.where(in_time.amax(1) > 0.0, in_time.amax(1), squares.amax(1)).sqrt()
    lead = 1.0 / (leading * (high - low).amin(1)).clamp_min(1e-300)
    boundary: dict[int, list[Tensor]] = {int(cell): [] for cell in cells}
    for index, block in _conditions(problem, geometry, cells, squares, degree, network, means):
        for i, own in zip(index.tolist(), block * lead[index, None, None], strict=True):
            boundary[int(cells[i])].append(own)
    return CellRows(cells, torch.cat(rows, dim=1) * lead[:, None, None], boundary, lead, sizes_of, second)


def _over_time(problem: Problem, geometry: CellGeometry, sides: Tensor) -> Tensor:
    """The sides of cells, infinite in space where they span all of time, see above."""
    if TIME not in problem.domain.coordinates:
        return sides
    column = problem.domain.coordinates.index(TIME)
    if bool((geometry.partition.axis == column).any()):
        return sides
    out = torch.full_like(sides, torch.inf)
    out[:, column] = sides[:, column]
    return out


def _conditions(
    problem: Problem,
    geometry: CellGeometry,
    cells: Integers,
    squares: Tensor,
    degree: int,
    network: Network | None,
    means: Tensor | None,
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
                    rows = rows.reshape(len(index), g, -1)
                    if means is not None and has_derivatives(one.slope):
                        rows = with_mean(rows, weight.reshape(len(index), g), means[cells][index])
                    yield index, rows
