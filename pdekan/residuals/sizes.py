"""Sizes of the rows of training at a function: what makes terms comparable in any units of the unknowns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, is_affine, local_sizes, units

# The least size of an unknown, relative to the largest one, where nothing states its size: one that vanishes is compared with
# the others. What conditions state counts down to round-off.
SMALL, ROUND_OFF = 1e-3, 1e-12
TINY = 1e-300  # in place of a size of zero, so that zero divided by it is zero
LEAST_SIZE = 1e-150  # of an unknown: its square is a number, and a solution that falls towards zero ends there
# Unknowns whose sizes differ by less than this factor are left as they are in linear systems: those that vanish are, too.
COMPARABLE = 2000.0


@torch.no_grad()
def sizes_at(problem: Problem, terms: list[Term], network: Network, trained: bool) -> list[float] | None:
    """The size of every term's residual near a network's function, relative to that of the largest unknown.

    None where no term's derivatives depend on the unknowns and these are of comparable sizes: then `terms.unit` is as good.
    trained: whether the function is more than random; else the unknowns' sizes are those that conditions and data state.
    """
    linear = all(is_affine(term, problem) for term in terms)
    first, count = terms[0], len(problem.unknowns)
    inside = first.points.new_zeros(len(first.points), count)
    if trained or not linear:
        inside = evaluate(network, first.points, first.frame).value
    if not bool(torch.isfinite(inside).all()):
        return None
    sizes = [float((term.share @ term.target**2).sqrt()) if is_affine(term, problem) else 0.0 for term in terms]
    heights = unknown_sizes(terms, [units(term, problem) for term in terms], sizes, inside)
    heights = heights / heights.max()
    if linear and COMPARABLE * float(heights.min()) >= 1.0:
        return None
    fields = [evaluate(network, term.points, term.frame) for term in terms]
    squares = (term.point_share @ (local_sizes(term, problem, u) @ heights**2) for term, u in zip(terms, fields, strict=True))
    found = [math.sqrt(float(one)) or 1.0 for one in squares]
    return found if math.isfinite(sum(found)) else None


def unknown_sizes(terms: list[Term], per_unknown: list[Tensor], stated: list[float], inside: Tensor) -> Tensor:
    """The sizes ``(U,)`` of the unknowns: root mean squares inside, or what conditions and data for one alone state, if more.

    per_unknown: `terms.units` of every term. stated: the size of its right-hand side. inside: values ``(n, U)`` at the points
    of the first term.
    """
    count = len(per_unknown[0])
    heights = (terms[0].point_share @ inside[:, :count] ** 2).sqrt()
    known = torch.zeros_like(heights)
    for term, size, one in zip(terms, stated, per_unknown, strict=True):
        alone = one > 1e-12 * one.max()
        if term.group != "equation" and int(alone.sum()) == 1:
            known = torch.where(alone, torch.maximum(known, size / one.clamp_min(TINY)), known)
    heights = torch.maximum(heights, known)
    least = torch.where(known > ROUND_OFF * heights.max(), known, SMALL * heights.max())
    return torch.maximum(heights, least).clamp_min(LEAST_SIZE)
