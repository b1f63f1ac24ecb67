"""Whether equation and conditions determine the solution: counted for every unknown, and tried in a space of functions.

A count alone proves nothing: an outflow needs no condition. A problem is refused before training where a condition seems to be
missing and functions of size one leave next to no residual (`amplification`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from pdekan.fields.jets import TIME, Derivatives, Frame, Jet
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import Periodic
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term, initial_values, other_values, terms
from pdekan.training.amplification import amplification

START = TIME + "-"
# The amplification of residuals above which a solution counts as not determined: the library's problems have 1 to 2e4, a
# backward heat equation 9e3, problems without a condition 3e7 to 1e10 (`amplification`).
UNDETERMINED = 1e6
# … and above which functions of size one leave a residual of round-off: growth by exp(18) has 1e8, a missing value 1e9.
NULL = 3e8
POINTS = (2, 4, 64, 0)  # of the trial: cells, points an axis, count, seed
ZERO = 1e-12  # residuals at u = 0 that are round-off
BENT = (0.3, 0.1, 0.05)  # first, second and higher derivatives of the trial


@dataclass(frozen=True)
class Missing:
    """What seems to be missing, in words; is_decisive: whether no well-posed problem lacks it."""

    words: str
    is_decisive: bool

    def __str__(self) -> str:
        return self.words


def refuse_undetermined(problem: Problem) -> None:
    """Raise ProblemError where a condition seems to be missing and residuals are amplified too much, or zero is a solution
    for all values of the sought parameters.

    Too much is more than UNDETERMINED where an initial condition or an equation is missing, else more than NULL: a solution may
    grow along characteristics towards a face that needs no condition.
    """
    if _is_solved_by_zero(problem):
        names = ", ".join(problem.parameters)
        raise ProblemError(
            f"{' = '.join(problem.unknowns)} = 0 satisfies equation and conditions for every value of {names}: state how large "
            'the solution is, as [[conditions]] type = "mean" with a value other than 0, or by [[data]]'
        )
    missing = list(missing_conditions(problem))
    size = amplification(problem) if missing else None
    decisive = any(one.is_decisive for one in missing)
    if size is not None and size > (UNDETERMINED if decisive else NULL):
        raise ProblemError(
            f"equation and conditions do not determine the solution: {'; '.join(map(str, missing))}. Functions of size one "
            f"leave a residual of {1.0 / size:.0e}; state in [[conditions]] what holds there"
        )


def _is_solved_by_zero(problem: Problem) -> bool:
    """Whether zero solves a problem with sought parameters and without data, for their initial and for other values."""
    if not problem.parameters or not problem.equations or any(one.is_exact for one in problem.conditions):
        return False
    every = terms(problem, Sampling(*POINTS))
    return all(
        bool((one.residual(one.zero(values(problem, one.points))).abs() <= ZERO).all())
        for one in every
        for values in (initial_values, other_values)
    )


def missing_conditions(problem: Problem) -> Iterator[Missing]:
    """What seems to be missing, unknown by unknown: initial conditions by the order in time, conditions on faces."""
    for name in problem.unknowns if problem.equations else ():
        orders = _orders(problem, name)
        order, order_in_time = max(orders.values(), default=-1), orders.get(TIME, 0)
        if order < 0:
            yield Missing(f"no equation depends on {name}", True)
            continue
        faces = faces_with_conditions(problem, name)
        if faces.count(START) < order_in_time:
            what = f"the initial value of {name}"
            if START in faces:
                count = faces.count(START)
                what = f'an initial condition with operator = "{"dt(" * count}{name}{")" * count}"'
            yield Missing(f"{name} has derivatives of order {order_in_time} in {TIME}: {what} is missing on {START}", True)
        bare = [face for face in problem.domain.faces if face not in faces and face[:-1] != TIME]
        # of an ordinary differential equation, on either face or inside
        inside = sum(bool(one.at) and _concerns(problem, one, name) for one in problem.conditions)
        enough = problem.domain.dimension == 1 and len(faces) + inside >= order
        if order > 2 and not enough:
            yield from _too_few(problem, name, faces, orders)
        elif bare and order > 0 and not enough:
            yield Missing(f"nothing is stated for {name} on {', '.join(bare[:6])}", False)


def silent_faces(problem: Problem) -> Iterator[str]:
    """Sentences on faces across which an equation has second derivatives, and about which nothing is said."""
    if problem.data:
        return  # measurements may stand in for conditions
    stated_at_all = Counter(face for name in problem.unknowns for face in faces_with_conditions(problem, name))
    for name in problem.unknowns if problem.equations else ():
        orders, faces = _orders(problem, name), Counter(faces_with_conditions(problem, name))
        bare = []
        for face in problem.domain.faces:
            along, flat = face[:-1], face[-1:] in "+-" and face[:-1] in problem.domain.coordinates
            order = orders.get(along, 0) if flat else max(orders.values(), default=0)
            stated = faces[along + "-"] + faces[along + "+"] if flat else faces[face]
            enough = stated >= 2 or stated_at_all[face] >= len(problem.unknowns)
            if along != TIME and order == 2 and face not in faces and not enough:
                bare.append(face)
        if bare:
            yield (
                f"nothing is said about {name} on {', '.join(bare[:6])}: there is no natural condition here, and nothing holds "
                'there; where nothing flows, write type = "neumann"'
            )


def _too_few(problem: Problem, name: str, faces: list[str], orders: Mapping[str, int]) -> Iterator[Missing]:
    """Where an equation of third or fourth order has fewer conditions than that on the two faces of a coordinate together, or
    fewer than half as many on a face of another kind.
    """
    joined = {face for one in problem.conditions if isinstance(one, Periodic) for face in problem.faces(one)}
    for face in problem.domain.faces:
        along, end = face[:-1], face[-1:]
        if face in joined or along == TIME or max(orders.values()) < 3:
            continue
        pair = (along + "-", along + "+") if along in orders and end in "+-" else (face,)
        needed = orders[along] if len(pair) == 2 else max(orders.values()) // 2
        stated = sum(faces.count(one) for one in pair)
        if face == pair[0] and needed > 2 // (3 - len(pair)) and stated < needed:
            where = " and ".join(pair) + (" together" if len(pair) == 2 else "")
            yield Missing(f"{name} needs {needed} conditions on {where}, of which {stated} are stated", True)


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


def _orders(problem: Problem, name: str) -> dict[str, int]:
    """The highest order of an unknown's derivatives in the equations by coordinate; nothing where none depends on it."""
    found: dict[str, int] = {}
    for slope in slopes(problem, name):
        flat = slope.flat
        for index, place in slope.frame.layout.places.items():
            if bool(flat[..., place].any()):
                for k, coordinate in enumerate(problem.domain.coordinates):
                    found[coordinate] = max(found.get(coordinate, 0), index.count(k))
    return found


def slopes(problem: Problem, name: str) -> Iterator[Jet]:
    """Derivatives of each equation's residual by the jet of an unknown, of level FULL at least, at points inside."""
    points = torch.as_tensor(problem.domain.interior(*POINTS).points)
    k = problem.unknowns.index(name)
    for equation in problem.equations:
        level = max(Derivatives.FULL, problem.level_of(equation.operator, points[:2]))
        frame = Frame(problem.domain.coordinates, level)
        environment = problem.environment(points, level)
        term = Term(
            name="", group="equation", operator=equation.operator, points=points, target=points.new_zeros(len(points)),
            share=points.new_full((len(points),), 1.0 / len(points)), frame=frame, environment=environment,
            sought=problem.sought, parameters=len(problem.parameters),
        )  # fmt: skip
        zero = term.zero()
        value = (0.7 + 0.1 * torch.sin(points.sum(1, keepdim=True))).expand_as(zero.value)
        pairs = zip(zero.derivatives, BENT, strict=True)
        gradient, second, higher = (None if part is None else torch.full_like(part, size) for part, size in pairs)
        yield term.linearised(Jet(frame, value, gradient, second, higher=higher))[1][k]
