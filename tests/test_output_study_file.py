"""study.h5: what h5py and pandas users see in it, and that it reads back to the same study."""

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import scaling_runs
from hypothesis import given, settings
from hypothesis import strategies as st

from pdekan.output.samples import OutputError
from pdekan.output.study import LimitPoint, PaperPoint, Run, Slope, Spread, Study, read_study, write_study

HISTORY = {
    "step": np.array([0.0, 1.0, 2.0]),
    "seconds": np.array([0.1, 0.2, 0.4]),
    "loss": np.array([1.0, 1e-3, 5e-324]),
    "l2_mean_square": np.array([1.0, np.nan, 1e-6]),
    "h1_mean_square": np.array([2.0, np.nan, 1e-4]),
}


def a_run(key: str = "0f3a", **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "seed": 7,
        "reason": "no step lowers the loss any further; größer geht nicht ∎",
        "seconds": 0.1 + 0.2,
        "loss": 5e-324,
        "relative_residual": 1 / 3,
        "h1_seminorm_relative": math.nan,
        "history": HISTORY,
    }
    return scaling_runs.a_run(1e-6, key=key, **(fields | changes))


FAILED = a_run(
    "0f3b",
    kind="mlp",
    curve="MLP depth 2",
    widths=(2, 40, 1),
    status="failed",
    reason="",
    loss=math.nan,
    counts=False,
    history={},
)
STUDY = Study(
    name="poisson",
    title="Poisson's equation, Δu = f",
    problem_text='schema = 1\r\nname = "größe"\n' + "# long\n" * 20000,
    command="pdekan scaling poisson --seeds 2",
    environment={"threads": 1, "torch": "2.9"},
    runs=(a_run(), FAILED),
    spreads=(Spread("KAN [2,5,1]", "l2", 150, 1, 0, 1e-6, 1e-7, 1e-5),),
    slopes=(
        Slope("KAN [2,5,1]", "l2", -4.5, -5.0, math.nan, -8.0, (30, 60, 90), 9, "120 left out"),
        Slope("MLP depth 2", "l2", math.nan, math.nan, math.nan, math.nan, (), 0, "no slope"),
    ),
    limit=(LimitPoint(3, 8, 81, 1e-5, 1e-3), LimitPoint(3, 16, 289, 1e-7, 1e-4)),
    paper=(PaperPoint("KAN [2,5,1]", False, 30.0, 7e-4, 4.8e-2), PaperPoint("KAN", True, math.nan, 9e-8, math.nan)),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_study(tmp_path / "study.h5", STUDY)
    return tmp_path / "study.h5"


def assert_same(found: object, wanted: object) -> None:
    """Of the same types and equal to the bit, NaN too."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        assert list(found) == list(wanted)
        for name in wanted:
            assert_same(found[name], wanted[name])
    elif isinstance(wanted, np.ndarray):
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, tuple):
        assert isinstance(found, tuple)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b)
    elif isinstance(wanted, (Study, Run, Spread, Slope, LimitPoint, PaperPoint)):
        for field in fields(wanted):
            assert_same(getattr(found, field.name), getattr(wanted, field.name))
    else:
        assert repr(found) == repr(wanted)


def test_a_study_reads_back_the_same(path: Path) -> None:
    assert_same(read_study(path), STUDY)


def test_a_study_without_anything_reads_back_too(tmp_path: Path) -> None:
    empty = replace(STUDY, runs=(), spreads=(), slopes=(), limit=(), paper=(), problem_text="", title="", environment={})
    write_study(tmp_path / "study.h5", empty)
    assert_same(read_study(tmp_path / "study.h5"), empty)


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40)
@given(text, text, st.floats(), st.integers(-(2**63), 2**63 - 1), st.lists(st.integers(0, 10**6), max_size=4), st.booleans())
def test_any_row_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, reason: str, number: float, whole: int, widths: list[int], flag: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "study.h5"
    rows = (a_run("a", curve=name, loss=number, seed=whole, counts=flag), a_run("b", reason=reason, widths=tuple(widths)))
    study = replace(STUDY, title=name, problem_text=reason, runs=rows)
    write_study(path, study)
    assert_same(read_study(path), study)


def test_tables_are_columns_that_need_no_pdekan(path: Path) -> None:
    with h5py.File(path) as file:
        assert dict(file.attrs) == {
            "schema": 1,
            "kind": "scaling",
            "name": STUDY.name,
            "title": STUDY.title,
            "command": STUDY.command,
        }
        assert file["problem"].asstr()[()] == STUDY.problem_text
        assert json.loads(file["environment"].asstr()[()]) == STUDY.environment
        runs = file["runs"]
        assert list(runs) == [field.name for field in fields(Run) if field.name != "history"]
        assert {column.shape for column in runs.values()} == {(2,)}
        for name, kind in (("seed", np.int64), ("counts", np.int64), ("loss", np.float64), ("l2_relative", np.float64)):
            assert runs[name].dtype == kind
        for name in ("key", "curve", "reason", "widths"):
            info = h5py.check_string_dtype(runs[name].dtype)
            assert (info.encoding, info.length is not None) == ("utf-8", True)
        assert runs["widths"].asstr()[()].tolist() == ["2,5,1", "2,40,1"]
        assert runs["counts"][()].tolist() == [1, 0]
        np.testing.assert_array_equal(runs["loss"], [5e-324, np.nan])
        np.testing.assert_array_equal(file["history/0f3a/l2_mean_square"], HISTORY["l2_mean_square"])
        assert list(file["history/0f3a"]) == list(HISTORY)
        assert list(file["history"]) == ["0f3a", "0f3b"]
        assert file["summary/slopes/sizes"].asstr()[()].tolist() == ["30,60,90", ""]
        assert file["limit/unknowns"][()].tolist() == [81, 289]
        assert file["paper/training"][()].tolist() == [0, 1]


def test_pandas_makes_a_frame_of_a_table_as_the_module_says(path: Path) -> None:
    with h5py.File(path) as file:
        frame = pd.DataFrame({name: c.asstr()[()] if c.dtype.kind == "S" else c[()] for name, c in file["runs"].items()})
    assert frame["reason"].tolist() == [run.reason for run in STUDY.runs]
    assert frame.groupby("curve")["l2_mean_square"].median().to_dict() == {"KAN [2,5,1]": 1e-6, "MLP depth 2": 1e-6}
    assert frame["loss"].isna().tolist() == [False, True]


def test_the_old_file_stays_where_the_new_one_cannot_be_written(path: Path) -> None:
    before = path.read_bytes()
    for broken in (
        replace(STUDY, runs=(a_run(reason="a\0b"),)),
        replace(STUDY, title="a\0b"),
        replace(STUDY, environment={"threads": object()}),
    ):
        with pytest.raises(OutputError, match=r"NUL|JSON"):
            write_study(path, broken)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["study.h5"]


@pytest.mark.parametrize("key", ["", ".", "..", "a/b"])
def test_keys_that_hdf5_would_split_are_refused(key: str) -> None:
    with pytest.raises(OutputError, match="cannot name a run"):
        a_run(key)


def test_two_runs_of_one_key_are_refused() -> None:
    with pytest.raises(OutputError, match="runs repeat: 0f3a"):
        replace(STUDY, runs=(a_run(), FAILED, a_run(seed=8)))


def change(name: str, data: Any = None) -> Callable[[h5py.File], None]:
    """Replace a dataset or remove it."""

    def changed(file: h5py.File) -> None:
        del file[name]
        if data is not None:
            file[name] = data

    return changed


def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def changed(file: h5py.File) -> None:
        file.attrs[name] = value

    return changed


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (attribute("kind", "solution"), "'kind' is 'solution'"),
        (attribute("schema", 2), "schema 2"),
        (attribute("title", 5), "no attribute 'title'"),
        (change("problem"), "no text /problem"),
        (change("environment", "[1]"), "not a JSON object"),
        (change("environment", "{"), "not JSON"),
        (change("runs"), "no group /runs"),
        (change("runs", 3), "no group /runs"),
        (change("summary"), "no group /summary/spreads"),
        (change("runs/seed"), "no column /runs/seed"),
        (change("runs/seed", np.array([1.5, 2.5])), "/runs/seed holds float64"),
        (change("runs/seed", np.array([b"1", b"2"])), "/runs/seed holds"),
        (change("runs/curve", np.array([1, 2])), "/runs/curve holds int64"),
        (change("runs/seed", np.array([1, 2, 3])), "differ in length"),
        (change("runs/seed", np.int64(3)), "no column /runs/seed"),
        (change("runs/widths", np.array([b"2,5,1", b"2;5"])), "whole numbers"),
        (change("runs/reason", np.array([b"\xff", b""], dtype=h5py.string_dtype("utf-8", 1))), "UTF-8 is needed"),
        (change("history/0f3a"), "no group /history/0f3a"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(path: Path, damage: Callable[[h5py.File], None], words: str) -> None:
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(OutputError, match=words) as caught:
        read_study(path)
    assert str(path) in str(caught.value)


def test_no_file_and_no_hdf5_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"):
        read_study(tmp_path / "study.h5")
    (tmp_path / "study.h5").write_text("key,curve\n")
    with pytest.raises(OutputError, match="not an HDF5 file"):
        read_study(tmp_path / "study.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(OutputError, match="not a scaling study"):
        read_study(tmp_path / "other.h5")
