"""The functions by which solutions vary about holes: those of Laurent's series, for which a smooth network has no room.

Outside of a circle of radius R a harmonic function is a smooth one and c log(r/R) + Σ_k (R/r)^k (a_k cos kθ + b_k sin kθ);
about another hole these come near it (Runge's theorem). A reaction adds r² log r and further even powers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array
from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.jets import Derivatives
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms

MOST = 20  # holes of a domain, above which none has functions
ORDERS = 8  # k up to which terms of the series are taken
POINTS = 33  # of an arc, for area and centroid of a hole
INSIDE = 0.1  # how far its centroid is to be from the domain, relative to its radius


def hole_functions(problem: Problem) -> tuple[CornerFunctions, ...]:
    """Functions about every hole of a planar domain, for one equation k Δu + … = f of one unknown."""
    domain = problem.domain
    if not isinstance(domain, Planar) or len(problem.equations) != 1 or len(problem.unknowns) != 1 or problem.interfaces:
        return ()
    holes = list(_holes(domain))
    if not 0 < len(holes) <= MOST:
        return ()
    (term,) = equation_terms(problem, domain.interior(1, 4, 0, 0))
    _, slope = term.linearised(term.zero())
    if term.frame.level is not Derivatives.SUMMED:  # second derivatives other than the Laplacian
        return ()
    logarithms = [0.0, 2.0, 4.0] if bool((slope.value != 0.0).any()) else [0.0]
    powers = [Power(order, 0.0, False, True) for order in logarithms]
    powers += [Power(-float(k), float(k), sine) for k in range(1, ORDERS + 1) for sine in (False, True)]
    return tuple(CornerFunctions(center, (1.0 / r, 0.0, 0.0, 1.0 / r), 2.0 * math.pi, tuple(powers)) for center, r in holes)


def _holes(domain: Planar) -> Iterator[tuple[tuple[float, float], float]]:
    """Centroid and radius, of a circle of the same area, of the holes around whose centroids there is nothing of the domain."""
    for loop in _loops(domain):
        x, y = loop.T
        cross = x[:-1] * y[1:] - x[1:] * y[:-1]
        area = 0.5 * float(cross.sum())
        if area >= 0.0:  # counterclockwise, with the domain on the left: an outer boundary
            continue
        center = ((loop[:-1] + loop[1:]) * cross[:, None]).sum(0) / (6.0 * area)
        radius = math.sqrt(-area / math.pi)
        if float(domain.distance(center[None])[0]) < -INSIDE * radius:
            yield (float(center[0]), float(center[1])), radius


def _loops(domain: Planar) -> Iterator[Array]:
    """Points ``(n, 2)`` along every closed curve of the boundary, the first one again at the end."""
    left = [arc.at(np.linspace(*arc.span, POINTS)) for arc in domain.arcs]
    while left:
        loop = [left.pop(0)]
        while np.linalg.norm(loop[-1][-1] - loop[0][0]) > SAME * domain.size:
            near = [k for k, points in enumerate(left) if np.linalg.norm(points[0] - loop[-1][-1]) <= SAME * domain.size]
            if not near:
                return
            loop.append(left.pop(near[0]))
        yield np.concatenate(loop)
