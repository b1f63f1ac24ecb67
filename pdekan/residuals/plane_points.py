"""Points of training beside planes at which a source is infinite: what the solution is like there is told near them alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.fields.singular_functions import SingularFunctions

DISTANCES = np.logspace(-2.0, -6.0, 9)  # of the points, relative to the domain's size
ALONG = 2  # points at a distance for each function along the plane
SHARE = 0.1  # of their weights


def with_points_beside(rule: Quadrature, domain: Domain, singular: Sequence[SingularFunctions], seed: int) -> Quadrature:
    """The rule with points beside planes whose source is like s^μ, μ < 0, with weights like s^(-2μ): rows are finite."""
    generator = np.random.default_rng(seed)
    points, weights = [rule.points], [rule.weights]
    for one in singular:
        if not isinstance(one, PlaneFunctions) or min(one.powers) >= 2.0:
            continue
        unit = np.array(one.normal) * domain.size
        count = ALONG * one.count // len(one.powers)
        chosen = generator.permutation(len(rule.points))[:count]
        along = rule.points[chosen] - ((rule.points[chosen] - np.array(one.point)) @ unit)[:, None] * unit
        beside = (along[None] + domain.size * DISTANCES[:, None, None] * unit).reshape(-1, domain.dimension)
        relative = np.repeat(DISTANCES, len(along)) ** (4.0 - 2.0 * min(one.powers))
        inside = domain.contains(beside)
        points.append(beside[inside])
        weights.append(SHARE * rule.weights.sum() * relative[inside] / max(1, int(inside.sum())))
    return rule if len(points) == 1 else Quadrature(np.concatenate(points), np.concatenate(weights))
