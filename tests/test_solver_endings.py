"""How trainings end, are repeated, resumed and begun again, and what they must leave alone."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from solved_problems import LINE, MLP_8, SMALL, TINY, assert_sound, error, flat

from pdekan.domains.box import box
from pdekan.domains.quadrature import gauss
from pdekan.fields.operators import laplacian
from pdekan.networks.base import Network
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import EXACT
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective
from pdekan.solutions.solution import Solution
from pdekan.training.progress import Progress
from pdekan.training.solver import solve

# --- How training ends


def test_steps_are_a_budget() -> None:
    solution = solve(LINE, network=TINY, training=TrainingOptions(steps=3, tolerance=1e-12))
    assert_sound(solution)
    assert solution.iterations == 3
    assert solution.status == "budget"
    assert "steps" in solution.reason


def test_seconds_are_counted_by_the_clock_that_is_passed() -> None:
    hours = iter(range(0, 36_000_000, 3600))
    training = TrainingOptions(seconds=20 * 3600.0, tolerance=1e-15)
    solution = solve(LINE, network=SMALL, training=training, estimate=False, now=lambda: float(next(hours)))
    assert solution.status == "budget"
    assert 10 * 3600.0 < solution.seconds < 30 * 3600.0


def test_time_is_a_budget() -> None:
    solution = solve(LINE, network=TINY, training=TrainingOptions(seconds=1e-9, tolerance=1e-12))
    assert_sound(solution)
    assert solution.iterations == 0
    assert solution.status == "budget"
    assert "time" in solution.reason


@pytest.mark.parametrize("optimizer", ["gauss-newton", "matrix-free", "ssbroyden", "lbfgs", "adam"])
def test_time_that_runs_out_within_a_step_ends_it(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the steps before comes back; the clock is made to jump in the middle of the next one."""
    now, losses = [0.0], []
    monkeypatch.setattr("pdekan.training.clock.time.perf_counter", lambda: now[0])

    def watch(progress: Progress) -> None:
        losses.append(progress.loss)
        now[0] += 100.0 if len(losses) == 2 else 0.0  # while the watcher has it, the clock stands still

    plain = Objective.load

    def load(self: Objective, theta: torch.Tensor) -> Network:
        now[0] += 100.0 if len(losses) == 2 else 0.0
        return plain(self, theta)

    monkeypatch.setattr(Objective, "load", load)
    training = TrainingOptions(optimizer=optimizer, points=40, refine=(4,), seconds=60.0, tolerance=1e-12)
    solution = solve(LINE, network=TINY, training=training, watch=watch, estimate=False)
    assert_sound(solution)
    assert len(losses) == 2
    assert solution.status == "budget"
    assert solution.seconds >= 100.0
    assert solution.relative_residual == pytest.approx(solution.history["residual"][np.argmin(losses)], rel=1e-6)


def test_a_tolerance_stops_early() -> None:
    long = solve(LINE, network=SMALL, training=TrainingOptions(steps=40))
    short = solve(LINE, network=SMALL, training=TrainingOptions(steps=40, tolerance=1e-2))
    assert_sound(short)
    assert short.status == "converged"
    assert short.tolerance == 1e-2
    assert short.relative_residual <= 1e-2
    assert short.iterations < long.iterations
    assert (short.history["residual"][:-1] > 1e-2).all()
    assert "met the tolerance" in short.reason


def test_what_cannot_get_better_is_stalled() -> None:
    solution = solve(LINE, network=NetworkOptions(hidden=(), degree=3, intervals=4), training=TrainingOptions(tolerance=1e-14))
    assert_sound(solution)
    assert solution.status == "stalled"
    assert "no step" in solution.reason


def test_a_watcher_sees_every_step_and_may_stop() -> None:
    seen: list[Progress] = []

    def watch(progress: Progress) -> str | None:
        seen.append(progress)
        return "interrupted" if len(seen) == 4 else None

    solution = solve(LINE, network=SMALL, watch=watch)
    assert_sound(solution)
    assert solution.status == "interrupted"
    assert solution.iterations == 4
    assert [p.step for p in seen] == [1, 2, 3, 4]
    assert [p.loss for p in seen] == solution.history["loss"].tolist()
    assert [p.relative_residual for p in seen] == solution.history["residual"].tolist()
    assert [p.seconds for p in seen] == solution.history["seconds"].tolist()
    assert all(1 <= p.stage <= p.stages for p in seen)
    assert all(math.isfinite(p.l2_relative) for p in seen)


def test_any_other_reason_of_a_watcher_stops_as_well() -> None:
    steps: list[int] = []

    def watch(progress: Progress) -> str | None:
        steps.append(progress.step)
        return "enough"

    solution = solve(LINE, network=TINY, training=TrainingOptions(refine=(2, 4), starts=2), watch=watch)
    assert_sound(solution)
    assert steps == [1]  # neither the next start nor the next stage is tried
    assert solution.status == "interrupted"
    assert "enough" in solution.reason


def test_a_snapshot_is_a_solution_of_its_own() -> None:
    snapshots: list[Solution] = []

    def watch(progress: Progress) -> str | None:
        snapshots.append(progress.snapshot())
        return "interrupted" if len(snapshots) == 6 else None

    solve(LINE, network=SMALL, watch=watch)
    values = [snapshot(np.array([[0.3]])) for snapshot in snapshots]
    assert len({float(value[0]) for value in values}) == 6  # later steps did not change earlier snapshots
    for step, snapshot in enumerate(snapshots, start=1):
        assert_sound(snapshot)
        assert snapshot.status == "interrupted"
        assert snapshot.iterations == step


def test_the_errors_of_a_snapshot_are_those_of_its_network() -> None:
    """Also while a later stage is worse than the best network so far, which is then the snapshot's."""
    snapshots: list[Solution] = []

    def watch(progress: Progress) -> None:
        snapshots.append(progress.snapshot())

    solve(LINE, network=replace(TINY, degree=4), training=TrainingOptions(refine=(4, 3), steps=80, points=60), watch=watch)
    x, w = gauss(-1.0, 1.0, 100, 5)
    exact = np.sin(np.pi * x) + 0.5 * x
    for snapshot in snapshots:
        measured = math.sqrt(w @ (snapshot(x[:, None]) - exact) ** 2) / math.sqrt(w @ exact**2)
        assert error(snapshot) == pytest.approx(measured, rel=0.05)


def test_nothing_that_training_meets_becomes_a_solution_that_is_no_number() -> None:
    """A reaction that is not a number where u < 0, which early steps reach."""
    problem = Problem(
        box(x=(0, 1)), lambda u: laplacian(u) - u**0.5, EXACT, (dirichlet(EXACT),), exact=lambda x: 0.02 + x**2 * (1.0 - x) ** 2
    )
    solution = solve(problem, network=TINY, training=TrainingOptions(steps=10))
    assert torch.isfinite(flat(solution)).all()
    assert not math.isnan(error(solution))


# --- The same again


def test_the_same_seed_gives_the_same_solution_and_another_another() -> None:
    options = TrainingOptions(steps=6, seed=3)
    first, same = (solve(LINE, network=SMALL, training=options) for _ in range(2))
    assert torch.equal(flat(first), flat(same))
    np.testing.assert_array_equal(first.history["loss"], same.history["loss"])
    other = solve(LINE, network=SMALL, training=replace(options, seed=4))
    assert not torch.equal(flat(first), flat(other))
    assert first.seed == 3


@pytest.mark.parametrize("options", [SMALL, MLP_8], ids=["kan", "mlp"])
def test_solving_prints_nothing_and_leaves_global_state_alone(
    options: NetworkOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    def state() -> tuple[Any, ...]:
        return (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate(), torch.get_default_dtype(),
                torch.get_num_threads(), torch.is_grad_enabled())  # fmt: skip

    before = state()
    solve(LINE, network=options, training=TrainingOptions(steps=2))
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_randomness_outside_does_not_matter() -> None:
    torch.manual_seed(1)
    first = solve(LINE, network=MLP_8, training=TrainingOptions(steps=2))
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(flat(first), flat(solve(LINE, network=MLP_8, training=TrainingOptions(steps=2))))


# --- Resuming and restarts


@pytest.mark.parametrize(
    ("options", "optimizer"), [(SMALL, "gauss-newton"), (MLP_8, "gauss-newton"), (SMALL, "lbfgs"), (MLP_8, "lbfgs")],
    ids=["kan", "mlp", "kan, lbfgs", "mlp, lbfgs"],
)  # fmt: skip
def test_resuming_goes_on_from_where_it_was(options: NetworkOptions, optimizer: Any) -> None:
    training = TrainingOptions(optimizer=optimizer, steps=40 if optimizer == "lbfgs" else 8, points=60)
    first = solve(LINE, network=options, training=training)
    kept = flat(first).clone()
    second = solve(LINE, network=options, training=replace(training, steps=None, seconds=1.0), resume=first)
    assert_sound(second)
    assert second.iterations > first.iterations
    assert second.seconds > first.seconds
    np.testing.assert_array_equal(second.history["loss"][: len(first.history["loss"])], first.history["loss"])
    assert second.relative_residual <= first.relative_residual
    assert second.history["loss"][-1] <= 1.01 * first.history["loss"][-1]
    assert torch.equal(flat(first), kept)


def test_resuming_what_has_converged_hands_it_back() -> None:
    first = solve(LINE, network=NetworkOptions(hidden=(2,), degree=5))
    again = solve(LINE, network=NetworkOptions(hidden=(2,), degree=5), resume=first)
    assert_sound(again)
    assert again.relative_residual <= first.relative_residual
    assert error(again) <= 2.0 * error(first)


@pytest.mark.parametrize("refine", [(2,), pytest.param((2, 4), marks=pytest.mark.nightly)])
def test_restarts_are_whole_trainings_of_which_the_best_is_kept(refine: tuple[int, ...]) -> None:
    options = TrainingOptions(refine=refine, points=40)
    singles = [solve(LINE, network=TINY, training=replace(options, seed=seed), estimate=False) for seed in range(2)]
    residuals = [single.relative_residual for single in singles]
    best = int(np.argmin(residuals))
    assert sorted(residuals)[1] > 1.001 * residuals[best]  # the seeds do differ
    together = solve(LINE, network=TINY, training=replace(options, starts=2), estimate=False)
    assert together.iterations == sum(single.iterations for single in singles)
    torch.testing.assert_close(flat(together), flat(singles[best]), rtol=1e-9, atol=1e-12)
    assert len(together.history["loss"]) == sum(len(single.history["loss"]) for single in singles)


def test_a_snapshot_in_a_later_start_is_no_worse_than_the_starts_before() -> None:
    """A run that is killed then goes on from the best there was."""
    seen: list[tuple[float, float]] = []

    def watch(progress: Progress) -> None:
        seen.append((progress.relative_residual, progress.snapshot().relative_residual))

    solve(LINE, network=TINY, training=TrainingOptions(refine=(2,), points=40, starts=3), watch=watch)
    ends = [now for (now, _), (after, _) in pairwise(seen) if after > 10.0 * now]
    assert ends  # another start begins far above the end of the one before
    first = next(k for k, (now, _) in enumerate(seen) if now == ends[0])
    assert all(snapshot <= 1.0001 * ends[0] for _, snapshot in seen[first:])


def test_refining_lowers_the_error_stage_by_stage() -> None:
    solution = solve(LINE, network=SMALL, training=TrainingOptions(refine=(2, 4, 8)))
    assert_sound(solution)
    assert set(solution.history["stage"]) == {0.0, 1.0, 2.0}
    ends = [solution.history["residual"][solution.history["stage"] == stage][-1] for stage in range(3)]
    assert ends[0] > 3.0 * ends[1]
    assert ends[2] <= 3.0 * ends[1]  # at round-off by now
    assert solution.network.get_submodule("layers.0").intervals in (4, 8)  # whichever does better on unseen points
