"""Residual rows: against finite differences, against autograd, and their sum of squares against the integral."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hidden_nodes import hidden_ranges
from scipy.integrate import dblquad, quad
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan import splines
from pdekan.ansatz.unknowns import build_ansatz, network_outputs
from pdekan.domains.box import box, hypercube
from pdekan.domains.shapes import disk
from pdekan.fields.functions import cos, exp, log, sin, stacked, where
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.operators import div, dot, dt, dx, dy, grad, laplacian, normal
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.problems.conditions import dirichlet, initial, interface, mean, neumann, periodic, robin
from pdekan.problems.formulas import EXACT, ProblemError, as_field
from pdekan.problems.options import Weights
from pdekan.problems.parameters import Enrichment, Measurements, Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.jacobian_products import GRAPH_MEMORY, GraphMemory
from pdekan.residuals.least_squares import EQUATION_WEIGHT, Objective
from pdekan.residuals.terms import is_affine, terms, unit

SAMPLING = Sampling(cells=3, order=3, count=64, seed=0)
SQUARE = box(x=(-1, 1), y=(0, 1.5))

POINTS = np.array([[0.1, 0.2], [0.5, 1.1], [-0.7, 0.4], [0.9, 1.4]])
DATA = (
    Measurements(POINTS, {"u": np.array([1.0, 2.0, np.nan, 0.5]), "v": np.array([np.nan, np.nan, 3.0, 4.0])}, 0.1),
    Measurements(POINTS[:1], {"v": np.array([0.7])}, None, "more"),
)

# name -> (problem, whether its rows are affine in the linear parameters)
PROBLEMS: dict[str, tuple[Problem, bool]] = {
    "poisson": (Problem(SQUARE, lambda u: laplacian(u), lambda x, y: sin(x) * y, (dirichlet(lambda x, y: x * y),)), True),
    "variable coefficient": (
        Problem(SQUARE, lambda u, x: div(exp(x) * grad(u)) - 2.0 * u + 1.0, 1.0, (dirichlet(1.0, on=("x-", "y+")),)), True,
    ),
    "mixed derivatives": (Problem(SQUARE, lambda u: dx(dy(u)) + 3.0 * dx(dx(u)), 0.0, (dirichlet(0.0),)), True),
    "neumann and robin": (
        Problem(SQUARE, lambda u: laplacian(u) - u, 0.0,
                (neumann(lambda y: y, on="x+"), robin(lambda u, y: normal(u) + (2.0 + y) * u, 1.0, on=("x-", "y-")))), True,
    ),
    "periodic": (
        Problem(SQUARE, lambda u: laplacian(u) - u, lambda x: sin(math.pi * x), (periodic("x"), dirichlet(0.0, on="y-"))), True,
    ),
    "heat": (
        Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(u) - laplacian(u), 0.0, (initial(lambda x: sin(x)), dirichlet(0.0))),
        True,
    ),
    "wave": (Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(dt(u)) - dx(dx(u)), 0.0,
                     (initial(1.0), initial(0.0, operator=lambda u: dt(u)))), True),
    "cubic": (Problem(SQUARE, lambda u: laplacian(u) + u**3, 1.0, (dirichlet(0.0),)), False),
    "burgers": (Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(u) + u * dx(u) - 0.1 * dx(dx(u)), 0.0, (initial(1.0),)), False),
    "quasilinear": (Problem(SQUARE, lambda u: div((1.0 + u**2) * grad(u)), 1.0, (dirichlet(0.0),)), False),
    "radiation": (Problem(SQUARE, lambda u: laplacian(u), 0.0, (robin(lambda u: normal(u) + u**4, 1.0),)), False),
    "eikonal": (Problem(SQUARE, lambda u: dot(grad(u), grad(u)), 1.0, (dirichlet(0.0, on="x-"),)), False),
    "system with a parameter": (
        Problem(SQUARE, (lambda u, v, k: laplacian(u) * k - v, lambda u, v, k, x: dx(v) + u * x - k), (1.0, lambda x: x),
                (dirichlet(0.0), neumann(1.0, on="x+", unknown="v")), unknowns=("u", "v"),
                parameters={"k": Parameter(0.8, 0.1, 2.0), "m": Parameter(0.3)}), True,
    ),
    "source with a parameter": (
        Problem(SQUARE, lambda u, k: laplacian(u) - u, lambda x, k: k * k * x, (dirichlet(lambda y, k: k * y, on="x-"),),
                parameters={"k": Parameter(-1.0)}), True,
    ),
    "means": (
        Problem(SQUARE, lambda u: laplacian(u), 1.0,
                (mean(0.3), mean(1.0, lambda u: normal(u), on=("x-", "y+")), mean(2.0, lambda u: u**2))), False,
    ),
    "interface": (
        Problem(SQUARE, lambda u, v: laplacian(u) - v, 0.0,
                (interface("hole", 1.0), interface("hole", 0.0, lambda u, v: normal(u) + v), dirichlet(0.0)),
                unknowns=("u", "v"), interfaces={"hole": disk((0.0, 0.7), 0.4)}), True,
    ),
    "periodic system": (
        Problem(SQUARE, (lambda u, v: laplacian(u) - v, lambda u, v: laplacian(v) + u), 0.0,
                (periodic("x"), periodic("y", unknown="v"), dirichlet(0.0)), unknowns=("u", "v")), True,
    ),
    "data": (
        Problem(SQUARE, lambda u, v, k: dx(u) - k * v, 0.0, (dirichlet(lambda y: y, on="x-", enforce="exact"),),
                unknowns=("u", "v"), parameters={"k": Parameter(2.0, 1.0)}, data=DATA,
                enrichments=(Enrichment(as_field(lambda x: exp(x)), "v"),)), True,
    ),
    "regression": (Problem(SQUARE, data=DATA, unknowns=("u", "v")), True),
    "five dimensions": (Problem(hypercube(5, 0.0, 1.0), lambda u: laplacian(u), 1.0, (dirichlet(0.0),)), True),
}  # fmt: skip
every_problem = pytest.mark.parametrize("name", PROBLEMS)


def network_for(problem: Problem, base: str = "none", mlp: bool = False, module: bool = False) -> Network:
    domain, outputs = problem.domain, network_outputs(problem)
    network: KAN | MLP
    if mlp or module:
        network = MLP((domain.dimension, 4, outputs), domain.lower, domain.upper)
    else:
        network = KAN((domain.dimension, 3, outputs), (5, 6), (2, 4), base, domain.lower, domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    return build_ansatz(problem, ModuleNetwork(network, domain.dimension, outputs) if module else network)


def objective_for(
    problem: Problem, network: Network | None = None, weights: Weights | None = None, graph_memory: GraphMemory = GRAPH_MEMORY
) -> tuple[Objective, Tensor]:
    network = network or network_for(problem)
    objective = Objective(problem, network, terms(problem, SAMPLING), weights, graph_memory=graph_memory)
    return objective, parameters_to_vector(network.parameters()).detach()


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


@every_problem
@pytest.mark.parametrize("block", [1, 7, 40])
def test_rows_in_blocks_are_the_rows(name: str, block: int) -> None:
    problem, _ = PROBLEMS[name]
    network = network_for(problem)
    whole, theta = objective_for(problem, network)
    if name == "five dimensions" and block == 1:
        pytest.skip("hundreds of rows one by one take long, and show nothing new")
    pieces = Objective(problem, network, terms(problem, SAMPLING), block=block)
    for only_linear in (False, True):
        residual, jacobian = whole.rows(theta, only_linear)
        blocks = list(pieces.blocks(theta, only_linear))
        assert all(len(part) <= block for part, _ in blocks)
        scale = float(jacobian.abs().max())
        torch.testing.assert_close(torch.cat([part for part, _ in blocks]), residual, rtol=1e-10, atol=1e-13 * scale)
        torch.testing.assert_close(torch.cat([part for _, part in blocks]), jacobian, rtol=1e-12, atol=1e-14 * scale)


@every_problem
@pytest.mark.parametrize("kind", ["none", "silu", "mlp"])
@pytest.mark.parametrize("memory", [GRAPH_MEMORY, GraphMemory(0, 40_000)], ids=["at once", "a few points at a time"])
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
@pytest.mark.parametrize("kind", ["none", "silu", "mlp", "module"])
@pytest.mark.parametrize("memory", [GRAPH_MEMORY, GraphMemory(0, 40_000)], ids=["kept", "a few points at a time"])
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
    before = parameters_to_vector(network.parameters()).detach().clone()
    objective, theta = objective_for(problem, network)
    theta += 0.1
    kept = theta.clone()
    objective.rows(theta)
    objective.loss_and_gradient(theta)
    objective.normalise(theta)
    torch.testing.assert_close(theta, kept, rtol=0, atol=0)
    torch.testing.assert_close(parameters_to_vector(network.parameters()).detach(), before, rtol=0, atol=0)


def test_normalising_parameters_normalises_the_network() -> None:
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


def test_the_sum_of_squares_approximates_the_integrals() -> None:
    """Loss = w_e ∫ r² / |Ω| + w_c Σ_faces ∫_face r² / |face| / faces for the user's weights.

    u is linear, made from the Greville abscissae, so that the residual is known in closed form.
    """
    conditions = (dirichlet(lambda x: cos(x), on="y-"), neumann(lambda y: y**3, on="x+"))
    problem = Problem(SQUARE, lambda u, x: laplacian(u) + x * u**2, lambda x, y: exp(x) * y, conditions)
    network = KAN((2, 1), 5, 3, "none", SQUARE.lower, SQUARE.upper)
    for edge, slope in zip(network.layers[0].coefficients.data, (0.7, -1.2), strict=True):
        edge[0] = slope * splines.greville(5, 3)
    objective = Objective(problem, network, terms(problem, Sampling(4, 6, 0, 0)), Weights(equation=0.3, conditions=2.0))
    theta = parameters_to_vector(network.parameters()).detach()
    loss = float(objective.rows(theta)[0].square().sum())

    def u(x: float, y: float) -> float:
        return 0.7 * x - 1.2 * (y / 0.75 - 1.0)

    inside = dblquad(lambda y, x: (x * u(x, y) ** 2 - math.exp(x) * y) ** 2, -1, 1, 0, 1.5)[0] / SQUARE.measure
    bottom = quad(lambda x: (u(x, 0.0) - math.cos(x)) ** 2, -1, 1)[0] / 2.0
    right = quad(lambda y: (0.7 - y**3) ** 2, 0, 1.5)[0] / 1.5
    assert loss == pytest.approx(0.3 * inside + 2.0 * 0.5 * (bottom + right), rel=1e-10)


@pytest.mark.parametrize("size", [1e-6, 0.1, 1.0, 37.0, 1e6])
@pytest.mark.parametrize("kind", ["poisson", "convection", "heat", "periodic"])
def test_rows_are_invariant_under_a_change_of_length(size: float, kind: str) -> None:
    """u(x/L) on [0, L] gives the same weighted rows up to sign as u on [0, 1]: the balance knows no units."""

    def build(length: float) -> Problem:
        if kind == "heat":  # diffusivity in units of length² / time
            domain = box(x=(0, length), t=(0, 1))
            equation = lambda u: dt(u) - length**2 * laplacian(u)  # noqa: E731
            return Problem(domain, equation, lambda x: sin(x / length), (initial(lambda x: cos(x / length)), dirichlet(0.0)))
        domain = box(x=(0, length), y=(0, 2 * length))
        conditions = (dirichlet(lambda x: x / length, on=("x-", "y-")), neumann(lambda y: y / length**2, on="x+"))
        if kind == "periodic":
            conditions = (periodic("x"), dirichlet(1.0, on="y+"))
        if kind == "convection":
            equation = lambda u: -laplacian(u) + (3.0 / length) * dx(u) + 2.0 / length**2 * u  # noqa: E731
        else:
            equation = lambda u: -laplacian(u)  # noqa: E731
        return Problem(domain, equation, lambda x: sin(x / length) / length**2, conditions)

    rows = []
    for length in (1.0, size):
        objective, theta = objective_for(build(length))
        rows.append(objective.rows(theta)[0])
    torch.testing.assert_close(rows[1].abs(), rows[0].abs(), rtol=1e-7, atol=1e-9)
    assert rows[0].abs().max() > 1e-3


def test_rows_do_not_depend_on_the_units_of_the_coefficients() -> None:
    """The equation times 1000 is the same equation."""
    losses = []
    for factor in (1.0, 1e3):
        objective, theta = objective_for(Problem(SQUARE, _times(factor), factor, (dirichlet(0.0),)))
        losses.append(float(objective.rows(theta)[0].square().sum()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def _times(factor: float) -> Callable[[Jet], Jet]:
    return lambda u: factor * laplacian(u)


def test_unit_of_known_operators() -> None:
    """Half-lengths 1 and 0.75: each derivative counts 1/H once."""
    hx, hy = 1.0, 0.75
    expected: list[tuple[Callable[..., Jet], float]] = [
        (lambda u: 3.0 * u, 3.0),
        (lambda u: dx(u), 1 / hx),
        (lambda u: -2.0 * dy(u), 2 / hy),
        (lambda u: dx(dx(u)), 1 / hx**2),
        (lambda u: dy(dy(u)) + 2.0 * u, math.hypot(1 / hy**2, 2.0)),
        (lambda u: dx(u) + dy(u), math.hypot(1 / hx, 1 / hy)),
    ]
    for equation, size in expected:
        problem = Problem(SQUARE, equation)
        (term,) = terms(problem, SAMPLING)
        assert unit(term, problem) == pytest.approx(size, rel=1e-12)


def test_default_weights_balance_nondimensional_mean_squares() -> None:
    problem = Problem(SQUARE, lambda u: 5.0 * u, 10.0, (dirichlet(3.0, on=("x-", "x+")),))
    network = KAN((2, 1), 3, 2, "none", SQUARE.lower, SQUARE.upper)  # zero: residuals are -10 inside, -3 on the faces
    objective, theta = objective_for(problem, network)
    assert float(objective.rows(theta)[0].square().sum()) == pytest.approx(
        EQUATION_WEIGHT * (10.0 / 5.0) ** 2 + 3.0**2, rel=1e-12
    )


def test_in_many_dimensions_a_condition_is_one_term_that_weighs_its_faces_alike() -> None:
    """Loss = w_c Σ_faces (mean square on the face) / faces, also where conditions have different numbers of faces."""
    domain = hypercube(4, 0.0, 2.0)
    walls = ("x1-", "x1+", "x2+")
    rest = tuple(face for face in domain.faces if face not in walls)
    conditions = (neumann(lambda x1, x3: x1 * x3, on=walls), dirichlet(0.5, on=rest))
    problem = Problem(domain, lambda u: laplacian(u), conditions=conditions)
    found = terms(problem, Sampling(1, 1, 512, 0))
    assert [term.name for term in found[1:]] == ["neumann on " + ", ".join(walls), "dirichlet on " + ", ".join(rest)]
    assert [term.faces for term in found] == [1, 3, 5]

    network = network_for(problem)
    total = 0.0
    for term, faces in zip(found[1:], (walls, rest), strict=True):
        residual = term.residual(evaluate(network, term.points, term.frame)).chunk(len(faces))
        for face, points, squares in zip(faces, term.points.chunk(len(faces)), residual, strict=True):
            k, at = domain.coordinates.index(face[:2]), 0.0 if face.endswith("-") else 2.0
            assert (points[:, k] == at).all()
            total += float(squares.square().mean())
    objective = Objective(problem, network, found, Weights(equation=1e-300, conditions=2.0))
    rows = objective.rows(parameters_to_vector(network.parameters()).detach())[0]
    assert float(rows.square().sum()) == pytest.approx(2.0 * total / len(domain.faces), rel=1e-12)


def test_a_periodic_pair_gives_the_jumps_of_value_and_slope() -> None:
    problem = PROBLEMS["periodic"][0]
    found = terms(problem, SAMPLING)
    assert [term.name for term in found] == ["equation", "periodic in x", "periodic in x, slope", "dirichlet on y-"]
    network = network_for(problem)
    for term, derivative in zip(found[1:3], (False, True), strict=True):
        left, right = term.points.reshape(2, -1, 2)
        assert (left[:, 0] == -1).all()
        assert (right[:, 0] == 1).all()
        torch.testing.assert_close(left[:, 1], right[:, 1])
        jump = term.residual(network.jet(term.points, term.frame))
        ends = [network.jet(side, Frame(("x", "y"))) for side in (left, right)]
        values = [end.gradient[:, 0, 0] if derivative else end.value[:, 0] for end in ends]
        torch.testing.assert_close(jump, values[0] - values[1], rtol=1e-12, atol=1e-12)


def test_exact_right_hand_sides_make_the_exact_solution_solve_the_problem() -> None:
    exact = ModuleNetwork(Wave(), 2)
    problem = Problem(
        SQUARE,
        lambda u, x: div((1.0 + x**2 + u**2) * grad(u)) + dx(dy(u)),
        EXACT,
        (dirichlet(EXACT, on="x-"), neumann(EXACT, on="x+"), robin(lambda u: normal(u) + u**2, EXACT, on=("y-", "y+"))),
        exact=lambda x, y: sin(2.0 * x) * exp(y),
    )
    for term in terms(problem, SAMPLING):
        residual = term.residual(evaluate(exact, term.points, term.frame))
        assert residual.abs().max() < 1e-12 * max(1.0, float(term.target.abs().max()))
        assert term.target.abs().max() > 0.1


class Wave(torch.nn.Module):
    """sin(2x) exp(y), with one parameter so that it counts as a network."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.one * torch.sin(2.0 * x[:, 0]) * torch.exp(x[:, 1]))[:, None]


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
    theta = parameters_to_vector(network.parameters()).detach()
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


def rows_of(problem: Problem, name: str) -> list[Tensor]:
    """The residuals of the terms of a name, for u = sin(x + 2y) and v = x² y by a network that is these functions."""
    found = [term for term in terms(problem, SAMPLING) if term.name.startswith(name)]
    out = []
    for term in found:
        fields = {"u": lambda x, y: sin(x + 2.0 * y), "v": lambda x, y: x**2 * y}
        jets = [fields[one](*(term.environment[c] for c in "xy")) for one in term.sought]
        out.append(term.residual(stacked(jets)))
    return out


def test_a_mean_is_one_row() -> None:
    """1/|Ω| ∫ u over the square, and ∫ n·∇u over two of its faces by their length."""
    problem = Problem(
        SQUARE, lambda u: laplacian(u), 0.0,
        (mean(0.25), mean(0.5, lambda u: normal(u), on=("x-", "y+")), mean(lambda x: x**2, lambda u: u)),
    )  # fmt: skip
    over, faces, matched = rows_of(problem, "mean over")
    expected = dblquad(lambda y, x: math.sin(x + 2 * y), -1, 1, 0, 1.5)[0] / 3.0
    assert over.tolist() == pytest.approx([expected - 0.25], abs=1e-6)
    left = quad(lambda y: -math.cos(-1 + 2 * y), 0, 1.5)[0]
    upper = quad(lambda x: 2 * math.cos(x + 3.0), -1, 1)[0]
    assert faces.tolist() == pytest.approx([(left + upper) / 3.5 - 0.5], abs=1e-6)
    assert matched.tolist() == pytest.approx([expected - 1 / 3], abs=1e-6)  # the mean of a value that varies


def test_across_an_interface_outside_less_inside() -> None:
    """A coefficient that jumps from 2 inside a disk to 5: of 'k n·∇u' the jump is 3 n·∇u, n pointing out of the disk."""
    hole = disk((0.0, 0.7), 0.4)
    k = lambda x, y: where((x.value**2 + (y.value - 0.7) ** 2) < 0.16, x * 0.0 + 2.0, 5.0)  # noqa: E731
    problem = Problem(
        SQUARE, lambda u: laplacian(u), 0.0,
        (interface("hole", 0.1), interface("hole", 0.0, lambda u, x, y: k(x, y) * normal(u))), interfaces={"hole": hole},
    )  # fmt: skip
    value, flux = rows_of(problem, "jump across hole")
    torch.testing.assert_close(value, torch.full_like(value, -0.1), rtol=0.0, atol=1e-8)  # u is continuous
    points = torch.as_tensor(hole.face("outer", SAMPLING.cells, SAMPLING.order, 0, 0).points)
    radial = (points - torch.tensor([0.0, 0.7], dtype=torch.float64)) / 0.4
    slope = torch.cos(points[:, 0] + 2.0 * points[:, 1])
    torch.testing.assert_close(flux, 3.0 * (radial[:, 0] + 2.0 * radial[:, 1]) * slope, rtol=1e-6, atol=1e-6)


def test_an_interface_counts_inside_the_domain_only() -> None:
    problem = Problem(SQUARE, lambda u: laplacian(u), 0.0, (interface("hole"),), interfaces={"hole": disk((1.0, 0.7), 0.4)})
    term = next(term for term in terms(problem, SAMPLING) if term.name.startswith("jump"))
    assert bool((term.points[:, 0] < 1.0).all())
    away = Problem(SQUARE, lambda u: laplacian(u), 0.0, (interface("hole"),), interfaces={"hole": disk((5.0, 0.7), 0.4)})
    with pytest.raises(ProblemError, match="interface hole has no points in the domain"):
        terms(away, SAMPLING)


def test_periodic_conditions_of_one_unknown_or_all() -> None:
    """Of v = x² y the value agrees at x = ±1, the slope jumps by 4y; of u both jump."""
    problem = PROBLEMS["periodic system"][0]
    names = [term.name for term in terms(problem, SAMPLING) if term.name.startswith("periodic")]
    assert names == [
        "periodic in x, u", "periodic in x, u, slope", "periodic in x, v", "periodic in x, v, slope",
        "periodic in y, v", "periodic in y, v, slope",
    ]  # fmt: skip
    value, slope = rows_of(problem, "periodic in x, v")
    y = torch.as_tensor(SQUARE.face("x-", SAMPLING.cells, SAMPLING.order, 0, 0).points)[:, 1]
    torch.testing.assert_close(value, torch.zeros_like(value))
    torch.testing.assert_close(slope.abs(), 4.0 * y)


def test_data_are_compared_where_they_were_measured() -> None:
    u, v, more = rows_of(Problem(SQUARE, data=DATA, unknowns=("u", "v")), "")
    expected = [math.sin(0.1 + 0.4) - 1.0, math.sin(0.5 + 2.2) - 2.0, math.sin(0.9 + 2.8) - 0.5]
    assert u.tolist() == pytest.approx(expected)
    assert v.tolist() == pytest.approx([0.49 * 0.4 - 3.0, 0.81 * 1.4 - 4.0])
    assert more.tolist() == pytest.approx([0.01 * 0.2 - 0.7])
