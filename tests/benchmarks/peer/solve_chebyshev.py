"""Tensor Chebyshev collocation: the equation at the inner Chebyshev points, boundary values at the outer ones.

Trefethen, Spectral Methods in MATLAB, SIAM 2000, chapters 6 and 7. Every size is solved anew, the quickest of three counts.
"""

from __future__ import annotations

import numpy as np
from measure import Clock, Solution, main
from numpy.polynomial import chebyshev
from statements import Array, Problem

SIZES = (9, 17, 25, 33)  # points an axis
REPEATS = 3


def axis(count: int, lower: float, upper: float) -> tuple[Array, Array]:
    """Chebyshev points of an interval and the matrix that differentiates values at them."""
    points = np.cos(np.pi * np.arange(count) / (count - 1))
    signs = np.where(np.arange(count) % 2, -1.0, 1.0)
    signs[[0, -1]] *= 2
    away = points[:, None] - points + np.eye(count)
    matrix = np.outer(signs, 1 / signs) / away
    matrix -= np.diag(matrix.sum(1))
    scale = (upper - lower) / 2
    return lower + scale * (points + 1), matrix / scale


def collocate(problem: Problem, count: int) -> Array:
    """Values at the tensor grid's points."""
    (x, dx), (y, dy) = (axis(count, a, b) for a, b in zip(problem.lower, problem.upper, strict=True))
    points = np.stack([p.ravel() for p in np.meshgrid(x, y, indexing="ij")], axis=1)
    p, q, r, s, f = problem.coefficients(points).T
    one = np.eye(count)
    operator = p[:, None] * (np.kron(dx @ dx, one) + np.kron(one, dy @ dy))
    operator += q[:, None] * np.kron(dx, one) + r[:, None] * np.kron(one, dy) + np.diag(s)
    edge = np.zeros((count, count), dtype=bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    outer = edge.ravel()
    values = np.zeros(count**2)
    values[outer] = problem.boundary(points[outer])
    inner = ~outer
    values[inner] = np.linalg.solve(operator[np.ix_(inner, inner)], f[inner] - operator[np.ix_(inner, outer)] @ values[outer])
    return values.reshape(count, count)


def interpolant(problem: Problem, values: Array) -> Solution:
    """The polynomial through the grid's values, with its gradient."""
    count = len(values)
    nodes = np.cos(np.pi * np.arange(count) / (count - 1))
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, count - 1))
    coefficients = inverse @ values @ inverse.T
    lower, scale = np.array(problem.lower), (np.array(problem.upper) - np.array(problem.lower)) / 2

    def solution(points: Array) -> tuple[Array, Array]:
        s, t = ((points - lower) / scale - 1).T

        def at(c: Array) -> Array:
            left, right = chebyshev.chebvander(s, c.shape[0] - 1), chebyshev.chebvander(t, c.shape[1] - 1)
            return np.einsum("ni,ni->n", left @ c, right)

        by_x, by_y = chebyshev.chebder(coefficients, axis=0) / scale[0], chebyshev.chebder(coefficients, axis=1) / scale[1]
        return at(coefficients), np.stack([at(by_x), at(by_y)], axis=1)

    return solution


def solve(problem: Problem, clock: Clock) -> None:
    for count in SIZES:
        times = []
        for _ in range(REPEATS):
            clock.start()
            values = collocate(problem, count)
            times.append(clock.seconds())
        clock.observe(interpolant(problem, values), (count - 2) ** 2, min(times))


if __name__ == "__main__":
    main(solve, "numpy")
