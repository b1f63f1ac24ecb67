"""Planes at which the source of an equation is singular or jumps, and the functions by which its solution is singular there.

Along a line across the plane the source is f(t) = Σ_j c_j t^j + t^μ Σ_j d_j t^j on one side, with an exponent μ that is no
integer, or with other c_j on both sides. Where the equation is of second order across the plane, the solution has t^(μ + 2) and
higher powers there, with factors that are smooth along it, beside a smooth function (Grisvard, Elliptic Problems in Nonsmooth
Domains (1985), section 1.5).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pdekan.cells.rows import tensors
from pdekan.domains.box import Box
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.problems.discontinuities import data_singularities
from pdekan.problems.formulas import ProblemError
from pdekan.problems.jump_surfaces import surfaces
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms
from pdekan.singularities.corners import slope_at_zero
from pdekan.singularities.power_laws import REACHES, NoPowerLawError, exponent

# How sources are looked at, and which functions are taken.
LEAST = 1e-12  # values of a source that count as zero, relative to its mean size
PLACES = 4  # points of a plane at which it is looked at
SAME = 1e-5  # the difference of exponents there
MORE = 4  # powers above the first one
DEGREES = (0, 12, 6)  # of the polynomials along a plane, by dimension
PLANES = 4  # at most


@dataclass(frozen=True)
class _Plane:
    """A plane by points on it ``(k, d)`` and a unit normal. inside: whether the domain is on both sides."""

    points: Array
    normal: Array
    inside: bool


def plane_functions(problem: Problem) -> tuple[PlaneFunctions, ...]:
    """The functions of all planes at which the source of an equation for one unknown is singular or jumps."""
    domain = problem.domain
    single = len(problem.equations) == 1 and len(problem.unknowns) == 1 and problem.order <= 2
    if not single or problem.interfaces or domain.dimension > len(DEGREES) or not isinstance(domain, Box | Planar):
        return ()
    try:
        source = _Source.of(problem)
        planes = [*_faces(problem), *_inner_planes(problem)]
        return tuple(functions for plane in planes for functions in _functions(problem, plane, source))
    except (ProblemError, NoPowerLawError):  # of a source that has no values about zero, or none beside a plane
        return ()


@dataclass(frozen=True)
class _Source:
    """The source at points ``(n, d)``, with what the operator has at zero. least: relative to its mean size, round-off."""

    values: Callable[[Array], Array]
    least: float

    @classmethod
    def of(cls, problem: Problem) -> _Source:
        """The source of a problem with one equation, from its linearisation at zero."""

        def values(points: Array) -> Array:
            (term,) = equation_terms(problem, Quadrature.even(points))
            return np.asarray(-term.linearised(term.zero())[0])

        return cls(values, LEAST * float(np.abs(values(problem.domain.interior(1, 8, 64, 0).points)).mean()))


def _faces(problem: Problem) -> Iterator[_Plane]:
    """The straight faces of a domain, with normals into it."""
    domain = problem.domain
    for name in domain.faces:
        face = domain.face(name, 1, PLACES, PLACES, 0)
        assert face.normals is not None
        points, normals = face.points[:PLACES], -face.normals[:PLACES]
        flat = float(np.abs((points - points[0]) @ normals[0]).max()) <= 1e-12 * domain.size
        if flat and float(np.abs(normals - normals[0]).max()) <= 1e-12:
            yield _Plane(points, normals[0], inside=False)


def _inner_planes(problem: Problem) -> Iterator[_Plane]:
    """The planes through the domain at which the source jumps or is infinite."""
    found = surfaces(problem.domain, data_singularities(problem, problem.equations[0]))
    for surface in itertools.islice(found, PLANES):
        if surface.normal is not None and surface.points is not None:
            points = surface.points[:: max(1, len(surface.points) // PLACES)]
            yield _Plane(points[:PLACES].numpy(), np.array(surface.normal), inside=True)


def _functions(problem: Problem, plane: _Plane, source: _Source) -> Iterator[PlaneFunctions]:
    """Those of one plane, a group for each side."""
    domain, across = problem.domain, _order_across(problem, plane)
    middle = 0.5 * (np.array(domain.lower) + np.array(domain.upper))
    point = middle - plane.normal * float((middle - plane.points.mean(axis=0)) @ plane.normal)
    for sign in (1.0, -1.0) if plane.inside else (1.0,):
        order = _exponent_beside(problem, plane, sign, source)
        firsts = [] if order is None else [order + across]
        if plane.inside and sign > 0.0:
            firsts.append(float(across))  # polynomials of its own on one side
        powers = tuple(first + k for first in firsts for k in range(MORE + 1))
        if powers:
            normal = tuple(float(x) for x in sign * plane.normal / domain.size)
            yield PlaneFunctions(tuple(map(float, point)), normal, powers, DEGREES[domain.dimension - 1])


def _exponent_beside(problem: Problem, plane: _Plane, sign: float, source: _Source) -> float | None:
    """The exponent on one side of a plane, where it is the same all along. Raises NoPowerLawError where it is not."""
    direction = sign * plane.normal
    ends = plane.points + problem.domain.size * REACHES[0] * direction
    starts = plane.points[problem.domain.contains(ends)]

    def beside(start: Array) -> float | None:
        return exponent(lambda t: source.values(start + t[:, None] * direction), problem.domain.size, source.least)

    found = [beside(start) for start in starts]
    known = [order for order in found if order is not None]
    if not known:
        return None
    if len(known) < len(found) or max(known) - min(known) > SAME:
        raise NoPowerLawError("different powers along a plane")
    return float(np.median(known))


def _order_across(problem: Problem, plane: _Plane) -> int:
    """The order of the equation's highest derivatives across a plane. Raises ProblemError where there are none."""
    points = plane.points + 1e-3 * problem.domain.size * plane.normal
    slope = slope_at_zero(problem, points)
    normal = torch.as_tensor(plane.normal)
    if slope.second is not None:
        second = torch.einsum("nij,i,j->n", tensors(slope.frame, slope.second[:, 0]), normal, normal)
        if bool((second != 0.0).any()):
            return 2
    if slope.gradient is not None and bool((slope.gradient[:, 0] @ normal != 0.0).any()):
        return 1
    raise ProblemError("the equation has no derivatives across the plane")
