"""The rows of interfaces between cells: the jumps that conditions state, in place of those of values and slopes.

The two sides of a jump, a(u₁) - a(u₂) = g on a piece of an interface, are coupled to unknowns λ of the piece, coefficients of
orthonormal functions on it, by the rows w (a(u₁) - λ - g) and w (a(u₂) - λ), as `traces` does on faces between cells of one
region: their minimum over λ is w²/2 |a(u₁) - a(u₂) - g|². Operators of derivatives have the smaller one of both weights, as a
flux that is wrong by δ makes slopes wrong by δ/(k₁ + k₂); values have the larger one. Means of fluxes: see `balance`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.rows import MORE_POINTS, Linearised, has_derivatives, paired, rows_at, sizes
from pdekan.domains.box import Box
from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.partition import Integers, Partition, fitted
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Quadrature
from pdekan.domains.region_cells import Joints, parted
from pdekan.domains.regions import Regions
from pdekan.domains.shapes import Polygon
from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.places import OFFSET, Across, Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import term_at


@dataclass(frozen=True, eq=False)
class JointRows:
    """The weighted rows of a jump on a piece of an interface: of either cell ``(g, U n)`` with right-hand sides ``(g,)``."""

    cells: tuple[int, int]
    rows: tuple[Tensor, Tensor]
    right: tuple[Tensor, Tensor]

    def is_like(self, other: JointRows) -> bool:
        """Whether both say the same, maybe from the two sides."""
        same = self.cells == other.cells
        rows, right = (part if same else part[::-1] for part in (other.rows, other.right))
        mine, theirs = (
            torch.cat([*(a.ravel() for a in parts[0]), parts[1][0] + parts[1][1]])
            for parts in ((self.rows, self.right), (rows, right))
        )
        scale = 1e-9 * float(mine.abs().max())
        return any(float((mine - sign * theirs).abs().max()) <= scale for sign in (1.0, -1.0))


def partition_of(problem: Problem, counts: tuple[int, ...]) -> Partition:
    """Equal cells, so many along each axis, or smaller ones that no straight interface along an axis cuts; other interfaces cut
    them into parts.
    """
    domain = problem.domain
    if not problem.interfaces:
        return Partition.grid(domain.lower, domain.upper, counts)
    regions = Regions.of(domain, problem.interfaces.values())
    cells = fitted(domain.lower, domain.upper, counts, regions.plates, SAME * domain.size)
    return cells if regions.are_aligned else parted(domain, cells, regions)


def refusal(problem: Problem) -> str | None:
    """Why the interfaces of a problem cannot lie between cells, or None where they can."""
    if not problem.interfaces:
        return None
    if isinstance(problem.domain, Cylinder):
        return "interfaces in a domain that is not a box, in time"
    regions = Regions.of(problem.domain, problem.interfaces.values())
    if regions.are_aligned:
        return None
    shapes = problem.domain, *problem.interfaces.values()
    if any(isinstance(one, Polygon) and one.slits for one in shapes):
        return "interfaces with slits"
    if all(isinstance(one, Planar) or (isinstance(one, Box) and one.dimension == 2) for one in shapes):
        return None if TIME not in problem.domain.coordinates else "interfaces that move"
    return "interfaces that are not along the axes, elsewhere than in the plane"


@dataclass(frozen=True, eq=False)
class CellSizes:
    """Of all cells: degrees ``(m,)``, corners ``(m, d)`` of boxes, S ``(m, U)`` and factors ``(m,)`` of rows, see `rows`, and
    of means, see `balance`.
    """

    degrees: Integers
    low: Tensor
    high: Tensor
    sizes: Tensor
    lead: Tensor
    balance: Tensor


def joint_rows(problem: Problem, joints: Joints, cells: CellSizes, network: Network | None) -> Iterator[JointRows]:
    """The rows of all jumps, linearised about a network's function; where shapes share a piece, those that differ."""
    names = list(problem.interfaces)
    pairs = np.stack([cells.degrees[joints.outer], cells.degrees[joints.inner]], axis=1)
    known: dict[tuple[int, int], list[JointRows]] = defaultdict(list)
    for number, condition in enumerate(problem.conditions):
        for one in condition.requirements(problem):
            if not isinstance(one.place, Across):
                continue
            own = joints.shape == names.index(one.place.interface)
            for degrees in np.unique(pairs[own], axis=0):
                which = np.flatnonzero(own & (pairs == degrees).all(1))
                found = _of_pieces(problem, joints, which, one, cells, network)
                for place, rows in zip(joints.place[which].tolist(), found, strict=True):
                    before = known[number, place]
                    if not any(rows.is_like(other) for other in before):
                        before.append(rows)
                        yield rows


def _of_pieces(
    problem: Problem, joints: Joints, which: Integers, one: Requirement, cells: CellSizes, network: Network | None
) -> Iterator[JointRows]:
    """The rows of a jump on some pieces, between cells of the same two degrees."""
    pair = joints.outer[which], joints.inner[which]
    degrees = [int(cells.degrees[own[0]]) for own in pair]
    rule = joints.rule(which, max(degrees) + MORE_POINTS)
    sides = both_sides(problem, one, rule, network, cells.low.device)
    m, n = len(which), len(rule.weights)
    points, normals = torch.as_tensor(rule.points).to(cells.low), torch.as_tensor(rule.normals).to(cells.low)
    rows, weights = [], []
    for own, side, degree in zip(pair, sides, degrees, strict=True):
        low, high = (corner[own].repeat_interleave(n // m, 0) for corner in (cells.low, cells.high))
        rows.append(rows_at(side, points, (low, high), degree).reshape(m, n // m, -1))
        size = sizes(side.slope, high - low).reshape(m, n // m, -1).mean(1)
        factor = (cells.sizes[own].square() * size).sum(1).sqrt() / size.sum(1).clamp_min(1e-300)
        depth = (normals.abs() * (high - low)).sum(1).reshape(m, -1).mean(1)
        weights.append(factor * cells.lead[own] * depth.sqrt())
    of_slopes = any(has_derivatives(side.slope) for side in sides)
    weight = torch.stack(weights).amin(0) if of_slopes else torch.stack(weights).amax(0)
    factors = torch.stack([cells.balance[own] for own in pair]).amax(0) if of_slopes else torch.ones_like(weight)
    dimension, every = problem.domain.dimension - 1, torch.as_tensor(rule.weights).to(points).reshape(m, -1)
    series = face_series(every, dimension, max(degrees) + MORE_POINTS, max(degrees) - of_slopes) * weight[:, None, None]
    series[:, 0] *= factors[:, None]
    blocks = [series @ block for block in rows]
    for a, b, left, right in zip(*(own.tolist() for own in pair), *blocks, strict=True):
        yield JointRows((a, b), (left[:, :-1], right[:, :-1]), (left[:, -1], right[:, -1]))


def face_series(weights: Tensor, dimension: int, order: int, degree: int) -> Tensor:
    """Matrices ``(m, n, g)`` from values at points with weights ``(m, g)`` to coefficients of orthonormal functions.

    The functions are the polynomials of a total degree in the coordinates of the points as those of a Gauss rule of an order in
    so many dimensions; the first one is constant.
    """
    root = weights.sqrt()
    if dimension == 0:
        return root[:, None]
    at = torch.as_tensor(reference_rule(dimension, order)[0]).to(weights)
    frame = Frame(tuple(f"s{k}" for k in range(dimension)), Derivatives.VALUE)
    powers = legendre.products(at, torch.ones_like(at), degree, frame).value
    orthonormal: Tensor = torch.linalg.qr(root[:, :, None] * powers).Q
    return orthonormal.transpose(1, 2) * root[:, None]


def both_sides(
    problem: Problem, one: Requirement, rule: Quadrature, network: Network | None, device: torch.device
) -> tuple[Linearised, Linearised]:
    """Both sides of a jump on an interface: slope · v = right outside, less λ, and slope · v = 0 inside.

    The points are on the sides that `places.Across` takes.
    """
    assert rule.normals is not None
    offset = OFFSET * problem.domain.size * rule.normals
    points, normals = np.concatenate([rule.points + offset, rule.points - offset]), np.concatenate([rule.normals] * 2)
    pairs = Quadrature(points, rule.weights, normals)
    term = term_at(problem, one.label, "conditions", one.operator, one.value, pairs, device, 2)
    u = term.zero() if network is None else evaluate(network, term.points, term.frame)
    residual, slope = term.linearised(u)
    n = len(residual)
    right = term.folded(paired(slope, u).sum(1)) - residual
    outer, inner = slope.each(lambda part: part[:n]), slope.each(lambda part: -part[n:])
    return Linearised(outer, right), Linearised(inner, torch.zeros_like(right))
