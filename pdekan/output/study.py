"""A scaling study as plain rows: trainings, their statistics, and the errors that they are compared with.

Rows hold strings, numbers, flags and lists of whole numbers only, so that a table of them is a set of columns. Errors are mean
squares over the domain, l2_mean_square = ∫(u - v)² / |Ω| and h1_seminorm_mean_square = ∫|∇(u - v)|² / |Ω|; NaN is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pdekan.output.samples import Array, OutputError

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
