"""Narrow places in the data of a problem: sources, coefficients and values that vary between points a network is trained on.

Looking on finer and finer points would take a million points along a line to see a strip of a millionth. A formula is built of
terms that vary slowly: exp(-((x - a)/w)²) of (x - a)/w, whose sign changes at a however small w is; where(abs(x - a) < w, …) of
|x - a| - w, which is least there. So the zeros and extrema of all terms along lines are located by bisection and golden
sections, and the formula itself is looked at about each of them, on lengths from that between points down to round-off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Level
from pdekan.problem_files.interpreter import traced
from pdekan.problem_files.parser import Expression
from pdekan.problems.discontinuities import middle, stratified
from pdekan.problems.formulas import EXACT, Field, ProblemError
from pdekan.problems.parameters import with_known_value
from pdekan.problems.problem import NarrowPlace, Problem

Values = Callable[[Tensor], Tensor]  # (n, c) at points (n, d)


# How closely data are looked at.
# lines along each axis and points on each, by dimension; above, nothing is looked at
LINES, POINTS = (1, 12, 9), (4097, 513, 129)
SPACING = 1.0 / 32.0  # of training points that a narrow place may lie between, in sides of the domain
HALVINGS = 40  # of it, down to round-off
STEPS = 56  # of a bisection or of golden sections
CANDIDATES = 1000  # zeros and extrema along all lines of an axis, at most
TERMS = 4  # between two points
CONTENT = 1e-6  # of a narrow place, the least product of height and width relative to the data's mean size
SHARE = 1e-4  # relative to the largest content
ALIGNED = 0.5  # the share of lines that a place must be found on to stand across its axis
PLACES = 8  # along an axis, at most
GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
SAME = 1e-9  # of a side: positions nearer to each other are one
NEAR = 10.0  # widths: distance of the places of one peak
ROUND_OFF = 1e-12  # of a side: what varies on shorter lengths is a jump


@torch.no_grad()
def narrow_places(problem: Problem) -> tuple[NarrowPlace, ...]:
    """The narrow places of all data, along every axis those with most content; none above those of LINES."""
    d = problem.domain.dimension
    if d > len(LINES):
        return ()
    found: list[NarrowPlace] = []
    for formula in _formulas(problem):
        found += _places(problem, formula)
    return tuple(place for k in range(d) for place in _strongest(problem, [one for one in found if one.axis == k]))


@dataclass(frozen=True)
class _Formula:
    """Values of data, and of the terms they are made of."""

    data: Values
    terms: Values


def _formulas(problem: Problem) -> Iterator[_Formula]:
    """The sources of all equations, and the coefficients of their operators."""
    exact = tuple(problem.exact_fields.values())
    for equation in problem.equations:
        operator, value = with_known_value(equation.operator, equation.source, problem.parameters)
        level = problem.level_of(operator, middle(problem))

        def source(points: Tensor, operator: Field = operator, value: object = value, level: Level = level) -> Tensor:
            return problem.right_hand_side(value, operator, points, level, None)[:, None]  # type: ignore[arg-type]

        if value is EXACT:
            yield _Formula(source, _terms(problem, *exact))
        elif isinstance(value, Expression):
            yield _Formula(source, _terms(problem, value))
        else:
            yield _Formula(source, source)
        if isinstance(operator, Expression):
            terms = _terms(problem, operator)
            yield _Formula(terms, terms)


def _terms(problem: Problem, *fields: Field) -> Values:
    """The terms of formulas that depend on the position alone."""

    def at(points: Tensor) -> Tensor:
        """Values ``(n, c)`` of all terms at points ``(n, d)``."""
        environment = problem.environment(points, Derivatives.VALUE)
        columns = [
            column
            for field in fields
            for column in (traced(field.steps, environment) if isinstance(field, Expression) else [field(environment).value])
        ]
        return torch.stack(columns, dim=1) if columns else points[:, :0]

    return at


def _places(problem: Problem, formula: _Formula) -> list[NarrowPlace]:
    """The narrow places of one formula: across an axis, or at a point."""
    d = problem.domain.dimension
    try:
        first = [_candidates(problem, formula, _lines(problem, k), k) for k in range(d)]
        found = [_narrow(problem, formula, points, k) for k, points in enumerate(first)]
        across = [_recurring(problem, places, k) for k, places in enumerate(found)]
        if d == 1:
            return across[0]
        # lines through what recurs in every other coordinate: there the terms of a peak are least in all
        positions = [_positions(points[:, k], problem, k) for k, points in enumerate(first)]
        peaks = []
        for k in range(d):
            lines = _lines_through(problem, k, positions)
            places = _narrow(problem, formula, _candidates(problem, formula, lines, k), k) if len(lines) else []
            peaks += [place for place in places if not _known(problem, place, across[k])]
        return [place for places in across for place in places] + _narrow_along_all(peaks, d)
    except ProblemError:  # a formula that is not defined where it is looked at
        return []


def _sides(problem: Problem) -> Tensor:
    return torch.tensor(problem.domain.upper, dtype=torch.float64) - torch.tensor(problem.domain.lower, dtype=torch.float64)


def _lines(problem: Problem, k: int) -> Tensor:
    """Points ``(lines, n, d)`` on lines parallel to axis k, one in each stratum of every other coordinate."""
    domain = problem.domain
    place = domain.dimension - 1
    count, n = LINES[place], POINTS[place]
    return _along(problem, stratified(domain.dimension, count, k) * _sides(problem) + torch.tensor(domain.lower), k, n)


def _lines_through(problem: Problem, k: int, positions: list[list[float]]) -> Tensor:
    """Lines parallel to axis k through all combinations of positions in the other coordinates."""
    d = problem.domain.dimension
    base = [positions[j] if j != k else [0.0] for j in range(d)]
    starts = list(product(*base))
    n = POINTS[d - 1]
    return _along(problem, torch.tensor(starts, dtype=torch.float64).reshape(-1, d), k, n)


def _along(problem: Problem, starts: Tensor, k: int, n: int) -> Tensor:
    points = starts[:, None, :].repeat(1, n, 1)
    share = torch.linspace(0.0, 1.0, n + 2, dtype=torch.float64)[1:-1]
    points[:, :, k] = problem.domain.lower[k] + share * _sides(problem)[k]
    return points


def _candidates(problem: Problem, formula: _Formula, lines: Tensor, k: int) -> Tensor:
    """Points ``(n, d)`` on lines parallel to axis k at which a term changes its sign or is extreme."""
    count, n, d = lines.shape
    flat = lines.reshape(-1, d)
    inside = torch.as_tensor(problem.domain.contains(flat.numpy())).reshape(count, n)
    values = formula.terms(flat)
    values = torch.where(inside.reshape(-1, 1), values, torch.nan).reshape(count, n, -1)
    left, middle, right = values[:, :-2], values[:, 1:-1], values[:, 2:]
    sign = (middle > 0.0) != (right > 0.0)
    turn = ((middle - left) * (right - middle) < 0.0) & right.isfinite()
    zeros = _few_a_bracket(torch.nonzero(sign & middle.isfinite() & right.isfinite()))
    turns = _few_a_bracket(torch.nonzero(turn & middle.isfinite() & left.isfinite()))

    def term(points: Tensor, column: Tensor) -> Tensor:
        return formula.terms(points).gather(1, column[:, None])[:, 0]

    line, place, column = zeros.T
    bisected = _bisected(lambda x: term(x, column), lines[line, place + 1], lines[line, place + 2], STEPS)
    line, place, column = turns.T
    up = torch.sign(middle[line, place, column] - left[line, place, column])
    extreme = _golden(lambda x: up * term(x, column), lines[line, place], lines[line, place + 2], STEPS)
    found = torch.cat([bisected, extreme])
    return found[_distinct(problem, found)] if len(found) else found


def _few_a_bracket(found: Tensor) -> Tensor:
    """Rows (line, place, column), the first few of each line and place: powers of a term have zeros together."""
    if not len(found):
        return found
    _, bracket = torch.unique_consecutive(found[:, :2], dim=0, return_inverse=True)
    first = torch.searchsorted(bracket, bracket)
    return found[torch.arange(len(found)) - first < TERMS][:CANDIDATES]


def _bisected(function: Values, a: Tensor, b: Tensor, steps: int) -> Tensor:
    """The points between a and b ``(n, d)`` at which a function changes its sign."""
    if not len(a):
        return a
    positive = function(a) > 0.0
    for _ in range(steps):
        middle = 0.5 * (a + b)
        same = ((function(middle) > 0.0) == positive)[:, None]
        a, b = torch.where(same, middle, a), torch.where(same, b, middle)
    return 0.5 * (a + b)


def _golden(function: Values, a: Tensor, b: Tensor, steps: int) -> Tensor:
    """The points between a and b ``(n, d)`` at which a function is largest, by golden sections (Kiefer 1953)."""
    for _ in range(steps if len(a) else 0):
        c, e = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        left = (function(c) >= function(e))[:, None]
        a, b = torch.where(left, a, c), torch.where(left, e, b)
    return 0.5 * (a + b)


def _distinct(problem: Problem, points: Tensor) -> Tensor:
    """The rows of points that are apart from each other."""
    rounded = ((points - torch.tensor(problem.domain.lower)) / _sides(problem) / SAME).round()
    _, place = torch.unique(rounded, dim=0, return_inverse=True)
    first = torch.full((int(place.max()) + 1,), len(points)).scatter_reduce(0, place, torch.arange(len(points)), "amin")
    return first.sort().values


def _positions(x: Tensor, problem: Problem, k: int) -> list[float]:
    """The coordinates that most lines have in common, at most as many as there are lines."""
    count = LINES[problem.domain.dimension - 1]
    rounded = (x / _sides(problem)[k] / (10.0 * SAME)).round()
    _, place, times = torch.unique(rounded, return_inverse=True, return_counts=True)
    often = torch.nonzero(times >= ALIGNED * count).flatten()
    often = often[times[often].argsort(descending=True)][:count]
    return [float(x[place == one].median()) for one in often]


def _narrow(problem: Problem, formula: _Formula, points: Tensor, k: int) -> list[NarrowPlace]:
    """The points about which data vary along axis k on a length below the spacing.

    D(s) is how far the data at a distance s are from the straight line through those at twice the spacing, the larger of both
    sides. A place is narrow where s D(s) is largest well below the spacing, and D there is several times that at the spacing: a
    jump, a kink and a smooth extremum are not. Its width is the shortest length on which the data change by half of the
    largest D.
    """
    domain, side = problem.domain, float(_sides(problem)[k])
    spacing = SPACING * side
    near = (points[:, k] - domain.lower[k] > 2.0 * spacing) & (domain.upper[k] - points[:, k] > 2.0 * spacing)
    points = points[near]
    if not len(points):
        return []
    lengths = spacing * 0.5 ** torch.arange(HALVINGS, dtype=torch.float64)
    offsets = torch.cat([-2.0 * lengths[:1], -lengths, lengths, 2.0 * lengths[:1], lengths.new_zeros(1)])
    shifted = points[:, None, :].repeat(1, len(offsets), 1)
    shifted[:, :, k] += offsets
    values = formula.data(shifted.reshape(-1, shifted.shape[2])).reshape(len(points), len(offsets), -1)
    a, b, center = values[:, :1], values[:, -2:-1], values[:, -1:]
    straight = a + (b - a) * (offsets[:, None] / (4.0 * spacing) + 0.5)
    apart = _larger((values - straight)[:, 1:-2])  # (n, halvings, c)
    content = lengths[:, None] * apart
    most = content.amax(1, keepdim=True)
    widest = (content >= 0.5 * most).to(torch.int64).argmax(1)  # the first is the longest
    size = _mean_size(problem, formula) * side
    height = apart.amax(1)
    chosen = (widest >= 2) & (height > 3.0 * apart[:, 0]) & (most[:, 0] > CONTENT * size)
    chosen &= most[:, 0] > SHARE * most.amax((0, 1))
    changed = _larger((values - center)[:, 1:-2]) > 0.5 * height[:, None]
    width = lengths[HALVINGS - 1 - changed.flip(1).to(torch.int64).argmax(1)]  # the shortest length of such a change
    chosen &= changed.any(1) & (width > ROUND_OFF * side)
    return [
        NarrowPlace(k, float(points[i, k]), float(width[i, c]), float(most[i, 0, c]), tuple(points[i].tolist()))
        for i, c in torch.nonzero(chosen).tolist()
    ]


def _larger(values: Tensor) -> Tensor:
    """The largest absolute values ``(n, m, c)`` of both sides ``(n, 2 m, c)``, zero where they are not finite."""
    left, right = values.abs().nan_to_num(0.0, 0.0, 0.0).chunk(2, dim=1)
    return torch.maximum(left, right)


def _mean_size(problem: Problem, formula: _Formula) -> Tensor:
    """The mean absolute values ``(c,)`` of data at points of the domain."""
    points = torch.as_tensor(problem.domain.interior(8, 4, 256, 0).points)
    return formula.data(points).abs().nan_to_num(0.0, 0.0, 0.0).mean(0)


def _recurring(problem: Problem, places: list[NarrowPlace], k: int) -> list[NarrowPlace]:
    """The places that stand across axis k: found at one position on enough lines."""
    count = LINES[problem.domain.dimension - 1]
    groups: list[list[NarrowPlace]] = []
    for place in sorted(places, key=lambda one: one.position):
        if groups and place.position - groups[-1][-1].position <= max(place.width, groups[-1][-1].width):
            groups[-1].append(place)
        else:
            groups.append([place])
    return [
        max(group, key=lambda one: one.content)
        for group in groups
        if len({one.at[:k] + one.at[k + 1 :] for one in group}) >= ALIGNED * count
    ]


def _narrow_along_all(places: list[NarrowPlace], dimension: int) -> list[NarrowPlace]:
    """The places near to which the data are narrow along every other axis as well: a curved front is not."""

    def near(one: NarrowPlace, other: NarrowPlace) -> bool:
        return math.dist(one.at, other.at) <= NEAR * max(one.width, other.width)

    return [one for one in places if len({other.axis for other in places if near(one, other)}) == dimension]


def _known(problem: Problem, place: NarrowPlace, others: list[NarrowPlace]) -> bool:
    return any(abs(place.position - other.position) <= max(place.width, other.width) for other in others)


def _strongest(problem: Problem, places: list[NarrowPlace]) -> list[NarrowPlace]:
    """Of places that overlap the one with most content; of all the strongest."""
    kept: list[NarrowPlace] = []
    for place in sorted(places, key=lambda one: -one.content):
        if not _known(problem, place, kept) and len(kept) < PLACES:
            kept.append(place)
    return kept
