"""The cells that the sources of the equations need: found from the data, before there is a solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pdekan.cells.refinement import UNSEEN, RefinementRule
from pdekan.cells.rows import linearised, sizes
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Array, Quadrature, tensor_gauss
from pdekan.networks import legendre
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import term_at

# Points along an axis at which sources are compared with their polynomials, so that nothing narrower than a cell is missed:
# by dimension; primes, so that they are not the cells' own.
LOOKED_AT = {1: 65521, 2: 359, 3: 61}
CHUNK = 2**22  # numbers at a time
RULE = RefinementRule()


@dataclass(frozen=True, eq=False)
class _Resolution:
    """How well polynomials represent the sources in cells.

    coefficients: ``(m, E, order^d)`` of the sources' Legendre series. factors: ``(m,)`` that make a source's mean square
    root in a cell an indicator. tails: ``(m, d)`` indicators of the coefficients above degree p - 2 along every axis.
    """

    coefficients: Array
    factors: Array
    tails: Array

    def taken(self, cells: Integers) -> _Resolution:
        return _Resolution(self.coefficients[cells], self.factors[cells], self.tails[cells])

    @property
    def size(self) -> float:
        """The indicator of the sources themselves."""
        return float(np.sqrt(((self.factors[:, None, None] * self.coefficients) ** 2).sum()))


@torch.no_grad()
def resolving(
    problem: Problem,
    partition: Partition,
    degree: int,
    goals: Sequence[float],
    most: int,
    rule: RefinementRule = RULE,
) -> Partition:
    """The partition, cut until polynomials of degree p - 2 represent the equations' sources.

    goals: relative to the sources' size, falling; the last one is met for which at most `most` cells are enough. A cell
    is cut along the axes along which the highest Legendre coefficients are too large, and along all where the series is wrong
    at points that it does not use.
    """
    found = _resolution(problem, partition, np.arange(partition.count), degree)
    for goal in goals:
        partition, found, met = _to_goal(problem, partition, found, degree, goal, most, rule)
        if not met:
            break
    return partition


def _to_goal(
    problem: Problem,
    partition: Partition,
    found: _Resolution,
    degree: int,
    goal: float,
    most: int,
    rule: RefinementRule,
) -> tuple[Partition, _Resolution, bool]:
    """The cells that meet a goal, or as many as are allowed; whether they meet it."""
    looked = False
    while True:
        enough = goal * found.size / np.sqrt(partition.count)
        worst = found.tails.max(1)
        chosen = np.flatnonzero(worst > enough).tolist()
        axes = {cell: np.flatnonzero(found.tails[cell] >= rule.along * worst[cell]).tolist() for cell in chosen}
        if not axes and not looked:
            looked = True
            wrong = _wrong(problem, partition, found, degree + UNSEEN, enough)
            axes = {int(cell): list(range(partition.dimension)) for cell in wrong}
        if not axes:
            return partition, found, True
        looked = False
        worst_first = sorted(axes, key=lambda cell: -worst[cell])[: most - partition.count]
        finer, former = partition.refined({cell: axes[cell] for cell in worst_first})
        if partition.count >= most or finer.count > most:
            return partition, found, False
        partition = finer
        kept = np.bincount(former)[former] == 1
        new, found = _resolution(problem, partition, np.flatnonzero(~kept), degree), found.taken(former)
        for name in ("coefficients", "factors", "tails"):
            getattr(found, name)[~kept] = getattr(new, name)


def _resolution(problem: Problem, partition: Partition, cells: Integers, degree: int) -> _Resolution:
    """How well the sources are represented in some cells."""
    low, high = (corner[cells] for corner in partition.cells)
    (m, d), order = low.shape, degree + UNSEEN
    points, weights = on_boxes(low, high, None, order)
    rule = Quadrature(points.reshape(-1, d), weights.ravel())
    nodes, gauss = np.polynomial.legendre.leggauss(order)
    transform = legendre.legendre(torch.as_tensor(nodes), order - 1)[0].numpy().T * (0.5 * gauss)
    squares, series = np.zeros(m), []
    for equation in problem.equations:
        term = term_at(problem, "equation", "equation", equation.operator, equation.source, rule, torch.device("cpu"))
        one = linearised(term, None)
        sides = torch.as_tensor(np.repeat(high - low, points.shape[1], 0))
        squares += sizes(one.slope, sides).sum(1).reshape(m, -1).mean(1).numpy()
        values = one.right.numpy().reshape(m, *(order,) * d)
        for k in range(d):
            values = np.moveaxis(np.tensordot(values, transform, axes=([1 + k], [1])), -1, 1 + k)
        series.append(values)
    factors = np.sqrt(weights.sum(1)) / (np.sqrt(np.maximum(squares, 1e-300)) * (high - low).min(axis=1))
    coefficients = np.stack(series, axis=1)
    parts = [np.take(coefficients, range(degree - 1, order), axis=2 + k).reshape(m, -1) for k in range(d)]
    tails = factors[:, None] * np.stack([np.sqrt((part**2).sum(1)) for part in parts], axis=1)
    return _Resolution(coefficients.reshape(m, len(series), -1), factors, tails)


def _wrong(problem: Problem, partition: Partition, found: _Resolution, order: int, enough: float) -> Integers:
    """The cells in which the series of a source is wrong at some of many points."""
    d = partition.dimension
    rule = tensor_gauss(partition.lower, partition.upper, (LOOKED_AT[d],) * d, 1)
    low, high = partition.cells
    wrong = np.zeros(partition.count)
    for rows in np.array_split(np.arange(len(rule.points)), max(1, len(rule.points) * order**d // CHUNK)):
        points = rule.points[rows]
        cell = partition.locate(torch.as_tensor(points)).numpy()
        position = torch.as_tensor((points - low[cell]) * (2.0 / (high - low))[cell] - 1.0)
        basis = legendre.legendre(position[:, 0], order - 1)[0].numpy()
        for k in range(1, d):
            basis = (basis[:, :, None] * legendre.legendre(position[:, k], order - 1)[0].numpy()[:, None]).reshape(
                len(rows), -1
            )
        for e, equation in enumerate(problem.equations):
            piece = Quadrature(points, rule.weights[rows])
            term = term_at(problem, "equation", "equation", equation.operator, equation.source, piece, torch.device("cpu"))
            deviation = np.abs(linearised(term, None).right.numpy() - (basis * found.coefficients[cell, e]).sum(1))
            np.maximum.at(wrong, cell, deviation * found.factors[cell])
    return np.flatnonzero(wrong > 10.0 * enough)
