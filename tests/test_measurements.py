"""Measurements: what is read from a file, what is refused, and what a regression does not train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pdekan.domains.box import box
from pdekan.domains.shapes import annulus
from pdekan.fields.jets import Jet
from pdekan.problem_files.measurements import MIN_VALUES_TO_SPLIT, VALIDATION_FRACTION, read_measurements, split_measurements
from pdekan.problem_files.well_posedness import warnings
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import TrainingOptions
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem

DOMAIN = box(x=(0, 1), y=(0, 2))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "probe.csv"
    path.write_text(text, "utf-8")
    return path


def test_columns_go_where_they_belong(tmp_path: Path) -> None:
    """Columns in any order, others beside them, cells that are missing."""
    path = written(tmp_path, "v,y,sensor,x,u\n1,0.5,left,0,\n,2,right,1,5\n3,1.5,left,0.25,6\n")
    found = read_measurements(path, DOMAIN, ("u", "v"), 0.1)
    assert found.name == "probe"
    assert found.noise == 0.1
    np.testing.assert_array_equal(found.points, [[0.0, 0.5], [1.0, 2.0], [0.25, 1.5]])
    assert list(found.values) == ["u", "v"]
    assert found.skipped == 0
    np.testing.assert_array_equal(found.values["v"], [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,u\n0,1\n", "no column 'y'; its columns are x, u"),
        ("x,y,w\n0,1,2\n", r"no column of an unknown \(u, v\); its columns are x, y, w"),
        ("x,y,u\n", "no measurements"),
        ("x,y,u\n,0,1\n0,,1\n0,0,\n", "no row has both a point and a value"),
        ("x,y,u\ninf,0,1\n", "row 1: a coordinate is no finite number"),
        ("x,y,u\n0,0,1\n0.5,3,1\n2,1,1\n", "2 of 3 points are outside of the domain, the first at x = 0.5, y = 3"),
        ("x,y,u\n0,0,\n0,1,\n", "column 'u' has no finite value"),
        ("x,y,u\n0,0,inf\n", "column 'u' has no finite value"),
        ("x,y,u\n0,0,a\n", r"probe\.csv:2: column 3: cells are not numbers"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=message):
        read_measurements(written(tmp_path, text), DOMAIN, ("u", "v"), None)


def test_rows_without_numbers_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = [f"{x},{y},{x + y}" for x in (0, 0.5, 1) for y in (0, 1, 2)]
    path = written(tmp_path, "\n".join(["x,y,u", *rows[:4], "nan,nan,nan", "0.5,NaN,1", "0.5,0.5,", *rows[4:]]))
    found = read_measurements(path, DOMAIN, ("u",), None)
    assert (len(found.points), found.skipped) == (9, 3)
    np.testing.assert_array_equal(found.values["u"], found.points.sum(1))
    problem = Problem(DOMAIN, data=(found,))
    (warning,) = (one for one in warnings(problem) if "skipped" in one)
    assert "3 of 12 rows" in warning


def test_a_hole_is_outside_and_the_boundary_is_not(tmp_path: Path) -> None:
    ring = annulus((0.0, 0.0), 0.5, 1.0)
    on = [f"{np.cos(a):.17g},{np.sin(a):.17g},1" for a in np.linspace(0.0, 6.0, 20)]
    assert len(read_measurements(written(tmp_path, "\n".join(["x,y,u", *on])), ring, ("u",), None).points) == 20
    with pytest.raises(ProblemError, match=r"1 of 21 points are outside of the domain, the first at x = 0\.1, y = 0"):
        read_measurements(written(tmp_path, "\n".join(["x,y,u", *on, "0.1,0,1"])), ring, ("u",), None)


def regression(count: int, seed: int = 0, **more: object) -> Problem:
    x = np.random.default_rng(1).random((count, 2))
    values = {"u": x[:, 0] + 10.0 * x[:, 1], "v": np.where(x[:, 0] > 0.5, np.nan, x[:, 1])}
    data = (Measurements(x, values, 0.1), Measurements(x[:MIN_VALUES_TO_SPLIT] + 0.5, {"u": x[:MIN_VALUES_TO_SPLIT, 1]}))
    return Problem(DOMAIN, unknowns=("u", "v"), data=data, training=TrainingOptions(seed=seed), **more)  # type: ignore[arg-type]


def test_a_regression_holds_back_a_part_of_every_file() -> None:
    problem = regression(1000)
    fitted, unseen = split_measurements(problem)
    for whole, one, other in zip(problem.data, fitted.data, unseen.data, strict=True):
        assert (one.noise, one.name) == (other.noise, other.name) == (whole.noise, whole.name)
        for name, values in whole.values.items():
            np.testing.assert_array_equal(one.points, whole.points)
            trained, judged = np.isfinite(one.values[name]), np.isfinite(other.values[name])
            np.testing.assert_array_equal(trained ^ judged, np.isfinite(values))  # each to one side
            np.testing.assert_array_equal(one.values[name][trained], values[trained])
            np.testing.assert_array_equal(other.values[name][judged], values[judged])
    share = np.isfinite(unseen.data[0].values["u"]).mean()
    assert share == pytest.approx(
        VALIDATION_FRACTION, abs=4.0 * (VALIDATION_FRACTION * (1.0 - VALIDATION_FRACTION) / 1000) ** 0.5
    )
    assert np.isfinite(unseen.data[1].values["u"]).sum() < MIN_VALUES_TO_SPLIT


def test_what_is_held_back_depends_on_the_seed_alone() -> None:
    first, again, other = (split_measurements(regression(200, seed))[1].data[0].values["u"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_few_data_are_all_trained_on_and_judged_by() -> None:
    problem = regression(MIN_VALUES_TO_SPLIT - 1)
    fitted, unseen = split_measurements(problem)
    for part in (fitted, unseen):
        np.testing.assert_array_equal(part.data[0].values["u"], problem.data[0].values["u"])


def test_every_value_that_was_measured_is_left_to_train_on() -> None:
    """Of v there are two values only; both held back would leave v to chance."""
    x = np.random.default_rng(0).random((400, 2))
    values = {"u": x[:, 0], "v": np.full(400, np.nan)}
    values["v"][[3, 4]] = 1.0
    for seed in range(60):
        problem = Problem(DOMAIN, unknowns=("u", "v"), data=(Measurements(x, values),), training=TrainingOptions(seed=seed))
        for part in split_measurements(problem):
            assert np.isfinite(part.data[0].values["v"]).any(), seed


def test_with_an_equation_all_data_are_used() -> None:
    def equation(u: Jet, v: Jet) -> Jet:
        return u - v

    problem = regression(100, equation=equation, conditions=(dirichlet(0.0),))
    fitted, unseen = split_measurements(problem)
    assert fitted is unseen is problem
