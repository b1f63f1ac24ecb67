"""The experiments: what is trained is what was published, what is said follows from the rows, and acceptance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from experiments import SQUARES
from scipy.interpolate import make_lsq_spline  # type: ignore[import-untyped]

from pdekan.output import findings_figures
from pdekan.output.findings import Columns, Findings
from pdekan.studies import continual_learning, grid_extension, representation
from pdekan.studies.experiment import Experiment, result, summarised
from pdekan.studies.experiments import EXPERIMENTS
from pdekan.studies.rows import Row, Task, json_data


def rows_of(experiment: Experiment, tasks: Sequence[Task], trained: Sequence[dict[str, Any]]) -> list[Row]:
    """Rows as the file gives them back."""
    return [Row(task.key, task.configuration, json_data(one), None, 1.0) for task, one in zip(tasks, trained, strict=True)]


def table(findings: Findings, name: str) -> Columns:
    return next(one for one in findings.tables if one.name == name)


every = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


@every
def test_tasks_differ_and_seeds_multiply_trainings(experiment: Experiment) -> None:
    for quick in (False, True):
        one, two = (experiment.tasks(seeds, quick) for seeds in (1, 2))
        assert len({task.key for task in two}) == len(two)
        assert {task.key for task in one} < {task.key for task in two}
    quick, full = ([task.configuration for task in experiment.tasks(1, quick)] for quick in (True, False))
    assert len(quick) <= len(full)
    assert quick != full


def test_null_is_nan_again() -> None:
    row = Row("k", {}, {"a": None, "b": [1.0, None, {"c": None}], "d": "text"}, None, 1.0)
    found = result(row)
    assert math.isnan(found["a"])
    assert math.isnan(found["b"][1])
    assert math.isnan(found["b"][2]["c"])
    assert (found["b"][0], found["d"]) == (1.0, "text")


def test_failures_are_told_and_nothing_is_summed_up_from_none() -> None:
    tasks = SQUARES.tasks(1, False)
    failed = [Row(task.key, task.configuration, None, "ValueError: no", 1.0) for task in tasks]
    found = summarised(SQUARES, failed)
    assert found.sentences == ("3 of 3 trainings failed.",)
    assert table(found, "failures").columns["reason"] == ["ValueError: no"] * 3
    assert summarised(SQUARES, []).tables == ()
    rows = rows_of(SQUARES, tasks[:1], [{"square": 0}]) + failed[1:]
    assert summarised(SQUARES, rows).sentences == ("1 squares.", "2 of 3 trainings failed.")


# --- continual learning -----------------------------------------------------------------------------------------------


def phases(**changes: Any) -> dict[str, Any]:
    configuration = {"kind": "kan", "hidden": [], "intervals": 50, "optimizer": "lbfgs", "steps": 60, "seed": 0}
    return continual_learning.train(configuration | changes)


@pytest.fixture(scope="module")
def kan() -> dict[str, Any]:
    return phases()


def test_the_target_has_five_peaks_of_height_one() -> None:
    x = np.linspace(-1.0, 1.0, 2001)
    y = continual_learning.target(x)
    tops = x[1:-1][(y[1:-1] > y[:-2]) & (y[1:-1] > y[2:])]
    np.testing.assert_allclose(tops, [-0.8, -0.4, 0.0, 0.4, 0.8], atol=1e-9)
    np.testing.assert_allclose(y[np.searchsorted(x, tops)], 1.0, atol=1e-4)
    assert y[np.abs(x - 0.2).argmin()] == pytest.approx(2 * math.exp(-300 * 0.2**2))


def test_a_spline_learns_all_peaks_as_well_as_if_it_saw_them_at_once(kan: dict[str, Any]) -> None:
    x = np.linspace(-1.0, 1.0, 2000)
    knots = np.concatenate([[-1.0] * 3, np.linspace(-1.0, 1.0, 51), [1.0] * 3])
    best = make_lsq_spline(x, continual_learning.target(x), knots, 3)
    limit = float(np.sqrt(np.mean((best(x) - continual_learning.target(x)) ** 2)))
    end = float(np.sqrt(np.mean(np.square(kan["rms"][-1]))))
    assert limit < end < 2.0 * limit < 1e-2
    assert max(kan["largest"][-1]) < continual_learning.MAX_ERROR_REMEMBERED


def test_a_spline_changes_only_where_data_are(kan: dict[str, Any]) -> None:
    """The next peak's data reach over into a peak's fifth by a few intervals, the ones after that not at all."""
    for peak in range(4):
        first, then, *later = [kan["rms"][phase][peak] for phase in range(peak, 5)]
        assert then < max(2.5 * first, 1e-2)
        assert later == pytest.approx([then] * len(later), rel=1e-12)
    assert all(kan["rms"][0][peak] > 0.1 for peak in range(1, 5))  # of what it has not been shown


def test_an_mlp_forgets() -> None:
    found = phases(kind="mlp", hidden=[20], steps=120)
    assert found["rms"][0][0] < 0.1
    assert found["rms"][1][0] > 0.3
    assert sum(error < continual_learning.MAX_ERROR_REMEMBERED for error in found["largest"][-1]) < 5


def a_phase(error: float, own: float) -> dict[str, Any]:
    rms = [[own if peak == phase else error for peak in range(5)] for phase in range(5)]
    return {"rms": rms, "largest": rms, "curves": [[0.0] * 401] * 5, "seconds": 1.0, "parameters": 7}


def test_the_best_of_a_kind_has_to_learn_at_all() -> None:
    shared = {"intervals": 200, "steps": 5, "seed": 0}
    tasks = [Task({"kind": "mlp", "hidden": [n], "optimizer": "adam", **shared}) for n in (1, 2, 3)]
    tasks.append(Task({"kind": "kan", "hidden": [], "optimizer": "lbfgs", **shared}))
    trained = [a_phase(0.4, 0.4), a_phase(2.0, 0.01), a_phase(3.0, 0.01), a_phase(0.01, 0.01)]
    found = summarised(continual_learning.EXPERIMENT, rows_of(continual_learning.EXPERIMENT, tasks, trained))
    kan, mlp = found.sentences
    assert kan.startswith("KAN [1,1], lbfgs: 5 of 5 peaks remembered (seed by seed), RMSE over [-1, 1] 1.0e-02")
    assert mlp.startswith("MLP [1,2,1], adam: 1 of 5 peaks remembered")
    columns = table(found, "forgetting").columns
    assert columns["network"] == ["KAN [1,1], lbfgs", "MLP [1,1,1], adam", "MLP [1,2,1], adam", "MLP [1,3,1], adam"]
    assert columns["after 5"][2] == pytest.approx(math.sqrt((4 * 4.0 + 1e-4) / 5))
    (picture,) = found.pictures
    assert len(picture.panels) == 15
    assert [panel.curves[1].label for panel in picture.panels[10:]] == ["MLP [1,2,1], adam"] * 5


# --- grid extension ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extended() -> list[Row]:
    tasks = [
        Task({"hidden": 1, "optimizer": name, "seed": 0, "grids": [4, 8, 9], "steps": 6, "seconds": 20.0})
        for name in ("gauss-newton", "lbfgs")
    ]
    trained = [grid_extension.train(task.configuration) for task in tasks]
    return rows_of(grid_extension.EXPERIMENT, tasks, trained)


def test_nested_grids_carry_the_network_over_exactly_and_others_do_not(extended: list[Row]) -> None:
    for row in extended:
        first, second, third = result(row)["stages"]
        assert second["before"] == first["train"]
        assert second["after"] == pytest.approx(second["before"], rel=1e-11)
        assert third["after"] != pytest.approx(third["before"], rel=1e-9)
        assert [stage["parameters"] for stage in (first, second, third)] == [3 * (n + 3) for n in (4, 8, 9)]
        assert all(stage["train"] < stage["after"] and stage["steps"] <= 6 for stage in (first, second, third))


def test_a_training_tells_all_of_its_steps(extended: list[Row]) -> None:
    newton = result(extended[0])
    steps = newton["history"]["step"]
    assert steps == sorted(steps)
    assert len(steps) == steps[-1] == sum(stage["steps"] for stage in newton["stages"])
    assert sorted(set(newton["history"]["stage"])) == [0, 1, 2]
    assert newton["history"]["train"][-1] == pytest.approx(newton["stages"][-1]["train"], rel=1e-6)
    assert 950 < newton["values"] < 1050


def test_findings_of_trainings_can_be_drawn(extended: list[Row]) -> None:
    found = summarised(grid_extension.EXPERIMENT, extended)
    assert "where the knots are nested" in found.sentences[0]
    staircase, sizes = found.pictures
    assert [panel.title for panel in staircase.panels] == ["KAN [2,1,1], gauss-newton", "KAN [2,1,1], lbfgs"]
    assert len(sizes.panels) == 3
    findings_figures.draw(sizes)


def a_stage(grid: int, test: float, parameters: int) -> dict[str, Any]:
    numbers = {"before": 1.0, "after": 1.0 + 1e-14, "train": 1e-3, "typical": 0.5 * test, "steps": 2, "seconds": 1.0}
    return {"grid": grid, "test": test, "parameters": parameters, **numbers}


def test_slopes_stop_at_as_many_parameters_as_values() -> None:
    grids = (5, 10, 20, 40, 80)
    stages = [a_stage(n, 3.0 * n**-4.0 if n < 80 else 1e-12, 15 * n) for n in grids]
    history = {"stage": [0, 4], "step": [1, 7], "train": [1.0, 0.1], "test": [1.0, 9.0]}
    task = Task({"hidden": 5, "optimizer": "lbfgs", "seed": 0, "grids": list(grids), "steps": 2, "seconds": 1.0})
    rows = rows_of(grid_extension.EXPERIMENT, [task], [{"stages": stages, "history": history, "values": 1000}])
    found = summarised(grid_extension.EXPERIMENT, rows)
    columns = table(found, "slopes").columns
    assert columns["slope"] == pytest.approx([-4.0, -4.0])
    assert columns["grids fitted"] == ["5, 10, 20, 40"] * 2
    threshold = found.pictures[0].panels[0].curves[2]
    assert threshold.x.tolist() == [7.0, 7.0]
    assert "by 1e-14 at most (1e-14 of itself) where the knots are nested" in found.sentences[0]


# --- representation ---------------------------------------------------------------------------------------------------


def product_error(intervals: int) -> float:
    x = torch.rand(4000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        return float((representation.product(intervals)(x)[:, 0] - x.prod(1)).square().mean().sqrt())


def test_the_product_written_down_is_one_to_the_splines_order() -> None:
    coarse, fine = product_error(10), product_error(20)
    assert fine < 1e-7
    assert math.log2(coarse / fine) == pytest.approx(4.0, abs=0.2)


def test_hidden_nodes_of_the_product_are_what_it_says() -> None:
    network = representation.product(40)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.25, 0.5]], dtype=torch.float64)
    first = network.spline_layers[0]
    phi = first.activations(first.bases(2.0 * x - 1.0, 0))[0].sum(1)
    expected = torch.stack([torch.log2((x[:, 0] + 1) * (x[:, 1] + 1)) - 1.0, x.sum(1) - 1.0], dim=1)
    torch.testing.assert_close(phi.detach(), expected, atol=1e-7, rtol=0.0)


def test_a_function_is_learned_and_told() -> None:
    shared = {"function": "x/y on [1,2]²", "way": "learned", "intervals": 4, "steps": 20, "seconds": 60.0}
    tasks = [Task({"seed": seed, **shared}) for seed in (0, 1)]
    tasks.append(Task({"function": representation.PRODUCT, "way": "written down", "intervals": 5}))
    trained = [representation.train(task.configuration) for task in tasks]
    assert max(one["rmse"] for one in trained) < 1e-2
    assert trained[0]["parameters"] == 15 * 7
    inner, outer = trained[0]["activations"]
    assert np.shape(inner) == (2, 5, 65)
    assert np.shape(outer) == (5, 1, 65)
    # the activations are those of the network: they give its values back
    axis = 1.0 + (np.arange(65)) / 64
    h = np.array(inner)[0, :, 16] + np.array(inner)[1, :, 48]
    value = sum(np.interp(node, np.linspace(-1.0, 1.0, 65), np.array(outer)[q, 0]) for q, node in enumerate(h))
    assert value == pytest.approx(axis[16] / axis[48], abs=2e-2)
    found = summarised(representation.EXPERIMENT, rows_of(representation.EXPERIMENT, tasks, trained))
    columns = table(found, "errors").columns
    assert columns["function"] == [representation.PRODUCT, "x/y on [1,2]²"]
    assert columns["RMSE, best seed"][1] == min(one["rmse"] for one in trained[:2])
    assert columns["worst"][1] == max(one["rmse"] for one in trained[:2])
    assert columns["seeds"] == [1, 2]
    assert [picture.name for picture in found.pictures] == ["errors", "written_down_1", "learned_3"]
    best = max(trained[:2], key=lambda one: -one["rmse"])
    assert found.pictures[2].panels[7].curves[0].y.tolist() == best["activations"][0][1][2]
