"""L2, H1 and L∞ errors against the exact solution or a reference, by quadrature that training never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.domains.quadrature import Quadrature
from pdekan.errors.references import Reference
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem

REPLICATES = 16  # independent scramblings, whose scatter gives the sampling error
SOBOL_POINTS = 2**17
TENSOR_POINTS = 2**19  # where refining the quadrature stops
CELLS = {1: 64, 2: 16, 3: 6}  # an axis, at first
ORDER = 5
CHUNK = 8192


@dataclass(frozen=True)
class Errors:
    """Norms of e = u - exact over the domain Ω, nondimensional; H1 takes in the derivatives by every coordinate, t too.

    l2 = (∫ e²)^½, h1_seminorm = (∫ |∇e|²)^½, h1² = l2² + h1_seminorm²; `_relative` divides by the same norm of the exact
    solution (nan where that vanishes), `_mean_square` divides the square by |Ω|. sampling_error: the relative standard error
    of l2 where points are random, 0 for Gauss rules. reference_l2, reference_h1_seminorm: the error, by its own estimate, of
    the reference that stands for the exact solution: 0 for a formula, nan where it is not known.
    """

    l2: float
    l2_relative: float
    l2_mean_square: float
    h1: float
    h1_relative: float
    h1_seminorm: float
    h1_seminorm_relative: float
    h1_seminorm_mean_square: float
    linf: float
    points: int
    sampling_error: float = 0.0
    reference_l2: float = 0.0
    reference_h1_seminorm: float = 0.0


@dataclass(frozen=True)
class _Sums:
    """∫e², ∫|∇e|², ∫u², ∫|∇u|² and max |e| over one quadrature."""

    error: float
    error_slope: float
    exact: float
    exact_slope: float
    largest: float
    points: int


def measure(problem: Problem, network: Network, reference: Reference | None = None) -> dict[str, Errors]:
    """The errors, by name, of the unknowns whose exact solution is known, in a network that stands for what is sought.

    reference: what they are measured against, by default the problem's formulas.

    Up to three dimensions the composite Gauss rule is refined until halving its cells changes no norm by 5e-4 of itself;
    above, at least 10⁵ scrambled Sobol points in 16 independent replicates.
    """
    domain = problem.domain
    if domain.dimension > TENSOR_DIMENSIONS:
        rules = (domain.interior(0, 0, SOBOL_POINTS // REPLICATES, 7919 + k) for k in range(REPLICATES))
        replicates = [_sums(problem, network, rule, reference) for rule in rules]
        found = {name: _replicated(problem, [one[name] for one in replicates]) for name in known(problem, reference)}
        return _with_own(found, reference)
    # an odd number of cells, and a shift of order against training's rules, keep the points apart from theirs
    cells = CELLS[domain.dimension] + 1
    sums = _sums(problem, network, domain.interior(cells, ORDER, 0, 0), reference)
    while True:
        cells *= 2
        finer = _sums(problem, network, domain.interior(cells, ORDER, 0, 0), reference)
        if all(_settled(sums[name], finer[name]) for name in finer) or (2 * cells * ORDER) ** domain.dimension > TENSOR_POINTS:
            break
        sums = finer
    # Gauss points keep off the boundary, where the error is often largest
    faces = [_sums(problem, network, domain.face(face, cells, ORDER, 0, 0), reference) for face in domain.faces]
    found = {
        name: _errors(replace(one, largest=max(one.largest, *(face[name].largest for face in faces))), domain.measure)
        for name, one in finer.items()
    }
    return _with_own(found, reference)


def known(problem: Problem, reference: Reference | None = None) -> list[str]:
    """The unknowns whose exact solution is known."""
    return [name for name in problem.unknowns if name in (problem.exact_fields if reference is None else reference.estimate)]


def _with_own(found: dict[str, Errors], reference: Reference | None) -> dict[str, Errors]:
    """The errors with those of the reference beside them."""
    if reference is None:
        return found
    own = reference.estimate
    return {name: replace(e, reference_l2=own[name][0], reference_h1_seminorm=own[name][1]) for name, e in found.items()}


def _settled(coarse: _Sums, fine: _Sums) -> bool:
    return _close(coarse.error, fine.error) and _close(coarse.error_slope, fine.error_slope)


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-3)


def quick(problem: Problem, network: Network, rule: Quadrature, reference: Reference | None = None) -> dict[str, Errors]:
    """The errors on one given quadrature, for the training history."""
    sums = _sums(problem, network, rule, reference)
    return _with_own({name: _errors(one, problem.domain.measure) for name, one in sums.items()}, reference)


@torch.no_grad()
def _sums(problem: Problem, network: Network, rule: Quadrature, reference: Reference | None = None) -> dict[str, _Sums]:
    device = next(network.parameters()).device
    points, weights = torch.as_tensor(rule.points, device=device), torch.as_tensor(rule.weights, device=device)
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    places = {name: problem.unknowns.index(name) for name in known(problem, reference)}
    totals = torch.zeros(len(places), 4, dtype=torch.float64, device=device)
    largest = torch.zeros(len(places), dtype=torch.float64, device=device)
    chunk = max(256, CHUNK // max(1, problem.domain.dimension // 4))
    for x, w in zip(points.split(chunk), weights.split(chunk), strict=True):
        fields, exact = network.jet(x, frame), _exact(problem, reference, x)
        for row, (name, place) in enumerate(places.items()):
            error = fields[place] - exact[name]
            totals[row] += torch.stack([*_squares(error, w), *_squares(exact[name], w)])
            largest[row] = torch.maximum(largest[row], error.value.abs().max())
    return {
        name: _Sums(error, error_slope, size, slope, worst, len(points))
        for name, (error, error_slope, size, slope), worst in zip(places, totals.tolist(), largest.tolist(), strict=True)
    }


def _exact(problem: Problem, reference: Reference | None, points: torch.Tensor) -> dict[str, Jet]:
    """The exact solution's jets at points, or the reference's."""
    if reference is None:
        return problem.exact_jets(points, Derivatives.GRADIENT)
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    fields = reference(points.cpu().numpy()).items()
    return {name: Jet(frame, torch.as_tensor(u).to(points), torch.as_tensor(slope).to(points)) for name, (u, slope) in fields}


def _squares(u: Jet, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    assert u.gradient is not None
    return weights @ u.value**2, weights @ u.gradient.square().sum(1)


def _errors(sums: _Sums, measure: float, sampling_error: float = 0.0) -> Errors:
    l2, slope = math.sqrt(sums.error), math.sqrt(sums.error_slope)
    h1 = math.hypot(l2, slope)
    return Errors(
        l2=l2,
        l2_relative=_ratio(l2, math.sqrt(sums.exact)),
        l2_mean_square=sums.error / measure,
        h1=h1,
        h1_relative=_ratio(h1, math.sqrt(sums.exact + sums.exact_slope)),
        h1_seminorm=slope,
        h1_seminorm_relative=_ratio(slope, math.sqrt(sums.exact_slope)),
        h1_seminorm_mean_square=sums.error_slope / measure,
        linf=sums.largest,
        points=sums.points,
        sampling_error=sampling_error,
    )


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0.0 else math.nan


def _replicated(problem: Problem, replicates: list[_Sums]) -> Errors:
    """The mean over independent replicates; the relative standard error of ∫e² halves for its root."""
    n = len(replicates)
    mean = _Sums(
        error=sum(r.error for r in replicates) / n,
        error_slope=sum(r.error_slope for r in replicates) / n,
        exact=sum(r.exact for r in replicates) / n,
        exact_slope=sum(r.exact_slope for r in replicates) / n,
        largest=max(r.largest for r in replicates),
        points=sum(r.points for r in replicates),
    )
    variance = sum((r.error - mean.error) ** 2 for r in replicates) / (n - 1) / n
    return _errors(mean, problem.domain.measure, 0.5 * _ratio(math.sqrt(variance), mean.error))
