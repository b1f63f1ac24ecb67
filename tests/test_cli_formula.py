"""`pdekan formula`: what is printed, what is written, and what is refused."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pdekan import cli
from pdekan.output import vtkhdf
from pdekan.problem_files.loader import load_problem
from pdekan.runs import directory as runs
from pdekan.solutions.solution import load_solution
from pdekan.symbolic import report, search
from pdekan.training import solver

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the sine, with a network that represents it."""
    settings = [
        "network.hidden=[2]",
        "network.degree=7",
        "network.intervals=[4, 8]",
        "training.seconds=30",
        "training.steps=20",
    ]
    solution = solver.solve(load_problem("poisson_sine", settings), estimate=False)
    directory = tmp_path_factory.mktemp("run")
    runs.write(solution, directory, figures=False)
    return directory


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_formula_is_printed_and_written(run: Path, capsys: Capture) -> None:
    before = load_solution(run / runs.SOLUTION)
    assert cli.main(["formula", str(run)]) == 0
    told = capsys.readouterr().out
    assert "sin(pi*x)*sin(pi*y)" in told
    assert "exact: " in told
    after = load_solution(run / runs.SOLUTION)
    assert after.formula is not None
    assert after.formula["verdict"] == "exact"
    assert str(report.expressions(after.formula, ("x", "y"))["u"]) == "sin(pi*x)*sin(pi*y)"
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 2))
    np.testing.assert_array_equal(after(points), before(points))
    module = runpy.run_path(str(run / runs.MODULE))
    assert module["u"](0.5, 0.25) == pytest.approx(np.sin(np.pi / 4))
    assert {"formula.png", "formula.svg"} <= {path.name for path in run.iterdir()}


def test_json_is_one_object_with_all_of_it(run: Path, capsys: Capture) -> None:
    assert cli.main(["formula", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "exact"
    assert told["text"] == {"u": "sin(pi*x)*sin(pi*y)"}
    assert all(check["zero"] for check in told["checks"])
    assert set(told) >= {"schema", "name", "run", "latex", "srepr", "python", "parameters", "seconds", "files"}
    assert all(Path(path).is_file() for path in told["files"].values())


def test_where_none_is_found_the_run_stays_as_it_was(run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    monkeypatch.setattr(search, "find", lambda *_, **__: None)
    assert cli.main(["formula", str(run), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "none"
    assert cli.main(["formula", str(run)]) == 3
    assert search.NONE in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_edges_are_named(run: Path, capsys: Capture) -> None:
    assert cli.main(["formula", str(run), "--edges", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["edges"]) == 6
    assert {one["families"][0][0] for one in told["edges"] if one["layer"] == 0} == {"x**1"}


def _without_problem(directory: Path) -> None:
    file = directory / runs.SOLUTION
    vtkhdf.write(file, vtkhdf.read_samples(file), replace(vtkhdf.read_record(file), problem_text=None))


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda directory: None, ["--seconds", "0"], "a time above zero"),
        (lambda directory: (directory / runs.SOLUTION).unlink(), [], "no run here"),
        (_without_problem, [], "stated in Python"),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Path, capsys: Capture, change: Callable[[Path], None], options: list[str], words: str
) -> None:
    change(run)
    assert cli.main(["formula", str(run), *options]) == 2
    assert words in capsys.readouterr().err
