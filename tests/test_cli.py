"""The command line: help, lists, checks, problem files that are wrong, and what nobody foresaw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli_runs import TINY, everything
from commands import command

from pdekan.problem_files.library import library, problems, titles


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


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
    codes = [subprocess.run([*way, "show", "none"], capture_output=True, check=False).returncode for way in ways]
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
