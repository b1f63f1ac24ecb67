"""Interpolation by polynomials of one or several variables on Leja points, on downward closed sets of indices.

Leja points z_0, z_1, … in [-1, 1] maximise the product of the distances from those before them, so that one point more is one
degree more. An index i = (i_1, …, i_p) stands for the node (z_{i_1}, …, z_{i_p}) and the basis function Π_d N_{i_d}(x_d), N_k
being Newton's polynomial Π_{l<k} (x - z_l) / (z_k - z_l). Source: Chkifa, Cohen, Schwab, Found. Comput. Math. 14 (2014)
601-633.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = tuple[int, ...]
CANDIDATES = 40_001  # points among which the next Leja point is chosen


@cache
def leja_points(count: int) -> Array:
    """The first Leja points ``(count,)``: 0, 1, -1, …; the first is the middle of the interval."""
    x = np.cos(np.linspace(0.0, np.pi, CANDIDATES))
    points, logarithm = [0.0, 1.0, -1.0], np.zeros_like(x)
    with np.errstate(divide="ignore"):
        logarithm = sum((np.log(np.abs(x - z)) for z in points), start=logarithm)
        while len(points) < count:
            points.append(float(x[np.argmax(logarithm)]))
            logarithm = logarithm + np.log(np.abs(x - points[-1]))
    return np.array(points[:count])


def _newton(x: Array, count: int) -> tuple[Array, Array]:
    """N_0 … N_{count-1} at points ``(m,)`` and their derivatives, each ``(m, count)``."""
    z = leja_points(count)
    values, slopes = [np.ones_like(x)], [np.zeros_like(x)]
    for k in range(1, count):
        slopes.append(slopes[-1] * (x - z[k - 1]) + values[-1])
        values.append(values[-1] * (x - z[k - 1]))
    scale = np.array([np.prod(z[k] - z[:k]) for k in range(count)])
    return np.stack(values, axis=1) / scale, np.stack(slopes, axis=1) / scale


@dataclass(frozen=True)
class SparseInterpolation:
    """The polynomial through the nodes of indices, each of which comes after all those that are less in every direction."""

    indices: tuple[Index, ...]

    @cached_property
    def nodes(self) -> Array:
        """Nodes ``(M, p)`` in [-1, 1]^p."""
        index = np.array(self.indices)
        return np.asarray(leja_points(int(index.max()) + 1)[index])

    def weights(self, x: Array, by: int | None = None) -> Array:
        """Weights ``(m, M)`` of the values at the nodes in the polynomial at points ``(m, p)``.

        by: a direction; the weights are then those of the derivative by it.
        """
        return np.asarray(np.linalg.solve(self._basis(self.nodes, None).T, self._basis(x, by).T).T)

    def _basis(self, x: Array, by: int | None) -> Array:
        product = np.ones((len(x), len(self.indices)))
        for d, orders in enumerate(np.array(self.indices).T):
            product *= _newton(x[:, d], int(orders.max()) + 1)[int(d == by)][:, orders]
        return product


def neighbours(index: Index, among: Sequence[Index]) -> list[Index]:
    """The indices one higher in a direction, of which those one lower in any direction are all among the given ones."""
    known = set(among)

    def changed(one: Index, direction: int, by: int) -> Index:
        return tuple(k + by * (d == direction) for d, k in enumerate(one))

    higher = [changed(index, d, 1) for d in range(len(index))]
    return [one for one in higher if all(k == 0 or changed(one, d, -1) in known for d, k in enumerate(one))]
