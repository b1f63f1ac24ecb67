"""Steps in time on cells in space: the formula, its factorised problems, initial values, and rates of convergence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from pdekan.cells.elimination import Front, UndeterminedError
from pdekan.cells.factorisation import Factors
from pdekan.cells.initial_values import initial_state, representing, stated
from pdekan.cells.patches import inside, on_boundary
from pdekan.cells.radau import radau
from pdekan.cells.stages import State, StepSystem
from pdekan.cells.step_errors import left_out
from pdekan.cells.symbols import in_space
from pdekan.domains.partition import Partition
from pdekan.domains.quadrature import Quadrature
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.multi_indices import Higher
from pdekan.networks import kinds
from pdekan.networks.cells import CellNetwork
from pdekan.networks.cells_in_time import CellsInTime
from pdekan.problem_files.loader import loads
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.training.cells.slab import space_mesh

CPU = torch.device("cpu")
FILE = """
schema = 1
name = "steps"
[domain]
{domain}
[equation]
operator = "{operator}"
source = "manufactured"
{initial}
[[conditions]]
type = "{kind}"
on = "boundary"
value = "exact"
[exact]
u = "{exact}"
"""
BOX = 'type = "box"\nx = [0.0, 1.0]\ny = [0.0, 1.0]\nt = [0.0, 1.0]'
VALUE = '[[conditions]]\ntype = "initial"\nvalue = "exact"\n'
SLOPE = '[[conditions]]\ntype = "initial"\noperator = "dt(u)"\nvalue = "exact"\n'


def problem(operator: str, exact: str, initial: str = VALUE, kind: str = "dirichlet", domain: str = BOX) -> Problem:
    return loads(FILE.format(operator=operator, exact=exact, initial=initial, kind=kind, domain=domain))


def system(one: Problem, cells: int, degree: int, stages: int = 3) -> StepSystem:
    domain = one.domain
    mesh = space_mesh(one, 2, Partition.grid(domain.lower[:2], domain.upper[:2], (cells, cells)), degree)
    return StepSystem(one, mesh, 2, radau(stages), [1.0], CPU)


def test_the_formula_with_three_stages_is_the_published_one() -> None:
    # Hairer and Wanner, Solving Ordinary Differential Equations II, table IV.5.6
    root, formula = math.sqrt(6.0), radau(3)
    np.testing.assert_allclose(formula.nodes, [(4 - root) / 10, (4 + root) / 10, 1.0], rtol=1e-14)
    matrix = [
        [(88 - 7 * root) / 360, (296 - 169 * root) / 1800, (-2 + 3 * root) / 225],
        [(296 + 169 * root) / 1800, (88 + 7 * root) / 360, (-2 - 3 * root) / 225],
        [(16 - root) / 36, (16 + root) / 36, 1 / 9],
    ]
    np.testing.assert_allclose(formula.matrix, matrix, rtol=1e-12)


@pytest.mark.parametrize("stages", [3, 5, 7])
def test_the_rates_transform_the_stages(stages: int) -> None:
    formula = radau(stages)
    assert formula.rates[0].imag == 0.0
    assert len(formula.rates) == (stages + 1) // 2
    np.testing.assert_allclose((formula.out @ formula.into).real, np.eye(stages), atol=1e-11)
    transformed = (formula.out * formula.rates) @ formula.into
    np.testing.assert_allclose(transformed.real, formula.slopes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(formula.slopes @ formula.nodes**3, 3.0 * formula.nodes**2, rtol=1e-10)  # of a cubic


def test_an_even_number_of_stages_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        radau(4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_factorised_system_is_solved_as_a_dense_one(dtype: torch.dtype) -> None:
    generator, sizes = torch.Generator().manual_seed(0), [3, 2, 3, 2, 4]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    children = [(1, 4), (2, 3), None, None, None]
    dense, leaves = torch.zeros(14, 14, dtype=dtype), {}
    for node, blocks in ((2, (0, 3)), (3, (1, 3, 4)), (4, (2, 4))):
        columns = torch.tensor([k for block in blocks for k in range(starts[block], starts[block + 1])])
        rows = torch.randn(len(columns), len(columns), generator=generator, dtype=dtype)
        leaves[node] = Front(blocks, rows)
        dense[columns[:, None], columns] += rows
    right = torch.randn(14, generator=generator, dtype=dtype)
    factors = Factors.of(children, leaves, sizes)
    assert factors.is_complex is dtype.is_complex
    torch.testing.assert_close(factors.solve(right), torch.linalg.solve(dense, right), rtol=1e-10, atol=1e-10)
    with pytest.raises(UndeterminedError):
        Factors.of([None], {0: Front((0,), torch.zeros(3, 3, dtype=dtype))}, [3])


def in_time(unknowns: int = 2, degree: int = 4, q: int = 3) -> CellsInTime:
    partition = Partition.grid((0.0, 0.0), (1.0, 2.0), (2, 1))
    space = CellNetwork(partition, np.array([degree, degree]), unknowns * (q + 1)).requires_grad_(False)
    space.coefficients.copy_(torch.randn(len(space.coefficients), generator=torch.Generator().manual_seed(0)))
    return CellsInTime(space, unknowns, 0.5, 1.5, 1)


LEVELS = [Derivatives.GRADIENT, Derivatives.SUMMED, Derivatives.DIAGONAL, Derivatives.FULL, Higher([(0, 0, 1), (1, 1, 1)])]


@pytest.mark.parametrize("level", LEVELS)
def test_derivatives_of_cells_in_time_are_those_of_autograd(level: Derivatives | Higher) -> None:
    network, frame = in_time(), Frame(("x", "t", "y"), level)
    points = torch.rand(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = points * torch.tensor([1.0, 1.0, 2.0]) + torch.tensor([0.0, 0.5, 0.0])
    points.requires_grad_()

    def derivative(values: Tensor, index: tuple[int, ...]) -> Tensor:
        for k in index:
            values = torch.autograd.grad(values.sum(), points, create_graph=True)[0][:, k]
        return values

    jet = network.jet(points, frame)
    for unknown in range(2):
        u = network.jet(points, Frame(frame.coordinates, Derivatives.VALUE)).value[:, unknown]
        assert jet.gradient is not None
        for k in range(3):
            torch.testing.assert_close(jet.gradient[:, unknown, k], derivative(u, (k,)))
        if level is Derivatives.SUMMED:
            assert jet.second is not None
            torch.testing.assert_close(jet.second[:, unknown, 0], derivative(u, (0, 0)) + derivative(u, (2, 2)))
        if frame.is_full:
            assert jet.second is not None
            for s, pair in enumerate(zip(*frame.packed, strict=True)):
                torch.testing.assert_close(jet.second[:, unknown, s], derivative(u, pair))
        for s, index in enumerate(frame.higher):
            assert jet.higher is not None
            torch.testing.assert_close(jet.higher[:, unknown, s], derivative(u, index))


def test_cells_in_time_are_built_again_from_what_is_stored() -> None:
    network = in_time()
    other = kinds.build(network.architecture())
    assert isinstance(other, CellsInTime)
    other.load_state_dict(network.state_dict())
    points = torch.rand(5, 3, dtype=torch.float64) + torch.tensor([0.0, 0.5, 0.0])
    torch.testing.assert_close(other(points), network(points), rtol=0.0, atol=0.0)
    assert other.degree == network.degree == 3


def test_an_operator_is_one_in_space_where_time_is_an_exponential() -> None:
    # e^{rt} u(x, y): the coefficients of the operator and its points are those of any patch
    one, rate = problem("dt(dt(u)) + x*dt(dx(u)) + 3*dt(u) - laplacian(u) + y*u", "x"), 0.7
    (patch,) = inside(one, system(one, 2, 4).mesh, 2, 2, CPU)[0]
    u = torch.randn(4, 1, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    operators = patch.slopes(0.0, [torch.zeros(1, 4, 1, 15, dtype=torch.float64)] * 3)
    symbol = in_space(operators, 2, complex(rate))
    term = patch.term([0.0])
    expected = term.residual(patch.jet(term.frame, [u[None], rate * u[None], rate**2 * u[None]])) + term.target
    torch.testing.assert_close(patch.applied(symbol, u).ravel(), expected)
    rows = patch.rows(symbol).flatten(2)
    torch.testing.assert_close((rows @ u.reshape(4, -1, 1))[..., 0].ravel(), expected)
    residual = torch.randn(patch.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(patch.pulled_back(symbol, residual).flatten(1), (rows.mT @ residual[..., None])[..., 0])


HOLE = """
type = "difference"
t = [0.0, 1.0]
parts = [{type = "box", x = [0.0, 1.0], y = [0.0, 1.0]}, {type = "disk", center = [0.5, 0.5], radius = 0.2}]
"""


def test_patches_of_a_plate_with_a_hole_have_its_area_and_boundary() -> None:
    one = problem("dt(u) - laplacian(u)", "x", domain=HOLE)
    mesh = system(one, 4, 3).mesh
    area = sum(float(patches[0].weights.sum()) for patches in inside(one, mesh, 2, 2, CPU))
    assert area == pytest.approx(1.0 - math.pi * 0.04, rel=1e-7)
    length = sum(float(patch.weights.sum()) for patch in on_boundary(one, mesh, 2, 2, CPU))
    assert length == pytest.approx(4.0 + 0.4 * math.pi, rel=1e-7)
    for patches in inside(one, mesh, 2, 2, CPU):  # a polynomial of the cells' degree, also in the pieces of cells
        patch = patches[0]
        low, high = torch.as_tensor(mesh.geometry.low[patch.cells]), torch.as_tensor(mesh.geometry.high[patch.cells])
        points = torch.as_tensor(patch.rule.points).reshape(*patch.shape, 2)
        expected = (points - low[:, None]) * (2.0 / (high - low))[:, None] - 1.0
        torch.testing.assert_close(patch.nodes.expand_as(expected), expected)


def at_end(one: Problem, cells: int, degree: int, steps: int, stages: int = 3, corrections: int = 2) -> float:
    """The relative error in L2 at the end of time, of the cells' coefficients."""
    step_system = system(one, cells, degree, stages)
    state, length = initial_state(one, step_system.mesh, 2, 0.0, CPU), 1.0 / steps
    for k in range(steps):
        operators = step_system.slopes((k + 0.5) * length, state)
        modes = step_system.modes(operators, length)
        step = step_system.step(modes, state, k * length, length, None, 1e-13, corrections)
        state = State(step.values[-1], step.slopes[-1])
    later = replace(one, domain=replace(one.domain, lower=(0.0, 0.0, 1.0), upper=(1.0, 1.0, 2.0)))
    exact = initial_state(later, step_system.mesh, 2, 1.0, CPU).value
    return float((state.value - exact).norm() / exact.norm())


BUMP = "x*(1 - x)*y*(1 - y)"


@pytest.mark.parametrize(
    ("operator", "exact", "initial", "corrections"),
    [
        ("dt(u) - laplacian(u)", f"{BUMP}*sin(3*t)", VALUE, 2),
        ("dt(dt(u)) - laplacian(u)", f"{BUMP}*sin(3*t)", VALUE + SLOPE, 2),
        ("dt(u) - laplacian(u) + u**2 + t*u", f"{BUMP}*(2 + sin(3*t))", VALUE, 12),
    ],
)
def test_the_order_in_time_is_that_of_the_formula(operator: str, exact: str, initial: str, corrections: int) -> None:
    one = problem(operator, exact, initial)
    errors = [at_end(one, 1, 6, steps, corrections=corrections) for steps in (2, 4)]
    assert math.log2(errors[0] / errors[1]) > 4.7  # 2 s - 1 = 5, also where conditions vary with time
    assert errors[1] < 2e-3


def test_the_order_in_space_is_that_of_the_polynomials() -> None:
    one = problem("dt(u) - 0.2*laplacian(u)", "sin(3*x + t)*cos(2*y)")
    errors = [at_end(one, cells, 4, 2, 5) for cells in (2, 4, 8)]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] == pytest.approx(5.0, abs=0.5)


def test_waves_do_not_grow_in_steps_that_are_short_beside_cells() -> None:
    one = problem("dt(dt(u)) - laplacian(u)", "cos(4*x + 3*y - 5*t)", VALUE + SLOPE)
    assert at_end(one, 2, 8, 80, 5) < 3.0 * at_end(one, 2, 8, 8, 5)


def test_a_system_of_ordinary_equations_is_solved_as_scipy_solves_it() -> None:
    # the same at all points: no derivatives in space, so that each cell solves u' = -u^2 + sin(t)
    one = loads(
        FILE.format(operator="dt(u) + u**2 - sin(t)", exact="1", initial=VALUE, kind="dirichlet", domain=BOX)
        .replace('source = "manufactured"', "")
        .replace('[[conditions]]\ntype = "dirichlet"\non = "boundary"\nvalue = "exact"', "")
    )
    step_system = system(one, 1, 2, 5)
    zero = torch.zeros(step_system.shape, dtype=torch.float64)
    state = State(zero.clone(), zero.clone())
    state.value[:, :, 0] = 1.0
    modes = step_system.modes(step_system.slopes(0.5, state), 1.0)
    step = step_system.step(modes, state, 0.0, 1.0, None, 1e-14, 40)
    reference = solve_ivp(lambda t, u: np.sin(t) - u**2, (0.0, 1.0), [1.0], rtol=1e-12, atol=1e-12)
    assert float(step.values[-1, 0, 0, 0]) == pytest.approx(reference.y[0, -1], rel=1e-6)


def test_initial_values_are_read_from_their_conditions() -> None:
    velocity = '[[conditions]]\ntype = "initial"\noperator = "dt(u) + 2*u"\nvalue = "sin(y)"\n'
    one = problem("dt(dt(u)) - laplacian(u)", "cos(x)", VALUE + velocity)
    points = np.random.default_rng(0).random((5, 2))
    values = stated(one, 2, 0.0, CPU)(Quadrature(points, np.ones(5))).numpy()
    np.testing.assert_allclose(values, np.column_stack([np.cos(points[:, 0]), np.sin(points[:, 1]) - 2 * np.cos(points[:, 0])]))
    slanted = problem("dt(u) - laplacian(u)", "cos(x)", VALUE.replace("value", 'operator = "u + dx(u)"\nvalue'))
    with pytest.raises(ProblemError, match="derivatives in space"):
        stated(slanted, 2, 0.0, CPU)(Quadrature(points, np.ones(5)))


def test_a_peak_between_all_points_of_cells_is_found() -> None:
    one = problem("dt(u) - laplacian(u)", "exp(-3000*((x - 0.503)**2 + (y - 0.247)**2))")
    mesh = space_mesh(one, 2, Partition.grid((0.0, 0.0), (1.0, 1.0), (2, 2)), 6)
    finer = representing(one, mesh, 2, stated(one, 2, 0.0, CPU), 1e-3, 400, lambda part: space_mesh(one, 2, part, 6))
    low, high = finer.geometry.low, finer.geometry.high
    smallest = np.argmin((high - low)[:, 0])
    assert (high - low)[smallest, 0] <= 1.0 / 16.0
    assert np.all(np.abs(0.5 * (low + high)[smallest] - [0.503, 0.247]) < 0.1)


def test_initial_waves_along_one_axis_are_cut_along_it() -> None:
    one = problem("dt(u) - laplacian(u)", "sin(60*x)*y")
    mesh = space_mesh(one, 2, Partition.grid((0.0, 0.0), (1.0, 1.0), (2, 2)), 6)
    finer = representing(one, mesh, 2, stated(one, 2, 0.0, CPU), 1e-4, 400, lambda part: space_mesh(one, 2, part, 6))
    sides = finer.geometry.high - finer.geometry.low
    np.testing.assert_allclose(sides[:, 1], 0.5)
    assert sides[:, 0].max() <= 1.0 / 8.0


def test_what_a_series_leaves_out_is_told_by_how_it_falls() -> None:
    falling = 0.1 ** np.arange(1.0, 6.0)
    assert left_out(falling) == pytest.approx(1e-6)
    assert left_out(np.array([1e-1, 1e-2, 1e-3, 9e-4, 8e-4])) < 1e-4  # errors in space, which do not fall
    assert left_out(np.array([1.0, 1e-3, 8e-4, 9e-4, 7e-4])) < 1e-5
    slow = 0.7 ** np.arange(1.0, 6.0)
    assert left_out(slow) == pytest.approx(0.7**6)
