"""Patches: cells in space that have the same nodes, with the equations or conditions that hold there at every time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.mesh import Mesh
from pdekan.cells.symbols import Coefficients, coefficients
from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jet_parts import jet_of, split
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.multi_indices import Index
from pdekan.networks import legendre
from pdekan.problems.formulas import Field, Formula, RightHandSide
from pdekan.problems.places import Faces
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, term_at


@dataclass(frozen=True, eq=False)
class Patch:
    """operator = value at nodes ``(g, d)`` of [-1, 1]^d in each of m cells of one degree.

    scale: ``(m, d)`` 2/h. rule: the points in space, cell by cell. column: of time among the problem's coordinates. Polynomials
    have coefficients ``(m, U, n)``.
    """

    problem: Problem
    label: str
    group: str
    operator: Field
    value: Formula | RightHandSide
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
        return len(self.cells), len(self.nodes)

    @property
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
        return term_at(
            self.problem, self.label, self.group, self.operator, self.value, self.at(times), self.nodes.device
        )

    def basis(self, index: Index) -> Tensor:
        """A derivative in space of the cells' functions, by the coordinates of the nodes ``(g, n)``."""
        if index not in self._tables:
            which = torch.as_tensor(legendre.exponents(self.nodes.shape[1], self.degree)).to(self.nodes.device)
            value = torch.ones_like(self.nodes[:, :1])
            for k in range(self.nodes.shape[1]):
                order = index.count(k)
                value = value * legendre.legendre(self.nodes[:, k], self.degree, order)[order][:, which[:, k]]
            self._tables[index] = value
        return self._tables[index]

    def factor(self, index: Index) -> Tensor:
        """What a derivative has to be multiplied by in the cells ``(m,)``."""
        return self.scale[:, list(index)].prod(1) if index else torch.ones_like(self.scale[:, 0])

    def jet(self, frame: Frame, series: Sequence[Tensor]) -> Jet:
        """The jet at the points of some times. series: coefficients ``(times, m, U, n)`` of the function and of its
        derivatives by time.
        """

        @functools.cache
        def derivative(index: Index) -> Tensor:
            space, times = split(index, self.column)
            scaled = series[times] * self.factor(space)[:, None, None]
            return torch.einsum("gn,tmun->tmgu", self.basis(space), scaled).flatten(0, 2)

        return jet_of(frame, derivative)

    def slopes(self, time: float, series: Sequence[Tensor]) -> Coefficients:
        """The coefficients of the operator, linearised at a time about a function, ``(m g, U)`` each."""
        term = self.term([time])
        return coefficients(term.linearised(self.jet(term.frame, series))[1])

    def rows(self, symbol: Mapping[Index, Tensor]) -> Tensor:
        """The rows ``(m, g, U, n)`` of an operator in space."""
        return reduce(torch.add, (part[..., None] * self.basis(index)[:, None] for index, part in self._scaled(symbol)))

    def pulled_back(self, symbol: Mapping[Index, Tensor], residual: Tensor) -> Tensor:
        """The rows' adjoint applied to a residual ``(m, g)``: ``(m, U, n)``."""
        pairs = ((index, part.conj() * residual[..., None]) for index, part in self._scaled(symbol))
        return reduce(torch.add, (torch.einsum("gn,mgu->mun", self.basis(index).to(part), part) for index, part in pairs))

    def applied(self, symbol: Mapping[Index, Tensor], coefficients: Tensor) -> Tensor:
        """The rows applied to functions with coefficients ``(m, U, n)``: ``(m, g)``."""
        pairs = ((part, torch.einsum("gn,mun->mgu", self.basis(index).to(coefficients), coefficients)) for index, part in self._scaled(symbol))
        return reduce(torch.add, ((part * values).sum(2) for part, values in pairs))

    def _scaled(self, symbol: Mapping[Index, Tensor]) -> Iterator[tuple[Index, Tensor]]:
        """The coefficients ``(m, g, U)`` of derivatives by the coordinates of the nodes."""
        for index, part in symbol.items():
            yield index, part.reshape(*self.shape, -1) * self.factor(index)[:, None, None]


def inside(problem: Problem, mesh: Mesh, column: int, more: int, device: torch.device) -> Iterator[list[Patch]]:
    """The patches of the equations, those at the same points together."""
    several = len(problem.equations) > 1
    for cells in mesh.geometry.groups(mesh.degrees):
        degree = int(mesh.degrees[cells[0]])
        points, weights = mesh.geometry.rule(cells, degree + more)
        d = points.shape[2]
        rule = Quadrature(points.reshape(-1, d), weights.ravel())
        nodes = None
        if bool(mesh.geometry.whole[cells].all()):
            nodes = torch.as_tensor(reference_rule(d, degree + more)[0])
        yield [
            _patch(
                problem, f"equation {k + 1}" if several else "equation", "equation", one.operator, one.source,
                mesh, cells, degree, rule, column, device, nodes,
            )
            for k, one in enumerate(problem.equations)
        ]  # fmt: skip


def on_boundary(problem: Problem, mesh: Mesh, column: int, more: int, device: torch.device) -> Iterator[Patch]:
    """The patches of the conditions in space."""
    for cells in mesh.geometry.groups(mesh.degrees):
        degree = int(mesh.degrees[cells[0]])
        for condition in problem.conditions:
            for one in condition.weakly().requirements(problem):
                names = one.place.names if isinstance(one.place, Faces) and not condition.is_initial else ()
                for name in names:
                    for which, rule in mesh.geometry.boundary(cells, name, degree + more):
                        yield _patch(
                            problem, one.label, "conditions", one.operator, one.value,
                            mesh, cells[which], degree, rule, column, device, None,
                        )  # fmt: skip


def _patch(
    problem: Problem,
    label: str,
    group: str,
    operator: Field,
    value: Formula | RightHandSide,
    mesh: Mesh,
    cells: Integers,
    degree: int,
    rule: Quadrature,
    column: int,
    device: torch.device,
    nodes: Tensor | None,
) -> Patch:
    low, high = mesh.geometry.low[cells], mesh.geometry.high[cells]
    scale = 2.0 / (high - low)
    if nodes is None:
        first = rule.points[: len(rule.points) // len(cells)]
        nodes = torch.as_tensor((first - low[0]) * scale[0] - 1.0)
    return Patch(
        problem, label, group, operator, value, cells, degree, nodes.to(device), torch.as_tensor(scale).to(device), rule, column
    )
