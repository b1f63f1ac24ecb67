"""The errors of a solution on cells of problem nist/05_battery: python tests/benchmarks/battery_reference.py RUN.

The reference is a Galerkin solution by continuous tensor polynomials on rectangles that are graded towards all lines between
materials. With 9, 11 and 13 layers of ratio 1/4 and degree 6 it changes by 2e-4 and 5e-5 in H1; after that round-off grows.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import scipy.sparse as sp
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

import pdekan
from pdekan.domains.region_cells import geometry
from pdekan.networks.cells import CellNetwork

Array = NDArray[np.float64]
LINES_X, LINES_Y = (6.1, 6.5, 8.0), (0.8, 1.6, 3.6, 18.8, 21.2, 23.2)
LAYERS, DEGREE, RATIO = 11, 6, 0.25


def graded(lines: tuple[float, ...], end: float) -> Array:
    """The edges of intervals of [0, end] that shrink towards lines."""
    places, steps = sorted({0.0, end, *lines}), RATIO ** np.arange(LAYERS, 0, -1)
    out = [0.0]
    for a, b in itertools.pairwise(places):
        half = 0.5 * (b - a)
        out += [*(a + half * steps if a in lines else ()), a + half, *(b - half * steps[::-1] if b in lines else ()), b]
    return np.array(out)


def coefficients(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """p, q and the source of the battery."""
    core, layers = (x < 6.1) & (y > 3.6) & (y < 18.8), (x < 6.1) & (y > 1.6) & (y < 21.2)
    rod, case = (x > 6.1) & (x < 6.5) & (y > 0.8) & (y < 21.2), (x < 8.0) & (y > 0.8) & (y < 23.2)
    kinds = [core, layers, rod, case]
    return np.select(kinds, [5.0, 7.0, 0.2, 0.05], 25.0), np.select(kinds, [1e-4, 0.8, 0.2, 0.05], 25.0), layers * 1.0


class Reference:
    """The Galerkin solution."""

    def __init__(self) -> None:
        n = DEGREE + 1
        inner = legendre.legroots(legendre.legder(np.eye(n)[DEGREE])).real
        self.nodes = np.concatenate([[-1.0], np.sort(inner), [1.0]])
        g, w = legendre.leggauss(n + 1)
        basis, slope = self.functions(g)
        mass, stiff, load = basis.T @ (w[:, None] * basis), slope.T @ (w[:, None] * slope), basis.T @ w
        self.x, self.y = graded(LINES_X, 8.4), graded(LINES_Y, 24.0)
        hx, hy = np.diff(self.x), np.diff(self.y)
        middles = np.meshgrid(0.5 * (self.x[1:] + self.x[:-1]), 0.5 * (self.y[1:] + self.y[:-1]), indexing="ij")
        p, q, f = (part.ravel() for part in coefficients(*middles))
        wide, tall = (part.ravel() for part in np.meshgrid(hx, hy, indexing="ij"))
        local = np.multiply.outer(p * tall / wide, np.kron(stiff, mass)) + np.multiply.outer(
            q * wide / tall, np.kron(mass, stiff)
        )
        along = [np.arange(len(h))[:, None] * DEGREE + np.arange(n) for h in (hx, hy)]
        rows = len(hy) * DEGREE + 1
        self.places = (along[0][:, None, :, None] * rows + along[1][None, :, None, :]).reshape(len(p), -1)
        size = (len(hx) * DEGREE + 1) * rows
        blocks, right = [(self.places, local)], np.zeros(size)
        np.add.at(right, self.places, np.multiply.outer(f * wide * tall / 4.0, np.kron(load, load)))
        top, low, side = along[0] * rows + rows - 1, along[0] * rows, size - rows + along[1]
        for places, h, rate, supply in ((top, hx, 1.0, 3.0), (side, hy, 2.0, 2.0), (low, hx, 3.0, 1.0)):
            blocks.append((places, rate * np.multiply.outer(0.5 * h, mass)))
            np.add.at(right, places, supply * np.multiply.outer(0.5 * h, load))
        matrix = sum(_assembled(places, part, size) for places, part in blocks)
        scale = sp.diags(1.0 / np.sqrt(matrix.diagonal()))
        factors = splu(
            (scale @ matrix @ scale).tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        self.u = scale @ factors.solve(scale @ right)

    def functions(self, x: Array) -> tuple[Array, Array]:
        """Lagrange's polynomials ``(n, DEGREE + 1)`` and their derivatives."""
        inverse = np.linalg.inv(legendre.legvander(self.nodes, DEGREE))
        slopes = np.stack([legendre.legval(x, legendre.legder(one)) for one in np.eye(DEGREE + 1)], axis=1)
        return legendre.legvander(x, DEGREE) @ inverse, slopes @ inverse

    def at(self, points: Array) -> tuple[Array, Array]:
        """Values ``(n,)`` and gradients ``(n, 2)``."""
        parts, cells = [], []
        for k, edges in enumerate((self.x, self.y)):
            cell = np.clip(np.searchsorted(edges, points[:, k], side="right") - 1, 0, len(edges) - 2)
            h = np.diff(edges)[cell]
            basis, slope = self.functions(2.0 * (points[:, k] - edges[cell]) / h - 1.0)
            parts.append((basis, slope * (2.0 / h)[:, None]))
            cells.append(cell)
        u = self.u[self.places[cells[0] * (len(self.y) - 1) + cells[1]]].reshape(-1, DEGREE + 1, DEGREE + 1)
        (a, da), (b, db) = parts
        value, dx, dy = (np.einsum("nij,ni,nj->n", u, one, other) for one, other in ((a, b), (da, b), (a, db)))
        return value, np.stack([dx, dy], axis=1)


def _assembled(places: NDArray[np.int64], local: Array, size: int) -> sp.csr_matrix:
    n = places.shape[1]
    index = np.repeat(places, n, axis=1).ravel(), np.tile(places, (1, n)).ravel()
    return sp.coo_matrix((local.ravel(), index), shape=(size, size)).tocsr()


def main() -> None:
    """Print relative errors."""
    reference, solution = Reference(), pdekan.load_solution(sys.argv[1])
    network, problem = solution.network, solution.problem
    assert isinstance(network, CellNetwork)
    assert problem is not None
    cells = geometry(problem.domain, network.partition, problem.interfaces.values())
    rule = cells.quadrature(network.cell_degrees, 6)  # those of the reference do not show what it does in its cells
    points, weights = rule.points, rule.weights
    u, gradient = reference.at(points)
    l2 = np.sqrt(weights @ (solution(points) - u) ** 2 / (weights @ u**2))
    h1 = np.sqrt(weights @ ((solution.gradient(points) - gradient) ** 2).sum(1) / (weights @ (gradient**2).sum(1)))
    sys.stdout.write(f"relative error: L2 {l2:.2e}, H1 seminorm {h1:.2e}\n")


if __name__ == "__main__":
    main()
