"""Places where a formula is not finite, not real, or not smooth: at points, and between them at zeros of denominators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.optimize
import sympy

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array
from pdekan.symbolic.vanishing import cased, values

MAX_ZERO = 1e-8  # a minimum below this part of the largest value is a zero
STEPS = (1e-1, 1e-3, 1e-5)  # distances from a zero at which the formula is evaluated, relative to that of the nearest point
CASE_DISTANCE = 1e-10  # of the evaluation of two cases from the place where they meet, relative to the domain's size
MAX_JUMP = 1e-6  # of values and slopes of two cases, relative
MAX_CROSSINGS = 5  # that are examined for each expression


def singular(expression: sympy.Expr, symbols: Sequence[sympy.Symbol], domain: Domain, points: Array) -> Array | None:
    """A place ``(d,)`` where the expression has no finite, real limit, or None where none is found.

    points: ``(n, d)``, dense in the domain. Places between them are looked for where a denominator or the argument of a
    logarithm changes sign, or has a minimum of zero: the formula is evaluated at points that approach it.
    """
    scale = np.abs(_at(expression, symbols, points))
    if not np.isfinite(scale).all():
        return np.asarray(points[~np.isfinite(scale)][0])
    for base in _risky(expression):
        for zero, beside in _zeros(base, symbols, domain, points):
            approach = values(expression, symbols, [(zero + step * (beside - zero)).tolist() for step in STEPS])
            before, after = np.abs(np.diff(approach))
            if not after <= 0.5 * before + 1e-12 * scale.max():
                return zero
    return None


def kink(expression: sympy.Expr, symbols: Sequence[sympy.Symbol], domain: Domain, points: Array) -> Array | None:
    """A place ``(d,)`` where two cases of the expression meet, and it or its slope jumps; None where none is found."""
    parts = cased(expression)
    conditions = {c for p in parts.atoms(sympy.Piecewise) for _, c in p.args}
    relations = {r for c in conditions for r in c.atoms(sympy.core.relational.Relational)}
    size = domain.size
    derivatives = [parts, *(parts.diff(s) for s in symbols)]
    for relation in sorted(relations, key=str):
        for zero, beside in _crossings(relation.lhs - relation.rhs, symbols, points):
            along = (beside - zero) / np.linalg.norm(beside - zero) * CASE_DISTANCE * size
            sides = np.array([values(one, symbols, np.array([zero + along, zero - along]).tolist()) for one in derivatives])
            if not (np.abs(np.diff(sides)) <= MAX_JUMP * (1.0 + np.abs(sides).max())).all():
                return zero
    return None


def _at(expression: sympy.Expr, symbols: Sequence[sympy.Symbol], points: Array) -> Array:
    """Values ``(n,)`` in float64; nan where they are not real."""
    function = sympy.lambdify(list(symbols), expression, modules=["scipy", "numpy"], cse=True)
    with np.errstate(all="ignore"):
        result = np.broadcast_to(function(*points.T), len(points))
    if not np.iscomplexobj(result):
        return result
    return np.where(np.abs(result.imag) <= 1e-12 * np.abs(result), result.real, np.nan)


def _risky(expression: sympy.Expr) -> Iterator[sympy.Expr]:
    """Denominators, arguments of logarithms and the like, at whose zeros the formula may be singular."""
    for power in sorted(expression.atoms(sympy.Pow), key=str):
        if not power.base.is_number and (power.exp.is_negative or not power.exp.is_number):
            yield power.base
    yield from (log.args[0] for log in sorted(expression.atoms(sympy.log), key=str))
    yield from (sympy.cos(tan.args[0]) for tan in sorted(expression.atoms(sympy.tan), key=str))


def _zeros(base: sympy.Expr, symbols: Sequence[sympy.Symbol], domain: Domain, points: Array) -> Iterator[tuple[Array, Array]]:
    """Places where an expression vanishes, each with the nearest of the points."""
    crossings = list(_crossings(base, symbols, points))
    if crossings:
        yield from crossings
        return
    height = _at(base, symbols, points)
    if not np.isfinite(height).all():
        return
    sign, scale = np.sign(height.sum()), np.abs(height).max()

    def above_zero(place: Array) -> float:
        return float(np.nan_to_num(sign * _at(base, symbols, place[None])[0] / scale, nan=1.0))

    bounds = scipy.optimize.Bounds(np.array(domain.lower), np.array(domain.upper))
    lowest = scipy.optimize.minimize(above_zero, points[np.abs(height).argmin()], bounds=bounds, tol=1e-30)
    place = np.clip(lowest.x, domain.lower, domain.upper)
    if lowest.fun < MAX_ZERO and domain.contains(place[None])[0]:
        apart = np.linalg.norm(points - place, axis=1)
        apart[apart == 0.0] = np.inf
        yield place, points[apart.argmin()]


def _crossings(base: sympy.Expr, symbols: Sequence[sympy.Symbol], points: Array) -> Iterator[tuple[Array, Array]]:
    """Places between points where an expression changes sign, each with the nearer of the points."""
    height = _at(base, symbols, points)
    below, above = points[height < 0.0], points[height > 0.0]
    if not (len(below) and len(above)):
        return
    nearest = np.argsort(-height[height < 0.0])
    for k in nearest[:: max(1, len(nearest) // MAX_CROSSINGS)][:MAX_CROSSINGS]:
        a = below[k]
        b = above[np.linalg.norm(above - a, axis=1).argmin()]
        share = scipy.optimize.brentq(lambda s, a=a, b=b: float(_at(base, symbols, (a + s * (b - a))[None])[0]), 0.0, 1.0)
        zero = a + share * (b - a)
        yield zero, a if share > 0.5 else b
