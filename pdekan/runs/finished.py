"""Whether a run that is to be resumed is finished."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np

from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.goal import Goal
from pdekan.training.memory import DEFAULT_MEGABYTES

LIMITS = ("seconds", "steps", "memory", "tolerance")


def finished(earlier: Solution, problem: Problem) -> bool:
    """Whether a run ended by itself, and the problem is its own one, with the same tolerance and no limit above its own."""
    before = earlier.problem
    if earlier.status == "interrupted" or before is None or before.text is None or problem.text is None:
        return False
    if _without_limits(before.text) != _without_limits(problem.text) or not _same_data(before, problem):
        return False
    same_goal = Goal.of(before, None) == Goal.of(problem, None)
    return same_goal and all(new <= old for new, old in zip(_limits(problem), _limits(before), strict=True))


def _without_limits(text: str) -> dict[str, Any]:
    """The tables of a problem file, without the limits of its training."""
    tables = tomllib.loads(text)
    training = {key: value for key, value in tables.pop("training", {}).items() if key not in LIMITS}
    return tables | {"training": training}


def _limits(problem: Problem) -> tuple[float, float, float]:
    """Seconds, steps and megabytes."""
    training = problem.training
    return training.seconds, training.steps or math.inf, training.memory or DEFAULT_MEGABYTES


def _same_data(one: Problem, other: Problem) -> bool:
    """Whether the measurements, which come from files of their own, are the same."""
    return len(one.data) == len(other.data) and all(
        a.values.keys() == b.values.keys()
        and np.array_equal(a.points, b.points)
        and all(np.array_equal(a.values[name], b.values[name], equal_nan=True) for name in a.values)
        for a, b in zip(one.data, other.data, strict=True)
    )
