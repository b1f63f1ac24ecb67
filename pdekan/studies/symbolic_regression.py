"""From values of a function to a network, and from the network to a formula, as figure 2.4 of arXiv:2404.19756 does by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pdekan.domains.quadrature import Array
from pdekan.output.findings import Columns, Curve, Findings, Panel, Picture
from pdekan.problems.options import TrainingOptions
from pdekan.studies.experiment import Experiment, result
from pdekan.studies.regression import Target
from pdekan.studies.rows import Row, Task
from pdekan.symbolic import search
from pdekan.symbolic.expressions import symbol
from pdekan.symbolic.templates import evaluate
from pdekan.training import solver

SECONDS, QUICK_SECONDS = 12.0, 4.0  # of a training
SEARCH, QUICK_SEARCH = 60.0, 20.0  # of a search for a formula
LEAST = 1e-17  # what is drawn of an error that is zero


def _target(name: str, lower: Sequence[float], upper: Sequence[float], formula: Callable[..., Array]) -> Target:
    return Target(name, lambda points: formula(*points.T), tuple(lower), tuple(upper))


# chosen before any was tried: the paper's example, its other examples of formulas, and laws of physics from the Feynman set
TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        _target("exp(sin πx + y²)", (-1, -1), (1, 1), lambda x, y: np.exp(np.sin(np.pi * x) + y**2)),
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
    limits = {"seconds": QUICK_SECONDS if quick else SECONDS, "search": QUICK_SEARCH if quick else SEARCH}
    return [
        Task({"function": name, "seed": seed, **limits})
        for name in (QUICK_TARGETS if quick else TARGETS)
        for seed in range(seeds)
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Train on a thousand values, look for a formula, and measure both where there were no values."""
    target = TARGETS[configuration["function"]]
    options = TrainingOptions(seed=configuration["seed"], seconds=configuration["seconds"], tolerance=1e-9)
    with solver.threads(1):
        solution = solver.solve(replace(target.problem(), training=options))
        found = search.find(solution, seconds=configuration["search"])
    points = target.test_points()
    exact = target.formula(points)
    size = float(np.sqrt(np.mean(exact**2)))
    outcome = {"network": target.error(solution) / size, "parameters": solution.parameters, "training": solution.seconds}
    if found is None:
        return {**outcome, "formula": "", "error": math.nan, "search": configuration["search"]}
    environment = {symbol(name): points[:, k] for k, name in enumerate(solution.domain.coordinates)}
    values = np.broadcast_to(evaluate(found.substituted["u"], environment), exact.shape)
    error = float(np.sqrt(np.mean((values - exact) ** 2))) / size
    return {**outcome, "formula": str(found.expressions["u"]), "error": error, "search": found.seconds}


def findings(rows: Sequence[Row]) -> Findings:
    """How many functions were found again, and how much more exact a formula is than the network that it comes from."""
    names = list(dict.fromkeys(row.configuration["function"] for row in rows))
    outcomes = [result(row) for row in rows]
    right = [one for one in outcomes if one["error"] < 1e-10]
    told = f"{len(right)} of {len(rows)} searches found the function again, to 1e-10 or better where there were no values."
    wrong = [one for one in outcomes if one["formula"] and not one["error"] < 1e-10]
    columns: dict[str, list[str | int | float]] = {
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
        (told, f"{len(wrong)} gave a formula that is another function."),
        (Columns("formulas", "Formulas found, and errors relative to the function's root mean square", columns),),
        (_picture(names, rows, outcomes),),
    )


def _picture(names: Sequence[str], rows: Sequence[Row], outcomes: Sequence[Mapping[str, Any]]) -> Picture:
    places = np.array([float(names.index(row.configuration["function"]) + 1) for row in rows])
    network = np.array([one["network"] for one in outcomes])
    formula = np.maximum(np.array([one["error"] for one in outcomes]), LEAST)
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
