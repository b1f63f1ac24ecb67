"""Functions s^λ P(τ) on one side of a plane, with exact derivatives: how solutions behave where a source is singular.

s is the distance from the plane (a line in two dimensions, a point in one), τ are coordinates along it. Where the source of
u'' = f is a(τ) s^μ on one side, u is a(τ) s^(μ + 2) / ((μ + 1)(μ + 2)) + … there.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.fields.functions import concatenated, stacked, where
from pdekan.fields.jets import Frame, Jet

CLOSEST = 1e-12  # s is at least this: derivatives may be infinite at s = 0


@dataclass(frozen=True)
class PlaneFunctions:
    """s^λ P(τ) where s = normal · (x - point) > 0, else zero, for all powers λ and products P of Legendre polynomials.

    normal: towards the side with the functions, of length 1 / size of the domain; the axes along the plane are twice as long.
    degree: the total degree of the polynomials. outputs: of a network, which the functions are added to; all of them where
    none is named.
    """

    point: tuple[float, ...]
    normal: tuple[float, ...]
    powers: tuple[float, ...]
    degree: int
    outputs: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """The number of functions."""
        return len(self.powers) * len(self._degrees)

    @functools.cached_property
    def _degrees(self) -> list[tuple[int, ...]]:
        every = itertools.product(range(self.degree + 1), repeat=len(self.point) - 1)
        return [one for one in every if sum(one) <= self.degree]

    @functools.cached_property
    def _axes(self) -> Tensor:
        """The normal, then vectors of twice its length along the plane ``(d, d)``."""
        normal = np.array(self.normal)
        size = float(np.linalg.norm(normal))
        return torch.as_tensor(np.concatenate([normal[None], np.linalg.svd(normal[None])[2][1:] * 2.0 * size]))

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """The functions at points ``(n, d)``, one component each, power by power."""
        position = frame.position(points - points.new_tensor(self.point))
        s, *along = (component(position, axis) for axis in self._axes.to(points))
        beside = s.value > 0.0
        s = replace(s, value=torch.where(beside, s.value.clamp_min(CLOSEST), 1.0))
        polynomials, one = [legendre(tau, self.degree) for tau in along], frame.constant(1.0, points)
        products = stacked([
            math.prod((p[k] for p, k in zip(polynomials, degrees, strict=True)), start=one) for degrees in self._degrees
        ])  # fmt: skip
        functions = concatenated([products * s**power for power in self.powers], dim=1)
        return where(beside, functions, 0.0)


def component(position: Jet, axis: Tensor) -> Jet:
    """The coordinate along an axis."""
    return replace(position, divergence=None).each(lambda part: torch.einsum("nk...,k->n...", part, axis))


def legendre(x: Jet, degree: int) -> list[Jet]:
    """P_0 … P_degree by their recurrence."""
    found = [x * 0.0 + 1.0, x]
    for k in range(1, degree):
        found.append((x * found[k] * (2.0 * k + 1.0) - found[k - 1] * float(k)) / (k + 1.0))
    return found[: degree + 1]
