"""Whether a run that is to be resumed is finished."""

from __future__ import annotations

import math

from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.continuation import is_same
from pdekan.training.points import DEFAULT_MEGABYTES


def finished(earlier: Solution, problem: Problem) -> bool:
    """Whether a run ended by itself, and the problem is its own one, with the same tolerance and no limit above its own."""
    before = earlier.problem
    if earlier.status == "interrupted" or before is None or not is_same(before, problem):
        return False
    return all(new <= old for new, old in zip(_limits(problem), _limits(before), strict=True))


def _limits(problem: Problem) -> tuple[float, float, float]:
    """Seconds, steps and megabytes."""
    training = problem.training
    return training.seconds, training.steps or math.inf, training.memory or DEFAULT_MEGABYTES
