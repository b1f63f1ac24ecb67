"""Meshes that are not conforming are found, and those that are pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import any_box, kuhn
from scipy.optimize import linprog

from pdekan.domains.base import DomainError
from pdekan.domains.mesh import Mesh, volumes
from pdekan.problem_files.loader import loads
from pdekan.problem_files.well_posedness import contradictions


def oriented(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    cells = cells.copy()
    wrong = volumes(points[cells]) < 0.0
    cells[wrong, :2] = cells[wrong, 1::-1]
    return cells


def made(points: np.ndarray, cells: np.ndarray) -> Mesh:
    return Mesh(points, oriented(points, cells), {}, ("x", "y", "z")[: points.shape[1]])


def depth(simplex: np.ndarray, ends: float) -> float:
    """The radius of the largest ball in a simplex and in the box [0, ends]^d, negative where they are apart."""
    d = simplex.shape[1]
    rows, bounds = [*np.eye(d), *-np.eye(d)], [ends] * d + [0.0] * d
    for k in range(d + 1):
        side, apex = np.delete(simplex, k, axis=0), simplex[k]
        n = np.linalg.svd(side[1:] - side[0])[2][-1]
        n *= -np.sign(n @ (apex - side[0]))
        rows.append(n)
        bounds.append(n @ side[0])
    A = np.column_stack([rows, np.ones(len(rows))])
    return float(linprog([0.0] * d + [-1.0], A, bounds, bounds=[(None, None)] * (d + 1)).x[-1])


@pytest.mark.parametrize("d", [2, 3])
@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.05, 0.5, 5.0]))
@settings(deadline=None, max_examples=60)
def test_a_simplex_beside_or_in_a_box(d: int, seed: int, size: float) -> None:
    """Whether it overlaps, against linear programming."""
    points, cells = kuhn((2,) * d)
    generator = np.random.default_rng(seed)
    simplex = generator.uniform(-1.0, 3.0, d) + size * generator.normal(size=(d + 1, d))
    inside = depth(simplex, 2.0)
    if abs(inside) < 1e-6 or abs(np.linalg.det(simplex[1:] - simplex[0])) < 1e-3 * size**d:
        return
    whole = np.concatenate([points, simplex]), np.concatenate([cells, len(points) + np.arange(d + 1)[None]])
    if inside < 0.0:
        assert made(*whole).measure == pytest.approx(2.0**d + abs(volumes(simplex[None])[0]))
    else:
        with pytest.raises(DomainError, match=r"cells .* (overlap|touch each other)"):
            made(*whole)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_conforming_meshes_pass_wherever_they_are(d: int, scale: float) -> None:
    for points, cells in (kuhn((3,) * d), (any_box(d).points, any_box(d).cells)):
        turned = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
        for moved in (scale * points, scale * (points @ turned + 100.0)):
            assert made(moved, cells).measure == pytest.approx(scale**d * np.ptp(points, axis=0).prod(), rel=1e-9)


def test_a_slit_that_ends_inside_and_parts_that_meet_in_a_point() -> None:
    """Both are meshes: no two facets lie on each other."""
    corner = np.array([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
    assert made(corner, np.array([[0, 1, 2], [0, 3, 4]])).measure == 1.0


def refined(d: int) -> tuple[np.ndarray, np.ndarray]:
    """A box whose neighbour is meshed twice as finely: with hanging nodes, on points that both have and on others."""
    coarse, cells = kuhn((1,) * d)
    fine, others = kuhn((2,) * d)
    return np.concatenate([coarse, 0.5 * fine + np.eye(d)[0]]), np.concatenate([cells, len(coarse) + others])


def merged(points: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points, places = np.unique(points, axis=0, return_inverse=True)
    return points, places.ravel()[cells]


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("single", [False, True])
def test_hanging_nodes_are_found(d: int, single: bool) -> None:
    points, cells = merged(*refined(d))
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    points = points @ turned
    if single:
        points = points.astype(np.float32).astype(float)
    with pytest.raises(
        DomainError, match=r"cells \d+ and \d+ (touch each other and have no facet in common|overlap) \(\d+ such"
    ):
        made(points, cells)


def test_doubled_points_are_found() -> None:
    with pytest.raises(DomainError, match=r"points 2 and 4 are at the same place \(2 such pairs\), about \(1, 0\); merge"):
        made(*refined(2)[:1], refined(2)[1])


def test_faces_cut_by_different_diagonals_are_found() -> None:
    """Two tetrahedra on either side of a square: they have its corners in common and no triangle."""
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1], [0.5, 0.5, -1]])
    cells = np.array([[0, 1, 2, 4], [0, 2, 3, 4], [0, 1, 3, 5], [1, 2, 3, 5]])
    with pytest.raises(DomainError, match="cells 0 and 2 touch each other"):
        made(square, cells)


def test_a_square_that_is_covered_twice_by_its_own_points() -> None:
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    with pytest.raises(DomainError, match=r"two cells overlap: cells 0, 2, about \(0.5, 0\)"):
        made(square, np.array([[0, 1, 2], [0, 2, 3], [0, 1, 3], [1, 2, 3]]))


def test_crossing_triangles_without_a_corner_in_each_other() -> None:
    star = np.array([[math.cos(a), math.sin(a)] for a in np.arange(6) * math.pi / 3.0])
    with pytest.raises(DomainError, match="cells 0 and 1 overlap"):
        made(star, np.array([[0, 2, 4], [1, 3, 5]]))
    assert shapely.Polygon(star[::2]).overlaps(shapely.Polygon(star[1::2]))


def test_a_mesh_of_ordinary_size_is_checked_in_little_memory() -> None:
    """The singular values of as many rows as the mesh has points: all left vectors would take 250 GB."""
    domain = made(*kuhn((149, 149)))
    assert len(domain.cells) == 44_402
    text = """schema = 1
name = "mesh"
[domain]
type = "box"
x = [0, 149]
y = [0, 149]
[equation]
operator = "laplacian(u)"
[[conditions]]
type = "neumann"
on = "boundary"
"""
    with pytest.raises(ValueError, match="nothing determines the level of u"):
        loads(text, domain=domain, data=[])
    fixed = loads(text.replace("neumann", "dirichlet"), domain=domain, data=[])
    assert list(contradictions(fixed)) == []
