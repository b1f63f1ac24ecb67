"""Whether simplices form a conforming mesh: the facets at its boundary, cells that overlap, hanging nodes, doubled points.

The number of cells that contain a point changes only where a facet of a single cell is crossed, if cells that share a facet
are on opposite sides of it. So cells overlap only where such a facet enters another cell, or lies on another such facet; in a
conforming mesh none does. The facets of a single cell are few, and trees find what is near them, so that the time is about
linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import shapely
from numpy.typing import NDArray

from pdekan.domains.base import DomainError
from pdekan.domains.facets import normals
from pdekan.domains.quadrature import Array

Index = NDArray[np.int64]

SAME = 1e-9  # of the mesh's size: points that are closer are the same one
DEEP = 1e-9  # of a cell's size: what lies deeper inside overlaps
# Of a facet's size: the largest distance of facets that lie on each other. Files in single precision have seven digits.
NEAR = 1e-6
AT_ONCE = 2048  # facets whose neighbours are looked for at a time
MEND = "merge what is doubled and mesh the whole at once, in the program that made the mesh"


def boundary(points: Array, cells: Index) -> Index:
    """Facets ``(k, d)`` of exactly one cell, oriented so that their normals point away from the cell.

    Raises DomainError, with the cells, unless the mesh is conforming.
    """
    corners = cells.shape[1]
    facets = np.concatenate([cells[:, list(kept)] for kept in combinations(range(corners), corners - 1)])
    opposite = np.concatenate([cells[:, corners - 1 - k] for k in range(corners)])
    owners = np.tile(np.arange(len(cells)), corners)
    facets = np.sort(facets, axis=1)
    _, first, place, counts = np.unique(facets, axis=0, return_index=True, return_inverse=True, return_counts=True)
    inward = (normals(points[facets]) * (points[opposite] - points[facets[:, 0]])).sum(axis=1) > 0.0
    sides = np.bincount(place.ravel(), np.where(inward, 1.0, -1.0), len(counts))
    for wrong, what in (
        (counts > 2, "more than two cells meet in one facet"),
        ((counts == 2) & (sides != 0.0), "two cells overlap"),
    ):
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            raise DomainError(
                f"{what}: cells {_listed(owners[place.ravel() == k])}, {_about(points[facets[first[k]]])}; {MEND}"
            )
    single = np.sort(first[counts == 1])
    facets, owners, inward = facets[single].copy(), owners[single], inward[single]
    _check(points, cells, facets, owners)
    facets[inward, :2] = facets[inward, 1::-1]
    return np.asarray(facets)


def _check(points: Array, cells: Index, facets: Index, owners: Index) -> None:
    """Raise DomainError for doubled points, for facets inside of other cells, and for facets that lie on each other."""
    from scipy.spatial import cKDTree  # a tenth of a second, for meshes only

    used = np.unique(facets)
    size = float(np.ptp(points[used], axis=0).max())
    pairs = used[np.sort(cKDTree(points[used]).query_pairs(SAME * size, output_type="ndarray"), axis=1)]
    if len(pairs):
        a, b = pairs[np.lexsort(pairs.T[::-1])[0]]
        raise DomainError(f"points {a} and {b} are at the same place ({len(pairs)} such pairs), {_about(points[[a]])}; {MEND}")
    for some, others in _neighbours(points[facets], points[cells]):
        kept = owners[some] != others
        some, others = some[kept], others[kept]
        deep = _penetrates(points[facets[some]], points[cells[others]])
        if deep.any():
            k = int(np.flatnonzero(deep)[0])
            where = _about(points[facets[some[k]]])
            raise DomainError(
                f"cells {owners[some[k]]} and {others[k]} overlap ({int(deep.sum())} such pairs), {where}; {MEND}"
            )
    for some, others in _neighbours(points[facets], points[facets]):
        kept = some < others
        some, others = some[kept], others[kept]
        on = _lie_on(points[facets[some]], points[facets[others]])
        if on.any():
            k = int(np.flatnonzero(on)[0])
            raise DomainError(
                f"cells {owners[some[k]]} and {owners[others[k]]} touch each other and have no facet in common "
                f"({int(on.sum())} such pairs), {_about(points[facets[others[k]]])}: a node that hangs, or doubled ones; {MEND}"
            )


def _neighbours(some: Array, others: Array) -> Iterator[tuple[Index, Index]]:
    """Pairs of simplices ``(n, a, d)`` and ``(m, b, d)`` whose bounding boxes meet, as indices, part by part."""
    low, high = others.min(axis=1), others.max(axis=1)
    tree = shapely.STRtree(shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1]))
    for start in range(0, len(some), AT_ONCE):
        part = some[start : start + AT_ONCE]
        slack = NEAR * np.ptp(part, axis=1).max(axis=1)[:, None]
        a, b = part.min(axis=1) - slack, part.max(axis=1) + slack
        i, j = tree.query(shapely.box(a[:, 0], a[:, 1], b[:, 0], b[:, 1]))
        meets = ((a[i] <= high[j]) & (low[j] <= b[i])).all(axis=1)
        yield i[meets] + start, j[meets]


def _penetrates(facets: Array, cells: Array) -> NDArray[np.bool_]:
    """Which facets ``(n, d, d)`` have points inside of the cells ``(n, d + 1, d)``.

    Two convex sets are apart if their shadows are, along a normal of either or, in space, along a direction across an edge of
    each. Source: Gottschalk, Lin, Manocha, SIGGRAPH 1996, section 5.
    """
    d = facets.shape[2]
    sides = combinations(range(d + 1), d)
    axes = [normals(facets), *(normals(cells[:, list(side)]) for side in sides)]
    if d == 3:
        axes += [np.cross(a, b) for a in _edges(facets) for b in _edges(cells)]
    return _overlap(facets, cells, axes, DEEP * np.ptp(cells, axis=1).max(axis=1))


def _lie_on(some: Array, others: Array) -> NDArray[np.bool_]:
    """Which facets ``(n, d, d)`` lie in one plane with others and cover parts of them."""
    across = normals(some)
    across /= np.linalg.norm(across, axis=1)[:, None]
    size = np.maximum(np.ptp(some, axis=1).max(axis=1), np.ptp(others, axis=1).max(axis=1))
    heights = np.abs(((others - some[:, :1]) * across[:, None]).sum(axis=2)).max(axis=1)
    plane = np.flatnonzero(heights <= NEAR * size)
    some, others, across = some[plane], others[plane], across[plane]
    edges = [*_edges(some), *_edges(others)]
    axes = edges if some.shape[2] == 2 else [np.cross(across, edge) for edge in edges]
    found = np.zeros(len(heights), dtype=bool)
    found[plane] = _overlap(some, others, axes, NEAR * size[plane])
    return found


def _edges(corners: Array) -> list[Array]:
    """Vectors ``(n, d)`` along the edges of simplices ``(n, k, d)``."""
    return [corners[:, b] - corners[:, a] for a, b in combinations(range(corners.shape[1]), 2)]


def _overlap(some: Array, others: Array, axes: list[Array], least: Array) -> NDArray[np.bool_]:
    """Whether the shadows of both on every axis ``(n, d)`` overlap by more than `least`; axes of length 0 say nothing."""
    left = np.arange(len(some))
    for axis in axes:
        origin = some[left, :1]
        length = np.linalg.norm(axis[left], axis=1)
        unit = (axis[left] / np.where(length > 0.0, length, 1.0)[:, None])[:, None]
        a, b = ((one[left] - origin) * unit for one in (some, others))
        a, b = a.sum(axis=2), b.sum(axis=2)
        depth = np.minimum(a.max(axis=1) - b.min(axis=1), b.max(axis=1) - a.min(axis=1))
        left = left[(depth > least[left]) | (length == 0.0)]
    found = np.zeros(len(some), dtype=bool)
    found[left] = True
    return found


def _listed(cells: Index) -> str:
    return ", ".join(map(str, cells[:4].tolist())) + (", …" if len(cells) > 4 else "")


def _about(corners: Array) -> str:
    """The middle of points ``(n, d)`` in words."""
    return f"about ({', '.join(f'{x:.6g}' for x in corners.mean(axis=0).tolist())})"
