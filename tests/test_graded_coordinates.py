"""Training in coordinates that suit the solution: where they are spread out, what that gains, and what a file keeps of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from solved_problems import better_once
from torch import Tensor, nn

import pdekan as pk
from pdekan.ansatz.unknowns import Ansatz, inner_network
from pdekan.domains.box import Box
from pdekan.networks.base import ModuleNetwork
from pdekan.networks.grading import equidistribute, lengths_per_axis, to_physical
from pdekan.networks.kan import KAN
from pdekan.problem_files.loader import loads
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.graded_coordinates import HIDDEN, INTERVALS, POWER, lengths, needed, plane_waves, regraded, sized
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage, stages
from pdekan.training.stage_training import StageTraining
from pdekan.training.starts import warm_start
from pdekan.training.stopping import BestStep
from pdekan.training.trainer import Trainer

WIDTH = 0.01
LAYER = """
schema = 1
name = "layer"
[domain]
type = "box"
x = [0.0, 1.0]
[parameters]
epsilon = 0.0005
[equation]
operator = "-epsilon*dx(dx(u)) + dx(u)"
source = "1"
[[conditions]]
type = "dirichlet"
on = "boundary"
[exact]
u = "x - (exp((x - 1)/epsilon) - exp(-1/epsilon))/(1 - exp(-1/epsilon))"
[training]
adapt = true
tolerance = 1e-6
"""
PLANE = """
schema = 1
name = "plane"
[domain]
type = "box"
x = [0.0, 2.0]
y = [1.0, 4.0]
[equation]
operator = "laplacian(u)"
[[conditions]]
type = "dirichlet"
on = "boundary"
"""


class Front(nn.Module):
    """tanh((x - 0.6)/WIDTH) cos y."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, points: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        return (self.one * torch.tanh((x - 0.6) / WIDTH) * torch.cos(y))[..., None]


def layer(**training: object) -> Problem:
    problem = loads(LAYER, "layer.toml")
    return replace(problem, training=replace(problem.training, **training))  # type: ignore[arg-type]


def test_axes_are_spread_out_where_the_solution_is_steep_and_nowhere_else() -> None:
    problem, network = loads(PLANE, "plane.toml"), ModuleNetwork(Front(), 2)
    grading = None
    for _ in range(3):  # differences see a front that is thinner than their steps only step by step
        axes = [lengths(problem, network, grading, k) for k in range(2)]
        grading = equidistribute(axes)
        assert grading is not None
    nodes, found = axes[0]
    steepest = int(found.argmin())
    assert float(nodes[steepest]) == pytest.approx(0.6 - 1.0, abs=WIDTH)
    # the mean fourth power of cos y over [1, 4] is 0.386; half the range of u is 1
    assert float(found[steepest]) == pytest.approx((WIDTH / 0.386**0.25) ** POWER, rel=0.4)
    even = torch.linspace(-1.0, 1.0, 11, dtype=torch.float64)
    assert torch.allclose(to_physical(even[:, None].expand(-1, 2), grading)[0][:, 1], even, atol=1e-12)


@pytest.fixture(scope="module")
def adapted() -> Solution:
    """The layer in coordinates that suit it."""
    return pk.solve(layer(seconds=60), estimate=False)


def test_a_layer_is_found_that_even_knots_do_not_find(adapted: Solution) -> None:
    plain = pk.solve(layer(adapt=False, steps=adapted.iterations, seconds=20), estimate=False)
    assert adapted.status == "converged"
    assert adapted.errors is not None
    assert adapted.errors["u"].l2_relative < 1e-7
    assert plain.relative_residual > 100 * adapted.relative_residual


def test_a_smooth_solution_is_trained_as_without() -> None:
    text = LAYER.replace("0.0005", "0.5").replace("1e-6", "1e-8")
    problem = loads(text, "smooth.toml")
    on = pk.solve(problem)
    off = pk.solve(replace(problem, training=replace(problem.training, adapt=False)))
    network = inner_network(on.network)
    assert isinstance(network, KAN)
    assert network.grading is None
    assert torch.equal(*(torch.cat([p.reshape(-1) for p in one.network.parameters()]) for one in (on, off)))


def test_graded_solutions_are_stored_and_gone_on_with(adapted: Solution, tmp_path: Path) -> None:
    problem, solution = layer(seconds=60), adapted
    solution.save(tmp_path / "solution.vtkhdf")
    loaded = pk.load_solution(tmp_path / "solution.vtkhdf")
    network = inner_network(loaded.network)
    assert isinstance(network, KAN)
    assert network.grading is not None
    points = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)[:, None].numpy()
    assert (loaded(points) == solution(points)).all()
    on = pk.solve(
        replace(problem, training=replace(problem.training, steps=solution.iterations + 8, tolerance=1e-8)),
        resume=loaded,
        estimate=False,
    )
    assert on.relative_residual < solution.relative_residual


def front_grading() -> Tensor:
    """Of a front across x, and of nothing along y."""
    nodes = torch.linspace(-1.0, 1.0, 801, dtype=torch.float64)
    grading = equidistribute([(nodes, (WIDTH**2 + nodes**2).sqrt()), (nodes, torch.ones_like(nodes))])
    assert grading is not None
    return grading


def test_a_stage_is_sized_for_the_lengths_that_fit_along_an_axis() -> None:
    grading, free = front_grading(), loads(PLANE, "plane.toml")
    fixed = replace(free, network=NetworkOptions(hidden=(6,)))
    small = Stage("kan", (6,), (3, 9), (1, 6))
    intervals = (1, math.ceil(INTERVALS * float(lengths_per_axis(grading).max())))
    assert sized(free, small, grading) == replace(small, hidden=(HIDDEN,), intervals=intervals)
    assert sized(fixed, small, grading) == replace(small, intervals=intervals)
    large = Stage("kan", (24,), (9, 9), (4, 500))
    assert sized(free, large, grading) == large
    assert sized(free, small, None) == small


def test_plane_waves_can_represent_the_function_of_another_network() -> None:
    grading, box = front_grading(), ([0.0, 1.0], [2.0, 4.0])
    before = KAN([2, 3, 1], (1, 5), (1, 2), "none", *box, grading=grading)
    before.initialise(torch.Generator().manual_seed(0))
    rule = Sampling(8, 8, 0, 0, grading)
    points, others = (torch.as_tensor(one.inside(Box(("x", "y"), *box)).points) for one in (rule, replace(rule, cells=5)))
    stage = sized(loads(PLANE, "plane.toml"), Stage("kan", (8,), (3, 9), (1, 6)), grading)
    after = plane_waves(before, stage, grading, points, torch.Generator().manual_seed(1))
    assert (after.widths, after.intervals) == ((2, *stage.hidden, 1), stage.intervals)
    after.project(before(points).detach(), points)
    said, meant = (network(others).detach() for network in (after, before))
    torch.testing.assert_close(said, meant, rtol=0.0, atol=1e-4 * float(meant.abs().max()))
    lines = after.spline_layers[0].dense("coefficients").detach()
    slopes = lines.diff(dim=-1).abs().sum(-1)  # from end to end
    assert float((slopes - (lines[..., -1] - lines[..., 0]).abs()).max()) < 0.5
    # along y little changes: most waves go along x
    assert float(slopes[1].median()) < 0.2 * float(slopes[0].median())


def test_a_stage_in_graded_coordinates_keeps_what_is_best_on_validation_points(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[float, Tensor]]()
    problem = replace(layer(seconds=20), network=NetworkOptions(hidden=(8,), degree=9, intervals=12))
    trainer = Trainer(problem)
    nodes = torch.linspace(-1.0, 1.0, 801, dtype=torch.float64)
    grading = equidistribute([(nodes, (0.001**2 + (nodes - 1.0) ** 2).sqrt())])
    monkeypatch.setattr(Validation, "residuals", better_once(seen))
    stage = replace(stages(problem)[0], count=len(stages(problem)))
    training = StageTraining(trainer.context, stage, replace(trainer.state, grading=grading))
    monkeypatch.setattr(training.steep, "found", lambda network: False)
    trained = training.trained()
    state, candidate = trained.state, trained.candidate
    assert state.ended is Reason.STALLED
    assert candidate.relative == 0.2
    assert [relative for relative, _ in seen] == [0.5, 0.2, *[0.9] * BestStep().patience]


def test_an_initial_guess_in_graded_coordinates_is_trained_from_the_first_stage_on(adapted: Solution) -> None:
    """How a slab of time begins does not depend on the sizes that the one before it ended with."""
    later = replace(adapted, stage=3, continuation=None)
    guess = replace(later, iterations=0)
    problem = layer(seconds=20)
    assert Trainer(problem, resume=later).state.first == 3
    state = Trainer(problem, resume=guess).state
    assert state.first == 0
    assert state.best is not None
    network = inner_network(state.best.network)
    assert isinstance(network, KAN)
    wide = replace(state.best, network=network.widened((40,), torch.Generator().manual_seed(0)))
    stage = sized(problem, stages(problem)[0], state.grading)
    assert not warm_start.is_smaller(stage, replace(state, best=wide))
    # a network that was trained for this problem is not given up for fewer nodes
    assert warm_start.is_smaller(stage, replace(state, best=wide, extrapolated=False))


def test_regrading_keeps_what_an_ansatz_has_beside_its_network() -> None:
    text = LAYER.replace("epsilon = 0.0005", "epsilon = {initial = 0.3, trainable = true}")
    problem = loads(text.replace("(x - 1)/epsilon", "(x - 1)/0.01").replace("1/epsilon", "100"), "layer.toml")
    inner = KAN([1, 3, 1], 5, 30, lower=[0.0])
    inner.initialise(torch.Generator().manual_seed(0))
    network = Ansatz(problem, inner)
    with torch.no_grad():
        assert network.values is not None
        network.values.fill_(0.7)
        inner.spline_layers[1].coefficients.zero_()
        inner.spline_layers[1].coefficients[0, 0, 20:] = 1.0
    grading = needed(problem, network)
    assert grading is not None
    moved = regraded(network, grading)
    assert isinstance(moved, Ansatz)
    assert moved.parameter_values() == network.parameter_values()
    inner = inner_network(moved)
    assert isinstance(inner, KAN)
    assert inner.grading is not None
    assert torch.equal(inner.grading, grading)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('type = "box"\nx = [0.0, 2.0]\ny = [1.0, 4.0]', 'type = "disk"\ncenter = [0, 0]\nradius = 1'), "type disk"),
        (("y = [1.0, 4.0]", "y = [1.0, 4.0]\nz = [0, 1]\nw = [0, 1]"), "4 coordinates"),
        (("[equation]", '[network]\nkind = "mlp"\n[equation]'), "kind mlp"),
    ],
)
def test_what_cannot_be_graded_is_refused_before_training(change: tuple[str, str], named: str) -> None:
    problem = loads(PLANE.replace(*change) + "[training]\nadapt = true\n", "plane.toml")
    with pytest.raises(ProblemError, match=named):
        pk.solve(problem)
