"""Samples as objects of other libraries: an xarray dataset, a PyVista mesh, a picture in HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from pdekan.output.samples import Array, Grid, OutputError, Samples

if TYPE_CHECKING:  # extras, which are imported when they are asked for
    import pyvista
    import xarray
    from matplotlib.figure import Figure


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
    coordinates = {axis.name: axis.values for axis in samples.axes} | dict(samples.cut)
    vectors = any(samples.is_vector(name) for name in samples.fields)
    return xarray.Dataset(variables, coordinates | ({"component": list(samples.layout.coordinates)} if vectors else {}))


def to_pyvista(samples: Samples) -> pyvista.DataSet:
    """A rectilinear grid, or the mesh, with all fields as point data; gradients are padded to three components.

    Raises ImportError without PyVista.
    """
    import pyvista

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
        dataset.point_data[name] = _vectors(values, order) if samples.is_vector(name) else values.ravel(order=order)
    return dataset


def _vectors(values: Array, order: Literal["C", "F"]) -> Array:
    """Vectors ``(n, 3)`` of the first three components."""
    columns = [values[..., k].ravel(order=order) for k in range(min(3, values.shape[-1]))]
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
