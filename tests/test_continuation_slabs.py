"""A march over slabs of time that goes on is the one that was not stopped, to the bit: finished slabs are not solved again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from resumed import assert_equal_to_the_bit, written
from test_time_marching import HEAT

import pdekan as pk
from pdekan.problem_files.loader import loads
from pdekan.solutions.solution import Solution


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


GROWING = HEAT[: HEAT.index("[exact]")].replace("laplacian(u)", "laplacian(u) + 2*u**3")
GROWING += "[training]\nslabs = 2\nseconds = 600\ntolerance = 1e-4\n"
STARTS = HEAT.replace("refine = [4]", "starts = 2").replace("slabs = 3", "slabs = 2").replace("hidden = [4]", "hidden = [2]")


@pytest.mark.parametrize("text", [HEAT, GROWING, STARTS], ids=["a requested network", "growing networks", "two starts"])
def test_an_interrupted_march_is_the_one_that_was_not_to_the_bit(text: str, tmp_path: Path) -> None:
    """From any checkpoint, taken in the middle of a later step; what was finished is not trained again."""
    problem, taken, takes = loads(text), list[Solution](), list[pk.Progress]()

    def later() -> bool:
        while takes:
            taken.append(takes.pop().snapshot())
        return False

    straight = pk.solve(problem, watch=takes.append, interrupted=later, estimate=False)
    assert len(taken) > 9
    for checkpoint in taken[len(taken) // 5 :: len(taken) // 2]:
        steps = list[int]()
        again = written(checkpoint, tmp_path)
        resumed = pk.solve(problem, resume=again, watch=lambda one, to=steps: to.append(one.step), estimate=False)
        assert steps[0] == checkpoint.iterations + 1
        assert len(steps) == straight.iterations - checkpoint.iterations
        assert_equal_to_the_bit(resumed, straight)
        assert (resumed.status, resumed.reason) == (straight.status, straight.reason)


def test_n_steps_and_n_more_are_2n_steps_of_every_slab(tmp_path: Path) -> None:
    few, more = (loads(HEAT.replace("steps = 12", f"steps = {n}\ntolerance = 1e-11")) for n in (3, 6))
    half = written(pk.solve(few, estimate=False), tmp_path)
    assert half.iterations == 9
    assert_equal_to_the_bit(pk.solve(more, resume=half, estimate=False), pk.solve(more, estimate=False))
