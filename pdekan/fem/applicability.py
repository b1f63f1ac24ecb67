"""Which problems finite elements solve, and which of their conditions are essential and which natural.

A condition on a face is essential where it gives an unknown, and natural where it is a multiple of an equation's conormal
derivative, κ Σ_a n · A_a ∇u_a, plus something without derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fem.weak_form import Coefficients, coefficients, is_affine
from pdekan.fields.jets import TIME
from pdekan.problems.conditions import Interface
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import Across, Requirement
from pdekan.problems.problem import Equation, Problem

PARALLEL = 1e-8  # relative: how exactly a condition must be a multiple of the conormal derivative
SAMPLES = (3, 4)  # cells, and points in each, at which coefficients are computed
INSTEAD = 'give formulas in [exact], or reference = "FILE" with the file of a solution'
# By face, for every unknown: the requirement of a condition, and whether it is essential.
Kinds = Mapping[str, tuple[tuple[Requirement, bool], ...]]


def refused(reason: str) -> ProblemError:
    """The error with the reason why finite elements do not solve a problem."""
    return ProblemError(f'reference = "fem" {reason}; {INSTEAD}')


def check(problem: Problem) -> tuple[bool, Kinds]:
    """Whether a problem is linear, and its conditions.

    Raises ProblemError for what is not an elliptic problem of second order in space, with an equation for each unknown and
    exactly one condition for each on every face, and continuity of all across interfaces.
    """
    domain = problem.domain
    if TIME in domain.coordinates:
        raise refused("knows problems in space, without time")
    if domain.dimension > 3:
        raise refused(f"knows at most three dimensions, not {domain.dimension}")
    if problem.parameters:
        raise refused("knows problems whose parameters are given, none that are sought")
    if len(problem.equations) != len(problem.unknowns):
        raise refused(
            f"needs an equation for each unknown: {len(problem.equations)} equations, {len(problem.unknowns)} unknowns"
        )
    for condition in problem.conditions:
        if not isinstance(condition, Interface) and not all(one.faces for one in condition.requirements(problem)):
            raise refused(f"knows dirichlet, neumann, robin and interface conditions, none of kind {condition.kind}")
    inside = domain.interior(*SAMPLES, 0, 0)
    linear = True
    for k, (name, equation) in enumerate(zip(problem.unknowns, problem.equations, strict=True)):
        linear &= is_affine(problem, equation.operator, equation.source, inside.points)
        sizes = np.linalg.eigvalsh(coefficients(problem, equation.operator, equation.source, inside.points).second[:, k])
        if not ((sizes > 0.0).all() or (sizes < 0.0).all()):
            raise refused(f"knows elliptic equations of second order; equation {k + 1} is none in {name}")
    kinds = {}
    for face in domain.faces:
        rule = domain.face(face, *SAMPLES, 0, 0)
        kinds[face], affine = _on_face(problem, face, rule)
        linear &= affine
    for name in problem.interfaces:
        _check_interface(problem, name)
    return linear, kinds


def _check_interface(problem: Problem, name: str) -> None:
    """Raise ProblemError unless every unknown and every equation's conormal derivative are continuous across an interface.

    This is what the weak form in one space of continuous functions implies.
    """
    left = {("u", k) for k in range(len(problem.unknowns))} | {("flux", e) for e in range(len(problem.equations))}
    for condition in problem.conditions:
        for one in condition.requirements(problem):
            if isinstance(one.place, Across) and one.place.interface == name:
                left.discard(_continuous(problem, one))
    if left:
        kind, k = min(left)
        what = problem.unknowns[k] if kind == "u" else f"the conormal derivative n · A∇u of equation {k + 1}"
        raise refused(f"knows interfaces across which all is continuous; state that {what} does not jump across {name}")


def _continuous(problem: Problem, one: Requirement) -> tuple[str, int] | None:
    """The unknown ("u", k) or the conormal derivative ("flux", e) that a requirement says to be continuous, if it does."""
    (rule,) = one.place.rules(
        problem, lambda: Quadrature(*2 * [np.empty(0)]), lambda shape, face: shape.face(face, *SAMPLES, 0, 0)
    )
    assert rule.normals is not None
    slopes = coefficients(problem, one.operator, one.value, rule.points, rule.normals)
    if slopes.residual.any() or not is_affine(problem, one.operator, one.value, rule.points, rule.normals):
        return None
    conormals = [conormal(problem, equation, rule.points, rule.normals) for equation in problem.equations]
    k, is_value = _unknown_or_equation(slopes, conormals)
    if k is None:
        return None
    parts = slopes.zeroth[:, k] if is_value else factor(slopes, conormals[k])
    first, second = np.split(parts, 2)
    same = np.abs(first - second).max() <= PARALLEL * np.abs(first).max()
    if not same or (not is_value and slopes.zeroth.any()):
        return None
    return ("u" if is_value else "flux", k)


def _on_face(problem: Problem, face: str, rule: Quadrature) -> tuple[tuple[tuple[Requirement, bool], ...], bool]:
    """The requirement for each unknown on a face, and whether all of them are linear."""
    assert rule.normals is not None
    conormals = [conormal(problem, one, rule.points, rule.normals) for one in problem.equations]
    found: dict[int, tuple[Requirement, bool]] = {}
    linear = True
    for kind, one in _required(problem, face):
        affine = is_affine(problem, one.operator, one.value, rule.points, rule.normals)
        slopes = coefficients(problem, one.operator, one.value, rule.points, rule.normals)
        k, essential = _unknown_or_equation(slopes, conormals)
        if k is None or (essential and not affine):
            names = ", ".join(problem.unknowns)
            raise refused(
                f"cannot use the {kind} condition on {face}: it neither gives one of {names}, nor is it a multiple "
                "of an equation's conormal derivative n · A∇u plus terms without derivatives"
            )
        if k in found:
            raise refused(f"finds two conditions for {problem.unknowns[k]} on {face}")
        found[k], linear = (one, essential), linear and affine
    for k, name in enumerate(problem.unknowns):
        if k not in found:
            raise refused(f"finds no condition for {name} on {face}")
    return tuple(found[k] for k in range(len(problem.unknowns))), linear


def _required(problem: Problem, face: str) -> Iterator[tuple[str, Requirement]]:
    """The requirements on a face with the kinds of their conditions; a face that a condition names twice counts once."""
    for condition in problem.conditions:
        once = {one.label: one for one in condition.requirements(problem) if face in one.faces}
        yield from ((condition.kind, one) for one in once.values())


def conormal(problem: Problem, equation: Equation, points: Array, normals: Array) -> Array:
    """n · A_a ``(n, U, d)`` of an equation at points ``(n, d)`` with normals ``(n, d)``."""
    second = coefficients(problem, equation.operator, equation.source, points).second
    return np.asarray((second @ normals[:, None, :, None])[..., 0])


def factor(one: Coefficients, flux: Array) -> Array:
    """The multiple ``(n,)`` of a conormal derivative that comes nearest to first derivatives."""
    return np.asarray(np.einsum("nui,nui->n", one.first, flux) / np.einsum("nui,nui->n", flux, flux))


def _unknown_or_equation(one: Coefficients, conormals: list[Array]) -> tuple[int | None, bool]:
    """The unknown that a condition prescribes and True, or the equation whose conormal derivative it prescribes and False."""
    if one.second.any():
        return None, False
    if not one.first.any():
        given = np.flatnonzero((one.zeroth != 0.0).all(axis=0))
        return (int(given[0]), True) if len(given) == 1 and not np.delete(one.zeroth, given[0], axis=1).any() else (None, True)
    for e, flux in enumerate(conormals):
        multiple = factor(one, flux)
        gap = np.abs(one.first - multiple[:, None, None] * flux).max()
        if gap <= PARALLEL * np.abs(one.first).max() and (multiple != 0.0).all():
            return e, False
    return None, False
