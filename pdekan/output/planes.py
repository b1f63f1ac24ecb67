"""Planes: the two-dimensional fields that are drawn, of a grid or a mesh, and the choice of planes in three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import floor, log10

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from pdekan.output.samples import TIME, Array, Axis, Cells, Mesh, Samples, evenly

_MIN_AMPLITUDE = 0.1  # of a solution on the middle plane, relative to its largest value; else another plane is drawn
_NEAREST = (8, 64)  # triangles that a point is looked for in first
_AT_A_TIME = 500_000  # pairs of points and triangles
_ON_EDGE = 1e-9  # barycentric coordinates above its negative are those of a point inside
_HEIGHTS = 21  # between the ends of a mesh, from which another plane is chosen; odd, so that the middle is one of them


@dataclass(frozen=True, eq=False)
class Plane:
    """Values over two coordinates.

    across, up: the coordinates' names. x, y: the axes (nx,), (ny,) of a grid with `values` (nx, ny), or with `triangles` (m, 3)
    the coordinates (n,) of their corners with `values` (n,). fixed: the coordinates that are constant on the plane.
    section: whether the triangles are the section of a mesh in space.
    """

    across: str
    up: str
    x: Array
    y: Array
    values: Array
    triangles: Cells | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    section: bool = False

    @property
    def limits(self) -> Array:
        """Least and largest x and y, (2, 2)."""
        return np.array([[places.min(), places.max()] for places in (self.x, self.y)])

    @property
    def rim(self) -> Array:
        """The edges (k, 2, 2) around the triangles; none of a grid.

        In a section edges are left out that have triangles on both sides: a mesh without its flat tetrahedra has such.
        """
        if self.triangles is None:
            return np.empty((0, 2, 2))
        edges = np.stack([self.x, self.y], axis=1)[outline(self.triangles)]
        if not self.section:
            return np.asarray(edges)
        along, middle = edges[:, 1] - edges[:, 0], edges.mean(axis=1)
        beside = 1e-6 * np.ptp(self.limits) / np.linalg.norm(along, axis=1, keepdims=True) * along[:, ::-1] * [1.0, -1.0]
        sides = [_located(middle + shift, self._corners)[0] >= 0 for shift in (beside, -beside)]
        return np.asarray(edges[~(sides[0] & sides[1])])

    @property
    def _corners(self) -> Array:
        """The corners (m, 3, 2) of the triangles."""
        return np.asarray(np.stack([self.x, self.y], axis=1)[self.triangles])

    def interpolation(self, points: Array) -> Callable[[Array], Array]:
        """What takes values of the plane's shape to values ``(n,)`` at points ``(n, 2)``, linearly, nan outside."""
        if self.triangles is None:
            return lambda values: np.asarray(RegularGridInterpolator((self.x, self.y), values, bounds_error=False)(points))
        cells, weights = _located(points, self._corners)
        vertices = self.triangles[cells]
        return lambda values: np.where(cells >= 0, (values[vertices] * weights).sum(axis=1), np.nan)


@dataclass(frozen=True, eq=False)
class _Section:
    """The intersection of a plane with tetrahedra: triangles (m, 3) between k points on their edges.

    ends: (k, 2), the mesh's points at the ends of the edges. s: (k,), so that a point is (1 - s) · first + s · second.
    """

    ends: Cells
    s: Array
    triangles: Cells

    def of(self, values: Array) -> Array:
        """Linear interpolation (k,) or (k, d) of values (n,) or (n, d) at the mesh's points."""
        first, second = values[self.ends[:, 0]], values[self.ends[:, 1]]
        s = self.s if values.ndim == 1 else self.s[:, None]
        return np.asarray((1.0 - s) * first + s * second)


def planes(samples: Samples, values: Array, solution: Array) -> list[Plane]:
    """The planes on which values of the samples' shape are drawn: one, or three in three dimensions, and up to three in time.

    Those are normal to each coordinate at its middle; where the field `solution` nearly vanishes there, as sin(πx) on [-1, 1]
    does, it is where its amplitude is largest. Where two or three coordinates of space change in time, one plane of them at
    the first, the middle and the last time.
    """
    if len(samples.layout.space) > 1 and samples.times.size:
        return _in_time(samples, values, solution)
    layout = samples.layout
    if isinstance(layout, Mesh):
        return _of_triangles(layout, values) if len(layout.space) == 2 else _of_tetrahedra(layout, values, solution)
    if len(layout.axes) == 2:
        across, up = layout.axes
        return [Plane(across.name, up.name, across.values, up.values, values)]
    return _of_box(layout.axes, values, solution)


def sections(samples: Samples, fields: Mapping[str, Array], count: int) -> list[dict[str, Plane]]:
    """Planes of three dimensions normal to the last coordinate, from its lower to its upper end, each of all fields by name."""
    layout = samples.layout
    if isinstance(layout, Mesh):
        low, high = layout.points[:, 2].min(), layout.points[:, 2].max()
        cuts = [(height, _section(layout, 2, height)) for height in np.linspace(low, high, count + 2)[1:-1]]
        return [{name: _of_section(layout, 2, h, cut, values) for name, values in fields.items()} for h, cut in cuts]
    across, up, through = layout.axes
    drawn = []
    for k in evenly(through.values.size, count):
        fixed = {through.name: float(through.values[k])}
        of = {name: Plane(across.name, up.name, across.values, up.values, v[..., k], fixed=fixed) for name, v in fields.items()}
        drawn.append(of)
    return drawn


def outline(triangles: Cells) -> Cells:
    """The edges (k, 2) that belong to one triangle alone."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    distinct, counts = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(distinct[counts == 1])


def _located(points: Array, corners: Array) -> tuple[Cells, Array]:
    """The triangle that each point is in, -1 for none, of those with corners (m, 3, 2), and its barycentric coordinates (n, 3).

    Looked for among the nearest ones, then among all: in sections triangles overlap by round-off and differ much in size,
    which finders for triangulations do not allow.
    """
    inverse = np.linalg.inv(np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2))
    centres = corners.mean(axis=1)
    tree, radius = cKDTree(centres), np.linalg.norm(corners - centres[:, None], axis=2).max() * (1.0 + _ON_EDGE)
    found, weights, left = np.full(len(points), -1), np.zeros((len(points), 3)), np.arange(len(points))
    for count in sorted({min(count, len(corners)) for count in (*_NEAREST, len(corners))}):
        beyond = []  # whether there may be one among those farther away
        for rows in np.array_split(left, 1 + len(left) * count // _AT_A_TIME):
            distances, among = (one.reshape(len(rows), count) for one in tree.query(points[rows], count))
            s = np.einsum("nmij,nmj->nmi", inverse[among], points[rows, None] - corners[among, 0])
            every = np.concatenate([1.0 - s.sum(axis=2, keepdims=True), s], axis=2)
            best = every.min(axis=2).argmax(axis=1)
            chosen = every[np.arange(len(rows)), best]
            inside = chosen.min(axis=1) >= -_ON_EDGE
            found[rows[inside]], weights[rows[inside]] = among[inside, best[inside]], chosen[inside]
            beyond.append(~inside & (distances[:, -1] <= radius))
        left = left[np.concatenate(beyond)]
    return found, weights


def _in_time(samples: Samples, values: Array, solution: Array) -> list[Plane]:
    """One plane, in three dimensions that normal to the last coordinate, at up to three times."""
    last, drawn = samples.times.size - 1, []
    for step in sorted({0, last // 2, last}):
        now = samples.at(step)
        plane = planes(now, samples.step(values, step), samples.step(solution, last // 2))[0]
        drawn.append(replace(plane, fixed={**plane.fixed, TIME: float(samples.times[step])}))
    return drawn


def _of_box(axes: tuple[Axis, ...], values: Array, solution: Array) -> list[Plane]:
    names = [axis.name for axis in axes]
    cuts = [(number, _plane_index(axes[number].values, np.moveaxis(solution, number, 0))) for number in (2, 1, 0)]
    drawn = []
    for number, index in cuts:
        across, up = (axis for axis in axes if axis is not axes[number])
        part = np.take(values, index, axis=number)
        fixed = {names[number]: float(axes[number].values[index])}
        drawn.append(Plane(across.name, up.name, across.values, up.values, part, fixed=fixed))
    return drawn


def _plane_index(coordinate: Array, solution: Array) -> int:
    largest = _magnitudes(solution).reshape(len(solution), -1).max(axis=1)
    middle = int(np.argmin(np.abs(coordinate - (coordinate[0] + coordinate[-1]) / 2)))
    return middle if largest[middle] >= _MIN_AMPLITUDE * largest.max() else int(np.argmax(largest))


def _of_triangles(mesh: Mesh, values: Array) -> list[Plane]:
    across, up = mesh.space
    return [Plane(across, up, mesh.points[:, 0], mesh.points[:, 1], values, mesh.cells)]


def _of_tetrahedra(mesh: Mesh, values: Array, solution: Array) -> list[Plane]:
    drawn = []
    for number in (2, 1, 0):
        height = _plane_height(mesh, number, solution)
        drawn.append(_of_section(mesh, number, height, _section(mesh, number, height), values))
    return drawn


def _of_section(mesh: Mesh, number: int, height: float, section: _Section, values: Array) -> Plane:
    across, up = (k for k in range(3) if k != number)
    points, fixed = section.of(mesh.points), {mesh.space[number]: float(height)}
    x, y, inside = points[:, across], points[:, up], section.of(values)
    return Plane(mesh.space[across], mesh.space[up], x, y, inside, section.triangles, fixed, section=True)


def _plane_height(mesh: Mesh, number: int, solution: Array) -> float:
    low, high = mesh.points[:, number].min(), mesh.points[:, number].max()
    # rounded to a hundredth of the extent or less, so that the figure shows a short number and the exact height
    decimals = 2 - floor(log10(high - low))
    heights = [round(float(height), decimals) + 0.0 for height in np.linspace(low, high, _HEIGHTS + 2)[1:-1]]

    def largest(height: float) -> float:
        # -1 where the plane intersects no tetrahedron
        return float(_magnitudes(_section(mesh, number, height).of(solution)).max(initial=-1.0))

    middle = heights[_HEIGHTS // 2]
    return middle if largest(middle) >= _MIN_AMPLITUDE * _magnitudes(solution).max() else max(heights, key=largest)


def _section(mesh: Mesh, number: int, height: float) -> _Section:
    height_above = mesh.points[:, number] - height
    height_above[np.abs(height_above) < 1e-9 * np.ptp(mesh.points[:, number])] = 0.0
    above = height_above[mesh.cells] >= 0.0
    # a cell's corners, those above first; by the number of these, the edges that cross the plane, as corners of triangles
    corners = np.take_along_axis(mesh.cells, np.argsort(~above, axis=1, kind="stable"), axis=1)
    one, two, three = (corners[above.sum(axis=1) == count] for count in (1, 2, 3))
    edges = np.concatenate(
        [
            one[:, [[0, 1], [0, 2], [0, 3]]],
            two[:, [[0, 2], [0, 3], [1, 3]]],
            two[:, [[0, 2], [1, 3], [1, 2]]],
            three[:, [[0, 3], [1, 3], [2, 3]]],
        ]
    )
    # where the plane contains the upper end of an edge, the section depends on that point alone
    edges[..., 1] = np.where(height_above[edges[..., 0]] == 0.0, edges[..., 0], edges[..., 1])
    ends, triangles = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    top, bottom = height_above[ends[:, 0]], height_above[ends[:, 1]]
    return _Section(ends, top / np.where(top > bottom, top - bottom, 1.0), triangles[~flat])


def _magnitudes(values: Array) -> Array:
    return np.abs(np.nan_to_num(values, posinf=0.0, neginf=0.0))
