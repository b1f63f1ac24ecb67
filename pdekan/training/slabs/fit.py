"""One slab of an initial value problem in one coordinate: splines that satisfy equations and initial values by least squares.

Rows are divided by the sizes of their terms at the solution, (Σ_k (∂r/∂u_k u_k)² + (∂r/∂u'_k u'_k)² + …)^½ in root mean square
over the slab, so that neither units nor rates matter, and residuals are relative errors of rates. Such a fit is implicit and
damps what decays within the slab: stiffness does not limit its length, steepness of the solution does.

A short slab adds to the error of an unknown what its residual r can change: at most h |r| / |∂r/∂u'| over the length h.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan import splines as splines_of
from pdekan.ansatz.time_slabs import Carried
from pdekan.domains.box import Box
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.condition import OperatorCondition
from pdekan.problems.options import Weights
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import Term, terms
from pdekan.residuals.validation import Residuals
from pdekan.training.starts.first_guess import first_guess


@dataclass(frozen=True)
class SlabFit:
    """How a slab is fitted.

    degree, intervals: of the splines. order: Gauss points in each of their intervals. rounds: how often at most the rows'
    sizes are measured again; `settled`: the factor by which they change at most in the last round.
    """

    degree: int = 9
    intervals: int = 4
    order: int = 12
    rounds: int = 4
    settled: float = 1.5


@dataclass(frozen=True)
class Slab:
    """The function on a slab, its residuals on other points, and the error that they may add, relative to the unknowns."""

    start: float
    end: float
    network: Network
    residuals: Residuals
    error: float


def part(problem: Problem, start: float, end: float, before: Network | None) -> Problem:
    """The problem from start to end; its initial values are those of the network before, if there is one."""
    domain = Box(problem.domain.coordinates, (start,), (end,))
    conditions = problem.conditions
    if before is not None:
        conditions = tuple(
            replace(one, value=Carried(one.operator, before, problem)) if isinstance(one, OperatorCondition) else one
            for one in conditions
        )
    return replace(problem, domain=domain, conditions=conditions, exact_reference=None)


def fitted(
    problem: Problem, start: float, end: float, before: Network | None, check: Callable[[], None], rule: SlabFit = SlabFit()
) -> Slab:
    """The fit from start to end; residuals are infinite where it is not finite."""
    here = part(problem, start, end, before)
    sampling, other = Sampling(rule.intervals, rule.order, 0, 0), Sampling(rule.intervals + 1, rule.order - 1, 0, 0)
    rows, unseen = terms(here, sampling), terms(here, other)
    splines = KAN((1, len(problem.unknowns)), (rule.degree,), (rule.intervals,), "none", (start,), (end,))
    network: Network = splines
    if before is not None:
        network = _start(splines, before, rows)
    sizes = _sizes(rows, network)
    if before is None or not all(map(math.isfinite, sizes)):
        network = first_guess(here, network, rows, unseen, sampling)
        sizes = _sizes(rows, network)
    optimizer = GaussNewton(ridge=0.0, min_ridge=0.0)
    for _ in range(rule.rounds):
        objective = Objective(
            here, network, [_divided(*pair) for pair in zip(rows, sizes, strict=True)], Weights(), None, check
        )
        theta = parameters_to_vector(network.parameters()).detach()
        network = objective.load(optimizer.minimise(objective, theta, 0, lambda step: None).theta)
        previous, sizes = sizes, _sizes(rows, network)
        if not all(map(math.isfinite, sizes)):
            return Slab(start, end, network, Residuals(), math.inf)
        if all(a <= rule.settled * b and b <= rule.settled * a for a, b in zip(sizes, previous, strict=True)):
            break
    return Slab(start, end, network.requires_grad_(False), *_judged(unseen, sizes, network, end - start))


@torch.no_grad()
def _start(splines: KAN, before: Network, rows: list[Term]) -> Network:
    """Splines with the value, or value and slope, at the end of the slab before, whichever leaves less of the rows."""
    (start,), (end,), layer = splines.lower, splines.upper, splines.spline_layers[0]
    there = before.jet(start[None, None], Frame(rows[0].frame.coordinates, Derivatives.GRADIENT))
    assert there.gradient is not None
    t = 0.5 * (end - start) * (1.0 + splines_of.greville(layer.degree, layer.intervals))
    value, slope = there.value[0], there.gradient[0, :, 0]
    starts = []
    for one in (torch.zeros_like(slope), slope):
        starts.append(copy.deepcopy(splines))
        starts[-1].spline_layers[0].set_dense("coefficients", (value[:, None] + one[:, None] * t)[None])
    return min(starts, key=lambda one: _left(rows, one))


def _left(rows: list[Term], network: Network) -> float:
    """The squares of the rows relative to the sizes of their terms, inf where they are not finite."""
    sizes = _sizes(rows, network)
    jets = [network.jet(one.points, one.frame) for one in rows]
    left = sum(float(one.share @ one.residual(jet) ** 2) / s**2 for one, jet, s in zip(rows, jets, sizes, strict=True))
    return left if math.isfinite(left) else math.inf


def _divided(term: Term, size: float) -> Term:
    """The term with its rows divided by a size."""
    return replace(term, share=term.share / size**2)


@torch.no_grad()
def _sizes(rows: list[Term], network: Network) -> list[float]:
    """The size of every term at a network's function; that of a condition takes the unknowns' from all of the slab."""
    jets = [network.jet(one.points, one.frame).each(Tensor.detach) for one in rows]
    whole = jets[0]
    return [_size(one, jet, whole) for one, jet in zip(rows, jets, strict=True)]


def _size(term: Term, jet: Jet, whole: Jet) -> float:
    """The root mean square over the points of what the parts of the jet contribute, and of the right-hand side."""
    slope = term.linearised(jet)[1]
    total = term.target**2
    parts = ((one.value, *one.derivatives) for one in (slope, jet, whole))
    for derivative, own, inside in zip(*parts, strict=True):
        if derivative is None or own is None:
            continue
        height = own if term.group == "equation" or inside is None else inside.square().mean(0).sqrt()
        total = total + (derivative * height).square().flatten(1).sum(1)
    size = math.sqrt(float(term.share @ total))
    return size if size > 0.0 else 1.0


@torch.no_grad()
def _judged(unseen: list[Term], sizes: list[float], network: Network, length: float) -> tuple[Residuals, float]:
    """Root mean squares of the residuals, the largest relative to the sizes of the terms, and the error that they may add."""
    found, error = [], 0.0
    for one, size in zip(unseen, sizes, strict=True):
        jet = network.jet(one.points, one.frame)
        residual = math.sqrt(float(one.share @ one.residual(jet) ** 2))
        if not math.isfinite(residual):
            return Residuals(), math.inf
        found.append(residual)
        error = max(error, residual / size * min(1.0, _change(one, jet, size, length)))
    relative = max(r / size for r, size in zip(found, sizes, strict=True))
    inside = [r for r, one in zip(found, unseen, strict=True) if one.group == "equation"]
    faces = [r for r, one in zip(found, unseen, strict=True) if one.group == "conditions"]
    return Residuals(math.hypot(*inside), math.hypot(*faces) / math.sqrt(max(1, len(faces))), math.inf, relative), error


def _change(term: Term, jet: Jet, size: float, length: float) -> float:
    """By what a residual of this size changes the unknowns within the length, relative to them; inf where that is not known.

    It changes the highest derivative: u' by r / |∂r/∂u'|, or u'' by r / |∂r/∂u''| and then u' relative to |u'| + |u| / length,
    and so on.
    """
    slope = term.linearised(jet.each(Tensor.detach))[1]
    if term.group != "equation" or slope.gradient is None or jet.gradient is None:
        return math.inf
    slopes, parts = ([part for p in one.derivatives if p is not None for part in p.unbind(-1)] for one in (slope, jet))
    order = max((k for k, part in enumerate(slopes, 1) if bool(part.any())), default=1)
    weights, heights = ((term.share @ part**2).sqrt() for part in (slopes[order - 1], jet.value))
    for part in parts[: order - 1]:
        heights = torch.maximum((term.share @ part**2).sqrt(), heights / length)
    changes = weights * heights
    return length * float((size / changes[changes > 0.0]).max()) if bool((changes > 0.0).any()) else math.inf
