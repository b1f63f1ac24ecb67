"""Cells in the dual norm of the energy: what jumps of coefficients, different axes and crossings leave of the error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.battery_reference import Reference

from pdekan.cells import grading, interfaces
from pdekan.cells.energy import energy_rows
from pdekan.cells.mesh import Mesh
from pdekan.cells.refinement import indicators
from pdekan.cells.system import solved
from pdekan.domains.box import box
from pdekan.domains.partition import Partition
from pdekan.domains.shapes import disk, polygon
from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.fields.functions import cos, cosh, exp, sin, sinh, where
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.operators import d, div, grad, normal
from pdekan.networks.evaluation import evaluate
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.conditions import Interface, dirichlet, interface, neumann, robin
from pdekan.problems.formulas import EXACT
from pdekan.problems.problem import Problem
from pdekan.training.cells.training import CellTraining
from pdekan.training.setup import Setup

CPU = torch.device("cpu")
CHECKERBOARD = """
schema = 1
name = "checkerboard"
[domain]
type = "box"
x = [-1.0, 1.0]
y = [-1.0, 1.0]
[domain.interfaces]
right = {type = "box", x = [0.0, 1.0], y = [-1.0, 1.0]}
upper = {type = "box", x = [-1.0, 1.0], y = [0.0, 1.0]}
[parameters]
R = 5
[functions]
k = "where(x*y > 0, R, 1)"
l = "4/pi*atan(1/sqrt(R))"
t = "atan2(y, x)"
q1 = "cos(l*(t - pi/4))"
q2 = "sqrt(R)*sin(l*(3*pi/4 - t))"
q3 = "-cos(l*(t + 3*pi/4))"
q4 = "sqrt(R)*sin(l*(pi/4 + t))"
[equation]
operator = "-div(k*grad(u))"
[[conditions]]
type = "interface"
on = ["right", "upper"]
[[conditions]]
type = "interface"
on = ["right", "upper"]
operator = "k*normal(u)"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "(x**2 + y**2)**(l/2)*where(x > 0, where(y > 0, q1, q4), where(y > 0, q2, q3))"
[network]
cells = "adaptive"
"""


def on_cells(problem: Problem, partition: Partition, degree: int) -> tuple[Errors, float]:
    """The errors on cells of a degree, and the relative indicator."""
    mesh = Mesh.of(problem, partition, np.full(partition.count, degree))
    one = solved(problem, mesh)
    assert one.metric is not None
    return norms.measure(problem, one.network)["u"], indicators(problem, mesh, one, CPU).relative


def layers(q: float, rate: float) -> Problem:
    """-div(A ∇u) = 0 with A = diag(1, q) below y = 0 and the identity above: cos(κx) exp(κy/√q) below, a layer."""
    below = lambda one, y: where(y.value < 0.0, one, 1.0 + 0.0 * y)  # noqa: E731
    slope = math.sqrt(q)
    exact = lambda x, y: where(  # noqa: E731
        y.value < 0.0,
        cos(rate * x) * exp(where(y.value < 0.0, y, 0.0 * y) * (rate / slope)),
        cos(rate * x) * (cosh(rate * y) + slope * sinh(rate * y)),
    )
    operator = lambda u, y: -d(d(u, "x"), "x") - d(below(q, y) * d(u, "y"), "y")  # noqa: E731
    flux = lambda u, y: d(u, "x") * 0.0 + below(q, y) * normal(u)  # noqa: E731
    sides = robin(lambda u: normal(u) + 0.02 * u, EXACT, on=("x-", "x+")), dirichlet(EXACT, on=("y-", "y+"))
    conditions = (interface("lower"), interface("lower", operator=flux), *sides)
    domain, lower = box(x=(-1.0, 1.0), y=(-1.0, 1.0)), box(x=(-1.0, 1.0), y=(-1.0, 0.0))
    return Problem(domain, operator, 0.0, conditions, exact=exact, interfaces={"lower": lower})


@pytest.mark.parametrize("across", [2, 64])
def test_cells_narrow_along_the_axis_with_the_large_coefficient_lose_nothing(across: int) -> None:
    """With weights by the sides of cells errors grew with their number along x, and indicators were 20 times as large."""
    problem = layers(1e-6, 0.1)
    partition = Partition.grid((-1.0, -1.0), (1.0, 1.0), (across, 2))
    for _ in range(4):
        high = partition.cells[1]
        partition, _ = partition.refined({int(cell): [1] for cell in np.flatnonzero(high[:, 1] == 0.0)})
    found, indicator = on_cells(problem, partition, 8)
    assert found.h1_seminorm_relative < 3e-4
    assert found.h1_seminorm_relative < 3.0 * indicator < 9.0 * found.h1_seminorm_relative


@pytest.mark.parametrize("halvings", [1, 2])
def test_the_indicator_sees_a_layer_that_cells_do_not_resolve(halvings: int) -> None:
    """Where a jump of values costs a linear function's slope alone, it replaces the layer: the error is then twice as large."""
    problem = layers(1e-6, 0.1)
    partition = Partition.grid((-1.0, -1.0), (1.0, 1.0), (1, 2))
    for _ in range(halvings):
        high = partition.cells[1]
        partition, _ = partition.refined({int(cell): [1] for cell in np.flatnonzero(high[:, 1] == 0.0)})
    found, indicator = on_cells(problem, partition, 8)
    assert found.h1_seminorm_relative < indicator < 3.0 * found.h1_seminorm_relative


SQUARE = box(x=(-1.0, 1.0), y=(-1.0, 1.0))
SHAPES = {
    "along an axis": (lambda x, y: x - 0.3, box(x=(-1.0, 0.3), y=(-1.0, 1.0))),
    "oblique": (lambda x, y: x + 0.5 * y - 0.1, polygon(((-1.0, -1.0), (0.6, -1.0), (-0.4, 1.0), (-1.0, 1.0)))),
    "circle": (lambda x, y: x**2 + y**2 - 0.36, disk(radius=0.6)),
}


@pytest.mark.parametrize("ratio", [1e-3, 1e3])
@pytest.mark.parametrize("name", SHAPES)
def test_the_indicator_is_the_error(name: str, ratio: float) -> None:
    """Jumps of value and flux that are given; the flux is stated at a scale of its own, and with the other sign."""
    line, shape = SHAPES[name]
    k = lambda x, y: where(line(x, y).value < 0.0, ratio, 1.0 + 0.0 * x)  # noqa: E731
    exact = lambda x, y: where(line(x, y).value < 0.0, sin(2 * x + y), 0.3 + exp(x - 0.5 * y))  # noqa: E731
    flux = lambda u, x, y: -3.0 * k(x, y) * normal(u)  # noqa: E731
    conditions = (interface("shape", EXACT), interface("shape", EXACT, operator=flux), dirichlet(EXACT))
    operator = lambda u, x, y: div(k(x, y) * grad(u))  # noqa: E731
    problem = Problem(SQUARE, operator, EXACT, conditions, exact=exact, interfaces={"shape": shape})
    found, indicator = on_cells(problem, interfaces.partition_of(problem, (4, 4)), 6)
    assert found.h1_seminorm_relative < 2e-5
    assert found.h1_seminorm_relative < 1.5 * indicator < 4.5 * found.h1_seminorm_relative


def test_a_checkerboard_converges_as_fast_as_its_exponent_says() -> None:
    """r^λ with λ = 4/π atan(1/√R), 0.54 (Kellogg 1975): three bisections divide the error of the gradient by 8^λ = 3.04."""
    problem = loads(CHECKERBOARD + "degree = 8\n[training]\nsteps = 5\n")
    training = CellTraining(problem, Setup())
    solution = training.solution()
    found = [step.found.relative for step in training.steps]
    assert np.array(found[2:-1]) / np.array(found[3:]) == pytest.approx(8.0 ** (4.0 / math.pi * math.atan(5.0**-0.5)), rel=0.1)
    assert solution.errors is not None
    assert solution.estimate is not None
    error, estimate = solution.errors["u"].h1_seminorm_relative, solution.estimate["u"].h1_seminorm_relative
    assert error < 1e-3
    assert found[-1] == pytest.approx(error, rel=0.3)
    assert error < estimate < 3.0 * error
    sides = training.steps[-1].mesh.geometry.high - training.steps[-1].mesh.geometry.low
    assert sides.min() < 2.0**-12


def test_crossings_are_where_interfaces_meet_or_turn() -> None:
    found = grading.crossings(load_problem("nist/05_battery"))
    meant = [(x, y) for x, ys in ((0.0, (0.8, 1.6, 3.6, 18.8, 21.2, 23.2)), (8.0, (0.8, 23.2))) for y in ys]
    meant += [(6.1, y) for y in (0.8, 1.6, 3.6, 18.8, 21.2)] + [(6.5, y) for y in (0.8, 21.2)]
    assert sorted(map(tuple, found.round(9).tolist())) == sorted(meant)
    assert len(grading.crossings(load_problem("coated_cylinder"))) == 0
    text = CHECKERBOARD.replace(
        'upper = {type = "box", x = [-1.0, 1.0], y = [0.0, 1.0]}', 'upper = {type = "disk", radius = 0.5}'
    )
    half = loads(text)
    inside = [tuple(p) for p in grading.crossings(half).round(9).tolist() if abs(p[1]) < 1.0]
    assert sorted(inside) == [(0.0, -0.5), (0.0, 0.5)]


def test_no_cell_has_many_faces_on_a_side() -> None:
    problem = loads(CHECKERBOARD)
    partition = interfaces.partition_of(problem, (2, 2))
    for _ in range(6):
        low, high = partition.cells
        touching = ((low <= 1e-9) & (high >= -1e-9)).all(1) & (low < 0.0).all(1)
        partition, _ = partition.refined({int(cell): [0, 1] for cell in np.flatnonzero(touching)})
    mesh = grading.balanced(problem, partition, np.full(partition.count, 2))
    low, high = mesh.partition.cells
    for axis in range(2):
        for cell in range(mesh.partition.count):
            beside = (low[:, axis] == high[cell, axis]) & (low[:, 1 - axis] < high[cell, 1 - axis])
            beside &= high[:, 1 - axis] > low[cell, 1 - axis]
            assert beside.sum() <= grading.BESIDE
    assert mesh.partition.count > partition.count


def test_a_first_mesh_that_is_exact_has_an_estimate() -> None:
    """Copper on glass with 200 W/m² through both, linear in each: what two degrees differ by is round-off."""
    conductivity = lambda y: where(y.value < 1.0, 1.38, 400.0 + 0.0 * y)  # noqa: E731
    flux = lambda u, y: conductivity(y) * normal(u)  # noqa: E731
    exact = lambda y: where(y.value < 1.0, 293.15 + 200.0 / 1.38 * y, 293.15 + 200.0 / 1.38 + 0.5 * (y - 1.0))  # noqa: E731
    conditions = (
        interface("glass"),
        interface("glass", operator=flux),
        dirichlet(293.15, on="y-"),
        robin(flux, 200.0, on="y+"),
        neumann(0.0, on=("x-", "x+")),
    )
    domain, glass = box(x=(0.0, 1.0), y=(0.0, 2.0)), box(x=(0.0, 1.0), y=(0.0, 1.0))
    equation = lambda u, y: -div(conductivity(y) * grad(u))  # noqa: E731
    problem = Problem(domain, equation, 0.0, conditions, exact=exact, interfaces={"glass": glass})
    solution = CellTraining(problem, Setup()).solution()
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.estimate is not None
    assert solution.errors["u"].h1_seminorm_relative < 1e-9
    assert solution.errors["u"].l2_relative < 10.0 * solution.estimate["u"].l2_relative < 1e-9


@pytest.mark.nightly
def test_the_battery_against_a_galerkin_solution() -> None:
    """Five materials, with coefficients from 25 to 1e-4, that meet at fifteen points: the error fell to 0.26 and no further."""
    problem = load_problem("nist/05_battery", {"training.steps": 5})
    training = CellTraining(replace(problem, exact_reference=None), Setup())
    network, reference = training.solution().network, Reference()
    cells = training.steps[-1].mesh
    rule = cells.geometry.quadrature(cells.degrees, 6)
    frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT)
    gradient = evaluate(network, torch.as_tensor(rule.points), frame).gradient
    assert gradient is not None
    exact = reference.at(rule.points)[1]
    error = np.sqrt(rule.weights @ ((gradient[:, 0].detach().numpy() - exact) ** 2).sum(1))
    error /= np.sqrt(rule.weights @ (exact**2).sum(1))
    assert error < 1e-2
    assert error < 3.0 * training.steps[-1].found.relative < 9.0 * error


def test_where_the_energy_is_none() -> None:
    """Other weights serve where the equation is not elliptic, or values and fluxes are not what is given at an interface."""
    problem = layers(0.5, 1.0)
    mesh = Mesh.of(problem, Partition.grid((-1.0, -1.0), (1.0, 1.0), (2, 2)), np.full(4, 3))
    assert energy_rows(problem, mesh, None, CPU) is not None
    saddle = replace(problem, equation=lambda u: d(d(u, "x"), "x") - d(d(u, "y"), "y"))
    assert energy_rows(saddle, mesh, None, CPU) is None
    kept = tuple(one for one in problem.conditions if not isinstance(one, Interface))
    film = (interface("lower", operator=lambda u: u + 0.1 * normal(u)), interface("lower", operator=lambda u: normal(u)))
    assert energy_rows(replace(problem, conditions=(*kept, *film)), mesh, None, CPU) is None
