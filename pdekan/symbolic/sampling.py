"""Samples of a trained solution: one unknown on a box inside the domain, along lines and at scattered points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sympy
from scipy.stats import qmc

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.solutions.solution import Solution
from pdekan.symbolic.expressions import symbol

Function = Callable[[Array], Array]

NODES = 64  # Gauss points of an interval
LINES = 48  # parallel to each axis
SCATTERED = 2048  # quasi-random points
INNER_CUBE = 0.95  # half diagonal of the cube inside a curved domain, relative to the largest distance from the boundary


def gauss(lower: float, upper: float) -> tuple[Array, Array]:
    """Gauss points of an interval, and weights that sum to one."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return lower + 0.5 * (nodes + 1.0) * (upper - lower), 0.5 * weights


@dataclass(frozen=True)
class Samples:
    """A function on a box. value, gradient: of points ``(n, d)``. noise: estimate of its error relative to its size."""

    coordinates: tuple[str, ...]
    lower: Array
    upper: Array
    value: Function
    gradient: Function
    noise: float
    seed: int = 0

    @property
    def dimension(self) -> int:
        """How many coordinates there are."""
        return len(self.coordinates)

    @property
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        """The coordinates as symbols."""
        return tuple(symbol(name) for name in self.coordinates)

    def axis(self, k: int) -> tuple[Array, Array]:
        """Gauss points along coordinate k, and weights that sum to one."""
        return gauss(self.lower[k], self.upper[k])

    def scattered(self, count: int = SCATTERED, shift: int = 0) -> Array:
        """Quasi-random points ``(count, d)``."""
        sequence = qmc.Sobol(self.dimension, rng=np.random.default_rng(self.seed + shift))
        unit = sequence.random_base2(math.ceil(math.log2(count)))[:count]
        return np.asarray(self.lower + unit * (self.upper - self.lower))

    def lines(self, k: int, transform: Callable[[Array], Array]) -> Array:
        """Transformed values ``(nodes, lines)`` along lines parallel to axis k through scattered points."""
        nodes, _ = self.axis(k)
        starts = self.scattered(LINES if self.dimension > 1 else 1, shift=k + 1)
        points = np.repeat(starts[None], len(nodes), axis=0)
        points[:, :, k] = nodes[:, None]
        return transform(self.value(points.reshape(-1, self.dimension))).reshape(len(nodes), len(starts))


def samples(solution: Solution, unknown: int, noise: float) -> Samples:
    """An unknown of a solution on `inner_box` of its domain."""
    lower, upper = inner_box(solution.domain)
    solution = replace(solution, problem=None)  # with the parts of complex unknowns
    several = len(solution.unknowns) > 1

    def value(points: Array) -> Array:
        values = solution(points)
        return values[:, unknown] if several else values

    def gradient(points: Array) -> Array:
        gradients = solution.gradient(points)
        return gradients[:, unknown] if several else gradients

    return Samples(solution.domain.coordinates, lower, upper, value, gradient, noise)


def inner_box(domain: Domain) -> tuple[Array, Array]:
    """Corners of a box inside the domain: all of it, or a cube around the point farthest from the boundary."""
    if isinstance(domain, Box):
        return np.array(domain.lower), np.array(domain.upper)
    points = domain.interior(16, 4, 4096, 0).points
    distances = domain.distance(points)
    centre, half = points[np.argmax(distances)], INNER_CUBE * distances.max() / np.sqrt(domain.dimension)
    return centre - half, centre + half
