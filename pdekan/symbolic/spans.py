"""Functions of one variable in a space of functions: which families of the library have members there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.optimize import least_squares
from sympy import Expr, Symbol

from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template, constant, evaluate

Array = NDArray[np.float64]
X = sympy.Symbol("x", real=True)

# Sine of the angle to the space from which on a function is no candidate: the larger of CLOSE and FAR times what noise makes.
CLOSE, FAR = 1e-7, 10.0
PROMISING = 0.5  # sine at a start that is worth a descent
ALIKE = 30.0  # a function whose part beyond the known ones is smaller than itself by this factor is none of its own
LOOSE = 30.0  # of two fits the simpler one is taken, unless the other is better by this factor
SMALL = 1e-7  # relative size of a function of a family that counts as none of it
BRIEFLY, THOROUGHLY = 8, 40  # steps of a descent from each start, and from the best of where these led
ROUGH = 1e-2  # sine after a brief descent that is worth a thorough one
REFINED = 4  # starts of a family, the best of its grid, from which a descent begins
ROUND_OFF = 1e-12
DEPENDENT = 1e-2  # part of a function beyond the known ones below which it is taken for one of them


@dataclass(frozen=True)
class Space:
    """A space of functions by its values at points of an interval.

    points, weights: ``(n,)`` a quadrature rule. basis: ``(n, r)``, orthonormal in it after multiplication by √weights.
    noise: about how far the space is from the true one, as an angle.
    """

    points: Array
    weights: Array
    basis: Array
    noise: float

    @classmethod
    def of(cls, points: Array, weights: Array, values: Array, noise: float) -> Space:
        """The space that functions span, given by their values ``(n, r)``."""
        basis, _ = np.linalg.qr(np.sqrt(weights)[:, None] * values)
        return cls(points, weights, basis, noise)

    @property
    def rank(self) -> int:
        """The dimension of the space."""
        return int(self.basis.shape[1])


@dataclass(frozen=True)
class _Fit:
    """Members of a family in the space: constants θ, and coefficients ``(members, columns)`` of each.

    sine: of the angle between the first member and the space. allowed: what noise alone may make of it.
    """

    family: Family
    theta: Array
    coefficients: Array
    sine: float
    allowed: float

    @property
    def cost(self) -> float:
        """How complicated the simplest member is."""
        return self.family.cost + float(np.count_nonzero(self.coefficients, axis=1).min()) - 1.0


def members(space: Space, families: Sequence[Family] = FAMILIES) -> list[Template] | None:
    """As many functions of X as the space has dimensions, which span it; None where the library has none.

    One family after the other is found, each time the simplest that fits, in the space modulo the functions that are known.
    """
    found: list[Template] = []
    known = np.zeros((len(space.points), 0))
    while known.shape[1] < space.rank:
        fit = _best(space, known, families)
        if fit is None:
            return None
        for row in fit.coefficients[: space.rank - known.shape[1]]:
            template = _member(fit, row, space)
            values = np.broadcast_to(evaluate(template.numeric, {X: space.points}), space.points.shape)
            column = np.sqrt(space.weights) * values
            found.append(template)
            known, _ = np.linalg.qr(np.column_stack([known, column / np.linalg.norm(column)]))
    return found


def _best(space: Space, known: Array, families: Sequence[Family]) -> _Fit | None:
    """The simplest family with a member in the space, modulo known functions."""
    left = space.basis - known @ (known.T @ space.basis)
    basis, sizes, _ = np.linalg.svd(left, full_matrices=False)
    free = space.rank - known.shape[1]
    noise = space.noise / max(float(sizes[free - 1]), 1e-12)
    fits: list[_Fit] = []
    for family in sorted(families, key=lambda one: one.cost):
        if any(fit.sine <= fit.allowed and fit.cost <= family.cost for fit in fits):
            break
        fit = _fitted(family, space, known, basis[:, :free], noise)
        if fit is not None:
            fits.append(fit)
    good = min((fit.sine for fit in fits), default=0.0)
    return min((fit for fit in fits if fit.sine <= max(LOOSE * good, fit.allowed)), key=lambda fit: fit.cost, default=None)


def _columns(family: Family, space: Space, thetas: Array) -> Array:
    """Values ``(g, n, m)`` of a family's functions for several θ ``(g, ·)``, times √weights; nan where not defined."""
    names = sympy.symbols(f"t0:{thetas.shape[1]}", real=True)
    environment = {X: space.points} | {name: thetas[:, k, None] for k, name in enumerate(names)}
    shape = (len(thetas), len(space.points))
    with np.errstate(all="ignore"):
        values = [np.broadcast_to(evaluate(g, environment), shape) for g in family.columns(X, *names)]
    return cast("Array", np.stack(values, axis=2) * np.sqrt(space.weights)[:, None])


def _apart(columns: Array, known: Array, basis: Array) -> tuple[Array, Array]:
    """Sines ``(g, m)``, ascending, and coefficients ``(g, m, m)`` of the directions that a family makes with the space.

    Modulo the known functions; the coefficients' last axis belongs to the columns. A direction that the known functions cover
    is infinitely far.
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
    """Orthonormal columns ``(g, n, m)`` and the matrices ``(g, m, m)`` whose rows make them, zero for those below `least`."""
    if columns.shape[2] == 1:
        q, s, vt = columns, np.linalg.norm(columns, axis=1), np.ones((len(columns), 1, 1))
        q = q / np.where(s > 0.0, s, 1.0)[:, None]
    else:
        q, s, vt = np.linalg.svd(columns, full_matrices=False)
    there = s > least
    return np.where(there[:, None, :], q, 0.0), np.where(there, 1.0 / np.where(there, s, 1.0), 0.0)[:, :, None] * vt


def ranked(space: Space, known: Array, families: Sequence[Family] = FAMILIES) -> list[tuple[str, float, Template]]:
    """Members of all families that are near to a space modulo known functions ``(n, k)``: name, sine and member.

    Those that are about as near as the nearest come first, the simplest of them foremost; then the others, by nearness.
    """
    known, _ = np.linalg.qr(np.sqrt(space.weights)[:, None] * known)
    left = space.basis - known @ (known.T @ space.basis)
    basis = np.linalg.svd(left, full_matrices=False)[0][:, : space.rank - known.shape[1]]
    fits = [_fitted(family, space, known, basis, space.noise, ROUGH) for family in families]
    near = [fit for fit in fits if fit is not None]
    good = LOOSE * min((fit.sine for fit in near), default=0.0)
    near.sort(key=lambda fit: (max(good, fit.sine), fit.cost))
    return [(fit.family.name, fit.sine, _member(fit, fit.coefficients[0], space)) for fit in near]


def _fitted(
    family: Family, space: Space, known: Array, basis: Array, noise: float, farthest: float | None = None
) -> _Fit | None:
    """The member of a family that is nearest to the space, no farther than noise may have made it, or than a given sine."""
    lower, upper = float(space.points[0]), float(space.points[-1])
    thetas = family.grid(lower, upper)
    columns = _columns(family, space, thetas)
    fine = np.isfinite(columns).all(axis=(1, 2)) & (np.abs(columns) < 1e100).all(axis=(1, 2))
    thetas, columns = thetas[fine], columns[fine]
    if not len(thetas):
        return None
    sines = _apart(columns, known, basis)[0][:, 0]
    best: tuple[float, Array] | None = None
    for start in _local_minima(sines, thetas) if thetas.shape[1] else [thetas[0]]:
        theta, sine = _descended(family, space, known, basis, start, BRIEFLY)
        if sine < (ROUGH if best is None else best[0]):
            best = sine, theta
    if best is None:
        return None
    theta, sine = _descended(family, space, known, basis, best[1], THOROUGHLY)
    best = min(best, (sine, theta), key=lambda one: one[0])
    columns = _columns(family, space, best[1][None])
    sines, coefficients = _apart(columns, known, basis)
    length = float(np.linalg.norm(columns[0] @ coefficients[0, 0]))
    allowed = 3.0 * noise * max(1.0, length)
    if best[0] > (farthest or max(CLOSE, FAR * allowed)) or length > ALIKE:
        return None
    inside = sines[0] <= max(LOOSE * sines[0, 0], allowed)
    beyond = columns[0] - known @ (known.T @ columns[0])
    own = np.linalg.norm(beyond, axis=0) > SMALL * np.linalg.norm(columns[0], axis=0)
    rows = _reduced(coefficients[0][inside] * own, columns[0], max(SMALL, LOOSE * best[0]))
    return _Fit(family, best[1], rows, best[0], allowed)


def _local_minima(sines: Array, thetas: Array) -> list[Array]:
    """The best starts, far enough from each other to be of different valleys."""
    chosen: list[int] = []
    span = np.ptp(thetas, axis=0) + 1e-300
    for k in np.argsort(sines):
        if not sines[k] < PROMISING or len(chosen) == REFINED:
            break
        if all(np.abs((thetas[k] - thetas[j]) / span).max() > 0.02 for j in chosen):
            chosen.append(int(k))
    return [thetas[k] for k in chosen]


def _descended(family: Family, space: Space, known: Array, basis: Array, start: Array, evaluations: int) -> tuple[Array, float]:
    """θ that brings the family's nearest member closest to the space, and the sine there; inf where it is not defined."""

    def distance(theta: Array) -> Array:
        columns = _columns(family, space, theta[None])
        if not np.isfinite(columns).all():
            return np.full(len(space.points), 1e3)
        sines, coefficients = _apart(columns, known, basis)
        member = columns[0] @ coefficients[0, 0]
        member = member - known @ (known.T @ member)
        along = basis.T @ member
        far = member - basis @ along
        far = far * np.sign(along[np.argmax(np.abs(along))])  # whose sign would else be left to chance
        return np.asarray(far / max(np.linalg.norm(member), 1e-300) if np.isfinite(sines[0, 0]) else np.full(len(far), 1e3))

    theta = start
    if len(start):
        scale = np.maximum(np.abs(start), 1e-3)
        with np.errstate(all="ignore"):
            theta = least_squares(
                distance, start, method="lm", x_scale=scale, xtol=1e-14, ftol=1e-14, max_nfev=evaluations * (1 + len(start))
            ).x
    with np.errstate(all="ignore"):
        columns = _columns(family, space, theta[None])
        sine = float(_apart(columns, known, basis)[0][0, 0]) if np.isfinite(columns).all() else np.inf
    return theta, sine


def _reduced(coefficients: Array, columns: Array, small: float) -> Array:
    """Rows that span the same, each with as few functions as elimination leaves it; parts below `small` are none."""
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


def _member(fit: _Fit, row: Array, space: Space) -> Template:
    """A member as a template whose largest part has the factor one."""
    values: dict[Symbol, float] = {}
    names = []
    for number in fit.theta:
        name, value = constant(number)
        names.append(name)
        values |= value
    parts = fit.family.columns(X, *names)
    sizes = np.linalg.norm(_columns(fit.family, space, fit.theta[None])[0], axis=0) * np.abs(row)
    largest = int(np.argmax(sizes))
    total: Expr = parts[largest]
    for k, part in enumerate(parts):
        if k == largest or row[k] == 0.0:
            continue
        name, value = constant(row[k] / row[largest])
        values |= value
        total = total + name * part
    return Template(total, {name: v for name, v in values.items() if name in total.free_symbols})
