"""Finite elements across interfaces, against known solutions and theory's rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skfem import MeshTri1

from pdekan.domains.box import box
from pdekan.domains.combinations import planar
from pdekan.fem.meshes import fitted_mesh, interface_pieces
from pdekan.fem.solver import levels, unresolved_cells
from pdekan.fem.spaces import FiniteElementFunction, LagrangeSpace
from pdekan.fields.jets import Derivatives
from pdekan.problem_files.loader import loads
from pdekan.problems.formulas import ProblemError

TWO_MATERIALS = """
schema = 1
name = "two_materials"
[domain]
type = "box"
x = [-1.0, 1.0]
y = [-1.0, 1.0]
[domain.interfaces]
left = {type = "polygon", vertices = [[-1.0, -1.0], [0.1, -1.0], [0.4, 1.0], [-1.0, 1.0]]}
[functions]
s = "x - 0.15*y - 0.25"
k = "where(s < 0, 1, 10)"
[equation]
operator = "-div(k*grad(u))"
source = "where(s < 0, -2, -20)"
[[conditions]]
type = "interface"
on = "left"
[[conditions]]
type = "interface"
on = "left"
operator = "k*normal(u)"
value = "0"
[[conditions]]
type = "dirichlet"
on = "boundary"
value = "exact"
[exact]
u = "where(s < 0, 10, 1)*s + s**2/(1 + 0.15**2)"
"""


def test_a_kink_at_an_interface_is_resolved_exactly() -> None:
    problem = loads(TWO_MATERIALS)
    solution = next(levels(problem))
    points, _, values, gradients = solution.quadrature()
    exact = problem.exact_jet(torch.as_tensor(points), Derivatives.GRADIENT, None, "u")
    assert exact.gradient is not None
    np.testing.assert_allclose(values[:, 0], exact.value, atol=1e-10)
    np.testing.assert_allclose(gradients[:, 0], exact.gradient, atol=1e-8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'operator = "k*normal(u)"\nvalue = "0"',
            'operator = "k*normal(u)"\nvalue = "1"',
            "conormal derivative .* does not jump across left",
        ),
        ('operator = "k*normal(u)"', 'operator = "normal(u)"', "conormal derivative .* does not jump across left"),
        ('operator = "k*normal(u)"\nvalue = "0"', 'value = "0"', "conormal derivative .* does not jump across left"),
        ('on = "left"\n[[conditions]]', 'on = "left"\nvalue = "x"\n[[conditions]]', "state that u does not jump across left"),
        (
            '{type = "polygon", vertices = [[-1.0, -1.0], [0.1, -1.0], [0.4, 1.0], [-1.0, 1.0]]}',
            '{type = "disk", radius = 0.5}',
            "straight interfaces",
        ),
    ],
)
def test_interfaces_that_finite_elements_do_not_know(old: str, new: str, message: str) -> None:
    assert old in TWO_MATERIALS
    problem = loads(TWO_MATERIALS.replace(old, new))
    with pytest.raises(ProblemError, match=message):
        next(levels(problem))


def test_interfaces_that_cross_are_cut_and_those_that_coincide_are_taken_once() -> None:
    square = planar(box(x=(-1.0, 1.0), y=(-1.0, 1.0)))
    shapes = [box(x=(0.0, 1.0), y=(-1.0, 1.0)), box(x=(-1.0, 1.0), y=(0.0, 1.0)), box(x=(-0.5, 0.0), y=(-0.5, 0.0))]
    pieces = interface_pieces(square, shapes)
    lengths = sorted(float(np.linalg.norm(np.subtract(*piece.ends))) for piece in pieces)
    assert lengths == pytest.approx([0.5] * 6 + [1.0] * 2)


def test_cells_that_do_not_resolve_a_function_are_those_at_its_singularity() -> None:
    mesh = MeshTri1.init_tensor(np.linspace(-1.0, 1.0, 9), np.linspace(-1.0, 1.0, 9))
    fit = fitted_mesh(box(x=(-1.0, 1.0), y=(-1.0, 1.0)), {})
    space = LagrangeSpace.on_mesh(MeshTri1(mesh.p, np.sort(mesh.t, axis=0)), fit, 4)
    radius = np.linalg.norm(space.nodes, axis=1)
    marked = unresolved_cells(FiniteElementFunction(space, np.sqrt(radius)[:, None]))
    centers = space.mesh.p[:, space.mesh.t].mean(axis=1).T
    assert len(marked) < 10
    assert np.linalg.norm(centers[marked], axis=1).max() < 0.3
