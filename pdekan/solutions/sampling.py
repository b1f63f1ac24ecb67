"""Samples of fields over a domain: on a tensor grid, or on a mesh that fills the domain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.moving import Moving
from pdekan.fields.jets import TIME
from pdekan.output.samples import Axis, Grid, Labels, Mesh, Samples

Array = NDArray[np.float64]
GRID = {1: 1001, 2: 101, 3: 41, 4: 15}  # default points an axis
MESH = {2: 100, 3: 24}  # edges of a mesh along the longest side of the box around it …
MESH_IN_TIME = {2: 60, 3: 12}  # … and of one that is sampled at several times
TIMES = {1: 101, 2: 41, 3: 15}  # default times on a grid, by the axes of space
MESH_TIMES = 21
SPACE_AXES = 3
SLICE_AXES = 2  # above three dimensions of space a slice is sampled: its first coordinates, the others at their middle


def sample(
    domain: Domain,
    unknowns: tuple[str, ...],
    fields_at: Callable[[Array], Mapping[str, Array]],
    shape: Sequence[int] | None = None,
    times: Sequence[float] | None = None,
    labels: Labels | None = None,
) -> Samples:
    """Samples of the fields that `fields_at` returns at points ``(n, d)``, by the names of `output.samples`.

    Without a shape on a mesh, where the domain is no box and does not move; else on a grid: up to three dimensions it fills the
    box around the domain, and values are nan outside of the domain; above, it is a slice over the first two coordinates
    through the middle of all others. times: at which there are samples, in place of evenly spaced ones; a shape then has no
    number for time. Raises ValueError for a shape with the wrong number of axes, and for times outside of the domain.
    """
    if times is not None:
        check_times(domain, times)
    is_box, labels = isinstance(domain, Box), labels or Labels()
    if shape is None and not isinstance(domain, Box | Moving):
        mesh, points = _mesh(domain, times)
        fields = {name: values.reshape(*mesh.shape, *values.shape[1:]) for name, values in fields_at(points).items()}
        return Samples(mesh, fields, unknowns, labels)
    grid, points = _grid(domain, shape, times)
    outside = None if is_box else ~domain.contains(points)
    fields = {}
    for name, values in fields_at(points).items():
        if outside is not None:
            values = np.where(outside.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)
        fields[name] = values.reshape(*grid.shape, *values.shape[1:])
    return Samples(grid, fields, unknowns, labels)


def grid_axes(domain: Domain) -> int:
    """How many coordinates a grid of samples spans: all of them up to three of space, two above; and time."""
    return len(_spanned(domain))


def check_times(domain: Domain, times: Sequence[float]) -> None:
    """Raise ValueError where times do not ascend, or are not in the domain."""
    if TIME not in domain.coordinates:
        raise ValueError(f"there is no time: no coordinate of the domain is {TIME}")
    if not (isinstance(times, Sequence | np.ndarray) and all(isinstance(one, Real) for one in times)):
        raise ValueError(f"times are {times!r}; a list of numbers is needed, as [0.0, 0.5]")
    k = domain.coordinates.index(TIME)
    start, end = domain.lower[k], domain.upper[k]
    for time in times:
        if not start <= time <= end:
            raise ValueError(f"time {time:g} is not in the domain, whose {TIME} goes from {start:g} to {end:g}")
    if len(times) == 0 or any(b <= a for a, b in itertools.pairwise(times)):
        raise ValueError(
            f"times {', '.join(f'{time:g}' for time in times) or 'without any'}: each has to be above the one before"
        )


def _spanned(domain: Domain) -> list[str]:
    space = [name for name in domain.coordinates if name != TIME]
    shown = space if len(space) <= SPACE_AXES else space[:SLICE_AXES]
    return [name for name in domain.coordinates if name in shown or name == TIME]


def _mesh(domain: Domain, times: Sequence[float] | None) -> tuple[Mesh, Array]:
    """Triangles or tetrahedra that fill the domain, and the points ``(n, d)`` at all times, the times of a point in turn."""
    base = domain.base if isinstance(domain, Cylinder) else domain
    edges = MESH if base is domain else MESH_IN_TIME
    size = max(b - a for a, b in zip(base.lower, base.upper, strict=True)) / edges[base.dimension]
    from pdekan.domains.triangulation import triangulation  # a tenth of a second, which boxes do not need

    points, cells = triangulation(base, size)
    if not isinstance(domain, Cylinder):
        mesh = Mesh(domain.coordinates, points, cells)
        return mesh, mesh.points
    axis = Axis(TIME, np.linspace(domain.start, domain.end, MESH_TIMES) if times is None else np.array(times))
    mesh = Mesh(domain.coordinates, points, cells, axis)
    each = [np.repeat(mesh.points, axis.values.size, axis=0), np.tile(axis.values, len(mesh.points))[:, None]]
    return mesh, np.concatenate(each, axis=1)


def _grid(domain: Domain, shape: Sequence[int] | None, times: Sequence[float] | None) -> tuple[Grid, Array]:
    """A tensor grid with its points ``(n, d)``."""
    if not (shape is None or (isinstance(shape, Sequence | np.ndarray) and all(isinstance(one, Integral) for one in shape))):
        raise ValueError(f"the grid is {shape!r}; a list of whole numbers is needed, one for each axis, as [50, 50]")
    names = _spanned(domain)
    counted = [name for name in names if times is None or name != TIME or len(names) == 1]
    if shape is None:
        default = GRID[len(names)]
        shape = [TIMES[len(names) - 1] if name == TIME and len(names) > 1 else default for name in counted]
    if len(shape) != len(counted) or min(shape, default=2) < 2:
        raise ValueError(f"grid {'x'.join(map(str, shape))}: it needs a number for each of {', '.join(counted)}, at least 2")
    counts = dict(zip(counted, shape, strict=True))
    sides = {name: (a, b) for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True)}
    values = {name: np.linspace(*sides[name], n) for name, n in counts.items()}
    if times is not None:
        values[TIME] = np.array(times, dtype=np.float64)
    axes = tuple(Axis(name, values[name]) for name in names)
    cut = {name: 0.5 * (a + b) for name, (a, b) in sides.items() if name not in names}
    grid = Grid(axes, cut, domain.coordinates)
    columns = dict(zip(names, np.meshgrid(*(axis.values for axis in axes), indexing="ij"), strict=True))
    count = columns[names[0]].size
    return grid, np.stack(
        [columns[name].ravel() if name in columns else np.full(count, cut[name]) for name in domain.coordinates], axis=1
    )
