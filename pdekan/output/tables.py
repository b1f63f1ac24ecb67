"""Tables of text: numbers at a readable length, Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pdekan.output.findings import Columns


@dataclass(frozen=True)
class Table:
    """A heading, the columns' names, and cells row by row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def table(columns: Columns) -> Table:
    """A table of columns as text, numbers that are not integers with three digits."""
    cells = [[_cell(value) for value in column] for column in columns.columns.values()]
    return Table(columns.title, tuple(columns.columns), tuple(zip(*cells, strict=True)))


def number(value: float, form: str) -> str:
    """A number in a format, or a dash for nan."""
    return "–" if math.isnan(value) else format(value, form)


def markdown(title: str, paragraphs: Sequence[str], tables: Sequence[Table], command: str) -> str:
    """A page of heading, paragraphs, tables, and the command."""
    parts = [f"# {title}", *paragraphs, *(_markdown(one) for one in tables)]
    return "\n\n".join([*parts, f"Made by `{command}`."]) + "\n"


def _cell(value: str | int | float) -> str:
    return number(value, ".3g") if isinstance(value, float) else str(value)


def _markdown(table: Table) -> str:
    lines = [table.header, ("---",) * len(table.header), *table.rows]
    return "\n".join([f"## {table.title}", "", *("| " + " | ".join(map(_on_one_line, line)) + " |" for line in lines)])


def _on_one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
