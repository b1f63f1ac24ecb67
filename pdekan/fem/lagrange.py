"""Lagrange's elements of any degree on intervals, triangles and tetrahedra, for scikit-fem.

A node has barycentric coordinates α/p, α a multi-index of sum p, and its function is Silvester's product

    φ_α(λ) = Π_i P_{α_i}(λ_i),        P_m(z) = Π_{k<m} (p z - k) / (k + 1).

Source: Silvester, Int. J. Eng. Sci. 7 (1969) 849-861, eq. 4.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from skfem.element import ElementH1
from skfem.refdom import RefLine, RefTet, RefTri

from pdekan.domains.quadrature import Array

Index = NDArray[np.int64]
REFERENCE = {1: RefLine, 2: RefTri, 3: RefTet}


class Lagrange(ElementH1):  # type: ignore[misc]
    """Continuous piecewise polynomials of a degree on simplices whose points are in ascending order.

    Nodes are in the order of scikit-fem: points, edges, faces, inside; along an edge, from the lower point to the higher.
    """

    def __init__(self, dimension: int, degree: int) -> None:
        self.dimension, self.degree = dimension, degree
        self.refdom = REFERENCE[dimension]
        p = degree
        inside = [1, p - 1, (p - 1) * (p - 2) // 2, (p - 1) * (p - 2) * (p - 3) // 6]  # of simplices by their dimension
        self.nodal_dofs = 1
        self.edge_dofs = inside[1] if dimension == 3 else 0
        self.facet_dofs = inside[dimension - 1] if dimension > 1 else 0
        self.interior_dofs = inside[dimension]
        self.maxdeg = degree
        self.dofnames = ["u"] * (1 + self.edge_dofs + self.facet_dofs + self.interior_dofs)
        self.doflocs = self.lattice[:, 1:] / degree

    @cached_property
    def lattice(self) -> Index:
        """The multi-indices ``(nodes, d + 1)``."""
        d, p = self.dimension, self.degree
        pieces: list[list[tuple[int, ...]]] = [[(k,) for k in range(d + 1)]]
        pieces += [[tuple(edge) for edge in self.refdom.edges]] if d == 3 else []
        pieces += [[tuple(facet) for facet in self.refdom.facets]] if d > 1 else []
        pieces += [[tuple(range(d + 1))]]
        return np.array([_spread(piece, inner, d) for kind in pieces for piece in kind for inner in _inner(len(piece), p)])

    def functions(self, points: Array) -> tuple[Array, Array]:
        """Values ``(nodes, …)`` and derivatives ``(nodes, d, …)`` at points ``(d, …)`` of the reference simplex."""
        p = self.degree
        z = np.concatenate([1.0 - points.sum(axis=0, keepdims=True), points])
        factor, slope = [np.ones_like(z)], [np.zeros_like(z)]
        for k in range(p):
            factor.append(factor[k] * (p * z - k) / (k + 1))
            slope.append((slope[k] * (p * z - k) + p * factor[k]) / (k + 1))
        corners = range(self.dimension + 1)
        value, change = (np.stack(table)[self.lattice, corners] for table in (factor, slope))
        by_corner = [change[:, i] * np.prod(np.delete(value, i, axis=1), axis=1) for i in corners]
        return value.prod(axis=1), np.stack([part - by_corner[0] for part in by_corner[1:]], axis=1)

    def lbasis(self, X: Array, i: int) -> tuple[Array, Array]:
        """Function i and its derivatives, as scikit-fem asks for them."""
        key = (X.shape, X.tobytes())
        if self.__dict__.get("_key") != key:
            self._key, self._table = key, self.functions(X)
        return self._table[0][i], self._table[1][i]

    def facet_nodes(self, opposite: int) -> Index:
        """The nodes on the facet opposite to a corner, in the order of the element of that degree on it."""
        on = np.flatnonzero(self.lattice[:, opposite] == 0)
        places = {tuple(row): k for row, k in zip(np.delete(self.lattice[on], opposite, axis=1).tolist(), on, strict=True)}
        if self.dimension == 1:
            return on
        return np.array([places[tuple(row)] for row in Lagrange(self.dimension - 1, self.degree).lattice.tolist()])


def _inner(corners: int, total: int) -> list[tuple[int, ...]]:
    """Multi-indices of a simplex that are positive at all of its corners; those of a line go from the first to the last."""
    rest = list(combinations_with_replacement(range(corners), total - corners)) if total >= corners else []
    return [tuple(1 + chosen.count(k) for k in range(corners)) for chosen in rest]


def _spread(piece: tuple[int, ...], inner: tuple[int, ...], dimension: int) -> list[int]:
    row = [0] * (dimension + 1)
    for corner, count in zip(piece, inner, strict=True):
        row[corner] = count
    return row
