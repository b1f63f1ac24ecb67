"""The functions by which solutions are singular at the corners of a planar domain, from geometry, equation and conditions.

At a vertex of angle ω solutions of Laplace's equation behave like r^λ sin λθ with λ = kπ/ω for values on both sides, like
r^λ cos λθ for slopes on both, and with λ = (k - 1/2)π/ω for one of each (Grisvard, Elliptic Problems in Nonsmooth Domains
(1985), section 4.4). An operator with other second derivatives is Laplace's in the coordinates where its principal part at the
vertex is the identity. Derivatives of lower order, coefficients that vary and curved sides add r^(λ + m) with the frequencies
λ + m, λ + m - 2, …, of which the first are taken; a constant reaction adds r^(λ + 2) sin λθ alone. Values like r^μ along a side
add r^μ, r^(μ + 1), …. For displacements of elastic bodies see `training.elastic_corners`.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.unknowns import region_numbers
from pdekan.cells.corners import Corner, vertices
from pdekan.cells.rows import tensors
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.combinations import planar
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.domains.regions import REGION_SAMPLES
from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.jets import TIME, Derivatives, Jet
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms
from pdekan.singularities import elastic_corners
from pdekan.singularities.compatibility import is_compatible
from pdekan.singularities.corner_data import data_exponents
from pdekan.singularities.crossings import BESIDE, Sector, crossings, exponents, is_straight
from pdekan.singularities.edge_jumps import jumps_on_edges

# Which functions are taken.
MOST = 60  # corners of a domain; one with more is a curve that was sampled, whose corners are none of the solution's
HIGHEST = 8.0  # the largest exponent λ; above it functions are smooth enough for the network
ELASTIC = 4.0  # of displacements, which have four functions each
MORE = 2  # how many powers of r above λ, where there is more than a constant reaction
BENT = 4  # where the sides of the image are curved
WHOLE = 1e-6  # exponents this near to an integer count as integers
ASIDE = 1e-7  # where the equation is looked at, on the bisector, relative to the size of the domain
RAYS = 400  # points at which it is asked whether the ray opposite to the bisector meets the domain


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


def singularities(problem: Problem) -> list[Singularity]:
    """The points at which the solution of an equation of second order, or of those of elasticity, is singular.

    Those are left out whose functions are not known.
    """
    domain, count = _planar(problem.domain), len(problem.unknowns)
    if domain is None or len(problem.equations) != count or count > 2 or (problem.interfaces and count > 1):
        return []
    if problem.interfaces:
        return list(_at_crossings(problem, domain))
    corners = [*vertices(domain), *jumps_on_edges(problem, domain)]
    if len(corners) > MOST:
        return []
    singularity = _singularity if count == 1 else _elastic_singularity
    return [one for corner in corners if (one := singularity(problem, domain, corner)) is not None]


def _at_crossings(problem: Problem, domain: Planar) -> Iterator[Singularity]:
    """Where interfaces meet each other or the boundary: functions of their own in each sector that holds a region."""
    shapes = [_planar(shape) for shape in problem.interfaces.values()]
    if None in shapes:
        return
    for one in crossings(domain, [shape for shape in shapes if shape], lambda points: _scalars(problem, points)):
        ends = None if one.sides is None else [_has_slope(problem, side) for side in one.sides]
        if ends is not None and None in ends:
            continue
        orders = exponents(one.sectors, None if ends is None else (bool(ends[0]), bool(ends[1])), HIGHEST)
        orders = [order for order in orders if not _is_whole(order)]
        powers = tuple(Power(order, order, sine) for order in orders for sine in (False, True))
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
    slope = slope_at_zero(problem, points)
    if slope.second is None or slope.frame.higher:
        return None
    parts = tensors(slope.frame, slope.second[:, 0])
    k = parts[:, 0, 0]
    plain = (parts - k[:, None, None] * torch.eye(2, dtype=torch.float64)).abs().max() <= 1e-12 * k.abs().max()
    return np.abs(k.numpy()) if bool(plain) and bool((k * k[0] > 0.0).all()) else None


def slope_at_zero(problem: Problem, points: Array) -> Jet:
    """The derivative of the only equation's residual by the jet of u = 0 at points ``(n, d)``."""
    (term,) = equation_terms(problem, Quadrature.even(points))
    return term.linearised(term.zero())[1]


def _planar(domain: Domain) -> Planar | None:
    """A domain in the plane, a rectangle too; None for others."""
    if isinstance(domain, Box) and domain.dimension == 2 and TIME not in domain.coordinates:
        return planar(domain)
    return domain if isinstance(domain, Planar) else None


def _singularity(problem: Problem, domain: Planar, corner: Corner) -> Singularity | None:
    kinds = [_has_slope(problem, side) for side in corner.sides]
    principal = _principal(problem, domain, corner)
    if None in kinds or principal is None:
        return None
    matrix, lower = principal
    opening, matrix = _turned(corner, matrix)
    far = _far(domain, corner, matrix)
    different = kinds[0] != kinds[1]
    steps = ((k - 0.5 if different else float(k)) * math.pi / opening for k in itertools.count(1))
    orders, straight = list(itertools.takewhile(lambda step: step <= HIGHEST, steps)), _are_straight(domain, corner)
    if not straight or is_compatible(problem, corner):  # then there are no logarithms beside the polynomials
        orders = [order for order in orders if not _is_whole(order)]
    lower = Lower.GENERAL if not straight or (far and lower is Lower.REACTION) else lower
    powers = [*_powers(orders, bool(kinds[0]), lower, bool(far))]
    given = data_exponents(problem, domain, corner) if straight else []
    given = [next((order for order in orders if abs(order - one) < WHOLE), one) for one in given]
    for one in given:
        for m in range(MORE + 1):
            frequencies = [one + m] if lower is Lower.NONE else [one + m - 2 * b for b in range(m + 1)]
            every = (Power(one + m, frequency, sine) for frequency in frequencies for sine in (False, True))
            powers += [power for power in every if not _is_known(power, powers)]
    return _at_corner(domain, corner, (opening, matrix, far), sorted({*orders, *given}), powers)


def _elastic_singularity(problem: Problem, domain: Planar, corner: Corner) -> Singularity | None:
    """That of the displacements of an isotropic elastic body at a corner with straight sides."""
    points = _beside(domain, corner)[None]
    every = equation_terms(problem, Quadrature.even(points))
    if any(term.frame.higher or term.frame.order < 2 for term in every):
        return None
    slopes = [cast("Tensor", term.linearised(term.zero())[1].second) for term in every]
    parts = [[tensors(term.frame, slope[:, j])[0].numpy() for j in (0, 1)] for term, slope in zip(every, slopes, strict=True)]
    kappa = elastic_corners.kappa(parts)
    opening, matrix = _turned(corner, np.eye(2))
    if kappa is None or not _are_straight(domain, corner) or _far(domain, corner, matrix):
        return None
    free = [_has_slope(problem, side) for side in corner.sides]
    orders: list[complex] = []
    if None not in free:
        every_order = elastic_corners.exponents(opening, (bool(free[0]), bool(free[1])), kappa, ELASTIC)
        orders = [order for order in every_order if order.imag or not _is_whole(order.real)]
    given = data_exponents(problem, domain, corner)
    further = (order + m for order in given for m in range(MORE + 1))
    orders += [order for order in further if not any(abs(order - one) < WHOLE for one in orders)]
    powers = [power for order in orders for power in elastic_corners.powers(order)]
    return _at_corner(domain, corner, (opening, matrix, 0.0), [order.real for order in orders], powers)


def _at_corner(
    domain: Planar, corner: Corner, image: tuple[float, Array, float], orders: Sequence[float], powers: Sequence[Power]
) -> Singularity | None:
    """The functions of a corner; None where there are none. image: opening, matrix and end of the cut."""
    opening, matrix, far = image
    m = tuple(float(one) for one in (matrix / domain.size).ravel())
    functions = CornerFunctions(corner.point, (m[0], m[1], m[2], m[3]), opening, tuple(powers), far=far)
    return Singularity(corner.point, corner.angle, tuple(sorted(orders)), (functions,)) if powers else None


def _beside(domain: Planar, corner: Corner) -> Array:
    """A point on the bisector of a corner."""
    middle = corner.first + 0.5 * corner.angle
    return np.array(corner.point) + ASIDE * domain.size * np.array([math.cos(middle), math.sin(middle)])


def _powers(orders: list[float], slope: bool, lower: Lower, bent: bool) -> Iterator[Power]:
    """The functions of some exponents, each once. slope: whether the slope is given on the first side. bent: whether the sides
    of the image are, so that further powers are needed.

    Where an exponent is an integer, its function is a polynomial, but a source may make a logarithm beside it.
    """
    found: list[Power] = []
    for exponent in orders:
        whole = _is_whole(exponent)
        for m in (0,) if whole else _further(exponent, lower, bent):
            every = (exponent + m - 2 * b for b in range(m + 1 if lower is Lower.GENERAL else 1))
            for frequency in (exponent,) if lower is Lower.REACTION else map(abs, every):
                for sine in (True, False) if m and (bent or lower is Lower.GENERAL) else (not slope,):
                    power = Power(exponent + m, frequency, sine, whole)
                    found += [] if _is_known(power, found) else [power]
    yield from found


def _is_known(power: Power, powers: Sequence[Power]) -> bool:
    return any(math.dist(power[:2], one[:2]) < WHOLE and power[2:] == one[2:] for one in powers)


def _further(exponent: float, lower: Lower, bent: bool) -> range:
    """The powers of r above an exponent that functions are taken for."""
    highest = int(HIGHEST - exponent)
    if lower is Lower.REACTION:
        return range(0, highest + 1, 2)
    most = MORE if lower is Lower.GENERAL else BENT if bent else 0
    return range(min(most, highest) + 1)


def _is_whole(exponent: float) -> bool:
    return abs(exponent - round(exponent)) < WHOLE


def _has_slope(problem: Problem, side: str) -> bool | None:
    """Whether the conditions on a face are those of slopes, not of values; None where some are of both, or there are none."""
    rule = problem.domain.face(side, 1, 2, 1, 0)
    points = torch.as_tensor(rule.points[:2])
    normals = None if rule.normals is None else torch.as_tensor(rule.normals[:2])
    kinds = {
        problem.level_of(one.operator, points, normals) > Derivatives.VALUE
        for condition in problem.conditions
        for one in condition.requirements(problem)
        if side in one.faces
    }
    return kinds.pop() if len(kinds) == 1 else None


def _principal(problem: Problem, domain: Planar, corner: Corner) -> tuple[Array, Lower] | None:
    """The matrix that makes the principal part at a corner Laplace's, and what there is beside it.

    None where the principal part is not elliptic.
    """
    points = np.concatenate([_beside(domain, corner)[None], domain.interior(1, 4, 0, 0).points])
    slope = slope_at_zero(problem, points)
    if slope.second is None or slope.gradient is None or slope.frame.higher:
        return None
    parts = tensors(slope.frame, slope.second[:, 0])
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


def _far(domain: Planar, corner: Corner, matrix: Array) -> float:
    """The distance in the image, relative to the domain's size, at which the cut of the functions is to end.

    Half of that of the first point of the domain on the ray opposite to the image's bisector; 0 where there is none.
    """
    ray = -np.linalg.inv(matrix)[:, 0]
    steps = domain.size * 1.5 * (np.arange(RAYS) + 0.5) / RAYS
    points = np.array(corner.point) + steps[:, None] * ray / np.linalg.norm(ray)
    meets = np.flatnonzero(domain.distance(points) > SAME * domain.size)
    return 0.5 * float(steps[meets[0]] / np.linalg.norm(ray) / domain.size) if len(meets) else 0.0


def _are_straight(domain: Planar, corner: Corner) -> bool:
    """Whether both sides of a corner are straight."""
    return all(is_straight(arc, domain.size) for arc in domain.arcs if arc.name in corner.sides)
