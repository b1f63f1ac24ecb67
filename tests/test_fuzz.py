"""A few of the altered inputs of `fuzzing.py`: what cannot be read is refused by an error meant for users."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from altered import READERS, runs
from commands import command
from fuzzing import SHARES, attempt

from pdekan.output.hdf5 import MAX_LOADED
from pdekan.output.samples import OutputError
from pdekan.runs.directory import fresh_directory
from pdekan.solutions.solution import load_solution

COUNTS = {"problem": 60, "expression": 60, "table": 60, "run": 30, "mesh": 4}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.mark.parametrize("kind", SHARES)
def test_altered_inputs_are_read_or_refused(kind: str, shared: Path) -> None:
    folder = shared / kind
    folder.mkdir()
    failed = [one for one in (attempt(kind, k, 0, folder, timed=False) for k in range(COUNTS[kind])) if one.failed]
    assert failed == []


def test_a_fault_is_noticed(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: an exception that no user should see is a failure."""
    monkeypatch.setitem(READERS, "problem", lambda rng, folder: [][1])
    (shared / "fault").mkdir()
    assert "IndexError" in attempt("problem", 0, 0, shared / "fault", timed=False).result


@pytest.fixture
def run(shared: Path, tmp_path: Path) -> Path:
    """A run's file, to be altered."""
    path = tmp_path / "run" / "solution.vtkhdf"
    path.parent.mkdir()
    path.write_bytes(runs(shared)[0].read_bytes())
    return path


def replaced(path: Path, name: str, **what: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, **what)


def test_a_stated_shape_takes_no_memory(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replaced(run, "pdekan/history/loss", shape=(MAX_LOADED // 4,), dtype="f4", chunks=True, compression="gzip")
    for arguments in (["export", str(run.parent)], ["plot", str(run.parent)], ["prune", str(run.parent)]):
        assert command(*arguments) == 2
        assert "all that is read may take 500 MB in memory" in capsys.readouterr().err


def config(path: Path, old: str, new: str) -> None:
    """Replace a part of the stored configuration."""
    with h5py.File(path, "r") as file:
        text = file["pdekan/config"].asstr()[()]
    assert text.count(old) == 1, text
    replaced(path, "pdekan/config", data=text.replace(old, new), dtype=h5py.string_dtype("utf-8"))


def test_a_stated_width_takes_no_memory(run: Path) -> None:
    config(run, '"widths": [1, 2, 1]', '"widths": [1, 2000000000, 1]')
    with pytest.raises(OutputError, match=r"is stated to need \d+ numbers, and \d+ are stored"):
        load_solution(run)


@pytest.mark.parametrize("name", ["../../../x", "/tmp/x", "..", "", "a\\u0000b"])
def test_a_name_leads_nowhere_else(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    config(run, '"name": "r"', f'"name": "{name}"')
    before = sorted(run.parent.parent.rglob("*"))
    for arguments in (["prune", str(run.parent)], ["export", str(run.parent)]):
        assert command(*arguments) == 2
    assert sorted(run.parent.parent.rglob("*")) == before
    with pytest.raises(OutputError, match="cannot name a directory"):
        fresh_directory("../x")


@pytest.mark.parametrize(
    "outputs", ["7", '{"heat": 7}', '{"heat": {"value": "a"}}', '{"heat": {"value": 1, "times": 3}}', '{"heat": {"valve": 1}}']
)
def test_quantities_of_other_types_are_refused(outputs: str, run: Path) -> None:
    """Run 138 of seed 20261129 had a number in their place."""
    with h5py.File(run, "r") as file:
        stated = json.loads(file["pdekan/config"].asstr()[()])
    stated["summary"]["outputs"] = json.loads(outputs)
    replaced(run, "pdekan/config", data=json.dumps(stated), dtype=h5py.string_dtype("utf-8"))
    with pytest.raises(OutputError, match=r"outputs|misstates"):
        load_solution(run)


def test_a_network_of_nan_is_not_resumed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(run, "r+") as file:
        name = next(name for name in file["pdekan/parameters"] if "coefficients" in name)
        file[f"pdekan/parameters/{name}"][0] = np.nan
        problem = file["pdekan/problem"].asstr()[()]
    (tmp_path / "p.toml").write_text(problem)
    assert command("solve", str(tmp_path / "p.toml"), "--output", str(run.parent), "--resume") == 2
    assert "a parameter of its network is not finite" in capsys.readouterr().err


def test_links_out_of_a_run_are_not_followed(run: Path) -> None:
    with h5py.File(run, "r+") as file:
        del file["pdekan/history"]
        file["pdekan/history"] = h5py.ExternalLink(str(run), "/pdekan/parameters")
    with pytest.raises(OutputError, match="has a link into another file"):
        load_solution(run)
