"""Conditions on means: each as rows of single cells that add up its integral from cell to cell.

With a_i · x_i - b_i the integral of the residual operator(u) - value over cell i, unknowns s_i are defined by
s_i = s_{i-1} + a_i · x_i - b_i, s_0 = 0 and s_m = 0. Every row has unknowns of one cell and two of the s, which are those of
its neighbours in the order of the tree: nested dissection keeps two of them at any node, and no row is dense. As the sum of m
rows has m times the variance of each, all are weighted by √m.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.elimination import Front
from pdekan.cells.rows import MORE_POINTS, CellRows, linearised, local_rows, sizes
from pdekan.domains.partition import Integers
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Quadrature
from pdekan.networks.base import Network
from pdekan.problems.places import Faces, Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import term_at


@dataclass(frozen=True, eq=False)
class Integrals:
    """Of a mean's residual. rows: [a | b] ``(U n + 1,)`` by cell. weight: of the mean."""

    rows: dict[int, Tensor]
    weight: float


def integrals(
    problem: Problem, geometry: CellGeometry, groups: list[CellRows], degrees: Integers, network: Network | None
) -> list[Integrals]:
    """Those of all means, of a problem linearised about a network's function."""
    means = [one for condition in problem.conditions for one in condition.requirements(problem) if one.is_mean]
    return [_integrals(problem, geometry, groups, degrees, network, one) for one in means]


def chained(fronts: dict[int, Front], order: list[tuple[int, int]], means: list[Integrals], first: int) -> dict[int, Front]:
    """The fronts of leaves with the rows of means. order: cells with their nodes; first: the number of the first new block."""
    for k, mean in enumerate(means):
        cells = [(cell, node) for cell, node in order if cell in mean.rows]
        weight = mean.weight * len(cells) ** 0.5
        for i, (cell, node) in enumerate(cells):
            before, after = first + k * len(order) + i - 1, first + k * len(order) + i
            added = {before: 1.0} if i > 0 else {}
            added |= {after: -1.0} if i + 1 < len(cells) else {}
            fronts[node] = _with_row(fronts[node], cell, weight * mean.rows[cell], {b: weight * v for b, v in added.items()})
    return fronts


def _with_row(front: Front, cell: int, own: Tensor, added: dict[int, float]) -> Front:
    """A front with one more row: of the cell's own block, which is the first, and of new blocks with one unknown each."""
    assert front.blocks[0] == cell
    width, tall = front.rows.shape[1] - 1, len(front.rows)
    rows = front.rows.new_zeros(tall + 1, width + len(added) + 1)
    rows[:tall, :width], rows[:tall, -1] = front.rows[:, :-1], front.rows[:, -1]
    rows[tall, : len(own) - 1], rows[tall, -1] = own[:-1], own[-1]
    rows[tall, width:-1] = torch.tensor(list(added.values()), dtype=torch.float64)
    return Front((*front.blocks, *added), rows)


def _integrals(
    problem: Problem,
    geometry: CellGeometry,
    groups: list[CellRows],
    degrees: Integers,
    network: Network | None,
    mean: Requirement,
) -> Integrals:
    """The weight is that of values in the rows of cells, for the root mean square over the place."""
    rows: dict[int, Tensor] = {}
    factor = measure = 0.0
    for group in groups:
        degree = int(degrees[group.cells[0]])
        low, high = (torch.as_tensor(corner[group.cells]).to(group.rows.device) for corner in (geometry.low, geometry.high))
        for index, rule in _rules(geometry, group.cells, mean, degree + MORE_POINTS):
            g = len(rule.weights) // len(index)
            term = term_at(problem, mean.label, "conditions", mean.operator, mean.value, rule, low.device)
            one = linearised(term, network)
            each = tuple(corner[index].repeat_interleave(g, 0) for corner in (low, high))
            weights = torch.as_tensor(rule.weights).to(low)[:, None]
            sums = (local_rows(one, term, (each[0], each[1]), degree) * weights).reshape(len(index), g, -1).sum(1)
            own = sizes(one.slope, each[1] - each[0]).reshape(len(index), g, -1).mean(1)
            scale = (group.sizes[index].square() * own).sum(1).sqrt() / own.sum(1).clamp_min(1e-300)
            width = (high - low)[index].amin(1)
            factor = max(factor, float((scale * group.lead[index] * width).max()))
            measure += float(weights.sum())
            for i, row in zip(group.cells[index].tolist(), sums, strict=True):
                rows[i] = rows[i] + row if i in rows else row
    return Integrals(rows, factor / measure**0.5)


def _rules(geometry: CellGeometry, cells: Integers, mean: Requirement, order: int) -> Iterator[tuple[Integers, Quadrature]]:
    """The places of some cells among `cells`, and points of the mean's place in each of them."""
    if isinstance(mean.place, Faces):
        for name in mean.place.names:
            yield from geometry.boundary(cells, name, order)
        return
    points, weights = geometry.rule(cells, order)
    yield np.arange(len(cells)), Quadrature(points.reshape(-1, points.shape[2]), weights.ravel())
