"""Points of straight edges at which data jump, and small round holes: their functions are beside the network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pdekan as pk
from pdekan.domains.combinations import planar
from pdekan.singularities.corners import singularities
from pdekan.singularities.edge_jumps import jumps_on_edges
from pdekan.singularities.holes import hole_functions

PLATE = pk.box(x=(0, 1), y=(0, 1))


def plate(slope: Callable[..., Any]) -> pk.Problem:
    """Heat that comes in on x+ and goes out on x-."""
    conditions = [pk.dirichlet(0.0, on="x-"), pk.neumann(0.0, on=["y-", "y+"]), pk.neumann(slope, on="x+")]
    return pk.Problem(PLATE, lambda u: pk.laplacian(u), 0.0, conditions)


def test_a_slope_that_jumps() -> None:
    """Against the cosine series, at a distance from the edge at which 200 terms of it are exact."""
    problem = plate(lambda y: pk.where(y.value < 0.3, 1.0, 0.0 * y))
    (corner,) = jumps_on_edges(problem, planar(PLATE))
    assert corner.point == pytest.approx((1.0, 0.3), abs=1e-12)
    assert corner.angle == math.pi
    solution = pk.solve(problem, training=pk.TrainingOptions(tolerance=1e-5))
    assert solution.status == "converged"
    points = np.random.default_rng(0).random((40, 2)) * [0.9, 1.0]
    n = np.pi * np.arange(1, 200)
    x, y = points.T[..., None]
    ratio = np.exp(n * (x - 1.0)) * (1.0 - np.exp(-2.0 * n * x)) / (1.0 + np.exp(-2.0 * n))  # sinh nx / cosh n
    series = 0.3 * x[:, 0] + (2.0 * np.sin(0.3 * n) / n**2 * np.cos(n * y) * ratio).sum(axis=1)
    assert np.abs(solution(points) - series).max() < 1e-6


@pytest.mark.parametrize("slope", [lambda y: 1.0 + 0.0 * y, lambda y: y * (1.0 - y), lambda y: pk.sin(9.0 * y)])
def test_smooth_data_have_no_jumps(slope: Callable[..., Any]) -> None:
    assert jumps_on_edges(plate(slope), planar(PLATE)) == []


def test_a_small_hole_off_the_middle() -> None:
    """log r and (x - a)/r² about a hole of a hundredth, its slope given, and a smooth part."""

    def exact(x: Any, y: Any) -> Any:
        squared = (x - 0.3) ** 2 + (y - 0.2) ** 2
        return 0.5 * pk.log(squared) + 0.01 * (x - 0.3) / squared + pk.exp(x) * pk.sin(y)

    domain = pk.difference(pk.disk(), pk.disk((0.3, 0.2), 0.01))
    outer, hole = "part1.outer", "part2.outer"
    conditions = [pk.dirichlet(pk.EXACT, on=outer), pk.neumann(pk.EXACT, on=hole)]
    problem = pk.Problem(domain, lambda u: pk.laplacian(u), 0.0, conditions, exact=exact)
    solution = pk.solve(problem)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-5
    assert solution.errors["u"].h1_seminorm_relative < 1e-5


def test_holes_of_any_form_have_functions_about_their_centroids() -> None:
    outer = pk.box(x=(-1, 1), y=(-1, 1))
    for hole, center in (
        (pk.disk((0.1, 0.0), 0.5), (0.1, 0.0)),
        (pk.ellipse((0.0, 0.2), (0.02, 0.01)), (0.0, 0.2)),
        (pk.polygon([(0, 0), (0.3, 0), (0, 0.3)]), (0.1, 0.1)),
    ):
        problem = pk.Problem(pk.difference(outer, hole), lambda u: pk.laplacian(u), 0.0, [pk.dirichlet(0.0)])
        (functions,) = hole_functions(problem)
        assert functions.point == pytest.approx(center, abs=1e-3)


def test_no_functions_without_a_hole_or_where_its_centroid_is_in_the_domain() -> None:
    bent = pk.polygon([(0, 0), (0.9, 0), (0.9, 0.1), (0.1, 0.1), (0.1, 0.9), (0, 0.9)])
    for domain in (PLATE, pk.difference(pk.box(x=(-1, 1), y=(-1, 1)), bent)):
        problem = pk.Problem(domain, lambda u: pk.laplacian(u), 0.0, [pk.dirichlet(0.0)])
        assert hole_functions(problem) == ()


def test_a_corner_of_a_hole() -> None:
    """Im ((z - P) / (z - Q))^(2/3) is harmonic, singular at a corner P of the hole, and jumps between P and Q in the hole."""

    def exact(x: Any, y: Any) -> Any:
        (px, py), (qx, qy) = (0.4, 0.4), (0.52, 0.5)
        real = (x - px) * (x - qx) + (y - py) * (y - qy)
        imaginary = (y - py) * (x - qx) - (x - px) * (y - qy)
        ratio = ((x - px) ** 2 + (y - py) ** 2) / ((x - qx) ** 2 + (y - qy) ** 2)
        return ratio ** (1 / 3) * pk.sin(pk.atan2(imaginary, real) * (2 / 3))

    domain = pk.difference(PLATE, pk.box(x=(0.4, 0.6), y=(0.4, 0.6)))
    problem = pk.Problem(domain, lambda u: pk.laplacian(u), 0.0, [pk.dirichlet(pk.EXACT)], exact=exact)
    (corner,) = (one for one in singularities(problem) if one.point == pytest.approx((0.4, 0.4)))
    assert corner.exponents[0] == pytest.approx(2 / 3)
    assert 0.0 < corner.functions[0].far < 0.2
    solution = pk.solve(problem, training=pk.TrainingOptions(tolerance=1e-6), estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].h1_seminorm_relative < 1e-7
