"""Points of straight edges at which the data of a condition jump: there solutions are singular as at a corner of angle π.

With slopes g₁ and g₂ on the two sides of such a point u is like (g₂ - g₁)/π · Re(z log z), whose second derivatives are
infinite at the point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from pdekan.cells.corners import Corner
from pdekan.domains.arcs import Segment
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import requirement_term

POINTS = 401  # of an edge at which data are compared
LEAST = 1e-6  # of a jump, relative to the largest value
MOST = 60  # edges of a domain, and jumps that are taken for some of a function with few
HALVINGS = 48  # of what lies between two of the points


def jumps_on_edges(problem: Problem, domain: Planar) -> list[Corner]:
    """The points at which values of conditions on straight edges jump; none of a domain with many edges, or of many jumps.

    domain: that of the problem, a box as a polygon.
    """
    segments = [arc for arc in domain.arcs if isinstance(arc, Segment)]
    if len(segments) > MOST:
        return []
    wanted = [one for condition in problem.conditions for one in condition.requirements(problem) if one.value is not EXACT]
    pairs = [(arc, one) for arc in segments for one in wanted if arc.name in one.faces]
    try:
        found = [corner for arc, one in pairs for corner in _on_edge(problem, one, arc)]
    except ProblemError:  # data that are not finite everywhere
        return []
    return found if len(found) <= MOST else []


def _on_edge(problem: Problem, one: Requirement, arc: Segment) -> Iterator[Corner]:
    """The jumps of a requirement's value along an edge."""
    normal = arc.normal(0.0)

    def data(t: Array) -> Array:
        """The values that are stated along the edge."""
        rule = Quadrature.even(arc.at(t), np.repeat(normal, len(t), axis=0))
        return np.asarray(requirement_term(problem, one, rule).target)

    where = jumps(data)
    direction = np.subtract(arc.end, arc.start)
    first = math.atan2(direction[1], direction[0])
    for x, y in arc.at(where):
        yield Corner((float(x), float(y)), math.pi, first, (arc.name, arc.name))


def jumps(data: Callable[[Array], Array]) -> Array:
    """Where in (0, 1) a function of t ``(n,)`` jumps, by bisection: what does not shrink with an interval is a jump."""
    t = (np.arange(POINTS) + 0.5 / math.pi) / POINTS
    values = data(t)
    least = LEAST * float(np.abs(values).max())
    places = np.flatnonzero(np.abs(np.diff(values)) > least)
    ends, heights = np.stack([t[places], t[places + 1]]), np.stack([values[places], values[places + 1]])
    for _ in range(HALVINGS if len(places) else 0):
        middle = ends.mean(axis=0)
        value = data(middle)
        second = np.abs(heights[1] - value) > np.abs(value - heights[0])  # the half with the larger difference
        ends = np.where(second, [middle, ends[1]], [ends[0], middle])
        heights = np.where(second, [value, heights[1]], [heights[0], value])
    return np.asarray(ends.mean(axis=0)[np.abs(heights[1] - heights[0]) > least])
