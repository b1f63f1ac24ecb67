"""Slits in polygons: their sides are faces, integrals and triangulations are those of the polygon around them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pdekan.domains.base import DomainError
from pdekan.domains.combinations import union
from pdekan.domains.shapes import SLIT_GAP, disk, polygon
from pdekan.domains.triangulation import triangulation
from pdekan.fem.meshes import fitted_mesh
from pdekan.problems.formulas import ProblemError

# the square (-1, 1)² less the line from (0, 0) to (1, 0), and an oblique slit with a bend
STRAIGHT = [(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)]
BENT = [(-1, -1), (1, -1), (1, 1), (0.3, 1), (0.1, 0.3), (-0.4, 0.17), (0.1, 0.3), (0.3, 1), (-1, 1)]


@pytest.mark.parametrize("vertices", [STRAIGHT, STRAIGHT[::-1], BENT, BENT[::-1]])
def test_a_slit_takes_no_area(vertices: list[tuple[float, float]]) -> None:
    domain = polygon(vertices)
    rule = domain.interior(4, 8, 0, 0)
    assert domain.measure == pytest.approx(4.0)
    assert (rule.weights > 0.0).all()
    x, y = rule.points.T
    np.testing.assert_allclose(rule.weights @ np.stack([x**0, x, y**4, x * x * y * y], 1), [4, 0, 4 / 5, 4 / 9], atol=1e-12)
    assert len(domain.faces) == len(vertices)


def test_each_side_has_its_points_and_its_normal() -> None:
    domain = polygon(STRAIGHT)
    for face, side in (("edge1", 1.0), ("edge7", -1.0)):
        rule = domain.face(face, 4, 8, 0, 0)
        np.testing.assert_allclose(rule.points[:, 1], side * 2.0 * SLIT_GAP)
        np.testing.assert_allclose(rule.normals, [[0.0, -side]] * len(rule.points), atol=1e-15)
        assert rule.weights.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(domain.face("edge2", 4, 8, 0, 0).points[:, 0], 1.0)


def test_gauss_theorem_for_a_function_that_jumps_across_the_slit() -> None:
    """∫ Δu = ∮ ∂u/∂n for u = r^½ sin(θ/2), whose flux through the circle about the end of the slit vanishes with its radius."""
    domain = polygon(STRAIGHT)
    total, size = 0.0, 0.0
    for face in domain.faces:
        rule = domain.face(face, 4000, 16, 0, 0)
        x, y = rule.points.T
        theta = np.arctan2(y, x) + np.where(y < 0, 2.0 * math.pi, 0.0)
        half = 0.5 * np.hypot(x, y) ** -0.5
        slope = np.stack([-half * np.sin(0.5 * theta), half * np.cos(0.5 * theta)], axis=1)
        flux = (rule.normals * slope).sum(1)
        total, size = total + rule.weights @ flux, size + rule.weights @ np.abs(flux)
    assert abs(total) < 1e-2 * size


def test_distance_and_inside() -> None:
    domain = polygon(STRAIGHT)
    np.testing.assert_allclose(
        domain.distance(np.array([[0.5, 0.25], [0.5, -0.125], [-0.3, 0.0], [2.0, 0.0]])), [0.25, 0.125, 0.3, -1.0]
    )


@pytest.mark.parametrize("vertices", [STRAIGHT, BENT])
def test_a_triangulation_has_edges_along_the_slit(vertices: list[tuple[float, float]]) -> None:
    points, cells = triangulation(polygon(vertices), 0.15)
    a, b, c = (points[cells[:, k]] for k in range(3))
    areas = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert areas.sum() == pytest.approx(4.0)
    edges = {tuple(sorted(edge)) for cell in cells.tolist() for edge in zip(cell, cell[1:] + cell[:1], strict=True)}
    tip, root = ((0.0, 0.0), (1.0, 0.0)) if vertices is STRAIGHT else ((-0.4, 0.17), (0.1, 0.3))
    along = np.subtract(root, tip)
    share = (points - tip) @ along / (along @ along)
    on = (np.linalg.norm(points - tip - share[:, None] * along, axis=1) < 1e-9) & (share > -1e-9) & (share < 1.0 + 1e-9)
    order = np.flatnonzero(on)[np.argsort(share[on])].tolist()
    assert len(order) > 3
    assert all(tuple(sorted(pair)) in edges for pair in itertools.pairwise(order))


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([(0, 0), (2, 0), (1, 0), (1, 1), (0, 1)], "edges meet elsewhere"),  # runs back a part of the way
        ([(0, 0), (1, 0), (2, 0), (1, 0), (1, 1), (0, 1)], "is not strictly inside"),  # leads outwards
        ([(0, 0), (1, 0), (0, 1), (1, 0), (1, 1), (0, 1)], "is not strictly inside"),  # ends on the boundary
        ([(0, 0), (1, 0), (0.5, 0), (1, 0), (1, 1), (0, 1)], "is not strictly inside"),  # runs along it
        ([(0, 0), (0.8, 0.7), (0, 0), (1, 0), (0.2, 0.7), (1, 0), (1, 1), (0, 1)], "slits cross"),
        ([(0, 0), (1, 1), (0, 0)], "the last point repeats the first"),
    ],
)
def test_bad_slits_are_refused(vertices: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        polygon(vertices)


def test_what_knows_no_slits_says_so() -> None:
    with pytest.raises(DomainError, match="hole 1 meets a slit"):
        polygon(STRAIGHT, [[(0.5, -0.1), (0.7, -0.1), (0.6, 0.1)]])
    with pytest.raises(DomainError, match="cannot be a part"):
        union(polygon(STRAIGHT), disk((2.0, 2.0), 1.5))
    with pytest.raises(ProblemError, match="knows no slits"):
        fitted_mesh(polygon(STRAIGHT), {})
