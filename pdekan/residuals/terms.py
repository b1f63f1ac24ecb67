"""The terms of the loss of a problem: residuals at points, and the units of residuals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Quadrature
from pdekan.domains.validation import LARGEST, UNITS
from pdekan.fields.corner_functions import CornerFunctions
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Frame, Jet, Level
from pdekan.problems.condition import Condition
from pdekan.problems.formulas import EXACT, Environment, Field, Formula, ProblemError, PythonField, RightHandSide, itself
from pdekan.problems.parameters import Measurements, Parameter, with_known_value
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.singular_points import moved_aside, with_points_beside

CPU = torch.device("cpu")
CROSSING = 1e-6  # of the domain's size: points of interfaces as near to a crossing are left out


@dataclass(frozen=True)
class Term:
    """operator(sought) - target at points; a residual may join several points.

    points: ``(sides · n, d)``; residual i joins points i, n + i, …, each times its `mix`: the jump between two faces, or a mean
    over all points (n = 1). target, share: ``(n,)``, share being ω / Σ ω. group: "equation", "conditions" or "data". faces: how
    many faces the points lie on, as many points on each. sought: names of the components of the jets that `residual` takes,
    of which the last `parameters` are constant in space. noise: standard deviation of the target, 0 for an exact one,
    nan for one that is noisy by an unknown amount.
    """

    name: str
    group: str
    operator: Field
    points: Tensor
    target: Tensor
    share: Tensor
    frame: Frame
    environment: Environment
    sought: tuple[str, ...]
    parameters: int = 0
    sides: int = 1
    mix: Tensor | None = None
    faces: int = 1
    noise: float = 0.0

    def part(self, rows: Tensor) -> Term:
        """The term with some of its residuals only."""
        points = torch.cat([rows + side * len(self.target) for side in range(self.sides)])
        frame = self.frame if self.frame.normal is None else replace(self.frame, normal=self.frame.normal[points])
        environment = {name: _at(one, points, frame) if isinstance(one, Jet) else one for name, one in self.environment.items()}
        return replace(
            self,
            points=self.points[points],
            target=self.target[rows],
            share=self.share[rows],
            mix=None if self.mix is None else self.mix[points],
            frame=frame,
            environment=environment,
        )

    @property
    def point_share(self) -> Tensor:
        """Shares ``(sides · n,)`` of the points, which sum to one."""
        share = self.share.repeat(self.sides)
        if self.mix is not None:
            share = share * self.mix.abs()
        return share / share.sum()

    def folded(self, values: Tensor) -> Tensor:
        """Sums ``(n, …)`` over the points of every residual."""
        return values if self.sides == 1 else values.reshape(self.sides, -1, *values.shape[1:]).sum(0)

    def residual(self, u: Jet) -> Tensor:
        """Unweighted residual ``(n,)`` from the jet of unknowns and parameters, one component each, at the points."""
        sought = {name: u[k] for k, name in enumerate(self.sought)}
        value = self.operator({**self.environment, **sought}).value
        return self.folded(value if self.mix is None else value * self.mix) - self.target

    def linearised(self, u: Jet) -> tuple[Tensor, Jet]:
        """The residual, and its derivative by the jet point by point: one pass of autograd serves any operator."""
        parts = [None if p is None else p.detach().clone().requires_grad_() for p in (u.value, *u.derivatives)]
        wanted = [p for p in parts if p is not None]
        with torch.enable_grad():
            residual = self.residual(_jet_of(self.frame, parts))
            slopes = torch.autograd.grad(residual.sum(), wanted, allow_unused=True, materialize_grads=True)
        # zeros may require a gradient
        return residual.detach(), _jet_of(self.frame, [slope.detach() for slope in slopes])

    def zero(self, values: Tensor | None = None) -> Jet:
        """The jet of zero fields; parameters have the given values ``(S,)``, or are zero too."""
        constants = [self.frame.constant(0.0, self.points) for _ in self.sought]
        jet = stacked(constants)
        if values is None or not self.parameters:
            return jet
        height = jet.value.clone()
        height[:, -self.parameters :] = values
        return replace(jet, value=height)


def _jet_of(frame: Frame, parts: Sequence[Tensor | None]) -> Jet:
    """The jet of value, gradient, second and higher derivatives, as many as there are."""
    value, gradient, second, higher = [*parts, None, None, None][:4]
    assert value is not None
    return Jet(frame, value, gradient, second, higher=higher)


def _at(jet: Jet, points: Tensor, frame: Frame) -> Jet:
    """A jet at some of its points; what is the same at all of them is not copied."""

    def some(part: Tensor) -> Tensor:
        return part[:1].expand(len(points), *part.shape[1:]) if part.stride(0) == 0 else part[points]

    divergence = None if jet.divergence is None else some(jet.divergence)
    return replace(jet.each(some), frame=frame, divergence=divergence)


def terms(
    problem: Problem, sampling: Sampling, device: str | torch.device = "cpu", inside: Quadrature | None = None
) -> list[Term]:
    """The terms of the equations, then those of every requirement of every condition, then those of the data.

    Conditions that are built into the network have none. inside: points for the equations, by default those of the sampling.
    Raises ProblemError where a right-hand side is not finite, naming the point.
    """
    build = _TermBuilder(problem, sampling, torch.device(device), inside)
    out = build.equations()
    for condition in problem.conditions:
        if not condition.is_exact:
            out.extend(build.condition(condition))
    for measurements in problem.data:
        out.extend(build.data(measurements))
    return out


class _TermBuilder:
    """Builds the terms of a problem on one sampling."""

    def __init__(self, problem: Problem, sampling: Sampling, device: torch.device, inside: Quadrature | None = None) -> None:
        self.problem, self.sampling, self.device = problem, sampling, device
        self.share = -(-sampling.count // max(1, problem.face_count))
        self.seeds = itertools.count(sampling.seed + 1)
        self.inside = inside or sampling.inside(problem.domain)

    def equations(self) -> list[Term]:
        """A term for every equation, on the points inside."""
        problem = self.problem
        return equation_terms(
            problem, with_points_beside(self.inside, problem.domain, problem.singular, self.sampling.seed), self.device
        )

    def condition(self, condition: Condition) -> list[Term]:
        """A term for every requirement of a condition; requirements at the same place share its points."""
        out = []
        for _, group in itertools.groupby(condition.requirements(self.problem), key=lambda one: id(one.place)):
            same = list(group)
            rules = list(same[0].place.rules(self.problem, lambda: self.inside, self.face))
            out += [self.requirement(one, rules) for one in same]
        return out

    def face(self, shape: Domain, face: str) -> Quadrature:
        """Points on a face, each time with another seed."""
        return self.sampling.on(shape, face, self.share, next(self.seeds))

    def requirement(self, one: Requirement, rules: list[Quadrature]) -> Term:
        """The term of a requirement; of a mean it has a single residual, the mean of the operator less that of the value."""
        term = _apart(self.problem, requirement_term(self.problem, one, one.rule(rules), self.device))
        if not one.is_mean:
            return replace(term, faces=len(rules))
        target = (term.share @ term.target)[None]
        return replace(term, target=target, share=torch.ones_like(target), sides=len(term.points), mix=term.share)

    def data(self, measurements: Measurements) -> list[Term]:
        """A term for every unknown that was measured."""
        out = []
        for unknown, values in measurements.values.items():
            known = np.isfinite(values)
            rule = Quadrature(measurements.points[known], np.ones(int(known.sum())))
            name, operator = f"{measurements.name}, {unknown}", PythonField(itself, (unknown,))
            term = term_at(self.problem, name, "data", operator, 0.0, rule, self.device)
            target = torch.as_tensor(values[known], dtype=torch.float64, device=self.device)
            _refuse_useless(self.problem, term.name, target, term.points)
            out.append(replace(term, target=target, noise=measurements.noise or 0.0))
        return out


def _apart(problem: Problem, term: Term) -> Term:
    """A term without points at which interfaces cross: the solution may be singular there, and has no two sides."""
    points = term.points[: len(term.target)]
    apart = torch.ones(len(points), dtype=torch.bool, device=points.device)
    for functions in problem.singular if term.sides == 2 else ():
        if isinstance(functions, CornerFunctions):
            distance = torch.linalg.vector_norm(points - points.new_tensor(functions.point), dim=1)
            apart &= distance > CROSSING * problem.domain.size
    return term if bool(apart.all()) else term.part(torch.nonzero(apart)[:, 0])


def equation_terms(problem: Problem, rule: Quadrature, device: torch.device = CPU) -> list[Term]:
    """A term for every equation at the points of a rule. Raises ProblemError where a source is not finite."""
    several = len(problem.equations) > 1
    return [
        term_at(problem, f"equation {k + 1}" if several else "equation", "equation", one.operator, one.source, rule, device)
        for k, one in enumerate(problem.equations)
    ]


def requirement_term(problem: Problem, one: Requirement, rule: Quadrature, device: torch.device = CPU) -> Term:
    """The term of a requirement of a condition at the points of a rule. Raises ProblemError as `term_at`."""
    return term_at(problem, one.label, "conditions", one.operator, one.value, rule, device, one.place.sides)


def term_at(
    problem: Problem,
    name: str,
    group: str,
    operator: Field,
    value: Formula | RightHandSide,
    rule: Quadrature,
    device: torch.device,
    sides: int = 1,
) -> Term:
    """operator = value at a rule's points; of two sides, the second's are in the second half of them.

    Points at integrable singularities of a source are moved aside.

    Raises ProblemError where the value is not finite, or above LARGEST.
    """
    tensor = partial(torch.as_tensor, dtype=torch.float64, device=device)
    points, normals = tensor(rule.points), None if rule.normals is None else tensor(rule.normals)
    operator, value = with_known_value(operator, value, problem.parameters)
    level = problem.level_of(operator, points[:2], None if normals is None else normals[:2])
    target = _target(problem, operator, value, level, points, normals, sides)
    if group == "equation":
        source = partial(_target, problem, operator, value, level, normals=None, sides=1)
        points, target = _aside(problem.domain, rule, points, target, source)
    n = len(points) // sides
    _refuse_useless(problem, name, target, points[:n])
    return Term(
        name=name,
        group=group,
        operator=operator,
        points=points,
        target=target,
        share=tensor(rule.weights / rule.weights.sum()),
        frame=Frame(problem.domain.coordinates, level, normals),
        environment=problem.environment(points, level, normals),
        sought=problem.sought,
        parameters=len(problem.parameters),
        sides=sides,
        mix=None if sides == 1 else torch.cat([points.new_ones(n), -points.new_ones(n)]),
    )


def _aside(
    domain: Domain, rule: Quadrature, points: Tensor, target: Tensor, source: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """A rule's points, and a source at them, after the points at its integrable singularities are moved."""
    aside = moved_aside(domain, rule, target.cpu(), source)
    if aside is rule:
        return points, target
    points = torch.as_tensor(aside.points, dtype=torch.float64, device=points.device)
    return points, source(points)


def _refuse_useless(problem: Problem, name: str, target: Tensor, points: Tensor) -> None:
    """Raise ProblemError where a right-hand side is not finite, or too large to compute with, naming the point."""
    bad = ~(target.abs() <= LARGEST)
    if not bool(bad.any()):
        return
    where = ", ".join(f"{c} = {v:g}" for c, v in zip(problem.domain.coordinates, points[bad][0].tolist(), strict=True))
    value = float(target[bad][0])
    if math.isfinite(value):
        raise ProblemError(f"{name}: the right-hand side is {value:g} at {where}; at most {LARGEST:g} is allowed{UNITS}")
    raise ProblemError(f"{name}: the right-hand side is not finite at {where}")


def _target(
    problem: Problem,
    operator: Field,
    value: Formula | RightHandSide,
    level: Level,
    points: Tensor,
    normals: Tensor | None,
    sides: int,
) -> Tensor:
    """Right-hand sides ``(n,)``, those of two sides at the first; the exact solution's is a jump."""
    n = len(points) // sides
    if value is not EXACT:
        normals = None if normals is None else normals[:n]
        return problem.right_hand_side(value, operator, points[:n], level, normals)
    exact = problem.right_hand_side(value, operator, points, level, normals)
    return exact[:n] if sides == 1 else exact[:n] - exact[n:]


def units(term: Term, problem: Problem) -> Tensor:
    """The sizes ``(U,)`` of a term's residual when an unknown and its derivatives, in half-lengths of the domain, are one.

    The root mean square of `local_sizes` at u = a linear function and parameters at their initial values. Divided by it,
    residuals are nondimensional for any domain and any coefficients.
    """
    lower, upper = term.points.new_tensor(problem.domain.lower), term.points.new_tensor(problem.domain.upper)
    per_length = 2.0 / (upper - lower)
    position = (term.points - lower) * per_length - 1.0
    n, count = len(term.points), len(term.sought) - term.parameters
    jet = term.zero(initial_values(problem, term.points))
    value = jet.value.clone()
    value[:, :count] = 1.0 + position.mean(1, keepdim=True)
    gradient = jet.gradient
    if gradient is not None:
        gradient = gradient.clone()
        gradient[:, :count] = (per_length / len(lower)).expand(n, count, -1)
    linear = _jet_of(term.frame, [value, gradient, jet.second, jet.higher])
    sizes: Tensor = (term.point_share @ local_sizes(term, problem, linear)).sqrt()
    return sizes


def local_sizes(term: Term, problem: Problem, u: Jet) -> Tensor:
    """Squares ``(n, U)`` of the sizes of a term's residual at its points, near u, when an unknown and its derivatives are one.

    The sum of squares of ∂r/∂u, ∂r/∂∇u, ∂r/∂∇²u, …, each times 1/H once for each derivative; H: half-lengths of the domain.
    """
    per_length = 2.0 / (term.points.new_tensor(problem.domain.upper) - term.points.new_tensor(problem.domain.lower))
    slope = term.linearised(u)[1]
    size = slope.value**2
    if slope.gradient is not None:
        size = size + (slope.gradient * per_length).square().sum(2)
    if slope.second is not None:
        size = size + (slope.second * term.frame.pair(per_length, per_length)).square().sum(2)
    if slope.higher is not None:
        size = size + (slope.higher * term.frame.layout.monomials(per_length)).square().sum(2)
    if term.mix is not None:  # as if every point had a residual of its own
        size = size / term.mix.square().clamp_min(1e-300)[:, None]
    return size[:, : len(term.sought) - term.parameters]


def unit(term: Term, problem: Problem) -> float:
    """The size of a term's residual when all unknowns are of size one; see `units`."""
    return float(units(term, problem).norm()) or 1.0


def is_linear(problem: Problem) -> bool:
    """Whether all residuals are affine in the unknowns, at some points."""
    return all(is_affine(term, problem) for term in terms(problem, Sampling(2, 4, 0, 0)))


def initial_values(problem: Problem, like: Tensor) -> Tensor:
    """The parameters' initial values ``(S,)``."""
    return like.new_tensor([parameter.initial for parameter in problem.parameters.values()])


def other_values(problem: Problem, like: Tensor) -> Tensor:
    """Values between the parameters' bounds, other than the initial ones ``(S,)``."""
    return like.new_tensor([_other_value(parameter) for parameter in problem.parameters.values()])


def _other_value(parameter: Parameter) -> float:
    """A value between the bounds of a parameter other than the initial one."""
    upper, lower = min(parameter.upper, parameter.initial + 1.0), max(parameter.lower, parameter.initial - 1.0)
    return parameter.initial + 0.6 * max(upper - parameter.initial, lower - parameter.initial, key=abs)


def is_affine(term: Term, problem: Problem) -> bool:
    """Whether the residual is affine in the jets of the unknowns: r((u + v)/2) = (r(u) + r(v))/2 at random u and v.

    Parameters are not at their initial values: with k = 0 the residual k u³ would be taken for affine.
    """
    generator = torch.Generator().manual_seed(0)
    zero = term.zero(other_values(problem, term.points))
    count = len(term.sought) - term.parameters

    def draw(like: Tensor | None) -> Tensor | None:
        """Random numbers in the shape of a part of the jet, with the parameters as they are."""
        if like is None:
            return None
        drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
        return torch.cat([drawn[:, :count], like[:, count:]], dim=1)

    u = [draw(p) for p in (zero.value, *zero.derivatives)]
    v = [draw(p) for p in (zero.value, *zero.derivatives)]
    middle = [None if p is None or q is None else 0.5 * (p + q) for p, q in zip(u, v, strict=True)]
    ru, rv, rm = (term.residual(_jet_of(term.frame, parts)) for parts in (u, v, middle))
    scale = float(torch.maximum(ru.abs(), rv.abs()).max()) + 1e-300
    return bool(((0.5 * (ru + rv) - rm).abs() <= 1e-11 * scale).all())
