"""Spans of functions of one variable, and the members of the library's families in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy
from scipy.optimize import least_squares
from sympy import Expr

from pdekan.domains.quadrature import Array
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template, constant, evaluate

X = sympy.Symbol("x", real=True)

# Sines are of the angle between a function and the span. A function is a candidate up to the larger of MAX_SINE and
# NOISE_FACTOR times the sine that noise explains.
MAX_SINE, NOISE_FACTOR = 1e-7, 10.0
STARTS, MAX_START_SINE = 4, 0.5  # of the grid of a family, from which the sine is minimised
SHORT_MINIMISATION, LONG_MINIMISATION = 8, 40  # evaluations for each unknown: from each start, and from the best result
MAX_SHORT_SINE = 1e-2  # after a short minimisation, for a long one
SIMPLER = 30.0  # ratio of sines up to which the simpler of two functions is preferred
NEGLIGIBLE = 1e-7  # relative size of a part of a member that is left out
MAX_CANCELLATION = 30.0  # length of a member relative to its part orthogonal to the known functions
ROUND_OFF, DEPENDENT = 1e-12, 1e-2  # singular values below which columns, and their orthogonal parts, are dependent


@dataclass(frozen=True)
class FunctionSpan:
    """A space of functions by its values at points of an interval.

    points, weights: ``(n,)`` a quadrature rule. basis: ``(n, r)``, orthonormal in it after multiplication by √weights.
    noise: estimate of the angle between the space and the true one.
    """

    points: Array
    weights: Array
    basis: Array
    noise: float

    @classmethod
    def of(cls, points: Array, weights: Array, values: Array, noise: float) -> FunctionSpan:
        """The space that functions span, given by their values ``(n, r)``."""
        basis, _ = np.linalg.qr(np.sqrt(weights)[:, None] * values)
        return cls(points, weights, basis, noise)

    @property
    def rank(self) -> int:
        """The dimension of the span."""
        return int(self.basis.shape[1])


@dataclass(frozen=True)
class _Fit:
    """Members of a family in a span: constants θ, and coefficients ``(members, columns)`` of each.

    sine: of the angle between the first member and the span. allowed: the sine that noise explains.
    """

    family: Family
    theta: Array
    coefficients: Array
    sine: float
    allowed: float

    @property
    def cost(self) -> float:
        """The complexity of the simplest member."""
        return self.family.cost + float(np.count_nonzero(self.coefficients, axis=1).min()) - 1.0


def values_at(template: Template, x: Array) -> Array:
    """Values ``(n,)`` of a function of X at x."""
    return np.asarray(np.broadcast_to(evaluate(template.numeric, {X: x}), x.shape))


def members(span: FunctionSpan, families: Sequence[Family] = FAMILIES) -> list[Template] | None:
    """A basis of the span from functions of the library, of X; None where there is none.

    Step by step, the simplest family with a member in the span modulo the functions found before.
    """
    basis: list[Template] = []
    known = np.zeros((len(span.points), 0))
    while known.shape[1] < span.rank:
        fit = _best(span, known, families)
        if fit is None:
            return None
        for row in fit.coefficients[: span.rank - known.shape[1]]:
            template = _member(fit, row, span)
            column = np.sqrt(span.weights) * values_at(template, span.points)
            basis.append(template)
            known, _ = np.linalg.qr(np.column_stack([known, column / np.linalg.norm(column)]))
    return basis


def multiple(
    x: Array, weights: Array, values: Array, noise: float, families: Sequence[Family], shifted: bool
) -> tuple[Template, float, float] | None:
    """Values ``(n,)`` at x as factor · g + shift with a function g of the library; shift 0 where there is to be none."""
    one = np.ones_like(values)
    functions = members(
        FunctionSpan.of(x, weights, np.column_stack([one, values]) if shifted else values[:, None], noise), families
    )
    member = next((each for each in functions or () if X in each.expression.free_symbols), None)
    if member is None:
        return None
    column = evaluate(member.numeric, {X: x})
    columns = np.column_stack([column, one]) if shifted else column[:, None]
    factors = np.linalg.lstsq(columns, values, rcond=None)[0]
    return member, float(factors[0]), float(factors[1]) if shifted else 0.0


def _best(span: FunctionSpan, known: Array, families: Sequence[Family]) -> _Fit | None:
    """The simplest family with a member in the span, modulo known functions."""
    left = span.basis - known @ (known.T @ span.basis)
    basis, sizes, _ = np.linalg.svd(left, full_matrices=False)
    free = span.rank - known.shape[1]
    noise = span.noise / max(float(sizes[free - 1]), 1e-12)
    fits: list[_Fit] = []
    for family in sorted(families, key=lambda one: one.cost):
        if any(fit.sine <= fit.allowed and fit.cost <= family.cost for fit in fits):
            break
        fit = _fitted(family, span, known, basis[:, :free], noise)
        if fit is not None:
            fits.append(fit)
    good = min((fit.sine for fit in fits), default=0.0)
    return min((fit for fit in fits if fit.sine <= max(SIMPLER * good, fit.allowed)), key=lambda fit: fit.cost, default=None)


def _columns(family: Family, span: FunctionSpan, thetas: Array) -> Array:
    """Values ``(g, n, m)`` of a family's functions for several θ ``(g, ·)``, times √weights; nan where not defined."""
    names = sympy.symbols(f"t0:{thetas.shape[1]}", real=True)
    environment = {X: span.points} | {name: thetas[:, k, None] for k, name in enumerate(names)}
    shape = (len(thetas), len(span.points))
    with np.errstate(all="ignore"):
        values = [np.broadcast_to(evaluate(g, environment), shape) for g in family.columns(X, *names)]
    return cast("Array", np.stack(values, axis=2) * np.sqrt(span.weights)[:, None])


def _angles(columns: Array, known: Array, basis: Array) -> tuple[Array, Array]:
    """Sines ``(g, m)``, ascending, of the principal angles between a family and the span, and coefficients ``(g, m, m)``.

    Modulo the known functions; the last axis of the coefficients is that of the columns. The sine of a direction in the span of
    the known functions is infinite.
    """
    lengths = np.linalg.norm(columns, axis=1, keepdims=True)
    lengths = np.where(lengths > 0.0, lengths, np.inf)
    own, inverse = _orthonormal(columns / lengths, ROUND_OFF)
    rest, turned = _orthonormal(own - known @ (known.T @ own), DEPENDENT)
    inverse = turned @ inverse / lengths
    far = rest - basis @ (basis.T @ rest)
    if columns.shape[2] == 1:
        sines, directions = np.linalg.norm(far, axis=1), np.ones((len(columns), 1, 1))
    else:
        _, sines, directions = np.linalg.svd(far, full_matrices=False)
    there = np.linalg.norm(rest, axis=1) > 0.5
    sines = np.where(np.einsum("gki,gi->gk", directions**2, there) > 0.5, sines, np.inf)
    order = np.argsort(sines, axis=1)
    return np.take_along_axis(sines, order, 1), np.take_along_axis(directions @ inverse, order[:, :, None], 1)


def _orthonormal(columns: Array, least: float) -> tuple[Array, Array]:
    """Orthonormal columns ``(g, n, m)``, and the rows ``(g, m, m)`` of their coefficients; zero for those below `least`."""
    if columns.shape[2] == 1:
        q, s, vt = columns, np.linalg.norm(columns, axis=1), np.ones((len(columns), 1, 1))
        q = q / np.where(s > 0.0, s, 1.0)[:, None]
    else:
        q, s, vt = np.linalg.svd(columns, full_matrices=False)
    there = s > least
    return np.where(there[:, None, :], q, 0.0), np.where(there, 1.0 / np.where(there, s, 1.0), 0.0)[:, :, None] * vt


def ranked(span: FunctionSpan, known: Array, families: Sequence[Family] = FAMILIES) -> list[tuple[str, float, Template]]:
    """Members of all families that are near to a span modulo known functions ``(n, k)``: name, sine and member.

    Those with sines up to the noise, or SIMPLER times the least one, come first, by cost; then the others, by sine.
    """
    known, _ = np.linalg.qr(np.sqrt(span.weights)[:, None] * known)
    left = span.basis - known @ (known.T @ span.basis)
    basis = np.linalg.svd(left, full_matrices=False)[0][:, : span.rank - known.shape[1]]
    fits = [_fitted(family, span, known, basis, span.noise, MAX_SHORT_SINE) for family in families]
    near = [fit for fit in fits if fit is not None]
    good = max(span.noise, SIMPLER * min((fit.sine for fit in near), default=0.0))
    near.sort(key=lambda fit: (max(good, fit.sine), fit.cost))
    return [(fit.family.name, fit.sine, _member(fit, fit.coefficients[0], span)) for fit in near]


def _fitted(
    family: Family, span: FunctionSpan, known: Array, basis: Array, noise: float, farthest: float | None = None
) -> _Fit | None:
    """The member of a family that is nearest to the span, if its sine is within what noise explains, or below `farthest`."""
    lower, upper = float(span.points[0]), float(span.points[-1])
    thetas = family.grid(lower, upper)
    columns = _columns(family, span, thetas)
    fine = np.isfinite(columns).all(axis=(1, 2)) & (np.abs(columns) < 1e100).all(axis=(1, 2))
    thetas, columns = thetas[fine], columns[fine]
    if not len(thetas):
        return None
    sines = _angles(columns, known, basis)[0][:, 0]
    best: tuple[float, Array] | None = None
    for start in _local_minima(sines, thetas) if thetas.shape[1] else [thetas[0]]:
        theta, sine = _minimised(family, span, known, basis, start, SHORT_MINIMISATION)
        if sine < (MAX_SHORT_SINE if best is None else best[0]):
            best = sine, theta
    if best is None:
        return None
    theta, sine = _minimised(family, span, known, basis, best[1], LONG_MINIMISATION)
    best = min(best, (sine, theta), key=lambda one: one[0])
    columns = _columns(family, span, best[1][None])
    sines, coefficients = _angles(columns, known, basis)
    length = float(np.linalg.norm(columns[0] @ coefficients[0, 0]))
    allowed = 3.0 * noise * max(1.0, length)
    if best[0] > (farthest or max(MAX_SINE, NOISE_FACTOR * allowed)) or length > MAX_CANCELLATION:
        return None
    inside = sines[0] <= max(SIMPLER * sines[0, 0], allowed)
    beyond = columns[0] - known @ (known.T @ columns[0])
    own = np.linalg.norm(beyond, axis=0) > NEGLIGIBLE * np.linalg.norm(columns[0], axis=0)
    rows = _reduced(coefficients[0][inside] * own, columns[0], max(NEGLIGIBLE, SIMPLER * best[0]))
    return _Fit(family, best[1], rows, best[0], allowed)


def _local_minima(sines: Array, thetas: Array) -> list[Array]:
    """The best starts, at distances from each other that suggest different minima."""
    chosen: list[int] = []
    span = np.ptp(thetas, axis=0) + 1e-300
    for k in np.argsort(sines):
        if not sines[k] < MAX_START_SINE or len(chosen) == STARTS:
            break
        if all(np.abs((thetas[k] - thetas[j]) / span).max() > 0.02 for j in chosen):
            chosen.append(int(k))
    return [thetas[k] for k in chosen]


def _minimised(
    family: Family, span: FunctionSpan, known: Array, basis: Array, start: Array, evaluations: int
) -> tuple[Array, float]:
    """θ of the least sine of the family's nearest member, and the sine there; inf where it is not defined."""

    def distance(theta: Array) -> Array:
        """The part of the member nearest to the span that is outside of it, relative to the member."""
        columns = _columns(family, span, theta[None])
        if not np.isfinite(columns).all():
            return np.full(len(span.points), 1e3)
        sines, coefficients = _angles(columns, known, basis)
        member = columns[0] @ coefficients[0, 0]
        member = member - known @ (known.T @ member)
        along = basis.T @ member
        far = member - basis @ along
        far = far * np.sign(along[np.argmax(np.abs(along))])  # the sign of a singular vector is arbitrary
        return np.asarray(far / max(np.linalg.norm(member), 1e-300) if np.isfinite(sines[0, 0]) else np.full(len(far), 1e3))

    theta = start
    if len(start):
        scale = np.maximum(np.abs(start), 1e-3)
        with np.errstate(all="ignore"):
            theta = least_squares(
                distance, start, method="lm", x_scale=scale, xtol=1e-14, ftol=1e-14, max_nfev=evaluations * (1 + len(start))
            ).x
    with np.errstate(all="ignore"):
        columns = _columns(family, span, theta[None])
        sine = float(_angles(columns, known, basis)[0][0, 0]) if np.isfinite(columns).all() else np.inf
    return theta, sine


def _reduced(coefficients: Array, columns: Array, small: float) -> Array:
    """Rows with the same span after elimination, by number of functions; parts below `small` are left out."""
    sizes = np.linalg.norm(columns, axis=0)
    rows = coefficients * sizes
    done, free = [], list(range(len(rows)))
    for column in range(rows.shape[1] if len(rows) > 1 else 0):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        pivot = max(free, key=lambda k: abs(rows[k, column]), default=None)
        if pivot is None or abs(rows[pivot, column]) < 1e-3:
            continue
        for k in range(len(rows)):
            if k != pivot:
                rows[k] -= rows[k, column] / rows[pivot, column] * rows[pivot]
        free.remove(pivot)
        done.append(pivot)
    rows = rows[done] if len(rows) > 1 else rows
    rows = np.where(np.abs(rows) > small * np.abs(rows).max(axis=1, keepdims=True), rows / sizes, 0.0)
    return np.asarray(rows[np.argsort(np.count_nonzero(rows, axis=1), kind="stable")])


def _member(fit: _Fit, row: Array, span: FunctionSpan) -> Template:
    """A member as a template whose largest part has the factor one."""
    theta = [constant(number) for number in fit.theta]
    values = {name: number for _, value in theta for name, number in value.items()}
    parts = fit.family.columns(X, *(name for name, _ in theta))
    sizes = np.linalg.norm(_columns(fit.family, span, fit.theta[None])[0], axis=0) * np.abs(row)
    largest = int(np.argmax(sizes))
    total: Expr = parts[largest]
    for k, part in enumerate(parts):
        if k == largest or row[k] == 0.0:
            continue
        name, value = constant(row[k] / row[largest])
        values |= value
        total = total + name * part
    return Template(total, {name: v for name, v in values.items() if name in total.free_symbols})
