"""What the faces and the pieces of interfaces add to the rows of cells in the dual norm of the energy, see `energy`.

Every face has unknowns of its own, the coefficients of the value u and of the flux λ through it in orthonormal functions φ_m.
A jump of values in mode m costs the energy (a_n (p + 1)²/h + √(a_n a_t) m/l) |jump|², a_n and a_t being the coefficients across
the face and along it, h the side of the cell and l that of the face: the largest slope of a polynomial of degree p is (p + 1)²
times as large as that of a linear one, by Markov's inequality. Without the square, jumps are cheaper than boundary layers.
Fluxes are measured by the polynomials of the cell, see `energy`; where a cell has many small faces these do not see all modes,
which rows of their own do: |jump|² over a_n/h + √(a_n a_t) m/l.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.interfaces import both_sides, face_series
from pdekan.cells.mesh import Mesh
from pdekan.cells.principal import Principal
from pdekan.cells.rows import Linearised, rows_at
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks import legendre
from pdekan.problems.places import Across, Requirement

UNSEEN = 0.03  # how much of their energy rows of fluxes count, beside the polynomials of the cells


class Contact(NamedTuple):
    """What a face adds to a cell with n unknowns: weighted rows [a | b] of values ``(v, n + 1)`` and fluxes ``(q, n + 1)``,
    from which weights ``(v,)`` and ``(q,)`` times the unknowns of the face are subtracted, and the terms of the weak form:
    those of the cell ``(T, n + 1)``, and those of the unknown fluxes ``(T, q)``, which are subtracted.
    """

    face: int
    value: Tensor
    value_weights: Tensor
    flux: Tensor
    flux_weights: Tensor
    weak: Tensor
    through: Tensor


@dataclass(frozen=True, eq=False)
class _Side:
    """Faces as they are seen from the cells on one side of them, all of one degree.

    numbers: ``(f,)`` of the faces. rule: as many points on each, with the normals to which fluxes refer. sign: 1 where these
    lead out of the cells, -1 where they lead into them. series: ``(f, v, g)`` from values to coefficients. modes: ``(v,)``.
    fluxes: how many of the functions fluxes have. value, flux: what is continuous; None for u and n·A∇u.
    """

    numbers: Sequence[int]
    cells: Integers
    rule: Quadrature
    sign: float
    series: Tensor
    modes: Tensor
    fluxes: int
    value: Linearised | None = None
    flux: Linearised | None = None


def contacts(mesh: Mesh, principal: Principal, more: int) -> tuple[dict[int, list[Contact]], list[int]]:
    """The contacts of every cell, and the numbers of unknowns of all faces, then of all pieces of interfaces.

    more: by how much the degrees of the polynomials of the weak form are higher than those of the cells.
    """
    found: dict[int, list[Contact]] = defaultdict(list)
    sizes: list[int] = []
    for sides in (_faces(mesh, more), _pieces(mesh, principal, more)):
        for side in sides:
            for number, cell, contact in zip(
                side.numbers, side.cells.tolist(), _of_side(mesh, principal, side, more), strict=True
            ):
                found[cell].append(contact)
                sizes += [0] * (number + 1 - len(sizes))
                sizes[number] = len(side.modes) + side.fluxes
    return found, sizes


def costs(principal: Principal, rule: Quadrature, sides: Tensor, sign: float, count: int) -> tuple[Tensor, Tensor]:
    """a_n/h and √(a_n a_t)/l ``(f,)`` of faces with as many points of a rule on each, of cells with sides ``(f g, d)``."""
    assert rule.normals is not None
    normals = torch.as_tensor(rule.normals).to(sides)
    a, d = principal.beside(rule.points, sign * rule.normals), sides.shape[1]
    across = torch.einsum("xi,xij,xj->x", normals, a, normals)
    along = (a.diagonal(dim1=1, dim2=2).sum(1) - across) / max(d - 1, 1)
    weights = torch.as_tensor(rule.weights).to(sides).reshape(count, -1)
    share = weights / weights.sum(1, keepdim=True)
    a_n, a_t, h = ((share * part.reshape(count, -1)).sum(1) for part in (across, along, (normals.abs() * sides).sum(1)))
    return a_n / h, (a_n * a_t).clamp_min(0.0).sqrt() / weights.sum(1) ** (1.0 / max(d - 1, 1))


def _of_side(mesh: Mesh, principal: Principal, side: _Side, more: int) -> Iterator[Contact]:
    """The contacts of the cells on one side."""
    rule, m, degree = side.rule, len(side.cells), int(mesh.degrees[side.cells[0]])
    assert rule.normals is not None
    corners = principal.corners(mesh, side.cells, len(rule.weights) // m)
    points, normals = (torch.as_tensor(part).to(corners[0]) for part in (rule.points, rule.normals))
    conormal = torch.einsum("xij,xj->xi", principal.beside(rule.points, side.sign * rule.normals), normals)
    factor = conormal.new_ones(len(points))
    value, flux = side.value, side.flux
    if flux is None:
        frame = Frame(principal.problem.domain.coordinates, Derivatives.GRADIENT)
        flux = Linearised(Jet(frame, conormal.new_zeros(len(points), 1), conormal[:, None]), torch.zeros_like(factor))
    else:
        assert flux.slope.gradient is not None
        factor = (conormal * normals).sum(1) / (flux.slope.gradient[:, 0] * normals).sum(1)
    if value is None:
        frame = Frame(principal.problem.domain.coordinates, Derivatives.VALUE)
        value = Linearised(Jet(frame, factor[:, None] ** 0), torch.zeros_like(factor))
    values = (rows_at(value, points, corners, degree) / value.slope.value[:, :1]).reshape(m, len(points) // m, -1)
    slopes = (rows_at(flux, points, corners, degree) * factor[:, None]).reshape(values.shape)
    tests = polynomials(points, corners, degree + more, Derivatives.VALUE).value.reshape(m, len(points) // m, -1)
    weights = torch.as_tensor(rule.weights).to(points).reshape(m, -1)
    series, factor = side.series[:, : side.fluxes], factor.reshape(m, -1)
    weak = side.sign * torch.einsum("mgt,mg,mgn->mtn", tests, weights, slopes)
    through = side.sign * torch.einsum("mgt,mg,mqg->mtq", tests, factor, series)
    base, mode = costs(principal, rule, corners[1] - corners[0], side.sign, m)
    cost = base[:, None] + mode[:, None] * side.modes
    of_values, of_fluxes = (cost + ((degree + 1) ** 2 - 1) * base[:, None]).sqrt(), UNSEEN / cost[:, : side.fluxes].sqrt()
    rows = (of_values[:, :, None] * (side.series @ values), of_fluxes[:, :, None] * (series @ slopes))
    scaled = of_fluxes * ((weights * factor).sum(1) / weights.sum(1))[:, None]
    parts = (rows[0], of_values, rows[1], scaled, weak, through)
    yield from (Contact(number, *(part[i] for part in parts)) for i, number in enumerate(side.numbers))


def polynomials(points: Tensor, corners: tuple[Tensor, Tensor], degree: int, level: Derivatives) -> Jet:
    """The basis of a degree at points ``(n, d)`` of cells with corners ``(n, d)``, see `legendre.products`."""
    low, high = corners
    scale = 2.0 / (high - low)
    frame = Frame(tuple(f"x{k}" for k in range(points.shape[1])), level)
    return legendre.products((points - low) * scale - 1.0, scale, degree, frame)


def _faces(mesh: Mesh, more: int) -> Iterator[_Side]:
    """The faces between cells of a region, from both sides."""
    faces, d = mesh.faces, mesh.partition.dimension
    for cells, sign in ((faces.first, 1.0), (faces.second, -1.0)):
        keys = np.stack([mesh.degrees[cells], mesh.face_degrees], axis=1)
        for degree, of_face in np.unique(keys, axis=0).tolist():
            which = np.flatnonzero((keys == (degree, of_face)).all(1))
            axis, rows = faces.axis[which], np.arange(len(which))
            points, weights = on_boxes(faces.lower[which], faces.upper[which], axis, of_face + more + 1)
            normals = np.zeros_like(points)
            normals[rows, :, axis] = 1.0
            if sign < 0.0:
                points[rows, :, axis] += faces.shift[which][:, None]
            rule = Quadrature(points.reshape(-1, d), weights.ravel(), normals.reshape(-1, d))
            yield _Side(which.tolist(), cells[which], rule, sign, *_functions(rule, len(which), of_face, more))


def _functions(rule: Quadrature, count: int, degree: int, more: int) -> tuple[Tensor, Tensor, int]:
    """The series of some faces, the modes of its functions, and how many of them fluxes have."""
    d = rule.points.shape[1] - 1
    series = face_series(torch.as_tensor(rule.weights).reshape(count, -1), d, degree + more + 1, degree)
    if d == 0:
        return series.reshape(count, 1, 1), torch.zeros(1, dtype=torch.float64), 1
    return series, torch.as_tensor(legendre.exponents(d, degree).sum(1)).to(series), legendre.count(d, degree - 1)


def _pieces(mesh: Mesh, principal: Principal, more: int) -> Iterator[_Side]:
    """The pieces of interfaces from both sides, each once."""
    joints, problem = mesh.joints, principal.problem
    assert joints is not None
    firsts = np.unique(joints.place, return_index=True)[1]
    pairs = np.stack([mesh.degrees[joints.outer], mesh.degrees[joints.inner]], axis=1)
    last = len(mesh.faces)
    for shape, (of_value, of_flux) in enumerate(jumps(principal)):
        mine = firsts[joints.shape[firsts] == shape]
        for degrees in np.unique(pairs[mine], axis=0):
            which, degree = mine[(pairs[mine] == degrees).all(1)], int(degrees.max())
            rule = joints.rule(which, degree + more + 1)
            value, flux = (both_sides(problem, one, rule, principal.network, principal.device) for one in (of_value, of_flux))
            numbers = range(last, last + len(which))
            last += len(which)
            functions = _functions(rule, len(which), degree, more)
            for k, (cells, sign) in enumerate(((joints.outer, -1.0), (joints.inner, 1.0))):
                yield _Side(numbers, cells[which], rule, sign, *functions, value[k], flux[k])


def jumps(principal: Principal) -> list[tuple[Requirement, Requirement]]:
    """For every shape the jump of values and that of fluxes that are given; none for the shapes where others are given."""
    problem, found = principal.problem, []
    for name, shape in problem.interfaces.items():
        given = [one for condition in problem.conditions for one in condition.requirements(problem)]
        own = [one for one in given if isinstance(one.place, Across) and one.place.interface == name]
        rule = shape.face(shape.faces[0], 1, 2, 1, 0)
        assert rule.normals is not None
        points, normals = torch.as_tensor(rule.points[:2]), torch.as_tensor(rule.normals[:2])
        slopes = [problem.level_of(one.operator, points, normals) > Derivatives.VALUE for one in own]
        if sorted(slopes) == [False, True]:
            found.append((own[slopes.index(False)], own[slopes.index(True)]))
    return found
