"""Integrals of formulas of a solution over its domain and over faces."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pdekan.domains.base import DomainError
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative
from pdekan.fields.operators import normal
from pdekan.networks.evaluation import evaluate
from pdekan.problems.formulas import Field, Formula, as_field
from pdekan.solutions.solved import Solved

WHOLE = "domain"
# Cells and points in each along an axis, by the dimension of what is integrated over; above, quasi-random points.
RULES, SCATTERED = {1: (64, 8, 0, 0), 2: (36, 6, 0, 0), 3: (8, 6, 0, 0)}, (1, 4, 2**15, 0)


def integral(solution: Solved, formula: Formula | Field, on: str | Sequence[str] = WHOLE) -> float:
    """∫ of a formula of coordinates and unknowns over the domain, time included, or over faces, where it may use the normal.

    Raises ProblemError for names that are not known, DomainError for what is no face.
    """
    domain, field = solution.domain, as_field(formula)
    if not isinstance(on, str) and not all(isinstance(one, str) for one in on):
        raise DomainError(
            f"on = {on!r}: needed are names of faces, of {', '.join(domain.faces)}; fluxes and integrals are numbers"
        )
    if on == WHOLE:
        rules = [domain.interior(*RULES.get(domain.dimension, SCATTERED))]
    else:
        faces = [face for name in ([on] if isinstance(on, str) else on) for face in domain.resolve(name)]
        rules = [domain.face(face, *RULES.get(domain.dimension - 1, SCATTERED)) for face in dict.fromkeys(faces)]
    return sum(float(torch.as_tensor(rule.weights) @ _values(solution, field, rule)) for rule in rules)


def flux(solution: Solved, on: str | Sequence[str], coefficient: Formula, unknown: str) -> float:
    """∫ k n·∇u over faces, with k the coefficient; see `integral`."""
    return integral(solution, _Flux(as_field(coefficient), unknown), on)


class _Flux(Field):
    """k n·∇u."""

    def __init__(self, coefficient: Field, unknown: str) -> None:
        self.coefficient, self.unknown = coefficient, unknown

    def __call__(self, environment: dict[str, Jet]) -> Jet:  # type: ignore[override]
        return self.coefficient(environment) * normal(environment[self.unknown])


def _values(solution: Solved, field: Field, rule: Quadrature) -> torch.Tensor:
    """The values ``(n,)`` of a formula at the points of a rule, with as many derivatives as it needs."""
    points = torch.as_tensor(rule.points)
    normals = None if rule.normals is None else torch.as_tensor(rule.normals)
    device = solution.network.device
    for level in Derivatives:
        frame = Frame(solution.domain.coordinates, level, normals)
        u = evaluate(solution.network, points.to(device), frame).each(torch.Tensor.cpu)
        names = {name: frame.coordinate(points, k) for k, name in enumerate(frame.coordinates)}
        names |= {name: frame.constant(one.value, points) for name, one in solution.found.items()}
        names |= {name: u[k] for k, name in enumerate(solution.unknowns)}
        try:
            return field(names).value.expand(len(points))
        except MissingDerivative as error:
            missing = error
    raise missing
