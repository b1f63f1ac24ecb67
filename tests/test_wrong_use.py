"""Wrong use of the Python interface: what was given and what is needed is said at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

import pdekan as pk

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
