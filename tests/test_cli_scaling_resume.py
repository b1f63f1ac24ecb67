"""`pdekan scaling`: what fails, directories, interrupts, resuming."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest
from commands import command, files
from experiments import stand_in
from scaling_commands import STRING, TINY, sketch

from pdekan.output import study_figures
from pdekan.studies import engine, scaling
from pdekan.studies.rows import Row

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "string.toml").write_text(STRING)
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, sketched: None) -> None:
    """Trainings in this process, without a cluster."""
    monkeypatch.setattr(engine, "run", stand_in(scaling.train))


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_figures, "write_all", sketch)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- what fails


@pytest.mark.usefixtures("sketched")
def test_a_run_that_fails_is_told_and_the_others_count(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
        if "intervals = 3" in configuration["problem"]:
            raise RuntimeError("a bolt is loose")
        return scaling.train(configuration)

    monkeypatch.setattr(engine, "run", stand_in(train))
    assert command("scaling", "string.toml", *TINY, "--output", "out") == 0
    assert "RuntimeError: a bolt is loose" in capsys.readouterr().out
    assert "RuntimeError: a bolt is loose" in (workplace / "out" / "table.md").read_text()
    assert json.loads((workplace / "out" / "summary.json").read_text())["failed"] == 1


def test_where_all_fail_the_exit_code_says_so(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RuntimeError("a bolt is loose")

    monkeypatch.setattr(engine, "run", stand_in(train))
    assert command("scaling", "string.toml", *TINY, "--output", "out", "--json") == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["failed"] == len(summary["runs"]) == 6
    assert all(r["status"] == "failed" and r["l2_mean_square"] is None for r in summary["runs"])
    assert files(workplace / "out") == ["study.h5", "study.jsonl", "summary.json", "table.md"]  # nothing to draw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", "5,0"], "'0' is not a whole number from 1 up"),
        (["--hidden", "5x"], "'' is not a whole number"),
        (["--hidden", "none"], "'none' is not a whole number"),
        (["--mlp", "50xx50"], "is not a whole number"),
        (["--intervals", "5,-1"], "'-1' is not a whole number"),
        (["--intervals", "5,5000"], "at most 1000"),
        (["--hidden", "5,5000"], "at most 1000"),
        (["--degree", "0"], "degree"),
        (["--seeds", "0"], "not a whole number"),
        (["--seconds", "0"], "seconds"),
        (["--optimizer", "newton"], "gauss-newton"),
        (["--mlp-optimizer", ""], "gauss-newton"),
        (["--mlp", "200x200", "--mlp-optimizer", "ssbroyden"], "ssbroyden keeps a matrix"),
        (["--set", "network.widths=3"], "unknown key"),
        (["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "only without a scheduler"),
        (["--scheduler", "tcp://127.0.0.1:1"], "does not answer"),
        (["--resume"], "nothing to resume"),
        (["--resume", "--output", "out"], "out holds no study"),
    ],
)
def test_mistakes_leave_nothing_behind(
    workplace: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pdekan.studies.cluster.CONNECT_SECONDS", 0.2)
    assert command("scaling", "string.toml", *TINY, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert everything(workplace) == ["string.toml"]


def test_without_an_exact_solution_there_is_nothing_to_study(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "blind.toml").write_text(STRING.replace('[exact]\nu = "sin(pi*x)"\n', ""))
    assert command("scaling", "blind.toml") == 2
    assert "add [exact]" in capsys.readouterr().err


# --- directories, interrupts, resuming


@pytest.mark.usefixtures("here")
def test_a_full_directory_needs_force_which_forgets_the_earlier_study(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("scaling", "string.toml", *TINY, "--output", "out") == 0
    before = (workplace / "out" / "study.jsonl").read_bytes()
    assert command("scaling", "string.toml", *TINY, "--output", "out") == 2
    assert "--force" in capsys.readouterr().err
    assert (workplace / "out" / "study.jsonl").read_bytes() == before
    (workplace / "out" / "notes").write_text("mine")
    assert command("scaling", "string.toml", *TINY, "--mlp", "none", "--output", "out", "--force") == 0
    assert len((workplace / "out" / "study.jsonl").read_text().splitlines()) == 3
    assert (workplace / "out" / "notes").read_text() == "mine"


@pytest.mark.usefixtures("here")
def test_resume_takes_the_newest_study_and_trains_what_is_new(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("001", "002"):
        assert command("scaling", "string.toml", *TINY, "--mlp", "none") == 0
        newest = workplace / "outputs" / "string_scaling" / name / "study.jsonl"
        os.utime(newest, (1e9, 1e9 if name == "002" else 2e9))
    capsys.readouterr()
    monkeypatch.setattr("pdekan.output.progress_bar.LINE_SECONDS", 0.0)
    assert command("scaling", "string.toml", *TINY, "--mlp", "none", "--seeds", "2", "--resume", "--json") == 0
    captured = capsys.readouterr()
    told, first, *_ = captured.err.splitlines()
    assert "3 of 6 trainings are done, 3 are left" in told
    assert "3 done, 0 failed, 3 left, L2 KAN " in first  # of the rows that were there
    summary = json.loads(captured.out)
    assert Path(summary["study"]) == Path("outputs/string_scaling/001")
    assert len(summary["runs"]) == 6


@pytest.mark.usefixtures("here")
def test_resuming_with_other_options_is_refused(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("scaling", "string.toml", *TINY, "--mlp", "none", "--output", "out") == 0
    before = (workplace / "out" / "study.jsonl").read_bytes()
    assert command("scaling", "string.toml", *TINY, "--seconds", "2", "--output", "out", "--resume") == 2
    assert "none of its 3 rows" in capsys.readouterr().err
    assert (workplace / "out" / "study.jsonl").read_bytes() == before


@pytest.mark.usefixtures("sketched")
def test_an_interrupt_before_the_first_row_leaves_a_study_to_resume(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, watch: engine.StudyCallback, **others: Any) -> list[Row]:
        def struck(progress: engine.StudyProgress) -> str | None:
            os.kill(os.getpid(), signal.SIGINT)
            return watch(progress)

        return stand_in(scaling.train)(*arguments, watch=struck, **others)

    monkeypatch.setattr(engine, "run", interrupted)
    assert command("scaling", "string.toml", *TINY, "--output", "out", "--json") == 75
    captured = capsys.readouterr()
    assert "0 of 6 trainings are done" in captured.err
    summary = json.loads(captured.out)
    assert (summary["interrupted"], summary["runs"]) == (True, [])
    monkeypatch.setattr(engine, "run", stand_in(scaling.train))
    assert command("scaling", "string.toml", *TINY, "--output", "out", "--resume") == 0
    assert len((workplace / "out" / "study.jsonl").read_text().splitlines()) == 6
    with h5py.File(workplace / "out" / "study.h5") as file:  # what makes the same anew
        assert file.attrs["command"] == " ".join(["pdekan scaling string.toml", *TINY, "--output out"])


def rows_of(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which draws nothing and does not outlive the block."""
    program = "from pdekan.output import study_figures\nstudy_figures.write_all = lambda *_: {}\n"
    program += "import sys\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.nightly  # test_studies_engine does the same to the engine by day
@pytest.mark.usefixtures("sketched")
def test_an_interrupted_study_goes_on_where_it_was(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Adam takes all of its second, so that there is something to interrupt
    slow = ["--hidden", "2", "--intervals", "2,3,4", "--mlp", "none", "--seeds", "1", "--seconds", "1", "--optimizer", "adam"]
    arguments = ["scaling", "string.toml", *slow, "--output", "out", "--set", "training.steps=1000000", "--workers", "1"]
    path = workplace / "out" / "study.jsonl"
    with started(*arguments, "--json") as process:
        end = time.monotonic() + PATIENCE
        while not rows_of(path):
            assert time.monotonic() < end, "waited in vain"
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 75, err
    first = rows_of(path)
    assert 0 < len(first) < 3
    assert f"{len(first)} of 3 trainings are done" in err
    assert json.loads(out)["interrupted"] is True
    assert files(workplace / "out") == ["study.h5", "study.jsonl", "summary.json", "table.md"]
    assert command(*arguments, "--resume", "--json") == 0
    captured = capsys.readouterr()
    assert f"{len(first)} of 3 trainings are done, {3 - len(first)} are left" in captured.err
    keys = rows_of(path)
    assert keys[: len(first)] == first
    assert len(set(keys)) == len(keys) == 3
    summary = json.loads(captured.out)
    assert summary["interrupted"] is False
    assert all(math.isfinite(r["l2_mean_square"]) for r in summary["runs"])
