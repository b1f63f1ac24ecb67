"""Plane waves on the ladder: when they are tried, what they find, and how training goes on with and after them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan import dirichlet, dt, initial, laplacian, log, sin
from pdekan.ansatz.time_slabs import breaks, slab
from pdekan.ansatz.unknowns import inner_network
from pdekan.fields.jets import Jet
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training import optimizer_choice, stage_selection, trainer
from pdekan.training import schedule as plan_module
from pdekan.training.schedule import stages, training_points
from pdekan.training.time_marching import _start
from pdekan.training.trainer import Training

FIRST, SECOND = 1, 4  # places of plane waves on the ladder below; the others are of trained networks


@pytest.fixture(autouse=True)
def _short_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan_module.LADDERS, 2, ((4, 3, 1, 4), (6, 3, 1, 8), (7, 3, 1, 9)))
    monkeypatch.setattr(plan_module, "WAVES", {2: ((FIRST, 16, 12), (SECOND, 20, 16))})
    monkeypatch.setattr(stage_selection, "NEAR", 1.0)
    monkeypatch.setattr(stage_selection, "GAIN", 1.0)


def potential(x: Jet, y: Jet) -> Jet:
    """That of a charge near a corner: no network of few nodes is near it."""
    return log((x - 1.3) ** 2 + (y - 0.9) ** 2)


def laplace(**options: float) -> Problem:
    return Problem(
        pk.box(x=(-1, 1), y=(-1, 1)),
        laplacian,
        conditions=(dirichlet(potential),),
        exact=potential,
        training=TrainingOptions(**options),  # type: ignore[arg-type]
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The stages that are trained, one after the other."""
    found: list[int] = []

    def stage(self: Training, index: int) -> str:
        found.append(index)
        return original(self, index)

    original = Training._stage
    monkeypatch.setattr(Training, "_stage", stage)
    return found


def kan(solution: Solution) -> KAN:
    network = inner_network(solution.network)
    assert isinstance(network, KAN)
    return network


def test_plane_waves_are_solved_for_and_what_is_smaller_is_left_out(trained: list[int]) -> None:
    problem = laplace()
    solution = pk.solve(problem)
    assert trained == [0, FIRST, SECOND]  # the trained networks in between have fewer nodes
    assert kan(solution).widths == (2, 20, 1)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    lines = kan(solution).spline_layers[0].dense("coefficients")
    assert lines.shape[-1] == 2  # inner functions are linear
    steps = solution.history["step"]
    assert (np.diff(steps) > 0).all()
    assert solution.iterations == steps[-1]
    assert list(solution.history["stage"][-2:]) == [FIRST, SECOND]  # each is one step


def test_they_end_training_where_the_tolerance_is_met(trained: list[int]) -> None:
    solution = pk.solve(laplace(tolerance=6e-3))
    assert trained == [0, FIRST]
    assert solution.status == "converged"
    assert solution.relative_residual <= 6e-3


def test_near_the_target_a_trained_network_comes_first(trained: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_selection, "NEAR", 1e12)
    pk.solve(laplace())
    assert trained == [0, 2, 3, SECOND]  # only the first waves wait


def test_waves_that_are_no_better_are_given_up_and_no_others_tried(trained: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer_choice, "of_waves", lambda *_: GaussNewton(ridge=1e12))  # which says nothing
    solution = pk.solve(laplace())
    assert trained == [0, FIRST, 2, 3]
    assert kan(solution).widths[1] < 8


def test_waves_that_gain_more_than_training_did_are_taken(trained: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan_module.LADDERS, 2, ((4, 3, 1, 4), (4, 3, 1, 4), (6, 3, 1, 8)))  # the second gains next to nothing
    monkeypatch.setattr(plan_module, "WAVES", {2: ((2, 20, 16),)})
    monkeypatch.setattr(stage_selection, "GAIN", 1e6)
    assert kan(pk.solve(laplace())).widths == (2, 20, 1)
    assert trained == [0, 1, 2]


def test_waves_that_gain_little_wait_for_what_training_gains(trained: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_selection, "GAIN", 1e6)
    monkeypatch.setattr(plan_module, "WAVES", {2: ((FIRST, 20, 16), (SECOND, 24, 20))})
    solution = pk.solve(laplace())
    relative = solution.history["residual"]  # these are better than what training comes to, and hence others are tried
    assert trained == [0, FIRST, 2, 3, SECOND]
    assert kan(solution).widths == (2, 24, 1)  # and all the same the best is kept in the end
    assert solution.relative_residual < 0.02 * float(relative[0])


def test_waves_without_time_to_solve_for_them_leave_it_to_training(trained: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer_choice, "SOLVING", 1.0)
    pk.solve(laplace())
    assert trained == [0, 2, 3]  # trained networks take their time step by step


def test_a_run_of_waves_is_gone_on_with() -> None:
    problem = laplace(tolerance=6e-3)
    first = pk.solve(problem)
    on = pk.solve(replace(problem, training=replace(problem.training, tolerance=None)), resume=first)
    assert kan(on).widths == (2, 20, 1)
    assert on.relative_residual < first.relative_residual
    again = pk.solve(replace(problem, training=replace(problem.training, tolerance=None)), resume=on)
    assert again.relative_residual == pytest.approx(on.relative_residual, rel=1e-6)


def test_nonlinear_equations_are_solved_to_the_end() -> None:
    """From where the network before left off, by Newton's method in the last layer."""
    problem = replace(
        laplace(),
        equation=lambda u: -laplacian(u) + u * u * u,
        source=lambda x, y: potential(x, y) ** 3,
    )
    solution = pk.solve(problem)
    assert kan(solution).widths == (2, 20, 1)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4


def test_where_the_last_layer_is_linear_nothing_is_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is solved for at once is the same, whatever it begins with; the ridge falls with what is to be bettered."""
    projected: list[int] = []
    project = KAN.project

    def counted(self: KAN, values: torch.Tensor, points: torch.Tensor) -> None:
        projected.append(self.widths[1])
        project(self, values, points)

    monkeypatch.setattr(KAN, "project", counted)
    solution = pk.solve(laplace())
    assert not projected
    monkeypatch.setattr(trainer.Objective, "affine", property(lambda self: False, lambda self, value: None), raising=False)
    other = pk.solve(laplace())
    assert projected == [16, 20]
    assert other.relative_residual == pytest.approx(solution.relative_residual, rel=0.05)


def test_waves_that_do_not_fit_into_the_memory_leave_it_to_training(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Training._fits
    monkeypatch.setattr(Training, "_fits", lambda self, index: index not in (FIRST, SECOND) and fits(self, index))
    pk.solve(laplace())
    assert trained == [0, 2, 3]


def test_points_of_waves_are_fewer() -> None:
    plan = stages(laplace())
    few, many = (training_points(laplace(), replace(plan[1], waves=waves), 0) for waves in (True, False))
    assert (few.cells * few.order) ** 2 < 0.8 * (many.cells * many.order) ** 2


def test_a_slab_of_time_does_not_begin_with_the_waves_of_the_one_before() -> None:
    domain = pk.box(x=(0, 1), t=(0, 2))
    problem = Problem(
        domain,
        lambda u: dt(u) - 0.1 * laplacian(u),
        conditions=(dirichlet(0.0, ("x-", "x+")), initial(lambda x: sin(pk.pi * x))),
        training=TrainingOptions(slabs=2, steps=2),
    )
    part = slab(problem, breaks(problem), 0, None, 10.0)
    solved = Training(part, None, "cpu", None, None).solution()
    later = slab(problem, breaks(problem), 1, solved.network, 10.0)
    assert _start(later, solved) is not None
    waves = stages(part)[1]
    network = KAN(waves.widths(2), waves.degree, waves.intervals, lower=part.domain.lower, upper=part.domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    assert _start(later, replace(solved, network=network)) is None
    # nor with a network whose steps are too long for it, unless it begins with small ones in any case
    slow = replace(solved, history=solved.history | {"seconds": np.array([1.0, 4.0])})
    assert _start(later, slow) is None
    assert _start(slab(problem, breaks(problem), 1, solved.network, 16.0), slow) is not None
    graded = KAN([2, 8, 1], (3, 9), (1, 12), lower=network.lower.tolist(), grading=torch.zeros(2, 601, dtype=torch.float64))
    assert _start(later, replace(slow, network=graded)) is not None
