"""Plane waves among trained networks: when they are tried, how accurate they are, and how training goes on after them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan import dirichlet, dt, initial, laplacian, log, sin
from pdekan.ansatz.time_slabs import breaks, slab
from pdekan.ansatz.unknowns import inner_network
from pdekan.fields.jets import Jet
from pdekan.networks.kan import KAN
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.ladder import Ladder, PlaneWaves
from pdekan.training.optimizer_choice import SizedGaussNewton
from pdekan.training.schedule import Stage, stages
from pdekan.training.setup import Setup
from pdekan.training.slabs.marching import extrapolated
from pdekan.training.state import State
from pdekan.training.strategy import Stop, Wrapper
from pdekan.training.trainer import Trainer

TARGET = 1e-7


def trained(nodes: int, intervals: int) -> Stage:
    return Stage("kan", (nodes,), (3, 9), (1, intervals))


def waves(nodes: int, intervals: int) -> Stage:
    return Stage("kan", (nodes,), (1, 9), (1, intervals), waves=True)


FIRST, SECOND = 1, 4  # places of plane waves below; the others are of trained networks
STAGES = (trained(4, 4), waves(16, 12), trained(6, 8), trained(7, 9), waves(20, 16))
ALWAYS = PlaneWaves(near=1.0, gain=1.0)
METHOD = SizedGaussNewton()


@dataclass(frozen=True)
class Recorded(Wrapper):
    """Notes the places of the stages that are trained."""

    places: list[int]

    def next(self, problem: Problem, state: State) -> Stage | Stop:
        decision = self.inner.next(problem, state)
        if isinstance(decision, Stage):
            self.places.append(decision.index)
        return decision


def solved(
    problem: Problem,
    stages: tuple[Stage, ...] = STAGES,
    rule: PlaneWaves = ALWAYS,
    method: SizedGaussNewton = METHOD,
    resume: Solution | None = None,
) -> tuple[Solution, list[int]]:
    """The solution of a short ladder, and the places of the stages that were trained."""
    target = problem.training.tolerance or TARGET
    strategy = Recorded(Ladder(stages, target, method, waves=rule), [])
    return pk.solve(problem, strategy=strategy, optimizer=method, resume=resume, estimate=False), strategy.places


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


def kan(solution: Solution) -> KAN:
    network = inner_network(solution.network)
    assert isinstance(network, KAN)
    return network


def test_plane_waves_are_solved_for_and_smaller_networks_are_skipped() -> None:
    solution, places = solved(laplace())
    assert places == [0, FIRST, SECOND]  # the trained networks in between have fewer nodes
    assert kan(solution).widths == (2, 20, 1)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    lines = kan(solution).spline_layers[0].dense("coefficients")
    assert lines.shape[-1] == 2  # inner functions are linear
    steps = solution.history["step"]
    assert (np.diff(steps) > 0).all()
    assert solution.iterations == steps[-1]
    assert list(solution.history["stage"][-2:]) == [FIRST, SECOND]  # each is one step


def test_they_end_training_where_the_tolerance_is_met() -> None:
    solution, places = solved(laplace(tolerance=6e-3))
    assert places == [0, FIRST]
    assert solution.status == "converged"
    assert solution.relative_residual <= 6e-3


def test_near_the_target_a_trained_network_comes_first() -> None:
    _, places = solved(laplace(), rule=replace(ALWAYS, near=1e12))
    assert places == [0, 2, 3, SECOND]  # only the first waves wait


@pytest.mark.parametrize(("near", "places"), [(1.0, [0, 1, 2]), (1e7, [0, 1, 3])])
def test_training_begins_anew_after_first_waves_unless_they_are_near_the_target(near: float, places: list[int]) -> None:
    ladder = (waves(8, 8), waves(12, 12), trained(4, 4), trained(13, 4))
    solution, trained_places = solved(laplace(steps=5), ladder, replace(ALWAYS, near=near))
    assert trained_places[:3] == places
    assert kan(solution).widths[1] == (12 if near == 1.0 else 13)  # the waves are the result where they are better


def test_waves_that_are_no_better_are_given_up_and_no_others_tried() -> None:
    solution, places = solved(laplace(), method=SizedGaussNewton(wave_ridge=1e12))  # which damps them to nothing
    assert places == [0, FIRST, 2, 3]
    assert kan(solution).widths[1] < 8


def test_waves_that_gain_more_than_training_did_are_taken() -> None:
    ladder = (trained(4, 4), trained(4, 4), waves(20, 16), trained(6, 8))  # the second gains next to nothing
    solution, places = solved(laplace(), ladder, replace(ALWAYS, gain=1e6))
    assert kan(solution).widths == (2, 20, 1)
    assert places == [0, 1, 2]


def test_waves_that_gain_little_are_the_result_where_training_gains_less() -> None:
    ladder = (STAGES[0], waves(20, 16), *STAGES[2:4], waves(24, 20))
    solution, places = solved(laplace(), ladder, replace(ALWAYS, gain=1e6))
    relative = solution.history["residual"]  # these are better than the trained networks, and hence others are tried
    assert places == [0, FIRST, 2, 3, SECOND]
    assert kan(solution).widths == (2, 24, 1)
    assert solution.relative_residual < 0.02 * float(relative[0])


def test_waves_without_time_to_solve_for_them_are_skipped() -> None:
    _, places = solved(laplace(), method=SizedGaussNewton(solve_seconds=1.0))
    # trained networks take their time step by step, and the best one the time that is left
    assert places == [0, 2, 3, 3]


def test_a_run_of_waves_is_resumed() -> None:
    problem = laplace(tolerance=6e-3)
    on = laplace()
    first, _ = solved(problem)
    second, _ = solved(on, resume=first)
    assert kan(second).widths == (2, 20, 1)
    assert second.relative_residual < first.relative_residual
    third, _ = solved(on, resume=second)
    assert third.relative_residual == pytest.approx(second.relative_residual, rel=1e-6)


def test_nonlinear_equations_are_solved_to_the_end() -> None:
    """From the function of the network before, by Newton's method in the last layer."""
    problem = replace(
        laplace(),
        equation=lambda u: -laplacian(u) + u * u * u,
        source=lambda x, y: potential(x, y) ** 3,
    )
    solution, _ = solved(problem)
    assert kan(solution).widths == (2, 20, 1)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4


@pytest.mark.parametrize("linear", [True, False])
def test_waves_are_projected_only_where_one_linear_solve_does_not_replace_them(
    linear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    projections: list[int] = []
    project = KAN.project

    def counted(self: KAN, values: torch.Tensor, points: torch.Tensor) -> None:
        projections.append(self.widths[1])
        project(self, values, points)

    monkeypatch.setattr(KAN, "project", counted)
    problem = laplace()
    solved(problem if linear else replace(problem, equation=lambda u: laplacian(u) + 1e-6 * u**2))
    assert projections == ([] if linear else [16, 20])


def test_waves_that_do_not_fit_into_the_memory_are_skipped() -> None:
    large = (*STAGES[:1], waves(16, 300), *STAGES[2:4], waves(20, 300))
    _, places = solved(laplace(memory=60.0), large)
    assert places == [0, 2, 3, 3]  # the best network has the time that is left


def test_the_points_of_waves_determine_them() -> None:
    """With three times as many the error is no smaller than by a third."""
    few, many = (
        solved(laplace(**points), (waves(16, 16),))[0] for points in ({}, {"points": 3 * 3.5 * waves(16, 16).parameters(2)})
    )
    assert few.errors is not None
    assert many.errors is not None
    assert few.errors["u"].l2_relative < 1.5 * many.errors["u"].l2_relative


def test_a_slab_of_time_does_not_begin_with_the_waves_of_the_one_before() -> None:
    domain = pk.box(x=(0, 1), t=(0, 2))
    problem = Problem(
        domain,
        lambda u: dt(u) - 0.1 * laplacian(u),
        conditions=(dirichlet(0.0, ("x-", "x+")), initial(lambda x: sin(pk.pi * x))),
        training=TrainingOptions(slabs=2, steps=2),
    )
    part = slab(problem, breaks(problem), 0, None, 10.0)
    solution = Trainer(part, setup=Setup(strategy=Ladder((trained(6, 8),), TARGET, METHOD))).solution()
    later = slab(problem, breaks(problem), 1, solution.network, 10.0)
    assert extrapolated(later, solution) is not None
    wide = next(stage for stage in stages(part) if stage.waves)
    network = KAN(wide.widths(2), wide.degree, wide.intervals, lower=part.domain.lower, upper=part.domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    assert extrapolated(later, replace(solution, network=network)) is None
    # nor with a network whose steps are too long for it, unless it begins with small ones in any case
    slow = replace(solution, history=solution.history | {"seconds": np.array([1.0, 4.0])})
    assert extrapolated(later, slow) is None
    assert extrapolated(slab(problem, breaks(problem), 1, solution.network, 16.0), slow) is not None
    graded = KAN([2, 8, 1], (3, 9), (1, 12), lower=network.lower.tolist(), grading=torch.zeros(2, 601, dtype=torch.float64))
    assert extrapolated(later, replace(slow, network=graded)) is not None
