"""The search for a closed form of a trained solution: structures, constants, recognition, and the verdict of the problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import sympy
from sympy import Expr, Symbol

from pdekan.formulas import polishing
from pdekan.formulas.constants import recognised
from pdekan.formulas.polishing import Polished
from pdekan.formulas.sampling import Samples, samples
from pdekan.formulas.structures import NOTHING, UNWRAPPINGS, composed, separated
from pdekan.formulas.symbolic import NotSymbolic, symbol
from pdekan.formulas.symbols import FAMILIES, Family
from pdekan.formulas.templates import Template
from pdekan.formulas.verification import Verdict, verify
from pdekan.problems import Problem, ProblemError
from pdekan.solution import Solution

# The errors that a solution is taken to have, relative to its size, as multiples of its relative residual: few first.
NOISES = (1.0, 30.0)
LEAST_NOISE, MOST_NOISE = 1e-9, 3e-3
NEAR = 20.0  # a template is dropped where it is farther from the samples than this many times their error
PLAUSIBLE = 1e-8  # relative residual, its constants adjusted to the problem, above which a template solves nothing
EACH = 3  # templates of every unknown of a system that are tried together
LONG = 400  # operations of a formula above which it is not simplified
NONE = "no closed form found"


@dataclass(frozen=True)
class Formula:
    """A closed form of every unknown and parameter, with the verdict of the problem on it, which is not "rejected"."""

    expressions: Mapping[str, Expr]
    parameters: Mapping[str, Expr]
    verdict: Verdict
    seconds: float


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
        raise ProblemError(f"{solution.name}: its problem was stated in Python and is not in the file; a formula cannot be verified")
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
    for factor in NOISES:
        yield min(MOST_NOISE, max(LEAST_NOISE, factor * solution.relative_residual))


def _together(
    solution: Solution, noise: float, families: Sequence[Family], tick: Callable[[str], None]
) -> Iterator[dict[str, Template]]:
    """Templates of all unknowns that are near to the samples."""
    each = [
        _near(samples(solution, k, noise), families, lambda what, name=name: tick(f"{name}: {what}"))  # type: ignore[misc]
        for k, name in enumerate(solution.unknowns)
    ]
    if len(each) == 1:
        yield from ({solution.unknowns[0]: template} for template in each[0])
        return
    kept = [list(islice(one, EACH)) for one in each]
    for chosen in product(*kept):
        yield dict(zip(solution.unknowns, chosen, strict=True))


def _near(sampled: Samples, families: Sequence[Family], tick: Callable[[str], None]) -> Iterator[Template]:
    for candidates, what in _structures(sampled, families):
        tick(what)
        for template in candidates:
            adjusted, misfit = polishing.to_samples(template, sampled)
            if misfit <= NEAR * sampled.noise:
                yield adjusted
            tick(what)


def _structures(sampled: Samples, families: Sequence[Family]) -> Iterator[tuple[Iterator[Template], str]]:
    yield separated(sampled, families), "sums of products"
    yield composed(sampled, families), "functions of sums"
    for unwrapping in UNWRAPPINGS:
        if unwrapping is not NOTHING:
            yield separated(sampled, families, unwrapping), f"{unwrapping.name} of sums of products"


def _judged(
    problem: Problem, templates: Mapping[str, Template], found: Mapping[str, float], tick: Callable[[str], None]
) -> tuple[dict[str, Expr], dict[str, Expr], Verdict] | None:
    """Constants adjusted to the problem, recognised, and verified; None where the problem rejects the result."""
    tick("constants")
    polished = polishing.to_problem(problem, templates, {symbol(name): value for name, value in found.items()})
    if polished.misfit > PLAUSIBLE:
        return None
    parameters = _parameters(polished)
    if parameters:  # the constants that depend on them are now theirs
        polished = polishing.to_problem(problem, polished.templates, {}, parameters)
    tick("verification")
    for closed in (True, False):
        formula = {name: _closed(one, polished.errors, closed) for name, one in polished.templates.items()}
        try:
            verdict = verify(problem, formula, {name.name: value for name, value in parameters.items()})
        except NotSymbolic:
            continue
        if verdict.kind != "rejected":
            return formula, {name.name: value for name, value in parameters.items()}, verdict
    return None


def _parameters(polished: Polished) -> dict[Symbol, Expr]:
    """What is sought beside the unknowns, recognised where that is no chance."""
    return recognised(polished.parameters, {name: polished.errors[name] for name in polished.parameters})


def _closed(template: Template, errors: Mapping[Symbol, float], closed: bool) -> Expr:
    """The template with its constants put in, as closed forms or as they are, and simplified."""
    values = recognised(template.values, errors) if closed else {c: sympy.Float(v) for c, v in template.values.items()}
    expression = template.expression.xreplace(values)
    return simplest(expression) if closed else expression


def simplest(expression: Expr) -> Expr:
    """The shortest of what SymPy makes of an expression."""
    size = expression.count_ops()
    if size > LONG:
        return expression
    tried = [expression, sympy.powsimp(expression), sympy.factor_terms(expression)]
    tried += [sympy.trigsimp(one) for one in tried[1:2]]
    tried += [sympy.simplify(one) for one in tried[:1]]
    tried += [sympy.factor(one) for one in tried[-1:]]
    return min(tried, key=lambda one: (one.count_ops(), len(str(one))))
