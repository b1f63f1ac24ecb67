"""Gauss rules on the cells of a partition and on their faces."""

from __future__ import annotations

import numpy as np

from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Array, Quadrature, appended, tensor_gauss


def reference_rule(dimension: int, order: int) -> tuple[Array, Array]:
    """Gauss points ``(g, d)`` on [-1, 1]^d and weights ``(g,)`` of sum 1."""
    rule = tensor_gauss((-1.0,) * dimension, (1.0,) * dimension, (1,) * dimension, order)
    return rule.points, rule.weights / 2.0**dimension


def on_boxes(low: Array, high: Array, axis: Integers | None, order: int) -> tuple[Array, Array]:
    """Gauss points ``(m, g, d)`` and weights ``(m, g)`` on boxes; with `axis` ``(m,)`` on boxes that are flat along it."""
    m, d = low.shape
    flat = np.zeros((m, d), dtype=bool)
    if axis is not None:
        flat[np.arange(m), axis] = True
    points, weights = reference_rule(d - (axis is not None), order)
    spread = np.zeros((m, len(points), d))
    for k in range(d):
        for row in np.unique(flat, axis=0):
            if row[k]:
                continue
            same = (flat == row).all(axis=1)
            spread[same, :, k] = points[:, k - int(row[:k].sum())]
    sides = np.where(flat, 1.0, high - low)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    return middle[:, None] + half[:, None] * spread, weights * sides.prod(axis=1)[:, None]


def cell_rule(partition: Partition, degrees: Integers, more: int) -> Quadrature:
    """Gauss points on all cells, along an axis `more` than the degrees ``(m,)`` of the cells."""
    low, high = partition.cells
    return appended([_flattened(low[degrees == p], high[degrees == p], None, int(p) + more) for p in np.unique(degrees)])


def face_rule(partition: Partition, degrees: Integers, axis: int, upper: bool, more: int) -> Quadrature:
    """The same on the lower or the upper face of the box along an axis, with outward normals."""
    cells = partition.on_face(axis, upper)
    low, high = (corner[cells] for corner in partition.cells)
    flat = (high if upper else low)[:, axis]
    low[:, axis] = high[:, axis] = flat
    own, rules = degrees[cells], []
    for p in np.unique(own):
        same = own == p
        rules.append(_flattened(low[same], high[same], np.full(int(same.sum()), axis), int(p) + more))
    rule = appended(rules)
    normals = np.zeros_like(rule.points)
    normals[:, axis] = 1.0 if upper else -1.0
    return Quadrature(rule.points, rule.weights, normals)


def _flattened(low: Array, high: Array, axis: Integers | None, order: int) -> Quadrature:
    points, weights = on_boxes(low, high, axis, order)
    return Quadrature(points.reshape(-1, low.shape[1]), weights.ravel())
