"""Scaling studies: what is trained is what was asked for, and a study says of every training what came of it."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.output.study import Run, Study
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.studies import kan_paper, scaling
from pdekan.studies.rows import Row, Task, json_data
from pdekan.studies.scaling import Plan, Trial
from pdekan.training import solver

FILE = """\
schema = 1
name = "string"

[domain]
type = "box"
x = [0.0, 1.0]

[equation]
operator = "-dx(dx(u))"
source = "pi**2*sin(pi*x)"

[[conditions]]
type = "dirichlet"

[exact]
u = "sin(pi*x)"

[network]
kind = "mlp"
hidden = [40, 40]
base = "silu"

[training]
optimizer = "adam"
refine = [7, 9]
points = 300
steps = 4
seed = 77
"""
STRING = loads(FILE)
SMALL = Plan(
    hidden=((2,), (3, 2)), intervals=(2, 4, 6), mlp=((3,), (3, 4)), mlp_optimizers=("gauss-newton", "lbfgs"), seeds=2,
    grown=False,
)  # fmt: skip


def problem_of(trial: Trial) -> Problem:
    return loads(trial.task.configuration["problem"])


def row(trial: Trial, **result: Any) -> Row:
    """A row as the file gives it back."""
    outcome = {
        "status": "stalled", "reason": "no step helps", "iterations": 7, "seconds": 0.5, "loss": 1e-6,
        "relative_residual": 1e-3, "l2_mean_square": 1e-8, "h1_seminorm_mean_square": 1e-6, "l2_relative": 1e-4,
        "h1_seminorm_relative": 1e-3,
        "history": {name: [1.0, math.nan] for name in ("step", "seconds", "loss", "l2_mean_square", "h1_mean_square")},
    }  # fmt: skip
    return Row(trial.task.key, trial.task.configuration, json_data(outcome | result), None, 0.6)


def failure(trial: Trial, seconds: float | None = 0.6) -> Row:
    return Row(trial.task.key, trial.task.configuration, None, "ValueError: no such width", seconds)


def study(trials: tuple[Trial, ...], rows: list[Row], plan: Plan = SMALL) -> Study:
    return scaling.study(STRING, plan, trials, rows, "pdekan scaling string")


# --- what is trained --------------------------------------------------------------------------------------------------


def test_the_default_is_figure_3_3() -> None:
    trials = scaling.trials(STRING, Plan())
    kans = {(t.widths, t.intervals, t.degree, t.seed) for t in trials if t.kind == "kan"}
    assert kans == {((1, w, 1), g, 3, s) for w in (5, 7, 10) for g in (2, 3, 5, 10, 20, 30, 40) for s in (0, 5, 10)}
    mlps = {t.widths for t in trials if t.kind == "mlp"}
    assert mlps == {(1, *(w,) * layers, 1) for layers in (1, 2, 3) for w in (5, 10, 20, 50, 100)}
    depths = {t.curve: len(t.widths) - 1 for t in trials if t.kind == "mlp"}  # weight layers, as the paper counts them
    assert depths == {"MLP depth 2": 2, "MLP depth 3": 3, "MLP depth 4": 4}
    assert {t.curve for t in trials if t.kind == "kan"} == {"KAN [1,5,1]", "KAN [1,7,1]", "KAN [1,10,1]"}
    assert [t.seed for t in trials if t.kind == "grown"] == [0, 5, 10]


def test_every_trial_has_a_task_of_its_own_and_they_start_with_the_largest() -> None:
    trials = scaling.trials(STRING, SMALL)
    assert len(trials) == 2 * 3 * 2 + 2 * 2 * 2
    tasks = scaling.tasks(trials)
    assert {task.key for task in tasks} == {trial.task.key for trial in trials}
    assert len({task.key for task in tasks}) == len(trials)
    sizes = {trial.task.key: trial.parameters for trial in trials}
    assert all(sizes[a.key] >= sizes[b.key] for a, b in pairwise(tasks))


def test_trials_do_not_depend_on_what_else_is_trained() -> None:
    few = scaling.trials(STRING, replace(SMALL, hidden=((2,),), intervals=(4,), mlp=(), seeds=1))
    assert {trial.task.key for trial in few} < {trial.task.key for trial in scaling.trials(STRING, SMALL)}
    longer = scaling.trials(STRING, replace(SMALL, hidden=((2,),), intervals=(4,), mlp=(), seeds=1, seconds=16.0))
    assert longer[0].task.key != few[0].task.key


@pytest.mark.parametrize("trial", scaling.trials(STRING, SMALL), ids=lambda t: f"{t.kind}{t.widths}{t.intervals}{t.seed}")
def test_a_task_is_the_problem_with_the_network_and_training_of_its_trial(trial: Trial) -> None:
    problem = problem_of(trial)
    assert problem.domain == STRING.domain
    assert problem.network.kind == trial.kind
    assert tuple(problem.network.hidden or ()) == trial.widths[1:-1]
    if trial.kind == "kan":
        assert (problem.network.degree, problem.network.intervals, problem.network.base) == (3, trial.intervals, "silu")
    training = problem.training
    assert (training.optimizer, training.seed, training.seconds) == (trial.optimizer, trial.seed, SMALL.seconds)
    assert (training.refine, training.points, training.steps) == (None, 300, 4)  # the last two are no sizes


@pytest.mark.parametrize("trial", scaling.trials(STRING, replace(SMALL, seeds=1)), ids=lambda t: f"{t.curve}-{t.intervals}")
def test_both_counts_are_those_of_the_network_itself(trial: Trial) -> None:
    if trial.kind == "kan":
        layers = len(trial.widths) - 1
        network = KAN(trial.widths, (3,) * layers, (trial.intervals,) * layers, "silu")
        paper = network.parameters_paper
    else:
        network = MLP(trial.widths)
        paper = sum(layer.weight.numel() for layer in network.linear_layers)
    assert trial.parameters == sum(p.numel() for p in network.parameters())
    assert trial.parameters_paper == paper


def test_optimizers_of_kans_are_curves_side_by_side_those_of_mlps_are_rivals() -> None:
    plan = replace(SMALL, hidden=((2,),), intervals=(2,), mlp=((3,),), optimizers=("gauss-newton", "lbfgs"), seeds=1)
    trials = scaling.trials(STRING, plan)
    assert [t.curve for t in trials] == ["KAN [1,2,1], gauss-newton", "KAN [1,2,1], lbfgs", "MLP depth 2", "MLP depth 2"]
    runs = study(trials, [row(t, relative_residual=1e-3 if t.optimizer == "lbfgs" else 1e-2) for t in trials]).runs
    assert [run.counts for run in runs] == [True, True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": ((5001,),)}, "at most 1000"),
        ({"mlp": ((3,), (3,) * 11)}, "at most 10"),
        ({"degree": 13}, "network.degree"),
        ({"intervals": (2, 1001)}, "network.intervals"),
        ({"optimizers": ("newton",)}, "gauss-newton"),
        ({"mlp_optimizers": ("lbfgs", "newton")}, "gauss-newton"),
        ({"seconds": 0.0}, "training.seconds"),
        ({"mlp": ((110, 110),), "mlp_optimizers": ("ssbroyden",)}, "110,110 hidden nodes: ssbroyden keeps a matrix"),
        ({"hidden": ((1000, 100),), "optimizers": ("lbfgs", "ssbroyden")}, "ssbroyden keeps a matrix"),
    ],
)
def test_sizes_that_cannot_be_trained_are_refused_before_anything_is(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        scaling.trials(STRING, replace(SMALL, **changes))


def test_an_optimizer_that_cannot_hold_an_mlp_leaves_it_to_the_others() -> None:
    plan = replace(SMALL, hidden=(), mlp=((110, 110),), mlp_optimizers=("ssbroyden", "lbfgs"), seeds=1)
    assert [trial.optimizer for trial in scaling.trials(STRING, plan)] == ["lbfgs"]


def test_no_two_trainings_start_from_one_seed() -> None:
    """A training that starts again takes the next seed; were that another's first, their medians would not be independent."""
    trials = scaling.trials(STRING, SMALL)
    kans = [trial for trial in trials if (trial.curve, trial.intervals) == (trials[0].curve, trials[0].intervals)]
    taken = [seed for trial in kans for seed in range(trial.seed, trial.seed + SMALL.starts)]
    assert len(set(taken)) == len(taken) == SMALL.starts * SMALL.seeds


def test_large_mlps_are_trained_on_fewer_points_than_five_a_parameter() -> None:
    plan = replace(SMALL, hidden=(), mlp=((5,), (60, 60)), seeds=1)
    file = loads(FILE.replace("points = 300\n", ""))
    few, many = ([trial for trial in scaling.trials(file, plan) if trial.widths[1] == width] for width in (5, 60))
    assert {loads(trial.task.configuration["problem"]).training.points for trial in few} == {None}
    assert {loads(trial.task.configuration["problem"]).training.points for trial in many} == {scaling.MLP_POINTS}


def test_a_study_needs_an_exact_solution() -> None:
    with pytest.raises(ProblemError, match=r"add \[exact\]"):
        scaling.trials(loads(FILE.replace('[exact]\nu = "sin(pi*x)"\n', "")), SMALL)


# --- a training -------------------------------------------------------------------------------------------------------


def test_a_training_is_what_solve_does() -> None:
    trial = next(t for t in scaling.trials(STRING, SMALL) if t.kind == "kan" and t.seed == SMALL.starts)
    result = scaling.train(trial.task.configuration)
    same = replace(
        STRING,
        network=NetworkOptions("kan", trial.widths[1:-1], 3, trial.intervals, "silu"),
        training=TrainingOptions("gauss-newton", points=300, steps=4, seed=SMALL.starts, starts=SMALL.starts),
    )
    solution = solver.solve(same)
    assert solution.errors is not None
    error = solution.errors["u"]
    for name in ("l2_mean_square", "h1_seminorm_mean_square", "l2_relative", "h1_seminorm_relative"):
        assert result[name] == pytest.approx(getattr(error, name), rel=1e-6)
    assert result["iterations"] == solution.iterations
    assert result["loss"] == pytest.approx(solution.history["loss"][-1], rel=1e-6)
    assert result["history"]["step"] == solution.history["step"].tolist()
    assert json.loads(json.dumps(json_data(result))) == json_data(result)


def test_a_training_has_one_thread_and_leaves_the_number_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = solver.solve

    def watched(problem: Problem, **options: Any) -> Any:
        seen.append(torch.get_num_threads())
        return real(problem, **options)

    monkeypatch.setattr(solver, "solve", watched)
    with solver.threads(2):
        scaling.train(scaling.trials(STRING, SMALL)[0].task.configuration)
        assert torch.get_num_threads() == 2
    assert seen == [1]


def test_long_histories_keep_their_ends_and_are_even_on_a_logarithmic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    solution = solver.solve(problem_of(scaling.trials(STRING, SMALL)[0]))
    count = 3000
    column = np.arange(float(count))
    long = replace(solution, history=dict.fromkeys(solution.history, column) | {"loss": column**2})
    monkeypatch.setattr(solver, "solve", lambda *_, **__: long)
    history = scaling.train({"problem": FILE})["history"]
    kept = np.array(history["step"])
    assert set(map(len, history.values())) == {len(kept)}
    assert 100 < len(kept) <= 200
    assert (kept[0], kept[1], kept[-1]) == (0, 1, count - 1)
    assert np.array_equal(history["loss"], kept**2)  # rows stay rows
    ratios = kept[kept > 100][1:] / kept[kept > 100][:-1]
    assert ratios.max() < 1.06


def test_a_growing_network_is_a_run_for_every_size_that_it_had() -> None:
    plan = replace(SMALL, hidden=(), mlp=(), seeds=1, grown=True)
    harder = FILE.replace("pi**2*sin(pi*x)", "(9*pi)**2*sin(9*pi*x)").replace("sin(pi*x)", "sin(9*pi*x)")
    (trial,) = scaling.trials(loads(harder.replace("steps = 4", "steps = 25")), plan)
    assert trial.kind == "grown"
    result = json_data(scaling.train(trial.task.configuration))
    runs = study((trial,), [Row(trial.task.key, trial.task.configuration, result, None, 0.6)], plan).runs
    assert len(runs) >= 2
    assert len({run.key for run in runs}) == len(runs)
    assert all(a.parameters_paper < b.parameters_paper and a.seconds <= b.seconds for a, b in pairwise(runs))
    assert [bool(run.history) for run in runs] == [False] * (len(runs) - 1) + [True]
    for run in runs:
        assert run.parameters == sum(p.numel() for p in KAN(run.widths, run.degree, 1).parameters()) or run.intervals > 1
        assert run.l2_relative == pytest.approx(math.sqrt(run.l2_mean_square / 0.5), rel=1e-2)
    assert min(run.l2_mean_square for run in runs) == pytest.approx(result["l2_mean_square"], rel=1e-2)
    assert [run.relative_residual for run in runs] == [one["relative_residual"] for one in result["stages"]]
    assert min(run.relative_residual for run in runs) == pytest.approx(result["relative_residual"], rel=1e-6)


def test_a_larger_network_with_a_larger_residual_is_no_part_of_a_growing_one() -> None:
    text = (
        FILE[: FILE.index("[network]")].replace("pi**2*sin(pi*x)", "(9*pi)**2*sin(9*pi*x)").replace("sin(pi*x)", "sin(9*pi*x)")
    )
    solution = solver.solve(loads(text), training=TrainingOptions(steps=25), estimate=False)
    history, every = dict(solution.history), scaling._stages(solution)
    assert len(every) >= 2
    last = history["stage"] == history["stage"].max()
    history["residual"] = np.where(last, 1e3, 1.0) * history["residual"]
    assert scaling._stages(replace(solution, history=history)) == every[:-1]


# --- a study ----------------------------------------------------------------------------------------------------------


def test_a_row_becomes_a_run() -> None:
    (trial,) = scaling.trials(STRING, replace(SMALL, hidden=((3, 2),), intervals=(4,), mlp=(), seeds=1))
    (run,) = study((trial,), [row(trial, loss=2.0)]).runs
    expected = {
        "key": trial.task.key, "curve": "KAN [1,3,2,1]", "kind": "kan", "widths": (1, 3, 2, 1), "degree": 3, "intervals": 4,
        "optimizer": "gauss-newton", "seed": 0, "parameters": 11 * 9, "parameters_paper": 11 * 4, "status": "stalled",
        "reason": "no step helps", "iterations": 7, "seconds": 0.5, "loss": 2.0, "relative_residual": 1e-3,
        "l2_mean_square": 1e-8, "h1_seminorm_mean_square": 1e-6, "l2_relative": 1e-4, "h1_seminorm_relative": 1e-3,
        "counts": True,
    }  # fmt: skip
    assert {f.name: getattr(run, f.name) for f in fields(Run) if f.name != "history"} == expected
    assert np.array_equal(run.history["l2_mean_square"], [1.0, math.nan], equal_nan=True)


@pytest.mark.parametrize("seconds", [0.6, None])
def test_a_failure_is_a_run_with_its_reason(seconds: float | None) -> None:
    trials = scaling.trials(STRING, SMALL)
    made = study(trials, [failure(trials[0], seconds), *(row(trial) for trial in trials[1:])])
    run = made.runs[0]
    assert (run.status, run.reason) == ("failed", "ValueError: no such width")
    assert math.isnan(run.l2_mean_square)
    assert run.seconds == seconds or math.isnan(run.seconds)
    assert len(made.runs) == len(trials)
    spread = next(s for s in made.spreads if (s.curve, s.size) == (run.curve, run.parameters_paper))
    assert (spread.runs, spread.failed) == (1, 1)


def test_a_diverged_training_keeps_its_status_and_reason() -> None:
    trials = scaling.trials(STRING, SMALL)
    result = row(trials[0], loss=math.inf, l2_mean_square=math.nan, reason="the loss stopped being finite")
    run = study(trials, [result]).runs[0]
    assert (run.status, run.reason) == ("stalled", "the loss stopped being finite")
    assert math.isnan(run.l2_mean_square)
    assert math.isnan(run.loss)


def test_slopes_are_those_of_the_errors_in_the_rows() -> None:
    trials = scaling.trials(STRING, SMALL)
    rows = [row(t, l2_mean_square=t.parameters_paper**-8.0, h1_seminorm_mean_square=t.parameters_paper**-6.0) for t in trials]
    slopes = {(s.curve, s.norm): s for s in study(trials, rows[::-1]).slopes}
    for curve in ("KAN [1,2,1]", "KAN [1,3,2,1]"):
        for norm, expected in (("l2", -8.0), ("h1_seminorm", -6.0)):
            assert slopes[curve, norm].slope == pytest.approx(expected)
            assert slopes[curve, norm].theory == expected
    assert math.isnan(slopes["MLP depth 2", "l2"].slope)  # a single size


def test_what_has_no_row_is_not_in_the_study_and_rows_of_others_are_not_either() -> None:
    trials = scaling.trials(STRING, SMALL)
    other = replace(row(trials[0]), key=Task({"problem": "another"}).key)
    made = study(trials, [row(trials[3]), other])
    assert [run.key for run in made.runs] == [trials[3].task.key]
    assert study(trials, []).runs == ()


def test_the_limit_is_that_of_the_plans_intervals_where_it_can_be_computed() -> None:
    assert [(p.degree, p.intervals, p.unknowns) for p in study((), []).limit] == [(3, 2, 3), (3, 4, 5), (3, 6, 7)]
    assert [p.intervals for p in study((), [], replace(SMALL, degree=1, intervals=(1, 2))).limit] == [2]
    space = load_problem("poisson_3d")
    assert [p.intervals for p in scaling.study(space, replace(SMALL, intervals=(2, 300)), (), [], "").limit] == [2]
    assert scaling.study(load_problem("poisson_5d"), SMALL, (), [], "").limit == ()


def test_the_papers_points_are_shown_beside_the_papers_problem_alone() -> None:
    paper = load_problem("poisson_kan_paper", ["training.seed=3", "network.hidden=[4]", "name=mine"])
    shown = scaling.study(paper, SMALL, (), [], "").paper
    assert repr(shown) == repr(kan_paper.figure_3_3())  # some of whose numbers are not known: nan is unequal to itself
    assert study((), []).paper == ()
    for change in ('exact.u="sin(pi*x)*sin(pi*y**2)/2"', "domain.x=[-1.0, 2.0]", "equation.operator=2*laplacian(u)"):
        assert not scaling.study(load_problem("poisson_kan_paper", [change]), SMALL, (), [], "").paper, change
