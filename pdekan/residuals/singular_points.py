"""Points at singularities of a source: they are moved aside where the source is integrable, and set beside planes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.fields.singular_functions import SingularFunctions

LOG = logging.getLogger(__name__)
NEAR = 1e-3, 3e-5, 1e-6  # of the size: distances between which the growth of a source towards a point is measured
DIRECTIONS = 16
MARGIN = 0.05  # of the order of a singularity, which is measured
MOST = 8  # points that are moved; a source that is singular at more of them is no formula for the domain
ASIDE = 0.25  # of the distance of points
HUGE = 1e6  # times the median: the value at a point that is at a singularity up to round-off
LARGE = 1e-3  # … and of the largest finite one: a source that is zero but for round-off has a small median

DISTANCES = np.logspace(-2.0, -6.0, 9)  # of the points, relative to the domain's size
ALONG = 2  # points at a distance for each function along the plane
SHARE = 0.1  # of their weights


def moved_aside(domain: Domain, rule: Quadrature, values: Tensor, source: Callable[[Tensor], Tensor]) -> Quadrature:
    """The rule with its points at singularities a quarter of the points' distance aside; the rule itself without any.

    values: ``(n,)``, the source at the points. About a singularity it grows like r^-a; where a >= d it is not integrable, and
    the point stays.
    """
    finite = values.isfinite()
    size = torch.where(finite, values.abs(), torch.inf)
    largest = torch.where(finite, values.abs(), 0.0).max()
    doubtful = torch.nonzero(size > torch.maximum(HUGE * size.median(), LARGE * largest)).flatten().tolist()
    if len(doubtful) > MOST:
        return rule
    points = rule.points.copy()
    for k in doubtful:
        order = _order(domain, points[k], source)
        if order >= domain.dimension - MARGIN or (bool(finite[k]) and order <= MARGIN):  # the latter is a narrow peak
            continue
        other = _beside(domain, points[k], ASIDE * float(rule.weights[k]) ** (1.0 / domain.dimension), source)
        if other is None:
            continue
        named = ", ".join(f"{name} = {x:g}" for name, x in zip(domain.coordinates, points[k], strict=True))
        LOG.warning("the source is singular at %s, and integrable; the point is moved aside", named)
        points[k] = other
    return rule if bool((points == rule.points).all()) else replace(rule, points=points)


def _beside(domain: Domain, point: Array, step: float, source: Callable[[Tensor], Tensor]) -> Array | None:
    """A point of the domain at a distance, with a finite value of the source."""
    trials = point + step * _directions(domain.dimension)
    inside = trials[domain.contains(trials)]
    finite = source(torch.as_tensor(inside)).isfinite().numpy()
    return inside[finite][0] if finite.any() else None


def _directions(dimension: int) -> Array:
    """Unit vectors ``(DIRECTIONS, d)``, the same every time."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((DIRECTIONS, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _order(domain: Domain, point: Array, source: Callable[[Tensor], Tensor]) -> float:
    """The exponent a of |source| ~ r^-a about a point, the least of all distances; inf where there are no finite values."""
    sizes = []
    for distance in NEAR:
        around = point + distance * domain.size * _directions(domain.dimension)
        around = around[domain.contains(around)]
        values = source(torch.as_tensor(around)).abs()
        if not len(values) or not bool(values.isfinite().all()):
            return float("inf")
        sizes.append(max(float(values.mean()), 1e-300))
    return float((-np.diff(np.log(sizes)) / np.diff(np.log(NEAR))).min())


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
