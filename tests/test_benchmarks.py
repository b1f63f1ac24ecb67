"""Benchmarks are not run by the tests, but what they share with the package has to be there."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pdekan.problem_files.loader import load_problem
from pdekan.problems.options import TrainingOptions
from pdekan.training.solver import solve

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_benchmark_can_be_imported(name: str) -> None:
    assert importlib.import_module(name) is sys.modules[name]


def test_ladders_are_what_is_trained() -> None:
    ladders = importlib.import_module("ladders")
    rungs = (ladders.Rung(3, (3, 1), (5, 4)), ladders.Rung(4, (3, 1), (5, 8)))
    problem = load_problem("poisson_sine")
    problem = replace(problem, training=TrainingOptions(steps=80, tolerance=1e-12))
    solution = solve(problem, strategy=ladders.strategy(problem, rungs))
    assert solution.network.widths == (2, 4, 1)
    assert solution.network.intervals == (1, 8)
