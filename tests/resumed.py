"""Trainings that go on: from a file, and compared to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pdekan.runs.directory import SOLUTION
from pdekan.solutions.solution import Solution, load_solution


def written(solution: Solution, folder: Path) -> Solution:
    """The same, from a file."""
    solution.save(folder / SOLUTION)
    return load_solution(folder / SOLUTION)


def assert_equal_to_the_bit(one: Solution, other: Solution) -> None:
    first, second = one.network.state_dict(), other.network.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (one.iterations, one.stage, one.relative_residual) == (other.iterations, other.stage, other.relative_residual)
    for name, column in one.history.items():
        if name != "seconds":
            np.testing.assert_array_equal(column, other.history[name])
