"""Benchmarks are not run by the tests, but what they share with the package has to be there."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from perturbed import Perturbed

from pdekan.problem_files.loader import load_problem
from pdekan.problems.options import TrainingOptions
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import terms
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


def test_every_operator_domain_and_condition_has_a_manufactured_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    manufactured = importlib.import_module("manufactured")
    manufactured.check_complete()
    for registry in (manufactured.DOMAINS, manufactured.CONDITIONS):
        monkeypatch.setitem(registry, "knot", next(iter(registry.values())))
        with pytest.raises(KeyError, match="knot"):
            manufactured.check_complete()
        monkeypatch.delitem(registry, "knot")
    monkeypatch.setitem(manufactured.FUNCTIONS, "curl", manufactured.FUNCTIONS["div"])
    with pytest.raises(KeyError, match="operator curl"):
        manufactured.check_complete()


def test_sources_and_values_that_sympy_derives_are_those_of_our_operators() -> None:
    """Every term's residual vanishes at the exact solution, to round-off."""
    manufactured = importlib.import_module("manufactured")
    for name, case in {**manufactured.OPERATORS, **manufactured.CASES_OF_CONDITIONS}.items():
        problem = manufactured.problem(case)
        network = Perturbed(problem, 0.0)
        for term in terms(problem, Sampling(4, 6, 0, 0)):
            residual = term.residual(network.jet(term.points, term.frame))
            assert residual.abs().max() < 1e-8, f"{name}: {term.name}"  # points across an interface are 1e-10 apart
