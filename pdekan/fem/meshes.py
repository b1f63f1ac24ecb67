"""Meshes of simplices that fit a domain, refined level by level, with nodes on curved boundaries.

Every level halves all cells. Towards a corner where the solution is like r^α, α = π/ω for an interior angle ω between two
faces with the same kind of condition and π/(2ω) else, cells are halved p/α times a level instead: the error then falls by
2^p in the H1 seminorm, as it does for a smooth solution (Babuska, Kellogg and Pitkaranta, Numer. Math. 33 (1979) 447-471).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from skfem import Mesh as SkfemMesh
from skfem import MeshLine1, MeshTet1, MeshTri1

from pdekan.domains.arcs import Arc, Segment
from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.combinations import planar
from pdekan.domains.mesh import Index, Mesh
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.triangulation import triangulation
from pdekan.fields.jets import TIME
from pdekan.problems.formulas import ProblemError

CELLS = {1: 4, 2: 4, 3: 2}  # along the longest side of the box around the domain, at first
GROWTH = {1: 2.0, 2: 2.0, 3: 1.6}  # of their number along a side from level to level
STRAIGHT = 1e-6  # an angle that differs by less from π is none
SAME = 1e-7  # of the size: points as near as this are one
STEEPEST = 12  # halvings towards a corner at a level
Flags = NDArray[np.bool_]
Kinds = Mapping[str, object]  # by face; faces of one kind have equal values


class Fitted(ABC):
    """How meshes fit a domain."""

    @abstractmethod
    def meshes(self, degree: int) -> Iterator[SkfemMesh]:
        """Finer and finer meshes for elements of a degree, without end."""

    @abstractmethod
    def faces(self, middles: Array) -> Sequence[str]:
        """The names of the faces on which boundary facets with these middles ``(n, d)`` are."""

    def shift(self, corners: Array, outer: Flags, barycentric: Array) -> Array:
        """How far nodes of cells ``(m, d + 1, d)`` are from where they are in straight cells ``(m, n, d)``: not at all.

        barycentric: coordinates ``(n, d + 1)`` of the nodes. outer: whether the facet opposite to a corner is on the boundary.
        """
        return np.zeros((len(corners), len(barycentric), corners.shape[2]))


@dataclass(frozen=True)
class _Boxed(Fitted):
    """Intervals and boxes in three dimensions."""

    domain: Box

    def meshes(self, degree: int) -> Iterator[SkfemMesh]:
        sides = np.subtract(self.domain.upper, self.domain.lower)
        kind = MeshLine1 if len(sides) == 1 else MeshTet1
        for level in count():
            along = CELLS[len(sides)] * GROWTH[len(sides)] ** level
            counts = np.maximum(1, np.round(along * sides / sides.max())).astype(int)
            ends = zip(self.domain.lower, self.domain.upper, counts, strict=True)
            mesh = kind.init_tensor(*(np.linspace(a, b, n + 1) for a, b, n in ends))
            yield _mesh(kind, mesh.p.T, mesh.t.T)

    def faces(self, middles: Array) -> Sequence[str]:
        gaps = np.concatenate([np.abs(middles - self.domain.lower), np.abs(middles - self.domain.upper)], axis=1)
        names = [name + side for side in "-+" for name in self.domain.coordinates]
        return [names[k] for k in gaps.argmin(axis=1)]


@dataclass(frozen=True)
class _Flat(Fitted):
    """Planar domains: arcs bound them."""

    domain: Domain
    arcs: tuple[Arc, ...]
    corners: tuple[tuple[Array, float], ...]  # places, and the exponents α there

    def meshes(self, degree: int) -> Iterator[SkfemMesh]:
        points, cells = triangulation(self.domain, self.domain.size / CELLS[2])
        mesh = _without_ears(_mesh(MeshTri1, points, cells))
        while True:
            yield mesh
            mesh = self._finer(mesh, degree)

    def _finer(self, mesh: SkfemMesh, degree: int) -> SkfemMesh:
        halvings = [min(STEEPEST, math.ceil(degree / alpha - 1e-9)) for _, alpha in self.corners]
        mesh = self._snapped(mesh.refined())
        for done in range(1, max(halvings, default=1)):
            steep = [place for (place, _), most in zip(self.corners, halvings, strict=True) if most > done]
            near = np.linalg.norm(mesh.p.T[:, None] - np.array(steep)[None], axis=2).min(axis=1) < SAME**2 * self.domain.size
            mesh = self._snapped(mesh.refined(np.flatnonzero(near[mesh.t].any(axis=0))))
        return mesh

    def _snapped(self, mesh: SkfemMesh) -> SkfemMesh:
        """Points of curved boundary edges moved onto their arcs."""
        facets = mesh.facets[:, mesh.boundary_facets()].T
        points = mesh.p.T.copy()
        on = self._nearest(points[facets].mean(axis=1))
        for k, arc in enumerate(self.arcs):
            if arc.branches is not None:
                moving = np.unique(facets[on == k])
                points[moving] = arc.at(arc.nearest(points[moving]))
        return _mesh(MeshTri1, points, mesh.t.T)

    def _nearest(self, points: Array) -> Index:
        return np.asarray(np.argmin([arc.distance(points) for arc in self.arcs], axis=0))

    def faces(self, middles: Array) -> Sequence[str]:
        return [self.arcs[k].name for k in self._nearest(middles)]

    def shift(self, corners: Array, outer: Flags, barycentric: Array) -> Array:
        """Blended from the edge: λ_a λ_b / (s (1 - s)) times the edge's at s, s being its coordinate from a to b.

        Source: Gordon and Hall, Numer. Math. 21 (1973) 109-129, on triangles.
        """
        shift = np.zeros((len(corners), len(barycentric), 2))
        for opposite in range(3):
            a, b = (k for k in range(3) if k != opposite)
            s = 0.5 * (1.0 + barycentric[:, b] - barycentric[:, a])
            both = (barycentric[:, a] > 0.0) & (barycentric[:, b] > 0.0)
            weight = np.where(both, barycentric[:, a] * barycentric[:, b], 0.0) / np.where(both, s * (1.0 - s), 1.0)
            rows = np.flatnonzero(outer[:, opposite])
            on = self._nearest(corners[rows][:, [a, b]].mean(axis=1)) if len(rows) else rows
            for k in np.unique(on):
                arc, some = self.arcs[k], rows[on == k]
                if arc.branches is not None:
                    chord = (1.0 - s)[:, None] * corners[some, None, a] + s[:, None] * corners[some, None, b]
                    flat = chord.reshape(-1, 2)
                    shift[some] += weight[:, None] * (arc.at(arc.nearest(flat)) - flat).reshape(chord.shape)
        return shift


@dataclass(frozen=True)
class _Round(Fitted):
    """Balls."""

    domain: Ball

    def meshes(self, degree: int) -> Iterator[SkfemMesh]:
        for level in count():
            yield _mesh(MeshTet1, *triangulation(self.domain, self.domain.radius / GROWTH[3] ** level))

    def _projected(self, points: Array) -> Array:
        from_center = points - self.domain.center
        scale = self.domain.radius / np.linalg.norm(from_center, axis=-1, keepdims=True)
        return np.asarray(self.domain.center + scale * from_center)

    def faces(self, middles: Array) -> Sequence[str]:
        return [self.domain.faces[0]] * len(middles)

    def shift(self, corners: Array, outer: Flags, barycentric: Array) -> Array:
        """s^p times that of the point below, in the simplex of the corners on the sphere, s being their coordinates' sum.

        Source: Lenoir, SIAM J. Numer. Anal. 23 (1986) 562-580.
        """
        gap = np.linalg.norm(corners - self.domain.center, axis=2) - self.domain.radius
        shares = barycentric[None] * (np.abs(gap) < SAME * self.domain.radius)[:, None]
        s = shares.sum(axis=2, keepdims=True)
        below = np.einsum("mnk,mkd->mnd", shares / np.where(s > 0.0, s, 1.0), corners)
        degree = round(1.0 / barycentric[barycentric > 0.0].min())
        anywhere = np.add(self.domain.center, (self.domain.radius, 0.0, 0.0))
        below = np.where(s > 0.0, below, anywhere)
        return np.asarray(s**degree * (self._projected(below) - below))


def fitted(domain: Domain, kinds: Kinds) -> Fitted:
    """How meshes fit a domain with kinds of conditions on its faces. Raises ProblemError for domains that are not fitted."""
    if TIME in domain.coordinates:
        raise ProblemError('reference = "fem" knows no time; give formulas, or the file of a solution')
    if isinstance(domain, Box) and domain.dimension in (1, TENSOR_DIMENSIONS):
        return _Boxed(domain)
    if isinstance(domain, Ball):
        return _Round(domain)
    if isinstance(domain, Mesh) and domain.dimension == 2:
        arcs = _sides(domain)
    elif isinstance(domain, Planar) or (isinstance(domain, Box) and domain.dimension == 2):
        arcs = planar(domain).arcs
    else:
        raise ProblemError(
            f'reference = "fem" knows boxes up to three dimensions, planar domains, balls and meshes of triangles, not a '
            f"{domain.type_name} of dimension {domain.dimension}; give formulas, or the file of a solution"
        )
    return _Flat(domain, arcs, tuple(_corners(arcs, kinds, SAME * domain.size)))


def _mesh(kind: type[SkfemMesh], points: Array, cells: Index) -> SkfemMesh:
    """A mesh whose cells have their points in ascending order, as Lagrange's elements need them."""
    return kind(np.ascontiguousarray(points.T), np.ascontiguousarray(np.sort(cells, axis=1).T))


def _without_ears(mesh: SkfemMesh) -> SkfemMesh:
    """Triangles with two edges on the boundary halved: where these are parts of one curve they would become flat."""
    while True:
        outer = np.isin(mesh.t2f, mesh.boundary_facets())
        ears = np.flatnonzero(outer.sum(axis=0) == 2)
        if not len(ears):
            return mesh
        inner = mesh.t2f[np.flatnonzero(~outer[:, ears[0]])[0], ears[0]]
        a, b = mesh.facets[:, inner]
        halved = np.flatnonzero((mesh.t2f == inner).any(axis=0))
        points = np.concatenate([mesh.p.T, 0.5 * (mesh.p.T[[a]] + mesh.p.T[[b]])])
        cells, parts = mesh.t.T, mesh.t.T[halved]
        new = [np.where(parts == end, len(points) - 1, parts) for end in (a, b)]
        mesh = _mesh(MeshTri1, points, np.concatenate([np.delete(cells, halved, axis=0), *new]))


def _sides(mesh: Mesh) -> tuple[Arc, ...]:
    """The boundary edges of a mesh of triangles, the inside on their left."""
    arcs: list[Arc] = []
    for name, facets in mesh.facets.items():
        arcs += [Segment(name, (a, b), (c, d)) for (a, b), (c, d) in mesh.points[facets].tolist()]
    return tuple(arcs)


def _corners(arcs: Sequence[Arc], kinds: Kinds, same: float) -> list[tuple[Array, float]]:
    """Where arcs meet at an angle, or change their kind of condition, with the exponent of the solution there."""
    ends = [(arc.at(arc.span[1])[0], arc.normal(arc.span[1])[0], kinds.get(arc.name)) for arc in arcs]
    starts = [(arc.at(arc.span[0])[0], arc.normal(arc.span[0])[0], kinds.get(arc.name)) for arc in arcs]
    places = np.array([start[0] for start in starts])
    found = []
    for place, before, kind in ends:
        for k in np.flatnonzero(np.linalg.norm(places - place, axis=1) < same):
            _, after, other = starts[k]
            turn = math.atan2(before[0] * after[1] - before[1] * after[0], float(before @ after))
            angle = math.pi - turn
            if kind != other:
                found.append((place, 0.5 * math.pi / angle))
            elif abs(turn) > STRAIGHT:
                found.append((place, math.pi / angle))
    return found
