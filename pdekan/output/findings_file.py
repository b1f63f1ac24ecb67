"""The HDF5 file of a study's findings: tables of columns and the curves of its figures, readable without pdekan.

/                 attributes schema, kind = "findings", name, title, source, command
/environment      JSON
/sentences        one text a sentence
/tables/NAME      attribute title; one dataset a column
/pictures/NAME    layout: JSON, all but the points; x and y of curve j of panel i are i.j.x and i.j.y
"""

from __future__ import annotations

import os
from dataclasses import asdict

import h5py

from pdekan.output import hdf5
from pdekan.output.findings import Bar, Columns, Curve, Findings, Heading, Panel, Picture
from pdekan.output.samples import Array, OutputError

SCHEMA, KIND = 1, "findings"
_HEADING = ("name", "title", "source", "command")


def write(path: str | os.PathLike[str], heading: Heading, findings: Findings) -> None:
    """Write findings to an HDF5 file, atomically; an existing file is replaced.

    Raises OutputError for data that HDF5 cannot store, OSError where the file cannot be written; the old file then stays.
    """
    with hdf5.written(path, track_order=True) as file:
        file.attrs["schema"], file.attrs["kind"] = SCHEMA, KIND
        for name in _HEADING:
            hdf5.store_attribute(file, name, getattr(heading, name))
        hdf5.store_json(file, "environment", heading.environment)
        hdf5.store_table(file, "sentences", {"sentence": findings.sentences})
        tables, pictures = (file.create_group(name, track_order=True) for name in ("tables", "pictures"))
        for table in findings.tables:
            hdf5.store_table(tables, table.name, table.columns)
            hdf5.store_attribute(tables[table.name], "title", table.title)
        for picture in findings.pictures:
            _store_picture(pictures, picture)


def read(path: str | os.PathLike[str]) -> tuple[Heading, Findings]:
    """The findings in a file. Raises OutputError with the path where there are none."""
    with hdf5.opened(path, "/") as file:
        if file.attrs.get("kind") != KIND or file.attrs.get("schema") != SCHEMA:
            found = f"kind {file.attrs.get('kind')!r}, schema {file.attrs.get('schema')}"
            raise OutputError(f"no findings that this version of pdekan reads: {found}, not {KIND!r}, {SCHEMA}")
        words = {name: hdf5.load_attribute(file, name) for name in _HEADING}
        heading = Heading(**words, environment=hdf5.load_json(file, "environment"))
        tables = tuple(
            Columns(name, hdf5.load_attribute(group, "title"), hdf5.load_table(file, f"tables/{name}"))
            for name, group in file["tables"].items()
        )
        pictures = tuple(_load_picture(file, name) for name in file["pictures"])
        return heading, Findings(tuple(hdf5.load_table(file, "sentences")["sentence"]), tables, pictures)


def kind(path: str | os.PathLike[str]) -> str:
    """The kind of study in a file, "" without that attribute; raises OutputError for a file that cannot be read."""
    with hdf5.opened(path, "/") as file:
        return str(file.attrs.get("kind", ""))


def _store_picture(group: h5py.Group, picture: Picture) -> None:
    layout = asdict(picture)
    arrays: dict[str, Array] = {}
    for i, panel in enumerate(layout["panels"]):
        for j, curve in enumerate(panel["curves"]):
            arrays |= {f"{i}.{j}.{axis}": curve.pop(axis) for axis in ("x", "y")}
    hdf5.store_arrays(group, picture.name, arrays)
    # a dataset: an attribute of more than 64 KB is refused
    hdf5.store_json(group[picture.name], "layout", layout)


def _load_picture(file: h5py.Group, name: str) -> Picture:
    group = file[f"pictures/{name}"]
    layout = hdf5.load_json(group, "layout")
    panels = []
    for i, panel in enumerate(layout.pop("panels")):
        curves = (
            Curve(*(group[f"{i}.{j}.{axis}"][()] for axis in ("x", "y")), **curve)
            for j, curve in enumerate(panel.pop("curves"))
        )
        pairs = {name: None if panel[name] is None else tuple(panel[name]) for name in ("x_limits", "y_limits", "x_ticks")}
        bars = tuple(Bar(**bar) for bar in panel.pop("bars", ()))  # files of earlier versions have none
        panels.append(Panel(tuple(curves), **panel | pairs, bars=bars))
    return Picture(**layout | {"panels": tuple(panels), "size": tuple(layout["size"])})
