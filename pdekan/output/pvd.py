"""A ParaView collection: a file that names a file of VTK's XML format for each step of time.

All versions of ParaView play it; those before 5.12 know no steps in HDF5 files.
https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

import h5py
import numpy as np

from pdekan.output.atomic import write_text
from pdekan.output.fields import store_fields
from pdekan.output.samples import Array, Cells, Samples
from pdekan.output.vtkhdf import store_unstructured

_TYPES = {"f": ("Float64", "<f8"), "i": ("Int64", "<i8"), "u": ("UInt8", "u1")}  # VTK's and numpy's, by numpy's kind


def write(path: str | os.PathLike[str], samples: Samples) -> None:
    """Write NAME.pvd, and its steps NAME_steps/0000.vtu, …; of samples without time there is one. Raises OSError."""
    path = Path(path)
    folder = path.with_name(f"{path.stem}_steps")
    folder.mkdir(exist_ok=True)
    lines = []
    with h5py.File.in_memory() as file:
        store_fields(file.create_group("fields", track_order=True), samples)
        group = file.create_group("VTKHDF")
        store_unstructured(group, samples)
        for step, time in enumerate(samples.times if samples.times.size else [0.0]):
            name = f"{step:04d}.vtu"
            write_text(folder / name, _step(group, step))
            lines.append(f'<DataSet timestep="{float(time)!r}" file={quoteattr(f"{folder.name}/{name}")}/>')
    write_text(path, _file("Collection", "\n".join(lines)))


def _step(group: h5py.Group, step: int) -> str:
    """The points, cells and fields of one step."""
    count, cells = len(group["Points"]), len(group["Types"])
    parts = {
        "Points": {"Points": group["Points"][()]},
        "Cells": {"connectivity": group["Connectivity"][()], "offsets": group["Offsets"][1:], "types": group["Types"][()]},
        "PointData": {name: values[step * count : (step + 1) * count] for name, values in group["PointData"].items()},
    }
    data = "".join(f"<{part}>\n{''.join(map(_array, arrays, arrays.values()))}</{part}>\n" for part, arrays in parts.items())
    return _file("UnstructuredGrid", f'<Piece NumberOfPoints="{count}" NumberOfCells="{cells}">\n{data}</Piece>')


def _array(name: str, values: Array | Cells) -> str:
    """Numbers behind the count of their bytes, in base64."""
    kind, stored = _TYPES[values.dtype.kind]
    data = values.astype(stored).tobytes()
    text = base64.b64encode(np.array(len(data), "<u8").tobytes() + data).decode("ascii")
    columns = values.shape[1] if values.ndim > 1 else 1
    return (
        f'<DataArray type="{kind}" Name={quoteattr(name)} NumberOfComponents="{columns}" format="binary">{text}</DataArray>\n'
    )


def _file(kind: str, text: str) -> str:
    facts = 'version="1.0" byte_order="LittleEndian" header_type="UInt64"'
    return f'<?xml version="1.0"?>\n<VTKFile type="{kind}" {facts}>\n<{kind}>\n{text}\n</{kind}>\n</VTKFile>\n'
