"""Warnings before training: faces about which nothing is said, values that contradict the equation where time begins."""

from __future__ import annotations

from typing import Any

import pytest

import pdekan as pk
from pdekan.fields.jets import Jet
from pdekan.problem_files import well_posedness
from pdekan.problem_files.library import problems
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.well_posedness import warnings
from pdekan.training.posedness.uniqueness import silent_faces

SQUARE = pk.box(x=(0, 1), y=(0, 1))


def laplace(*conditions: Any, equation: Any = pk.laplacian, domain: pk.Domain = SQUARE, **more: Any) -> pk.Problem:
    return pk.Problem(domain, lambda u: equation(u), 1.0, list(conditions), **more)


def test_faces_about_which_nothing_is_said() -> None:
    (one,) = silent_faces(laplace(pk.dirichlet(0.0, on=("x-", "x+"))))
    assert one.startswith("nothing is said about u on y-, y+: there is no natural condition here")
    disk = pk.difference(SQUARE, pk.disk((0.5, 0.5), 0.2))
    (one,) = silent_faces(laplace(pk.dirichlet(0.0, on="part1"), domain=disk))
    assert "on part2.outer:" in one


@pytest.mark.parametrize(
    "problem",
    [
        laplace(pk.dirichlet(0.0)),
        laplace(pk.dirichlet(0.0, on=("x-", "x+")), pk.neumann(0.0, on="y-"), pk.robin(lambda u: pk.normal(u) + u, on="y+")),
        laplace(pk.dirichlet(0.0, on=("x-", "x+")), pk.periodic("y")),
        laplace(pk.dirichlet(0.0, on="x-"), equation=lambda u: pk.dx(u) + u),  # transport needs none elsewhere
        laplace(  # both on one end
            pk.dirichlet(0.0, on="x-"), pk.neumann(0.0, on="x-"), equation=lambda u: pk.dx(pk.dx(u)), domain=pk.box(x=(0, 1))
        ),
        load_problem("clamped_plate"),  # two for the one unknown, none for the other
    ],
    ids=["all", "kinds", "periodic", "transport", "one end", "plate"],
)  # fmt: skip
def test_what_needs_no_condition_is_not_warned_of(problem: pk.Problem) -> None:
    assert list(silent_faces(problem)) == []


def contradictions(problem: pk.Problem) -> list[str]:
    return [one for one in warnings(problem) if "contradict the equation" in one]


def rod(initial: Any, left: Any, source: Any, equation: Any = None) -> pk.Problem:
    def heat(u: Jet) -> Jet:
        return pk.dt(u) - pk.dx(pk.dx(u))

    conditions = [pk.initial(initial), pk.dirichlet(left, on="x-"), pk.dirichlet(0.0, on="x+")]
    return pk.Problem(pk.box(x=(0, 1), t=(0, 1)), equation or heat, source, conditions)


def test_values_that_contradict_the_equation_where_time_begins() -> None:
    """u = x(1 - x) at first: u_t - u_xx is 2 by the values at both ends, and the source says 1."""
    (one,) = contradictions(rod(lambda x: x * (1 - x), 0.0, 1.0))
    assert "2 by the conditions, 1 by the source" in one
    assert "x = 0" in one
    assert "x = 1" in one
    (one,) = contradictions(rod(lambda x: pk.sin(pk.pi * x), lambda t: pk.sin(t), 0.0))  # u_t = 1 at x = 0 alone
    assert "1 by the conditions, 0 by the source" in one
    assert "x = 1" not in one


def test_values_that_satisfy_the_equation_are_not_warned_of() -> None:
    assert contradictions(rod(lambda x: x * (1 - x), 0.0, 2.0)) == []
    assert contradictions(rod(lambda x: pk.sin(pk.pi * x), 0.0, 0.0)) == []
    assert contradictions(rod(lambda x: 1 + x, 0.0, 0.0)) == []  # values that differ are another warning
    mixed = rod(lambda x: x * (1 - x), 0.0, 1.0, lambda u: pk.dt(pk.dx(u)) - pk.dx(pk.dx(u)))
    assert contradictions(mixed) == []  # u_xt is not known there


def test_the_library_has_no_such_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(well_posedness, "warnings_of_jumps", lambda _: [])  # which are others, and take long to look for
    for name in problems():
        problem = load_problem(name)
        assert [*silent_faces(problem), *contradictions(problem)] == [], name
