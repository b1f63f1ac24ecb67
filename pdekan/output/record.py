"""The record of a run: what is needed to rebuild a trained solution, and the history and environment of its training."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pdekan.output.hdf5 import load_arrays, load_json, load_text, store_arrays, store_json, store_text
from pdekan.output.samples import OutputError

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Record:
    """A run, as plain data.

    problem_text: the problem file, to the letter; None for a problem that was stated in Python.
    config, errors, environment, formula: JSON. errors: None without an exact solution; formula: None without a closed form.
    parameters: the network's arrays by name, any shape. history: columns of equal length, one row a step.
    continuation: JSON, with numbers as `arrays` by name. tables: arrays of the problem by name.
    Raises OutputError for arrays that are not of real numbers, names that HDF5 would split, columns of unequal length.
    """

    problem_text: str | None
    config: Mapping[str, Any]
    parameters: Mapping[str, NDArray[Any]]
    history: Mapping[str, NDArray[Any]]
    errors: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    formula: Mapping[str, Any] | None = None
    continuation: Mapping[str, Any] | None = None
    tables: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for attribute in ("parameters", "history", "tables"):
            arrays = {name: np.asarray(values) for name, values in getattr(self, attribute).items()}
            object.__setattr__(self, attribute, arrays)
            for name, values in arrays.items():
                if "/" in name or name in ("", "."):
                    raise OutputError(f"{attribute}: {name!r} cannot name an array: '/' separates groups in HDF5")
                if values.dtype.kind not in "biuf":
                    raise OutputError(f"{attribute}: {name!r} holds {values.dtype}, not real numbers")
        shapes = {name: values.shape for name, values in self.history.items()}
        if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
            raise OutputError(f"history: columns of one length are needed, not {shapes}")


def finite(value: Any) -> Any:
    """A value for JSON: None in place of floats that are not finite, inside lists and mappings too."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def store(group: h5py.Group, record: Record) -> None:
    """Write a record into an empty HDF5 group; raises OutputError for values that JSON or HDF5's strings cannot hold."""
    group.attrs["schema"] = SCHEMA
    store_text(group, "problem", record.problem_text)
    for name in ("config", "errors", "environment", "formula"):
        store_json(group, name, getattr(record, name))
    for name in ("parameters", "history"):
        # the order in which the arrays were given is the network's own
        store_arrays(group, name, getattr(record, name))
    if record.tables:
        store_arrays(group, "tables", record.tables)
    if record.continuation is not None:
        inside, arrays = group.create_group("continuation"), record.continuation["arrays"]
        store_json(inside, "config", {name: value for name, value in record.continuation.items() if name != "arrays"})
        store_arrays(inside, "arrays", arrays)
    group.attrs["sha256"] = checksum(record)


def load(group: h5py.Group) -> Record:
    """The record in an HDF5 group, equal to the stored one to the bit; raises OutputError for missing and for damaged parts."""
    schema = group.attrs.get("schema")
    if schema != SCHEMA:
        raise OutputError(f"{group.name} has schema {schema}; this version of pdekan reads {SCHEMA}")
    config, environment = (load_json(group, name) for name in ("config", "environment"))
    inside = group.get("continuation")
    record = Record(
        problem_text=load_text(group, "problem") if "problem" in group else None,
        config=config,
        parameters=load_arrays(group, "parameters"),
        history=load_arrays(group, "history"),
        errors=load_json(group, "errors") if "errors" in group else None,
        environment=environment,
        formula=load_json(group, "formula") if "formula" in group else None,
        continuation=None if inside is None else load_json(inside, "config") | {"arrays": load_arrays(inside, "arrays")},
        tables=load_arrays(group, "tables") if "tables" in group else {},
    )
    if "sha256" in group.attrs and group.attrs["sha256"] != checksum(record):  # version 0.1.0 wrote none
        raise OutputError("the file is damaged: what it holds has another checksum")
    return record


def checksum(record: Record) -> str:
    """SHA-256 of all that a record holds, in hexadecimal digits."""
    continuation = dict(record.continuation or {"arrays": {}})
    mappings = (record.parameters, record.history, continuation.pop("arrays"), record.tables)
    parts = [record.config, record.errors, record.environment, record.formula, continuation]
    digest = hashlib.sha256(json.dumps([record.problem_text, *parts]).encode())
    for name, values in (pair for mapping in mappings for pair in mapping.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
