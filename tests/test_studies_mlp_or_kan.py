"""What KANs and MLPs are compared on, that they have as many parameters and as much time, and who is said to have won."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pdekan.studies import mlp_or_kan as study
from pdekan.studies import regression
from pdekan.studies.mlp_or_kan_targets import goals
from pdekan.studies.rows import Row
from pdekan.training.schedule import stages

GOALS = goals()


@pytest.mark.parametrize(("name", "size"), list(itertools.product(GOALS, study.SIZES)))
def test_both_kinds_have_about_as_many_parameters(name: str, size: int) -> None:
    goal = GOALS[name]
    for kind in study.KINDS.values():
        configuration = study.network_of_size(kind, goal.inputs, size)
        problem = goal.problem()
        object.__setattr__(problem, "network", regression.network(configuration))
        counted = stages(problem)[-1].parameters(goal.inputs)
        assert counted == pytest.approx(size, rel=0.2 if size == 100 else 0.05)


def test_targets_are_what_they_are_called() -> None:
    point = np.array([[0.5, 0.25, 0.75, 0.1, 0.2]])
    friedman = 10.0 * math.sin(math.pi * 0.125) + 20.0 * 0.0625 + 1.0 + 1.0
    assert GOALS["friedman"].target.formula(point) == pytest.approx(friedman)
    ten = np.arange(1.0, 11.0)[None] / 20.0
    assert GOALS["additive"].target.formula(ten) == pytest.approx(sum(math.sin(math.pi * k / 20) / k for k in range(1, 11)))
    assert GOALS["kink"].target.formula(np.array([[0.5, 0.5], [1.0, 0.0]])) == pytest.approx([0.0, 0.5])
    corner = np.array([[0.5, 1.0]])
    assert GOALS["smooth"].target.formula(corner) == pytest.approx(math.exp(2.0))
    # the library's solutions
    assert GOALS["poisson_kan_paper"].target.formula(np.array([[0.5, math.sqrt(0.5)]])) == pytest.approx(1.0)
    assert GOALS["nonlinear_cubic"].target.formula(np.zeros((1, 2))) == pytest.approx(1.0)
    assert GOALS["outflow_layers"].target.formula(np.ones((1, 2))) == pytest.approx(0.0, abs=1e-12)
    # a network's values are its own: the same again, and of every input
    random = GOALS["random_network"].target
    points = random.test_points()[:3]
    np.testing.assert_array_equal(random.formula(points), random.formula(points))
    for k in range(5):
        moved = points.copy()
        moved[:, k] += 0.1
        assert np.all(np.abs(random.formula(moved) - random.formula(points)) > 1e-4)


def test_an_interrupted_study_is_one_of_fewer_seeds() -> None:
    tasks = study.tasks(3, quick=False)
    assert len({task.key for task in tasks}) == len(tasks)
    assert [task.key for task in study.tasks(1, quick=False)] == [task.key for task in tasks[: len(tasks) // 3]]


def test_a_training_says_how_it_stood_early_and_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(study.time, "thread_time", lambda: 0.5 * next(ticks))  # half a second from step to step
    network = study.network_of_size("mlp", 2, 50)
    result = study.train({"goal": "smooth", **network, "optimizer": "gauss-newton", "seconds": 6.0, "seed": 0})
    assert result["parameters"] == 49
    assert (result["seconds"], result["iterations"]) == (6.0, 12)
    assert result["error"] < result["early_error"] < 1.0
    assert result["error"] == pytest.approx(result["residual"], rel=0.5)
    # the early one is that of a training which ends then
    ticks = itertools.count()
    short = study.train({"goal": "smooth", **network, "optimizer": "gauss-newton", "seconds": study.EARLY_SECONDS, "seed": 0})
    assert (short["iterations"], short["error"]) == (round(study.EARLY_SECONDS / 0.5), result["early_error"])
    assert (short["early_error"], short["early_residual"]) == (result["early_error"], result["early_residual"])


def test_the_watch_counts_the_seconds_of_its_thread_but_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(study.time, "thread_time", lambda: now)
    watch = study._CpuTimeLimit(3.0)
    taken: list[float] = []

    def snapshot() -> Any:
        nonlocal now
        taken.append(now)
        now += 100.0  # which is not the training's

    progress: Any = SimpleNamespace(snapshot=snapshot)
    answers = []
    for _ in range(4):
        now += 0.9
        answers.append(watch(progress))
    assert answers == [None, None, None, "time"]
    assert watch.spent == pytest.approx(3.6)
    assert len(taken) == 1  # after 0.9 seconds, not after 1.8


def test_a_step_that_takes_too_long_leaves_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(study.time, "thread_time", lambda: 3.0 * next(ticks))
    network = study.network_of_size("kan", 2, 37)
    result = study.train({"goal": "smooth", **network, "optimizer": "gauss-newton", "seconds": 3.0, "seed": 0})
    assert result["early_error"] is None
    assert result["early_residual"] is None
    assert result["iterations"] == 1


def row(kind: str, size: int, error: float, residual: float, early: float | None = None, **more: Any) -> Row:
    configuration = {"goal": "smooth", "kind": kind, "size": size, "optimizer": "gauss-newton", "seconds": 10.0, **more}
    result = {"error": error, "residual": residual, "early_error": early, "early_residual": early, "parameters": size + 1}
    return Row("", configuration, result, None, 1.0)


MADE_UP = (
    *(row("kan", 100, error, error, 10.0 * error, seed=k) for k, error in enumerate((1e-4, 3e-4, 9e-4))),
    *(row("kan", 300, error, error, None, seed=k) for k, error in enumerate((2e-5, 3e-5, 4e-5))),
    *(row("mlp", 100, error, error, error, seed=k) for k, error in enumerate((1e-4, 2e-4, 9e-4))),
    row("mlp", 300, 1e-6, 5e-4, 1e-4),
    row("mlp", 300, 1e-5, 4e-4, 1e-4, optimizer="ssbroyden"),  # the lower residual counts
)


def cells(name: str) -> dict[str, Any]:
    (columns,) = [one.columns for one in study.findings(MADE_UP).tables if one.name == name]
    return {key: column[0] for key, column in columns.items()}


def test_medians_at_equal_parameters() -> None:
    found = cells("parameters")
    assert (found["KAN, 100 parameters"], found["MLP, 100 parameters"]) == (3e-4, 2e-4)
    assert found["winner, 100 parameters"] == "even"
    assert (found["KAN, 300 parameters"], found["MLP, 300 parameters"]) == (3e-5, 1e-5)
    assert found["winner, 300 parameters"] == "MLP"


def test_medians_after_equal_times_are_of_the_size_with_the_lowest_residual() -> None:
    found = cells("seconds")
    # the large KAN has no step so early
    assert (found["KAN, 1.5 seconds"], found["MLP, 1.5 seconds"]) == (pytest.approx(3e-3), 1e-4)
    # the large MLP is better, but what is held back says the small one
    assert (found["KAN, 10 seconds"], found["MLP, 10 seconds"]) == (3e-5, 2e-4)
    assert found["winner, 10 seconds"] == "KAN"
    assert any(
        told.startswith("In 10 seconds the KAN") and "better for smooth" in told for told in study.findings(MADE_UP).sentences
    )


def test_the_figure_has_a_panel_a_goal() -> None:
    (picture,) = study.findings(MADE_UP).pictures
    (panel,) = picture.panels
    curves = {curve.label: curve for curve in panel.curves}
    assert curves["KAN, at the end"].x.tolist() == [101, 301]
    assert curves["KAN, at the end"].y.tolist() == [3e-4, 3e-5]
    assert len(curves["MLP, every training"].x) == 5
    low, high = panel.y_limits or (0.0, 0.0)
    assert (low, high) == (pytest.approx(1e-7), pytest.approx(1e-2))  # about 1e-6 … 3e-3, with room
