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
from pdekan.domains.quadrature import Array, Quadrature, gauss, tensor_gauss
from pdekan.networks import legendre
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms

# Points along an axis at which sources are compared with their polynomials, so that nothing narrower than a cell is missed:
# by dimension; primes, so that they are not the cells' own.
LOOKED_AT = {1: 65521, 2: 359, 3: 61}
NARROWEST = 1e-10  # of the box: no cell is cut further, as about a place where a source is infinite
MISSED = 10.0  # how much larger than what is enough a deviation at a single point may be
RULE = RefinementRule()


@dataclass(frozen=True)
class Instant:
    """A time at which cells are in space alone, and the length of a step. column: that of time."""

    column: int
    time: float
    length: float


def _points(values: Array, instant: Instant | None) -> Array:
    """Points with all coordinates from those in the cells."""
    return values if instant is None else np.insert(values, instant.column, instant.time, axis=1)


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
    least: float = 0.0,
    instant: Instant | None = None,
) -> Partition:
    """The partition, cut until polynomials of degree p - 2 represent the equations' sources.

    goals: relative to the sources' size, or to `least` where that is more, falling; the last one is met for which at most
    `most` cells are enough. A cell is cut along the axes along which the highest Legendre coefficients are too large, and along
    all where the series is wrong at points that it does not use. instant: of cells in space alone.
    """
    found = _resolution(problem, partition, np.arange(partition.count), degree, instant)
    look = _Look.at(problem, partition, instant)
    for goal in goals:
        partition, found, met = _to_goal(problem, partition, found, look, degree, goal, most, rule, least, instant)
        if not met:
            break
    return partition


def _to_goal(
    problem: Problem,
    partition: Partition,
    found: _Resolution,
    look: _Look,
    degree: int,
    goal: float,
    most: int,
    rule: RefinementRule,
    least: float,
    instant: Instant | None,
) -> tuple[Partition, _Resolution, bool]:
    """The cells that meet a goal, or as many as are allowed; whether they meet it."""
    looked = False
    while True:
        enough = goal * max(found.size, least) / np.sqrt(partition.count)
        worst = found.tails.max(1) if rule.axes is None else found.tails[:, rule.axes].max(1)
        chosen = np.flatnonzero(worst > enough).tolist()
        axes = {cell: rule.cut(found.tails[cell]).tolist() for cell in chosen}
        if not axes and not looked:
            looked = True
            wrong = look.wrong(partition, found, degree + UNSEEN, enough)
            axes = {int(cell): list(rule.axes or range(partition.dimension)) for cell in wrong}
        low, high = partition.cells
        wide = ((high - low) > NARROWEST * (np.array(partition.upper) - np.array(partition.lower))).all(axis=1)
        axes = {cell: along for cell, along in axes.items() if wide[cell]}
        if not axes:
            return partition, found, True
        looked = False
        worst_first = sorted(axes, key=lambda cell: -worst[cell])[: most - partition.count]
        finer, former = partition.refined({cell: axes[cell] for cell in worst_first})
        if partition.count >= most or finer.count > most:
            return partition, found, False
        partition = finer
        kept = np.bincount(former)[former] == 1
        new, found = _resolution(problem, partition, np.flatnonzero(~kept), degree, instant), found.taken(former)
        for name in ("coefficients", "factors", "tails"):
            getattr(found, name)[~kept] = getattr(new, name)


def _resolution(
    problem: Problem, partition: Partition, cells: Integers, degree: int, instant: Instant | None = None
) -> _Resolution:
    """How well the sources are represented in some cells."""
    low, high = (corner[cells] for corner in partition.cells)
    (m, d), order = low.shape, degree + UNSEEN
    points, weights = on_boxes(low, high, None, order)
    rule = Quadrature(_points(points.reshape(-1, d), instant), weights.ravel())
    nodes, gauss = np.polynomial.legendre.leggauss(order)
    transform = legendre.legendre(torch.as_tensor(nodes), order - 1)[0].numpy().T * (0.5 * gauss)
    squares, series = np.zeros(m), []
    for term in equation_terms(problem, rule, torch.device("cpu")):
        one = linearised(term, None)
        sides = np.repeat(high - low, points.shape[1], 0)
        every = torch.as_tensor(sides if instant is None else np.insert(sides, instant.column, instant.length, axis=1))
        squares += sizes(one.slope, every).sum(1).reshape(m, -1).mean(1).numpy()
        values = one.right.numpy().reshape(m, *(order,) * d)
        for k in range(d):
            values = np.moveaxis(np.tensordot(values, transform, axes=([1 + k], [1])), -1, 1 + k)
        series.append(values)
    reach = 0.5 * np.linalg.norm(high - low, axis=1)
    inside = problem.domain.distance(_points(0.5 * (low + high), instant)) > -reach
    inside &= ~partition.parted[cells]  # sources of parts may jump inside of the box
    factors = inside * np.sqrt(weights.sum(1)) / (np.sqrt(np.maximum(squares, 1e-300)) * (high - low).min(axis=1))
    coefficients = np.stack(series, axis=1)
    parts = [np.take(coefficients, range(degree - 1, order), axis=2 + k).reshape(m, -1) for k in range(d)]
    tails = factors[:, None] * np.stack([np.sqrt((part**2).sum(1)) for part in parts], axis=1)
    return _Resolution(coefficients.reshape(m, len(series), -1), factors, tails)


@dataclass(frozen=True, eq=False)
class _Look:
    """Sources on a dense grid. axes: coordinates ``(n,)`` along each axis; values: ``(n, …, n, E)``."""

    axes: list[Array]
    values: Array

    @classmethod
    def at(cls, problem: Problem, partition: Partition, instant: Instant | None) -> _Look:
        """The sources of a problem over the box of a partition."""
        d, n = partition.dimension, LOOKED_AT[partition.dimension]
        rule = tensor_gauss(partition.lower, partition.upper, (n,) * d, 1)
        rule = Quadrature(_points(rule.points, instant), rule.weights)
        values = [linearised(term, None).right.numpy() for term in equation_terms(problem, rule, torch.device("cpu"))]
        axes = [gauss(a, b, n, 1)[0] for a, b in zip(partition.lower, partition.upper, strict=True)]
        return cls(axes, np.stack(values, axis=-1).reshape(*(n,) * d, len(values)))

    def wrong(self, partition: Partition, found: _Resolution, order: int, enough: float) -> Integers:
        """The cells in which the series of a source is wrong at some of the points."""
        d, out = partition.dimension, []
        low, high = partition.cells
        for cell in range(partition.count):
            series = np.moveaxis(found.coefficients[cell].reshape(-1, *(order,) * d), 0, -1)
            window = []
            for k in range(d):
                first, last = np.searchsorted(self.axes[k], (low[cell, k], high[cell, k]))
                window.append(slice(first, last))
                x = 2.0 * (self.axes[k][first:last] - low[cell, k]) / (high - low)[cell, k] - 1.0
                basis = legendre.legendre(torch.as_tensor(x), order - 1)[0].numpy()
                series = np.moveaxis(np.tensordot(basis, series, axes=([1], [k])), 0, k)
            deviation = np.abs(series - self.values[tuple(window)])
            if deviation.size and deviation.max() * found.factors[cell] > MISSED * enough:
                out.append(cell)
        return np.array(out, dtype=np.int64)
