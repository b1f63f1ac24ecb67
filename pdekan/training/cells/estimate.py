"""Error estimates on cells: a solution is compared with another one of the same refinement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import Indicators
from pdekan.domains.quadrature import Quadrature
from pdekan.errors.estimate import Estimate, relative_to_size
from pdekan.errors.norms import CELL_POINTS
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.training.estimate import COMPARISON, Comparison
from pdekan.training.state import Candidate

# The largest ratio of two indicators whose solutions tell each other's errors, and the least at which errors are in proportion.
RELIABLE, LEAST = 0.5, 0.01


@dataclass(frozen=True, eq=False)
class Step:
    """A mesh, its solution and how good it is. relative: the residual as in `residuals.validation`."""

    mesh: Mesh
    network: CellNetwork
    found: Indicators
    candidate: Candidate


def compared_with(best: Step, steps: Sequence[Step], coarse: int, adaptive: bool) -> Step | None:
    """The solution to compare the best one with: of those with an indicator that is well apart the least.

    Adaptive ones that are as good may have the same error in cells that both have, which their difference does not show; where
    all cells have another degree there are none, as with a first mesh that is exact up to round-off. coarse: the number of
    steps on the way to the first cells, which are taken where they are not much worse.
    """
    size = max(best.found.relative, 1e-300)
    ratios = {step: step.found.relative / size for step in steps if step is not best}
    if adaptive:
        ratios = {step: ratio for step, ratio in ratios.items() if _differ(step, best) or not RELIABLE < ratio < 1.0 / RELIABLE}
    fine = [step for step in ratios if step not in steps[:coarse]]
    near = [step for step in ratios if ratios[step] * LEAST < 1.0]
    return min(fine or near, key=lambda step: step.found.relative, default=None)


def _differ(one: Step, other: Step) -> bool:
    """Whether two solutions have the same cells, all of them with different degrees."""
    return one.mesh.partition is other.mesh.partition and bool((one.mesh.degrees != other.mesh.degrees).all())


def comparison(problem: Problem, best: Step, other: Step, reliable: float = RELIABLE, least: float = LEAST) -> Comparison:
    """The errors of a solution estimated from its difference to another one.

    Where errors are in proportion to the indicators, with ratio ρ = η/η' of the solution to the other, ‖u - u'‖ is at least
    (1/ρ - 1) ‖e‖ for the better one of the two, and (1 - 1/ρ) ‖e‖ for the worse (the saturation assumption: Bank and Weiser,
    Math. Comp. 44 (1985) 283-301). In L2 errors fall less evenly, as those of cells that were not refined are
    felt elsewhere: the root of a factor below one is taken (with the factor itself estimates were an eighth of the error or
    more, after any step on fronts, peaks, waves and corners). reliable: the largest ratio of the smaller to the larger
    indicator; least: the least factor of the difference, as errors of very different meshes are not in proportion.
    """
    finer = max(best, other, key=lambda step: step.mesh.partition.count)
    rule = finer.mesh.geometry.quadrature(finer.mesh.degrees, CELL_POINTS)
    cells = best.mesh.geometry  # those too narrow to be cut have the same error in both solutions
    narrow = cells.active & ((cells.high - cells.low).max(axis=1) <= cells.smallest)
    stuck = float(np.linalg.norm(best.found.cells[narrow]))
    ratio = best.found.relative / max(other.found.relative, 1e-300)
    return by_difference(problem, (best.network, other.network), [rule], ratio, stuck, reliable, least)


def by_difference(
    problem: Problem,
    networks: tuple[Network, Network],
    rules: Iterable[Quadrature],
    ratio: float,
    stuck: float = 0.0,
    reliable: float = RELIABLE,
    least: float = LEAST,
) -> Comparison:
    """The errors of the first network's function from its difference to the other one's, by rules of parts of the domain.

    ratio: of their indicators. stuck: of the slopes' error, what both have.
    """
    smaller = min(ratio, 1.0 / max(ratio, 1e-300))
    factor = 1.0 if smaller > reliable else (max(ratio / (1.0 - ratio), least) if ratio < 1.0 else 1.0 / (1.0 - smaller))
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    device = next(networks[0].parameters()).device
    squares = torch.zeros(4, len(problem.unknowns), dtype=torch.float64, device=device)
    for rule in rules:
        u, v = (evaluate(one, torch.as_tensor(rule.points).to(device), frame) for one in networks)
        assert u.gradient is not None
        assert v.gradient is not None
        parts = u.value - v.value, u.value, (u.gradient - v.gradient).movedim(2, 0), u.gradient.movedim(2, 0)
        weights = torch.as_tensor(rule.weights).to(device)
        squares += torch.stack([(weights @ part.square()).reshape(-1, len(problem.unknowns)).sum(0) for part in parts])
    estimates, differences = {}, []
    for k, name in enumerate(problem.unknowns):
        l2, size, h1, slopes = squares[:, k].sqrt().tolist()
        differences.append(relative_to_size(l2, size))
        l2, h1 = max(factor, math.sqrt(factor)) * l2, math.hypot(factor * h1, stuck)
        estimates[name] = Estimate(l2, relative_to_size(l2, size), h1, relative_to_size(h1, slopes), COMPARISON)
    return Comparison(estimates, smaller <= reliable, max(differences), 1.0)


def at_least(one: Comparison, relative: float) -> Comparison:
    """The errors, as many times larger as makes the largest of the slopes what an indicator says.

    Where cells do not resolve coefficients, solutions on several meshes are more alike than right: of a plate with a random
    diffusivity their difference was an eighth of the error, the indicator a third more.
    """
    largest = max(e.h1_seminorm_relative for e in one.estimates.values())
    if not largest < relative < math.inf or largest == 0.0:
        return one
    factor = relative / largest
    raised = {
        name: replace(
            e,
            l2=factor * e.l2,
            l2_relative=factor * e.l2_relative,
            h1_seminorm=factor * e.h1_seminorm,
            h1_seminorm_relative=factor * e.h1_seminorm_relative,
        )
        for name, e in one.estimates.items()
    }
    return replace(one, estimates=raised)
