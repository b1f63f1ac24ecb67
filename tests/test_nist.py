"""Mitchell's collection: every file states its problem, and every exact solution solves it, also where it is steep or singular.

Sources are written out in the files, so that the exact solutions check them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from pdekan.ansatz.unknowns import stacked
from pdekan.domains.quadrature import Quadrature
from pdekan.errors.reference_solutions import difference_norms, function_norms
from pdekan.fem.solver import levels
from pdekan.fem.weak_form import coefficients
from pdekan.fields.jets import Derivatives
from pdekan.problem_files.library import problems, suites
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.validation import exact_residuals
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Sampling, terms

NAMES = [name for name in problems() if name.startswith("nist/")]
EXACT = [name for name in NAMES if "battery" not in name]
# centres and radii of the circles
FRONT = {
    "mild": ((-0.05, -0.05), 0.7),
    "steep": ((-0.05, -0.05), 0.7),
    "asymmetric": ((1.5, 0.25), 0.92),
    "well": ((0.5, 0.5), 0.25),
}


def near_features(name: str, problem: Problem, count: int = 400) -> np.ndarray:
    """Points of the domain at distances from 1e-6 to 1 of what makes the problem hard, all lengths alike."""
    rng = np.random.default_rng(5)
    gap = 10.0 ** rng.uniform(-6.0, 0.0, count)
    angle = rng.uniform(0.0, 2.0 * math.pi, count)
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    key = name.removeprefix("nist/")
    sign = rng.choice([-1.0, 1.0], count)
    if key.startswith("09"):
        center, radius = FRONT[key.removeprefix("09_front_")]
        points = center + (radius + sign * gap * 0.1)[:, None] * around
    elif key == "12_multiple":
        points = np.concatenate([
            gap[:, None] * around,  # the corner
            (-math.sqrt(5.0) / 4.0, -0.25) + 0.2 * gap[:, None] * around,  # the peak
            (0.0, -0.75) + (0.75 + 0.1 * sign * gap)[:, None] * around,  # the front
            np.stack([rng.uniform(-1.0, 0.0, count), -1.0 + 0.1 * gap], 1),  # the layer
        ])  # fmt: skip
    elif key.startswith("04"):
        points = ((0.5, 0.5) if key == "04_peak" else (0.51, 0.117)) + 0.2 * gap[:, None] * around
    elif key.startswith("06"):
        points = 1.0 - np.stack([gap, rng.permutation(gap)], 1)
    elif key.startswith("07"):
        points = np.stack([gap, rng.uniform(0.0, 1.0, count)], 1)
    elif key.startswith("10"):
        y = rng.uniform(-1.0, 1.0, count)
        points = np.stack([(0.6 * (y + 1.0) if "sloped" in key else 0.0) + sign * gap, y], 1)
    else:  # at 1e-6 from a corner, second derivatives of 1e9 and more cancel to round-off
        points = gap[gap > 1e-3, None] * around[gap > 1e-3] if key.startswith(("02", "03", "11")) else gap[:, None] * around
    return points[problem.domain.distance(points) > 0.0]


def test_there_are_all_24_cases_of_the_twelve_problems() -> None:
    assert len(NAMES) == 24
    assert {int(name.removeprefix("nist/")[:2]) for name in NAMES} == set(range(1, 13))
    assert suites()["nist"] == problems()["nist/04_peak"].parent


@pytest.mark.parametrize("name", NAMES)
def test_files_state_physics_alone(name: str) -> None:
    problem = load_problem(name)
    text = problems()[name].read_text("utf-8")
    assert "# Source: W. F. Mitchell" in text
    assert problem.title
    assert problem.reference
    assert problem.network == NetworkOptions()
    assert problem.training == TrainingOptions()
    assert not problem.enrichments
    assert "manufactured" not in text


@pytest.mark.parametrize("name", EXACT)
def test_exact_solutions_solve_their_problems(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = load_problem(name)
    assert max(exact_residuals(problem).values()) < 1e-9
    points = near_features(name, problem)
    assert len(points) > 80
    monkeypatch.setattr(type(problem.domain), "interior", lambda *_, **__: Quadrature(points, np.ones(len(points))))
    assert max(exact_residuals(problem).values()) < 1e-9
    values = problem.exact_jets(torch.as_tensor(points), Derivatives.VALUE)
    if not name.startswith(("nist/02", "nist/03", "nist/11")):  # whose sources vanish
        # the points are where the solution is not flat
        assert max(float(v.value.max() - v.value.min()) for v in values.values()) > 0.5


@pytest.mark.parametrize("mode", [1, 2])
def test_constants_of_elasticity_are_those_of_a_corner_without_traction(mode: int) -> None:
    """With λ and Q the stresses at θ = ±3π/4 vanish: both are of a re-entrant corner of 3π/2, whatever the slit."""
    problem = load_problem(f"nist/03_elasticity_mode{mode}")
    nu, angle = 0.3, 0.75 * math.pi
    points = np.linspace(0.1, 1.0, 9)[:, None] * [math.cos(angle), math.sin(angle)]
    jets = problem.exact_jets(torch.as_tensor(points), Derivatives.GRADIENT)
    (ux, uy), (vx, vy) = (jets[one].gradient.T.numpy() for one in ("u", "v"))  # type: ignore[union-attr]
    sxx, syy = (1.0 - nu) * ux + nu * vy, (1.0 - nu) * vy + nu * ux  # times (1 + ν)(1 - 2ν)/E, as σ_xy
    sxy = 0.5 * (1.0 - 2.0 * nu) * (uy + vx)
    nx, ny = -math.sin(angle), math.cos(angle)
    size = np.abs([sxx, syy, sxy]).max()
    np.testing.assert_allclose([sxx * nx + sxy * ny, sxy * nx + syy * ny], 0.0, atol=1e-10 * size)


def test_kelloggs_solution_and_its_flux_are_continuous() -> None:
    problem = load_problem("nist/11_crossing")
    jumps = [term for term in terms(problem, Sampling(8, 4, 0, 0)) if term.name.startswith("jump")]
    assert len(jumps) == 4
    for term in jumps:
        fields = problem.exact_jets(term.points, term.frame.level, term.frame.normal)
        residual = term.residual(stacked([fields[name] for name in term.sought]))
        assert float(residual.abs().max()) < 1e-6  # points lie 2e-10 off the interface


def test_the_batterys_materials_are_where_they_should_be() -> None:
    problem = load_problem("nist/05_battery")
    # material: a point in each of its pieces; p, q and f from the report
    where = {
        (25.0, 25.0, 0.0): [(4.0, 0.4), (8.2, 12.0), (4.0, 23.6)],
        (7.0, 0.8, 1.0): [(3.0, 2.6), (3.0, 20.0)],
        (5.0, 1e-4, 1.0): [(3.0, 11.0)],
        (0.2, 0.2, 0.0): [(6.3, 1.0), (6.3, 11.0), (6.3, 21.0)],
        (0.05, 0.05, 0.0): [(3.0, 1.2), (7.0, 1.2), (7.0, 11.0), (3.0, 22.0), (6.3, 22.0), (7.5, 22.0)],
    }
    equation = problem.equations[0]
    for (p, q, f), points in where.items():
        one = coefficients(problem, equation.operator, equation.source, np.array(points))
        np.testing.assert_allclose(one.second[:, 0, 0, 0], -p)
        np.testing.assert_allclose(one.second[:, 0, 1, 1], -q)
        np.testing.assert_allclose(-one.residual, f)


def test_finite_elements_solve_the_battery() -> None:
    """What flows out through the boundary is the heat of the sources; the differences of successive solutions fall."""
    problem = load_problem("nist/05_battery")
    coarse, middle, fine = itertools.islice(levels(problem), 3)
    first, second = (difference_norms(b, a) / function_norms(b) for a, b in ((coarse, middle), (middle, fine)))
    assert first[0, 0] < 0.05
    assert second[0, 0] < 0.3 * first[0, 0]
    out, size = 0.0, 0.0
    for face, c, g in (("y+", 1.0, 3.0), ("x+", 2.0, 2.0), ("y-", 3.0, 1.0)):
        rule = problem.domain.face(face, 60, 8, 0, 0)
        flux = c * fine.values(rule.points)[:, 0] - g  # p u_x n_x + q u_y n_y = g - c u
        out, size = out + float(rule.weights @ flux), size + float(rule.weights @ np.abs(flux))
    assert out == pytest.approx(6.1 * (21.2 - 1.6), rel=1e-3)
