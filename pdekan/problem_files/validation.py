"""Checks of a problem before it is solved: formulas are finite, and the exact solution satisfies the problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pdekan.domains.validation import LARGEST, UNITS
from pdekan.fields.functions import sin
from pdekan.fields.jets import Derivatives, MissingDerivative
from pdekan.problem_files.parser import ExpressionError
from pdekan.problem_files.samples import Rule, Sample, Trial, rules, samples
from pdekan.problem_files.well_posedness import Key, contradictions
from pdekan.problems.condition import Condition
from pdekan.problems.formulas import EXACT, Field, Formula, ProblemError, RightHandSide, names_of
from pdekan.problems.parameters import with_known_value
from pdekan.problems.places import Inside, Requirement
from pdekan.problems.problem import Problem

# a box in a hundred dimensions has two hundred faces; formulas that fail do so on the first few
_PROBED_FACES = 6
_PROBED = (1, 4, 8, 0)  # an even order avoids the middle, where coordinates may be singular


# trial functions, for an unknown that may have to be positive, or negative, or large
_TRIALS: tuple[Trial, ...] = (
    lambda x: sin(x) * 0.1 + 0.7,
    lambda x: sin(x) * 0.1 - 0.7,
    lambda x: sin(x) * 0.1 + 3.0,
)


def members(problem: Problem) -> list[Problem]:
    """The problem; of a family the members in the middle and at both ends of all ranges."""
    if not problem.ranges:
        return [problem]
    places = [{name: getattr(one, end) for name, one in problem.ranges.items()} for end in ("middle", "lower", "upper")]
    return [problem.member(**place) for place in places]


def _has_exact_solution(problem: Problem) -> bool:
    return all(name in problem.exact_fields for name in problem.unknowns)


def probe(problem: Problem) -> Iterator[tuple[Key, str]]:
    """The faults of the formulas of a problem at a few points inside and on the faces of its conditions.

    Yields the key of the problem file and a message: values that are not finite, derivatives of an order that is not
    supported, operators where they are not defined; then the contradictions of a problem whose formulas are sound.
    """
    (inside,) = samples(problem, Inside(), _PROBED)
    if problem.exact_fields:
        wrong = list(_probe_exact(inside))
        yield from ((("exact", name), message) for name, message in wrong)
        if wrong:
            return
    several, sound = len(problem.equations) > 1, True
    for j, equation in enumerate(problem.equations):
        for side, message in _probe_sides(inside, equation.operator, equation.source):
            sound = False
            yield ("equation", side or "source", *((j,) if several else ())), message
    for k, condition in enumerate(problem.conditions):
        one_sided = (one for one in condition.requirements(problem) if one.place.sides == 1)
        places = ((one, sample) for one in one_sided for sample in samples(problem, one.place, _PROBED))
        for one, sample in itertools.islice(places, _PROBED_FACES):
            for side, message in _probe_sides(sample, one.operator, one.value):
                sound = False
                yield ("conditions", k, side or "value"), message
    if sound:
        yield from contradictions(problem)


def _probe_exact(sample: Sample) -> Iterator[tuple[str, str]]:
    for name in sample.problem.exact_fields:
        try:
            sample.problem.exact_jet(sample.points, Derivatives.VALUE, None, name)  # needs no derivatives
            exact = sample.problem.exact_jet(sample.points, Derivatives.GRADIENT, None, name)
        except MissingDerivative:
            yield name, "derivatives are not supported in an exact solution"
        except ExpressionError as error:
            yield name, str(error)
        else:
            messages = list(_not_finite(sample, "the exact solution", exact.value))
            if exact.gradient is not None:
                messages += _not_finite(sample, "the exact solution's gradient", exact.gradient.sum(-1))
            yield from ((name, message) for message in messages)


def _probe_sides(sample: Sample, operator: Field, value: Formula | RightHandSide) -> Iterator[tuple[str, str]]:
    """Both sides of operator(u) = value; yields "operator", or "" for the right-hand side, and a message."""
    try:
        sample.level(operator)
    except ProblemError as error:
        yield "operator", str(error)
        return
    if _has_exact_solution(sample.problem):
        applied = sample.right_hand_side(EXACT, operator)
        messages = _not_finite(sample, "the operator applied to the exact solution", applied)
        yield from (("operator", message) for message in messages)
    else:
        trials = [sample.applied(operator, trial) for trial in _TRIALS]
        if not any(trial.isfinite().all() for trial in trials):
            messages = _not_finite(sample, "the operator applied to a smooth function", trials[0])
            yield from (("operator", message) for message in messages)
    if value is EXACT:
        return
    operator, value = with_known_value(operator, value, sample.problem.parameters)
    try:
        given = sample.right_hand_side(value, operator)
    except MissingDerivative:
        yield "", "derivatives are not supported on the right-hand side; move them to the operator, or write them out"
    except ExpressionError as error:
        yield "", str(error)
    else:
        yield from (("", message) for message in _not_finite(sample, "the right-hand side", given))


def _not_finite(sample: Sample, what: str, values: Tensor) -> Iterator[str]:
    """That values are not finite, or too large to compute with, and where."""
    bad = torch.nonzero(~(values.abs() <= LARGEST))
    if len(bad):
        k = int(bad[0, 0])
        named = list(zip(sample.problem.domain.coordinates, sample.points[k].tolist(), strict=True))[:5]
        at = ", ".join(f"{name} = {value:.4g}" for name, value in named)
        value = values[k].item()
        if math.isfinite(value):
            yield f"{what} is {value:g} at {at}; at most {LARGEST:g} is allowed{UNITS}"
        else:
            yield f"{what} is {value} at {at}; formulas must be finite in the domain and on its faces"


def exact_residuals(problem: Problem, cells: int = 3, order: int = 6, count: int = 256) -> dict[Key, float]:
    """The largest residual |operator(u) - value| of the exact solution u in each equation and in each condition on faces,
    relative to the largest of either side, or of the operator at waves as high as u.

    cells, order, count: the points, as for the quadrature of the domain; an even order avoids the middle, where solutions may
    be singular. Raises ProblemError where an unknown has no exact
    solution.
    """
    rule = (cells, order, count, 1)
    (inside,) = samples(problem, Inside(), rule)
    heights = {name: float(jet.value.abs().max()) for name, jet in problem.exact_jets(inside.points, Derivatives.VALUE).items()}
    if not _has_exact_solution(problem):
        raise ProblemError(f"problem {problem.name!r} has no exact solution for all of its unknowns")
    several = len(problem.equations) > 1
    result: dict[Key, float] = {}
    for j, equation in enumerate(problem.equations):
        key: Key = ("equation", j) if several else ("equation",)
        result[key] = _residual(inside, equation.operator, equation.source, heights)
    finer = (3 * cells, order, 64 * count, 1)
    for k, condition in enumerate(problem.conditions):
        residuals = list(_residuals_of_condition(problem, condition, rule, finer, heights))
        if residuals:
            result["conditions", k] = max(residuals)
    return result


def _residuals_of_condition(
    problem: Problem, condition: Condition, rule: Rule, finer: Rule, heights: Mapping[str, float]
) -> Iterator[float]:
    """Those on all faces; none across interfaces, where the exact solution need not have a value. finer: points for means."""
    jumps = []
    for one in condition.requirements(problem):
        if one.is_mean:
            yield _residual_of_mean(problem, one, finer, heights)
        elif one.place.sides == 1:
            yield from (_residual(some, one.operator, one.value, heights) for some in samples(problem, one.place, rule))
        elif problem.faces(condition):
            jumps.append(one)
    for _, group in itertools.groupby(jumps, key=lambda one: names_of(one.operator)):
        yield _residual_of_jumps(problem, list(group), rule)


def _residual(sample: Sample, operator: Field, value: Formula | RightHandSide, heights: Mapping[str, float]) -> float:
    """The largest residual at the points of a sample."""
    operator, value = with_known_value(operator, value, sample.problem.parameters)
    sides = sample.right_hand_side(EXACT, operator), sample.right_hand_side(value, operator)
    return _relative(float((sides[0] - sides[1]).abs().max()), _size(sample, operator, heights, sides))


def _residual_of_mean(problem: Problem, one: Requirement, rule: Rule, heights: Mapping[str, float]) -> float:
    """The residual of a mean."""
    points = one.rule(list(rules(problem, one.place, rule)))
    sample, weights = Sample.of(problem, points), torch.as_tensor(points.weights / points.weights.sum())
    sides = sample.right_hand_side(EXACT, one.operator), sample.right_hand_side(one.value, one.operator)
    return _relative(abs(float(weights @ (sides[0] - sides[1]))), _size(sample, one.operator, heights, sides))


def _residual_of_jumps(problem: Problem, jumps: list[Requirement], rule: Rule) -> float:
    """The largest residual of jumps of operators on the same unknowns, relative to the largest value of any of them."""
    largest, size = 0.0, 0.0
    for one in jumps:
        sample = Sample.of(problem, one.rule(list(rules(problem, one.place, rule))))
        values = sample.right_hand_side(EXACT, one.operator)
        first, second = values.chunk(2)
        jump = first - second
        if one.value is not EXACT:
            jump = jump - sample.right_hand_side(one.value, one.operator)[: len(jump)]
        largest, size = max(largest, float(jump.abs().max())), max(size, float(values.abs().max()))
    return _relative(largest, size)


def _size(sample: Sample, operator: Field, heights: Mapping[str, float], sides: tuple[Tensor, ...]) -> float:
    """The largest of both sides, and of the operator at waves as high as the unknowns and as long as the domain.

    Terms may cancel, and an unknown may vanish on a face.
    """
    domain = sample.problem.domain
    sizes = list(sides)
    for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
        sizes.append(sample.applied(operator, _wave(a, b), name, heights))
    return max(float(values.abs().nan_to_num(0.0).max()) for values in sizes)


def _wave(lower: float, upper: float) -> Trial:
    return lambda x: sin((x - lower) * (3.0 / (upper - lower))) + 1.0


def _relative(residual: float, size: float) -> float:
    return residual / size if size > 0.0 else 0.0
