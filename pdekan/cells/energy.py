"""Least squares in the dual norm of the energy, for an elliptic equation whose coefficients jump.

With r = -div(A∇u) + … - f the residual in a cell K and λ the fluxes through its faces, the weak form

    F(v) = ∫_K r v + Σ_F ∫_F (n·A∇u - λ) v

is measured by the largest F(v) among polynomials v with ∫_K ∇v·A∇v + c v² = 1: that is |L⁻¹ F| with LLᵀ the Gram matrix of the
polynomials. The sum of squares over the cells is one of errors in the energy norm, however A jumps and however different it is
along the axes (Demkowicz and Gopalakrishnan, Numer. Methods Partial Differ. Equ. 27 (2011) 70-105; with fluxes as unknowns of
faces: Comput. Math. Appl. 66 (2013) 1058-1064). Weights by the sides of cells, see `rows`, are not: of a function that hardly
changes along an axis with a large coefficient they count next to nothing. A constant v sees what is out of balance in a cell; c
makes it count BALANCE times what it costs to flow off through the worst conductor. Where a condition gives the flux, λ is that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.contacts import Contact, contacts, costs, jumps, polynomials
from pdekan.cells.elimination import Front
from pdekan.cells.mesh import Mesh
from pdekan.cells.principal import Principal
from pdekan.cells.rows import has_derivatives, linearised, rows_at
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import TIME, Derivatives
from pdekan.networks.base import Network
from pdekan.problems.places import Across, Faces, Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms, term_at

MORE = 2  # degrees of the polynomials v above those of the cells: one for each coordinate of a plane, see the sources above
BALANCE = 10.0
SINGULAR = 1e-13  # of the diagonal of a Gram matrix: what is added to it, where parts of cells are narrow


@dataclass(eq=False)
class CellForm:
    """The weak form of a cell: rows ``(T, n + 1)``, and the factor L ``(T, T)``; rows ``(k, n + 1)`` of conditions."""

    weak: Tensor
    factor: Tensor
    conditions: list[Tensor]


@dataclass(frozen=True, eq=False)
class EnergyRows:
    """fronts: the rows of every cell, blocks of unknowns being those of cells, then those of faces. sizes: of the faces'
    blocks. metric: ``(m, d)`` the coefficients A_kk along every axis, by cell. least: ``(m,)`` the smallest eigenvalues of A.
    """

    fronts: dict[int, Front]
    sizes: list[int]
    metric: Array
    least: Array

    def squares(self, values: dict[int, Tensor]) -> Array:
        """The squares ``(m,)`` of the errors of the slopes in the cells, by the residuals of their rows."""
        out = np.zeros(len(self.least))
        for cell, front in self.fronts.items():
            x = torch.cat([values[block] for block in front.blocks])
            out[cell] = float((front.rows[:, :-1] @ x - front.rows[:, -1]).square().sum())
        return out / self.least


def energy_rows(
    problem: Problem, mesh: Mesh, network: Network | None, device: torch.device, check_time: Callable[[], None] = lambda: None
) -> EnergyRows | None:
    """The rows of a problem, linearised about a network's function or about zero.

    None where there are no interfaces, or the equation is not elliptic, or conditions are other than values and fluxes.
    """
    if not _is_one_of_space(problem):
        return None
    principal = Principal.of(problem, mesh, network, device)
    if principal is None or len(jumps(principal)) < len(problem.interfaces):
        return None
    metric, least = np.ones((mesh.partition.count, mesh.partition.dimension)), np.ones(mesh.partition.count)
    forms: dict[int, CellForm] = {}
    for cells in mesh.geometry.groups(mesh.degrees):
        check_time()
        rows, factors, mean = _inside(mesh, principal, cells)
        metric[cells] = mean.diagonal(dim1=1, dim2=2).cpu().numpy()
        least[cells] = torch.linalg.eigvalsh(mean).amin(1).cpu().numpy()
        forms |= {cell: CellForm(rows[i], factors[i], []) for i, cell in enumerate(cells.tolist())}
        for one in _on_faces(problem):
            for name in one.faces:
                for which, rule in mesh.geometry.boundary(cells, name, int(mesh.degrees[cells[0]]) + MORE + 1):
                    _add_condition(forms, mesh, principal, cells[which], rule, one)
    check_time()
    met, sizes = contacts(mesh, principal, MORE)
    fronts = {cell: _front(cell, form, met[cell], sizes, mesh.partition.count) for cell, form in forms.items()}
    return EnergyRows(fronts, sizes, metric, least)


def _is_one_of_space(problem: Problem) -> bool:
    """Whether there are interfaces in space, one equation for one unknown, and no means."""
    given = [one for condition in problem.conditions for one in condition.requirements(problem)]
    single = len(problem.unknowns) == len(problem.equations) == 1 and TIME not in problem.domain.coordinates
    return single and bool(problem.interfaces) and not any(one.is_mean for one in given)


def _on_faces(problem: Problem) -> Iterator[Requirement]:
    every = (one for condition in problem.conditions for one in condition.weakly().requirements(problem))
    return (one for one in every if isinstance(one.place, Faces) and not isinstance(one.place, Across))


def _inside(mesh: Mesh, principal: Principal, cells: Integers) -> tuple[Tensor, Tensor, Tensor]:
    """∫ r v ``(m, T, n + 1)`` in cells of one degree, the factors of the Gram matrices, and the means of A ``(m, d, d)``."""
    degree = int(mesh.degrees[cells[0]])
    points, weights = mesh.geometry.rule(cells, degree + MORE + 1)
    m, g, d = points.shape
    corners = principal.corners(mesh, cells, g)
    (term,) = equation_terms(principal.problem, Quadrature(points.reshape(-1, d), weights.ravel()), principal.device)
    one = linearised(term, principal.network)
    a, w = principal.of_slope(one.slope), torch.as_tensor(weights).to(principal.device)
    rows = -principal.sign * rows_at(one, term.points, corners, degree).reshape(m, g, -1)
    v = polynomials(torch.as_tensor(points.reshape(-1, d)).to(w), corners, degree + MORE, Derivatives.GRADIENT)
    assert v.gradient is not None
    value, gradient = v.value.reshape(m, g, -1), v.gradient.reshape(m, g, -1, d)
    weak = torch.einsum("mgt,mg,mgn->mtn", value, w, rows)
    flux = torch.einsum("mgij,mgtj,mg->mtgi", a.reshape(m, g, d, d), gradient, w).flatten(2)
    gram = flux @ gradient.permute(0, 2, 1, 3).flatten(2).transpose(1, 2)
    area = w.sum(1)
    c = principal.least / (BALANCE**2 * area ** (2.0 / d))
    gram = gram + torch.einsum("mgt,mg,mgs->mts", value, w * c[:, None], value)
    gram = gram + SINGULAR * torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
    mean = torch.einsum("mgij,mg->mij", a.reshape(m, g, d, d), w) / area[:, None, None]
    return weak, torch.linalg.cholesky(gram), mean


def _add_condition(
    forms: dict[int, CellForm], mesh: Mesh, principal: Principal, cells: Integers, rule: Quadrature, one: Requirement
) -> None:
    """Add a condition to cells with a part of a face each: to the weak form where it gives the flux, else rows of values.

    A condition on both counts as one of the flux where values cost less than slopes do.
    """
    m, degree = len(cells), int(mesh.degrees[cells[0]])
    g = len(rule.weights) // m
    term = term_at(principal.problem, one.label, "conditions", one.operator, one.value, rule, principal.device)
    given, corners = linearised(term, principal.network), principal.corners(mesh, cells, g)
    rows = rows_at(given, term.points, corners, degree).reshape(m, g, -1)
    weights = torch.as_tensor(rule.weights).to(rows).reshape(m, g)
    base, mode = costs(principal, rule, corners[1] - corners[0], 1.0, m)
    height = (given.slope.value[:, 0].abs().reshape(m, g) * weights).sum(1) / weights.sum(1)
    of_flux = torch.zeros(m, dtype=torch.bool)
    if has_derivatives(given.slope):
        assert rule.normals is not None
        assert given.slope.gradient is not None
        normals = torch.as_tensor(rule.normals).to(rows)
        across = torch.einsum("xi,xij,xj->x", normals, principal.beside(rule.points, rule.normals), normals)
        factor = (across / (given.slope.gradient[:, 0] * normals).sum(1)).reshape(m, g)
        tests = polynomials(term.points, corners, degree + MORE, Derivatives.VALUE).value.reshape(m, g, -1)
        weak = torch.einsum("mgt,mg,mgn->mtn", tests, weights * factor, rows)
        of_flux = height * factor.abs().amax(1) <= base
    cost = ((degree + 1) ** 2 * base + mode * degree).sqrt() / height.clamp_min(1e-300)
    for i, cell in enumerate(cells.tolist()):
        if of_flux[i]:
            forms[cell].weak = forms[cell].weak + weak[i]
        else:
            forms[cell].conditions.append(rows[i] * (weights[i].sqrt() * cost[i])[:, None])


def _front(cell: int, form: CellForm, met: list[Contact], sizes: list[int], cells: int) -> Front:
    """The rows of a cell: of the weak form, of the values and fluxes on its faces, and of conditions."""
    n, t = form.weak.shape[1] - 1, len(form.weak)
    parts = [len(part) for one in met for part in (one.value, one.flux)] + [len(rows) for rows in form.conditions]
    rows = form.weak.new_zeros(t + sum(parts), n + sum(sizes[one.face] for one in met) + 1)
    rows[:t, :n], rows[:t, -1] = form.weak[:, :-1], form.weak[:, -1]
    column, row = n, t
    for one in met:
        rows[:t, :n] += one.weak[:, :-1]
        rows[:t, -1] += one.weak[:, -1]
        through = column + len(one.value)
        rows[:t, through : through + len(one.flux)] = -one.through
        for own, weights in ((one.value, one.value_weights), (one.flux, one.flux_weights)):
            block = rows[row : row + len(own)]
            block[:, :n], block[:, -1] = own[:, :-1], own[:, -1]
            block[:, column : column + len(own)] = -torch.diag(weights)
            column, row = column + len(own), row + len(own)
    for own in form.conditions:
        rows[row : row + len(own), :n], rows[row : row + len(own), -1] = own[:, :-1], own[:, -1]
        row += len(own)
    rows[:t] = torch.linalg.solve_triangular(form.factor, rows[:t], upper=False)
    return Front((cell, *(cells + one.face for one in met)), rows)
