"""A march over slabs of time that goes on is the one that was not stopped, to the bit: finished slabs are not solved again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from resumed import assert_equal_to_the_bit, written
from test_time_marching import HEAT

import pdekan as pk
from pdekan.problem_files.loader import loads
from pdekan.solutions.solution import Solution
from pdekan.training.continuation import restored
from pdekan.training.setup import Setup
from pdekan.training.slabs.standing import restored as standing_of
from pdekan.training.solver import _from_initial_values


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


GROWING = HEAT[: HEAT.index("[exact]")].replace("laplacian(u)", "laplacian(u) + 2*u**3")
GROWING += "[training]\nslabs = 2\nseconds = 600\ntolerance = 1e-4\n"
TWO = HEAT.replace("slabs = 3", "slabs = 2")
STARTS = TWO.replace("laplacian(u)", "laplacian(u) + u**3").replace("slabs = 2", "slabs = 2\nstarts = 2")


@pytest.mark.parametrize("text", [TWO, GROWING, STARTS], ids=["a requested network", "growing networks", "two starts"])
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
    few, more = (loads(TWO.replace("steps = 12", f"steps = {n}\ntolerance = 1e-11")) for n in (3, 6))
    half = written(pk.solve(few, estimate=False), tmp_path)
    assert half.iterations == 6
    assert_equal_to_the_bit(pk.solve(more, resume=half, estimate=False), pk.solve(more, estimate=False))


# --- initial value problems, whose slabs the solver chooses

OSCILLATOR = """
schema = 1
name = "oscillator"
unknowns = ["u", "v"]
[domain]
type = "box"
s = [0.0, 2.0]
[equation]
operator = ["ds(u) - v", "ds(v) - (1 - u**2)*v + u"]
[[conditions]]
type = "dirichlet"
on = "s-"
unknown = "u"
value = "2"
[[conditions]]
type = "dirichlet"
on = "s-"
unknown = "v"
value = "0"
[training]
seconds = 600
tolerance = 1e-11
"""


def test_slabs_that_follow_the_solution_go_on_to_the_bit(tmp_path: Path) -> None:
    """From checkpoints in all three marches; slabs that were accepted are not fitted again."""
    problem = loads(OSCILLATOR.replace("1e-11", "1e-13"))
    takes, taken = list[pk.Progress](), list[tuple[int, Solution]]()

    def later() -> bool:
        while takes:
            one = takes.pop()
            taken.append((one.stage, one.snapshot()))
        return False

    straight = pk.solve(problem, watch=takes.append, interrupted=later)
    assert {stage for stage, _ in taken} == {1, 2, 3}
    for _, checkpoint in taken[len(taken) // 6 :: len(taken) // 3]:
        steps = list[int]()
        resumed = pk.solve(problem, resume=written(checkpoint, tmp_path), watch=lambda one, to=steps: to.append(one.step))
        assert steps[0] > checkpoint.iterations
        assert_equal_to_the_bit(resumed, straight)
        assert resumed.estimate == straight.estimate
        assert (resumed.status, resumed.reason) == (straight.status, straight.reason)


DECAY = OSCILLATOR.replace("ds(u) - v", "ds(u) + 40*u - 40*cos(3*s)").replace("ds(v) - (1 - u**2)*v + u", "ds(v) - u")


def test_a_linear_problem_whose_slabs_were_interrupted_goes_on_in_them(tmp_path: Path) -> None:
    """What was tried at once, without success, is kept beside them."""
    problem = loads(DECAY)
    shown = list[pk.Progress]()

    def stop(progress: pk.Progress) -> str | None:
        shown.append(progress)
        return "enough" if len(shown) > 3 and "standing" in (progress.snapshot().continuation or {}) else None

    half = _from_initial_values(problem, Setup(callback=stop), None, share=1e-4)
    assert (half.status, "enough" in half.reason) == ("interrupted", True)
    standing = standing_of(written(half, tmp_path), problem)
    assert standing is not None
    assert standing.whole is not None
    steps = list[int]()
    setup = Setup(callback=lambda one: steps.append(one.step))
    resumed = _from_initial_values(problem, setup, written(half, tmp_path), share=1e-4)
    assert (resumed.status, steps[0]) == ("converged", half.iterations + 1)
    assert restored(standing.whole, problem) is not None


def test_where_a_march_stood_is_read_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    problem = loads(OSCILLATOR.replace("1e-11", "1e-4"))
    half = pk.solve(problem, watch=lambda one: "enough")
    assert half.status == "interrupted"
    standing = standing_of(written(half, tmp_path), problem)
    assert standing is not None
    assert len(standing.slabs) == 1
    assert standing_of(half, loads(OSCILLATOR)) is None
    stored = dict(half.continuation or {})
    larger = {"widths": [1, 10**6], "degree": [9], "intervals": [4], "base": "none", "kind": "kan"}
    for broken in (
        {"version": 99}, {"standing": {}}, {"arrays": {}}, {"standing": stored["standing"] | {"slabs": larger}},
        {"standing": stored["standing"] | {"number": "none"}},
    ):  # fmt: skip
        assert standing_of(replace(half, continuation=stored | broken), problem) is None
    assert "begins again" in caplog.text
