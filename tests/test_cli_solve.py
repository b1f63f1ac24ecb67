"""`pdekan solve`, and `export` and `plot` of its runs: exit codes, streams, and what is on the disk afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import DRAWN, HOPELESS, QUICK, SQUARE, TINY, contents, everything, solved
from commands import command

from pdekan.output.vtkhdf import read_samples
from pdekan.problem_files.loader import load_problem
from pdekan.runs import directory
from pdekan.solutions.solution import load_solution

# names that scripts rely on
SUMMARY = {
    "schema", "name", "status", "run", "seed", "parameters", "parameters_paper", "iterations", "seconds", "residual",
    "condition_residual", "errors", "bound", "parameters_found", "files",
}  # fmt: skip
ERRORS = {
    "l2", "l2_relative", "l2_mean_square", "h1", "h1_relative", "h1_seminorm", "h1_seminorm_relative",
    "h1_seminorm_mean_square", "linf",
}  # fmt: skip


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that tests look at but do not change, and what was printed about it."""
    return solved(tmp_path_factory.mktemp("finished"))


# --- solve


def test_solve_writes_a_run_and_prints_one_object(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    assert set(summary) >= SUMMARY
    assert set(summary["errors"]) == {"u"}
    assert set(summary["errors"]["u"]) >= ERRORS
    assert summary["schema"] == 1
    assert summary["name"] == "tiny"
    assert summary["status"] == "converged"
    assert summary["run"] == str(folder)
    assert summary["parameters"] == 4 * (4 + 5)
    assert summary["parameters_paper"] == 4 * 4
    assert summary["errors"]["u"]["l2_relative"] < 1e-5
    assert summary["bound"] is None
    assert summary["parameters_found"] == {}
    assert {"solution", "history", "problem", "summary", "figure_solution", "figure_error"} <= set(summary["files"])
    assert set(summary["files"].values()) == {str(path) for path in folder.iterdir()}
    assert (folder / "problem.toml").read_text() == TINY


def test_the_norms_printed_fit_together(finished: tuple[Path, dict[str, Any]]) -> None:
    e = finished[1]["errors"]["u"]
    # on the unit interval the mean square is the square; the norms of sin(pi x) and of its slope are known
    assert e["h1"] ** 2 == pytest.approx(e["l2"] ** 2 + e["h1_seminorm"] ** 2)
    assert e["l2_mean_square"] == pytest.approx(e["l2"] ** 2)
    assert e["l2_relative"] == pytest.approx(e["l2"] / np.sqrt(0.5))
    assert e["h1_seminorm_relative"] == pytest.approx(e["h1_seminorm"] / (np.pi * np.sqrt(0.5)))
    # and the errors are those of the solution that was written
    x = np.linspace(0.0, 1.0, 2001)
    solution = load_solution(finished[0] / directory.SOLUTION)
    error = solution(x[:, None]) - np.sin(np.pi * x)
    assert e["linf"] == pytest.approx(np.abs(error).max(), rel=0.01)
    assert e["l2"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.01)


def test_files_of_a_run_are_strict_json(finished: tuple[Path, dict[str, Any]]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    folder, summary = finished
    assert json.loads((folder / "summary.json").read_text(), parse_constant=refuse) == summary
    rows = [json.loads(line, parse_constant=refuse) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, summary["iterations"] + 1))
    assert rows[-1]["loss"] <= rows[0]["loss"]


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--json", *QUICK) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert json.loads(captured.out) == json.loads(Path("outputs/tiny/001/summary.json").read_text())
    assert "stage 1/3 step 1 loss" in captured.err
    assert "{" not in captured.err


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", *QUICK) == 0
    captured = capsys.readouterr()
    for words in ("converged", "KAN [1, 2, 1], degree 5, intervals 4, 36 parameters", "error of u", "outputs/tiny/001"):
        assert words in captured.out
    assert "step 1 loss" not in captured.out
    assert "\x1b" not in captured.out  # no colours into a file


def test_fresh_directories_are_numbered(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("001", "002"):
        assert command("solve", "tiny.toml", "--json", *QUICK) == 0
        assert Path(json.loads(capsys.readouterr().out)["run"]) == Path("outputs/tiny") / number
    assert sorted(path.name for path in (workplace / "outputs/tiny").iterdir()) == ["001", "002"]


@pytest.mark.usefixtures("blank_figures")
def test_figures_may_be_left_out_and_drawn_later(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", *QUICK, "--output", "run", "--json") == 0
    assert not [name for name in json.loads(capsys.readouterr().out)["files"] if name.startswith("figure")]
    assert not list((workplace / "run").glob("*.png"))
    assert command("plot", "run") == 0
    assert (workplace / "run" / "solution.png").exists()


@pytest.mark.usefixtures("blank_figures")
def test_options_reach_the_solver(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seed", "7", "--tolerance", "0.02", "--set", "network.hidden=[3]", "--set", "network.base=silu"]
    assert command("solve", "tiny.toml", "--json", "--output", "out", *options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["seed"] == 7
    assert summary["tolerance"] == 0.02
    assert summary["network"]["widths"] == [1, 3, 1]
    assert summary["network"]["base"] == "silu"
    # the problem that was kept is the one that was solved, not the one in the file
    kept = load_problem(Path("out/problem.toml"))
    assert kept.training.seed == 7
    assert kept.network.hidden == (3,)
    stored = load_solution("out/solution.vtkhdf").problem
    assert stored is not None
    assert stored.text == Path("out/problem.toml").read_text()


def test_a_seed_repeats_a_run_and_another_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    errors = []
    for seed in ("1", "1", "2"):
        command("solve", "tiny.toml", "--json", "--seed", seed, *HOPELESS)
        errors.append(json.loads(capsys.readouterr().out)["errors"]["u"]["l2"])
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)
    assert errors[0] != pytest.approx(errors[2], rel=1e-3)


@pytest.mark.usefixtures("blank_figures")
def test_what_does_not_converge_is_written_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--json", *HOPELESS[:-1]) == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["status"] == "budget"
    assert summary["iterations"] == 1
    assert all(Path(path).is_file() for path in summary["files"].values())
    assert load_solution("outputs/tiny/001/solution.vtkhdf").status == "budget"


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("kind", ["kan", "mlp"])
def test_every_optimizer_trains_every_network(kind: str, optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"network.kind={kind}", f"training.optimizer={optimizer}", "training.steps=5", "training.tolerance=1e-9"]
    sets = [part for setting in settings for part in ("--set", setting)]
    (Path("square.toml")).write_text(SQUARE.replace("degree = 5\nintervals = 4\n", ""))
    assert command("solve", "square.toml", "--json", "--no-figures", "--no-estimate", *sets) == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["network"]["kind"] == kind
    assert summary["iterations"] == 5


def test_an_existing_run_is_not_overwritten_unless_forced(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["solve", "tiny.toml", "--output", "kept", *QUICK]
    assert command(*arguments) == 0
    before = contents(workplace)
    capsys.readouterr()
    assert command(*arguments, "--seed", "5") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for words in ("kept", "--force", "--resume"):
        assert words in captured.err
    assert contents(workplace) == before
    assert command(*arguments, "--seed", "5", "--force") == 0
    assert json.loads(Path("kept/summary.json").read_text())["seed"] == 5


@pytest.mark.usefixtures("blank_figures")
def test_forced_runs_leave_nothing_of_the_earlier_one(workplace: Path) -> None:
    assert command("solve", "tiny.toml", "--output", "kept", *DRAWN) == 0
    (workplace / "tiny.toml").write_text(TINY.replace('[exact]\nu = "sin(pi*x)"\n', ""))
    assert command("solve", "tiny.toml", "--output", "kept", "--force", *DRAWN) == 0
    summary = json.loads(Path("kept/summary.json").read_text())
    assert set(summary["files"].values()) == {str(path) for path in Path("kept").iterdir()}


@pytest.mark.usefixtures("blank_figures")
def test_forced_runs_remove_the_figures_of_earlier_unknowns_and_no_file_of_the_user(workplace: Path) -> None:
    assert command("solve", "tiny.toml", "--output", "kept", *DRAWN) == 0
    kept = Path("kept")
    summary = json.loads((kept / "summary.json").read_text())
    summary["files"]["figure_solution_v"] = "where/it/was/then/solution_v.png"
    (kept / "summary.json").write_text(json.dumps(summary))
    for name in ("solution_v.png", "solution_notes.png"):
        (kept / name).write_bytes(b"")
    assert command("solve", "tiny.toml", "--output", "kept", "--force", *DRAWN) == 0
    assert not (kept / "solution_v.png").exists()
    assert (kept / "solution_notes.png").exists()
    (kept / "summary.json").write_text("[]")
    assert command("solve", "tiny.toml", "--output", "kept", "--force", *DRAWN) == 0


def test_an_empty_directory_may_be_given_but_not_a_file(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "empty").mkdir()
    assert command("solve", "tiny.toml", "--output", "empty", *QUICK) == 0
    assert (workplace / "empty" / "solution.vtkhdf").is_file()
    (workplace / "file").write_text("mine")
    assert command("solve", "tiny.toml", "--output", "file", "--force") == 2
    assert (workplace / "file").read_text() == "mine"
    assert "not a directory" in capsys.readouterr().err


# --- export and plot


@pytest.fixture
def copied(finished: tuple[Path, dict[str, Any]], workplace: Path) -> Path:
    """A run of one's own: only its solution, which is all that later commands need."""
    (workplace / "run").mkdir()
    (workplace / "run" / directory.SOLUTION).write_bytes((finished[0] / directory.SOLUTION).read_bytes())
    return Path("run")


@pytest.mark.parametrize("given", ["run", "run/solution.vtkhdf"])
def test_export_evaluates_the_solution(copied: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", given, "--grid", "23", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"schema": 1, "file": "run/export.vtkhdf"}
    samples = read_samples("run/export.vtkhdf")
    (axis,) = samples.layout.axes
    np.testing.assert_array_equal(axis.values, np.linspace(0.0, 1.0, 23))
    solution = load_solution(copied / directory.SOLUTION)
    np.testing.assert_allclose(samples.fields["u"], solution(axis.values[:, None]), rtol=1e-13, atol=1e-15)
    # an export is a solution again
    np.testing.assert_array_equal(load_solution("run/export.vtkhdf")([[0.3]]), solution([[0.3]]))


def test_export_to_a_file_in_two_dimensions(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "square.toml").write_text(SQUARE)
    assert command("solve", "square.toml", "--output", "square", *HOPELESS) == 3
    assert command("export", "square", "--grid", "4x7", "--to", "grid.vtkhdf") == 0
    assert "wrote grid.vtkhdf" in capsys.readouterr().out
    samples = read_samples("grid.vtkhdf")
    assert samples.shape == (4, 7)
    points = np.stack(np.meshgrid(*(axis.values for axis in samples.layout.axes), indexing="ij"), axis=-1).reshape(-1, 2)
    assert points[-1].tolist() == [1.0, 2.0]
    solution = load_solution("square/solution.vtkhdf")
    np.testing.assert_allclose(samples.fields["u"].ravel(), solution(points), rtol=1e-12, atol=1e-14)


def test_export_does_not_overwrite(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.vtkhdf").write_text("mine")
    assert command("export", "run", "--grid", "5", "--to", "mine.vtkhdf") == 2
    assert "--force" in capsys.readouterr().err
    assert Path("mine.vtkhdf").read_text() == "mine"
    assert command("export", "run", "--grid", "5", "--to", "mine.vtkhdf", "--force") == 0
    assert read_samples("mine.vtkhdf").shape == (5,)
    # not even its own run
    assert command("export", "run", "--grid", "5", "--to", "run/solution.vtkhdf") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "run", "--grid", "5x5"], "grid 5x5: it needs a number for each of x, at least 2"),
        (["export", "run", "--to", "none/grid.vtkhdf"], "none"),
        (["export", "none"], "none: no run here"),
        (["export", "tiny.toml"], "tiny.toml: a problem file is no run; `pdekan solve tiny.toml` makes one of it"),
        (["plot", "none"], "none: no run here"),
        (["plot", "."], "no run here"),
        (["plot", "tiny.toml", "--to", "pictures"], "tiny.toml: a problem file is no run"),
    ],
)
def test_exports_and_plots_that_cannot_be(
    copied: Path, workplace: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(workplace)
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert everything(workplace) == before


def test_plot_draws_the_figures_again(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plot", "run") == 0
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines()]
    names = {"solution.png", "exact.png", "error.png", "residual.png", "history.png", "network.png"}
    assert {path.name for path in drawn} == names
    assert all(path.parent == copied and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in drawn)


def test_plot_as_svg_elsewhere(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plot", "run/solution.vtkhdf", "--format", "svg", "--to", "pictures/new", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    for name, path in answer["files"].items():
        assert Path(path) == Path("pictures/new") / f"{name}.svg"
        assert "<svg" in Path(path).read_text()
    assert os.listdir(copied) == [directory.SOLUTION]
