"""Schedules: what is trained when the options name no network, a part of one, or all of it, and that it fits into memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from pdekan import dirichlet, laplacian
from pdekan.domains.box import Box, box
from pdekan.problem_files.loader import load_problem
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, Nodes, TrainingOptions
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem
from pdekan.training.memory import block, memory
from pdekan.training.points import own_points, training_points
from pdekan.training.schedule import FIRST_WAVES, Stage, is_open, stages


def poisson(dimension: int, **training: object) -> Problem:
    names = tuple(f"x{k}" for k in range(dimension))
    domain = Box(names, (0.0,) * dimension, (1.0,) * dimension)
    options = TrainingOptions(**training)  # type: ignore[arg-type]
    return Problem(domain, lambda u: laplacian(u), 1.0, (dirichlet(0.0),), training=options)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 10, 20, 21, 100])
def test_the_default_grows_from_small_networks_to_large_ones(dimension: int) -> None:
    problem = poisson(dimension)
    assert is_open(problem)
    plan = stages(problem)
    for waves in (False, True):
        sizes = [stage.parameters(dimension) for stage in plan if stage.waves == waves]
        assert not sizes or sizes[0] == min(sizes) < sizes[-1]
        # above, Gauss-Newton goes without the Jacobian; of plane waves the last layer alone is solved for
        assert max(sizes, default=0) <= (6200 if waves else 3000)
        # what a network has learnt can only be carried over to at least as many nodes
        assert all(a.hidden[0] <= b.hidden[0] for a, b in pairwise(stage for stage in plan if stage.waves == waves))
    assert any(stage.waves for stage in plan) == (dimension in (2, 3))
    first = len(FIRST_WAVES.get(dimension, ())) - 1  # one of them after the search
    assert all(stage.waves for stage in plan[: max(0, first)])
    assert [k for k, stage in enumerate(plan) if stage.search] == ([first, first + 1] if dimension in (2, 3) else [])


def test_regression_begins_with_a_trained_network() -> None:
    """A few plane waves between data are any function that has the data."""
    assert not stages(load_problem("regression"))[0].waves


def test_nonlinear_problems_begin_with_a_trained_network() -> None:
    first = stages(replace(poisson(2), equation=lambda u: laplacian(u) - u**3))[0]
    assert not first.waves
    assert not first.search


@pytest.mark.parametrize(
    "changed",
    [
        {"training": TrainingOptions(optimizer="matrix-free")},
        {"network": NetworkOptions(base="silu")},
        {"parameters": {"q": Parameter(1.0)}},
    ],
)
def test_plane_waves_are_for_what_one_linear_solve_can_find(changed: dict[str, object]) -> None:
    problem = replace(poisson(2), **changed)  # type: ignore[arg-type]
    assert is_open(problem)
    assert not any(stage.waves for stage in stages(problem))


@pytest.mark.parametrize("degree", [5, (4, 9)])
@pytest.mark.parametrize("intervals", [1, 10, (3, 16)])
def test_the_last_network_is_the_one_that_was_asked_for(
    degree: int | tuple[int, int], intervals: int | tuple[int, int]
) -> None:
    problem = replace(poisson(2), network=NetworkOptions(hidden=(7,), degree=degree, intervals=intervals, base="silu"))
    assert not is_open(problem)
    last = stages(problem)[-1]
    assert last.widths(2) == (2, 7, 1)
    assert last.degree == ((degree,) * 2 if isinstance(degree, int) else degree)
    assert last.intervals == ((intervals,) * 2 if isinstance(intervals, int) else intervals)
    assert all(stage.base == "silu" and stage.hidden == (7,) for stage in stages(problem))


def test_intervals_follow_the_list_of_refinements() -> None:
    plan = stages(poisson(2, refine=(5, 10, 20)))
    assert [stage.intervals for stage in plan] == [(5, 5), (10, 10), (20, 20)]


def test_product_nodes_are_among_the_hidden_ones() -> None:
    problem = replace(poisson(2), network=NetworkOptions(hidden=(3, Nodes(2, 1)), degree=4, intervals=2))
    for stage in stages(problem):
        assert stage.hidden == (3, 3)
        assert stage.products == (0, 1)
    assert stages(problem)[-1].parameters(2) == (2 * 3 + 3 * 3 + 3) * 6


def test_an_mlp_has_no_product_nodes() -> None:
    with pytest.raises(ValueError, match="product"):
        NetworkOptions(kind="mlp", hidden=(Nodes(1, 1),))
    with pytest.raises(ValueError, match="at least one"):
        Nodes(0, 0)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_there_are_more_points_along_an_axis_than_coefficients(dimension: int) -> None:
    """A single product node has few parameters in all, but as many along an axis as any other."""
    stage = Stage("kan", (1,), (9, 1), (16, 1), "none", (1,))
    sampling = training_points(poisson(dimension), stage, 0)
    assert sampling.cells * sampling.order >= 1.5 * (9 + 16)


def test_a_block_of_rows_fits_into_what_is_allowed() -> None:
    stage = Stage("kan", (10,), (9, 9), (1, 32), "none")
    parameters = stage.parameters(2)
    rows = [block(parameters, stage, 2, megabytes) for megabytes in (100.0, 200.0, None)]
    assert 0 < rows[0] < rows[1] < rows[2]
    assert memory(poisson(2, memory=60.0), stage) <= 60e6 < memory(poisson(2), stage)
    assert memory(poisson(2, memory=60.0), Stage("mlp", (10,))) <= 60e6


def test_more_points_than_fit_are_not_laid() -> None:
    """And the solver's own trials take as many as they need, whatever the user asks for."""
    stage, count = Stage("kan", (10,), (9, 9), (1, 32), "none"), {}
    for megabytes in (100.0, 1000.0):
        many = poisson(2, points=10**6, memory=megabytes)
        sampling = training_points(many, stage, 0)
        count[megabytes] = (sampling.cells * sampling.order) ** 2
        assert own_points(many, stage, 0) == training_points(poisson(2), stage, 0)
    assert count[100.0] < 20_000 < 100_000 < count[1000.0]


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    stage = Stage("kan", (30,), (9, 9), (8, 32), "none")
    with pytest.raises(ProblemError, match=r"needs \d+ MB or more.*--memory"):
        block(stage.parameters(2), stage, 2, 1.0)


def test_lists_of_wrong_length_are_refused() -> None:
    problem = replace(poisson(2), network=NetworkOptions(hidden=(3,), degree=(3, 4, 5)))
    with pytest.raises(ProblemError, match=r"network.degree has 3 entries"):
        stages(problem)


def test_time_is_a_coordinate_like_others() -> None:
    problem = Problem(box(x=(0, 1), t=(0, 1)), lambda u: laplacian(u), 1.0, (dirichlet(0.0),))
    assert stages(problem) == stages(poisson(2))
