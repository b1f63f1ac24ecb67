"""Slabs of time: what is carried from one to the next, how they are joined, stored and gone on with; points by residual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan.ansatz.time_slabs import Carried, breaks, slab
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.kan import KAN
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problem_files.loader import loads
from pdekan.problems.conditions import dirichlet, initial
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.adaptive_sampling import resampled
from pdekan.residuals.collocation import Sampling
from pdekan.training.slabs.marching import EarlierSlabs, seconds_of_slab

HEAT = """
schema = 1
name = "heat"
[domain]
type = "box"
x = [0, 1]
t = [0, 0.6]
[equation]
operator = "dt(u) - 0.3*laplacian(u)"
[[conditions]]
type = "dirichlet"
on = ["x-", "x+"]
[[conditions]]
type = "initial"
value = "sin(pi*x)"
[exact]
u = "exp(-0.3*pi**2*t)*sin(pi*x)"
[network]
hidden = [4]
degree = 5
[training]
slabs = 3
refine = [4]
seconds = 30
steps = 12
"""


def net(seed: int, outputs: int = 1) -> KAN:
    network = KAN((2, 3, outputs), 5, 4, lower=(0.0, 0.0), upper=(1.0, 1.0))
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def test_each_network_speaks_for_its_part_of_time() -> None:
    parts = [net(k) for k in range(3)]
    together = PiecewiseInTime(parts, (0.25, 0.7), column=1)
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = Frame(("x", "t"), Derivatives.FULL)
    jet = together.jet(x, frame)
    place = (x[:, 1] > 0.25).long() + (x[:, 1] > 0.7).long()
    for k, part in enumerate(parts):
        own = part.jet(x, frame)
        for ours, theirs in ((jet.value, own.value), (jet.gradient, own.gradient), (jet.second, own.second)):
            assert ours is not None
            assert theirs is not None
            torch.testing.assert_close(ours[place == k], theirs[place == k], rtol=0, atol=0)
    assert set(place.tolist()) == {0, 1, 2}


def wave(u: Jet) -> Jet:
    return pk.dt(pk.dt(u)) - pk.laplacian(u)


WAVE = Problem(
    pk.box(x=(0, 1), t=(0, 2)),
    wave,
    conditions=(dirichlet(0.0, ("x-", "x+")), initial(lambda x: pk.sin(pk.pi * x)), initial(0.0, lambda u: pk.dt(u))),
    exact=lambda x, t: pk.sin(pk.pi * x) * pk.cos(pk.pi * t),
    network=NetworkOptions(hidden=[6], degree=7, intervals=4),
    training=TrainingOptions(slabs=2, seconds=30.0, steps=25),
)


def test_a_slab_starts_with_values_and_velocities_of_the_one_before() -> None:
    before, times = net(0), breaks(WAVE)
    assert times == [0.0, 1.0, 2.0]
    part = slab(WAVE, times, 1, before, 7.0)
    assert (part.domain.lower, part.domain.upper) == ((0.0, 1.0), (1.0, 2.0))
    assert (part.training.slabs, part.training.seconds) == (1, 7.0)
    x = torch.linspace(0, 1, 9, dtype=torch.float64)
    start = torch.stack([x, torch.full_like(x, 1.0)], dim=1).requires_grad_()
    value = before(start)[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), start)
    for condition, expected in zip(part.conditions[1:], (value, slope[:, 1]), strict=True):
        assert isinstance(condition.value, Carried)
        assert condition.operator is not None
        found = part.right_hand_side(condition.value, condition.operator, start.detach(), Derivatives.FULL, None)
        torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-13)
    assert slab(WAVE, times, 0, None, 7.0).conditions == WAVE.conditions


def test_a_wave_is_solved_slab_by_slab() -> None:
    solution = pk.solve(WAVE, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-3
    assert isinstance(solution.network, PiecewiseInTime)
    assert len(solution.network.parts) == 2
    steps = solution.history["step"]
    assert (np.diff(steps) >= 0).all()
    assert (np.diff(solution.history["seconds"]) >= 0.0).all()
    assert steps[-1] <= solution.iterations
    below, above = (solution([[0.3, t]])[0] for t in (1.0 - 1e-9, 1.0 + 1e-9))
    assert below == pytest.approx(above, abs=1e-3)


def test_slabs_of_a_file_are_stored_and_loaded(tmp_path: Path) -> None:
    problem = loads(HEAT.replace("steps = 12", "tolerance = 1e-4"))
    solution = pk.solve(problem)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    solution.save(tmp_path / "run.vtkhdf", (5, 5))
    again = pk.load_solution(tmp_path / "run.vtkhdf")
    points = np.random.default_rng(0).random((50, 2)) * [1.0, 0.6]
    np.testing.assert_array_equal(again(points), solution(points))
    with pytest.raises(ProblemError, match=r"every slab .* was solved"):
        pk.solve(problem, resume=again)


def test_exact_initial_values_are_carried_and_stored(tmp_path: Path) -> None:
    text = HEAT.replace('value = "sin(pi*x)"', 'value = "sin(pi*x)"\nenforce = "exact"')
    solution = pk.solve(loads(text), estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    jump = solution([[0.3, 0.2 + 1e-12]])[0] - solution([[0.3, 0.2 - 1e-12]])[0]
    assert abs(jump) < 1e-9
    solution.save(tmp_path / "run.vtkhdf", (5, 5))
    points = np.random.default_rng(0).random((50, 2)) * [1.0, 0.6]
    np.testing.assert_allclose(pk.load_solution(tmp_path / "run.vtkhdf")(points), solution(points), rtol=1e-13)


def test_an_interrupted_march_goes_on_with_the_slab_it_was_in() -> None:
    problem = loads(HEAT)

    def stop(progress: pk.Progress) -> str | None:
        snapshot = progress.snapshot()
        assert snapshot.domain == problem.domain
        return "interrupted" if progress.stage > progress.stages // 3 else None

    half = pk.solve(problem, watch=stop, estimate=False)
    assert half.status == "interrupted"
    assert half.stage == 0
    whole = pk.solve(problem, resume=half, estimate=False)
    assert whole.status == "converged"
    assert isinstance(whole.network, PiecewiseInTime)
    assert len(whole.network.parts) == 3
    assert whole.errors is not None
    assert whole.errors["u"].l2_relative < 1e-4
    with pytest.raises(ProblemError, match="same slabs"):
        pk.solve(replace(problem, training=replace(problem.training, slabs=2)), resume=half)


def test_a_march_whose_networks_grow_goes_on_with_the_sizes_it_had() -> None:
    text = HEAT[: HEAT.index("[network]")] + "[training]\nslabs = 3\nseconds = 30\ntolerance = 1e-5\n"
    problem = loads(text)
    grown: list[int] = []

    def stop(progress: pk.Progress) -> str | None:
        grown.append(progress.snapshot().parameters)
        return "interrupted" if grown[-1] > 1.5 * grown[0] else None

    half = pk.solve(problem, watch=stop, estimate=False)
    assert half.status == "interrupted"
    whole = pk.solve(problem, resume=half, estimate=False)
    assert whole.status == "converged"
    assert whole.errors is not None
    assert whole.errors["u"].l2_relative < 1e-4


def test_a_march_is_as_good_as_its_worst_slab() -> None:
    small = replace(WAVE, network=NetworkOptions("mlp", (2,)), training=TrainingOptions(steps=1))
    one = pk.solve(small, estimate=False)
    first = replace(one, status="budget", reason="no time left", relative_residual=0.5)
    last = replace(one, status="converged", relative_residual=1e-6)
    joined = EarlierSlabs(WAVE, breaks(WAVE), 1, (one.network,), (first,)).joined(last, measure=False)
    assert (joined.status, joined.reason, joined.relative_residual) == ("budget", "slab 1 of 2: no time left", 0.5)
    assert joined.iterations == 2 * one.iterations


@pytest.mark.parametrize("used", [1.0, 0.5, 0.0])
def test_seconds_of_slabs_keep_a_part_for_later_ones(used: float) -> None:
    """Whatever the earlier slabs use: none has more than two equal shares, each later one has half of one left."""
    total, count, spent = 30.0, 5, 0.0
    for k in range(count):
        allowed = seconds_of_slab(total, spent, count, k)
        assert 0.5 * total / count <= allowed <= 2.0 * total / count
        assert spent + allowed + 0.5 * total / count * (count - k - 1) <= total * (1.0 + 1e-12)
        spent += used * allowed
    assert seconds_of_slab(total, 0.0, count, 0) == 2.0 * total / count
    assert 0.0 < seconds_of_slab(total, 1.5 * total, count, count - 1) < 0.01  # a busy machine took longer than allowed
    assert used < 1.0 or spent == pytest.approx(total)  # all of it is used by slabs that need it


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (replace(WAVE, domain=pk.box(x=(0, 1), y=(0, 2)), conditions=(dirichlet(0.0),), equation=pk.laplacian), "has no time"),
        (replace(WAVE, parameters={"c": pk.Parameter(1.0)}), "parameters and data"),
        (replace(WAVE, conditions=(dirichlet(0.0, ("x-", "x+")),)), "initial condition"),
    ],
)
def test_what_cannot_be_solved_in_slabs(problem: Problem, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        pk.solve(problem)


class Spike(torch.nn.Module):
    """Its Laplacian is large near one point."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(-200.0 * (x - 0.7).square().sum(1, keepdim=True))


def test_points_lie_where_the_residual_is_large_and_still_integrate() -> None:
    problem = Problem(pk.box(x=(0, 1), y=(0, 1)), lambda u: pk.laplacian(u), conditions=(dirichlet(0.0),))
    network, sampling = pk.ModuleNetwork(Spike(), 2), Sampling(6, 10, 0, 3)
    even = problem.domain.interior(6, 10, 0, 0)
    drawn = resampled(problem, network, sampling, torch.device("cpu"))
    assert len(drawn.points) == pytest.approx(len(even.points), rel=0.3)  # no candidate is taken twice

    def near(points: np.ndarray) -> float:
        return float((np.linalg.norm(points - 0.7, axis=1) < 0.15).mean())

    assert near(drawn.points) > 4 * near(even.points)
    assert drawn.weights.sum() == pytest.approx(1.0, rel=0.1)
    moment = drawn.weights @ (drawn.points[:, 0] ** 2 * drawn.points[:, 1])
    assert moment == pytest.approx(1.0 / 6.0, rel=0.1)


def test_resampling_trains_every_stage_a_second_time_on_other_points() -> None:
    problem = loads(
        HEAT.replace("slabs = 3\nrefine = [4]", "resample = true\nrefine = [1, 2]").replace("steps = 12", "steps = 60")
    )
    plain = pk.solve(replace(problem, training=replace(problem.training, resample=False)), estimate=False)
    solution = pk.solve(problem, estimate=False)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    assert set(solution.history["stage"]) == set(plain.history["stage"])  # the schedule is the same
    first = solution.history["stage"] == 0.0
    before = plain.history["stage"] == 0.0
    np.testing.assert_array_equal(solution.history["loss"][first][: before.sum()], plain.history["loss"][before])
    assert first.sum() > before.sum()
