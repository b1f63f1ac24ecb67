"""Wrong use of the Python interface: what was given and what is needed is said at once."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan.output.samples import OutputError

SOUND: dict[str, Any] = {
    "domain": pk.box(x=(0, 1)), "equation": lambda u: -pk.laplacian(u), "source": 1.0, "conditions": [pk.dirichlet(0.0)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"training": {"seconds": 3}}, "a TrainingOptions is needed"),
        ({"network": {"hidden": 3}}, "a NetworkOptions is needed"),
        ({"domain": [0, 1]}, "a Domain is needed, such as box(x=(0, 1))"),
        ({"conditions": pk.dirichlet(0.0)}, "conditions is a Dirichlet; a list is needed, such as conditions=[dirichlet(0.0)]"),
        ({"conditions": ["dirichlet"]}, "conditions=[dirichlet(0.0)]"),
        ({"unknowns": "uv"}, 'unknowns=("u", "v")'),
        ({"source": "sin(x)"}, "'sin(x)' is no formula; write a function such as lambda x: sin(x)"),
        ({"equation": "laplacian(u)"}, "by load_problem"),
        ({"exact": "sin(x)"}, "is no formula"),
        ({"exact": None, "source": [None]}, "None is no formula"),
        ({"source": [1.0, 2.0], "equation": [lambda u: u, [1.0]]}, "[1.0] is no formula"),
        ({"equation": lambda w: w}, "an equation is a function of w; it mentions no unknown, and the unknowns are u"),
        ({"parameters": {"k": 1.0}}, "k is 1.0; a Parameter is needed, such as Parameter(1.0), or values={'k': 1.0}"),
    ],
)
def test_problems_name_what_they_need(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(pk.ProblemError, match=re.escape(words)):
        _ = pk.Problem(**{**SOUND, **wrong}).equations, pk.Problem(**{**SOUND, **wrong}).exact_fields


@pytest.mark.parametrize(
    ("options", "arguments", "words"),
    [
        (pk.TrainingOptions, {"seconds": -3}, "seconds = -3; it must be above 0"),
        (pk.TrainingOptions, {"seconds": float("nan")}, "it must be a number"),
        (pk.TrainingOptions, {"tolerance": 1.0}, "it must be below 1"),
        (pk.TrainingOptions, {"points": 2.5}, "it must be a whole number"),
        (pk.TrainingOptions, {"optimizer": "sgd"}, "it must be one of gauss-newton, "),
        (pk.TrainingOptions, {"refine": range(1, 30)}, "it must have at most 20 entries"),
        (pk.TrainingOptions, {"slabs": True}, "it must be a whole number"),
        (pk.NetworkOptions, {"hidden": 5}, "it must be a sequence, such as (10, 10)"),
        (pk.NetworkOptions, {"hidden": (-5,)}, "it must be at least 1"),
        (pk.NetworkOptions, {"degree": (3, 99)}, "it must be at most 12"),
        (pk.Weights, {"data": 0.0}, "it must be above 0"),
    ],
)
def test_options_have_the_limits_of_problem_files(options: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        options(**arguments)


@pytest.mark.parametrize(
    ("equation", "words"),
    [
        (lambda u, x: math.sin(x) * u, "must be real number, not Jet; write sin, exp, … of pdekan for those of math"),
        (lambda u, x: u if x > 0.5 else pk.laplacian(u), "and where(x.value < 0.5, a, b) for a comparison"),
        (lambda u: None, "None is neither a number nor a formula's value"),
        (lambda u: pk.grad(u), "a formula is a vector; a scalar is needed"),
    ],
)
def test_equations_are_functions_of_fields_and_scalars(equation: Any, words: str) -> None:
    with pytest.raises(pk.ProblemError, match=re.escape(words)):
        pk.solve(pk.Problem(**{**SOUND, "domain": pk.box(x=(0, 1), y=(0, 1)), "equation": equation}))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"problem": 3}, "problem is 3; a Problem is needed, the path of a file, or the name of a library problem"),
        ({"network": [2, 5, 1]}, "network is [2, 5, 1]; a NetworkOptions is needed"),
        ({"network": torch.nn.Linear}, "a NetworkOptions is needed, such as NetworkOptions(hidden=(10,)), or a module"),
        ({"network": torch.nn.Linear(3, 1)}, "needed is one from (n, 2), columns x, y, to (n, 1)"),
        ({"network": torch.nn.Linear(2, 3)}, "the network gives values of shape (2, 3) at 2 points"),
        ({"optimizer": "adam"}, "or the name in TrainingOptions(optimizer=…)"),
    ],
)
def test_arguments_of_solve_are_of_their_types(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(pk.ProblemError, match=re.escape(words)):
        pk.solve(**{"problem": "poisson_sine", **wrong})


@pytest.mark.parametrize("interval", ["01", 1, (0, 1, 2), (0, None)])
def test_intervals_are_two_numbers(interval: Any) -> None:
    with pytest.raises(pk.DomainError, match=re.escape("an interval is two numbers, such as x=(0, 1)")):
        pk.box(x=interval)


def test_solutions_are_asked_for_what_they_have() -> None:
    solution = pk.solve("poisson_sine", training=pk.TrainingOptions(steps=1), estimate=False)
    with pytest.raises(OutputError, match="'v' is no unknown; the unknowns are u"):
        solution.plot("v")
    with pytest.raises(ValueError, match="points are no array of real numbers"):
        solution("x")
    with pytest.raises(ValueError, match="outside is 'zero'; it must be one of nan, raise"):
        replace(solution, outside="zero")  # type: ignore[arg-type]
    for wrong in (5, "9x9", [2.5, 3]):
        with pytest.raises(ValueError, match="a list of whole numbers is needed"):
            solution.sample(wrong)  # type: ignore[arg-type]
    moving = pk.solve("heat_1d", training=pk.TrainingOptions(steps=1), estimate=False)
    for times in (0.5, "0.5", ["a"]):
        with pytest.raises(ValueError, match="a list of numbers is needed"):
            moving.sample(times=times)  # type: ignore[arg-type]
    assert moving.sample((5,), np.array([0.0, 0.1])).times.tolist() == [0.0, 0.1]


def test_fluxes_are_through_faces() -> None:
    solution = pk.solve("poisson_sine", training=pk.TrainingOptions(steps=1), estimate=False)
    with pytest.raises(pk.DomainError, match=r"on = \[\[0.5, 0.5\]\]: needed are names of faces, of x-, x\+, y-, y\+"):
        solution.flux([[0.5, 0.5]])  # type: ignore[list-item]


def test_solve_takes_names_and_paths() -> None:
    solution = pk.solve("poisson_sine", training=pk.TrainingOptions(steps=3), estimate=False)
    assert solution.name == "poisson_sine"
    with pytest.raises(pk.ProblemFileError, match="did you mean poisson_sine"):
        pk.solve("poison_sine")


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", pk.__version__)
