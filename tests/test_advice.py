"""After a training that did not converge: what to type next, and why."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from commands import command

import pdekan as pk
from pdekan.cli import argument_parser
from pdekan.commands.solve import next_lines
from pdekan.errors.estimate import Estimate
from pdekan.training.advice import advice
from pdekan.training.estimate import COARSER, COMPARISON
from pdekan.training.reasons import Reason


def ended(problem: pk.Problem, status: str, reason: Reason = Reason.BUDGET, steps: int = 2) -> pk.Solution:
    """A solution after a few steps, as if it had ended so."""
    solution = pk.solve(problem, training=replace(problem.training, steps=steps), estimate=False)
    return replace(solution, problem=problem, status=status, reason=reason.sentence)


def options(solution: pk.Solution) -> list[str]:
    return [one.options for one in advice(solution)]


def poisson(domain: pk.Domain, training: pk.TrainingOptions | None = None) -> pk.Problem:
    return pk.Problem(
        domain, lambda u: -pk.laplacian(u), 1.0, [pk.dirichlet(0.0)], training=training or pk.TrainingOptions(seconds=5)
    )


SQUARE = pk.box(x=(0, 1), y=(0, 1))
CORNER = pk.polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])


def test_what_has_converged_or_is_undetermined_needs_none() -> None:
    solution = ended(poisson(SQUARE), "converged")
    assert advice(solution) == advice(replace(solution, status="unreliable")) == ()
    assert options(replace(solution, status="interrupted")) == ["--resume"]


def test_time_steps_memory_or_another_start() -> None:
    timed = ended(poisson(SQUARE), "budget")
    assert "--resume --set training.seconds=50" in options(timed)
    limited = poisson(SQUARE, pk.TrainingOptions(steps=7))
    assert "--resume --set training.steps=70" in options(ended(limited, "budget", Reason.STEPS))
    assert "--resume --memory 20000" in options(replace(timed, reason=Reason.MEMORY.sentence))
    assert "--seed 1" in options(replace(timed, status="stalled", reason=Reason.STALLED.sentence))


def test_a_corner_without_its_functions() -> None:
    solution = ended(poisson(CORNER), "budget")
    assert not any("cells" in one for one in options(solution))  # its network has them
    plain = pk.KAN([2, 4, 1], 3, 4, lower=CORNER.lower, upper=CORNER.upper)
    (first, *_) = advice(replace(solution, network=plain))
    assert first.options == "--set network.cells=adaptive"
    assert "(1, 1)" in first.reason


def test_a_front() -> None:
    """tanh 40(x - 0.4), which a few steps find steep."""
    problem = pk.Problem(
        pk.box(x=(0, 1), t=(0, 1)), lambda u: pk.dt(u) - pk.dx(pk.dx(u)), pk.EXACT,
        [pk.initial(pk.EXACT), pk.dirichlet(pk.EXACT)], exact=lambda x, t: pk.tanh(40 * (x - 0.4 - 0.1 * t)),
    )  # fmt: skip
    network = pk.NetworkOptions(hidden=(2,), degree=(1, 5), intervals=(1, 40))
    found = options(ended(replace(problem, network=network), "budget", steps=8))
    assert found[0] == "--set training.adapt=true"
    assert "training.slabs=10" in found[1]


def test_a_tolerance_that_is_met_already() -> None:
    solution = ended(poisson(SQUARE), "stalled", Reason.STALLED)
    near = replace(solution, relative_residual=4e-4, tolerance=1e-4)
    assert "--tolerance 0.0008" in options(near)
    assert not any("--tolerance" in one for one in options(replace(near, relative_residual=0.5)))
    small = Estimate(1e-5, 1e-5, 1e-4, 1e-4, COMPARISON)
    assert "--tolerance 2e-05" in options(replace(near, estimate={"u": small}))
    coarser = replace(near, estimate={"u": replace(small, method=COARSER)})  # which is believed beside a small residual only
    assert "--tolerance 0.0008" in options(coarser)


def test_the_command_line_prints_commands_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = ("--tolerance", "1e-9", "--set", "training.steps=2")
    assert command("solve", "poisson_sine", *limits, "--no-estimate", "--no-figures", "--output", "out", "--force") == 3
    out = capsys.readouterr().out
    typed = re.findall(r"^    (pdekan .*)$", out, re.MULTILINE)
    assert re.search(r"^next: ", out, re.MULTILINE)
    assert typed
    for line in typed:
        asked = argument_parser().parse_args(shlex.split(line)[1:])
        assert asked.file == "poisson_sine"
        assert not (asked.resume and asked.force)


def test_an_interrupted_run_is_gone_on_with() -> None:
    solution = replace(ended(poisson(SQUARE), "interrupted"), reason="interrupted")
    assert list(next_lines(solution, "pdekan solve plate.toml --force")) == [
        "next: goes on where it was interrupted", "    pdekan solve plate.toml --resume",
    ]  # fmt: skip
