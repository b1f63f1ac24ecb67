"""Whether equation and conditions determine the solution: counted for every unknown, and tried in a space of functions.

A count alone proves nothing: an outflow needs no condition. A problem is refused before training where a condition seems to be
missing and functions of size one leave next to no residual (`estimate.amplification`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.fields.jets import TIME, Derivatives, Frame, Jet
from pdekan.problems.conditions import Condition
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term
from pdekan.training.estimate import amplification

START = TIME + "-"
# The amplification of residuals above which a solution counts as not determined: the library's problems have 1 to 2e4, a
# backward heat equation 9e3, problems without a condition 3e7 to 1e10 (`estimate.amplification`).
UNDETERMINED = 1e6
# … and above which functions of size one leave a residual of round-off: growth by exp(18) has 1e8, a missing value 1e9.
NULL = 3e8
POINTS = (2, 4, 64, 0)  # of the trial: cells, points an axis, count, seed


@dataclass(frozen=True)
class Missing:
    """What seems to be missing, in words; is_decisive: whether no well-posed problem lacks it."""

    words: str
    is_decisive: bool

    def __str__(self) -> str:
        return self.words


def refuse_undetermined(problem: Problem) -> None:
    """Raise ProblemError where a condition seems to be missing and residuals are amplified too much.

    Too much is more than UNDETERMINED where an initial condition or an equation is missing, else more than NULL: a solution may
    grow along characteristics towards a face that needs no condition.
    """
    missing = list(missing_conditions(problem))
    size = amplification(problem) if missing else None
    decisive = any(one.is_decisive for one in missing)
    if size is not None and size > (UNDETERMINED if decisive else NULL):
        raise ProblemError(
            f"equation and conditions do not determine the solution: {'; '.join(map(str, missing))}. Functions of size one "
            f"leave a residual of {1.0 / size:.0e}; state in [[conditions]] what holds there"
        )


def missing_conditions(problem: Problem) -> Iterator[Missing]:
    """What seems to be missing, unknown by unknown: initial conditions by the order in time, conditions on faces."""
    for name in problem.unknowns if problem.equations else ():
        order, order_in_time = _orders(problem, name)
        if order < 0:
            yield Missing(f"no equation depends on {name}", True)
            continue
        faces = faces_with_conditions(problem, name)
        if faces.count(START) < order_in_time:
            what = f'an initial condition with operator = "dt({name})"' if START in faces else f"the initial value of {name}"
            yield Missing(f"{name} has derivatives of order {order_in_time} in {TIME}: {what} is missing on {START}", True)
        bare = [face for face in problem.domain.faces if face not in faces and face[:-1] != TIME]
        enough = problem.domain.dimension == 1 and len(faces) >= order  # of an ordinary differential equation, on either face
        if bare and order > 0 and not enough:
            yield Missing(f"nothing is stated for {name} on {', '.join(bare[:6])}", False)


def cause_of_amplification(problem: Problem) -> str:
    """Why residuals are amplified: missing conditions, growth towards faces without conditions, or, with all, resonance."""
    missing = "; ".join(map(str, missing_conditions(problem)))
    if missing:
        return missing
    stated = [face for name in problem.unknowns for face in faces_with_conditions(problem, name)]
    free = [face for face in problem.domain.faces if stated.count(face) < len(problem.unknowns) and face != TIME + "+"]
    if free:
        return f"errors grow exponentially towards {', '.join(free[:4])}, where nothing is stated"
    return "a resonance: any multiple of an eigenfunction may be added"


def faces_with_conditions(problem: Problem, name: str) -> list[str]:
    """The faces of all conditions that concern an unknown, one for each condition."""
    own = [one for one in problem.conditions if one.has_points and _concerns(problem, one, name)]
    return [face for condition in own for face in problem.faces(condition)]


def _concerns(problem: Problem, condition: Condition, name: str) -> bool:
    """Whether a condition is for an unknown, or its operator depends on it."""
    if condition.unknown is not None:
        return condition.unknown == name
    operators = [one.operator for one in condition.requirements(problem)]
    return any(name in getattr(operator, "names", (name,)) for operator in operators)


def _orders(problem: Problem, name: str) -> tuple[int, int]:
    """The highest order of an unknown's derivatives in the equations, -1 where none depends on it, and that in time."""
    order = in_time = -1
    for slope in slopes(problem, name):
        for k, part in enumerate(slope):
            order = max(order, k if bool(part.any()) else -1)
        if TIME in problem.domain.coordinates:
            t = problem.domain.coordinates.index(TIME)
            second = list(zip(*Frame(problem.domain.coordinates).packed, strict=True)).index((t, t))
            in_time = max(in_time, 2 if bool(slope[2][:, second].any()) else 1 if bool(slope[1][:, t].any()) else 0)
    return order, max(in_time, 0)


def slopes(problem: Problem, name: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Derivatives of each equation's residual by value, gradient and Hessian of an unknown, at points inside."""
    points = torch.as_tensor(problem.domain.interior(*POINTS).points)
    frame = Frame(problem.domain.coordinates, Derivatives.FULL)
    k = problem.unknowns.index(name)
    for equation in problem.equations:
        problem.level_of(equation.operator, points[:2])  # which refuses derivatives of higher order
        environment = problem.environment(points, Derivatives.FULL)
        term = Term(
            name="", group="equation", operator=equation.operator, points=points, target=points.new_zeros(len(points)),
            share=points.new_full((len(points),), 1.0 / len(points)), frame=frame, environment=environment,
            sought=problem.sought, parameters=len(problem.parameters),
        )  # fmt: skip
        zero = term.zero()
        value = (0.7 + 0.1 * torch.sin(points.sum(1, keepdim=True))).expand_as(zero.value)
        assert zero.gradient is not None
        assert zero.second is not None
        trial = Jet(frame, value, torch.full_like(zero.gradient, 0.3), torch.full_like(zero.second, 0.1))
        slope = term.linearised(trial)[1]
        assert slope.gradient is not None
        assert slope.second is not None
        yield slope.value[:, k : k + 1], slope.gradient[:, k], slope.second[:, k]
