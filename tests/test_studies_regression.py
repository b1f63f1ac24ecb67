"""Targets: what is learned from, what is tested on, and errors; who may be called better."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pdekan.problems.options import NetworkOptions, Nodes, TrainingOptions
from pdekan.studies import regression, winners
from pdekan.studies.regression import Target
from pdekan.training import solver

LINE = Target("line", lambda x: x[:, 0] - 2.0 * x[:, 1], (0.0, -1.0), (4.0, 1.0))


def test_points_are_in_the_box_dense_at_its_ends_and_their_values_the_functions() -> None:
    problem = LINE.problem()
    (data,) = problem.data
    assert np.all(problem.domain.contains(data.points))
    np.testing.assert_array_equal(data.values["u"], data.points[:, 0] - 2.0 * data.points[:, 1])
    # the arcsine law: between the ends' tenths lie arccos(0.8) / π = 0.205 of the points on either side
    share = np.mean(data.points[:, 0] < 0.4)
    assert share == pytest.approx(math.acos(0.8) / math.pi, abs=0.01)


def test_in_many_dimensions_points_are_spread_evenly() -> None:
    many = Target("many", lambda x: x.sum(1), (0.0,) * 6, (1.0,) * 6)
    (data,) = many.problem().data
    assert np.mean(data.points[:, 3] < 0.1) == pytest.approx(0.1, abs=0.01)
    assert not set(map(tuple, many.test_points())) & set(map(tuple, data.points))


def test_tests_are_other_points_spread_evenly() -> None:
    points, (data,) = LINE.test_points(), LINE.problem().data
    assert not set(map(tuple, points)) & set(map(tuple, data.points))
    assert np.mean(points[:, 0] < 0.4) == pytest.approx(0.1, abs=0.005)


def test_noise_is_in_the_values_alone() -> None:
    noisy = replace(LINE, noise=0.5)
    (data,) = noisy.problem().data
    errors = data.values["u"] - LINE.formula(data.points)
    assert np.std(errors) == pytest.approx(0.5, rel=0.1)
    assert abs(np.mean(errors)) < 0.06
    assert data.noise == 0.5
    assert LINE.problem().data[0].noise is None


def test_the_error_is_the_root_mean_square_over_the_box() -> None:
    options = NetworkOptions(hidden=(1,), degree=1, intervals=1)
    solution = solver.solve(LINE.problem(), network=options, training=TrainingOptions(steps=20, seconds=20.0))
    assert LINE.error(solution) < 1e-9  # which a line is to splines of degree one
    # against x alone the error is 2 y, whose mean square over [-1, 1] is 4/3
    other = Target("other", lambda x: x[:, 0], LINE.lower, LINE.upper)
    assert other.error(solution) == pytest.approx(math.sqrt(4.0 / 3.0), rel=1e-3)


def test_networks_and_their_names() -> None:
    kan = {"kind": "kan", "hidden": [3, 2], "degree": 5, "intervals": [2, 4, 8]}
    assert regression.network(kan) == NetworkOptions("kan", (Nodes(3), Nodes(2)), 5, (2, 4, 8))
    assert regression.shape(kan, 2) == "[2,3,2,1]"
    products = {**kan, "hidden": [4], "products": True}
    assert regression.network(products).layers == (Nodes(product=4),)
    assert regression.shape(products, 5) == "[5,4×,1]"
    assert regression.network({"kind": "mlp", "hidden": [7]}) == NetworkOptions("mlp", (7,))


@pytest.mark.parametrize(
    ("kan", "mlp", "expected"),
    [(1e-6, 3e-6, "KAN"), (3e-6, 1e-6, "MLP"), (1e-6, 1.9e-6, "even"), (1.9e-6, 1e-6, "even"), (math.nan, 1.0, "–")],
)
def test_who_is_better(kan: float, mlp: float, expected: str) -> None:
    assert winners.winner(kan, mlp) == expected


def test_everybody_is_named_once() -> None:
    told = winners.winners_sentence({"a": "KAN", "b": "MLP", "c": "even", "d": "KAN", "e": "–"}, "Here")
    assert told == "Here the KAN is more than 2 times better for a, d; the MLP for b; they are even for c."
    assert winners.comma_list([]) == "none"
