"""Quadrature rules on boxes: composite Gauss-Legendre rules, and scrambled Sobol points in many dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cells = int | Sequence[float]  # along an interval: a number of equal cells, or the edges between cells


@dataclass(frozen=True)
class Quadrature:
    """Points ``(n, d)`` and weights ``(n,)`` whose sum is the measure; on a boundary also outward unit normals ``(n, d)``."""

    points: Array
    weights: Array
    normals: Array | None = None

    @classmethod
    def even(cls, points: Array, normals: Array | None = None) -> Quadrature:
        """Points of equal weights, which sum to one."""
        return cls(points, np.full(len(points), 1.0 / len(points)), normals)


@cache
def _legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1]; of many short cells their eigenvalues would take most of the time."""
    return np.polynomial.legendre.leggauss(order)


def gauss(lower: float, upper: float, cells: Cells, order: int) -> tuple[Array, Array]:
    """Composite Gauss-Legendre rule: `order` points in each cell, exact to degree 2·order - 1.

    cells: a number of equal ones, or the edges between them. Source: Abramowitz and Stegun, 25.4.29-30.
    """
    nodes, weights = _legendre(order)
    if isinstance(cells, int):
        width = np.full(cells, (upper - lower) / cells)
        starts = lower + width * np.arange(cells)
    else:
        starts, width = np.array([lower, *cells]), np.diff([lower, *cells, upper])
    points = starts[:, None] + width[:, None] * (nodes + 1.0) / 2.0
    return points.ravel(), (width[:, None] * weights / 2.0).ravel()


def tensor_gauss(lower: Sequence[float], upper: Sequence[float], cells: Sequence[Cells], order: int) -> Quadrature:
    """Tensor product of composite Gauss-Legendre rules; in no dimension, one point of weight one."""
    rules = [gauss(a, b, count, order) for a, b, count in zip(lower, upper, cells, strict=True)]
    if not rules:
        return Quadrature(np.zeros((1, 0)), np.ones(1))
    points = np.stack([axis.ravel() for axis in np.meshgrid(*(rule[0] for rule in rules), indexing="ij")], axis=1)
    weights = rules[0][1]
    for rule in rules[1:]:
        weights = np.multiply.outer(weights, rule[1])
    return Quadrature(points, weights.ravel())


def sobol(lower: Sequence[float], upper: Sequence[float], count: int, seed: int) -> Quadrature:
    """Scrambled Sobol points with equal weights; `count` is rounded up to a power of two, which keeps them balanced.

    Source: Owen, J. Complexity 14 (1998) 466-489; implementation scipy.stats.qmc.
    """
    from scipy.stats import qmc  # half a second, which few commands need

    a, b = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    power = max(0, int(np.ceil(np.log2(count))))
    points = a + (b - a) * qmc.Sobol(len(a), rng=seed).random_base2(power)
    return Quadrature(points, np.full(len(points), np.prod(b - a) / len(points)))


def appended(rules: Sequence[Quadrature]) -> Quadrature:
    """The rule of a disjoint union: points and weights of all rules."""
    normals = [rule.normals for rule in rules if rule.normals is not None]
    return Quadrature(
        np.concatenate([rule.points for rule in rules]),
        np.concatenate([rule.weights for rule in rules]),
        np.concatenate(normals) if len(normals) == len(rules) else None,
    )


def joined(rules: Sequence[Quadrature]) -> Quadrature:
    """The mean of the means by m > 1 rules: the weights of each sum to 1 / m. A single rule is returned as it is."""
    if len(rules) == 1:
        return rules[0]
    return appended([replace(rule, weights=rule.weights / (rule.weights.sum() * len(rules))) for rule in rules])
