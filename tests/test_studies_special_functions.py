"""The special functions against mpmath, and what the study makes of trainings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdekan.output.findings import Columns
from pdekan.studies import special_functions as study
from pdekan.studies.rows import Row
from pdekan.studies.special_targets import FUNCTIONS
from pdekan.studies.winners import UNKNOWN


def harmonic(m: int, n: int) -> Callable[[float, float], Any]:
    return lambda x, y: mpmath.spherharm(n, m, y, x).real


INDEPENDENT: dict[str, Callable[[float, float], Any]] = {
    "ellipj(x,y)": lambda x, y: mpmath.ellipfun("sn", x, m=y),
    "ellipkinc(x,y)": mpmath.ellipf,
    "ellipeinc(x,y)": mpmath.ellipe,
    "jv(x,y)": mpmath.besselj,
    "yv(x,y)": mpmath.bessely,
    "kv(x,y)": mpmath.besselk,
    "iv(x,y)": mpmath.besseli,
    **{f"lpmv({m},x,y)": lambda x, y, m=m: mpmath.legenp(x, m, y) for m in (0, 1, 2)},
    **{f"sph_harm({m},{n},x,y)": harmonic(m, n) for m, n in ((0, 1), (1, 1), (0, 2), (1, 2), (2, 2))},
}


def test_there_are_the_papers_fifteen() -> None:
    assert set(FUNCTIONS) == set(INDEPENDENT)
    assert len(FUNCTIONS) == 15


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_what_its_name_says(name: str) -> None:
    target = FUNCTIONS[name].target
    points = target.test_points()[:8]
    expected = [float(mpmath.re(INDEPENDENT[name](*map(float, point)))) for point in points]
    np.testing.assert_allclose(target.formula(points), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_was_published_of_it_agrees_with_itself(name: str) -> None:
    paper = FUNCTIONS[name].paper
    assert paper.best_rmse <= paper.minimal_rmse < study.MINIMAL_ERROR
    # in the paper's table the KAN is better everywhere
    assert paper.best_rmse < paper.mlp_rmse


def test_every_training_is_of_its_own_and_an_interrupted_study_is_one_of_fewer_seeds() -> None:
    tasks = study.tasks(3, quick=False)
    assert len({task.key for task in tasks}) == len(tasks) == 3 * 15 * (len(study.KANS) + len(study.PRODUCTS) + len(study.MLPS))
    assert [task.key for task in study.tasks(2, quick=False)] == [task.key for task in tasks[: 2 * len(tasks) // 3]]
    # a training that starts again takes the next seed, which must not be another's first
    seeds = sorted({task.configuration["seed"] for task in tasks})
    assert min(b - a for a, b in pairwise(seeds)) >= study.STARTS


def test_a_function_of_one_variable_is_learned_by_the_smallest_kan() -> None:
    (task,) = [
        task
        for task in study.tasks(1, quick=False)
        if task.configuration["function"] == "sph_harm(0,1,x,y)" and task.configuration["hidden"] == [1]
    ]
    result = study.train(task.configuration)
    assert result["rmse"] < 1e-7
    assert result["parameters"] == 2 * 11 + 15


@pytest.mark.nightly
def test_most_functions_are_learned_to_five_digits_by_the_largest_kan() -> None:
    tasks = [task for task in study.tasks(1, quick=False) if task.configuration.get("intervals") == [4, 16]]
    results = [study.train(task.configuration) for task in tasks]
    assert len(results) == 15
    assert all(result["parameters"] <= study.MAX_PARAMETERS for result in results)
    assert sum(result["rmse"] <= study.GOOD_ERROR for result in results) >= 12


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(1e-9, 1.0)), max_size=20))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, float]]) -> None:
    front = study.front([(float(size), error) for size, error in points])
    for size, error in front:
        assert not any(s <= size and e <= error and (s, e) != (size, error) for s, e in points)
    for size, error in points:
        assert any(s <= size and e <= error for s, e in front)
    assert front == sorted(front)


def row(function: str, rmse: float, held_back: float, parameters: int, **network: Any) -> Row:
    configuration = {"function": function, "kind": "kan", "hidden": [2], "degree": 7, "intervals": [4, 8], **network}
    return Row("", configuration, {"rmse": rmse, "held_back": held_back, "parameters": parameters}, None, 1.0)


MADE_UP = (
    row("jv(x,y)", 2e-6, 3e-6, 74),  # chosen: what is held back says so
    row("jv(x,y)", 1e-6, 4e-6, 74),
    row("jv(x,y)", 1e-9, 1e-9, 501, hidden=[20]),  # too large
    row("jv(x,y)", 2e-2, 2e-2, 37, hidden=[1]),
    row("jv(x,y)", 1e-7, 1e-7, 160, hidden=[5], products=True),
    row("jv(x,y)", 5e-6, 5e-6, 81, kind="mlp", hidden=[20]),
    row("iv(x,y)", 3e-5, 3e-5, 74),
    row("iv(x,y)", 9e-3, 9e-3, 37, hidden=[1]),
    row("iv(x,y)", 2e-5, 2e-5, 81, kind="mlp", hidden=[20]),
    row("kv(x,y)", 3e-5, 3e-5, 74),
    row("kv(x,y)", 1e-6, 1e-6, 81, kind="mlp", hidden=[20]),
)


def table(tables: tuple[Columns, ...], name: str) -> dict[str, dict[str, Any]]:
    """A table's rows by function."""
    (columns,) = [one.columns for one in tables if one.name == name]
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return {row["function"]: row for row in rows}


def test_the_best_are_chosen_by_what_was_held_back() -> None:
    best = table(study.findings(MADE_UP).tables, "best")
    assert best["jv(x,y)"]["KAN RMSE"] == 2e-6
    assert best["jv(x,y)"]["MLP RMSE"] == 5e-6
    assert best["jv(x,y)"]["KAN of products RMSE"] == 1e-7
    assert np.isnan(best["iv(x,y)"]["KAN of products RMSE"])
    assert {name: cells["winner"] for name, cells in best.items()} == {"jv(x,y)": "KAN", "iv(x,y)": "even", "kv(x,y)": "MLP"}


def test_the_minimal_kan_is_the_smallest_that_will_do() -> None:
    minimal = table(study.findings(MADE_UP).tables, "minimal")
    assert [minimal[name]["minimal KAN"] for name in ("jv(x,y)", "iv(x,y)")] == ["[2,2,1]", "[2,1,1]"]
    assert minimal["jv(x,y)"]["RMSE"] == 1e-6  # of its best seed
    nothing = study.findings([row("jv(x,y)", 0.1, 0.1, 74)])
    assert table(nothing.tables, "minimal")["jv(x,y)"]["minimal KAN"] == UNKNOWN


def test_the_sentences_count() -> None:
    good, won, products, paper = study.findings(MADE_UP).sentences
    assert "for 1 of 3 functions" in good
    assert "better for jv(x,y); the MLP for kv(x,y); they are even for iv(x,y)" in won
    assert "for jv(x,y)." in products
    assert "for 2 of 3 functions" in paper  # jv and iv; the paper's kv has 2.52e-5


def test_the_figure_has_the_fronts() -> None:
    (picture,) = study.findings(MADE_UP).pictures
    assert [panel.title for panel in picture.panels] == ["jv(x,y)", "kv(x,y)", "iv(x,y)"]
    curves = {curve.label: curve for curve in picture.panels[0].curves}
    assert curves["KAN: Pareto front"].x.tolist() == [37, 74, 501]
    assert curves["KAN: Pareto front"].y.tolist() == [2e-2, 1e-6, 1e-9]
    assert curves["KAN of products"].y.tolist() == [1e-7]
