"""The README and the pages of the site: what they show is run, or read, as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import command

from pdekan.cli import argument_parser
from pdekan.problem_files.interpreter import CONSTANTS, OPERATIONS
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.schema import problem_file

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in (ROOT / "README.md", *DOCS.rglob("*.md")) if "generated" not in path.parts)
# pages that are followed step by step; of the others commands are only parsed
FOLLOWED = {"README.md", "tutorial.md", "python.md", "geometry.md", "inverse.md", "fenics.md", "deepxde.md", "family.md"}
# what takes long, by day: commands with options that shorten them, or only parsed; the first solution of a page in Python
BY_DAY = {"solve plate.toml": ["--tolerance", "0.3", "--no-estimate"], "plot outputs/plate/001 --animate": None}
SOLVED, SOLVED_BY_DAY = "pk.solve(problem)", "pk.solve(problem, training=pk.TrainingOptions(tolerance=0.01))"
TUTORIAL = DOCS / "tutorial.md"
LONG = (ROOT / "README.md", TUTORIAL, DOCS / "python.md")
BLOCK = re.compile(r"^```(?:\{code-cell\}|(\w+))\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# of a file, what a page leaves out where it shows a part
REST: dict[str, Any] = {
    "schema": 1,
    "name": "part",
    "domain": {"type": "box", "x": [0.0, 1.0]},
    "conditions": [{"type": "dirichlet"}],
    "equation": {"operator": "laplacian(u)"},
}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The blocks of code of a page with their languages, those of notebooks as Python."""
    return ((match[1] or "python", match[2]) for match in BLOCK.finditer(page.read_text("utf-8")))


def typed(block: str) -> Iterator[list[str]]:
    """The arguments of each `pdekan` that a block of shell lines calls."""
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        words = words[1:] if words and words[0].endswith("$") else words  # the name of a machine
        if words[:1] == ["pdekan"]:
            yield words[1:]


def read(block: str, follow: bool) -> None:
    """A problem file is written and read; of a part, and where it names files, tables and keys are checked."""
    data = tomllib.loads(block)
    if "schema" in data and (follow or "file = " not in block):
        Path(f"{data['name']}.toml").write_text(block, "utf-8")
        load_problem(f"{data['name']}.toml")
    else:
        domain = data.get("domain", {})
        problem_file().model_validate(REST | data | {"domain": domain if "type" in domain else REST["domain"] | domain})


def call(arguments: list[str], follow: bool, by_day: bool) -> None:
    """Run a command, or only parse it."""
    more = BY_DAY.get(" ".join(arguments), []) if by_day else []
    if (follow and more is not None) or arguments == ["--version"]:
        assert command(*arguments, *(more or [])) == 0, arguments
    else:
        argument_parser().parse_args(arguments)


@pytest.mark.parametrize(
    ("page", "by_day"),
    [
        *(pytest.param(page, True, id=page.stem) for page in PAGES),
        *(pytest.param(page, False, id=f"{page.stem} as it stands", marks=pytest.mark.nightly) for page in LONG),
    ],
)
def test_what_a_page_shows_works(
    page: Path, by_day: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if by_day:
        request.getfixturevalue("blank_figures")
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "problems" / "data" / "soil_profile.csv", tmp_path)  # a table that an example names
    names: dict[str, Any] = {}
    for language, block in blocks(page):
        if language == "toml":
            read(block, page.name in FOLLOWED)
        elif language == "sh":
            for arguments in typed(block):
                call(arguments, page.name in FOLLOWED, by_day)
        elif language == "python":
            code = compile(block.replace(SOLVED, SOLVED_BY_DAY) if by_day and page in LONG else block, str(page), "exec")
            if page.name in FOLLOWED and not block.startswith("# runs with"):
                exec(code, names)
    if page.name in ("README.md", "python.md"):
        assert names["solution"].status == "converged"
        assert names["solution"].errors["u"].l2_relative < (0.01 if by_day else 1e-6)
        assert any(SOLVED in block for _, block in blocks(page))
        assert Path("solution.vtkhdf").exists()
    if page == TUTORIAL:
        assert {
            " ".join(arguments) for language, block in blocks(page) for arguments in typed(block) if language == "sh"
        } >= set(BY_DAY)
    if page.name == "python.md":
        assert names["once"].network.widths == (2, 8, 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_have_a_line_of_names(page: Path) -> None:
    """Lines of cells after another line, with none of dashes below the first, are shown as they stand."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    tables = re.findall(r"(?:^ *\|[ -].*\n?)+", text, re.MULTILINE)
    assert [table for table in tables if not re.match(r".*\n[ |:-]+\n", table)] == []
    cells = [[line.replace(r"\|", "").count("|") for line in table.splitlines()] for table in tables]
    assert all(len(set(counts)) == 1 for counts in cells), cells


def test_what_is_shown_of_a_run_in_time_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the pages about runs and closed forms, and their commands."""
    monkeypatch.chdir(tmp_path)
    assert command("solve", "heat_1d", "--no-figures", "--no-estimate") == 0
    shutil.copy("outputs/heat_1d/001/solution.vtkhdf", tmp_path)
    for page, commands in (("runs.md", ("export",)), ("formulas.md", ("formula",))):
        for language, block in blocks(DOCS / page):
            if language == "python":
                exec(compile(block, page, "exec"), names := {})
            elif language == "sh":
                for arguments in typed(block):
                    if arguments[0] in commands and "--edges" not in arguments:  # which takes long, and has its own tests
                        run = [one.replace("RUN", "outputs/heat_1d/001") for one in arguments]
                        assert command(*run) == 0
    assert names["found"].verdict.kind == "exact"


def test_a_studys_file_is_read_as_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "outputs" / "studies" / "quick" / "study.h5", tmp_path)
    (shown,) = [block for language, block in blocks(DOCS / "scaling.md") if language == "python" and "study.h5" in block]
    exec(compile(shown, "scaling.md", "exec"), names := {})
    assert len(names["runs"]) > 20
    assert set(names["runs"].curve) >= {"KAN [2,5,1]", "MLP depth 2"}


def test_what_is_expected_has_the_tests_that_are_named() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (DOCS / "expected.md").read_text("utf-8"))
    assert len(named) > 40
    missing = [(file, test) for file, test in named if f"def {test}(" not in (ROOT / "tests" / file).read_text("utf-8")]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_are_there_and_have_alternative_texts(page: Path) -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\((?!http)([^)]+)\)", page.read_text("utf-8"))
    assert [place for text, place in pictures if not (text.strip() and (page.parent / place).exists())] == []


def test_every_operator_and_function_is_on_the_page() -> None:
    written = set(re.findall(r"`(?:a )?([^\s`(]+)(?:\(| b`|`)", (DOCS / "operators.md").read_text("utf-8")))
    names = (set(OPERATIONS) | set(CONSTANTS)) - {"+", "-", "*", "/", "**", "negative", "derivative"}
    assert names <= written, names - written


def test_the_readme_links_to_what_there_is() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
