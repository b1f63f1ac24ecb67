"""Solutions along straight lines, as tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pdekan.domains.base import Domain
from pdekan.problems.formulas import ProblemError
from pdekan.solutions.evaluation import on_device
from pdekan.solutions.known_fields import exact_values
from pdekan.solutions.solution import Solution

Line = dict[str, tuple[float, float]]  # where each coordinate begins and ends


def line(domain: Domain, text: str) -> Line:
    """A line stated as "x=0:1,y=0.5": every coordinate a value, or from:to; one that is left out runs along its whole interval.

    Raises ProblemError for what is no such line, or a point.
    """
    stated: Line = {}
    for part in filter(str.strip, text.split(",")):
        name, _, ends = (one.strip() for one in part.partition("="))
        numbers = [_number(one) for one in ends.split(":")]
        if name not in domain.coordinates or len(numbers) > 2 or not all(map(math.isfinite, numbers)):
            raise ProblemError(
                f"{part.strip()!r} is no part of a line: write a coordinate with a value, or from:to, such as "
                f"{domain.coordinates[0]}=0:1; the coordinates are {', '.join(domain.coordinates)}"
            )
        stated[name] = numbers[0], numbers[-1]
    box = zip(domain.coordinates, domain.lower, domain.upper, strict=True)
    found = {name: stated.get(name, (a, b)) for name, a, b in box}
    left = [name for name in domain.coordinates if name not in stated]
    runs = any(a != b for a, b in stated.values())
    if len(left) > 1 or (left and runs):
        raise ProblemError(f"line {text!r}: state {', '.join(left)} too, a value or from:to")
    if not left and not runs:
        raise ProblemError(f"line {text!r} is a point: write from:to for one coordinate, or leave one out")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def along(solution: Solution, ends: Mapping[str, tuple[float, float]], count: int) -> str:
    """CSV of coordinates, unknowns, and exact solutions where known, at evenly spaced points; empty outside of the domain."""
    points = np.stack([np.linspace(*ends[name], max(2, count)) for name in solution.domain.coordinates], axis=1)
    parts = replace(solution, problem=None)  # with the parts of complex unknowns
    values = parts(points).reshape(len(points), len(solution.unknowns))
    columns = dict(zip((*solution.domain.coordinates, *solution.unknowns), (*points.T, *values.T), strict=True))
    for name, column in exact_values(solution.problem, solution.reference, on_device(solution.network, points)).items():
        columns[f"{name}_exact"] = np.where(np.isnan(values[:, 0]), np.nan, column)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(
        [["" if math.isnan(value) else repr(value) for value in row] for row in np.stack([*columns.values()], 1).tolist()]
    )
    return text.getvalue()
