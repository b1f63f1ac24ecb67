"""Domains given by a mesh: triangles in two dimensions, tetrahedra in three."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pdekan.domains import conformity
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.facets import normals, signed_distance
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.domains.validation import finite, positive, space

Index = NDArray[np.int64]

BOUNDARY = "boundary"  # the name that `resolve` takes for all faces
REST = "outer"  # the face of facets that are in no group
LEAST = 2  # points along an edge of a cell
FLAT = 1e-12  # cells with a smaller volume, relative to their size, are degenerate


@dataclass(frozen=True, eq=False)
class Mesh(Domain):
    """A conforming mesh of positively oriented triangles or tetrahedra; it need not be connected.

    points: ``(n, d)``. cells: ``(m, d + 1)`` indices of points. groups: facets ``(k, d)`` by the name of their face; boundary
    facets in no group form the face "outer". Raises DomainError for cells that are inverted, degenerate or overlapping, for
    hanging nodes and doubled points, for facets in two groups, for a group "boundary" that is not the whole boundary, and
    unless the coordinates are d different names without time.
    """

    points: Array
    cells: Index
    groups: Mapping[str, Index] = field(default_factory=dict)
    coordinates: tuple[str, ...] = ("x", "y")
    lower: tuple[float, ...] = field(init=False, repr=False)
    upper: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", np.asarray(self.points, dtype=float))
        object.__setattr__(self, "cells", np.asarray(self.cells, dtype=np.int64))
        groups = {name: np.asarray(facets, dtype=np.int64) for name, facets in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        self._check()
        used = self.points[np.unique(self.cells)]
        object.__setattr__(self, "lower", tuple(used.min(axis=0).tolist()))
        object.__setattr__(self, "upper", tuple(used.max(axis=0).tolist()))
        _ = self.facets

    def _check(self) -> None:
        """Raise DomainError for coordinates or cells that are not those of a mesh."""
        space(self.coordinates, self.points.shape[1])
        if len(self.cells) == 0 or not np.isfinite(self.points).all():
            raise DomainError("a mesh needs cells, and finite coordinates")
        finite("a coordinate of a point", float(np.abs(self.points).max()))
        positive("the size of the mesh", float(np.ptp(self.points, axis=0).max()))
        if self.cells.min() < 0 or self.cells.max() >= len(self.points):
            raise DomainError(
                f"a cell has point {self.cells.max()} or {self.cells.min()}; points are 0 … {len(self.points) - 1}"
            )
        content = volumes(self.points[self.cells])
        sizes = np.ptp(self.points[self.cells], axis=1).max(axis=1) ** self.points.shape[1]
        for what, wrong in (("is degenerate", np.abs(content) <= FLAT * sizes), ("is inverted", content < 0.0)):
            if wrong.any():
                cell = int(np.flatnonzero(wrong)[0])
                corners = "; ".join(str(tuple(corner)) for corner in self.points[self.cells[cell]].tolist())
                raise DomainError(
                    f"cell {cell} {what} ({int(wrong.sum())} such cells); its corners are {corners}; mend the mesh"
                )

    @property
    def measure(self) -> float:
        """The sum of the cells' areas or volumes."""
        return math.fsum(volumes(self.points[self.cells]))

    @property
    def faces(self) -> tuple[str, ...]:
        """The groups on the boundary, and "outer" if boundary facets are in no group."""
        return tuple(self.facets)

    @property
    def corners(self) -> Array:
        return np.asarray(self.points[np.unique(np.concatenate(list(self.facets.values())))])

    @cached_property
    def facets(self) -> dict[str, Index]:
        """Boundary facets by face, oriented so that their `normals` are outward."""
        boundary = conformity.boundary(self.points, self.cells)
        place = {tuple(sorted(facet)): k for k, facet in enumerate(boundary.tolist())}
        names = np.full(len(boundary), REST, dtype=object)
        for name, facets in self.groups.items():
            rows = [place[key] for key in (tuple(sorted(facet)) for facet in facets.tolist()) if key in place]
            for other in set(names[rows]) - {REST}:
                raise DomainError(f"groups {other} and {name} have facets in common; a facet has one name")
            names[rows] = name
        if BOUNDARY in names and (names != BOUNDARY).any():
            raise DomainError(f"a group is named {BOUNDARY} and is not all of it; give it another name")
        order = [name for name in (*self.groups, REST) if name in names]
        return {name: boundary[names == name] for name in dict.fromkeys(order)}

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss points in every cell, at least 2^d, about as dense as `cells` × `order` points along each axis."""
        box = float(np.prod(np.subtract(self.upper, self.lower)))
        share = (cells * order) ** self.dimension * self.measure / (box * len(self.cells))
        local, weights = simplex_gauss(self.dimension, max(LEAST, math.ceil(share ** (1.0 / self.dimension) - 1e-9)))
        corners = self.points[self.cells]
        weight = np.outer(volumes(corners), weights).ravel()
        return Quadrature(_placed(corners, local), weight)

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """Gauss points in every facet of a face, about as dense as inside."""
        name = self.single(name)
        corners = self.points[self.facets[name]]
        across = normals(corners)
        measures = np.linalg.norm(across, axis=1)
        spacing = self.size / (cells * order)
        edge = float(np.mean(measures)) ** (1.0 / (self.dimension - 1))
        local, weights = simplex_gauss(self.dimension - 1, max(LEAST, math.ceil(edge / spacing - 1e-9)))
        outward = np.repeat(across / measures[:, None], len(weights), axis=0)
        return Quadrature(_placed(corners, local), np.outer(measures, weights).ravel(), outward)

    def distance(self, points: Array) -> Array:
        """Distance to the nearest facet, negative where the winding number of the boundary is zero."""
        return signed_distance(points, self.points[np.concatenate(list(self.facets.values()))])


def simplex_gauss(dimension: int, count: int) -> tuple[Array, Array]:
    """Barycentric points ``(count^d, d + 1)`` and weights of sum one on a simplex; exact to degree 2 count - 1.

    Conical products of Gauss-Jacobi rules: all weights are positive and all points are inside.
    Source: Stroud, Approximate Calculation of Multiple Integrals, 1971.
    """
    from scipy.special import roots_jacobi  # a tenth of a second, for meshes only

    barycentric, weights = np.ones((1, 1)), np.ones(1)
    for k in reversed(range(dimension)):
        x, w = roots_jacobi(count, k, 0)
        u = 0.5 * (1.0 + x)
        kept, split = barycentric[:, None, :-1], barycentric[:, None, -1:]
        shares = [np.broadcast_to(kept, (len(weights), count, kept.shape[2])), split * u[:, None], split * (1.0 - u)[:, None]]
        barycentric = np.concatenate(shares, axis=2).reshape(len(weights) * count, -1)
        weights = np.outer(weights, w / w.sum()).ravel()
    return barycentric, weights


def _placed(corners: Array, barycentric: Array) -> Array:
    """Points ``(m·q, d)`` from barycentric coordinates ``(q, k)`` and simplices ``(m, k, d)``."""
    return np.asarray(np.einsum("qk,mkd->mqd", barycentric, corners).reshape(-1, corners.shape[2]))


def volumes(corners: Array) -> Array:
    """Signed areas or volumes ``(m,)`` of simplices ``(m, d + 1, d)``."""
    edges = corners[:, 1:] - corners[:, :1]
    return np.asarray(np.linalg.det(edges) / math.factorial(edges.shape[2]))
