"""Spaces of finite elements on meshes that fit a domain, and their functions at any points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from skfem import Basis
from skfem import Mesh as SkfemMesh
from skfem.assembly import Dofs
from skfem.mapping import MappingAffine, MappingIsoparametric

from pdekan.domains.mesh import simplex_gauss
from pdekan.domains.quadrature import Array
from pdekan.fem.lagrange import Index, Lagrange
from pdekan.fem.meshes import Fitted

AT_ONCE = 2000  # cells that are assembled, and in fours points that are located, at a time


@dataclass(frozen=True, eq=False)
class _Geometry:
    """What scikit-fem's isoparametric mapping asks of a mesh."""

    doflocs: Array
    dofs: Dofs
    dimension: int

    def dim(self) -> int:
        return self.dimension


@dataclass(frozen=True, eq=False)
class Space:
    """Lagrange's elements on a mesh that fits a domain. nodes: their places ``(N, d)``. curved: the cells that are."""

    mesh: SkfemMesh
    element: Lagrange
    dofs: Dofs
    nodes: Array
    curved: Index

    @classmethod
    def on(cls, mesh: SkfemMesh, fit: Fitted, degree: int) -> Space:
        """The space of a degree, its nodes moved onto the domain's boundary."""
        d = mesh.dim()
        element = Lagrange(d, degree)
        dofs = Dofs(mesh, element)
        corners = mesh.p.T[mesh.t.T]
        barycentric = element.lattice / degree
        local = [next(k for k in range(d + 1) if k not in facet) for facet in element.refdom.facets]
        outer = np.zeros((len(corners), d + 1), dtype=bool)
        outer[:, local] = np.isin(mesh.t2f, mesh.boundary_facets()).T
        shift = fit.shift(corners, outer, barycentric)
        nodes = np.zeros((dofs.N, d))
        nodes[dofs.element_dofs.T] = np.einsum("nk,mkd->mnd", barycentric, corners)
        moving = np.abs(shift).max(axis=2) > 0.0
        cells, rows = np.nonzero(moving)
        straight = nodes.copy()
        nodes[dofs.element_dofs.T[cells, rows]] = (straight[dofs.element_dofs.T] + shift)[cells, rows]
        curved = np.flatnonzero((nodes != straight).any(axis=1)[dofs.element_dofs].any(axis=0))
        return cls(mesh, element, dofs, nodes, curved)

    @property
    def cells(self) -> Index:
        """The nodes of every cell ``(m, n)``."""
        return np.asarray(self.dofs.element_dofs.T)

    @cached_property
    def mapping(self) -> Any:
        if not len(self.curved):
            return MappingAffine(self.mesh)
        geometry = _Geometry(np.ascontiguousarray(self.nodes.T), self.dofs, self.mesh.dim())
        return MappingIsoparametric(geometry, self.element)

    def bases(self) -> Iterator[Basis]:
        """scikit-fem's bases of some cells at a time."""
        for start in range(0, self.mesh.nelements, AT_ONCE):
            some = np.arange(start, min(start + AT_ONCE, self.mesh.nelements))
            yield Basis(
                self.mesh,
                self.element,
                mapping=self.mapping,
                intorder=2 * self.element.degree + 1,
                elements=some,
                dofs=self.dofs,
                disable_doflocs=True,
            )

    @cached_property
    def outer(self) -> tuple[Index, Index]:
        """Boundary facets ``(k,)``, and their nodes ``(k, n)`` in the order of the element there."""
        mesh, facets = self.mesh, self.mesh.boundary_facets()
        cells = mesh.f2t[0, facets]
        nodes = np.empty((len(facets), len(self.element.facet_nodes(0))), dtype=np.int64)
        for k, corners in enumerate(self.element.refdom.facets):
            here = mesh.t2f[k, cells] == facets
            opposite = next(c for c in range(mesh.dim() + 1) if c not in corners)
            nodes[here] = self.cells[cells[here]][:, self.element.facet_nodes(opposite)]
        return facets, nodes

    def on_facets(self, rows: Index) -> tuple[Array, Array, Array, Array]:
        """Gauss points of boundary facets, given by rows of `outer`.

        Values of the functions ``(n, q)``, points ``(k, q, d)``, outward normals ``(k, q, d)``, weights ``(k, q)``.
        """
        d = self.mesh.dim()
        facets, nodes = self.outer
        corners = self.nodes[nodes[rows]]
        barycentric, share = simplex_gauss(d - 1, self.element.degree + 1)
        value, slope = np.ones((1, 1)), np.ones((1, 0, 1))
        if d > 1:
            value, slope = Lagrange(d - 1, self.element.degree).functions(barycentric[:, 1:].T)
        points = np.einsum("bq,mbi->mqi", value, corners)
        across = _across(np.einsum("bkq,mbi->mqki", slope, corners))
        centers = self.mesh.p[:, self.mesh.t[:, self.mesh.f2t[0, facets[rows]]]].mean(axis=1).T
        size = np.linalg.norm(across, axis=2)
        outward = np.sign(np.einsum("mqi,mqi->mq", across, points - centers[:, None]))
        return value, points, (outward / size)[..., None] * across, size * share / math.factorial(d - 1)


def _across(tangents: Array) -> Array:
    """Vectors ``(…, d)`` normal to d - 1 tangents ``(…, d - 1, d)``, as long as these span."""
    if tangents.shape[-1] == 1:
        return np.ones((*tangents.shape[:-2], 1))
    if tangents.shape[-1] == 2:
        return np.stack([tangents[..., 0, 1], -tangents[..., 0, 0]], axis=-1)
    return np.cross(tangents[..., 0, :], tangents[..., 1, :])


@dataclass(frozen=True, eq=False)
class Function:
    """An element of a space for each of U unknowns. coefficients: values ``(N, U)`` at the nodes."""

    space: Space
    coefficients: Array

    def __call__(self, points: Array) -> tuple[Array, Array]:
        """Values ``(n, U)`` and gradients ``(n, U, d)`` at points ``(n, d)``; near the boundary, of the nearest cell."""
        n, d, count = *points.shape, self.coefficients.shape[1]
        values, gradients = np.empty((n, count)), np.empty((n, count, d))
        for start in range(0, n, AT_ONCE * 4):
            rows = slice(start, start + AT_ONCE * 4)
            values[rows], gradients[rows] = self._at(points[rows])
        return values, gradients

    def values(self, points: Array) -> Array:
        """Values ``(n, U)`` alone."""
        return self(points)[0]

    def samples(self) -> tuple[Array, Array, Array, Array]:
        """Gauss points ``(n, d)`` in all cells, weights ``(n,)``, and values and gradients there."""
        space = self.space
        barycentric, share = simplex_gauss(space.mesh.dim(), space.element.degree)
        value, slope = space.element.functions(barycentric[:, 1:].T)
        nodes, own = space.nodes[space.cells], self.coefficients[space.cells]
        jacobian = np.einsum("bkq,mbi->mqik", slope, nodes, optimize=True)
        points = np.einsum("bq,mbi->mqi", value, nodes, optimize=True)
        weights = np.abs(np.linalg.det(jacobian)) * share / math.factorial(space.mesh.dim())
        values = np.einsum("bq,mbu->mqu", value, own, optimize=True)
        inner = np.einsum("bkq,mbu->mquk", slope, own, optimize=True)
        gradients = inner @ np.linalg.inv(jacobian)
        n, d = weights.size, space.mesh.dim()
        return points.reshape(n, d), weights.ravel(), values.reshape(n, -1), gradients.reshape(n, -1, d)

    def _at(self, points: Array) -> tuple[Array, Array]:
        space = self.space
        cells, local = self._located(points)
        bent = np.isin(cells, space.curved)
        if bent.any():
            local[bent] = _inverse(space, cells[bent], local[bent], points[bent])
        value, slope = space.element.functions(local.T)
        nodes = space.nodes[space.cells[cells]]
        own = self.coefficients[space.cells[cells]]
        inverse = np.linalg.inv(np.einsum("bkn,nbi->nik", slope, nodes))
        return np.einsum("bn,nbu->nu", value, own), np.einsum("bkn,nbu->nuk", slope, own) @ inverse

    def _located(self, points: Array) -> tuple[Index, Array]:
        """The straight cells ``(n,)`` in which points are, or are nearly, and their places ``(n, d)`` there."""
        centers, radii, first, inverse = self._cells
        past = np.maximum(points.min(axis=0) - centers, centers - points.max(axis=0))
        near = np.flatnonzero((past <= radii[:, None]).all(axis=1))
        inside = cKDTree(points).query_ball_point(centers[near], radii[near])
        cells = np.repeat(near, [len(one) for one in inside])
        rows = np.array([row for one in inside for row in one], dtype=np.int64)
        lost = np.setdiff1d(np.arange(len(points)), rows)
        if len(lost):
            rows, cells = np.append(rows, lost), np.append(cells, cKDTree(centers).query(points[lost])[1])
        local = np.einsum("nij,nj->ni", inverse[cells], points[rows] - first[cells])
        within = np.minimum(local.min(axis=1), 1.0 - local.sum(axis=1))
        order = np.lexsort((within, rows))
        best = order[np.append(np.flatnonzero(np.diff(rows[order])), len(rows) - 1)]
        return cells[best], local[best]

    @cached_property
    def _cells(self) -> tuple[Array, Array, Array, Array]:
        """Balls around the straight cells, their first corners, and the matrices to their local coordinates."""
        corners = self.space.mesh.p.T[self.space.mesh.t.T]
        centers = corners.mean(axis=1)
        radii = 1.2 * np.linalg.norm(corners - centers[:, None], axis=2).max(axis=1)
        edges = (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
        return centers, radii, corners[:, 0], np.linalg.inv(edges)


def _inverse(space: Space, cells: Index, local: Array, points: Array) -> Array:
    """Places in curved cells, by Newton's method from those in straight ones."""
    nodes = space.nodes[space.cells[cells]]
    for _ in range(8):
        value, slope = space.element.functions(local.T)
        gap = points - np.einsum("bn,nbi->ni", value, nodes)
        local = local + np.linalg.solve(np.einsum("bkn,nbi->nik", slope, nodes), gap[..., None])[..., 0]
    return local
