"""Problems as users state them that have no answer, or one that is hard to find: refused, said to be unreliable, or right.

The files lie in tests/cases. Each stands for a kind: a condition that was forgotten, an ill-posed problem, parameters that
nothing determines, a jump that no interface declares, a stiff or an unstable equation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pdekan as pk
from pdekan.problems.formulas import ProblemError

CASES = Path(__file__).parent / "cases"
SECONDS = 2.0

REFUSED = {
    "rod_with_one_end": "nothing is stated for u on x+",
    "plate_with_one_side": "nothing is stated for u on x+, y-, y+",
    "transport_without_inflow": "nothing is stated for u on x-",
    "string_without_velocity": 'an initial condition with operator = "dt(u)" is missing on t-',
    "no_operator": "no equation depends on u",
    "copper_on_glass": "jumps at y = 1,",
    "thin_heater": "other values in a region of width 2.0e-05",
}
UNRELIABLE = {
    "heat_from_its_end": "backward in time",
    "resonance": "any multiple of an eigenfunction may be added",
    "sum_of_parameters": "a + b is found, a and b are not",
}
# Solved within these relative L2 errors, or not called converged.
HONEST = {"unstable_growth": 1e-4, "robertson": 1e-3, "source_with_a_jump": 1e-3}


def case(name: str) -> pk.Problem:
    problem = pk.load_problem(CASES / f"{name}.toml")
    return replace(problem, training=replace(problem.training, seconds=SECONDS))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_training(name: str) -> None:
    with pytest.raises(ProblemError) as caught:
        pk.solve(case(name), watch=lambda progress: pytest.fail("it was trained"))
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize("name", UNRELIABLE)
def test_unreliable_with_the_reason(name: str) -> None:
    solution = pk.solve(case(name))
    assert solution.status == "unreliable"
    assert UNRELIABLE[name] in solution.reason


@pytest.mark.parametrize("name", HONEST)
def test_converged_only_if_right(name: str) -> None:
    """The errors are those against formulas, or against values at points beside the file."""
    solution = pk.solve(case(name))
    if solution.status != "converged":
        assert solution.reason
        return
    for error in errors(name, solution):
        assert error < HONEST[name]


def errors(name: str, solution: pk.Solution) -> list[float]:
    table = CASES / f"{name}.csv"
    if not table.exists():
        assert solution.errors is not None
        return [one.l2_relative for one in solution.errors.values()]
    known = np.genfromtxt(table, delimiter=",", names=True)
    points = np.column_stack([known[c] for c in solution.domain.coordinates])
    found = solution(points).reshape(len(points), -1)
    right = np.column_stack([known[u] for u in solution.unknowns])
    return [float(e) for e in np.linalg.norm(found - right, axis=0) / np.linalg.norm(right, axis=0)]
