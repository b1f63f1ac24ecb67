"""Checks of a problem before it is solved: formulas are finite, and the exact solution satisfies what it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.domains.quadrature import Quadrature, appended
from pdekan.fields.functions import sin
from pdekan.fields.jets import Derivatives, Jet, MissingDerivative
from pdekan.fields.operators import d
from pdekan.problem_files.parser import ExpressionError
from pdekan.problem_files.well_posedness import contradictions
from pdekan.problems.conditions import DOMAIN, Condition
from pdekan.problems.formulas import EXACT, Field, Formula, ProblemError, RightHandSide
from pdekan.problems.parameters import with_known_value
from pdekan.problems.problem import Problem

Place = tuple[str | int, ...]

# a box in a hundred dimensions has two hundred faces; formulas that fail do so on the first few
_PROBED_FACES = 6


@dataclass(frozen=True)
class _Sample:
    """Points ``(n, d)`` inside, or on a face with its normals."""

    problem: Problem
    points: Tensor
    normals: Tensor | None = None

    @classmethod
    def of(cls, problem: Problem, rule: Quadrature) -> _Sample:
        normals = None if rule.normals is None else torch.as_tensor(rule.normals)
        return cls(problem, torch.as_tensor(rule.points), normals)

    def level(self, operator: Field) -> Derivatives:
        return self.problem.level_of(operator, self.points, self.normals)

    def right(self, value: Formula | RightHandSide, operator: Field, level: Derivatives) -> Tensor:
        return self.problem.right_hand_side(value, operator, self.points, level, self.normals)

    def applied(self, operator: Field, trial: Callable[[Jet], Jet], level: Derivatives) -> Tensor:
        """The operator applied to a function of the first coordinate."""
        environment = self.problem.environment(self.points, level, self.normals)
        unknown = trial(environment[self.problem.domain.coordinates[0]])
        return operator({**environment, **_guesses(self.problem, unknown)}).value

    def not_finite(self, what: str, values: Tensor) -> Iterator[str]:
        bad = torch.nonzero(~values.isfinite())
        if len(bad):
            k = int(bad[0, 0])
            named = list(zip(self.problem.domain.coordinates, self.points[k].tolist(), strict=True))[:5]
            at = ", ".join(f"{name} = {value:.4g}" for name, value in named)
            yield f"{what} is {values[k].item()} at {at}; formulas must be finite in the domain and on its faces"


# stand-ins for an unknown that must perhaps be positive, or negative, or large
_TRIALS: tuple[Callable[[Jet], Jet], ...] = (
    lambda x: sin(x) * 0.1 + 0.7,
    lambda x: sin(x) * 0.1 - 0.7,
    lambda x: sin(x) * 0.1 + 3.0,
)


def _guesses(problem: Problem, unknown: Jet) -> dict[str, Jet]:
    """The same function for every unknown, and parameters at their initial values."""
    initial = {name: unknown.frame.constant(one.initial, unknown.value) for name, one in problem.parameters.items()}
    return {**dict.fromkeys(problem.unknowns, unknown), **initial}


def _knows_all(problem: Problem) -> bool:
    return all(name in problem.exact_fields for name in problem.unknowns)


def _rules(problem: Problem, condition: Condition, cells: int, order: int, count: int, seed: int) -> Iterator[Quadrature]:
    """Points on each of a condition's faces, or inside for a mean over the domain; none for an interface."""
    domain = problem.domain
    if condition.kind == "interface":
        return
    for name in condition.on:
        if condition.kind == "mean" and name == DOMAIN:
            yield domain.interior(cells, order, count, seed)
            continue
        for face in domain.resolve(name):
            yield domain.face(face, cells, order, count, seed)


def probe(problem: Problem) -> Iterator[tuple[Place, str]]:
    """What is wrong with a problem's formulas at a few points inside and on each condition's faces.

    Yields the place, in the words of the problem file, and a message: values that are not finite, derivatives of an
    order that is not supported, operators where they are not defined; then what `posedness` finds.
    """
    # an even order keeps away from the middle, where singular coordinates sit
    inside = _Sample.of(problem, problem.domain.interior(cells=1, order=4, count=8, seed=0))
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
        if condition.operator is None:
            continue
        for rule in itertools.islice(_rules(problem, condition, 1, 4, 8, 0), _PROBED_FACES):
            for side, message in _probe_sides(_Sample.of(problem, rule), condition.operator, condition.value):
                sound = False
                yield ("conditions", k, side or "value"), message
    if sound:
        yield from contradictions(problem)


def _probe_exact(sample: _Sample) -> Iterator[tuple[str, str]]:
    for name in sample.problem.exact_fields:
        try:
            exact = sample.problem.exact_jet(sample.points, Derivatives.GRADIENT, None, name)
        except MissingDerivative:
            yield name, "derivatives are not supported in an exact solution"
        except ExpressionError as error:
            yield name, str(error)
        else:
            messages = list(sample.not_finite("the exact solution", exact.value))
            if exact.gradient is not None:
                messages += sample.not_finite("the exact solution's gradient", exact.gradient.sum(-1))
            yield from ((name, message) for message in messages)


def _probe_sides(sample: _Sample, operator: Field, value: Formula | RightHandSide) -> Iterator[tuple[str, str]]:
    """Both sides of operator(u) = value; yields "operator", or "" for the right-hand side, and a message."""
    try:
        level = sample.level(operator)
    except ProblemError as error:
        yield "operator", str(error)
        return
    if _knows_all(sample.problem):
        applied = sample.right(EXACT, operator, level)
        messages = sample.not_finite("the operator applied to the exact solution", applied)
        yield from (("operator", message) for message in messages)
    else:
        trials = [sample.applied(operator, trial, level) for trial in _TRIALS]
        if not any(trial.isfinite().all() for trial in trials):
            messages = sample.not_finite("the operator applied to a smooth function", trials[0])
            yield from (("operator", message) for message in messages)
    if value is EXACT:
        return
    operator, value = with_known_value(operator, value, sample.problem.parameters)
    try:
        given = sample.right(value, operator, level)
    except MissingDerivative:
        yield "", "derivatives are not supported on the right-hand side; move them to the operator, or write them out"
    except ExpressionError as error:
        yield "", str(error)
    else:
        yield from (("", message) for message in sample.not_finite("the right-hand side", given))


def exact_residuals(problem: Problem, cells: int = 3, order: int = 5, count: int = 256) -> dict[Place, float]:
    """How far the exact solution is from solving the problem: the largest |operator(u) - value| of each requirement,
    relative to the largest of either side, or of the operator at waves as high as u.

    cells, order, count: the points, as for the domain's quadrature. Raises ProblemError where an unknown has no exact solution.
    """
    points = (cells, order, count, 1)
    inside = _Sample.of(problem, problem.domain.interior(*points))
    heights = {name: float(jet.value.abs().max()) for name, jet in problem.exact_jets(inside.points, Derivatives.VALUE).items()}
    if not _knows_all(problem):
        raise ProblemError(f"problem {problem.name!r} has no exact solution for all of its unknowns")
    several = len(problem.equations) > 1
    result: dict[Place, float] = {}
    for j, equation in enumerate(problem.equations):
        place: Place = ("equation", j) if several else ("equation",)
        result[place] = _mismatch(inside, equation.operator, equation.source, heights)
    for k, condition in enumerate(problem.conditions):
        samples = [_Sample.of(problem, rule) for rule in _rules(problem, condition, *points)]
        if condition.kind == "periodic":
            result["conditions", k] = _periodic_mismatch(samples, condition)
        elif condition.kind == "mean":
            finer = (3 * cells, order, 64 * count, 1)
            result["conditions", k] = _mean_mismatch(problem, condition, list(_rules(problem, condition, *finer)), heights)
        elif samples:
            assert condition.operator is not None
            result["conditions", k] = max(_mismatch(one, condition.operator, condition.value, heights) for one in samples)
    return result


def _mismatch(sample: _Sample, operator: Field, value: Formula | RightHandSide, heights: Mapping[str, float]) -> float:
    operator, value = with_known_value(operator, value, sample.problem.parameters)
    level = sample.level(operator)
    left, right = sample.right(EXACT, operator, level), sample.right(value, operator, level)
    size = _size(sample, operator, level, heights, (left, right))
    return float((left - right).abs().max()) / size if size > 0.0 else 0.0


def _size(
    sample: _Sample, operator: Field, level: Derivatives, heights: Mapping[str, float], sides: tuple[Tensor, ...]
) -> float:
    """The largest of both sides, and of the operator at waves as high as the unknowns and as long as the domain.

    Terms may cancel, and an unknown may vanish on a face.
    """
    problem, domain = sample.problem, sample.problem.domain
    environment = problem.environment(sample.points, level, sample.normals)
    sizes = list(sides)
    for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
        wave = sin((environment[name] - a) * (3.0 / (b - a))) + 1.0
        waves = {unknown: wave * heights[unknown] for unknown in problem.unknowns}
        sizes.append(operator({**environment, **_guesses(problem, wave), **waves}).value)
    return max(float(values.abs().nan_to_num(0.0).max()) for values in sizes)


def _mean_mismatch(problem: Problem, condition: Condition, rules: list[Quadrature], heights: Mapping[str, float]) -> float:
    """Of the mean of an operator over all faces together."""
    rule, operator = appended(rules), condition.operator
    assert operator is not None
    sample = _Sample.of(problem, rule)
    level = sample.level(operator)
    weights = torch.as_tensor(rule.weights / rule.weights.sum())
    left, right = sample.right(EXACT, operator, level), sample.right(condition.value, operator, level)
    size = _size(sample, operator, level, heights, (left, right))
    return abs(float(weights @ (left - right))) / size if size > 0.0 else 0.0


def _periodic_mismatch(faces: list[_Sample], condition: Condition) -> float:
    """Of value and derivative by the coordinate, between opposite faces."""
    problem, coordinate = faces[0].problem, condition.on[0][:-1]
    worst = 0.0
    for unknown in problem.unknowns if condition.unknown is None else [condition.unknown]:
        exact = [problem.exact_jet(face.points, Derivatives.GRADIENT, None, unknown) for face in faces]
        first, second = (torch.stack([jet.value, d(jet, coordinate).value]) for jet in exact)
        size = float(torch.stack([first, second]).abs().max())
        worst = max(worst, float((first - second).abs().max()) / size if size > 0.0 else 0.0)
    return worst
