"""Whether a problem is well posed: conditions that contradict each other, and unknowns that lack a level."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.lifting import Lifting, exact_conditions
from pdekan.domains.base import Domain
from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.domains.moving import Moving
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import appended
from pdekan.fields.functions import sin
from pdekan.fields.jets import TIME, Derivatives, Frame, Jet, MissingDerivative
from pdekan.fields.operators import normal
from pdekan.problem_files.compatibility import contradictions_at_corners
from pdekan.problem_files.lexer import names_in
from pdekan.problem_files.samples import Sample, Trial, samples
from pdekan.problems.condition import ValueCondition
from pdekan.problems.discontinuities import warnings_of_jumps
from pdekan.problems.formulas import Field, ProblemError, PythonField, RightHandSide, names_of
from pdekan.problems.places import Inside
from pdekan.problems.problem import Problem

Key = tuple[str | int, ...]  # of the problem file
# Points of the checks, and of the integrals: cells, order, count, seed.
FEW, FINE = (1, 4, 8, 0), (8, 6, 64, 0)
SAME = 1e-6  # relative to the size of values: those that differ by less are equal
BALANCED = 1e-4  # relative to the integrals of absolute values
MOST_FACES = 12  # of a condition; a box in a hundred dimensions has two hundred
# Trial functions, for unknowns that may have to be positive, or negative.
TRIALS: tuple[Trial, ...] = (lambda x: sin(x) * 0.1 + 0.7, lambda x: sin(x * 2.0) * 0.1 - 0.7)


def contradictions(problem: Problem) -> Iterator[tuple[Key, str]]:
    """The reasons why a problem has no solution, or many: the key of the problem file, and a message."""
    for name, shape in problem.interfaces.items():
        if shape.coordinates != problem.domain.coordinates:
            have, need = ", ".join(shape.coordinates), ", ".join(problem.domain.coordinates)
            yield ("domain", "interfaces", name), f"its coordinates are {have}; those of the domain are {need}, in this order"
            return
    for unknown in problem.unknowns:
        try:
            Lifting.of(problem, unknown)
        except ProblemError as error:
            yield ("conditions", problem.conditions.index(exact_conditions(problem, unknown)[0])), str(error)
    yield from _overlaps(problem)
    free = _without_level(problem)
    if free:
        yield (
            ("conditions",) if problem.conditions else ("unknowns",),
            f"nothing determines the level of {', '.join(free)}: a constant added changes no equation and no condition; "
            'add [[conditions]] with type = "mean", or a dirichlet condition',
        )


def warnings(problem: Problem) -> list[str]:
    """Sentences on values that jump at corners, an unbalanced flux, unused parameters, skipped data, and jumps."""
    return [
        *_corners(problem), *_imbalance(problem), *_unused(problem), *_skipped(problem), *warnings_of_jumps(problem),
        *contradictions_at_corners(problem, _values(problem)),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Values:
    """A condition for the values of an unknown that are known before training, with its place among the conditions."""

    place: int
    condition: ValueCondition
    faces: tuple[str, ...]

    def at(self, problem: Problem, points: Tensor) -> Tensor:
        """The prescribed values ``(n,)`` at points ``(n, d)``."""
        value, unknown = self.condition.value, self.condition.unknown or problem.unknowns[0]
        field = problem.exact_fields[unknown] if isinstance(value, RightHandSide) else value
        try:
            return field(problem.environment(points, Derivatives.VALUE)).value
        except MissingDerivative:
            return field(problem.environment(points, problem.level_of(field, points[:2]))).value

    def size(self, problem: Problem, face: str) -> Tensor:
        """The largest of the values' sizes on a face."""
        return self.at(problem, torch.as_tensor(problem.domain.face(face, *FEW).points)).abs().max()


def _prescribed_values(problem: Problem) -> list[_Values]:
    """The conditions for values, without those whose values depend on parameters."""
    found = []
    for k, condition in enumerate(problem.conditions):
        if (
            isinstance(condition, ValueCondition)
            and not names_of(condition.value) & set(problem.parameters)
            and _is_identity(problem, condition.operator)
        ):
            found.append(_Values(k, condition, tuple(dict.fromkeys(problem.faces(condition)))[:MOST_FACES]))
    return found


def _values(problem: Problem) -> dict[str, Field]:
    """The formulas of values by face; the exact solution contradicts nothing."""
    stated = ((face, one.condition.value) for one in _prescribed_values(problem) for face in one.faces)
    return {face: value for face, value in stated if not isinstance(value, RightHandSide)}


def _is_identity(problem: Problem, operator: Field) -> bool:
    """Whether an operator returns the unknown itself, and not a derivative of it."""
    (inside,) = samples(problem, Inside(), FEW)
    if inside.level(operator) is not Derivatives.VALUE:
        return False
    return bool(torch.equal(inside.applied(operator, TRIALS[0]), inside.trial(TRIALS[0], Derivatives.VALUE).value))


def _overlaps(problem: Problem) -> Iterator[tuple[Key, str]]:
    for first, second in itertools.combinations(_prescribed_values(problem), 2):
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


def _differ(a: Tensor, b: Tensor, size: Tensor | None = None) -> bool:
    """Whether values differ by more than round-off, relative to a size, or else to their own."""
    return bool((a - b).abs().max() > SAME * (torch.maximum(a.abs().max(), b.abs().max()) if size is None else size))


def _without_level(problem: Problem) -> list[str]:
    """The unknowns to which constants can be added without a change; problems with parameters are not checked."""
    if problem.parameters:
        return []
    measured = {name for one in problem.data for name in one.values}
    for trial in TRIALS:
        columns = []
        for unknown in problem.unknowns:
            changes = [
                sample.applied(operator, trial, shift={unknown: 1.0}) - sample.applied(operator, trial)
                for sample, operator in _operators(problem)
            ]
            known = [float(unknown == name) for name in problem.unknowns if name in measured]
            columns.append(torch.cat([*changes, torch.tensor([*known, 0.0], dtype=torch.float64)]))
        matrix = torch.stack(columns, dim=1)
        if bool(matrix.isfinite().all()):
            # the triangle has the singular values and the right vectors of the matrix, which has rows for every cell of a mesh
            _, sizes, directions = torch.linalg.svd(torch.linalg.qr(matrix, mode="r").R, full_matrices=True)
            null = directions[int((sizes > 1e-9 * max(1.0, float(sizes.max()))).sum()) :]
            return [name for k, name in enumerate(problem.unknowns) if bool((null[:, k].abs() > 1e-6).any())]
    return []


def _operators(problem: Problem) -> Iterator[tuple[Sample, Field]]:
    """Points and operators of the equations and of all conditions but jumps, which a constant does not change."""
    (inside,) = samples(problem, Inside(), FEW)
    yield from ((inside, equation.operator) for equation in problem.equations)
    for condition in problem.conditions:
        one_sided = [one for one in condition.requirements(problem) if one.place.sides == 1]
        places = ((sample, one.operator) for one in one_sided for sample in samples(problem, one.place, FEW))
        yield from itertools.islice(places, MOST_FACES)


def _corners(problem: Problem) -> Iterator[str]:
    prescribed = _prescribed_values(problem)
    sizes = {(one.place, face): one.size(problem, face) for one in prescribed for face in one.faces}
    for first, second in itertools.combinations_with_replacement(prescribed, 2):
        if first.condition.unknown != second.condition.unknown:
            continue
        for one, other in itertools.product(first.faces, second.faces):
            points = torch.as_tensor(_meeting(problem.domain, one, other))
            if not len(points):
                continue
            a, b = first.at(problem, points), second.at(problem, points)
            size = torch.maximum(sizes[first.place, one], sizes[second.place, other])
            if _differ(a, b, torch.maximum(size, torch.maximum(a.abs().max(), b.abs().max()))):
                k = int((a - b).abs().argmax())
                where = ", ".join(f"{c} = {v:g}" for c, v in zip(problem.domain.coordinates, points[k].tolist(), strict=True))
                yield (
                    f"values of {first.condition.unknown} disagree where {one} and {other} meet: {a[k]:.6g} and {b[k]:.6g} at "
                    f"{where}; the solution jumps there, and errors fall slowly unless `pdekan check` says that functions "
                    "are added for it"
                )
                break


def _meeting(domain: Domain, one: str, other: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Points ``(n, d)`` that two faces have in common; none where they are not known."""
    if one == other or isinstance(domain, Moving):
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
    domain = problem.domain
    if len(problem.equations) != 1 or len(problem.unknowns) != 1 or problem.parameters or problem.data or problem.interfaces:
        return
    (equation,), (u,) = problem.equations, problem.unknowns
    stated = [one for condition in problem.conditions for one in condition.requirements(problem) if not one.is_mean]
    faces = [face for one in stated for face in one.faces]
    if any(one.operator != PythonField(normal, (u,)) for one in stated) or set(faces) != set(domain.faces):
        return
    if domain.dimension > TENSOR_DIMENSIONS:
        return
    inside, parts = domain.interior(*FINE), [domain.face(face, *FINE) for face in faces]
    around, sample = Sample.of(problem, appended(parts)), Sample.of(problem, inside)
    area, length = torch.as_tensor(inside.weights), torch.as_tensor(np.concatenate([part.weights for part in parts]))
    c = _flux_coefficient(around, equation.operator)
    for trial in TRIALS:  # whether the operator is such a divergence
        slope = around.trial(trial, Derivatives.GRADIENT).gradient
        assert slope is not None
        assert around.normals is not None
        if not _balanced(area, sample.applied(equation.operator, trial), length, c * (slope * around.normals).sum(1)):
            return
    f = sample.right_hand_side(equation.source, equation.operator)
    pieces = zip(stated, parts, strict=True)
    g = torch.cat([Sample.of(problem, part).right_hand_side(one.value, one.operator) for one, part in pieces])
    if not _balanced(area, f, length, c * g):
        yield (
            f"no solution exists: the source integrates to {float(area @ f):.6g} and what neumann conditions let through the "
            f"boundary to {float(length @ (c * g)):.6g}, which must be equal; correct one of them"
        )


def _unused(problem: Problem) -> Iterator[str]:
    """Of the parameters in the problem's file, those that no formula names."""
    if problem.text is None:
        return
    data = tomllib.loads(problem.text)
    used = {name for text in _texts(data) for name in names_in(text)}
    for name in data.get("parameters", {}):
        if name not in used:
            yield f"the parameter {name} is not used: no formula names it"


def _skipped(problem: Problem) -> Iterator[str]:
    """Of the rows of data files, those without a number."""
    for one in problem.data:
        if one.skipped:
            rows = len(one.points) + one.skipped
            yield f"data {one.name}: {one.skipped} of {rows} rows are skipped: a coordinate, or every value, is missing there"


def _texts(item: object) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict | list):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _texts(part)


def _flux_coefficient(around: Sample, operator: Field) -> Tensor:
    """c ``(n,)`` at points of the boundary."""
    problem, n = around.problem, around.normals
    assert n is not None
    frame = Frame(problem.domain.coordinates, Derivatives.FULL)
    ridge = Jet(frame, frame.constant(0.0, around.points).value, torch.zeros_like(n), frame.pair(n, n))
    sought = dict.fromkeys(problem.unknowns, ridge)
    return operator(problem.environment(around.points, Derivatives.FULL, None, sought)).value


def _balanced(area: Tensor, f: Tensor, length: Tensor, flux: Tensor) -> bool:
    size = float(area @ f.abs() + length @ flux.abs())
    return abs(float(area @ f - length @ flux)) <= BALANCED * size
