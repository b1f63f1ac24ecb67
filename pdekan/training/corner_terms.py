"""The functions by which solutions are singular at the corners of a planar domain, from geometry, equation and conditions.

At a vertex of angle ω solutions of Laplace's equation behave like r^λ sin λθ with λ = kπ/ω for values on both sides, like
r^λ cos λθ for slopes on both, and with λ = (k - 1/2)π/ω for one of each (Grisvard, Elliptic Problems in Nonsmooth Domains
(1985), section 4.4). An operator with other second derivatives is Laplace's in the coordinates where its principal part at the
vertex is the identity. Derivatives of lower order, coefficients that vary and curved sides add r^(λ + m) with the frequencies
λ + m, λ + m - 2, …, of which the first are taken; a constant reaction adds r^(λ + 2) sin λθ alone.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.unknowns import REGION_SAMPLES, region_numbers
from pdekan.cells.corners import Corner, vertices
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.combinations import planar
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.corner_functions import CornerFunctions
from pdekan.fields.jets import TIME, Derivatives
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, equation_terms
from pdekan.training.corner_compatibility import is_compatible
from pdekan.training.crossings import BESIDE, Sector, crossings, exponents, is_straight


@dataclass(frozen=True)
class CornerRule:
    """Which functions are taken.

    most: corners of a domain; one with more is a curve that was sampled, whose corners are none of the solution's.
    highest: the largest exponent λ; above it functions are smooth enough for the network. more: how many powers of r above λ,
    where there is more than a constant reaction. whole: exponents this near to an integer count as
    integers. beside: where the equation is looked at, on the bisector, relative to the size of the domain. rays: points at
    which the ray opposite to the bisector is to lie outside of the domain, relative to its size.
    """

    most: int = 60
    highest: float = 8.0
    more: int = 2
    whole: float = 1e-6
    beside: float = 1e-7
    rays: int = 400


RULE = CornerRule()
Power = tuple[float, float, bool, bool]  # see `CornerFunctions`


class Lower(enum.Enum):
    """What an equation has beside constant second derivatives: nothing, a constant times the unknown, or more."""

    NONE = "nothing"
    REACTION = "a constant reaction"
    GENERAL = "derivatives of lower order, or coefficients that vary"


@dataclass(frozen=True)
class Singularity:
    """A point, the angle of the domain there, the exponents of the solution, and the functions that a network has beside it."""

    point: tuple[float, float]
    angle: float
    exponents: tuple[float, ...]
    functions: tuple[CornerFunctions, ...]


def singularities(problem: Problem, rule: CornerRule = RULE) -> list[Singularity]:
    """The points at which the solution of one equation of second order is singular, where its functions are known."""
    domain = _planar(problem.domain)
    if domain is None or len(problem.equations) != 1 or len(problem.unknowns) != 1:
        return []
    if problem.interfaces:
        return list(_at_crossings(problem, domain, rule))
    corners = vertices(domain)
    if len(corners) > rule.most:
        return []
    return [one for corner in corners if (one := _singularity(problem, domain, corner, rule)) is not None]


def _at_crossings(problem: Problem, domain: Planar, rule: CornerRule) -> Iterator[Singularity]:
    """Where interfaces meet each other or the boundary: functions of their own in each sector that holds a region."""
    shapes = [_planar(shape) for shape in problem.interfaces.values()]
    if None in shapes:
        return
    for one in crossings(domain, [shape for shape in shapes if shape], lambda points: _scalars(problem, points)):
        ends = None if one.sides is None else [_has_slope(problem, side) for side in one.sides]
        if ends is not None and None in ends:
            continue
        orders = exponents(one.sectors, None if ends is None else (bool(ends[0]), bool(ends[1])), rule.highest)
        orders = [order for order in orders if not _is_whole(order, rule)]
        powers = tuple((order, order, sine, False) for order in orders for sine in (False, True))
        parts = [_in_sector(problem, domain, one.point, sector, powers) for sector in one.sectors]
        functions = tuple(part for part in parts if part is not None)
        if orders and len(functions) == len(parts):
            yield Singularity(one.point, sum(sector.opening for sector in one.sectors), tuple(orders), functions)


def _in_sector(
    problem: Problem, domain: Planar, point: tuple[float, float], sector: Sector, powers: tuple[Power, ...]
) -> CornerFunctions | None:
    """The functions in the region that a sector begins; None where the region goes beyond the sector."""
    middle = sector.first + 0.5 * sector.opening
    points = problem.domain.interior(*REGION_SAMPLES, 0).points
    beside = np.array(point) + BESIDE * domain.size * np.array([math.cos(middle), math.sin(middle)])
    own = region_numbers(problem, np.concatenate([beside[None], points]))
    angles = np.arctan2(points[:, 1] - point[1], points[:, 0] - point[0]) - middle
    angles = np.abs((angles + math.pi) % (2.0 * math.pi) - math.pi)
    if (angles[own[1:] == own[0]] > 0.5 * sector.opening + 1e-9).any():
        return None
    c, s, size = math.cos(middle), math.sin(middle), domain.size
    return CornerFunctions(point, (c / size, s / size, -s / size, c / size), sector.opening, powers, (int(own[0]),))


def _scalars(problem: Problem, points: Array) -> Array | None:
    """The coefficients k of k Δu in the equation at points; None where its second derivatives are others."""
    (term,) = equation_terms(problem, Quadrature(points, np.full(len(points), 1.0 / len(points))), torch.device("cpu"))
    _, slope = term.linearised(term.zero())
    if slope.second is None or term.frame.higher:
        return None
    parts = tensors(term, slope.second[:, 0])
    k = parts[:, 0, 0]
    plain = (parts - k[:, None, None] * torch.eye(2, dtype=torch.float64)).abs().max() <= 1e-12 * k.abs().max()
    return np.abs(k.numpy()) if bool(plain) and bool((k * k[0] > 0.0).all()) else None


def tensors(term: Term, second: Tensor) -> Tensor:
    """The coefficients ``(n, d, d)`` of the second derivatives of a term."""
    frame = term.frame
    if frame.level is Derivatives.SUMMED:
        space = torch.tensor([float(name != TIME) for name in frame.coordinates], dtype=torch.float64)
        return second[:, :, None] * torch.diag(space)
    if frame.level is Derivatives.DIAGONAL:
        return torch.diag_embed(second)
    matrix = second.new_zeros(len(second), frame.dimension, frame.dimension)
    i, j = frame.packed
    matrix[:, i, j] += 0.5 * second
    matrix[:, j, i] += 0.5 * second
    return matrix


def _planar(domain: Domain) -> Planar | None:
    """A domain in the plane, a rectangle too; None for others."""
    if isinstance(domain, Box) and domain.dimension == 2 and TIME not in domain.coordinates:
        return planar(domain)
    return domain if isinstance(domain, Planar) else None


def _singularity(problem: Problem, domain: Planar, corner: Corner, rule: CornerRule) -> Singularity | None:
    kinds = [_has_slope(problem, side) for side in corner.sides]
    principal = _principal(problem, domain, corner, rule)
    if None in kinds or principal is None or _is_crossed(domain, corner, rule):
        return None
    matrix, lower = principal
    opening, matrix = _turned(corner, matrix)
    different = kinds[0] != kinds[1]
    steps = ((k - 0.5 if different else float(k)) * math.pi / opening for k in itertools.count(1))
    orders, straight = list(itertools.takewhile(lambda step: step <= rule.highest, steps)), _are_straight(domain, corner)
    if not straight or is_compatible(problem, corner):  # then there are no logarithms beside the polynomials
        orders = [order for order in orders if not _is_whole(order, rule)]
    if not orders:
        return None
    powers = tuple(_powers(orders, bool(kinds[0]), lower if straight else Lower.GENERAL, rule))
    m = tuple(float(one) for one in (matrix / domain.size).ravel())
    functions = CornerFunctions(corner.point, (m[0], m[1], m[2], m[3]), opening, powers)
    return Singularity(corner.point, corner.angle, tuple(orders), (functions,))


def _powers(orders: list[float], slope: bool, lower: Lower, rule: CornerRule) -> Iterator[Power]:
    """The functions of some exponents, each once. slope: whether the slope is given on the first side.

    Where an exponent is an integer, its function is a polynomial, but a source may make a logarithm beside it.
    """
    found: list[Power] = []
    for exponent in orders:
        whole = _is_whole(exponent, rule)
        for m in (0,) if whole else _further(exponent, lower, rule):
            every = (exponent + m - 2 * b for b in range(m + 1))
            for frequency in (exponent,) if lower is Lower.REACTION else map(abs, every):
                for sine in (True, False) if m and lower is Lower.GENERAL else (not slope,):
                    power = (exponent + m, frequency, sine, whole)
                    known = any(np.allclose(power[:2], one[:2], atol=rule.whole) and power[2:] == one[2:] for one in found)
                    if not known:
                        found.append(power)
    yield from found


def _further(exponent: float, lower: Lower, rule: CornerRule) -> range:
    """The powers of r above an exponent that functions are taken for."""
    highest = int(rule.highest - exponent)
    return {
        Lower.NONE: range(1), Lower.REACTION: range(0, highest + 1, 2), Lower.GENERAL: range(min(rule.more, highest) + 1),
    }[lower]  # fmt: skip


def _is_whole(exponent: float, rule: CornerRule) -> bool:
    return abs(exponent - round(exponent)) < rule.whole


def _has_slope(problem: Problem, side: str) -> bool | None:
    """Whether the condition on a face is one of the slope, not of the value; None where it is periodic, or there is none."""
    rule = problem.domain.face(side, 1, 2, 1, 0)
    points = torch.as_tensor(rule.points[:2])
    normals = None if rule.normals is None else torch.as_tensor(rule.normals[:2])
    for one in (one for condition in problem.conditions for one in condition.requirements(problem)):
        if side in one.faces:
            return problem.level_of(one.operator, points, normals) > Derivatives.VALUE
    return None


def _principal(problem: Problem, domain: Planar, corner: Corner, rule: CornerRule) -> tuple[Array, Lower] | None:
    """The matrix that makes the principal part at a corner Laplace's, and what there is beside it.

    None where the principal part is not elliptic.
    """
    middle = corner.first + 0.5 * corner.angle
    beside = np.array(corner.point) + rule.beside * domain.size * np.array([math.cos(middle), math.sin(middle)])
    inside = domain.interior(1, 4, 0, 0).points
    points = np.concatenate([beside[None], inside])
    (term,) = equation_terms(problem, Quadrature(points, np.full(len(points), 1.0 / len(points))), torch.device("cpu"))
    _, slope = term.linearised(term.zero())
    if slope.second is None or slope.gradient is None or term.frame.higher:
        return None
    parts = tensors(term, slope.second[:, 0])
    if not bool(parts.isfinite().all() and slope.gradient.isfinite().all() and slope.value.isfinite().all()):
        return None
    values, vectors = np.linalg.eigh(parts[0].numpy() * np.sign(float(parts[0].trace())))
    if not values[0] > 1e-6 * values[1]:
        return None
    matrix = vectors @ np.diag((values / values[1]) ** -0.5) @ vectors.T
    constant = bool((parts - parts[0]).abs().max() <= 1e-12 * parts[0].abs().max())
    steady = bool((slope.value - slope.value[:1]).abs().max() <= 1e-12 * slope.value.abs().max())
    if not (constant and steady) or bool((slope.gradient != 0.0).any()):
        return matrix, Lower.GENERAL
    return matrix, Lower.REACTION if bool((slope.value != 0.0).any()) else Lower.NONE


def _turned(corner: Corner, matrix: Array) -> tuple[float, Array]:
    """The opening of the image of a corner, and the matrix with a rotation of the image's bisector to the first axis."""
    directions = [matrix @ (math.cos(angle), math.sin(angle)) for angle in (corner.first, corner.first + corner.angle)]
    first, last = (math.atan2(d[1], d[0]) for d in directions)
    opening = (last - first) % (2.0 * math.pi)
    opening = 2.0 * math.pi if opening < SAME else opening
    middle = first + 0.5 * opening
    rotation = np.array([[math.cos(middle), math.sin(middle)], [-math.sin(middle), math.cos(middle)]])
    return opening, rotation @ matrix


def _is_crossed(domain: Planar, corner: Corner, rule: CornerRule) -> bool:
    """Whether the ray opposite to a corner's bisector meets the domain, where the functions would jump."""
    middle = corner.first + 0.5 * corner.angle
    steps = domain.size * 1.5 * (np.arange(rule.rays) + 0.5)[:, None] / rule.rays
    points = np.array(corner.point) - steps * np.array([math.cos(middle), math.sin(middle)])
    return bool((domain.distance(points) > SAME * domain.size).any())


def _are_straight(domain: Planar, corner: Corner) -> bool:
    """Whether both sides of a corner are straight."""
    return all(is_straight(arc, domain.size) for arc in domain.arcs if arc.name in corner.sides)
