"""Problems without a solution that can be trusted: ill-posed ones, resonances, parameters that nothing determines."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import pdekan as pk
from pdekan import Problem, TrainingOptions, dirichlet, dt, dx, initial, laplacian, neumann
from pdekan.problem_files.library import library
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements, Parameter
from pdekan.training.posedness.identifiability import undetermined
from pdekan.training.posedness.ill_posed import ill_posed
from pdekan.training.posedness.uniqueness import cause_of_amplification, refuse_undetermined
from pdekan.training.trainer import Trainer

ROD = pk.box(x=(0, 1), t=(0, 1))
SQUARE = pk.box(x=(0, 1), y=(0, 1))
ENDS = dirichlet(0.0, ("x-", "x+"))
LAST = dirichlet(lambda x: pk.sin(pk.pi * x), "t+")


def heat(diffusivity: float, *conditions: pk.Condition) -> Problem:
    return Problem(ROD, lambda u, x: dt(u) - diffusivity * (1 + x) * laplacian(u), 0.0, (ENDS, *conditions))


def wave(*conditions: pk.Condition) -> Problem:
    return Problem(ROD, lambda u: dt(dt(u)) - laplacian(u), 0.0, (ENDS, *conditions))


def laplace(*conditions: pk.Condition) -> Problem:
    return Problem(SQUARE, lambda u: laplacian(u) + dx(u), 0.0, conditions)


ILL_POSED = {
    "heat from its end": (heat(0.1, LAST), r"diffusion of u is followed backward in time, from its values on t\+"),
    "negative diffusion": (heat(-0.1, initial(0.0)), "diffusion of u is followed backward in time, from its values on t-"),
    "a wave between two times": (wave(initial(0.0), LAST), "u is stated at both ends of time, of a wave"),
    "Cauchy data": (laplace(dirichlet(0.0, ("x-", "y-", "y+")), neumann(0.0, "x-")), r"slopes of u are stated on x-.*on x\+"),
}  # fmt: skip
WELL_POSED = {
    "heat": heat(0.1, initial(0.0)),
    "a terminal value": heat(-0.1, LAST),
    "a wave": wave(initial(0.0), initial(0.0, lambda u: dt(u))),
    "Laplace": laplace(dirichlet(0.0, ("x-", "y-", "y+")), neumann(0.0, "x+")),
    "an initial value problem": Problem(
        pk.box(x=(0, 1)), lambda u: laplacian(u), 0.0, (dirichlet(0.0, "x-"), neumann(0.0, "x-"))
    ),
}


@pytest.mark.parametrize("name", ILL_POSED)
def test_ill_posed_problems_are_named(name: str) -> None:
    problem, words = ILL_POSED[name]
    (found,) = ill_posed(problem)
    assert re.search(words, found)


@pytest.mark.parametrize("name", WELL_POSED)
def test_well_posed_problems_are_not(name: str) -> None:
    assert list(ill_posed(WELL_POSED[name])) == []


def test_nor_are_those_of_the_library() -> None:
    problems = [pk.load_problem(name) for name in library() if name not in ("quadratic_100d", "harmonic_10d")]
    assert [problem.name for problem in problems if list(ill_posed(problem))] == []


def test_a_solution_of_an_ill_posed_problem_is_unreliable() -> None:
    solution = pk.solve(heat(0.1, LAST), training=TrainingOptions(steps=2), estimate=False)
    assert solution.status == "unreliable"
    assert "backward in time" in solution.reason


def test_causes_of_amplification() -> None:
    line = pk.box(x=(0, 1))
    resonance = Problem(line, lambda u: laplacian(u) + pk.pi**2 * u, 1.0, (dirichlet(0.0),))
    assert cause_of_amplification(resonance) == "a resonance: any multiple of an eigenfunction may be added"
    growth = Problem(line, lambda u: dx(u) - 99 * u, 1.0, (dirichlet(0.0, "x-"),))
    assert cause_of_amplification(growth) == "errors grow exponentially towards x+, where nothing is stated"
    assert "initial value of u is missing" in cause_of_amplification(heat(0.1, LAST))


def parametric(equation: pk.Formula, *names: str) -> Problem:
    """A problem with data u = x (1 - x) / 6 of -3 u'' = 1."""
    x = np.linspace(0.1, 0.9, 9)
    data = Measurements(x[:, None], {"u": x * (1 - x) / 6}, noise=1e-3)
    parameters = {name: Parameter(1.0 + 0.5 * k) for k, name in enumerate(names)}
    return Problem(
        pk.box(x=(0, 1)), equation, 1.0, (dirichlet(0.0),), parameters=parameters, data=(data,),
        training=TrainingOptions(seconds=10.0),
    )  # fmt: skip


NOT_FOUND = {
    "a sum": (lambda u, a, b: -(a + b) * laplacian(u), "ab", "a + b is found, a and b are not"),
    "a difference": (lambda u, a, b: -(a - 2 * b + 4.0) * laplacian(u), "ab", "a - 2*b is found, a and b are not"),
    "one of two": (lambda u, a, b: -a * laplacian(u) + 0.0 * b * u, "ab", "nothing determines b"),
    "three": (lambda u, a, b, c: -(a + b + c) * laplacian(u), "abc", "of a, b, c only combinations are found"),
}


@pytest.mark.parametrize("name", NOT_FOUND)
def test_parameters_that_nothing_determines_are_named(name: str) -> None:
    equation, names, words = NOT_FOUND[name]
    solution = pk.solve(parametric(equation, *names))
    assert solution.status == "unreliable"
    assert words in solution.reason
    if name == "a sum":
        assert sum(one.value for one in solution.found.values()) == pytest.approx(3.0, rel=0.02)
        assert all(one.standard_error is None for one in solution.found.values())


def test_parameters_that_are_determined_are_not_doubted() -> None:
    solution = pk.solve(parametric(lambda u, a: -a * laplacian(u), "a"))
    assert solution.status == "converged"
    assert solution.found["a"].standard_error is not None
    problem = pk.load_problem("eigenvalue_square")
    trainer = Trainer(replace(problem, training=TrainingOptions(steps=5)))
    state, _ = trainer._run(trainer.continuation)
    assert undetermined(trainer._objective(state.result(), state)) == []


LINE, SQUARE = pk.box(x=(0, 1)), pk.box(x=(0, 1), y=(0, 1))
SEVERAL = {
    "Bratu": Problem(LINE, lambda u: laplacian(u) + pk.exp(u), 0.0, (dirichlet(0.0),)),
    "Bratu in the plane": Problem(SQUARE, lambda u: laplacian(u) + 5.0 * pk.exp(u), 0.0, (dirichlet(0.0),)),
    "u'' + u³ = 0": Problem(LINE, lambda u: laplacian(u) + u**3, 0.0, (dirichlet(0.0),)),
}
SINGLE = {
    "monotone": Problem(LINE, lambda u: laplacian(u) - u**3, 1.0, (dirichlet(0.0),)),
    "monotone in the plane": Problem(SQUARE, lambda u: laplacian(u) - u**3, 1.0, (dirichlet(0.0),)),
    "linear": Problem(LINE, lambda u: laplacian(u), 1.0, (dirichlet(0.0),)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_other_solutions_of_nonlinear_problems_are_reported(name: str) -> None:
    """Bratu's problem has a second solution of maximum 4.09 (u'' + e^u = 0); u'' + u³ = 0 has 0 and others.

    In the plane Δu + 5 e^u = 0 has solutions of maximum 0.56 and 2.85.
    """
    solution = pk.solve(SEVERAL[name], training=pk.TrainingOptions(tolerance=1e-3))
    assert solution.status == "converged" or name == "u'' + u³ = 0"  # zero has no relative error
    assert "the problem has another solution, which differs by" in solution.reason


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_solution_has_no_other(name: str) -> None:
    assert "another solution" not in pk.solve(SINGLE[name], training=pk.TrainingOptions(tolerance=1e-3)).reason


@pytest.mark.parametrize("conditions", [(ENDS,), (ENDS, pk.mean(0.0))], ids=["ends", "a mean of zero"])
def test_an_eigenfunction_of_no_size_is_refused(conditions: tuple[pk.Condition, ...]) -> None:
    drum = Problem(
        pk.box(x=(0, 1)), lambda u, lam: laplacian(u) + lam * u, 0.0, conditions, parameters={"lam": Parameter(14.0)}
    )
    with pytest.raises(ProblemError, match="u = 0 satisfies equation and conditions for every value of lam: state how large"):
        pk.solve(drum)
    refuse_undetermined(replace(drum, conditions=(ENDS, pk.mean(0.5))))
    refuse_undetermined(replace(drum, equation=lambda u, lam: laplacian(u) + lam * (u + 1.0)))
    refuse_undetermined(replace(drum, equation=lambda u, lam: laplacian(u) + (lam - 14.0)))  # zero for the first value alone


def test_zero_is_a_solution_like_others() -> None:
    """u'' + u (1 - u) = 0 between zeros has a positive solution, too; sizes of a solution that vanishes do not underflow."""
    problem = Problem(pk.box(x=(0, 10)), lambda u: dx(dx(u)) + u * (1 - u), 0.0, (ENDS,))
    solution = pk.solve(problem)
    assert solution.status == "converged"
    assert "the problem has another solution" in solution.reason
    assert solution.relative_residual < 1e-6
    assert solution.estimate is not None
    assert solution.estimate["u"].l2_relative == 0.0
