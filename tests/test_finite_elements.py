"""Finite elements against scikit-fem's own, closed forms, known solutions and theory's rates."""

from __future__ import annotations

import math
from itertools import count, islice, pairwise

import numpy as np
import pytest
import torch
from skfem import Basis, ElementLineP2, ElementTetP2, ElementTriP4, MeshTri1, condense, solve
from skfem.models.poisson import laplace, unit_load

from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.combinations import difference
from pdekan.domains.mesh import Mesh
from pdekan.domains.quadrature import Array
from pdekan.domains.shapes import disk, polygon
from pdekan.domains.triangulation import triangulation
from pdekan.errors.reference_solutions import finite_element_references
from pdekan.fem import solver
from pdekan.fem.lagrange import Lagrange
from pdekan.fem.meshes import fitted_mesh
from pdekan.fem.solver import levels
from pdekan.fem.spaces import FiniteElementFunction, LagrangeSpace
from pdekan.fem.weak_form import coefficients, is_affine
from pdekan.fields.functions import atan2, cos, exp, sin
from pdekan.fields.jets import Derivatives, Jet
from pdekan.fields.operators import d, div, dx, dy, grad, laplacian, normal
from pdekan.problems.conditions import dirichlet, neumann, robin
from pdekan.problems.formulas import EXACT, ProblemError, as_field
from pdekan.problems.problem import Problem

RNG = np.random.default_rng(7)
L_SHAPE = polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)])


def reference_points(dimension: int, count: int = 20) -> Array:
    """Points ``(d, n)`` in the reference simplex."""
    return RNG.dirichlet(np.ones(dimension + 1), count).T[1:]


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2, 4, 6])
def test_lagrange_functions_are_one_at_their_node_and_zero_at_the_others(dimension: int, degree: int) -> None:
    element = Lagrange(dimension, degree)
    assert len(element.doflocs) == math.comb(degree + dimension, dimension)
    value, _ = element.shape_functions(element.doflocs.T)
    np.testing.assert_allclose(value, np.eye(len(value)), atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_their_derivatives_are_those_of_differences(dimension: int) -> None:
    element, x, h = Lagrange(dimension, 5), reference_points(dimension), 1e-6
    _, slope = element.shape_functions(x)
    for k in range(dimension):
        step = h * np.eye(dimension)[:, [k]]
        differences = (element.shape_functions(x + step)[0] - element.shape_functions(x - step)[0]) / (2 * h)
        np.testing.assert_allclose(slope[:, k], differences, atol=1e-7)


@pytest.mark.parametrize(("dimension", "theirs"), [(1, ElementLineP2()), (2, ElementTriP4()), (3, ElementTetP2())])
def test_they_are_those_of_scikit_fem_where_it_has_them(dimension: int, theirs: object) -> None:
    ours, x = Lagrange(dimension, theirs.maxdeg), reference_points(dimension)  # type: ignore[attr-defined]
    for i, place in enumerate(theirs.doflocs):  # type: ignore[attr-defined]
        k = int(np.linalg.norm(ours.doflocs - place, axis=1).argmin())
        for mine, other in zip(ours.lbasis(x, k), theirs.lbasis(x, i), strict=True):  # type: ignore[attr-defined]
            np.testing.assert_allclose(mine, other, atol=1e-12)


def test_a_solution_is_that_of_scikit_fem_on_the_same_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 4)
    problem = Problem(L_SHAPE, lambda u: -laplacian(u), 1.0, (dirichlet(0.0),))
    ours = next(levels(problem))
    mesh = MeshTri1(ours.space.mesh.p, ours.space.mesh.t)
    basis = Basis(mesh, ElementTriP4(), intorder=8)
    values = solve(*condense(laplace.assemble(basis), unit_load.assemble(basis), D=basis.get_dofs()))
    found = ours(basis.doflocs.T)[0][:, 0]
    np.testing.assert_allclose(found, values, atol=1e-11)


def points_in(domain: Domain, count: int = 400) -> Array:
    points = RNG.uniform(domain.lower, domain.upper, (3 * count, domain.dimension))
    return points[domain.contains(points)][:count]


def test_coefficients_are_those_written_down() -> None:
    problem = Problem(box(x=(0, 1), y=(0, 1)), lambda u: u, conditions=(dirichlet(),), source=0.0)
    operator = as_field(lambda u, x, y: div(exp(x * y) * grad(u)) + 3.0 * dx(dy(u)) * y + x * dy(u) - y * u)
    points = points_in(problem.domain)
    x, y = points.T
    k = coefficients(problem, operator, as_field(lambda x: 2.0 * x), points)
    e = np.exp(x * y)
    np.testing.assert_allclose(k.second[:, 0], np.array([[e, 1.5 * y], [1.5 * y, e]]).transpose(2, 0, 1), rtol=1e-13)
    np.testing.assert_allclose(k.first[:, 0], np.stack([y * e, x * e + x], axis=1), rtol=1e-13)
    np.testing.assert_allclose(k.divergence[:, 0], np.stack([y * e + 1.5, x * e], axis=1), rtol=1e-13)
    np.testing.assert_allclose(k.zeroth[:, 0], -y, rtol=1e-13)
    np.testing.assert_allclose(k.residual, -2.0 * x, rtol=1e-13)


def test_what_is_affine_is_known() -> None:
    problem = Problem(box(x=(0, 1), y=(0, 1)), lambda u: u, conditions=(dirichlet(),), source=0.0)
    points = points_in(problem.domain)
    assert is_affine(problem, as_field(lambda u, x: laplacian(u) + x * dx(u) + u), 1.0, points)
    assert not is_affine(problem, as_field(lambda u: laplacian(u) + u * u), 1.0, points)
    assert not is_affine(problem, as_field(lambda u: laplacian(u) + dx(u) * dy(u)), 1.0, points)
    for quasilinear in (lambda u: div((1.0 + u * u) * grad(u)), lambda u: dx(dx(u)) * dy(dy(u))):
        with pytest.raises(ProblemError, match="second derivatives"):
            is_affine(problem, as_field(quasilinear), 1.0, points)


def function_on(domain: Domain, level: int, degree: int) -> FiniteElementFunction:
    """A polynomial of half the degree in the space of a level, which holds it also on curved cells."""
    fit = fitted_mesh(domain, {})
    space = LagrangeSpace.on_mesh(next(islice(fit.refinements(degree), level, None)), fit, degree)
    return FiniteElementFunction(space, polynomial(space.nodes)[0])


def polynomial(points: Array) -> tuple[Array, Array]:
    x, rest = points[:, :1], points[:, 1:].sum(axis=1, keepdims=True)
    gradient = np.concatenate([3.0 - rest, np.repeat(-x, points.shape[1] - 1, axis=1)], axis=1)
    return 1.0 + 3.0 * x - x * rest, gradient[:, None]


@pytest.mark.parametrize(
    ("domain", "exact"),
    [
        (L_SHAPE, True),
        (box(x=(-1, 2)), True),
        (box(x=(0, 1), y=(0, 2), z=(0, 1)), True),
        (disk(), False),
        (Ball((0.1, 0, 0), 1), False),
    ],
)
def test_points_are_found_in_graded_and_curved_meshes(domain: Domain, exact: bool) -> None:
    function = function_on(domain, 1, 4)
    points = points_in(domain)
    values, gradients = function(points)
    known, slopes = polynomial(points)
    # on curved cells the elements are no polynomials, but nearly
    np.testing.assert_allclose(values, known, atol=1e-12 if exact else 1e-3)
    np.testing.assert_allclose(gradients, slopes, atol=1e-8 if exact else 5e-2)
    near = points + 1e-9
    np.testing.assert_allclose(function(near)[0], values, atol=1e-7)


@pytest.mark.parametrize("domain", [disk((0.3, 0.0), 1.5), difference(box(x=(-1, 1), y=(-1, 1)), disk((0, 0), 0.3))])
def test_the_area_of_curved_meshes_converges_with_the_degree(domain: Domain) -> None:
    errors = [abs(function_on(domain, level, 4).quadrature()[1].sum() - domain.measure) for level in range(3)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert slopes.min() > 5.0
    assert errors[-1] < 1e-8


def test_corners_have_the_exponents_of_their_angles_and_conditions() -> None:
    fit = fitted_mesh(L_SHAPE, dict.fromkeys(L_SHAPE.faces, 0))
    exponents = sorted(alpha for _, alpha in fit.corners)  # type: ignore[attr-defined]
    np.testing.assert_allclose(exponents, [2 / 3] + [2.0] * 5)
    mixed = fitted_mesh(box(x=(0, 1), y=(0, 1)), {"x-": 1})
    np.testing.assert_allclose(sorted(alpha for _, alpha in mixed.corners), [1.0, 1.0, 2.0, 2.0])  # type: ignore[attr-defined]
    assert fitted_mesh(disk(), {}).corners == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("degree", [3, 4])
def test_a_refinement_halves_edges_at_a_corner_as_often_as_its_exponent_requires(degree: int) -> None:
    """⌈p/α⌉ times, and once where nothing is graded: the ratio of edges at a corner on successive meshes is a power of two."""
    fit = fitted_mesh(L_SHAPE, dict.fromkeys(L_SHAPE.faces, 0))
    meshes = list(islice(fit.refinements(degree), 3))
    for corner, alpha in fit.corners:  # type: ignore[attr-defined]
        lengths = []
        for mesh in meshes:
            at_corner = np.linalg.norm(mesh.p.T - corner, axis=1) < 1e-12
            edges = mesh.facets.T[at_corner[mesh.facets.T].any(axis=1)]
            lengths.append(np.sort(np.linalg.norm(mesh.p.T[edges[:, 0]] - mesh.p.T[edges[:, 1]], axis=1)))
        halvings = np.log2(np.divide(lengths[:-1], lengths[1:]))
        np.testing.assert_allclose(halvings, math.ceil(degree / alpha - 1e-9), atol=1e-6)
    assert all(fine.param() == pytest.approx(coarse.param() / 2) for coarse, fine in pairwise(meshes))


def wave(x: Jet, y: Jet) -> Jet:
    return sin(2.0 * x) * exp(y) + x * y


def singular(x: Jet, y: Jet) -> Jet:
    """r^(2/3) sin(2φ/3) with φ from the positive x-axis, which the fourth quadrant, where it jumps, is cut from."""
    turn = 0.75 * math.pi
    a, b = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    return (x * x + y * y) ** (1 / 3) * sin((atan2(b, a) + turn) * (2 / 3))


def errors_of(problem: Problem, field: object) -> dict[str, tuple[float, float]]:
    """True errors, L2 and H1 seminorm, of a reference."""
    rule = problem.domain.interior(15 if problem.domain.dimension < 3 else 4, 6, 0, 0)
    exact = problem.exact_jets(torch.as_tensor(rule.points), Derivatives.GRADIENT)
    out = {}
    for name, (values, gradients) in field(rule.points).items():  # type: ignore[operator]
        gap, slope = exact[name].value.numpy() - values, exact[name].gradient.numpy() - gradients  # type: ignore[union-attr]
        out[name] = (math.sqrt(rule.weights @ gap**2), math.sqrt(rule.weights @ (slope**2).sum(axis=1)))
    return out


SQUARE = box(x=(-1, 1), y=(0, 1))
HOLE = polygon([(0, 0), (2, 0), (2, 2), (0, 2)], holes=[[(0.5, 0.5), (1.2, 0.6), (0.7, 1.3)]])
MINUS = difference(box(x=(-1, 1), y=(-1, 1)), disk((0.2, 0.1), 0.4))
CUBE = box(x=(-1, 1), y=(0, 1), z=(0, 1))
MESH = Mesh(*triangulation(disk(), 0.5))
SMOOTH = {
    "box": Problem(SQUARE, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=wave),
    "disk": Problem(disk(), lambda u: laplacian(u) + 2.0 * u, EXACT, (dirichlet(EXACT),), exact=wave),
    "hole": Problem(HOLE, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=wave),
    "mesh": Problem(MESH, lambda u: laplacian(u) - u, EXACT, (neumann(EXACT),), exact=wave),
    "anisotropic": Problem(
        SQUARE,
        lambda u, x, y: d((2.0 + x) * dx(u) + 0.5 * dy(u), "x") + d(0.5 * dx(u) + exp(y) * dy(u), "y") + 3.0 * dx(u) + y * u,
        EXACT,
        (
            dirichlet(EXACT, ["x-", "y-"]),
            robin(lambda u, x: 2.0 * ((2.0 + x) * dx(u) + 0.5 * dy(u)) + u, EXACT, "x+"),
            robin(lambda u, y: 0.5 * dx(u) + exp(y) * dy(u), EXACT, "y+"),
        ),
        exact=wave,
    ),
    "robin": Problem(
        MINUS,
        lambda u: laplacian(u) + dx(u),
        EXACT,
        (dirichlet(EXACT, "part1", enforce="exact"), robin(lambda u: normal(u) + 2.0 * u, EXACT, "part2")),
        exact=wave,
    ),
    "semilinear": Problem(
        SQUARE,
        lambda u: laplacian(u) - u * u * u + u * dx(u),
        EXACT,
        (dirichlet(EXACT, ["x-", "x+"]), robin(lambda u: normal(u) + u * u * u, EXACT, ["y-", "y+"])),
        exact=wave,
    ),
    "system": Problem(
        disk(),
        [lambda u, v: laplacian(u) + 0.3 * dx(dy(v)) + v, lambda u, v: laplacian(v) - dx(u)],
        EXACT,
        (dirichlet(EXACT), dirichlet(EXACT, unknown="v")),
        exact={"u": wave, "v": lambda x, y: cos(x + y)},
        unknowns=("u", "v"),
    ),
    "interval": Problem(
        box(x=(-1, 1)),
        lambda u, x: d((1.0 + x * x) * d(u, "x"), "x") + u,
        EXACT,
        (dirichlet(EXACT, "x-"), robin(lambda u: 2.0 * u + normal(u), EXACT, "x+")),
        exact=lambda x: sin(3.0 * x),
    ),
    "cube": Problem(
        CUBE,
        lambda u: laplacian(u),
        EXACT,
        (dirichlet(EXACT, ["x-", "x+", "y-", "y+", "z-"]), neumann(EXACT, "z+")),
        exact=lambda x, y, z: sin(2.0 * x) * exp(y) * cos(z),
    ),
    "ball": Problem(
        Ball((0.0, 0.0, 0.0), 1.0),
        lambda u: laplacian(u),
        EXACT,
        (dirichlet(EXACT),),
        exact=lambda x, y, z: sin(x) * exp(y) * cos(z),
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_estimates_are_within_a_factor_of_three_of_the_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 5 if name in ("disk", "robin") else 3)
    monkeypatch.setitem(solver.DEGREE, 3, 3)
    problem = SMOOTH[name]
    reference = next(finite_element_references(problem))
    found = errors_of(problem, reference)
    for unknown, errors in found.items():
        for error, estimate in zip(errors, reference.estimate[unknown], strict=True):
            assert error / 3.0 <= estimate <= 3.0 * error + 1e-11
    accurate = {"disk": 1e-9, "robin": 1e-9, "interval": 1e-10, "cube": 1e-3, "ball": 1e-3}.get(name, 1e-6)
    assert max(l2 for l2, _ in found.values()) < accurate


def test_other_work_on_the_machine_takes_no_level_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of the wall's clock pass, those of the processor do not."""
    monkeypatch.setattr("time.perf_counter", count(0.0, 1e4).__next__)
    assert len(list(islice(solver.levels(SMOOTH["interval"]), 4))) == 4


def test_a_corner_costs_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 3)
    problem = Problem(L_SHAPE, lambda u: laplacian(u), 0.0, (dirichlet(EXACT),), exact=singular)
    errors = []
    for solution in islice(levels(problem), 4):
        # the fine mesh's own points, which crowd at the corner
        points, weights, _, gradients = solution.quadrature()
        exact = problem.exact_jet(torch.as_tensor(points), Derivatives.GRADIENT).gradient
        assert exact is not None
        errors.append(math.sqrt(weights @ ((gradients[:, 0] - exact.numpy()) ** 2).sum(axis=1)))
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert rates[1:].min() > 2.5  # of degree 3; on uniform meshes it is 2/3
    reference = next(finite_element_references(problem))
    assert errors[-1] / 3.0 <= reference.estimate["u"][1] <= 3.0 * errors[-1]


def test_without_grading_a_corner_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solver.DEGREE, 2, 3)
    monkeypatch.setattr("pdekan.fem.meshes.MAX_CORNER_REFINEMENTS", 1)
    problem = Problem(L_SHAPE, lambda u: laplacian(u), 0.0, (dirichlet(EXACT),), exact=singular)
    reference = next(finite_element_references(problem))
    (l2, h1), (own_l2, own_h1) = errors_of(problem, reference)["u"], reference.estimate["u"]
    assert h1 > 1e-3  # and the estimate knows
    assert h1 / 3.0 <= own_h1 <= 3.0 * h1
    assert l2 / 3.0 <= own_l2 <= 3.0 * l2


LAPLACE = {"source": 1.0, "conditions": (dirichlet(),)}


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem(box(x=(0, 1), t=(0, 1)), lambda u: d(u, "t") - laplacian(u), **LAPLACE), "without time"),
        (Problem(box(w=(0, 1), x=(0, 1), y=(0, 1), z=(0, 1)), lambda u: laplacian(u), **LAPLACE), "three dimensions"),
        (Problem(SQUARE, lambda u: div((1.0 + u * u) * grad(u)), **LAPLACE), "depend on an unknown"),
        (Problem(SQUARE, lambda u: dx(u), **LAPLACE), "elliptic"),
        (Problem(SQUARE, lambda u: dx(dx(u)) - dy(dy(u)), **LAPLACE), "elliptic"),
        (Problem(SQUARE, lambda u: laplacian(u), 1.0, (dirichlet(on="x-"),)), "no condition for u on x+"),
        (Problem(SQUARE, lambda u: laplacian(u), 1.0, (dirichlet(), neumann(on="x-"))), "two conditions"),
        (Problem(SQUARE, lambda u: laplacian(u), 1.0, (robin(lambda u: dx(u) + dy(u)),)), "conormal"),
        (Problem(SQUARE, [lambda u, v: laplacian(u) + v], 1.0, (dirichlet(),), unknowns=("u", "v")), "an equation for each"),
        (Problem(SQUARE, lambda u: laplacian(u), 1.0, (neumann(),)), "singular"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_finite_elements_do_not_solve_is_refused(problem: Problem, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as raised:
        next(levels(problem))
    assert "file" in str(raised.value)
