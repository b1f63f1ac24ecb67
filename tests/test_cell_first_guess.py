"""Slabs of time on cells: the guess that Gauss-Newton steps on all of time start from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import representing
from pdekan.cells.system import projected
from pdekan.domains.box import box
from pdekan.domains.partition import Partition
from pdekan.fields.functions import exp, sin
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.operators import d, laplacian
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.conditions import dirichlet, initial
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem
from pdekan.training.cells.first_guess import marched, marches
from pdekan.training.cells.training import CellRule, CellTraining
from pdekan.training.setup import Setup

FRAME = Frame(("x", "t"), Derivatives.VALUE)


def evolution() -> Problem:
    """u_t = u_xx + 4 (u - u³) + f."""
    return Problem(
        box(x=(0.0, 1.0), t=(0.0, 2.0)),
        lambda u: d(u, "t") - laplacian(u) - 4.0 * (u - u**3),
        EXACT,
        (initial(EXACT), dirichlet(EXACT, on=("x-", "x+"))),
        exact=lambda x, t: 1.0 + 0.5 * sin(3.0 * x + 2.0 * t),
    )


def constant(value: float) -> CellNetwork:
    network = CellNetwork(Partition.grid((0.0, 0.0), (1.0, 2.0), (1, 1)), np.array([0]), 1, None)
    network.coefficients.data.fill_(value)
    return network


def test_a_slab_that_misses_its_accuracy_is_halved_and_the_next_one_after_a_good_one_is_longer() -> None:
    tried: list[tuple[float, float]] = []

    def train(part: Problem) -> tuple[Network, float]:
        start, end = part.domain.lower[1], part.domain.upper[1]
        tried.append((start, end))
        return constant(start), 0.0 if end - start < 0.2 else 1.0

    found = marched(evolution(), lambda: 1.0, train)
    assert isinstance(found, PiecewiseInTime)
    assert tried[:4] == [(0.0, 0.25), (0.0, 0.125), (0.125, 0.3125), (0.3125, 0.59375)]
    assert tried[-1][1] == 2.0
    points = torch.tensor([[0.5, 0.1], [0.5, 0.2]], dtype=torch.float64)
    assert evaluate(found, points, FRAME).value[:, 0].tolist() == [0.0, 0.125]


@pytest.mark.parametrize(("left", "indicator"), [(0.0, 0.0), (1.0, math.inf), (1.0, math.nan)])
def test_there_is_no_guess_without_time_or_where_no_slab_is_short_enough(left: float, indicator: float) -> None:
    assert marched(evolution(), lambda: left, lambda part: (constant(0.0), indicator)) is None


def test_only_problems_with_initial_values_are_marched_through() -> None:
    assert marches(evolution())
    assert not marches(Problem(box(x=(0.0, 1.0)), lambda u: laplacian(u), 1.0, (dirichlet(0.0),)))


def test_cells_are_cut_where_they_do_not_represent_a_function() -> None:
    problem = evolution()
    fine = Partition.grid((0.0, 0.0), (1.0, 2.0), (1, 1))
    for _ in range(3):  # towards x = 0, t = 0
        fine, _ = fine.refined({0: [0, 1]})
    steep = CellNetwork(fine, np.full(fine.count, 3), 1, None)
    steep.coefficients.data.copy_(torch.randn(steep.coefficients.shape, generator=torch.Generator().manual_seed(0)))
    mesh = Mesh.of(problem, Partition.grid((0.0, 0.0), (1.0, 2.0), (1, 1)), np.array([4]))
    assert representing(problem, mesh, steep, 1e-9, 1).partition.count == 1
    mesh = representing(problem, mesh, steep, 1e-9, 100)
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4 * torch.tensor([1.0, 2.0])
    u, v = (evaluate(one, points, FRAME).value for one in (projected(steep, mesh, 1), steep))
    torch.testing.assert_close(u, v, rtol=1e-8, atol=1e-8)
    assert mesh.partition.count <= 2 * fine.count


def test_steps_on_all_of_time_start_from_the_slabs() -> None:
    line = box(t=(0.0, 2.0))
    growth = Problem(
        line, lambda u: d(u, "t") - 4.0 * u * (1.0 - u), 0.0, (initial(0.1),), exact=lambda t: 1 / (1 + 9 * exp(-4 * t))
    )
    training = CellTraining(growth, Setup(), rule=CellRule(lost=0.0))
    solution = training.solution()
    assert isinstance(training.start, PiecewiseInTime)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-7
