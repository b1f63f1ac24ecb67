"""The search for inner functions: batched networks against one's rows and autograd, many problems against one, minima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import jacrev

import pdekan as pk
from pdekan import splines
from pdekan.networks.batch import coefficients
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.many import ManyGaussNewton
from pdekan.problem_files.loader import load_problem
from pdekan.problems.problem import NarrowPlace, Problem
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.training.points import training_points
from pdekan.training.schedule import Stage, is_searchable, stages
from pdekan.training.starts.inner_starts import starts
from pdekan.training.starts.nearest import Fits, Round, fit_points, nearest, nearness, refinements
from pdekan.training.starts.search import InnerProblems, InnerSearch, Search
from pdekan.training.state import State
from pdekan.training.stopping import Distance

PAPER = load_problem("poisson_kan_paper")
STAGE = Stage("kan", (3,), (3, 5), (1, 4))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def periodic() -> Problem:
    """Rows that join points, and first and second derivatives of all kinds."""
    return Problem(
        pk.box(x=(0.0, 2.0), y=(-1.0, 3.0)),
        lambda u: pk.laplacian(u) + 0.3 * pk.dx(pk.dy(u)) - (1.0 + pk.dx(u)),
        lambda x, y: pk.sin(x * y),
        (pk.periodic("x"), pk.dirichlet(1.0, on="y-"), pk.robin(lambda u: pk.normal(u) + 2.0 * u, 0.5, on="y+")),
    )


def networks(problem: Problem, count: int = 3) -> tuple[InnerProblems, torch.Tensor, torch.Tensor, KAN]:
    """Problems of some random networks, their coefficients, and a network of their sizes."""
    like = KAN((2, 3, 1), STAGE.degree, STAGE.intervals, "none", problem.domain.lower, problem.domain.upper)
    many = InnerProblems.of(problem, STAGE, like)
    inner = torch.randn(count, 2 * 4, 3, generator=generator(), dtype=torch.float64)
    outer = torch.randn(count, 3 * 9, generator=generator(1), dtype=torch.float64)
    return many, 0.3 * inner, outer, like


@pytest.mark.parametrize("problem", [PAPER, periodic()], ids=["box", "periodic"])
def test_rows_of_many_networks_are_those_of_each(problem: Problem) -> None:
    many, inner, outer, like = networks(problem)
    fitted = terms(problem, training_points(problem, STAGE, problem.training.seed))
    linear, by_inner = many.linear(inner), many.inner(inner, outer)
    for k in range(len(inner)):
        kan = many.batch(inner, outer).network(k, like)
        residual, rows = Objective(problem, kan, fitted).rows(kan.flat_parameters)
        edges = rows[:, : 2 * 3 * 4].reshape(-1, 2, 3, 4).transpose(2, 3)  # (rows, d, w, n) as (rows, d, n, w)
        assert torch.allclose(linear[k], rows[:, -3 * 9 :], rtol=1e-10, atol=1e-10)
        assert torch.allclose(by_inner[k], edges.reshape(len(rows), -1), rtol=1e-10, atol=1e-9)
        assert torch.allclose(many.residual + linear[k] @ outer[k], residual, rtol=1e-10, atol=1e-10)


def test_derivatives_by_inner_coefficients_are_those_of_autograd() -> None:
    many, inner, outer, _ = networks(PAPER, count=1)
    expected = jacrev(lambda a: many.linear(a)[0] @ outer[0])(inner)
    assert torch.allclose(many.inner(inner, outer)[0], expected.flatten(1), rtol=1e-10, atol=1e-9)


def test_normalised_networks_have_the_same_level_lines_and_fill_the_knots() -> None:
    many, inner, _, _ = networks(PAPER)
    normalised = many.normalised(inner)
    values, before = (torch.cat([one.basis.value @ a for one in many.rows], dim=1) for a in (normalised, inner))
    assert torch.allclose(values.amax(1), torch.tensor(0.97, dtype=torch.float64))
    assert torch.allclose(values.amin(1), torch.tensor(-0.97, dtype=torch.float64))
    scaled = [(one - one.mean(1, keepdim=True)) / one.std(1, keepdim=True) for one in (values, before)]
    assert torch.allclose(*scaled)


def test_many_problems_are_solved_as_one_is() -> None:
    """The steps are those of `GaussNewton`, whose ridge and damping change in the same way."""
    many, inner, _, like = networks(PAPER, count=2)
    found = ManyGaussNewton(ridge=1e-10).minimise(many, inner, 6)
    fitted = terms(PAPER, training_points(PAPER, STAGE, PAPER.training.seed))
    for k in range(2):
        kan = many.batch(inner).network(k, like)
        objective = Objective(PAPER, kan, fitted)
        losses: list[float] = []
        theta = kan.flat_parameters
        GaussNewton(ridge=1e-10).minimise(objective, theta, 6, lambda step: losses.append(step.loss))  # noqa: B023
        assert found.loss[k] <= 1.5 * losses[-1]
        assert found.loss[k] < losses[0]
        kan = many.batch(found.a, found.c).network(k, like)
        assert objective.loss(kan.flat_parameters) == pytest.approx(float(found.loss[k]), rel=1e-8)


class Valley:
    """Residuals exp(a·x) c + r with c eliminated: a narrow curved valley of few entries."""

    x = torch.linspace(-1.0, 1.0, 30, dtype=torch.float64)
    residual = torch.cos(3.0 * x)
    powers = torch.stack([x, x**2, x**3], dim=1)

    def normalised(self, a: torch.Tensor) -> torch.Tensor:
        return a

    def linear(self, a: torch.Tensor) -> torch.Tensor:
        return torch.stack([(a @ self.powers.T).exp(), torch.ones(len(a), 30, dtype=a.dtype)], dim=2)

    def inner(self, a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return ((a @ self.powers.T).exp() * c[:, :1])[..., None] * self.powers


def test_half_of_the_second_order_correction_is_that_of_autograd() -> None:
    """The residual at its best c, in directions that L(a) does not have, differentiated twice along the step."""
    valley, a, damping = Valley(), torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64), 0.1
    method, ridge = ManyGaussNewton(acceleration=100.0, ahead=1e-4), torch.zeros(1, dtype=torch.float64)
    state, reflections = method._solved(valley, a, ridge)
    model, tensor = method._model(valley, state, reflections), torch.tensor([damping], dtype=torch.float64)
    plain = replace(method, acceleration=0.0)._step(valley, state, model, tensor, ridge)[0]
    correction = method._step(valley, state, model, tensor, ridge)[0] - plain
    outside = torch.linalg.qr(valley.linear(a)[0], mode="complete").Q[:, 2:]

    def projected(inner: torch.Tensor) -> torch.Tensor:
        rows = valley.linear(inner[None])[0]
        return outside.T @ (valley.residual - rows @ torch.linalg.lstsq(rows, valley.residual[:, None]).solution[:, 0])

    jacobian = jacrev(projected)(a[0])
    second = jacrev(jacrev(lambda s: projected(a[0] + s * plain)))(torch.zeros((), dtype=torch.float64))
    damped = jacobian.T @ jacobian + damping * torch.diag(jacobian.square().sum(0))
    assert torch.allclose(plain, -torch.linalg.solve(damped, jacobian.T @ projected(a[0])), rtol=1e-8)
    assert torch.allclose(correction, -0.5 * torch.linalg.solve(damped, jacobian.T @ second), rtol=2e-3)
    assert correction.norm() > 1e-3 * plain.norm()
    assert not replace(method, acceleration=1e-6)._step(valley, state, model, tensor, ridge)[0].sub(plain).any()


def test_carrying_over_to_nested_splines_and_more_nodes_is_exact() -> None:
    many, inner, outer, like = networks(PAPER, count=1)
    kan = many.batch(inner, outer).network(0, like)
    x = 2.0 * torch.rand(200, 2, generator=generator(), dtype=torch.float64) - 1.0
    larger = kan.widened((5,), generator()).refined((3, 5), (4, 12))
    assert torch.allclose(larger(x), kan(x), rtol=0.0, atol=1e-12)
    batch = many.batch(inner, outer).refined((3, 5), (4, 12)).network(0, like)
    assert torch.allclose(batch(x), kan(x), rtol=0.0, atol=1e-12)


def test_starts_are_the_polynomials_that_they_say() -> None:
    x = 2.0 * torch.rand(50, 2, generator=generator(), dtype=torch.float64) - 1.0
    frame = pk.Frame(("x", "y"))
    u = frame.coordinate(x, 0) * 2.0 - frame.coordinate(x, 1) ** 2
    polynomials = starts(9, 4, replace(u, second=u.second[:, [0, 2]]), x, generator())
    assert polynomials.shape == (9, 2, 4, 3)
    pairs = polynomials[5:7]  # after three with directions and two curved ones
    same = pairs[:, :, 0::2].abs() - pairs[:, :, 1::2].abs()
    assert bool((same.abs() < 1e-15).all())
    assert not torch.allclose(pairs[:, :, 0::2], pairs[:, :, 1::2])
    # Taylor polynomials of 2x - y² about any point: the x² term vanishes, x and y² have a fixed ratio
    taylor = polynomials[7:]
    assert torch.allclose(taylor[:, 1, :, 1] / taylor[:, 0, :, 0], torch.tensor(-0.5, dtype=torch.float64))
    t = torch.linspace(-1.0, 1.0, 7, dtype=torch.float64)
    spline = splines.basis(t, 3, 1)[0] @ coefficients(polynomials, 3)[0].reshape(2, 4, 4)[1, :, 2]
    powers = torch.stack([t, t**2, t**3], dim=1)
    assert torch.allclose(spline, powers @ polynomials[0, 1, 2])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_that_contains_the_solution_is_found(seed: int) -> None:
    """sin πx sin πy² = ½ cos π(x - y²) - ½ cos π(x + y²) is a KAN [2,2,1]; one random start in sixty leads there."""
    stage = Stage("kan", (2,), (3, 9), (1, 8))
    like = KAN((2, 2, 1), stage.degree, stage.intervals, "none", (-1.0, -1.0), (1.0, 1.0))
    found = InnerSearch(PAPER, stage, like, generator(seed)).network()
    x = 2.0 * torch.rand(500, 2, generator=generator(), dtype=torch.float64) - 1.0
    exact = torch.sin(torch.pi * x[:, 0]) * torch.sin(torch.pi * x[:, 1] ** 2)
    with torch.no_grad():
        assert float((found(x)[:, 0] - exact).abs().max()) < 1e-5


def test_a_search_without_time_returns_a_network_of_the_stage() -> None:
    stage = Stage("kan", (8,), (3, 9), (1, 8))
    like = KAN((2, 8, 1), stage.degree, stage.intervals, "none", (-1.0, -1.0), (1.0, 1.0))
    few = Search(starts=4, fewest=4, wide=1)
    found = InnerSearch(PAPER, stage, like, generator(), lambda: True, few).network()
    assert (found.widths, found.degree, found.intervals) == ((2, 8, 1), (3, 9), (1, 8))


def test_networks_that_would_take_too_long_are_left_out() -> None:
    wide = Stage("kan", (60,), (3, 3), (1, 5))
    like = KAN((2, 60, 1), wide.degree, wide.intervals, "none", (-1.0, -1.0), (1.0, 1.0))
    assert InnerSearch(PAPER, wide, like, generator()).in_own_splines(like) is None
    assert nearest(PAPER, replace(wide, intervals=(5, 40)), like, like, generator()) is None


def test_the_nearest_network_has_the_values_of_one_that_it_contains() -> None:
    """Splines with 5 intervals are some with 10; values alone are fitted, whatever the equation."""
    small, large = (Stage("kan", (2,), (3, 3), (n, n)) for n in (5, 10))
    finer, like = (KAN((2, 2, 1), 3, n, "none", (-1.0, -1.0), (1.0, 1.0)) for n in (5, 10))
    finer.initialise(generator(5))
    assert [one.intervals for one in refinements(large)] == [(2, 2), small.intervals, large.intervals]
    assert [one.intervals for one in refinements(replace(large, intervals=(2, 30)))] == [
        (1, 2),
        (1, 5),
        (1, 10),
        (1, 20),
        (2, 30),
    ]
    near, (term,) = nearness(PAPER, large, finer)
    assert not near.conditions
    few = Fits(first=(Round(32, 10), Round(4, 40)), then=(Round(2, 30),), last=Round(1, 30))
    found = nearest(PAPER, large, like, finer, generator(), fits=few)
    assert found is not None
    with torch.no_grad():
        assert torch.equal(term.target, finer(term.points)[:, 0])
        x = 2.0 * torch.rand(500, 2, generator=generator(), dtype=torch.float64) - 1.0
        error, size = found(x) - finer(x), finer(x) - finer(x).mean()
    assert float(error.norm()) < 1e-2 * float(size.norm())


@pytest.mark.parametrize("name", ["poisson_kan_paper", "disk", "poisson_3d"])
def test_a_fit_has_points_on_every_face_and_at_corners(name: str) -> None:
    """A spline of many intervals was wrong by 9e-6 at a corner of the domain, and by 1e-7 inside."""
    problem = pk.load_problem(name)
    domain, stage = problem.domain, Stage("kan", (4,), (3, 3), (10, 10))
    points = fit_points(problem, stage).points
    faces = [domain.face(one, 8, 2, 100, 0).points for one in domain.faces]
    beside = np.concatenate([*faces, domain.corners])
    distance = np.linalg.norm(beside[:, None] - points, axis=2).min(1)
    assert distance.max() < 0.2
    assert len(points) < 14 * stage.parameters(domain.dimension)
    assert not len(domain.corners) or np.linalg.norm(domain.corners[:, None] - points, axis=2).min(1).max() == 0.0
    off = np.abs(domain.distance(points))
    assert (off < 1e-12).sum() >= len(domain.corners) + 8


def test_a_fit_is_denser_where_sources_are_narrow() -> None:
    narrow = replace(PAPER, narrow=(NarrowPlace(0, 0.1, 1e-4, 1e-4, (0.1, 0.0)),))
    points = fit_points(narrow, Stage("kan", (4,), (3, 3), (10, 10))).points
    assert (np.abs(points[:, 0] - 0.1) < 1e-3).sum() > 50


def test_a_fit_that_is_late_is_a_network_of_the_stage() -> None:
    stage, like = Stage("kan", (2,), (3, 3), (1, 7)), KAN((2, 2, 1), 3, (1, 7), "none", (-1.0, -1.0), (1.0, 1.0))
    like.initialise(generator())
    found = nearest(PAPER, stage, like, like, generator(), lambda: True, Fits(first=(Round(8, 10),)))
    assert found is not None
    assert (found.widths, found.degree, found.intervals) == ((2, 2, 1), (3, 3), (1, 7))


@pytest.mark.parametrize(("steps", "allowed"), [pytest.param(None, 1.4e-5, marks=pytest.mark.nightly), (30, 3.5e-4)])
def test_coarse_splines_end_at_their_best_approximation(steps: int | None, allowed: float) -> None:
    """[2,2,1] with cubic splines of 5 intervals: the exact inner functions allow L2² of 1.4e-4, and 3.5e-4 by least residuals.

    These are of tests/benchmarks/slopes.md. Where steps are not limited, better inner functions are found by a fit.
    """
    problem = replace(PAPER, network=pk.NetworkOptions(hidden=(2,), degree=3, intervals=5))
    solution = pk.solve(replace(problem, training=replace(problem.training, steps=steps)), estimate=False)
    assert solution.errors is not None
    assert isinstance(solution.network, KAN)
    assert (solution.network.degree, solution.network.intervals) == ((3, 3), (5, 5))  # not the finer one, of lower residual
    assert solution.errors["u"].l2_mean_square < allowed
    assert solution.errors["u"].h1_seminorm_mean_square < 3.3e-2


def test_the_distance_is_the_mean_of_those_in_l2_and_h1() -> None:
    """Of (3 x + y)/4 and 0 on the square: ∫ e² / 4 = 10/48, |∇e|² = 10/16."""
    term = terms(PAPER, training_points(PAPER, STAGE, 0))[0]
    line, zero = KAN((2, 1), 3, 1), KAN((2, 1), 3, 1)
    t = splines.sample_points(3, 1)
    with torch.no_grad():
        for layer, factor in ((line.spline_layers[0], 1.0), (zero.spline_layers[0], 0.0)):
            for axis, slope in enumerate((0.75, 0.25)):
                layer.coefficients[axis, 0] = splines.fit(t, factor * slope * t[:, None], 3, 1)[:, 0]
    distance = Distance.to(zero, term)
    assert distance(line) == pytest.approx((10.0 / 48.0 * 10.0 / 16.0) ** 0.25)
    assert distance.norm == 0.0
    assert Distance.to(line, term).norm == pytest.approx(distance(line))


def test_only_networks_whose_residual_is_affine_are_searched_for() -> None:
    asked = pk.NetworkOptions(hidden=(4,), degree=3, intervals=10)
    assert is_searchable(replace(PAPER, network=asked))
    plan = stages(replace(PAPER, network=asked))
    assert [stage.search for stage in plan] == [True, False, False, False]
    assert [stage.finer for stage in plan] == [True, True, False, False]
    assert plan[-1].degree == (3, 3)
    assert plan[-1].intervals == (10, 10)
    for other in (
        replace(PAPER, network=pk.NetworkOptions(hidden=(4, 4))),
        replace(PAPER, network=pk.NetworkOptions(hidden=(4,), base="silu")),
        replace(PAPER, network=pk.NetworkOptions(kind="mlp", hidden=(4,))),
        replace(PAPER, network=asked, training=replace(PAPER.training, optimizer="lbfgs")),
        replace(PAPER, network=asked, equation=lambda u: pk.laplacian(u) - u**3),
        replace(PAPER, network=asked, equation=lambda u: pk.laplacian(pk.laplacian(u)) - u),
        replace(PAPER, network=pk.NetworkOptions(hidden=(3,)), training=replace(PAPER.training, adapt=True)),
    ):
        assert not is_searchable(other)
    assert State(budget=1.0).finer is None
