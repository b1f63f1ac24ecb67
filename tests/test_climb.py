"""The way up the ladder, without any training: which stages are left out, and what is kept."""

from __future__ import annotations

import math

import pytest

from pdekan.networks.kan import KAN
from pdekan.residuals.validation import Residuals
from pdekan.training.schedule import Stage
from pdekan.training.stage_selection import GAIN, MORE, NEAR, Climb, Judged

TARGET = 1e-7
TRAINED, FIRST, SECOND, THIRD = 0, 1, 3, 4  # places of a trained network and of plane waves


def climb(outputs: int = 1) -> Climb:
    trained = Stage("kan", (4,), (9, 9), (1, 8), "none", None, outputs)
    waves = Stage("kan", (16,), (1, 9), (1, 12), "none", None, outputs, waves=True)
    return Climb((trained, waves, trained, waves, waves), TARGET, grows=True)


def judged(stage: int, relative: float) -> Judged:
    return Judged(KAN([2, 2, 1], 3, 2), stage, Residuals(relative, relative, 0.0, relative))


@pytest.mark.parametrize(("outputs", "near"), [(1, True), (2, False)])
def test_near_the_target_training_comes_first_where_it_is_cheap(outputs: int, near: bool) -> None:
    climbing = climb(outputs)
    climbing.keep(judged(TRAINED, 0.9 * NEAR * TARGET))
    assert climbing.is_hopeless(FIRST, True) == near
    assert not climbing.is_hopeless(SECOND, True)
    farther = climb(outputs)
    farther.keep(judged(TRAINED, 1.1 * NEAR * TARGET))
    assert not farther.is_hopeless(FIRST, True)


def test_later_waves_are_tried_where_more_of_them_would_do_better() -> None:
    climbing = climb()
    climbing.keep(judged(TRAINED, 1e-2))
    assert not climbing.is_hopeless(FIRST, True)
    assert not climbing.keep(judged(FIRST, 0.9e-2))  # gains too little to be gone on with
    climbing.keep(judged(2, 0.5e-3))
    assert 0.9e-2 / MORE > 0.5e-3 > 0.9e-2 / MORE**2
    assert climbing.is_hopeless(SECOND, True)
    assert not climbing.is_hopeless(THIRD, True)
    assert climbing.is_hopeless(THIRD, False)  # where each takes several solves, only what is known counts
    assert not climbing.is_hopeless(TRAINED, True)  # of plane waves only


def test_waves_are_gone_on_with_where_they_gain_much_or_more_than_training_did() -> None:
    climbing = climb()
    climbing.keep(judged(TRAINED, 1e-2))
    assert climbing.keep(judged(FIRST, 0.9e-2 / GAIN))
    climbing = climb()
    climbing.keep(judged(TRAINED, 1e-2))
    climbing.keep(judged(2, 0.5e-2))
    assert climbing.gain == 2.0
    assert climbing.keep(judged(SECOND, 0.2e-2))


def test_waves_that_were_set_aside_are_the_best_in_the_end_where_they_are() -> None:
    climbing = climb()
    first, waves = judged(TRAINED, 1e-2), judged(FIRST, 0.5e-2)
    climbing.keep(first)
    climbing.keep(waves)
    assert climbing.best is first
    climbing.end()
    assert climbing.best is waves


def test_a_stage_that_is_worse_is_forgotten_on_a_ladder_but_not_on_the_way_to_one_network() -> None:
    for grows in (True, False):
        climbing = Climb((None, None), TARGET, grows)
        climbing.keep(judged(0, 1e-3))
        assert climbing.keep(judged(1, 1e-2)) is not grows


def test_a_residual_that_is_no_number_is_never_kept() -> None:
    climbing = climb()
    first = judged(TRAINED, 1e-3)
    climbing.keep(first)
    assert not climbing.keep(judged(2, math.inf))
    assert climbing.best is first
