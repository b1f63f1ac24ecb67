"""Upper and lower bounds of the energy norm of a solution's error, without the exact solution.

The upper one is that of `errors.majorant`. The lower one, by finite elements, with r and η as in `errors.energy_problem`, is

    |||u - v||| ≥ (∫ r w + ∮ η w) / |||w|||

for any w that vanishes where u is given, sharp for the part of u - v that vanishes there. The other part, of least energy with
the values -δ, is orthogonal to it; its finite-element approximation adds its energy, less the change from the mesh before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from pdekan.errors.boundary_extension import SplineFunction, check_agreement, energy_norm, extension_norm, fitted_spline
from pdekan.errors.enclosed_bounds import Fitted, enclosed_bounds, fitted_test
from pdekan.errors.energy_constants import EnergyConstants, energy_constants
from pdekan.errors.energy_problem import EnergyProblem, refused
from pdekan.errors.estimate import Bound
from pdekan.errors.majorant import FaceSamples, FittedFlux, Flux, Samples, Terms, fitted_flux
from pdekan.errors.spline_fields import SplineBox
from pdekan.fem.solver import levels
from pdekan.fem.spaces import FiniteElementFunction
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.taylor_models import NotEnclosed
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem

ESTIMATE, GUARANTEED = "estimate", "guaranteed"
Watch = Callable[[float, str], None]  # told the fraction done and what is known so far

MORE = (3, 8)  # Gauss points than the elements' degree, for the residuals: two rules, whose difference is left out of the bound


@dataclass(frozen=True)
class BoundRule:
    """How fine the splines and meshes of bounds become.

    intervals: of the splines along the longest side, by dimension, level by level. degree: of fluxes, by dimension. finer: how
    many times more cells the rule has on which a flux is judged than the one on which it is fitted. close: the ratio of upper
    to lower bound at which refinement ends. seconds: after which no further level is begun. near: the ratio of the enclosed
    upper bound to the one by quadrature at which cells are not halved further. margin: relative, for the quadrature.
    rounding: relative to |||v|||.
    """

    intervals: tuple[tuple[int, ...], ...] = ((16, 64, 256), (8, 16, 32, 64), (3, 5, 8))
    degree: tuple[int, ...] = (4, 3, 2)
    finer: float = 1.5
    close: float = 1.05
    seconds: float = 60.0
    near: float = 1.05
    margin: float = 1e-4
    rounding: float = 1e-13


def error_bound(
    problem: Problem, network: Network, rule: BoundRule = BoundRule(), watch: Watch = lambda fraction, text: None
) -> Bound:
    """Bounds of the error of a network.

    Raises ProblemError with the reason for problems that the theory does not cover, and where the bounds contradict each other.
    """
    began = time.perf_counter()
    energy = EnergyProblem.of(problem, deepcopy(network).cpu().requires_grad_(False))
    check_agreement(energy)
    constants = energy_constants(energy)
    upper, lower, below, size = math.inf, 0.0, lower_bounds(energy), 0.0
    for n in rule.intervals[problem.domain.dimension - 1]:
        started = time.perf_counter()
        level = Level.of(energy, constants, n, rule)
        upper = min(upper, upper_bound(energy, constants, level))
        one = next(below, None)
        lower = lower if one is None else max(lower, one.value(energy, level.samples.faces, level.fit.faces))
        size = _solution_norm(energy, level.samples)
        now = time.perf_counter()
        watch(min(1.0, (now - began) / rule.seconds), f"the energy norm of the error is {lower:.2e} to {upper:.2e}")
        if upper <= rule.close * lower or now - began + 3.0 * (now - started) > rule.seconds:
            break
    off = rule.rounding * size
    guaranteed = _guaranteed(energy, level, rule, upper, off, began)
    if isinstance(guaranteed, Bound):
        return guaranteed
    upper, lower = upper * (1.0 + rule.margin) + off, max(0.0, lower * (1.0 - rule.margin) - off)
    if not lower <= upper:
        raise refused(f"the bounds {lower:.3e} and {upper:.3e} contradict each other, as integrals are not exact enough")
    return _bound(upper, lower, size, ESTIMATE, _assumptions(energy, constants, guaranteed))


def _bound(upper: float, lower: float, size: float, kind: str, assumptions: tuple[str, ...]) -> Bound:
    return Bound(upper, lower, upper / (size - upper) if size > upper else math.nan, kind, assumptions)


def _guaranteed(energy: EnergyProblem, level: Level, rule: BoundRule, upper: float, off: float, began: float) -> Bound | str:
    """The bound with enclosed integrals, on cells that are halved until it is near an estimate of it; or why there is none."""
    best, parts = None, 1
    try:
        fitted = Fitted(level.flux, level.extension, fitted_test(energy, level.fit, level.space))
        while True:
            started = time.perf_counter()
            one = enclosed_bounds(energy, fitted, level.space, parts)
            helps = best is None or one.upper < 0.7 * best.upper
            best = one if best is None or one.upper < best.upper else best
            now = time.perf_counter()
            wait = 2.0**energy.problem.domain.dimension * (now - started)
            if best.upper <= rule.near * upper or not helps or now - began + wait > 2.0 * rule.seconds:
                break
            parts *= 2
    except (NotEnclosed, ProblemError) as reason:
        if best is None:
            return str(reason)
    if not math.isfinite(best.upper):
        return "enclosures of the residual overflow"
    if best.lower > best.upper:
        raise refused(f"the bounds {best.lower:.3e} and {best.upper:.3e} contradict each other")
    stated = _assumptions_of_guaranteed(energy, best.constants)
    return _bound(best.upper + off, max(0.0, best.lower - off), best.size, GUARANTEED, stated)


def _surely(first: float, second: float) -> float:
    """The larger one of values by two rules, and their difference beyond it."""
    return max(first, second) + abs(first - second)


@dataclass(frozen=True)
class Level:
    """Samples to fit on, samples to judge by, splines, and the flux and the extension of boundary values that are fitted."""

    fit: Samples
    samples: Samples
    space: SplineBox
    flux: FittedFlux
    extension: SplineFunction | None

    @classmethod
    def of(cls, energy: EnergyProblem, constants: EnergyConstants, intervals: int, rule: BoundRule) -> Level:
        """With so many intervals along the longest side."""
        domain, degree = energy.problem.domain, rule.degree[energy.problem.domain.dimension - 1]
        sides = np.subtract(domain.upper, domain.lower)
        along = np.maximum(1, np.round(intervals * sides / sides.max())).astype(int)
        space = SplineBox(domain.lower, domain.upper, tuple(along.tolist()), degree)
        finer = np.ceil(rule.finer * along).astype(int).tolist()
        fit, samples = (Samples.of(energy, cells, degree + 2) for cells in (along.tolist(), finer))
        return cls(fit, samples, space, fitted_flux(fit, constants, space), fitted_spline(energy, fit, space))


def plain_bound(energy: EnergyProblem, constants: EnergyConstants, samples: Samples, space: SplineBox) -> float:
    """The upper bound by weighted norms of the residuals alone."""
    zero = Terms.of(samples, constants, Flux.zero(samples))
    return math.hypot(zero.least, extension_norm(energy, None, samples, space))


def upper_bound(energy: EnergyProblem, constants: EnergyConstants, level: Level) -> float:
    """The upper bound by the best flux and the best extension of splines, or that by residuals alone."""
    both, space = (level.samples, level.fit), level.space
    sharp = [
        math.hypot(Terms.of(one, constants, level.flux.at(one)).least, extension_norm(energy, level.extension, one, space))
        for one in both
    ]
    plain = [plain_bound(energy, constants, one, space) for one in both]
    return min(_surely(*sharp), _surely(*plain))


def _solution_norm(energy: EnergyProblem, samples: Samples) -> float:
    """|||v|||."""
    frame, points = Frame(energy.problem.domain.coordinates, Derivatives.VALUE), samples.faces.points
    on_faces = evaluate(energy.network, torch.as_tensor(points), frame).value[:, 0].numpy() if len(points) else np.empty(0)
    return energy_norm(samples, samples.inside.value, samples.inside.gradient, on_faces)


def _assumptions(energy: EnergyProblem, constants: EnergyConstants, reason: str) -> tuple[str, ...]:
    stated = [f"integrals by Gauss rules ({reason})", f"constants: {constants.source}"]
    if energy.essential:
        stated.append("the part of the error with boundary values counts in the lower bound by finite elements")
    return tuple(stated)


def _assumptions_of_guaranteed(energy: EnergyProblem, constants: EnergyConstants) -> tuple[str, ...]:
    stated = [
        "integrals are enclosed by Taylor models, elementary functions being right to four units in the last place",
        "numbers in formulas and in the network are those that are stored",
        f"constants: {constants.source}",
    ]
    if energy.essential:
        stated.append("values of u on faces agree where these meet")
    return tuple(stated)


@dataclass(frozen=True)
class LowerBound:
    """A lower bound by finite elements: w, the part of u - v with the values -δ, and that part on the mesh before."""

    inner: FiniteElementFunction
    outer: FiniteElementFunction | None
    coarser: FiniteElementFunction | None

    def value(self, energy: EnergyProblem, *faces: FaceSamples) -> float:
        """The bound, by Gauss rules in the cells of the mesh, and the least by several rules on the natural faces."""
        parts = _Integrals.of(energy, self.inner, faces)
        squares = min(parts.quotients()) ** 2
        if self.outer is not None and self.coarser is not None:
            norms = [_Integrals.of(energy, one, faces).norms() for one in (self.outer, self.coarser)]
            squares += min(max(0.0, fine - abs(fine - coarse)) for fine, coarse in zip(*norms, strict=True)) ** 2
        return math.sqrt(squares)


@dataclass(frozen=True)
class _Integrals:
    """E and ∫ c w² of a function w over the cells, ∫ r w, and those of several rules on the natural faces: ∮ α w², ∮ η w.

    unsure: how far ∫ r w is from that by the finer rule, as where the residual has kinks within the cells.
    """

    square: float
    tested: float
    unsure: float
    on_faces: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, energy: EnergyProblem, function: FiniteElementFunction, faces: Sequence[FaceSamples]) -> _Integrals:
        points, weights, value, gradient = function.quadrature(MORE[1])
        w, slope, inside = value[:, 0], gradient[:, 0], energy.inside(points)
        density = np.einsum("nij,ni,nj->n", inside.diffusion, slope, slope) + inside.reaction * w**2
        pairs = []
        for one in faces:
            on_face = function.values(one.points)[:, 0] if len(one.points) else np.empty(0)
            pairs.append((float(one.weights @ (one.robin * on_face**2)), float(one.weights @ (one.residual * on_face))))
        square, tested = float(weights @ density), float(weights @ (inside.residual * w))
        points, weights, value, _ = function.quadrature(MORE[0])
        unsure = abs(tested - float(weights @ (energy.inside(points).residual * value[:, 0])))
        return cls(square, tested, unsure, tuple(pairs))

    def norms(self) -> list[float]:
        """|||w||| by each rule."""
        return [math.sqrt(self.square + robin) for robin, _ in self.on_faces]

    def quotients(self) -> list[float]:
        """(∫ r w + ∮ η w) / |||w||| by each rule."""
        tested = [max(0.0, abs(self.tested + given) - self.unsure) for _, given in self.on_faces]
        return [one / norm if norm > 0.0 else 0.0 for one, norm in zip(tested, self.norms(), strict=True)]


def lower_bounds(energy: EnergyProblem) -> Iterator[LowerBound]:
    """Lower bounds by finer and finer meshes."""
    coarser = None
    outer = levels(energy.error_problem(inside=False, boundary=True)) if energy.essential else None
    for inner in levels(energy.error_problem(inside=True, boundary=False)):
        other = None if outer is None else next(outer, None)
        yield LowerBound(inner, other, coarser)
        coarser = other
