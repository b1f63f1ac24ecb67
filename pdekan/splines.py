"""Uniform-knot B-splines on [-1, 1]: basis values and derivatives by span, knot refinement, least-squares fit.

With n intervals of width h = 2/n the knots are t_j = -1 + j h, j = -k … n + k, not clamped, and all n + k basis functions
are shifts of one cardinal B-spline (de Boor, A Practical Guide to Splines, 2001, ch. IX; Schoenberg 1969). On a span the
k + 1 functions that do not vanish are polynomials in the local coordinate, the same ones on every span, so a basis is one
small matrix product. Local coordinates are centred, u in [-1/2, 1/2], which keeps round-off small up to degree 12.

Beyond [-1, 1] a spline continues as its tangent: the function and its slope are continuous, all higher derivatives vanish.

Imports nothing of pdekan.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np
import torch
from torch import Tensor

MAX_DEGREE = 12


def check_sizes(degree: int, intervals: int) -> None:
    """Raises ValueError for a degree outside 1 … 12 and for no interval."""
    if not 1 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree {degree}: splines of degree 1 … {MAX_DEGREE} are known")
    if intervals < 1:
        raise ValueError(f"{intervals} intervals: at least one is needed")


def count(degree: int, intervals: int) -> int:
    """Dimension of the spline space: intervals + degree."""
    return intervals + degree


@functools.cache
def local_polynomials(degree: int) -> Tensor:
    """Coefficients ``(degree + 1, degree + 1)``: row p, column b is the factor of u^p in the b-th B-spline of a span.

    Built in exact rational arithmetic by the recursion of Cox and de Boor for cardinal B-splines,
    k M_k(s) = s M_{k-1}(s) + (k + 1 - s) M_{k-1}(s - 1)  (de Boor 2001, ch. IX, with s = b + v on the b-th piece).
    """
    pieces: list[list[Fraction]] = [[Fraction(1)]]  # piece b of M_k as a polynomial in v in [0, 1]
    for k in range(1, degree + 1):
        raised = []
        for b in range(k + 1):
            piece = [Fraction(0)] * (k + 1)
            left = pieces[b] if b < k else []
            right = pieces[b - 1] if b > 0 else []
            for p, c in enumerate(left):  # (b + v) M_{k-1} on piece b
                piece[p] += c * b / k
                piece[p + 1] += c / k
            for p, c in enumerate(right):  # (k + 1 - b - v) M_{k-1} on piece b - 1
                piece[p] += c * (k + 1 - b) / k
                piece[p + 1] -= c / k
            raised.append(piece)
        pieces = raised
    # v = u + 1/2; the first function of a span is at its last piece
    matrix = [[_shifted(pieces[degree - b], p) for b in range(degree + 1)] for p in range(degree + 1)]
    return torch.tensor([[float(entry) for entry in row] for row in matrix], dtype=torch.float64)


def _shifted(polynomial: list[Fraction], power: int) -> Fraction:
    """Coefficient of u^power in a polynomial of v = u + 1/2."""
    terms = range(power, len(polynomial))
    return sum((polynomial[q] * comb(q, power) * Fraction(1, 2) ** (q - power) for q in terms), Fraction(0))


# A multiplication of a matrix product takes so many times less than moving a number.
SPARSE = 64
# Numbers of all derivatives of a basis that a processor keeps at hand: up to here one product with all is the cheapest.
TOGETHER = 2**17


@dataclass(frozen=True)
class LocalBasis:
    """The degree + 1 basis functions that do not vanish at each point.

    index: their indices ``(..., degree + 1)``. pieces: their values and derivatives ``(..., degree + 1)``. count: of all
    functions.
    """

    index: Tensor
    pieces: list[Tensor]
    count: int

    def scatter(self, piece: Tensor) -> Tensor:
        """Numbers ``(..., degree + 1)`` of the local functions as those of all functions ``(..., count)``, zero elsewhere."""
        shape = piece.shape[:-1]
        index = self.index.expand(*shape, -1)
        return piece.new_zeros(*shape, self.count).scatter_(-1, index, piece)

    def combine(self, coefficients: Tensor) -> list[Tensor]:
        """Splines Σ_b c_iob B_b(x_i) and their derivatives ``(n, i, o)`` at x ``(n, i)``, for coefficients ``(i, o, b)``."""
        inputs, outputs, _ = coefficients.shape
        local = self.index.shape[-1]
        if outputs * local < self.count or self.count > SPARSE * local:  # gathering then moves and multiplies fewer numbers
            starts = torch.arange(inputs, device=self.index.device)[:, None, None]
            columns = torch.arange(outputs, device=self.index.device)[:, None]
            gathered = coefficients[starts, columns, self.index[:, :, None]]
            return [torch.einsum("nib,niob->nio", piece, gathered) for piece in self.pieces]
        if not torch.compiler.is_compiling() and self.index[..., 0].numel() * self.count * len(self.pieces) <= TOGETHER:
            return list(torch.einsum("pnib,iob->pnio", self.scatter(torch.stack(self.pieces)), coefficients))
        return [torch.einsum("nib,iob->nio", self.scatter(piece), coefficients) for piece in self.pieces]


def local_basis(x: Tensor, degree: int, intervals: int, derivatives: int = 0) -> LocalBasis:
    """The functions that do not vanish at points x of any shape ``(...)``, with derivatives 0 … derivatives.

    Differentiable by autograd in x. Derivatives are with respect to x. Raises ValueError for a degree outside 1 … 12, no
    interval, or more than five derivatives.
    """
    check_sizes(degree, intervals)
    if not 0 <= derivatives <= 5:
        raise ValueError(f"{derivatives} derivatives: 0 … 5 are known")
    inside = x.clamp(-1.0, 1.0)
    beyond = (x - inside)[..., None]
    scaled = (inside + 1.0) * (0.5 * intervals)
    span = scaled.detach().floor().clamp(0, intervals - 1).nan_to_num(0.0)  # nan stays nan, in the values
    local = (scaled - span - 0.5)[..., None]
    powers = torch.cat([torch.ones_like(local), _powers(local, degree)], dim=-1)
    orders = max(derivatives, 1) + 1
    pieces = list((powers @ _derivative_polynomials(degree, intervals, orders).to(x)).split(degree + 1, dim=-1))
    outside = beyond != 0.0
    if torch.compiler.is_compiling() or bool(outside.any()):  # a graph that is exported has no branches
        pieces[0] = pieces[0] + beyond * pieces[1]
        pieces[2:] = [torch.where(outside, 0.0, piece) for piece in pieces[2:]]
    index = span.long()[..., None] + torch.arange(degree + 1, device=x.device)
    return LocalBasis(index, pieces[: derivatives + 1], count(degree, intervals))


def _powers(local: Tensor, degree: int) -> Tensor:
    """u, u², … ``(..., degree)`` of numbers u ``(..., 1)``."""
    if not torch.compiler.is_compiling():
        return local.expand(*local.shape[:-1], degree).cumprod(-1)
    powers = [local]  # ONNX has no product along an axis
    while len(powers) < degree:
        powers.append(powers[-1] * local)
    return torch.cat(powers, dim=-1)


def basis(x: Tensor, degree: int, intervals: int, derivatives: int = 0) -> list[Tensor]:
    """All basis functions at points x of any shape ``(...)``: a list of ``(..., n)``, one a derivative 0 … derivatives.

    n = intervals + degree. See `local_basis`.
    """
    local = local_basis(x, degree, intervals, derivatives)
    return [local.scatter(piece) for piece in local.pieces]


@functools.cache
def _derivative_polynomials(degree: int, intervals: int, orders: int) -> Tensor:
    """The local polynomials and their derivatives by x side by side, ``(degree + 1, orders · (degree + 1))``."""
    matrix, columns = local_polynomials(degree), []
    exponents = torch.arange(1, degree + 1, dtype=torch.float64)[:, None]
    for _ in range(orders):
        columns.append(matrix)
        lowered = exponents * matrix[1:] * (0.5 * intervals)
        matrix = torch.cat([lowered, torch.zeros_like(matrix[:1])])
    return torch.cat(columns, dim=1)


DENSE = 256  # coefficients up to which singular values are cheap


def greville(degree: int, intervals: int) -> Tensor:
    """Greville abscissae ``(n,)``: the coefficients of the function x (de Boor 2001, ch. IX, eq. 48)."""
    j = torch.arange(count(degree, intervals), dtype=torch.float64)
    return -1.0 + (2.0 / intervals) * (j - (degree - 1) / 2.0)


def sample_points(degree: int, intervals: int) -> Tensor:
    """Points for fits ``(m,)``, more than coefficients: degree + 2 Chebyshev points of every interval."""
    m = degree + 2
    local = torch.cos(torch.pi * (2 * torch.arange(m, dtype=torch.float64) + 1) / (2 * m)).flip(0)
    starts = -1.0 + (2.0 / intervals) * torch.arange(intervals, dtype=torch.float64)
    return (starts[:, None] + (local + 1.0) / intervals).reshape(-1)


def fit(x: Tensor, y: Tensor, degree: int, intervals: int) -> Tensor:
    """Least-squares coefficients ``(n, ...)`` of data y ``(m, ...)`` at points x ``(m,)``; minimum norm where data are few."""
    design = basis(x, degree, intervals)[0]
    flat = torch.linalg.lstsq(design.cpu(), y.reshape(len(x), -1).cpu(), rcond=1e-14, driver="gelsd").solution
    coefficients: Tensor = flat.to(y).reshape(-1, *y.shape[1:])
    return coefficients


@functools.cache
def _refinement(degree: int, intervals: int, new_degree: int, new_intervals: int) -> Tensor:
    """The matrix ``(n_new, n_old)`` from old to new coefficients."""
    if new_degree == degree and new_intervals % intervals == 0:
        return _knot_insertion(degree, intervals, new_intervals // intervals)
    x = sample_points(max(degree, new_degree), max(intervals, new_intervals))
    design, values = basis(x, new_degree, new_intervals)[0], basis(x, degree, intervals)[0]
    if count(new_degree, new_intervals) <= DENSE:
        return fit(x, values, new_degree, new_intervals)
    matrix: Tensor = torch.linalg.lstsq(design, values, driver="gels").solution
    return matrix


def _knot_insertion(degree: int, intervals: int, ratio: int) -> Tensor:
    """Exact refinement: M_k(s) = ratio^-k Σ_j a_j M_k(ratio s - j), (Σ_j a_j z^j) = ((1 - z^ratio) / (1 - z))^(k + 1).

    Source: the two-scale relation of cardinal B-splines, de Boor 2001, ch. IX; Chui, An Introduction to Wavelets, eq. 4.3.
    """
    mask = np.ones(1)
    for _ in range(degree + 1):
        mask = np.convolve(mask, np.ones(ratio))
    weights = torch.as_tensor(mask / float(ratio) ** degree)
    # old function b starts at knot b - degree, which is fine knot ratio (b - degree); fine function i starts at i - degree
    fine, old = torch.arange(count(degree, ratio * intervals)), torch.arange(count(degree, intervals))
    j = fine[:, None] - degree - ratio * (old - degree)
    return torch.where((j >= 0) & (j < len(weights)), weights[j.clamp(0, len(weights) - 1)], 0.0)


def refine(coefficients: Tensor, degree: int, intervals: int, new_degree: int, new_intervals: int) -> Tensor:
    """Coefficients ``(n, ...)`` of the same function on another spline space ``(n_new, ...)``.

    Exact to round-off where the spaces are nested (the same degree, new_intervals a multiple of intervals); else the
    least-squares fit.
    """
    matrix = _refinement(degree, intervals, new_degree, new_intervals).to(coefficients)
    return torch.einsum("ab,b...->a...", matrix, coefficients)
