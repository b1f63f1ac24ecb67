"""Time marching on cells: slabs that follow what moves, their estimate, and the parts that it is made of."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from pdekan.cells.mesh import Mesh
from pdekan.cells.rows import linearised, local_rows, rows_of_whole
from pdekan.cells.system import solved
from pdekan.domains.box import box
from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.combinations import difference
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.partition import Partition
from pdekan.domains.pieces import geometry
from pdekan.domains.quadrature import Quadrature
from pdekan.domains.shapes import disk
from pdekan.errors.estimate import Estimate
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms
from pdekan.runs.summary import network_in_words
from pdekan.solutions.solution import load_solution
from pdekan.training.cells.estimate import at_least
from pdekan.training.cells.march import March
from pdekan.training.cells.marching import CellMarching, MarchRule
from pdekan.training.cells.slab import Accuracy, Ladder, goes_by_slabs
from pdekan.training.cells.steps import StepRule, StepSolver
from pdekan.training.clock import Clock
from pdekan.training.estimate import Comparison
from pdekan.training.reasons import Reason
from pdekan.training.setup import Setup
from pdekan.training.solver import solve

FILE = """
schema = 1
name = "moving"
[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]
t = [0.0, 0.5]
[equation]
operator = "{operator}"
source = "manufactured"
[[conditions]]
type = "initial"
value = "exact"
{velocity}
[[conditions]]
type = "dirichlet"
on = ["x-", "x+", "y-", "y+"]
value = "exact"
[exact]
u = "{exact}"
[network]
cells = "adaptive"
[training]
tolerance = {tolerance}
seconds = 300
"""
VELOCITY = '[[conditions]]\ntype = "initial"\noperator = "dt(u)"\nvalue = "exact"\n'
PEAK = "exp(-8*((x - 0.3 - t)**2 + (y - 0.5)**2))"
EQUATIONS = {
    "heat": ("dt(u) - 0.1*laplacian(u)", PEAK, ""),
    "wave": ("dt(dt(u)) - laplacian(u)", "cos(4*x + 3*y - 5*t)", VELOCITY),
    "smooth": ("dt(u) - 0.1*laplacian(u)", "exp(-0.2*t)*cos(x + y)", ""),
    "reaction": ("dt(u) - 0.1*laplacian(u) + u**3", PEAK, ""),
}


QUICK = MarchRule(lowered=0.3, degrees=(4, 5), cells=2, slabs=3)


def problem(name: str, tolerance: float = 2e-2) -> Problem:
    operator, exact, velocity = EQUATIONS[name]
    return loads(FILE.format(operator=operator, exact=exact, velocity=velocity, tolerance=tolerance))


@pytest.mark.parametrize("name", ["wave", "reaction", "smooth"])
def test_what_moves_is_followed_and_the_estimate_is_not_below_the_error(name: str) -> None:
    rule = replace(QUICK, degrees=(4, 4)) if name == "smooth" else QUICK  # the first march is far better than it has to be
    solution = CellMarching(problem(name), Setup(), rule=rule).solution()
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.estimate is not None
    error, estimate = solution.errors["u"].l2_relative, solution.estimate["u"].l2_relative
    assert error < 2e-2
    assert 0.5 * error < estimate < 2e-2


def test_slabs_join_and_a_stored_solution_is_the_same(tmp_path: Path) -> None:
    solution = CellMarching(problem("heat", 0.3), Setup(), rule=QUICK).solution()
    solution.save(tmp_path / "solution.h5")
    stored = load_solution(tmp_path / "solution.h5")
    points = np.random.default_rng(0).random((200, 3)) * [1.0, 1.0, 0.5]
    np.testing.assert_array_equal(stored(points), solution(points))
    parts = solution.network.architecture()
    assert "slabs of time, the last a network in each of" in network_in_words(parts)
    for time in parts["breaks"]:
        before, after = (solution(np.column_stack([points[:, :2], np.full(200, time + side)])) for side in (0.0, 1e-9))
        np.testing.assert_allclose(before, after, atol=3e-2)
    more = CellMarching(problem("heat", 0.3), Setup(), stored, QUICK).solution()
    assert more.iterations > stored.iterations


def test_a_step_is_taken_as_it_is_where_there_is_no_time_for_more_cells() -> None:
    one = problem("heat")
    coarsest = Partition.grid((0.0, 0.0), (1.0, 1.0), (2, 2))
    clock = Clock(0.0, math.inf)
    with clock.running():
        solver = StepSolver(one, 2, 4, 0.01, coarsest, True, torch.device("cpu"), clock, 10**4, rule=StepRule(rounds=2))
        slabs = [solver.solved((0.0, 0.01), None, coarsest, Accuracy(0.01, 0.0), seconds)[0] for seconds in (0.0, 1e9)]
    few, many = slabs
    assert few is not None
    assert many is not None
    assert len(few.found.cells) == 4 < len(many.found.cells)
    marched = March(tuple(replace(few, start=k, end=k + 1.0) for k in range(3)), (1.0, 4.0, 10.0), Reason.TOLERANCE, 2)
    shares = [marched.share(*times) for times in ((0.0, 0.5), (0.5, 1.0), (1.0, 3.0))]
    np.testing.assert_allclose(shares, [0.05, 0.5 / 9.5, 1.0])
    assert marched.done(2.0) == pytest.approx(0.4)


def test_errors_of_slopes_are_at_least_what_the_indicator_says() -> None:
    small = {"u": Estimate(1e-3, 1e-4, 2e-3, 2e-4, "method"), "v": Estimate(1e-3, 1e-5, 2e-3, 2e-5, "method")}
    one = Comparison(small, True, 1e-4, 1.0)
    assert at_least(one, 1e-4) is one
    raised = at_least(one, 1e-3).estimates
    assert raised["u"].h1_seminorm_relative == pytest.approx(1e-3)
    assert raised["u"].l2_relative == pytest.approx(5e-4)
    assert raised["v"].l2 == pytest.approx(5e-3)


def test_lengths_of_steps_are_halves_and_doubles_that_end_where_time_does() -> None:
    generator, steps, lengths = np.random.default_rng(0), Ladder(Fraction(0), Fraction(1, 8)), []
    while steps.position < 1:
        if generator.random() < 0.2:
            steps = steps.shortened(float(generator.uniform(0.005, 0.1)))
        lengths.append(steps.length)
        assert (steps.position / steps.length).denominator == 1
        steps = steps.next(float(generator.uniform(0.005, 0.5)))
    assert sum(lengths) == 1
    assert len(set(lengths)) > 3
    assert Ladder(Fraction(1, 2), Fraction(1, 8)).shortened(1.0, 2) == Ladder(Fraction(1, 2), Fraction(1, 32))


def test_a_march_that_is_not_finished_is_not_converged() -> None:
    clock = iter(np.arange(0.0, 1e6, 0.5))
    one = problem("heat", 1e-4)
    short = replace(one, training=replace(one.training, seconds=15.0))
    solution = solve(short, now=lambda: float(next(clock)))
    assert solution.status == "budget"
    assert " t = " in solution.reason


@pytest.mark.parametrize(
    ("change", "marched"),
    [
        ("", True),
        (
            '[[conditions]]\ntype = "dirichlet"\non = "t+"\nvalue = "exact"',
            False,
        ),  # of the second order in time, not from a start
    ],
)
def test_problems_from_a_start_are_marched_through(change: str, marched: bool) -> None:
    text = FILE.format(operator="dt(u) - laplacian(u)", exact="exp(-t)*x", velocity=change, tolerance=0.1)
    assert goes_by_slabs(loads(text)) is marched
    third = FILE.format(operator="dt(dt(dt(u))) - laplacian(u)", exact="exp(-t)*x", velocity=VELOCITY, tolerance=0.1)
    assert not goes_by_slabs(loads(third))
    assert not goes_by_slabs(load_problem("heat_1d"))
    assert not goes_by_slabs(load_problem("poisson_3d"))


def test_rows_of_cells_that_span_time_are_in_proportion_to_what_adds_up_over_it() -> None:
    one = problem("heat")
    space, _ = Partition.grid((0.0,) * 3, (1.0, 1.0, 0.5), (2, 2, 1)).refined({0: (0, 1), 1: (0,)})
    for partition, same in ((space, True), (space.refined({0: (2,)})[0], False)):
        mesh = Mesh.of(one, partition, np.full(partition.count, 2))
        low, high = partition.cells
        factors = solved(one, mesh).lead.numpy() * (high - low).min(axis=1)  # 1/S, with the derivative by time alone
        assert bool(np.ptp(factors) < 1e-12 * factors.max()) is same


def test_cells_are_joined_as_far_as_allowed() -> None:
    coarse = Partition.grid((0.0, 0.0), (1.0, 1.0), (2, 2))
    fine, former = coarse.refined(dict.fromkeys(range(4), (0, 1)))
    most = np.array([0.5, 0.5])
    back = fine.coarsened(np.ones(16, dtype=bool), most, levels=2)
    np.testing.assert_array_equal(back.axis, coarse.axis)
    np.testing.assert_array_equal(back.at, coarse.at)
    assert fine.coarsened(np.ones(16, dtype=bool), most, levels=1).count == 8
    part = fine.coarsened(former != 2, most, levels=2)
    assert part.count == 7
    low, high = part.cells
    assert (high - low).prod(axis=1).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["helmholtz", "minimal_surface", "anisotropic_diffusion", "smooth_3d", "burgers", "stokes"])
def test_rows_of_cells_that_are_whole_are_those_of_any_points(name: str) -> None:
    one, degree = load_problem(name), 4
    domain, d = one.domain, one.domain.dimension
    partition = Partition.grid(domain.lower, domain.upper, (3, 2, 2)[:d])
    cells = geometry(domain, partition)
    points, weights = cells.rule(np.arange(partition.count), degree + 1)
    nodes = torch.as_tensor(reference_rule(d, degree + 1)[0])
    low, high = torch.as_tensor(cells.low), torch.as_tensor(cells.high)
    network = CellNetwork(partition, np.full(partition.count, degree), len(one.unknowns)).requires_grad_(False)
    network.coefficients.copy_(torch.randn(len(network.coefficients), generator=torch.Generator().manual_seed(0)))
    each = low.repeat_interleave(len(nodes), 0), high.repeat_interleave(len(nodes), 0)
    for term in equation_terms(one, Quadrature(points.reshape(-1, d), weights.ravel()), torch.device("cpu")):
        linear = linearised(term, network)
        torch.testing.assert_close(
            rows_of_whole(linear, 2.0 / (high - low), nodes, degree), local_rows(linear, term, each, degree)
        )
        at_nodes, at_points = (
            network.jet_in(np.arange(partition.count), nodes, term.frame),
            evaluate(network, term.points, term.frame),
        )
        torch.testing.assert_close(at_nodes.value, at_points.value)
        for own, other in zip(at_nodes.derivatives, at_points.derivatives, strict=True):
            if own is not None:
                torch.testing.assert_close(own, other)


def test_cells_of_a_shape_in_time_have_its_volume_faces_and_boundary() -> None:
    base = difference(box(x=(-1.0, 1.0), y=(-1.0, 1.0)), disk(radius=0.5))
    domain = Cylinder(base, 1.0, 3.0)
    cells = geometry(domain, Partition.grid(domain.lower, domain.upper, (4, 4, 1)))
    degrees = np.full(16, 5)
    assert cells.quadrature(degrees, 3).weights.sum() == pytest.approx(domain.measure, rel=1e-9)
    for face in domain.faces:
        rules = [rule for k in range(16) for _, rule in cells.boundary(np.array([k]), face, 6)]
        total = sum(float(rule.weights.sum()) for rule in rules)
        whole = float(domain.face(face, 4, 6, 0, 0).weights.sum())
        assert total == pytest.approx(whole, rel=1e-6), face
        assert all(np.allclose(np.linalg.norm(rule.normals, axis=1), 1.0) for rule in rules if rule.normals is not None)
    np.testing.assert_allclose(cells.faces().upper[:, 2] - cells.faces().lower[:, 2], 2.0)


def test_cells_all_at_once_are_taken_where_they_are_asked_for() -> None:
    one = problem("heat", 0.1)
    stated = replace(one, network=replace(one.network, cells=(2, 1, 1), degree=4))
    solution = solve(stated)
    assert isinstance(solution.network, CellNetwork)
