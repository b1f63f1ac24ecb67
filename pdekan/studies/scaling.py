"""Scaling studies, as figure 3.3 of arXiv:2404.19756: the errors of KANs and MLPs of several sizes."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pdekan.output.study import LimitPoint, Run, Study
from pdekan.problem_files.loader import loads
from pdekan.problem_files.reader import parse_source
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.solutions.environment import environment
from pdekan.solutions.solution import Solution
from pdekan.studies import fits, kan_paper, limits
from pdekan.studies.rows import Row, Task
from pdekan.training import solver
from pdekan.training.points import POINTS_PER_PARAMETER
from pdekan.training.schedule import Stage, is_open, is_searchable, stages
from pdekan.training.threads import threads

Layers = tuple[int, ...]

MAX_HISTORY_STEPS = 200  # stored in a row
MLP_POINTS = 2500  # at most: with the default number of points the largest MLPs take no step in a minute
MAX_LIMIT_POINTS = 2_000_000  # of the quadrature for the limit of tensor splines: 0.4 GB
GROWN, NEVER = "KAN, grown by the solver", 1e-12  # a tolerance that ends no training early
ERRORS = ("l2_mean_square", "h1_seminorm_mean_square", "l2_relative", "h1_seminorm_relative")


@dataclass(frozen=True)
class Plan:
    """The trainings of a study.

    hidden, mlp: the hidden layers of KANs and MLPs. intervals, degree: of all edges of a KAN. optimizers: of KANs, a curve for
    each. mlp_optimizers: of MLPs, of which the best counts. seeds: the number of random starts of each network. seconds,
    starts: of one training, see `TrainingOptions`; where inner functions are searched for, one training has one start. grown:
    whether the networks that the solver itself chooses are a curve too.
    """

    hidden: tuple[Layers, ...] = ((5,), (7,), (10,))
    intervals: tuple[int, ...] = (2, 3, 5, 10, 20, 30, 40)
    degree: int = 3
    optimizers: tuple[str, ...] = ("gauss-newton",)
    mlp: tuple[Layers, ...] = tuple((width,) * layers for layers in (1, 2, 3) for width in (5, 10, 20, 50, 100))
    mlp_optimizers: tuple[str, ...] = ("gauss-newton", "ssbroyden", "lbfgs")
    seeds: int = 3
    seconds: float = 20.0
    starts: int = 5
    grown: bool = True


# about two minutes on two cores
QUICK = Plan(
    hidden=((5,), (10,)), intervals=(5, 10, 20, 40), mlp=((10,), (20,), (50,), (20, 20)), seeds=1, seconds=12.0
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One training of one network: the fields of `Run` that are known before, and the worker's task."""

    curve: str
    kind: str
    widths: tuple[int, ...]
    degree: int
    intervals: int
    optimizer: str
    seed: int
    parameters: int
    parameters_paper: int
    task: Task


def trials(problem: Problem, plan: Plan) -> tuple[Trial, ...]:
    """All trainings of a study, curve by curve; the problem has a file.

    The file's [network] is replaced, except for the base of KANs, and so are optimizer, refine, seed and seconds of [training].
    Optimizers that cannot store their matrix for a size are left out for MLPs. Raises ProblemError without an exact solution,
    for a size that problem files do not allow, and for a size that all optimizers reject.
    """
    if problem.exact is None:
        raise ProblemError(f'{problem.name}: a study measures errors; add [exact] with {problem.unknowns[0]} = "…"')
    base = {k: v for k, v in _tables(problem).get("network", {}).items() if k == "base"}
    trials: list[Trial] = []
    for hidden in plan.hidden:
        name = f"KAN [{_joined((problem.domain.dimension, *hidden, 1))}]"
        for optimizer in plan.optimizers:
            curve = name if len(plan.optimizers) == 1 else f"{name}, {optimizer}"
            for intervals in plan.intervals:
                sizes = {"hidden": list(hidden), "degree": plan.degree, "intervals": intervals}
                trials += _of_size(problem, curve, {"kind": "kan", **sizes, **base}, (optimizer,), plan)
    if plan.grown:
        trials += _of_size(problem, GROWN, base, ("gauss-newton",), plan)
    for hidden in plan.mlp:
        network = {"kind": "mlp", "hidden": list(hidden)}
        trials += _of_size(problem, f"MLP depth {len(hidden) + 1}", network, plan.mlp_optimizers, plan)
    return tuple(trials)


def tasks(trials: Iterable[Trial]) -> list[Task]:
    """The workers' tasks, the largest networks first, so that the last trainings are short."""
    return [trial.task for trial in sorted(trials, key=lambda trial: -trial.parameters)]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker does: solve a problem file's text on one thread; what `Run` says of it afterwards.

    Seconds are those of its processor: other work on the machine does not shorten a training.

    configuration: that of a task; `folder` and `allow_outside` say which files the problem may have read.
    """
    files = {name: configuration[name] for name in ("folder", "allow_outside") if name in configuration}
    with threads(1):
        problem = loads(configuration["problem"], "the study's problem", **files)
        solution = solver.solve(problem, estimate=False, now=time.thread_time)
    assert solution.errors is not None
    errors = solution.errors[solution.unknowns[0]]
    history = _history(solution)
    asked = solution.problem is None or not is_open(solution.problem)
    return {
        **({} if asked else {"stages": _stages(solution)}),
        "status": solution.status,
        "reason": solution.reason,
        "iterations": solution.iterations,
        "seconds": solution.seconds,
        "loss": history["loss"][-1] if history["loss"] else math.nan,
        "relative_residual": solution.relative_residual,
        **{name: getattr(errors, name) for name in ERRORS},
        "history": history,
    }


def study(problem: Problem, plan: Plan, trials: Iterable[Trial], rows: Iterable[Row], command: str) -> Study:
    """The study of the trials that have a row, with the errors that they are compared with."""
    assert problem.text is not None
    by_key = {row.key: row for row in rows}
    known = [(trial, by_key[trial.task.key]) for trial in trials if trial.task.key in by_key]
    runs = fits.with_counts([run for trial, row in known for run in _runs(trial, row)])
    return Study(
        name=problem.name,
        title=problem.title,
        problem_text=problem.text,
        command=command,
        environment=environment(),
        runs=runs,
        spreads=fits.spreads(runs),
        slopes=fits.slopes(runs),
        limit=_limit(problem, plan),
        paper=kan_paper.figure_3_3() if kan_paper.states_its_problem(problem.text) else (),
    )


def _tables(problem: Problem) -> dict[str, Any]:
    assert problem.text is not None
    return tomllib.loads(problem.text)


def _of_size(
    problem: Problem, curve: str, network: Mapping[str, Any], optimizers: Sequence[str], plan: Plan
) -> Iterator[Trial]:
    """The trials of one network, by all optimizers that accept its size. Raises ProblemError where none does."""
    options = {k: v for k, v in _tables(problem).get("training", {}).items() if k != "refine"}
    grown, kind = "hidden" not in network, network.get("kind", "grown")
    if grown:
        options = options | {"tolerance": NEVER}
    if kind == "mlp":
        size = Stage("mlp", tuple(network["hidden"]), (), (), "none").parameters(problem.domain.dimension)
        options = ({"points": MLP_POINTS} if POINTS_PER_PARAMETER * size > MLP_POINTS else {}) | options
    errors: list[ProblemError] = []
    for optimizer in optimizers:
        training = options | {"optimizer": optimizer, "seconds": plan.seconds, "starts": plan.starts}
        where = f"{problem.name}, {kind.upper()} of {_joined(network.get('hidden', ()))} hidden nodes"
        # restarts take the following seeds, which must not be another training's first
        seeds = [plan.starts * k for k in range(plan.seeds)]
        sized = loads(_text(problem, where, network, training), where, domain=problem.domain, data=problem.data)
        if grown or is_searchable(sized):
            training["starts"] = 1
        texts = [_text(problem, where, network, training | {"seed": seed}) for seed in seeds]
        try:
            solver.check(sized)
        except ProblemError as error:
            errors.append(error)
            continue
        for seed, text in zip(seeds, texts, strict=True):
            yield _trial(curve, kind, network, optimizer, seed, stages(sized)[-1], problem.domain.dimension, text)
    if len(errors) == len(optimizers):
        raise ProblemError(f"{where}: {'; '.join(map(str, errors))}")


def _trial(
    curve: str, kind: str, network: Mapping[str, Any], optimizer: str, seed: int, final: Stage, dimension: int, text: str
) -> Trial:
    """The trial of a problem file's text whose last stage is known."""
    widths = final.widths(dimension)
    return Trial(
        curve=curve,
        kind=kind,
        widths=widths,
        degree=network.get("degree", 0),
        intervals=network.get("intervals", 0),
        optimizer=optimizer,
        seed=seed,
        parameters=final.parameters(dimension),
        parameters_paper=_paper(widths, final.intervals or (1,) * (len(widths) - 1)),
        task=Task({"problem": text}),
    )


def _text(problem: Problem, where: str, network: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The problem's file with another [network] and [training]."""
    assert problem.text is not None
    return parse_source(problem.text, where, {"network": network, "training": training}).text


def _history(solution: Solution) -> dict[str, list[float]]:
    """The history at the first step, the last, and steps between with about equal ratios."""
    count = len(solution.history["step"])
    steps = np.arange(count)
    if count > MAX_HISTORY_STEPS:
        steps = np.unique(np.concatenate([[0], np.geomspace(1, count - 1, MAX_HISTORY_STEPS - 1).round().astype(int)]))
    columns = ("step", "seconds", "loss", "l2_mean_square", "h1_mean_square")
    return {name: solution.history[name][steps].tolist() for name in columns}


def _stages(solution: Solution) -> list[dict[str, Any]]:
    """The networks that a growing one was, each with the errors of its step of lowest residual.

    Of two networks the larger one counts where its residual is lower: the solver would not have taken it otherwise.
    """
    assert solution.problem is not None
    assert solution.errors is not None
    history, errors = solution.history, solution.errors[solution.unknowns[0]]
    plan, d, found = stages(solution.problem), solution.problem.domain.dimension, list[dict[str, Any]]()
    for index in np.unique(history["stage"]).astype(int):
        steps = np.flatnonzero(history["stage"] == index)
        until, best = int(steps[-1]), int(steps[np.argmin(history["residual"][steps])])
        l2, stage = float(history["l2_mean_square"][best]), plan[index]
        h1 = float(history["h1_mean_square"][best]) - l2
        found.append(
            {
                "widths": stage.widths(d), "parameters": stage.parameters(d), "intervals": stage.intervals[-1],
                "degree": stage.degree[-1], "parameters_paper": _paper(stage.widths(d), stage.intervals),
                "iterations": int(history["step"][until]), "seconds": float(history["seconds"][until]),
                "relative_residual": float(history["residual"][best]), "l2_mean_square": l2, "h1_seminorm_mean_square": h1,
                "l2_relative": math.sqrt(l2 / errors.l2_mean_square) * errors.l2_relative,
                "h1_seminorm_relative": math.sqrt(h1 / errors.h1_seminorm_mean_square) * errors.h1_seminorm_relative,
            }
        )  # fmt: skip
    found.sort(key=lambda one: (one["parameters_paper"], one["relative_residual"]))
    least = np.minimum.accumulate([one["relative_residual"] for one in found])
    return [found[0], *(one for one, before in zip(found[1:], least[:-1], strict=True) if one["relative_residual"] < before)]


def _paper(widths: Sequence[int], intervals: Sequence[int]) -> int:
    """The paper's count of parameters: edges × intervals."""
    return sum(a * b * n for (a, b), n in zip(pairwise(widths), intervals, strict=True))


def _runs(trial: Trial, row: Row) -> list[Run]:
    """The run of a trial; of a growing network one for every size, the last with its history."""
    run = _run(trial, row)
    grown = [] if row.result is None else row.result.get("stages", [])
    sizes: list[dict[str, Any]] = [{**one, "widths": tuple(one["widths"])} for one in grown]
    runs = [replace(run, key=f"{run.key}-{k}", history={}, **one) for k, one in enumerate(sizes)]
    return [*runs[:-1], replace(runs[-1], history=run.history)] if runs else [run]


def _run(trial: Trial, row: Row) -> Run:
    """A trial with its result, with NaN for JSON's null."""
    known = {name: value for name, value in vars(trial).items() if name != "task"}
    outcome: dict[str, Any]
    if row.result is None:
        outcome = {"status": "failed", "reason": row.failure, "iterations": 0, "seconds": row.seconds}
        outcome |= dict.fromkeys(("loss", "relative_residual", *ERRORS))
    else:
        columns = {name: np.array(column, np.float64) for name, column in row.result["history"].items()}
        outcome = {**{name: value for name, value in row.result.items() if name != "stages"}, "history": columns}
    numbers: dict[str, Any] = {name: math.nan if value is None else value for name, value in outcome.items()}
    return Run(row.key, **known, **numbers)


def _limit(problem: Problem, plan: Plan) -> tuple[LimitPoint, ...]:
    """The least errors of tensor splines with the KANs' intervals, as far as memory allows."""
    d = problem.domain.dimension
    if d > limits.MAX_DIMENSIONS:
        return ()

    def possible(intervals: int) -> bool:
        points = intervals * (plan.degree + 1 + limits.EXTRA_POINTS)
        return intervals + plan.degree >= 3 and points**d <= MAX_LIMIT_POINTS

    return limits.limits(problem, plan.degree, [n for n in plan.intervals if possible(n)])


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))
