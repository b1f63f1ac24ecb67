"""Measurements: reading them from files, and splitting those of a regression into training and validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array
from pdekan.output.columns import listed, read_columns
from pdekan.output.samples import OutputError
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem

VALIDATION_FRACTION = 0.2  # of a regression's values
MIN_VALUES_TO_SPLIT = 20  # with fewer values of an unknown, all are used for training and for validation


def read_measurements(path: Path, domain: Domain, unknowns: Sequence[str], noise: float | None) -> Measurements:
    """The measurements in a table, see `output.columns`.

    Columns are the domain's coordinates and at least one unknown; others are ignored, and rows without a value are skipped.
    Raises ProblemError for a file that cannot be read, missing columns, and points outside of the domain.
    """
    try:
        columns = read_columns(path, (*domain.coordinates, *unknowns))
    except OutputError as error:
        raise ProblemError(str(error)) from None
    for name in domain.coordinates:
        if name not in columns:
            raise ProblemError(f"{path}: no column {name!r}; {_columns(columns)}")
    values = {name: columns[name] for name in unknowns if name in columns}
    if not values:
        raise ProblemError(f"{path}: no column of an unknown ({', '.join(unknowns)}); {_columns(columns)}")
    points = np.stack([columns[name] for name in domain.coordinates], axis=1)
    if not len(points):
        raise ProblemError(f"{path}: no measurements")
    infinite = np.flatnonzero(np.isinf(points).any(1))
    if len(infinite):
        raise ProblemError(f"{path}: row {infinite[0] + 1}: a coordinate is no finite number")
    known = np.isfinite(points).all(1)
    outside = np.flatnonzero(known)[~domain.contains(points[known])]
    if len(outside):
        named = ", ".join(f"{c} = {v:g}" for c, v in zip(domain.coordinates, points[outside[0]], strict=True))
        raise ProblemError(f"{path}: {len(outside)} of {len(points)} points are outside of the domain, the first at {named}")
    for name, column in values.items():
        if not np.isfinite(column).any():
            raise ProblemError(f"{path}: column {name!r} has no finite value")
    kept = np.isfinite(points).all(1) & np.any([np.isfinite(column) for column in values.values()], axis=0)
    if not kept.any():
        raise ProblemError(f"{path}: no row has both a point and a value")
    values = {name: column[kept] for name, column in values.items()}
    return Measurements(points[kept], values, noise, path.stem, int((~kept).sum()))


def split_measurements(problem: Problem) -> tuple[Problem, Problem]:
    """The problem with the data for training and the one with the data for validation.

    Only a regression's data are split, at random by the seed; with an equation both are the problem itself.
    """
    if problem.equations:
        return problem, problem
    training_data, validation_data = [], []
    generator = np.random.default_rng(problem.training.seed)
    for measurements in problem.data:
        training, validation = {}, {}
        for name, values in measurements.values.items():
            known = np.isfinite(values)
            fraction = VALIDATION_FRACTION if known.sum() >= MIN_VALUES_TO_SPLIT else 0.0
            held_out = known & (generator.random(len(values)) < fraction)
            training[name] = np.where(held_out, np.nan, values)
            validation[name] = np.where(held_out, values, np.nan) if held_out.any() else values
        training_data.append(replace(measurements, values=training))
        validation_data.append(replace(measurements, values=validation))
    return replace(problem, data=tuple(training_data)), replace(problem, data=tuple(validation_data))


def _columns(columns: Mapping[str, Array]) -> str:
    """The names of columns, where there are rows below: else the first line of any file would be quoted."""
    if not any(len(column) for column in columns.values()):
        return "there are no rows of numbers"
    return f"its columns are {listed(columns)}"
