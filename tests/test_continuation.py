"""A resumed training is the one that was not stopped, to the bit; checkpoints are whole, or refused for the one before.

On one thread, with limits by steps; see docs/runs.md.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import pytest
import torch
from commands import command, started
from resumed import assert_equal_to_the_bit, written

from pdekan.output.samples import OutputError
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.problem import Problem
from pdekan.runs.directory import PREVIOUS, SOLUTION
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training.continuation import is_same, plain, restored
from pdekan.training.graded_coordinates import looked_at
from pdekan.training.progress import Progress
from pdekan.training.solver import solve

FAR = "training.tolerance=1e-11"
STRAIGHT = {
    "stages, plane waves and a search": ("poisson_sine", 6, [FAR]),
    "nonlinear, two starts": ("nonlinear_cubic", 4, [FAR, "training.starts=2"]),
    "two stages, twice the points": ("poisson_sine", 4, ["training.resample=true"]),
    "graded coordinates": ("boundary_layer", 2, ["training.adapt=true"]),
    "a requested network": ("damped_oscillator", 4, ["network.hidden=[2]", "network.degree=3", "network.intervals=2"]),
    "parameters and data": ("diffusivity", 3, []),
    "matrix-free": ("damped_oscillator", 2, [FAR, "training.optimizer=matrix-free"]),
    "ssbroyden": ("damped_oscillator", 20, [FAR, "training.optimizer=ssbroyden"]),
    "lbfgs": ("damped_oscillator", 20, [FAR, "training.optimizer=lbfgs"]),
}


def problem(name: str, steps: int, options: list[str]) -> Problem:
    return load_problem(name, [*options, f"training.steps={steps}", "training.seconds=600"])


@functools.cache
def straight(name: str, steps: int, *options: str) -> Solution:
    """That of a training that was not stopped."""
    return solve(problem(name, steps, list(options)), estimate=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.nightly] if name == "graded coordinates" else [])
        for name, case in STRAIGHT.items()
    ],
)
def test_n_steps_and_n_more_are_2n_steps(name: str, steps: int, options: list[str], tmp_path: Path) -> None:
    half = written(solve(problem(name, steps, options), estimate=False), tmp_path)
    assert half.iterations <= steps
    resumed = solve(problem(name, 2 * steps, options), resume=half, estimate=False)
    assert_equal_to_the_bit(resumed, straight(name, 2 * steps, *options))


def test_the_same_seed_gives_the_same_bits() -> None:
    name, steps, options = STRAIGHT["nonlinear, two starts"]
    again = solve(problem(name, 2 * steps, options), estimate=False)
    assert_equal_to_the_bit(again, straight(name, 2 * steps, *options))


@pytest.mark.parametrize("name", ["poisson_sine", "thermostat"])
@pytest.mark.parametrize("asked", [2, 9, 23])
def test_what_a_signal_interrupts_goes_on_as_if_it_had_not(name: str, asked: int, tmp_path: Path) -> None:
    given = problem(name, 7, [FAR])
    calls: list[None] = []

    def interrupted() -> bool:
        calls.append(None)
        return len(calls) >= asked  # as a signal, which stays

    stopped = solve(given, interrupted=interrupted, watch=lambda progress: None)
    assert stopped.status == "interrupted"
    resumed = solve(given, resume=written(stopped, tmp_path), estimate=False)
    assert_equal_to_the_bit(resumed, straight(name, 7, FAR))


def test_a_snapshot_taken_in_the_middle_of_a_later_step_goes_on(tmp_path: Path) -> None:
    """As checkpoints are; also one that is taken before the rules are asked whether the stage ends."""
    given = problem("damped_oscillator", 8, [FAR])
    snapshots: list[Solution] = []
    takes: list[Callable[[], Solution]] = []

    def later() -> bool:
        while takes:
            snapshots.append(takes.pop()())
        return False

    whole = solve(given, interrupted=later, watch=lambda progress: takes.append(progress.snapshot), estimate=False)
    assert len(snapshots) > 4
    for snapshot in snapshots[::3]:
        assert_equal_to_the_bit(solve(given, resume=written(snapshot, tmp_path), estimate=False), whole)


NARROW = """
schema = 1
name = "narrow"
[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]
[equation]
operator = "-laplacian(u)"
source = "exp(-((x - 0.37)/1e-3)**2)/1e-3"
[[conditions]]
type = "dirichlet"
[training]
steps = 6
"""


def test_coordinates_that_the_solver_grades_make_no_other_problem() -> None:
    """The file of the run does not state them."""
    looked = looked_at(loads(NARROW))
    assert looked.training.adapt
    assert looked.narrow
    assert is_same(loads(NARROW), looked)
    assert is_same(replace(looked, text=None), replace(looked_at(looked), text=None))
    assert not is_same(looked, looked_at(loads(NARROW + "adapt = true\n")))


def test_a_snapshot_taken_in_the_first_step_of_the_next_stage_is_of_the_stage_before(tmp_path: Path) -> None:
    """As are checkpoints that are written there."""
    given = problem("damped_oscillator", 20, [FAR])
    shown: list[Progress] = []
    taken: list[tuple[int, Solution]] = []

    def later() -> bool:
        while shown:
            one = shown.pop()
            taken.append((one.stage, one.snapshot()))
        return False

    whole = solve(given, watch=shown.append, interrupted=later, estimate=False)
    last = dict(taken)
    assert len(last) == 3
    for stage, snapshot in last.items():
        assert (snapshot.continuation or {})["tree"]["stage"]["index"] + 1 == stage
        assert_equal_to_the_bit(solve(given, resume=written(snapshot, tmp_path), estimate=False), whole)


def test_a_position_of_another_network_is_not_gone_on_from(tmp_path: Path) -> None:
    given = problem("damped_oscillator", 3, [FAR])
    half = solve(given, estimate=False)
    continuation = restored(half, given)
    assert continuation is not None
    assert continuation.position is not None
    position = continuation.position
    other = replace(position, step=replace(position.step, theta=position.step.theta[:-5]))
    wrong = replace(half, continuation=plain(replace(continuation, position=other)))
    assert solve(given, resume=written(wrong, tmp_path), estimate=False).iterations == 3


def test_another_problem_goes_on_from_the_network_alone(tmp_path: Path) -> None:
    given = problem("damped_oscillator", 2, [FAR])
    half = written(solve(given, estimate=False), tmp_path)
    assert restored(half, given) is not None
    assert is_same(given, problem("damped_oscillator", 50, [FAR, "training.memory=500"]))
    for changed in (
        ["training.tolerance=1e-3"],
        [FAR, "training.seed=1"],
        [FAR, "network.hidden=[4]"],
        [FAR, "equation.source=0"],
    ):
        assert restored(half, problem("damped_oscillator", 4, changed)) is None
    stored = dict(half.continuation or {})
    for broken in ({"version": 99}, {"tree": {}}, {"tree": {"class": "Path"}}, {"arrays": {}}):
        object.__setattr__(half, "continuation", stored | broken)
        assert restored(half, given) is None


# --- damaged checkpoints

KILLED = """
import functools, os, signal
from pdekan.runs import directory
from pdekan.training.progress import Progress

class Killed(directory.Checkpoints):
    def __call__(self, progress):
        super().__call__(progress)
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

directory.Checkpoints = functools.partial(Killed, seconds=0.0)
"""
RUN = ("solve", "damped_oscillator", "--set", FAR, "--set", "training.steps=8", "--no-estimate", "--no-figures", "--output")


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that was killed after its fifth step, with a checkpoint of each step."""
    folder = tmp_path_factory.mktemp("killed") / "out"
    with started(*RUN, str(folder), before=KILLED) as process:
        process.communicate()
    assert sorted(path.name for path in folder.iterdir()) == [PREVIOUS, SOLUTION]
    return folder


@pytest.fixture
def killed(killed_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the output of a run in this directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(killed_run, tmp_path / "out")


def stated_larger(tree: Any) -> Any:
    """A continuation's tree whose networks are stated to have a million nodes in each of two layers."""
    if isinstance(tree, list):
        return [stated_larger(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    if "network" in tree and "parameters" in tree:
        return tree | {"network": tree["network"] | {"widths": [2, 10**6, 10**6, 1], "degree": 3, "intervals": 1}}
    return {name: stated_larger(one) for name, one in tree.items()}


def test_a_network_that_is_stated_larger_than_it_is_stored_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    given = problem("damped_oscillator", 12, [FAR])
    solution = solve(given, estimate=False)
    assert solution.continuation is not None
    assert restored(solution, given) is not None
    larger = solution.continuation | {"tree": stated_larger(solution.continuation["tree"])}
    assert restored(replace(solution, continuation=larger), given) is None
    assert "numbers, and" in caplog.text


def damage(file: Path) -> None:
    """Change one number of the network."""
    with h5py.File(file, "r+") as inside:
        name = next(iter(inside["pdekan/parameters"]))
        inside["pdekan/parameters"][name][...] += 1e-9


@pytest.mark.parametrize("how", ["whole", "one number", "truncated"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_is_used(
    how: str, killed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = killed / SOLUTION
    if how == "one number":
        damage(file)
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:20_000])
    if how != "whole":
        with pytest.raises(OutputError, match="damaged"):
            load_solution(file)
    assert command(*RUN, "out", "--resume") == 3
    assert ("goes on from the checkpoint before it" in caplog.text) == (how != "whole")
    assert not (killed / PREVIOUS).exists()
    resumed = load_solution(file)
    assert command(*RUN, "out", "--force") == 3
    assert_equal_to_the_bit(resumed, load_solution(file))


def test_a_damaged_run_without_another_checkpoint_is_refused(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (killed / PREVIOUS).unlink()
    damage(killed / SOLUTION)
    assert command(*RUN, "out", "--resume") == 2
    assert "solution.vtkhdf: the file is damaged" in capsys.readouterr().err
