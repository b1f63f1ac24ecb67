"""Signed distance to closed boundaries that consist of segments in the plane or of triangles in space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pdekan.domains.quadrature import Array

AT_ONCE = 2**20  # pairs of a point and a facet that are evaluated at a time


def signed_distance(points: Array, corners: Array) -> Array:
    """Distance ``(n,)`` of points ``(n, d)`` to the nearest of the facets ``(m, d, d)`` with outward normals.

    It is negative outside, where the winding number is zero.
    """
    dimension = corners.shape[2]
    to_facets, angles = (_to_segments, _angles) if dimension == 2 else (_to_triangles, _solid_angles)
    distance = _by_chunks(points, corners, lambda some: to_facets(some, corners).min(axis=1))
    winding = _by_chunks(points, corners, lambda some: angles(corners - some[:, None, None]).sum(axis=1))
    full = 2.0 * np.pi * (dimension - 1)
    return np.where(winding > 0.5 * full, distance, -distance)


def normals(corners: Array) -> Array:
    """Normals ``(m, d)`` of facets ``(m, d, d)``; their length is the measure of the facet."""
    edges = corners[:, 1:] - corners[:, :1]
    if corners.shape[2] == 2:
        return np.stack([edges[:, 0, 1], -edges[:, 0, 0]], axis=1)
    return np.asarray(0.5 * np.cross(edges[:, 0], edges[:, 1]))


def _by_chunks(points: Array, corners: Array, value: Callable[[Array], Array]) -> Array:
    """A function of points ``(n, d)`` and all facets, evaluated in chunks of points to limit its memory."""
    rows = max(1, AT_ONCE // len(corners))
    parts = [value(points[k : k + rows]) for k in range(0, len(points), rows)]
    return np.asarray(np.concatenate(parts) if parts else np.zeros(0))


def _to_segments(points: Array, ends: Array) -> Array:
    """Distances ``(n, m)`` of points ``(n, d)`` to segments ``(m, 2, d)``."""
    along, from_start = ends[:, 1] - ends[:, 0], points[:, None] - ends[:, 0]
    t = np.clip((from_start * along).sum(axis=2) / (along * along).sum(axis=1), 0.0, 1.0)
    return np.asarray(np.linalg.norm(from_start - t[..., None] * along, axis=2))


def _to_triangles(points: Array, corners: Array) -> Array:
    """Distances ``(n, m)`` of points to triangles ``(m, 3, 3)``: to the plane above the inside, or to the edges."""
    across = normals(corners)
    across /= np.linalg.norm(across, axis=1)[:, None]
    edges = [corners[:, [k, (k + 1) % 3]] for k in range(3)]
    distance: Array = np.min([_to_segments(points, edge) for edge in edges], axis=0)
    sides = [((points[:, None] - edge[:, 0]) * np.cross(across, edge[:, 1] - edge[:, 0])).sum(axis=2) >= 0.0 for edge in edges]
    above = np.abs(((points[:, None] - corners[:, 0]) * across).sum(axis=2))
    return np.where(np.all(sides, axis=0), above, distance)


def _angles(spokes: Array) -> Array:
    """Angles ``(n, m)`` from the first to the second of two vectors ``(n, m, 2, 2)``."""
    a, b = spokes[..., 0, :], spokes[..., 1, :]
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return np.asarray(np.arctan2(cross, (a * b).sum(axis=-1)))


def _solid_angles(spokes: Array) -> Array:
    """Solid angles ``(n, m)`` of triangles with corners ``(n, m, 3, 3)`` relative to the points.

    Source: Van Oosterom and Strackee, IEEE Trans. Biomed. Eng. 30 (1983) 125-126, eq. 8.
    """
    a, b, c = (spokes[..., k, :] for k in range(3))
    p, q, r = (np.linalg.norm(spoke, axis=-1) for spoke in (a, b, c))
    triple = (a * np.cross(b, c)).sum(axis=-1)
    below = p * q * r + (a * b).sum(axis=-1) * r + (a * c).sum(axis=-1) * q + (b * c).sum(axis=-1) * p
    return np.asarray(2.0 * np.arctan2(triple, below))
