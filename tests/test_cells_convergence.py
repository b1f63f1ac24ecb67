"""Local networks on cells: rates of convergence against approximation theory, and what the rows can express."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import RefinementRule, indicators, refined
from pdekan.cells.sources import resolving
from pdekan.cells.system import solved
from pdekan.domains.box import Box, box
from pdekan.domains.partition import Partition
from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.fields.functions import atan, exp, sin
from pdekan.fields.operators import d, div, grad, laplacian, normal
from pdekan.problems.conditions import dirichlet, initial, neumann, periodic, robin
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem

PLANE = box(x=(-1.0, 1.0), y=(-1.0, 1.0))


def poisson(domain: Box, exact: object) -> Problem:
    return Problem(domain, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=exact)  # type: ignore[arg-type]


def errors(problem: Problem, counts: tuple[int, ...], degree: int) -> Errors:
    partition = Partition.grid(problem.domain.lower, problem.domain.upper, counts)
    mesh = Mesh.of(problem, partition, np.full(partition.count, degree))
    return norms.measure(problem, solved(problem, mesh).network)["u"]


def smooth(x: object, y: object) -> object:
    return sin(2.0 * x + 0.3) * exp(0.7 * y)  # type: ignore[operator]


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_errors_fall_as_powers_of_the_cells_size(degree: int) -> None:
    """h^(p+1) in L2 and h^p in H1 for polynomials of degree p (Brenner and Scott 2008, theorem 4.4.20)."""
    found = [errors(poisson(PLANE, smooth), (n, n), degree) for n in (6, 12)]
    assert np.log2(found[0].h1_seminorm / found[1].h1_seminorm) == pytest.approx(degree, abs=0.3)
    assert np.log2(found[0].l2 / found[1].l2) > degree + 0.7


def test_errors_fall_exponentially_with_the_degree() -> None:
    """For an entire function faster than any geometric sequence: the ratios themselves fall."""
    found = [errors(poisson(PLANE, smooth), (2, 2), p).h1_seminorm_relative for p in (4, 6, 8, 10)]
    ratios = np.array(found[1:]) / np.array(found[:-1])
    assert (ratios < 0.05).all()
    assert (np.diff(ratios) < 0.0).all()
    assert found[-1] < 1e-8


def test_polynomials_are_found_exactly_on_hanging_faces() -> None:
    """A polynomial of the degree of the cells has no residual at all."""
    problem = poisson(PLANE, lambda x, y: x**3 * y - 2.0 * y**4 + x)
    partition, _ = Partition.grid((-1.0, -1.0), (1.0, 1.0), (2, 2)).refined({0: [0, 1], 2: [1]})
    partition, _ = partition.refined({3: [0, 1]})
    mesh = Mesh.of(problem, partition, np.where(np.arange(partition.count) % 2, 4, 6))
    found = norms.measure(problem, solved(problem, mesh).network)["u"]
    assert found.l2_relative < 1e-13
    assert found.h1_seminorm_relative < 1e-12


def test_three_dimensions() -> None:
    cube = box(x=(0.0, 1.0), y=(0.0, 1.0), z=(0.0, 1.0))
    problem = poisson(cube, lambda x, y, z: sin(2.0 * x) * exp(y) * sin(1.0 + z))
    found = [errors(problem, (2, 2, 2), p).l2_relative for p in (3, 5)]
    assert found[1] < 2e-5
    assert found[1] < 0.02 * found[0]


def test_one_dimension_and_conditions_of_every_order() -> None:
    line = box(x=(0.0, 2.0))
    conditions = (robin(lambda u: normal(u) + 2.0 * u, EXACT, on="x-"), neumann(EXACT, on="x+"))
    problem = Problem(line, lambda u, x: d((1.0 + x) * d(u, "x"), "x") - 3.0 * u, EXACT, conditions, exact=lambda x: sin(3 * x))
    assert errors(problem, (5,), 9).h1_seminorm_relative < 1e-9


def test_a_periodic_axis() -> None:
    domain = box(x=(0.0, 2.0), y=(0.0, 1.0))
    conditions = (periodic("x"), dirichlet(EXACT, on=("y-", "y+")))
    exact = lambda x, y: sin(np.pi * x + 0.4) * exp(y)  # noqa: E731
    problem = Problem(domain, lambda u: laplacian(u) - u, EXACT, conditions, exact=exact)
    assert errors(problem, (3, 2), 10).l2_relative < 1e-8


def test_heat_in_time() -> None:
    domain = box(x=(0.0, 1.0), t=(0.0, 0.5))
    conditions = (initial(EXACT), dirichlet(EXACT, on=("x-", "x+")))
    exact = lambda x, t: exp(-2.0 * t) * sin(3.0 * x)  # noqa: E731
    problem = Problem(domain, lambda u: d(u, "t") - laplacian(u), EXACT, conditions, exact=exact)
    assert errors(problem, (3, 2), 9).l2_relative < 1e-8


@pytest.mark.parametrize("degree", [6, 7])
def test_errors_of_a_clamped_plate_fall_as_powers_of_the_cells_size(degree: int) -> None:
    """At least h^(p - 3), the order of approximation in H⁴, of whose errors the rows are a norm (Brenner and Scott 2008)."""
    bending = Problem(PLANE, lambda u: laplacian(laplacian(u)), EXACT, (dirichlet(EXACT), neumann(EXACT)), exact=smooth)
    found = [errors(bending, (n, n), degree).h1_seminorm for n in (3, 6)]
    assert np.log2(found[0] / found[1]) > degree - 3.3


def test_fourth_order_is_matched_on_hanging_faces() -> None:
    """Three derivatives are continuous: without the last the solution on cells is another one, or none."""
    exact = lambda x, y: x**5 - 2.0 * x**2 * y**3 + y  # noqa: E731
    plate = Problem(PLANE, lambda u: laplacian(laplacian(u)) + u, EXACT, (dirichlet(EXACT), neumann(EXACT)), exact=exact)
    partition, _ = Partition.grid((-1.0, -1.0), (1.0, 1.0), (2, 2)).refined({0: [0, 1], 2: [1]})
    found = norms.measure(plate, solved(plate, Mesh.of(plate, partition, np.full(partition.count, 6))).network)["u"]
    assert found.h1_seminorm_relative < 1e-10


def test_waves_of_third_order_in_time() -> None:
    """One value more at the right end than at the left: two derivatives are continuous in space, only the value in time."""
    domain = box(x=(0.0, 2.0), t=(0.0, 0.5))
    conditions = (initial(EXACT), dirichlet(EXACT, on=("x-", "x+")), neumann(EXACT, on="x+"))
    exact = lambda x, t: sin(x + t) + exp(-0.5 * x + 0.125 * t)  # noqa: E731
    waves = Problem(domain, lambda u: d(u, "t") + d(d(d(u, "x"), "x"), "x"), 0.0, conditions, exact=exact)
    assert errors(waves, (3, 2), 9).l2_relative < 1e-9


def test_a_beam_on_a_periodic_axis() -> None:
    line = box(x=(0.0, 2.0))
    exact = lambda x: sin(np.pi * x + 0.4)  # noqa: E731
    beam = Problem(line, lambda u: d(d(d(d(u, "x"), "x"), "x"), "x") + 9.0 * u, EXACT, (periodic("x"),), exact=exact)
    assert errors(beam, (4,), 12).l2_relative < 1e-8


def test_a_system_of_first_order() -> None:
    """div q = f, q = k grad u: coefficients and unknowns of several kinds."""
    equations = (lambda p, u, x: p - (1.0 + x * x) * d(u, "x"), lambda q, u, x: q - (1.0 + x * x) * d(u, "y"),
                 lambda p, q: d(p, "x") + d(q, "y"))  # fmt: skip
    exact = {
        "u": lambda x, y: x * x * y,
        "p": lambda x, y: (1.0 + x * x) * 2.0 * x * y,
        "q": lambda x, y: (1.0 + x * x) * x * x,
    }
    problem = Problem(
        PLANE, equations, EXACT, (dirichlet(EXACT, unknown="u"),), exact=exact, unknowns=("u", "p", "q")
    )  # fmt: skip
    assert errors(problem, (3, 2), 6).l2_relative < 1e-11


def adapted(problem: Problem, degree: int, goal: float, steps: int) -> list[tuple[int, float, float]]:
    """Coefficients, indicator and true error (H1 seminorm, relative) of every step."""
    partition = Partition.grid(problem.domain.lower, problem.domain.upper, (4,) * problem.domain.dimension)
    partition = resolving(problem, partition, degree, (1e-2, goal), 2000)
    mesh, out = Mesh.of(problem, partition, np.full(partition.count, degree)), []
    for _ in range(steps):
        one = solved(problem, mesh)
        found = indicators(problem, mesh, one, torch.device("cpu"))
        error = norms.measure(problem, one.network)["u"].h1_seminorm_relative
        out.append((one.network.linear_parameters, found.relative, error))
        if found.relative <= goal:
            break
        mesh = refined(problem, mesh, one.network, found, goal, RefinementRule())
    return out


@pytest.mark.parametrize(
    ("exact", "width"), [(lambda x: atan(500.0 * (x - 0.217)), 500.0), (lambda x: exp(-((x - 0.317) ** 2) * 1e6), 1e3)]
)
def test_steep_places_are_found_in_the_source(exact: object, width: float) -> None:
    steps = adapted(poisson(box(x=(0.0, 1.0)), exact), 12, 1e-8, 6)
    size, indicator, error = steps[-1]
    assert error < 1e-8
    assert error < 3.0 * indicator
    assert size < 13 * 60  # of a uniform mesh: width / 2 cells


def test_a_peak_in_the_plane() -> None:
    """Cells where the peak is, and the indicator above the error."""
    steps = adapted(poisson(PLANE, lambda x, y: exp(-100.0 * ((x - 0.2) ** 2 + (y + 0.3) ** 2))), 8, 1e-5, 3)
    assert steps[-1][2] < 1e-5
    assert all(error < 2.0 * indicator for _, indicator, error in steps)


def test_a_root_converges_exponentially_in_the_square_root_of_the_cells() -> None:
    """x^0.6: u'' is not square integrable; geometric refinement towards 0 is found by the indicators alone."""
    problem = poisson(box(x=(0.0, 1.0)), lambda x: (x + 1e-12) ** 0.6)
    steps = adapted(problem, 8, 1e-3, 12)
    assert steps[-1][2] < 3e-3


def test_singular_coefficients_of_divergence_form() -> None:
    """div(k grad u) with a coefficient that varies a thousandfold."""
    problem = Problem(
        PLANE, lambda u, x: div(exp(3.5 * x) * grad(u)), EXACT, (dirichlet(EXACT),), exact=smooth  # type: ignore[arg-type]
    )  # fmt: skip
    assert errors(problem, (4, 4), 8).h1_seminorm_relative < 1e-6
