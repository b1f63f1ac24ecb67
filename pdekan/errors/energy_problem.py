"""Problems with an energy: -div(A ∇u) + c u = f with u given on some faces and n · A∇u + α u = h on the others.

A is symmetric and positive definite, c ≥ 0, α ≥ 0. The energy norm is |||w|||² = ∫ A∇w · ∇w + c w² + ∮ α w². The error
e = u - v of a function v has the energy of the same problem with the residuals of v as data:

    ∫ A∇e · ∇w + c e w + ∮ α e w = ∫ r w + ∮ η w,    r = f - c v + div(A∇v),    η = h - α v - n · A∇v,

for all w that vanish where u is given; there e = -δ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdekan.ansatz.unknowns import inner_network
from pdekan.domains.mesh import Mesh
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fem import applicability
from pdekan.fem.weak_form import SAME, coefficients
from pdekan.fields.jets import TIME, Derivatives, Frame, Jet
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.problems.condition import OperatorCondition
from pdekan.problems.conditions import Dirichlet
from pdekan.problems.formulas import Constant, Environment, Field, ProblemError, RightHandSide
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Problem

WHAT = "bounds of the error are known for -div(k grad(u)) + c*u = f with k > 0, c >= 0 in space"


def refused(reason: str) -> ProblemError:
    """The error with the reason why the theory does not apply."""
    return ProblemError(f"{WHAT}; {reason}")


@dataclass(frozen=True)
class Defect(Field):
    """value - operator(v), a function of position, v being a network.

    It is known at the points themselves, and is not composed with other functions of position.
    """

    problem: Problem
    network: Network
    operator: Field
    value: Field | RightHandSide

    @torch.no_grad()
    def __call__(self, environment: Environment) -> Jet:
        coordinates = [environment[name] for name in self.problem.domain.coordinates]
        points, frame = torch.stack([x.value for x in coordinates], dim=1), coordinates[0].frame
        v = evaluate(self.network, points, frame)[0]
        here = self.problem.environment(points, frame.level, frame.normal)
        left = self.operator(here | {self.problem.unknowns[0]: replace(v, frame=frame)})
        if isinstance(self.value, RightHandSide):
            return self.operator(here | self.problem.exact_jets(points, frame.level, frame.normal)) - left
        return self.value(here) - left


@dataclass(frozen=True)
class Inside:
    """At n points: A ``(n, d, d)``, c ``(n,)``, r ``(n,)``, and v ``(n,)`` with its gradient ``(n, d)``."""

    diffusion: Array
    reaction: Array
    residual: Array
    value: Array
    gradient: Array


@dataclass(frozen=True)
class EnergyProblem:
    """The problem of a network's error. sign: of the equation as it is stated, -1 for div(A∇u) - c u = -f.

    essential: the conditions on faces where u is given; natural: those on the others.
    """

    problem: Problem
    network: Network
    sign: float
    essential: Mapping[str, Requirement]
    natural: Mapping[str, Requirement]

    @classmethod
    def of(cls, problem: Problem, network: Network) -> EnergyProblem:
        """Raises ProblemError with the reason for a problem or a network that bounds are not known for."""
        _check_network(network)
        _check_statement(problem)
        try:
            linear, kinds = applicability.check(problem)
        except ProblemError as error:
            raise refused(str(error).removeprefix('reference = "fem" ').split("; give formulas")[0]) from None
        if not linear:
            raise refused("this problem is not linear")
        essential = {face: one for face, ((one, given),) in kinds.items() if given}
        natural = {face: one for face, ((one, given),) in kinds.items() if not given}
        rule = problem.domain.interior(*applicability.SAMPLES, 0, 0)
        sign = -1.0 if coefficients(problem, *_equation(problem), rule.points).second[0, 0, 0, 0] > 0.0 else 1.0
        energy = cls(problem, network, sign, essential, natural)
        energy._check(rule)
        return energy

    def _check(self, rule: Quadrature) -> None:
        one = coefficients(self.problem, *_equation(self.problem), rule.points)
        size = max(np.abs(one.first).max(), np.abs(one.divergence).max(), 1e-300)
        if np.abs(one.first - one.divergence).max() > 1e3 * SAME * size:
            raise refused("this equation has a term with first derivatives of u, so that it has no energy")
        if (self.sign * one.zeroth < 0.0).any():
            raise refused("here c is negative somewhere")
        for face in self.natural:
            on_face = self.problem.domain.face(face, *applicability.SAMPLES, 0, 0)
            if (self.on_natural(face, on_face)[1] < 0.0).any():
                raise refused(f"on {face} n · k grad(u) + a*u is given with a negative a")
        kinds = (condition for condition in self.problem.conditions if set(self.problem.faces(condition)) & set(self.essential))
        if not all(isinstance(condition, Dirichlet) for condition in kinds):
            raise refused("values of u have to be stated by dirichlet conditions")

    def coefficients(self, points: Array) -> tuple[Array, Array]:
        """A ``(n, d, d)`` and c ``(n,)`` at points ``(n, d)``."""
        one = coefficients(self.problem, *_equation(self.problem), points)
        return -self.sign * one.second[:, 0], self.sign * one.zeroth[:, 0]

    def inside(self, points: Array) -> Inside:
        """What is known at points ``(n, d)`` of the domain."""
        problem, (operator, source) = self.problem, _equation(self.problem)
        x = torch.as_tensor(points)
        level = max(problem.level_of(operator, x[:2]), Derivatives.GRADIENT)
        defect = Defect(problem, self.network, operator, source)(problem.environment(x, level)).value
        v = evaluate(self.network, x, Frame(problem.domain.coordinates, Derivatives.GRADIENT))
        assert v.gradient is not None
        return Inside(
            *self.coefficients(points), self.sign * defect.numpy(), v.value[:, 0].numpy(), v.gradient[:, 0].numpy()
        )  # fmt: skip

    def on_natural(self, face: str, rule: Quadrature) -> tuple[Array, Array]:
        """η and α ``(n,)`` at the points of a rule on a face where u is not given."""
        assert rule.normals is not None
        one, problem = self.natural[face], self.problem
        slopes = coefficients(problem, one.operator, one.value, rule.points, rule.normals)
        flux = -self.sign * applicability.conormal(problem, problem.equations[0], rule.points, rule.normals)
        factor = applicability.factor(slopes, flux)
        x, normals = torch.as_tensor(rule.points), torch.as_tensor(rule.normals)
        environment = problem.environment(x, Derivatives.GRADIENT, normals)
        defect = Defect(problem, self.network, one.operator, one.value)(environment).value
        return np.asarray(defect.numpy() / factor), slopes.zeroth[:, 0] / factor

    def on_essential(self, face: str, points: Array) -> tuple[Array, Array]:
        """δ = v - g ``(n,)`` and its gradient ``(n, d)`` at points of a face where u = g; along the face alone."""
        one, problem = self.essential[face], self.problem
        environment = problem.environment(torch.as_tensor(points), Derivatives.GRADIENT)
        gap = Defect(problem, self.network, one.operator, one.value)(environment)
        assert gap.gradient is not None
        return -gap.value.numpy(), -gap.gradient.numpy()

    def given(self, face: str, points: Array) -> Array:
        """g ``(n,)`` at points of a face where u = g."""
        one, x = self.essential[face], torch.as_tensor(points)
        return self.problem.right_hand_side(one.value, one.operator, x, Derivatives.VALUE, None).numpy()

    def error_problem(self, inside: bool, boundary: bool) -> Problem:
        """The problem that e solves, with zero in place of r and η, or of δ."""
        (operator, source), conditions = _equation(self.problem), []
        for condition in self.problem.conditions:
            assert isinstance(condition, OperatorCondition)
            kept = boundary if set(self.problem.faces(condition)) & set(self.essential) else inside
            value = Defect(self.problem, self.network, condition.operator, condition.value) if kept else Constant(0.0)
            conditions.append(replace(condition, value=value))
        return Problem(
            domain=self.problem.domain,
            equation=self.problem.equation,
            source=Defect(self.problem, self.network, operator, source) if inside else Constant(0.0),
            conditions=tuple(conditions),
            unknowns=self.problem.unknowns,
        )


def _equation(problem: Problem) -> tuple[Field, Field | RightHandSide]:
    return problem.equations[0].operator, problem.equations[0].source


def _check_statement(problem: Problem) -> None:
    if TIME in problem.domain.coordinates:
        raise refused("this problem depends on time")
    if isinstance(problem.domain, Mesh) and problem.domain.dimension == 3:
        raise refused("meshes of tetrahedra are not covered")
    if len(problem.unknowns) != 1 or len(problem.equations) != 1:
        raise refused(f"this is a system of {len(problem.unknowns)} unknowns")
    if problem.parameters or problem.data:
        raise refused("this problem seeks parameters beside the solution")
    if problem.interfaces:
        raise refused("coefficients that jump at interfaces are not covered yet")


def _check_network(network: Network) -> None:
    """Raise ProblemError for a network whose gradient jumps where no term of the bounds sees it."""
    inner = inner_network(network)
    if isinstance(inner, CellNetwork):
        raise refused("a network for each cell is not continuous across their faces")
    if isinstance(inner, ModuleNetwork):
        raise refused("a torch module's derivatives are not known to be continuous")
    if isinstance(inner, KAN) and any(
        degree == 1 and intervals > 1 for degree, intervals in zip(inner.degree, inner.intervals, strict=True)
    ):
        raise refused("splines of degree 1 have kinks")
