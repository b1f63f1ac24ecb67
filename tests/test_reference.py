"""References: their estimates, files, what the errors against them are, and how they reach users."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pdekan
from pdekan.cli import main
from pdekan.domains.box import Box, box
from pdekan.domains.quadrature import Array, sobol
from pdekan.errors.norms import measure
from pdekan.errors.reference_solutions import FiniteElementReference, richardson_errors
from pdekan.fem import solver
from pdekan.fields.functions import exp, sin
from pdekan.fields.operators import laplacian
from pdekan.networks.base import ModuleNetwork
from pdekan.output.samples import OutputError
from pdekan.problems.conditions import dirichlet, neumann
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.options import TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions import reference_files
from pdekan.training.solver import solve

SQUARE = box(x=(-1, 1), y=(0, 1))
PLAIN = """schema = 1
name = "plain"
[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]
[equation]
operator = "laplacian(u)"
source = "-1"
[[conditions]]
type = "dirichlet"
"""
MINUS = """schema = 1
name = "disk_minus_square"
[domain]
type = "difference"
parts = [{type = "disk", radius = 1.0}, {type = "box", x = [-0.2, 0.2], y = [-0.2, 0.2]}]
[equation]
operator = "laplacian(u)"
source = "-1"
[[conditions]]
type = "dirichlet"
[exact]
reference = "fem"
[network]
hidden = [2]
degree = 4
intervals = 3
[training]
steps = 2
"""


class Near(nn.Module):
    """sin(2x) exp(y) + size · sin(3x + y)."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (torch.sin(2.0 * x[:, 0]) * torch.exp(x[:, 1]) + self.size * torch.sin(3.0 * x[:, 0] + x[:, 1]))[:, None]


def stated(reference: str | None, domain: Box = SQUARE) -> Problem:
    """-Δu + u = f whose solution is sin(2x) exp(y), said or not."""
    return Problem(
        domain,
        lambda u: u - laplacian(u),
        lambda x, y: 4.0 * sin(2.0 * x) * exp(y),
        (dirichlet(lambda x, y: sin(2.0 * x) * exp(y)),),
        exact=None if reference else lambda x, y: sin(2.0 * x) * exp(y),
        exact_reference=reference,
    )


def near(size: float) -> ModuleNetwork:
    return ModuleNetwork(Near(size), 2)


@pytest.mark.parametrize("factor", [1.5, 4.0, 32.0])
def test_the_estimate_of_a_steady_sequence_is_its_error(factor: float) -> None:
    errors = np.array([[3.0, 0.2]]) * factor ** -np.arange(4.0)[:, None]
    differences = errors[:-1] - errors[1:]
    np.testing.assert_allclose(richardson_errors(*differences), errors[-1], rtol=1e-12)


def test_the_estimate_trusts_no_rate_that_does_not_repeat() -> None:
    def estimate(*differences: float) -> float:
        return float(richardson_errors(*(np.array([one]) for one in differences))[0])

    assert estimate(1.0, 0.5, 0.001) == pytest.approx(0.001)  # 2, then 500
    assert estimate(1.0, 0.01, 0.0025) == pytest.approx(0.0025)  # 100, then 4
    assert estimate(1.0, 0.1, 0.02) == pytest.approx(0.005)  # 10, then 5
    assert estimate(1.0, 1.0, 1.0) == pytest.approx(10.0)  # no convergence at all
    assert estimate(0.0, 0.0, 0.0) == 0.0


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_errors_against_finite_elements_are_those_against_the_formula(size: float) -> None:
    problem, network = stated("fem"), near(size)
    reference = reference_files.reference_for(problem, network)
    assert isinstance(reference, FiniteElementReference)
    found, known = measure(problem, network, reference)["u"], measure(stated(None), network)["u"]
    for norm in ("l2", "l2_relative", "l2_mean_square", "h1", "h1_seminorm", "h1_seminorm_relative", "linf"):
        assert getattr(found, norm) == pytest.approx(getattr(known, norm), rel=0.05)
    assert (found.reference_l2, found.reference_h1_seminorm) == reference.estimate["u"]
    assert 0.0 < found.reference_l2 <= 0.1 * found.l2
    assert 0.0 < found.reference_h1_seminorm <= 0.1 * found.h1_seminorm
    assert (known.reference_l2, known.reference_h1_seminorm) == (0.0, 0.0)


def test_meshes_are_refined_as_far_as_the_error_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 3)
    coarse, fine = (reference_files.reference_for(stated("fem"), near(size)) for size in (1e-2, 3e-5))
    assert isinstance(coarse, FiniteElementReference)
    assert isinstance(fine, FiniteElementReference)
    assert len(fine.solution.coefficients) > 3 * len(coarse.solution.coefficients)


def test_what_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(solver, "MOST", 1000)
    with pytest.raises(ProblemError, match="four levels"):
        reference_files.reference_for(stated("fem"), near(1e-3))
    # what trained is not lost
    options = TrainingOptions(steps=1)
    with caplog.at_level(logging.WARNING):
        solution = solve(stated("fem"), training=options, network=pdekan.NetworkOptions(hidden=[2], degree=3, intervals=2))
    assert solution.errors is None
    assert "four levels" in caplog.text


def test_a_problem_that_is_refused_is_refused_before_training() -> None:
    problem = Problem(SQUARE, lambda u: laplacian(u), 1.0, (dirichlet(), neumann(on="x-")), exact_reference="fem")

    def watch(_: object) -> str:
        raise AssertionError("training began")

    with pytest.raises(ProblemError, match="two conditions"):
        solve(problem, watch=watch)


def test_formulas_and_a_reference_exclude_each_other() -> None:
    with pytest.raises(ProblemError, match="one of them"):
        Problem(SQUARE, lambda u: laplacian(u), EXACT, exact=lambda x: x, exact_reference="fem")


def written(path: Path, count: int, change: Callable[[dict[str, Array]], object] = lambda _: None, group: str = "/") -> Path:
    """A grid of sin(2x) exp(y) on the square, its axes with unequal steps."""
    x, y = np.sin(np.linspace(-0.5, 0.5, count) * np.pi), np.linspace(0.0, 1.0, count - 3) ** 1.2
    columns = {"x": x, "y": y, "u": np.sin(2.0 * x)[:, None] * np.exp(y)}
    change(columns)
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.require_group(group)[name] = values
    return path


@pytest.mark.parametrize("group", ["/", "fields"])
def test_errors_against_a_grid_are_those_against_the_formula(tmp_path: Path, group: str) -> None:
    problem = stated(str(written(tmp_path / "grid.h5", 60, group=group)))
    network = near(1e-3)
    reference = reference_files.reference_for(problem, network)
    found, known = measure(problem, network, reference)["u"], measure(stated(None), network)["u"]
    for norm in ("l2", "l2_relative", "h1", "h1_seminorm", "linf"):
        assert getattr(found, norm) == pytest.approx(getattr(known, norm), rel=1e-3)
    assert 0.0 < found.reference_l2 < 1e-5


def scattered(path: Path, count: int = 4096, change: Callable[[dict[str, Array]], object] = lambda _: None) -> Path:
    """sin(2x) exp(y) and its slopes at quasi-random points of the square, known to 1e-8."""
    x, y = sobol(SQUARE.lower, SQUARE.upper, count, 5).points.T
    columns = {"x": x, "y": y, "u": np.sin(2.0 * x) * np.exp(y), "u_x": 2.0 * np.cos(2.0 * x) * np.exp(y)}
    columns["u_y"] = columns["u"]
    change(columns)
    with h5py.File(path, "w") as file:
        file.attrs["scattered"], file.attrs["accuracy"] = True, 1e-8
        for name, values in columns.items():
            file[name] = values
    return path


def test_errors_at_scattered_points_are_those_against_the_formula(tmp_path: Path) -> None:
    problem, network = stated(str(scattered(tmp_path / "points.h5"))), near(1e-3)
    reference = reference_files.reference_for(problem, network)
    found, known = measure(problem, network, reference)["u"], measure(stated(None), network)["u"]
    for norm in ("l2", "l2_relative", "h1_seminorm"):
        assert getattr(found, norm) == pytest.approx(getattr(known, norm), rel=2e-2)
    assert found.reference_l2 == pytest.approx(1e-8 * known.l2 / known.l2_relative, rel=2e-2)
    assert found.points == 4096
    assert reference is not None
    assert reference(np.array([[0.1, 0.2]])) == {}  # no values for pictures


def test_scattered_points_without_slopes_say_nothing_of_the_seminorm(tmp_path: Path) -> None:
    problem, network = stated(str(scattered(tmp_path / "points.h5", change=lambda columns: columns.pop("u_y")))), near(1e-3)
    found = measure(problem, network, reference_files.reference_for(problem, network))["u"]
    assert found.l2 > 0.0
    assert math.isnan(found.h1_seminorm)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns: columns.update(x=columns["x"][1:]), "one length"),
        (lambda columns: columns.update(x=2.0 * columns["x"]), r"of 64 points are not in the domain"),
        (lambda columns: columns.pop("u"), "no dataset of numbers named u"),
    ],
)
def test_scattered_points_that_do_not_serve_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Array]], object], message: str
) -> None:
    problem = stated(str(scattered(tmp_path / "points.h5", 64, change)))
    with pytest.raises((OutputError, ProblemError), match=message) as raised:
        reference_files.check_reference(problem)
    assert "points.h5" in str(raised.value)


@pytest.mark.parametrize("count", [12, 24, 48])
def test_the_estimate_of_a_grid_bounds_its_error(tmp_path: Path, count: int) -> None:
    reference = reference_files.reference_for(stated(str(written(tmp_path / "grid.h5", count))), near(0.0))
    assert reference is not None
    rule = SQUARE.interior(20, 6, 0, 0)
    (x, y), (values, gradients) = rule.points.T, reference(rule.points)["u"]
    slopes = np.stack([2.0 * np.cos(2.0 * x) * np.exp(y), np.sin(2.0 * x) * np.exp(y)], axis=1)
    l2 = math.sqrt(rule.weights @ (values - np.sin(2.0 * x) * np.exp(y)) ** 2)
    h1 = math.sqrt(rule.weights @ ((gradients - slopes) ** 2).sum(axis=1))
    assert l2 < reference.estimate["u"][0] < 1e3 * l2
    assert h1 < reference.estimate["u"][1] < 1e3 * h1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns: columns.pop("u"), "no dataset of numbers named u"),
        (lambda columns: columns.pop("x"), "no dataset of numbers named x"),
        (lambda columns: columns["u"].__setitem__((3, 3), np.nan), "not finite"),
        (lambda columns: columns.update(u=columns["u"].T), "has shape"),
        (lambda columns: columns.update(x=columns["x"][::-1]), "ascending"),
        (lambda columns: columns.update(x=0.9 * columns["x"]), r"x goes from -0\.9 to 0\.9; the domain needs -1 to 1"),
    ],
)
def test_grids_that_do_not_serve_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Array]], object], message: str
) -> None:
    problem = stated(str(written(tmp_path / "grid.h5", 20, change)))
    with pytest.raises((OutputError, ProblemError), match=message) as raised:
        reference_files.check_reference(problem)
    assert "grid.h5" in str(raised.value)


def test_a_run_is_a_reference(tmp_path: Path) -> None:
    options = TrainingOptions(steps=8)
    network = pdekan.NetworkOptions(hidden=[3], degree=5, intervals=4)
    solution = solve(stated(None), training=options, network=network)
    assert solution.errors is not None
    solution.save(tmp_path / "solution.vtkhdf")
    problem, other = stated(str(tmp_path / "solution.vtkhdf")), near(1e-2)
    reference = reference_files.reference_for(problem, other)
    assert reference is not None
    points = SQUARE.interior(2, 3, 0, 0).points
    np.testing.assert_allclose(reference(points)["u"][0], solution(points), rtol=1e-12)
    np.testing.assert_allclose(reference(points)["u"][1], solution.gradient(points), rtol=1e-12)
    own = solution.errors["u"]
    assert reference.estimate == {"u": (own.l2, own.h1_seminorm)}
    assert measure(problem, solution.network, reference)["u"].l2 < 1e-14
    wrong = Problem(SQUARE, lambda v: laplacian(v), 1.0, unknowns=("v",), conditions=(dirichlet(unknown="v"),))
    with pytest.raises(ProblemError, match="the problem seeks v"):
        reference_files.check_reference(replace(wrong, exact_reference=problem.exact_reference))


def test_problem_files_name_references(tmp_path: Path) -> None:
    written(tmp_path / "grid.h5", 5)
    (tmp_path / "problem.toml").write_text(PLAIN + '[exact]\nreference = "grid.h5"\n')
    assert pdekan.load_problem(tmp_path / "problem.toml").exact_reference == str(tmp_path / "grid.h5")
    (tmp_path / "problem.toml").write_text(PLAIN + '[exact]\nreference = "fem"\n')
    assert pdekan.load_problem(tmp_path / "problem.toml").exact_reference == "fem"
    (tmp_path / "problem.toml").write_text(PLAIN + '[exact]\nreference = "fem"\nu = "x"\n')
    with pytest.raises(ProblemError, match=r"exact\.reference: stands where no formula is known"):
        pdekan.load_problem(tmp_path / "problem.toml")
    (tmp_path / "problem.toml").write_text(
        PLAIN.replace("(u)", "(reference)").replace("[domain]", 'unknowns = ["reference"]\n[domain]')
    )
    with pytest.raises(ProblemError, match="'reference' is the name of a keyword"):
        pdekan.load_problem(tmp_path / "problem.toml")


@pytest.mark.nightly
def test_a_disk_minus_a_square_is_solved_with_its_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 3)
    file = tmp_path / "minus.toml"
    file.write_text(MINUS)
    assert main(["check", str(file)]) == 0
    assert "measured against finite elements" in capsys.readouterr().out
    main(["solve", str(file), "--output", str(tmp_path / "run")])
    shown = " ".join(capsys.readouterr().out.split())
    assert "against finite elements of degree 3" in shown
    assert "itself known to" in shown
    assert "not ten times below" not in shown
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    errors = summary["errors"]["u"]
    assert 0.0 < errors["reference_l2"] <= 0.1 * errors["l2"]
    assert summary["reference"].startswith("finite elements")
    with h5py.File(tmp_path / "run" / "solution.vtkhdf") as stored:
        fields = {name: stored["VTKHDF/PointData"][name][()] for name in ("u", "exact", "error")}
    np.testing.assert_allclose(fields["u"] - fields["exact"], fields["error"], atol=1e-14)
    assert pdekan.load_solution(tmp_path / "run" / "solution.vtkhdf").errors is not None
