"""The findings of a study as plain data: sentences, tables of columns, and figures of curves; their HDF5 file.

They can be drawn again without the study.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import h5py

from pdekan.output import hdf5
from pdekan.output.samples import Array, OutputError

Colour = Literal["blue", "orange", "green", "red", "purple", "grey", "black"]
Scale = Literal["linear", "log x", "log y", "log"]
ColumnsByName = dict[str, list[str | int | float]]

SCHEMA, KIND = 1, "findings"
_HEADING = ("name", "title", "source", "command")


@dataclass(frozen=True, eq=False)
class Columns:
    """A table: columns of equal length by name, each of texts, of whole numbers, or of numbers with nan for unknown.

    name: unique in the study. Raises OutputError for columns of unequal length, and for names that HDF5 cannot store.
    """

    name: str
    title: str
    columns: Mapping[str, Sequence[str | int | float]]

    def __post_init__(self) -> None:
        if not all(name and "/" not in name and name != "." for name in (self.name, *self.columns)):
            raise OutputError(
                f"table {self.name!r}, columns {', '.join(map(repr, self.columns))}: names need letters, and no '/'"
            )
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise OutputError(f"table {self.name}: its columns differ in length: {lengths}")


@dataclass(frozen=True, eq=False)
class Curve:
    """Points ``(n,)`` with a line, markers, or both. Curves with one label share a legend entry; "" has none."""

    x: Array
    y: Array
    label: str = ""
    colour: Colour = "blue"
    line: Literal["-", "--", ":", ""] = "-"
    marker: str = ""
    width: float = 1.2


@dataclass(frozen=True)
class Bar:
    """A horizontal bar as long as a count; its label is the tick on the y axis."""

    label: str
    count: int
    colour: Colour = "blue"


@dataclass(frozen=True, eq=False)
class Panel:
    """Axes with curves, later ones on top, or with bars, the first at the top.

    limits: of an axis, None for those of the curves. x_ticks: () for the default ticks.
    """

    curves: tuple[Curve, ...]
    title: str = ""
    x: str = ""
    y: str = ""
    scale: Scale = "linear"
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    x_ticks: tuple[float, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure: panels row by row, `across` in each, with one legend.

    size: in inches. shared: whether all panels have the same axes, labelled at the figure's edges only.
    """

    name: str
    panels: tuple[Panel, ...]
    across: int = 1
    size: tuple[float, float] = (5.0, 4.0)
    title: str = ""
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Findings:
    """The results of a study."""

    sentences: tuple[str, ...] = ()
    tables: tuple[Columns, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Heading:
    """The study: its name, title and source; command: as typed. environment: JSON data."""

    name: str
    title: str
    source: str
    command: str
    environment: Mapping[str, Any] = field(default_factory=dict)


def write_findings(path: str | os.PathLike[str], heading: Heading, findings: Findings) -> None:
    """Write findings to an HDF5 file, atomically; an existing file is replaced. It is readable without pdekan.

        /                 attributes schema, kind = "findings", name, title, source, command
        /environment      JSON
        /sentences        one text a sentence
        /tables/NAME      attribute title; one dataset a column
        /pictures/NAME    layout: JSON, all but the points; x and y of curve j of panel i are i.j.x and i.j.y

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


def read_findings(path: str | os.PathLike[str]) -> tuple[Heading, Findings]:
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


def kind_of_study(path: str | os.PathLike[str]) -> str:
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
