"""What a study found, as plain data: sentences, tables of columns, and figures made of curves.

Everything here can be written to a file and drawn again without knowing which study it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pdekan.output.samples import Array, OutputError

Colour = Literal["blue", "orange", "green", "red", "purple", "grey", "black"]
Scale = Literal["linear", "log x", "log y", "log"]


@dataclass(frozen=True, eq=False)
class Columns:
    """A table: columns of equal length by name, each all text, all whole numbers, or numbers, of which nan is not known.

    name: among the study's tables. Raises OutputError for columns of unequal length, and for names that HDF5 has no place for.
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
    """Points ``(n,)``, joined by a line, marked, or both. Curves of one label share a line of the legend; "" has none."""

    x: Array
    y: Array
    label: str = ""
    colour: Colour = "blue"
    line: Literal["-", "--", ":", ""] = "-"
    marker: str = ""
    width: float = 1.2


@dataclass(frozen=True, eq=False)
class Panel:
    """Axes with curves, of which later ones lie on top.

    limits: of an axis, None for what the curves need. x_ticks: where the first axis is marked, if not where it is by itself.
    """

    curves: tuple[Curve, ...]
    title: str = ""
    x: str = ""
    y: str = ""
    scale: Scale = "linear"
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    x_ticks: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure: panels row by row, `across` in each, and one legend for all of them.

    size: in inches. shared: whether all panels have the same axes, which are then labelled at the figure's edges only.
    """

    name: str
    panels: tuple[Panel, ...]
    across: int = 1
    size: tuple[float, float] = (5.0, 4.0)
    title: str = ""
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Findings:
    """What rows of a study say together."""

    sentences: tuple[str, ...] = ()
    tables: tuple[Columns, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Heading:
    """Which study it was: its name, title and source; command: what was typed. environment: whatever JSON holds."""

    name: str
    title: str
    source: str
    command: str
    environment: Mapping[str, Any] = field(default_factory=dict)
