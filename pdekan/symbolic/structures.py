"""Structures: a function of several variables as sums and products of functions of one.

On a box, the restrictions of Σ_k c_k Π_i g_ki(x_i) to lines parallel to an axis span a space of few dimensions (its multilinear
rank; Kolda and Bader, SIAM Review 51 (2009) 455-500, section 4). Singular values give the dimension, and `spans.members` finds
functions that span the space.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import sympy
from sympy import Expr, Symbol

from pdekan.domains.quadrature import Array
from pdekan.symbolic.sampling import Samples
from pdekan.symbolic.spans import FunctionSpan, X, members
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template, constant, evaluate
from pdekan.symbolic.unwrapping import IDENTITY, Unwrapping, nested_member

# The box is halved at most MAX_HALVINGS times while the error of F⁻¹(u) is above MAX_ERROR, in at most so many dimensions.
MAX_ERROR, MAX_HALVINGS, MAX_HALVED_DIMENSIONS = 1e-5, 3, 3
MAX_RANK = 4
GAP = 1e-3  # ratio of successive singular values below which the second may be noise
MAX_TERMS = 400  # products of functions of one variable in one least-squares problem
MAX_INTERACTION = 2  # number of variables of a term, where there are more than MAX_TERMS products
NEGLIGIBLE_TERM = 30.0  # size of a term that is left out, in errors of the samples


def separated(
    samples: Samples, families: Sequence[Family] = FAMILIES, unwrapping: Unwrapping = IDENTITY, nested: bool = False
) -> Iterator[Template]:
    """Templates of u or F⁻¹(u) as sums of products of functions of one variable, from few to many terms.

    nested: the functions of one variable may be compositions.
    """
    samples = _accurate_part(samples, unwrapping)
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
            along = _along(samples, k, values, rank, families, nested)
            if along is None:
                break
            functions.append([Template(one.expression.xreplace({X: samples.symbols[k]}), one.values) for one in along])
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
    error = float(np.sqrt((change**2).mean() / max((v**2).mean(), 1e-300)))
    return max(samples.noise, error) if math.isfinite(error) else 1.0


def _accurate_part(samples: Samples, unwrapping: Unwrapping) -> Samples:
    """Samples with the error of F⁻¹(u), on a part of the box where that is small."""
    if unwrapping is IDENTITY:
        return samples
    off = samples.noise * float(np.sqrt((samples.value(samples.scattered()) ** 2).mean()))
    samples = replace(samples, noise=_noise(samples, unwrapping, off))
    for _ in range(MAX_HALVINGS):
        if samples.noise <= MAX_ERROR or samples.dimension > MAX_HALVED_DIMENSIONS:
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
    """Possible numerical ranks: where the singular values have a gap."""
    sizes = np.linalg.svd(values, compute_uv=False)
    sizes = np.append(sizes, 0.0)
    return [r for r in range(1, MAX_RANK + 1) if r < len(sizes) and sizes[r] <= GAP * sizes[r - 1]]


def _along(
    samples: Samples, k: int, values: Array, rank: int, families: Sequence[Family], nested: bool
) -> list[Template] | None:
    """Functions of one coordinate that span the columns of values; nested: also compositions."""
    nodes, weights = samples.axis(k)
    left, sizes, _ = np.linalg.svd(np.sqrt(weights)[:, None] * values, full_matrices=False)
    noise = max(samples.noise, 1e-14) * sizes[0] / max(sizes[rank - 1], 1e-300)
    span = FunctionSpan(nodes, weights, left[:, :rank], noise)
    functions = members(span, families)
    return nested_member(span, families) if functions is None and rank == 1 and nested else functions


def _combined(samples: Samples, functions: Sequence[Sequence[Template]], unwrapping: Unwrapping) -> Template | None:
    """The combination of products of functions of one variable that is nearest to the samples, without negligible terms."""
    points = samples.scattered()
    environment = dict(zip(samples.symbols, points.T, strict=True))
    with np.errstate(all="ignore"):
        values = unwrapping.inverse(samples.value(points))
    if not np.isfinite(values).all():
        return None
    choices = _products(functions)
    if choices is None:
        return None
    columns: list[Array] = []
    expressions: list[Expr] = []
    constants: dict[Symbol, float] = {}
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
    if not np.isfinite(matrix).all():
        return None
    negligible = NEGLIGIBLE_TERM * samples.noise * np.sqrt((values**2).mean())
    while True:
        factors = np.linalg.lstsq(matrix[:, kept], values, rcond=None)[0]
        sizes = np.abs(factors) * np.sqrt((matrix[:, kept] ** 2).mean(0))
        larger = [k for k, size in zip(kept, sizes, strict=True) if size > negligible]
        if len(larger) == len(kept) or not larger:
            break
        kept = larger
    total: Expr = sympy.Integer(0)
    for k, factor in zip(kept, factors, strict=True):
        name, value = constant(factor)
        total, constants = total + name * expressions[k], constants | value
    return Template(total, {c: v for c, v in constants.items() if c in total.free_symbols})


def _products(functions: Sequence[Sequence[Template]]) -> list[tuple[tuple[int, int], ...]] | None:
    """The products to combine, as pairs of coordinate and function: all of them, or those of few variables."""
    counts = [len(one) for one in functions]
    if math.prod(counts) <= MAX_TERMS:
        return [tuple(enumerate(choice)) for choice in product(*(range(n) for n in counts))]
    constants = [[j for j, one in enumerate(each) if one.expression == 1] for each in functions]
    if not all(constants):
        return None
    varying = [(k, j) for k, n in enumerate(counts) for j in range(n) if j not in constants[k]]
    terms: list[tuple[tuple[int, int], ...]] = [()]
    for order in range(1, MAX_INTERACTION + 1):
        more = [c for c in combinations(varying, order) if len({k for k, _ in c}) == order]
        if len(terms) + len(more) > 3 * MAX_TERMS:
            break
        terms += more
    return terms
