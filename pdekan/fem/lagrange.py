"""Lagrange elements of any degree on intervals, triangles and tetrahedra, for scikit-fem.

A node has barycentric coordinates α/p, α a multi-index of sum p, and its shape function is Silvester's product

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
REFERENCE_CELLS = {1: RefLine, 2: RefTri, 3: RefTet}  # by dimension


class Lagrange(ElementH1):  # type: ignore[misc]
    """Continuous piecewise polynomials of a degree on simplices that list their points in ascending order.

    Nodes are in the order of scikit-fem: points, edges, faces, interior; along an edge, from the lower point to the higher.
    """

    def __init__(self, dimension: int, degree: int) -> None:
        self.dimension, self.degree = dimension, degree
        self.refdom = REFERENCE_CELLS[dimension]
        p = degree
        interior = [1, p - 1, (p - 1) * (p - 2) // 2, (p - 1) * (p - 2) * (p - 3) // 6]  # nodes inside a simplex by dimension
        self.nodal_dofs = 1
        self.edge_dofs = interior[1] if dimension == 3 else 0
        self.facet_dofs = interior[dimension - 1] if dimension > 1 else 0
        self.interior_dofs = interior[dimension]
        self.maxdeg = degree
        self.dofnames = ["u"] * (1 + self.edge_dofs + self.facet_dofs + self.interior_dofs)
        self.doflocs = self.lattice[:, 1:] / degree

    @cached_property
    def lattice(self) -> Index:
        """The multi-indices ``(nodes, d + 1)``."""
        d = self.dimension
        simplices: list[tuple[int, ...]] = [(k,) for k in range(d + 1)]
        simplices += [tuple(edge) for edge in self.refdom.edges] if d == 3 else []
        simplices += [tuple(facet) for facet in self.refdom.facets] if d > 1 else []
        simplices += [tuple(range(d + 1))]
        return np.concatenate([_interior_indices(simplex, self.degree, d) for simplex in simplices])

    def shape_functions(self, points: Array) -> tuple[Array, Array]:
        """Values ``(nodes, …)`` and derivatives ``(nodes, d, …)`` at points ``(d, …)`` of the reference simplex."""
        p = self.degree
        z = np.concatenate([1.0 - points.sum(axis=0, keepdims=True), points])
        factor, slope = [np.ones_like(z)], [np.zeros_like(z)]
        for k in range(p):
            factor.append(factor[k] * (p * z - k) / (k + 1))
            slope.append((slope[k] * (p * z - k) + p * factor[k]) / (k + 1))
        corners = range(self.dimension + 1)
        value, derivative = (np.stack(table)[self.lattice, corners] for table in (factor, slope))
        by_corner = [derivative[:, i] * np.prod(np.delete(value, i, axis=1), axis=1) for i in corners]
        return value.prod(axis=1), np.stack([part - by_corner[0] for part in by_corner[1:]], axis=1)

    def lbasis(self, X: Array, i: int) -> tuple[Array, Array]:
        """Shape function i and its derivatives: scikit-fem's interface."""
        key = (X.shape, X.tobytes())
        if self.__dict__.get("_key") != key:
            self._key, self._table = key, self.shape_functions(X)
        return self._table[0][i], self._table[1][i]

    def facet_nodes(self, opposite: int) -> Index:
        """The nodes on the facet opposite to a corner, in the order of the facet's own Lagrange element."""
        on_facet = np.flatnonzero(self.lattice[:, opposite] == 0)
        if self.dimension == 1:
            return on_facet
        indices = np.delete(self.lattice[on_facet], opposite, axis=1).tolist()
        nodes = {tuple(index): node for index, node in zip(indices, on_facet, strict=True)}
        return np.array([nodes[tuple(index)] for index in Lagrange(self.dimension - 1, self.degree).lattice.tolist()])


def _interior_indices(simplex: tuple[int, ...], degree: int, dimension: int) -> Index:
    """Multi-indices ``(n, d + 1)`` of the nodes inside a simplex, on a line from the first to the last corner."""
    extra = combinations_with_replacement(simplex, degree - len(simplex)) if degree >= len(simplex) else ()
    rows = [[(k in simplex) + chosen.count(k) for k in range(dimension + 1)] for chosen in extra]
    return np.array(rows, dtype=np.int64).reshape(-1, dimension + 1)
