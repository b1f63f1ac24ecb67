"""`pdekan bench`, end to end: three quick problems and a file that is none; what is printed, written, resumed and refused."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import command, files

from pdekan.errors.norms import Errors
from pdekan.output import findings_figures
from pdekan.output.findings import Picture, read_findings
from pdekan.solutions.solution import load_solution
from pdekan.studies import engine, suite
from pdekan.studies.rows import Row, Task, json_data

STRING = """\
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

[training]
seconds = 20

[exact]
u = "sin(pi*x)"
"""
PROBLEMS = {
    "string": STRING,
    # no exact solution, so that nothing is known of the error but its estimate
    "unknown": STRING.split("[exact]")[0].replace("pi**2*sin(pi*x)", "exp(x)"),
    # one step of a tiny network: no claim to have converged
    "short": STRING.replace("seconds = 20", "steps = 1") + "\n[network]\nhidden = [1]\nintervals = 1\n",
    "broken": STRING.replace('operator = "-dx(dx(u))"', 'operator = "-dx(dx(v))"'),
}
FILES = ["errors.png", "errors.svg", "runs", "study.h5", "study.jsonl", "summary.json", "table.md"]
KEYS = {"name", "status", "parameters", "seconds", "l2_relative", "h1_seminorm_relative", "estimate", "honest"}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, with a folder of problems in it, and another file."""
    monkeypatch.chdir(tmp_path)
    _fill(tmp_path / "cases")
    return tmp_path


def _fill(folder: Path) -> None:
    folder.mkdir()
    for name, text in PROBLEMS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "notes.txt").write_text("no problem")


def trained_here(*_: Any, common: dict[str, Any] | None, watch: engine.StudyCallback, **__: Any) -> list[Row]:
    """The engine's `run`, one task after the other, in this process."""
    _train, tasks, directory = _
    path = directory / "study.jsonl"
    rows = [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    for task in tasks:
        if task.key in {row.key for row in rows}:
            continue
        outcome = engine.attempt("pdekan.studies.suite:train", task.configuration | (common or {}))
        rows.append(Row(task.key, task.configuration, **outcome))
        path.write_text("".join(row.line for row in rows))
        if watch(engine.StudyProgress(len(tasks), len(rows), 0, 1, 1.0, None, None, True, rows[-1])) is not None:
            break
    by_key = {row.key: row for row in rows}
    return [by_key[task.key] for task in tasks if task.key in by_key]


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty figures, where it matters only that there are some."""

    def sketch(directory: Path, pictures: Sequence[Picture], suffix: str) -> dict[str, Path]:
        paths = {picture.name: directory / f"{picture.name}{suffix}" for picture in pictures}
        for path in paths.values():
            path.touch()
        return paths

    monkeypatch.setattr(findings_figures, "write_all", sketch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A suite solved by a process of its own, which tests look at but do not change, and what was printed."""
    place = tmp_path_factory.mktemp("finished")
    _fill(place / "cases")
    arguments = ("bench", str(place / "cases"), "--workers", "1", "--output", str(place / "out"), "--json")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert command(*arguments) == 0
    return place / "out", json.loads(out.getvalue())


def test_every_file_is_a_row(finished: tuple[Path, dict[str, Any]]) -> None:
    directory, summary = finished
    rows = {row["name"]: row for row in summary["rows"]}
    assert list(rows) == sorted(PROBLEMS)
    assert all(row.keys() >= KEYS for row in rows.values())
    assert (summary["trainings"], summary["failed"], summary["interrupted"]) == (4, 1, False)
    assert json.loads((directory / "summary.json").read_text()) == summary
    string = rows["string"]
    assert (string["status"], string["honest"]) == ("converged", True)
    assert 0.0 < string["l2_relative"] < string["h1_seminorm_relative"] < 1e-4
    assert string["estimate"] == pytest.approx(string["l2_relative"], rel=0.5)
    assert string["parameters"] > 0
    assert string["seconds"] > 0.0
    assert (rows["unknown"]["status"], rows["unknown"]["honest"], rows["unknown"]["l2_relative"]) == ("converged", None, None)
    assert rows["unknown"]["estimate"] < 1e-4
    assert (rows["short"]["status"], rows["short"]["honest"]) == ("budget", True)
    assert (rows["broken"]["status"], rows["broken"]["honest"], rows["broken"]["parameters"]) == ("failed", None, None)
    assert "broken.toml:9" in rows["broken"]["reason"]
    assert "v" in rows["broken"]["reason"]


def test_files_hold_the_same(finished: tuple[Path, dict[str, Any]]) -> None:
    directory, summary = finished
    assert files(directory) == FILES
    assert sorted(path.name for path in (directory / "runs").iterdir()) == ["short", "string", "unknown"]
    rows = {row["name"]: row for row in summary["rows"]}
    solution = load_solution(directory / rows["string"]["solution"])
    x = np.linspace(0.0, 1.0, 101)[:, None]
    np.testing.assert_allclose(solution(x), np.sin(np.pi * x[:, 0]), atol=1e-5)
    table = (directory / "table.md").read_text()
    assert (
        "4 cases of cases: 1 converged within ten tolerances, 1 converged, error not known, 1 not converged, 1 failed." in table
    )
    assert "| string | converged |" in table
    with h5py.File(directory / "study.h5") as file:
        assert file["tables/cases/l2_relative"][()][2] == rows["string"]["l2_relative"]
    _, findings = read_findings(directory / "study.h5")
    seconds, parameters, bars = findings.pictures[0].panels
    assert [curve.label for curve in seconds.curves] == ["L2", "H1 seminorm"]
    assert parameters.curves[0].x.tolist() == [rows[name]["parameters"] for name in ("short", "string", "unknown")]
    assert [bar.count for bar in bars.bars] == [1, 1, 0, 1, 1]


@pytest.mark.usefixtures("sketched")
def test_an_interrupted_suite_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def struck(*arguments: Any, watch: engine.StudyCallback, **others: Any) -> list[Row]:
        def watched(progress: engine.StudyProgress) -> str | None:
            if progress.done == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return watch(progress)

        return trained_here(*arguments, watch=watched, **others)

    monkeypatch.setattr(engine, "run", struck)
    assert command("bench", "cases", "--json") == 75
    captured = capsys.readouterr()
    assert [row["name"] for row in json.loads(captured.out)["rows"]] == ["broken", "short"]
    assert "2 of 4 trainings are done" in captured.err
    monkeypatch.setattr(engine, "run", trained_here)
    first = Path("outputs/cases_bench/001/study.jsonl").read_text()
    assert command("bench", "cases", "--resume") == 0
    captured = capsys.readouterr()
    assert "2 of 4 trainings are done, 2 are left" in captured.err
    assert "string   converged" in captured.out
    assert Path("outputs/cases_bench/001/study.jsonl").read_text().startswith(first)
    # a file that was changed is solved again, the others are not
    Path("cases/broken.toml").write_text(STRING.replace("20", "21"))
    assert command("bench", "cases", "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 0
    assert len(Path("outputs/cases_bench/001/study.jsonl").read_text().splitlines()) == 5


def test_the_budget_is_that_of_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = [one for one in suite.tasks(Path("cases"), 0.5) if one.configuration["file"].endswith("string.toml")]
    assert suite.load_problem(task.configuration["file"], task.configuration["overrides"]).training.seconds == 0.5
    (own,) = [one for one in suite.tasks(Path("cases"), None) if one.configuration["file"].endswith("string.toml")]
    assert suite.load_problem(own.configuration["file"], own.configuration["overrides"]).training.seconds == 20.0


@pytest.mark.usefixtures("sketched")
def test_another_suite_needs_force_and_leaves_no_solution_behind(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    for name in ("unknown", "short", "broken"):
        (workplace / "cases" / f"{name}.toml").unlink()
    monkeypatch.setattr(engine, "run", trained_here)
    assert command("bench", "cases", "--output", "out") == 0
    (workplace / "out" / "runs" / "string" / "notes.txt").write_text("mine")
    assert command("bench", "cases", "--output", "out") == 2
    (workplace / "cases" / "string.toml").write_text(PROBLEMS["broken"])
    assert command("bench", "cases", "--output", "out", "--force") == 3  # nothing has a solution
    assert files(workplace / "out" / "runs" / "string") == ["notes.txt"]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "nowhere: there is no such folder"),
        ("empty", "empty: no problem files in it (names that end in .toml)"),
        ("cases/string.toml", "cases/string.toml: is not a folder; `pdekan solve` solves one problem"),
    ],
)
def test_what_is_no_folder_of_problems(workplace: Path, capsys: pytest.CaptureFixture[str], folder: str, message: str) -> None:
    (workplace / "empty").mkdir()
    assert command("bench", folder, "--output", "out") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not (workplace / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "what"), [*((one, "not a positive number") for one in ("0", "-1", "nan")), ("soon", "no number")]
)
def test_a_budget_is_a_positive_number(capsys: pytest.CaptureFixture[str], seconds: str, what: str) -> None:
    assert command("bench", "cases", "--seconds", seconds) == 2
    assert f"{seconds!r} is {what}" in capsys.readouterr().err


def _errors(l2_relative: float, reference_l2: float = 0.0) -> Errors:
    numbers = dict.fromkeys(("l2_mean_square", "h1", "h1_relative", "h1_seminorm", "h1_seminorm_mean_square", "linf"), 1.0)
    return Errors(
        l2=2.0 * l2_relative, l2_relative=l2_relative, h1_seminorm_relative=1.0, points=1, reference_l2=reference_l2, **numbers
    )


@pytest.mark.parametrize(
    ("status", "errors", "verdict"),
    [
        ("converged", [_errors(0.9e-3)], True),
        ("converged", [_errors(1.1e-3)], False),
        ("converged", [_errors(1e-9), _errors(0.5)], False),
        ("converged", [_errors(float("nan")), _errors(1e-9)], True),  # an unknown that vanishes
        ("converged", [_errors(float("nan"))], None),
        ("converged", [], None),
        ("budget", [_errors(0.5)], True),
        ("budget", [], None),
        # a reference with an error of its own: 1e-3 relative to a norm of 2
        ("converged", [_errors(0.5e-3, 2e-3)], None),
        ("converged", [_errors(3e-3, 2e-3)], False),
        ("converged", [_errors(0.5e-3, float("nan"))], True),
    ],
)
def test_what_is_honest(status: str, errors: list[Errors], verdict: bool | None) -> None:
    assert suite.honest(status, 1e-4, errors) is verdict


def test_a_wrong_claim_is_counted() -> None:
    outcome = {**dict.fromkeys(suite.COLUMNS, 1.0), "status": "converged", "reason": "sure", "honest": False, "parameters": 5}
    task = Task({"file": "/somewhere/false.toml"})
    found = suite.findings(Path("some"), [Row(task.key, task.configuration, json_data(outcome), None, 1.0)])
    assert found.sentences == ("1 cases of some: 1 converged and wrong.",)
    assert found.tables[0].columns["honest"] == ["no"]
