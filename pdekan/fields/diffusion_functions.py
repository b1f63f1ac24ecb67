"""Functions of diffusion beside a face, with exact derivatives: how solutions begin where initial and boundary values disagree.

With σ the distance from the face and θ the time since the start, scaled so that the equation is ∂u/∂θ = ¼ ∂²u/∂σ²,

    F_n = θ^(n/2) iⁿerfc ξ, ξ = σ / √θ,    ∂F_n/∂σ = -F_{n-1},    ∂F_n/∂θ = ¼ F_{n-2}

(the repeated integrals of the complementary error function: Carslaw and Jaeger, Conduction of Heat in Solids (1959), section
2.5 and appendix II; NIST Digital Library of Mathematical Functions, 7.18). F_0 = erfc ξ is the rod whose end is heated at once,
F_1 the one with a constant flux, and θ^(n/2) on the face has F_n. Negative n are derivatives of erfc. The span of all θ^k F_n
holds its products with σ and θ and its derivatives: it solves equations with convection, reaction and coefficients that vary.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.fields.elementary import DERIVATIVES
from pdekan.fields.functions import stacked, where
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative, compose
from pdekan.fields.plane_functions import component, legendre

SOONEST = 1e-12  # θ is at least this: derivatives may be infinite at θ = 0


@dataclass(frozen=True)
class DiffusionFunctions:
    """exp(a · (x - point)) θ^k F_{m-2k}(σ, θ) P(τ) for all orders (m, k) and products P of Legendre polynomials; 0 for θ < 0.

    point: on the face at the start of time. normal: into the domain, of length 1 / √(4κT) with the diffusivity κ; for time
    0, or such that σ is the distance from a place that moves. time: the axis of time, whose length is `duration` T. degree:
    the total degree of the polynomials in τ, the coordinates along the face in units of half of `width`. rates: a, with
    which functions of diffusion are those of convection and reaction; none for zero. outputs: of a network, which the
    functions are added to; all where none is named.
    """

    point: tuple[float, ...]
    normal: tuple[float, ...]
    time: int
    duration: float
    orders: tuple[tuple[int, int], ...]
    degree: int = 0
    width: float = 1.0
    rates: tuple[float, ...] = ()
    outputs: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """The number of functions."""
        return len(self.orders) * len(self._degrees)

    @functools.cached_property
    def _degrees(self) -> list[tuple[int, ...]]:
        every = itertools.product(range(self.degree + 1), repeat=len(self.point) - 2)
        return [one for one in every if sum(one) <= self.degree]

    @functools.cached_property
    def _along(self) -> Tensor:
        """Vectors along the face, of length 2 / width ``(d - 2, d)``."""
        clock = np.eye(len(self.point))[self.time]
        return torch.as_tensor(np.linalg.svd(np.array([self.normal, clock]))[2][2:] * 2.0 / self.width)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """The functions at points ``(n, d)``, one component each, order by order.

        Raises MissingDerivative for derivatives above the second.
        """
        if frame.higher:
            raise MissingDerivative("functions of diffusion have first and second derivatives only")
        beginning = self._beginning(points, frame)
        position = frame.position(points - points.new_tensor(self.point))
        if self.rates:
            beginning = compose(DERIVATIVES["exp"], component(position, points.new_tensor(self.rates))) * beginning
        polynomials = [legendre(component(position, axis), self.degree) for axis in self._along.to(points)]
        if not polynomials:
            return beginning
        parts = [
            math.prod((p[k] for p, k in zip(polynomials, degrees, strict=True)), start=beginning[j])
            for j in range(len(self.orders))
            for degrees in self._degrees
        ]
        return stacked(parts)

    def _beginning(self, points: Tensor, frame: Frame) -> Jet:
        """θ^k F_{m-2k} for all orders, one component each."""
        moved = points - points.new_tensor(self.point)
        across, clock = points.new_tensor(self.normal), torch.zeros_like(points[0])
        clock[self.time] = 1.0 / self.duration
        theta = moved @ clock
        root = theta.clamp_min(SOONEST).sqrt()
        lowest, highest = min(m - 2 * k for m, k in self.orders) - 4, max(m - 2 * k for m, k in self.orders)
        table = torch.stack(repeated_integrals((moved @ across) / root, lowest, highest), dim=1)
        m, k = (torch.tensor(each, device=points.device) for each in zip(*self.orders, strict=True))
        first = m - 2 * k - lowest  # the column of F_{m-2k}

        def power(less: int, lower: int) -> Tensor:
            """θ^((m - less)/2) times the integral that is `lower` orders below."""
            return root[:, None] ** (m - less) * table[:, first - lower]

        value, gradient, second = power(0, 0), None, None
        if frame.level >= Derivatives.GRADIENT:
            sigma, theta_slope = -power(1, 1), k * power(2, 0) + 0.25 * power(2, 2)
            gradient = sigma[..., None] * across + theta_slope[..., None] * clock
        if frame.level >= Derivatives.SUMMED:
            mixed = -k * power(3, 1) - 0.25 * power(3, 3)
            twice = k * (k - 1) * power(4, 0) + 0.5 * k * power(4, 2) + power(4, 4) / 16.0
            pairs = frame.pair(across, across), frame.pair(across, clock), frame.pair(clock, clock)
            parts = [a[..., None] * b for a, b in zip((power(2, 2), 2.0 * mixed, twice), pairs, strict=True)]
            second = torch.stack(parts).sum(0)
        return where(theta >= 0.0, Jet(frame, value, gradient, second), 0.0)


@dataclass(frozen=True)
class DiffusionProducts:
    """F_m F_n of two faces that meet in an edge, for all orders of both without powers of time, m + n up to `highest`.

    Products of solutions of the heat equation, one of each coordinate, are solutions (Carslaw and Jaeger, section 1.15).
    outputs: of a network, which the functions are added to; all where none is named.
    """

    first: DiffusionFunctions
    second: DiffusionFunctions
    highest: int
    outputs: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """The number of functions."""
        return len(self._pairs)

    @functools.cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        first, second = (sorted({m for m, k in one.orders if k == 0}) for one in (self.first, self.second))
        return [(m, n) for m in first for n in second if m + n <= self.highest]

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """The functions at points ``(n, d)``, one component each.

        Raises MissingDerivative for derivatives above the second.
        """
        first, second = (
            replace(one, orders=tuple((pair[k], 0) for pair in self._pairs), degree=0).jet(points, frame)
            for k, one in enumerate((self.first, self.second))
        )
        return first * second


def repeated_integrals(x: Tensor, lowest: int, highest: int) -> list[Tensor]:
    """iⁿerfc x for n = lowest … highest, lowest < 0 (DLMF 7.18.2, 7.18.7; Hermite polynomials for negative n).

    n iⁿerfc x = ½ iⁿ⁻²erfc x - x iⁿ⁻¹erfc x, and i⁻ⁿerfc x = 2/√π H_{n-1}(x) exp(-x²).
    """
    gauss = 2.0 / math.sqrt(math.pi) * torch.exp(-(x**2))
    hermite = [torch.ones_like(x), 2.0 * x]
    for n in range(1, -lowest):
        hermite.append(2.0 * x * hermite[n] - 2.0 * n * hermite[n - 1])
    found = [gauss * hermite[n] for n in range(-lowest - 1, -1, -1)]
    found.append(torch.erfc(x))
    for n in range(1, highest + 1):
        found.append((0.5 * found[-2] - x * found[-1]) / n)
    return found[: highest - lowest + 1]
