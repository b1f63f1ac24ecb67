"""The library's problem files: all are read, and their exact solutions solve them."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from problem_texts import random_points

from pdekan.domains.quadrature import Quadrature
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Derivatives
from pdekan.problem_files.library import library, titles
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problem_files.validation import exact_residuals
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import terms

loaded = functools.cache(load_problem)
NO_CLOSED_FORM = ("allen_cahn", "burgers", "driven_cavity", "four_holes")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] if name == "quadratic_100d" else []) for name in library()]
)
def test_the_library_is_complete_and_its_solutions_solve_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = loaded(name)
    assert problem.name == name
    assert problem.title
    assert problem.reference
    if name in NO_CLOSED_FORM:
        assert problem.exact is None
        return
    assert max(exact_residuals(problem).values(), default=0.0) < 1e-8

    # the same at random points instead of the domain's quadrature, which a mean over the domain cannot do without
    def scattered(*_: object, **__: object) -> Quadrature:
        points = random_points(problem).numpy()
        return Quadrature(points, np.full(len(points), 1 / len(points)))

    monkeypatch.setattr(type(problem.domain), "interior", scattered)
    pointwise = replace(problem, conditions=tuple(c for c in problem.conditions if c.kind != "mean"))
    assert max(exact_residuals(pointwise).values(), default=0.0) < 1e-8


@pytest.mark.parametrize("name", sorted(set(library()) - set(NO_CLOSED_FORM)))
def test_exact_solutions_of_the_library_have_no_jumps(name: str) -> None:
    """u(b) - u(a) is the integral of the gradient along short segments: a cut of atan2 through the domain would show."""
    problem = loaded(name)
    a = random_points(problem, 200).numpy()
    size = np.subtract(problem.domain.upper, problem.domain.lower)
    b = a + 0.1 * size * np.random.default_rng(4).uniform(-1.0, 1.0, a.shape)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    along = a + (0.5 + 0.5 * nodes[:, None, None]) * (b - a)
    inside = problem.domain.contains(along.reshape(-1, a.shape[1])).reshape(len(nodes), -1).all(0) & problem.domain.contains(b)
    a, b, along = a[inside], b[inside], along[:, inside]
    assert len(a) >= 20 or problem.domain.dimension > 3
    for unknown in problem.unknowns:
        start, end = (problem.exact_jet(torch.as_tensor(p), Derivatives.VALUE, None, unknown).value.numpy() for p in (a, b))
        slopes = problem.exact_jet(torch.as_tensor(along.reshape(-1, a.shape[1])), Derivatives.GRADIENT, None, unknown).gradient
        assert slopes is not None
        growth = (slopes.numpy().reshape(along.shape) * (b - a)).sum(-1)
        np.testing.assert_allclose(end - start, 0.5 * weights @ growth, atol=0.01 * np.abs(end).max())


@pytest.mark.parametrize("name", [name for name, path in library().items() if "[domain.interfaces" in path.read_text("utf-8")])
def test_exact_solutions_jump_across_interfaces_as_they_should(name: str) -> None:
    problem = loaded(name)
    jumps = [term for term in terms(problem, Sampling(8, 4, 0, 0)) if term.name.startswith("jump")]
    assert len(jumps) == 2 * len(problem.interfaces)
    for term in jumps:
        fields = problem.exact_jets(term.points, term.frame.level, term.frame.normal)
        assert term.residual(stacked([fields[name] for name in term.sought])).abs().max() < 1e-8


def test_a_wrong_exact_solution_is_noticed() -> None:
    text = library()["poisson_sine"].read_text("utf-8").replace("2*pi**2", "2.0001*pi**2")
    assert exact_residuals(loads(text))["equation",] == pytest.approx(0.0001 / 2, rel=0.1)
    text = library()["periodic"].read_text("utf-8").replace("sin(pi*x)", "sin(pi*x + x)")
    assert exact_residuals(loads(text))["conditions", 0] > 0.1


def test_titles() -> None:

    # --- files

    assert set(titles()) == set(library())
    assert all(titles().values())
