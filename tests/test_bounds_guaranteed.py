"""Guaranteed bounds of the energy norm, whose integrals are enclosed, and reasons why they are not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from energies import Off, random_energy, trained
from meshes import kuhn, square_with_hole

import pdekan as pk
from pdekan import EXACT, Problem, dirichlet, neumann, robin
from pdekan.domains.mesh import Mesh
from pdekan.errors import bounds
from pdekan.errors.bounds import BoundRule, error_bound
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.problems.formulas import ProblemError

CUBE = pk.box(x=(0, 1), y=(0, 1), z=(0, 2))
SQUARE = pk.box(x=(-1, 1), y=(0, 2))


def a_network(problem: Problem) -> Network:
    """A KAN that is fitted to the exact solution at points; in the plane with knots."""
    domain = problem.domain
    sizes = ((3, 6), (1, 3)) if domain.dimension == 2 else ((2, 4), 1)
    nodes = 6 if domain.dimension == 3 else 4
    network = KAN((domain.dimension, nodes, 1), *sizes, "none", domain.lower, domain.upper)
    network.initialise(torch.Generator().manual_seed(3))
    points = torch.as_tensor(domain.interior(6, 3, 0, 0).points)
    corners = torch.tensor(list(itertools.product(*zip(domain.lower, domain.upper, strict=True))), dtype=torch.float64)
    network.normalise(torch.cat([points, corners]))
    network.project(problem.exact_jets(points, Derivatives.VALUE)["u"].value[:, None], points)
    return network.requires_grad_(False)


def energy_norm(problem: Problem, network: Network, matrix: Callable[..., Any], c: float, alpha: dict[str, float]) -> float:
    """|||u - v||| by a fine Gauss rule, of A as a function of the coordinates."""
    domain = problem.domain

    def off(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, frame = torch.as_tensor(points), Frame(domain.coordinates, Derivatives.GRADIENT)
        v, u = network.jet(x, frame), problem.exact_jets(x, Derivatives.GRADIENT)["u"]
        assert u.gradient is not None
        assert v.gradient is not None
        return (u.value - v.value[:, 0]).numpy(), (u.gradient - v.gradient[:, 0]).numpy()

    rule = domain.interior(10, 5, 0, 0)
    value, slope = off(rule.points)
    a = np.broadcast_to(np.asarray(matrix(*rule.points.T)), (len(value), domain.dimension, domain.dimension))
    square = rule.weights @ (np.einsum("nij,ni,nj->n", a, slope, slope) + c * value**2)
    for face, factor in alpha.items():
        rule = domain.face(face, 10, 5, 0, 0)
        square += factor * rule.weights @ off(rule.points)[0] ** 2
    return math.sqrt(square)


def growing(x: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return np.exp(x)[:, None, None] * np.eye(2)


CASES: dict[str, tuple[Problem, Callable[..., Any], float, dict[str, float]]] = {
    "a variable coefficient": (
        Problem(SQUARE, lambda u, x: -pk.div(pk.exp(x) * pk.grad(u)) + 2 * u, EXACT, (dirichlet(EXACT),),
                exact=lambda x, y: pk.sin(x + 0.3) * y),
        growing, 2.0, {},
    ),
    "an anisotropic one, mixed conditions": (
        Problem(SQUARE, lambda u: -2 * pk.dx(pk.dx(u)) - pk.dy(pk.dy(u)), EXACT,
                (dirichlet(EXACT, "x-"), neumann(EXACT, ("x+", "y-")), robin(lambda u: pk.normal(u) + 3 * u, EXACT, "y+")),
                exact=lambda x, y: pk.exp(0.5 * x) * pk.cos(y)),
        lambda x, y: np.diag([2.0, 1.0]), 0.0, {"y+": 3.0},
    ),
    "no values": (
        Problem(SQUARE, lambda u: -pk.laplacian(u) + u, EXACT, (neumann(EXACT),), exact=lambda x, y: x * pk.sin(y)),
        lambda x, y: np.eye(2), 1.0, {},
    ),
    "three dimensions": (
        Problem(CUBE, lambda u: -pk.laplacian(u), EXACT,
                (dirichlet(EXACT, ("x-", "x+", "y-", "z-", "z+")), neumann(EXACT, "y+")),
                exact=lambda x, y, z: pk.sin(x + 0.3) * y + 0.1 * z * z),
        lambda x, y, z: np.eye(3), 0.0, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_guaranteed_bounds_enclose_the_truth(name: str) -> None:
    problem, matrix, c, alpha = CASES[name]
    network = a_network(problem)
    true = energy_norm(problem, network, matrix, c, alpha)
    bound = error_bound(problem, network, BoundRule(intervals=((16,), (8, 16), (2,)), near=3.0))
    assert bound.kind == "guaranteed"
    # in space most of this error is in boundary values, which the lower bound does not count
    least, most = (0.0, 2.0) if name == "three dimensions" else (0.1, 1.5)
    assert least * true <= bound.energy_lower <= true <= bound.energy_upper <= most * true
    assert any("enclosed" in one for one in bound.assumptions)


@pytest.mark.nightly  # by day: networks with knots that are fitted
@pytest.mark.parametrize("seed", [21, 24])
def test_trained_networks_have_guaranteed_bounds(seed: int) -> None:
    energy = random_energy(seed)
    network = trained(energy, 1 + seed % 40)
    true, bound = energy.norm(network), error_bound(energy.problem, network, BoundRule(intervals=((), (8, 16), ())))
    assert bound.kind == "guaranteed"
    assert bound.energy_lower <= true <= bound.energy_upper


@pytest.mark.parametrize(
    ("source", "reason"), [(lambda x: pk.erf(x), "erf"), (lambda x, y: pk.where(x.value < 0.0, x, y), "compares values")]
)
def test_data_that_is_not_enclosed_gives_an_estimate_with_the_reason(source: Callable[..., Any], reason: str) -> None:
    problem = Problem(SQUARE, lambda u: -pk.laplacian(u), source, (dirichlet(0.0),), exact=lambda x, y: 0.0 * x)
    bound = error_bound(problem, a_network(problem), BoundRule(intervals=((), (8,), ())))
    assert bound.kind == "estimate"
    assert any(reason in one for one in bound.assumptions)


def test_bounds_that_contradict_each_other_are_no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = random_energy(0)

    class Wrong:
        def value(self, *_: object) -> float:
            return 1e9

    def wrong(_: object) -> Iterator[Wrong]:
        yield Wrong()

    monkeypatch.setattr(bounds, "lower_bounds", wrong)
    with pytest.raises(ProblemError, match="contradict each other"):
        error_bound(energy.problem, Off(energy.problem, lambda x, y: 1e-3 * x), BoundRule(intervals=((), (8,), ())))


def positive(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cells turned to a positive volume."""
    corners, cells = points[cells], cells.copy()
    inverted = np.linalg.det(corners[:, 1:] - corners[:, :1]) < 0.0
    cells[inverted, :2] = cells[inverted, 1::-1]
    return cells


def test_bounds_on_a_mesh_of_triangles() -> None:
    mesh = square_with_hole()
    domain = Mesh(mesh.points, positive(mesh.points, mesh.cells))
    problem = Problem(domain, lambda u: -pk.laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x, y: pk.sin(x) * y)
    network = Off(problem, lambda x, y: 1e-4 * pk.sin(2 * x + y))
    true = energy_norm(problem, network, lambda *_: np.eye(2), 0.0, {})
    bound = error_bound(problem, network, BoundRule(intervals=((), (8, 16), ())))
    assert bound.kind == "estimate"
    assert 0.5 * true < bound.energy_lower <= true <= bound.energy_upper <= 1.5 * true


def test_meshes_of_tetrahedra_are_refused_with_the_reason() -> None:
    points, cells = kuhn((1, 1, 1))
    domain = Mesh(points, positive(points, cells), coordinates=("x", "y", "z"))
    problem = Problem(domain, lambda u: -pk.laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x, y, z: x * y + z)
    with pytest.raises(ProblemError, match="tetrahedra"):
        error_bound(problem, Off(problem, lambda x, y, z: 1e-4 * x))
