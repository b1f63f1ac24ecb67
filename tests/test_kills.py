"""Commands that are killed at random moments: what was there is whole, of one run, and the next start leaves it tidy.

Fifty kills: ``pytest -m "nightly or not nightly" tests/test_kills.py``; three by day.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY, process

from pdekan.runs.directory import SOLUTION
from pdekan.solutions.solution import load_solution

OUT = ("--output", "out")
FIRST = ("solve", "tiny.toml", *OUT, "--tolerance", "0.01")
COMMANDS: dict[str, tuple[str, ...]] = {
    "solve": FIRST,
    "force": (*FIRST, "--force", "--seed", "1"),
    "resume": ("solve", "tiny.toml", *OUT, "--resume", "--tolerance", "1e-5"),
    "export": ("export", "out", "--force", "--grid", "100000"),
    "plot": ("plot", "out", "--format", "svg"),
}
BY_DAY = ("solve", "export", "plot")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a problem and a run of it."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "tiny.toml").write_text(TINY)
    finish(folder, FIRST)
    return folder


def finish(folder: Path, arguments: tuple[str, ...]) -> float:
    """Run a command to its end; the seconds that took."""
    started = time.monotonic()
    with process(folder, arguments) as running:
        running.join()
        assert running.exitcode == 0
    return time.monotonic() - started


def assert_of_one_run(run: Path) -> None:
    """What is there was made of the solution that is there."""
    solution = load_solution(run / SOLUTION)
    assert solution.problem is not None
    newest = (run / SOLUTION).stat().st_mtime_ns
    for path in run.iterdir():
        if path.name.startswith(".pdekan"):
            continue
        assert path.stat().st_mtime_ns >= newest, path
        if path.name == "problem.toml":
            assert path.read_text() == solution.problem.text
        elif path.name == "history.jsonl":
            assert len(path.read_text().splitlines()) == len(solution.history["step"])
        elif path.name == "summary.json":
            summary = json.loads(path.read_text())
            assert [summary[name] for name in ("status", "seed", "seconds")] == [
                solution.status, solution.seed, solution.seconds
            ]  # fmt: skip


@pytest.fixture(scope="module")
def durations(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], float]:
    """The seconds that commands take which are not killed."""

    @functools.cache
    def measured(name: str) -> float:
        return finish(prepared(name, before, tmp_path_factory.mktemp(name)), COMMANDS[name])

    return measured


def prepared(name: str, before: Path, folder: Path) -> Path:
    """The folder, with what a command needs."""
    shutil.copytree(before, folder, dirs_exist_ok=True)
    if name == "solve":
        shutil.rmtree(folder / "out")
    return folder


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *((name, 0) for name in BY_DAY),
        *(pytest.param(name, seed, marks=pytest.mark.nightly) for name in COMMANDS for seed in range(name in BY_DAY, 10)),
    ],
)
def test_killed_at_a_random_moment(
    name: str, seed: int, before: Path, durations: Callable[[str], float], tmp_path: Path
) -> None:
    moment = random.Random(f"{name} {seed}").uniform(0.0, durations(name))
    run = prepared(name, before, tmp_path) / "out"
    with process(tmp_path, COMMANDS[name]) as running:
        time.sleep(moment)
        running.kill()
    again = name
    if name != "solve" or (run / SOLUTION).exists():
        assert_of_one_run(run)
        again = "resume" if name == "solve" else name
    if name in ("export", "plot"):
        assert (run / SOLUTION).read_bytes() == (before / "out" / SOLUTION).read_bytes()
    finish(tmp_path, COMMANDS[again])
    assert_of_one_run(run)
    assert (run / "summary.json").exists()
    assert not list(tmp_path.rglob(".pdekan-*"))
