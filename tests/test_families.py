"""Families: interpolation on Leja points, members, sensitivities, fits, files, resonances, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import command
from scipy.interpolate import BarycentricInterpolator

import pdekan as pk
from pdekan.errors.estimate import Estimate
from pdekan.fields.jets import Derivatives
from pdekan.networks.kan import KAN
from pdekan.networks.sparse_interpolation import SparseInterpolation, leja_points, neighbours
from pdekan.problem_files.loader import ProblemFileError, loads
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.families.members import Members, members_of
from pdekan.training.families.training import FamilyTraining
from pdekan.training.posedness.resonance import resonances
from pdekan.training.setup import Setup
from pdekan.training.solver import _solved

DOCUMENT = Path(__file__).parents[1] / "docs" / "problems.md"
ROD = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT.read_text("utf-8").split("## Families")[1], re.DOTALL | re.MULTILINE)[0]
X = np.linspace(0.0, 1.0, 21)[:, None]


def exact(x: np.ndarray, mu: float) -> np.ndarray:
    """-u'' + mu u = 1 with u(0) = u(1) = 0."""
    k = np.sqrt(mu)
    return (1.0 - np.cosh(k * (x[:, 0] - 0.5)) / np.cosh(0.5 * k)) / mu


def of_rod(**parameters: Any) -> Solution:
    """The family of the documentation, with its exact solution."""
    k = "sqrt(mu)"
    text = ROD + f'[exact]\nu = "(1 - cosh({k}*(x - 0.5))/cosh(0.5*{k}))/mu"\n'
    return pk.solve(loads(text, "rod.toml"), **parameters)


@pytest.fixture(scope="module")
def rod() -> Solution:
    return of_rod()


def test_interpolation_along_a_line_is_that_of_scipy() -> None:
    nodes, x = leja_points(9), np.linspace(-1.0, 1.0, 40)
    interpolation = SparseInterpolation(tuple((k,) for k in range(9)))
    wanted = BarycentricInterpolator(nodes, np.exp(2.0 * nodes))
    np.testing.assert_allclose(interpolation.weights(x[:, None]) @ np.exp(2.0 * nodes), wanted(x), rtol=1e-12)
    slope = interpolation.weights(x[:, None], by=0) @ np.exp(2.0 * nodes)
    np.testing.assert_allclose(slope, wanted.derivative(x), rtol=1e-9, atol=1e-10)


def test_sparse_interpolation_has_the_polynomials_of_its_indices_and_their_derivatives() -> None:
    indices = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0))
    interpolation, points = SparseInterpolation(indices), np.random.default_rng(0).uniform(-1.0, 1.0, (30, 2))
    for i, j in indices:
        values = interpolation.nodes[:, 0] ** i * interpolation.nodes[:, 1] ** j
        x, y = points.T
        np.testing.assert_allclose(interpolation.weights(points) @ values, x**i * y**j, atol=1e-13)
        np.testing.assert_allclose(interpolation.weights(points, by=1) @ values, j * x**i * y ** max(j - 1, 0), atol=1e-12)


def test_leja_points_have_a_small_lebesgue_constant() -> None:
    interpolation = SparseInterpolation(tuple((k,) for k in range(20)))
    weights = interpolation.weights(np.linspace(-1.0, 1.0, 2001)[:, None])
    assert np.abs(weights).sum(1).max() < 20.0


def test_neighbours_keep_a_set_downward_closed() -> None:
    assert neighbours((1, 0), [(0, 0), (1, 0)]) == [(2, 0)]  # (1, 1) needs (0, 1)
    assert neighbours((1, 0), [(0, 0), (1, 0), (0, 1)]) == [(2, 0), (1, 1)]


def test_the_rod_of_the_documentation(rod: Solution) -> None:
    assert rod.status == "converged", rod.reason
    assert rod.errors is not None
    assert rod.family is not None
    assert rod.family["errors"]["u"]["worst"]["l2_relative"] < 1e-7
    assert rod.family["errors"]["u"]["mean"]["l2_relative"] <= rod.family["errors"]["u"]["worst"]["l2_relative"]
    for mu in (0.5, 1.3, 7.9):
        np.testing.assert_allclose(rod(X, mu=mu), exact(X, mu), atol=1e-8)


def test_what_the_page_shows_of_a_family_works(rod: Solution) -> None:
    (shown,) = re.findall(r'```python\n(solution = pk\.solve\("rod.toml"\).*?)```', DOCUMENT.read_text("utf-8"), re.DOTALL)
    names = {"pk": SimpleNamespace(solve=lambda file: rod), "points": X, "values": exact(X, 1.3)}
    exec(compile(shown, "problems.md", "exec"), names)
    assert rod.fit(X, names["values"])["mu"].value == pytest.approx(1.3, abs=1e-6)


def test_the_estimate_of_the_worst_member_is_not_below_its_error(rod: Solution) -> None:
    assert rod.family is not None
    error = rod.family["errors"]["u"]["worst"]["l2_relative"]
    assert 0.5 * error <= rod.family["estimate"]["u"]["worst"]["l2_relative"] <= 1e-6


def test_shapes_of_values(rod: Solution) -> None:
    several = rod(X, mu=[1.0, 2.0, 3.0])
    assert several.shape == (3, 21)
    np.testing.assert_allclose(several[1], rod(X, mu=2.0), atol=1e-15)
    pairs = rod(np.column_stack([X, np.linspace(0.5, 8.0, 21)]))
    np.testing.assert_allclose(pairs[4], rod(X[4:5], mu=2.0)[0], rtol=1e-12)
    assert rod.gradient(X, mu=2.0).shape == (21, 1)
    assert np.isnan(rod([[2.0]], mu=1.0)).all()


def test_sensitivities_are_difference_quotients_of_the_exact_solution(rod: Solution) -> None:
    quotient = (exact(X, 2.0 + 1e-5) - exact(X, 2.0 - 1e-5)) / 2e-5
    np.testing.assert_allclose(rod.sensitivity(X, "mu", mu=2.0), quotient, atol=1e-7)


def test_a_fit_finds_the_parameter_within_its_standard_error(rod: Solution) -> None:
    clean = rod.fit(X, exact(X, 3.7))["mu"]
    assert abs(clean.value - 3.7) < 1e-6
    noisy = rod.fit(X, exact(X, 3.7) + 1e-4 * np.random.default_rng(1).standard_normal(21))["mu"]
    assert noisy.standard_error is not None
    assert abs(noisy.value - 3.7) < 3.0 * noisy.standard_error < 0.2
    assert rod.fit(X, exact(X, 12.0))["mu"].on_bound


def test_a_family_and_a_member_are_loaded_as_they_were(rod: Solution, tmp_path: Path) -> None:
    rod.save(tmp_path / "family.vtkhdf")
    loaded = pk.load_solution(tmp_path / "family.vtkhdf")
    np.testing.assert_array_equal(loaded(X, mu=1.3), rod(X, mu=1.3))
    assert loaded.family == rod.family
    member = loaded.member(mu=1.3)
    member.save(tmp_path / "member.vtkhdf")
    again = pk.load_solution(tmp_path / "member.vtkhdf")
    np.testing.assert_allclose(again(X), exact(X, 1.3), atol=1e-8)
    assert again.problem is not None
    assert again.problem.values == {"mu": 1.3}


def test_one_member_says_nothing_of_the_others(rod: Solution) -> None:
    members = members_of(rod)
    first = Members(rod.problem, {(0,): members[0,]})
    assert first.gap == float("inf")
    assert first.estimates() == (None, "there was no time for members along every parameter")
    both = Members(rod.problem, {index: members[index] for index in ((0,), (1,))}, {(0,): {}, (1,): {}})
    assert both.is_spanned


def test_a_linear_member_begins_with_the_smallest_network_others_with_the_nearest(rod: Solution) -> None:
    one = members_of(rod)[0,]
    sizes = {(0,): 3, (1,): 2, (2,): 2}  # at 0, 1 and -1; the next nodes are -0.58, 0.66, -0.84, 0.87 and 0.31
    found = Members(rod.problem, {index: replace(one, network=KAN((2, k), 3, 2)) for index, k in sizes.items()})
    assert found.nearest((3,), smallest=True) is found.solved[2,]
    assert found.nearest((4,), smallest=True) is found.solved[1,]
    assert found.nearest((5,)) is found.solved[2,]
    assert found.nearest((7,)) is found.solved[0,]


def test_a_member_that_is_not_estimated_has_an_error_in_proportion_to_its_residual(rod: Solution) -> None:
    def one(residual: float, error: float | None) -> Solution:
        estimate = None if error is None else {"u": Estimate(error, error, error, error, "")}
        return replace(members_of(rod)[0,], relative_residual=residual, estimate=estimate)

    found = Members(rod.problem, {(0,): one(1e-6, 2e-8), (1,): one(1e-7, 5e-9), (2,): one(4e-6, None)})
    assert found.ratio == pytest.approx(0.05)
    assert found.own_error == pytest.approx(2e-7)


def test_members_that_are_not_estimated_end_where_their_error_is_small_enough(rod: Solution) -> None:
    targets: list[float] = []

    def solve(problem: Problem, given: None, setup: Setup, start: Solution | None) -> Solution:
        targets.append(setup.target)
        assert setup.estimate == (setup.target == 0.0)
        return _solved(problem, given, setup, start)

    assert rod.problem is not None
    FamilyTraining(rod.problem, Setup(), solve).solution()
    assert 0.0 < min(target for target in targets if target) <= max(targets) <= 1e-5  # a tenth of the default tolerance


def test_two_members_of_three_do_not_converge() -> None:
    """Time is over when the second one is solved, at one end of the range: nothing is known of the other end."""
    spent = [0.0]

    def watch(progress: pk.Progress) -> None:
        if len((progress.snapshot().family or {"nodes": []})["nodes"]) == 1 and progress.stage >= progress.stages // 2:
            spent[0] = 1e6

    solution = of_rod(now=lambda: spent[0], watch=watch)
    assert solution.family is not None
    assert solution.status == "budget"
    assert len(solution.family["nodes"]) == 2


def test_a_resumed_family_takes_its_members_as_they_are(rod: Solution) -> None:
    resumed = pk.solve(rod.problem, resume=rod)
    assert resumed.iterations == rod.iterations
    np.testing.assert_allclose(resumed(X, mu=1.3), rod(X, mu=1.3), rtol=1e-12)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = tmp_path / "rod.toml", tmp_path / "run"
    file.write_text(ROD, encoding="utf-8")
    assert command("solve", str(file), "--output", str(run), "--json", "--no-estimate") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["family"]["parameters"] == {"mu": [0.5, 8.0]}
    assert summary["family"]["errors"] is None
    assert (run / "members.png").exists()
    assert command("export", str(run), "--parameter", "mu=1.3") == 0
    np.testing.assert_allclose(pk.load_solution(run / "export.vtkhdf")(X), exact(X, 1.3), atol=1e-8)
    capsys.readouterr()
    assert command("export", str(run), "--parameter", "mu=9", "--force") == 2
    assert "mu = 9 is not in its range [0.5, 8]" in capsys.readouterr().err


def test_conditions_that_are_built_in(tmp_path: Path) -> None:
    text = ROD.replace("value = 0", 'value = "exp(mu*x)"\nenforce = "exact"').replace("[0.5, 8.0]", "[0.5, 1.0]")
    text = text.replace("source = 1", 'source = "manufactured"') + '[exact]\nu = "exp(mu*x)"\n'
    solution = pk.solve(loads(text, "rod.toml"))
    solution.save(tmp_path / "built_in.vtkhdf")
    again = pk.load_solution(tmp_path / "built_in.vtkhdf")
    np.testing.assert_allclose(again(X, mu=0.6), np.exp(0.6 * X[:, 0]), atol=1e-7)


def test_parameters_are_numbers_in_formulas() -> None:
    text = ROD.replace("source = 1", 'source = "x**(2*mu)"').replace("[0.5, 8.0]", "[1.0, 2.0]")
    problem = loads(text, "rod.toml").member(mu=1.5)
    points = torch.tensor([[0.0], [-2.0]], dtype=torch.float64)
    equation = problem.equations[0]
    source = problem.right_hand_side(equation.source, equation.operator, points, Derivatives.FULL, None)
    assert source.tolist() == [0.0, -8.0]


def test_python_states_families() -> None:
    problem = pk.Problem(
        domain=pk.box(x=(0.0, 1.0)),
        equation=lambda u, mu: -pk.dx(pk.dx(u)) + mu * u,
        source=1.0,
        conditions=[pk.dirichlet(0.0)],
        ranges={"mu": pk.Range(0.5, 1.0)},
    )
    np.testing.assert_allclose(pk.solve(problem)(X, mu=0.7), exact(X, 0.7), atol=1e-8)


def test_a_resonance_is_named() -> None:
    text = ROD.replace("+ mu*u", "- mu**2*u").replace("[0.5, 8.0]", "[2.0, 4.0]")
    (sentence,) = resonances(loads(text, "rod.toml"))
    assert "resonance at mu = 3.1416" in sentence
    solution = pk.solve(loads(text + "[training]\nseconds = 1\n", "rod.toml"))
    assert solution.status == "unreliable"
    assert "mu = 3.1416" in solution.reason
    assert not list(resonances(loads(text.replace("4.0", "3.0"), "rod.toml")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.5, 8.0]", "[8.0, 0.5]", r"parameters.mu.range: found \[8.0, 0.5\]; an interval is \[lower, upper\]"),
        ("[0.5, 8.0]", "[0.5, 8.0], trainable = true", "range and trainable"),
        ("mu = {", "x = {", "'x' is the name of a coordinate already"),
        ("range = [0.5, 8.0]", "max = 2.0", "initial is missing"),
        ("+ mu*u", "+ dmu(u)", "unknown function 'dmu'"),
        ("+ mu*u", "+ sqrt(mu - 1)*u", r"sqrt has no real value at -0.5 .*where mu = 0.5"),
    ],
)
def test_files_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        loads(ROD.replace(old, new), "rod.toml")


def test_families_have_no_trainable_parameters() -> None:
    with pytest.raises(ProblemFileError, match=r"q is trainable and mu has a range.*solution.fit"):
        loads(ROD.replace("[equation]", "q = {initial = 1.0}\n[equation]").replace("+ mu*u", "+ mu*u + q*u"), "rod.toml")


def test_calls_that_are_refused(rod: Solution) -> None:
    with pytest.raises(ValueError, match="is not in its range"):
        rod(X, mu=9.0)
    with pytest.raises(ValueError, match="'q' is no parameter"):
        rod(X, mu=1.0, q=1.0)
    with pytest.raises(ValueError, match=r"columns x, mu; or points of x, and the parameters by name"):
        rod(X)
    with pytest.raises(ProblemError, match="no parameter with a range"):
        rod.member(mu=1.0)(X, mu=1.0)
