"""Where training starts: at what conditions say, and at the eigenfunction that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import pdekan as pk
from pdekan.problem_files.loader import load_problem
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import terms
from pdekan.training.eigenvalues import asked_for
from pdekan.training.points import validation_points
from pdekan.training.schedule import stages
from pdekan.training.starts import warm_start
from pdekan.training.starts.first_guess import first_guess
from pdekan.training.state import State

SQUARE = pk.box(x=(0, 1), y=(0, 2))
# Nonlinear terms that are not finite, or have no finite slope, at u = 0 or below.
TERMS: dict[str, Callable[[pk.Jet], pk.Jet]] = {
    "power": lambda u: u**1.7,
    "root": lambda u: u**0.5,
    "logarithm": lambda u: pk.log(u),
    "reciprocal": lambda u: -0.1 / u,
    "Arrhenius": lambda u: 5.0 * pk.exp(-1.0 / u),
}


def manufactured(term: Callable[[pk.Jet], pk.Jet], scale: float = 1.0) -> Problem:
    """-Δu + g(u) = f with an increasing g, and a solution between 0.1 and 1 times the scale."""

    def operator(u: pk.Jet) -> pk.Jet:
        return -pk.laplacian(u) + scale * term(u / scale)

    return Problem(
        SQUARE, operator, pk.EXACT, (pk.dirichlet(pk.EXACT),),
        exact=lambda x, y: scale * (0.55 + 0.45 * pk.sin(3.0 * x) * pk.cos(2.0 * y)),
        training=pk.TrainingOptions(seconds=60.0, tolerance=1e-4),
    )  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_terms_that_are_not_finite_at_zero_are_solved(name: str) -> None:
    solution = pk.solve(manufactured(TERMS[name]), estimate=False)
    assert solution.status == "converged"
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4


def guess_of(problem: Problem, stage: int = 1) -> tuple[pk.Network, pk.Network]:
    """The random network of a stage, and the first guess in its place."""
    sizes = stages(problem)[stage]
    network = warm_start.first_network(problem, sizes, State(budget=1.0), None, torch.device("cpu"))
    sampling = warm_start.sampling(problem, sizes, network)
    unseen = terms(problem, validation_points(sampling))
    return network, first_guess(problem, network, terms(problem, sampling), unseen, sampling)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
def test_the_guess_lies_between_what_conditions_say(scale: float) -> None:
    """The maximum principle of the harmonic extension, up to what a small network cannot follow."""
    problem = manufactured(TERMS["power"], scale)
    points = torch.as_tensor(SQUARE.interior(5, 4, 0, 0).points)
    values = guess_of(problem)[1](points).detach() / scale
    assert float(values.min()) > 0.08
    assert float(values.max()) < 1.02


def test_the_guess_keeps_to_conditions() -> None:
    problem = manufactured(TERMS["power"])
    rule = SQUARE.face("x-", 4, 4, 0, 0)
    points = torch.as_tensor(rule.points)
    exact = 0.55 + 0.0 * points[:, 0]
    torch.testing.assert_close(guess_of(problem)[1](points).detach()[:, 0], exact, atol=0.02, rtol=0.0)


def test_a_sharp_start_without_room_for_it_becomes_its_mean() -> None:
    """A pulse of width 0.01 over a floor of 1e-6: a small network swings below zero, where there is no logarithm."""
    problem = Problem(
        pk.box(x=(0, 1), t=(0, 1)), lambda u: pk.dt(u) - pk.dx(pk.dx(u)) + pk.log(u),
        conditions=(pk.initial(lambda x: 1e-6 + pk.exp(-(((x - 0.5) / 0.01) ** 2))), pk.neumann(0.0, ["x-", "x+"])),
    )  # fmt: skip
    network, guess = guess_of(problem, 0)
    values = guess(torch.as_tensor(problem.domain.interior(6, 6, 0, 0).points)).detach()
    assert guess is not network
    assert bool((values > 0.0).all())


def test_linear_problems_start_as_they_did() -> None:
    problem = load_problem("heat_1d")
    network, guess = guess_of(problem)
    assert guess is network


def well(energy: float) -> Problem:
    """-u''/2 - 15 u/cosh² x = E u has E = -(5 - n)²/2 for n = 0 … 4 (Landau and Lifshitz, Quantum Mechanics, section 23)."""
    return Problem(
        pk.box(x=(-9, 9)), lambda u, x, energy: -pk.laplacian(u) / 2.0 - 15.0 / pk.cosh(x) ** 2 * u - energy * u,
        conditions=(pk.dirichlet(0.0), pk.mean(1.0, operator=lambda u: u**2)), parameters={"energy": Parameter(energy)},
    )  # fmt: skip


@pytest.mark.parametrize(("start", "expected"), [(-13.0, -12.5), (-7.3, -8.0), (-4.0, -4.5), (-2.4, -2.0)])
def test_the_eigenvalue_next_to_the_initial_value_is_found(start: float, expected: float) -> None:
    found = asked_for(well(start))
    assert found is not None
    energy = found.parameters["energy"]
    assert energy.initial == pytest.approx(expected, rel=1e-6)
    others = [-0.5 * n**2 for n in range(1, 6) if -0.5 * n**2 != expected]
    assert energy.lower < expected < energy.upper
    assert not any(energy.lower < one < energy.upper for one in others)


def test_training_ends_at_the_eigenvalue_that_was_asked_for() -> None:
    problem = replace(well(-4.0), training=pk.TrainingOptions(seconds=60.0, tolerance=1e-3))
    solution = pk.solve(problem)
    assert solution.status == "converged"
    assert solution.found["energy"].value == pytest.approx(-4.5, rel=1e-4)


def drum(start: float) -> Problem:
    """-Δu = λ u on the unit square with a given mean: only modes that are odd in both directions have one."""
    return Problem(
        pk.box(x=(0, 1), y=(0, 1)), lambda u, lam: pk.laplacian(u) + lam * u,
        conditions=(pk.dirichlet(0.0), pk.mean(0.3)), parameters={"lam": Parameter(start)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "modes"),
    [
        (45.0, (1, 1)),
        (90.0, (1, 3)),
        pytest.param(15.0, (1, 1), marks=pytest.mark.nightly),
        pytest.param(180.0, (3, 3), marks=pytest.mark.nightly),
    ],
)
def test_functions_that_the_norm_does_not_see_are_passed_over(start: float, modes: tuple[int, int]) -> None:
    found = asked_for(drum(start))
    assert found is not None
    assert found.parameters["lam"].initial == pytest.approx(math.pi**2 * (modes[0] ** 2 + modes[1] ** 2), rel=1e-5)


def test_what_is_no_eigenvalue_problem_has_no_eigenfunction() -> None:
    source = replace(well(-4.0), source=1.0)
    inhomogeneous = replace(well(-4.0), conditions=(pk.dirichlet(1.0), pk.mean(1.0, operator=lambda u: u**2)))
    for problem in (source, inhomogeneous, load_problem("bratu"), load_problem("diffusivity"), load_problem("heat_1d")):
        assert asked_for(problem) is None


def test_a_parameter_on_its_bound_is_said_to_be() -> None:
    """The decay rate is 2 and may be at most 1.5: the bound is left for neither more nor less."""
    x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    data = pk.Measurements(x.numpy()[:, None], {"u": torch.exp(-2.0 * x).numpy()}, 0.01)
    problem = Problem(
        pk.box(x=(0, 1)), lambda u, k: pk.dx(u) + k * u, conditions=(pk.dirichlet(1.0, "x-"),),
        parameters={"k": Parameter(0.5, 0.1, 1.5)}, data=(data,), training=pk.TrainingOptions(seconds=5.0),
    )  # fmt: skip
    bounded, free = pk.solve(problem), pk.solve(replace(problem, parameters={"k": Parameter(0.5, 0.1, 2.5)}))
    assert bounded.found["k"].value == 1.5
    assert bounded.found["k"].on_bound
    assert bounded.found["k"].standard_error is None
    assert "k = 1.5 lies on its bound" in bounded.reason
    assert free.found["k"].value == pytest.approx(2.0, abs=0.05)
    assert not free.found["k"].on_bound
    assert "bound" not in free.reason
