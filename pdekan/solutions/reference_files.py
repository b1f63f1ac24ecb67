"""The reference that a problem names: finite elements, the file of a run, a tensor grid of values, or values at points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.errors.norms import measure_on_rule
from pdekan.errors.reference_solutions import SUFFICIENT_ACCURACY, ReferenceSolution, ReferenceValues, finite_element_references
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.output.grid_file import holds_points, read_grid, read_points
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import ELEMENTS, Problem
from pdekan.problems.tables import tensor_spline
from pdekan.solutions.solution import Solution, load_solution

if TYPE_CHECKING:
    from scipy.interpolate import NdBSpline

RUN = ".vtkhdf"
DEGREE = 5  # of splines through values on a grid
RULE = {1: (37, 5), 2: (13, 4), 3: (5, 4)}  # cells along an axis, and points in each, for errors that refinement is stopped by


@dataclass(frozen=True, eq=False)
class RunReference:
    """The solution of another run, with the error that was measured there; nan where none was."""

    name: str
    solution: Solution
    rule: ClassVar[None] = None

    @property
    def estimate(self) -> Mapping[str, tuple[float, float]]:
        """The errors of the run by unknown: L2 norm and H1 seminorm."""
        errors = self.solution.errors or {}
        return {
            name: (errors[name].l2, errors[name].h1_seminorm) if name in errors else (math.nan, math.nan)
            for name in self.solution.unknowns
        }

    def __call__(self, points: Array) -> ReferenceValues:
        values, gradients = self.solution(points), self.solution.gradient(points)
        n, unknowns = len(points), self.solution.unknowns
        values, gradients = values.reshape(n, len(unknowns)), gradients.reshape(n, len(unknowns), -1)
        return {name: (values[:, k], gradients[:, k]) for k, name in enumerate(unknowns)}


@dataclass(frozen=True, eq=False)
class GridReference:
    """Tensor splines through values on a grid."""

    name: str
    splines: Mapping[str, NdBSpline]
    estimate: Mapping[str, tuple[float, float]]
    rule: ClassVar[None] = None

    def __call__(self, points: Array) -> ReferenceValues:
        return {name: _evaluated(spline, points) for name, spline in self.splines.items()}


@dataclass(frozen=True, eq=False)
class PointsReference:
    """Values and gradients at quasi-random points, of which errors are means; nothing is known between them."""

    name: str
    rule: Quadrature
    fields: ReferenceValues
    estimate: Mapping[str, tuple[float, float]]

    def __call__(self, points: Array) -> ReferenceValues:
        """At some of its points; at others no unknown has a value."""
        from scipy.spatial import cKDTree  # a tenth of a second, which most commands do not need

        distance, at = cKDTree(self.rule.points).query(points)
        return {name: (u[at], slopes[at]) for name, (u, slopes) in self.fields.items()} if not distance.any() else {}


def reference_for(problem: Problem, network: Network) -> ReferenceSolution | None:
    """The reference that a problem names, None where it names none.

    Finite elements are refined until their estimate is a tenth of the network's error, or as far as they go. Raises
    ProblemError and OutputError as `check_reference`, and ProblemError where finite elements fail.
    """
    if problem.exact_reference is None:
        return None
    if problem.exact_reference == ELEMENTS:
        return _finite_elements(problem, network)
    return _from_file(problem, Path(problem.exact_reference))


def check_reference(problem: Problem) -> None:
    """Raise ProblemError or OutputError where the reference that a problem names is not available."""
    if problem.exact_reference == ELEMENTS:
        from pdekan.fem import applicability, meshes  # a quarter of a second, which most commands do not need

        _, kinds = applicability.check(problem)
        meshes.fitted_mesh(problem.domain, kinds)
    elif problem.exact_reference is not None:
        _from_file(problem, Path(problem.exact_reference))


def _finite_elements(problem: Problem, network: Network) -> ReferenceSolution:
    """The first reference whose estimated error is a tenth of the network's, or the last one."""
    frame = Frame(problem.domain.coordinates, Derivatives.VALUE)

    def start(points: Array) -> Array:
        x = torch.as_tensor(points, device=network.device)
        return evaluate(network, x, frame).value[:, : len(problem.unknowns)].cpu().numpy()

    rule = problem.domain.interior(*RULE[problem.domain.dimension], 0, 0)
    last: ReferenceSolution | None = None
    for last in finite_element_references(problem, start):
        errors = measure_on_rule(problem, network, rule, last)
        estimates = [(last.estimate[name], (one.l2, one.h1_seminorm)) for name, one in errors.items()]
        if all(own <= SUFFICIENT_ACCURACY * error for pair in estimates for own, error in zip(*pair, strict=True)):
            return last
    if last is None:
        raise ProblemError(
            'reference = "fem": four levels of meshes, which an estimate of the error needs, take too many unknowns or '
            "seconds; give formulas, or the file of a solution"
        )
    return last


def _from_file(problem: Problem, path: Path) -> ReferenceSolution:
    if path.suffix == RUN:
        solution = replace(load_solution(path), problem=None)  # with the parts of complex unknowns
        coordinates, unknowns = problem.domain.coordinates, problem.unknowns
        if (solution.domain.coordinates, solution.unknowns) != (coordinates, unknowns):
            raise ProblemError(
                f"{path}: a solution for {', '.join(solution.unknowns)} of {', '.join(solution.domain.coordinates)}; "
                f"the problem seeks {', '.join(unknowns)} of {', '.join(coordinates)}"
            )
        return RunReference(f"the run {path.parent.name}", solution)
    if holds_points(path):
        return _at_points(path, problem)
    axes, fields = read_grid(path, problem.domain.coordinates, problem.unknowns)
    _check_covers(path, axes, problem.domain)
    splines = {name: tensor_spline(axes, values, DEGREE) for name, values in fields.items()}
    estimate = {name: _estimate(axes, values, splines[name]) for name, values in fields.items()}
    return GridReference(f"the grid of {path.name}", splines, estimate)


def _at_points(path: Path, problem: Problem) -> PointsReference:
    domain = problem.domain
    points, fields, accuracy = read_points(path, domain.coordinates, problem.unknowns)
    outside = ~domain.contains(points)
    if outside.any():
        raise ProblemError(
            f"{path}: {outside.sum()} of {len(points)} points are not in the domain, the first {points[outside][0]}"
        )
    rule = Quadrature(points, np.full(len(points), domain.measure / len(points)))
    sizes = {name: (rule.weights @ u**2, rule.weights @ (slopes**2).sum(1)) for name, (u, slopes) in fields.items()}
    estimate = {name: (accuracy * math.sqrt(size), accuracy * math.sqrt(slope)) for name, (size, slope) in sizes.items()}
    return PointsReference(f"the {len(points)} points of {path.name}", rule, fields, estimate)


def _check_covers(path: Path, axes: Sequence[Array], domain: Domain) -> None:
    for name, axis, a, b in zip(domain.coordinates, axes, domain.lower, domain.upper, strict=True):
        slack = 1e-9 * (b - a)
        if axis[0] > a + slack or axis[-1] < b - slack:
            raise ProblemError(f"{path}: {name} goes from {axis[0]:g} to {axis[-1]:g}; the domain needs {a:g} to {b:g}")


def _evaluated(spline: NdBSpline, points: Array) -> tuple[Array, Array]:
    """Values ``(n,)`` and gradients ``(n, d)``."""
    slopes = [spline(points, nu=tuple(row)) for row in np.eye(points.shape[1], dtype=int)]
    return np.asarray(spline(points)), np.stack(slopes, axis=1)


def _estimate(axes: Sequence[Array], values: Array, spline: NdBSpline) -> tuple[float, float]:
    """Difference from the spline through every second point, in L2 and in the H1 seminorm: the error of a grid half as fine.

    nan where fewer than three points are left along an axis.
    """
    if min(len(axis) for axis in axes) < 5:
        return math.nan, math.nan
    kept = [np.unique([*range(0, len(axis), 2), len(axis) - 1]) for axis in axes]
    coarse = tensor_spline([axis[rows] for axis, rows in zip(axes, kept, strict=True)], values[np.ix_(*kept)], DEGREE)
    middles = [0.5 * (axis[1:] + axis[:-1]) for axis in axes]
    weights = reduce(np.multiply.outer, [np.diff(axis) for axis in axes]).ravel()
    points = np.stack([m.ravel() for m in np.meshgrid(*middles, indexing="ij")], axis=1)
    (u, slope), (v, other) = _evaluated(spline, points), _evaluated(coarse, points)
    return math.sqrt(weights @ (u - v) ** 2), math.sqrt(weights @ ((slope - other) ** 2).sum(axis=1))
