"""Where a solution begins anew in time: initial values that disagree with conditions or jump, data on a face that jump later.

A parabolic equation is ∂u/∂t = κ ∂²u/∂s² + … there, s the distance from the face or place. Where no smooth function satisfies
equation, conditions and initial values, the solution has parts of degree m in (s, √t), m = 0 for values that jump, 1 for a flux
that jumps, 2 for a value whose slope in time is not the equation's (Ladyzhenskaya, Solonnikov and Uraltseva, Linear and
Quasi-linear Equations of Parabolic Type (1968), section IV.5): those of `fields.diffusion_functions`. Whether one does is found
at the edge of a face by least squares for polynomials on boxes s ≤ h, κt ≤ h²: what is left is like h^m. Of a rod, later jumps
on a face and those of initial values inside are looked for too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from pdekan.cells.rows import linearised_at
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.fields.diffusion_functions import DiffusionFunctions, DiffusionProducts
from pdekan.fields.jets import TIME, Derivatives
from pdekan.problems.formulas import Field, ProblemError
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, equation_terms, is_linear
from pdekan.singularities.edge_jumps import jumps
from pdekan.singularities.time_edges import SAME, Edge, diffusivities, fitted, lower_order

# Where data are looked at, and which functions are taken.
PLACES = (0.31, 0.62)  # along a face, as shares of its length
REACH = 0.02  # the first h, relative to the domain's length and to the one that diffuses in the time
HALVINGS = 2  # of h
ROUND_OFF = 1e-12  # of what is left, relative to the polynomials
LEAST = 1e-8  # of what is felt at m = 0, likewise
HIGHEST = 4  # the largest degree m that is felt
SLOPE = 0.3  # the largest difference of an exponent from m
ORDERS = (7, 5)  # how many degrees of functions, by the dimension of space
PRODUCTS = (6, 4)  # the largest power k of time in them
ALONG = (0, 8)  # the degree of their polynomials along the face
IMAGES = 2  # of functions, by either end of an interval
FELT = 6.0  # ξ from which on they are not
STEEPEST = 300.0  # exponent of the factors of convection and reaction, above which there are no functions
GENTLE = 20.0  # Péclet number up to which functions have images
MOST = 12  # later and inner jumps


@dataclass(frozen=True)
class Beginning:
    """An edge, the first degree m of the solution there, and the equation's diffusivities."""

    edge: Edge
    degree: int
    diffusivities: tuple[float, ...]


def beginnings(problem: Problem) -> list[Beginning]:
    """All places at which the solution of equations in a box begins anew; none where nothing is known of them."""
    domain = problem.domain
    if not isinstance(domain, Box) or TIME not in domain.coordinates or not 2 <= domain.dimension <= len(ALONG) + 1:
        return []
    determined = len(problem.equations) == len(problem.unknowns) and not problem.parameters and not problem.ranges
    if not determined or problem.order > 2 or problem.interfaces:
        return []
    faces = [face for face in domain.faces if face[:-1] != TIME]
    try:
        places = [one for face in faces if (one := _disagreement(problem, domain, face)) is not None]
        return places + (_jumps(problem, domain) if domain.dimension == 2 and is_linear(problem) else [])
    except ProblemError:  # data that are not finite at an edge
        return []


def beginning_functions(problem: Problem) -> tuple[DiffusionFunctions | DiffusionProducts, ...]:
    """The functions of all places at which the solution begins anew."""
    domain = problem.domain
    places = beginnings(problem)
    found = [functions for place in places for functions in _functions(problem, domain, place)]
    return *found, *_products(found)


def _disagreement(problem: Problem, domain: Box, face: str) -> Beginning | None:
    """What begins at a face because initial values disagree with its conditions, if the diffusivities are the same along it."""
    time = domain.lower[domain.coordinates.index(TIME)]
    places = PLACES if domain.dimension > 2 else PLACES[:1]
    found = [_first(problem, _edge(domain, face, share, time)) for share in places]
    felt = [one for one in found if one is not None]
    if not felt:
        return None
    least = min(felt, key=lambda one: one.degree)
    count = len(least.diffusivities)
    same = all(len(one.diffusivities) == count and np.allclose(one.diffusivities, least.diffusivities, SAME) for one in felt)
    return least if same else None


def _edge(domain: Box, face: str, share: float, time: float) -> Edge:
    """The place on a face at a time, at a share of its lengths."""
    axis, when = domain.coordinates.index(face[:-1]), domain.coordinates.index(TIME)
    low, high = np.array(domain.lower), np.array(domain.upper)
    point = low + share * (high - low)
    point[axis], point[when] = (low if face[-1] == "-" else high)[axis], time
    return Edge(point, high - low, axis, 1.0 if face[-1] == "-" else -1.0, when, face, TIME + "-")


def _first(problem: Problem, edge: Edge) -> Beginning | None:
    """What begins at an edge as no polynomial satisfies the conditions and the equation there; None where nothing is felt."""
    duration, length = edge.lengths[edge.time], edge.lengths[edge.axis]
    sides = REACH * edge.lengths
    sides[edge.time] = REACH**2 * duration
    guess = fitted(problem, edge, sides)
    if guess is None or not (found := diffusivities(problem, edge, guess.polynomials.jet)):
        return None
    whole = min(length, math.sqrt(max(found) * duration))
    fits = []
    for k in range(HALVINGS + 1):
        h = REACH / 2.0**k
        sides = h * edge.lengths
        sides[edge.axis], sides[edge.time] = h * whole, (h * whole) ** 2 / max(found)
        fit = fitted(problem, edge, sides)
        if fit is None or fit.left <= ROUND_OFF * max(fit.size, guess.size):
            break
        fits.append((h, fit))
    for (_, coarse), (h, fine) in reversed(list(itertools.pairwise(fits))):
        order = math.log2(coarse.left / fine.left)
        degree = max(round(order), 0)
        if abs(order - degree) <= SLOPE and degree <= HIGHEST and fine.left > LEAST * fine.size * h**degree:
            # of several unknowns one may be a derivative of the one that is felt
            first = degree if len(problem.unknowns) == 1 else max(degree - 1, 0)
            return Beginning(edge, first, tuple(diffusivities(problem, edge, fine.polynomials.jet)))
    return None


def _jumps(problem: Problem, domain: Box) -> list[Beginning]:
    """What begins in a rod where data on its ends jump in time, or its initial values in space, themselves or their slopes."""
    values = [one for condition in problem.conditions for one in condition.requirements(problem) if one.place.sides == 1]
    found = [place for one in values for face in one.faces for place in _jumps_on(problem, domain, one, face)]
    return found if len(found) <= MOST else []


def _jumps_on(problem: Problem, domain: Box, one: Requirement, face: str) -> Iterator[Beginning]:
    """Those of one condition on a face. Slopes that jump have two degrees more in time, one more in space."""
    time = domain.coordinates.index(TIME)
    initial = face[:-1] == TIME
    along = 1 - time if initial else time
    start, length = domain.lower[along], domain.upper[along] - domain.lower[along]
    first = 0 if initial else min(problem.level_of(one.operator, torch.zeros(2, 2), torch.eye(2)), 1)
    before = np.empty(0)
    for order in (0, 1):
        places = jumps(partial(_data, problem, domain, one, face, along, order))
        for share in places[np.abs(places[:, None] - before).min(axis=1, initial=1.0) > 1e-9]:
            name = domain.coordinates[1 - time] + "-" if initial else face
            edge = _edge(domain, name, 0.0, domain.lower[time])
            edge.point[along] = start + share * length
            kappa = diffusivities(problem, edge, Term.zero)
            yield Beginning(edge, first + order * (1 if initial else 2), tuple(kappa))
        before = places


def _data(problem: Problem, domain: Box, one: Requirement, face: str, along: int, order: int, t: Array) -> Array:
    """The value of a condition, or its slope along a face, at shares of the face's length."""
    if not isinstance(one.value, Field):
        return np.zeros(len(t))
    points = np.zeros((len(t), 2))
    points[:, along] = domain.lower[along] + t * (domain.upper[along] - domain.lower[along])
    points[:, 1 - along] = (domain.lower if face[-1] == "-" else domain.upper)[1 - along]
    jet = one.value(problem.environment(torch.as_tensor(points), Derivatives.GRADIENT))
    data = jet.value if order == 0 or jet.gradient is None else jet.gradient[:, along]
    return np.asarray(data.detach().broadcast_to(len(t)).numpy())


def _functions(problem: Problem, domain: Domain, one: Beginning) -> Iterator[DiffusionFunctions]:
    """The functions of a place from its degree on, and in a rod their images."""
    edge, space = one.edge, domain.dimension - 1
    point, others = edge.point.copy(), [k for k in range(domain.dimension) if k not in (edge.axis, edge.time)]
    point[others] = 0.5 * (np.array(domain.lower) + np.array(domain.upper))[others]
    width, duration = float(max(edge.lengths[others], default=1.0)), float(edge.lengths[edge.time])
    degrees = [one.degree + p for p in range(ORDERS[space - 1])]
    for diffusivity in one.diffusivities:
        for speed, rates in _carried(problem, edge, diffusivity):
            across = np.zeros(domain.dimension)
            across[edge.axis], across[edge.time] = edge.inward, -speed
            normal = tuple(map(float, across / math.sqrt(4.0 * diffusivity * duration)))
            at, first = tuple(map(float, point)), tuple((m, 0) for m in degrees)
            alone = DiffusionFunctions(at, normal, edge.time, duration, first, 0, width, rates)
            most = 0 if space == 1 and _solves(problem, alone) else PRODUCTS[space - 1]
            orders = tuple((m, k) for p, m in enumerate(degrees) for k in range(min(2 * p, most) + 1))
            yield replace(alone, orders=orders, degree=ALONG[space - 1])
            if space == 1 and abs(speed) * edge.lengths[edge.axis] < GENTLE * diffusivity:
                yield from _images(domain, alone, edge.axis)


def _carried(problem: Problem, edge: Edge, kappa: float) -> Iterator[tuple[float, tuple[float, ...]]]:
    """Speeds v and rates a with which exp(a · x) F(s - vt, t) solve the linear equation for one unknown, F that of heat.

    With the speed b of convection and a reaction c they are v = b, a = (0, -c) and v = -b, a = (b/κ, -c): together they have
    constant values on the face (Ogata and Banks, USGS Professional Paper 411-A (1961), equation 13).
    """
    if len(problem.unknowns) > 1 or not is_linear(problem):
        yield 0.0, ()
        return
    speed, reaction = lower_order(problem, edge)
    for sign in (1.0, -1.0) if speed else (1.0,):
        rates = np.zeros(len(edge.point))
        rates[edge.time] = -reaction
        rates[edge.axis] = 0.0 if sign > 0.0 else edge.inward * speed / kappa
        if np.abs(rates * edge.lengths).max() < STEEPEST:
            yield sign * speed, tuple(map(float, rates)) if rates.any() else ()


def _products(found: Sequence[DiffusionFunctions]) -> Iterator[DiffusionProducts]:
    """The products of the functions of faces of a rectangle that meet."""
    for one, other in itertools.combinations(found, 2):
        if np.dot(one.normal, other.normal) == one.normal[one.time] * other.normal[one.time]:
            yield DiffusionProducts(one, other, max(one.orders)[0])


def _images(domain: Domain, functions: DiffusionFunctions, axis: int) -> Iterator[DiffusionFunctions]:
    """The functions reflected at both ends of an interval of length L, as long as they are felt there.

    A source at a has images at a + 2jL and -a + 2jL from an end (Carslaw and Jaeger, section 10.10).
    """
    start, length, at = domain.lower[axis], domain.upper[axis] - domain.lower[axis], functions.point[axis] - domain.lower[axis]
    per_length = functions.normal[axis]
    shifts = 2.0 * length * np.arange(-IMAGES, IMAGES + 1)
    for place in np.unique(np.round(np.concatenate([at + shifts, -at + shifts]) / length, 12)) * length:
        outside = max(-place, place - length)
        if outside >= 0.0 and abs(place - at) > 1e-9 * length and outside * abs(per_length) < FELT:
            point, turned = list(functions.point), 1.0 if (place <= 0.0) == (per_length > 0.0) else -1.0
            point[axis] = start + float(place)
            yield replace(functions, point=tuple(point), normal=tuple(turned * x for x in functions.normal))


@torch.no_grad()
def _solves(problem: Problem, functions: DiffusionFunctions) -> bool:
    """Whether functions solve the linear, homogeneous equation for one unknown."""
    if len(problem.unknowns) > 1 or not is_linear(problem):
        return False
    (term,) = equation_terms(problem, problem.domain.interior(1, 4, 64, 0))
    slope, jet = linearised_at(term, term.zero()).slope, functions.jet(term.points, term.frame)
    parts = [slope.value[:, 0, None] * jet.value]
    for weights, part in ((slope.gradient, jet.gradient), (slope.second, jet.second)):
        if weights is not None and part is not None:
            parts += [weights[:, 0, None, k] * part[..., k] for k in range(part.shape[-1])]
    return float(torch.stack(parts).sum(0).abs().max()) <= 1e-9 * max(float(part.abs().max()) for part in parts)
