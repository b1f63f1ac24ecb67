"""Conditions as classes: what each requires and where, and conditions written outside of the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import sympy
import torch

from pdekan.domains.box import box, hypercube
from pdekan.domains.quadrature import Quadrature
from pdekan.domains.shapes import disk
from pdekan.fem.applicability import check
from pdekan.fields.functions import exp, sin
from pdekan.fields.operators import dt, laplacian
from pdekan.problem_files.loader import json_schema
from pdekan.problem_files.parser import Scope, parse
from pdekan.problem_files.validation import exact_residuals
from pdekan.problem_files.well_posedness import contradictions
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import CONDITIONS, Initial, dirichlet, initial, interface, mean, neumann, periodic, robin
from pdekan.problems.formulas import EXACT, Constant, Partial, ProblemError, PythonField, itself
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.places import Across, FaceRule, Faces, Inside, InsideRule, OppositeFaces, Place, Requirement, Setting
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import terms
from pdekan.symbolic.verification import verify
from pdekan.training.solver import solve

SQUARE = box(x=(-1, 1), y=(-1, 1))
SHAPES = {"hole": disk(radius=0.5)}


def problem(*conditions: Condition, **more: object) -> Problem:
    return Problem(SQUARE, lambda u: laplacian(u), conditions=conditions, interfaces=SHAPES, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "text", "places", "faces"),
    [
        (dirichlet(0.0), "dirichlet on boundary", [Faces(("x-",)), Faces(("x+",)), Faces(("y-",)), Faces(("y+",))], 4),
        (neumann(0.0, ("y+", "x-")), "neumann on y+, x-", [Faces(("y+",)), Faces(("x-",))], 2),
        (robin(lambda u: u, 0.0, "x+"), "robin on x+", [Faces(("x+",))], 1),
        (periodic("y"), "periodic on y-, y+", [OppositeFaces("y")] * 2, 2),
        (mean(0.0), "mean on domain", [Inside()], 0),
        (mean(0.0, on=["x-", "y-"]), "mean on x-, y-", [Faces(("x-", "y-"))], 0),
        (interface("hole"), "interface on hole", [Across("hole")], 0),
    ],
)
def test_what_a_condition_requires_and_where(condition: Condition, text: str, places: list[Place], faces: int) -> None:
    """faces: those that share out the points on the boundary."""
    whole = problem(condition)
    assert str(condition) == text
    assert [one.place for one in condition.requirements(whole)] == places
    assert whole.face_count == faces
    found = terms(whole, Sampling(2, 3, 0, 0))[1:]
    assert [term.name for term in found] == [one.label for one in condition.requirements(whole)]


def test_above_three_dimensions_a_condition_has_one_requirement() -> None:
    condition = neumann(0.0, ["x1-", "x3+"])
    (one,) = condition.requirements(Problem(hypercube(4, 0.0, 1.0), lambda u: laplacian(u), conditions=(condition,)))
    assert (one.label, one.place) == ("neumann on x1-, x3+", Faces(("x1-", "x3+")))


def test_faces_are_in_the_order_of_the_names_of_a_condition() -> None:
    whole = problem(dirichlet(0.0, ["y+", "x-"]), dirichlet(1.0), mean(0.0), interface("hole"))
    assert [whole.faces(condition) for condition in whole.conditions] == [["y+", "x-"], ["x-", "x+", "y-", "y+"], [], []]


def test_an_initial_condition_takes_the_value_of_its_operator_at_a_later_start() -> None:
    velocity, fixed = initial(1.0, lambda u: dt(u)), dirichlet(0.0, "x-")
    later = velocity.restarted(lambda operator: PythonField(lambda: operator, ()))
    assert isinstance(later, Initial)
    assert isinstance(later.value, PythonField)
    assert later.value.function() is velocity.operator
    assert later.operator is velocity.operator
    assert fixed.restarted(lambda operator: Constant(1.0)) is fixed


def test_an_exact_condition_is_enforced_weakly_on_demand() -> None:
    exact = dirichlet(0.0, "x-", enforce="exact")
    assert exact.is_exact
    assert not exact.weakly().is_exact
    assert len(terms(problem(exact), Sampling(2, 3, 0, 0))) == 1
    assert len(terms(problem(exact.weakly()), Sampling(2, 3, 0, 0))) == 2


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (dirichlet(0.0, "z-"), "dirichlet condition: no face 'z-'"),
        (mean(0.0, on="z-"), "mean condition: no face 'z-'"),
        (neumann(0.0, "domain"), "neumann condition: no face 'domain'"),
        (interface("x-"), "interface condition: no interface 'x-'; the interfaces are hole"),
        (initial(0.0), "initial condition: the domain has no time; name one of its coordinates t"),
        (periodic("x", "v"), "'v' is no unknown; the unknowns are u"),
        (dirichlet(EXACT), "taken from the exact solution, but there is no exact solution for u"),
    ],
)
def test_what_does_not_exist_is_refused(condition: Condition, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        problem(condition)


def test_the_file_format_knows_the_registered_kinds() -> None:
    assert json_schema()["$defs"]["Condition"]["properties"]["type"]["enum"] == list(CONDITIONS)


@dataclass(frozen=True)
class Tangential(Condition):
    """The derivative along the sides of a rectangle is that of the exact solution."""

    kind: ClassVar[str] = "tangential"

    def requirements(self, problem: Setting) -> list[Requirement]:
        found = []
        for face in self.faces(problem.domain):
            (along,) = (name for name in problem.domain.coordinates if name != face[:-1])
            found.append(Requirement(f"tangential on {face}", Partial("u", along), EXACT, Faces((face,))))
        return found


@dataclass(frozen=True)
class TwoPoints(Place):
    """A pair of points."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    sides: ClassVar[int] = 2

    def rules(self, problem: Setting, inside: InsideRule, face: FaceRule) -> Iterator[Quadrature]:
        yield Quadrature(np.array([self.first, self.second]), np.ones(1))


@dataclass(frozen=True)
class Gain(Condition):
    """u(second) - u(first) = value."""

    place: TwoPoints
    value: float
    kind: ClassVar[str] = "gain"

    def requirements(self, problem: Setting) -> list[Requirement]:
        back = TwoPoints(self.place.second, self.place.first)
        return [Requirement("gain", PythonField(itself, ("u",)), Constant(self.value), back)]


def test_a_condition_on_tangential_derivatives_from_outside_is_solved_and_checked() -> None:
    """Δu = 0: derivatives along the boundary and the mean determine u = eˣ sin y + 1, which neither does alone."""
    exact = {"u": lambda x, y: exp(x) * sin(y) + 1.0}
    network, training = NetworkOptions(hidden=(6,), degree=8), TrainingOptions(refine=(1,), steps=20)
    options = {"source": EXACT, "exact": exact, "network": network, "training": training, "interfaces": {}}
    stated = Problem(SQUARE, lambda u: laplacian(u), conditions=(Tangential(("boundary",)), mean(EXACT)), **options)  # type: ignore[arg-type]
    assert max(exact_residuals(stated).values()) < 1e-12
    assert not list(contradictions(stated))
    ((_, message),) = contradictions(
        Problem(SQUARE, lambda u: laplacian(u), conditions=(Tangential(("boundary",)),), **options)
    )  # type: ignore[arg-type]
    assert "nothing determines the level of u" in message
    solution = solve(stated, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4


LINE = box(x=(0, 1))
BENDING = parse("laplacian(u)", Scope(("x",), unknowns=("u",)))
PAIR = Gain((), TwoPoints((0.25,), (0.75,)), 0.3)


def bent(*conditions: Condition) -> Problem:
    """u'' = -2; with u(0) = 0 and u(3/4) - u(1/4) = 0.3 it has the solution 1.6 x - x²."""
    return Problem(LINE, BENDING, -2.0, conditions, network=NetworkOptions(hidden=(), degree=3, intervals=2))


def test_a_condition_between_two_points_from_outside_is_solved() -> None:
    solution = solve(bent(dirichlet(0.0, "x-"), PAIR))
    x = np.linspace(0.0, 1.0, 9)
    assert solution(x[:, None]) == pytest.approx(1.6 * x - x**2, abs=1e-9)


def test_a_place_from_outside_is_judged_by_numbers_and_refused_by_finite_elements() -> None:
    whole, x = bent(dirichlet(0.0, "x-"), PAIR), sympy.Symbol("x", real=True)
    slope = sympy.Rational(8, 5)
    assert verify(whole, {"u": slope * x - x**2}).kind == "numerical"
    verdict = verify(whole, {"u": (slope + sympy.Rational(1, 10**9)) * x - x**2})
    assert verdict.kind == "rejected"
    assert "gain" in verdict.reason
    with pytest.raises(ProblemError, match="none of kind gain"):
        check(whole)


def test_a_condition_from_outside_has_a_term_of_its_own() -> None:
    (_, term) = terms(bent(PAIR), Sampling(2, 3, 0, 0))
    u = term.zero()
    assert term.residual(u).tolist() == [-0.3]
    assert term.points.tolist() == [[0.75], [0.25]]
    assert torch.equal(term.share, torch.ones(1, dtype=torch.float64))
    ((_, message),) = contradictions(bent(PAIR))
    assert "nothing determines the level of u" in message
