"""Conditions at points inside of a domain, and formulas of numbers as bounds and parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pdekan.domains.box import box
from pdekan.domains.shapes import disk
from pdekan.fields.operators import dx, laplacian
from pdekan.problem_files.loader import ProblemFileError, json_schema, loads
from pdekan.problems.conditions import dirichlet, neumann, robin
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import Section
from pdekan.problems.problem import Problem
from pdekan.training.solver import solve

FILE = """
schema = 1
name = "beam"
[domain]
type = "box"
x = [0, "pi/2"]
[parameters]
mu = "1/3"
[equation]
operator = "dx(dx(u)) + mu*0*u"
source = "-sin(x)"
[[conditions]]
type = "dirichlet"
on = "x-"
value = 0
[[conditions]]
type = "dirichlet"
on = {x = "pi/6"}
value = "1/2"
[exact]
u = "sin(x)"
"""


def test_a_value_inside_takes_the_place_of_one_at_an_end() -> None:
    """u'' = -sin x with u(0) = 0 and u(π/6) = 1/2, of which sin x is the solution."""
    problem = loads(FILE)
    assert problem.domain.upper == (math.pi / 2,)
    solution = solve(problem)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-8


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"pi/2"', '"2*q"', r"domain\.x\.1: .*'q'"),
        ('"pi/2"', '"pi/"', r"domain\.x\.1: cannot be read as a formula"),
        ('"1/3"', '"x"', r"parameters\.mu: .*'x'"),
        ('"1/3"', '"1/0"', r"parameters\.mu: .*divides by zero"),
        ('{x = "pi/6"}', "{x = 7}", r"conditions\.1\.on: x = 7 is outside of the domain"),
        ('{x = "pi/6"}', "{y = 0.5}", r"conditions\.1\.on: y is no coordinate; the coordinates are x"),
        ('{x = "pi/6"}', "{}", r"conditions\.1\.on"),
        ('{x = "pi/6"}', '{x = 0.5}\nenforce = "exact"', "is for values on faces"),
        ('"dirichlet"\non = {x', '"neumann"\non = {x', "a neumann condition is on faces; inside of the domain state"),
    ],
)
def test_what_is_no_number_and_no_place_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ProblemFileError, match=words):
        loads(FILE.replace(old, new))


def test_a_section_of_a_box_has_the_measure_of_the_section() -> None:
    problem = Problem(box(x=(0, 1), y=(0, 2), t=(0, 3)), lambda u: laplacian(u), 0.0, [dirichlet()])
    for at, measure in (((("x", 0.5),), 6.0), ((("x", 0.5), ("y", 1.0)), 3.0), ((("x", 0.5), ("t", 2.0)), 2.0)):
        rule = lambda shape, face: shape.face(face, 2, 3, 10, 0)  # noqa: E731
        (found,) = Section(at).rules(problem, lambda: None, rule)  # type: ignore[arg-type, return-value]
        assert len(np.unique(found.points, axis=0)) == len(found.points)
        for name, value in at:
            assert (found.points[:, problem.domain.coordinates.index(name)] == value).all()
        ratio = found.weights.sum() / problem.domain.face("x-", 2, 3, 10, 0).weights.sum()
        assert ratio == pytest.approx(1.0)
        assert len(found.points) == 6 ** (3 - len(at))
        assert measure > 0.0


def test_a_point_of_a_disk_fixes_the_level_that_neumann_conditions_leave_open() -> None:
    conditions = [neumann(lambda x, y: x), dirichlet(3.0, on={"x": 0.0, "y": 0.0})]
    solution = solve(Problem(disk(), lambda u: laplacian(u), 0.0, conditions, exact=lambda x: x + 3.0))
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-8


def test_only_boxes_have_parts_with_fewer_coordinates() -> None:
    with pytest.raises(ProblemError, match="all coordinates are needed here: x, y; only parts of boxes have fewer"):
        Problem(disk(), lambda u: laplacian(u), 0.0, [robin(lambda u: dx(u), on={"x": 0.0})])


def test_the_json_schema_knows_formulas_of_numbers_and_places() -> None:
    schema = json_schema()
    items = schema["$defs"]["Box"]["additionalProperties"]["items"]
    assert {one["type"] for one in items["anyOf"]} == {"number", "string"}
    assert "Condition" in schema["$defs"]
