"""The HDF5 file of a scaling study: tables of columns, which h5py and pandas read without pdekan.

/             attributes schema, kind = "scaling", name, title, command
/problem      the problem file's text; /environment: JSON
/runs         one dataset a column, one entry a training; /history/KEY: its columns by step
/summary      spreads and slopes: medians and quartiles by size, exponents with their intervals
/limit        the least errors of tensor-product splines
/paper        published errors

A table as a data frame: ``{name: c.asstr()[()] if c.dtype.kind == "S" else c[()] for name, c in file["runs"].items()}``.
"""

from __future__ import annotations

import os

from pdekan.output import hdf5
from pdekan.output.samples import OutputError
from pdekan.output.study import LimitPoint, PaperPoint, Run, Slope, Spread, Study

SCHEMA, KIND = 1, "scaling"
_HISTORY = ("history",)  # of a run: a group of its own, not a column


def write(path: str | os.PathLike[str], study: Study) -> None:
    """Write a study to an HDF5 file, atomically; an existing file is replaced.

    Raises OutputError for data that HDF5 cannot store, OSError where the file cannot be written; the old file then stays.
    """
    with hdf5.written(path) as file:
        file.attrs["schema"], file.attrs["kind"] = SCHEMA, KIND
        for name in ("name", "title", "command"):
            hdf5.store_attribute(file, name, getattr(study, name))
        hdf5.store_text(file, "problem", study.problem_text)
        hdf5.store_json(file, "environment", study.environment)
        hdf5.store_rows(file, "runs", study.runs, Run, _HISTORY)
        histories = file.create_group("history", track_order=True)
        for run in study.runs:
            hdf5.store_arrays(histories, run.key, run.history)
        summary = file.create_group("summary")
        hdf5.store_rows(summary, "spreads", study.spreads, Spread)
        hdf5.store_rows(summary, "slopes", study.slopes, Slope)
        hdf5.store_rows(file, "limit", study.limit, LimitPoint)
        hdf5.store_rows(file, "paper", study.paper, PaperPoint)


def read(path: str | os.PathLike[str]) -> Study:
    """The study in a file, equal to the stored one. Raises OutputError with the path where there is none."""
    with hdf5.opened(path, "/") as file:
        if file.attrs.get("kind") != KIND:
            raise OutputError(f"not a scaling study: attribute 'kind' is {file.attrs.get('kind')!r}, not {KIND!r}")
        if file.attrs.get("schema") != SCHEMA:
            raise OutputError(f"schema {file.attrs.get('schema')}; this version of pdekan reads {SCHEMA}")
        rows = hdf5.load_rows(file, "runs", Run, _HISTORY)
        runs = [Run(**row, history=hdf5.load_arrays(file, f"history/{row['key']}")) for row in rows]
        return Study(
            name=hdf5.load_attribute(file, "name"),
            title=hdf5.load_attribute(file, "title"),
            problem_text=hdf5.load_text(file, "problem"),
            command=hdf5.load_attribute(file, "command"),
            environment=hdf5.load_json(file, "environment"),
            runs=tuple(runs),
            spreads=tuple(Spread(**row) for row in hdf5.load_rows(file, "summary/spreads", Spread)),
            slopes=tuple(Slope(**row) for row in hdf5.load_rows(file, "summary/slopes", Slope)),
            limit=tuple(LimitPoint(**row) for row in hdf5.load_rows(file, "limit", LimitPoint)),
            paper=tuple(PaperPoint(**row) for row in hdf5.load_rows(file, "paper", PaperPoint)),
        )
