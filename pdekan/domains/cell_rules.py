"""Gauss rules on the cells of a partition and on their faces."""

from __future__ import annotations

import numpy as np

from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Array, tensor_gauss


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
