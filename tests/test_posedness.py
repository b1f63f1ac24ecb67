# ruff: noqa: E501  (the problems are tables: one a line)
"""Problems that have no solution, or many: found by trying, and those that have one left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pdekan.domains.box import box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import annulus, disk, polygon
from pdekan.fields.functions import cos, exp, sin
from pdekan.fields.jets import Jet
from pdekan.fields.operators import div, dot, dt, dx, grad, laplacian
from pdekan.problem_files.well_posedness import contradictions, warnings
from pdekan.problems.conditions import dirichlet, initial, interface, mean, neumann, periodic, robin
from pdekan.problems.formulas import EXACT
from pdekan.problems.parameters import Measurements, Parameter
from pdekan.problems.problem import Problem

SQUARE = box(x=(0, 1), y=(0, 1))
ROD = box(x=(0, 2), t=(0, 1))
DATA = (Measurements(np.array([[0.5, 0.5]]), {"u": np.array([1.0])}),)
FREE = (neumann(0.0),)
SYSTEM = (lambda u, p: -laplacian(u) + dx(p), lambda u: dx(u))  # a velocity and its pressure


def poisson(*conditions: object, **more: object) -> Problem:
    return Problem(SQUARE, lambda u: -laplacian(u), 0.0, conditions, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("problem", "loose"),
    [
        (poisson(*FREE), "u"),
        (poisson(periodic("x"), periodic("y")), "u"),
        (poisson(periodic("x"), neumann(0.0, ["y-", "y+"])), "u"),
        (poisson(robin(lambda u: dx(u), 1.0)), "u"),
        (Problem(disk(), lambda u: div((1.0 + dot(grad(u), grad(u))) * grad(u)), 0.0, FREE), "u"),
        (Problem(SQUARE, SYSTEM, 0.0, (dirichlet(0.0),), unknowns=("u", "p")), "p"),
        (Problem(SQUARE, (lambda u, v: laplacian(u) - u + v, lambda u, v: u - v), 0.0, FREE, unknowns=("u", "v")), "u, v"),
        (Problem(SQUARE, data=DATA, unknowns=("u", "v")), "v"),
        (poisson(*FREE, mean(0.0, lambda u: dx(u))), "u"),
    ],
)
def test_levels_that_nothing_determines(problem: Problem, loose: str) -> None:
    ((place, message),) = contradictions(problem)
    assert place[0] in ("conditions", "unknowns")
    assert message.startswith(f"nothing determines the level of {loose}: ")
    assert 'type = "mean"' in message


@pytest.mark.parametrize(
    "problem",
    [
        poisson(dirichlet(0.0, "x-"), neumann(0.0, ["x+", "y-", "y+"])),
        poisson(*FREE, mean(0.0)),
        poisson(*FREE, mean(1.0, lambda u: u**2)),
        poisson(*FREE, mean(0.0, on="x-")),
        poisson(*FREE, data=DATA),
        poisson(robin(lambda u: dx(u) + u, 1.0)),
        Problem(SQUARE, lambda u, k: -laplacian(u) - k, 0.0, FREE, parameters={"k": Parameter(1.0)}),
        Problem(SQUARE, lambda u: -laplacian(u) + u**3, 0.0, FREE),
        Problem(SQUARE, lambda u: -laplacian(u) + 1e-3 * u, 0.0, FREE),
        Problem(ROD, lambda u: dt(u) - laplacian(u), 0.0, (initial(1.0), neumann(0.0))),
        Problem(SQUARE, SYSTEM, 0.0, (dirichlet(0.0), mean(0.0, unknown="p")), unknowns=("u", "p")),
        Problem(SQUARE, (lambda u, v: laplacian(u) - u + v, lambda u, v: u + v), 0.0, FREE, unknowns=("u", "v")),
        Problem(SQUARE, data=DATA),
        poisson(dirichlet(lambda k: k), dirichlet(1.0, "x+"), parameters={"k": Parameter(0.5)}),  # k may become 1
        poisson(dirichlet(0.0), interface("hole", 1.0), interfaces={"hole": disk((0.5, 0.5), 0.2)}),
    ],
)
def test_levels_that_something_determines(problem: Problem) -> None:
    assert list(contradictions(problem)) == []


@pytest.mark.parametrize(
    ("conditions", "refused"),
    [
        ([dirichlet(0.0), dirichlet(1.0, "x+")], True),
        ([dirichlet(lambda x, y: x * y), dirichlet(lambda y: y, "x+")], False),
        ([dirichlet(0.0), neumann(1.0, "x+")], False),
        ([dirichlet(0.0, "x-"), dirichlet(1.0, "x+")], False),
        ([dirichlet(EXACT), dirichlet(1.0, "x+")], True),
        ([dirichlet(EXACT), dirichlet(lambda y: math.sin(1.0) + y, "x+")], False),
    ],
)
def test_two_values_on_one_face(conditions: list[object], refused: bool) -> None:
    found = list(contradictions(poisson(*conditions, exact=lambda x, y: sin(x) + y)))
    assert bool(found) == refused
    if refused:
        ((place, message),) = found
        assert place == ("conditions", 1, "on")
        assert message.startswith("x+ has values of u from condition 1 already")


def test_of_different_unknowns_values_do_not_meet() -> None:
    conditions = (dirichlet(0.0), dirichlet(1.0, unknown="v"))
    problem = Problem(SQUARE, (lambda u: laplacian(u), lambda v: laplacian(v)), 0.0, conditions, unknowns=("u", "v"))
    assert list(contradictions(problem)) == []
    assert warnings(problem) == []


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (poisson(dirichlet(1.0, "y+"), dirichlet(0.0, ["x-", "x+", "y-"])), "y+ and x- meet: 1 and 0 at x = 0, y = 1"),
        (poisson(dirichlet(lambda y: y, "x-"), dirichlet(0.0, "y+")), "x- and y+ meet: 1 and 0 at x = 0, y = 1"),
        (poisson(dirichlet(lambda y: y, "x-"), dirichlet(0.0, "y-")), None),
        (poisson(dirichlet(0.0, "x-"), dirichlet(1.0, "x+")), None),
        (Problem(ROD, lambda u: dt(u) - laplacian(u), 0.0, (initial(1.0), dirichlet(0.0))), "t- and x- meet: 1 and 0 at x = 0, t = 0"),
        (Problem(ROD, lambda u: dt(dt(u)) - laplacian(u), 0.0, (initial(0.0), initial(1.0, lambda u: dt(u)), dirichlet(0.0))), None),
        (Problem(Cylinder(disk(), 0.0, 1.0), lambda u: dt(u), 0.0, (initial(lambda x: x), dirichlet(lambda x, t: x + t))), None),
        (Problem(Cylinder(disk(), 0.0, 1.0), lambda u: dt(u), 0.0, (initial(lambda x: x), dirichlet(0.0))), "t- and outer meet"),
        (Problem(polygon([(0, 0), (1, 0), (0, 1)]), lambda u: laplacian(u), 0.0, (dirichlet(2.0, "edge1"), dirichlet(3.0, ["edge2", "edge3"]))),
         "edge1 and edge2 meet: 2 and 3 at x = 1, y = 0"),
        (Problem(annulus(), lambda u: laplacian(u), 0.0, (dirichlet(2.0, "inner"), dirichlet(3.0, "outer"))), None),
    ],
)  # fmt: skip
def test_values_that_disagree_in_corners(problem: Problem, words: str | None) -> None:
    found = warnings(problem)
    assert list(contradictions(problem)) == []
    if words is None:
        assert found == []
    else:
        assert words in found[0]
        assert found[0].startswith("values of u disagree where ")


def conductivity(x: Jet) -> Jet:
    return 1.0 + x


def conducting(u: Jet, x: Jet) -> Jet:
    return -div(conductivity(x) * grad(u))


@pytest.mark.parametrize(
    ("problem", "numbers"),
    [
        # -Δu = 1 in a disk of radius 2: ∫ f = 4π, and n·∇u = g lets -4π g through
        (Problem(disk((0.0, 0.0), 2.0), lambda u: -laplacian(u), 1.0, (neumann(-1.0), mean(0.0))), None),
        (Problem(disk((0.0, 0.0), 2.0), lambda u: -laplacian(u), 1.0, (neumann(1.0), mean(0.0))), (12.5664, -12.5664)),
        (Problem(disk((0.0, 0.0), 2.0), lambda u: laplacian(u), 1.0, (neumann(1.0), mean(0.0))), None),
        # ∮ k g with k = 1 + x: 2 g(1) + 1 g(0) + 3/2 (g(y-) + g(y+))
        (Problem(SQUARE, conducting, 0.0, (neumann(1.0, "x+"), neumann(-2.0, "x-"), neumann(0.0, ["y-", "y+"]), mean(0.0))), None),
        (Problem(SQUARE, conducting, 0.5, (neumann(1.0, ["x+", "y-"]), neumann(0.0, ["x-", "y+"]), mean(0.0))), (0.5, -3.5)),
        (Problem(SQUARE, lambda u: -laplacian(u), EXACT, (neumann(EXACT), mean(0.0)), exact=lambda x, y: cos(x) * exp(y)), None),
        (Problem(box(x=(0, 1)), lambda u: dx(dx(u)), lambda x: x, (neumann(0.0), mean(0.0))), (0.5, 0.0)),
        # none of these needs balance
        (Problem(SQUARE, lambda u: -laplacian(u) + u, 1.0, (neumann(0.0),)), None),
        (Problem(SQUARE, lambda u: -laplacian(u) + dx(u), 1.0, (neumann(0.0), mean(0.0))), None),
        (Problem(SQUARE, lambda u: -laplacian(u), 1.0, (neumann(0.0, ["x-", "x+", "y-"]), dirichlet(0.0, "y+"))), None),
        (Problem(SQUARE, lambda u: -laplacian(u) + u**3, 1.0, (neumann(0.0),)), None),
    ],
)  # fmt: skip
def test_neumann_conditions_must_let_out_what_comes_in(problem: Problem, numbers: tuple[float, float] | None) -> None:
    assert list(contradictions(problem)) == []
    found = warnings(problem)
    if numbers is None:
        assert found == []
        return
    assert len(found) == 1
    assert f"integrates to {numbers[0]:.6g} and" in found[0]
    through = float(found[0].split("boundary to ")[1].split(",")[0])
    assert through == pytest.approx(numbers[1], abs=1e-5)


def test_interfaces_have_the_coordinates_of_the_domain() -> None:
    problem = Problem(
        box(x=(0, 1), y=(0, 1), t=(0, 1)), lambda u: dt(u), 0.0, (initial(0.0),), interfaces={"hole": disk((0.5, 0.5), 0.2)}
    )
    ((place, message),) = contradictions(problem)
    assert place == ("domain", "interfaces", "hole")
    assert message == "its coordinates are x, y; those of the domain are x, y, t, in this order"
