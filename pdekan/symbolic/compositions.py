"""Compositions: a function of several variables as a function of a sum of functions of one, the network [d, 1, 1]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.polynomial.legendre import Legendre, legvander

from pdekan.domains.quadrature import Array
from pdekan.symbolic.sampling import Samples, gauss
from pdekan.symbolic.spans import FunctionSpan, X, members, multiple
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template, combination, evaluate
from pdekan.symbolic.unwrapping import IDENTITY, nested_member

SLOPE_DEGREE, OUTER_DEGREE = 12, 40  # of the polynomials for the inner derivatives and for the outer function
MAX_MISFIT = 1e-6  # relative: of the linear equations for inner derivatives, and of the polynomial for the outer function
NEGLIGIBLE_RANGE = 1e-6  # of an inner function, relative to the largest


def composed(samples: Samples, families: Sequence[Family] = FAMILIES, nested: bool = False) -> Iterator[Template]:
    """F(g_1(x_1) + … + g_d(x_d)), the network [d, 1, 1] of arXiv:2404.19756, figure 2.4.

    Its gradient is F' · (g_1', …, g_d'), so that ∂_1 u · g_j'(x_j) - ∂_j u · g_1'(x_1) = 0 for every j: linear equations for
    the derivatives of all g together, here polynomials; their solution is a singular vector.
    """
    if samples.dimension < 2:
        return
    points = samples.scattered()
    slopes = _inner_slopes(samples, points)
    if slopes is None:
        return
    parts: list[tuple[Template, float, Array]] = []
    for k, slope in enumerate(slopes):
        part = _inner(samples, k, slope, slopes, families)
        if part is None:
            return
        template, factor = part
        parts.append((template, factor, factor * evaluate(template.numeric, {samples.symbols[k]: points[:, k]})))
    largest = max(parts, key=lambda part: float(np.ptp(part[2])))[1]  # its factor is one: F has a scale of its own
    parts = [part for part in parts if part[1] != 0.0]
    functions, factors, columns = zip(*parts, strict=True)
    z = sum((column / largest for column in columns), start=np.zeros(len(points)))
    units = [k for k, factor in enumerate(factors) if factor == largest]
    inner = combination(functions, [factor / largest for factor in factors], units)
    outer = _outer(z, samples.value(points), samples.noise, families, nested)
    if outer is not None:
        expression = outer.expression.xreplace({X: inner.expression})
        yield Template(expression, {**inner.values, **outer.values})


def _inner(
    samples: Samples, k: int, slope: Legendre, slopes: Sequence[Legendre], families: Sequence[Family]
) -> tuple[Template, float] | None:
    """The inner function of coordinate k as a factor times a member of the library; factor 0 for a negligible one."""
    nodes, weights = samples.axis(k)
    unit = 2.0 * (nodes - samples.lower[k]) / (samples.upper[k] - samples.lower[k]) - 1.0
    g = slope.integ()(unit)
    coordinate = samples.symbols[k]
    if np.ptp(g) < NEGLIGIBLE_RANGE * max(float(np.ptp(one.integ()(unit))) for one in slopes):
        return Template(coordinate, {}), 0.0
    found = multiple(nodes, weights, g, max(100.0 * samples.noise, 1e-9), families, shifted=True)
    if found is None:
        return None
    one, factor, _ = found
    return Template(one.expression.xreplace({X: coordinate}), one.values), factor


def _inner_slopes(samples: Samples, points: Array) -> list[Legendre] | None:
    """The derivatives of the inner functions on [-1, 1], up to a common factor; None where there is no such structure."""
    gradient = samples.gradient(points)
    half = 0.5 * (samples.upper - samples.lower)
    unit = (points - samples.lower) / half - 1.0
    gradient = gradient * half
    gradient = gradient / np.linalg.norm(gradient, axis=1).max()
    count, d = SLOPE_DEGREE + 1, samples.dimension
    bases = [legvander(unit[:, k], SLOPE_DEGREE) for k in range(d)]
    blocks = []
    for j in range(1, d):
        block = np.zeros((len(points), d * count))
        block[:, :count] = -gradient[:, j, None] * bases[0]
        block[:, j * count : (j + 1) * count] = gradient[:, :1] * bases[j]
        blocks.append(block)
    matrix = np.concatenate(blocks) / math.sqrt(len(points))
    _, sizes, directions = np.linalg.svd(matrix, full_matrices=False)
    if sizes[-1] > max(MAX_MISFIT, 1e3 * samples.noise) * sizes[0]:
        return None
    return [Legendre(directions[-1][k * count : (k + 1) * count]) for k in range(d)]


def _outer(z: Array, u: Array, noise: float, families: Sequence[Family], nested: bool) -> Template | None:
    """F as a template in X, from scattered values u = F(z)."""
    low, high = float(z.min()), float(z.max())
    curve = Legendre.fit(z, u, OUTER_DEGREE, domain=[low, high])
    misfit = np.sqrt(np.mean((curve(z) - u) ** 2) / np.mean(u**2))
    if misfit > max(MAX_MISFIT, 1e3 * noise):
        return None
    nodes, weights = gauss(low, high)
    values = curve(nodes)
    noise = max(10.0 * noise, misfit)
    alone = FunctionSpan.of(nodes, weights, values[:, None], noise)
    functions = members(alone, families)
    if functions is None:
        both = np.column_stack([np.ones_like(values), values])
        functions = members(FunctionSpan.of(nodes, weights, both, noise), families)
    if functions is None and nested:
        functions = nested_member(alone, families)
    return None if functions is None else IDENTITY.fit(functions, nodes, values)
