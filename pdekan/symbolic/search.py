"""The search for a closed form of a trained solution: structures, constants, recognition, and the verdict of the problem."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import numpy as np
import sympy
from sympy import Expr, Symbol

from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.symbolic import polishing
from pdekan.symbolic.compositions import composed
from pdekan.symbolic.constants import recognise
from pdekan.symbolic.edges import SYMBOL_COST, of_network, readable
from pdekan.symbolic.sampling import Samples, samples
from pdekan.symbolic.snapping import snapped
from pdekan.symbolic.structures import separated
from pdekan.symbolic.symbolic import NotSymbolic, number, symbol
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template
from pdekan.symbolic.unwrapping import NOTHING, UNWRAPPINGS
from pdekan.symbolic.verification import Verdict, verify
from pdekan.training.retraining import Retraining

# The errors that a solution is taken to have, relative to its size, as multiples of its relative residual: few first.
NOISES = (1.0, 30.0)
LEAST_NOISE, MOST_NOISE = 1e-9, 3e-3
NEAR = 20.0  # a template is dropped where it is farther from the samples than this many times their error
PLAUSIBLE = 1e-8  # relative residual, its constants adjusted to the problem, above which a template solves nothing
MANY, EACH = 40, 3  # templates that are tried of a single unknown, and of each of several
RARE = 16.0  # exponentials of closed forms are as much rarer than closed forms: errors count for so much more
LONG = 400  # operations of a formula above which it is not simplified
NONE = "no closed form found"


@dataclass(frozen=True)
class Formula:
    """A closed form of every unknown and parameter, with the verdict of the problem on it, which is not "rejected".

    expressions: in coordinates, and in parameters where constants are multiples of one. parameters: closed forms, or numbers
    rounded within their standard errors. seconds: of the search.
    """

    expressions: Mapping[str, Expr]
    parameters: Mapping[str, Expr]
    verdict: Verdict
    seconds: float

    @property
    def substituted(self) -> dict[str, Expr]:
        """The expressions in coordinates alone."""
        return _substituted(self.expressions, self.parameters)


# told what is being tried; a reason, such as "interrupted", ends the search
Watcher = Callable[[str], str | None]


class _EndedError(Exception):
    """Time is out, or the watcher ends the search."""


def find(
    solution: Solution, families: Sequence[Family] = FAMILIES, seconds: float = 120.0, watch: Watcher | None = None
) -> Formula | None:
    """The closed form of a solution, or None where none is found that its problem accepts.

    Raises ProblemError for a solution whose problem is not known.
    """
    if solution.problem is None:
        raise ProblemError(
            f"{solution.name}: its problem was stated in Python and is not in the file; a formula cannot be verified"
        )
    started = time.monotonic()

    def tick(what: str) -> None:
        if time.monotonic() - started > seconds or (watch is not None and watch(what) is not None):
            raise _EndedError

    problem = solution.problem
    try:
        for noise in _noises(solution):
            for templates in _together(solution, noise, families, tick):
                found = _judged(problem, templates, {name: one.value for name, one in solution.found.items()}, tick)
                if found is not None:
                    return Formula(*found, time.monotonic() - started)
    except _EndedError:
        pass
    return None


def _noises(solution: Solution) -> Iterator[float]:
    """Relative errors that the solution may have; what noise in the data makes of them no residual says."""
    for factor in NOISES:
        yield min(MOST_NOISE, max(LEAST_NOISE, factor * solution.relative_residual))
    if solution.problem is not None and any(one.noise for one in solution.problem.data):
        yield MOST_NOISE


def _together(
    solution: Solution, noise: float, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[dict[str, Template]]:
    """Templates of all unknowns that are near to the samples."""
    each = [
        _near(solution, k, noise, families, lambda what, name=name: tick(f"{name}: {what}"))  # type: ignore[misc]
        for k, name in enumerate(solution.unknowns)
    ]
    known: list[list[Template]] = [[] for _ in each]
    for _ in range(EACH if len(each) > 1 else MANY):
        fresh = [next(one, None) for one in each]
        if all(one is None for one in fresh):
            return
        for old, new in zip(known, fresh, strict=True):
            old += [] if new is None else [new]
        for chosen in product(*known):
            if any(one is new for one, new in zip(chosen, fresh, strict=True)):
                yield dict(zip(solution.unknowns, chosen, strict=True))


def _near(
    solution: Solution, unknown: int, noise: float, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[Template]:
    """Templates of one unknown, their constants adjusted to its samples, that are near to them."""
    sampled = samples(solution, unknown, noise)
    for candidates, what in _structures(solution, unknown, sampled, families, tick):
        tick(what)
        for template in _finite(candidates):
            adjusted, misfit = polishing.to_samples(template, sampled)
            if misfit <= NEAR * sampled.noise:
                yield adjusted
            tick(what)


def _finite(candidates: Iterator[Template]) -> Iterator[Template]:
    """Candidates until one cannot be made because values are not finite."""
    with suppress(np.linalg.LinAlgError):
        yield from candidates


def _structures(
    solution: Solution, unknown: int, sampled: Samples, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[tuple[Iterator[Template], str]]:
    """Searches, the likely and quick ones first."""
    yield separated(sampled, families), "sums of products"
    yield of_network(solution.network, unknown, sampled, families), "the network's edges"
    yield composed(sampled, families), "functions of sums"
    for unwrapping in UNWRAPPINGS:
        if unwrapping is not NOTHING:
            yield separated(sampled, families, unwrapping), f"{unwrapping.name} of sums of products"
    yield _edge_by_edge(solution, unknown, sampled, families, tick), "the network's edges, one at a time"
    yield composed(sampled, families, nested=True), "functions of functions of sums"
    for unwrapping in UNWRAPPINGS:  # of which the first is none
        yield separated(sampled, families, unwrapping, nested=True), f"{unwrapping.name} of products of functions of functions"


def _edge_by_edge(
    solution: Solution, unknown: int, sampled: Samples, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[Template]:
    """The formula of the network whose edges were made functions of the library, where that can be read edge by edge."""
    kan, problem = readable(solution.network), solution.problem
    if kan is None or problem is None:
        return
    objective = Retraining(problem, kan).objective(kan)
    symbols = [one for one in families if one.cost <= SYMBOL_COST]
    network, _ = snapped(kan, objective, sampled.scattered(), symbols, tick)
    yield from of_network(network, unknown, sampled, families)


def _judged(
    problem: Problem, templates: Mapping[str, Template], found: Mapping[str, float], tick: Callable[[str], None]
) -> tuple[dict[str, Expr], dict[str, Expr], Verdict] | None:
    """Constants adjusted to the problem, recognised, and verified; None where the problem rejects the result."""
    tick("constants")
    polished = polishing.to_problem(problem, templates, {symbol(name): value for name, value in found.items()})
    if polished.misfit > PLAUSIBLE:
        return None
    parameters = {name: _rounded(value, polished.errors[name]) for name, value in polished.parameters.items()}
    if parameters:  # the other constants are adjusted to their closed forms
        polished = polishing.to_problem(problem, polished.templates, {}, parameters)
    named = {name.name: value for name, value in parameters.items()}
    tick("verification")
    for closed in (True, False):
        formula = {name: _closed(one, polished.errors, parameters, closed) for name, one in polished.templates.items()}
        try:
            verdict = verify(problem, _substituted(formula, named), named)
        except NotSymbolic:
            continue
        if verdict.kind != "rejected":
            return formula, named, verdict
    return None


def _substituted(formula: Mapping[str, Expr], parameters: Mapping[str, Expr]) -> dict[str, Expr]:
    """The expressions with parameters put in."""
    values = {symbol(name): value for name, value in parameters.items()}
    return {name: one.xreplace(values) for name, one in formula.items()}


def _rounded(value: float, error: float) -> Expr:
    """A number as a closed form, or as the shortest decimal within half its standard error."""
    form = recognise(value, 3.0 * error)
    if form is not None:
        return form
    digits = max(0, -math.floor(math.log10(0.5 * error))) if error > 0.0 else 15
    return number(round(value, digits))


def _closed(template: Template, errors: Mapping[Symbol, float], parameters: Mapping[Symbol, Expr], closed: bool) -> Expr:
    """The template with its constants put in, as closed forms or as they are, and simplified."""
    if not closed:
        return template.numeric
    values = {name: _recognised(value, errors[name], parameters) for name, value in template.values.items()}
    return simplest(template.expression.xreplace(values))


def _recognised(value: float, error: float, parameters: Mapping[Symbol, Expr]) -> Expr:
    """A constant as a closed form, as one times a parameter or its root, or as the number that it is.

    Errors are of a linear model that rounding blurs: they may be larger than they say, if what is found is simple enough.
    """
    for off in (3.0 * error, 100.0 * error, 3000.0 * error):
        form = recognise(value, off)
        if form is not None:
            return form
    exponent = recognise(math.log(abs(value)), RARE * 3.0 * error / abs(value))
    if exponent is not None:
        return sympy.sign(value) * sympy.exp(exponent)
    for name, known in parameters.items():
        for factor in (name, 1 / name, sympy.sqrt(name) if known > 0 else name**2):
            size = abs(float(factor.xreplace({name: known})))
            form = recognise(value / size, 3.0 * error / size) if size > 0.0 else None
            if form is not None:
                return form * factor
    return sympy.Float(value)


def simplest(expression: Expr) -> Expr:
    """The shortest of what SymPy makes of an expression."""
    if expression.count_ops() > LONG:
        return expression
    powers, simplified = sympy.powsimp(expression, deep=True), sympy.simplify(expression)
    tried = (expression, powers, sympy.factor_terms(expression), sympy.trigsimp(powers), simplified, sympy.factor(simplified))
    return min(tried, key=lambda one: (one.count_ops(), len(str(one))))
