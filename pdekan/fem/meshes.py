"""Sequences of finer and finer simplicial meshes of a domain, with nodes on curved boundaries.

Each refinement halves all cells. At a corner of interior angle ω the solution behaves like r^α, with α = π/ω between two faces
with the same kind of condition and α = π/(2ω) otherwise; cells at the corner are halved p/α times instead. The error then
falls by 2^p in the H1 seminorm, as for a smooth solution (Babuska, Kellogg and Pitkaranta, Numer. Math. 33 (1979) 447-471).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray
from skfem import Mesh as SkfemMesh
from skfem import MeshLine1, MeshTet1, MeshTri1

from pdekan.domains.arcs import Arc, Segment
from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.combinations import cuts, planar
from pdekan.domains.mesh import Index, Mesh
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.shapes import Polygon
from pdekan.domains.triangulation import triangulation
from pdekan.fields.jets import TIME
from pdekan.problems.formulas import ProblemError

INITIAL_CELLS = {1: 4, 2: 4, 3: 2}  # by dimension, along the longest side of the bounding box
CELL_GROWTH = {1: 2.0, 2: 2.0, 3: 1.6}  # factor of the cells along a side from one mesh to the next
STRAIGHT_ANGLE_TOLERANCE = 1e-6  # angles this close to π are not corners
POINT_TOLERANCE = 1e-7  # relative to the size of the domain: points this close coincide
MAX_CORNER_REFINEMENTS = 12  # from one mesh to the next; bounds the number of cells at a corner where α is small
Flags = NDArray[np.bool_]
Meshes = Generator[SkfemMesh, Index | None, None]


class FittedMesh(ABC):
    """A sequence of meshes fitted to a domain."""

    @abstractmethod
    def refinements(self, degree: int) -> Meshes:
        """An infinite sequence of finer and finer meshes for elements of a degree.

        In planar domains the next mesh halves the cells that are sent, and some of their neighbours, instead of all.
        """

    @abstractmethod
    def face_names(self, midpoints: Array) -> Sequence[str]:
        """The names of the faces that contain the boundary facets with these midpoints ``(n, d)``."""

    def displacement(self, corners: Array, on_boundary: Flags, barycentric: Array) -> Array:
        """Displacements ``(m, n, d)`` of the nodes of straight cells ``(m, d + 1, d)``, here zero.

        barycentric: coordinates ``(n, d + 1)`` of the nodes. on_boundary: for each corner, whether the opposite facet is.
        """
        return np.zeros((len(corners), len(barycentric), corners.shape[2]))


@dataclass(frozen=True)
class _BoxMesh(FittedMesh):
    """Intervals and boxes in three dimensions."""

    domain: Box

    def refinements(self, degree: int) -> Meshes:
        sides = np.subtract(self.domain.upper, self.domain.lower)
        kind = MeshLine1 if len(sides) == 1 else MeshTet1
        for refinement in count():
            longest = INITIAL_CELLS[len(sides)] * CELL_GROWTH[len(sides)] ** refinement
            counts = np.maximum(1, np.round(longest * sides / sides.max())).astype(int)
            ends = zip(self.domain.lower, self.domain.upper, counts, strict=True)
            mesh = kind.init_tensor(*(np.linspace(a, b, n + 1) for a, b, n in ends))
            yield _sorted_mesh(kind, mesh.p.T, mesh.t.T)

    def face_names(self, midpoints: Array) -> Sequence[str]:
        gaps = np.concatenate([np.abs(midpoints - self.domain.lower), np.abs(midpoints - self.domain.upper)], axis=1)
        names = [name + side for side in "-+" for name in self.domain.coordinates]
        return [names[k] for k in gaps.argmin(axis=1)]


@dataclass(frozen=True)
class _PlanarMesh(FittedMesh):
    """Planar domains bounded by arcs."""

    domain: Domain
    arcs: tuple[Arc, ...]
    corners: tuple[tuple[Array, float], ...]  # points, and the exponents α there
    interfaces: tuple[Arc, ...]  # along which cells have edges

    def refinements(self, degree: int) -> Meshes:
        points, cells = triangulation(self.domain, self.domain.size / INITIAL_CELLS[2], self.interfaces)
        mesh = _without_ears(_sorted_mesh(MeshTri1, points, cells))
        while True:
            marked = yield mesh
            mesh = self._refined(mesh, degree) if marked is None else self._projected(mesh.refined(marked))

    def _refined(self, mesh: SkfemMesh, degree: int) -> SkfemMesh:
        halvings = [min(MAX_CORNER_REFINEMENTS, math.ceil(degree / alpha - 1e-9)) for _, alpha in self.corners]
        mesh = self._projected(mesh.refined())
        for done in range(1, max(halvings, default=1)):
            corners = [corner for (corner, _), times in zip(self.corners, halvings, strict=True) if times > done]
            distance = np.linalg.norm(mesh.p.T[:, None] - np.array(corners)[None], axis=2).min(axis=1)
            at_corner = (distance < POINT_TOLERANCE**2 * self.domain.size)[mesh.t].any(axis=0)
            mesh = self._projected(mesh.refined(np.flatnonzero(at_corner)))
        return mesh

    def _projected(self, mesh: SkfemMesh) -> SkfemMesh:
        """The mesh with the points of curved boundary edges moved onto their arcs."""
        facets = mesh.facets[:, mesh.boundary_facets()].T
        points = mesh.p.T.copy()
        nearest = self._nearest_arc(points[facets].mean(axis=1))
        for k, arc in enumerate(self.arcs):
            if arc.branches is not None:
                moving = np.unique(facets[nearest == k])
                points[moving] = arc.at(arc.nearest(points[moving]))
        return _sorted_mesh(MeshTri1, points, mesh.t.T)

    def _nearest_arc(self, points: Array) -> Index:
        return np.asarray(np.argmin([arc.distance(points) for arc in self.arcs], axis=0))

    def face_names(self, midpoints: Array) -> Sequence[str]:
        return [self.arcs[k].name for k in self._nearest_arc(midpoints)]

    def displacement(self, corners: Array, on_boundary: Flags, barycentric: Array) -> Array:
        """Transfinite interpolation: λ_a λ_b / (s (1 - s)) times the edge's displacement at s, its coordinate from a to b.

        Source: Gordon and Hall, Numer. Math. 21 (1973) 109-129, on triangles.
        """
        displacement = np.zeros((len(corners), len(barycentric), 2))
        for opposite in range(3):
            a, b = (k for k in range(3) if k != opposite)
            s = 0.5 * (1.0 + barycentric[:, b] - barycentric[:, a])
            both = (barycentric[:, a] > 0.0) & (barycentric[:, b] > 0.0)
            weight = np.where(both, barycentric[:, a] * barycentric[:, b], 0.0) / np.where(both, s * (1.0 - s), 1.0)
            cells = np.flatnonzero(on_boundary[:, opposite])
            nearest = self._nearest_arc(corners[cells][:, [a, b]].mean(axis=1)) if len(cells) else cells
            for k in np.unique(nearest):
                arc, own = self.arcs[k], cells[nearest == k]
                if arc.branches is not None:
                    chord = (1.0 - s)[:, None] * corners[own, None, a] + s[:, None] * corners[own, None, b]
                    points = chord.reshape(-1, 2)
                    displacement[own] += weight[:, None] * (arc.at(arc.nearest(points)) - points).reshape(chord.shape)
        return displacement


@dataclass(frozen=True)
class _BallMesh(FittedMesh):
    """Balls."""

    domain: Ball

    def refinements(self, degree: int) -> Meshes:
        for refinement in count():
            yield _sorted_mesh(MeshTet1, *triangulation(self.domain, self.domain.radius / CELL_GROWTH[3] ** refinement))

    def face_names(self, midpoints: Array) -> Sequence[str]:
        return [self.domain.faces[0]] * len(midpoints)

    def displacement(self, corners: Array, on_boundary: Flags, barycentric: Array) -> Array:
        """s^p times the displacement of the node's projection onto the simplex of the corners on the sphere.

        s is the sum of the node's coordinates for those corners. Source: Lenoir, SIAM J. Numer. Anal. 23 (1986) 562-580.
        """
        center, radius = self.domain.center, self.domain.radius
        gap = np.linalg.norm(corners - center, axis=2) - radius
        shares = barycentric[None] * (np.abs(gap) < POINT_TOLERANCE * radius)[:, None]
        s = shares.sum(axis=2, keepdims=True)
        projection = np.einsum("mnk,mkd->mnd", shares / np.where(s > 0.0, s, 1.0), corners)
        projection = np.where(s > 0.0, projection, np.add(center, (radius, 0.0, 0.0)))  # any point where s = 0
        outward = projection - center
        on_sphere = center + radius / np.linalg.norm(outward, axis=-1, keepdims=True) * outward
        degree = round(1.0 / barycentric[barycentric > 0.0].min())
        return np.asarray(s**degree * (on_sphere - projection))


def fitted_mesh(domain: Domain, kinds: Mapping[str, object], shapes: Iterable[Domain] = ()) -> FittedMesh:
    """The meshes of a domain, graded towards corners of its boundary and of interfaces.

    kinds: by face, equal values for the same kind of condition. shapes: those that interfaces bound. Raises ProblemError for a
    domain without such meshes.
    """
    shapes = tuple(shapes)
    if TIME in domain.coordinates:
        raise ProblemError('reference = "fem" knows no time; give formulas, or the file of a solution')
    if isinstance(domain, Polygon) and domain.slits:
        raise ProblemError('reference = "fem" knows no slits; give formulas, or the file of a solution')
    if shapes and not (isinstance(domain, Planar) or (isinstance(domain, Box) and domain.dimension == 2)):
        raise ProblemError('reference = "fem" knows interfaces in the plane; give formulas, or the file of a solution')
    if isinstance(domain, Box) and domain.dimension in (1, TENSOR_DIMENSIONS):
        return _BoxMesh(domain)
    if isinstance(domain, Ball):
        return _BallMesh(domain)
    if isinstance(domain, Mesh) and domain.dimension == 2:
        arcs = _boundary_edges(domain)
    elif isinstance(domain, Planar) or (isinstance(domain, Box) and domain.dimension == 2):
        arcs = planar(domain).arcs
    else:
        raise ProblemError(
            f'reference = "fem" knows boxes up to three dimensions, planar domains, balls and meshes of triangles, not a '
            f"{domain.type_name} of dimension {domain.dimension}; give formulas, or the file of a solution"
        )
    corners = tuple(_corner_exponents(arcs, kinds, POINT_TOLERANCE * domain.size))
    return _PlanarMesh(domain, arcs, corners, interface_pieces(planar(domain), shapes) if shapes else ())


def interface_pieces(domain: Planar, shapes: Iterable[Domain]) -> tuple[Arc, ...]:
    """The pieces of interfaces inside a domain, cut where interfaces meet and where they meet the boundary.

    Raises ProblemError for curved interfaces.
    """
    arcs = [arc for shape in shapes for arc in planar(shape).arcs]
    if any(arc.branches is not None for arc in arcs):
        raise ProblemError('reference = "fem" knows straight interfaces; give formulas, or the file of a solution')
    same, found = POINT_TOLERANCE * domain.size, list[Arc]()
    for k, arc in enumerate(arcs):
        for a, b in pairwise(cuts(arc, [*arcs[:k], *arcs[k + 1 :], *domain.arcs], same)):
            piece = arc.trimmed(float(a), float(b))
            middle = piece.at(0.5 * sum(piece.span))
            if domain.distance(middle)[0] > same and not any(other.distance(middle)[0] < same for other in found):
                found.append(piece)
    return tuple(found)


def _sorted_mesh(kind: type[SkfemMesh], points: Array, cells: Index) -> SkfemMesh:
    """A mesh whose cells list their points in ascending order, as Lagrange elements require."""
    return kind(np.ascontiguousarray(points.T), np.ascontiguousarray(np.sort(cells, axis=1).T))


def _without_ears(mesh: SkfemMesh) -> SkfemMesh:
    """The mesh with triangles that have two boundary edges bisected: they degenerate where both edges are on one curve."""
    while True:
        on_boundary = np.isin(mesh.t2f, mesh.boundary_facets())
        ears = np.flatnonzero(on_boundary.sum(axis=0) == 2)
        if not len(ears):
            return mesh
        inner = mesh.t2f[np.flatnonzero(~on_boundary[:, ears[0]])[0], ears[0]]
        a, b = mesh.facets[:, inner]
        halved = np.flatnonzero((mesh.t2f == inner).any(axis=0))
        points = np.concatenate([mesh.p.T, 0.5 * (mesh.p.T[[a]] + mesh.p.T[[b]])])
        cells, parts = mesh.t.T, mesh.t.T[halved]
        new = [np.where(parts == end, len(points) - 1, parts) for end in (a, b)]
        mesh = _sorted_mesh(MeshTri1, points, np.concatenate([np.delete(cells, halved, axis=0), *new]))


def _boundary_edges(mesh: Mesh) -> tuple[Arc, ...]:
    """The boundary edges of a mesh of triangles, with the interior on their left."""
    edges = ((name, edge) for name, facets in mesh.facets.items() for edge in mesh.points[facets].tolist())
    return tuple(Segment(name, (a, b), (c, d)) for name, ((a, b), (c, d)) in edges)


def _corner_exponents(arcs: Sequence[Arc], kinds: Mapping[str, object], tolerance: float) -> Iterator[tuple[Array, float]]:
    """The points where arcs meet at an angle or the kind of condition changes, with the exponent α of the solution there."""
    ends = [(arc.at(arc.span[1])[0], arc.normal(arc.span[1])[0], kinds.get(arc.name)) for arc in arcs]
    starts = [(arc.at(arc.span[0])[0], arc.normal(arc.span[0])[0], kinds.get(arc.name)) for arc in arcs]
    start_points = np.array([start[0] for start in starts])
    for point, before, kind in ends:
        for k in np.flatnonzero(np.linalg.norm(start_points - point, axis=1) < tolerance):
            _, after, other = starts[k]
            exterior = math.atan2(before[0] * after[1] - before[1] * after[0], float(before @ after))
            angle = math.pi - exterior
            if kind != other:
                yield point, 0.5 * math.pi / angle
            elif abs(exterior) > STRAIGHT_ANGLE_TOLERANCE:
                yield point, math.pi / angle
