"""The HDF5 file of a run, which ParaView, PyVista, xarray and h5py read.

/VTKHDF   the fields at the points of an unstructured grid: of lines, quadrilaterals or hexahedra for a tensor grid, of
          triangles or tetrahedra for a mesh
/fields   the same as arrays over named dimensions: ``xarray.open_dataset(path, engine="h5netcdf", group="fields")``
/pdekan   the record of the run

VTK reads a scalar of N points as (N,) and ignores an array of (nx, ny); netCDF has a dimension for every coordinate. So the
values are stored once, in /fields, and /VTKHDF/PointData has virtual datasets of shape (N,) of them, which HDF5 resolves since
version 1.10. Tested with VTK 9.3 and 9.7, netCDF-C 4.10 and h5py 3.16. A copy of /VTKHDF without /fields has no values.
"""

from __future__ import annotations

import os
from math import prod

import h5py
import numpy as np

from pdekan.output.fields import load_fields, store_fields
from pdekan.output.hdf5 import opened, written
from pdekan.output.record import Record, load, store
from pdekan.output.samples import Array, Cells, Grid, Mesh, Samples

_GRID_CELL_TYPES = {1: 3, 2: 9, 3: 12}  # VTK's numbers for line, quadrilateral, hexahedron by the number of axes
_MESH_CELL_TYPES = {2: 5, 3: 10}  # … for triangle and tetrahedron by the number of coordinates
# VTK's order of a cell's corners as steps along the axes, positively oriented
_CORNERS = (
    ((0,), (1,)),
    ((0, 0), (1, 0), (1, 1), (0, 1)),
    ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)),
)


def write(path: str | os.PathLike[str], samples: Samples, record: Record) -> None:
    """Write samples and record to an HDF5 file, atomically; an existing file is replaced.

    Raises OutputError for data that HDF5 cannot store, OSError where the file cannot be written; the old file then stays.
    """
    with written(path) as file:
        store_fields(file.create_group("fields", track_order=True), samples)
        _store_unstructured(file.create_group("VTKHDF"), samples)
        store(file.create_group("pdekan"), record)


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record of a run. Raises OutputError with the path where there is none."""
    with opened(path, "pdekan") as group:
        return load(group)


def read_samples(path: str | os.PathLike[str]) -> Samples:
    """The sampled fields of a run. Raises OutputError with the path where there are none."""
    with opened(path, "fields") as group:
        return load_fields(group)


def _store_unstructured(group: h5py.Group, samples: Samples) -> None:
    layout = samples.layout
    points = _points(layout)
    if isinstance(layout, Grid):
        cells, kind = _inside(_cells(layout.shape), samples), _GRID_CELL_TYPES[len(layout.shape)]
    else:
        cells, kind = layout.cells, _MESH_CELL_TYPES[len(layout.coordinates)]
    # of fixed length and ASCII: VTK up to 9.3 rejects strings of variable length, h5py's default
    group.attrs.create("Type", np.bytes_("UnstructuredGrid"))
    group.attrs["Version"] = np.array([1, 0])
    for name, values in (
        ("Points", points),
        ("Connectivity", cells.ravel()),
        ("Offsets", np.arange(0, cells.size + 1, cells.shape[1])),
        ("Types", np.full(len(cells), kind, dtype=np.uint8)),
    ):
        # far larger than the fields in 3-D, and so regular on a grid that the fastest compression suffices
        group.create_dataset(name, data=values, chunks=True, compression="gzip", compression_opts=1, shuffle=True)
    for name, count in (("Points", len(points)), ("Cells", len(cells)), ("ConnectivityIds", cells.size)):
        group[f"NumberOf{name}"] = np.array([count])
    at_points = group.create_group("PointData", track_order=True)
    for name in samples.fields:
        if samples.is_vector(name):
            at_points[name] = _drawn_vector(samples, name)
        else:
            _link_flat(at_points, name, group.file["fields"][name])


def _points(layout: Grid | Mesh) -> Array:
    if isinstance(layout, Mesh):
        columns = [*layout.points.T]
    else:
        columns = [grid.ravel() for grid in np.meshgrid(*(axis.values for axis in layout.axes), indexing="ij")]
    points = np.zeros((prod(layout.shape), 3))
    points[:, : len(columns)] = np.stack(columns, axis=1)
    return points


def _cells(shape: tuple[int, ...]) -> Cells:
    numbers = np.arange(prod(shape)).reshape(shape)
    corners = [
        numbers[tuple(slice(step, count - 1 + step) for step, count in zip(corner, shape, strict=True))].ravel()
        for corner in _CORNERS[len(shape) - 1]
    ]
    return np.stack(corners, axis=1)


def _inside(cells: Cells, samples: Samples) -> Cells:
    """The cells without a corner outside the domain, where no unknown has a value."""
    outside = np.all([np.isnan(samples.fields[unknown]) for unknown in samples.unknowns], axis=0).ravel()
    return np.asarray(cells[~outside[cells].any(axis=1)])


def _drawn_vector(samples: Samples, name: str) -> Array:
    # VTK's vectors have the three components of the drawn space, the derivatives along the grid's axes. /fields has all.
    coordinates = samples.layout.coordinates
    drawn = [axis.name for axis in samples.axes] or coordinates
    vector = np.zeros((prod(samples.shape), 3))
    components = [coordinates.index(name) for name in drawn]
    vector[:, : len(drawn)] = samples.fields[name].reshape(len(vector), -1)[:, components]
    return vector


def _link_flat(group: h5py.Group, name: str, source: h5py.Dataset) -> None:
    # one mapping of the whole source, where h5py's VirtualLayout needs one for each row
    flat = h5py.h5s.create_simple((source.size,))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(flat, b".", source.name.encode(), h5py.h5s.create_simple(source.shape))
    h5py.h5d.create(group.id, name.encode(), source.id.get_type(), flat, properties)
