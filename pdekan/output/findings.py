"""The findings of a study as plain data: sentences, tables of columns, and figures of curves.

They can be stored and drawn again without the study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pdekan.output.samples import Array, OutputError

Colour = Literal["blue", "orange", "green", "red", "purple", "grey", "black"]
Scale = Literal["linear", "log x", "log y", "log"]
ColumnsByName = dict[str, list[str | int | float]]


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
