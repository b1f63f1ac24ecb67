"""Functions of two variables as sums of functions of one variable: constructed, and learned.

Kolmogorov and Arnold: f(x, y) = Σ_q Φ_q(φ_q(x) + ψ_q(y)) with five q (arXiv:2404.19756, eq. 2.1), which is a KAN [2,5,1] with
Φ, φ, ψ that splines may approximate badly. A product needs two: xy = exp(log(x+1) + log(y+1)) - (x+1/2) - (y+1/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pdekan import splines
from pdekan.ansatz.unknowns import inner_network
from pdekan.domains.box import box
from pdekan.networks.kan import KAN
from pdekan.output.findings import Colour, Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.output.samples import Array
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.studies.experiment import Experiment, grouped, median, result
from pdekan.studies.regression import kan_paper_example, network_values, rms
from pdekan.studies.rows import Row, Task
from pdekan.training import solver

DEGREE = 3
INTERVALS = (5, 10, 20)
CONSTRUCTED_INTERVALS = (5, 10, 20, 40)
STEPS, QUICK_STEPS, SECONDS = 200, 60, 120.0  # the seconds end a training on a busy machine only
# Along an axis: values at Chebyshev points, test points, and points of drawn activations. Random points leave out the corners:
# xy was then learned to round-off inside, and to 1e-5 in two corners.
VALUES, TEST_POINTS, CURVE_POINTS = 50, 200, 65


@dataclass(frozen=True)
class SquareFunction:
    """A function of two variables on a square, lower … upper in both."""

    formula: Callable[[Array, Array], Array]
    lower: float
    upper: float
    hidden: int = 5

    def __call__(self, points: Array) -> Array:
        """Values ``(n,)`` at points ``(n, 2)``."""
        return self.formula(points[:, 0], points[:, 1])


PRODUCT = "xy on [0,1]²"
FUNCTIONS = {
    PRODUCT: SquareFunction(lambda x, y: x * y, 0.0, 1.0, hidden=2),
    "xy on [-1,1]²": SquareFunction(lambda x, y: x * y, -1.0, 1.0),
    "x/y on [1,2]²": SquareFunction(lambda x, y: x / y, 1.0, 2.0),
    "exp(sin πx + y²)": SquareFunction(kan_paper_example, -1.0, 1.0),
    "sin πx sin πy²": SquareFunction(lambda x, y: np.sin(np.pi * x) * np.sin(np.pi * y**2), -1.0, 1.0),
    "|x - y|": SquareFunction(lambda x, y: np.abs(x - y), -1.0, 1.0),
    "√(x² + y²)": SquareFunction(np.hypot, -1.0, 1.0),
}
QUICK = (PRODUCT, "x/y on [1,2]²", "|x - y|")
TICKS = (50, 100, 200, 300, 400)  # parameters
COLOURS: tuple[Colour, ...] = ("black", "grey", "blue", "green", "purple", "orange", "red")
Families = Mapping[tuple[str, str, int], Sequence[Row]]  # by function, way and intervals


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Every function by networks of every size, the largest first, and the constructed product."""
    shared = {"way": "learned", "steps": QUICK_STEPS if quick else STEPS, "seconds": SECONDS}
    learned = [
        Task({"function": name, "intervals": n, "seed": seed, **shared})
        for n in (INTERVALS[1:2] if quick else reversed(INTERVALS))
        for name in (QUICK if quick else FUNCTIONS)
        for seed in range(seeds)
    ]
    return learned + [Task({"function": PRODUCT, "way": "written down", "intervals": n}) for n in CONSTRUCTED_INTERVALS]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The error of one network, trained or constructed, and its activations."""
    function = FUNCTIONS[configuration["function"]]
    seconds, network = 0.0, product(configuration["intervals"])
    if configuration["way"] == "learned":
        solution = solver.solve(_problem(function, configuration))
        seconds, trained = solution.seconds, inner_network(solution.network)
        assert isinstance(trained, KAN)
        network = trained
    axis = function.lower + (function.upper - function.lower) * (np.arange(TEST_POINTS) + 0.5) / TEST_POINTS
    points = _grid(axis)
    exact = function(points)
    error = network_values(network, points) - exact
    return {
        "rmse": rms(error),
        "relative": float(np.sqrt(np.mean(error**2) / np.mean(exact**2))),
        "largest": float(np.abs(error).max()),
        "parameters": network.parameter_count,
        "seconds": seconds,
        "activations": _activations(network),
    }


def product(intervals: int) -> KAN:
    """xy on [0,1]² by the formula above, with each of the five functions replaced by its least-squares spline.

    Hidden nodes are mapped to the knots' range [-1, 1]: exp(log(x+1) + log(y+1)) = 2^(h+1) for h = φ(x) + φ(y) with
    φ(x) = log(x+1)/log 2 - 1/2, and -(x+1/2) - (y+1/2) = -h - 2 for h = (x-1/2) + (y-1/2).
    """
    network = KAN((2, 2, 1), DEGREE, intervals, lower=(0.0, 0.0), upper=(1.0, 1.0))
    t = splines.sample_points(DEGREE, intervals)
    x = 0.5 * (t + 1.0)
    inner = torch.stack([torch.log1p(x) / math.log(2.0) - 0.5, x - 0.5], dim=1)
    outer = torch.stack([2.0 ** (t + 1.0), -t - 2.0], dim=1)
    first, second = network.spline_layers
    with torch.no_grad():
        first.coefficients.copy_(splines.fit(t, inner, DEGREE, intervals).T.expand(2, -1, -1))
        second.coefficients.copy_(splines.fit(t, outer, DEGREE, intervals).T[:, None])
    return network


def findings(rows: Sequence[Row]) -> Findings:
    """Errors by function and size, and the activations."""
    families: Families = grouped(rows, lambda row: tuple(row.configuration[name] for name in ("function", "way", "intervals")))
    families = dict(sorted(families.items(), key=lambda item: (list(FUNCTIONS).index(item[0][0]), *item[0][1:])))
    pairs = dict.fromkeys((name, way) for name, way, _ in families)
    sentences = []
    for name, way in pairs:
        best = _best(families, name, way)
        sentences.append(
            f"{name}, {_network(name)} {way}: RMSE {_rmse(best):.1e} at best, with {result(best)['parameters']} parameters."
        )
    pictures = (_errors(families), *(_portrait(name, way, _best(families, name, way)) for name, way in pairs))
    return Findings(tuple(sentences), (_table(families),), pictures)


def _problem(function: SquareFunction, configuration: Mapping[str, Any]) -> Problem:
    a, b = function.lower, function.upper
    axis = a + (b - a) * 0.5 * (1.0 - np.cos(np.pi * np.arange(VALUES) / (VALUES - 1)))
    points = _grid(axis)
    return Problem(
        domain=box(x=(a, b), y=(a, b)),
        data=(Measurements(points, {"u": function(points)}),),
        network=NetworkOptions(hidden=(function.hidden,), degree=DEGREE, intervals=configuration["intervals"]),
        training=TrainingOptions(seed=configuration["seed"], steps=configuration["steps"], seconds=configuration["seconds"]),
        name="representation",
    )


def _grid(axis: Array) -> Array:
    """All pairs of an axis' points, ``(n², 2)``."""
    return np.stack([part.ravel() for part in np.meshgrid(axis, axis)], axis=1)


@torch.no_grad()
def _activations(network: KAN) -> list[list[list[list[float]]]]:
    """The activation of every edge over the knots' range, layer by layer ``(inputs, outputs, points)``."""
    t = torch.linspace(-1.0, 1.0, CURVE_POINTS, dtype=torch.float64)
    layers = network.spline_layers
    return [
        layer.activations(layer.bases(t[:, None].expand(-1, layer.inputs), 0))[0].permute(1, 2, 0).tolist() for layer in layers
    ]


def _network(name: str) -> str:
    return f"KAN [2,{FUNCTIONS[name].hidden},1]"


def _rmse(row: Row) -> float:
    return float(result(row)["rmse"])


def _best(families: Families, name: str, way: str) -> Row:
    return min((row for key, rows in families.items() if key[:2] == (name, way) for row in rows), key=_rmse)


def _table(families: Families) -> Columns:
    errors = [sorted(map(_rmse, rows)) for rows in families.values()]
    first = [result(rows[0]) for rows in families.values()]
    columns: ColumnsByName = {
        "function": [name for name, _, _ in families],
        "network": [_network(name) for name, _, _ in families],
        "way": [way for _, way, _ in families],
        "intervals": [n for _, _, n in families],
        "parameters": [one["parameters"] for one in first],
        "RMSE, best seed": [each[0] for each in errors],
        "median": [float(np.median(each)) for each in errors],
        "worst": [each[-1] for each in errors],
        "relative, median": [median(rows, "relative") for rows in families.values()],
        "seeds": [len(rows) for rows in families.values()],
        "seconds": [median(rows, "seconds") for rows in families.values()],
    }
    return Columns("errors", "Root mean square errors", columns)


def _errors(families: Families) -> Picture:
    """Errors against size: lines of medians, and points of all seeds."""
    curves = []
    for name, colour in zip(FUNCTIONS, COLOURS, strict=True):
        for way, line, marker in (("learned", "-", "o"), ("written down", "--", "s")):
            own = {key: rows for key, rows in families.items() if key[:2] == (name, way)}
            if own:
                sizes = np.array([result(rows[0])["parameters"] for rows in own.values()], dtype=np.float64)
                medians = np.array([median(rows, "rmse") for rows in own.values()])
                label = f"{name}, {_network(name).removeprefix('KAN ')}" + (", written down" if way != "learned" else "")
                curves.append(Curve(sizes, medians, label, colour, line))  # type: ignore[arg-type]
                seen = np.array([(size, _rmse(row)) for size, rows in zip(sizes, own.values(), strict=True) for row in rows])
                curves.append(Curve(seen[:, 0], seen[:, 1], "", colour, "", marker))
    return Picture(
        "errors", (Panel(tuple(curves), "medians and all seeds", "parameters", "RMSE", "log", x_ticks=TICKS),), 1, (7.1, 4.6)
    )


def _portrait(name: str, way: str, row: Row) -> Picture:
    """The activations of a network: rows of inner functions by variable, a row of outer ones; a column per hidden node."""
    function = FUNCTIONS[name]
    t = np.linspace(-1.0, 1.0, CURVE_POINTS)
    x = function.lower + 0.5 * (t + 1.0) * (function.upper - function.lower)
    inner, outer = (np.array(layer) for layer in result(row)["activations"])
    panels = []
    for k, variable in enumerate("xy"):
        for q in range(function.hidden):
            title = f"$h_{{{q + 1}}}$" if k == 0 else ""
            panels.append(Panel((Curve(x, inner[k, q]),), title, f"${variable}$", "inner" if q == 0 else ""))
    for q in range(function.hidden):
        panels.append(Panel((Curve(t, outer[q, 0], colour="orange"),), "", f"$h_{{{q + 1}}}$", "outer" if q == 0 else ""))
    title = f"{name} = Σ outer(inner($x$) + inner($y$))\n{row.configuration['way']}: RMSE {_rmse(row):.0e}"
    slug = f"{way.replace(' ', '_')}_{list(FUNCTIONS).index(name) + 1}"
    return Picture(slug, tuple(panels), function.hidden, (max(4.4, 1.42 * function.hidden), 4.2), title)


EXPERIMENT = Experiment(
    name="representation",
    title="Functions of two variables out of functions of one",
    shows="how well KANs [2,5,1], the form of Kolmogorov and Arnold, can be learned, and what their activations look like",
    source="arXiv:2404.19756, section 2.1 and figure 2.1",
    minutes=4.0,
    seeds=3,
    tasks=tasks,
    train=train,
    findings=findings,
)
