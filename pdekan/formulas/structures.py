"""Structures: a function of several variables as sums and products of functions of one, or as a function of such a sum.

On a box, a function Σ_k c_k Π_i g_ki(x_i) has values along lines parallel to an axis that span a space of few dimensions,
whatever the lines (its multilinear rank; Kolda and Bader, SIAM Review 51 (2009) 455-500, section 4). The singular values of
those values show the dimension, and `spans.members` names functions that span the space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import sympy
from numpy.polynomial.legendre import Legendre, legvander
from numpy.typing import NDArray
from sympy import Expr, Symbol

from pdekan.formulas.sampling import Samples
from pdekan.formulas.spans import Space, X, members
from pdekan.formulas.symbols import FAMILIES, Family
from pdekan.formulas.templates import Template, constant, evaluate

Array = NDArray[np.float64]
Change = Callable[[Array], Array]

HALVED_DIMENSIONS = 3
CALM, HALVINGS = 1e-5, 3  # error of F⁻¹(u) with which the whole box is searched, and how often it may be halved else
HIGHEST_RANK = 4
GAP = 1e-3  # a singular value so far below the one before it may be the first of noise
MOST_TERMS = 400  # of the products of functions of one variable that are tried together
SLOPE_DEGREE, OUTER_DEGREE = 12, 40  # of the polynomials that stand for inner derivatives and for the outer function
STRUCTURED = 1e-6  # of singular values, the least to the largest: below it there is an inner sum
SMALL_PART = 1e-6  # of an inner sum that counts as none
INTERACTIONS = 2  # above MOST_TERMS, in how many variables a term may vary


@dataclass(frozen=True)
class Unwrapping:
    """An outer function F and its inverse: u = F(v) is searched for as v = F⁻¹(u)."""

    name: str
    inverse: Change
    forward: Callable[[Expr], Expr]

    def around(self, functions: Sequence[Template], factors: Array) -> Template:
        """F of a combination of functions, with no constant that a factor in front of F makes redundant."""
        largest = int(np.argmax(np.abs(factors)))
        total: Expr = sympy.Integer(0)
        constants: dict[Symbol, float] = {}
        for k, (one, factor) in enumerate(zip(functions, factors, strict=True)):
            if self.name.endswith("exp") and one.expression == 1:
                continue
            name, value = constant(factor / factors[largest] if self.name.startswith("power") else factor)
            if self.name.startswith("power") and k == largest:
                total, constants = total + one.expression, constants | dict(one.values)
            else:
                total, constants = total + name * one.expression, constants | dict(one.values) | value
        return Template(self.forward(total), constants)


def _same(u: Array) -> Array:
    return u


def _rational(power: float) -> Expr:
    return sympy.nsimplify(power, rational=True)


def _powers(power: float) -> Unwrapping:
    return Unwrapping(f"power {1 / power:.3g}", lambda u: u**power, lambda v: v ** (1 / _rational(power)))


def _logarithms(rate: float) -> Unwrapping:
    return Unwrapping(f"log/{rate:g}", lambda u: np.exp(rate * u), lambda v: sympy.log(v) / _rational(rate))


NOTHING = Unwrapping("itself", _same, lambda v: v)
UNWRAPPINGS: tuple[Unwrapping, ...] = (
    NOTHING,
    Unwrapping("exp", np.log, sympy.exp),
    Unwrapping("-exp", lambda u: np.log(-u), lambda v: -sympy.exp(v)),
    *(_powers(p) for p in (-1.0, 2.0, -2.0, -0.5, 0.5, 3.0, -3.0)),
    *(_logarithms(k) for k in (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)),
    Unwrapping("atan", np.tan, sympy.atan),
    Unwrapping("tanh", np.arctanh, sympy.tanh),
    Unwrapping("sin", np.arcsin, sympy.sin),
)


def separated(
    samples: Samples, families: Sequence[Family] = FAMILIES, unwrapping: Unwrapping = NOTHING, nested: bool = False
) -> Iterator[Template]:
    """Sums of products of functions of one variable, from few to many, for u or for F⁻¹(u); nested: of functions of them."""
    coordinates = [sympy.Symbol(name, real=True) for name in samples.coordinates]
    samples = _calmest(samples, unwrapping)
    with np.errstate(all="ignore"):
        lines = [samples.lines(k, unwrapping.inverse) for k in range(samples.dimension)]
    if not all(np.isfinite(one).all() for one in lines):
        return
    ranks = [_ranks(one) for one in lines]
    if not all(ranks):
        return
    tried = set()
    for attempt in range(max(len(one) for one in ranks)):
        chosen = tuple(one[min(attempt, len(one) - 1)] for one in ranks)
        if chosen in tried:
            continue
        tried.add(chosen)
        functions: list[list[Template]] = []
        for k, (values, rank) in enumerate(zip(lines, chosen, strict=True)):
            found = _along(samples, k, values, rank, families, nested)
            if found is None:
                break
            functions.append([Template(one.expression.xreplace({X: coordinates[k]}), one.values) for one in found])
        else:
            template = _combined(samples, functions, unwrapping)
            if template is not None:
                yield Template(unwrapping.forward(template.expression), template.values)


def _noise(samples: Samples, unwrapping: Unwrapping, off: float) -> float:
    """The error of F⁻¹(u) relative to its size where u is wrong by `off`; 1 where it is not defined."""
    u = samples.value(samples.scattered())
    with np.errstate(all="ignore"):
        v = unwrapping.inverse(u)
        change = unwrapping.inverse(u + off) - v
    found = float(np.sqrt((change**2).mean() / max((v**2).mean(), 1e-300)))
    return max(samples.noise, found) if math.isfinite(found) else 1.0


def _calmest(samples: Samples, unwrapping: Unwrapping) -> Samples:
    """The samples of F⁻¹(u) with their error, on a part of the box where u is large enough for it to be small."""
    if unwrapping is NOTHING:
        return samples
    off = samples.noise * float(np.sqrt((samples.value(samples.scattered()) ** 2).mean()))
    samples = replace(samples, noise=_noise(samples, unwrapping, off))
    for _ in range(HALVINGS):
        if samples.noise <= CALM or samples.dimension > HALVED_DIMENSIONS:
            break
        middle = 0.5 * (samples.lower + samples.upper)
        corners = [np.array(one) for one in product((False, True), repeat=samples.dimension)]
        parts = [
            replace(samples, lower=np.where(one, middle, samples.lower), upper=np.where(one, samples.upper, middle), noise=0.0)
            for one in corners
        ]
        samples = min((replace(one, noise=_noise(one, unwrapping, off)) for one in parts), key=lambda one: one.noise)
    return samples


def _ranks(values: Array) -> list[int]:
    """Dimensions that the space of the columns may have: where the singular values fall steeply."""
    sizes = np.linalg.svd(values, compute_uv=False)
    sizes = np.append(sizes, 0.0)
    return [r for r in range(1, HIGHEST_RANK + 1) if r < len(sizes) and sizes[r] <= GAP * sizes[r - 1]]


def _along(samples: Samples, k: int, values: Array, rank: int, families: Sequence[Family], nested: bool) -> list[Template] | None:
    """Functions of one coordinate that span the columns of values; nested: functions of functions, too."""
    nodes, weights = samples.axis(k)
    left, sizes, _ = np.linalg.svd(np.sqrt(weights)[:, None] * values, full_matrices=False)
    noise = max(samples.noise, 1e-14) * sizes[0] / max(sizes[rank - 1], 1e-300)
    found = members(Space(nodes, weights, left[:, :rank], noise), families)
    if found is None and rank == 1 and nested:
        return _composed(Space(nodes, weights, left[:, :1], noise), families)
    return found


def _composed(space: Space, families: Sequence[Family]) -> list[Template] | None:
    """A function of one coordinate as a multiple of F(g): exp(sin(x)), 1/(1 + x²), …"""
    values = space.basis[:, 0] / np.sqrt(space.weights)
    values = values / values[np.argmax(np.abs(values))]
    for unwrapping in UNWRAPPINGS[1:]:
        with np.errstate(all="ignore"):
            inner = unwrapping.inverse(values)
        if not np.isfinite(inner).all() or np.ptp(inner) < 1e-6 * np.abs(inner).max():
            continue
        both = np.column_stack([inner, np.ones_like(inner)])
        found = members(Space.of(space.points, space.weights, both, space.noise * 10.0), families)
        if found is None:
            continue
        basis = np.column_stack([np.broadcast_to(evaluate(one.numeric, {X: space.points}), inner.shape) for one in found])
        factors = np.linalg.lstsq(basis, inner, rcond=None)[0]
        return [unwrapping.around(found, factors)]
    return None


def _combined(samples: Samples, functions: Sequence[Sequence[Template]], unwrapping: Unwrapping) -> Template | None:
    """The combination of products of functions of one variable each that is nearest to the samples; small terms left out."""
    points = samples.scattered()
    names = [sympy.Symbol(name, real=True) for name in samples.coordinates]
    environment = dict(zip(names, points.T, strict=True))
    with np.errstate(all="ignore"):
        values = unwrapping.inverse(samples.value(points))
    if not np.isfinite(values).all():
        return None
    choices = _products(functions)
    if choices is None:
        return None
    columns, expressions, constants = [], [], {}
    for choice in choices:
        template = [functions[k][j] for k, j in choice]
        expression = math.prod((one.expression for one in template), start=sympy.Integer(1))
        for one in template:
            constants |= dict(one.values)
        numeric = math.prod((one.numeric for one in template), start=sympy.Integer(1))
        columns.append(np.broadcast_to(evaluate(numeric, environment), values.shape))
        expressions.append(expression)
    kept = list(range(len(columns)))
    matrix = np.column_stack(columns)
    while True:
        factors = np.linalg.lstsq(matrix[:, kept], values, rcond=None)[0]
        sizes = np.abs(factors) * np.sqrt((matrix[:, kept] ** 2).mean(0))
        left = [k for k, size in zip(kept, sizes, strict=True) if size > 30.0 * samples.noise * np.sqrt((values**2).mean())]
        if len(left) == len(kept) or not left:
            break
        kept = left
    total: Expr = sympy.Integer(0)
    for k, factor in zip(kept, factors, strict=True):
        name, value = constant(factor)
        total, constants = total + name * expressions[k], constants | value
    return Template(total, {c: v for c, v in constants.items() if c in total.free_symbols})


def _products(functions: Sequence[Sequence[Template]]) -> list[tuple[tuple[int, int], ...]] | None:
    """Which products to combine, as pairs of coordinate and function: all of them, or those of few variables."""
    counts = [len(one) for one in functions]
    if math.prod(counts) <= MOST_TERMS:
        return [tuple(enumerate(choice)) for choice in product(*(range(n) for n in counts))]
    constants = [[j for j, one in enumerate(f) if X not in one.expression.free_symbols and one.expression == 1] for f in functions]
    if not all(constants):
        return None
    varying = [(k, j) for k, n in enumerate(counts) for j in range(n) if j not in constants[k]]
    terms: list[tuple[tuple[int, int], ...]] = [()]
    for order in range(1, INTERACTIONS + 1):
        more = [c for c in combinations(varying, order) if len({k for k, _ in c}) == order]
        if len(terms) + len(more) > 3 * MOST_TERMS:
            break
        terms += more
    return terms


def composed(samples: Samples, families: Sequence[Family] = FAMILIES, nested: bool = False) -> Iterator[Template]:
    """F(g_1(x_1) + … + g_d(x_d)), the network [d, 1, 1] of arXiv:2404.19756, figure 2.4.

    Its gradient is F' · (g_1', …, g_d'), so that ∂_1 u · g_j'(x_j) - ∂_j u · g_1'(x_1) = 0 for every j: linear equations for the
    derivatives of all g at once, here polynomials, whose solution is a singular vector.
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
        parts.append((template, factor, factor * evaluate(template.numeric, {_coordinate(samples, k): points[:, k]})))
    largest = max(parts, key=lambda part: float(np.ptp(part[2])))[1]  # its factor is one: F has a scale of its own
    inner: list[Template] = []
    z = np.zeros(len(points))
    for template, factor, column in parts:
        if factor == 0.0:
            continue
        name, value = constant(factor / largest)
        inner.append(template if factor == largest else Template(name * template.expression, dict(template.values) | value))
        z = z + column / largest
    outer = _outer(z, samples.value(points), samples.noise, families, nested)
    if outer is None:
        return
    total = sum((one.expression for one in inner), start=sympy.Integer(0))
    constants = {c: v for one in (*inner, outer) for c, v in one.values.items()}
    yield Template(outer.expression.xreplace({X: total}), constants)


def _inner(
    samples: Samples, k: int, slope: Legendre, slopes: Sequence[Legendre], families: Sequence[Family]
) -> tuple[Template, float] | None:
    """The inner function of coordinate k as a factor times a member of the library; factor 0 for one that hardly varies."""
    nodes, weights = samples.axis(k)
    unit = 2.0 * (nodes - samples.lower[k]) / (samples.upper[k] - samples.lower[k]) - 1.0
    g = slope.integ()(unit)
    coordinate = _coordinate(samples, k)
    if np.ptp(g) < SMALL_PART * max(float(np.ptp(one.integ()(unit))) for one in slopes):
        return Template(coordinate, {}), 0.0
    values = np.column_stack([np.ones_like(g), g])
    found = members(Space.of(nodes, weights, values, max(100.0 * samples.noise, 1e-9)), families)
    if found is None:
        return None
    one = next(one for one in found if X in one.expression.free_symbols)
    column = evaluate(one.numeric, {X: nodes})
    factor = float(np.linalg.lstsq(np.column_stack([column, np.ones_like(column)]), g, rcond=None)[0][0])
    return Template(one.expression.xreplace({X: coordinate}), one.values), factor


def _coordinate(samples: Samples, k: int) -> Symbol:
    return sympy.Symbol(samples.coordinates[k], real=True)


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
    if sizes[-1] > max(STRUCTURED, 1e3 * samples.noise) * sizes[0]:
        return None
    return [Legendre(directions[-1][k * count : (k + 1) * count]) for k in range(d)]


def _outer(z: Array, u: Array, noise: float, families: Sequence[Family], nested: bool) -> Template | None:
    """F as a template in X, from scattered values u = F(z)."""
    low, high = float(z.min()), float(z.max())
    curve = Legendre.fit(z, u, OUTER_DEGREE, domain=[low, high])
    misfit = np.sqrt(np.mean((curve(z) - u) ** 2) / np.mean(u**2))
    if misfit > max(STRUCTURED, 1e3 * noise):
        return None
    nodes, weights = np.polynomial.legendre.leggauss(64)
    nodes = low + 0.5 * (nodes + 1.0) * (high - low)
    values = curve(nodes)
    noise = max(10.0 * noise, misfit)
    found = members(Space.of(nodes, 0.5 * weights, values[:, None], noise), families)
    if found is None:
        both = np.column_stack([np.ones_like(values), values])
        found = members(Space.of(nodes, 0.5 * weights, both, noise), families)
    if found is None and nested:
        found = _composed(Space.of(nodes, 0.5 * weights, values[:, None], noise), families)
    if found is None:
        return None
    basis = np.column_stack([np.broadcast_to(evaluate(one.numeric, {X: nodes}), values.shape) for one in found])
    factors = np.linalg.lstsq(basis, values, rcond=None)[0]
    return NOTHING.around(found, factors)
