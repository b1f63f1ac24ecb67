"""Planes: sections of meshes against the areas, lengths and values that geometry gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import any_box, kuhn, square_with_hole

from pdekan.output.planes import Plane, outline, planes
from pdekan.output.samples import Axis, Cells, Grid, Mesh, Samples

SLOPES = np.array([2.0, 3.0, -5.0])


def lattice(n: int = 2, shift: float = 0.0) -> Mesh:
    points, cells = kuhn((n, n, n))
    return Mesh(("x", "y", "z"), points + shift, cells)


def sections(mesh: Mesh, values: np.ndarray, solution: np.ndarray | None = None) -> list[Plane]:
    return planes(Samples(mesh, {"u": values}), values, values if solution is None else solution)


def triangles_of(plane: Plane) -> Cells:
    assert plane.triangles is not None
    return plane.triangles


def area(plane: Plane) -> float:
    corners = np.stack([plane.x, plane.y], axis=1)[triangles_of(plane)]
    return float(np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum() / 2)


def length(points: np.ndarray, edges: Cells) -> float:
    return float(np.linalg.norm(np.diff(points[edges], axis=1), axis=2).sum())


def test_outline_is_the_boundary_with_that_of_holes() -> None:
    mesh = square_with_hole()
    edges = outline(mesh.cells)
    assert length(mesh.points, edges) == 12.0 + 4.0
    box = any_box(2)
    assert length(box.points, outline(box.cells)) == pytest.approx(6.0)


# even lattices have a layer of points in the middle, odd ones none
MESHES = [lattice(2), lattice(3), lattice(2, -1.0), any_box(3), any_box(3, seed=1)]


@pytest.mark.parametrize("mesh", MESHES, ids=["even", "odd", "centred", "any", "other"])
def test_a_box_is_cut_into_rectangles(mesh: Mesh) -> None:
    sides = np.ptp(mesh.points, axis=0)
    for plane, number in zip(sections(mesh, np.ones(mesh.shape)), (2, 1, 0), strict=True):
        across, up = np.delete(sides, number)
        assert (plane.across, plane.up) == tuple(np.delete(mesh.coordinates, number))
        assert area(plane) == pytest.approx(across * up, rel=1e-12)
        edges = outline(triangles_of(plane))
        assert length(np.stack([plane.x, plane.y], axis=1), edges) == pytest.approx(2 * (across + up), rel=1e-12)


@pytest.mark.parametrize("unit", [1.0, 0.1])  # 3 · 0.1 is not 0.3 to the last bit
def test_a_layer_of_points_is_cut_at_its_points(unit: float) -> None:
    mesh = lattice(6)
    for plane in sections(Mesh(mesh.coordinates, unit * mesh.points, mesh.cells), np.ones(mesh.shape)):
        assert len(plane.values) == 7 * 7
        assert len(triangles_of(plane)) == 2 * 6 * 6


@pytest.mark.parametrize("mesh", MESHES, ids=["even", "odd", "centred", "any", "other"])
def test_linear_fields_are_exact_on_sections(mesh: Mesh) -> None:
    for plane in sections(mesh, mesh.points @ SLOPES + 7.0):
        at = {plane.across: plane.x, plane.up: plane.y} | plane.fixed
        points = np.stack([at[name] + 0.0 * plane.x for name in mesh.coordinates], axis=1)
        np.testing.assert_allclose(plane.values, points @ SLOPES + 7.0, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(stretch=st.floats(1e-3, 1e6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 5))
def test_the_height_is_a_short_number_near_the_middle(stretch: float, shift: float, seed: int) -> None:
    mesh = any_box(3, seed)
    moved = Mesh(mesh.coordinates, mesh.points * stretch + shift, mesh.cells)
    for plane, number in zip(sections(moved, np.ones(mesh.shape)), (2, 1, 0), strict=True):
        (height,) = plane.fixed.values()
        column = moved.points[:, number]
        extent = np.ptp(column)
        assert abs(height - (column.min() + column.max()) / 2) <= 0.0051 * extent
        unit = 10.0 ** np.floor(np.log10(extent) - 2)
        assert height / unit == pytest.approx(np.round(height / unit), abs=1e-3)
        assert area(plane) == pytest.approx(np.prod(np.delete(np.ptp(moved.points, axis=0), number)), rel=1e-9)


def test_sections_are_moved_off_the_zeros() -> None:
    # zero on the plane x = 0 itself, though not at the mesh's points beside it
    mesh = lattice(3, -1.5)
    last = sections(mesh, np.sin(mesh.points[:, 0]) * (2 + mesh.points[:, 1]))[2]
    assert list(last.fixed) == ["x"]
    assert abs(last.fixed["x"]) > 0.5
    # the field that tells need not be the one that is drawn
    ones = sections(mesh, np.ones(mesh.shape), solution=mesh.points[:, 1])
    assert [plane.fixed for plane in (ones[0], ones[2])] == [{"z": 0.0}, {"x": 0.0}]
    assert abs(ones[1].fixed["y"]) > 0.5


def test_two_bodies_with_nothing_between_them() -> None:
    points, cells = kuhn((1, 1, 1))
    both = Mesh(("x", "y", "z"), np.concatenate([points, points + 5.0]), np.concatenate([cells, cells + 8]))
    for plane in sections(both, np.zeros(both.shape)):
        assert area(plane) == pytest.approx(1.0)


def test_undefined_values_stay_where_they_are() -> None:
    mesh = lattice(2)
    values = np.ones(mesh.shape)
    values[mesh.points[:, 0] < 0.5] = np.nan
    plane = sections(mesh, values)[0]
    assert np.isfinite(plane.values[plane.x >= 1.0]).all()
    assert np.isnan(plane.values[plane.x < 1.0]).all()


def test_a_plane_grid_is_itself() -> None:
    axes = Axis("x", np.arange(3.0)), Axis("t", np.arange(2.0))
    values = np.arange(6.0).reshape(3, 2)
    (plane,) = planes(Samples(Grid(axes), {"u": values}), values, values)
    assert (plane.across, plane.up, plane.triangles, plane.fixed) == ("x", "t", None, {})
    np.testing.assert_array_equal(plane.values, values)
