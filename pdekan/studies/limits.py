"""The least errors of tensor-product splines: projections of a known function, by fast diagonalisation.

On an axis the splines of degree k on G equal intervals have n = G + k basis functions. With repeated end knots the first and
the last are one there, so that boundary values are coefficients and the other n - 2 are free.
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
MAX_DIMENSIONS = 3  # limited by memory
# Gauss points of an interval beyond degree + 1: an error at the points of the projection would be too small. With two, a finer
# rule does not change six digits of a wave's error at degree 3.
EXTRA_POINTS = 2
CHUNK = 65536  # points at which the exact solution is evaluated at a time


@dataclass(frozen=True, eq=False)
class SplineAxis:
    """One axis: quadrature ``(m,)`` with both ends at weight zero; basis functions and their derivatives there ``(m, n)``."""

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
        """The matrix ``(n, m)`` from values at the points to the L2 projection among the splines with the exact end values."""
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

    unknowns: (G + degree - 2)^d, the free coefficients. Boundary values are those of the L2 projection on every face. Memory:
    about ten numbers for each of the (G (degree + 3))^d points, 1 GB in three dimensions at degree 3 and 28 intervals. Raises
    ValueError for more than three dimensions and without a free coefficient.
    """
    if box.dimension > MAX_DIMENSIONS:
        raise ValueError(f"{box.dimension} dimensions: tensor splines are computed in at most {MAX_DIMENSIONS}")
    if degree < 1 or intervals < 1 or intervals + degree < 3:
        raise ValueError(f"degree {degree}, {intervals} intervals: at least one of each and three in all are needed")
    axes = [spline_axis(a, b, degree, intervals) for a, b in zip(box.lower, box.upper, strict=True)]
    mesh = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    values, gradient = exact(np.stack([m.ravel() for m in mesh], axis=1))
    u, slopes = values.reshape(mesh[0].shape), gradient.reshape(*mesh[0].shape, -1)
    best_l2 = l2_projection(axes, u)
    best_h1 = ritz_projection(axes, best_l2, slopes)
    weights = functools.reduce(np.multiply.outer, [axis.weights for axis in axes])
    l2 = np.sum(weights * (_tensor_product([axis.values for axis in axes], best_l2) - u) ** 2)
    h1 = sum(np.sum(weights * (_slope(axes, best_h1, k) - slopes[..., k]) ** 2) for k in range(box.dimension))
    unknowns = (intervals + degree - 2) ** box.dimension
    return LimitPoint(degree, intervals, unknowns, float(l2 / box.measure), float(h1 / box.measure))


def limits(problem: Problem, degree: int, intervals: Sequence[int]) -> tuple[LimitPoint, ...]:
    """The least errors for a problem with an exact solution, for every number of intervals; see `limit`.

    Raises ProblemError without an exact solution, and for a domain that is not a box.
    """

    def exact(points: Array) -> tuple[Array, Array]:
        """Values and gradients of the exact solution."""
        jets = [problem.exact_jet(x, Derivatives.GRADIENT) for x in torch.as_tensor(points).split(CHUNK)]
        gradients = [jet.gradient.numpy() for jet in jets if jet.gradient is not None]
        return np.concatenate([jet.value.numpy() for jet in jets]), np.concatenate(gradients)

    if not isinstance(problem.domain, Box):
        raise ProblemError("tensor-product splines need a box")
    return tuple(limit(problem.domain, exact, degree, count) for count in intervals)


def l2_projection(axes: Sequence[SplineAxis], u: Array) -> Array:
    """Coefficients of the tensor product of the axes' projections, for values on the grid of their points.

    On every face it is the face's projection; inside it is the L2 projection with these boundary values, because the error is a
    sum of terms that are each orthogonal to the free functions of one axis.
    """
    return _tensor_product([axis.projection for axis in axes], u)


def ritz_projection(axes: Sequence[SplineAxis], boundary: Array, slopes: Array) -> Array:
    """Coefficients with the given boundary that minimise the error in the H1 seminorm; slopes: ``(m1, …, md, d)``.

    Σ_a (⊗_{b<a} M) ⊗ K_a ⊗ (⊗_{b>a} M) w = F is diagonal in the axes' modes: w = V [VᵀF / Σ_a λ_a].
    Source: Lynch, Rice, Thomas, Numer. Math. 6 (1964) 185-199.
    """
    free = (slice(1, -1),) * len(axes)
    w = boundary.copy()
    w[free] = 0.0
    load = np.zeros_like(w)
    for a in range(len(axes)):
        tests = [(axis.slopes if b == a else axis.values) * axis.weights[:, None] for b, axis in enumerate(axes)]
        load += _tensor_product([test.T for test in tests], slopes[..., a] - _slope(axes, w, a))
    eigenvalues = functools.reduce(np.add.outer, [axis.modes[0] for axis in axes])
    modal = _tensor_product([axis.modes[1].T for axis in axes], load[free]) / eigenvalues
    w[free] = _tensor_product([axis.modes[1] for axis in axes], modal)
    return w


def _slope(axes: Sequence[SplineAxis], coefficients: Array, a: int) -> Array:
    """The derivative along axis a, on the grid."""
    return _tensor_product([axis.slopes if b == a else axis.values for b, axis in enumerate(axes)], coefficients)


def _tensor_product(matrices: Sequence[Array], tensor: Array) -> Array:
    """(A ⊗ B ⊗ …) t, with a matrix for each axis."""
    for a, matrix in enumerate(matrices):
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, a)), 0, a)
    return tensor
