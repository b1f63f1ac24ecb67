"""The search for a closed form of a trained solution: structures, constants, recognition, verification."""

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
from pdekan.symbolic.edges import MAX_SYMBOL_COST, of_network, readable
from pdekan.symbolic.expressions import NotSymbolic, number, symbol
from pdekan.symbolic.sampling import Samples, samples
from pdekan.symbolic.snapping import snapped
from pdekan.symbolic.structures import separated
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template
from pdekan.symbolic.unwrapping import IDENTITY, UNWRAPPINGS
from pdekan.symbolic.verification import Verdict, verify
from pdekan.training.retraining import Retraining

# The search is repeated for these estimates of the solution's relative error, in relative residuals, within the bounds.
ERROR_FACTORS, MIN_ERROR, MAX_ERROR = (1.0, 30.0), 1e-9, 3e-3
MAX_DISTANCE = 20.0  # of a template from the samples, in their errors
MAX_MISFIT = 1e-8  # relative residual of a template whose constants are adjusted to the problem
MAX_TEMPLATES, MAX_TEMPLATES_EACH = 40, 3  # that are tried of a single unknown, and of each of several
EXPONENTIAL_PENALTY = 16.0  # factor of the error of a logarithm: exponentials of closed forms are rarer than closed forms
MAX_OPERATIONS = 400  # of a formula that is simplified
NONE = "no closed form found"


@dataclass(frozen=True)
class Formula:
    """A closed form of every unknown and parameter, with the verdict of its verification, which is not "rejected".

    expressions: in coordinates, and in parameters where constants are multiples of one. parameters: closed forms, or numbers
    rounded within their standard errors. seconds: of the search.
    """

    expressions: Mapping[str, Expr]
    parameters: Mapping[str, Expr]
    verdict: Verdict
    seconds: float

    @property
    def substituted(self) -> dict[str, Expr]:
        """The expressions with the values of the parameters."""
        return _substituted(self.expressions, self.parameters)


# called with what is tried next; a reason, such as "interrupted", ends the search
SearchCallback = Callable[[str], str | None]


class _EndedError(Exception):
    """The time is up, or the callback ends the search."""


def find(
    solution: Solution, families: Sequence[Family] = FAMILIES, seconds: float = 120.0, watch: SearchCallback | None = None
) -> Formula | None:
    """The closed form of a solution, or None where none is found that solves its problem.

    Raises ProblemError for a solution without its problem.
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
        for noise in _errors(solution):
            for templates in _near_to_all(solution, noise, families, tick):
                accepted = _verified(problem, templates, {name: one.value for name, one in solution.found.items()}, tick)
                if accepted is not None:
                    return Formula(*accepted, time.monotonic() - started)
    except _EndedError:
        pass
    return None


def _errors(solution: Solution) -> Iterator[float]:
    """Estimates of the solution's relative error; that from noise in the data does not show in the residual."""
    for factor in ERROR_FACTORS:
        yield min(MAX_ERROR, max(MIN_ERROR, factor * solution.relative_residual))
    if solution.problem is not None and any(one.noise for one in solution.problem.data):
        yield MAX_ERROR


def _near_to_all(
    solution: Solution, noise: float, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[dict[str, Template]]:
    """Templates of all unknowns that are near to the samples."""
    each = [
        _near(solution, k, noise, families, lambda what, name=name: tick(f"{name}: {what}"))  # type: ignore[misc]
        for k, name in enumerate(solution.unknowns)
    ]
    known: list[list[Template]] = [[] for _ in each]
    for _ in range(MAX_TEMPLATES_EACH if len(each) > 1 else MAX_TEMPLATES):
        latest = [next(one, None) for one in each]
        if all(one is None for one in latest):
            return
        for old, new in zip(known, latest, strict=True):
            old += [] if new is None else [new]
        for chosen in product(*known):
            if any(one is new for one, new in zip(chosen, latest, strict=True)):
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
            if misfit <= MAX_DISTANCE * sampled.noise:
                yield adjusted
            tick(what)


def _finite(candidates: Iterator[Template]) -> Iterator[Template]:
    """Candidates until values that are not finite end them."""
    with suppress(np.linalg.LinAlgError):
        yield from candidates


def _structures(
    solution: Solution, unknown: int, sampled: Samples, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[tuple[Iterator[Template], str]]:
    """Searches with their descriptions, by likelihood and cost."""
    yield separated(sampled, families), "sums of products"
    yield of_network(solution.network, unknown, sampled, families), "the network's edges"
    yield composed(sampled, families), "functions of sums"
    for unwrapping in UNWRAPPINGS:
        if unwrapping is not IDENTITY:
            yield separated(sampled, families, unwrapping), f"{unwrapping.name} of sums of products"
    yield _edge_by_edge(solution, unknown, sampled, families, tick), "the network's edges, one at a time"
    yield composed(sampled, families, nested=True), "functions of functions of sums"
    for unwrapping in UNWRAPPINGS:
        yield separated(sampled, families, unwrapping, nested=True), f"{unwrapping.name} of products of functions of functions"


def _edge_by_edge(
    solution: Solution, unknown: int, sampled: Samples, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[Template]:
    """The formula of a small network after its edges were replaced by functions of the library one at a time."""
    kan, problem = readable(solution.network), solution.problem
    if kan is None or problem is None:
        return
    objective = Retraining(problem, kan).objective(kan)
    symbols = [one for one in families if one.cost <= MAX_SYMBOL_COST]
    network, _ = snapped(kan, objective, sampled.scattered(), symbols, tick)
    yield from of_network(network, unknown, sampled, families)


def _verified(
    problem: Problem, templates: Mapping[str, Template], values: Mapping[str, float], tick: Callable[[str], None]
) -> tuple[dict[str, Expr], dict[str, Expr], Verdict] | None:
    """Formulas, parameters and verdict after constants are adjusted to the problem and recognised; None if rejected."""
    tick("constants")
    polished = polishing.to_problem(problem, templates, {symbol(name): value for name, value in values.items()})
    if polished.misfit > MAX_MISFIT:
        return None
    parameters = {name: _rounded(value, polished.errors[name]) for name, value in polished.parameters.items()}
    if parameters:  # the other constants are adjusted again, with their closed forms
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
    """The expressions with the values of the parameters."""
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
    """The template with its constants as simplified closed forms, or as numbers."""
    if not closed:
        return template.numeric
    values = {name: _recognised(value, errors[name], parameters) for name, value in template.values.items()}
    return simplest(template.expression.xreplace(values))


def _recognised(value: float, error: float, parameters: Mapping[Symbol, Expr]) -> Expr:
    """A constant as a closed form, as one times a parameter or its root, or as a number.

    Standard errors come from a linear model and are sometimes too small because of round-off: larger ones are tried too, for
    which a closed form must be simpler.
    """
    for uncertainty in (3.0 * error, 100.0 * error, 3000.0 * error):
        form = recognise(value, uncertainty)
        if form is not None:
            return form
    exponent = recognise(math.log(abs(value)), EXPONENTIAL_PENALTY * 3.0 * error / abs(value))
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
    """The shortest result of SymPy's simplifications of an expression."""
    if expression.count_ops() > MAX_OPERATIONS:
        return expression
    powers, simplified = sympy.powsimp(expression, deep=True), sympy.simplify(expression)
    tried = (expression, powers, sympy.factor_terms(expression), sympy.trigsimp(powers), simplified, sympy.factor(simplified))
    return min(tried, key=lambda one: (one.count_ops(), len(str(one))))
