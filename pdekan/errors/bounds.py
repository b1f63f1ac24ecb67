"""Upper and lower bounds of the energy norm of a solution's error, without the exact solution."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from pdekan.errors.boundary_extension import energy_norm, extension_norm, fitted_spline
from pdekan.errors.energy_constants import EnergyConstants, energy_constants
from pdekan.errors.energy_problem import EnergyProblem
from pdekan.errors.majorant import Flux, Samples, Terms, fitted_flux
from pdekan.errors.minorant import lower_bounds
from pdekan.errors.spline_fields import SplineBox
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem

ESTIMATE = "estimate"
Watch = Callable[[float, str], None]  # told the fraction done and what is known so far


@dataclass(frozen=True)
class Bound:
    """Bounds of |||u - v|||, |||w|||² = ∫ A∇w · ∇w + c w² + ∮ α w², of a solution v.

    energy_relative: the upper one relative to |||u|||, which is at least |||v||| less it; nan where that is negative. kind:
    "guaranteed" where all integrals are enclosed, "estimate" where they are taken by quadrature. assumptions: what holds if the
    bounds do.
    """

    energy_upper: float
    energy_lower: float
    energy_relative: float
    kind: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class BoundRule:
    """How fine the splines and meshes of bounds become.

    intervals: of the splines along the longest side, by dimension, level by level. degree: of fluxes, by dimension. finer: how
    many times more cells the rule has on which a flux is judged than the one on which it is fitted. close: the ratio of upper
    to lower bound at which refinement ends. seconds: after which no further level is begun. margin: relative, for the
    quadrature. rounding: relative to |||v|||.
    """

    intervals: tuple[tuple[int, ...], ...] = ((16, 64, 256), (8, 16, 32, 64), (3, 5, 8))
    degree: tuple[int, ...] = (4, 3, 2)
    finer: float = 1.5
    close: float = 1.05
    seconds: float = 60.0
    margin: float = 1e-4
    rounding: float = 1e-13


def error_bound(
    problem: Problem, network: Network, rule: BoundRule = BoundRule(), watch: Watch = lambda fraction, text: None
) -> Bound:
    """Bounds of the error of a network.

    Raises ProblemError with the reason for problems that the theory does not cover.
    """
    began = time.perf_counter()
    energy = EnergyProblem.of(problem, deepcopy(network).cpu())
    constants = energy_constants(energy)
    upper, lower, below, size = math.inf, 0.0, lower_bounds(energy), 0.0
    for n in rule.intervals[problem.domain.dimension - 1]:
        started = time.perf_counter()
        fit, samples, space = _level(energy, n, rule)
        upper = min(upper, upper_bound(energy, constants, fit, samples, space))
        one = next(below, None)
        lower = lower if one is None else max(lower, one.value(energy, samples.faces, fit.faces))
        size = _solution_norm(energy, samples)
        now = time.perf_counter()
        watch(min(1.0, (now - began) / rule.seconds), f"the energy norm of the error is {lower:.2e} to {upper:.2e}")
        if upper <= rule.close * lower or now - began + 3.0 * (now - started) > rule.seconds:
            break
    off = rule.rounding * size
    upper, lower = upper * (1.0 + rule.margin) + off, max(0.0, lower * (1.0 - rule.margin) - off)
    relative = upper / (size - upper) if size > upper else math.nan
    return Bound(upper, lower, relative, ESTIMATE, _assumptions(energy, constants))


def _surely(first: float, second: float) -> float:
    """The larger one of values by two rules, and their difference beyond it."""
    return max(first, second) + abs(first - second)


def _level(energy: EnergyProblem, intervals: int, rule: BoundRule) -> tuple[Samples, Samples, SplineBox]:
    """Samples to fit on, samples to judge by, and splines."""
    domain, degree = energy.problem.domain, rule.degree[energy.problem.domain.dimension - 1]
    sides = np.subtract(domain.upper, domain.lower)
    along = np.maximum(1, np.round(intervals * sides / sides.max())).astype(int)
    space = SplineBox(domain.lower, domain.upper, tuple(along.tolist()), degree)
    finer = np.ceil(rule.finer * along).astype(int).tolist()
    return Samples.of(energy, along.tolist(), degree + 2), Samples.of(energy, finer, degree + 2), space


def plain_bound(energy: EnergyProblem, constants: EnergyConstants, samples: Samples, space: SplineBox) -> float:
    """The upper bound by weighted norms of the residuals alone."""
    zero = Terms.of(samples, constants, Flux.zero(samples))
    return math.hypot(zero.least, extension_norm(energy, None, samples, space))


def upper_bound(energy: EnergyProblem, constants: EnergyConstants, fit: Samples, samples: Samples, space: SplineBox) -> float:
    """The upper bound by the best flux and the best extension of splines, or that by residuals alone."""
    flux = fitted_flux(fit, constants, space)
    spline = fitted_spline(energy, fit, space)
    sharp = [
        math.hypot(Terms.of(one, constants, flux.at(one)).least, extension_norm(energy, spline, one, space))
        for one in (samples, fit)
    ]
    plain = [plain_bound(energy, constants, one, space) for one in (samples, fit)]
    return min(_surely(*sharp), _surely(*plain))


def _solution_norm(energy: EnergyProblem, samples: Samples) -> float:
    """|||v|||."""
    frame, points = Frame(energy.problem.domain.coordinates, Derivatives.VALUE), samples.faces.points
    on_faces = evaluate(energy.network, torch.as_tensor(points), frame).value[:, 0].numpy() if len(points) else np.empty(0)
    return energy_norm(samples, samples.inside.value, samples.inside.gradient, on_faces)


def _assumptions(energy: EnergyProblem, constants: EnergyConstants) -> tuple[str, ...]:
    stated = ["integrals by Gauss rules", f"constants: {constants.source}"]
    if energy.essential:
        stated.append("the part of the error with boundary values counts in the lower bound by finite elements")
    return tuple(stated)
