"""Runs that are interrupted or killed, and go on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import pytest
from cli_runs import DRAWN, HOPELESS, QUICK, SQUARE, TINY, contents, everything, solved
from commands import command, started

from pdekan.runs import directory
from pdekan.solutions.solution import load_solution
from pdekan.training.progress import Progress


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


def signalled(step: int, number: signal.Signals) -> Any:
    """Checkpoints that send a signal to this process at a step."""

    class Signalling(directory.Checkpoints):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            if progress.step == step:
                os.kill(os.getpid(), number)

    return Signalling


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_written_and_can_go_on(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(number)
    with monkeypatch.context() as patched:
        patched.setattr(directory, "Checkpoints", signalled(2, number))
        assert command("solve", "tiny.toml", "--json") == 75
    assert signal.getsignal(number) is handler
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["status"] == "interrupted"
    assert summary["iterations"] == 2
    assert "stopping" in captured.err
    assert all(Path(path).is_file() for path in summary["files"].values())

    assert command("solve", "tiny.toml", "--json", "--no-figures", "--resume") == 0
    resumed = json.loads(capsys.readouterr().out)
    assert resumed["run"] == summary["run"]
    assert resumed["status"] == "converged"
    assert resumed["iterations"] > 2
    assert resumed["seconds"] > summary["seconds"]
    assert resumed["errors"]["u"]["l2"] < summary["errors"]["u"]["l2"]
    assert os.listdir("outputs/tiny") == ["001"]


def test_a_second_interrupt_before_the_first_step_leaves_nothing(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def solve(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("pdekan.training.solver.solve", solve)
    assert command("solve", "tiny.toml", "--json") == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert [path for path in workplace.rglob("*") if path.is_file()] == [workplace / "tiny.toml"]


def test_resume_takes_the_newest_run(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("001", "002"):
        assert command("solve", "tiny.toml", *HOPELESS) == 3
        os.utime(f"outputs/tiny/{name}/solution.vtkhdf", (1e9, 1e9 if name == "002" else 2e9))
    capsys.readouterr()
    assert command("solve", "tiny.toml", "--json", "--resume", *QUICK) == 0
    assert Path(json.loads(capsys.readouterr().out)["run"]) == Path("outputs/tiny/001")


@pytest.mark.parametrize(("arguments", "code"), [(QUICK, 0), (HOPELESS, 3)])
def test_a_finished_run_is_not_trained_on(
    arguments: tuple[str, ...], code: int, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["solve", "tiny.toml", "--output", "out", "--json", *arguments]
    assert command(*given) == code
    printed = capsys.readouterr().out
    before = contents(workplace)
    assert command(*given, "--resume") == code
    captured = capsys.readouterr()
    assert captured.out == printed
    assert "finished" in captured.err
    assert contents(workplace) == before


@pytest.mark.parametrize(
    ("more", "goes_on"),
    [
        (["--set", "training.steps=3"], True),
        (["--set", "training.steps=1", "--seed", "1"], True),
        (["--set", "training.steps=1", "--tolerance", "1e-12"], True),
        (["--set", "training.steps=1", "--set", "training.seconds=50"], False),  # less than there was
        (["--set", "training.steps=1", "--set", "training.seconds=70"], True),
        (["--set", "training.steps=1", "--memory", "2001"], True),
    ],
)
def test_a_finished_run_goes_on_where_more_is_asked_for(
    more: list[str], goes_on: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("solve", "tiny.toml", "--output", "out", *HOPELESS) == 3
    capsys.readouterr()
    tolerance = [] if "--tolerance" in more else ["--tolerance", "1e-13"]
    assert command("solve", "tiny.toml", "--output", "out", "--resume", "--no-figures", *tolerance, *more) == 3
    assert ("is finished" not in capsys.readouterr().err) == goes_on
    assert load_solution("out/solution.vtkhdf").iterations == (3 if "training.steps=3" in more else 1)


@pytest.mark.usefixtures("blank_figures")
def test_a_finished_run_that_was_not_written_to_its_end_is_completed(workplace: Path) -> None:
    assert command("solve", "tiny.toml", "--output", "out", *DRAWN) == 0
    before = everything(workplace)
    for name in ("summary.json", "error.png"):
        (workplace / "out" / name).unlink()
    assert command("solve", "tiny.toml", "--output", "out", "--resume", *DRAWN) == 0
    assert everything(workplace) == before


def test_resume_refuses_what_it_cannot_continue(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err
    assert command("solve", "tiny.toml", "--resume", "--output", "none") == 2
    assert "no run here" in capsys.readouterr().err
    assert command("solve", "tiny.toml", "--output", "out", *QUICK) == 0
    before = contents(workplace / "out")
    capsys.readouterr()
    (workplace / "other.toml").write_text(TINY.replace('"tiny"', '"other"'))
    (workplace / "square.toml").write_text(SQUARE)
    cases = [
        (["other.toml"], "'tiny', not of 'other'"),
        (["square.toml"], "domain"),
        (["tiny.toml", "--set", "network.hidden=[1]"], "hidden|widened"),
        (["tiny.toml", "--set", "network.hidden=[2, 2]"], "hidden|widened"),
        (["tiny.toml", "--set", "network.kind=mlp"], "mlp|kind"),
    ]
    for arguments, words in cases:
        assert command("solve", *arguments, "--output", "out", "--resume", *HOPELESS) == 2, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        assert any(word in captured.err for word in words.split("|")), captured.err
    assert contents(workplace / "out") == before


def test_resume_does_not_take_an_old_verdict_for_a_new_problem(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--output", "out", "--no-figures", "--no-estimate") == 0
    capsys.readouterr()
    # harder than the first one, so that the residual of the first is out of reach
    (workplace / "tiny.toml").write_text(TINY.replace("pi**2*sin(pi*x)", "manufactured").replace("sin(pi*x)", "sin(9*x)"))
    more = ("--no-figures", "--no-estimate", "--json", "--set", "conditions.0.value=exact")
    code = command("solve", "tiny.toml", "--output", "out", "--resume", *more)
    summary = json.loads(capsys.readouterr().out)
    assert summary["errors"]["u"]["l2_relative"] < 0.1
    assert (code == 0) == (summary["errors"]["u"]["l2_relative"] < 1e-4)


# so many steps that no machine is through with them before the signal comes
ENDLESS = (
    *("--tolerance", "1e-15", "--set", "training.optimizer=adam"),
    *("--set", "training.steps=1000000", "--set", "training.seconds=1000"),
)


def test_a_process_that_is_interrupted_can_go_on(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started("solve", "tiny.toml", "--output", "out", "--json", *ENDLESS) as process:
        first = process.stderr.readline()
        assert "step 1 " in first
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    summary = json.loads(out)
    assert summary["status"] == "interrupted"
    assert "Traceback" not in err
    assert json.loads((workplace / "out" / "summary.json").read_text()) == summary

    assert command("solve", "tiny.toml", "--output", "out", "--json", "--resume", *QUICK) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert resumed["status"] == "converged"
    assert resumed["iterations"] > summary["iterations"]


def test_a_process_that_is_killed_can_go_on_from_its_checkpoint(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    often = (
        "import functools\nfrom pdekan.runs import directory\n"
        "directory.Checkpoints = functools.partial(directory.Checkpoints, seconds=0.05)"
    )
    checkpoint = workplace / "out" / "solution.vtkhdf"
    with started("solve", "tiny.toml", "--output", "out", *ENDLESS, before=often) as process:
        for _ in range(3000):
            if checkpoint.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    left = load_solution(checkpoint)
    assert left.status == "interrupted"
    assert left.iterations >= 1
    assert not (workplace / "out" / "summary.json").exists()

    assert command("solve", "tiny.toml", "--output", "out", "--json", "--resume", *QUICK) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] > left.iterations


def test_checkpoints_are_taken_and_replaced(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(directory.Checkpoints):
        def __init__(self, folder: Path, *_: object) -> None:
            super().__init__(folder, seconds=0.0)

        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            with h5py.File(workplace / "out" / "solution.vtkhdf") as file:
                seen.append(file["fields"]["u"].shape)
            assert load_solution(workplace / "out" / "solution.vtkhdf").iterations == progress.step

    monkeypatch.setattr(directory, "Checkpoints", Watched)
    assert (
        command("solve", "tiny.toml", "--output", "out", "--no-figures", "--set", "training.steps=3", "--tolerance", "1e-13")
        == 3
    )
    assert seen == [(directory.CHECKPOINT_POINTS,)] * 3
    assert sorted(os.listdir("out")) == sorted(Path(path).name for path in contents(workplace / "out"))
