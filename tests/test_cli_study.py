"""`pdekan study`, end to end: what is listed, printed, written, resumed and drawn again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import command, files
from experiments import SQUARES, stand_in

from pdekan.output import findings_figures
from pdekan.output.findings import Picture, read_findings
from pdekan.studies import cluster, engine
from pdekan.studies.experiments import EXPERIMENTS
from pdekan.studies.rows import Row

FILES = ["squares.png", "squares.svg", "study.h5", "study.jsonl", "summary.json", "table.md"]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, and an experiment that takes no time, trained in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "squares", SQUARES)
    monkeypatch.setattr(engine, "run", stand_in(SQUARES.train))
    return tmp_path


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty figures, where it matters only that there are some."""

    def write_all(directory: Path, pictures: Iterable[Picture], suffix: str) -> dict[str, Path]:
        paths = {picture.name: directory / f"{picture.name}{suffix}" for picture in pictures}
        for path in paths.values():
            path.touch()
        return paths

    monkeypatch.setattr(findings_figures, "write_all", write_all)


def test_without_a_name_studies_are_listed(capsys: pytest.CaptureFixture[str], workplace: Path) -> None:
    assert command("study") == 0
    out = capsys.readouterr().out
    for one in EXPERIMENTS.values():
        assert f"{one.name}: {one.title} ({one.source}; about {one.minutes:g} min)" in out
    assert command("study", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed["studies"]) == list(EXPERIMENTS)
    assert listed["studies"]["squares"]["shows"] == "that squares grow"
    assert not list(workplace.iterdir())


def test_a_study_in_processes_of_its_own(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their end takes longer than anybody waits for it, as on a busy machine: that loses nothing."""
    monkeypatch.undo()
    monkeypatch.setattr(cluster, "WORKER_CLOSE_SECONDS", 0.0)
    monkeypatch.chdir(workplace)
    monkeypatch.setitem(EXPERIMENTS, "squares", SQUARES)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert command("study", "squares", "--workers", "1", "--json") == 0
    summary = json.loads(out.getvalue())
    folder = workplace / "outputs" / "squares_study" / "001"
    assert files(folder) == FILES
    assert sorted(Path(path).name for path in summary["files"].values()) == FILES
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (summary["schema"], summary["name"], summary["trainings"], summary["failed"]) == (1, "squares", 6, 0)
    assert summary["interrupted"] is False
    assert summary["tables"]["squares"] == {"n": [0, 0, 1, 1, 2, 2], "n²": [0, 0, 1, 1, 4, 4]}
    table = (folder / "table.md").read_text()
    assert table.startswith("# Squares of numbers\n\nSource: Euclid.\n\n6 squares.\n\n## Squares\n\n| n | n² |\n")
    assert table.endswith("| 2 | 4 |\n\nMade by `pdekan study squares --workers 1 --json`.\n")


@pytest.mark.usefixtures("sketched")
def test_text_shows_sentences_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("study", "squares", "--seeds", "1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 squares.", "Squares", "n  n²", "0  0", "1  1", "2  4", f"study  {Path('outputs/squares_study/001')}",
    ]  # fmt: skip


@pytest.mark.usefixtures("sketched")
def test_quick_takes_one_seed_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("study", "squares", "--quick", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trainings"] == 2
    assert command("study", "squares", "--quick", "--seeds", "3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trainings"] == 6


def test_an_unknown_name_is_told_and_leaves_nothing(capsys: pytest.CaptureFixture[str], workplace: Path) -> None:
    assert command("study", "cubes") == 2
    told = capsys.readouterr().err
    assert "no study 'cubes'; there are " in told
    assert all(name in told for name in EXPERIMENTS)
    assert not list(workplace.iterdir())


@pytest.mark.usefixtures("sketched")
def test_trainings_that_fail_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
        if configuration["number"] == 1:
            raise RuntimeError("a bolt is loose")
        return SQUARES.train(configuration)

    monkeypatch.setattr(engine, "run", stand_in(train))
    assert command("study", "squares", "--seeds", "1", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["findings"] == ["2 squares.", "1 of 3 trainings failed."]
    assert summary["tables"]["failures"] == {"training": ["number 1, seed 0"], "reason": ["RuntimeError: a bolt is loose"]}


def test_where_all_fail_the_exit_code_says_so(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RuntimeError("a bolt is loose")

    monkeypatch.setattr(engine, "run", stand_in(train))
    assert command("study", "squares", "--output", "out", "--json") == 3
    assert json.loads(capsys.readouterr().out)["failed"] == 6
    assert files(workplace / "out") == ["study.h5", "study.jsonl", "summary.json", "table.md"]  # nothing to draw


@pytest.mark.usefixtures("sketched")
def test_an_interrupted_study_goes_on_where_it_was(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, watch: engine.StudyCallback, **others: Any) -> list[Row]:
        def struck(progress: engine.StudyProgress) -> str | None:
            if progress.done == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return watch(progress)

        return stand_in(SQUARES.train)(*arguments, watch=struck, **others)

    monkeypatch.setattr(engine, "run", interrupted)
    assert command("study", "squares", "--json") == 75
    captured = capsys.readouterr()
    assert json.loads(captured.out)["interrupted"] is True
    assert "2 of 6 trainings are done" in captured.err
    first = (workplace / "outputs/squares_study/001/study.jsonl").read_text()
    monkeypatch.setattr(engine, "run", stand_in(SQUARES.train))
    assert command("study", "squares", "--resume", "--json") == 0
    captured = capsys.readouterr()
    assert "2 of 6 trainings are done, 4 are left" in captured.err
    assert json.loads(captured.out)["findings"] == ["6 squares."]
    whole = (workplace / "outputs/squares_study/001/study.jsonl").read_text()
    assert whole.startswith(first)
    assert len(set(whole.splitlines())) == 6
    heading, _ = read_findings(workplace / "outputs/squares_study/001/study.h5")
    assert heading.command == "pdekan study squares --json"  # what makes the same anew


@pytest.mark.usefixtures("sketched")
def test_another_study_needs_force_and_leaves_no_figure_behind(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("study", "squares", "--output", "out") == 0
    (workplace / "out" / "notes.png").write_text("mine")
    assert command("study", "squares", "--output", "out") == 2
    inner_network = replace(SQUARES, findings=lambda rows: replace(SQUARES.findings(rows), pictures=()))
    monkeypatch.setitem(EXPERIMENTS, "squares", inner_network)
    assert command("study", "squares", "--output", "out", "--force") == 0
    assert files(workplace / "out") == ["notes.png", "study.h5", "study.jsonl", "summary.json", "table.md"]


def test_plot_draws_again_from_the_file_alone(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("study", "squares", "--output", "out") == 0
    (workplace / "inner_network").mkdir()
    os.rename("out/study.h5", "inner_network/study.h5")
    capsys.readouterr()
    assert command("plot", "inner_network", "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"] == {"squares": "inner_network/squares.png"}
    assert Path("inner_network/squares.png").read_bytes() == Path("out/squares.png").read_bytes()
