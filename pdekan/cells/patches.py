"""Patches: cells in space with their nodes, and the equations or conditions that hold there at every time."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.mesh import Mesh
from pdekan.cells.symbols import Coefficients, coefficients
from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jet_parts import jet_of, split
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.multi_indices import Index
from pdekan.networks import legendre
from pdekan.problems.formulas import Field, Formula, RightHandSide
from pdekan.problems.places import Faces
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, term_at

ALIKE = 16  # numbers of points are rounded up to multiples of it, with weights of zero


@dataclass(frozen=True, eq=False)
class Statement:
    """operator = value, of an equation or a condition."""

    label: str
    group: str
    operator: Field
    value: Formula | RightHandSide


@dataclass(frozen=True, eq=False)
class Patch:
    """A statement at nodes of m cells of one degree.

    nodes: ``(m, g, d)`` in [-1, 1]^d, or ``(1, g, d)`` where those of all cells are the same. scale: ``(m, d)`` 2/h. rule: the
    points in space, cell by cell. column: of time among the problem's coordinates. Polynomials have coefficients ``(m, U, n)``.
    """

    problem: Problem
    statement: Statement
    cells: Integers
    degree: int
    nodes: Tensor
    scale: Tensor
    rule: Quadrature
    column: int
    _tables: dict[Index, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of cells and of nodes."""
        return len(self.cells), self.nodes.shape[1]

    @property
    def index(self) -> Tensor:
        """The numbers of the cells."""
        return torch.as_tensor(self.cells)

    @functools.cached_property
    def weights(self) -> Tensor:
        """Those of the rule ``(m, g)``."""
        return torch.as_tensor(self.rule.weights).to(self.nodes).reshape(self.shape)

    def at(self, times: Sequence[float]) -> Quadrature:
        """The points at times, those of a time together."""
        normals = self.rule.normals
        return Quadrature(
            np.concatenate([np.insert(self.rule.points, self.column, t, axis=1) for t in times]),
            np.tile(self.rule.weights, len(times)),
            None if normals is None else np.tile(np.insert(normals, self.column, 0.0, axis=1), (len(times), 1)),
        )

    def term(self, times: Sequence[float]) -> Term:
        """What holds, at times."""
        one = self.statement
        return term_at(self.problem, one.label, one.group, one.operator, one.value, self.at(times), self.nodes.device)

    def basis(self, index: Index) -> Tensor:
        """A derivative in space of the cells' functions, by the coordinates of the nodes ``(m or 1, g, n)``."""
        if index not in self._tables:
            which = torch.as_tensor(legendre.exponents(self.nodes.shape[2], self.degree)).to(self.nodes.device)
            value = torch.ones_like(self.nodes[..., :1])
            for k in range(self.nodes.shape[2]):
                order = index.count(k)
                value = value * legendre.legendre(self.nodes[..., k], self.degree, order)[order][..., which[:, k]]
            self._tables[index] = value
        return self._tables[index]

    def factor(self, index: Index) -> Tensor:
        """What a derivative has to be multiplied by in the cells ``(m,)``."""
        return self.scale[:, list(index)].prod(1) if index else torch.ones_like(self.scale[:, 0])

    def values(self, index: Index, functions: Tensor) -> Tensor:
        """A derivative ``(t, m, g, U)`` of functions with coefficients ``(t, m, U, n)``."""
        scaled, basis = functions * self.factor(index)[:, None, None], self.basis(index).to(functions)
        if len(basis) == 1:
            return torch.einsum("gn,tmun->tmgu", basis[0], scaled)
        return torch.einsum("mgn,tmun->tmgu", basis, scaled)

    def jet(self, frame: Frame, series: Sequence[Tensor]) -> Jet:
        """The jet at the points of some times. series: coefficients ``(t, m, U, n)`` of the function and of its derivatives by
        time.
        """

        @functools.cache
        def derivative(index: Index) -> Tensor:
            space, times = split(index, self.column)
            return self.values(space, series[times]).flatten(0, 2)

        return jet_of(frame, derivative)

    def slopes(self, time: float, series: Sequence[Tensor]) -> Coefficients:
        """The coefficients of the operator, linearised at a time about a function, ``(m g, U)`` each."""
        term = self.term([time])
        return coefficients(term.linearised(self.jet(term.frame, series))[1])

    def rows(self, symbol: Mapping[Index, Tensor]) -> Tensor:
        """The rows ``(m, g, U, n)`` of an operator in space."""
        return reduce(torch.add, (part[..., None] * self.basis(index)[:, :, None] for index, part in self._scaled(symbol)))

    def pulled_back(self, symbol: Mapping[Index, Tensor], residual: Tensor) -> Tensor:
        """The rows' adjoint applied to a residual ``(m, g)``: ``(m, U, n)``."""

        def one(index: Index, part: Tensor) -> Tensor:
            weighted = part.conj() * residual[..., None]
            basis = self.basis(index).to(weighted)
            return torch.einsum("gn,mgu->mun", basis[0], weighted) if len(basis) == 1 else weighted.mT @ basis

        return reduce(torch.add, (one(index, part) for index, part in self._scaled(symbol)))

    def applied(self, symbol: Mapping[Index, Tensor], coefficients: Tensor) -> Tensor:
        """The rows applied to functions with coefficients ``(m, U, n)``: ``(m, g)``."""
        parts = symbol.items()
        return reduce(
            torch.add,
            ((part.reshape(*self.shape, -1) * self.values(index, coefficients[None])[0]).sum(2) for index, part in parts),
        )

    def _scaled(self, symbol: Mapping[Index, Tensor]) -> Iterator[tuple[Index, Tensor]]:
        """The coefficients ``(m, g, U)`` of derivatives by the coordinates of the nodes."""
        for index, part in symbol.items():
            yield index, part.reshape(*self.shape, -1) * self.factor(index)[:, None, None]


def inside(problem: Problem, mesh: Mesh, column: int, more: int, device: torch.device) -> list[list[Patch]]:
    """The patches of the equations, those at the same points together. more: points along an axis than the degree."""
    several = len(problem.equations) > 1
    statements = [
        Statement(f"equation {k + 1}" if several else "equation", "equation", one.operator, one.source)
        for k, one in enumerate(problem.equations)
    ]
    out, cut = [], []
    for cells in mesh.geometry.groups(mesh.degrees):
        degree = int(mesh.degrees[cells[0]])
        points, weights = mesh.geometry.rule(cells, degree + more)
        rule = Quadrature(points.reshape(-1, points.shape[2]), weights.ravel())
        if not bool(mesh.geometry.whole[cells].all()):
            cut.append((int(cells[0]), rule))
            continue
        nodes = torch.as_tensor(reference_rule(points.shape[2], degree + more)[0])[None]
        scale = _scale(mesh, cells)
        out.append(
            [
                Patch(problem, one, cells, degree, nodes.to(device), torch.as_tensor(scale).to(device), rule, column)
                for one in statements
            ]
        )
    for same in _alike(cut):
        out.append([_of_single(problem, one, mesh, same, column, device) for one in statements])
    return out


def on_boundary(problem: Problem, mesh: Mesh, column: int, more: int, device: torch.device) -> list[Patch]:
    """The patches of the conditions in space."""
    degree, active = int(mesh.degrees[0]), np.flatnonzero(mesh.geometry.active)
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    statements: dict[tuple[int, int], Statement] = {}
    for condition in problem.conditions:
        for one in condition.weakly().requirements(problem) if not condition.is_initial else ():
            if isinstance(one.place, Faces):
                key = id(one.operator), id(one.value)
                names[key] += one.place.names
                statements[key] = Statement(one.label, "conditions", one.operator, one.value)
    out = []
    for key, statement in statements.items():
        single = []
        for name in names[key]:
            for which, rule in mesh.geometry.boundary(active, name, degree + more):
                single += list(zip(active[which].tolist(), _split(rule, len(which)), strict=True))
        out += [_of_single(problem, statement, mesh, same, column, device) for same in _alike(single)]
    return out


Single = tuple[int, Quadrature]  # a cell, and points in it


def _split(rule: Quadrature, count: int) -> Iterator[Quadrature]:
    """A rule in parts of as many points."""
    assert rule.normals is not None
    parts = (np.split(values, count) for values in (rule.points, rule.weights, rule.normals))
    return (Quadrature(*part) for part in zip(*parts, strict=True))


def _alike(single: Iterable[Single]) -> list[list[Single]]:
    """Cells with about as many points."""
    out: dict[int, list[Single]] = defaultdict(list)
    for cell, rule in single:
        out[-(-len(rule.weights) // ALIKE)].append((cell, rule))
    return list(out.values())


def _of_single(
    problem: Problem, statement: Statement, mesh: Mesh, same: list[Single], column: int, device: torch.device
) -> Patch:
    """The patch of cells with nodes of their own, filled up with points of weight zero."""
    most = max(len(rule.weights) for _, rule in same)
    cells = np.array([cell for cell, _ in same])

    def filled(values: Array) -> Array:
        return np.concatenate([values, np.repeat(values[:1], most - len(values), axis=0)])

    points = np.stack([filled(rule.points) for _, rule in same])
    weights = np.stack([np.pad(rule.weights, (0, most - len(rule.weights))) for _, rule in same])
    normals = None
    if same[0][1].normals is not None:
        normals = np.concatenate([filled(rule.normals) for _, rule in same if rule.normals is not None])
    scale = _scale(mesh, cells)
    nodes = (points - mesh.geometry.low[cells][:, None]) * scale[:, None] - 1.0
    rule = Quadrature(points.reshape(-1, points.shape[2]), weights.ravel(), normals)
    return Patch(
        problem, statement, cells, int(mesh.degrees[0]), torch.as_tensor(nodes).to(device), torch.as_tensor(scale).to(device),
        rule, column,
    )  # fmt: skip


def _scale(mesh: Mesh, cells: Integers) -> Array:
    return 2.0 / (mesh.geometry.high - mesh.geometry.low)[cells]
