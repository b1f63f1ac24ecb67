"""The data of the KAN paper's figure 3.3, read off the figure."""

from __future__ import annotations

import csv
import math
import tomllib
from importlib import resources

from pdekan.output.study import PaperPoint
from pdekan.problem_files.library import library

_TRAINING = ", training panel"
_PROBLEM = "poisson_kan_paper"  # in the library
_TABLES = ("unknowns", "domain", "parameters", "functions", "equation", "conditions", "exact")


def figure_3_3() -> tuple[PaperPoint, ...]:
    """The points of figure 3.3 of arXiv:2404.19756, accurate to about 15 %, with the names of a study's curves.

    "MLP depth 4, best" is the lowest of the MLPs' points. Sizes: edges × intervals, of an MLP the weights.
    """
    text = resources.files(__package__).joinpath("kan_paper_fig33.csv").read_text("utf-8")
    return tuple(_point(row) for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def states_its_problem(problem_text: str) -> bool:
    """Whether a problem file states the problem of figure 3.3, for any network."""
    given, paper = tomllib.loads(problem_text), tomllib.loads(library()[_PROBLEM].read_text("utf-8"))
    return all(given.get(table) == paper.get(table) for table in _TABLES)


def _point(row: dict[str, str]) -> PaperPoint:
    return PaperPoint(
        curve=row["model"].removesuffix(_TRAINING),
        training=row["model"].endswith(_TRAINING),
        parameters=_number(row["parameters"]),
        l2_mean_square=_number(row["l2_squared"]),
        h1_seminorm_mean_square=_number(row["h1_squared"]),
    )


def _number(text: str) -> float:
    return float(text) if text else math.nan
