"""Residual rows against finite differences and autograd; what is not finite, chunks and memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hidden_nodes import hidden_ranges
from objectives import PROBLEMS, SAMPLING, SQUARE, network_for, objective_for

from pdekan.domains.box import box, hypercube
from pdekan.fields.functions import exp, log, sin, where
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.operators import dx, laplacian
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.jacobian_products import GRAPH_MEMORY, GraphMemory
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import is_affine, terms

every_problem = pytest.mark.parametrize("name", PROBLEMS)
KEPT, FEW = GRAPH_MEMORY, GraphMemory(0, 80_000)  # of all points at once, of a few at a time


# --- derivatives


@every_problem
@pytest.mark.parametrize("kind", ["none", "silu", "mlp"])
def test_jacobian_agrees_with_finite_differences_of_the_residual(name: str, kind: str) -> None:
    problem, _ = PROBLEMS[name]
    objective, theta = objective_for(problem, network_for(problem, "silu" if kind == "silu" else "none", kind == "mlp"))
    residual, jacobian = objective.rows(theta)
    assert jacobian.shape == (len(residual), len(theta))
    scale = float(jacobian.abs().max())
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(len(theta), generator=generator, dtype=torch.float64)
        h = 1e-3 / float(direction.norm())
        # Richardson: two central differences, error h⁴
        coarse = (objective.rows(theta + h * direction)[0] - objective.rows(theta - h * direction)[0]) / (2 * h)
        fine = (objective.rows(theta + 0.5 * h * direction)[0] - objective.rows(theta - 0.5 * h * direction)[0]) / h
        difference = (4.0 * fine - coarse) / 3.0
        torch.testing.assert_close(jacobian @ direction, difference, rtol=1e-6, atol=1e-7 * scale * float(direction.norm()))
    linear = objective.rows(theta, only_linear=True)
    torch.testing.assert_close(linear[0], residual, rtol=1e-11, atol=1e-14 * scale)
    torch.testing.assert_close(linear[1], jacobian[:, -objective.linear :], rtol=1e-14, atol=1e-14 * scale)


@pytest.mark.parametrize(
    ("name", "block"), [*itertools.product(PROBLEMS, (7, 40)), ("interface", 1), ("periodic system", 1), ("means", 1)]
)
def test_rows_in_blocks_are_the_rows(name: str, block: int) -> None:
    problem, _ = PROBLEMS[name]
    network = network_for(problem)
    whole, theta = objective_for(problem, network)
    pieces = Objective(problem, network, terms(problem, SAMPLING), block=block)
    for only_linear in (False, True):
        residual, jacobian = whole.rows(theta, only_linear)
        blocks = list(pieces.blocks(theta, only_linear))
        assert all(len(part) <= block for part, _ in blocks)
        scale = float(jacobian.abs().max())
        torch.testing.assert_close(torch.cat([part for part, _ in blocks]), residual, rtol=1e-10, atol=1e-13 * scale)
        torch.testing.assert_close(torch.cat([part for _, part in blocks]), jacobian, rtol=1e-12, atol=1e-14 * scale)


@every_problem
@pytest.mark.parametrize(("kind", "memory"), [("none", KEPT), ("none", FEW), ("silu", FEW), ("mlp", KEPT)])
def test_loss_and_gradient_agree_with_the_rows(name: str, kind: str, memory: GraphMemory) -> None:
    problem, _ = PROBLEMS[name]
    network = network_for(problem, "silu" if kind == "silu" else "none", kind == "mlp")
    objective, theta = objective_for(problem, network, graph_memory=memory)
    residual, jacobian = objective.rows(theta)
    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(float(residual @ residual), rel=1e-12)
    expected = 2.0 * jacobian.T @ residual
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-10 * float(expected.abs().max()))


@every_problem
@pytest.mark.parametrize(("kind", "memory"), [("none", KEPT), ("none", FEW), ("silu", KEPT), ("mlp", FEW), ("module", FEW)])
def test_products_are_those_with_the_rows(name: str, kind: str, memory: GraphMemory) -> None:
    problem, _ = PROBLEMS[name]
    network = network_for(problem, "silu" if kind == "silu" else "none", kind == "mlp", kind == "module")
    objective, theta = objective_for(problem, network, graph_memory=memory)
    products = objective.products(theta)
    objective.load(theta + 1.0)  # which products must not notice
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(len(theta), generator=generator, dtype=torch.float64)
    w = torch.randn(len(products.residual), generator=generator, dtype=torch.float64)
    first = products.forward(v), products.adjoint(w)
    assert torch.equal(products.forward(v), first[0])  # and once more, from the same graphs
    assert torch.equal(products.adjoint(w), first[1])
    assert float(first[0] @ w) == pytest.approx(float(v @ first[1]), rel=1e-10, abs=1e-10 * float(first[0].norm() * w.norm()))
    closed, same = objective_for(problem, network_for(problem, "silu" if kind == "silu" else "none", kind in ("mlp", "module")))
    residual, jacobian = closed.rows(same)
    scale = float(jacobian.norm())
    torch.testing.assert_close(products.residual, residual, rtol=1e-12, atol=1e-12 * float(residual.abs().max()))
    torch.testing.assert_close(first[0], jacobian @ v, rtol=1e-12, atol=1e-12 * scale)
    torch.testing.assert_close(first[1], jacobian.T @ w, rtol=1e-12, atol=1e-12 * scale)
    linear = jacobian[:, jacobian.shape[1] - objective.linear :]
    torch.testing.assert_close(products.linear(), linear, rtol=1e-12, atol=1e-12 * scale)


@every_problem
def test_affine_terms_are_told_from_the_others(name: str) -> None:
    problem, affine = PROBLEMS[name]
    objective, theta = objective_for(problem)
    assert objective.affine == affine
    assert all(is_affine(term, problem) for term in objective.terms) == affine
    # what it promises: the residual is affine in the trailing parameters, so that one solve finds the best of them
    residual, a = objective.rows(theta, only_linear=True)
    change = torch.zeros_like(theta)
    change[-objective.linear :] = torch.linspace(-1.0, 1.0, objective.linear, dtype=torch.float64)
    moved = objective.rows(theta + change)[0]
    predicted = residual + a @ change[-objective.linear :]
    error = float((moved - predicted).abs().max() / moved.abs().max())
    assert (error < 1e-12) == affine


@pytest.mark.parametrize(
    ("equation", "affine"),
    [
        (lambda u: dx(u) * 2.0 - u / 3.0 + 1.0, True),
        (lambda u, x: where(x.value > 0.0, u, dx(u)), True),
        (lambda u, x: dx(exp(x) * u), True),
        (lambda u: u * u, False),
        (lambda u: dx(u * u), False),
        (lambda u: sin(u), False),
        (lambda u: where(u.value > 0.0, u, 2.0 * u), False),
        (lambda u: laplacian(u) + 1e-6 * u**2, False),
        (lambda u: u**0.5, False),
    ],
)
def test_is_affine(equation: Callable[..., Jet], affine: bool) -> None:
    problem = Problem(SQUARE, equation)
    (term,) = terms(problem, SAMPLING)
    assert is_affine(term, problem) == affine


def test_the_network_and_parameters_that_come_in_are_not_changed() -> None:
    problem = PROBLEMS["cubic"][0]
    network = network_for(problem)
    before = network.flat_parameters
    objective, theta = objective_for(problem, network)
    theta += 0.1
    kept = theta.clone()
    objective.rows(theta)
    objective.loss_and_gradient(theta)
    objective.normalise(theta)
    torch.testing.assert_close(theta, kept, rtol=0, atol=0)
    torch.testing.assert_close(network.flat_parameters, before, rtol=0, atol=0)


def test_normalising_parameters_normalises_the_network() -> None:

    # --- weights and units

    problem = PROBLEMS["poisson"][0]
    objective, theta = objective_for(problem)
    network = objective.load(objective.normalise(theta))
    assert isinstance(network, KAN)
    points = [term.points for term in objective.terms]
    corners = torch.as_tensor(problem.domain.corners)
    low, high = hidden_ranges(network, torch.cat([*points, corners]))[0]
    assert bool((hidden_ranges(network, corners)[0][1] > hidden_ranges(network, torch.cat(points))[0][1]).any())
    assert low.tolist() == pytest.approx([-0.97] * 3)
    assert high.tolist() == pytest.approx([0.97] * 3)


# --- what is not finite, chunks and memory


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem(box(x=(-1, 1)), lambda u: u, lambda x: log(x)), r"equation: the right-hand side is not finite at x = -0\.\d+"),
        (
            Problem(box(x=(-1, 1), y=(0, 1)), lambda u: u, lambda x, y: (x - 2.0) ** 0.5 + y),
            r"equation: .* not finite at x = -0\.\d+, y = 0\.\d+",
        ),
        (
            Problem(box(x=(-1, 1)), lambda u: u, 0.0, (dirichlet(lambda x: (-x) ** 0.5),)),
            r"dirichlet on x\+: .* not finite at x = 1",
        ),
        (Problem(box(x=(-1, 1)), lambda u: u, math.inf), "not finite"),
    ],
)
def test_right_hand_sides_that_are_not_finite_name_the_point(problem: Problem, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        terms(problem, SAMPLING)


def test_evaluating_in_chunks_changes_nothing_and_keeps_no_graph() -> None:
    network = network_for(PROBLEMS["poisson"][0])
    points = 0.5 * torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for level in Derivatives:
        whole, pieces = (evaluate(network, points, Frame(("x", "y"), level), chunk) for chunk in (100, 7))
        for a, b in ((whole.value, pieces.value), (whole.gradient, pieces.gradient), (whole.second, pieces.second)):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                assert not a.requires_grad
                torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("work", ["loss_and_gradient", "products"])
def test_a_pass_over_all_points_can_be_ended_in_its_middle(work: str) -> None:
    problem = PROBLEMS["poisson"][0]
    calls = 0

    def check_time() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise TimeoutError

    network, few = network_for(problem), GraphMemory(0, 4_000)
    objective = Objective(problem, network, terms(problem, SAMPLING)[:1], check_time=check_time, graph_memory=few)
    theta = network.flat_parameters
    with pytest.raises(TimeoutError):
        getattr(objective, work)(theta)


def test_a_term_in_pieces_takes_no_more_memory_than_its_points() -> None:
    """In d dimensions the gradients of d coordinates are d² numbers a point, all of them constant."""
    domain = hypercube(30, 0.0, 1.0)
    problem = Problem(domain, lambda u, x: laplacian(u) + x[0] * u, 0.0, (dirichlet(0.0),))
    term = terms(problem, SAMPLING)[0]
    piece = term.part(torch.arange(5, 20))
    jets = [piece.environment[name] for name in domain.coordinates]
    for k, jet in enumerate(jets):
        assert jet.gradient is not None
        assert jet.gradient.untyped_storage().nbytes() <= 8 * 30
        assert torch.equal(jet.gradient, torch.eye(30, dtype=torch.float64)[k].expand(15, 30))
        assert torch.equal(jet.value, term.points[5:20, k])
