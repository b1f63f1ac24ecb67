"""Terms: their sum of squares against the integral, weights and units, pairs of faces, means, interfaces and data."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from objectives import DATA, PROBLEMS, SAMPLING, SQUARE, network_for, objective_for
from scipy.integrate import dblquad, quad
from torch import Tensor

from pdekan import splines
from pdekan.domains.box import box, hypercube
from pdekan.domains.shapes import disk
from pdekan.fields.functions import cos, exp, sin, stacked, where
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.operators import div, dt, dx, dy, grad, laplacian, normal
from pdekan.networks.base import ModuleNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.problems.conditions import dirichlet, initial, interface, mean, neumann, periodic, robin
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.options import Weights
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import EQUATION_WEIGHT, Objective
from pdekan.residuals.terms import terms, unit

# --- weights and units


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
    theta = network.flat_parameters
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
    rows = objective.rows(network.flat_parameters)[0]
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


# --- what is not finite, chunks and memory


def rows_of(problem: Problem, name: str) -> list[Tensor]:
    # --- means, interfaces, periodic conditions and data

    """The residuals of the terms of a name, for u = sin(x + 2y) and v = x² y by a network that is these functions."""
    found = [term for term in terms(problem, SAMPLING) if term.name.startswith(name)]
    out = []
    for term in found:
        fields = {"u": lambda x, y: sin(x + 2.0 * y), "v": lambda x, y: x**2 * y}
        jets = [fields[one](*(term.environment[c] for c in "xy")) for one in term.sought]
        out.append(term.residual(stacked(jets)))
    return out


# --- means, interfaces, periodic conditions and data


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
