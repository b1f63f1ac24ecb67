"""The command line, end to end: exit codes, what goes to which stream, and what is on the disk afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from commands import TINY as UNTITLED
from commands import command, started

from pdekan import cli
from pdekan.output.vtkhdf import read_samples
from pdekan.problem_files.library import library, problems, titles
from pdekan.problem_files.loader import load_problem
from pdekan.runs import directory
from pdekan.solutions.solution import load_solution
from pdekan.training.progress import Progress

TITLED = UNTITLED.replace('name = "tiny"\n', 'name = "tiny"\ntitle = "A string under its own weight"\n')
TINY = TITLED + "\n[network]\nhidden = [2]\ndegree = 5\nintervals = 4\n"
SQUARE = TINY.replace("x = [0.0, 1.0]\n", "x = [0.0, 1.0]\ny = [0.0, 2.0]\n").replace("-dx(dx(u))", "-laplacian(u)")
DRAWN = ("--tolerance", "0.01")
QUICK = (*DRAWN, "--no-figures")  # which take most of the time
HOPELESS = ("--tolerance", "1e-13", "--set", "training.steps=1", "--no-figures")
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
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["solve", str(folder / "tiny.toml"), "--output", str(folder / "run"), "--json"]) == 0
    return folder / "run", json.loads(out.getvalue())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def everything(folder: Path) -> list[str]:
    """Files and folders, empty ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- help and list


@pytest.mark.parametrize("arguments", [["--help"], ["solve", "--help"], ["list"], ["list", "--json"], ["show", "heat_1d"], []])
def test_what_needs_no_numerics_imports_none(arguments: list[str]) -> None:
    program = (
        "import sys, pdekan.cli\n"
        "try:\n    pdekan.cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'scipy', 'matplotlib', 'h5py', 'pydantic'} & set(sys.modules)), file=sys.stderr)"
    )
    process = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(process, capture_output=True, text=True, check=True)
    assert done.stderr.endswith("[]\n")
    assert bool(done.stdout) == bool(arguments)


def test_the_module_and_the_script_are_the_same_program() -> None:
    script = Path(sys.executable).with_name("pdekan")
    ways = [[sys.executable, "-m", "pdekan"], *([[str(script)]] if script.exists() else [])]
    answers = [subprocess.run([*way, "list", "--json"], capture_output=True, text=True, check=True) for way in ways]
    assert {answer.stdout for answer in answers} == {answers[0].stdout}
    assert json.loads(answers[0].stdout)["problems"] == titles()
    codes = [subprocess.run([*way, "plot", "none"], capture_output=True, check=False).returncode for way in ways]
    assert set(codes) == {2}


def test_help_names_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--help") == 0
    text = capsys.readouterr().out
    for word in ("solve", "check", "export", "plot", "list", "75", "130"):
        assert word in text


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names[: len(library())] == sorted(library())
    assert names == list(problems())
    assert "nist/04_peak" in names[len(library()) :]
    assert command("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["problems"] == titles()
    assert listed["suites"]["nist"]["04_peak"] == "Peak, α = 1000"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["sovle", "tiny.toml"], "solve"),
        (["solve"], "FILE"),
        (["solve", "tiny.toml", "--sed", "3"], "--sed"),
        (["solve", "tiny.toml", "--seed", "many"], "many"),
        (["solve", "tiny.toml", "--device", "tpu"], "cuda"),
        (["export", "run", "--grid", "20xx"], "200x200"),
        (["export", "run", "--grid", "1x5"], "2 to 100000"),
        (["plot", "run", "--format", "gif"], "png"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert everything(workplace) == ["tiny.toml"]


# --- check


def test_check_says_what_would_be_solved(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "tiny.toml") == 0
    text = capsys.readouterr().out
    for words in (
        "tiny: A string under its own weight",
        "x in [0, 1]",
        "-dx(dx(u)) = pi**2*sin(pi*x)",
        "dirichlet on boundary",
        "stage 1",
        "[1, 2, 1]",
        "36 parameters",
        " MB",
        "satisfies equation",
        "satisfies conditions.0",
    ):
        assert words in text
    assert everything(workplace) == ["tiny.toml"]


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "tiny.toml", "--json", "--set", "training.refine=[4, 8]") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert answer["domain"] == {"x": [0.0, 1.0]}
    assert [stage["intervals"] for stage in answer["stages"]] == [[4, 4], [8, 8]]
    assert [stage["parameters"] for stage in answer["stages"]] == [4 * (4 + 5), 4 * (8 + 5)]
    assert answer["stages"][1]["memory_megabytes"] > answer["stages"][0]["memory_megabytes"] > 0
    assert set(answer["exact_residuals"]) == {"equation", "conditions.0"}
    assert max(answer["exact_residuals"].values()) < 1e-12


def test_check_without_an_exact_solution(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "tiny.toml").write_text(TINY.replace('[exact]\nu = "sin(pi*x)"\n', ""))
    assert command("check", "tiny.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["exact_residuals"] == {}


def test_check_takes_library_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "poisson_5d", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] == "poisson_5d"
    assert len(answer["domain"]) == 5


@pytest.mark.parametrize(
    ("change", "missed", "kept"),
    [
        (("pi**2*sin", "9.87*sin"), "equation", "conditions.0"),
        (('value = "0"', 'value = "0.001"'), "conditions.0", "equation"),
    ],
)
def test_check_notices_a_wrong_exact_solution(
    workplace: Path, change: tuple[str, str], missed: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "tiny.toml").write_text(TINY.replace(*change))
    assert command("check", "tiny.toml") == 2
    captured = capsys.readouterr()
    assert f"misses {missed}" in captured.out
    assert "tiny.toml: the exact solution does not satisfy" in captured.err
    assert missed in captured.err
    assert kept not in captured.err
    assert command("check", "tiny.toml", "--json") == 2
    assert json.loads(capsys.readouterr().out)["exact_residuals"][missed] > 1e-6


@pytest.mark.parametrize("scale", ["1e-9", "1e12"])
def test_check_judges_in_the_units_of_the_problem(workplace: Path, scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    scaled = TINY.replace("pi**2*sin(pi*x)", f"{scale}*pi**2*sin(pi*x)").replace('"sin(pi*x)"', f'"{scale}*sin(pi*x)"')
    (workplace / "right.toml").write_text(scaled)
    (workplace / "wrong.toml").write_text(scaled.replace("pi**2", "9.8"))
    assert command("check", "right.toml") == 0
    assert command("check", "wrong.toml") == 2
    assert "equation" in capsys.readouterr().err


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


def test_figures_may_be_left_out_and_drawn_later(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--no-figures", "--output", "run", "--json") in (0, 3)
    assert not [name for name in json.loads(capsys.readouterr().out)["files"] if name.startswith("figure")]
    assert not list((workplace / "run").glob("*.png"))
    assert command("plot", "run") == 0
    assert (workplace / "run" / "solution.png").exists()


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
    assert command("solve", "square.toml", "--json", "--no-figures", *sets) == 3
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


def test_forced_runs_leave_nothing_of_the_earlier_one(workplace: Path) -> None:
    assert command("solve", "tiny.toml", "--output", "kept", *DRAWN) == 0
    (workplace / "tiny.toml").write_text(TINY.replace('[exact]\nu = "sin(pi*x)"\n', ""))
    assert command("solve", "tiny.toml", "--output", "kept", "--force", *DRAWN) == 0
    summary = json.loads(Path("kept/summary.json").read_text())
    assert set(summary["files"].values()) == {str(path) for path in Path("kept").iterdir()}


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


# --- interrupted and resumed


def signalled(step: int, number: signal.Signals) -> Any:
    """Checkpoints that send a signal to this process at a step."""

    class Signalling(directory.Checkpoints):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            if progress.step == step:
                os.kill(os.getpid(), number)

    return Signalling


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
    assert command("solve", "tiny.toml", "--output", "out", "--resume", *tolerance, *more) == 3
    assert ("is finished" not in capsys.readouterr().err) == goes_on
    assert load_solution("out/solution.vtkhdf").iterations == (3 if "training.steps=3" in more else 1)


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
    assert command("solve", "tiny.toml", "--output", "out", "--no-figures") == 0
    capsys.readouterr()
    # harder than the first one, so that the residual of the first is out of reach
    (workplace / "tiny.toml").write_text(TINY.replace("pi**2*sin(pi*x)", "manufactured").replace("sin(pi*x)", "sin(9*x)"))
    code = command(
        "solve", "tiny.toml", "--output", "out", "--no-figures", "--resume", "--json", "--set", "conditions.0.value=exact"
    )
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
        assert process.stderr is not None
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


# --- problem files that are wrong

WRONG = {
    "empty": (TINY, "", r"schema: is missing"),
    "not TOML": ("schema = 1", "schema 1", ":1: "),
    "open string": ('name = "tiny"', 'name = "tiny', ":2: "),
    "unknown table": ("[network]", "[netwrok]", ":20: netwrok"),
    "unknown key": ("degree = 5", "degre = 5", ":22: network.degre"),
    "a path as name": ('name = "tiny"', 'name = "../tiny"', ":2: name"),
    "wrong type": ("hidden = [2]", 'hidden = "2"', ":21: network.hidden"),
    "not finite": ("[0.0, 1.0]", "[0.0, inf]", ":7: domain.x"),
    "no such domain": ('"box"', '"knot"', "domain: type 'knot'"),
    "unknown name": ("pi**2*sin(pi*x)", "pi**2*sin(pi*z)", ":11: equation.source"),
    "hostile": ("-dx(dx(u))", "__import__('os').system('touch hacked')", ":10: equation.operator"),
    "no such face": ('value = "0"', 'on = "y-"', ":15: conditions.0.on"),
    "singular source": ("pi**2*sin(pi*x)", "1/(x - x)", ":11: equation.source"),
    "too large": ("intervals = 4", "intervals = 100000", ":23: network.intervals"),
    "layers do not fit": ("degree = 5", "degree = [5, 5, 5]", "network"),
    "layers do not fit the default": ("hidden = [2]\ndegree = 5", "degree = [5, 5, 5]", "network.degree"),
    "no derivative can be exact": ('value = "0"', 'operator = "u"\nenforce = "exact"', "enforce"),
}


@pytest.mark.parametrize("verb", ["check", "solve", "solve --output out", "solve --json"])
@pytest.mark.parametrize(("old", "new", "place"), WRONG.values(), ids=WRONG)
def test_wrong_files_write_nothing(
    workplace: Path, verb: str, old: str, new: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in TINY
    (workplace / "bad.toml").write_text(TINY.replace(old, new))
    name, *options = verb.split()
    assert command(name, "bad.toml", *options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert place in captured.err
    assert captured.err.startswith("pdekan: ")
    assert "Traceback" not in captured.err
    assert everything(workplace) == ["bad.toml", "tiny.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["poison_sine"], "poisson_sine"),
        (["none.toml"], "no such file"),
        ([""], "no such file|cannot be read"),
        (["tiny.toml", "--set", "nonsense"], "nonsense"),
        (["tiny.toml", "--set", "training.pints=3"], "pints"),
        (["tiny.toml", "--set", "training.steps=0"], "training.steps"),
        (["tiny.toml", "--seed", "-1"], "training.seed"),
        (["tiny.toml", "--tolerance", "nan"], "training.tolerance"),
        (["tiny.toml", "--tolerance", "0"], "training.tolerance"),
        (["tiny.toml", "--output", "tiny.toml/out"], "tiny.toml"),
    ],
)
def test_commands_that_cannot_be_carried_out_write_nothing(
    workplace: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("solve", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert any(word in captured.err for word in words.split("|")), captured.err
    assert "Traceback" not in captured.err
    assert everything(workplace) == ["tiny.toml"]


def test_an_unknown_name_points_to_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "navier_stokes") == 2
    assert "`pdekan list` shows all" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--device", "cuda") == 2
    assert "--device cpu" in capsys.readouterr().err
    assert everything(workplace) == ["tiny.toml"]


# --- what nobody foresaw


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def solve(*_: object, **__: object) -> None:
        raise RuntimeError("a bolt is loose")

    monkeypatch.setattr("pdekan.training.solver.solve", solve)
    return


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("output", [[], ["--output", "out"]])
def test_internal_errors_say_so(workplace: Path, output: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "tiny.toml", "--json", *output) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "RuntimeError: a bolt is loose" in captured.err
    assert "internal error" in captured.err
    assert [path for path in workplace.rglob("*") if path.is_file()] == [workplace / "tiny.toml"]


@pytest.mark.usefixtures("broken")
def test_an_internal_error_leaves_a_forced_run_alone(workplace: Path) -> None:
    (workplace / "out").mkdir()
    (workplace / "out" / "notes").write_text("mine")
    assert command("solve", "tiny.toml", "--output", "out", "--force") == 1
    assert (workplace / "out" / "notes").read_text() == "mine"
