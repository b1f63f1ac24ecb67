"""Graded coordinates (r-adaptivity): where a solution is steep, coordinates are spread out."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.unknowns import Ansatz, inner_network
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.grading import MAX_LENGTH, coarseness, equidistribute, interpolate, lengths_per_axis, to_physical
from pdekan.networks.kan import KAN
from pdekan.problem_files.narrow_data import narrow_places
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import NarrowPlace, Problem
from pdekan.training.schedule import Stage, is_open

LOG = logging.getLogger(__name__)
# When coordinates are graded, and what networks in them need.
# points along an axis between which slopes are taken; neighbours are 1/60 of the axis apart in its own coordinates. A thinner
# front is located in several gradings, each of which resolves it better (three for a front of width 0.01 in
# tests/test_graded_coordinates.py)
ALONG = 61
ACROSS = (1, 24, 8)  # points along every other axis, by dimension, over which slopes are averaged
NODES = 601  # at which lengths are given, ten times as dense as the points, so that interpolation adds nothing
# of the last layer for every length that fits along an axis, and nodes at least. With plane waves inside, the first least-
# squares problem of the last slabs of Allen-Cahn's equation leaves 5e-6 with 3.5 intervals and 8 nodes, 5e-7 with these
INTERVALS, HIDDEN = 5.0, 12
# another grading replaces the present one where it lays points so many times as densely. With 1.5, slabs in which a front
# became 1.4 times as steep trained long (ten steps instead of one), and ended at 1e-4 instead of 3e-6
DENSER = 1.15
POWER = 4.0 / 3.0  # of short lengths, so that a front has room to become steeper, at the cost of few points where u is smooth
SLOPE = 0.7  # of lengths away from narrow places of the data
ON_PLANE = 1e-6  # of the domain's size: nearer places are on a plane


def check(problem: Problem) -> None:
    """Raise ProblemError for a problem whose coordinates cannot be graded."""
    domain, kind = problem.domain, problem.network.kind
    if not gradable(problem):
        raise ProblemError(
            f"adapt = true: coordinates are graded on boxes of up to {TENSOR_DIMENSIONS} dimensions without interfaces, for "
            f"networks of kind kan; here the domain is of type {domain.type_name} with {domain.dimension} "
            f"coordinates and {len(problem.interfaces)} interfaces, the network of kind {kind}; set adapt = false"
        )


def needed(problem: Problem, network: Network) -> Tensor | None:
    """The grading ``(d, n)`` that a network's function needs where it is too steep for its own, else None."""
    inner = inner_network(network)
    if not isinstance(inner, KAN):
        return None
    given = None if inner.grading is None else inner.grading.cpu()
    wanted = equidistribute([lengths(problem, network, given, k) for k in range(problem.domain.dimension)])
    return None if wanted is None or (given is not None and coarseness(given, wanted) < DENSER) else wanted


def gradable(problem: Problem) -> bool:
    """Whether coordinates can be graded."""
    domain = problem.domain
    few = isinstance(domain, Box) and domain.dimension <= TENSOR_DIMENSIONS
    return few and not problem.interfaces and problem.network.kind == "kan"


def looked_at(problem: Problem) -> Problem:
    """The problem with the narrow places of its data, which are logged, and in graded coordinates where these resolve them.

    That is where all places stand across one axis: in graded coordinates plane waves are no better at a peak of the plane.
    Places on planes that have singular functions are left out.
    """
    places = tuple(place for place in narrow_places(problem) if not _is_on_plane(problem, place))
    for place in places:
        name = problem.domain.coordinates[place.axis]
        LOG.info("data vary on a length of %.1e about %s = %.6g; points are laid there", place.width, name, place.position)
    problem = replace(problem, narrow=places)
    if len({place.axis for place in places}) == 1 and is_open(problem) and gradable(problem):
        problem = replace(problem, training=replace(problem.training, adapt=True))
    return problem


def _is_on_plane(problem: Problem, place: NarrowPlace) -> bool:
    """Whether a narrow place is on a plane with singular functions."""
    planes = (one for one in problem.singular if isinstance(one, PlaneFunctions))
    return any(abs(float(np.subtract(place.at, one.point) @ np.array(one.normal))) < ON_PLANE for one in planes)


def of_narrow_places(problem: Problem) -> Tensor | None:
    """The grading ``(d, n)`` for narrow places of the data, None without any.

    The length at x is the least of SLOPE |x - p| over all places p, but at least the width of a place.
    """
    if not problem.narrow:
        return None
    axes = []
    for k, (a, b) in enumerate(zip(problem.domain.lower, problem.domain.upper, strict=True)):
        nodes = [torch.linspace(-1.0, 1.0, NODES, dtype=torch.float64)]
        places = [(2.0 * (p.position - a) / (b - a) - 1.0, 2.0 * p.width / (b - a)) for p in problem.narrow if p.axis == k]
        for position, width in places:
            reach = width * torch.logspace(-1, math.log10(2.0 / width), NODES, dtype=torch.float64)
            nodes.append(position + torch.cat([-reach, reach.new_zeros(1), reach]))
        x = torch.cat(nodes).unique()
        x = x[(x >= -1.0) & (x <= 1.0)]
        lengths = torch.full_like(x, MAX_LENGTH)
        for position, width in places:
            lengths = lengths.minimum((SLOPE * (x - position).abs()).clamp_min(width))
        axes.append((x, lengths))
    return equidistribute(axes)


def sized(problem: Problem, stage: Stage, grading: Tensor | None) -> Stage:
    """A stage in graded coordinates: its last layer has intervals for all lengths that fit along an axis.

    Where the solver chooses the network, the number of its nodes is raised too.
    """
    if grading is None or stage.kind != "kan":
        return stage
    intervals = math.ceil(INTERVALS * float(lengths_per_axis(grading).max()))
    hidden = tuple(max(n, HIDDEN) for n in stage.hidden) if is_open(problem) else stage.hidden
    return replace(stage, hidden=hidden, intervals=(*stage.intervals[:-1], max(stage.intervals[-1], intervals)))


@torch.no_grad()
def plane_waves(network: KAN, stage: Stage, grading: Tensor | None, points: Tensor, generator: torch.Generator) -> KAN:
    """A network of the stage's sizes on the box of another one, whose inner functions are plane waves.

    Normalised on points ``(n, d)``. Trained inner functions are steep in places, where fine outer splines would be undetermined
    between points. Plane waves are not, and with them most of the accuracy comes from the last layer alone.
    """
    box = network.lower.tolist(), network.upper.tolist()
    widths = (network.inputs, *stage.hidden, network.outputs)
    other = KAN(widths, stage.degree, stage.intervals, stage.base, *box, stage.products, None, grading)
    other.initialise(generator)
    other.to(network.device)
    other.normalise(points)
    return other


def regraded(network: Network, grading: Tensor) -> Network:
    """A network of about the same function in other coordinates."""
    inner = inner_network(network)
    if not isinstance(inner, KAN):
        return network
    moved = inner.regraded(grading)
    return network.with_network(moved) if isinstance(network, Ansatz) else moved


@torch.no_grad()
def lengths(problem: Problem, network: Network, grading: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Nodes of axis k of the unit box, evenly laid in its own coordinates, and the lengths ``(n,)`` there.

    1/h⁴ is the mean over all other axes of (Σ_u (Δu/Δx_k / A_u)²)², A_u being half the range of unknown u: h is that of
    tanh(x/h) at its steepest. Differences between nodes are taken instead of derivatives, in which the oscillations of an
    unfinished solution are large; the fourth power gives weight to a front that exists for a small part of time.
    """
    domain, d = problem.domain, problem.domain.dimension
    columns = [_nodes(ALONG if j == k else ACROSS[d - 1], j == k, grading, j) for j in range(d)]
    lower, upper = torch.tensor(domain.lower), torch.tensor(domain.upper)
    points = lower + 0.5 * (upper - lower) * (torch.cartesian_prod(*columns).reshape(-1, d) + 1.0)
    u = evaluate(network, points.to(network.device), Frame(domain.coordinates, Derivatives.VALUE))
    value = u.value[:, : len(problem.unknowns)].cpu()
    range_ = (0.5 * (value.amax(0) - value.amin(0))).clamp_min(1e-300)
    grid = (value / range_).reshape(*(len(column) for column in columns), -1).movedim(k, 0)
    slope = grid.diff(dim=0) / columns[k].diff().reshape(-1, *(1,) * d)
    mean = slope.square().sum(-1).square().reshape(ALONG - 1, -1).mean(1)
    middle = 0.5 * (columns[k][1:] + columns[k][:-1])
    nodes = _nodes(NODES, True, grading, k)
    found = interpolate(nodes.clamp(middle[0], middle[-1]), middle, mean.clamp_min(1e-12) ** -0.25)
    return nodes, found.clamp_max(MAX_LENGTH) ** POWER


def _nodes(count: int, ends: bool, grading: Tensor | None, k: int) -> Tensor:
    """Points of [-1, 1] evenly laid in graded coordinates, with the ends or as midpoints of so many cells."""
    steps = torch.arange(count, dtype=torch.float64)
    xi = 2.0 * steps / (count - 1) - 1.0 if ends else (2.0 * steps + 1.0) / count - 1.0
    return xi if grading is None else to_physical(xi[:, None], grading[k : k + 1])[0][:, 0]
