"""Numbers as closed forms: p/q times 1, π, π², √n, e, … where a match is no coincidence.

Candidates have a description length in bits: log₂ of numerator and denominator, some bits for the ends of these, and some for
the factor. A number known to a relative uncertainty ε has -log₂ ε bits. At most 2ᵇ candidates are as short as b bits,
each as wide as ε: a random number meets one of at most -log₂ ε - m bits with a probability of about 2⁻ᵐ.
Source: Rissanen, Modeling by shortest data description, Automatica 14 (1978) 465-471.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import sympy

MARGIN_BITS = 10.0  # of random numbers with 4 to 14 digits fewer than one in 3000 is then taken for a closed form
MAX_BITS = 24.0  # of a closed form, however small the uncertainty
ROUND_OFF = 2.0**-50  # relative: the least uncertainty of a number in double precision
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
    """The simplest closed form within `uncertainty` of a number, or None where that may be a coincidence.

    uncertainty: largest distance of the number from the true one; with a standard error σ take 3σ. A number that is not larger
    than its uncertainty is zero. Raises ValueError for what is not finite, and for a negative uncertainty.
    """
    if not (math.isfinite(value) and math.isfinite(uncertainty) and uncertainty >= 0.0):
        raise ValueError(f"{value} ± {uncertainty}: a finite number and how far it may be off are needed")
    if abs(value) <= uncertainty:
        return sympy.Integer(0)
    off = max(uncertainty, ROUND_OFF * abs(value))
    known = -math.log2(off / abs(value)) - MARGIN_BITS
    bits, form = min(_candidates(abs(value), off), key=lambda candidate: candidate[0])
    if bits > min(known, MAX_BITS):
        return None
    return form() if value > 0.0 else -form()


def _candidates(value: float, off: float) -> Iterator[tuple[float, Callable[[], sympy.Expr]]]:
    """Lengths in bits and closed forms: the simplest multiple of every factor, a root, and the shortest decimal."""
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
    """The description length of an integer: log₂ n, and log₂ of the number of its bits."""
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
    """Digits and decimal places (negative for powers of ten) of the shortest decimal within the uncertainty."""
    places = -math.floor(math.log10(value))
    while True:
        digits = round(Fraction(value) * Fraction(10) ** places)
        if abs(digits * Fraction(10) ** -places - Fraction(value)) <= off:
            return digits, places
        places += 1
