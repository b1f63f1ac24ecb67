"""A posteriori error estimates: the solution is compared with one in a richer space, found by linear least squares.

The richer network v starts as the projection of the solution u; only its last layer is solved for, on points of its own. Where
the residual of v is well below that of u, so is its error, and ‖u - v‖ is the error of u (the saturation assumption: Bank and
Weiser, Math. Comp. 44 (1985) 283-301). The same rows A tell by how much a residual may be amplified: G = max ‖e‖ / ‖A e‖ over
the richer space, with e and its weighted residuals A e both relative to the solution's size, and A balanced between
nondimensional residuals: G does not depend on units. Where the conditions do not determine the solution, or determine it
badly, G is huge. Where no richer space lowers the residual enough, or the first one would take too long, as most do in three
dimensions, a coarser network tells by how much residuals are amplified in this solve: its error is nearly its distance to u,
and errors fall as residuals do; G is then that of the coarser space. Where there is none, G times the residual stands for the
error: an upper bound within the space, usually far above it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import inner_network, parameter_values, replace_inner_network
from pdekan.errors.estimate import Estimate, largest, relative_to_size
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import OFFSET
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective, row_factors
from pdekan.residuals.sizes import TINY
from pdekan.residuals.terms import Term, terms
from pdekan.residuals.validation import Validation
from pdekan.training.amplification import estimate_objective, largest_amplification, unknown_sizes
from pdekan.training.clock import Clock
from pdekan.training.fit import fit
from pdekan.training.optimizer_choice import SizedGaussNewton
from pdekan.training.points import validation_points
from pdekan.training.schedule import Stage
from pdekan.training.starts.warm_start import sampling
from pdekan.training.state import Candidate

COMPARISON, AMPLIFIED = "comparison with a richer space", "amplified residual"
COARSER = "comparison with a coarser network"
OTHER_SEED = 1  # added to that of training: richer networks have points of their own
# Gauss rules of the norms, by dimension: cells and points an axis in each, none in the middle, where solutions may be singular;
# above, quasi-random points.
RULES, SCATTERED = {1: (61, 6, 0), 2: (20, 5, 0), 3: (6, 4, 0)}, (1, 1, 4096)
SPLINES = (48, 192, 768)  # intervals of degree 9 in one dimension
FIRST_WAVES = 2  # numbers of plane waves that come before networks with added nodes
STEPS = 4  # of Gauss-Newton for the richer network where parameters are sought, in which it is not linear
# A richer solution is taken where its residual is so many times that of the other: the estimate is then off by that factor at
# most if errors are proportional to residuals.
SATURATION = 0.3
# Residuals: up to which a nonlinear problem's amplified residual is an estimate; up to which errors fall as residuals do; from
# which on a solution has as good as nothing of the problem's; below which no space is better.
LINEAR, FALLING, NOTHING, ROUND_OFF = 1e-3, 0.03, 0.5, 1e-13


@dataclass(frozen=True)
class EstimateRule:
    """How richer spaces are chosen.

    waves: plane waves in two dimensions. added: nodes that are added to the network itself, relative to its own. seconds,
    share: the processor time allowed, absolute and relative to the seconds of training, of which the larger counts; the
    first space has no limit where there is no coarser network.
    """

    waves: tuple[int, ...] = (16, 24, 32, 40, 48, 56)
    added: tuple[float, ...] = (0.5, 1.5)
    seconds: float = 3.0
    share: float = 0.33


@dataclass(frozen=True)
class Comparison:
    """A solution beside one in a richer space.

    estimates: by unknown. reliable: whether the richer solution's residual is small enough. difference: the largest relative
    L2 norm of u - v. amplification: G above. residual: that of v, relative. shifts: by parameter, the difference of the values
    that were found with both, which is due to discretisation and not to noise of data. richer: v, where it is known.
    coarser: whether the estimates are by a coarser network instead.
    """

    estimates: dict[str, Estimate]
    reliable: bool
    difference: float
    amplification: float
    residual: float = 0.0
    shifts: Mapping[str, float] = field(default_factory=dict)
    richer: Network | None = None
    coarser: bool = False

    @property
    def worst(self) -> float:
        """The largest relative L2 error of all unknowns; infinite where one is not a number."""
        return largest(self.estimates)


@dataclass(frozen=True)
class _Richest:
    """The best solution in a richer space: its network and relative residual; G, ‖A e‖ of u and whether rows are affine."""

    network: Network
    residual: float
    size: float
    weighted: float
    affine: bool


def compared(
    problem: Problem,
    network: Network,
    relative: float,
    seconds: float,
    rule: EstimateRule = EstimateRule(),
    earlier: Candidate | None = None,
) -> Comparison | str:
    """The comparison with the first richer space that is rich enough, or the richest one for which there is time.

    relative: the solution's residual on validation points; seconds: of its training; earlier: a coarser network with a larger
    residual. The reason where there is none.
    """
    if not problem.equations:
        return "a regression: its residual is that on data that were held back"
    allowed = max(rule.seconds, rule.share * seconds)
    if earlier is not None and relative <= FALLING and not problem.parameters and _takes(problem, network, rule) > allowed:
        by_coarser = _in_coarser_space(problem, network, relative, earlier)
        if by_coarser is not None:
            return by_coarser
    richest = _richest(problem, network, relative, allowed, rule)
    if richest is None or not math.isfinite(richest.residual):
        return "no richer space could be solved in the time and memory allowed"
    ratio = richest.residual / max(relative, TINY)
    if ratio > SATURATION and (reason := _hidden(problem, relative, richest.affine)) is not None:
        return reason
    one = _comparison(_differences(problem, network, richest.network), ratio, richest.size, richest.weighted)
    if not one.reliable and earlier is not None and relative <= FALLING:
        least = 0.5 * one.difference if ratio <= 1.0 else 0.0  # errors e and e' ≤ e differ by 2 e at most
        one = _by_coarser(_differences(problem, earlier.network, network), relative / earlier.relative, one, least)
    values = [parameter_values(each) if problem.parameters else {} for each in (network, richest.network)]
    factor = one.worst / max(one.difference, TINY)
    shifts = {name: factor * abs(value - values[1][name]) for name, value in values[0].items()}
    return replace(one, residual=richest.residual, shifts=shifts, richer=richest.network)


def _richest(problem: Problem, network: Network, relative: float, seconds: float, rule: EstimateRule) -> _Richest | None:
    """The first solution in a richer space that is good enough, or the best one for which there are time and memory."""
    clock = Clock(0.0, seconds, now=time.thread_time)
    best: _Richest | None = None
    last = (0.0, 1)
    with clock.running():
        for richer, stage in _richer(problem, network, rule):
            parameters, began = richer.parameter_count, clock.spent
            if best is not None and clock.spent + last[0] * (parameters / last[1]) ** 2 > clock.budget:
                break
            fitted = terms(problem, sampling(problem, stage, richer, OTHER_SEED), richer.device)
            try:
                watch = Clock(0.0, math.inf) if best is None else clock
                objective = estimate_objective(problem, richer, stage, fitted, watch, problem.training.weights)
            except ProblemError:  # there is no memory for it
                break
            solved, theta = _solved(objective, richer, relative, STEPS if problem.parameters else 0)
            residual = _validation(problem, stage, solved).residuals(solved).relative
            if best is None:
                balanced = estimate_objective(problem, solved, stage, fitted, Clock(0.0, math.inf), None)
                heights = unknown_sizes(balanced.terms[0], solved)
                size = largest_amplification(balanced, theta, solved, heights)
                weighted = _weighted_residual(problem, network, fitted) / float(heights.max())
                best = _Richest(solved, residual, size, weighted, objective.affine)
            elif residual < best.residual:
                best = replace(best, network=solved, residual=residual)
            last = clock.spent - began, parameters
            if residual <= max(SATURATION * relative, ROUND_OFF):
                break
    return best


def _by_coarser(differences: dict[str, Estimate], ratio: float, amplified: Comparison, least: float) -> Comparison:
    """The estimate by an earlier solution w: ‖u - w‖ is nearly the error of w, and errors fall as residuals do.

    differences: norms of u - w; ratio: the residual of u relative to that of w. amplified: the upper estimate, which stays
    where it is smaller, or that by w is below the least that it can be, as where w was begun from u.
    """
    if not least <= ratio * largest(differences) < amplified.worst:
        return amplified
    estimates = {name: _scaled(one, ratio, COARSER) for name, one in differences.items()}
    return replace(amplified, estimates=estimates, coarser=True)


def _takes(problem: Problem, network: Network, rule: EstimateRule) -> float:
    """The seconds expected of the two solves in the first richer space; up to two dimensions that space is small."""
    if problem.domain.dimension <= 2:
        return 0.0
    richer = next((one for one, _ in _richer(problem, network, rule)), network)
    return 2.0 * SizedGaussNewton.solve_seconds * richer.parameter_count**3


def _in_coarser_space(problem: Problem, network: Network, relative: float, earlier: Candidate) -> Comparison | None:
    """The estimate by an earlier network, with G of its space.

    None where that network's residual is not the least in its space, as that of waves in nonlinear problems.
    """
    coarse, stage = earlier.network, earlier.stage
    fitted = terms(problem, sampling(problem, stage, coarse, OTHER_SEED), coarse.device)
    try:
        objective = estimate_objective(problem, coarse, stage, fitted, Clock(0.0, math.inf), None)
    except ProblemError:  # there is no memory for it
        return None
    if not objective.affine and stage.waves:
        return None
    sizes = unknown_sizes(objective.terms[0], network)
    size = largest_amplification(objective, coarse.flat_parameters, coarse, sizes)
    weighted = _weighted_residual(problem, network, fitted) / float(sizes.max())
    differences = _differences(problem, coarse, network)
    amplified = _comparison(differences, 1.0, size, weighted)
    return replace(_by_coarser(differences, relative / earlier.relative, amplified, 0.0), residual=relative)


def _hidden(problem: Problem, relative: float, affine: bool) -> str | None:
    """Why no richer space that is not much better says anything about the error, or None where it does."""
    if relative > NOTHING:
        return "the residual is about as large as that of no function at all, and no richer space lowers it enough"
    if not affine and relative > LINEAR:
        return "the residual is too large for an estimate by linearisation"
    if any(one.noise or one.noise is None for one in problem.data):
        return "no richer space is better by more than the noise of the data: see the standard errors"
    return None


def _comparison(estimates: dict[str, Estimate], ratio: float, size: float, weighted: float) -> Comparison:
    """The comparison by the norms of u - v. ratio: the residual of v relative to that of u; size: G; weighted: ‖A e‖ of u."""
    difference, reliable = largest(estimates), ratio <= SATURATION
    if not reliable:
        amplified = size * weighted
        bound = amplified if ratio >= 1.0 else min(difference / (1.0 - ratio), max(amplified, difference))
        estimates = {name: _scaled(one, bound / max(difference, 1e-300), AMPLIFIED) for name, one in estimates.items()}
    return Comparison(estimates, reliable, difference, size)


def _solved(objective: Objective, richer: Network, relative: float, steps: int) -> tuple[Network, Tensor]:
    """The richer network with its flat parameters: its last layer is solved for, then all are changed by so many steps."""
    theta = richer.flat_parameters
    outcome = fit(objective, GaussNewton(ridge=1e-12 * min(1.0, relative**2)), theta, steps, lambda step: None)
    return objective.load(outcome.theta), outcome.theta


def _scaled(one: Estimate, factor: float, method: str) -> Estimate:
    return Estimate(
        factor * one.l2, factor * one.l2_relative, factor * one.h1_seminorm, factor * one.h1_seminorm_relative, method
    )


def _weighted_residual(problem: Problem, network: Network, fitted: list[Term]) -> float:
    """‖A e‖: the root of a network's balanced loss on some terms."""
    factors = row_factors(problem, fitted, None)
    rows = [f * term.residual(evaluate(network, term.points, term.frame)) for f, term in zip(factors, fitted, strict=True)]
    return math.sqrt(sum(float(one.square().sum()) for one in rows))


def _richer(problem: Problem, network: Network, rule: EstimateRule) -> Iterator[tuple[Network, Stage]]:
    """Networks of richer and richer spaces, as projections of a solution, with the stages that have their sizes."""
    inner, d = inner_network(network), problem.domain.dimension
    generator = torch.Generator().manual_seed(problem.training.seed + 7919)
    plain = Stage("kan", (), outputs=inner.outputs, waves=True)
    splines = [replace(plain, degree=(9,), intervals=(n,)) for n in (SPLINES if d == 1 else ())]
    waves = [replace(plain, hidden=(n,), degree=(1, 9), intervals=(1, n)) for n in (rule.waves if d == 2 else ())]
    for stage in (*splines, *waves[:FIRST_WAVES]):
        yield replace_inner_network(network, _projected(problem, inner, stage, generator)), stage
    if d > 1 and isinstance(inner, KAN) and not any(inner.products):
        for more in rule.added:
            wider, stage = _enlarged(inner, more, generator)
            yield replace_inner_network(network, wider), stage
    for stage in waves[FIRST_WAVES:]:
        yield replace_inner_network(network, _projected(problem, inner, stage, generator)), stage


def _enlarged(inner: KAN, more: float, generator: torch.Generator) -> tuple[KAN, Stage]:
    """A network with more nodes, and twice the intervals in the last layer, that represents the same function."""
    hidden = tuple(n + math.ceil(more * n) for n in inner.widths[1:-1])
    degree, intervals = (*inner.degree[:-1], max(9, inner.degree[-1])), (*inner.intervals[:-1], 2 * inner.intervals[-1])
    wider = inner.widened(hidden, generator).refined(degree, intervals)
    return wider, Stage("kan", hidden, degree, intervals, outputs=inner.outputs)


def _projected(problem: Problem, inner: Network, stage: Stage, generator: torch.Generator) -> KAN:
    """A network of splines or plane waves, as the projection of another one on its training points."""
    domain, grading = problem.domain, inner.grading if isinstance(inner, KAN) else None
    widths = stage.widths(domain.dimension)
    richer = KAN(widths, stage.degree, stage.intervals, "none", domain.lower, domain.upper, grading=grading)
    richer.initialise(generator)
    richer.to(inner.device)
    points = sampling(problem, stage, richer, OTHER_SEED).inside(domain).points
    x = torch.as_tensor(points, device=inner.device)
    with torch.no_grad():
        richer.normalise(x)
        richer.project(evaluate(inner, x, Frame(domain.coordinates, Derivatives.VALUE)).value, x)
    return richer


def _validation(problem: Problem, stage: Stage, network: Network) -> Validation:
    parameters = list(network.parameters())
    points = validation_points(
        sampling(problem, stage, network, OTHER_SEED), problem.domain.dimension, sum(p.numel() for p in parameters)
    )
    return Validation.of(problem, points, parameters[0].device)


@torch.no_grad()
def _differences(problem: Problem, network: Network, richer: Network) -> dict[str, Estimate]:
    """Norms of u - v over the domain, relative to those of v, by unknown.

    Both satisfy interface conditions at points OFFSET beside the interface, which moves the solution by about as much.
    """
    u, v, weights = _both(problem, network, richer)
    offset = OFFSET if problem.interfaces else 0.0
    estimates = {}
    for k, name in enumerate(problem.unknowns):
        assert u.gradient is not None
        assert v.gradient is not None
        l2, size = (float(weights @ one**2) ** 0.5 for one in (u.value[:, k] - v.value[:, k], v.value[:, k]))
        slopes = (u.gradient[:, k] - v.gradient[:, k], v.gradient[:, k])
        h1, steepness = (float(weights @ one.square().sum(1)) ** 0.5 for one in slopes)
        l2, h1 = math.hypot(l2, offset * problem.domain.size * steepness), math.hypot(h1, offset * steepness)
        estimates[name] = Estimate(l2, relative_to_size(l2, size), h1, relative_to_size(h1, steepness), COMPARISON)
    return estimates


def _both(problem: Problem, network: Network, richer: Network) -> tuple[Jet, Jet, Tensor]:
    """Two networks and quadrature weights on the same points."""
    domain = problem.domain
    rule = domain.interior(*RULES.get(domain.dimension, SCATTERED), 104729)
    points = torch.as_tensor(rule.points, device=network.device)
    frame = Frame(domain.coordinates, Derivatives.GRADIENT)
    u, v = (evaluate(one, points, frame) for one in (network, richer))
    return u, v, torch.as_tensor(rule.weights, device=points.device)
