"""The cells that the sources of the equations need: found from the data, before there is a solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pdekan.cells.refinement import UNSEEN, RefinementRule
from pdekan.cells.rows import linearised, sizes
from pdekan.domains.cell_rules import on_boxes
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Array, Quadrature, sobol
from pdekan.networks import legendre
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import term_at

# Points at which sources are compared with their polynomials, so that nothing narrower than a cell is missed: by dimension.
LOOKED_AT = {1: 2**16, 2: 2**17, 3: 2**18}
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
    problem: Problem, partition: Partition, degree: int, goal: float, most: int, rule: RefinementRule = RULE
) -> Partition:
    """The partition, cut until polynomials of degree p - 2 represent the equations' sources, relative to `goal`.

    most: cells. A cell is cut along the axes along which the highest Legendre coefficients are too large, and along all where
    the series is wrong at points that it does not use.
    """
    device = torch.device("cpu")
    found, looked = _resolution(problem, partition, np.arange(partition.count), degree, device), False
    while partition.count < most:
        enough = goal * found.size / np.sqrt(partition.count)
        worst = found.tails.max(1)
        axes = {
            int(c): np.flatnonzero(found.tails[c] >= rule.along * worst[c]).tolist() for c in np.flatnonzero(worst > enough)
        }
        if not axes and not looked:
            looked = True
            wrong = _wrong(problem, partition, found, degree + UNSEEN, enough, device)
            axes = {int(cell): list(range(partition.dimension)) for cell in wrong}
        if not axes:
            break
        looked = looked and not axes
        partition, former = partition.refined(axes)
        kept = np.bincount(former)[former] == 1
        new = _resolution(problem, partition, np.flatnonzero(~kept), degree, device)
        found = found.taken(former)
        for name in ("coefficients", "factors", "tails"):
            getattr(found, name)[~kept] = getattr(new, name)
    return partition


def _resolution(problem: Problem, partition: Partition, cells: Integers, degree: int, device: torch.device) -> _Resolution:
    """How well the sources are represented in some cells."""
    low, high = (corner[cells] for corner in partition.cells)
    (m, d), order = low.shape, degree + UNSEEN
    points, weights = on_boxes(low, high, None, order)
    rule = Quadrature(points.reshape(-1, d), weights.ravel())
    nodes, gauss = np.polynomial.legendre.leggauss(order)
    transform = legendre.legendre(torch.as_tensor(nodes), order - 1)[0].numpy().T * (0.5 * gauss)
    squares, series = np.zeros(m), []
    for equation in problem.equations:
        term = term_at(problem, "equation", "equation", equation.operator, equation.source, rule, device)
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


def _wrong(
    problem: Problem, partition: Partition, found: _Resolution, order: int, enough: float, device: torch.device
) -> Integers:
    """The cells in which the series of a source is wrong at some of many points."""
    d = partition.dimension
    rule = sobol(partition.lower, partition.upper, LOOKED_AT[d], seed=1)
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
            term = term_at(problem, "equation", "equation", equation.operator, equation.source, piece, device)
            deviation = np.abs(linearised(term, None).right.numpy() - (basis * found.coefficients[cell, e]).sum(1))
            np.maximum.at(wrong, cell, deviation * found.factors[cell])
    return np.flatnonzero(wrong > 10.0 * enough)
