"""Smallest eigenvalues of an elliptic operator by finite elements: how much of a function its energy controls."""

from __future__ import annotations

from pdekan.problems.problem import Problem


def smallest_eigenvalues(problem: Problem, sign: float, essential: tuple[str, ...]) -> tuple[float, float]:
    raise NotImplementedError
