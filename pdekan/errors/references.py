"""References: what stands for the exact solution where no formula is known, with an estimate of its own error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pdekan.domains.quadrature import Array
from pdekan.fem.solver import levels
from pdekan.fem.spaces import Function
from pdekan.problems.problem import Problem

UNSTEADY = 4.0  # rates that differ by more than this factor are not the same rate
SLOWEST = 1.1  # a difference that falls by less from level to level is taken to fall by that
ROUNDING = 2e-12  # of a solution's norm: what the linear solver's rounding leaves. Measured in one to three dimensions
SUFFICIENT = 0.1  # of the error that is measured: how large that of the reference may be

Known = Mapping[str, tuple[Array, Array]]  # by unknown: values (n,) and gradients (n, d) at points (n, d)


class Reference(Protocol):
    """A known solution. estimate: its own L2 error and that in the H1 seminorm by unknown, nan where not known."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    @property
    def estimate(self) -> Mapping[str, tuple[float, float]]: ...

    def __call__(self, points: Array) -> Known:
        """Values ``(n,)`` and gradients ``(n, d)`` of each unknown at points ``(n, d)`` in the domain."""


@dataclass(frozen=True, eq=False)
class FiniteElementReference:
    """A finite-element solution with an estimate of its error from those on coarser meshes."""

    unknowns: tuple[str, ...]
    solution: Function
    estimate: Mapping[str, tuple[float, float]]

    @property
    def name(self) -> str:
        size, count = self.solution.coefficients.shape
        return f"finite elements of degree {self.solution.space.element.degree} with {size * count} unknowns"

    def __call__(self, points: Array) -> Known:
        values, gradients = self.solution(points)
        return {name: (values[:, k], gradients[:, k]) for k, name in enumerate(self.unknowns)}


def finite_element_references(
    problem: Problem, start: Callable[[Array], Array] | None = None
) -> Iterator[FiniteElementReference]:
    """References on finer and finer meshes, from the fourth on, as long as their estimates fall.

    The error of the last of several levels is estimated by Richardson's extrapolation in each norm, d / (ρ - 1), d being the
    difference of the last two levels and ρ the lesser of the last two factors by which differences fell.

    start: values ``(n, U)`` at points ``(n, d)`` with which Newton's method begins. Raises ProblemError for a problem that
    finite elements do not solve.
    """
    names = problem.unknowns
    differences: list[Array] = []  # (unknowns, 2) from level to level: L2, H1 seminorm
    before, best = None, np.full((len(names), 2), math.inf)
    for solution in levels(problem, start):
        if before is not None:
            differences.append(difference(solution, before))
        if len(differences) >= 3:
            errors = extrapolated(*differences[-3:]) + ROUNDING * norms(solution)
            if not (errors < best).any():
                return
            best = errors
            estimate = {name: (float(l2), float(h1)) for name, (l2, h1) in zip(names, errors, strict=True)}
            yield FiniteElementReference(names, solution, estimate)
        before = solution


def difference(fine: Function, coarse: Function) -> Array:
    """Norms ``(U, 2)`` of the difference of two functions, L2 and H1 seminorm, over the domain of the first."""
    points, weights, values, gradients = fine.samples()
    others, slopes = coarse(points)
    squares = [(values - others) ** 2, ((gradients - slopes) ** 2).sum(axis=2)]
    return np.asarray(np.sqrt(np.stack([weights @ square for square in squares], axis=1)))


def norms(function: Function) -> Array:
    """Norms ``(U, 2)``, L2 and H1 seminorm."""
    _, weights, values, gradients = function.samples()
    squares = [values**2, (gradients**2).sum(axis=2)]
    return np.asarray(np.sqrt(np.stack([weights @ square for square in squares], axis=1)))


def extrapolated(first: Array, second: Array, last: Array) -> Array:
    """Errors of the last of four levels from the three differences of one to the next.

    At least the last difference itself where the two rates do not agree.
    """
    tiny = np.finfo(np.float64).tiny  # what does not change at all is known
    rates = np.stack([first, second]) / np.maximum(np.stack([second, last]), tiny)
    error = last / (np.maximum(SLOWEST, rates.min(axis=0)) - 1.0)
    return np.asarray(np.where(rates.max(axis=0) <= UNSTEADY * rates.min(axis=0), error, np.maximum(error, last)))
