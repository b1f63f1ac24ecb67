"""The HDF5 file of a run, which ParaView, PyVista, xarray and h5py read.

/VTKHDF   the fields at the points of an unstructured grid: of lines, quadrilaterals or hexahedra for a tensor grid, of
          triangles or tetrahedra for a mesh; where there is time beside space, with the steps of it
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

from pdekan.output.fields import CONVENTIONS, load_fields, store_fields
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
        store_unstructured(file.create_group("VTKHDF"), samples)
        store(file.create_group("pdekan"), record)
        file.attrs["Conventions"] = CONVENTIONS


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record of a run. Raises OutputError with the path where there is none."""
    with opened(path, "pdekan") as group:
        return load(group)


def read_samples(path: str | os.PathLike[str]) -> Samples:
    """The sampled fields of a run. Raises OutputError with the path where there are none."""
    with opened(path, "fields") as group:
        return load_fields(group)


def store_unstructured(group: h5py.Group, samples: Samples) -> None:
    layout = samples.layout
    points = _points(layout)
    if isinstance(layout, Grid):
        shape = tuple(axis.values.size for axis in layout.axes if axis is not layout.time)
        cells, kind = _inside(_cells(shape), samples), _GRID_CELL_TYPES[len(shape)]
    else:
        cells, kind = layout.cells, _MESH_CELL_TYPES[len(layout.space)]
    # of fixed length and ASCII: VTK up to 9.3 rejects strings of variable length, h5py's default
    group.attrs.create("Type", np.bytes_("UnstructuredGrid"))
    group.attrs["Version"] = np.array([1, 0] if layout.time is None else [2, 0])
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
            _link_flat(at_points, name, group.file["fields"][name], samples)
    for name in samples.labels.vectors:
        at_points[name] = _in_space(samples, samples.vector(name))
    if layout.time is not None:
        _store_steps(group, samples.times, len(points))


def _store_steps(group: h5py.Group, times: Array, points: int) -> None:
    """The steps of time, all on the same points and cells; the values of one step follow those of the one before.

    https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/vtkhdf_specifications.html, "Temporal Data".
    """
    steps = group.create_group("Steps")
    steps.attrs["NSteps"] = times.size
    steps["Values"] = times
    zeros = np.zeros(times.size, dtype=np.int64)
    for name in ("PartOffsets", "PointOffsets"):
        steps[name] = zeros
    for name in ("CellOffsets", "ConnectivityIdOffsets"):
        steps[name] = zeros[:, None]
    steps["NumberOfParts"] = zeros + 1
    offsets = steps.create_group("PointDataOffsets")
    for name in group["PointData"]:
        offsets[name] = points * np.arange(times.size)


def _points(layout: Grid | Mesh) -> Array:
    if isinstance(layout, Mesh):
        columns = [*layout.points.T]
    else:
        axes = [axis.values for axis in layout.axes if axis is not layout.time]
        columns = [grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")]
    points = np.zeros((len(columns[0]), 3))
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
    first = samples if samples.layout.time is None else samples.at(0)
    outside = np.all([np.isnan(first.fields[unknown]) for unknown in first.unknowns], axis=0).ravel()
    return np.asarray(cells[~outside[cells].any(axis=1)])


def _drawn_vector(samples: Samples, name: str) -> Array:
    """A gradient's derivatives along the axes of space; /fields has all."""
    coordinates = samples.layout.coordinates
    return _in_space(samples, samples.fields[name][..., [coordinates.index(one) for one in samples.layout.space]])


def _in_space(samples: Samples, values: Array) -> Array:
    """Vectors ``(steps · points, 3)``, the three components that VTK's vectors have, one step of time after the other."""
    if samples.layout.time is not None:
        values = np.moveaxis(values, samples.layout.time_dimension, 0)
    flat = values.reshape(-1, values.shape[-1])
    return np.pad(flat, ((0, 0), (0, 3 - flat.shape[1])))


def _link_flat(group: h5py.Group, name: str, source: h5py.Dataset, samples: Samples) -> None:
    # one mapping of the whole source, or of one step of time, where h5py's VirtualLayout needs one for each row
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    count, path = max(1, samples.times.size), source.name.encode()
    for step in range(count):
        flat, part = h5py.h5s.create_simple((source.size,)), h5py.h5s.create_simple(source.shape)
        if samples.layout.time is not None:
            size, dimension = source.size // count, samples.layout.time_dimension
            flat.select_hyperslab((step * size,), (size,))
            one = tuple(int(k == dimension) for k in range(source.ndim))
            extent = tuple(1 if k == dimension else n for k, n in enumerate(source.shape))
            part.select_hyperslab(tuple(step * k for k in one), extent)
        properties.set_virtual(flat, b".", path, part)
    h5py.h5d.create(group.id, name.encode(), source.id.get_type(), h5py.h5s.create_simple((source.size,)), properties)
