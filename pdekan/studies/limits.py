"""The least error that tensor-product splines can have: projections of a known function, by fast diagonalisation.

On an axis the splines of degree k on G equal intervals have n = G + k functions; with knots that repeat at the ends the first
and the last take the value one there, so that boundary values are coefficients and the n - 2 others are free.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import BSpline
from scipy.linalg import eigh

from pdekan.domains.box import Box
from pdekan.domains.quadrature import gauss
from pdekan.fields.jets import Derivatives
from pdekan.output.samples import Array
from pdekan.output.study import LimitPoint
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem

# points ``(n, d)`` to values ``(n,)`` and gradients ``(n, d)``
Exact = Callable[[Array], tuple[Array, Array]]
DIMENSIONS = 3  # tensors of more axes do not fit
# Gauss points of an interval beyond degree + 1: an error measured where it was made small would look too small. With two, a
# finer rule changes no six digits of a wave's error at degree 3.
EXTRA_POINTS = 2
CHUNK = 65536


@dataclass(frozen=True, eq=False)
class SplineAxis:
    """One axis: quadrature with both ends added at weight zero, ``(m,)``; all functions there and their slopes ``(m, n)``."""

    points: Array
    weights: Array
    values: Array
    slopes: Array

    @functools.cached_property
    def mass(self) -> Array:
        """∫ B_i B_j, ``(n, n)``."""
        return self.values.T @ (self.weights[:, None] * self.values)

    @functools.cached_property
    def stiffness(self) -> Array:
        """∫ B_i' B_j', ``(n, n)``."""
        return self.slopes.T @ (self.weights[:, None] * self.slopes)

    @functools.cached_property
    def projection(self) -> Array:
        """From values at the points to coefficients ``(n, m)``: best in L2 among the splines with the exact end values."""
        matrix = np.zeros(self.values.shape[::-1])
        matrix[0, 0] = matrix[-1, -1] = 1.0
        moments = (self.weights[:, None] * self.values).T - self.mass @ matrix
        matrix[1:-1] = np.linalg.solve(self.mass[1:-1, 1:-1], moments[1:-1])
        return matrix

    @functools.cached_property
    def modes(self) -> tuple[Array, Array]:
        """λ and V of K v = λ M v on the free functions, VᵀMV = I."""
        eigenvalues, vectors = eigh(self.stiffness[1:-1, 1:-1], self.mass[1:-1, 1:-1])
        return eigenvalues, vectors


def spline_axis(lower: float, upper: float, degree: int, intervals: int) -> SplineAxis:
    """The splines of a degree on equal intervals between two ends, at Gauss points of every interval."""
    points, weights = gauss(lower, upper, intervals, degree + 1 + EXTRA_POINTS)
    points = np.concatenate([[lower], points, [upper]])
    knots = np.concatenate([[lower] * degree, np.linspace(lower, upper, intervals + 1), [upper] * degree])
    splines = BSpline(knots, np.eye(intervals + degree), degree)
    return SplineAxis(points, np.concatenate([[0.0], weights, [0.0]]), splines(points), splines(points, 1))


def limit(box: Box, exact: Exact, degree: int, intervals: int) -> LimitPoint:
    """The least mean square errors of splines of a degree with G intervals an axis and hard boundary values.

    unknowns: (G + degree - 2)^d, the free coefficients. Boundary values are the L2 projection's on every face. Memory: some
    ten numbers for each of the (G (degree + 3))^d points, 1 GB in three dimensions at degree 3 and 28 intervals. Raises
    ValueError for more than three dimensions and where no coefficient is free.
    """
    if box.dimension > DIMENSIONS:
        raise ValueError(f"{box.dimension} dimensions: tensor splines are computed in at most {DIMENSIONS}")
    if degree < 1 or intervals < 1 or intervals + degree < 3:
        raise ValueError(f"degree {degree}, {intervals} intervals: at least one of each and three in all are needed")
    axes = [spline_axis(a, b, degree, intervals) for a, b in zip(box.lower, box.upper, strict=True)]
    mesh = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    values, gradient = exact(np.stack([m.ravel() for m in mesh], axis=1))
    u, slopes = values.reshape(mesh[0].shape), gradient.reshape(*mesh[0].shape, -1)
    best_l2 = l2_projection(axes, u)
    best_h1 = ritz_projection(axes, best_l2, slopes)
    weights = functools.reduce(np.multiply.outer, [axis.weights for axis in axes])
    l2 = np.sum(weights * (_applied([axis.values for axis in axes], best_l2) - u) ** 2)
    h1 = sum(np.sum(weights * (_slope(axes, best_h1, k) - slopes[..., k]) ** 2) for k in range(box.dimension))
    unknowns = (intervals + degree - 2) ** box.dimension
    return LimitPoint(degree, intervals, unknowns, float(l2 / box.measure), float(h1 / box.measure))


def limits(problem: Problem, degree: int, intervals: Sequence[int]) -> tuple[LimitPoint, ...]:
    """The limit for a problem with an exact solution, for every number of intervals; see `limit`.

    Raises ProblemError without an exact solution, and for a domain that is no box.
    """

    def exact(points: Array) -> tuple[Array, Array]:
        jets = [problem.exact_jet(x, Derivatives.GRADIENT) for x in torch.as_tensor(points).split(CHUNK)]
        gradients = [jet.gradient.numpy() for jet in jets if jet.gradient is not None]
        return np.concatenate([jet.value.numpy() for jet in jets]), np.concatenate(gradients)

    if not isinstance(problem.domain, Box):
        raise ProblemError("tensor-product splines need a box")
    return tuple(limit(problem.domain, exact, degree, count) for count in intervals)


def l2_projection(axes: Sequence[SplineAxis], u: Array) -> Array:
    """Coefficients of the tensor product of the axes' projections, for values on the grid of their points.

    On every face it is that face's projection; inside it is best in L2 with these boundary values, because the error is a sum
    of terms each orthogonal to the free functions of one axis.
    """
    return _applied([axis.projection for axis in axes], u)


def ritz_projection(axes: Sequence[SplineAxis], boundary: Array, slopes: Array) -> Array:
    """Coefficients that are best in the H1 seminorm among those with the boundary's; slopes: ``(m1, …, md, d)``.

    Σ_a (⊗_{b<a} M) ⊗ K_a ⊗ (⊗_{b>a} M) w = F is diagonal in the axes' modes: w = V [VᵀF / Σ_a λ_a].
    Source: Lynch, Rice, Thomas, Numer. Math. 6 (1964) 185-199.
    """
    free = (slice(1, -1),) * len(axes)
    w = boundary.copy()
    w[free] = 0.0
    load = np.zeros_like(w)
    for a in range(len(axes)):
        tests = [(axis.slopes if b == a else axis.values) * axis.weights[:, None] for b, axis in enumerate(axes)]
        load += _applied([test.T for test in tests], slopes[..., a] - _slope(axes, w, a))
    eigenvalues = functools.reduce(np.add.outer, [axis.modes[0] for axis in axes])
    modal = _applied([axis.modes[1].T for axis in axes], load[free]) / eigenvalues
    w[free] = _applied([axis.modes[1] for axis in axes], modal)
    return w


def _slope(axes: Sequence[SplineAxis], coefficients: Array, a: int) -> Array:
    """The derivative along axis a, on the grid."""
    return _applied([axis.slopes if b == a else axis.values for b, axis in enumerate(axes)], coefficients)


def _applied(matrices: Sequence[Array], tensor: Array) -> Array:
    """One matrix an axis, (A ⊗ B ⊗ …) t."""
    for a, matrix in enumerate(matrices):
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, a)), 0, a)
    return tensor
