"""Pruning: what a solution does not need goes, what it needs stays, and the error stays within the bounds asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan.ansatz.unknowns import Ansatz, inner_network
from pdekan.networks.kan import KAN
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.pruning.prune import PruningProgress, _batches, edges, prune
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training.retraining import Retraining
from pdekan.training.solver import solve

SINE = """\
schema = 1
name = "sine"
[domain]
type = "box"
x = [-1.0, 1.0]
y = [-1.0, 1.0]
[equation]
operator = "-laplacian(u)"
source = "manufactured"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "sin(pi*x)*sin(pi*y)"
[network]
hidden = [3]
degree = [3, 7]
intervals = [1, 8]
"""
# depends on x alone, which nothing in it says
ONE_COORDINATE = SINE.replace("sin(pi*x)*sin(pi*y)", "exp(x)").replace("hidden = [3]", "hidden = [2]")


def solved(text: str, **training: Any) -> Solution:
    problem = loads(text)
    return solve(replace(problem, training=replace(problem.training, seconds=30.0, **training)), estimate=False)


def kan(solution: Solution) -> KAN:
    network = inner_network(solution.network)
    assert isinstance(network, KAN)
    return network


@pytest.fixture(scope="module")
def sine() -> Solution:
    return solved(SINE, steps=20)


def test_three_nodes_become_the_two_that_the_solution_takes(sine: Solution, tmp_path: Path) -> None:
    seen: list[PruningProgress] = []
    pruned = prune(sine, tolerance=1e-4, watch=lambda progress: seen.append(progress))
    assert kan(pruned.before).widths == (2, 3, 1)
    after = pruned.after
    assert kan(after).widths == (2, 2, 1)
    assert after.parameters < 0.7 * sine.parameters
    assert after.relative_residual <= pruned.bound
    assert pruned.bound == max(10.0 * pruned.before.relative_residual, 1e-4)
    assert all(step.relative_residual <= pruned.bound for step in pruned.steps)
    assert [step.parameters for step in pruned.steps] == sorted((s.parameters for s in pruned.steps), reverse=True)
    assert pruned.steps[-1].parameters == after.parameters
    # what is said of the error is measured anew
    x = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    exact = np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])
    assert after.errors is not None
    assert np.sqrt(np.mean((after(x) - exact) ** 2)) == pytest.approx(after.errors["u"].l2_mean_square ** 0.5, rel=0.3)
    assert after.errors["u"].l2_relative < 1e-3
    # the history goes on, the solution that came in is as it was
    assert len(after.history["step"]) > len(sine.history["step"])
    assert after.iterations > sine.iterations
    assert kan(sine).widths == (2, 3, 1)
    assert {progress.hidden for progress in seen} >= {(3,), (2,)}
    # and a file brings it back
    after.save(tmp_path / "a.vtkhdf", (5, 5))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    np.testing.assert_array_equal(loaded(x), after(x))
    assert loaded.parameters == after.parameters


@pytest.mark.nightly  # test_cli_prune shows an input that loses its edges by day
def test_an_input_that_nothing_depends_on_loses_its_edges(tmp_path: Path) -> None:
    solution = solved(ONE_COORDINATE, tolerance=1e-6, seed=1)
    pruned = prune(solution, tolerance=1e-5).after
    network = kan(pruned)
    assert network.widths == (2, 1, 1)
    assert network.pruned == (((1, 0),), ())
    assert edges(network) == 2
    assert pruned.relative_residual <= max(10.0 * solution.relative_residual, 1e-5)
    y = np.linspace(-1, 1, 9)
    assert np.ptp(pruned(np.column_stack([0.3 + 0.0 * y, y]))) == 0.0
    assert pruned.parameters == 3 + 1 + 7 + 8
    pruned.save(tmp_path / "a.vtkhdf", (5, 5))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    assert kan(loaded).pruned == network.pruned
    np.testing.assert_array_equal(loaded([[0.2, 0.5]]), pruned([[0.2, 0.5]]))
    # pruned again there is nothing left to take
    again = prune(loaded, tolerance=1e-5)
    assert not again.steps
    assert kan(again.after).widths == (2, 1, 1)


def test_exact_conditions_parameters_and_several_unknowns() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (40, 1))
    problem = Problem(
        unknowns=("u", "v"),
        domain=pk.box(x=(0, 1)),
        equation=[lambda u, k: -k * pk.dx(pk.dx(u)), lambda u, v: pk.dx(v) - u],
        source=[lambda x: 2.0 * pk.pi**2 * pk.sin(pk.pi * x), 0.0],
        conditions=[pk.dirichlet(0.0, unknown="u", enforce="exact"), pk.dirichlet(0.0, on="x-", unknown="v")],
        parameters={"k": pk.Parameter(1.0, lower=0.1, upper=10.0)},
        data=[pk.Measurements(x, {"u": np.sin(np.pi * x[:, 0])})],
        exact={"u": lambda x: pk.sin(pk.pi * x), "v": lambda x: (1.0 - pk.cos(pk.pi * x)) * (1.0 / pk.pi)},
        network=NetworkOptions("kan", (5,), (2, 7), (1, 6)),
        training=TrainingOptions(seconds=20.0, tolerance=1e-5),
    )
    solution = solve(problem, estimate=False)
    pruned = prune(solution, tolerance=1e-4, seconds=30.0)
    after = pruned.after
    assert isinstance(after.network, Ansatz)
    assert after.parameters < solution.parameters
    assert after.relative_residual <= pruned.bound
    assert after.found["k"].value == pytest.approx(2.0, rel=1e-3)
    assert after.found["k"].standard_error is not None
    assert after([[0.0], [1.0]])[:, 0] == pytest.approx(0.0, abs=1e-15)
    assert after.errors is not None
    assert max(error.l2_relative for error in after.errors.values()) < 1e-3


@pytest.mark.nightly
def test_product_nodes_stay_where_they_are_needed() -> None:
    text = SINE.split("[network]")[0] + "[network]\nhidden = [{product = 2}]\n"
    solution = solved(text, tolerance=1e-5)
    assert solution.relative_residual < 1e-4
    after = prune(solution, tolerance=1e-4).after
    assert (kan(after).widths, kan(after).products) == ((2, 1, 1), (1,))
    assert not any(kan(after).pruned)
    assert after.relative_residual <= 1e-4


def test_it_stops_when_time_is_up_or_somebody_says_so(sine: Solution) -> None:
    stopped = prune(sine, watch=lambda _: "interrupted")
    assert stopped.interrupted
    assert stopped.reason == "interrupted"
    assert stopped.after.relative_residual <= stopped.bound
    assert stopped.after.iterations <= sine.iterations + 1
    brief = prune(sine, seconds=1e-3)
    assert not brief.interrupted
    assert brief.reason == "the time allowed was used up"
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    np.testing.assert_allclose(brief.after(x), sine(x), rtol=0, atol=1e-12)


def test_what_cannot_be_pruned_is_refused(sine: Solution) -> None:
    with pytest.raises(ProblemError, match=r"factor 0\.5"):
        prune(sine, factor=0.5)
    with pytest.raises(ProblemError, match="it must be above 0"):
        prune(sine, seconds=0.0)
    quick = TrainingOptions(points=100, steps=1)
    mlp = solve(replace(loads(SINE), network=NetworkOptions("mlp", (3,)), training=quick), estimate=False)
    with pytest.raises(ProblemError, match="MLP; what can be pruned is a KAN"):
        prune(mlp)
    with pytest.raises(ProblemError, match="stated in Python"):
        prune(replace(sine, problem=None))
    slabs = SINE.replace("y = [", "t = [").replace("*y)", "*t)") + "[training]\nslabs = 2\nsteps = 1\npoints = 100\n"
    slabs = slabs.replace('"-laplacian(u)"', '"dt(u) - laplacian(u) + u**3"')
    slabs = slabs.replace('type = "dirichlet"', 'type = "dirichlet"\non = ["x-", "x+"]')
    slabs = slabs.replace("[exact]", '[[conditions]]\ntype = "initial"\nvalue = "exact"\n[exact]')
    with pytest.raises(ProblemError, match="PiecewiseInTime; what can be pruned is a KAN trained for all of time at once"):
        prune(solve(loads(slabs), estimate=False))
    rod = load_problem("composite_rod", ["network.hidden=[2]", "training.steps=1", "training.points=100"])
    with pytest.raises(ProblemError, match="region between interfaces; what can be pruned is a KAN"):
        prune(solve(rod, estimate=False))


def test_what_is_negligible_is_tried_together_then_less_of_it_then_one_after_the_other() -> None:
    assert list(_batches(6, 5)) == [(0, 5), (0, 3), (0, 2), (0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]
    assert list(_batches(2, 1)) == [(0, 1), (1, 1)]


def test_without_time_nothing_is_trained_and_networks_are_still_validated(sine: Solution) -> None:
    assert sine.problem is not None
    retraining = Retraining(sine.problem, sine.network, seconds=0.0)
    with retraining.clock.running():
        left = retraining.trained(sine.network, 0.0)
    assert retraining.stopped == "budget"
    assert left.relative == retraining.validated(sine.network).relative
    assert torch.equal(left.network.flat_parameters, sine.network.flat_parameters)
