"""Estimates of the error against the truth, and problems whose conditions do not determine a solution."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TINY

import pdekan as pk
from pdekan import EXACT, NetworkOptions, Problem, TrainingOptions, dirichlet, dt, dx, initial, laplacian
from pdekan.cli import main
from pdekan.errors.estimate import relative_to_size
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements, Parameter
from pdekan.residuals.validation import Residuals
from pdekan.training.amplification import amplification
from pdekan.training.estimate import AMPLIFIED, COARSER, COMPARISON, Comparison, EstimateRule, compared
from pdekan.training.posedness.uniqueness import missing_conditions
from pdekan.training.schedule import Stage
from pdekan.training.solver import check
from pdekan.training.state import Candidate

LINE = pk.box(x=(0, 1))
SQUARE = pk.box(x=(-1, 1), y=(0, 2))
ROD = pk.box(x=(0, 1), t=(0, 1))

KNOWN = {
    "a nonlinear equation": Problem(
        LINE, lambda u: laplacian(u) - u**3, EXACT, (dirichlet(EXACT),), exact=lambda x: pk.exp(x) * pk.sin(3 * x)
    ),
    "an indefinite one": Problem(
        SQUARE, lambda u: laplacian(u) + 7 * u, EXACT, (dirichlet(EXACT),),
        exact=lambda x, y: pk.sin(2 * x + y) * pk.exp(-x * y / 2),
    ),
    "convection": Problem(
        SQUARE, lambda u: -0.1 * laplacian(u) + dx(u), EXACT, (dirichlet(EXACT),), exact=lambda x, y: pk.cos(x + y * y)
    ),
    "a disk": Problem(
        pk.disk((0.5, 0.0), 2.0), lambda u: laplacian(u) - u, EXACT, (dirichlet(EXACT),),
        exact=lambda x, y: pk.exp(x / 2) * pk.cos(y)
    ),
    "a system": Problem(
        LINE, (lambda u, v: laplacian(u) - v, lambda v: laplacian(v)), EXACT, (dirichlet(EXACT), dirichlet(EXACT, unknown="v")),
        exact={"u": lambda x: pk.sin(2 * x), "v": lambda x: pk.exp(-x)}, unknowns=("u", "v"),
    ),
    "a wave": Problem(
        ROD, lambda u: dt(dt(u)) - laplacian(u), EXACT,
        (dirichlet(EXACT), initial(EXACT), initial(EXACT, lambda u: dt(u))), exact=lambda x, t: pk.sin(2 * x + 2 * t) + t,
    ),
    "exact conditions": Problem(
        SQUARE, lambda u: laplacian(u), EXACT, (dirichlet(EXACT, enforce="exact"),),
        exact=lambda x, y: pk.exp(x) * pk.cos(2 * y)
    ),
}  # fmt: skip


def by_night(name: str) -> object:
    """A name for pytest, where another one shows the same by day."""
    return pytest.param(name, marks=pytest.mark.nightly)


@pytest.mark.parametrize("tolerance", [pytest.param(1e-3, marks=pytest.mark.nightly), 1e-5])
@pytest.mark.parametrize("name", KNOWN)
def test_estimates_are_within_a_factor_of_two_of_the_errors(name: str, tolerance: float) -> None:
    solution = pk.solve(KNOWN[name], training=TrainingOptions(tolerance=tolerance))
    assert solution.estimate is not None
    assert solution.errors is not None
    assert solution.status == "converged"
    for unknown, one in solution.estimate.items():
        true = solution.errors[unknown]
        assert one.method == COMPARISON
        if true.l2_relative < 1e-11:  # both are round-off
            assert one.l2_relative < 1e-10
            continue
        assert 0.5 < one.l2_relative / true.l2_relative < 2.0
        assert 0.5 < one.h1_seminorm_relative / true.h1_seminorm_relative < 2.0
        assert one.l2 == pytest.approx(one.l2_relative * true.l2 / true.l2_relative, rel=0.01)
        assert true.l2_relative <= 2.0 * tolerance  # which the tolerance is for


def test_where_no_richer_space_is_better_a_coarser_network_tells_the_error() -> None:
    """sin πx in five dimensions: nodes that are added to a trained network do not lower the residual."""
    problem = pk.load_problem("poisson_5d")
    solution = pk.solve(problem)
    assert solution.estimate is not None
    assert solution.errors is not None
    one, true = solution.estimate["u"], solution.errors["u"]
    assert one.method in (COMPARISON, COARSER)
    assert 0.5 < one.l2_relative / true.l2_relative < 10.0


def test_a_network_that_was_begun_from_the_solution_does_not_tell_its_error() -> None:
    """It is nearer to the solution than a better one in a richer space, which is not so much better that it is believed."""
    problem, rule = KNOWN["a disk"], EstimateRule(waves=(13,), added=(), seconds=0.0, share=0.0)
    fine = pk.solve(
        problem,
        network=NetworkOptions(hidden=(8,), degree=(3, 9)),
        training=TrainingOptions(refine=(4,), steps=30),
        estimate=False,
    )
    relative, begun = 0.5 * fine.relative_residual, copy.deepcopy(fine.network)
    with torch.no_grad():
        for values in begun.parameters():
            values += 1e-13
    earlier = Candidate(begun, Stage("kan", ()), Residuals(relative=4.0 * relative))
    found = compared(problem, fine.network, relative, 0.0, rule, earlier)
    assert isinstance(found, Comparison)
    assert not found.reliable
    assert found.residual < relative
    assert fine.errors is not None
    assert found.worst > 0.5 * fine.errors["u"].l2_relative


@pytest.mark.parametrize("name", [by_night("an indefinite one"), by_night("convection"), "a disk"])
def test_a_coarser_network_tells_the_error_better_than_the_amplified_residual(name: str) -> None:
    """No time is left for a space that is richer."""
    problem, poor = KNOWN[name], EstimateRule(waves=(8,), added=(), seconds=0.0, share=0.0)
    steps = TrainingOptions(refine=(4,), steps=30)
    coarse = pk.solve(problem, network=NetworkOptions(hidden=(4,), degree=3), training=steps, estimate=False)
    fine = pk.solve(problem, network=NetworkOptions(hidden=(8,), degree=(3, 9)), training=steps, estimate=False)
    assert fine.errors is not None
    earlier = Candidate(coarse.network, Stage("kan", ()), Residuals(relative=coarse.relative_residual))
    by_coarser = compared(problem, fine.network, fine.relative_residual, 0.0, poor, earlier)
    amplified = compared(problem, fine.network, fine.relative_residual, 0.0, poor)
    assert isinstance(by_coarser, Comparison)
    assert isinstance(amplified, Comparison)
    assert by_coarser.estimates["u"].method == COARSER
    assert amplified.estimates["u"].method == AMPLIFIED
    assert 0.3 < by_coarser.worst / fine.errors["u"].l2_relative < 10.0
    assert by_coarser.worst < amplified.worst


@pytest.mark.nightly  # by day: on a disk, above, and in five dimensions
def test_in_three_dimensions_a_coarser_network_tells_the_error_where_a_richer_space_would_take_too_long() -> None:
    problem, steps = pk.load_problem("poisson_3d"), TrainingOptions(refine=(4,), steps=6)
    coarse, fine = (
        pk.solve(problem, network=NetworkOptions(hidden=(n,), degree=(3, 5)), training=steps, estimate=False) for n in (6, 12)
    )
    earlier = Candidate(coarse.network, Stage("kan", (6,), (3, 5), (4, 4)), Residuals(relative=coarse.relative_residual))
    by_coarser = compared(problem, fine.network, fine.relative_residual, 0.0, EstimateRule(seconds=0.0, share=0.0), earlier)
    by_richer = compared(problem, fine.network, fine.relative_residual, 0.0)
    assert isinstance(by_coarser, Comparison)
    assert isinstance(by_richer, Comparison)
    assert fine.errors is not None
    assert by_coarser.estimates["u"].method == COARSER
    assert by_coarser.richer is None
    assert 0.5 < by_coarser.worst / fine.errors["u"].l2_relative < 5.0
    assert 0.3 < by_coarser.amplification / by_richer.amplification < 3.0


def test_an_error_of_zero_is_zero_relative_to_a_solution_that_vanishes() -> None:
    assert relative_to_size(0.0, 0.0) == 0.0
    assert math.isnan(relative_to_size(1e-300, 0.0))
    assert relative_to_size(3.0, 2.0) == 1.5


def test_a_residual_like_that_of_no_function_says_nothing_about_the_error() -> None:
    """Neither by a richer space that is as poor, nor by a coarser network."""
    problem, poor = KNOWN["an indefinite one"], EstimateRule(waves=(2,), added=(), seconds=0.0, share=0.0)
    untrained = pk.solve(
        problem, network=NetworkOptions(hidden=(1,), degree=1), training=TrainingOptions(steps=1), estimate=False
    )
    earlier = Candidate(untrained.network, Stage("kan", ()), Residuals(relative=2.0))
    assert untrained.relative_residual > 0.5
    found = compared(problem, untrained.network, untrained.relative_residual, 0.0, poor, earlier)
    assert isinstance(found, str)
    assert "no function" in found


def unstable() -> Problem:
    """u' = u - 2 exp(-x) from 1: a perturbation grows as exp(x)."""
    return Problem(
        pk.box(x=(0, 18)),
        lambda u: dx(u) - u,
        lambda x: -2 * pk.exp(-x),
        (dirichlet(1.0, on="x-"),),
        exact=lambda x: pk.exp(-x),
    )


def test_an_unstable_equation_is_not_called_converged_by_its_residual() -> None:
    problem = unstable()
    solution = pk.solve(problem, training=TrainingOptions(steps=1, tolerance=1e-6))
    assert solution.errors is not None
    assert solution.estimate is not None
    assert solution.status == "unreliable"
    assert "amplified" in solution.reason
    assert solution.estimate["u"].l2_relative > 0.5 * solution.errors["u"].l2_relative
    size = amplification(problem)
    assert size is not None
    assert size > 1e-3 * math.exp(18)
    stable = replace(problem, equation=lambda u: dx(u) + u, source=0.0)
    well = amplification(stable)
    assert well is not None
    assert well < 100.0


UNDETERMINED = {
    "a wave without its velocity": (
        Problem(
            ROD, lambda u: dt(dt(u)) - laplacian(u), 0.0, (dirichlet(0.0, ("x-", "x+")), initial(lambda x: pk.sin(pk.pi * x)))
        ),
        r'operator = "dt\(u\)" is missing on t-',
    ),
    "heat without a start": (
        Problem(ROD, lambda u: dt(u) - laplacian(u), 1.0, (dirichlet(0.0, ("x-", "x+")),)),
        "initial value of u is missing on t-",
    ),
    "an open side": (
        Problem(SQUARE, lambda u: laplacian(u), 1.0, (dirichlet(0.0, ("x-", "x+", "y-")),)), "nothing is stated for u on y+",
    ),
    "one end of a line": (
        Problem(LINE, lambda u: laplacian(u), 1.0, (dirichlet(0.0, "x-"),)), r"nothing is stated for u on x\+",
    ),
    "no inflow": (
        Problem(SQUARE, lambda u: dx(u) + u, 1.0, (dirichlet(0.0, ("y-", "y+")),)), "nothing is stated for u on x-",
    ),
    "an unknown that no equation has": (
        Problem(LINE, (lambda u: laplacian(u),), 1.0, (dirichlet(0.0), dirichlet(0.0, unknown="v")), unknowns=("u", "v")),
        "no equation depends on v",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDETERMINED)
def test_missing_conditions_are_named_before_training(name: str) -> None:
    problem, message = UNDETERMINED[name]
    for refusing in (pk.solve, check):
        with pytest.raises(ProblemError, match=message):
            refusing(problem)


def test_an_outflow_needs_no_condition() -> None:
    problem = Problem(SQUARE, lambda u: dx(u) + u, 0.0, (dirichlet(1.0, "x-"),), exact=lambda x, y: pk.exp(-1 - x))
    assert [str(one) for one in missing_conditions(problem)] == ["nothing is stated for u on x+, y-, y+"]
    assert pk.solve(problem).status == "converged"


def test_growth_towards_an_outflow_is_no_missing_condition() -> None:
    problem = Problem(SQUARE, lambda u: dx(u) - 9 * u, 0.0, (dirichlet(1.0, "x-"),), exact=lambda x, y: pk.exp(9 * (x + 1)))
    size = amplification(problem)
    assert size is not None
    assert size > 1e6
    check(problem)  # which does not refuse it


def test_an_eigenfunction_may_be_added() -> None:
    problem = Problem(LINE, lambda u: laplacian(u) + pk.pi**2 * u, 0.0, (dirichlet(0.0),))
    solution = pk.solve(replace(problem, source=lambda x: pk.sin(2 * pk.pi * x)), training=TrainingOptions(seconds=2.0))
    assert solution.status == "unreliable"
    assert "badly or not at all" in solution.reason


def test_heat_from_its_end_is_not_believed() -> None:
    end = dirichlet(lambda x: math.exp(-0.1 * pk.pi**2) * pk.sin(pk.pi * x), "t+")
    problem = Problem(ROD, lambda u: dt(u) - 0.1 * laplacian(u), 0.0, (dirichlet(0.0, ("x-", "x+")), end))
    try:
        solution = pk.solve(problem, training=TrainingOptions(seconds=5.0))
    except ProblemError as error:
        assert "initial value" in str(error)  # noqa: PT017 - both ends are right
    else:
        assert solution.status != "converged" or solution([[0.5, 0.0]])[0] == pytest.approx(1.0, abs=1e-3)


SLABS = {
    "diffusion": Problem(
        ROD, lambda u: dt(u) - 0.1 * laplacian(u), EXACT, (dirichlet(EXACT), initial(EXACT)),
        exact=lambda x, t: pk.exp(-t) * pk.sin(2 * x + t),
    ),
    "growth": Problem(
        ROD, lambda u: dt(u) - laplacian(u) - 14 * u, EXACT, (dirichlet(EXACT), initial(EXACT)),
        exact=lambda x, t: pk.cos(3 * x + 2 * t),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [by_night("diffusion"), "growth"])
def test_the_errors_of_slabs_are_those_of_all_before(name: str) -> None:
    """In the second problem errors grow as exp(4 t) from slab to slab."""
    solution = pk.solve(SLABS[name], training=TrainingOptions(tolerance=1e-4, slabs=4))
    assert solution.estimate is not None
    assert solution.errors is not None
    one, true = solution.estimate["u"], solution.errors["u"]
    assert solution.status == "converged"
    assert one.method == COMPARISON
    assert 0.5 < one.l2_relative / true.l2_relative < 2.0
    assert 0.5 < one.h1_seminorm_relative / true.h1_seminorm_relative < 2.0
    assert one.l2 == pytest.approx(one.l2_relative * true.l2 / true.l2_relative, rel=0.01)


def test_it_can_be_left_out_and_says_why_there_is_none() -> None:
    without = pk.solve(KNOWN["convection"], estimate=False, training=TrainingOptions(steps=3))
    assert (without.estimate, without.estimate_reason) == (None, "not asked for")
    x = np.linspace(0.0, 1.0, 20)
    regression = Problem(LINE, data=(Measurements(x[:, None], {"u": np.sin(x)}),))
    found = pk.solve(regression, training=TrainingOptions(steps=3))
    assert found.estimate is None
    assert "held back" in str(found.estimate_reason)


def test_parameters_have_estimates_apart_from_standard_errors() -> None:
    """-u'' = λ u with a mean of u² and -k u'' = 1 with exact data: λ = π², k = 3."""
    line = replace(pk.load_problem("harmonic_oscillator"), name="oscillator")
    energy = pk.solve(line, training=TrainingOptions(tolerance=1e-3)).found["energy"]
    assert energy.discretisation_error is not None
    assert energy.standard_error is None
    assert abs(energy.value - 0.5) < 3.0 * energy.discretisation_error + 1e-11
    assert energy.discretisation_error < 1e-3
    x = np.linspace(0.1, 0.9, 9)
    layer = Problem(
        LINE, lambda u, k: -k * laplacian(u) + pk.exp(u), 1.0, (dirichlet(0.0),), parameters={"k": Parameter(1.0)},
        data=(Measurements(x[:, None], {"u": np.sin(pk.pi * x)}, noise=0.1),),
    )  # fmt: skip
    found = pk.solve(layer, training=TrainingOptions(tolerance=1e-3))
    if found.estimate is None:
        assert "noise of the data" in str(found.estimate_reason)
    else:
        assert found.found["k"].discretisation_error is not None


def test_users_get_it_from_the_command_line_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    assert main(["solve", "tiny.toml", "--json", "--no-figures", "--output", "run"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["estimate_reason"] is None
    assert set(answer["estimate"]["u"]) == {"l2", "l2_relative", "h1_seminorm", "h1_seminorm_relative", "method"}
    loaded = pk.load_solution(tmp_path / "run" / "solution.vtkhdf")
    assert loaded.estimate is not None
    assert loaded.estimate["u"].l2 == answer["estimate"]["u"]["l2"]
    assert main(["solve", "tiny.toml", "--json", "--no-figures", "--no-estimate", "--output", "other"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] is None
    assert main(["solve", "tiny.toml", "--no-figures", "--output", "third"]) == 0
    assert "estimated error" in capsys.readouterr().out
