"""Initial value problems in one coordinate: stiff, long, unstable and badly scaled ones, against SciPy and exact solutions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

import pdekan as pk
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problem_files.loader import loads
from pdekan.problems.problem import Problem
from pdekan.training.clock import Clock
from pdekan.training.progress import Progress
from pdekan.training.slabs import initial_value
from pdekan.training.slabs.fit import fitted
from pdekan.training.slabs.initial_value import InitialValueTraining, Lengths

Array = NDArray[np.float64]
OPTIONS = pk.TrainingOptions(seconds=60.0)


PULSE = """
schema = 1
name = "pulse"
[domain]
type = "box"
s = [0.0, 6.0]
[equation]
operator = "ds(u) + u**2 - {content}*exp(-((s - 3.0)/1e-4)**2)"
[[conditions]]
type = "dirichlet"
on = "s-"
value = "1"
"""


def system(rates: Sequence[Callable[..., object]], start: Sequence[float], end: float) -> Problem:
    """u' = rates(u, v, …) from the start at s = 0; the rates take the unknowns u, v, … and s by these names."""
    names = ("u", "v", "w")[: len(rates)]

    def equation(k: int) -> Callable[..., pk.Jet]:
        source = f"lambda {', '.join(names)}, s: ds({names[k]}) - rate({', '.join(names)}, s)"
        made: Callable[..., pk.Jet] = eval(source, {"ds": lambda u: pk.d(u, "s"), "rate": rates[k]})
        return made

    return Problem(
        pk.box(s=(0, end)), [equation(k) for k in range(len(rates))], unknowns=names,
        conditions=tuple(pk.dirichlet(value, "s-", name) for name, value in zip(names, start, strict=True)), training=OPTIONS,
    )  # fmt: skip


def deviation(solution: pk.Solution, rates: Sequence[Callable[..., object]], start: Sequence[float], points: Array) -> float:
    """The largest difference from SciPy's Radau at points, relative to the largest value of the unknown."""
    exact = solve_ivp(
        lambda s, u: [rate(*u, s) for rate in rates], (0.0, points[-1]), start, "Radau", points, rtol=1e-11, atol=1e-14
    )
    differences = np.abs(solution(points[:, None]).reshape(len(points), -1) - exact.y.T)
    return float((differences / np.abs(exact.y).max(1)).max())


ROBERTSON = (
    lambda u, v, w, s: -0.04 * u + 1e4 * v * w,
    lambda u, v, w, s: 0.04 * u - 1e4 * v * w - 3e7 * v**2,
    lambda u, v, w, s: 3e7 * v**2,
)
LORENZ = (lambda u, v, w, s: 10 * (v - u), lambda u, v, w, s: u * (28 - w) - v, lambda u, v, w, s: u * v - 8 / 3 * w)
VAN_DER_POL = (lambda u, v, s: v, lambda u, v, s: 100.0 * (1 - u**2) * v - u)
SYSTEMS = {
    "Robertson": (ROBERTSON, (1.0, 0.0, 0.0), 10.0, np.geomspace(1e-4, 10.0, 30)),
    "Lorenz": (LORENZ, (-8.0, 7.0, 27.0), 0.5, np.linspace(0.1, 0.5, 10)),
    "van der Pol": (VAN_DER_POL, (2.0, 0.0), 5.0, np.linspace(0.1, 5.0, 30)),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_stiff_and_long_systems_agree_with_scipy(name: str) -> None:
    rates, start, end, points = SYSTEMS[name]
    solution = pk.solve(system(rates, start, end), estimate=False)
    assert solution.status == "converged"
    assert deviation(solution, rates, start, points) < 1e-7


def test_slabs_pass_a_jump_that_follows_a_slow_phase() -> None:
    """Of van der Pol's oscillator, within 1e-3: from constants no slab there longer than 1e-4 was found."""
    start, points = (2.0, 0.0), np.linspace(80.0, 82.0, 9)
    solution = pk.solve(system(VAN_DER_POL, start, 82.0), estimate=False)
    assert solution.status == "converged"
    assert deviation(solution, VAN_DER_POL, start, points) < 1e-7
    assert solution.iterations < 150  # 230 did not reach 81.2


def test_an_algebraic_equation_may_come_first() -> None:
    """v = sin u, u' = -v: the first rows have no derivative, from which slabs start too."""
    equation = (lambda u, v: v - pk.sin(u), lambda u, v: pk.d(u, "s") + v)
    problem = Problem(pk.box(s=(0, 5)), equation, unknowns=("u", "v"), conditions=(pk.dirichlet(1.0, "s-", "u"),))
    solution = pk.solve(problem)
    assert solution.status == "converged"
    points = np.linspace(0.0, 5.0, 20)
    exact = 2.0 * np.arctan(np.tan(0.5) * np.exp(-points))
    assert np.allclose(solution(points[:, None])[:, 0], exact, rtol=0.0, atol=1e-9)


def predators(size: float, time: float) -> Problem:
    """Lotka and Volterra's system with unknowns times a size and time in other units."""
    rates = (
        lambda u, v, s: (2.0 * u - 4.0 * u * v / size) / time,
        lambda u, v, s: (2.0 * u * v / size - 1.06 * v) / time,
    )
    return system(rates, (size, 0.15 * size), 4.0 * time)


def test_the_answer_does_not_depend_on_units() -> None:
    points = np.linspace(0.0, 4.0, 33)[:, None]
    plain, scaled, slow = (pk.solve(predators(*units), estimate=False) for units in ((1.0, 1.0), (3e5, 1.0), (1.0, 7e-8)))
    np.testing.assert_allclose(scaled(points) / 3e5, plain(points), rtol=1e-8)
    np.testing.assert_allclose(slow(points * 7e-8), plain(points), rtol=1e-8)
    assert scaled.parameters == slow.parameters == plain.parameters


def test_estimates_are_those_of_errors_that_grow() -> None:
    """u' = u - 2 exp(-s) from u = exp(-s): what is wrong at the start is exp(20) times as wrong at the end."""
    problem = Problem(
        pk.box(s=(0, 20)), lambda u, s: pk.d(u, "s") - u + 2.0 * pk.exp(-s),
        conditions=(pk.dirichlet(1.0, "s-"),), exact=lambda s: pk.exp(-s), training=OPTIONS,
    )  # fmt: skip
    solution = InitialValueTraining(problem, Clock(0.0, 60.0), lengths=Lengths(tolerances=(1e-5, 1e-7))).solution()
    assert solution.estimate is not None
    assert solution.errors is not None
    assert solution.status == "unreliable"
    better = pk.solve(problem)
    assert better.status == "converged"
    assert better.errors is not None
    assert better.errors["u"].l2_relative < 1e-4


@pytest.mark.parametrize("rate", [1.0, 1e3, 1e7])
def test_the_length_of_slabs_follows_the_solution_and_not_the_rates(rate: float) -> None:
    """Prothero and Robinson's equation u' = -rate (u - cos s) - sin s from u = cos: as many slabs whatever the rate."""
    problem = system([lambda u, s: -rate * (u - pk.cos(s)) - pk.sin(s)], [1.0], 10.0)
    training = InitialValueTraining(problem, Clock(0.0, 60.0), estimate=False)
    solution = training.solution()
    points = np.linspace(0.0, 10.0, 41)
    assert training.standing.fits < 15
    np.testing.assert_allclose(solution(points[:, None]), np.cos(points), atol=1e-8)


def test_initial_layers_are_resolved() -> None:
    """From a start beside the slow solution: a layer of width 1e-5."""
    exact = lambda s: np.exp(-1e5 * s) * (-1.0) + np.cos(s)  # noqa: E731
    problem = system([lambda u, s: -1e5 * (u - pk.cos(s)) - pk.sin(s)], [0.0], 3.0)
    solution = InitialValueTraining(problem, Clock(0.0, 60.0), estimate=False).solution()
    points = np.concatenate([np.linspace(0.0, 1e-4, 30), np.linspace(0.01, 3.0, 30)])
    np.testing.assert_allclose(solution(points[:, None]), exact(points), atol=1e-7)


def test_a_rate_that_jumps_is_passed() -> None:
    problem = system([lambda u, s: pk.where(s.value < 1.0, 1.0 + 0.0 * u**2, 3.0)], [0.5], 2.0)
    solution = pk.solve(problem, estimate=False)
    points = np.linspace(0.0, 2.0, 21)
    np.testing.assert_allclose(solution(points[:, None]), 0.5 + points + 2.0 * np.maximum(0.0, points - 1.0), atol=1e-7)


def test_where_a_solution_ends_is_said() -> None:
    """u' = u² from u = 1 has the pole s = 1."""
    problem = system([lambda u, s: u**2], [1.0], 2.0)
    solution = InitialValueTraining(problem, Clock(0.0, 60.0), lengths=Lengths(tolerances=(1e-7,), smallest=1e-8)).solution()
    assert solution.status != "converged"
    assert re.search(r"the solution may end here, at s = (1|0\.9999)", solution.reason)
    points = np.linspace(0.0, 0.9, 10)
    np.testing.assert_allclose(solution(points[:, None]), 1.0 / (1.0 - points), rtol=1e-6)


def test_a_missing_initial_value_is_refused() -> None:
    whole = predators(1.0, 1.0)
    with pytest.raises(pk.ProblemError, match="nothing is stated for v on s-"):
        pk.solve(replace(whole, conditions=whole.conditions[:1]))


def test_values_that_contradict_each_other_are_said_to() -> None:
    whole = predators(1.0, 1.0)
    twice = replace(whole, conditions=(*whole.conditions, pk.dirichlet(2.0, "s-", "u")))
    solution = InitialValueTraining(twice, Clock(0.0, 60.0)).solution()
    assert solution.status == "stalled"
    assert "initial values may contradict equations" in solution.reason
    assert np.isfinite(solution(np.array([[0.0], [4.0]]))).all()


def test_a_short_pulse_is_not_passed_over() -> None:
    """u' = pulse - u² of width 1e-4 and content 1 at s = 3."""
    text = PULSE.format(content=1.0 / (1e-4 * math.sqrt(math.pi)))
    solution = pk.solve(loads(text), estimate=False)
    before, after = 1.0 / 3.9, 1.0 / (1.0 / (1.0 / 4.0 + 1.0) + 3.0)
    np.testing.assert_allclose(solution(np.array([[2.9], [6.0]])), [before, after], rtol=2e-4)


def test_second_order_equations_start_from_value_and_slope() -> None:
    """The pendulum, against SciPy."""
    problem = Problem(
        pk.box(s=(0, 8)), lambda u: pk.d(pk.d(u, "s"), "s") + pk.sin(u),
        conditions=(pk.dirichlet(0.0, "s-"), pk.robin(lambda u: pk.d(u, "s"), 1.9, "s-")), training=OPTIONS,
    )  # fmt: skip
    solution = pk.solve(problem)
    points = np.linspace(0.0, 8.0, 17)
    exact = solve_ivp(lambda s, u: [u[1], -math.sin(u[0])], (0, 8), [0.0, 1.9], "DOP853", points, rtol=1e-12, atol=1e-12).y[0]
    assert solution.status == "converged"
    assert solution.estimate is not None
    np.testing.assert_allclose(solution(points[:, None]), exact, atol=1e-7)


def test_without_time_the_answer_says_how_far_it_came() -> None:
    rates, start, *_ = SYSTEMS["Lorenz"]
    problem = system(rates, start, 50.0)
    solution = InitialValueTraining(problem, Clock(0.0, 1.0)).solution()
    assert solution.status == "budget"
    assert "the time allowed was used up, at s = " in solution.reason
    assert np.isfinite(solution(np.linspace(0.0, 50.0, 11)[:, None])).all()


def test_a_callback_sees_the_slabs_so_far_and_stops() -> None:
    seen: list[pk.Solution] = []

    def watch(progress: Progress) -> str | None:
        seen.append(progress.snapshot())
        return "enough" if progress.step > 12 else None

    solution = pk.solve(predators(1.0, 1.0), watch=watch)
    assert solution.status == "interrupted"
    assert solution.reason.startswith("enough")
    assert len(seen) > 1
    assert solution(np.array([[0.0]])) == pytest.approx(np.array([[1.0, 0.15]]), abs=1e-6)


def test_slabs_are_stored_and_read(tmp_path: Path) -> None:
    solution = pk.solve(predators(1.0, 1.0), estimate=False)
    assert isinstance(solution.network, PiecewiseInTime)
    solution.save(tmp_path / "a.vtkhdf", (20,))
    points = np.linspace(0.0, 4.0, 19)[:, None]
    np.testing.assert_array_equal(pk.load_solution(tmp_path / "a.vtkhdf")(points), solution(points))


def test_what_is_no_initial_value_problem_is_trained_as_before() -> None:
    whole = predators(1.0, 1.0)
    boundary = Problem(pk.box(s=(0, 1)), lambda u: pk.laplacian(u), conditions=(pk.dirichlet(1.0),))
    plane = Problem(pk.box(x=(0, 1), y=(0, 1)), lambda u: pk.dx(u) + u**2, conditions=(pk.dirichlet(1.0, "x-"),))
    assert initial_value.applies(whole)
    for problem in (boundary, plane):
        assert not initial_value.applies(problem)


@pytest.mark.parametrize("degree", [3, 5, 7])
def test_errors_fall_as_the_degree_says(degree: int) -> None:
    """Residuals of splines of degree p for a smooth solution fall with the length to the power p."""
    problem = system([lambda u, s: -u + 0.0 * u**2], [1.0], 1.0)
    rule = initial_value.SlabFit(degree=degree, intervals=1)
    lengths = (1.0, 0.5, 0.25)
    found = [fitted(problem, 0.0, h, None, lambda: None, rule).residuals.relative for h in lengths]
    rate = math.log(found[0] / found[-1]) / math.log(lengths[0] / lengths[-1])
    assert degree - 0.5 < rate < degree + 1.0
