"""Rows for jumps across faces against a partition of unity, for least squares with polynomials on cells. Writes coupling.md.

    python tests/benchmarks/coupling.py

Both have the polynomials of total degree 8 on the same n x n cells of the unit square. With jumps, cells meet in faces, and
rows match value and slope there, with the weights of `pdekan.cells.rows`. With a partition of unity the polynomials of a cell
are multiplied by weights that fall to zero in an overlap with each neighbour, by steps of degree five, with two continuous
derivatives; the sum of all weights is one (Melenk and Babuška, Comput. Methods Appl. Mech. Eng. 139 (1996) 289-314). The other
rows are the same: residuals at Gauss points, in the parts into which overlaps divide the square, and boundary values.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy
from numpy.polynomial import Legendre, Polynomial
from numpy.typing import NDArray
from origin import origin

from pdekan.domains.quadrature import gauss

Array = NDArray[np.float64]
TABLE = Path(__file__).with_suffix(".md")
DEGREE, CELLS, OVERLAPS = 8, (2, 3, 5), (0.0, 0.25, 0.5)  # overlaps: of a cell's side, 0 for faces with jumps
STEP = Polynomial([0, 0, 0, 10, -15, 6])  # from 0 to 1 on [0, 1]
X, Y = sympy.symbols("x y")


@dataclass(frozen=True)
class Case:
    """-a Δu + c u = f with a solution u."""

    name: str
    a: float
    c: float
    u: sympy.Expr

    def at(self, expression: sympy.Expr, x: Array, y: Array) -> Array:
        """The values of an expression on the grid of two axes, x first."""
        return np.broadcast_to(sympy.lambdify((X, Y), expression)(x[:, None], y[None]), (len(x), len(y))).ravel()

    @property
    def source(self) -> sympy.Expr:
        """f."""
        return -self.a * (sympy.diff(self.u, X, 2) + sympy.diff(self.u, Y, 2)) + self.c * self.u


CASES = (
    Case("eʸ sin 3x", 1.0, 0.0, sympy.exp(Y) * sympy.sin(3 * X)),
    Case("atan(20 (r - 0.7))", 1.0, 0.0, sympy.atan(20 * (sympy.sqrt((X + 0.05) ** 2 + (Y + 0.05) ** 2) - 0.7))),
    Case("(1 + y) exp(-x/0.05)", 0.05**2, 1.0, (1 + Y) * sympy.exp(-X / 0.05)),
)


@dataclass(frozen=True)
class Axis:
    """Functions of one variable: n cells with an overlap, in each the Legendre polynomials times the cell's weight."""

    n: int
    overlap: float

    @property
    def ends(self) -> Array:
        """Where the weights begin and end to rise or fall."""
        inner = np.arange(1, self.n) / self.n
        reach = 0.5 * self.overlap / self.n
        return np.unique(np.concatenate([[0.0, 1.0], inner - reach, inner + reach]))

    def rule(self, order: int) -> tuple[Array, Array]:
        """Gauss points and weights in all parts."""
        parts = [gauss(a, b, 1, order) for a, b in itertools.pairwise(self.ends)]
        return np.concatenate([x for x, _ in parts]), np.concatenate([w for _, w in parts])

    def at(self, x: Array, side: float = 0.0) -> list[Array]:
        """Values, slopes and second derivatives ``(len(x), n, DEGREE + 1)``; side: of a jump, -1 or 1, that a point is on."""
        out = [np.zeros((len(x), self.n, DEGREE + 1)) for _ in range(3)]
        reach, near = 0.5 * self.overlap / self.n, x + side * 1e-9
        for cell in range(self.n):
            low = cell / self.n - (reach if cell else 0.0)
            high = (cell + 1) / self.n + (reach if cell + 1 < self.n else 0.0)
            inside = (near >= low) & (near < high)
            weight = [np.ones(inside.sum()), np.zeros(inside.sum()), np.zeros(inside.sum())]
            for edge, sign in ((cell, 1.0), (cell + 1, -1.0)):
                if not 0 < edge < self.n or not reach:
                    continue
                t = sign * (x[inside] - edge / self.n) / (2.0 * reach) + 0.5
                steps = [STEP.deriv(k)(t) * (sign / (2.0 * reach)) ** k if k else STEP(t) for k in range(3)]
                rising = t < 1.0
                for k in range(3):
                    weight[k][rising] = steps[k][rising]
            for degree in range(DEGREE + 1):
                p = Legendre.basis(degree, domain=[low, high]) * np.sqrt(2 * degree + 1)
                v = [p.deriv(k)(x[inside]) if k else p(x[inside]) for k in range(3)]
                out[0][inside, cell, degree] = weight[0] * v[0]
                out[1][inside, cell, degree] = weight[1] * v[0] + weight[0] * v[1]
                out[2][inside, cell, degree] = weight[2] * v[0] + 2.0 * weight[1] * v[1] + weight[0] * v[2]
        return out


def products(fx: Array, fy: Array) -> Array:
    """Rows on the grid of two axes, of the products of total degree DEGREE at most in every cell."""
    a, b = np.array([(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)]).T
    full = np.einsum("pia,qja->pqija", fx[:, :, a], fy[:, :, b])
    return full.reshape(len(fx) * len(fy), -1)


def rows(case: Case, axis: Axis) -> tuple[Array, Array]:
    """The matrix and the right-hand side."""
    h, (x, w) = 1.0 / axis.n, axis.rule(DEGREE + 2)
    size = np.hypot(np.sqrt(2.0) * case.a / h**2, case.c)
    f, root = axis.at(x), np.sqrt(w)
    inside = -case.a * (products(f[2], f[0]) + products(f[0], f[2])) + case.c * products(f[0], f[0])
    weight = np.outer(root, root).ravel()
    matrix, right = [weight[:, None] * inside], [weight * case.at(case.source, x, x)]
    for end in (0.0, 1.0):
        edge, scale = np.array([end]), np.tile(size * np.sqrt(h) * root, 1)
        at_edge = axis.at(edge, 1.0 - 2.0 * end)[0]
        matrix += [scale[:, None] * products(at_edge, f[0]), scale[:, None] * products(f[0], at_edge)]
        right += [scale * case.at(case.u, edge, x), scale * case.at(case.u, x, edge)]
    if not axis.overlap:
        faces = np.arange(1, axis.n) / axis.n
        below, above = axis.at(faces, -1.0), axis.at(faces, 1.0)
        for k in range(2):
            jump, scale = above[k] - below[k], np.tile(size * h ** (0.5 + k) * root, axis.n - 1)
            across = np.repeat(size * h ** (0.5 + k) * root, axis.n - 1)
            matrix += [scale[:, None] * products(jump, f[0]), across[:, None] * products(f[0], jump)]
            right += [np.zeros(len(scale)), np.zeros(len(across))]
    return np.concatenate(matrix), np.concatenate(right)


def row(case: Case, n: int, overlap: float) -> str:
    """A line of the table: relative errors, the condition with columns of length one, seconds of the QR, rows and columns."""
    axis = Axis(n, overlap)
    matrix, right = rows(case, axis)
    length = np.linalg.norm(matrix, axis=0)
    began = time.process_time()
    q, r = np.linalg.qr(matrix / length)
    seconds = time.process_time() - began
    coefficients = np.linalg.solve(r, q.T @ right) / length
    x, w = Axis(n, overlap).rule(DEGREE + 5)
    f, weight = axis.at(x), np.outer(w, w).ravel()
    squares = []
    for fx, fy, exact in ((f[0], f[0], case.u), (f[1], f[0], sympy.diff(case.u, X)), (f[0], f[1], sympy.diff(case.u, Y))):
        true = case.at(exact, x, x)
        squares.append(weight @ np.stack([(products(fx, fy) @ coefficients - true) ** 2, true**2], axis=1))
    l2, h1 = (np.sqrt(part[0] / part[1]) for part in (squares[0], squares[1] + squares[2]))
    name = f"partition of unity, overlap {overlap:g}" if overlap else "jumps"
    shape = f"{matrix.shape[0]} x {matrix.shape[1]}"
    return f"| {case.name} | {n * n} | {name} | {l2:.1e} | {h1:.1e} | {np.linalg.cond(r):.0e} | {seconds:.2f} | {shape} |\n"


def main() -> None:
    """Measure, print and write."""
    where, lines = origin(), []
    for case, n, overlap in itertools.product(CASES, CELLS, OVERLAPS):
        lines.append(row(case, n, overlap))
        sys.stdout.write(lines[-1])
        sys.stdout.flush()
    TABLE.write_text(
        "# Jumps or a partition of unity\n\nThe same polynomials of total degree 8 on the same cells, coupled by rows for "
        "jumps of value and slope across faces, or multiplied by weights whose sum is one; relative errors, the condition of "
        "the matrix with columns of length one, CPU seconds of its dense QR.\n\n"
        "| solution | cells | coupling | L2 | H1 | condition | seconds | rows x columns |\n|---|---|---|---|---|---|---|---|\n"
        f"{''.join(lines)}\nMade by `python tests/benchmarks/coupling.py` ({where}).\n",
        "utf-8",
    )


if __name__ == "__main__":
    main()
