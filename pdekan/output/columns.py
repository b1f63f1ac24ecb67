"""Users' tables of numbers: columns by name, from CSV, HDF5, netCDF or Parquet files."""

from __future__ import annotations

import codecs
import csv
import math
from array import array
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TextIO

import h5py
import numpy as np

from pdekan.output.hdf5 import opened
from pdekan.output.samples import Array, OutputError

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".vtkhdf")
NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf")
PARQUET_SUFFIXES = (".parquet", ".pq")
# what files begin with that are taken for CSV
OTHERS = {
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
    b"PK\x03\x04": "a spreadsheet", b"\xd0\xcf\x11\xe0": "a spreadsheet",
}  # fmt: skip
MISSING = ("", "na", "n/a", "null", "none")  # cells without a number, beside nan
MAX_SHOWN = 20  # characters of a name in a message, and names
CSV_HINT = "; where commas are decimal points, semicolons or tabs have to part the cells"


def read_columns(path: Path, wanted: Collection[str] | None = None) -> dict[str, Array]:
    """Columns ``(n,)`` by name.

    CSV: the first line names them, or a comment in front of the numbers; commas, semicolons, tabs or blanks part the cells,
    and where commas do not, they may be decimal points. HDF5: the datasets at the root. netCDF: variables over all of their
    coordinates. A cell without a number is nan. Columns without a name, as after commas at the ends of lines, are ignored,
    and so are those of text that are not `wanted`; without `wanted` all are. Raises OutputError for a file that cannot be
    read, for text in a wanted column, and for columns of unequal length.
    """
    suffix = path.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        return _hdf5(path)
    if suffix in NETCDF_SUFFIXES:
        return _netcdf(path, wanted)
    if suffix in PARQUET_SUFFIXES:
        return _parquet(path)
    return _csv(path, wanted)


def _csv(path: Path, wanted: Collection[str] | None) -> dict[str, Array]:
    table, texts = array("d"), dict[str, str]()  # row after row, since lists of cells take forty times the size of the file
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        for mark, kind in OTHERS.items():
            if start.startswith(mark):
                raise OutputError(f"{path}: {kind}, not a text file in UTF-8; save it as CSV (UTF-8)")
        with path.open(newline="", encoding="utf-8-sig") as text:
            names, separator, number, lines = _head(path, text)
            for row, cells in enumerate(_rows(lines, separator), number):
                if any(cells):
                    table.extend(_numbers(f"{path}:{row}", cells, names, separator, texts))
    except UnicodeDecodeError as error:
        raise OutputError(
            f"{path}: cannot be read: not a text file in UTF-8 ({error.reason}); save it as CSV (UTF-8)"
        ) from None
    except (OSError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    for name, message in texts.items():
        if wanted is None or name in wanted:
            raise OutputError(message)
    rows = np.asarray(table, dtype=np.float64).reshape(-1, len(names))
    return {name: rows[:, k] for k, name in enumerate(names) if name and name not in texts}


def _head(path: Path, text: TextIO) -> tuple[list[str], str | None, int, Iterable[str]]:
    """Names, what parts the cells (None for blanks), and the lines that follow, with the number of the first one.

    Names stand in the first line, or, as numpy.savetxt writes them, in the last comment before a first line of numbers.
    Raises OutputError for a file without.
    """
    comment = ""
    for number, line in enumerate(text, 1):
        bare = line.strip()
        if not bare.strip(",;\t "):
            continue
        if bare.startswith("#"):
            comment = bare.lstrip("# \t")
            continue
        separator = next((one for one in ";\t," if one in bare), None)
        (names,) = _rows([bare], separator)
        if not all(_is_number(name) for name in names):
            return _distinct(path, names), separator, number + 1, text
        if not comment:
            raise OutputError(f"{path}: the first line has numbers; it has to name the columns")
        (names,) = _rows([comment], next((one for one in ";\t," if one in comment), None))
        return _distinct(path, names), separator, number, chain([line], text)
    raise OutputError(f"{path}: empty; the first line names the columns")


def _distinct(path: Path, names: list[str]) -> list[str]:
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise OutputError(f"{path}: two columns have the same name; the columns are {listed(named)}")
    return names


def _rows(lines: Iterable[str], separator: str | None) -> Iterator[list[str]]:
    """The cells of each line, none of comments."""
    plain = ("" if line.lstrip().startswith("#") else line for line in lines)
    parted = (line.split() for line in plain) if separator is None else csv.reader(plain, delimiter=separator)
    return ([cell.strip() for cell in row] for row in parted)


def _numbers(where: str, cells: list[str], names: list[str], separator: str | None, texts: dict[str, str]) -> list[float]:
    """The numbers of a row, nan for text; `texts` gets a message for each column of text.

    Raises OutputError for another count of cells than of names.
    """
    hint = CSV_HINT if separator == "," else ""
    if len(cells) != len(names):
        raise OutputError(f"{where}: {len(cells)} cells; the first line names {len(names)} columns{hint}")
    if separator != ",":
        cells = [cell.replace(",", ".", 1) for cell in cells]
    for k, (cell, name) in enumerate(zip(cells, names, strict=True), 1):
        if not _is_number(cell):
            texts.setdefault(name, f"{where}: column {k}: cells are not numbers{hint}")
    return [float(cell) if _is_number(cell) and cell.lower() not in MISSING else math.nan for cell in cells]


def listed(names: Collection[str]) -> str:
    """Names of columns for a message; what is no short name is counted only, since any file may be taken for a table."""
    short = [name for name in names if name.isidentifier() and len(name) <= MAX_SHOWN][:MAX_SHOWN]
    others = len(names) - len(short)
    return ", ".join([*short, *([f"{others} more" if short else f"{others} without a short name"] if others else [])]) or "none"


def _is_number(cell: str) -> bool:
    """Whether a cell has a number, or stands for a missing one."""
    try:
        float(cell)
    except ValueError:
        return cell.lower() in MISSING
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


def _netcdf(path: Path, wanted: Collection[str] | None) -> dict[str, Array]:
    try:
        import xarray
    except ImportError:
        raise OutputError(f"{path}: netCDF is read by xarray: pip install 'pdekan[data]'") from None
    try:
        with xarray.open_dataset(path, decode_times=False) as dataset:
            names = [
                str(name) for name in dataset.variables if dataset[name].dtype.kind in "iuf" and (not wanted or name in wanted)
            ]
            fields = xarray.broadcast(*(dataset[name] for name in names))
            return {name: field.to_numpy().astype(np.float64).ravel() for name, field in zip(names, fields, strict=True)}
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: not a netCDF file that can be read: {error}") from None


def _parquet(path: Path) -> dict[str, Array]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise OutputError(f"{path}: Parquet is read by pyarrow: pip install 'pdekan[data]'") from None
    try:
        frame = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise OutputError(f"{path}: not a Parquet file that can be read: {error}") from None
    columns = {name: frame[name].to_numpy() for name in frame.column_names}
    return {name: values.astype(np.float64) for name, values in columns.items() if values.dtype.kind in "iuf"}
