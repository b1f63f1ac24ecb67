"""Grid extension, as figures 2.2 and 2.3 of arXiv:2404.19756: a KAN trained on finer and finer splines.

It is fitted to a thousand values of exp(sin πx + y²). Where the finer knots contain the coarser ones the prolongation is exact;
errors fall by G^-(k+1) (theorem 2.1 there) until there are as many parameters as values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from pdekan.domains.box import box
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.output.findings import Colour, Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.output.samples import Array
from pdekan.problem_files.measurements import split_measurements
from pdekan.problems.options import TrainingOptions
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.studies import fits
from pdekan.studies.experiment import Experiment, grouped, middle_row, result
from pdekan.studies.regression import kan_paper_example, network_values
from pdekan.studies.rows import Row, Task
from pdekan.training import solver
from pdekan.training.progress import Progress

DEGREE = 3
GRIDS = (3, 5, 10, 20, 50, 100, 200, 500, 1000)
QUICK_GRIDS = GRIDS[:5]
HIDDEN = (5, 1)
TICKS = (3, 10, 50, 200, 1000)
OPTIMIZERS: dict[str, Colour] = {"gauss-newton": "blue", "lbfgs": "orange"}
STEPS = 200  # of every grid, as in the paper
SECONDS = {"gauss-newton": 8.0, "lbfgs": 60.0}  # of every grid: a step of Gauss-Newton takes some with thousands of parameters
# The mean is dominated by a few test points where values are sparse, so that the paper gives the median too.
MEASURES = {"test": "root mean square", "typical": "root median square"}
VALUES, TEST_POINTS, SEED = 1250, 4000, 2404  # a fifth of the values is for validation
Family = tuple[int, str]  # hidden nodes, optimizer
Slope = tuple[float, float, float, str]  # slope, its interval, fitted grids


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Both networks by both optimizers, the larger one first."""
    grids = QUICK_GRIDS if quick else GRIDS
    shared = {"grids": list(grids), "steps": STEPS // 4 if quick else STEPS}
    return [
        Task({"hidden": hidden, "optimizer": optimizer, "seed": seed, "seconds": SECONDS[optimizer], **shared})
        for hidden in HIDDEN
        for optimizer in OPTIMIZERS
        for seed in range(seeds)
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Train on one grid after the other; the errors before and after each, and of every step."""
    problem = _problem(configuration)
    (training_data,) = split_measurements(problem)[0].data
    known = np.isfinite(training_data.values["u"])
    seen, unseen = problem.data[0].points[known], _random_points(TEST_POINTS, SEED + 1)
    network = KAN((2, configuration["hidden"], 1), DEGREE, configuration["grids"][0])
    network.initialise(torch.Generator().manual_seed(configuration["seed"]))
    # the first training in a process loads libraries, which must not count as time of a step
    solver.solve(replace(problem, training=replace(problem.training, steps=1)), network=network)
    stages: list[dict[str, float]] = []
    history: dict[str, list[float]] = {"stage": [], "step": [], "train": [], "test": []}
    steps_before = 0

    def watch(progress: Progress) -> None:
        """Write a row of the history."""
        now = progress.snapshot().network
        row = (len(stages), steps_before + progress.step, _rms(now, seen), _rms(now, unseen))
        for column, value in zip(history.values(), row, strict=True):
            column.append(value)

    for grid in configuration["grids"]:
        before, network = network, network.refined(DEGREE, grid)
        prolongation = {"before": _rms(before, seen), "after": _rms(network, seen)}
        solution = solver.solve(problem, network=network, watch=watch)
        assert isinstance(solution.network, KAN)
        network = solution.network
        steps_before += solution.iterations
        sizes = {"grid": grid, "parameters": solution.parameters, "steps": solution.iterations, "seconds": solution.seconds}
        errors = {"train": _rms(network, seen), "test": _rms(network, unseen), "typical": _rms(network, unseen, np.median)}
        stages.append(sizes | prolongation | errors)
    return {"stages": stages, "history": history, "values": int(known.sum())}


def findings(rows: Sequence[Row]) -> Findings:
    """Errors grid by grid, slopes, and errors of the prolongations."""
    families: dict[Family, list[Row]] = grouped(rows, lambda r: (r.configuration["hidden"], r.configuration["optimizer"]))
    slopes = {(key, of): _slope(key, rows, of) for key, rows in families.items() for of in MEASURES}
    sentences = [_prolongation_errors(rows)]
    for (key, of), (slope, low, high, used) in slopes.items():
        if math.isfinite(slope):
            interval = f" ({low:.2f} … {high:.2f})" if math.isfinite(low) else ""
            power = f"falls as G^{slope:.2f}{interval} over G = {used}"
            sentences.append(f"{_name(key)}: test error, {MEASURES[of]}, {power}; theory: G^-{DEGREE + 1} at best.")
    tables = (_stages(families), _slopes(slopes))
    return Findings(tuple(sentences), tables, (_staircases(families), _sizes(families)))


def _problem(configuration: Mapping[str, Any]) -> Problem:
    points = _random_points(VALUES, SEED)
    return Problem(
        domain=box(x=(-1.0, 1.0), y=(-1.0, 1.0)),
        data=(Measurements(points, {"u": kan_paper_example(*points.T)}),),
        training=TrainingOptions(
            optimizer=configuration["optimizer"], steps=configuration["steps"], seconds=configuration["seconds"]
        ),
        name="grid extension",
    )


def _random_points(count: int, seed: int) -> Array:
    """Points ``(count, 2)`` of the square."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-1.0, 1.0, (count, 2))


def _rms(network: Network, points: Array, middle: Callable[[Array], Any] = np.mean) -> float:
    """Root mean square error at points ``(n, 2)``, or with the median in place of the mean."""
    return float(np.sqrt(middle((network_values(network, points) - kan_paper_example(*points.T)) ** 2)))


def _name(key: Family) -> str:
    return f"KAN [2,{key[0]},1], {key[1]}"


def _medians(rows: Sequence[Row], what: str) -> list[float]:
    """Median over seeds, grid by grid."""
    table = np.array([[stage[what] for stage in result(row)["stages"]] for row in rows], dtype=np.float64)
    return [float(value) for value in np.median(table, axis=0)]


def _prolongation_errors(rows: Sequence[Row]) -> str:
    """The changes of the training error from one grid to the next, for nested knots and others."""
    pairs = [pair for row in rows for pair in pairwise(result(row)["stages"])]
    nested = [new for old, new in pairs if new["grid"] % old["grid"] == 0]
    fitted = [new["after"] / new["before"] for old, new in pairs if new["grid"] % old["grid"]]
    exact = max((abs(new["after"] - new["before"]) for new in nested), default=math.nan)
    part = max((abs(new["after"] / new["before"] - 1.0) for new in nested), default=math.nan)
    middle = float(np.median(fitted or [math.nan]))
    return (
        f"Extension changes the training RMSE by {exact:.0e} at most ({part:.0e} of itself) where the knots are nested, and by "
        f"factors up to {max(fitted, default=math.nan):.2g}, {middle:.2g} in the middle, where they are not."
    )


def _slope(key: Family, rows: Sequence[Row], measure: str) -> Slope:
    """The exponent of the test error against G, up to as many parameters as values."""
    pairs = np.array(
        [
            (stage["grid"], stage[measure])
            for row in rows
            for stage in result(row)["stages"]
            if stage["parameters"] <= result(row)["values"]
        ]
    )
    fit = fits.slope(_name(key), "l2", pairs[:, 0], pairs[:, 1])
    return fit.slope, fit.low, fit.high, ", ".join(map(str, fit.sizes))


def _slopes(slopes: Mapping[tuple[Family, str], Slope]) -> Columns:
    rows = list(slopes.values())
    columns: ColumnsByName = {"network": [_name(key) for key, _ in slopes]}
    columns["test error"] = [MEASURES[of] for _, of in slopes]
    columns |= {name: [row[k] for row in rows] for k, name in enumerate(("slope", "low", "high", "grids fitted"))}
    columns["theory"] = [-(DEGREE + 1)] * len(rows)
    return Columns("slopes", "Slope of log test error by log G, with its 95 % interval", columns)


def _stages(families: Mapping[Family, Sequence[Row]]) -> Columns:
    columns: ColumnsByName = {"network": []}
    for key, rows in families.items():
        stages = result(rows[0])["stages"]
        columns["network"] += [_name(key)] * len(stages)
        for name in ("grid", "parameters"):
            columns.setdefault(name, []).extend(stage[name] for stage in stages)
        for name in ("before", "after", "train", "test", "typical", "steps", "seconds"):
            columns.setdefault(name, []).extend(_medians(rows, name))
    titles = {"grid": "G", "before": "before extension", "after": "after it", "train": "trained", "typical": "test, median"}
    return Columns("grids", "RMSE grid by grid, median over seeds", {titles.get(k, k): v for k, v in columns.items()})


def _staircases(families: Mapping[Family, Sequence[Row]]) -> Picture:
    """Errors against steps of the middle seed."""
    panels = []
    for key, rows in families.items():
        middle = result(middle_row(rows, lambda row: min(stage["test"] for stage in result(row)["stages"])))
        stage, steps, train, test = (np.array(column) for column in middle["history"].values())
        curves = [Curve(steps, train, "training RMSE", "blue"), Curve(steps, test, "test RMSE", "orange")]
        many = [k for k, s in enumerate(middle["stages"]) if s["parameters"] > middle["values"]]
        if many and bool((stage >= many[0]).any()):
            start = steps[stage >= many[0]].min()
            ends = np.array([train.min(), test.max()])
            curves.append(Curve(np.full(2, start), ends, "more parameters than values from here on", "red", "--", width=0.9))
        panels.append(Panel(tuple(curves), _name(key), "step", "RMSE", "log y"))
    return Picture("staircase", tuple(panels), len(OPTIMIZERS), (7.1, 5.4))


def _sizes(families: Mapping[Family, Sequence[Row]]) -> Picture:
    """Both test errors and the seconds of a step against the grid."""
    curves: dict[str, list[Curve]] = {"test": [], "typical": [], "pace": []}
    for key, rows in families.items():
        grids = np.array([stage["grid"] for stage in result(rows[0])["stages"]], dtype=np.float64)
        values = {of: np.array(_medians(rows, of)) for of in MEASURES}
        values["pace"] = np.array(_medians(rows, "seconds")) / np.maximum(_medians(rows, "steps"), 1.0)
        look = Curve(grids, grids, _name(key), OPTIMIZERS[key[1]], "-" if key[0] == 1 else "--", "o" if key[0] == 1 else "s")
        for of, column in values.items():
            curves[of].append(replace(look, y=column))
    ends = np.array([5.0, 50.0])
    theory = Curve(ends, 1e-3 * (ends / ends[0]) ** -(DEGREE + 1), f"theory, $G^{{-{DEGREE + 1}}}$", "black", ":")
    panels = [
        Panel((*curves[of], theory), f"test error, {title}", "intervals G", "error", "log", x_ticks=TICKS)
        for of, title in MEASURES.items()
    ]
    panels.append(Panel(tuple(curves["pace"]), "cost of a step", "intervals G", "seconds", "log", x_ticks=TICKS))
    return Picture("grid_size", tuple(panels), 3, (9.0, 3.4))


EXPERIMENT = Experiment(
    name="grid-extension",
    title="From coarse to fine splines: exp(sin πx + y²) from a thousand values",
    shows="how errors fall as the grid is extended, how exactly a network is carried over, and when it learns values by heart",
    source="arXiv:2404.19756, figures 2.2 and 2.3",
    minutes=4.0,
    seeds=3,
    tasks=tasks,
    train=train,
    findings=findings,
)
