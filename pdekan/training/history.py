"""The history of a training: a row of numbers for every step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Residuals

COLUMNS = (
    "step", "seconds", "stage", "loss", "residual", "equation_residual", "condition_residual",
    "l2_mean_square", "h1_mean_square",
)  # fmt: skip
# Gauss rules for the errors of every step, by dimension: cells and points an axis in each; above, quasi-random points.
RULES = {1: (37, 5, 0), 2: (13, 4, 0), 3: (4, 4, 0)}
SCATTERED = (1, 1, 2048)


class History:
    """Columns of numbers, a row for every step.

    l2, h1: mean square errors of all unknowns together, nan where not known. residual: the relative one, the others are root
    mean squares, all on validation points. A trainable parameter has a column of its own.
    """

    def __init__(self, problem: Problem, earlier: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        self._problem = problem
        self._rule = problem.domain.interior(*RULES.get(problem.domain.dimension, SCATTERED), 7919)
        names = (*COLUMNS, *map(_column, problem.parameters))
        self._columns: dict[str, list[float]] = {name: [] for name in names}
        if earlier is not None:
            unknown = np.full(len(earlier["step"]), math.nan)  # columns that earlier versions did not have
            self._columns = {name: earlier.get(name, unknown).tolist() for name in names}

    def append(
        self,
        step: int,
        seconds: float,
        stage: int,
        loss: float,
        residuals: Residuals,
        errors: Mapping[str, Errors],
        parameters: Mapping[str, float],
    ) -> None:
        """Write a row."""
        l2, h1 = math.nan, math.nan
        if errors:
            l2 = sum(e.l2_mean_square for e in errors.values())
            h1 = l2 + sum(e.h1_seminorm_mean_square for e in errors.values())
        judged = (residuals.relative, residuals.equation, residuals.conditions)
        row = dict(zip(COLUMNS, (step, seconds, stage, loss, *judged, l2, h1), strict=True))
        row |= {_column(name): value for name, value in parameters.items()}
        for name, column in self._columns.items():
            column.append(float(row[name]))

    def quick_errors(self, network: Network) -> dict[str, Errors]:
        """The errors after a step, on fewer points than those of a solution."""
        return norms.measure_on_rule(self._problem, network, self._rule) if norms.measured_unknowns(self._problem) else {}

    @property
    def loss(self) -> float:
        """The loss of the last row."""
        return self._columns["loss"][-1]

    @property
    def seconds(self) -> float:
        """Those of the last row."""
        return self._columns["seconds"][-1]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The columns so far."""
        return {name: np.asarray(column, dtype=np.float64) for name, column in self._columns.items()}


def _column(parameter: str) -> str:
    return f"parameter_{parameter}"
