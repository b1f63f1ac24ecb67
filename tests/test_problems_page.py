"""The problem files of docs/problems.md that are whole are read, checked and solved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pdekan.problem_files.loader import loads
from pdekan.training.solver import solve

PAGE = Path(__file__).parents[1] / "docs" / "problems.md"
LIBRARY = Path(__file__).parents[1] / "problems" / "data"  # where the files lie that examples name
FILES = [block for block in re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if block.startswith("schema")]


SLOW = ("drilled_plate",)  # solved by night, read by day


def name_of(text: str) -> str:
    return re.findall('name = "(.*)"', text)[0]


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name_of(text), marks=[pytest.mark.nightly] * (name_of(text) in SLOW)) for text in FILES]
)
def test_whole_examples_are_solved(text: str) -> None:
    solution = solve(loads(text, str(PAGE), folder=LIBRARY), estimate=False)
    assert solution.status == "converged"
    assert solution.errors is None or max(one.l2_relative for one in solution.errors.values()) < 1e-5


@pytest.mark.parametrize("name", SLOW)
def test_slow_examples_are_read(name: str) -> None:
    (text,) = (one for one in FILES if name_of(one) == name)
    assert loads(text, str(PAGE), folder=LIBRARY).name == name
