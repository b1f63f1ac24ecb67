"""Whether the data of a problem agree at a corner: whether a smooth function satisfies equation and conditions near it.

They agree where a polynomial does, up to its degree: least squares for its coefficients on a small sector at the corner, with
the conditions on both sides and nothing on the third. On the unit square -Δu = 1 with u = 0 has no such function: u_xx and u_yy
vanish at the corner, and the solution is like r² log r there (Grisvard, Elliptic Problems in Nonsmooth Domains (1985), section
4.4; Kellogg, Applicable Anal. 12 (1981) 187-206).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.corners import Corner
from pdekan.cells.rows import linearised, local_rows
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, equation_terms, requirement_term

# The sector and the polynomial.
REACH = 2e-3  # the radius, relative to the domain's size
DEGREE = 6  # of the polynomial
POINTS = 12  # along the radius, and across
# residual of the least squares, relative to the data at the corner and to the source elsewhere, below which they agree
AGREED = 1e-5


@torch.no_grad()
def is_compatible(problem: Problem, corner: Corner) -> bool:
    """Whether the data agree at a corner with straight sides, for a problem that is linear, or linearised about zero.

    Where it cannot be told, they are taken to agree."""
    h = REACH * problem.domain.size
    blocks = [_rows(term, corner, h, h * h, DEGREE) for term in _inside(problem, corner, h)]
    for side, angle in zip(corner.sides, (corner.first, corner.first + corner.angle), strict=True):
        for term in _on_side(problem, corner, side, angle, h):
            one = _rows(term, corner, h, 1.0, DEGREE)
            blocks.append(one / one[:, :-1].abs().max().clamp_min(1e-300))
    rows = torch.cat(blocks)
    if not bool(rows.isfinite().all()):  # of a nonlinear equation about zero
        return True
    matrix, right = rows[:, :-1], rows[:, -1]
    everywhere = equation_terms(problem, problem.domain.interior(1, 4, 64, 0))
    source = max(float(term.target.square().mean().sqrt()) for term in everywhere)
    size = math.hypot(float(right.norm()), h * h * source)
    if size == 0.0:
        return True
    found = torch.linalg.lstsq(matrix, right[:, None], driver="gelsd").solution
    return float((matrix @ found - right[:, None]).norm()) <= AGREED * size


def _rows(term: Term, corner: Corner, h: float, scale: float, degree: int) -> Tensor:
    """Rows of a term for polynomials on the square about the corner's sector, the right-hand side last."""
    middle = term.points.new_tensor(corner.point)
    low, high = (middle - h).expand(term.points.shape), (middle + h).expand(term.points.shape)
    return scale * local_rows(linearised(term, None), term, (low, high), degree)


def _inside(problem: Problem, corner: Corner, h: float) -> list[Term]:
    x, _ = gauss(0.0, 1.0, 1, POINTS)
    r, angle = (part.ravel() for part in np.meshgrid(h * x, corner.first + corner.angle * x, indexing="ij"))
    return equation_terms(problem, _quadrature(corner, r, angle))


def _on_side(problem: Problem, corner: Corner, side: str, angle: float, h: float) -> list[Term]:
    x, _ = gauss(0.0, 1.0, 1, POINTS)
    outward = angle - 0.5 * math.pi if side == corner.sides[0] and angle == corner.first else angle + 0.5 * math.pi
    rule = _quadrature(corner, h * x, np.full(len(x), angle))
    points = replace(rule, normals=np.tile([math.cos(outward), math.sin(outward)], (len(x), 1)))
    return [
        requirement_term(problem, one, points)
        for condition in problem.conditions
        for one in condition.requirements(problem)
        if side in one.faces
    ]


def _quadrature(corner: Corner, r: Array, angle: Array) -> Quadrature:
    points = np.array(corner.point) + r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Quadrature.even(points)
