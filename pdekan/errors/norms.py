"""L2, H1 and L∞ errors against the exact or a reference solution, by quadrature whose points training does not use."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields, replace

import torch

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.domains.region_cells import geometry
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import points_at_a_time
from pdekan.problems.problem import Problem

REPLICATES = 16  # independent scramblings of the Sobol points; their scatter gives the sampling error
SOBOL_POINTS = 2**17
MAX_TENSOR_POINTS = 2**17  # the Gauss rule is not refined beyond
INITIAL_CELLS = {1: 64, 2: 16, 3: 6}  # of the Gauss rule along an axis, by dimension
CELL_POINTS = 4  # along an axis of a cell with a network of its own, more than its degree
GAUSS_POINTS = 5  # in a cell along an axis
CHUNK = 8192  # points evaluated at a time, fewer above seven dimensions


@dataclass(frozen=True, repr=False)
class Errors:
    """Norms of e = u - exact over the domain Ω, nondimensional; H1 takes in the derivatives by every coordinate, t too.

    l2 = (∫ e²)^½, h1_seminorm = (∫ |∇e|²)^½, h1² = l2² + h1_seminorm²; `_relative` divides by the same norm of the exact
    solution (nan where that vanishes), `_mean_square` divides the square by |Ω|. sampling_error: the relative standard error
    of l2 for random points, 0 for Gauss rules. reference_l2, reference_h1_seminorm: the estimated errors of the reference
    solution, 0 for a formula, nan where not known.
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

    def __repr__(self) -> str:
        return (
            f"<Errors: L2 {self.l2_relative:.2e}, H1 seminorm {self.h1_seminorm_relative:.2e} (relative), max {self.linf:.2e}>"
        )

    def _repr_html_(self) -> str:
        norms = {"L2": (self.l2, self.l2_relative), "H1 seminorm": (self.h1_seminorm, self.h1_seminorm_relative)}
        rows = "".join(f"<tr><th>{name}</th><td>{a:.2e}</td><td>{b:.2e}</td></tr>" for name, (a, b) in norms.items())
        head = "<tr><th>error</th><th>absolute</th><th>relative</th></tr>"
        return f"<table>{head}{rows}<tr><th>maximum</th><td>{self.linf:.2e}</td><td></td></tr></table>"


@dataclass(frozen=True)
class Sums:
    """∫e², ∫|∇e|², ∫u², ∫|∇u|² and max |e| over one quadrature."""

    error: float
    error_slope: float
    exact: float
    exact_slope: float
    largest: float
    points: int


def measure(
    problem: Problem, network: Network, reference: ReferenceSolution | None = None, seconds: float = math.inf
) -> dict[str, Errors]:
    """The errors of a network, by name, in the unknowns whose exact or reference solution is known.

    Up to three dimensions the composite Gauss rule is refined until halving its cells changes no norm by 5e-3 of itself;
    above, at least 10⁵ scrambled Sobol points in 16 independent replicates are used. Networks on cells have Gauss
    points in each; a reference that is known at points, these. seconds: no finer rule is begun that would take longer.
    """
    domain, began = problem.domain, time.perf_counter()
    if not measured_unknowns(problem, reference):
        return {}
    if reference is not None and reference.rule is not None:
        return measure_on_rule(problem, network, reference.rule, reference)
    if domain.dimension > TENSOR_DIMENSIONS:
        rules = (domain.interior(0, 0, SOBOL_POINTS // REPLICATES, 7919 + k) for k in range(REPLICATES))
        replicates = [_sums(problem, network, rule, reference) for rule in rules]
        names = measured_unknowns(problem, reference)
        errors = {name: _replicated([sums[name] for sums in replicates], domain.measure) for name in names}
        return _with_estimate(errors, reference)
    if isinstance(network, CellNetwork):
        pieces = geometry(problem.domain, network.partition, problem.interfaces.values())
        rule = pieces.quadrature(network.cell_degrees, CELL_POINTS)
        return measure_on_rule(problem, network, rule, reference)
    # an odd number of cells, and another number of points in them than training uses, keep the points apart from training's
    cells = INITIAL_CELLS[domain.dimension] + 1
    fine, converged = _sums(problem, network, domain.interior(cells, GAUSS_POINTS, 0, 0), reference), False
    while not converged and (2 * cells * GAUSS_POINTS) ** domain.dimension <= MAX_TENSOR_POINTS:
        if 2**domain.dimension * (time.perf_counter() - began) > seconds:
            break
        coarse, cells = fine, 2 * cells
        fine = _sums(problem, network, domain.interior(cells, GAUSS_POINTS, 0, 0), reference)
        converged = all(_converged(coarse[name], fine[name]) for name in fine)
    # no Gauss point of a cell is on the boundary, where the error is often largest
    boundary = appended([domain.face(face, cells, GAUSS_POINTS, 0, 0) for face in domain.faces])
    outer = _sums(problem, network, boundary, reference)
    largest = {name: max(fine[name].largest, outer[name].largest) for name in fine}
    errors = {name: errors_of(replace(sums, largest=largest[name]), domain.measure) for name, sums in fine.items()}
    return _with_estimate(errors, reference)


def measured_unknowns(problem: Problem, reference: ReferenceSolution | None = None) -> list[str]:
    """The unknowns whose exact or reference solution is known."""
    return [name for name in problem.unknowns if name in (problem.exact_fields if reference is None else reference.estimate)]


def measure_on_rule(
    problem: Problem, network: Network, rule: Quadrature, reference: ReferenceSolution | None = None
) -> dict[str, Errors]:
    """The errors by one given quadrature, for the training history."""
    sums = _sums(problem, network, rule, reference)
    return _with_estimate({name: errors_of(one, problem.domain.measure) for name, one in sums.items()}, reference)


def _with_estimate(errors: dict[str, Errors], reference: ReferenceSolution | None) -> dict[str, Errors]:
    """The errors with the estimated errors of the reference solution."""
    if reference is None:
        return errors
    estimate = reference.estimate
    return {
        name: replace(e, reference_l2=estimate[name][0], reference_h1_seminorm=estimate[name][1]) for name, e in errors.items()
    }


def _converged(coarse: Sums, fine: Sums) -> bool:
    pairs = ((coarse.error, fine.error), (coarse.error_slope, fine.error_slope))
    return all(math.isclose(a, b, rel_tol=1e-2) for a, b in pairs)


@torch.no_grad()
def _sums(problem: Problem, network: Network, rule: Quadrature, reference: ReferenceSolution | None = None) -> dict[str, Sums]:
    device = network.device
    points, weights = torch.as_tensor(rule.points, device=device), torch.as_tensor(rule.weights, device=device)
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    places = {name: problem.unknowns.index(name) for name in measured_unknowns(problem, reference)}
    totals = torch.zeros(len(places), 4, dtype=torch.float64, device=device)
    largest = torch.zeros(len(places), dtype=torch.float64, device=device)
    chunk = min(max(256, CHUNK // max(1, problem.domain.dimension // 4)), points_at_a_time(network, problem.domain.dimension))
    for x, w in zip(points.split(chunk), weights.split(chunk), strict=True):
        fields, exact = network.jet(x, frame), _exact(problem, reference, x)
        for row, (name, place) in enumerate(places.items()):
            error = fields[place] - exact[name]
            totals[row] += torch.stack([*_squares(error, w), *_squares(exact[name], w)])
            largest[row] = torch.maximum(largest[row], error.value.abs().max())
    return {
        name: Sums(error, error_slope, size, slope, worst, len(points))
        for name, (error, error_slope, size, slope), worst in zip(places, totals.tolist(), largest.tolist(), strict=True)
    }


def _exact(problem: Problem, reference: ReferenceSolution | None, points: torch.Tensor) -> dict[str, Jet]:
    """The jets of the exact or the reference solution at points."""
    if reference is None:
        return problem.exact_jets(points, Derivatives.GRADIENT)
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    fields = reference(points.cpu().numpy()).items()
    return {name: Jet(frame, torch.as_tensor(u).to(points), torch.as_tensor(slope).to(points)) for name, (u, slope) in fields}


def _squares(u: Jet, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    assert u.gradient is not None
    return weights @ u.value**2, weights @ u.gradient.square().sum(1)


def errors_of(sums: Sums, measure: float, sampling_error: float = 0.0) -> Errors:
    """The norms of integrals over a domain of some measure."""
    l2, slope = math.sqrt(sums.error), math.sqrt(sums.error_slope)
    h1 = math.hypot(l2, slope)
    return Errors(
        l2=l2,
        l2_relative=quotient(l2, math.sqrt(sums.exact)),
        l2_mean_square=sums.error / measure,
        h1=h1,
        h1_relative=quotient(h1, math.sqrt(sums.exact + sums.exact_slope)),
        h1_seminorm=slope,
        h1_seminorm_relative=quotient(slope, math.sqrt(sums.exact_slope)),
        h1_seminorm_mean_square=sums.error_slope / measure,
        linf=sums.largest,
        points=sums.points,
        sampling_error=sampling_error,
    )


def quotient(a: float, b: float) -> float:
    """a / b, nan where b is not positive."""
    return a / b if b > 0.0 else math.nan


def _replicated(replicates: list[Sums], measure: float) -> Errors:
    """The errors of the mean over independent replicates; the relative standard error of ∫e² halves for its root."""
    n = len(replicates)
    means = {field.name: sum(getattr(sums, field.name) for sums in replicates) / n for field in fields(Sums)}
    largest, points = max(sums.largest for sums in replicates), sum(sums.points for sums in replicates)
    mean = replace(Sums(**means), largest=largest, points=points)
    variance = sum((sums.error - mean.error) ** 2 for sums in replicates) / (n - 1) / n
    return errors_of(mean, measure, 0.5 * quotient(math.sqrt(variance), mean.error))
