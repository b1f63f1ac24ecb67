"""Measurements: reading them from files, and holding some of them back for the judgement on a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pdekan.domains.base import Domain
from pdekan.output.columns import read_columns
from pdekan.output.samples import OutputError
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem

# Of the values of a regression this part is not trained on; of an unknown with fewer than FEW all are.
HELD_OUT, FEW = 0.2, 20


def measured(path: Path, domain: Domain, unknowns: Sequence[str], noise: float | None) -> Measurements:
    """The measurements in a file: CSV with a line of names, or HDF5 with a dataset for every column.

    Columns are the domain's coordinates and at least one unknown; others are passed over. Raises ProblemError for a file that
    cannot be read, columns that are missing, and points outside of the domain.
    """
    try:
        columns = read_columns(path)
    except OutputError as error:
        raise ProblemError(str(error)) from None
    for name in domain.coordinates:
        if name not in columns:
            raise ProblemError(f"{path}: no column {name!r}; its columns are {', '.join(columns) or 'none'}")
    values = {name: columns[name] for name in unknowns if name in columns}
    if not values:
        raise ProblemError(f"{path}: no column of an unknown ({', '.join(unknowns)}); its columns are {', '.join(columns)}")
    points = np.stack([columns[name] for name in domain.coordinates], axis=1)
    if not len(points):
        raise ProblemError(f"{path}: no measurements")
    bad = np.flatnonzero(~np.isfinite(points).all(1))
    if len(bad):
        raise ProblemError(f"{path}: row {bad[0] + 1}: a coordinate is no finite number")
    outside = np.flatnonzero(~domain.contains(points))
    if len(outside):
        named = ", ".join(f"{c} = {v:g}" for c, v in zip(domain.coordinates, points[outside[0]], strict=True))
        raise ProblemError(f"{path}: {len(outside)} of {len(points)} points are outside of the domain, the first at {named}")
    for name, column in values.items():
        if not np.isfinite(column).any():
            raise ProblemError(f"{path}: column {name!r} has no finite value")
    return Measurements(points, values, noise, path.stem)


def held_out(problem: Problem) -> tuple[Problem, Problem]:
    """The problem to train on and the one to judge by: a regression is judged on data that training has not seen."""
    if problem.equations:
        return problem, problem
    fitted, unseen = [], []
    generator = np.random.default_rng(problem.training.seed)
    for measured in problem.data:
        trained_on, judged_by = {}, {}
        for name, values in measured.values.items():
            known = np.isfinite(values)
            held = known & (generator.random(len(values)) < (HELD_OUT if known.sum() >= FEW else 0.0))
            trained_on[name] = np.where(held, np.nan, values)
            judged_by[name] = np.where(held, values, np.nan) if held.any() else values
        fitted.append(replace(measured, values=trained_on))
        unseen.append(replace(measured, values=judged_by))
    return replace(problem, data=tuple(fitted)), replace(problem, data=tuple(unseen))
