"""The HDF5 file of a run: one file that ParaView and PyVista, xarray and h5py open as it is.

/VTKHDF   an unstructured grid of lines, quadrilaterals or hexahedra, with the fields at its points
/fields   the same as arrays over named dimensions: ``xarray.open_dataset(path, engine="h5netcdf", group="fields")``
/pdekan   the record of the run

One dataset cannot serve both readers by a hard link: VTK wants a scalar of N points as (N,) and ignores an array of
(nx, ny), netCDF has a dimension for every coordinate. So the values are stored once, in /fields, and /VTKHDF/PointData
holds virtual datasets of shape (N,) on them, which HDF5 has resolved within the file since its version 1.10. Read back
so by VTK 9.3 and 9.7, netCDF-C 4.10 and h5py 3.16. Only the whole file can be copied: in a /VTKHDF without its /fields
the values cannot be read, and HDF5 says so.
"""

from __future__ import annotations

import os
from math import prod

import h5py
import numpy as np
from numpy.typing import NDArray

from pdekan.output.atomic import replacing
from pdekan.output.hdf5 import load_attribute, opened
from pdekan.output.record import Record, load, store
from pdekan.output.samples import Array, Axis, OutputError, Samples, field_name

# VTK's numbers for the line, the quadrilateral and the hexahedron
_CELL_TYPES = (3, 9, 12)
# VTK's order of a cell's corners, as steps along the axes; positively oriented
_CORNERS = (
    ((0,), (1,)),
    ((0, 0), (1, 0), (1, 1), (0, 1)),
    ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)),
)


def write(path: str | os.PathLike[str], samples: Samples, record: Record) -> None:
    """Write samples and record to an HDF5 file, whole or not at all; an existing file is replaced.

    Raises OutputError for what the file cannot hold, OSError where it cannot be written; the old file then stays.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        _store_fields(file.create_group("fields", track_order=True), samples)
        _store_grid(file.create_group("VTKHDF"), samples)
        store(file.create_group("pdekan"), record)


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record of a run; raises OutputError, naming the path, where there is none."""
    with opened(path, "pdekan") as group:
        return load(group)


def read_samples(path: str | os.PathLike[str]) -> Samples:
    """The sampled fields of a run; raises OutputError, naming the path, where there are none."""
    with opened(path, "fields") as group:
        return _load_fields(group)


def _store_grid(group: h5py.Group, samples: Samples) -> None:
    shape = samples.shape
    points, corners = _points(samples.axes), _cells(shape)
    # of fixed length and ASCII: VTK up to 9.3 refuses h5py's default, a string of variable length
    group.attrs.create("Type", np.bytes_("UnstructuredGrid"))
    group.attrs["Version"] = np.array([1, 0])
    for name, values in (
        ("Points", points),
        ("Connectivity", corners.ravel()),
        ("Offsets", np.arange(0, corners.size + 1, corners.shape[1])),
        ("Types", np.full(len(corners), _CELL_TYPES[len(shape) - 1], dtype=np.uint8)),
    ):
        # far larger than the fields in 3-D, and so regular that the fastest compression leaves little of it
        group.create_dataset(name, data=values, compression="gzip", compression_opts=1, shuffle=True)
    for name, count in (("Points", len(points)), ("Cells", len(corners)), ("ConnectivityIds", corners.size)):
        group[f"NumberOf{name}"] = np.array([count])
    at_points = group.create_group("PointData", track_order=True)
    for name in samples.fields:
        if samples.is_vector(name):
            at_points[name] = _drawn_vector(samples, name)
        else:
            _link_flat(at_points, name, group.file["fields"][name])


def _points(axes: tuple[Axis, ...]) -> Array:
    grids = np.meshgrid(*(axis.values for axis in axes), indexing="ij")
    points = np.zeros((grids[0].size, 3))
    for column, grid in enumerate(grids):
        points[:, column] = grid.ravel()
    return points


def _cells(shape: tuple[int, ...]) -> NDArray[np.int64]:
    numbers = np.arange(prod(shape)).reshape(shape)
    corners = [
        numbers[tuple(slice(step, count - 1 + step) for step, count in zip(corner, shape, strict=True))].ravel()
        for corner in _CORNERS[len(shape) - 1]
    ]
    return np.stack(corners, axis=1)


def _drawn_vector(samples: Samples, name: str) -> Array:
    # VTK's vectors have three components and live in the space that is drawn: the derivatives along the grid's axes,
    # whatever the number of coordinates. All components are in /fields.
    components = [samples.coordinates.index(axis.name) for axis in samples.axes]
    vector = np.zeros((prod(samples.shape), 3))
    vector[:, : len(components)] = samples.fields[name].reshape(len(vector), -1)[:, components]
    return vector


def _link_flat(group: h5py.Group, name: str, source: h5py.Dataset) -> None:
    # one mapping of the whole source; h5py's VirtualLayout would need one for each row
    flat = h5py.h5s.create_simple((source.size,))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(flat, b".", source.name.encode(), h5py.h5s.create_simple(source.shape))
    h5py.h5d.create(group.id, name.encode(), source.id.get_type(), flat, properties)


def _store_fields(group: h5py.Group, samples: Samples) -> None:
    axes = [axis.name for axis in samples.axes]
    direction = _free_name("direction", (*samples.coordinates, *samples.fields))
    group.attrs["unknown"] = samples.unknown
    for name, names in (("axes", axes), ("problem_coordinates", samples.coordinates), ("cut", tuple(samples.cut))):
        group.attrs.create(name, np.array(names, dtype=object), dtype=h5py.string_dtype())
    group.attrs["direction"] = direction
    for axis in samples.axes:
        group.create_dataset(axis.name, data=axis.values).make_scale(axis.name)
    for name, value in samples.cut.items():
        group.create_dataset(name, data=value)
    if any(samples.is_vector(name) for name in samples.fields):
        labels = np.array(samples.coordinates, dtype=object)
        group.create_dataset(direction, data=labels, dtype=h5py.string_dtype()).make_scale(direction)
    for name, values in samples.fields.items():
        dataset = group.create_dataset(name, data=values)
        for dimension, scale in enumerate((*axes, direction)[: values.ndim]):
            dataset.dims[dimension].attach_scale(group[scale])
        dataset.attrs["long_name"] = _long_name(samples, name)
        if samples.cut:
            # the CF convention's way to say that these scalars are coordinates of the field
            dataset.attrs["coordinates"] = " ".join(samples.cut)


def _load_fields(group: h5py.Group) -> Samples:
    axes, coordinates, cut = (_strings(group, name) for name in ("axes", "problem_coordinates", "cut"))
    no_fields = {*axes, *cut, load_attribute(group, "direction")}
    for name in (*axes, *cut):
        if name not in group:
            raise OutputError(f"no coordinate {group.name}/{name}")
    return Samples(
        axes=tuple(Axis(name, group[name][()]) for name in axes),
        fields={name: dataset[()] for name, dataset in group.items() if name not in no_fields},
        unknown=load_attribute(group, "unknown"),
        cut={name: float(group[name][()]) for name in cut},
        coordinates=coordinates,
    )


def _strings(group: h5py.Group, name: str) -> tuple[str, ...]:
    if name not in group.attrs:
        raise OutputError(f"no attribute {name!r} on {group.name}")
    return tuple(str(value) for value in group.attrs[name])


def _free_name(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name += "_"
    return name


def _long_name(samples: Samples, name: str) -> str:
    unknown = samples.unknown
    described = {
        unknown: f"solution {unknown}",
        field_name("exact", unknown, samples.coordinates): f"exact solution of {unknown}",
        field_name("error", unknown, samples.coordinates): f"error, {unknown} less the exact solution",
        field_name("residual", unknown, samples.coordinates): "residual of the equation",
        field_name("gradient", unknown, samples.coordinates): f"gradient of {unknown}",
    }
    return described.get(name, name)
