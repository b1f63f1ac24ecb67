"""Users' tables of numbers: columns by name, from CSV or HDF5 files."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np

from pdekan.output.hdf5 import opened
from pdekan.output.samples import Array, OutputError

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".vtkhdf")
MAX_SHOWN = 20  # characters of a name in a message, and names
CSV_HINT = "; commas part the cells, and a point the decimals"


def read_columns(path: Path) -> dict[str, Array]:
    """Columns ``(n,)`` by name: of a CSV file whose first line names them, or of the datasets at the root of an HDF5 file.

    An empty cell is nan; a column without a name, as after commas at the ends of lines, is ignored. Raises OutputError for a
    file that cannot be read, and for columns of unequal length.
    """
    return _hdf5(path) if path.suffix.lower() in HDF5_SUFFIXES else _csv(path)


def _csv(path: Path) -> dict[str, Array]:
    names: list[str] = []
    table = array("d")  # row after row, since lists of cells take forty times the size of the file
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.reader(stream), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if names:
                    table.extend(_numbers(f"{path}:{number}", cells, len(names)))
                else:
                    names = cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not names:
        raise OutputError(f"{path}: empty; the first line names the columns")
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise OutputError(f"{path}: two columns have the same name; the columns are {listed(named)}")
    rows = np.asarray(table, dtype=np.float64).reshape(-1, len(names))
    return {name: rows[:, k] for k, name in enumerate(names) if name}


def _numbers(where: str, cells: list[str], count: int) -> list[float]:
    """The numbers of a row, nan for an empty cell. Raises OutputError for cells that are none, and for another count."""
    if len(cells) != count:
        raise OutputError(f"{where}: {len(cells)} cells; the first line names {count} columns{CSV_HINT}")
    try:
        return [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        column = next(k for k, cell in enumerate(cells, 1) if not _is_number(cell))
        raise OutputError(f"{where}: column {column}: cells are not numbers{CSV_HINT}") from None


def listed(names: Collection[str]) -> str:
    """Names of columns for a message; what is no short name is counted only, since any file may be taken for a table."""
    short = [name for name in names if name.isidentifier() and len(name) <= MAX_SHOWN][:MAX_SHOWN]
    others = len(names) - len(short)
    return ", ".join([*short, *([f"{others} more" if short else f"{others} without a short name"] if others else [])]) or "none"


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _hdf5(path: Path) -> dict[str, Array]:
    columns = {}
    with opened(path, "/") as root:
        for name, dataset in root.items():
            if isinstance(dataset, h5py.Dataset) and dataset.ndim == 1 and dataset.dtype.kind in "iuf":
                columns[name] = np.asarray(dataset[()], dtype=np.float64)
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise OutputError(f"{path}: columns differ in length: {lengths}")
    return columns
