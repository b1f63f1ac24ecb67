"""The straight edges of a boundary, of which a polygon may have thousands: those nearest to points, found in a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from pdekan.domains.arcs import Segment
from pdekan.domains.quadrature import Array


class Edges:
    """Segments with a tree of their bounding boxes."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._starts, self._ends = (np.array([one.ends[k] for one in segments]) for k in (0, 1))
        self._tree = shapely.STRtree(shapely.linestrings(np.stack([self._starts, self._ends], axis=1)))

    def nearest(self, points: Array) -> tuple[Array, Array]:
        """Distance ``(n,)`` of points ``(n, 2)`` to the nearest segment, and its outward normals ``(n, 2)``.

        Of segments at the same distance it is the first one; points that are not finite are at the distance inf.
        """
        distance, normals = np.full(len(points), np.inf), np.zeros_like(points)
        known = np.flatnonzero(np.isfinite(points).all(axis=1))
        found = np.full(len(points), len(self._starts))
        which, segments = self._tree.query_nearest(shapely.points(points[known]))
        np.minimum.at(found, known[which], segments)
        start, along = self._starts[found[known]], (self._ends - self._starts)[found[known]]
        apart = points[known] - start
        t = np.clip((apart * along).sum(axis=1) / (along * along).sum(axis=1), 0.0, 1.0)
        distance[known] = np.linalg.norm(apart - t[:, None] * along, axis=1)
        normals[known] = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1)[:, None]
        return distance, normals
