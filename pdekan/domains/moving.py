"""Domains that move: a shape that is shifted and scaled as time goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import chebyshev

from pdekan.domains.base import DomainError
from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.domains.cylinder import END, START, InTime
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.fields.jets import Jet

DEGREE = 48  # of the series of shift and scale
RESOLVED = 1e-10  # of a function: the last coefficients of its series
CHECKED = 65  # times at which the scale is looked at
Series = tuple[float, ...]


@dataclass(frozen=True)
class Moving(InTime):
    """The points shift(t) + scale(t) ξ with ξ in `base`, start < t < end.

    shift, scale: Chebyshev coefficients over the times `span`. Normals of the base's faces are those of space. Raises
    DomainError as `InTime`, for a scale that is not positive, and unless there is a shift for each coordinate.
    """

    shift: tuple[Series, ...]
    scale: Series
    span: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shift) != self.base.dimension:
            names = ", ".join(self.base.coordinates)
            raise DomainError(f"shift has {len(self.shift)} formulas; it needs one for each of {names}")
        times = np.linspace(self.start, self.end, CHECKED)
        scale = self._scale(times)
        if scale.min() <= 0.0:
            raise DomainError(f"scale is {scale.min():g} at t = {times[scale.argmin()]:g}; it needs to be positive")
        corners = [self._shift(times) + scale[:, None] * np.array(one) for one in (self.base.lower, self.base.upper)]
        object.__setattr__(self, "lower", (*corners[0].min(axis=0).tolist(), float(self.start)))
        object.__setattr__(self, "upper", (*corners[1].max(axis=0).tolist(), float(self.end)))

    def _scaled(self, times: Array) -> Array:
        return np.asarray((2.0 * times - self.span[0] - self.span[1]) / (self.span[1] - self.span[0]))

    def _scale(self, times: Array) -> Array:
        """scale ``(n,)`` at times ``(n,)``."""
        return np.asarray(chebyshev.chebval(self._scaled(times), self.scale))

    def _shift(self, times: Array) -> Array:
        """shift ``(n, d - 1)`` at times ``(n,)``."""
        return np.stack([chebyshev.chebval(self._scaled(times), one) for one in self.shift], axis=1)

    @property
    def measure(self) -> float:
        """The measure of the base times ∫ scale^(d - 1) dt."""
        t, weights = gauss(self.start, self.end, 8, 12)
        return self.base.measure * float(weights @ self._scale(t) ** self.base.dimension)

    @property
    def corners(self) -> Array:
        points, times = self.base.corners, np.array([self.start, self.end])
        moved = self._shift(times)[:, None] + self._scale(times)[:, None, None] * points
        return np.concatenate([np.insert(one, self.base.dimension, t, axis=1) for one, t in zip(moved, times, strict=True)])

    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The rule of the base, moved, at Gauss points in time; above three dimensions each of its points at one time."""
        if self.base.dimension > TENSOR_DIMENSIONS:
            cells, order = 1, max(1, math.ceil(count ** (1.0 / self.dimension)))
        return self._in_time(
            self.base.interior(cells, order, count, seed), self.base.dimension, *gauss(self.start, self.end, cells, order)
        )

    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The same on a face of the base; on "t-" and "t+" the rule of the base."""
        if self.dimension > TENSOR_DIMENSIONS:
            cells, order = 1, max(1, math.ceil(count ** (1.0 / (self.dimension - 1))))
        if name not in (START, END):
            rule = self.base.face(name, cells, order, count, seed)
            return self._in_time(rule, self.base.dimension - 1, *gauss(self.start, self.end, cells, order))
        rule, at = self.base.interior(cells, order, count, seed), np.array([self.start if name == START else self.end])
        moved = self._in_time(rule, self.base.dimension, at, np.ones(1))
        return self.at_end(name, replace(moved, points=moved.points[:, :-1]))

    def _in_time(self, rule: Quadrature, dimension: int, t: Array, weights: Array) -> Quadrature:
        """A rule of the base, over a set of some dimension, at all times."""
        scale = self._scale(t)
        space = self._shift(t)[None] + scale[None, :, None] * rule.points[:, None]
        points = np.concatenate([space, np.broadcast_to(t[None, :, None], (*space.shape[:2], 1))], axis=2)
        normals = None
        if rule.normals is not None:
            normals = np.insert(np.repeat(rule.normals, len(t), axis=0), self.base.dimension, 0.0, axis=1)
        return Quadrature(
            points.reshape(-1, self.dimension), np.outer(rule.weights, weights * scale**dimension).ravel(), normals
        )

    def distance(self, points: Array) -> Array:
        """Distance to the boundary at the same time or to the ends of time, whichever is nearer; negative outside."""
        scale = self._scale(points[:, -1])
        across = scale * self.base.distance((points[:, :-1] - self._shift(points[:, -1])) / scale[:, None])
        return self._distance(across, points[:, -1])

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """That of the base, moved; on "t-" and "t+", t - start and end - t."""
        t = position[self.base.dimension]
        if name in (START, END):
            return self._end_level(name, t)
        s = (2.0 * t - (self.span[0] + self.span[1])) / (self.span[1] - self.span[0])
        scale = _series(self.scale, s)
        return scale * self.base.level(name, [(position[k] - _series(one, s)) / scale for k, one in enumerate(self.shift)])


def _series(coefficients: Series, s: Jet) -> Jet:
    """A Chebyshev series by Clenshaw's recurrence (Abramowitz and Stegun, 22.18)."""
    later, before = 0.0 * s, 0.0 * s
    for c in reversed(coefficients[1:]):
        later, before = 2.0 * s * later - before + c, later
    return s * later - before + coefficients[0]


def series(function: Callable[[Array], Array], start: float, end: float, what: str) -> Series:
    """The Chebyshev coefficients of a function of t. Raises DomainError for one that a series does not resolve."""
    nodes = chebyshev.chebpts1(DEGREE + 1)
    values = np.broadcast_to(function(0.5 * (start + end) + 0.5 * (end - start) * nodes), nodes.shape)
    if not np.isfinite(values).all():
        raise DomainError(f"{what} is not finite at all times")
    found = np.linalg.solve(chebyshev.chebvander(nodes, DEGREE), values)
    size = float(np.abs(found).max())
    if np.abs(found[-4:]).max() > RESOLVED * max(size, 1e-300):
        raise DomainError(
            f"{what} is not smooth enough in t: {DEGREE} terms of its Chebyshev series leave more than {RESOLVED:g}"
        )
    last = int(np.flatnonzero(np.abs(found) > 1e-15 * size).max(initial=0))
    return tuple(found[: last + 1].tolist())
