"""A scaling study as plain rows: trainings, their statistics, and the errors that they are compared with; its HDF5 file.

Rows hold strings, numbers, flags and lists of whole numbers only, so that a table of them is a set of columns. Errors are mean
squares over the domain, l2_mean_square = ∫(u - v)² / |Ω| and h1_seminorm_mean_square = ∫|∇(u - v)|² / |Ω|; NaN is unknown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pdekan.output import hdf5
from pdekan.output.samples import Array, OutputError

SCHEMA, KIND = 1, "scaling"  # of the HDF5 file
_HISTORY = ("history",)  # of a run: a group of its own, not a column
Norm = Literal["l2", "h1_seminorm"]
NORMS: tuple[Norm, ...] = ("l2", "h1_seminorm")


class _MeanSquares:
    """A row with both mean square errors."""

    l2_mean_square: float
    h1_seminorm_mean_square: float

    def mean_square(self, norm: Norm) -> float:
        """The error in a norm."""
        return self.l2_mean_square if norm == "l2" else self.h1_seminorm_mean_square


@dataclass(frozen=True, eq=False)
class Run(_MeanSquares):
    """One training.

    key: its name in the study. curve: its family of sizes, "KAN [2,5,1]" or "MLP depth 2". kind: "kan", "grown" for a KAN whose
    sizes the solver chose, or "mlp", whose degree and intervals are 0. parameters: all trainable numbers; parameters_paper:
    as arXiv:2404.19756 counts (KAN: edges × intervals; MLP: weights alone). status: that of the solution, or "failed";
    reason: a sentence. loss: of the last step. relative_residual: on validation points. counts: whether statistics and
    figures use it, or another optimizer's run of the same size. history: columns of equal length, step, seconds, loss,
    l2_mean_square and h1_mean_square (the L2 part included, NaN where not measured); none for a failed run. Raises
    OutputError for a key that cannot name a group in HDF5.
    """

    key: str
    curve: str
    kind: str
    widths: tuple[int, ...]
    degree: int
    intervals: int
    optimizer: str
    seed: int
    parameters: int
    parameters_paper: int
    status: str
    reason: str
    iterations: int
    seconds: float
    loss: float
    relative_residual: float
    l2_mean_square: float
    h1_seminorm_mean_square: float
    l2_relative: float
    h1_seminorm_relative: float
    counts: bool = True
    history: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "/" in self.key or self.key in ("", ".", ".."):
            raise OutputError(f"{self.key!r} cannot name a run: letters and digits are allowed, '/' separates groups in HDF5")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over the seeds of one size of one curve; NaN where every run failed.

    size: parameters_paper. runs: the number with an error; failed: the number without, which are left out.
    """

    curve: str
    norm: Norm
    size: int
    runs: int
    failed: int
    median: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Slope:
    """The exponent s of error ~ size^s along a curve, with its 95 % confidence interval low … high.

    theory: the asymptotic exponent, NaN where unknown. sizes: those fitted; points: the number of their runs. reason: why other
    sizes were left out, or why there is no slope (NaN) or no interval.
    """

    curve: str
    norm: Norm
    slope: float
    low: float
    high: float
    theory: float
    sizes: tuple[int, ...]
    points: int
    reason: str


@dataclass(frozen=True)
class LimitPoint(_MeanSquares):
    """The least errors of tensor-product splines of a degree, in each norm by the projection that minimises it."""

    degree: int
    intervals: int
    unknowns: int
    l2_mean_square: float
    h1_seminorm_mean_square: float


@dataclass(frozen=True)
class PaperPoint(_MeanSquares):
    """A published error, NaN where it was not read.

    curve: starts with the name of the study's curve that it belongs to, if any. parameters: as published, NaN where unknown.
    training: whether it is the end of a training's curve against steps, not a point of a curve against size.
    """

    curve: str
    training: bool
    parameters: float
    l2_mean_square: float
    h1_seminorm_mean_square: float


@dataclass(frozen=True, eq=False)
class Study:
    """A scaling study with all that its figures and its table need.

    problem_text: the problem file. command: as typed. environment: JSON data. Raises OutputError where two runs have one key.
    """

    name: str
    title: str
    problem_text: str
    command: str
    environment: Mapping[str, Any]
    runs: tuple[Run, ...]
    spreads: tuple[Spread, ...]
    slopes: tuple[Slope, ...]
    limit: tuple[LimitPoint, ...] = ()
    paper: tuple[PaperPoint, ...] = ()

    def __post_init__(self) -> None:
        repeated = [key for key, times in Counter(run.key for run in self.runs).items() if times > 1]
        if repeated:
            raise OutputError(f"runs repeat: {', '.join(repeated)}; each key may name one run")

    def curves(self, kind: str) -> tuple[str, ...]:
        """Names of the curves of a kind, "kan", "grown" or "mlp", in the order of the runs."""
        return tuple(dict.fromkeys(run.curve for run in self.runs if run.kind == kind))


def write_study(path: str | os.PathLike[str], study: Study) -> None:
    """Write a study to an HDF5 file, atomically; an existing file is replaced. h5py and pandas read it without pdekan.

        /             attributes schema, kind = "scaling", name, title, command
        /problem      the problem file's text; /environment: JSON
        /runs         one dataset a column, one entry a training; /history/KEY: its columns by step
        /summary      spreads and slopes: medians and quartiles by size, exponents with their intervals
        /limit        the least errors of tensor-product splines
        /paper        published errors

    A table as a data frame: ``{name: c.asstr()[()] if c.dtype.kind == "S" else c[()] for name, c in file["runs"].items()}``.
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


def read_study(path: str | os.PathLike[str]) -> Study:
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
