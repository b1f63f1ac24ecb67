"""Triangulations that fit the boundary of a domain, for figures and finite elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, cKDTree

from pdekan.domains.arcs import Arc
from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.combinations import planar
from pdekan.domains.mesh import Index, Mesh, volumes
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.solids import Solid
from pdekan.domains.validation import positive
from pdekan.fields.jets import TIME

APART = 0.6  # of the edge length: the least distance of interior points to the boundary, more than half an edge
TURN = math.pi / 6.0  # the largest angle of an arc that an edge spans
FLAT = 1e-9  # cells with a smaller volume, relative to their size, are removed
SAME = 1e-7  # of the size: ends of arcs at a smaller distance are identified
ROUNDS = 40  # the largest number of times that edges are halved
SAMPLES = 256  # of an arc, for its length


def triangulation(domain: Domain, size: float, inner: Sequence[Arc] = ()) -> tuple[Array, Index]:
    """Points ``(n, d)`` and positively oriented cells ``(m, d + 1)`` with edges of about this size.

    inner: arcs in a planar domain along which cells have edges too; they meet each other and the boundary at their ends only.

    The domain is planar, a box in two dimensions, a ball, or a mesh, which is returned as it is. Points include the ends of all
    arcs and cells have edges along the whole boundary: polygons are filled exactly, other domains up to O(size²). The cells on
    the two sides of a slit have its points in common. Other solids are filled up to O(size), for pictures. Raises
    DomainError for other domains and for a size that is not positive.
    """
    positive("size", size)
    if isinstance(domain, Mesh):
        return domain.points, domain.cells
    if isinstance(domain, Ball):
        return _ball(domain, size)
    if isinstance(domain, Solid):
        return _solid(domain, size)
    if TIME in domain.coordinates or domain.dimension != 2:
        raise DomainError(f"no triangulation of a {domain.type_name} is known; take its section at one time, or a mesh")
    return _fitted(planar(domain), size, inner)


def _fitted(domain: Planar, size: float, inner: Sequence[Arc]) -> tuple[Array, Index]:
    """Delaunay triangulation of points on arcs and a lattice between; edges along arcs are halved until none is missing."""
    boundary_arcs = [piece for arc in domain.arcs for piece in _cut(arc, inner, SAME * domain.size)]
    arcs = [*boundary_arcs, *inner]
    parts = [_divided(arc, size) for arc in arcs]
    lattice = _hexagonal(domain.lower, domain.upper, size)
    lattice = lattice[domain.distance(lattice) > APART * size]
    for arc in inner:
        lattice = lattice[arc.distance(lattice) > APART * size]
    for _ in range(ROUNDS):
        points, edges = _joined(arcs, parts, SAME * domain.size)
        points = np.concatenate([points, lattice])
        cells = Delaunay(points).simplices
        missing = _missing(edges, cells)
        if not missing.any():
            around = edges[: sum(len(t) - 1 for t in parts[: len(boundary_arcs)])]
            boundary = points[around[_one_sided(around)]]
            area = shapely.build_area(shapely.multilinestrings(shapely.linestrings(boundary)))
            shapely.prepare(area)
            inside = shapely.contains_xy(area, points[cells].mean(axis=1))
            return _cleaned(points, cells[inside])
        rest = iter(np.split(missing, np.cumsum([len(t) - 1 for t in parts])[:-1]))
        parts = [np.sort(np.concatenate([t, 0.5 * (t[1:] + t[:-1])[next(rest)]])) for t in parts]
    raise DomainError(f"no triangulation of edges {size} fits the boundary; try a smaller size")


def _cut(arc: Arc, others: Sequence[Arc], same: float) -> list[Arc]:
    """The pieces of an arc between the ends of other arcs on it."""
    ends = np.concatenate([np.empty((0, 2)), *(other.ends for other in others)])
    t = arc.nearest(ends) if len(ends) else np.empty(0)
    away = (np.linalg.norm(arc.ends[:, None] - ends, axis=2) > same).all(axis=0)
    on = (np.linalg.norm(arc.at(t) - ends, axis=1) < same) & away if len(ends) else np.empty(0, dtype=bool)
    first, last = arc.span
    at = [first, *sorted(np.unique(t[on].round(12)).tolist(), reverse=last < first), last]
    return [arc.trimmed(a, b) for a, b in pairwise(at)]


def _divided(arc: Arc, size: float) -> Array:
    """Parameters from 0 to 1 along an arc, at equal arc lengths of at most `size`."""
    share = np.linspace(0.0, 1.0, SAMPLES + 1)
    x = arc.at(arc.span[0] + share * (arc.span[1] - arc.span[0]))
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    turning = abs(arc.span[1] - arc.span[0]) / TURN if arc.branches else 0.0
    count = max(1, math.ceil(length[-1] / size - 1e-9), math.ceil(turning))
    return np.asarray(np.interp(np.linspace(0.0, length[-1], count + 1), length, share))


def _joined(arcs: Sequence[Arc], parts: Sequence[Array], same: float) -> tuple[Array, Index]:
    """Points of all arcs, with those nearer than `same` identified, and edges ``(m, 2)`` along the arcs."""
    x = np.concatenate([arc.at(arc.span[0] + t * (arc.span[1] - arc.span[0])) for arc, t in zip(arcs, parts, strict=True)])
    pairs = cKDTree(x).query_pairs(same, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(x), len(x)))
    place = connected_components(graph, directed=False)[1]
    starts = np.cumsum([0] + [len(t) for t in parts]).tolist()
    rows = np.concatenate([np.arange(a, b - 1) for a, b in pairwise(starts)])
    return x[np.unique(place, return_index=True)[1]], np.stack([place[rows], place[rows + 1]], axis=1)


def _hexagonal(lower: Sequence[float], upper: Sequence[float], size: float) -> Array:
    """A lattice of equilateral triangles over a rectangle."""
    rise = 0.5 * math.sqrt(3.0) * size
    rows = np.arange(lower[1], upper[1] + rise, rise)
    columns = np.arange(lower[0], upper[0] + size, size)
    x = columns + 0.5 * size * (np.arange(len(rows)) % 2)[:, None]
    return np.stack([x.ravel(), np.repeat(rows, len(columns))], axis=1)


def _missing(edges: Index, cells: Index) -> np.ndarray:
    """Which edges are not edges of a cell; edges whose ends are identified are not missing."""
    count = int(max(edges.max(), cells.max())) + 1
    present = np.sort(np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [2, 0]]]), axis=1)
    wanted = np.sort(edges, axis=1)
    return np.asarray(~np.isin(wanted @ [count, 1], present @ [count, 1]) & (wanted[:, 0] != wanted[:, 1]))


def _one_sided(edges: Index) -> np.ndarray:
    """Which edges have two ends, and the domain on one side only: the sides of a slit are opposite to each other."""
    count = int(edges.max()) + 1
    opposite = np.isin(edges @ [count, 1], edges @ [1, count])
    return np.asarray((edges[:, 0] != edges[:, 1]) & ~opposite)


def _cleaned(points: Array, cells: Index) -> tuple[Array, Index]:
    """Positively oriented cells without those of no volume, and the points that they use."""
    corners = points[cells]
    content, extent = volumes(corners), np.ptp(corners, axis=1).max(axis=1)
    solid = np.abs(content) > FLAT * extent ** points.shape[1]
    cells = np.where((content < 0.0)[:, None], cells[:, [1, 0, *range(2, cells.shape[1])]], cells)[solid]
    used, renumbered = np.unique(cells, return_inverse=True)
    return points[used], np.asarray(renumbered, dtype=np.int64).reshape(cells.shape)


def _ball(ball: Ball, size: float) -> tuple[Array, Index]:
    """Delaunay triangulation of Fibonacci points on the sphere and of a face-centred cubic lattice inside.

    Source: Swinbank and Purser, Q. J. R. Meteorol. Soc. 132 (2006) 1769-1793, for the points on the sphere.
    """
    count = max(12, math.ceil(8.0 * math.pi / math.sqrt(3.0) * (ball.radius / size) ** 2))
    k = np.arange(count) + 0.5
    z, angle = 1.0 - 2.0 * k / count, math.pi * (1.0 + math.sqrt(5.0)) * k
    across = np.sqrt((1.0 - z) * (1.0 + z))
    sphere = ball.radius * np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)
    lattice = _close_packed([ball.radius] * 3, size)
    inside = np.linalg.norm(lattice, axis=1) < ball.radius - APART * size
    points = np.concatenate([sphere, lattice[inside]])
    return _cleaned(points + ball.center, Delaunay(points).simplices)


def _close_packed(half: Sequence[float], size: float) -> Array:
    """The face-centred cubic lattice about 0 in a box, whose points are `size` apart."""
    step, reach = size / math.sqrt(2.0), [math.ceil(math.sqrt(2.0) * one / size) for one in half]
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(step * grid[grid.sum(axis=1) % 2 == 0])


def _solid(domain: Solid, size: float) -> tuple[Array, Index]:
    """Delaunay triangulation of points on the faces, none of them near another, and of a lattice inside."""
    dense = max(1, math.ceil(3.0 * domain.size / size))
    boundary = np.concatenate([domain.face(name, 1, dense, 0, 0).points for name in domain.faces])
    kept = np.ones(len(boundary), dtype=bool)
    for k, near in enumerate(cKDTree(boundary).query_ball_point(boundary, APART * size)):
        if kept[k]:
            kept[near] = False
            kept[k] = True
    lower, upper = np.array(domain.lower), np.array(domain.upper)
    lattice = 0.5 * (lower + upper) + _close_packed((0.5 * (upper - lower)).tolist(), size)
    points = np.concatenate([boundary[kept], lattice[domain.distance(lattice) > APART * size]])
    cells = Delaunay(points).simplices
    return _cleaned(points, cells[domain.distance(points[cells].mean(axis=1)) > 0.0])
