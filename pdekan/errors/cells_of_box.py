"""The cells of tensor-product splines on a box, and splines on them as Taylor models."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdekan.domains.quadrature import Array
from pdekan.errors.spline_fields import SplineBox
from pdekan.fields.taylor_models import EPS, INFLATE, Monomials, TaylorModels


@dataclass(frozen=True)
class Cells:
    """Cells ``(n, d)`` by their place along every axis.

    parts: cells in an interval of the splines. sides: along which axes they are reduced to the lower, -1, or upper, 1, face of
    the box.
    """

    space: SplineBox
    parts: int
    index: NDArray[np.int64]
    sides: tuple[int, ...]

    @classmethod
    def every(cls, space: SplineBox, parts: int) -> Cells:
        """All cells."""
        index = np.stack(np.meshgrid(*(np.arange(parts * n) for n in space.intervals), indexing="ij"), -1)
        return cls(space, parts, index.reshape(-1, space.dimension), (0,) * space.dimension)

    @classmethod
    def on_face(cls, space: SplineBox, parts: int, axis: int, side: int) -> Cells:
        """Those of a face of the box, once each."""
        one = cls.every(space, parts)
        return replace(one, index=one.index[one.index[:, axis] == 0]).moved(axis, side)

    def moved(self, axis: int, side: int) -> Cells:
        """Their projections on a face of the box."""
        index = self.index.copy()
        index[:, axis] = 0 if side < 0 else self.parts * self.space.intervals[axis] - 1
        return replace(self, index=index, sides=(*self.sides[:axis], side, *self.sides[axis + 1 :]))

    def split(self, count: int) -> list[Cells]:
        """So many at a time."""
        return [replace(self, index=part) for part in np.split(self.index, range(count, len(self.index), count))]

    def unique(self) -> tuple[Cells, Tensor]:
        """Those that differ, and the place of each among them."""
        index, places = np.unique(self.index, axis=0, return_inverse=True)
        return replace(self, index=index), torch.as_tensor(places.reshape(-1))

    @property
    def halves(self) -> Tensor:
        """Half the widths ``(d,)``; of axes along which cells are reduced too."""
        widths = np.subtract(self.space.upper, self.space.lower) / (self.parts * np.array(self.space.intervals))
        return torch.as_tensor(0.5 * widths)

    @property
    def volume(self) -> float:
        """What an integral in t over [-1, 1]^d is multiplied by."""
        sides = torch.tensor([side == 0 for side in self.sides])
        return float(torch.where(sides, self.halves, 0.5).prod()) * (1.0 + 8.0 * EPS)

    def coordinates(self, basis: Monomials) -> TaylorModels:
        """The coordinates ``(n, d)``."""
        sides = torch.tensor(self.sides)
        lower, upper = (torch.tensor(ends, dtype=torch.float64) for ends in (self.space.lower, self.space.upper))
        centers = lower + (2.0 * torch.as_tensor(self.index) + 1.0) * self.halves
        centers = torch.where(sides < 0, lower, torch.where(sides > 0, upper, centers))
        return TaylorModels.coordinates(basis, centers, torch.where(sides == 0, self.halves, 0.0).expand(centers.shape))

    def spline(self, basis: Monomials, degrees: tuple[int, ...], coefficients: Array, axis: int | None = None) -> TaylorModels:
        """The spline of some degrees, or its derivative along an axis, on every cell."""
        counts = [n + degree for n, degree in zip(self.space.intervals, degrees, strict=True)]
        windows = np.ix_(*(range(degree + 1) for degree in degrees))
        first = self.index // self.parts
        places = tuple(first[:, k].reshape(-1, *(1,) * len(degrees)) + windows[k][None] for k in range(len(degrees)))
        block = torch.as_tensor(coefficients.reshape(counts)[places])
        size = block.abs()
        for k, degree in enumerate(degrees):
            table = self._table(k, degree, k == axis)
            block, size = (_contracted(one, kind, k + 1) for one, kind in ((block, table), (size, table.abs())))
        return _model(basis, block, 8.0 * (sum(degrees) + 8) * EPS * size.flatten(1).sum(1))

    def _table(self, k: int, degree: int, derivative: bool) -> Tensor:
        """Coefficients ``(n, degree + 1, degree + 1)`` of t^j in the splines along an axis that do not vanish, cell by cell."""
        n, parts = self.space.intervals[k], self.parts
        windows = (_window(i, n, degree) for i in range(n))
        every = torch.stack([_local_splines(window, degree, part, parts) for window in windows for part in range(parts)])
        if derivative:
            lowered = every[..., 1:] * torch.arange(1, degree + 1) / self.halves[k]
            every = torch.cat([lowered, torch.zeros_like(lowered[..., :1])], dim=-1)
        if self.sides[k]:
            signs = float(self.sides[k]) ** torch.arange(degree + 1)
            at_end = (every * signs).sum(-1, keepdim=True)
            every = torch.cat([at_end, torch.zeros_like(every[..., 1:])], dim=-1)
        return every[torch.as_tensor(self.index[:, k])]


def _contracted(block: Tensor, table: Tensor, axis: int) -> Tensor:
    """Σ_b block[n, …, b, …] table[n, b, j]."""
    moved = block.movedim(axis, -1)
    flat = moved.reshape(len(block), -1, moved.shape[-1]) @ table
    return flat.reshape(moved.shape).movedim(-1, axis)


def _model(basis: Monomials, block: Tensor, rest: Tensor) -> TaylorModels:
    """Taylor models of coefficients ``(n, …)`` by the powers of each variable."""
    place = {tuple(a): k for k, a in enumerate(basis.exponents.tolist())}
    polynomial = block.new_zeros(len(place), len(block))
    for powers in itertools.product(*(range(size) for size in block.shape[1:])):
        one = block.movedim(0, -1)[powers]
        if powers in place:
            polynomial[place[powers]] = one
        else:
            rest = rest + one.abs()
    return TaylorModels(basis, polynomial, INFLATE * rest)


def _window(interval: int, count: int, degree: int) -> tuple[int, ...]:
    """The knots that the splines of an interval depend on, relative to it: 0 … count, the ends repeated."""
    return tuple(min(max(interval + j, 0), count) - interval for j in range(1 - degree, degree + 1))


@functools.cache
def _local_splines(knots: tuple[int, ...], degree: int, part: int, parts: int) -> Tensor:
    """Coefficients ``(degree + 1, degree + 1)`` of t^j in the splines on a part of [0, 1], in rational arithmetic.

    By the recursion of Cox and de Boor: de Boor, A Practical Guide to Splines, 2001, ch. IX, eq. 14.
    """
    center, half = Fraction(2 * part + 1, 2 * parts), Fraction(1, 2 * parts)
    splines = [[Fraction(1)]]
    for k in range(1, degree + 1):
        raised = [[Fraction(0)] * (k + 1) for _ in range(k + 1)]
        for b, one in enumerate(splines):
            left, right = knots[degree - k + b], knots[degree + b]
            for j, c in enumerate(one):
                share = c / (right - left)
                # (x - left) of it goes to the next spline, (right - x) to the one before
                raised[b + 1][j] += share * (center - left)
                raised[b + 1][j + 1] += share * half
                raised[b][j] += share * (right - center)
                raised[b][j + 1] -= share * half
        splines = raised
    return torch.tensor([[float(c) for c in one] for one in splines], dtype=torch.float64)
