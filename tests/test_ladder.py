"""Strategies without any training: which stages are skipped, what is kept, how strategies compose, why they stop."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import torch

from pdekan import dirichlet, laplacian
from pdekan.domains.box import box
from pdekan.networks.kan import KAN
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Residuals
from pdekan.training.ladder import Ladder, PlaneWaves
from pdekan.training.optimizer_choice import METHODS
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage
from pdekan.training.state import Candidate, State
from pdekan.training.strategy import AfterWaves, Regridding, RequestedNetwork, Resampling, Restarts, Stop, Strategy

TARGET = 1e-7
TRAINED, FIRST, SECOND, THIRD = 0, 1, 3, 4  # places of a trained network and of plane waves
WAVES = PlaneWaves()
METHOD = METHODS["gauss-newton"]


def problem(**training: object) -> Problem:
    options = TrainingOptions(**training)  # type: ignore[arg-type]
    return Problem(box(x=(0, 1), y=(0, 1)), laplacian, 1.0, (dirichlet(0.0),), training=options)


def trained_stage(outputs: int = 1) -> Stage:
    return Stage("kan", (4,), (9, 9), (1, 8), outputs=outputs)


def ladder(outputs: int = 1, **options: object) -> Ladder:
    trained, waves = trained_stage(outputs), Stage("kan", (16,), (1, 9), (1, 12), outputs=outputs, waves=True)
    return Ladder((trained, waves, trained, waves, waves), TARGET, METHOD, **options)  # type: ignore[arg-type]


def after(strategy: Ladder, *results: tuple[int, float], affine: bool = True) -> State:
    """The state after stages that ended with these residuals."""
    state = State(budget=60.0, affine=affine)
    for index, relative in results:
        stage = replace(strategy.stages[index], index=index, count=len(strategy.stages))
        candidate = Candidate(KAN([2, 4, 1], 3, 2), stage, Residuals(relative, relative, 0.0, relative))
        state = strategy.accept(replace(state, stage=stage, ended=Reason.STALLED), candidate)
    return state


def following(strategy: Strategy, state: State, **training: object) -> int | Reason:
    """The place of the next stage, or the reason to stop."""
    decision = strategy.next(problem(**training), state)
    return decision.reason if isinstance(decision, Stop) else decision.index


@pytest.mark.parametrize(("outputs", "next_stage"), [(1, 2), (2, FIRST)])
def test_near_the_target_training_comes_first_where_it_is_cheap(outputs: int, next_stage: int) -> None:
    strategy = ladder(outputs)
    assert following(strategy, after(strategy, (TRAINED, 0.9 * WAVES.near * TARGET))) == next_stage
    assert following(strategy, after(strategy, (TRAINED, 1.1 * WAVES.near * TARGET))) == FIRST


def test_later_waves_are_tried_where_more_of_them_would_do_better() -> None:
    strategy = ladder()
    state = after(strategy, (TRAINED, 1e-2), (FIRST, 0.9e-2), (2, 0.5e-3))
    assert state.rejected is not None  # gained too little
    assert 0.9e-2 / WAVES.more > 0.5e-3 > 0.9e-2 / WAVES.more**2
    assert following(strategy, state) == THIRD
    nonlinear = replace(state, affine=False)  # each takes several solves: only the measured residual counts
    assert following(strategy, nonlinear) is Reason.STALLED


def test_waves_are_taken_where_they_gain_much_or_more_than_training_did() -> None:
    strategy = ladder()
    taken = after(strategy, (TRAINED, 1e-2), (FIRST, 0.9e-2 / WAVES.gain))
    assert taken.best is not None
    assert taken.best.stage.index == FIRST
    slow = after(strategy, (TRAINED, 1e-2), (2, 0.5e-2), (SECOND, 0.2e-2))
    assert slow.gain == 2.0
    assert slow.best is not None
    assert slow.best.stage.index == SECOND


def test_waves_that_were_rejected_are_the_result_where_they_are_best() -> None:
    strategy = ladder()
    state = after(strategy, (TRAINED, 1e-2), (FIRST, 0.5e-2))
    assert state.best is not None
    assert state.best.stage.index == TRAINED
    assert state.result() is state.rejected


@pytest.mark.parametrize("grows", [True, False])
def test_a_stage_that_is_worse_is_dropped_but_not_on_the_way_to_a_requested_network(grows: bool) -> None:
    strategy = Ladder((trained_stage(), trained_stage()), TARGET, METHOD, grows)
    state = after(strategy, (0, 1e-3), (1, 1e-2))
    assert state.best is not None
    assert state.best.stage.index == (0 if grows else 1)


def test_a_residual_that_is_no_number_is_never_kept() -> None:
    strategy = ladder()
    state = after(strategy, (TRAINED, 1e-3), (2, math.inf))
    assert state.best is not None
    assert state.best.stage.index == TRAINED


def test_a_stage_with_fewer_nodes_than_the_best_network_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    stages = [replace(trained_stage(), hidden=(nodes,)) for nodes in (4, 3, 5)]
    strategy = Ladder(tuple(stages), TARGET, METHOD)
    with caplog.at_level(logging.INFO):
        assert following(strategy, after(strategy, (0, 1e-3))) == 2
    assert "stage 2 of 3 is skipped: it has fewer nodes" in caplog.text


def test_too_much_time_or_memory_ends_training_but_waves_are_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strategy = ladder()
    state = after(strategy, (TRAINED, 1e-2))
    assert following(strategy, replace(state, seconds_per_solve=1.0)) == 2  # trained networks need less
    slow = replace(state, seconds_per_solve=1.0, seconds_per_step=1.0)
    patient = strategy.next(problem(), slow)  # the time is used for the best network, as a last one
    assert patient == replace(strategy.stages[TRAINED], index=TRAINED, count=TRAINED + 1)
    assert patient.final
    assert following(strategy, replace(slow, stage=patient)) is Reason.TOO_SLOW
    with caplog.at_level(logging.INFO):
        assert following(strategy, state, memory=1.0) is Reason.MEMORY
    assert "does not fit into the memory" in caplog.text


@pytest.mark.parametrize(("reason", "ends"), [(Reason.TOLERANCE, True), (Reason.BUDGET, True), (Reason.INTERRUPTED, True),
                                              (Reason.STALLED, False), (Reason.DIVERGED, False)])  # fmt: skip
def test_some_reasons_end_a_training_and_others_a_stage(reason: Reason, ends: bool) -> None:
    strategy = ladder()
    state = replace(after(strategy, (TRAINED, 1e-2)), ended=reason)
    assert following(strategy, state) == (reason if ends else FIRST)
    assert following(strategy, replace(state, steps=7), steps=7) == reason


def test_the_same_state_gives_the_same_decision() -> None:
    strategy = Restarts(Regridding(Resampling(ladder())), 3)
    state = after(ladder(), (TRAINED, 1e-2))
    assert strategy.next(problem(), state) == strategy.next(problem(), state)


def test_resampling_trains_a_stage_twice_the_second_time_on_other_points() -> None:
    strategy = Resampling(ladder())
    state = after(ladder(), (TRAINED, 1e-2))
    second = strategy.next(problem(), state)
    assert isinstance(second, Stage)
    assert (second.index, second.resample) == (TRAINED, True)
    assert state.best is not None
    done = replace(state, stage=second, best=replace(state.best, stage=second))
    third = strategy.next(problem(), done)
    assert isinstance(third, Stage)
    assert (third.index, third.resample) == (FIRST, False)
    rejected = replace(done, stage=third)  # its network was not kept: there is nothing to train further
    assert following(strategy, rejected) == 2


def test_a_stage_is_trained_again_in_other_coordinates_a_number_of_times() -> None:
    strategy = Regridding(ladder(), repeats=2)
    state = replace(after(ladder(), (TRAINED, 1e-2)), ended=Reason.REGRIDDING)
    assert strategy.next(problem(), state) == state.stage
    assert following(strategy, replace(state, repeats=1)) == TRAINED
    assert following(strategy, replace(state, repeats=2)) == FIRST


def test_another_start_begins_with_nothing_but_the_best_of_those_before() -> None:
    strategy = Restarts(Ladder((trained_stage(),), TARGET, METHOD), 2)
    state = replace(after(ladder(), (TRAINED, 1e-2)), grading=torch.zeros(2, 5), extrapolated=True)
    first = strategy.next(problem(), state)
    assert isinstance(first, Stage)
    assert (first.index, first.start) == (0, 1)
    fresh = state.restarted(1)
    assert (fresh.best, fresh.grading, fresh.extrapolated, fresh.stage) == (None, None, False, None)
    assert fresh.winner is state.best
    assert following(strategy, replace(state, start=1)) is Reason.STALLED
    assert following(strategy, replace(state, ended=Reason.TOLERANCE)) is Reason.TOLERANCE


def test_networks_are_trained_anew_where_waves_stall_before_the_target() -> None:
    steps = ladder()
    strategy = AfterWaves(steps, replace(steps, trained_only=True), TARGET)
    state = after(steps, (TRAINED, 1e-2), (FIRST, 1e-4), (SECOND, 1e-5), (THIRD, 1e-6))
    assert following(steps, state) is Reason.STALLED
    first = strategy.next(problem(), state)
    assert isinstance(first, Stage)
    assert (first.waves, first.start, state.restarted(1).winner) == (False, 1, state.best)
    assert following(strategy, after(steps, (TRAINED, 1e-2), (FIRST, 1e-4))) == 2  # the ladder goes on
    assert following(strategy, replace(state, ended=Reason.BUDGET)) is Reason.BUDGET
    assert following(strategy, replace(state, stage=first, start=1)) == 2  # the next one that is trained
    assert following(strategy, replace(state, stage=replace(first, index=2), start=1)) is Reason.STALLED
    met = after(steps, (TRAINED, 1e-2), (FIRST, 1e-4), (SECOND, 1e-5), (THIRD, 0.9 * TARGET))
    assert following(strategy, met) is Reason.STALLED


def test_a_requested_network_is_what_training_ends_with() -> None:
    steps = Ladder((trained_stage(), trained_stage()), TARGET, METHOD, grows=False)
    last = replace(steps.stages[1], index=1, count=2)
    strategy = RequestedNetwork(steps, last, TARGET)
    state = replace(after(steps, (0, 1e-9)), ended=Reason.TOLERANCE)
    decision = strategy.next(problem(), state)
    assert decision == replace(last, prolong=Reason.TOLERANCE)
    assert isinstance(decision, Stage)
    assert state.best is not None
    for relative, then in ((1e-9, Stop(Reason.TOLERANCE)), (1e-3, last)):  # trained where prolongation spoilt the residual
        best = replace(state.best, stage=decision, residuals=Residuals(0.0, 0.0, 0.0, relative))
        assert strategy.next(problem(), replace(state, stage=decision, best=best)) == then
