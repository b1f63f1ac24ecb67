"""The functions by which solutions vary near small round holes, where a network of the whole domain has no room for them.

Outside of a circle of radius R a harmonic function is a smooth one and c log(r/R) + Σ_k (R/r)^k (a_k cos kθ + b_k sin kθ)
(Laurent's series). A reaction adds r² log r and further even powers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from pdekan.domains.arcs import EllipseArc
from pdekan.domains.planar import Planar
from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.jets import Derivatives
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms


@dataclass(frozen=True)
class HoleRule:
    """small: radius of a hole, relative to the size of the domain, below which functions are taken; most: holes of a domain.

    orders: k up to which terms of the series are taken. round: how far an arc may be from a circle.
    """

    small: float = 0.1
    most: int = 20
    orders: int = 6
    round: float = 1e-9


RULE = HoleRule()


def hole_functions(problem: Problem, rule: HoleRule = RULE) -> tuple[CornerFunctions, ...]:
    """Functions about every small round hole of a planar domain, for one equation k Δu + … = f of one unknown."""
    domain = problem.domain
    if not isinstance(domain, Planar) or len(problem.equations) != 1 or len(problem.unknowns) != 1 or problem.interfaces:
        return ()
    holes = list(_holes(domain, rule))
    if not 0 < len(holes) <= rule.most:
        return ()
    (term,) = equation_terms(problem, domain.interior(1, 4, 0, 0), torch.device("cpu"))
    _, slope = term.linearised(term.zero())
    if term.frame.level is not Derivatives.SUMMED:  # second derivatives other than the Laplacian
        return ()
    logarithms = [0.0, 2.0, 4.0] if bool((slope.value != 0.0).any()) else [0.0]
    powers = [Power(order, 0.0, False, True) for order in logarithms]
    powers += [Power(-float(k), float(k), sine) for k in range(1, rule.orders + 1) for sine in (False, True)]
    return tuple(CornerFunctions(center, (1.0 / r, 0.0, 0.0, 1.0 / r), 2.0 * math.pi, tuple(powers)) for center, r in holes)


def _holes(domain: Planar, rule: HoleRule) -> Iterator[tuple[tuple[float, float], float]]:
    """Center and radius of the small circles that the domain is all around of."""
    turned: dict[tuple[tuple[float, float], float], float] = {}
    for arc in domain.arcs:
        if isinstance(arc, EllipseArc):
            a, b = math.hypot(*arc.u), math.hypot(*arc.v)
            if abs(a - b) <= rule.round * a and a < rule.small * domain.size:
                turned[arc.center, a] = turned.get((arc.center, a), 0.0) + arc.last - arc.first
    for circle, angle in turned.items():
        if abs(angle + 2.0 * math.pi) < rule.round:  # clockwise, with the domain on the left
            yield circle
