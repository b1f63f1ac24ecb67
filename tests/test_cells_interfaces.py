"""Cells and interfaces: problems whose exact solutions have kinks and jumps, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pdekan.cells import interfaces
from pdekan.cells.mesh import Mesh
from pdekan.cells.system import solved
from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.partition import fitted
from pdekan.domains.region_cells import RegionGeometry, geometry
from pdekan.domains.regions import Regions
from pdekan.domains.shapes import disk, polygon
from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.fields.functions import exp, sin, where
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.operators import div, grad, normal
from pdekan.networks.evaluation import evaluate
from pdekan.output.samples import OutputError
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.conditions import dirichlet, interface, neumann
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import load_solution
from pdekan.training.cells.choice import Cause, cause
from pdekan.training.cells.training import refusal
from pdekan.training.solver import solve

SQUARE = box(x=(-1.0, 1.0), y=(-1.0, 1.0))

DISK = """
schema = 1
name = "disk"
[domain]
type = "box"
x = [-1.0, 1.0]
y = [-1.0, 1.0]
[domain.interfaces]
disk = {type = "disk", radius = 0.4, center = [0.1, 0.05]}
[functions]
r2 = "(x - 0.1)**2 + (y - 0.05)**2"
k = "where(r2 < 0.16, 10, 1)"
[equation]
operator = "div(k*grad(u))"
[[conditions]]
type = "interface"
on = "disk"
[[conditions]]
type = "interface"
on = "disk"
operator = "k*normal(u)"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "(x - 0.1)*where(r2 < 0.16, 2/11, 1 - 9/11*0.16/r2)"
[network]
cells = "adaptive"
"""


def across(line: object, inside: object, outside: object, shape: Domain, ratio: float, domain: Domain = SQUARE) -> Problem:
    """-div(k grad u) = f with u and k given on both sides of where a function vanishes, and any jumps of u and of the flux."""
    k = lambda x, y: where(line(x, y).value < 0.0, ratio, 1.0 + 0.0 * x)  # type: ignore[operator] # noqa: E731
    exact = lambda x, y: where(line(x, y).value < 0.0, inside(x, y), outside(x, y))  # type: ignore[operator] # noqa: E731
    flux = lambda u, x, y: k(x, y) * normal(u)  # noqa: E731
    conditions = (interface("shape", EXACT), interface("shape", EXACT, operator=flux), dirichlet(EXACT))
    operator = lambda u, x, y: -div(k(x, y) * grad(u))  # noqa: E731
    return Problem(domain, operator, EXACT, conditions, exact=exact, interfaces={"shape": shape})


def errors(problem: Problem, degree: int, counts: tuple[int, ...] = (4, 4)) -> Errors:
    partition = interfaces.partition_of(problem, counts)
    mesh = Mesh.of(problem, partition, np.full(partition.count, degree))
    return norms.measure(problem, solved(problem, mesh).network)["u"]


SHAPES = {
    "along an axis": (lambda x, y: x - 0.3, box(x=(-1.0, 0.3), y=(-1.0, 1.0))),
    "oblique": (lambda x, y: x + 0.5 * y - 0.1, polygon(((-1.0, -1.0), (0.6, -1.0), (-0.4, 1.0), (-1.0, 1.0)))),
    "circle": (lambda x, y: x**2 + y**2 - 0.36, disk(radius=0.6)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_kinks_and_jumps_are_met(name: str) -> None:
    """The value and the flux jump by what the exact solution says; both sides are entire functions."""
    line, shape = SHAPES[name]
    problem = across(line, lambda x, y: sin(2 * x + y), lambda x, y: 0.3 + exp(x - 0.5 * y), shape, 5.0)
    found = errors(problem, 10)
    assert found.l2_relative < 1e-8
    assert found.h1_seminorm_relative < 1e-7


def test_a_polynomial_on_each_side_is_found_exactly() -> None:
    line, shape = SHAPES["oblique"]
    found = errors(across(line, lambda x, y: x**2 * y, lambda x, y: y**3 - x, shape, 30.0), 4)
    assert found.l2_relative < 1e-9  # the jump is that between points at a distance of 2e-10


def test_one_dimension() -> None:
    """-(k u')' = 1 with k = 1 and 10 (Li and Ito, The Immersed Interface Method (2006), chapter 2)."""
    rod = box(x=(0.0, 1.0))
    conditions = (
        interface("left"),
        interface("left", operator=lambda u, x: where(x.value < 0.35, 1.0, 10.0 + 0.0 * x) * normal(u)),
        dirichlet(0.0, on="x-"),
        neumann(0.0, on="x+"),
    )
    exact = lambda x: where(x.value < 0.35, x - x**2 / 2, 0.28875 + (x - 0.35 - (x**2 - 0.1225) / 2) / 10)  # noqa: E731
    operator = lambda u, x: -div(where(x.value < 0.35, 1.0, 10.0 + 0.0 * x) * grad(u))  # noqa: E731
    left = {"left": box(x=(0.0, 0.35))}
    assert errors(Problem(rod, operator, 1.0, conditions, exact=exact, interfaces=left), 4, (3,)).l2_relative < 1e-13


def test_three_dimensions() -> None:
    """A wall of two layers, with different functions in both and their jumps as data."""
    cube = box(x=(0.0, 1.0), y=(0.0, 1.0), z=(0.0, 1.0))
    k = lambda x: where(x.value < 0.4, 5.0, 1.0 + 0.0 * x)  # noqa: E731
    exact = lambda x, y, z: where(x.value < 0.4, x * x * y - z, x * z + y * y)  # noqa: E731
    flux = lambda u, x: k(x) * normal(u)  # noqa: E731
    conditions = (interface("left", EXACT), interface("left", EXACT, operator=flux), dirichlet(EXACT))
    left = {"left": box(x=(0.0, 0.4), y=(0.0, 1.0), z=(0.0, 1.0))}
    problem = Problem(cube, lambda u, x: div(k(x) * grad(u)), EXACT, conditions, exact=exact, interfaces=left)
    assert errors(problem, 3, (2, 2, 2)).l2_relative < 1e-9


def test_all_heat_that_is_made_flows_out() -> None:
    """The battery on few cells: without the weight of means a third to a half of the heat came out."""
    problem = load_problem("nist/05_battery")
    partition = interfaces.partition_of(problem, (4, 4))
    network = solved(problem, Mesh.of(problem, partition, np.full(partition.count, 6))).network
    outflow = 0.0
    for face, rate, supply in (("y+", 1.0, 3.0), ("x+", 2.0, 2.0), ("y-", 3.0, 1.0)):
        rule = problem.domain.face(face, 40, 6, 0, 0)
        frame = Frame(problem.domain.coordinates, Derivatives.VALUE)
        u = evaluate(network, torch.as_tensor(rule.points), frame).value[:, 0].detach().numpy()
        outflow += float(rule.weights @ (rate * u - supply))
    assert outflow == pytest.approx(6.1 * 19.6, rel=5e-3)  # the source is 1 in that rectangle


def test_a_nonlinear_coefficient_in_two_materials() -> None:
    """With w = u + u²/2 in both, k ∇w is the flux of k (1 + u) ∇u: w is linear in each layer, and u = sqrt(1 + 2 w) - 1."""
    text = DISK.replace('disk = {type = "disk", radius = 0.4, center = [0.1, 0.05]}', 'disk = {type = "disk", radius = 0.5}')
    text = text.replace('"(x - 0.1)**2 + (y - 0.05)**2"', '"x**2 + y**2"').replace("r2 < 0.16", "r2 < 0.25")
    text = text.replace("div(k*grad(u))", "div(k*(1 + u)*grad(u))").replace('"k*normal(u)"', '"k*(1 + u)*normal(u)"')
    text = text.replace('u = "(x - 0.1)*where(r2 < 0.25, 2/11, 1 - 9/11*0.16/r2)"', 'u = "sqrt(1 + 2*(0.3 + 0.2*w)) - 1"')
    text = text.replace("[equation]", 'w = "x*where(r2 < 0.25, 2/11, 1 - 9/11*0.25/r2)"\n[equation]')
    solution = solve(loads(text + "[training]\ntolerance = 1e-2\n"))
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-3


def test_solutions_are_saved_and_loaded(tmp_path: Path) -> None:
    solution = solve(loads(DISK + "[training]\ntolerance = 1e-3\n"))
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.estimate is not None
    assert solution.errors["u"].l2_relative < 10.0 * solution.estimate["u"].l2_relative
    solution.save(tmp_path / "disk.vtkhdf")
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (500, 2))
    loaded = load_solution(tmp_path / "disk.vtkhdf")
    assert np.array_equal(loaded(points), solution(points))
    assert np.array_equal(loaded.gradient(points), solution.gradient(points))
    r2 = ((points - [0.1, 0.05]) ** 2).sum(1)
    exact = (points[:, 0] - 0.1) * np.where(r2 < 0.16, 2 / 11, 1 - 9 / 11 * 0.16 / r2)
    assert np.abs(loaded(points) - exact).max() < 1e-3


def test_a_problem_of_python_is_not_loaded_without_its_interfaces(tmp_path: Path) -> None:
    problem = across(*_with_sides("circle"))
    options = NetworkOptions(cells=2, degree=3)
    solve(replace(problem, training=TrainingOptions(seconds=5.0)), network=options, estimate=False).save(tmp_path / "a.vtkhdf")
    with pytest.raises(OutputError, match="stated in Python"):
        load_solution(tmp_path / "a.vtkhdf")


def test_no_plate_cuts_cells() -> None:
    shapes = (box(x=(0.0, 0.7), y=(0.1, 0.4)), box(x=(0.3, 1.0), y=(0.25, 1.0)))
    regions = Regions.of(box(x=(0.0, 1.0), y=(0.0, 1.0)), shapes)
    partition = fitted((0.0, 0.0), (1.0, 1.0), (2, 2), regions.plates, 1e-9)
    low, high = partition.cells
    assert np.prod(high - low, axis=1).sum() == pytest.approx(1.0, abs=1e-14)
    assert ((high - low) <= 0.5 + 1e-12).all()
    corners = [regions.numbers(low + (high - low) * at) for at in ((0.01, 0.01), (0.99, 0.02), (0.5, 0.98), (0.98, 0.5))]
    assert all(np.array_equal(one, corners[0]) for one in corners)


def test_parts_of_cells_fill_regions() -> None:
    """Areas of the parts, and lengths of the pieces of interfaces, by closed forms."""
    problem = across(*_with_sides("circle"))
    cells = geometry(problem.domain, interfaces.partition_of(problem, (4, 4)), problem.interfaces.values())
    assert isinstance(cells, RegionGeometry)
    rules = [cells.rule(one, 12)[1].sum() for one in cells.groups(np.full(cells.partition.count, 3))]
    assert sum(rules) == pytest.approx(4.0, abs=1e-9)
    joints = cells.joints
    rule = joints.rule(np.arange(len(joints)), 12)
    assert rule.weights.sum() == pytest.approx(2.0 * np.pi * 0.6, abs=1e-12)
    inside = cells.region[joints.inner]
    assert (inside != cells.region[joints.outer]).all()
    finer = cells.partition.refined({k: [0, 1] for k in range(0, cells.partition.count, 3)})[0]
    assert np.array_equal(np.unique(geometry(SQUARE, finer, problem.interfaces.values()).region), [0, 1])  # type: ignore[attr-defined]


def _with_sides(name: str) -> tuple[object, object, object, Domain, float]:
    line, shape = SHAPES[name]
    return line, lambda x, y: x, lambda x, y: y, shape, 2.0


def test_points_are_in_the_parts_of_their_regions() -> None:
    problem = across(*_with_sides("circle"))
    partition = interfaces.partition_of(problem, (2, 2))
    regions = Regions.of(SQUARE, problem.interfaces.values())
    points = np.random.default_rng(1).uniform(-1.0, 1.0, (200, 2))
    numbers = regions.numbers(points)
    cells = partition.locate(torch.as_tensor(points), torch.as_tensor(numbers)).numpy()
    assert partition.parted.all()
    assert np.array_equal(partition.at[partition.leaves][cells], numbers)


def test_what_is_refused_and_what_is_chosen() -> None:
    cube = box(x=(-1.0, 1.0), y=(-1.0, 1.0), z=(-1.0, 1.0))
    solid = Problem(cube, lambda u: div(grad(u)), 0.0, (interface("ball"),), interfaces={"ball": ball(radius=0.5)})
    assert "interfaces" in str(refusal(solid))
    with pytest.raises(ProblemError, match="interfaces that are not along the axes"):
        solve(solid, network=NetworkOptions(cells="adaptive"))
    assert refusal(loads(DISK)) is None
    assert cause(loads(DISK.replace('[network]\ncells = "adaptive"\n', ""))) is Cause.INTERFACES
