"""Reference solutions: they replace the exact solution where no formula is known, with an estimate of their own error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from pdekan.domains.quadrature import Array, Quadrature
from pdekan.problems.problem import Problem

if TYPE_CHECKING:
    from pdekan.fem.spaces import FiniteElementFunction

MAX_RATE_RATIO = 4.0  # rates of convergence that differ by a larger factor are not asymptotic
MIN_RATE = 1.1  # smaller rates are replaced by this one in the extrapolation, which divides by rate - 1
ROUND_OFF = 2e-12  # relative to the solution's norm: error of the linear solver, measured in one to three dimensions
SUFFICIENT_ACCURACY = 0.1  # largest error of a reference solution, relative to the error that is measured against it

ReferenceValues = Mapping[str, tuple[Array, Array]]  # by unknown: values (n,) and gradients (n, d) at points (n, d)


class ReferenceSolution(Protocol):
    """A known solution. estimate: its own errors in L2 and in the H1 seminorm by unknown, nan where not known. rule: of the
    points where alone it is known, None where it is known everywhere.
    """

    @property
    def name(self) -> str:
        """A description for messages."""

    @property
    def estimate(self) -> Mapping[str, tuple[float, float]]: ...

    @property
    def rule(self) -> Quadrature | None: ...

    def __call__(self, points: Array) -> ReferenceValues:
        """Values ``(n,)`` and gradients ``(n, d)`` of each unknown at points ``(n, d)`` in the domain."""


@dataclass(frozen=True, eq=False)
class FiniteElementReference:
    """A finite-element solution with an estimate of its error from those on coarser meshes."""

    unknowns: tuple[str, ...]
    solution: FiniteElementFunction
    estimate: Mapping[str, tuple[float, float]]
    rule: ClassVar[None] = None

    @property
    def name(self) -> str:
        size, count = self.solution.coefficients.shape
        return f"finite elements of degree {self.solution.space.element.degree} with {size * count} unknowns"

    def __call__(self, points: Array) -> ReferenceValues:
        values, gradients = self.solution(points)
        return {name: (values[:, k], gradients[:, k]) for k, name in enumerate(self.unknowns)}


def finite_element_references(
    problem: Problem, start: Callable[[Array], Array] | None = None
) -> Iterator[FiniteElementReference]:
    """Reference solutions on finer and finer meshes, from the fourth mesh on, as long as their estimated errors fall.

    The error on the last of four meshes is estimated by Richardson extrapolation in each norm, d / (ρ - 1), with d the
    difference of the last two solutions and ρ the lesser of the last two ratios of successive differences.

    start: values ``(n, U)`` at points ``(n, d)`` from which Newton's method starts. Raises ProblemError for a problem that
    finite elements do not solve.
    """
    names = problem.unknowns
    differences: list[Array] = []  # (U, 2) between successive meshes: L2, H1 seminorm
    coarser, least = None, np.full((len(names), 2), math.inf)
    from pdekan.fem.solver import levels  # a quarter of a second, which most commands do not need

    for solution in levels(problem, start):
        if coarser is not None:
            differences.append(difference_norms(solution, coarser))
        if len(differences) >= 3:
            errors = richardson_errors(*differences[-3:]) + ROUND_OFF * function_norms(solution)
            if not (errors < least).any():
                return
            least = errors
            estimate = {name: (float(l2), float(h1)) for name, (l2, h1) in zip(names, errors, strict=True)}
            yield FiniteElementReference(names, solution, estimate)
        coarser = solution


def difference_norms(fine: FiniteElementFunction, coarse: FiniteElementFunction) -> Array:
    """Norms ``(U, 2)`` of the difference of two functions, L2 and H1 seminorm, over the mesh of the first."""
    points, weights, values, gradients = fine.quadrature()
    coarse_values, coarse_gradients = coarse(points)
    return _norms(weights, values - coarse_values, gradients - coarse_gradients)


def function_norms(function: FiniteElementFunction) -> Array:
    """Norms ``(U, 2)``, L2 and H1 seminorm."""
    return _norms(*function.quadrature()[1:])


def _norms(weights: Array, values: Array, gradients: Array) -> Array:
    squares = [values**2, (gradients**2).sum(axis=2)]
    return np.asarray(np.sqrt(np.stack([weights @ square for square in squares], axis=1)))


def richardson_errors(first: Array, second: Array, last: Array) -> Array:
    """Errors on the last of four meshes, from the differences of the solutions on successive meshes.

    At least the last difference where the two rates of convergence do not agree.
    """
    tiny = np.finfo(np.float64).tiny  # a difference of zero gives an error of zero
    rates = np.stack([first, second]) / np.maximum(np.stack([second, last]), tiny)
    error = last / (np.maximum(MIN_RATE, rates.min(axis=0)) - 1.0)
    return np.asarray(np.where(rates.max(axis=0) <= MAX_RATE_RATIO * rates.min(axis=0), error, np.maximum(error, last)))
