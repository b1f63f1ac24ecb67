"""Polynomials in three coordinates, and the real solutions of systems of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.polynomial.polynomial import polyder, polyval2d, polyval3d
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array

ROUND_OFF = 1e-14  # of the largest coefficient: smaller ones are none
STEPS = 40  # of Newton's method: at a double root an error is halved by each
CONVERGED = 1e-8  # of the size: the last step, and the values


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Σ c_ijk x^i y^j z^k, with the coefficients c as an array."""

    coefficients: Array

    def __call__(self, points: Array) -> Array:
        """Values ``(n,)`` at points ``(n, 3)``."""
        x, y, z = points.T
        return np.asarray(polyval3d(x, y, z, self.coefficients), dtype=float)

    def __mul__(self, other: Polynomial) -> Polynomial:
        a, b = self.coefficients, other.coefficients
        product = np.zeros([m + n - 1 for m, n in zip(a.shape, b.shape, strict=True)])
        for place in np.argwhere(a):
            product[tuple(slice(k, k + n) for k, n in zip(place, b.shape, strict=True))] += a[tuple(place)] * b
        return Polynomial(product)

    def __add__(self, other: Polynomial) -> Polynomial:
        a, b = self.coefficients, other.coefficients
        total = np.zeros(np.maximum(a.shape, b.shape))
        for one in (a, b):
            total[tuple(map(slice, one.shape))] += one
        return Polynomial(total)

    def times(self, factor: float) -> Polynomial:
        """The multiple."""
        return Polynomial(factor * self.coefficients)

    @property
    def degree(self) -> int:
        """The total degree; 0 of a constant."""
        places = np.argwhere(self.coefficients)
        return int(places.sum(axis=1).max()) if len(places) else 0

    @property
    def is_zero(self) -> bool:
        return not self.coefficients.any()

    def derivative(self, axis: int) -> Polynomial:
        """The derivative by one coordinate."""
        return Polynomial(np.asarray(polyder(self.coefficients, axis=axis), dtype=float))

    def permuted(self, order: Sequence[int]) -> Polynomial:
        """The polynomial in the coordinates order[0], order[1], order[2], without coefficients of round-off."""
        found = np.where(np.abs(self.coefficients) > ROUND_OFF * np.abs(self.coefficients).max(), self.coefficients, 0.0)
        found = found.transpose(order)
        ends = [int(np.flatnonzero(found.any(axis=tuple(j for j in range(3) if j != k))).max(initial=0)) + 1 for k in range(3)]
        return Polynomial(found[tuple(map(slice, ends))])

    def along(self, y: Array, z: Array) -> Array:
        """The coefficients ``(n, degree + 1)`` of the powers of x on lines at y and z ``(n,)``."""
        return np.stack([np.broadcast_to(polyval2d(y, z, one), y.shape) for one in self.coefficients], axis=1)


def linear(normal: Sequence[float] | Array, offset: float) -> Polynomial:
    """normal · x + offset."""
    coefficients = np.zeros((2, 2, 2))
    coefficients[0, 0, 0] = offset
    coefficients[1, 0, 0], coefficients[0, 1, 0], coefficients[0, 0, 1] = normal
    return Polynomial(coefficients)


def real_roots(coefficients: Array) -> Array:
    """Real parts of all roots ``(n, degree)`` of polynomials with coefficients ``(n, degree + 1)``, nan for complex ones."""
    return np.where(np.abs((found := roots(coefficients)).imag) == 0.0, found.real, np.nan)


def roots(coefficients: Array) -> NDArray[np.complex128]:
    """All roots ``(n, degree)`` of polynomials with coefficients ``(n, degree + 1)``, the last of which is not 0."""
    degree = coefficients.shape[1] - 1
    if degree < 3:
        return _quadratic(coefficients)
    companion = np.zeros((len(coefficients), degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, :, -1] = -coefficients[:, :-1] / coefficients[:, -1:]
    return np.asarray(np.linalg.eigvals(companion), dtype=complex)


def _quadratic(coefficients: Array) -> NDArray[np.complex128]:
    """The roots for degrees up to 2, without cancellation."""
    if coefficients.shape[1] < 3:
        found = -coefficients[:, :-1] / coefficients[:, -1:] if coefficients.shape[1] == 2 else coefficients[:, :0]
        return found.astype(complex)
    c, b, a = coefficients.T
    root = np.sqrt((b * b - 4.0 * a * c).astype(complex))
    q = -0.5 * (b + np.where(b < 0.0, -1.0, 1.0) * root)
    safe = np.where(q == 0.0, 1.0, q)
    return np.stack([q / a, np.where(q == 0.0, 0.0, c / safe)], axis=1)


def solutions(system: Sequence[Polynomial], starts: Array, free: Sequence[int], size: float) -> tuple[Array, NDArray[np.bool_]]:
    """Where Newton's method ends from starts ``(n, 3)``, and whether it converged; only the free coordinates are changed."""
    points, length = starts.copy(), np.full(len(starts), np.inf)
    slopes = [[one.derivative(k) for k in free] for one in system]
    unit = np.eye(len(free))
    for _ in range(STEPS):
        left = np.flatnonzero(length > ROUND_OFF * size)
        if not len(left):
            break
        at = points[left]
        values = np.stack([one(at) for one in system], axis=1)
        jacobian = np.stack([np.stack([one(at) for one in row], axis=1) for row in slopes], axis=1)
        normal = jacobian.transpose(0, 2, 1) @ jacobian
        normal += (ROUND_OFF * np.trace(normal, axis1=1, axis2=2) + 1e-200)[:, None, None] * unit
        step = np.linalg.solve(normal, (jacobian.transpose(0, 2, 1) @ values[:, :, None]))[:, :, 0]
        length[left] = np.linalg.norm(step, axis=1)
        points[left[:, None], list(free)] -= step * np.minimum(1.0, size / np.maximum(length[left], 1e-200))[:, None]
    values = np.stack([one(points) for one in system], axis=1)
    return points, (length < CONVERGED * size) & (np.abs(values).max(axis=1) < CONVERGED * size)


def eliminated(a: Polynomial, b: Polynomial, z: Array, lower: float, upper: float) -> list[Array]:
    """For every z the y between bounds at which a(·, y, z) and b(·, y, z) have a common root, complex ones too, about.

    They are the zeros of the resultant, the determinant of Sylvester's matrix, which is interpolated at Chebyshev points.
    """
    m, n = a.coefficients.shape[0] - 1, b.coefficients.shape[0] - 1
    degree = a.degree * n if m == 0 else b.degree * m if n == 0 else a.degree * b.degree
    nodes = chebyshev.chebpts1(degree + 1)
    y = 0.5 * (lower + upper) + 0.5 * (upper - lower) * nodes
    grid = [one.ravel() for one in np.meshgrid(z, y, indexing="ij")]
    sylvester = np.zeros((len(grid[0]), m + n, m + n))
    for k, one in enumerate([a.along(grid[1], grid[0])] * n):
        sylvester[:, k, k : k + m + 1] = one[:, ::-1]
    for k, one in enumerate([b.along(grid[1], grid[0])] * m):
        sylvester[:, n + k, k : k + n + 1] = one[:, ::-1]
    values = np.linalg.det(sylvester).reshape(len(z), -1)
    series = np.linalg.solve(chebyshev.chebvander(nodes, degree), values.T).T
    found = []
    for row in series:
        row = row[: int(np.flatnonzero(np.abs(row) > 1e-12 * np.abs(row).max()).max(initial=0)) + 1]
        zeros = chebyshev.chebroots(row) if len(row) > 1 else np.empty(0)
        zeros = zeros[(np.abs(zeros.imag) < 1e-3) & (np.abs(zeros.real) < 1.001)].real
        found.append(0.5 * (lower + upper) + 0.5 * (upper - lower) * zeros)
    return found
