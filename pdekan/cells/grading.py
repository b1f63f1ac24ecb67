"""Cells graded towards points where interfaces meet, and no cell beside too many others.

Where interfaces meet each other or the boundary, or turn, solutions behave like r^λ, see `singularities.crossings`; hp methods
converge exponentially there on cells whose sides fall geometrically (Guo and Babuška, Comput. Mech. 1 (1986) 21-41). A cell
that is cut at such a point is cut several times at once, as each time the error of what is left falls by 2^-λ alone. In the
coordinates x_k/√A_kk the equation is Laplace's, and its solutions change as fast along all axes: sides are compared in these.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from pdekan.cells.mesh import Mesh
from pdekan.domains.arcs import Arc
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.combinations import cuts, planar
from pdekan.domains.partition import Integers, Partition
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.region_cells import FlatJoints
from pdekan.problems.problem import Problem

LAYERS = 3  # cuts at once of a cell at a crossing, the first included
LONG = 0.5  # of the longest side of a cell: shorter ones are not cut where that one is
BESIDE = 4  # the most faces on a side of a cell: each takes as many unknowns as a cell's whole side
STRAIGHT = 1e-6  # the angle, in radians, between a curve and its continuation


def longest(sides: Array, metric: Array, axes: Sequence[int]) -> list[int]:
    """The axes ``(d,)`` along which a cell is long, of those along which it is to be cut."""
    lengths = sides / np.sqrt(metric)
    return [k for k in axes if lengths[k] >= LONG * max(lengths[k] for k in axes)]


def towards(
    points: Array, partition: Partition, former: Integers, cut: Sequence[int], metric: Array, least: float
) -> tuple[Partition, Integers]:
    """The partition with cells cut further at points, and the former cell ``(m,)`` of each new one.

    former: ``(n,)`` the former cells, of which those in `cut` have been cut; metric: ``(·, d)`` of these. least: sides that are
    not cut.
    """
    for _ in range(LAYERS - 1):
        low, high = partition.cells
        axes = {}
        for cell in np.flatnonzero(np.isin(former, cut)).tolist():
            near = 1e-3 * (high - low)[cell]
            if ((low[cell] - near <= points) & (points <= high[cell] + near)).all(1).any():
                wide = [k for k in range(len(near)) if (high - low)[cell, k] > least]
                axes[cell] = longest((high - low)[cell], metric[former[cell]], wide)
        partition, new = partition.refined(axes)
        former = former[new]
    return partition, former


def balanced(problem: Problem, partition: Partition, degrees: Integers) -> Mesh:
    """The mesh, cut until no cell has more than BESIDE faces, or pieces of interfaces, on one of its sides."""
    while True:
        mesh = Mesh.of(problem, partition, degrees)
        axes = _crowded(mesh)
        if not axes:
            return mesh
        partition, former = partition.refined(axes)
        degrees = degrees[former]


def _crowded(mesh: Mesh) -> dict[int, list[int]]:
    """The cells with too many faces on a side, and the axes along that side; all, where it is curved."""
    faces, joints, d = mesh.faces, mesh.joints, mesh.partition.dimension
    rows = [np.stack([faces.first, faces.axis, 1 + 0 * faces.axis]), np.stack([faces.second, faces.axis, 0 * faces.axis])]
    if joints is not None:
        once = np.unique(joints.place, return_index=True)[1]
        flat = isinstance(joints, FlatJoints)
        axis = joints.axis[once] if isinstance(joints, FlatJoints) else np.full(len(once), d)
        above = joints.sign[once] > 0.0 if isinstance(joints, FlatJoints) else np.zeros(len(once), dtype=bool)
        rows += [np.stack([joints.outer[once], axis, flat & ~above]), np.stack([joints.inner[once], axis, flat & above])]
    sides, counts = np.unique(np.concatenate(rows, axis=1), axis=1, return_counts=True)
    out: dict[int, set[int]] = {}
    for cell, axis, _ in sides[:, counts > BESIDE ** (d - 1)].T.tolist():
        out.setdefault(cell, set()).update(k for k in range(d) if k != axis)
    size = mesh.geometry.high - mesh.geometry.low
    wide = {cell: sorted(k for k in axes if size[cell, k] > mesh.geometry.smallest) for cell, axes in out.items()}
    return {cell: axes for cell, axes in wide.items() if axes}


def crossings(problem: Problem) -> Array:
    """The points ``(k, 2)`` at which interfaces of a plane meet each other or the boundary, or turn; none elsewhere."""
    shapes = [_planar(shape) for shape in problem.interfaces.values()]
    domain = _planar(problem.domain)
    if domain is None or None in shapes:
        return np.zeros((0, problem.domain.dimension))
    inner = [arc for shape in shapes if shape is not None for arc in shape.arcs]
    same = SAME * problem.domain.size
    every, found = [*inner, *domain.arcs], []
    for arc in inner:
        others = [other for other in every if other is not arc]
        found += list(arc.at(cuts(arc, others, same)))
    points = [p for k, p in enumerate(found) if all(np.linalg.norm(p - q) > 10.0 * same for q in found[:k])]
    kept = [p for p in points if not _is_straight(_directions(p, every, 10.0 * same))]
    return np.array(kept).reshape(-1, 2)


def _planar(shape: Domain) -> Planar | None:
    return planar(shape) if isinstance(shape, Planar) or (isinstance(shape, Box) and shape.dimension == 2) else None


def _directions(point: Array, arcs: Sequence[Arc], near: float) -> Array:
    """The unit vectors ``(k, 2)`` along which arcs lead away from a point."""
    out = []
    for arc in arcs:
        t = arc.nearest(point[None])
        if np.linalg.norm(arc.at(t)[0] - point) > near:
            continue
        ahead = arc.velocity(t)[0] * np.sign(arc.span[1] - arc.span[0])
        first, last = (float(np.linalg.norm(end - point)) <= near for end in arc.ends)
        out += [*([] if last else [ahead]), *([] if first else [-ahead])]
        if first and last:  # a closed curve
            out += [arc.velocity(np.array([arc.span[0]]))[0], -arc.velocity(np.array([arc.span[1]]))[0]]
    every = np.array(out)
    return np.asarray(every / np.linalg.norm(every, axis=1, keepdims=True))


def _is_straight(directions: Array) -> bool:
    """Whether curves pass through a point along a single line."""
    pairs = itertools.combinations(directions, 2)
    return all(abs(a[0] * b[1] - a[1] * b[0]) <= STRAIGHT for a, b in pairs)
