"""Options that would be ignored beside others are refused, and what looked like it works."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest
from commands import TINY, command

from pdekan.cli import COMMANDS, argument_parser
from pdekan.commands.combinations import RULES
from pdekan.solutions.solution import load_solution

STRING = """
schema = 1
name = "string"
[domain]
type = "box"
x = [0.0, 1.0]
t = [0.0, 0.5]
[equation]
operator = "dt(u) - 0.1*laplacian(u)"
[[conditions]]
type = "dirichlet"
[[conditions]]
type = "initial"
value = "sin(pi*x)"
"""
SOLVED = ("--set", "training.steps=2", "--no-estimate", "--no-figures")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "string.toml").write_text(STRING)
    command("solve", str(folder / "string.toml"), *SOLVED, "--output", str(folder / "out"))
    return folder / "out"


IGNORED = [
    ("solve tiny.toml --output out --resume --force", "--force"),
    ("solve tiny.toml --force", "--force"),
    ("prune out --force", "--force"),
    ("scaling tiny.toml --force", "--force"),
    ("scaling tiny.toml --mlp none --mlp-optimizer lbfgs", "--mlp-optimizer"),
    ("scaling tiny.toml --set training.seconds=5", "--set"),
    ("scaling tiny.toml --set network.hidden=[3]", "--set"),
    ("bench nist --force", "--force"),
    ("study regression --output out --resume --force", "--force"),
    *(
        (f"study --{word}", f"--{word.split()[0]}")
        for word in ("seeds 3", "quick", "workers 1", "output out", "resume", "force")
    ),
    ("study --scheduler tcp://localhost:1", "--scheduler"),
    ("export out --to a.onnx --time 0.1", "--time"),
    ("export out --to a.PT2 --grid 9x9", "--grid"),
    ("export out --line x=0:1,t=0.1 --time 0.1", "--time"),
    ("export out --line x=0:1,t=0.1 --grid 9x9", "--grid"),
    ("export out --points 9", "--points"),
    ("plot out --animate --format svg", "--format"),
    ("formula out --edges --seconds 9", "--seconds"),
    ("show poisson_sine --force", "--force"),
]


@pytest.mark.parametrize(("typed", "option"), IGNORED)
def test_an_option_that_would_be_ignored_is_refused(typed: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*typed.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"pdekan: {option} would be ignored: ")
    assert captured.out == ""


def test_every_rule_is_of_options_that_its_commands_have() -> None:
    refused = {(typed.split()[0], option) for typed, option in IGNORED}
    parser = argument_parser()
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    for rule in RULES:
        assert set(rule.commands) <= COMMANDS.keys()
        for name in rule.commands:
            assert rule.option in commands[name]._option_string_actions
        assert any((name, rule.option) in refused for name in rule.commands)


def test_figures_are_drawn_at_the_times_that_are_asked_for(run: Path, tmp_path: Path) -> None:
    assert command("export", str(run), "--to", str(tmp_path / "all.png")) == 0
    assert command("export", str(run), "--to", str(tmp_path / "one.png"), "--time", "0.25") == 0
    pictures = [matplotlib.image.imread(tmp_path / name) for name in ("all.png", "one.png")]
    assert pictures[0].shape != pictures[1].shape or abs(pictures[0] - pictures[1]).max() > 0.1
    solution = load_solution(run)
    axes = solution.plot(times=[0.0, 0.25]).axes[0]
    for t, line in zip((0.0, 0.25), axes.lines, strict=True):
        x = line.get_xdata()
        assert line.get_ydata() == pytest.approx(solution([[one, t] for one in x]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--line", "x=0:1,t=0.1", "--to", "a.png"], "CSV"),
        (["--time", "0.7"], "time 0.7 is not in the domain"),
        (["--parameter", "mu=1", "--parameter", "mu=2"], "stated 2 times"),
        (["--parameter", "mu=1"], "no parameter with a range"),
    ],
)
def test_what_an_export_cannot_do_is_said(
    options: list[str],
    words: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("export", str(run), *options) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_gets_the_bound_and_the_page_that_are_asked_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    typed = ("solve", "tiny.toml", "--output", "out", "--no-figures", "--json")
    assert command(*typed) == 0
    capsys.readouterr()
    assert command(*typed, "--resume", "--bound", "--report") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["bound"]["energy_upper"] >= summary["bound"]["energy_lower"]
    assert Path(summary["files"]["report"]).read_text().lower().startswith("<!doctype html>")
    assert load_solution("out").bound is not None


@pytest.mark.parametrize("typed", [["export", "--to", "nowhere/a.nc"], ["report", "--output", "nowhere/a.html"]])
def test_a_folder_that_there_is_not_is_said_before_anything_is_computed(
    typed: list[str], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pdekan.commands.export.load_solution", None)
    monkeypatch.setattr("pdekan.runs.report.run_report", None)
    assert command(typed[0], str(run), *typed[1:]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err


def test_names_are_stated_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("new", "twice", "--unknowns", "u,v,u") == 2
    assert "names u 2 times" in capsys.readouterr().err


def test_completion_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("completion", "bash", "--json") == 0
    assert "_pdekan" in json.loads(capsys.readouterr().out)["script"]
