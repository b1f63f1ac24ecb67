"""Numbers as closed forms: p/q times 1, π, π², √n, e, … where a match cannot be chance.

Candidates have a length in bits, that of a description: log₂ of numerator and denominator, a little for where these end, and
a few for the factor. A number known to a relative uncertainty ε has -log₂ ε bits. At most 2ᵇ candidates are as short as b bits,
each as wide as ε: a random number meets one of at most -log₂ ε - m bits with a probability of about 2⁻ᵐ.
Source: Rissanen, Modeling by shortest data description, Automatica 14 (1978) 465-471.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial

import sympy

MARGIN = 10.0  # bits; of random numbers with 4 to 14 digits fewer than one in 3000 is then taken for a closed form
SIMPLE = 24.0  # bits: what takes more is no closed form, however well it fits
ROUND_OFF = 2.0**-50  # relative: no number in double precision is known any better
FACTORS: tuple[tuple[float, sympy.Expr], ...] = (
    (0.0, sympy.Integer(1)),
    (2.0, sympy.pi),
    (3.0, sympy.pi**2),
    (3.0, 1 / sympy.pi),
    (4.0, sympy.pi**-2),
    (5.0, sympy.pi**3),
    (5.0, sympy.pi**4),
    (4.0, sympy.sqrt(sympy.pi)),
    (4.0, 1 / sympy.sqrt(sympy.pi)),
    (5.0, sympy.sqrt(2) / sympy.sqrt(sympy.pi)),
    (5.0, sympy.sqrt(2) * sympy.pi),
    (5.0, sympy.sqrt(2) / sympy.pi),
    (4.0, sympy.E),
    (5.0, sympy.exp(-1)),
    (5.0, sympy.log(2)),
    (6.0, sympy.log(3)),
    *((2.0 + math.log2(n), sympy.sqrt(n)) for n in (2, 3, 5, 6, 7, 10)),
)
VALUES = tuple(float(factor) for _, factor in FACTORS)


def recognise(value: float, uncertainty: float) -> sympy.Expr | None:
    """The simplest closed form within `uncertainty` of a number, or None where that may be chance.

    uncertainty: how far the number may be from the true one, in its units; with a standard error σ take 3σ. A number that is
    not larger than its uncertainty is zero. Raises ValueError for what is not finite, and for a negative uncertainty.
    """
    if not (math.isfinite(value) and math.isfinite(uncertainty) and uncertainty >= 0.0):
        raise ValueError(f"{value} ± {uncertainty}: a finite number and how far it may be off are needed")
    if abs(value) <= uncertainty:
        return sympy.Integer(0)
    off = max(uncertainty, ROUND_OFF * abs(value))
    known = -math.log2(off / abs(value)) - MARGIN
    bits, form = min(_candidates(abs(value), off), key=lambda candidate: candidate[0])
    if bits > min(known, SIMPLE):
        return None
    return form() if value > 0.0 else -form()


def recognised(values: Mapping[sympy.Symbol, float], errors: Mapping[sympy.Symbol, float]) -> dict[sympy.Symbol, sympy.Expr]:
    """What to substitute for symbols that stand for numbers with standard errors: closed forms, or the numbers themselves."""
    found = {}
    for symbol, value in values.items():
        form = recognise(value, 3.0 * errors[symbol])
        found[symbol] = sympy.Float(value) if form is None else form
    return found


def _candidates(value: float, off: float) -> Iterator[tuple[float, Callable[[], sympy.Expr]]]:
    """For every factor the simplest multiple within the uncertainty, a root and the shortest decimal; first their bits."""
    low, high = value - off, value + off
    for (bits, factor), size in zip(FACTORS, VALUES, strict=True):
        p, q = _simplest((low / size).as_integer_ratio(), (high / size).as_integer_ratio())
        yield bits + _bits(p * q), partial(_multiple, p, q, factor)
    if low > 0.0:
        p, q = _simplest((low * low).as_integer_ratio(), (high * high).as_integer_ratio())
        yield 3.0 + _bits(p * q), partial(sympy.sqrt, sympy.Rational(p, q))
    digits, places = _decimal(value, off)
    exact = Fraction(digits) * Fraction(10) ** -places
    yield _bits(digits) + 1.0 + abs(places), partial(sympy.Rational, exact.numerator, exact.denominator)


def _multiple(p: int, q: int, factor: sympy.Expr) -> sympy.Expr:
    return sympy.Rational(p, q) * factor


def _bits(n: int) -> float:
    """The length of a whole number's description: log₂ n, and where it ends."""
    length = math.log2(n)
    return length + math.log2(1.0 + length)


def _simplest(low: tuple[int, int], high: tuple[int, int]) -> tuple[int, int]:
    """The fraction with the smallest denominator between two positive ones, by their continued fractions.

    Source: Graham, Knuth, Patashnik, Concrete Mathematics, 2nd ed., section 4.5 (the Stern-Brocot tree).
    """
    (a, b), (c, d) = low, high
    whole = max(1, -(-a // b))
    if whole * d <= c:
        return whole, 1
    below = a // b
    p, q = _simplest((d, c - below * d), (b, a - below * b))
    return below * p + q, p


def _decimal(value: float, off: float) -> tuple[int, int]:
    """Digits and decimal places of the shortest decimal within the uncertainty; places are negative for 1000, say."""
    places = -math.floor(math.log10(value))
    while True:
        digits = round(Fraction(value) * Fraction(10) ** places)
        if abs(digits * Fraction(10) ** -places - Fraction(value)) <= off:
            return digits, places
        places += 1
