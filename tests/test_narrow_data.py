"""Narrow places of data: found however narrow they are, not invented, and points laid there integrate what is in them."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pdekan import exp
from pdekan.domains.box import box
from pdekan.fields.operators import dx
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problem_files.narrow_data import narrow_places
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import NarrowPlace, Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import terms
from pdekan.training.graded_coordinates import looked_at
from pdekan.training.points import training_points, validation_points
from pdekan.training.schedule import stages
from pdekan.training.solver import solve

LINE = "x = [0.0, 1.0]"
UNIT = "x = [0.0, 1.0]\ny = [0.0, 1.0]"
SQUARE = "x = [0.0, 1.0]\ny = [-1.0, 1.0]"


def stated(source: str, domain: str = LINE, operator: str = "-laplacian(u)", exact: str = "") -> Problem:
    return loads(f"""
schema = 1
name = "stated"
[domain]
type = "box"
{domain}
[equation]
operator = "{operator}"
source = "{source}"
[[conditions]]
type = "dirichlet"
{exact}""")


@pytest.mark.parametrize("width", [3e-3, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("where(abs(x - 0.37) < {w}, 1/{w}, 0)", 1.0),
        ("where((x - 0.37 - {w})*(x - 0.37 + {w}) < 0, 1/{w}, sin(x))", 1.0),
        ("exp(-((x - 0.37)/{w})**2)/{w}", math.sqrt(math.log(2.0))),
        ("1/({w}*cosh((x - 0.37)/{w})**2)", math.acosh(math.sqrt(2.0))),
        ("x + {w}/((x - 0.37)**2 + {w}**2)", 1.0),
    ],
)
def test_a_narrow_source_is_found_however_narrow(source: str, changes: float, width: float) -> None:
    """changes: the distance at which the source is half of its height, in widths."""
    places = narrow_places(stated(source.format(w=width)))
    assert len(places) >= 1
    strongest = min(places, key=lambda one: abs(one.position - 0.37))
    assert strongest.axis == 0
    assert abs(strongest.position - 0.37) < 0.1 * width
    assert 0.5 * changes * width < strongest.width < 2.5 * changes * width
    assert all(abs(place.position - 0.37) < 30.0 * width for place in places)


def test_the_source_of_a_manufactured_solution_is_looked_at() -> None:
    exact = 'value = "exact"\n[exact]\nu = "tanh(1e6*(x - 0.123))"'
    places = narrow_places(stated("manufactured", operator="-dx(dx(u))", exact=exact))
    assert min(abs(place.position - 0.123) for place in places) < 1e-7


def test_a_layer_and_a_peak_in_the_plane() -> None:
    layer = narrow_places(stated("where(abs(x - 0.37) < 1e-5, 1e5, 0)", SQUARE))
    assert [(one.axis, round(one.position, 8)) for one in layer] == [(0, 0.37)]
    peak = narrow_places(stated("exp(-1e8*((x - 0.71)**2 + (y + 0.3)**2))", SQUARE))
    for axis, position in ((0, 0.71), (1, -0.3)):
        found = [one for one in peak if one.axis == axis]
        assert min(abs(one.position - position) for one in found) < 1e-6
        assert all(abs(one.position - position) < 3e-3 for one in found)


def test_a_curved_front_is_no_place() -> None:
    """On the line through its centre it is narrow along that line only."""
    front = "1/(1 + (1e3*(sqrt((x - 1.5)**2 + (y - 0.25)**2) - 0.92))**2)"
    assert narrow_places(stated(front, UNIT)) == ()


def test_two_places_are_two() -> None:
    places = narrow_places(stated("exp(-((x - 0.2)/1e-5)**2) + 3*exp(-((x - 0.8)/1e-4)**2)"))
    assert sorted({round(one.position, 3) for one in places}) == [0.2, 0.8]


def test_a_coefficient_is_looked_at() -> None:
    places = narrow_places(stated("1", operator="-dx((1 + 50*exp(-((x - 0.6)/1e-4)**2))*dx(u))"))
    assert min(abs(place.position - 0.6) for place in places) < 1e-5


def test_a_formula_of_python_is_looked_at_as_far_as_its_values_show() -> None:
    def problem(width: float) -> Problem:
        return Problem(box(x=(0.0, 1.0)), lambda u: dx(dx(u)), lambda x: exp(-(((x - 0.4) / width) ** 2)), (dirichlet(0.0),))

    assert min(abs(one.position - 0.4) for one in narrow_places(problem(1e-3))) < 1e-4
    assert narrow_places(problem(0.1)) == ()


@pytest.mark.parametrize(
    "source",
    [
        "1",
        "sin(20*x)*exp(x)",
        "where(x < 0.3, 1, 2)",  # a jump
        "abs(x - 0.3)",  # a kink
        "abs(x - 0.3)**(-0.4)",  # a singularity, which has no length
        "sign(sin(9*x))",
        "exp(-((x - 0.4)/0.2)**2)",
        "1e-12*exp(-((x - 0.4)/1e-4)**2) + 1",  # next to nothing
        "x**(-1.4)",
    ],
)
def test_what_is_not_narrow_is_not_found(source: str) -> None:
    assert narrow_places(stated(source)) == ()


QUICK = [
    "poisson_sine",
    "boundary_layer",
    "burgers",
    "coated_cylinder",
    "l_shape",
    "elasticity",
    "wave",
    "poisson_3d",
    "stokes",
]


@pytest.mark.parametrize("name", QUICK)
def test_the_librarys_data_are_not_narrow(name: str) -> None:
    assert name in library()
    assert narrow_places(load_problem(name)) == ()


# --- points ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1e-3, 1e-6])
def test_training_and_validation_points_integrate_a_peak(width: float) -> None:
    problem = stated(f"exp(-((x - 0.37)/{width})**2)/({width}*sqrt(pi))")
    plain = training_points(problem, stages(problem)[0], 0)
    found = training_points(looked_at(problem), stages(problem)[0], 0)
    for sampling, exactly in ((plain, False), (found, True), (validation_points(found), True)):
        (term, *_) = terms(problem, sampling)
        integral = float(term.share @ term.target)
        assert (abs(integral - 1.0) < 1e-2) is exactly


def test_cells_about_narrow_places() -> None:
    square = box(x=(0.0, 1.0), y=(0.0, 2.0))
    places = (NarrowPlace(0, 0.3, 1e-6, 1.0, (0.3, 0.0)), NarrowPlace(0, 7.0, 1e-6, 1.0, (7.0, 0.0)))
    sampling = Sampling(4, 3, 0, 0, narrow=places)
    along, even = sampling.cells_along(square)
    assert even == 4
    assert not isinstance(along, int)
    edges = np.array([0.0, *along, 1.0])
    lengths = np.diff(edges)
    assert (lengths > 0.0).all()
    assert {0.25, 0.5, 0.75} <= set(along)
    assert 0.3 in along
    assert lengths[np.flatnonzero(edges == 0.3)] == pytest.approx(1e-6)
    assert (np.maximum(lengths[1:] / lengths[:-1], lengths[:-1] / lengths[1:])[lengths[1:] < 0.05] < 40.0).all()
    rule = sampling.inside(square)
    assert len(rule.points) == (len(along) + 1) * 3 * 12
    assert rule.weights @ (rule.points[:, 0] ** 4 * rule.points[:, 1]) == pytest.approx(0.4)
    face = sampling.on(square, "y-", 0, 0)
    assert len(face.points) == (len(along) + 1) * 3
    assert len(sampling.on(square, "x-", 0, 0).points) == 12


# --- solving -----------------------------------------------------------------------------------------------------------


def test_a_layer_too_narrow_for_any_point_is_refused() -> None:
    problem = stated("where(abs(x - 0.37) < 1e-5, 1e5, 0)", SQUARE)
    with pytest.raises(ProblemError, match=r"in a region of width 2\.0e-05 near x = 0\.37"):
        solve(replace(problem, training=TrainingOptions(steps=5)), estimate=False)


def test_a_narrow_source_on_a_line_is_solved() -> None:
    """u'' = -f with f of width 1e-3: the coordinates are graded from the data, before anything is trained."""
    text = "-{w}/2*((x - 0.3)/{w}*erf((x - 0.3)/{w}) + exp(-((x - 0.3)/{w})**2)/sqrt(pi)) + 0.5 - 0.15*x"
    problem = stated(
        "exp(-((x - 0.3)/2e-3)**2)/(2e-3*sqrt(pi))",
        "x = [-1.0, 1.0]",
        "-dx(dx(u))",
        '[exact]\nu = "' + text.format(w="2e-3") + '"',
    )
    solution = solve(replace(problem, training=TrainingOptions(tolerance=1e-4, seconds=300.0)), estimate=False)
    assert solution.errors is not None
    assert solution.status == "converged"
    assert solution.errors["u"].l2_relative < 1e-6


# --- points without value ----------------------------------------------------------------------------------------------

WITH_MIDDLE = Sampling(3, 3, 0, 0)


@pytest.mark.parametrize("shift", ["0", "1e-15"])  # the point at the singularity, and beside it by round-off
@pytest.mark.parametrize("power", ["-1", "-1.9"])
def test_a_point_at_an_integrable_singularity_is_moved(power: str, shift: str, caplog: pytest.LogCaptureFixture) -> None:
    problem = stated(f"((x - 0.5 - {shift})**2 + (y - 0.5)**2)**({power}/2)", UNIT)
    with caplog.at_level(logging.WARNING):
        (term, *_) = terms(problem, WITH_MIDDLE)
    assert "the source is singular at x = 0.5, y = 0.5, and integrable; the point is moved" in caplog.text
    assert len(term.points) == 81
    assert float(term.target.max()) < 1e5
    even = torch.as_tensor(problem.domain.interior(3, 3, 0, 0).points)
    moved = (term.points != even).any(1)
    assert moved.nonzero().flatten().tolist() == [40]
    weight = problem.domain.interior(3, 3, 0, 0).weights[40]
    assert float((term.points[40] - even[40]).norm()) == pytest.approx(0.25 * math.sqrt(weight))


@pytest.mark.parametrize("source", ["((x - 0.5)**2 + (y - 0.5)**2)**(-1.5)", "sqrt(abs(x - 0.5) - 1e-3)"])
def test_other_sources_without_value_are_refused(source: str) -> None:
    problem = stated(source, UNIT)
    with pytest.raises(ProblemError, match=r"the right-hand side is not finite at x = 0\.5"):
        terms(problem, WITH_MIDDLE)


@pytest.mark.parametrize("steepness", ["1e4", "2e6"])
def test_a_peak_is_no_singularity(steepness: str, caplog: pytest.LogCaptureFixture) -> None:
    (term, *_) = terms(stated(f"1e9*exp(-{steepness}*((x - 0.5)**2 + (y - 0.5)**2)) + 1", UNIT), WITH_MIDDLE)
    assert float(term.target.max()) > 9e8
    assert not caplog.text
