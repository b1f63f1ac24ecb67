"""Common parts of the HDF5 files: opening them, texts, JSON, arrays, and rows stored as columns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray

from pdekan.output.atomic import write_bytes
from pdekan.output.samples import OutputError

Row = TypeVar("Row")
MAX_LOADED = 500_000_000  # bytes of all arrays of a group, as numbers of eight bytes: copies of some are made
MAX_TEXTS = 1000  # in an attribute: many may refer to the same long text
DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
_INTEGERS = tuple[int, ...]
# numbers by Python's type; strings and lists of whole numbers are stored as texts
_NUMBERS: dict[Any, type] = {int: np.int64, bool: np.int64, float: np.float64}
_PYTHON_TYPES: dict[Any, type] = {np.int64: int, np.float64: float}


@contextmanager
def opened(path: str | os.PathLike[str], name: str) -> Iterator[h5py.Group]:
    """A group of a file, for reading; what is in it takes at most MAX_LOADED bytes and is in this file.

    Raises OutputError with the path where it is missing, and for errors in the block: h5py has exceptions of many kinds for
    damaged files.
    """
    if not Path(path).is_file():
        raise OutputError(f"{os.fspath(path)}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            linked = name != "/" and not isinstance(file.get(name, getlink=True), h5py.HardLink)
            group = None if linked else file.get(name)
            if not isinstance(group, h5py.Group):
                raise OutputError(f"no group /{name}: pdekan did not write this file")
            _check_contents(group)
            yield group
    except OutputError as error:
        raise OutputError(f"{os.fspath(path)}: {error}") from error
    except PermissionError as error:
        raise OutputError(f"{os.fspath(path)}: it may not be read") from error
    except DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise OutputError(f"{os.fspath(path)}: not an HDF5 file, truncated or damaged ({reason})") from error


@contextmanager
def written(path: str | os.PathLike[str], track_order: bool = False) -> Iterator[h5py.File]:
    """A file to fill, in memory, whose bytes replace the file at `path` when the block ends without an exception.

    HDF5's own file writing does not survive exceptions in its middle. Raises OSError as `write_bytes` does.
    """
    with h5py.File(os.fspath(path), "w", driver="core", backing_store=False, track_order=track_order) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    write_bytes(path, image)


def check_self_contained(path: str | os.PathLike[str]) -> None:
    """Raise OutputError for an HDF5 file that takes data from other files, by links, external storage or virtual datasets.

    Files of other formats pass.
    """
    if h5py.is_hdf5(path):
        with opened(path, "/"):
            pass


def _check_contents(group: h5py.Group) -> None:
    """Raise OutputError for data of other files, links out of the group, and more numbers than are loaded.

    A file can state any size: what is compressed, or was never written, takes next to nothing in it.
    """
    loaded = 0

    def check(_: str, item: h5py.Group | h5py.Dataset) -> None:
        """Raise OutputError for a member whose data are elsewhere, or too large."""
        nonlocal loaded
        if isinstance(item, h5py.Group):
            for name in item:
                link = item.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink) or (isinstance(link, h5py.SoftLink) and group.name != "/"):
                    raise OutputError(f"{item.name} has a link into another file or group; copy the data into this one")
        elif isinstance(item, h5py.Dataset):
            if item.external or (item.is_virtual and any(source.file_name != "." for source in item.virtual_sources())):
                raise OutputError(f"the data of {item.name} are in another file; copy them into this one")
            loaded += (item.size or 0) * max(item.dtype.itemsize, np.dtype(np.float64).itemsize)
            if loaded > MAX_LOADED:
                raise OutputError(
                    f"{item.name} has shape {item.shape}: all that is read may take {MAX_LOADED // 10**6} MB in memory"
                )

    check("", group)
    group.visititems(check)


def store_attribute(group: h5py.Group, name: str, text: str) -> None:
    """Write a short text, at most 64 KB, as an attribute; raises OutputError for a NUL character."""
    group.attrs[name] = _without_nul(name, text)


def load_attribute(group: h5py.Group, name: str) -> str:
    """A stored short text; raises OutputError where there is none."""
    value: Any = group.attrs.get(name)
    if not isinstance(value, str):
        raise OutputError(f"no attribute {name!r} on {group.name}")
    return value


def store_text(group: h5py.Group, name: str, text: str | None) -> None:
    """Write a text of any length, or nothing for None; raises OutputError for a NUL character."""
    if text is None:
        return
    # a dataset: an attribute of more than 64 KB is refused
    group.create_dataset(name, data=_without_nul(name, text), dtype=h5py.string_dtype("utf-8"))


def load_text(group: h5py.Group, name: str) -> str:
    """A stored text; raises OutputError where there is none."""
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != () or h5py.check_string_dtype(dataset.dtype) is None:
        raise OutputError(f"no text {_path(group, name)}")
    return str(dataset.asstr()[()])


def store_json(group: h5py.Group, name: str, value: Mapping[str, Any] | None) -> None:
    """Write an object as JSON, or nothing for None; raises OutputError for data that are not JSON."""
    try:
        text = None if value is None else json.dumps(value)
    except (TypeError, ValueError) as error:
        raise OutputError(f"{name}: {error}; only what JSON holds can be stored") from error
    store_text(group, name, text)


def load_json(group: h5py.Group, name: str) -> dict[str, Any]:
    """A stored object; raises OutputError where there is none."""
    try:
        value = json.loads(load_text(group, name))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise OutputError(f"{name} is not a JSON object")
    return value


def store_arrays(group: h5py.Group, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name into a new group; HDF5 keeps their order."""
    inside = group.create_group(name, track_order=True)
    for key, values in arrays.items():
        inside.create_dataset(key, data=values)


def load_arrays(group: h5py.Group, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of numbers of a group in their stored order; raises OutputError where there is no such group."""
    inside = _subgroup(group, name)
    for key, dataset in inside.items():
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
            raise OutputError(f"{_path(inside, key)} is no array of real numbers")
    return {key: np.asarray(dataset[()]) for key, dataset in inside.items()}


def store_rows(group: h5py.Group, name: str, rows: Sequence[Row], kind: type[Row], omit: Sequence[str] = ()) -> None:
    """Write rows, all of one dataclass, as a group with one dataset a field.

    Numbers are int64 or float64, flags 0 or 1, texts of a fixed length in UTF-8, lists of whole numbers texts like "2,5,1".
    Raises OutputError for a text with a NUL character.
    """
    columns: dict[str, NDArray[Any]] = {}
    for column, type_ in _columns(kind, omit).items():
        values = [getattr(row, column) for row in rows]
        columns[column] = np.array(values, dtype=_NUMBERS[type_]) if type_ in _NUMBERS else _texts(column, type_, values)
    store_arrays(group, name, columns)


def load_rows(group: h5py.Group, name: str, kind: type[Row], omit: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The fields of the stored rows of a dataclass; raises OutputError for columns that are missing or do not fit."""
    table, columns = _subgroup(group, name), _columns(kind, omit)
    lists = [_column(table, column, type_) for column, type_ in columns.items()]
    if len({len(values) for values in lists}) > 1:
        raise OutputError(f"{table.name}: its columns differ in length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def store_table(group: h5py.Group, name: str, columns: Mapping[str, Sequence[str | int | float]]) -> None:
    """Write columns by name as a group: all text, whole numbers, or else numbers. Raises OutputError for a NUL character."""
    arrays: dict[str, NDArray[Any]] = {}
    for column, values in columns.items():
        kinds = {type(value) for value in values}
        arrays[column] = (
            _texts(column, str, values) if str in kinds else np.array(values, np.int64 if kinds == {int} else float)
        )
    store_arrays(group, name, arrays)


def load_table(group: h5py.Group, name: str) -> dict[str, list[Any]]:
    """Columns by name, as they were written; raises OutputError where there are none."""
    table = _subgroup(group, name)
    types = {column: str if h5py.check_string_dtype(values.dtype) else values.dtype.type for column, values in table.items()}
    return {column: _column(table, column, _PYTHON_TYPES.get(type_, type_)) for column, type_ in types.items()}


def _subgroup(group: h5py.Group, name: str) -> h5py.Group:
    inside = group.get(name)
    if not isinstance(inside, h5py.Group):
        raise OutputError(f"no group {_path(group, name)}")
    return inside


def _columns(kind: type[Any], omit: Sequence[str]) -> dict[str, Any]:
    types = get_type_hints(kind)
    return {field.name: types[field.name] for field in fields(kind) if field.name not in omit}


def _texts(column: str, type_: Any, values: Sequence[Any]) -> NDArray[Any]:
    texts = [",".join(map(str, value)) if type_ == _INTEGERS else str(value) for value in values]
    encoded = [_without_nul(column, text).encode() for text in texts]
    length = max((len(text) for text in encoded), default=1)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(length, 1)))


def _column(table: h5py.Group, column: str, type_: Any) -> list[Any]:
    dataset = table.get(column)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        raise OutputError(f"no column {table.name}/{column}")
    string = h5py.check_string_dtype(dataset.dtype)
    textual = string is not None
    if string is not None and string.length is None:
        raise OutputError(f"{table.name}/{column} holds texts of any length")
    if textual == (type_ in _NUMBERS) or not (textual or np.can_cast(dataset.dtype, _NUMBERS[type_])):
        raise OutputError(f"{table.name}/{column} holds {dataset.dtype}")
    if not textual:
        return [type_(value) for value in dataset[()].tolist()]
    try:
        texts = dataset.asstr()[()].tolist()
        return [tuple(int(part) for part in text.split(",") if part) for text in texts] if type_ == _INTEGERS else texts
    except ValueError as error:
        raise OutputError(f"{table.name}/{column}: {error}; UTF-8 is needed, and commas between whole numbers") from error


def _without_nul(name: str, text: str) -> str:
    if "\0" in text:
        raise OutputError(f"{name}: HDF5 strings end at a NUL character, and this one holds one")
    return text


def _path(group: h5py.Group, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"
