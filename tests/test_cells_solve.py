"""Problems solved on cells: options, estimates, files, what is refused."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pdekan
from pdekan.cells.corners import corners, graded
from pdekan.cells.mesh import Mesh
from pdekan.cells.system import solved
from pdekan.domains.base import Domain
from pdekan.domains.box import box, hypercube
from pdekan.domains.combinations import difference
from pdekan.domains.partition import Partition
from pdekan.domains.shapes import disk, polygon
from pdekan.errors import norms
from pdekan.fields.functions import atan2, exp, sin
from pdekan.fields.jets import Jet
from pdekan.fields.operators import dt, laplacian
from pdekan.networks.cells import CellNetwork
from pdekan.problem_files.loader import load_problem, loads
from pdekan.problems.conditions import dirichlet, initial
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution, load_solution
from pdekan.training.cells import choice as cell_choice
from pdekan.training.cells import training as cell_training
from pdekan.training.cells.choice import RULE, _is_better, _Trial, _tried, cause, chosen, is_local, outlook
from pdekan.training.cells.training import CellTraining
from pdekan.training.progress import Callback, Progress
from pdekan.training.reasons import Reason
from pdekan.training.setup import Setup
from pdekan.training.solver import solve

FILE = """
schema = 1
name = "local"
[domain]
type = "box"
x = [-1.0, 1.0]
y = [-1.0, 1.0]
[equation]
operator = "laplacian(u)"
source = "manufactured"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "exp(-60*((x-0.2)**2 + y**2))"
[network]
cells = {cells}
"""


def problem(cells: str, *lines: str) -> Problem:
    return loads(FILE.format(cells=cells) + "\n".join(lines), "local.toml")


def test_adaptive_cells_meet_the_tolerance_and_the_estimate_is_near_the_error() -> None:
    solution = solve(problem('"adaptive"', "[training]", "tolerance = 1e-5"))
    assert solution.status == "converged", solution.reason
    assert isinstance(solution.network, CellNetwork)
    errors, estimate = solution.errors["u"], solution.estimate["u"]
    assert errors.l2_relative < 1e-5
    assert errors.l2_relative < 3.0 * estimate.l2_relative
    assert 0.1 < estimate.h1_seminorm_relative / errors.h1_seminorm_relative < 10.0


@pytest.mark.parametrize(("cells", "count"), [("[5, 3]", 15), ("4", 16)])
def test_cells_asked_for_are_kept(cells: str, count: int) -> None:
    solution = solve(problem(cells, "degree = 8"))
    assert solution.network.architecture()["cells"] == count
    assert solution.network.architecture()["degrees"] == {"8": count}
    errors, estimate = solution.errors["u"], solution.estimate["u"]
    assert 0.5 < estimate.l2_relative / errors.l2_relative < 2.0


def test_one_cell_is_one_network() -> None:
    assert not NetworkOptions(cells=1).local
    assert not NetworkOptions(cells=[1, 1]).local
    assert NetworkOptions(cells=[1, 2]).local
    assert NetworkOptions(cells="adaptive").local


def test_a_solution_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    solution = solve(problem("[3, 2]"))
    solution.save(tmp_path / "s.vtkhdf")
    again = load_solution(tmp_path / "s.vtkhdf")
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 2))
    np.testing.assert_array_equal(again(points), solution(points))
    np.testing.assert_array_equal(again.gradient(points), solution.gradient(points))


def test_a_nonlinear_problem() -> None:
    domain = box(x=(0.0, 1.0), y=(0.0, 1.0))
    nonlinear = Problem(
        domain, lambda u: laplacian(u) - u * u * u, EXACT, (dirichlet(EXACT),), exact=lambda x, y: 2.0 * sin(3.0 * x) * exp(y),
        network=NetworkOptions(cells=[2, 2]),
    )  # fmt: skip
    solution = solve(nonlinear)
    assert solution.errors["u"].l2_relative < 1e-8
    assert 3 <= solution.iterations <= 20


def test_training_ends_with_its_time() -> None:
    solution = solve(replace(problem('"adaptive"'), training=TrainingOptions(seconds=0.5, tolerance=1e-13)))
    assert solution.status in ("budget", "stalled", "converged")
    assert solution.parameters > 0


def test_a_step_for_which_there_is_no_time_is_said_to_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set[int]()

    def work(mesh: Mesh) -> float:
        """A million times as much on each larger mesh."""
        size = int(mesh.degrees.sum())
        sizes.add(size)
        return 1e6 ** sorted(sizes).index(size)

    monkeypatch.setattr(cell_training, "_work", work)
    layer = load_problem("boundary_layer", ['network.cells="adaptive"'])
    training = CellTraining(replace(layer, training=TrainingOptions(tolerance=1e-13, seconds=60.0)), Setup())
    solution = training.solution()
    assert training.reason is Reason.TOO_SLOW
    assert solution.status == "budget"
    assert solution.reason.startswith(Reason.TOO_SLOW.sentence)


def test_training_is_interrupted_by_words() -> None:
    solution = solve(problem('"adaptive"'), watch=lambda progress: "enough")
    assert solution.status == "interrupted"
    assert solution.iterations == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"domain": hypercube(4, 0.0, 1.0)}, "cells fill boxes"),
        ({"training": TrainingOptions(adapt=True)}, "graded coordinates"),
        ({"conditions": (dirichlet(0.0, enforce="exact"),)}, "exact conditions"),
        ({"network": NetworkOptions(cells=[2, 2, 2])}, "3 numbers for 2 coordinates"),
    ],
)
def test_what_cells_cannot_do_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        solve(replace(problem('"adaptive"'), **change))


@pytest.mark.parametrize("cells", ['"some"', "0", "[2, 0]", "1.5", "[]"])
def test_cells_that_make_no_sense_are_refused(cells: str) -> None:
    with pytest.raises(ProblemError, match="cells"):
        problem(cells)


def test_the_package_solves_a_path(tmp_path: Path) -> None:
    path = tmp_path / "local.toml"
    path.write_text(FILE.format(cells="[2, 2]"))
    assert pdekan.solve(str(path)).network.architecture()["cells"] == 4


@pytest.mark.parametrize(
    ("exact", "local"), [("sin(3*x)*exp(y)", False), ("exp(-3000*((x-0.2)**2+y**2))", True), ("atan(60*(x+0.3*y))", True)]
)
def test_cells_are_chosen_where_the_source_is_local(exact: str, local: bool) -> None:
    text = FILE.replace("[network]\ncells = {cells}\n", "").replace("exp(-60*((x-0.2)**2 + y**2))", exact)
    assert is_local(loads(text, "local.toml")) is local


def test_what_a_file_states_about_the_network_is_not_overruled() -> None:
    narrow = replace(problem("1"), exact=lambda x, y: exp(-3000.0 * (x * x + y * y)))
    for network in (NetworkOptions(hidden=(4,)), NetworkOptions(cells=1), NetworkOptions(degree=3)):
        assert cause(replace(narrow, network=network)) is None


def test_a_peak_is_solved_on_cells_by_default() -> None:
    text = FILE.replace("[network]\ncells = {cells}\n", "").replace("-60*", "-1000*") + "[training]\ntolerance = 1e-4\n"
    solution = solve(loads(text, "local.toml"))
    assert solution.status == "converged", solution.reason
    assert isinstance(solution.network, CellNetwork)
    assert solution.errors["u"].l2_relative < 1e-4


def test_a_point_at_which_the_source_is_infinite_is_moved() -> None:
    """r^1.5 about the middle of the first cells: the Laplacian is 2.25 / √r."""
    singular = Problem(
        box(x=(-1.0, 1.0), y=(-1.0, 1.0)), lambda u: laplacian(u), lambda x, y: 2.25 * (x * x + y * y) ** -0.25,
        (dirichlet(lambda x, y: (x * x + y * y) ** 0.75),), exact=lambda x, y: (x * x + y * y) ** 0.75,
        network=NetworkOptions(cells=[1, 3], degree=9),
    )  # fmt: skip
    assert solve(singular).errors["u"].l2_relative < 1e-2


L_SHAPE = polygon([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, -1.0]])


def singular(x: Jet, y: Jet) -> Jet:
    """r^(2/3) sin(2θ/3), harmonic, zero on the edges that meet at the origin."""
    a = 0.75 * math.pi  # the middle of the angle, so that the cut of atan2 is outside
    theta = atan2(y * math.cos(a) - x * math.sin(a), x * math.cos(a) + y * math.sin(a)) + a
    return (x * x + y * y) ** (1.0 / 3.0) * sin(theta * (2.0 / 3.0))


def test_a_corner_converges_exponentially_in_the_number_of_cells() -> None:
    """Halved layers towards the corner: the error in H1 falls by 2^(2/3) a layer, to which each adds nine cells."""
    corner = Problem(L_SHAPE, lambda u: laplacian(u), 0.0, (dirichlet(singular),), exact=singular)
    partition, found = Partition.grid((-1.0, -1.0), (1.0, 1.0), (2, 2)), []
    for goal in (2.0**-4, 2.0**-8):
        mesh = Mesh.of(corner, one := graded(partition, L_SHAPE, goal, 1000), np.full(one.count, 10))
        active = int(mesh.geometry.active.sum())
        found.append((active, norms.measure(corner, solved(corner, mesh).network)["u"].h1_seminorm_relative))
    assert found[1][0] - found[0][0] == 6 * 9
    assert np.log2(found[0][1] / found[1][1]) == pytest.approx(4.0, abs=0.3)


@pytest.mark.nightly  # by day: that corners are found, and that cells at one converge
def test_a_corner_is_found_and_solved_without_an_enrichment() -> None:
    corner = Problem(
        L_SHAPE, lambda u: laplacian(u), 0.0, (dirichlet(singular),), exact=singular, network=NetworkOptions(cells="adaptive"),
        training=TrainingOptions(tolerance=1e-4),
    )  # fmt: skip
    solution = solve(corner)
    assert solution.errors["u"].l2_relative < 1e-6
    assert solution.errors["u"].h1_seminorm_relative < 1e-3


@pytest.mark.parametrize(
    ("domain", "angles"),
    [
        (L_SHAPE, [1.5]),
        (disk((0.0, 0.0), 1.0), []),
        (difference(box(x=(0, 2), y=(0, 2)), box(x=(0.5, 1), y=(0.5, 1))), [1.5] * 4),
    ],
)
def test_reentrant_corners_are_found(domain: Domain, angles: list[float]) -> None:
    np.testing.assert_allclose([one.angle / math.pi for one in corners(domain)], angles)


@pytest.mark.parametrize("domain", [disk((0.1, 0.0), 1.0), polygon([[-1.0, -1.0], [0.9, -0.7], [0.3, 1.0]]), L_SHAPE])
def test_cells_cut_by_the_boundary_converge_as_whole_ones(domain: Domain) -> None:
    smooth = lambda x, y: sin(2.0 * x + 0.3) * exp(0.7 * y)  # noqa: E731
    shape = Problem(domain, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=smooth)
    found = []
    for n in (4, 8):
        partition = Partition.grid(domain.lower, domain.upper, (n, n))
        mesh = Mesh.of(shape, partition, np.full(partition.count, 5))
        assert mesh.geometry.quadrature(mesh.degrees, 4).weights.sum() == pytest.approx(domain.measure, rel=1e-7)
        found.append(norms.measure(shape, solved(shape, mesh).network)["u"].h1_seminorm)
    assert np.log2(found[0] / found[1]) > 4.3


@functools.cache
def short_solution() -> Solution:
    return solve("bratu", training=TrainingOptions(steps=3))


@pytest.mark.parametrize("of_cells", [1e-9, 1e-2])
def test_the_estimated_error_decides_between_cells_and_one_network(of_cells: float) -> None:
    solution = short_solution()
    assert solution.estimate is not None
    local, single = (
        replace(solution, name=name, estimate={"u": replace(solution.estimate["u"], l2_relative=error)})
        for name, error in (("cells", of_cells), ("one network", 1e-5))
    )
    assert _is_better(load_problem("bratu"), Setup(), local, single) is (of_cells < 1e-5)


def test_a_residual_is_expected_to_go_on_as_a_power_of_the_seconds() -> None:
    seconds = np.linspace(0.25, 4.0, 16).tolist()
    assert outlook(seconds, [s**-3.0 for s in seconds], 16.0) == pytest.approx(1.0 / 64.0)
    assert outlook(seconds, [1.0] * 16, 16.0) == 1.0
    assert outlook(seconds[:1], [1.0], 16.0) == 1.0


@pytest.mark.parametrize(
    ("power", "size", "ended"),
    [(0.5, 1.0, True), (5.0, 1.0, False), (0.5, 1e-3, False)],
    ids=["slow", "fast enough", "nearly there"],
)
def test_one_network_ends_where_it_will_not_meet_the_tolerance(power: float, size: float, ended: bool) -> None:
    trial = _Trial(60.0, 1e-4, RULE, None)
    at = functools.partial(Progress, 1, 1, 1, 1, budget=60.0, loss=0.0, l2_relative=math.nan, snapshot=lambda: None)
    words = [trial(at(seconds=s, relative_residual=size * s**-power)) for s in (0.5, 1.0, 2.0, 4.0, 6.1)]
    assert words[:-1] == [None] * 4
    assert (words[-1] is not None) is ended is trial.ended


@pytest.mark.parametrize(("marched", "left", "ended"), [(True, 0.9, True), (True, 0.002, False), (False, 0.9, False)])
def test_one_network_ends_early_where_time_can_be_marched_through(marched: bool, left: float, ended: bool) -> None:
    trial = _Trial(60.0, 1e-4, RULE, None, marched)
    at = functools.partial(Progress, 1, 1, 1, 1, budget=60.0, loss=0.0, l2_relative=math.nan, snapshot=lambda: None)
    words = [trial(at(seconds=s, relative_residual=left)) for s in (1.0, 1.9, 2.1)]
    assert [one is not None for one in words] == [False, False, ended]


@pytest.mark.parametrize(("speed", "axes", "share"), [(0.0, "x", 0.2), (1.0, "x", 0.75), (0.0, "xy", 0.68), (1.0, "xy", 0.75)])
def test_cells_have_the_seconds_that_a_march_may_take(speed: float, axes: str, share: float) -> None:
    problem = Problem(
        box(**dict.fromkeys(axes, (0.0, 1.0)), t=(0.0, 1.0)), lambda u: dt(u) - laplacian(u) - speed * u * (1.0 - u),
        conditions=(dirichlet(0.0), initial(0.0)), training=TrainingOptions(seconds=50.0),
    )  # fmt: skip
    assert _tried(problem, 10.0, RULE) == pytest.approx(share * 50.0)


def layers(width: float, **options: object) -> Problem:
    """-ε² u'' + u = 1: the solution is 1 but for layers at both ends."""
    return Problem(
        box(x=(0.0, 1.0)), lambda u: u - width**2 * laplacian(u), 1.0, (dirichlet(0.0),),
        exact=lambda x: 1.0 - exp(-x / width) - exp((x - 1.0) / width), **options,
    )  # fmt: skip


def test_a_layer_that_no_source_shows_is_solved_on_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # the choice does not depend on what else the machine does
    problem = layers(1e-4, training=TrainingOptions(seconds=10.0))
    assert not is_local(problem)
    solution = chosen(problem, Setup(), replace(RULE, soonest=0.5, left=1e-6))
    assert solution is not None
    assert isinstance(solution.network, CellNetwork)
    assert solution.errors["u"].h1_seminorm_relative < 1e-5


def test_the_seconds_that_one_stalled_network_leaves_are_for_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = layers(1e-1, training=TrainingOptions(seconds=10.0))
    first = solve(replace(problem, training=TrainingOptions(steps=1)), estimate=False)

    def ended(status: str, seconds: float, callback: Callback | None = None) -> Solution | None:
        one = replace(first, status=status, seconds=seconds)
        monkeypatch.setattr(cell_choice, "Trainer", lambda *_: SimpleNamespace(solution=lambda: one))
        return chosen(problem, Setup(callback=callback))

    after_it = ended("stalled", 2.0)
    assert after_it is not None
    assert isinstance(after_it.network, CellNetwork)
    assert after_it.status == "converged"
    assert after_it.seconds > 2.0
    assert after_it.problem == problem
    for nothing_left in (ended("stalled", 9.0), ended("converged", 2.0), ended("budget", 2.0)):
        assert nothing_left is not None
        assert not isinstance(nothing_left.network, CellNetwork)
    monkeypatch.setattr(cell_choice, "_is_better", lambda *_: False)
    interrupted = ended("stalled", 2.0, lambda progress: "enough")
    assert interrupted is not None
    assert interrupted.status == "interrupted"
    assert not isinstance(interrupted.network, CellNetwork)


@pytest.mark.parametrize("local", [False, True])
def test_where_cells_cannot_begin_one_network_is_the_answer(local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At u = 0 the linearised equation is 0 = f."""
    problem = Problem(
        box(x=(0.0, 1.0)), lambda u: u * laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x: 1.0 + x**2,
        training=TrainingOptions(seconds=10.0),
    )  # fmt: skip
    with pytest.raises(ProblemError, match="do not determine the solution on cells"):
        solve(replace(problem, network=NetworkOptions(cells="adaptive")))
    first = replace(solve(replace(problem, training=TrainingOptions(steps=5))), status="stalled", seconds=2.0)
    monkeypatch.setattr(cell_choice, "Trainer", lambda *_: SimpleNamespace(solution=lambda: first))
    monkeypatch.setattr(cell_choice, "is_local", lambda *_: local)
    found = chosen(problem, Setup())
    assert found is not None
    assert (found.status, found.seconds) == ("stalled", 2.0)
    assert found.network is first.network


def test_estimates_of_refinements_that_end_early_are_not_far_below_the_errors() -> None:
    """Also where a step changed two cells of many, and the error of the others is that of the solution before."""
    known = 0
    for steps in range(2, 10):
        problem = layers(1e-3, network=NetworkOptions(cells="adaptive"), training=TrainingOptions(steps=steps))
        solution = solve(problem)
        errors = solution.errors["u"]
        if solution.estimate is None:
            assert errors.h1_seminorm_relative > 1e-2
            assert solution.status != "converged"
        else:
            known += 1
            estimate = solution.estimate["u"]
            assert 0.1 < estimate.l2_relative / errors.l2_relative < 1000.0
            assert 0.1 < estimate.h1_seminorm_relative / errors.h1_seminorm_relative < 10.0
    assert known >= 3
