"""Products of truncated Taylor polynomials: derivatives above second order of products and compositions.

The derivatives ∂^α u, α in a set that has with α all that divide it, are Taylor coefficients times α!. Products truncated to
the set are

    (u v)_γ = Σ_{α + β = γ} (γ over α) u_α v_β,

and f(u) = Σ_k f^(k)(u₀) (u - u₀)^k / k! (Griewank and Walther, Evaluating Derivatives, 2nd ed., 2008, section 13.2).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_ORDER = 4  # of derivatives
ABOVE_FULL = 5
Index = tuple[int, ...]  # a derivative: the columns of the coordinates by which it is taken, in ascending order


def indices(dimension: int, lowest: int, highest: int) -> tuple[Index, ...]:
    """All derivatives of orders from lowest to highest."""
    orders = range(lowest, highest + 1)
    return tuple(one for order in orders for one in itertools.combinations_with_replacement(range(dimension), order))


def joined(a: Index, b: Index) -> Index:
    """The derivative by the coordinates of both."""
    return tuple(sorted(a + b))


def is_closed(higher: Iterable[Index]) -> bool:
    """Whether the set has, with every derivative, all of third and higher order that lead to it."""
    every = set(higher)
    return all(one[:k] + one[k + 1 :] in every for one in every if len(one) > 3 for k in range(len(one)))


class Higher(int):
    """The level above `jets.Derivatives.FULL`: all derivatives up to second order, and some of third and fourth, `indices`.

    These have with every derivative all of third order and more that lead to it, see `is_closed`.
    """

    indices: tuple[Index, ...]

    def __new__(cls, indices: Iterable[Index]) -> Higher:
        level = super().__new__(cls, ABOVE_FULL)
        level.indices = tuple(sorted(indices, key=lambda one: (len(one), one)))
        return level

    def __reduce__(self) -> tuple[type[Higher], tuple[tuple[Index, ...]]]:
        return Higher, (self.indices,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Higher) and self.indices == other.indices

    def __ne__(self, other: object) -> bool:  # int has its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self.indices)


def least(every: tuple[Index, ...], suffices: Callable[[tuple[Index, ...]], bool]) -> tuple[Index, ...]:
    """A closed subset of derivatives that suffices, of which no smaller closed subset does.

    suffices: true of a set where it is true of a subset. Derivatives by one coordinate are left out together first.
    """
    left = every
    columns = dict.fromkeys(k for one in every for k in one)
    groups = [{one for one in every if k in one} for k in columns] + [{one} for one in reversed(every)]
    for group in groups:
        fewer = tuple(one for one in left if one not in group)
        if len(fewer) < len(left) and is_closed(fewer) and suffices(fewer):
            left = fewer
    return left


@dataclass(frozen=True)
class Layout:
    """Derivatives side by side, the value first, then those of first and second order, then some higher ones.

    Flat fields are ``(..., m)``. first: the place of the first higher one. order: the highest.
    """

    places: dict[Index, int]
    first: int
    order: int

    @functools.cached_property
    def _table(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Places of α, β and α + β with the factor (α + β over α), for every product of two derivatives that is kept."""
        rows = []
        for a, b in itertools.product(list(self.places)[1:], repeat=2):
            c = joined(a, b)
            if c in self.places:
                binomial = math.prod(math.comb(c.count(k), a.count(k)) for k in set(c))
                rows.append((self.places[a], self.places[b], self.places[c], binomial))
        left, right, into, factors = zip(*rows, strict=True)
        return torch.tensor(left), torch.tensor(right), torch.tensor(into), torch.tensor(factors, dtype=torch.float64)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """The flat field of a product, from those of its factors."""
        of_value = torch.cat([torch.zeros_like(a[..., :1]), a[..., 1:]], dim=-1) * b[..., :1]
        return a[..., :1] * b + of_value + self._of_changes(a, b)

    def _of_changes(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of a - a₀ and b - b₀."""
        left, right, into, factors = (one.to(a.device) for one in self._table)
        terms = a[..., left] * b[..., right] * factors
        return terms.new_zeros(*terms.shape[:-1], len(self.places)).index_add(-1, into, terms)

    def pullback(self, cotangent: Tensor, factor: Tensor) -> Tensor:
        """Derivative ``(..., m)`` of ⟨cotangent, higher derivatives of factor · u⟩ by the flat u.

        cotangent: ``(..., h)``, of the higher derivatives. factor: flat.
        """
        left, right, into, factors = (one.to(factor.device) for one in self._table)
        higher = into >= self.first
        left, right, into, factors = left[higher], right[higher], into[higher] - self.first, factors[higher]
        terms = cotangent[..., into] * factor[..., left] * factors
        low = terms.new_zeros(*terms.shape[:-1], len(self.places)).index_add(-1, right, terms)
        value = (cotangent * factor[..., self.first :]).sum(-1, keepdim=True)
        own = cotangent * factor[..., :1]
        return torch.cat([value, low[..., 1 : self.first], low[..., self.first :] + own], dim=-1)

    def powers(self, u: Tensor) -> list[Tensor]:
        """(u - u₀)^k / k! for k = 1 … order as flat fields, of a flat u with value u₀."""
        change = torch.cat([torch.zeros_like(u[..., :1]), u[..., 1:]], dim=-1)
        found = [change]
        for k in range(2, self.order + 1):
            found.append(self._of_changes(found[-1], change) / k)
        return found

    def monomials(self, x: Tensor) -> Tensor:
        """Products ``(..., h)`` of numbers ``(..., d)``, one for each coordinate by which a higher derivative is taken."""
        higher = [one for one, place in self.places.items() if place >= self.first]
        return torch.stack([x[..., list(one)].prod(-1) for one in higher], dim=-1)


@functools.cache
def layout(dimension: int, higher: tuple[Index, ...]) -> Layout:
    """The layout of all derivatives up to second order, those of second order packed as a Hessian, and of `higher`."""
    low = indices(dimension, 0, 2)
    every = (*low, *higher)
    return Layout({one: k for k, one in enumerate(every)}, len(low), max(map(len, every)))
