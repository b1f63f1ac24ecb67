"""Legendre polynomials and their products: the local basis of cells.

The functions are √(2j + 1) P_j(ξ) of one variable and products of total degree at most p of several ones, of mean square one
on [-1, 1]^d. Their span is that of a KAN [d, n, 1] with one polynomial of degree p on each edge and n large enough (p + 1 nodes
for d = 2): every polynomial of total degree p is a sum of polynomials of linear functions (Logan and Shepp, Duke Math. J. 42
(1975) 645-659, theorem 1).
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet


@functools.cache
def exponents(dimension: int, degree: int) -> NDArray[np.int64]:
    """Degrees ``(n, d)`` of the factors of every product of total degree at most `degree`, those of lower degree first."""
    every = itertools.product(range(degree + 1), repeat=dimension)
    return np.array(sorted((e for e in every if sum(e) <= degree), key=lambda e: (sum(e), e)))


def count(dimension: int, degree: int) -> int:
    """Dimension of the polynomials of total degree at most `degree`: the binomial (degree + d over d)."""
    return math.comb(degree + dimension, dimension)


def legendre(x: Tensor, degree: int, derivatives: int = 0) -> list[Tensor]:
    """√(2j + 1) P_j, j = 0 … degree, and derivatives at points of any shape ``(...)``: ``(..., degree + 1)`` each.

    (j + 1) P_{j+1} = (2j + 1) x P_j - j P_{j-1} and P'_{j+1} = P'_{j-1} + (2j + 1) P_j (Abramowitz and Stegun 8.5.3, 8.5.4).
    """
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = [[one, x][: degree + 1]]
    for j in range(1, degree):
        rows[0].append(((2 * j + 1) * x * rows[0][j] - j * rows[0][j - 1]) / (j + 1))
    for k in range(derivatives):
        slopes = [zero, one if k == 0 else zero][: degree + 1]
        for j in range(1, degree):
            slopes.append(slopes[j - 1] + (2 * j + 1) * rows[k][j])
        rows.append(slopes)
    norms = torch.sqrt(2.0 * torch.arange(degree + 1, dtype=x.dtype, device=x.device) + 1.0)
    return [torch.stack(row, dim=-1) * norms for row in rows]


def along(position: Tensor, scale: Tensor, degree: int, axis: Tensor, order: int) -> Tensor:
    """A derivative ``(N, n)`` of the basis, at each point by a coordinate of its own, axis ``(N,)``; else see `products`."""
    d = position.shape[1]
    which, value = torch.as_tensor(exponents(d, degree), device=position.device), torch.ones_like(position[:, :1])
    for k in range(d):
        tables, here = legendre(position[:, k], degree, order), (axis == k)[:, None]
        factor = torch.where(here, tables[order] * scale[:, k, None] ** order, tables[0])
        value = value * factor.index_select(1, which[:, k])
    return value


def reference(nodes: Tensor, degree: int, frame: Frame) -> Jet:
    """The basis at points ``(g, d)`` of [-1, 1]^d, with second derivatives one by one where a frame has their sum."""
    if frame.level is Derivatives.SUMMED:
        frame = replace(frame, level=Derivatives.DIAGONAL)
    return products(nodes, torch.ones_like(nodes), degree, frame)


def factors(scale: Tensor, frame: Frame) -> Tensor:
    """What second derivatives of `reference` ``(g, n, s)`` have to be multiplied by in cells, ``(m, s)``; see `products`."""
    return frame.pair(scale, scale) if frame.is_full else scale.square()


def products(position: Tensor, scale: Tensor, degree: int, frame: Frame) -> Jet:
    """The basis of total degree p as a field with n components, at reference points ``(N, d)`` of [-1, 1]^d.

    scale: ``(N, d)``, the derivatives of the reference coordinates by the coordinates, 2/h for a side h.
    """
    d, level = position.shape[1], frame.level
    order = frame.order
    which = torch.as_tensor(exponents(d, degree), device=position.device)
    axes = [
        [
            part.index_select(1, which[:, k]) * scale[:, k, None] ** i
            for i, part in enumerate(legendre(position[:, k], degree, order))
        ]
        for k in range(d)
    ]

    def product(*orders: int) -> Tensor:
        """The product of the factors, each differentiated as often as said."""
        value = axes[0][orders[0]]
        for k in range(1, d):
            value = value * axes[k][orders[k]]
        return value

    def along(*columns: int) -> Tensor:
        return product(*(columns.count(k) for k in range(d)))

    gradient = None if order < 1 else torch.stack([along(k) for k in range(d)], dim=-1)
    second = None
    if frame.is_full:
        second = torch.stack([along(i, j) for i, j in zip(*frame.packed, strict=True)], dim=-1)
    elif level is Derivatives.DIAGONAL:
        second = torch.stack([along(k, k) for k in range(d)], dim=-1)
    elif level is Derivatives.SUMMED:
        second = sum((along(k, k) for k in frame.space), start=torch.zeros_like(product(*[0] * d)))[..., None]
    higher = torch.stack([along(*index) for index in frame.higher], dim=-1) if frame.higher else None
    return Jet(frame, product(*[0] * d), gradient, second, higher=higher)
