"""Errors of MLPs and KANs with equal parameters and in equal time, each with the best optimizer that we know for it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdekan.output.findings import Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.problems.options import TrainingOptions
from pdekan.solutions.solution import Solution
from pdekan.studies import regression
from pdekan.studies.experiment import Experiment, gallery, grouped, result
from pdekan.studies.mlp_or_kan_targets import SPLINES, Goal, goals
from pdekan.studies.rows import Row, Task
from pdekan.studies.scaling import MLP_POINTS
from pdekan.studies.winners import winner, winners_sentence
from pdekan.training import solver
from pdekan.training.points import POINTS_PER_PARAMETER
from pdekan.training.progress import Progress

SIZES = (100, 300, 1000)  # approximate parameters
SECONDS, EARLY_SECONDS = 4.5, 1.5  # CPU time of the training's thread
QUICK_SECONDS, QUICK_GOALS, QUICK_SIZES = 3.0, ("smooth", "kink", "random_network"), (100, 300)
TOLERANCE = 1e-10
CLOCK_SECONDS, MAX_STEPS = 600.0, 100_000  # limits that the CPU time precedes
# In more than two variables MLPs are trained by self-scaled Broyden too, which was better at times on another function of ten
# variables; the optimizer with the lower validation residual counts.
OPTIMIZERS = {"kan": ("gauss-newton",), "mlp": ("gauss-newton",)}
OPTIMIZERS_ABOVE_2D = {"kan": ("gauss-newton",), "mlp": ("gauss-newton", "ssbroyden")}
KINDS = {"KAN": "kan", "MLP": "mlp"}
X_LIMITS, ACROSS, Y_MARGIN = (50.0, 2000.0), 5, 0.3  # of the figure, the margin in decades

Medians = Mapping[tuple[str, str, int], tuple[float, float]]  # error and residual by goal, kind and size
_UNKNOWN = (math.nan, math.nan)


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Every size of both kinds for every goal, the largest first, seed by seed."""
    selected = {name: goal for name, goal in goals().items() if not quick or name in QUICK_GOALS}
    return [
        Task(
            {
                "goal": name,
                **network_of_size(kind, goal.inputs, size),
                "size": size,
                "optimizer": optimizer,
                "seconds": QUICK_SECONDS if quick else SECONDS,
                "seed": seed,
            }
        )
        for seed in range(seeds)
        for size in sorted(QUICK_SIZES if quick else SIZES, reverse=True)
        for name, goal in selected.items()
        for kind in KINDS.values()
        for optimizer in (OPTIMIZERS if goal.inputs == 2 else OPTIMIZERS_ABOVE_2D)[kind]
    ]


def network_of_size(kind: str, inputs: int, size: int) -> dict[str, Any]:
    """A network with one hidden layer and about as many parameters.

    A large MLP has fewer collocation points than by default, as in scaling studies, and can take more steps.
    """
    if kind == "mlp":
        hidden = max(1, round((size - 1) / (inputs + 2)))
        few = {"points": MLP_POINTS} if POINTS_PER_PARAMETER * size > MLP_POINTS else {}
        return {"kind": kind, "hidden": [hidden], **few}
    (inner, cells), (outer, outer_cells) = SPLINES[inputs]
    node = inputs * (inner + cells) + outer + outer_cells
    hidden = max(1, round(size / node))
    return {"kind": kind, "hidden": [hidden], "degree": [inner, outer], "intervals": [cells, outer_cells]}


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Train once; the relative errors and validation residuals at the end and after EARLY_SECONDS."""
    goal, watch = goals()[configuration["goal"]], _CpuTimeLimit(configuration["seconds"])
    options = TrainingOptions(
        optimizer=configuration["optimizer"],
        points=configuration.get("points"),
        seconds=CLOCK_SECONDS,
        steps=MAX_STEPS,
        tolerance=TOLERANCE,
        seed=configuration["seed"],
    )
    network = regression.network(configuration)
    solution = solver.solve(goal.problem(), network=network, training=options, watch=watch, estimate=False)
    early = solution if watch.spent <= EARLY_SECONDS else watch.early
    return {
        "error": _relative(goal, solution),
        "residual": solution.relative_residual,
        "early_error": None if early is None else _relative(goal, early),
        "early_residual": None if early is None else early.relative_residual,
        "parameters": solution.parameters,
        "iterations": solution.iterations,
        "seconds": watch.spent,
    }


class _CpuTimeLimit:
    """Ends a training after a CPU time of its thread; keeps its last state before EARLY_SECONDS."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.spent = seconds, 0.0
        self.early: Solution | None = None
        self._since = time.thread_time()

    def __call__(self, progress: Progress) -> str | None:
        now = time.thread_time()
        self.spent += now - self._since
        if self.spent <= EARLY_SECONDS:
            self.early = progress.snapshot()
        self._since = time.thread_time()
        return "time" if self.spent >= self.seconds else None


def findings(rows: Sequence[Row]) -> Findings:
    """Medians over the seeds at equal parameters and at equal seconds, and the winners."""
    names = [name for name in goals() if any(row.configuration["goal"] == name for row in rows)]
    sizes = sorted({int(row.configuration["size"]) for row in rows})
    seconds = float(rows[0].configuration["seconds"])
    end, early = _medians(rows, ""), _medians(rows, "early_")
    by_size: dict[str, dict[str, dict[str, float]]] = {
        f"{size} parameters": {name: {kind: end.get((name, kind, size), _UNKNOWN)[0] for kind in KINDS} for name in names}
        for size in sizes
    }
    by_time = {
        f"{limit:g} seconds": {name: {kind: _best(medians, name, kind, sizes) for kind in KINDS} for name in names}
        for limit, medians in ((EARLY_SECONDS, early), (seconds, end))
    }
    sentences = [
        winners_sentence({name: winner(both["KAN"], both["MLP"]) for name, both in errors.items()}, f"{word} {where}")
        for word, groups in (("With", by_size), ("In", by_time))
        for where, errors in groups.items()
    ]
    return Findings(
        tuple(sentences),
        (
            _table("parameters", f"Relative errors at equal parameters, after at most {seconds:g} s; medians", names, by_size),
            _table("seconds", "Relative errors after equal times, of the best size of each; medians", names, by_time),
        ),
        (_picture(rows, names, end, early),),
    )


def _relative(goal: Goal, solution: Solution) -> float:
    return goal.target.error(solution) / regression.rms(goal.target.formula(goal.target.test_points()))


def _medians(rows: Sequence[Row], prefix: str) -> Medians:
    """Medians by the optimizer with the lowest residual; nan where most trainings have none."""
    medians: dict[tuple[str, str, int], tuple[float, float]] = {}
    keys = ("goal", "kind", "size", "optimizer")
    for (goal, kind, size, _), group in sorted(grouped(rows, lambda row: tuple(row.configuration[k] for k in keys)).items()):
        results = [result(row) for row in group]
        error, residual = (
            float(np.median(np.nan_to_num([one[prefix + what] for one in results], nan=math.inf)))
            for what in ("error", "residual")
        )
        key = (goal, kind.upper(), size)
        if math.isfinite(residual) and residual < medians.get(key, (math.nan, math.inf))[1]:
            medians[key] = error, residual
    return medians


def _best(medians: Medians, name: str, kind: str, sizes: Sequence[int]) -> float:
    """The error of the size with the lowest validation residual."""
    pairs = [medians.get((name, kind, size), _UNKNOWN) for size in sizes]
    return min((pair for pair in pairs if not math.isnan(pair[1])), key=lambda pair: pair[1], default=_UNKNOWN)[0]


def _table(name: str, title: str, names: Sequence[str], groups: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Columns:
    every = goals()
    columns: ColumnsByName = {"goal": list(names), "what it is": [every[one].about for one in names]}
    for where, errors in groups.items():
        for kind in KINDS:
            columns[f"{kind}, {where}"] = [errors[one][kind] for one in names]
        columns[f"winner, {where}"] = [winner(errors[one]["KAN"], errors[one]["MLP"]) for one in names]
    return Columns(name, title, columns)


def _picture(rows: Sequence[Row], names: Sequence[str], end: Medians, early: Medians) -> Picture:
    panels = [_panel(rows, name, end, early) for name in names]
    return gallery("errors", panels, ACROSS, "parameters", "relative RMSE", (1.8, 0.8))


def _panel(rows: Sequence[Row], name: str, end: Medians, early: Medians) -> Panel:
    """Medians by size, at the end and early, and all trainings at the end."""
    curves = []
    for (kind, key), colour, marker in zip(KINDS.items(), ("blue", "orange"), ("o", "D"), strict=True):
        results = [result(row) for row in rows if (row.configuration["goal"], row.configuration["kind"]) == (name, key)]
        sizes = sorted({row.configuration["size"] for row in rows})
        x = np.array([_parameters(rows, name, key, size) for size in sizes])
        for medians, line, when in ((early, ":", f"after {EARLY_SECONDS:g} s"), (end, "-", "at the end")):
            y = np.array([medians.get((name, kind, size), _UNKNOWN)[0] for size in sizes])
            curves.append(Curve(x, y, f"{kind}, {when}", colour, line))  # type: ignore[arg-type]
        ends = np.array([[one["parameters"], one["error"]] for one in results], np.float64).reshape(-1, 2)
        curves.append(Curve(ends[:, 0], ends[:, 1], f"{kind}, every training", colour, "", marker))  # type: ignore[arg-type]
    return Panel(tuple(curves), name, scale="log", x_limits=X_LIMITS, y_limits=_decades(curves))


def _decades(curves: Sequence[Curve]) -> tuple[float, float]:
    """Powers of ten around all curves with a margin, so that an axis has at least two labelled ticks."""
    logs = np.log10(np.concatenate([curve.y[np.isfinite(curve.y)] for curve in curves]))
    return 10.0 ** math.floor(logs.min() - Y_MARGIN), 10.0 ** math.ceil(logs.max() + Y_MARGIN)


def _parameters(rows: Sequence[Row], name: str, kind: str, size: int) -> float:
    """The exact number of parameters of a size, nan where none was trained."""
    keys = {"goal": name, "kind": kind, "size": size}
    own = (row for row in rows if keys.items() <= {k: row.configuration[k] for k in keys}.items())
    return next((float(result(row)["parameters"]) for row in own), math.nan)


EXPERIMENT = Experiment(
    name="mlp-or-kan",
    title="MLP or KAN, on ten functions and equations",
    shows="what each kind is better for, at equal parameters and in equal time",
    source="our own comparison; no publication",
    minutes=8.0,
    seeds=2,
    tasks=tasks,
    train=train,
    findings=findings,
)
