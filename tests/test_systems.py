# ruff: noqa: E501  (the files that are wrong are a table: one a line)
"""Small problems of every kind, end to end: what is found is what is known to be true."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pdekan import cli
from pdekan.domains.box import box
from pdekan.domains.shapes import disk
from pdekan.fields.functions import sin, where
from pdekan.fields.jets import Jet
from pdekan.fields.operators import div, dx, grad, laplacian, normal
from pdekan.problem_files.loader import ProblemFileError, load_problem, loads
from pdekan.problems.conditions import dirichlet, interface, mean, neumann
from pdekan.problems.formulas import EXACT
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.parameters import Measurements, Parameter
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import load_solution
from pdekan.training.progress import Progress
from pdekan.training.solver import solve

LINE = box(x=(0, 1))
QUICK = TrainingOptions(seconds=20.0, tolerance=1e-5)


def test_a_biharmonic_equation_as_a_system() -> None:
    """u'''' = π⁴ sin πx for a beam on two supports: v = u'' vanishes where u does."""
    problem = Problem(
        LINE, (lambda u, v: laplacian(u) - v, lambda v: laplacian(v)), (0.0, lambda x: math.pi**4 * sin(math.pi * x)),
        (dirichlet(0.0), dirichlet(0.0, unknown="v")), unknowns=("u", "v"), training=QUICK,
        exact={"u": lambda x: sin(math.pi * x), "v": lambda x: -(math.pi**2) * sin(math.pi * x)},
        network=NetworkOptions(hidden=(4,), degree=7, intervals=2),
    )  # fmt: skip
    solution = solve(problem)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    assert solution.errors["v"].l2_relative < 1e-4
    assert solution([[0.5]]).shape == (1, 2)


@pytest.mark.parametrize("enforce", ["weak", "exact"])
def test_an_eigenvalue_is_a_parameter(enforce: str) -> None:
    """-u'' = λu with u = 0 at both ends and mean(u²) = 1/2: the nearest eigenvalue to the first guess is π²."""
    problem = Problem(
        LINE, lambda u, lam: -laplacian(u) - lam * u, 0.0,
        (dirichlet(0.0, enforce=enforce), mean(0.5, lambda u: u**2)), parameters={"lam": Parameter(8.0, 0.0)},  # type: ignore[arg-type]
        network=NetworkOptions(hidden=(3,), degree=6, intervals=2), training=replace(QUICK, starts=3),
    )  # fmt: skip
    solution = solve(problem)
    assert solution.found["lam"].value == pytest.approx(math.pi**2, rel=1e-5)
    assert solution.found["lam"].standard_error is None  # there are no data
    assert abs(solution([[0.25]])[0]) == pytest.approx(math.sqrt(0.5), rel=1e-4)
    if enforce == "exact":
        assert np.abs(solution([[0.0], [1.0]])).max() < 1e-14


def test_two_parameters_are_found_from_data() -> None:
    """-k u'' + c u' = 1 with u = 0 at both ends, in closed form; k and c are found from noisy u."""
    k, c = 0.3, 0.7
    x = np.linspace(0.02, 0.98, 80)
    u = (x - np.expm1(c * x / k) / math.expm1(c / k)) / c
    noisy = u + 1e-3 * np.random.default_rng(0).standard_normal(80)
    problem = Problem(
        LINE, lambda u, k, c: -k * laplacian(u) + c * dx(u), 1.0, (dirichlet(0.0),),
        parameters={"k": Parameter(1.0, 0.01), "c": Parameter(0.0)}, data=(Measurements(x[:, None], {"u": noisy}, 1e-3),),
        network=NetworkOptions(hidden=(3,), degree=6, intervals=2), training=QUICK,
    )  # fmt: skip
    solution = solve(problem)
    for name, truth in (("k", k), ("c", c)):
        found = solution.found[name]
        assert found.standard_error is not None
        assert 1e-5 < found.standard_error < 0.05
        assert abs(found.value - truth) < 4.0 * found.standard_error
    assert solution.history["parameter_k"][-1] == pytest.approx(solution.found["k"].value, rel=1e-6)


def test_a_coefficient_that_jumps_a_thousandfold_across_a_circle() -> None:
    """Of div(k ∇u) = 4 with k = 1000 inside r = 1/2 and 1 outside: u = r²/1000 + a inside, and r² + b outside."""
    inside = lambda x, y: x.value**2 + y.value**2 < 0.25  # noqa: E731

    def k(x: Jet, y: Jet) -> Jet:
        return where(inside(x, y), x * 0.0 + 1000.0, 1.0)

    def exact(x: Jet, y: Jet) -> Jet:
        r2 = x**2 + y**2
        return where(inside(x, y), (r2 - 0.25) * 1e-3 + 0.25, r2)

    problem = Problem(
        disk(), lambda u, x, y: div(k(x, y) * grad(u)), 4.0,
        (dirichlet(1.0), interface("core"), interface("core", 0.0, lambda u, x, y: k(x, y) * normal(u))),
        exact=exact, interfaces={"core": disk((0.0, 0.0), 0.5)}, training=replace(QUICK, points=250),
        network=NetworkOptions(hidden=(5,), degree=6, intervals=1),
    )  # fmt: skip
    solution = solve(problem)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-4
    assert solution.gradient([[0.3, 0.0]])[0] == pytest.approx([6e-4, 0.0], abs=2e-4)
    assert solution.gradient([[0.8, 0.0]])[0] == pytest.approx([1.6, 0.0], abs=1e-3)


def test_neumann_conditions_alone_with_a_mean() -> None:
    problem = Problem(
        LINE, lambda u: -laplacian(u), EXACT, (neumann(EXACT), mean(EXACT)), exact=lambda x: sin(3.0 * x) + 5.0, training=QUICK,
        network=NetworkOptions(hidden=(3,), degree=6, intervals=2),
    )  # fmt: skip
    solution = solve(problem)
    assert solution.errors is not None
    assert solution.errors["u"].l2_relative < 1e-5


FILE = """\
schema = 1
name = "sought"
[domain]
type = "box"
x = [0.0, 1.0]
[parameters]
k = {initial = 1.0, min = 0.1}
[equation]
operator = "-k*laplacian(u)"
source = "pi**2*sin(pi*x)"
[[conditions]]
type = "dirichlet"
enforce = "exact"
[[data]]
file = "probe.csv"
noise = 0.01
[network]
hidden = [3]
degree = 6
intervals = 2
[training]
seconds = 20
"""
REGRESSION = """\
schema = 1
name = "curve"
[domain]
type = "box"
x = [0.0, 1.0]
[[data]]
file = "probe.csv"
noise = 0.01
[network]
hidden = [3]
degree = 5
intervals = 2
[training]
seconds = 20
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """u = sin(πx)/2, so that k = 2, with noise."""
    x = np.linspace(0.01, 0.99, 99)
    u = np.sin(math.pi * x) / 2.0 + 0.01 * np.random.default_rng(0).standard_normal(99)
    lines = ["x,u", *(f"{a:.17g},{b:.17g}" for a, b in zip(x, u, strict=True))]
    (tmp_path / "probe.csv").write_text("\n".join(lines), "utf-8")
    (tmp_path / "sought.toml").write_text(FILE, "utf-8")
    (tmp_path / "curve.toml").write_text(REGRESSION, "utf-8")
    return tmp_path


def test_a_regression_from_a_file_by_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["solve", str(folder / "curve.toml"), "--output", str(folder / "run"), "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert code in (0, 3)  # three held-out misfits in a hundred may be above any noise
    assert summary["data_residual"] == pytest.approx(0.01, rel=0.5)
    solution = load_solution(next((folder / "run").glob("*.vtkhdf")))
    x = np.linspace(0.05, 0.95, 50)
    assert np.abs(solution(x[:, None]) - np.sin(math.pi * x) / 2.0).max() < 0.02


def test_a_solution_with_parameters_and_data_is_saved_loaded_and_resumed(folder: Path, tmp_path: Path) -> None:
    problem = load_problem(folder / "sought.toml")

    def soon(progress: Progress) -> str | None:
        return "interrupted" if progress.step >= 3 else None

    first = solve(problem, watch=soon)
    assert first.status == "interrupted"
    first.save(tmp_path / "run.vtkhdf")
    (folder / "probe.csv").unlink()
    loaded = load_solution(tmp_path / "run.vtkhdf")
    x = np.linspace(0.0, 1.0, 11)[:, None]
    np.testing.assert_array_equal(loaded(x), first(x))
    assert loaded.found == first.found
    assert loaded.problem is not None
    (data,) = loaded.problem.data
    np.testing.assert_array_equal(data.values["u"], problem.data[0].values["u"])
    np.testing.assert_array_equal(data.points, problem.data[0].points)
    assert data.noise == 0.01
    resumed = solve(loaded.problem, resume=loaded)
    assert resumed.iterations > 3
    assert len(resumed.history["parameter_k"]) == resumed.iterations
    found = resumed.found["k"]
    assert found.standard_error == pytest.approx(2.0 * 0.01 / math.sqrt(99 * 0.125), rel=0.05)
    assert abs(found.value - 2.0) < 4.0 * found.standard_error
    again = tmp_path / "again.vtkhdf"
    resumed.save(again)
    assert load_solution(again).found == resumed.found


DISK = 'type = "disk"\nradius = 1.0'
UNION = 'type = "union"\nparts = [{type = "disk", radius = 1.0}, {type = "disk", radius = 1.0, center = [1.0, 0.0]}]'
LAPLACE = '[equation]\noperator = "laplacian(u)"\n'
NONE = '[[conditions]]\ntype = "dirichlet"\n'
STOKES = 'unknowns = ["u", "v"]\n'
PAIR = '[equation]\noperator = ["laplacian(u)", "laplacian(v)"]\n'


@pytest.mark.parametrize(
    ("head", "domain", "rest", "message"),
    [
        ("", "", LAPLACE + NONE + 'on = "z-"\n', r"bad.toml:\d+: conditions.0.on: no face 'z-'; the faces are x-, x\+, y-, y\+"),
        ("", DISK, LAPLACE + NONE + 'on = "x-"\n', "no face 'x-'; the faces are outer"),
        (STOKES, "", PAIR + NONE, "needs unknown = \"…\"; the unknowns are u, v"),
        (STOKES, "", PAIR + NONE + 'unknown = "w"\n', "'w' is no unknown; the unknowns are u, v"),
        (STOKES, "", PAIR + NONE + 'unknown = "u"\n', "nothing determines the level of v"),
        ("", UNION, LAPLACE + NONE + 'enforce = "exact"\n', "no smooth function is known that vanishes on .* enforce its condition weakly"),
        ("", "", LAPLACE + NONE + '[[data]]\nfile = "out.csv"\n', r"1 of 2 points are outside of the domain, the first at x = 3, y = 0"),
        ("", "", LAPLACE + NONE + '[[data]]\nfile = "none.csv"\n', "none.csv: cannot be read: No such file"),
        ("", "", '[parameters]\nk = {initial = 5.0, max = 2.0}\n[equation]\noperator = "k*laplacian(u)"\n' + NONE,
         "parameters.k: initial value 5 is not between -inf and 2"),
        ("", "", LAPLACE + NONE + '[[conditions]]\ntype = "interface"\non = "core"\n', "no interface 'core'; the interfaces are none: add"),
        ("", "", LAPLACE + NONE + 'enforce = "exact"\n[[enrichment]]\nexpression = "x"\n', "u is enriched: its conditions cannot be exact"),
        ("", "", '[parameters]\nk = {initial = 1.0}\n[equation]\noperator = "k*laplacian(u)"\n' + NONE + 'enforce = "exact"\nvalue = "k"\n',
         "'k'"),
        ("", "", LAPLACE + '[[conditions]]\ntype = "neumann"\n', 'nothing determines the level of u: .* type = "mean"'),
        ("", "", LAPLACE + NONE + NONE + 'on = "x-"\nvalue = 1\n', "x- has values of u from condition 1 already"),
        ("", "x = [0.0, 1.0]\nt = [0.0, 1.0]\n", LAPLACE + '[[conditions]]\ntype = "initial"\nenforce = "exact"\nvalue = "1"\n' + NONE + 'enforce = "exact"\n',
         "the values of u disagree with those on another face"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "solve"])
def test_files_that_are_wrong_are_refused_by_both_commands(
    command: str, head: str, domain: str, rest: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.csv").write_text("x,y,u\n0.5,0.5,1\n3,0,1\n", "utf-8")
    domain = domain or "x = [0.0, 1.0]\ny = [0.0, 1.0]\n"
    domain = domain if "type" in domain else 'type = "box"\n' + domain
    path = tmp_path / "bad.toml"
    path.write_text(f'schema = 1\nname = "bad"\n{head}[domain]\n{domain}\n{rest}', "utf-8")
    options = ["--output", str(tmp_path / "run")] if command == "solve" else []
    assert cli.main([command, str(path), *options]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_doubts_are_told_and_training_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        FILE.replace('enforce = "exact"', "").split("[[data]]")[0].replace("x = [0.0, 1.0]", "x = [0.0, 1.0]\ny = [0.0, 1.0]")
    )
    path = folder / "rough.toml"
    path.write_text(text + 'on = ["x-"]\nvalue = 1\n' + NONE + 'on = ["x+", "y-", "y+"]\n[training]\nsteps = 1\n', "utf-8")
    assert cli.main(["check", str(path)]) == 0
    assert "values of u disagree where" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["check", str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == 1
    cli.main(["solve", str(path), "--output", str(folder / "rough"), "--set", "network.hidden=[2]"])
    assert "pdekan: warning: values of u disagree where x- and y- meet: 1 and 0" in capsys.readouterr().err


def test_time_alone_states_ordinary_differential_equations() -> None:
    text = """\
schema = 1
name = "pendulum"
unknowns = ["angle", "rate"]
[domain]
t = [0.0, 3.0]
[equation]
operator = ["dt(angle) - rate", "dt(rate) + sin(angle)"]
[[conditions]]
type = "initial"
unknown = "angle"
value = "1"
[[conditions]]
type = "initial"
unknown = "rate"
value = "0"
"""
    solution = solve(loads(text))
    exact = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0.0, 3.0), [1.0, 0.0], rtol=1e-12, atol=1e-12)
    assert solution.status == "converged"
    np.testing.assert_allclose(solution([[3.0]])[0], exact.y[:, -1], atol=1e-6)
    for space in ("laplacian(angle)", "div(grad(angle))"):
        with pytest.raises(ProblemFileError, match=r"over the space coordinates, of which there are none"):
            loads(text.replace("dt(angle) - rate", f"dt(angle) - {space}"))
    with pytest.raises(ProblemFileError, match=r"type: is missing"):
        loads(text.replace("t = [0.0, 3.0]", "s = [0.0, 3.0]"))
