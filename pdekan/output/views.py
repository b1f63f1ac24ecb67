"""Samples as objects of other libraries: an xarray dataset, a PyVista mesh, a picture in HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from pdekan.output.fields import CONVENTIONS
from pdekan.output.samples import TIME, Array, Grid, OutputError, Samples

if TYPE_CHECKING:  # extras, which are imported when they are asked for
    import pyvista
    import xarray
    from matplotlib.figure import Figure

    PyVistaData = pyvista.DataSet | pyvista.MultiBlock


def to_xarray(samples: Samples) -> xarray.Dataset:
    """All fields over the axes of a grid; gradients have a last dimension "component", with the coordinates' names.

    Raises OutputError for samples on a mesh, ImportError without xarray.
    """
    import xarray

    if not isinstance(samples.layout, Grid):
        raise OutputError("a mesh has no axes; give the points along each axis, such as to_xarray((200, 200))")
    axes = [axis.name for axis in samples.axes]
    variables = {
        name: ([*axes, "component"] if samples.is_vector(name) else axes, values) for name, values in samples.fields.items()
    }
    variables |= {name: ([*axes, "space"], samples.vector(name)) for name in samples.labels.vectors}
    coordinates: dict[str, object] = {axis.name: axis.values for axis in samples.axes} | dict(samples.cut)
    if any(samples.is_vector(name) for name in samples.fields):
        coordinates["component"] = list(samples.layout.coordinates)
    if samples.labels.vectors:
        coordinates["space"] = list(samples.layout.space)
    if samples.times.size and "time" not in (*samples.fields, *coordinates):
        coordinates["time"] = (TIME, samples.times)
    dataset = xarray.Dataset(variables, coordinates, {"Conventions": CONVENTIONS})
    if TIME in dataset.coords:
        dataset[TIME].attrs["standard_name"] = "time"
    for name in (*samples.fields, *samples.labels.vectors, *samples.layout.coordinates):
        if samples.unit(name):
            dataset[name].attrs["units"] = samples.unit(name)
    return dataset


def to_pyvista(samples: Samples) -> PyVistaData:
    """A rectilinear grid, or the mesh, with all fields as point data; gradients and vectors are padded to three components.

    Where there is time beside space, a block for each time, named "t = 0.5". Raises ImportError without PyVista.
    """
    import pyvista

    if samples.times.size:
        return pyvista.MultiBlock({f"{TIME} = {time:g}": to_pyvista(samples.at(k)) for k, time in enumerate(samples.times)})
    if isinstance(samples.layout, Grid):
        axes = [axis.values for axis in samples.axes]
        dataset: pyvista.DataSet = pyvista.RectilinearGrid(*axes, *([np.zeros(1)] * (3 - len(axes))))
        order: Literal["C", "F"] = "F"  # VTK's: the first axis runs fastest
    else:
        points, cells = samples.layout.points, samples.layout.cells
        kind = pyvista.CellType.TRIANGLE if cells.shape[1] == 3 else pyvista.CellType.TETRA
        dataset = pyvista.UnstructuredGrid({kind: cells}, np.pad(points, ((0, 0), (0, 3 - points.shape[1]))))
        order = "C"
    for name, values in samples.fields.items():
        if samples.is_vector(name):
            values = values[..., [samples.layout.coordinates.index(one) for one in samples.layout.space]]
        dataset.point_data[name] = _vectors(values, order) if samples.is_vector(name) else values.ravel(order=order)
    for name in samples.labels.vectors:
        dataset.point_data[name] = _vectors(samples.vector(name), order)
    return dataset


def _vectors(values: Array, order: Literal["C", "F"]) -> Array:
    """Vectors ``(n, 3)``, padded by zeros."""
    columns = [values[..., k].ravel(order=order) for k in range(values.shape[-1])]
    return np.stack([*columns, *(np.zeros_like(columns[0]) for _ in range(3 - len(columns)))], axis=1)


def to_html(title: str, rows: Mapping[str, str], figure: Figure, alternative: str) -> str:
    """A heading, a table of two columns, and a figure as an embedded PNG with an alternative text."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    picture = base64.b64encode(stream.getvalue()).decode("ascii")
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
    return (
        f"<h4>{html.escape(title)}</h4><table>{cells}</table>"
        f'<img alt="{html.escape(alternative, quote=True)}" src="data:image/png;base64,{picture}">'
    )
