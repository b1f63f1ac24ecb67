"""Taylor models: functions on many cells, each enclosed by a polynomial and a bound of what is left.

On every cell, t ∈ [-1, 1]^d, a function f has |f(t) - Σ_a p_a t^a| ≤ ρ, with total degrees |a| up to an order n. Sums, products
and compositions of enclosed functions are enclosed; ρ takes what is truncated, and round-off (Makino and Berz, Int. J. Pure
Appl. Math. 4 (2003) 379-456). Round-off of sums is bounded by Higham, Accuracy and Stability of Numerical Algorithms, 2002,
eq. 3.5; values of elementary functions are assumed to be right to ULPS units in the last place.

Taylor models answer to the functions of tensors that jets are made of, so that formulas and operators act on jets of them.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

EPS = 2.0**-53
ULPS = 4.0
INFLATE = 1.0 + 2.0**-40  # what bounds are multiplied by, as they are computed with round-off themselves
TINY = 1e-300  # of results that underflow


class NotEnclosed(ValueError):  # noqa: N818 - reads as what it is
    """A function that Taylor models do not enclose; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Monomials:
    """t^a in d variables of total degree |a| ≤ n, by degree.

    exponents: ``(M, d)``. first: where each degree begins, and M ``(n + 2,)``. products: for each a, the places of a + b for
    the first b. spread: ``(n + 1, n + 1)``, by degrees of the factors, how much of the product of their norms counts as error.
    gram: ∫ t^a t^b over the cell ``(M, M)``.
    """

    order: int
    exponents: Tensor
    first: tuple[int, ...]
    products: tuple[Tensor, ...]
    spread: Tensor
    gram: Tensor

    def norms(self, polynomial: Tensor) -> Tensor:
        """Σ |p_a| by degree ``(n + 1, …)`` of coefficients ``(M, …)``."""
        size = polynomial.abs()
        return torch.stack([size[a:b].sum(0) for a, b in itertools.pairwise(self.first)])


@functools.cache
def monomials(dimension: int, order: int) -> Monomials:
    """Those of a number of variables and an order."""
    every = sorted(
        (a for a in itertools.product(range(order + 1), repeat=dimension) if sum(a) <= order), key=lambda a: (sum(a), a)
    )
    place = {a: k for k, a in enumerate(every)}
    first = [sum(sum(a) < degree for a in every) for degree in range(order + 2)]
    products, counts = [], [0] * len(every)
    for a in every:
        sums = [place[tuple(map(operator.add, a, b))] for b in every[: first[order - sum(a) + 1]]]
        products.append(torch.tensor(sums))
        for k in sums:
            counts[k] += 1
    terms = [max(counts[a:b]) for a, b in itertools.pairwise(first)]
    spread = [[EPS * (terms[i + j] + 1) if i + j <= order else 1.0 for j in range(order + 1)] for i in range(order + 1)]
    exponents = torch.tensor(every)
    total = exponents[:, None] + exponents[None]
    gram = torch.where(total % 2 == 0, 2.0 / (total + 1.0), 0.0).prod(-1).double()
    return Monomials(order, exponents, tuple(first), tuple(products), torch.tensor(spread).double(), gram)


class TaylorModels:
    """An array of Taylor models of any shape: coefficients ``(M, …)`` and bounds of what is left ``(…)``."""

    __array_priority__ = 1000
    dtype, device = torch.float64, torch.device("cpu")

    def __init__(self, basis: Monomials, polynomial: Tensor, rest: Tensor) -> None:
        self.basis, self.polynomial, self.rest = basis, polynomial, rest

    @classmethod
    def coordinates(cls, basis: Monomials, centers: Tensor, halves: Tensor) -> TaylorModels:
        """The coordinates c + h t of cells with centers and half widths ``(n, d)``, which are right to round-off."""
        polynomial = centers.new_zeros(len(basis.exponents), *centers.shape)
        polynomial[0] = centers
        for k in range(centers.shape[1]):
            unit = int((basis.exponents[: basis.first[2], k] == 1).nonzero()[0, 0])
            polynomial[unit, :, k] = halves[:, k]
        return cls(basis, polynomial, 4.0 * EPS * (centers.abs() + halves.abs()))

    @property
    def shape(self) -> torch.Size:
        """That of the array of functions."""
        return self.rest.shape

    @property
    def ndim(self) -> int:
        """The number of axes of the array."""
        return self.rest.ndim

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, key: Any) -> TaylorModels:
        whole = (slice(None), *key) if isinstance(key, tuple) else (slice(None), key)
        return TaylorModels(self.basis, self.polynomial[whole], self.rest[key])

    def expand(self, *shape: Any) -> TaylorModels:
        """Repeated to a shape."""
        polynomial = torch.stack([one.expand(*shape) for one in self.polynomial])
        return TaylorModels(self.basis, polynomial, self.rest.expand(*shape))

    def new_zeros(self, *shape: Any) -> Tensor:
        """Numbers that are zero."""
        return self.rest.new_zeros(*shape)

    def new_full(self, *shape: Any) -> Tensor:
        """Equal numbers."""
        return self.rest.new_full(*shape)

    def sum(self, dim: int, keepdim: bool = False) -> TaylorModels:
        """The sum over an axis."""
        axis = dim % self.ndim
        rest = self.rest.sum(axis, keepdim) + EPS * self.rest.shape[axis] * self.polynomial.abs().sum(0).sum(axis, keepdim)
        return TaylorModels(self.basis, self.polynomial.sum(axis + 1, keepdim), INFLATE * rest)

    @property
    def size(self) -> Tensor:
        """A bound of the absolute value."""
        return INFLATE * (self.polynomial.abs().sum(0) + self.rest)

    @property
    def varies(self) -> Tensor:
        """A bound of the distance from the value of the polynomial's constant."""
        return INFLATE * (self.polynomial[1:].abs().sum(0) + self.rest)

    @property
    def least(self) -> Tensor:
        """A lower bound of the values."""
        return self.polynomial[0] - self.varies - 2.0 * EPS * self.polynomial[0].abs()

    @property
    def largest(self) -> Tensor:
        """An upper bound of the values."""
        return -(-self).least

    def square_integral(self) -> Tensor:
        """An upper bound of ∫ f² over the cell in t."""
        volume = 2.0 ** self.basis.exponents.shape[1]
        square = torch.einsum("a...,ab,b...->...", self.polynomial, self.basis.gram, self.polynomial)
        slack = 4.0 * EPS * len(self.polynomial) * self.polynomial.abs().sum(0) ** 2 * volume
        return INFLATE * ((square.clamp_min(0.0) + slack).sqrt() + self.rest * math.sqrt(volume)) ** 2

    def product_integral(self, other: TaylorModels) -> tuple[Tensor, Tensor]:
        """∫ f g over the cell in t, and a bound of its error."""
        product = torch.einsum("a...,ab,b...->...", self.polynomial, self.basis.gram, other.polynomial)
        volume, sizes = 2.0 ** self.basis.exponents.shape[1], (self.polynomial.abs().sum(0), other.polynomial.abs().sum(0))
        slack = 4.0 * EPS * len(self.polynomial) * sizes[0] * sizes[1] + self.rest * other.size + sizes[0] * other.rest
        return product, INFLATE * slack * volume

    def __add__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        if isinstance(other, TaylorModels):
            polynomial = self.polynomial + other.polynomial
            return TaylorModels(self.basis, polynomial, INFLATE * (self.rest + other.rest) + EPS * polynomial.abs().sum(0))
        number = torch.as_tensor(other, dtype=torch.float64)
        shape = torch.broadcast_shapes(self.shape, number.shape)
        polynomial = self.polynomial.expand(-1, *shape).clone()
        polynomial[0] += number
        return TaylorModels(self.basis, polynomial, INFLATE * (self.rest + EPS * polynomial[0].abs()))

    def __neg__(self) -> TaylorModels:
        return TaylorModels(self.basis, -self.polynomial, self.rest)

    def __sub__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        return self + (-other)

    def __rsub__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        return -self + other

    def __mul__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        if not isinstance(other, TaylorModels):
            number = torch.as_tensor(other, dtype=torch.float64)
            polynomial, factor = self.polynomial * number, number.abs()
            return TaylorModels(self.basis, polynomial, INFLATE * (self.rest * factor + EPS * polynomial.abs().sum(0)))
        p, q, basis = self.polynomial, other.polynomial, self.basis
        shape = torch.broadcast_shapes(self.shape, other.shape)
        out = p.new_zeros(len(p), *shape)
        for one, places in zip(p, basis.products, strict=True):
            out.index_add_(0, places, (one * q[: len(places)]).expand(-1, *shape))
        norms, others = basis.norms(p), basis.norms(q)
        cross = torch.einsum("ij,i...,j...->...", basis.spread, norms, others)
        rest = cross + self.rest * others.sum(0) + (norms.sum(0) + self.rest) * other.rest
        return TaylorModels(basis, out, INFLATE * torch.where(rest > 0.0, rest + TINY, rest))

    def __truediv__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        if isinstance(other, TaylorModels):
            return self * other**-1.0
        number = torch.as_tensor(other, dtype=torch.float64)
        polynomial = self.polynomial / number
        return TaylorModels(self.basis, polynomial, INFLATE * (self.rest / number.abs() + EPS * polynomial.abs().sum(0)))

    def __rtruediv__(self, other: TaylorModels | Tensor | float) -> TaylorModels:
        return self**-1.0 * other

    def __pow__(self, exponent: float) -> TaylorModels:
        p = float(exponent)
        if p in (2.0, 3.0, 4.0):
            half = self * self if p != 3.0 else self
            return half if p == 2.0 else half * (half if p == 4.0 else half * half)
        return self._composed(_Power(p))

    __radd__ = __add__
    __rmul__ = __mul__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotEnclosed(f"a formula has {name}, which is not enclosed")

    def _refuse(self, *_: object) -> Any:
        raise NotEnclosed("a formula compares values, so that it may have kinks")

    __lt__ = __le__ = __gt__ = __ge__ = _refuse

    def _composed(self, function: _Elementary) -> TaylorModels:
        """f(c + δ) = Σ_k f_k(c) δ^k for k up to the order, and f_(n+1)(ξ) δ^(n+1) between."""
        c, radius, order = self.polynomial[0], self.varies, self.basis.order
        low, high = c - radius - 2.0 * EPS * c.abs(), c + radius + 2.0 * EPS * c.abs()
        terms, errors = function.terms(c, low, high, order)
        shifted = TaylorModels(self.basis, torch.cat([torch.zeros_like(c)[None], self.polynomial[1:]]), self.rest)
        total = shifted * 0.0 + terms[order]
        for term in reversed(terms[:order]):
            total = total * shifted + term
        error = sum(
            (one * radius**k for k, one in enumerate(errors)), start=function.last(low, high, order) * radius ** (order + 1)
        )
        return TaylorModels(self.basis, total.polynomial, INFLATE * (total.rest + error))

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """torch's functions of Taylor models."""
        name = getattr(func, "__name__", "").strip("_")
        if name in _OPERATIONS and not kwargs:
            return _OPERATIONS[name](*args)
        raise NotEnclosed(f"a formula has {name}(...), which is not enclosed")


@dataclass(frozen=True)
class _Elementary:
    """A function by its Taylor coefficients f_k = f^(k)/k!: at c with errors, and a bound of |f_(n+1)| between low and high."""

    coefficients: Callable[[Tensor, int], list[Tensor]]
    last: Callable[[Tensor, Tensor, int], Tensor]

    def terms(self, c: Tensor, low: Tensor, high: Tensor, order: int) -> tuple[list[Tensor], list[Tensor]]:
        found = self.coefficients(c, order)
        return found, [ULPS * (k + 2) * 2.0 * EPS * one.abs() for k, one in enumerate(found)]


def _exp(c: Tensor, order: int) -> list[Tensor]:
    return [torch.exp(c) / math.factorial(k) for k in range(order + 1)]


def _cycle(functions: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor, int], list[Tensor]]:
    def coefficients(c: Tensor, order: int) -> list[Tensor]:
        values = [function(c) for function in functions]
        return [values[k % len(values)] / math.factorial(k) for k in range(order + 1)]

    return coefficients


def _log(c: Tensor, order: int) -> list[Tensor]:
    return [torch.log(c), *((-1.0) ** (k - 1) / (k * c**k) for k in range(1, order + 1))]


def _last_of_log(low: Tensor, high: Tensor, order: int) -> Tensor:
    if not bool((low > 0.0).all()):
        raise NotEnclosed("a formula has the logarithm of what may be zero or negative")
    return low ** -(order + 1) / (order + 1)


class _Power(_Elementary):
    """x^p, by the binomial series."""

    def __init__(self, p: float) -> None:
        binomials = [1.0]
        for k in range(40):
            binomials.append(binomials[-1] * (p - k) / (k + 1))

        def last(low: Tensor, high: Tensor, order: int) -> Tensor:
            """Twice a bound of the coefficient of order + 1 in the series about any point between low and high."""
            n = order + 1
            if p >= 0.0 and p.is_integer() and n > p:
                return torch.zeros_like(low)
            if not p.is_integer() or p < 0.0:
                positive = (low > 0.0) | ((high < 0.0) & p.is_integer())
            else:
                positive = torch.ones_like(low, dtype=torch.bool)
            if not bool(positive.all()):
                raise NotEnclosed(f"a formula divides by what may be zero, or takes its power {p:g}")
            return 2.0 * abs(binomials[n]) * torch.maximum(low.abs() ** (p - n), high.abs() ** (p - n))

        def coefficients(c: Tensor, order: int) -> list[Tensor]:
            return [torch.zeros_like(c) if binomials[k] == 0.0 else binomials[k] * c ** (p - k) for k in range(order + 1)]

        super().__init__(coefficients, last)


def _by_factorial(bound: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    return lambda low, high, order: 1.01 * bound(low, high) / math.factorial(order + 1)


def _largest_cosh(low: Tensor, high: Tensor) -> Tensor:
    return torch.cosh(torch.maximum(low.abs(), high.abs()))


_SIN = _Elementary(
    _cycle([torch.sin, torch.cos, lambda x: -torch.sin(x), lambda x: -torch.cos(x)]),
    _by_factorial(lambda low, high: torch.ones_like(low)),
)
_COS = _Elementary(_cycle([torch.cos, lambda x: -torch.sin(x), lambda x: -torch.cos(x), torch.sin]), _SIN.last)
_SINH = _Elementary(_cycle([torch.sinh, torch.cosh]), _by_factorial(_largest_cosh))
_COSH = _Elementary(_cycle([torch.cosh, torch.sinh]), _by_factorial(_largest_cosh))
_EXP = _Elementary(_exp, _by_factorial(lambda low, high: torch.exp(high)))
_LOG = _Elementary(_log, _last_of_log)


def _of(function: _Elementary) -> Callable[[TaylorModels], TaylorModels]:
    return lambda x: x._composed(function)


def _stacked(parts: Sequence[Any], dim: int = 0) -> TaylorModels:
    """Taylor models and numbers of one shape along a new axis."""
    model = next(one for one in parts if isinstance(one, TaylorModels))
    models = [one if isinstance(one, TaylorModels) else model * 0.0 + one for one in parts]
    rest = torch.stack([one.rest for one in models], dim)
    return TaylorModels(model.basis, torch.stack([one.polynomial for one in models], dim + 1), rest)


def _summed(a: Operand, b: Operand) -> TaylorModels:
    return a + b if isinstance(a, TaylorModels) else cast("TaylorModels", b) + a


def _multiplied(a: Operand, b: Operand) -> TaylorModels:
    return a * b if isinstance(a, TaylorModels) else cast("TaylorModels", b) * a


Operand = TaylorModels | Tensor | float
# by torch's names, those of operators without underscores
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _summed, "sub": lambda a, b: _summed(a, -b), "mul": _multiplied, "neg": operator.neg,
    "div": lambda a, b: _multiplied(a, b**-1.0), "truediv": lambda a, b: _multiplied(a, b**-1.0),
    "zeros_like": lambda a: a.new_zeros(a.shape), "ones_like": lambda a: a.new_full(a.shape, 1.0), "stack": _stacked,
    "sin": _of(_SIN), "cos": _of(_COS), "exp": _of(_EXP), "sinh": _of(_SINH), "cosh": _of(_COSH), "log": _of(_LOG),
    "log10": lambda a: a._composed(_LOG) / math.log(10.0), "sqrt": lambda a: a**0.5,
    "tan": lambda a: a._composed(_SIN) / a._composed(_COS),
    "tanh": lambda a: 1.0 - 2.0 / (1.0 + (2.0 * a)._composed(_EXP)),
}  # fmt: skip
