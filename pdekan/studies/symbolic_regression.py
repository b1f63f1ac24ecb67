"""From values of a function to a network and to a formula, automatically where figure 2.4 of arXiv:2404.19756 is by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pdekan.output.findings import Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.problems.options import TrainingOptions
from pdekan.studies.experiment import Experiment, result
from pdekan.studies.regression import Target, kan_paper_example, rms
from pdekan.studies.rows import Row, Task
from pdekan.symbolic import search
from pdekan.symbolic.expressions import symbol
from pdekan.symbolic.templates import evaluate
from pdekan.training import solver
from pdekan.training.threads import threads

SECONDS, QUICK_SECONDS = 12.0, 4.0  # of a training
SEARCH_SECONDS, QUICK_SEARCH_SECONDS = 60.0, 20.0  # of a search for a formula
MAX_EXACT_ERROR = 1e-10  # relative; a formula with a smaller error is the function itself
DRAWN_ZERO = 1e-17  # in place of an error of zero, on a logarithmic axis

_target = Target.of_coordinates
# chosen before the first search: examples of the paper, and laws of physics from the Feynman set
TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        _target("exp(sin πx + y²)", (-1, -1), (1, 1), kan_paper_example),
        _target("xy", (-1, -1), (1, 1), lambda x, y: x * y),
        _target("x/y", (1, 1), (2, 2), lambda x, y: x / y),
        _target("√(x² + y²)", (0.5, 0.5), (2, 2), np.hypot),
        _target("(u + v)/(1 + uv)", (0, 0), (0.9, 0.9), lambda u, v: (u + v) / (1 + u * v)),
        _target(
            "exp(-x²/2σ²)/(√2π σ)", (-1, 1), (1, 2), lambda x, s: np.exp(-((x / s) ** 2) / 2) / (math.sqrt(2 * math.pi) * s)
        ),
        _target("1 + a sin θ", (0, 0), (1, 6), lambda a, theta: 1 + a * np.sin(theta)),
        _target("a + b + c + 2√(ab) cos c", (1, 1, 0), (2, 2, 3), lambda a, b, c: a + b + c + 2 * np.sqrt(a * b) * np.cos(c)),
        _target("tanh(3x - 2y + ½)", (-1, -1), (1, 1), lambda x, y: np.tanh(3 * x - 2 * y + 0.5)),
        _target("x³ - 3xy²", (-1, -1), (1, 1), lambda x, y: x**3 - 3 * x * y**2),
        _target("log(1 + x² + y⁴)", (-1, -1), (1, 1), lambda x, y: np.log(1 + x**2 + y**4)),
        _target("sin(xy + cos x)", (0, 0), (2, 2), lambda x, y: np.sin(x * y + np.cos(x))),
    )
}
QUICK_TARGETS = ("exp(sin πx + y²)", "xy", "1 + a sin θ")


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Every function from every seed."""
    limits = {"seconds": QUICK_SECONDS if quick else SECONDS, "search": QUICK_SEARCH_SECONDS if quick else SEARCH_SECONDS}
    return [
        Task({"function": name, "seed": seed, **limits})
        for name in (QUICK_TARGETS if quick else TARGETS)
        for seed in range(seeds)
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Train on a thousand values, search for a formula, and measure the errors of both at test points."""
    target = TARGETS[configuration["function"]]
    options = TrainingOptions(seed=configuration["seed"], seconds=configuration["seconds"], tolerance=1e-9)
    with threads(1):
        solution = solver.solve(replace(target.problem(), training=options))
        closed_form = search.find(solution, seconds=configuration["search"])
    points = target.test_points()
    exact = target.formula(points)
    size = rms(exact)
    outcome = {"network": target.error(solution) / size, "parameters": solution.parameters, "training": solution.seconds}
    if closed_form is None:
        return {**outcome, "formula": "", "error": math.nan, "search": configuration["search"]}
    environment = {symbol(name): points[:, k] for k, name in enumerate(solution.domain.coordinates)}
    values = np.broadcast_to(evaluate(closed_form.substituted["u"], environment), exact.shape)
    error = rms(values - exact) / size
    return {**outcome, "formula": str(closed_form.expressions["u"]), "error": error, "search": closed_form.seconds}


def findings(rows: Sequence[Row]) -> Findings:
    """The number of functions that were identified, and the errors of formulas beside those of their networks."""
    names = list(dict.fromkeys(row.configuration["function"] for row in rows))
    outcomes = [result(row) for row in rows]
    exact = [one for one in outcomes if one["error"] < MAX_EXACT_ERROR]
    identified = (
        f"{len(exact)} of {len(rows)} searches found the function again, to 1e-10 or better where there were no values."
    )
    wrong = [one for one in outcomes if one["formula"] and not one["error"] < MAX_EXACT_ERROR]
    columns: ColumnsByName = {
        "number": [names.index(row.configuration["function"]) + 1 for row in rows],
        "function": [row.configuration["function"] for row in rows],
        "seed": [row.configuration["seed"] for row in rows],
        "formula": [one["formula"] or search.NONE for one in outcomes],
        "relative error": [one["error"] for one in outcomes],
        "of the network": [one["network"] for one in outcomes],
        "parameters": [one["parameters"] for one in outcomes],
        "seconds of training": [one["training"] for one in outcomes],
        "seconds of search": [one["search"] for one in outcomes],
    }
    return Findings(
        (identified, f"{len(wrong)} gave a formula that is another function."),
        (Columns("formulas", "Formulas found, and errors relative to the function's root mean square", columns),),
        (_picture(names, rows, outcomes),),
    )


def _picture(names: Sequence[str], rows: Sequence[Row], outcomes: Sequence[Mapping[str, Any]]) -> Picture:
    places = np.array([float(names.index(row.configuration["function"]) + 1) for row in rows])
    network = np.array([one["network"] for one in outcomes])
    formula = np.maximum(np.array([one["error"] for one in outcomes]), DRAWN_ZERO)
    curves = (
        Curve(places, network, "network", "blue", "", "o"),
        Curve(places, formula, "formula", "orange", "", "D"),
    )
    panel = Panel(
        curves,
        x="function, as numbered in the table",
        y="relative error",
        scale="log y",
        x_ticks=tuple(float(k + 1) for k in range(len(names))),
    )
    return Picture("errors", (panel,), size=(7.0, 4.0))


EXPERIMENT = Experiment(
    name="symbolic-regression",
    title="From values to a network to a formula",
    shows="which functions are found again from a thousand of their values, and which are not",
    source="arXiv:2404.19756, section 2.5 and figure 2.4",
    minutes=2.0,
    seeds=1,
    tasks=tasks,
    train=train,
    findings=findings,
)
