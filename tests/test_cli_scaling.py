"""`pdekan scaling`, end to end, with real trainings in processes of their own: what is printed, written and drawn again."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import command, files
from experiments import stand_in
from scaling_commands import STRING, TINY, sketch

from pdekan import cli
from pdekan.output import study_figures
from pdekan.output.study import read_study
from pdekan.studies import engine, scaling

FILES = ["scaling.png", "scaling.svg", "seconds.png", "seconds.svg", "study.h5", "study.jsonl", "summary.json", "table.md"]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "string.toml").write_text(STRING)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A study that tests look at but do not change, what was printed about it, and what was said meanwhile."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "string.toml").write_text(STRING)
    arguments = ["scaling", str(folder / "string.toml"), *TINY, "--workers", "1", "--output", str(folder / "out"), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_figures, "write_all", sketch)
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            assert cli.main(arguments) == 0
    return folder / "out", json.loads(out.getvalue()), err.getvalue()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, sketched: None) -> None:
    """Trainings in this process, without a cluster."""
    monkeypatch.setattr(engine, "run", stand_in(scaling.train))


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_figures, "write_all", sketch)


# --- a study


def test_a_study_says_all_of_its_runs(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = finished
    assert (summary["schema"], summary["name"], summary["study"]) == (1, "string", str(folder))
    assert summary["interrupted"] is False
    assert summary["failed"] == 0
    assert [(r["curve"], r["widths"], r["intervals"], r["optimizer"]) for r in summary["runs"]] == [
        *(("KAN [1,2,1]", [1, 2, 1], n, "gauss-newton") for n in (2, 3, 4)),
        *(("MLP depth 2", [1, 3, 1], 0, name) for name in ("gauss-newton", "ssbroyden", "lbfgs")),
    ]
    assert sum(r["counts"] for r in summary["runs"] if r["kind"] == "mlp") == 1
    assert summary["seconds"] == pytest.approx(sum(r["seconds"] for r in summary["runs"]))
    assert {s["curve"] for s in summary["slopes"]} == {"KAN [1,2,1]", "MLP depth 2"}
    assert [p["intervals"] for p in summary["limit"]] == [2, 3, 4]
    assert summary["paper"] == []
    best = min(r["l2_relative"] for r in summary["runs"])
    assert 0.0 < best < 0.05


def test_a_studys_files_are_all_there_and_agree(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = finished
    assert files(folder) == FILES
    assert sorted(Path(path).name for path in summary["files"].values()) == FILES
    assert json.loads((folder / "summary.json").read_text()) == summary
    study = read_study(folder / "study.h5")
    assert [run.key for run in study.runs] == [r["key"] for r in summary["runs"]]
    assert study.command.startswith("pdekan scaling ")
    assert study.runs[0].history["l2_mean_square"][-1] == pytest.approx(study.runs[0].l2_mean_square, rel=0.05)
    table = (folder / "table.md").read_text()
    assert all(f"[1,2,1] × {n}" in table for n in (2, 3, 4))
    assert f"Made by `{study.command}`." in table
    keys = [json.loads(line)["key"] for line in (folder / "study.jsonl").read_text().splitlines()]
    assert sorted(keys) == sorted(run.key for run in study.runs)


def test_the_dashboards_address_is_told_once(finished: tuple[Path, dict[str, Any], str]) -> None:
    assert finished[2].count("dashboard: http://127.0.0.1:") == 1


@pytest.mark.usefixtures("here")
def test_text_shows_tables_and_where_the_study_is(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("scaling", "string.toml", *TINY) == 0
    captured = capsys.readouterr()
    for word in ("Mean square errors by size", "Slopes of log error by log size", "[1,2,1] × 3", "MLP depth 2"):
        assert word in captured.out
    header, *rows = captured.out.splitlines()[1:5]
    assert all(row[header.index("network") :].startswith("[1,") for row in rows)
    assert captured.out.endswith(f"study  {Path('outputs/string_scaling/001')}\n")
    assert files(workplace / "outputs" / "string_scaling" / "001") == FILES


@pytest.mark.usefixtures("sketched")
def test_the_best_of_each_kind_is_shown_as_rows_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = iter((0.3, 0.2, 0.25, 0.7))

    def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
        return scaling.train(configuration) | {"l2_relative": next(errors)}

    monkeypatch.setattr(engine, "run", stand_in(train, "http://here"))
    monkeypatch.setattr("pdekan.output.progress_bar.LINE_SECONDS", 0.0)
    assert command("scaling", "string.toml", *TINY, "--mlp-optimizer", "lbfgs") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "dashboard: http://here"
    assert lines[1].endswith("0 done, 0 failed, 4 left")
    assert lines[-1].endswith("4 done, 0 failed, 0 left, L2 KAN 2e-01, MLP 7e-01")


def test_quick_gives_way_to_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[scaling.Plan] = []

    def trials(_: Any, plan: scaling.Plan) -> None:
        plans.append(plan)
        raise OSError("enough")

    monkeypatch.setattr(scaling, "trials", trials)
    assert command("scaling", "string.toml") == 2
    assert command("scaling", "string.toml", "--quick") == 2
    given = ("--hidden", "5,7x3,5", "--intervals", "9,4,9", "--degree", "4", "--optimizer", "lbfgs,adam", "--mlp", "6")
    assert (
        command("scaling", "string.toml", "--quick", *given, "--mlp-optimizer", "adam", "--seeds", "2", "--seconds", "9") == 2
    )
    usual, quick, mine = plans
    assert usual == scaling.Plan()
    assert quick == scaling.QUICK
    assert mine == scaling.Plan(((5,), (7, 3)), (4, 9), 4, ("lbfgs", "adam"), ((6,),), ("adam",), 2, 9.0)


# --- plot


@pytest.fixture
def copied(finished: tuple[Path, dict[str, Any], str], workplace: Path) -> Path:
    """A study of one's own: only its HDF5 file."""
    (workplace / "study").mkdir()
    (workplace / "study" / "study.h5").write_bytes((finished[0] / "study.h5").read_bytes())
    return Path("study")


def test_plot_draws_a_studys_figures_again(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plot", "study/study.h5", "--format", "svg", "--to", "pictures/new", "--json") == 0
    drawn = json.loads(capsys.readouterr().out)["files"]
    assert drawn == {name: f"pictures/new/{name}.svg" for name in ("scaling", "seconds")}
    assert all("KAN [1,2,1]" in Path(path).read_text() for path in drawn.values())
    monkeypatch.setattr(study_figures, "write_all", sketch)
    assert command("plot", "study") == 0
    assert capsys.readouterr().out.split() == [str(copied / "scaling.png"), str(copied / "seconds.png")]


def test_plot_says_what_is_wrong(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "study.h5").write_text("no HDF5")
    assert command("plot", "study.h5", "--to", "pictures") == 2
    assert "study.h5: not an HDF5 file" in capsys.readouterr().err
    (workplace / "empty").mkdir()
    assert command("plot", "empty") == 2
    assert "empty: no run here, and no study (neither solution.vtkhdf nor study.h5 is there)" in capsys.readouterr().err
    assert not (workplace / "pictures").exists()
