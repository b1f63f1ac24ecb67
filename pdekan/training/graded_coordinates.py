"""Gradings that suit a solution: where it is steep, coordinates are spread out."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import Ansatz, inner_network
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.grading import MAX_LENGTH, coarseness, equidistribute, interpolate, lengths_per_axis, to_physical
from pdekan.networks.kan import KAN
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.training.schedule import Stage

# Points along the axis that slopes are taken between, along every other one, and those that lengths are given at.
ALONG, ACROSS, FINE = 61, {1: 1, 2: 24, 3: 8}, 601
# Intervals of the last layer for every length that fits along an axis, and nodes at least. With plane waves inside, the first
# least-squares problem of the last slabs of Allen-Cahn's equation leaves 5e-6 with 3.5 intervals and 8 nodes, 5e-7 with these.
INTERVALS_PER_LENGTH, NODES = 5.0, 12
# A grading is given up where another one would lay points this many times as densely. With 1.5, slabs in which a front became
# 1.4 times as steep trained long (ten steps instead of one), and ended at 1e-4 instead of 3e-6.
OUTGROWN = 1.15
# Short lengths are taken shorter by this power: a front has room to become steeper, which costs little in what is spread out.
SHARPER = 4.0 / 3.0


def check(problem: Problem) -> None:
    """Raise ProblemError for a problem whose coordinates cannot be graded."""
    domain, kind = problem.domain, problem.network.kind
    if not isinstance(domain, Box) or domain.dimension > TENSOR_DIMENSIONS or problem.interfaces or kind != "kan":
        raise ProblemError(
            f"adapt = true: coordinates are graded on boxes of up to {TENSOR_DIMENSIONS} dimensions without interfaces, for "
            f"networks of kind kan; here the domain is of type {type(domain).__name__.lower()} with {domain.dimension} "
            f"coordinates and {len(problem.interfaces)} interfaces, the network of kind {kind}; set adapt = false"
        )


def better(problem: Problem, network: Network) -> Tensor | None:
    """The grading that suits what a network says, where its own does not; None where it does."""
    inner = inner_network(network)
    if not isinstance(inner, KAN):
        return None
    given = None if inner.grading is None else inner.grading.cpu()
    wanted = equidistribute([_lengths(problem, network, given, k) for k in range(problem.domain.dimension)])
    return None if wanted is None or (given is not None and coarseness(given, wanted) < OUTGROWN) else wanted


def sized(stage: Stage, grading: Tensor, is_open: bool) -> Stage:
    """A stage of the plan in graded coordinates: its last layer has intervals for all lengths that fit along an axis.

    is_open: whether the number of nodes may be raised, too.
    """
    needed = math.ceil(INTERVALS_PER_LENGTH * float(lengths_per_axis(grading).max()))
    hidden = tuple(max(n, NODES) for n in stage.hidden) if is_open else stage.hidden
    return replace(stage, hidden=hidden, intervals=(*stage.intervals[:-1], max(stage.intervals[-1], needed)))


@torch.no_grad()
def afresh(network: KAN, stage: Stage, grading: Tensor | None, points: Tensor, generator: torch.Generator) -> KAN:
    """A network of the stage's sizes whose inner functions are plane waves, to go on from another one in its place.

    Normalised on points ``(n, d)``. Inner functions that were trained are steep in places, where fine outer splines would be
    left free between points. Plane waves are not, and for them the last layer alone does most.
    """
    box = network.lower.tolist(), network.upper.tolist()
    widths = (network.inputs, *stage.hidden, network.outputs)
    other = KAN(widths, stage.degree, stage.intervals, stage.base, *box, stage.products, None, grading)
    other.initialise(generator)
    other.to(network.lower.device)
    other.normalise(points)
    return other


def regraded(network: Network, grading: Tensor) -> Network:
    """About the same function in other coordinates."""
    inner = inner_network(network)
    if not isinstance(inner, KAN):
        return network
    moved = inner.regraded(grading)
    return network.with_network(moved) if isinstance(network, Ansatz) else moved


@torch.no_grad()
def _lengths(problem: Problem, network: Network, grading: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Nodes of axis k of the unit box, evenly laid in its own coordinates, and the lengths ``(n,)`` there.

    1/h⁴ is the mean over all other axes of (Σ_u (Δu/Δx_k / A_u)²)², A_u being half the range of unknown u: h is that of
    tanh(x/h) at its steepest. Differences from node to node rather than derivatives, in which every wiggle of a solution that
    is not there yet is large; the fourth power, so that a front counts that is there for a small part of time.
    """
    domain, d = problem.domain, problem.domain.dimension
    columns = [_nodes(ALONG if j == k else ACROSS[d], j == k, grading, j) for j in range(d)]
    lower, upper = torch.tensor(domain.lower), torch.tensor(domain.upper)
    points = lower + 0.5 * (upper - lower) * (torch.cartesian_prod(*columns).reshape(-1, d) + 1.0)
    u = evaluate(network, points.to(next(network.parameters()).device), Frame(domain.coordinates, Derivatives.VALUE))
    value = u.value[:, : len(problem.unknowns)].cpu()
    range_ = (0.5 * (value.amax(0) - value.amin(0))).clamp_min(1e-300)
    grid = (value / range_).reshape(*(len(column) for column in columns), -1).movedim(k, 0)
    slope = grid.diff(dim=0) / columns[k].diff().reshape(-1, *(1,) * d)
    mean = slope.square().sum(-1).square().reshape(ALONG - 1, -1).mean(1)
    middle = 0.5 * (columns[k][1:] + columns[k][:-1])
    nodes = _nodes(FINE, True, grading, k)
    lengths = interpolate(nodes.clamp(middle[0], middle[-1]), middle, mean.clamp_min(1e-12) ** -0.25)
    return nodes, lengths.clamp_max(MAX_LENGTH) ** SHARPER


def _nodes(count: int, ends: bool, grading: Tensor | None, k: int) -> Tensor:
    """Points of [-1, 1] evenly laid in graded coordinates, with the ends or as midpoints of so many cells."""
    steps = torch.arange(count, dtype=torch.float64)
    xi = 2.0 * steps / (count - 1) - 1.0 if ends else (2.0 * steps + 1.0) / count - 1.0
    return xi if grading is None else to_physical(xi[:, None], grading[k : k + 1])[0][:, 0]
