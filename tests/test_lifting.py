"""Exact conditions: g has the values that are asked for, from nothing but these; φ vanishes there and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pdekan.ansatz.lifting import Lifting
from pdekan.ansatz.unknowns import build_ansatz
from pdekan.domains.base import Domain
from pdekan.domains.box import box, hypercube
from pdekan.domains.combinations import difference, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import annulus, disk, polygon
from pdekan.fields.functions import cos, exp, sin, where
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.operators import laplacian
from pdekan.networks.mlp import MLP
from pdekan.problems.condition import Condition
from pdekan.problems.conditions import dirichlet, initial, neumann
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.problem import Problem


def exact(value: object, on: str | list[str]) -> Condition:
    return dirichlet(value, on, enforce="exact")  # type: ignore[arg-type]


SQUARE = polygon([(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0)])
# name -> domain, conditions, the values at points that they ask for, face by face
Values = dict[str, Callable[[Tensor], Tensor]]
CASES: dict[str, tuple[Domain, tuple[Condition, ...], Values]] = {
    "line": (
        box(x=(-1, 3)), (exact(2.0, "x-"), exact(-5.0, "x+")),
        {"x-": lambda p: 2.0 + 0.0 * p[:, 0], "x+": lambda p: -5.0 + 0.0 * p[:, 0]},
    ),
    "one end": (box(x=(-1, 3)), (exact(lambda x: cos(x), "x+"),), {"x+": lambda p: torch.cos(p[:, 0])}),
    "one formula": (
        box(x=(0, 1), y=(1, 3)), (exact(lambda x, y: exp(x) * y**2, "boundary"),),
        {face: lambda p: torch.exp(p[:, 0]) * p[:, 1] ** 2 for face in ("x-", "x+", "y-", "y+")},
    ),
    "four formulas": (
        box(x=(0, 1), y=(0, 1)),
        (exact(lambda y: sin(y), "x-"), exact(lambda y: y + 2.0, "x+"), exact(lambda x: 2.0 * x**3, "y-"),
         exact(lambda x: (3.0 - math.sin(1.0)) * x + math.sin(1.0), "y+")),
        {"x-": lambda p: torch.sin(p[:, 1]), "x+": lambda p: p[:, 1] + 2.0, "y-": lambda p: 2.0 * p[:, 0] ** 3,
         "y+": lambda p: (3.0 - math.sin(1.0)) * p[:, 0] + math.sin(1.0)},
    ),
    "three faces": (
        box(x=(0, 1), y=(0, 1)), (exact(lambda y: sin(y * 3.0), ["x-", "x+"]), exact(0.0, "y-")),
        {"x-": lambda p: torch.sin(3.0 * p[:, 1]), "x+": lambda p: torch.sin(3.0 * p[:, 1]), "y-": lambda p: 0.0 * p[:, 0]},
    ),
    "cube": (
        box(x=(0, 1), y=(0, 2), z=(-1, 1)), (exact(lambda x, y, z: sin(x + 2.0 * y) * exp(z) + x * y * z, "boundary"),),
        {face: lambda p: torch.sin(p[:, 0] + 2.0 * p[:, 1]) * torch.exp(p[:, 2]) + p.prod(1)
         for face in ("x-", "x+", "y-", "y+", "z-", "z+")},
    ),
    "heat": (
        box(x=(0, 1), t=(0, 0.5)),
        (initial(lambda x: cos(x), enforce="exact"), exact(lambda x, t: cos(x) * exp(t), "boundary")),
        {"t-": lambda p: torch.cos(p[:, 0]), "x-": lambda p: torch.exp(p[:, 1]),
         "x+": lambda p: math.cos(1.0) * torch.exp(p[:, 1])},
    ),
    "vector": (
        hypercube(3, -1.0, 2.0), (exact(lambda x: (x * x)[0] + x[1] * x[2], ["x1-", "x2+", "x3+"]),),
        {face: lambda p: p[:, 0] ** 2 + p[:, 1] * p[:, 2] for face in ("x1-", "x2+", "x3+")},
    ),
    "four of seven coordinates": (
        hypercube(7, 0.0, 1.0), (exact(lambda x1, x2, x7: x1 * x2 + x7, ["x1-", "x2+", "x3-", "x3+", "x5+"]),),
        {face: lambda p: p[:, 0] * p[:, 1] + p[:, 6] for face in ("x1-", "x2+", "x3-", "x3+", "x5+")},
    ),
    "long in time": (
        box(x=(0, 1e-2), t=(0, 100)), (exact(lambda t: t, "boundary"),), {face: lambda p: p[:, 1] for face in ("x-", "x+")}
    ),
    "thin": (annulus((0.0, 0.0), 0.99, 1.0), (exact(lambda x: x, "boundary"),), {"outer": lambda p: p[:, 0]}),
    "disk": (disk((1.0, 0.0), 2.0), (exact(lambda x, y: x * y, "boundary"),), {"outer": lambda p: p[:, 0] * p[:, 1]}),
    "annulus": (
        annulus((0.0, 0.0), 0.5, 1.0), (exact(lambda x: x**2, "inner"), exact(3.0, "outer")),
        {"inner": lambda p: p[:, 0] ** 2, "outer": lambda p: 3.0 + 0.0 * p[:, 0]},
    ),
    "polygon": (
        SQUARE, (exact(lambda x: x * (2.0 - x), ["edge1", "edge3"]), exact(0.0, ["edge2", "edge4"])),
        {"edge1": lambda p: p[:, 0] * (2.0 - p[:, 0]), "edge3": lambda p: p[:, 0] * (2.0 - p[:, 0]),
         "edge2": lambda p: 0.0 * p[:, 0], "edge4": lambda p: 0.0 * p[:, 0]},
    ),
    "fifty edges": (
        polygon([(math.cos(2 * math.pi * k / 50), math.sin(2 * math.pi * k / 50)) for k in range(50)]),
        (exact(lambda x: x, "boundary"),), {f"edge{k + 1}": lambda p: p[:, 0] for k in range(50)},
    ),
    "plate with a hole": (
        difference(box(x=(0, 2), y=(0, 2)), disk((1.0, 1.0), 0.3)), (exact(0.0, "part1"), exact(1.0, "part2.outer")),
        {"part1.x-": lambda p: 0.0 * p[:, 0], "part1.y+": lambda p: 0.0 * p[:, 0],
         "part2.outer": lambda p: 1.0 + 0.0 * p[:, 0]},
    ),
    "disk in time": (
        Cylinder(disk(), 0.0, 2.0), (exact(lambda t: t, "outer"), initial(0.0, enforce="exact")),
        {"outer": lambda p: p[:, 2], "t-": lambda p: 0.0 * p[:, 0]},
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


def lifting(domain: Domain, *conditions: Condition, **more: object) -> Lifting:
    problem = Problem(domain, lambda u: laplacian(u), 0.0, conditions, **more)  # type: ignore[arg-type]
    found = Lifting.of(problem, "u")
    assert found is not None
    return found


def on_face(domain: Domain, face: str) -> Tensor:
    return torch.as_tensor(domain.face(face, 2, 5, 64, 0).points)


def values_at(one: Lifting, points: Tensor) -> Tensor:
    return one.values(one.problem.environment(points, Derivatives.VALUE)).value


def level_at(one: Lifting, points: Tensor) -> Tensor:
    environment = one.problem.environment(points, Derivatives.VALUE)
    return one.level([environment[name] for name in one.problem.domain.coordinates]).value


@every_case
def test_g_has_the_values_that_are_asked_for(name: str) -> None:
    domain, conditions, wanted = CASES[name]
    one = lifting(domain, *conditions)
    for face, value in wanted.items():
        points = on_face(domain, face)
        torch.testing.assert_close(values_at(one, points), value(points), rtol=1e-8, atol=1e-8)


@every_case
def test_phi_vanishes_on_these_faces_and_nowhere_else(name: str) -> None:
    domain, conditions, wanted = CASES[name]
    one = lifting(domain, *conditions)
    inside = level_at(one, torch.as_tensor(domain.interior(3, 3, 64, 0).points))
    assert bool((inside > 0.0).all())
    assert 0.3 < float(inside.max()) < 3.0
    with_values = {face for c in conditions for on in c.on for face in domain.resolve(on)}
    assert with_values >= set(wanted)
    for face in domain.faces:
        level = level_at(one, on_face(domain, face))
        if face in with_values:
            assert float(level.abs().max()) < 1e-12
        else:
            assert float(level.min()) > 0.0


@pytest.mark.parametrize("faces", [["x-", "x+", "y-", "y+"], ["x-"], ["x-", "y+"], ["t-", "x-", "x+"], ["boundary"]])
def test_values_of_the_exact_solution_come_from_the_boundary_alone(faces: list[str]) -> None:
    """A bump inside, nan but for the faces: g must not change. It agrees with the exact solution on the faces all the same."""
    domain = box(x=(0, 1), y=(0, 1), t=(0, 1))

    def solution(x: Jet, y: Jet, t: Jet) -> Jet:
        return sin(x * 3.0) * y**2 * exp(t)

    on_faces = [face for name in faces for face in domain.resolve(name)]

    def spoilt(x: Jet, y: Jet, t: Jet) -> Jet:
        ends = {"x-": x, "x+": x - 1.0, "y-": y, "y+": y - 1.0, "t-": t}
        on = torch.stack([ends[face].value.abs() < 1e-14 for face in on_faces]).any(0)
        return where(on, solution(x, y, t), solution(x, y, t) * math.nan)

    conditions = (exact(EXACT, faces),)
    plain, other = (lifting(domain, *conditions, exact=formula) for formula in (solution, spoilt))
    points = torch.as_tensor(domain.interior(2, 3, 0, 0).points)
    torch.testing.assert_close(values_at(other, points), values_at(plain, points), rtol=0.0, atol=0.0)
    assert not torch.allclose(values_at(plain, points), plain.problem.exact_jet(points, Derivatives.VALUE).value)
    for face in on_faces:
        there = on_face(domain, face)
        torch.testing.assert_close(values_at(other, there), plain.problem.exact_jet(there, Derivatives.VALUE).value)


def test_derivatives_of_g_agree_with_finite_differences() -> None:
    domain, conditions, _ = CASES["four formulas"]
    round_, rounded, _ = CASES["annulus"]
    for one in (lifting(domain, *conditions), lifting(round_, *rounded)):
        points = torch.as_tensor(one.problem.domain.interior(2, 2, 0, 0).points)
        jet, h = one.values(one.problem.environment(points, Derivatives.FULL)), 1e-4
        assert jet.gradient is not None
        assert jet.second is not None
        for k in range(2):
            step = torch.zeros(2, dtype=torch.float64)
            step[k] = h
            up, down = (values_at(one, points + sign * step) for sign in (1.0, -1.0))
            torch.testing.assert_close(jet.gradient[:, k], (up - down) / (2.0 * h), rtol=1e-6, atol=1e-6)
            second = (up - 2.0 * jet.value + down) / h**2
            torch.testing.assert_close(jet.second[:, 2 * k], second, rtol=1e-5, atol=1e-5)


def test_where_two_conditions_meet_g_is_a_number() -> None:
    """A vertex of a polygon is in the meshes that are drawn."""
    domain, conditions, _ = CASES["polygon"]
    one = lifting(domain, *conditions)
    assert isinstance(domain, type(SQUARE))
    vertices = torch.tensor(domain.vertices, dtype=torch.float64)
    torch.testing.assert_close(values_at(one, vertices), torch.zeros(4, dtype=torch.float64), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("domain", "conditions", "message"),
    [
        (box(x=(0, 1), y=(0, 1)), [exact(1.0, "y+"), exact(0.0, ["x-", "x+"])], "disagree"),
        (box(x=(0, 1)), [exact(1.0, "x-"), exact(0.0, "boundary")], "disagree"),
        (annulus(), [exact(1.0, "inner"), exact(0.0, "boundary")], "disagree"),
        (union(disk(), disk((1.0, 0.0), 1.0)), [exact(0.0, "boundary")], "enforce its condition weakly"),
        (polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]), [exact(0.0, "boundary")], "enforce its condition weakly"),
        (hypercube(5, 0.0, 1.0), [exact(0.0, "boundary")], "more than 4 coordinates; enforce them weakly"),
        (box(x=(0, 1)), [exact(lambda k: k, "x-")], "unknown name 'k'"),
    ],
)
def test_what_cannot_be_built_in_is_refused(domain: Domain, conditions: list[Condition], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        lifting(domain, *conditions)


def test_on_a_disk_the_exact_solution_is_no_value() -> None:
    with pytest.raises(ProblemError, match="write a formula, or enforce it weakly"):
        lifting(disk(), exact(EXACT, "boundary"), exact=lambda x: x)


def test_of_several_unknowns_each_has_its_own() -> None:
    conditions = (exact(1.0, "x-"), replace(exact(2.0, "x+"), unknown="v"), dirichlet(5.0, "x+"))
    problem = Problem(box(x=(0, 1)), lambda u, v: u + v, 0.0, conditions, unknowns=("u", "v", "w"))
    u, v = Lifting.of(problem, "u"), Lifting.of(problem, "v")
    assert u is not None
    assert v is not None
    assert (u.faces, v.faces) == (["x-"], ["x+"])
    assert Lifting.of(problem, "w") is None
    points = torch.as_tensor(np.array([[0.3], [1.0]]))
    assert values_at(u, points).tolist() == [1.0, 1.0]
    assert values_at(v, points).tolist() == [2.0, 2.0]


# Normal derivatives


def clamped(domain: Domain, value: float = 0.0) -> Problem:
    conditions = [dirichlet(0.0, enforce="exact"), neumann(value, enforce="exact")]
    return Problem(domain, lambda u: laplacian(laplacian(u)), 64.0, conditions)


@pytest.mark.parametrize("domain", [box(x=(0, 1), y=(0, 2)), disk((1.0, 0.0), 2.0)], ids=["box", "disk"])
def test_a_clamped_plate_has_neither_deflection_nor_slope(domain: Domain) -> None:
    """Whatever the network is: by autograd, which knows nothing of jets."""
    inner = MLP((2, 8, 1), domain.lower, domain.upper)
    inner.initialise(torch.Generator().manual_seed(0))
    network = build_ansatz(clamped(domain), inner)
    for face in domain.faces:
        x = torch.as_tensor(domain.face(face, 1, 8, 0, 0).points).requires_grad_(True)
        u = network.jet(x, Frame(domain.coordinates, Derivatives.VALUE))[0].value
        (slope,) = torch.autograd.grad(u.sum(), x)
        assert float(u.detach().abs().max()) < 1e-13
        assert float(slope.detach().abs().max()) < 1e-12


def test_slopes_that_cannot_be_exact() -> None:
    for problem, message in (
        (clamped(disk(), 1.0), "it has to be that of the values, continued inside, and differs by up to 1"),
        (replace(clamped(disk()), conditions=(neumann(0.0, enforce="exact"),)), "the values of u are not exact: state both"),
    ):
        with pytest.raises(ProblemError, match=message):
            Lifting.of(problem, "u")
