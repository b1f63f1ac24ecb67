"""Planes: the flat parts of a field that are drawn, of a grid or of a mesh, and where to cut through three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log10

import numpy as np

from pdekan.output.samples import Array, Axis, Cells, Mesh, Samples

TIME = "t"
# a plane on which the solution is smaller than this part of its largest value shows next to nothing
_TELLING = 0.1
# heights between the ends of a mesh that are tried where the middle shows next to nothing; odd, so that it is one of them
_HEIGHTS = 21


@dataclass(frozen=True, eq=False)
class Plane:
    """Values over two coordinates.

    across, up: the coordinates' names. x, y: the values (nx,), (ny,) of a grid's axes, and `values` is (nx, ny); or with
    `triangles` (m, 3) the places (n,), (n,) of their corners, and `values` is (n,).
    fixed: the coordinates that have one value all over the plane, where it was cut out of three dimensions.
    """

    across: str
    up: str
    x: Array
    y: Array
    values: Array
    triangles: Cells | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def limits(self) -> Array:
        """Least and largest place across and up, (2, 2)."""
        return np.array([[places.min(), places.max()] for places in (self.x, self.y)])


@dataclass(frozen=True, eq=False)
class _Section:
    """A plane through tetrahedra: triangles between points on their edges.

    ends: (k, 2), the mesh's points between which each lies. s: (k,), where: (1 - s) · first + s · second. triangles: (m, 3).
    """

    ends: Cells
    s: Array
    triangles: Cells

    def of(self, values: Array) -> Array:
        """Linear interpolation (k,) or (k, d) of what is known at the mesh's points, (n,) or (n, d)."""
        first, second = values[self.ends[:, 0]], values[self.ends[:, 1]]
        s = self.s if values.ndim == 1 else self.s[:, None]
        return np.asarray((1.0 - s) * first + s * second)


def planes(samples: Samples, values: Array, telling: Array) -> list[Plane]:
    """Where values of the samples' shape are drawn: the plane itself, or three planes through three dimensions.

    Those are at the first, the middle and the last time, or across each coordinate at its middle; where the field `telling`
    all but vanishes there, as sin(πx) on [-1, 1] does, they are where it is largest.
    """
    layout = samples.layout
    if isinstance(layout, Mesh):
        return _of_triangles(layout, values) if len(layout.coordinates) == 2 else _of_tetrahedra(layout, values, telling)
    if len(layout.axes) == 2:
        across, up = layout.axes
        return [Plane(across.name, up.name, across.values, up.values, values)]
    return _of_box(layout.axes, values, telling)


def outline(triangles: Cells) -> Cells:
    """The edges (k, 2) that belong to one triangle alone."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    found, counts = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(found[counts == 1])


def _of_box(axes: tuple[Axis, ...], values: Array, telling: Array) -> list[Plane]:
    names = [axis.name for axis in axes]
    if TIME in names:
        time = names.index(TIME)
        last = axes[time].values.size - 1
        cuts = [(time, index) for index in (0, last // 2, last)]
    else:
        cuts = [(number, _telling_index(axes[number].values, np.moveaxis(telling, number, 0))) for number in (2, 1, 0)]
    found = []
    for number, index in cuts:
        across, up = (axis for axis in axes if axis is not axes[number])
        part = np.take(values, index, axis=number)
        fixed = {names[number]: float(axes[number].values[index])}
        found.append(Plane(across.name, up.name, across.values, up.values, part, fixed=fixed))
    return found


def _telling_index(coordinate: Array, telling: Array) -> int:
    largest = _sizes(telling).reshape(len(telling), -1).max(axis=1)
    middle = int(np.argmin(np.abs(coordinate - (coordinate[0] + coordinate[-1]) / 2)))
    return middle if largest[middle] >= _TELLING * largest.max() else int(np.argmax(largest))


def _of_triangles(mesh: Mesh, values: Array) -> list[Plane]:
    across, up = mesh.coordinates
    return [Plane(across, up, mesh.points[:, 0], mesh.points[:, 1], values, mesh.cells)]


def _of_tetrahedra(mesh: Mesh, values: Array, telling: Array) -> list[Plane]:
    found = []
    for number in (2, 1, 0):
        height = _telling_height(mesh, number, telling)
        section = _section(mesh, number, height)
        across, up = (k for k in range(3) if k != number)
        points = section.of(mesh.points)
        found.append(
            Plane(
                across=mesh.coordinates[across],
                up=mesh.coordinates[up],
                x=points[:, across],
                y=points[:, up],
                values=section.of(values),
                triangles=section.triangles,
                fixed={mesh.coordinates[number]: height},
            )
        )
    return found


def _telling_height(mesh: Mesh, number: int, telling: Array) -> float:
    low, high = mesh.points[:, number].min(), mesh.points[:, number].max()
    # rounded to a hundredth of the extent or less, so that the number on the figure is short and is where the plane is
    decimals = 2 - floor(log10(high - low))
    heights = [round(float(height), decimals) + 0.0 for height in np.linspace(low, high, _HEIGHTS + 2)[1:-1]]

    def largest(height: float) -> float:
        # a plane that meets no tetrahedron is worse than one of zeros
        return float(_sizes(_section(mesh, number, height).of(telling)).max(initial=-1.0))

    middle = heights[_HEIGHTS // 2]
    return middle if largest(middle) >= _TELLING * _sizes(telling).max() else max(heights, key=largest)


def _section(mesh: Mesh, number: int, height: float) -> _Section:
    level = mesh.points[:, number] - height
    level[np.abs(level) < 1e-9 * np.ptp(mesh.points[:, number])] = 0.0
    above = level[mesh.cells] >= 0.0
    # a cell's corners, those above first; then by how many these are, the edges that cross the plane as triangles' corners
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
    # edges that meet the plane at their upper end have that point of the mesh in common, and depend on its value alone
    edges[..., 1] = np.where(level[edges[..., 0]] == 0.0, edges[..., 0], edges[..., 1])
    ends, triangles = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    top, bottom = level[ends[:, 0]], level[ends[:, 1]]
    return _Section(ends, top / np.where(top > bottom, top - bottom, 1.0), triangles[~flat])


def _sizes(values: Array) -> Array:
    return np.abs(np.nan_to_num(values, posinf=0.0, neginf=0.0))
