"""Lagrange finite-element spaces on fitted meshes, and their functions at any points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.spatial import cKDTree
from skfem import Basis
from skfem import Mesh as SkfemMesh
from skfem.assembly import Dofs
from skfem.mapping import MappingAffine, MappingIsoparametric

from pdekan.domains.mesh import simplex_gauss
from pdekan.domains.quadrature import Array
from pdekan.fem.lagrange import Index, Lagrange
from pdekan.fem.meshes import FittedMesh

CELLS_AT_ONCE = 2000  # assembled at a time, to bound the memory
POINTS_AT_ONCE = 4 * CELLS_AT_ONCE  # evaluated at a time
NEWTON_STEPS = 8  # of the inverse of a curved cell's mapping


@dataclass(frozen=True, eq=False)
class _Geometry:
    """The part of a mesh that scikit-fem's isoparametric mapping uses."""

    doflocs: Array
    dofs: Dofs
    dimension: int

    def dim(self) -> int:
        return self.dimension


@dataclass(frozen=True, eq=False)
class LagrangeSpace:
    """Lagrange elements on a fitted mesh. nodes: their points ``(N, d)``. curved: the indices of the curved cells."""

    mesh: SkfemMesh
    element: Lagrange
    dofs: Dofs
    nodes: Array
    curved: Index

    @classmethod
    def on_mesh(cls, mesh: SkfemMesh, fit: FittedMesh, degree: int) -> LagrangeSpace:
        """The space of a degree, with its nodes moved onto the domain's boundary."""
        d = mesh.dim()
        element = Lagrange(d, degree)
        dofs = Dofs(mesh, element)
        corners = mesh.p.T[mesh.t.T]
        barycentric = element.lattice / degree
        on_boundary = np.zeros((len(corners), d + 1), dtype=bool)
        on_boundary[:, _opposite_corners(element)] = np.isin(mesh.t2f, mesh.boundary_facets()).T
        displacement = fit.displacement(corners, on_boundary, barycentric)
        straight = np.zeros((dofs.N, d))
        straight[dofs.element_dofs.T] = np.einsum("nk,mkd->mnd", barycentric, corners)
        cells, rows = np.nonzero(np.abs(displacement).max(axis=2) > 0.0)
        nodes = straight.copy()
        nodes[dofs.element_dofs.T[cells, rows]] = (straight[dofs.element_dofs.T] + displacement)[cells, rows]
        curved = np.flatnonzero((nodes != straight).any(axis=1)[dofs.element_dofs].any(axis=0))
        return cls(mesh, element, dofs, nodes, curved)

    @property
    def cells(self) -> Index:
        """The nodes of every cell ``(m, n)``."""
        return np.asarray(self.dofs.element_dofs.T)

    @cached_property
    def mapping(self) -> Any:
        """scikit-fem's mapping from the reference cell."""
        if not len(self.curved):
            return MappingAffine(self.mesh)
        geometry = _Geometry(np.ascontiguousarray(self.nodes.T), self.dofs, self.mesh.dim())
        return MappingIsoparametric(geometry, self.element)

    def bases(self) -> Iterator[Basis]:
        """scikit-fem's bases on CELLS_AT_ONCE cells each."""
        for start in range(0, self.mesh.nelements, CELLS_AT_ONCE):
            yield Basis(
                self.mesh,
                self.element,
                mapping=self.mapping,
                intorder=2 * self.element.degree + 1,
                elements=np.arange(start, min(start + CELLS_AT_ONCE, self.mesh.nelements)),
                dofs=self.dofs,
                disable_doflocs=True,
            )

    @cached_property
    def boundary(self) -> tuple[Index, Index]:
        """Boundary facets ``(k,)``, and their nodes ``(k, n)`` in the order of the facet's own element."""
        mesh, facets = self.mesh, self.mesh.boundary_facets()
        cells = mesh.f2t[0, facets]
        nodes = np.empty((len(facets), len(self.element.facet_nodes(0))), dtype=np.int64)
        for k, opposite in enumerate(_opposite_corners(self.element)):
            own = mesh.t2f[k, cells] == facets
            nodes[own] = self.cells[cells[own]][:, self.element.facet_nodes(opposite)]
        return facets, nodes

    def face_names(self, fit: FittedMesh) -> NDArray[np.object_]:
        """The names ``(k,)`` of the domain's faces that the boundary facets are on."""
        corners = self.mesh.p.T[self.mesh.facets[:, self.boundary[0]].T]
        return np.array(fit.face_names(corners.mean(axis=1)), dtype=object)

    def facet_quadrature(self, rows: Index) -> tuple[Array, Array, Array, Array]:
        """Gauss points of the boundary facets in these rows of `boundary`.

        Values of the shape functions ``(n, q)``, points ``(k, q, d)``, outward normals ``(k, q, d)``, weights ``(k, q)``.
        """
        d = self.mesh.dim()
        facets, nodes = self.boundary
        corners = self.nodes[nodes[rows]]
        barycentric, share = simplex_gauss(d - 1, self.element.degree + 1)
        value, slope = np.ones((1, 1)), np.ones((1, 0, 1))
        if d > 1:
            value, slope = Lagrange(d - 1, self.element.degree).shape_functions(barycentric[:, 1:].T)
        points = np.einsum("bq,mbi->mqi", value, corners)
        normals = _normals(np.einsum("bkq,mbi->mqki", slope, corners))
        centers = self.mesh.p[:, self.mesh.t[:, self.mesh.f2t[0, facets[rows]]]].mean(axis=1).T
        size = np.linalg.norm(normals, axis=2)
        outward = np.sign(np.einsum("mqi,mqi->mq", normals, points - centers[:, None]))
        return value, points, (outward / size)[..., None] * normals, size * share / math.factorial(d - 1)


def facet_mass(nodes: Index, weights: Array, value: Array, size: int) -> coo_array:
    """The matrix of a weighted ∮ u v over facets with nodes ``(m, n)``, from weights ``(m, q)`` and values ``(n, q)``."""
    local = np.einsum("mq,bq,cq->mbc", weights, value, value)
    i, j = np.broadcast_arrays(nodes[:, :, None], nodes[:, None, :])
    return coo_array((local.ravel(), (i.ravel(), j.ravel())), shape=(size, size))


def _opposite_corners(element: Lagrange) -> list[int]:
    """The corner opposite to each facet of the reference cell."""
    return [next(k for k in range(element.dimension + 1) if k not in facet) for facet in element.refdom.facets]


def _normals(tangents: Array) -> Array:
    """Vectors ``(…, d)`` normal to d - 1 tangents ``(…, d - 1, d)``, as long as the tangents' content."""
    if tangents.shape[-1] == 1:
        return np.ones((*tangents.shape[:-2], 1))
    if tangents.shape[-1] == 2:
        return np.stack([tangents[..., 0, 1], -tangents[..., 0, 0]], axis=-1)
    return np.cross(tangents[..., 0, :], tangents[..., 1, :])


@dataclass(frozen=True, eq=False)
class FiniteElementFunction:
    """A function of a space for each of U unknowns. coefficients: values ``(N, U)`` at the nodes."""

    space: LagrangeSpace
    coefficients: Array

    def __call__(self, points: Array) -> tuple[Array, Array]:
        """Values ``(n, U)`` and gradients ``(n, U, d)`` at points ``(n, d)``; outside the mesh, those of the nearest cell."""
        n, d, count = *points.shape, self.coefficients.shape[1]
        values, gradients = np.empty((n, count)), np.empty((n, count, d))
        for start in range(0, n, POINTS_AT_ONCE):
            rows = slice(start, start + POINTS_AT_ONCE)
            values[rows], gradients[rows] = self._evaluate(points[rows])
        return values, gradients

    def values(self, points: Array) -> Array:
        """Values ``(n, U)`` alone."""
        return self(points)[0]

    def quadrature(self, more: int = 0) -> tuple[Array, Array, Array, Array]:
        """Gauss points ``(n, d)`` in all cells, by the degree and `more` along an axis, weights ``(n,)``, and values and
        gradients there.
        """
        space = self.space
        barycentric, share = simplex_gauss(space.mesh.dim(), space.element.degree + more)
        value, slope = space.element.shape_functions(barycentric[:, 1:].T)
        nodes, coefficients = space.nodes[space.cells], self.coefficients[space.cells]
        jacobian = np.einsum("bkq,mbi->mqik", slope, nodes, optimize=True)
        points = np.einsum("bq,mbi->mqi", value, nodes, optimize=True)
        weights = np.abs(np.linalg.det(jacobian)) * share / math.factorial(space.mesh.dim())
        values = np.einsum("bq,mbu->mqu", value, coefficients, optimize=True)
        gradients = np.einsum("bkq,mbu->mquk", slope, coefficients, optimize=True) @ np.linalg.inv(jacobian)
        n, d = weights.size, space.mesh.dim()
        return points.reshape(n, d), weights.ravel(), values.reshape(n, -1), gradients.reshape(n, -1, d)

    def _evaluate(self, points: Array) -> tuple[Array, Array]:
        space = self.space
        cells, local = self._located(points)
        in_curved = np.isin(cells, space.curved)
        if in_curved.any():
            local[in_curved] = _inverse_mapping(space, cells[in_curved], local[in_curved], points[in_curved])
        value, slope = space.element.shape_functions(local.T)
        nodes, coefficients = space.nodes[space.cells[cells]], self.coefficients[space.cells[cells]]
        inverse = np.linalg.inv(np.einsum("bkn,nbi->nik", slope, nodes))
        return np.einsum("bn,nbu->nu", value, coefficients), np.einsum("bkn,nbu->nuk", slope, coefficients) @ inverse

    def _located(self, points: Array) -> tuple[Index, Array]:
        """The straight cells ``(n,)`` that contain the points or are nearest to them, and local coordinates ``(n, d)``."""
        centers, radii, first, inverse = self._bounding_balls
        excess = np.maximum(points.min(axis=0) - centers, centers - points.max(axis=0))
        near = np.flatnonzero((excess <= radii[:, None]).all(axis=1))
        inside = cKDTree(points).query_ball_point(centers[near], radii[near])
        cells = np.repeat(near, [len(rows) for rows in inside])
        rows = np.array([row for rows in inside for row in rows], dtype=np.int64)
        outside = np.setdiff1d(np.arange(len(points)), rows)
        if len(outside):
            rows, cells = np.append(rows, outside), np.append(cells, cKDTree(centers).query(points[outside])[1])
        local = np.einsum("nij,nj->ni", inverse[cells], points[rows] - first[cells])
        least_coordinate = np.minimum(local.min(axis=1), 1.0 - local.sum(axis=1))
        order = np.lexsort((least_coordinate, rows))
        best = order[np.append(np.flatnonzero(np.diff(rows[order])), len(rows) - 1)]
        return cells[best], local[best]

    @cached_property
    def _bounding_balls(self) -> tuple[Array, Array, Array, Array]:
        """Centers and radii of balls around the straight cells, their first corners, and the matrices to local coordinates."""
        corners = self.space.mesh.p.T[self.space.mesh.t.T]
        centers = corners.mean(axis=1)
        radii = 1.2 * np.linalg.norm(corners - centers[:, None], axis=2).max(axis=1)
        edges = (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
        return centers, radii, corners[:, 0], np.linalg.inv(edges)


def _inverse_mapping(space: LagrangeSpace, cells: Index, local: Array, points: Array) -> Array:
    """Local coordinates in curved cells, by Newton's method from those in straight cells."""
    nodes = space.nodes[space.cells[cells]]
    for _ in range(NEWTON_STEPS):
        value, slope = space.element.shape_functions(local.T)
        gap = points - np.einsum("bn,nbi->ni", value, nodes)
        local = local + np.linalg.solve(np.einsum("bkn,nbi->nik", slope, nodes), gap[..., None])[..., 0]
    return local
