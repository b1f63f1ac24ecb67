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


@pytest.mark.parametrize("text", FILES, ids=lambda text: re.findall('name = "(.*)"', text)[0])
def test_whole_examples_are_solved(text: str) -> None:
    problem = loads(text, str(PAGE), folder=LIBRARY)
    solution = solve(problem, estimate=False)
    assert solution.status == "converged"
    assert solution.errors is None or max(one.l2_relative for one in solution.errors.values()) < 1e-5
