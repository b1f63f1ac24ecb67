"""Whether an expression is zero: numerically to many digits, and symbolically by rewriting it.

Every rewriting is applied to expressions up to a size at which it takes about a second, so that none has to be interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import mpmath
import numpy as np
import sympy
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array

DIGITS = 40
MAX_TERMS = 4_000  # of an expression that is multiplied out
MAX_ZERO = 1e-25  # relative, at DIGITS digits: larger values are not zero
_CIRCULAR = (sympy.sin, sympy.cos, sympy.tan, sympy.sinh, sympy.cosh, sympy.tanh)


def values(expression: sympy.Expr, symbols: Sequence[sympy.Symbol], points: Sequence[Sequence[float]]) -> Array:
    """An expression ``(n,)`` at points, computed to DIGITS digits; nan where it is not finite or not real."""
    function = sympy.lambdify(list(symbols), expression, modules="mpmath", cse=True)
    with mpmath.workdps(DIGITS):
        return np.array([_real(function, point) for point in points])


def _real(function: Callable[..., mpmath.mpf], point: Sequence[float]) -> float:
    try:
        value = function(*map(mpmath.mpf, point))
    except (ZeroDivisionError, ValueError, OverflowError):
        return math.nan
    if abs(mpmath.im(value)) > MAX_ZERO * (1 + abs(mpmath.re(value))):
        return math.nan
    return float(mpmath.re(value))


def vanishes(expression: sympy.Expr) -> bool:
    """Whether one of the rewritings gives zero; False may also mean that none decides."""
    if expression == 0:
        return True
    for max_operations, rewrite in _STEPS:
        if expression.count_ops() > max_operations:
            continue
        try:
            if rewrite(expression) == 0:
                return True
        except (ValueError, TypeError, NotImplementedError, ZeroDivisionError, sympy.PolynomialError):
            continue  # the rewriting is not defined for a function
    return False


def _length(expression: sympy.Expr) -> float:
    """An upper bound of the number of terms after multiplying out."""
    if expression.is_Add:
        return sum(map(_length, expression.args))
    if expression.is_Mul:
        return math.prod(map(_length, expression.args))
    if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        k, n = _length(expression.base), int(expression.exp)
        return math.comb(int(k) + n - 1, n) if k + n < 1_000 else math.inf
    return max(map(_length, expression.args), default=1.0)


def _expanded(expression: sympy.Expr) -> sympy.Expr:
    """The expression multiplied out. Raises ValueError for more than MAX_TERMS terms."""
    if _length(expression) > MAX_TERMS:
        raise ValueError("too long")
    return sympy.expand(expression)


def _numerator(expression: sympy.Expr) -> sympy.Expr:
    return _expanded(sympy.fraction(sympy.together(expression))[0])


def _algebraic(expression: sympy.Expr) -> sympy.Expr:
    """The numerator as a polynomial in exponentials and roots, with the n-th powers of n-th roots replaced."""
    rational, roots = _rooted(expression.rewrite(_CIRCULAR, sympy.exp))
    left = _numerator(rational)
    for root, base, n in reversed(roots):
        base_up, base_down = sympy.fraction(sympy.together(base))
        polynomial = sympy.Poly(left, root)
        top = polynomial.degree() // n
        terms = (
            factor * root ** (power % n) * base_up ** (power // n) * base_down ** (top - power // n)
            for (power,), factor in polynomial.terms()
        )
        left = _numerator(sympy.Add(*terms))
    return left


def _rooted(expression: sympy.Expr) -> tuple[sympy.Expr, list[tuple[sympy.Symbol, sympy.Expr, int]]]:
    """The expression with symbols for n-th roots of sums, and the symbols with their bases and n, inner ones first."""
    roots: list[tuple[sympy.Symbol, sympy.Expr, int]] = []
    while True:
        powers = [p for p in expression.atoms(sympy.Pow) if p.exp.is_Rational and not p.exp.is_Integer and not p.base.is_number]
        if not powers:
            return expression, roots
        base = min(powers, key=lambda p: (p.base.count_ops(), str(p.base))).base
        same = [p for p in powers if p.base == base]
        n = math.lcm(*(int(p.exp.q) for p in same))
        root = sympy.Dummy(positive=True)
        roots.append((root, base, n))
        expression = expression.xreplace({p: root ** (p.exp * n) for p in same})


def _logarithms(expression: sympy.Expr) -> sympy.Expr:
    joined = sympy.logcombine(_expanded(expression), force=True)
    return joined.replace(sympy.log, lambda a: sympy.log(sympy.radsimp(sympy.simplify(a))))


# the largest number of operations that a rewriting is applied to, and the rewriting, by cost
_STEPS: tuple[tuple[int, Callable[[sympy.Expr], sympy.Expr]], ...] = (
    (20_000, _expanded),
    (1_500, _algebraic),
    (500, lambda e: sympy.expand(e, trig=True)),
    (150, _logarithms),
    (150, lambda e: sympy.radsimp(_expanded(e))),
    (80, sympy.trigsimp),
    (80, sympy.simplify),
)


def branches(
    expression: sympy.Expr, symbols: Sequence[sympy.Symbol], points: Array
) -> Iterator[tuple[sympy.Expr, NDArray[np.bool_]]]:
    """The cases of an expression, each without conditions and with the points ``(n, d)`` where it holds, as a mask ``(n,)``."""
    expression = cased(expression)
    conditions = sorted({c for p in expression.atoms(sympy.Piecewise) for _, c in p.args if c != sympy.true}, key=str)
    if not conditions:
        yield expression, np.ones(len(points), dtype=bool)
        return
    function = sympy.lambdify(list(symbols), conditions, modules="math")
    truth = np.array([function(*point) for point in points.tolist()], dtype=bool)
    for row in np.unique(truth, axis=0):
        yield _decided(expression, dict(zip(conditions, row.tolist(), strict=True))), (truth == row).all(axis=1)


def cased(expression: sympy.Expr) -> sympy.Expr:
    """The expression with absolute values, signs, minima and maxima written as cases."""
    kinks = (sympy.Abs, sympy.sign, sympy.Min, sympy.Max)
    return expression.rewrite(kinks, sympy.Piecewise) if expression.has(*kinks) else expression


def _decided(expression: sympy.Expr, truth: Mapping[sympy.Basic, bool]) -> sympy.Expr:
    """The expression of the case in which the conditions have given truth values."""
    if isinstance(expression, sympy.Piecewise):
        for value, condition in expression.args:
            if condition == sympy.true or truth[condition]:
                return _decided(value, truth)
        return sympy.nan
    if not expression.has(sympy.Piecewise):
        return expression
    return expression.func(*(_decided(a, truth) for a in expression.args))
