"""The benchmark with peers states its problems anew, for packages that cannot read problem files: the same problems."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pdekan.fields.functions import cos, exp, sin
from pdekan.fields.jets import Derivatives, Frame
from pdekan.problem_files.loader import load_problem
from pdekan.problems.formulas import as_field

PEER = Path(__file__).parent / "benchmarks" / "peer"


def module(name: str) -> ModuleType:
    """A module of the scripts, under the name by which they import it; they are no package."""
    spec = importlib.util.spec_from_file_location(name, PEER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


statements = module("statements")
measure = module("measure")
every_problem = pytest.mark.parametrize("stated", statements.PROBLEMS.values(), ids=lambda p: p.name)


def random_points(stated, count: int = 50):
    rng = np.random.default_rng(0)
    return np.array(stated.lower) + rng.random((count, 2)) * (np.array(stated.upper) - np.array(stated.lower))


@every_problem
def test_box_and_conditions_are_the_files(stated) -> None:
    problem = load_problem(stated.name)
    assert (problem.domain.lower, problem.domain.upper) == (stated.lower, stated.upper)
    assert {c.kind for c in problem.conditions} == {"dirichlet"}
    faces = {face for c in problem.conditions for name in c.on for face in problem.domain.resolve(name)}
    assert faces == set(problem.domain.faces)
    points = stated.faces(11)
    assert np.all(np.isclose(points, stated.lower) | np.isclose(points, stated.upper), axis=1).sum() == 8, "corners"
    for condition in problem.conditions:
        x = torch.tensor(points)
        value = problem.right_hand_side(condition.value, condition.operator, x, Derivatives.VALUE, None)
        assert np.allclose(value.numpy(), stated.boundary(points), rtol=0, atol=1e-12)


@every_problem
def test_exact_solution_is_the_files(stated) -> None:
    points = random_points(stated)
    exact = load_problem(stated.name).exact_jet(torch.tensor(points), Derivatives.GRADIENT)
    x, y = points.T
    assert np.allclose(exact.value.numpy(), stated.u(x, y), rtol=1e-12)
    assert np.allclose(exact.gradient.numpy(), np.stack(stated.grad_u(x, y), axis=1), rtol=1e-11, atol=1e-11)


@every_problem
def test_equation_is_the_files(stated) -> None:
    """On a function that solves nothing: its residual by the coefficients is that of the file's operator, up to the sign."""
    problem = load_problem(stated.name)
    points = random_points(stated)
    x, equation, level = torch.tensor(points), as_field(problem.equation), Derivatives.FULL
    frame = Frame(problem.domain.coordinates, level)
    a, b = frame.coordinate(x, 0), frame.coordinate(x, 1)
    v = exp(a / 2) * sin(2 * b) + cos(a * b)
    left = equation(problem.environment(x, level, sought={"u": v})).value
    theirs = (left - problem.right_hand_side(problem.source, equation, x, level, None)).numpy()
    slope, (xx, _, yy) = v.gradient.numpy(), v.second.numpy().T
    p, q, r, s, f = stated.coefficients(points).T
    ours = p * (xx + yy) + q * slope[:, 0] + r * slope[:, 1] + s * v.value.numpy() - f
    sign = -1.0 if problem.name in ("poisson_kan_paper", "helmholtz") else 1.0
    assert np.allclose(theirs, sign * ours, rtol=1e-10, atol=1e-10)


@every_problem
def test_errors_are_relative_norms(stated) -> None:
    """Of a solution that is wrong by a known factor."""

    def solution(points):
        x, y = points.T
        return 1.5 * stated.u(x, y), 0.75 * np.stack(stated.grad_u(x, y), axis=1)

    found = measure.errors(stated, solution)
    assert found["l2_relative"] == pytest.approx(0.5, rel=1e-12)
    assert found["h1_seminorm_relative"] == pytest.approx(0.25, rel=1e-12)
