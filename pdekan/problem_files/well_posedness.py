"""Whether a problem as stated has one solution: conditions that contradict each other, and levels that nothing determines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.lifting import Lifting
from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.fields.functions import sin
from pdekan.fields.jets import TIME, Derivatives, Frame, Jet
from pdekan.problems.conditions import DOMAIN, Condition
from pdekan.problems.formulas import Field, Formula, ProblemError, RightHandSide
from pdekan.problems.problem import Problem

Place = tuple[str | int, ...]
# Points of the checks, and of the integrals: cells, order, count, seed.
FEW, FINE = (1, 4, 8, 0), (8, 6, 64, 0)
SAME = 1e-6  # relative to the values' size: as different as this they are the same
BALANCED = 1e-4  # relative to the integrals of absolute values
MOST_FACES = 12  # of a condition's; a box in a hundred dimensions has two hundred
# Stand-ins for unknowns that must perhaps be positive, or negative.
TRIALS: tuple[Callable[[Jet], Jet], ...] = (lambda x: sin(x) * 0.1 + 0.7, lambda x: sin(x * 2.0) * 0.1 - 0.7)


def contradictions(problem: Problem) -> Iterator[tuple[Place, str]]:
    """Why a problem cannot be solved as stated: the place, in the words of the problem file, and a message."""
    for name, shape in problem.interfaces.items():
        if shape.coordinates != problem.domain.coordinates:
            have, need = ", ".join(shape.coordinates), ", ".join(problem.domain.coordinates)
            yield ("domain", "interfaces", name), f"its coordinates are {have}; those of the domain are {need}, in this order"
            return
    for unknown in problem.unknowns:
        try:
            Lifting.of(problem, unknown)
        except ProblemError as error:
            exact = [k for k, c in enumerate(problem.conditions) if c.enforce == "exact" and c.unknown == unknown]
            yield ("conditions", exact[0]), str(error)
    yield from _overlaps(problem)
    loose = _loose(problem)
    if loose:
        yield (
            ("conditions",) if problem.conditions else ("unknowns",),
            f"nothing determines the level of {', '.join(loose)}: a constant added changes no equation and no condition; "
            'add [[conditions]] with type = "mean", or a dirichlet condition',
        )


def doubts(problem: Problem) -> list[str]:
    """What may be meant, but makes a solution rough or impossible: sentences for the user."""
    return [*_corners(problem), *_imbalance(problem)]


@dataclass(frozen=True)
class _Values:
    """A condition for the values of an unknown, as far as they are known before training."""

    place: int
    condition: Condition
    faces: tuple[str, ...]

    def at(self, problem: Problem, points: Tensor) -> Tensor:
        """The values ``(n,)`` that are asked for at points ``(n, d)``."""
        environment = problem.environment(points, Derivatives.VALUE)
        value, unknown = self.condition.value, self.condition.unknown
        assert unknown is not None
        field = problem.exact_fields[unknown] if isinstance(value, RightHandSide) else value
        return field(environment).value


def _of_values(problem: Problem) -> list[_Values]:
    """The conditions that ask for values; those that depend on parameters are left out."""
    found = []
    for k, condition in enumerate(problem.conditions):
        names = getattr(condition.value, "names", ())
        if (
            condition.kind in ("dirichlet", "initial")
            and not set(names) & set(problem.parameters)
            and _itself(problem, condition)
        ):
            faces = dict.fromkeys(face for name in condition.on for face in problem.domain.resolve(name))
            found.append(_Values(k, condition, tuple(faces)[:MOST_FACES]))
    return found


def _itself(problem: Problem, condition: Condition) -> bool:
    """Whether a condition's operator is the unknown itself, and not its derivative in time."""
    sample = _Sample.of(problem, problem.domain.interior(*FEW))
    assert condition.operator is not None
    if problem.level_of(condition.operator, sample.points) is not Derivatives.VALUE:
        return False
    return bool(
        torch.equal(sample.applied(condition.operator, TRIALS[0], {}), sample.trial(TRIALS[0], Derivatives.VALUE).value)
    )


def _overlaps(problem: Problem) -> Iterator[tuple[Place, str]]:
    for first, second in itertools.combinations(_of_values(problem), 2):
        if first.condition.unknown != second.condition.unknown:
            continue
        for face in (face for face in first.faces if face in second.faces):
            points = torch.as_tensor(problem.domain.face(face, *FEW).points)
            a, b = first.at(problem, points), second.at(problem, points)
            if _differ(a, b):
                yield (
                    ("conditions", second.place, "on"),
                    f"{face} has values of {first.condition.unknown} from condition {first.place + 1} already, and others "
                    "from this one; name the faces of each",
                )
                break


def _differ(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() > SAME * torch.maximum(a.abs().max(), b.abs().max()))


@dataclass(frozen=True)
class _Sample:
    """Points inside or on a face, at which operators are tried on smooth functions."""

    problem: Problem
    points: Tensor
    normals: Tensor | None

    @classmethod
    def of(cls, problem: Problem, rule: Quadrature) -> _Sample:
        return cls(problem, torch.as_tensor(rule.points), None if rule.normals is None else torch.as_tensor(rule.normals))

    def trial(self, trial: Callable[[Jet], Jet], level: Derivatives) -> Jet:
        environment = self.problem.environment(self.points, level, self.normals)
        return trial(environment[self.problem.domain.coordinates[0]])

    def applied(self, operator: Field, trial: Callable[[Jet], Jet], constants: dict[str, float]) -> Tensor:
        """The operator applied to one function for all unknowns, plus a constant for some."""
        level = self.problem.level_of(operator, self.points[:2], None if self.normals is None else self.normals[:2])
        u = self.trial(trial, level)
        sought = {name: u + constants[name] if name in constants else u for name in self.problem.unknowns}
        sought |= {name: u.frame.constant(one.initial, u.value) for name, one in self.problem.parameters.items()}
        return operator(self.problem.environment(self.points, level, self.normals, sought)).value


def _loose(problem: Problem) -> list[str]:
    """The unknowns to which constants can be added without a change; with parameters it is not known."""
    if problem.parameters:
        return []
    measured = {name for one in problem.data for name in one.values}
    for trial in TRIALS:
        columns = []
        for unknown in problem.unknowns:
            changes = [
                sample.applied(operator, trial, {unknown: 1.0}) - sample.applied(operator, trial, {})
                for sample, operator in _requirements(problem)
            ]
            known = [float(unknown == name) for name in problem.unknowns if name in measured]
            columns.append(torch.cat([*changes, torch.tensor([*known, 0.0], dtype=torch.float64)]))
        matrix = torch.stack(columns, dim=1)
        if bool(matrix.isfinite().all()):
            _, sizes, directions = torch.linalg.svd(matrix, full_matrices=True)
            null = directions[int((sizes > 1e-9 * max(1.0, float(sizes.max()))).sum()) :]
            return [name for k, name in enumerate(problem.unknowns) if bool((null[:, k].abs() > 1e-6).any())]
    return []


def _requirements(problem: Problem) -> Iterator[tuple[_Sample, Field]]:
    """Points and operators of all that must hold there and that a constant could change."""
    domain = problem.domain
    inside = _Sample.of(problem, domain.interior(*FEW))
    yield from ((inside, equation.operator) for equation in problem.equations)
    for condition in problem.conditions:
        if condition.operator is None or condition.kind == "interface":
            continue
        if DOMAIN in condition.on:
            yield inside, condition.operator
            continue
        faces = [face for name in condition.on for face in domain.resolve(name)]
        yield from ((_Sample.of(problem, domain.face(face, *FEW)), condition.operator) for face in faces[:MOST_FACES])


def _corners(problem: Problem) -> Iterator[str]:
    for first, second in itertools.combinations_with_replacement(_of_values(problem), 2):
        if first.condition.unknown != second.condition.unknown:
            continue
        for one, other in itertools.product(first.faces, second.faces):
            points = torch.as_tensor(_meeting(problem.domain, one, other))
            if not len(points):
                continue
            a, b = first.at(problem, points), second.at(problem, points)
            if _differ(a, b):
                k = int((a - b).abs().argmax())
                where = ", ".join(f"{c} = {v:g}" for c, v in zip(problem.domain.coordinates, points[k].tolist(), strict=True))
                yield (
                    f"values of {first.condition.unknown} disagree where {one} and {other} meet: {a[k]:.6g} and {b[k]:.6g} at "
                    f"{where}; the solution jumps there, and errors fall slowly"
                )
                break


def _meeting(domain: Domain, one: str, other: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Points ``(n, d)`` that two faces have in common, as far as they are known."""
    if one == other:
        return np.empty((0, domain.dimension))
    if isinstance(domain, Planar):
        ends = [
            np.concatenate([arc.at(np.array(arc.span)) for arc in domain.arcs if arc.name == name]) for name in (one, other)
        ]
        near = np.linalg.norm(ends[0][:, None] - ends[1], axis=2).min(axis=1) < SAME * domain.size
        return np.asarray(ends[0][near])
    for face, flat in ((one, other), (other, one)):
        name = flat[:-1]
        if (isinstance(domain, Box) or name == TIME) and face[:-1] != name:
            k = domain.coordinates.index(name)
            points = domain.face(face, *FEW).points.copy()
            points[:, k] = domain.lower[k] if flat[-1] == "-" else domain.upper[k]
            return points
    return np.empty((0, domain.dimension))


def _imbalance(problem: Problem) -> Iterator[str]:
    """Of div(c ∇u) = f with n·∇u = g all around: ∫ f = ∮ c g must hold. c is the operator at the function ½ (n·(x - x₀))²."""
    domain, conditions = problem.domain, [c for c in problem.conditions if c.kind != "mean"]
    if len(problem.equations) != 1 or len(problem.unknowns) != 1 or problem.parameters or problem.data or problem.interfaces:
        return
    faces = [face for c in conditions for name in c.on for face in domain.resolve(name)]
    if any(c.kind != "neumann" for c in conditions) or set(faces) != set(domain.faces) or domain.dimension > TENSOR_DIMENSIONS:
        return
    (equation,), (u,) = problem.equations, problem.unknowns
    inside, parts = domain.interior(*FINE), [domain.face(face, *FINE) for face in faces]
    around, sample = _Sample.of(problem, appended(parts)), _Sample.of(problem, inside)
    area, length = torch.as_tensor(inside.weights), torch.as_tensor(np.concatenate([part.weights for part in parts]))
    frame = Frame(domain.coordinates, Derivatives.FULL)
    n, zero = around.normals, frame.constant(0.0, around.points)
    assert n is not None
    ridge = Jet(frame, zero.value, torch.zeros_like(n), frame.pair(n, n))
    c = equation.operator(problem.environment(around.points, Derivatives.FULL, None, {u: ridge})).value
    for trial in TRIALS:  # whether the operator is such a divergence
        slope = around.trial(trial, Derivatives.GRADIENT).gradient
        assert slope is not None
        if not _balanced(area, sample.applied(equation.operator, trial, {}), length, c * (slope * n).sum(1)):
            return
    f = _right(sample, equation.source, equation.operator)
    pieces = [
        (c_, _Sample.of(problem, domain.face(face, *FINE))) for c_ in conditions for on in c_.on for face in domain.resolve(on)
    ]
    g = torch.cat([_right(one, condition.value, condition.operator) for condition, one in pieces])
    if not _balanced(area, f, length, c * g):
        yield (
            f"no solution exists: the source integrates to {float(area @ f):.6g} and what neumann conditions let through the "
            f"boundary to {float(length @ (c * g)):.6g}, which must be equal; correct one of them"
        )


def _right(sample: _Sample, value: Formula | RightHandSide, operator: Field | None) -> Tensor:
    assert operator is not None
    level = sample.problem.level_of(operator, sample.points[:2], None if sample.normals is None else sample.normals[:2])
    return sample.problem.right_hand_side(value, operator, sample.points, level, sample.normals)


def _balanced(area: Tensor, f: Tensor, length: Tensor, flux: Tensor) -> bool:
    size = float(area @ f.abs() + length @ flux.abs())
    return abs(float(area @ f - length @ flux)) <= BALANCED * size
