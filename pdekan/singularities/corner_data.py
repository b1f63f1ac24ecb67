"""Exponents that the conditions' values bring to a corner: a value like r^μ along a side, a slope like r^(μ - 1)."""

from __future__ import annotations

import math

import numpy as np
import torch

from pdekan.cells.corners import Corner
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import Derivatives
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import requirement_term
from pdekan.singularities.power_laws import NoPowerLawError, exponent

SAME = 1e-6  # exponents that differ by less are one


@torch.no_grad()
def data_exponents(problem: Problem, domain: Planar, corner: Corner) -> list[float]:
    """The exponents λ > 0 of solutions by the conditions' values on both straight sides of a corner, each once."""
    found: list[float] = []
    for side, angle in zip(corner.sides, (corner.first, corner.first + corner.angle), strict=True):
        for order in _along(problem, domain, corner, side, angle):
            if order > 0.0 and all(abs(order - one) > SAME for one in found):
                found.append(order)
    return sorted(found)


def _along(problem: Problem, domain: Planar, corner: Corner, side: str, angle: float) -> list[float]:
    """The exponents on one side."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    outward = angle - 0.5 * math.pi if angle == corner.first else angle + 0.5 * math.pi
    normal = np.array([math.cos(outward), math.sin(outward)])
    found = []
    for one in (one for condition in problem.conditions for one in condition.requirements(problem)):
        if side not in one.faces:
            continue

        def values(t: Array, one=one) -> Array:  # type: ignore[no-untyped-def]
            points = np.array(corner.point) + t[:, None] * direction
            return np.asarray(requirement_term(problem, one, Quadrature.even(points, np.tile(normal, (len(t), 1)))).target)

        try:
            order = exponent(values, domain.size)
        except (ProblemError, NoPowerLawError):
            continue
        middle = torch.as_tensor(np.array(corner.point) + 0.1 * domain.size * direction)[None]
        slope = problem.level_of(one.operator, middle, torch.as_tensor(normal)[None]) > Derivatives.VALUE
        found += [] if order is None else [order + slope]
    return found
