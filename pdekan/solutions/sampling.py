"""Samples of fields over a domain: on a tensor grid, or on a mesh that fills the domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.triangulation import triangulation
from pdekan.fields.jets import TIME
from pdekan.output.samples import Axis, Grid, Mesh, Samples

Array = NDArray[np.float64]
GRID = {1: 1001, 2: 101, 3: 41}  # default points an axis
MESH = {2: 100, 3: 24}  # edges of a mesh along the longest side of the box around it
SLICE_AXES = 2  # above three dimensions a slice is sampled: its first coordinates, the others at their middle


def sample(
    domain: Domain,
    unknowns: tuple[str, ...],
    fields_at: Callable[[Array], Mapping[str, Array]],
    shape: Sequence[int] | None = None,
) -> Samples:
    """Samples of the fields that `fields_at` returns at points ``(n, d)``, by the names of `output.samples`.

    Without a shape on a mesh, where the domain is neither a box nor in time; else on a tensor grid: up to three dimensions it
    fills the box around the domain, and values are nan outside of the domain; above, it is a slice over the first two
    coordinates through the middle of all others. Raises ValueError for a shape with the wrong number of axes.
    """
    is_box = isinstance(domain, Box)
    if shape is None and not is_box and TIME not in domain.coordinates:
        mesh = _mesh(domain)
        return Samples(mesh, dict(fields_at(mesh.points)), unknowns)
    grid, points = _grid(domain, shape)
    outside = None if is_box else ~domain.contains(points)
    fields = {}
    for name, values in fields_at(points).items():
        if outside is not None:
            values = np.where(outside.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)
        fields[name] = values.reshape(*grid.shape, *values.shape[1:])
    return Samples(grid, fields, unknowns)


def grid_axes(domain: Domain) -> int:
    """How many coordinates a grid of samples spans: all of them up to three, two above."""
    return domain.dimension if domain.dimension in GRID else SLICE_AXES


def _mesh(domain: Domain) -> Mesh:
    """Triangles or tetrahedra that fill the domain."""
    size = max(b - a for a, b in zip(domain.lower, domain.upper, strict=True)) / MESH[domain.dimension]
    return Mesh(domain.coordinates, *triangulation(domain, size))


def _grid(domain: Domain, shape: Sequence[int] | None) -> tuple[Grid, Array]:
    """A tensor grid with its points ``(n, d)``."""
    spanned = grid_axes(domain)
    shape = tuple(shape) if shape is not None else (GRID[spanned],) * spanned
    if len(shape) != spanned or min(shape) < 2:
        raise ValueError(f"grid {'x'.join(map(str, shape))}: it needs {spanned} numbers, each at least 2")
    sides = list(zip(domain.coordinates, domain.lower, domain.upper, strict=True))
    axes = tuple(Axis(name, np.linspace(a, b, n)) for (name, a, b), n in zip(sides[:spanned], shape, strict=True))
    cut = {name: 0.5 * (a + b) for name, a, b in sides[spanned:]}
    columns = [grid.ravel() for grid in np.meshgrid(*(axis.values for axis in axes), indexing="ij")]
    points = np.stack([*columns, *(np.full(len(columns[0]), v) for v in cut.values())], axis=1)
    return Grid(axes, cut), points
