"""The group /fields: samples as arrays over named dimensions by the conventions of netCDF and CF, which xarray reads.

On a grid every axis is a dimension. On a mesh the dimensions are "point" and time, if there is any; the coordinates are
variables over the points, and "cells" has the indices of each cell's corners. The dimension of time is "t"; "time" is a
coordinate with its values.

CF: https://cfconventions.org/cf-conventions/v1.11/cf-conventions.html, sections 2.6.1, 3.1, 4.4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pdekan.output.hdf5 import MAX_TEXTS, load_attribute
from pdekan.output.samples import TIME, Axis, Grid, Labels, Mesh, OutputError, Samples, field_name, free_name

CONVENTIONS = "CF-1.11"
BESIDE = "beside_fields"  # the attribute that names what is there for other readers: a time by that name, vectors
AXES = {"x": "X", "y": "Y", "z": "Z", TIME: "T"}  # the attribute "axis" of the conventions

# netCDF-4's name of a dimension scale without values
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable. {:9d}"


def store_fields(group: h5py.Group, samples: Samples) -> None:
    """Write samples into a new group."""
    layout, taken = samples.layout, (*samples.layout.coordinates, *samples.fields, *samples.labels.vectors)
    direction = free_name("direction", taken)
    if len(samples.unknowns) == 1:
        group.attrs["unknown"] = samples.unknowns[0]
    else:
        _store_strings(group, "unknowns", samples.unknowns)
    _store_strings(group, "problem_coordinates", layout.coordinates)
    group.attrs["direction"] = direction
    group.attrs["Conventions"] = CONVENTIONS
    if samples.labels.exact != "exact":
        group.attrs["exact_is"] = samples.labels.exact
    if isinstance(layout, Grid):
        dimensions, auxiliary = _store_grid(group, layout)
    else:
        dimensions, auxiliary = _store_mesh(group, layout, taken)
    beside = []
    if layout.time is not None and "time" not in taken:
        _attach(group.create_dataset("time", data=layout.time.values), (TIME,))
        auxiliary, beside = (*auxiliary, "time"), ["time"]
    if any(samples.is_vector(name) for name in samples.fields):
        labels = np.array(layout.coordinates, dtype=object)
        group.create_dataset(direction, data=labels, dtype=h5py.string_dtype()).make_scale(direction)
    for name, values in samples.fields.items():
        dataset = group.create_dataset(name, data=values)
        _attach(dataset, (*dimensions, direction)[: values.ndim])
        _describe(dataset, samples, _long_name(samples, name), auxiliary)
    beside += _store_vectors(group, samples, dimensions, auxiliary)
    if beside:
        _store_strings(group, BESIDE, beside)
    _describe_coordinates(group, samples)


def load_fields(group: h5py.Group) -> Samples:
    """The stored samples; raises OutputError where a part is missing."""
    coordinates = _strings(group, "problem_coordinates")
    no_fields = {*coordinates, load_attribute(group, "direction"), *(_strings(group, BESIDE) if BESIDE in group.attrs else ())}
    layout: Grid | Mesh
    if "mesh" in group.attrs:
        named = _strings(group, "mesh")
        layout = _load_mesh(group, coordinates, named[0])
        no_fields |= set(named)
    else:
        axes, cut = _strings(group, "axes"), _strings(group, "cut")
        layout = Grid(
            axes=tuple(Axis(name, _array(group, "coordinate", name)) for name in axes),
            cut={name: float(_array(group, "coordinate", name)) for name in cut},
            coordinates=coordinates,
        )
    fields = {name: _array(group, "field", name) for name in group if name not in no_fields}
    unknowns = (load_attribute(group, "unknown"),) if "unknown" in group.attrs else _strings(group, "unknowns")
    return Samples(layout, fields, unknowns, _load_labels(group, (*coordinates, *unknowns)))


def _load_mesh(group: h5py.Group, coordinates: tuple[str, ...], cells: str) -> Mesh:
    in_time, cut = "steps" in group.attrs, _strings(group, "cut") if "cut" in group.attrs else ()
    columns = [_array(group, "coordinate", name) for name in coordinates if not (name in cut or (in_time and name == TIME))]
    return Mesh(
        coordinates,
        np.stack(columns, axis=1),
        _array(group, "cells", cells),
        Axis(TIME, _array(group, "coordinate", TIME)) if in_time else None,
        {name: float(_array(group, "coordinate", name)) for name in cut},
    )


def _load_labels(group: h5py.Group, stated: tuple[str, ...]) -> Labels:
    """Units of the names that a problem may state them for, vectors, and what stands for the exact solution."""
    described = {name: dataset.attrs for name, dataset in group.items() if isinstance(dataset, h5py.Dataset)}
    return Labels(
        units={name: str(one["units"]) for name, one in described.items() if name in stated and "units" in one},
        vectors={name: tuple(map(str, one["unknowns"])) for name, one in described.items() if "unknowns" in one},
        exact=str(group.attrs.get("exact_is", "exact")),
    )


def _store_grid(group: h5py.Group, grid: Grid) -> tuple[Sequence[str], Sequence[str]]:
    """Axes and cut; the names of the dimensions, and of the coordinates that are not dimensions."""
    names = [axis.name for axis in grid.axes]
    _store_strings(group, "axes", names)
    _store_strings(group, "cut", tuple(grid.cut))
    for axis in grid.axes:
        group.create_dataset(axis.name, data=axis.values).make_scale(axis.name)
    for name, value in grid.cut.items():
        group.create_dataset(name, data=value)
    return names, tuple(grid.cut)


def _store_mesh(group: h5py.Group, mesh: Mesh, taken: tuple[str, ...]) -> tuple[Sequence[str], Sequence[str]]:
    """Points, times and cells; the names of the dimensions, and of the coordinates that are not dimensions."""
    cells, point, cell, corner = names = [free_name(name, taken) for name in ("cells", "point", "cell", "corner")]
    _store_strings(group, "mesh", names)
    for name, length in ((point, len(mesh.points)), (cell, len(mesh.cells)), (corner, mesh.cells.shape[1])):
        # never written, hence without storage
        group.create_dataset(name, (length,), dtype=np.float32).make_scale(_NO_VARIABLE.format(length))
    for name, values in zip(mesh.space, mesh.points.T, strict=True):
        _attach(group.create_dataset(name, data=values), (point,))
    dataset = group.create_dataset(cells, data=mesh.cells, compression="gzip", compression_opts=1, shuffle=True)
    _attach(dataset, (cell, corner))
    dataset.attrs["long_name"] = "points at the corners of each cell, numbered from 0"
    if mesh.time is not None:
        group.attrs["steps"] = TIME
        group.create_dataset(TIME, data=mesh.time.values).make_scale(TIME)
        return (point, TIME), mesh.space
    if mesh.cut:
        _store_strings(group, "cut", tuple(mesh.cut))
        for name, value in mesh.cut.items():
            group.create_dataset(name, data=value)
    return (point,), (*mesh.space, *mesh.cut)


def _store_vectors(group: h5py.Group, samples: Samples, dimensions: Sequence[str], auxiliary: Sequence[str]) -> list[str]:
    """The vectors of unknowns; the names of what was written."""
    if not samples.labels.vectors:
        return []
    taken = (*samples.layout.coordinates, *samples.fields, *samples.labels.vectors)
    component = free_name("component", taken)
    labels = np.array(samples.layout.space, dtype=object)
    group.create_dataset(component, data=labels, dtype=h5py.string_dtype()).make_scale(component)
    for name, unknowns in samples.labels.vectors.items():
        dataset = group.create_dataset(name, data=samples.vector(name))
        _attach(dataset, (*dimensions, component))
        _store_strings(dataset, "unknowns", unknowns)
        _describe(dataset, samples, f"vector of {', '.join(unknowns)}", auxiliary)
    return [component, *samples.labels.vectors]


def _describe(dataset: h5py.Dataset, samples: Samples, long_name: str, auxiliary: Sequence[str]) -> None:
    name = dataset.name.rsplit("/", 1)[-1]
    dataset.attrs["long_name"] = long_name
    if samples.unit(name):
        dataset.attrs["units"] = samples.unit(name)
    if auxiliary:
        # by the CF conventions, the coordinates of the field that are not dimensions
        dataset.attrs["coordinates"] = " ".join(auxiliary)


def _describe_coordinates(group: h5py.Group, samples: Samples) -> None:
    for name in samples.layout.coordinates:
        _describe(group[name], samples, "time" if name == TIME else f"coordinate {name}", ())
        if name == TIME:
            group[name].attrs["standard_name"] = "time"
        if name in AXES and group[name].ndim:
            group[name].attrs["axis"] = AXES[name]


def _attach(dataset: h5py.Dataset, scales: Sequence[str]) -> None:
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(dataset.parent[scale])


def _store_strings(group: h5py.Group | h5py.Dataset, name: str, texts: Sequence[str]) -> None:
    group.attrs.create(name, np.array(texts, dtype=object), dtype=h5py.string_dtype())


def _strings(group: h5py.Group, name: str) -> tuple[str, ...]:
    if name not in group.attrs:
        raise OutputError(f"no attribute {name!r} on {group.name}")
    if group.attrs.get_id(name).shape > (MAX_TEXTS,) or len(group.attrs.get_id(name).shape) != 1:
        raise OutputError(f"the attribute {name!r} on {group.name} is no list of at most {MAX_TEXTS} texts")
    return tuple(str(value) for value in group.attrs[name])


def _array(group: h5py.Group, what: str, name: str) -> NDArray[Any]:
    if name not in group:
        raise OutputError(f"no {what} {group.name}/{name}")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
        raise OutputError(f"{group.name}/{name} is no array of real numbers")
    return np.asarray(dataset[()])


def _long_name(samples: Samples, name: str) -> str:
    coordinates = samples.layout.coordinates
    described: dict[str, str] = {}
    for unknown in samples.unknowns:
        of = (unknown, coordinates, samples.unknowns)
        described |= {
            field_name("exact", *of): f"{samples.labels.exact} solution of {unknown}",
            field_name("error", *of): f"error, {unknown} less the {samples.labels.exact} solution",
            field_name("gradient", *of): f"gradient of {unknown}",
            unknown: f"solution {unknown}",
        }
    residual = re.fullmatch(r"(?:.*_)?residual(?:_(\d+))?_*", name)
    if name in described or residual is None:
        return described.get(name, name)
    return f"residual of equation {residual[1]}" if residual[1] else "residual of the equation"
