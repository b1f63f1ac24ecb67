"""Continual learning, as figure 3.4 of arXiv:2404.19756: a network is trained on five peaks one after the other.

A spline's coefficient acts on a few intervals only, so that in a network of one layer the data of one peak do not change the
others, unless the optimizer moves all coefficients: Gauss-Newton does by its ridge, L-BFGS and Adam do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pdekan.domains.box import box
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.output.findings import Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.output.samples import Array
from pdekan.problems.options import TrainingOptions
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.studies.experiment import Experiment, grouped, median, middle_row, result
from pdekan.studies.rows import Row, Task
from pdekan.training import solver

# The paper's tutorial: exp(-300 (x - c)²) about five centers, a hundred points about each, a spline of 200 cubic intervals.
# A fifth of a regression's data is for validation, hence 125.
PEAKS, SHARPNESS, POINTS = 5, 300.0, 125
HIDDEN_KAN = ((), (5,))
HIDDEN_MLP = ((20,), (100,), (50, 50))
INTERVALS = 200
STEPS = {"lbfgs": 200, "adam": 1000}
ERROR_POINTS, CURVE_POINTS = 4001, 401
MAX_ERROR_REMEMBERED = 0.1  # of a peak's height, on its fifth of the interval
MAX_RMSE_LEARNED = 0.05  # on a peak directly after its training


def target(x: Array) -> Array:
    """The five peaks."""
    peaks: Array = np.exp(-SHARPNESS * (x[:, None] - _centers()) ** 2).sum(1)
    return peaks


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Every network by both optimizers, the largest first."""
    mlps = HIDDEN_MLP[1:2] if quick else HIDDEN_MLP
    networks = [("mlp", hidden) for hidden in reversed(mlps)] + [("kan", hidden) for hidden in reversed(HIDDEN_KAN)]
    return [
        Task(
            {
                "kind": kind,
                "hidden": list(hidden),
                "intervals": INTERVALS,
                "optimizer": optimizer,
                "steps": steps // 5 if quick else steps,
                "seed": seed,
            }
        )
        for kind, hidden in networks
        for optimizer, steps in STEPS.items()
        for seed in range(seeds)
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Train on one peak after the other; after each, the errors on every fifth of the interval and the curve."""
    network = _network(configuration)
    x = np.linspace(-1.0, 1.0, ERROR_POINTS)
    fifths = np.minimum((PEAKS * (x + 1.0) / 2.0).astype(int), PEAKS - 1)
    rms, largest, curves, seconds = [], [], [], 0.0
    for phase in range(PEAKS):
        solution = solver.solve(_phase_problem(phase, configuration), network=network)
        network, seconds = solution.network, seconds + solution.seconds
        network.requires_grad_(True)
        error = solution(x[:, None]) - target(x)
        rms.append([float(np.sqrt(np.mean(error[fifths == k] ** 2))) for k in range(PEAKS)])
        largest.append([float(np.abs(error[fifths == k]).max()) for k in range(PEAKS)])
        curves.append(solution(np.linspace(-1.0, 1.0, CURVE_POINTS)[:, None]).tolist())
    return {"rms": rms, "largest": largest, "curves": curves, "seconds": seconds, "parameters": network.parameter_count}


def findings(rows: Sequence[Row]) -> Findings:
    """Median errors after every phase, and the curves of the best KAN and MLP."""
    families = grouped(rows, lambda row: f"{_name(row)}, {row.configuration['optimizer']}")
    ends = {name: _median(_rmse_by_phase(row)[-1] for row in own) for name, own in families.items()}
    order = sorted(families, key=lambda name: ends[name])
    best = {kind: _best(kind, order, families) for kind in dict.fromkeys(name[:3] for name in order)}
    sentences = tuple(
        f"{name}: {_remembered(families[name])} of {PEAKS} peaks remembered (seed by seed), RMSE over [-1, 1] {ends[name]:.1e} "
        f"after the last one; the best of the {kind}s that learn a peak when it is shown."
        for kind, name in best.items()
    )
    return Findings(sentences, (_table({name: families[name] for name in order}),), (_picture(families, best),))


def _best(kind: str, order: Sequence[str], families: Mapping[str, Sequence[Row]]) -> str:
    """The network of a kind with the lowest final error, of those that learn each peak if there are any."""
    own = [name for name in order if name.startswith(kind)]
    return next((name for name in own if _median(_errors_when_trained(families[name])) < MAX_RMSE_LEARNED), own[0])


def _centers() -> Array:
    return (2.0 * np.arange(PEAKS) + 1.0) / PEAKS - 1.0


def _network(configuration: Mapping[str, Any]) -> Network:
    widths = (1, *configuration["hidden"], 1)
    network: KAN | MLP
    network = KAN(widths, 3, configuration["intervals"]) if configuration["kind"] == "kan" else MLP(widths)
    network.initialise(torch.Generator().manual_seed(configuration["seed"]))
    return network


def _phase_problem(phase: int, configuration: Mapping[str, Any]) -> Problem:
    """The regression of one phase: points about one peak."""
    points = _centers()[phase] + np.linspace(-1.0, 1.0, POINTS) / PEAKS
    points = points.clip(-1.0, 1.0)
    options = TrainingOptions(
        optimizer=configuration["optimizer"], steps=configuration["steps"], seconds=60.0, seed=configuration["seed"]
    )
    data = Measurements(points[:, None], {"u": target(points)})
    return Problem(domain=box(x=(-1.0, 1.0)), data=(data,), training=options, name="peaks")


def _name(row: Row) -> str:
    c = row.configuration
    return f"{c['kind'].upper()} [{','.join(map(str, (1, *c['hidden'], 1)))}]"


def _rmse_by_phase(row: Row) -> list[float]:
    """Root mean square error over the interval after every phase."""
    return [float(np.sqrt(np.mean(np.square(phase)))) for phase in result(row)["rms"]]


def _remembered(rows: Sequence[Row]) -> str:
    """The number of peaks remembered in the end, seed by seed."""
    return "/".join(str(sum(error < MAX_ERROR_REMEMBERED for error in result(row)["largest"][-1])) for row in rows)


def _errors_when_trained(rows: Sequence[Row]) -> list[float]:
    """Errors on every peak directly after its training."""
    return [result(row)["rms"][k][k] for row in rows for k in range(PEAKS)]


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


def _table(families: Mapping[str, Sequence[Row]]) -> Columns:
    groups = list(families.values())
    columns: ColumnsByName = {
        "network": list(families),
        "parameters": [result(own[0])["parameters"] for own in groups],
        **{f"after {k + 1}": [_median(_rmse_by_phase(row)[k] for row in own) for own in groups] for k in range(PEAKS)},
        "peak just shown": [_median(_errors_when_trained(own)) for own in groups],
        "peaks remembered": [_remembered(own) for own in groups],
        "seconds": [median(own, "seconds") for own in groups],
    }
    return Columns("forgetting", "RMSE over [-1, 1] after every peak, median over seeds", columns)


def _picture(families: Mapping[str, Sequence[Row]], best: Mapping[str, str]) -> Picture:
    """Rows of panels: the data of each phase, and the curves of the best network of each kind, by its middle seed."""
    x = np.linspace(-1.0, 1.0, CURVE_POINTS)
    exact = Curve(x, target(x), "all five peaks", "grey", width=2.0)
    panels = []
    for phase in range(PEAKS):
        points = _centers()[phase] + np.linspace(-1.0, 1.0, 41) / PEAKS
        panels.append(Panel((exact, Curve(points, target(points), "data", "black", "", ".")), f"phase {phase + 1}"))
    for kind, name in best.items():
        for curve in result(middle_row(families[name], lambda row: _rmse_by_phase(row)[-1]))["curves"]:
            panels.append(Panel((exact, Curve(x, np.array(curve), name, "blue" if kind == "KAN" else "orange"))))
    framed = tuple(replace(panel, x="x", x_limits=(-1.0, 1.0), y_limits=(-0.6, 1.3)) for panel in panels)
    return Picture("continual_learning", framed, PEAKS, (7.1, 1.25 * (1 + len(best)) + 0.9), shared=True)


EXPERIMENT = Experiment(
    name="continual-learning",
    title="Five peaks shown one after the other",
    shows="whether a network forgets what it has learned when it learns something else",
    source="arXiv:2404.19756, figure 3.4",
    minutes=3.0,
    seeds=3,
    tasks=tasks,
    train=train,
    findings=findings,
)
