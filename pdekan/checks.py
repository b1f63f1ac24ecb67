"""Checks of a problem before it is solved: formulas are finite, and the exact solution satisfies what it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.domains.quadrature import Quadrature
from pdekan.expressions import ExpressionError
from pdekan.jets import Derivatives, Jet, MissingDerivative, sin
from pdekan.operators import d
from pdekan.problems import EXACT, Condition, Field, Formula, Problem, ProblemError, RightHandSide, as_field

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
        return operator({**environment, self.problem.unknown: unknown}).value

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


def _faces(problem: Problem, condition: Condition) -> list[str]:
    return [face for name in condition.on for face in problem.domain.resolve(name)]


def probe(problem: Problem) -> Iterator[tuple[Place, str]]:
    """What is wrong with a problem's formulas at a few points inside and on each condition's faces.

    Yields the place, in the words of the problem file, and a message: values that are not finite, derivatives of an
    order that is not supported, operators where they are not defined.
    """
    domain = problem.domain
    # an even order keeps away from the middle, where singular coordinates sit
    inside = _Sample.of(problem, domain.interior(cells=1, order=4, count=8, seed=0))
    if problem.exact is not None:
        wrong = list(_probe_exact(inside))
        yield from ((("exact", problem.unknown), message) for message in wrong)
        if wrong:
            return
    for side, message in _probe_sides(inside, as_field(problem.equation), problem.source):
        yield ("equation", side or "source"), message
    for k, condition in enumerate(problem.conditions):
        if condition.operator is None:
            continue
        for face in _faces(problem, condition)[:_PROBED_FACES]:
            on_face = _Sample.of(problem, domain.face(face, cells=1, order=4, count=8, seed=0))
            for side, message in _probe_sides(on_face, condition.operator, condition.value):
                yield ("conditions", k, side or "value"), message


def _probe_exact(sample: _Sample) -> Iterator[str]:
    try:
        exact = sample.problem.exact_jet(sample.points, Derivatives.GRADIENT)
    except MissingDerivative:
        yield "derivatives are not supported in an exact solution"
    except ExpressionError as error:
        yield str(error)
    else:
        yield from sample.not_finite("the exact solution", exact.value)
        if exact.gradient is not None:
            yield from sample.not_finite("the exact solution's gradient", exact.gradient.sum(-1))


def _probe_sides(sample: _Sample, operator: Field, value: Formula | RightHandSide) -> Iterator[tuple[str, str]]:
    """Both sides of operator(u) = value; yields "operator", or "" for the right-hand side, and a message."""
    try:
        level = sample.level(operator)
    except ProblemError as error:
        yield "operator", str(error)
        return
    if sample.problem.exact is not None:
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

    cells, order, count: the points, as for the domain's quadrature. Raises ProblemError without an exact solution.
    """
    domain = problem.domain
    inside = _Sample.of(problem, domain.interior(cells, order, count, seed=1))
    height = float(problem.exact_jet(inside.points, Derivatives.VALUE).value.abs().max())
    result: dict[Place, float] = {("equation",): _mismatch(inside, as_field(problem.equation), problem.source, height)}
    for k, condition in enumerate(problem.conditions):
        names = _faces(problem, condition)
        faces = [_Sample.of(problem, domain.face(name, cells, order, count, seed=1)) for name in names]
        if condition.operator is None:
            result["conditions", k] = _periodic_mismatch(faces, condition.on[0][:-1])
        else:
            operator = condition.operator
            result["conditions", k] = max(_mismatch(face, operator, condition.value, height) for face in faces)
    return result


def _mismatch(sample: _Sample, operator: Field, value: Formula | RightHandSide, height: float) -> float:
    level = sample.level(operator)
    left, right = sample.right(EXACT, operator, level), sample.right(value, operator, level)
    problem, domain = sample.problem, sample.problem.domain
    environment = problem.environment(sample.points, level, sample.normals)
    # terms may cancel, and u may vanish on a face: the size is that of the operator at waves as high as u and as long
    # as the domain
    sizes = [left, right]
    for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
        wave = (sin((environment[name] - a) * (3.0 / (b - a))) + 1.0) * height
        sizes.append(operator({**environment, problem.unknown: wave}).value)
    size = max(float(values.abs().nan_to_num(0.0).max()) for values in sizes)
    return float((left - right).abs().max()) / size if size > 0.0 else 0.0


def _periodic_mismatch(faces: list[_Sample], coordinate: str) -> float:
    """Of value and derivative by the coordinate, between opposite faces."""
    exact = [face.problem.exact_jet(face.points, Derivatives.GRADIENT) for face in faces]
    first, second = (torch.stack([jet.value, d(jet, coordinate).value]) for jet in exact)
    size = float(torch.stack([first, second]).abs().max())
    return float((first - second).abs().max()) / size if size > 0.0 else 0.0
