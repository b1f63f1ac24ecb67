"""Runs of scaling studies for the tests of their figures, files, tables and fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pdekan.output.study import Run


def a_run(error: float = 1e-3, **changes: Any) -> Run:
    """A run with one error, or functions of it, in all norms."""
    run = Run(
        key="a", curve="KAN [2,5,1]", kind="kan", widths=(2, 5, 1), degree=3, intervals=10, optimizer="gauss-newton", seed=0,
        parameters=195, parameters_paper=150, status="stalled", reason="no step lowers the loss any further", iterations=9,
        seconds=1.0, loss=error, relative_residual=error, l2_mean_square=error, h1_seminorm_mean_square=100.0 * error,
        l2_relative=error**0.5, h1_seminorm_relative=error**0.5,
    )  # fmt: skip
    return replace(run, **changes)
