"""Tensor-product splines on a box around a domain: scalar fields, and fluxes with a continuous normal component.

The flux component along axis i has degree p + 1 along that axis and p along the others, so that its divergence is a spline of
degree p: Raviart-Thomas' space for splines (Buffa, Sangalli, Vazquez, Comput. Methods Appl. Mech. Eng. 199 (2010) 1143-1152,
section 3). The domain may be any part of the box: integrals are taken over the domain alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array

from pdekan.domains.quadrature import Array


@dataclass(frozen=True)
class SplineBox:
    """Splines of a degree with equal intervals on the box lower … upper. intervals: along each axis."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    intervals: tuple[int, ...]
    degree: int

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.lower)

    def flux(self, points: Array) -> tuple[list[csr_array], csr_array]:
        """Values of every component ``(n, N)`` and divergences ``(n, N)`` of the N basis fluxes at points ``(n, d)``."""
        d, values, slopes = self.dimension, [], []
        for i in range(d):
            degrees = [self.degree + (k == i) for k in range(d)]
            values.append(self._tensor(points, degrees, None))
            slopes.append(self._tensor(points, degrees, i))
        sizes = [one.shape[1] for one in values]
        starts, total = np.cumsum([0, *sizes]).tolist(), sum(sizes)
        return [_shifted(one, starts[i], total) for i, one in enumerate(values)], _beside(slopes, starts, total)

    def normal_flux(self, points: Array, normals: Array) -> csr_array:
        """Normal components ``(n, N)`` of the basis fluxes at points with normals ``(n, d)``."""
        values, divergence = self.flux(points)
        if not len(points):
            return divergence
        per_row = [one.data.reshape(len(points), -1) * normals[:, [i]] for i, one in enumerate(values)]
        return csr_array((np.concatenate(per_row, axis=1).ravel(), divergence.indices, divergence.indptr), divergence.shape)

    def scalar(self, points: Array) -> tuple[csr_array, list[csr_array]]:
        """Values ``(n, N)`` and derivatives by every coordinate ``(n, N)`` of the N basis functions, of degree p + 1."""
        degrees = [self.degree + 1] * self.dimension
        return self._tensor(points, degrees, None), [self._tensor(points, degrees, i) for i in range(self.dimension)]

    def _tensor(self, points: Array, degrees: list[int], derivative: int | None) -> csr_array:
        """Products of the axes' splines, differentiated along one axis."""
        n, columns, values, size = len(points), np.zeros((len(points), 1), dtype=np.int64), np.ones((len(points), 1)), 1
        for k, degree in enumerate(degrees):
            first, basis = self._axis(k, points[:, k], degree, k == derivative)
            count = self.intervals[k] + degree
            own = first[:, None] + np.arange(degree + 1)
            shape = n, columns.shape[1] * (degree + 1)
            columns = (columns[:, :, None] * count + own[:, None]).reshape(shape)
            values = (values[:, :, None] * basis[:, None]).reshape(shape)
            size *= count
        starts = np.arange(n + 1) * columns.shape[1]
        return csr_array((values.ravel(), columns.ravel(), starts), shape=(n, size))

    def _axis(self, k: int, x: Array, degree: int, derivative: bool) -> tuple[np.ndarray, Array]:
        """The first of the degree + 1 splines that are not zero at x ``(n,)``, and their values or slopes."""
        a, b, n = self.lower[k], self.upper[k], self.intervals[k]
        knots = np.concatenate([[a] * degree, np.linspace(a, b, n + 1), [b] * degree])
        first = np.clip(np.searchsorted(knots[degree : degree + n + 1], x, side="right") - 1, 0, n - 1)
        x = np.clip(x, a, b)
        if not derivative:
            return first, _nonzero(knots, degree, x)
        lower = _nonzero(knots[1:-1], degree - 1, x)
        widths = knots[first[:, None] + np.arange(1, degree + 1) + degree] - knots[first[:, None] + np.arange(1, degree + 1)]
        scaled = degree * lower / widths
        zero = np.zeros((len(x), 1))
        return first, np.concatenate([zero, scaled], axis=1) - np.concatenate([scaled, zero], axis=1)


def gram(a: csr_array, weights: Array, b: csr_array) -> csr_array:
    """aᵀ diag(weights) b for matrices of `SplineBox` at the same points: dense products, cell by cell."""
    n, shape = a.shape[0], (a.shape[1], b.shape[1])
    if not n:
        return csr_array(shape)
    left, right = (one.data.reshape(n, -1) for one in (a, b))
    rows, columns = (one.indices.reshape(n, -1) for one in (a, b))
    order = np.argsort(rows[:, 0], kind="stable")
    first = np.flatnonzero(np.diff(rows[order, 0], prepend=-1))
    cells = order[first]
    blocks = [left[part].T @ (weights[part, None] * right[part]) for part in np.split(order, first[1:])]
    i, j = np.broadcast_arrays(rows[cells][:, :, None], columns[cells][:, None])
    return csr_array(coo_array((np.stack(blocks).ravel(), (i.ravel(), j.ravel())), shape=shape))


def _nonzero(knots: Array, degree: int, x: Array) -> Array:
    """Values ``(n, degree + 1)`` of the splines that are not zero at x ``(n,)``."""
    if not len(x):
        return np.empty((0, degree + 1))
    from scipy.interpolate import BSpline  # a tenth of a second, which most commands do not need

    return np.asarray(BSpline.design_matrix(x, knots, degree).data.reshape(len(x), degree + 1))


def _shifted(one: csr_array, start: int, total: int) -> csr_array:
    return csr_array((one.data, one.indices + start, one.indptr), shape=(one.shape[0], total))


def _beside(parts: list[csr_array], starts: list[int], total: int) -> csr_array:
    """Matrices with as many entries in each row side by side."""
    n = parts[0].shape[0]
    if not n:
        return csr_array((0, total))
    data = np.concatenate([one.data.reshape(n, -1) for one in parts], axis=1)
    columns = np.concatenate([one.indices.reshape(n, -1) + start for one, start in zip(parts, starts, strict=False)], axis=1)
    return csr_array((data.ravel(), columns.ravel(), np.arange(n + 1) * data.shape[1]), shape=(n, total))
