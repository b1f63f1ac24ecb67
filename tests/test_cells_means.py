"""Conditions on means on cells: against exact solutions, against dense least squares with the mean as one row."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pdekan.cells.elimination import Front, solve
from pdekan.cells.means import Integrals, chained
from pdekan.domains.box import box
from pdekan.domains.shapes import disk
from pdekan.fields.functions import cos, exp
from pdekan.fields.operators import laplacian
from pdekan.problems.conditions import mean, neumann
from pdekan.problems.formulas import EXACT
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.training.solver import solve as trained

PLANE = Problem(
    box(x=(0.0, 1.0), y=(0.0, 1.0)),
    lambda u: laplacian(u),
    EXACT,
    (neumann(EXACT), mean(0.7)),
    exact=lambda x, y: 0.7 + cos(math.pi * x) * cos(2.0 * math.pi * y),
)
CIRCLE = Problem(
    disk((0.0, 0.0), 1.0),
    lambda u: laplacian(u),
    EXACT,
    (neumann(EXACT), mean(1.3, on="outer")),
    exact=lambda x, y: 0.3 + exp(x) * cos(y),  # a harmonic function has the mean of its value in the centre
)


@pytest.mark.parametrize("problem", [PLANE, CIRCLE])
def test_a_mean_determines_what_slopes_on_the_boundary_leave_open(problem: Problem) -> None:
    local = replace(problem, network=NetworkOptions(cells=(2, 2), degree=11), training=TrainingOptions(seconds=60.0))
    solution = trained(local)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-6


def test_rows_of_single_cells_have_the_minimiser_of_the_mean_as_one_row() -> None:
    """Of least squares that the mean contradicts, so that its weight counts."""
    draw = np.random.default_rng(0)
    blocks, rights, mean_row = draw.random((4, 5, 3)), draw.random((4, 5)), draw.random((4, 4))
    children = [(1, 4), (2, 3), None, None, (5, 6), None, None]
    leaves = [2, 3, 5, 6]
    fronts = {
        node: Front((cell,), torch.as_tensor(np.column_stack([blocks[cell], rights[cell]]))) for cell, node in enumerate(leaves)
    }
    rows = {cell: torch.as_tensor(row) for cell, row in enumerate(mean_row)}
    order = [(cell, node) for cell, node in enumerate(leaves)]
    found = solve(children, chained(fronts, order, [Integrals(rows, 2.5)], 4), [3] * 4 + [1] * 4)
    dense = np.zeros((21, 12))
    for cell in range(4):
        dense[5 * cell : 5 * cell + 5, 3 * cell : 3 * cell + 3] = blocks[cell]
    dense[20], right = 2.5 * mean_row[:, :3].ravel(), np.append(rights.ravel(), 2.5 * mean_row[:, 3].sum())
    expected = np.linalg.lstsq(dense, right, rcond=None)[0]
    np.testing.assert_allclose(torch.cat([found.values[cell] for cell in range(4)]), expected, rtol=1e-12)
