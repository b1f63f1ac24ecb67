"""`pdekan new`, `show` and `schema`: problem files for people and editors."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from pdekan.cli import main
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import json_schema, load_problem, loads
from pdekan.problem_files.template import template


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TEMPLATES = [*itertools.product((1, 2, 3), (False, True), [("u",)]), (1, True, ("u", "v")), (3, False, ("a", "b", "c"))]
OTHERS = set(itertools.product((1, 2, 3), (False, True), [("u",), ("u", "v"), ("a", "b", "c")])) - set(TEMPLATES)


@pytest.mark.parametrize(
    ("dimensions", "time", "unknowns"),
    [*TEMPLATES, *(pytest.param(*one, marks=pytest.mark.nightly) for one in sorted(OTHERS))],
)
def test_templates_are_problems_that_check_accepts(
    dimensions: int, time: bool, unknowns: tuple[str, ...], workplace: Path
) -> None:
    (workplace / "mine.toml").write_text(template("mine", dimensions, time, unknowns))
    problem = load_problem(workplace / "mine.toml")
    assert (problem.name, problem.unknowns) == ("mine", unknowns)
    assert problem.domain.coordinates == (*"xyz"[:dimensions], *(["t"] if time else []))
    assert main(["check", "mine.toml", "--json"]) == 0


def test_the_lines_that_a_template_leaves_as_comments_hold(workplace: Path) -> None:
    text = template("mine", 1, True)
    used = re.sub(r"^# (\[exact\]|u = |\[training\]|tolerance|seconds|reference)", r"\1", text, flags=re.MULTILINE)
    problem = loads(used.replace('source = "1"', 'source = "manufactured"'))
    assert "u" in problem.exact_fields
    assert problem.training.tolerance == 1e-6
    assert problem.training.seconds == 60


def test_templates_know_three_space_coordinates() -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        template("mine", 4)


def test_new_writes_a_file_and_overwrites_none(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine", "--time", "--unknowns", "a,b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "file": "mine.toml"}
    written = (workplace / "mine.toml").read_text()
    assert written == template("mine", 2, True, ("a", "b"))
    assert main(["new", "mine"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (workplace / "mine.toml").read_text() == written
    assert main(["new", "mine", "--force"]) == 0
    assert (workplace / "mine.toml").read_text() == template("mine")


@pytest.mark.parametrize("arguments", [["a b"], ["mine", "--unknowns", "sin"], ["../mine"], ["mine", "--unknowns", "x"]])
def test_new_refuses_names_that_a_problem_file_refuses(
    arguments: list[str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list(workplace.iterdir())


def test_show_prints_and_copies(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = library()["heat_1d"].read_text("utf-8")
    assert main(["show", "heat_1d"]) == 0
    assert capsys.readouterr().out == text
    assert main(["show", "heat_1d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text
    assert main(["show", "heat_1d", "--to", "mine.toml"]) == 0
    assert (workplace / "mine.toml").read_text("utf-8") == text
    assert main(["show", "heat_disk", "--to", "mine.toml"]) == 2
    assert (workplace / "mine.toml").read_text("utf-8") == text


def test_show_suggests_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "heat_dsk"]) == 2
    assert "did you mean heat_disk" in capsys.readouterr().err


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"pdekan \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
