"""Meshes: quadrature, named faces, distance, files of several kinds, and meshes that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import meshio
import numpy as np
import pytest
import skfem
from hypothesis import given, settings
from hypothesis import strategies as st

from pdekan.domains.ball import ball
from pdekan.domains.base import DomainError
from pdekan.domains.box import box, hypercube
from pdekan.domains.mesh import Mesh, simplex_gauss
from pdekan.domains.mesh_file import mesh
from pdekan.domains.registry import restored, stored
from pdekan.domains.shapes import annulus, polygon
from pdekan.domains.triangulation import triangulation

SPACE = ("x", "y", "z")


def oriented(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    negative = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]]) < 0.0
    return np.where(negative[:, None], cells[:, [1, 0, *range(2, cells.shape[1])]], cells)


def of_skfem(given: skfem.Mesh) -> Mesh:
    """Another program's mesh, with the faces where x = 0 named left."""
    points, cells = given.p.T.copy(), given.t.T.astype(np.int64)
    left = given.facets[:, given.facets_satisfying(lambda x: x[0] == 0.0)].T
    return Mesh(points, oriented(points, cells), {"left": left}, SPACE[: points.shape[1]])


SQUARE = of_skfem(skfem.MeshTri().refined(2))
CUBE = of_skfem(skfem.MeshTet().refined(1))
RING = Mesh(*triangulation(annulus(), 0.2))
BALL = Mesh(*triangulation(ball(), 0.5), {}, SPACE)
every_mesh = pytest.mark.parametrize("domain", [SQUARE, CUBE, RING, BALL], ids=["square", "cube", "ring", "ball"])


@pytest.mark.parametrize("dimension", [1, 2, 3])
@given(count=st.integers(1, 6), data=st.data())
@settings(deadline=None, max_examples=20)
def test_rules_on_simplices_integrate_monomials(dimension: int, count: int, data: st.DataObject) -> None:
    """∫ λ^a = d! ∏ a! / (d + Σ a)! over a simplex of measure one, exactly to degree 2 count - 1."""
    barycentric, weights = simplex_gauss(dimension, count)
    assert barycentric.shape == (count**dimension, dimension + 1)
    assert (barycentric > 0.0).all()
    assert (weights > 0.0).all()
    np.testing.assert_allclose(barycentric.sum(axis=1), 1.0, rtol=1e-14)
    powers = np.array(data.draw(st.lists(st.integers(0, 3), min_size=dimension + 1, max_size=dimension + 1)))
    while powers.sum() > 2 * count - 1:
        powers[powers.argmax()] -= 1
    exact = math.factorial(dimension) * math.prod(map(math.factorial, powers)) / math.factorial(dimension + powers.sum())
    assert weights @ np.prod(barycentric**powers, axis=1) == pytest.approx(exact, rel=1e-12)


@every_mesh
def test_divergence_theorem_and_points_inside(domain: Mesh) -> None:
    inside = domain.interior(2, 4, 0, 0)
    assert inside.weights.sum() == pytest.approx(domain.measure, rel=1e-13)
    assert (inside.weights > 0.0).all()
    assert domain.distance(inside.points).min() > 0.0
    divergence, flux = inside.weights @ (3.0 * inside.points**2).sum(axis=1), 0.0
    for name in domain.faces:
        rule = domain.face(name, 2, 4, 0, 0)
        assert rule.normals is not None
        np.testing.assert_allclose(domain.distance(rule.points), 0.0, atol=1e-15)
        assert (domain.distance(rule.points + 1e-6 * rule.normals) < 0.0).all()
        flux += rule.weights @ (rule.points**3 * rule.normals).sum(axis=1)
    assert divergence == pytest.approx(flux, rel=1e-12)


def test_corners_of_a_mesh_are_on_its_boundary() -> None:
    ends = SQUARE.corners
    assert {(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)} <= {tuple(point) for point in ends.tolist()}
    assert len(ends) == 16  # four edges of four facets
    np.testing.assert_allclose(SQUARE.distance(ends), 0.0, atol=1e-15)


@pytest.mark.parametrize(("domain", "solid"), [(SQUARE, box(x=(0, 1), y=(0, 1))), (CUBE, hypercube(3, 0, 1))], ids=["2", "3"])
def test_distance_and_faces_are_the_boxs(domain: Mesh, solid: object) -> None:
    points = np.random.default_rng(0).uniform(-0.5, 1.5, (500, domain.dimension))
    np.testing.assert_allclose(domain.distance(points), solid.distance(points), atol=1e-14)  # type: ignore[attr-defined]
    assert domain.faces == ("left", "outer")
    left, rest = (domain.face(name, 1, 4, 0, 0) for name in domain.faces)
    assert (left.points[:, 0] == 0.0).all()
    assert left.weights.sum() == pytest.approx(1.0, rel=1e-13)
    assert rest.weights.sum() == pytest.approx(2.0 * domain.dimension - 1.0, rel=1e-13)
    assert domain.resolve("boundary") == ("left", "outer")


def test_distance_about_a_mesh_that_is_not_convex() -> None:
    vertices = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    shape = polygon(vertices)
    domain = Mesh(*triangulation(shape, 0.3))
    points = np.random.default_rng(0).uniform(-1, 3, (500, 2))
    np.testing.assert_allclose(domain.distance(points), shape.distance(points), atol=1e-14)


@every_mesh
def test_the_number_of_points_is_about_what_is_asked(domain: Mesh) -> None:
    share = domain.measure / np.prod(np.subtract(domain.upper, domain.lower))
    few, many = (len(domain.interior(1, count, 0, 0).points) for count in (2, 24))
    assert few == 2**domain.dimension * len(domain.cells)
    asked = 24**domain.dimension * share
    assert few <= many < 8.0 * max(asked, few)
    assert many >= asked


@every_mesh
def test_a_mesh_comes_back_from_json(domain: Mesh) -> None:
    again = restored(json.loads(json.dumps(stored(domain))))
    assert isinstance(again, Mesh)
    assert again.faces == domain.faces
    np.testing.assert_array_equal(again.interior(1, 4, 0, 0).points, domain.interior(1, 4, 0, 0).points)


def test_a_group_may_be_named_type() -> None:
    """The key that tells a stored domain from a dictionary."""
    domain = Mesh(RING.points, RING.cells, {"type": RING.facets["outer"][:3]})
    assert restored(json.loads(json.dumps(stored(domain)))).faces == ("type", "outer")


# two triangles; the same number stands for a group of lines and for one of triangles
OLD = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
3
1 1 "left"
1 7 "right side"
2 1 "all"
$EndPhysicalNames
$Nodes
4
1 0 0 {z}
2 1 0 {z}
3 1 1 {z}
4 0 1 {last}
$EndNodes
$Elements
{count}
1 1 2 1 1 4 1
2 1 2 7 1 2 3
3 1 2 5 1 3 4
{triangles}$EndElements
"""
TRIANGLES = "4 2 2 1 1 1 2 3\n5 2 2 1 1 1 3 4\n"


def old(path: Path, z: float = 3, last: float = 3, triangles: str = TRIANGLES) -> Path:
    path.write_text(OLD.format(z=z, last=last, triangles=triangles, count=3 + triangles.count("\n")))
    return path


def test_gmsh_names_its_faces(tmp_path: Path) -> None:
    domain = mesh(old(tmp_path / "square.msh"))
    assert domain.coordinates == ("x", "y")
    assert domain.faces == ("left", "group5", "right side", "outer")
    assert domain.measure == 1.0
    middles = {name: rule.weights @ rule.points for name in domain.faces for rule in [domain.face(name, 1, 2, 0, 0)]}
    for name, middle in {"left": (0, 0.5), "right side": (1, 0.5), "group5": (0.5, 1), "outer": (0.5, 0)}.items():
        np.testing.assert_allclose(middles[name], middle, atol=1e-15)


@pytest.mark.parametrize("ending", [".vtu", ".vtk", ".xdmf", ".inp", ".mesh", ".msh"])
@pytest.mark.parametrize("domain", [RING, BALL], ids=["ring", "ball"])
def test_meshes_of_other_programs(tmp_path: Path, domain: Mesh, ending: str) -> None:
    kind = {2: "triangle", 3: "tetra"}[domain.dimension]
    points = np.pad(domain.points, ((0, 0), (0, 3 - domain.dimension)))
    file = tmp_path / f"made{ending}"
    options = {"file_format": "gmsh22"} if ending == ".msh" else {}
    meshio.write(file, meshio.Mesh(points, {kind: domain.cells}), **options)
    found = mesh(file, coordinates=domain.coordinates)
    assert found.measure == pytest.approx(domain.measure, rel=1e-12)
    assert found.faces == ("outer",)


def test_sets_of_facets_in_a_file_are_faces(tmp_path: Path) -> None:
    left = np.array([[0, 3]])
    given = meshio.Mesh(
        [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
        [("line", left), ("triangle", [[0, 1, 2], [0, 2, 3]])],
        cell_sets={"left": [np.array([0]), np.array([], dtype=int)]},
    )
    meshio.write(tmp_path / "square.inp", given)
    domain = mesh(tmp_path / "square.inp")
    assert domain.faces == ("left", "outer")
    np.testing.assert_allclose(domain.face("left", 1, 2, 0, 0).normals, [[-1, 0]] * 2)


@pytest.mark.parametrize("ending", ["stl", "ply", "obj"])
def test_the_surface_of_a_body_is_refused_with_the_command_that_fills_it(tmp_path: Path, ending: str) -> None:
    corners, faces = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]
    file = tmp_path / f"body.{ending}"
    meshio.write(file, meshio.Mesh(corners, {"triangle": faces}))
    with pytest.raises(DomainError, match=r"z from 0.0 to 1.0.*the surface of a body.*`tetgen -pq`"):
        mesh(file)


def test_files_that_are_refused_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.msh"
    broken.write_text("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n5\n1 0 0\n")
    unknown = tmp_path / "mesh.doc"
    unknown.write_text("nothing")
    quads = tmp_path / "quads.vtk"
    meshio.write(quads, meshio.Mesh([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], {"quad": [[0, 1, 2, 3]]}))
    cases = {
        tmp_path / "missing.msh": "no such file",
        broken: r"not a mesh that meshio reads \(.*gmsh: ValueError",
        unknown: "no mesh format has this ending; known are",
        quads: "cells of kind quad; straight triangles or tetrahedra are needed",
        old(tmp_path / "lines.msh", triangles=""): "no triangles and no tetrahedra, only line",
        old(tmp_path / "tilted.msh", last=4.0): r"triangles with z from 3.0 to 4.0; a domain in two dimensions is in a plane",
        old(tmp_path / "flipped.msh", triangles="4 2 2 1 1 1 2 3\n5 2 2 1 1 1 4 3\n"): r"cell 1 is inverted \(1 such cells\)",
        old(tmp_path / "flat.msh", triangles="4 2 2 1 1 1 2 3\n5 2 2 1 1 1 3 3\n"): r"cell 1 is degenerate",
        old(tmp_path / "overlap.msh", triangles=TRIANGLES + "6 2 2 1 1 1 2 3\n"): "more than two cells meet in one facet",
    }
    for file, message in cases.items():
        with pytest.raises(DomainError, match=message) as caught:
            mesh(file)
        assert str(caught.value).startswith(str(file))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": [[0, 1]], "b": [[1, 0]]}, "groups a and b have facets in common"),
        ({"boundary": [[0, 1]]}, "a group is named boundary and is not all of it"),
    ],
)
def test_groups_that_are_refused(groups: dict[str, list[list[int]]], message: str) -> None:
    points, cells = np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[0, 1, 2]])
    with pytest.raises(DomainError, match=message):
        Mesh(points, cells, {name: np.array(facets) for name, facets in groups.items()})
    assert Mesh(points, cells, {"boundary": np.array([[0, 1], [1, 2], [2, 0]])}).faces == ("boundary",)
    with pytest.raises(DomainError, match="a mesh needs cells"):
        Mesh(points, cells[:0])
    with pytest.raises(DomainError, match="a cell has point 3"):
        Mesh(points, cells + 1)


def test_triangulations_of_curves_converge_with_the_square_of_their_size() -> None:
    for shape in (annulus((0, 0), 0.4, 1.0), ball()):
        lacking = []
        for size in (0.4, 0.2, 0.1):
            points, cells = triangulation(shape, size)
            volumes = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]]) / math.factorial(shape.dimension)
            assert (volumes > 0.0).all()
            edges = points[cells[:, 1:]] - points[cells[:, :-1]]
            assert np.linalg.norm(edges, axis=2).max() < 2.5 * size
            lacking.append(abs(shape.measure - volumes.sum()) / shape.measure)
            assert lacking[-1] < 0.5 * size**2
    assert triangulation(RING, 99.0)[1] is RING.cells


def test_an_edge_too_short_to_see_does_no_harm() -> None:
    points, cells = triangulation(polygon([(0, 0), (1, 0), (1, 1e-9), (1, 1), (0, 1)]), 0.3)
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    assert 0.5 * np.linalg.det(edges).sum() == pytest.approx(1.0, rel=1e-9)


def test_finite_elements_on_a_triangulation_converge() -> None:
    """-Δu = 4 on the unit disk, u = 1 - r²: the error of linear elements falls with the square of the size."""
    from skfem.models.poisson import laplace, unit_load

    from pdekan.domains.shapes import disk

    errors = []
    for size in (0.2, 0.1, 0.05):
        points, cells = triangulation(disk(), size)
        basis = skfem.Basis(skfem.MeshTri(points.T.copy(), cells.T.copy()), skfem.ElementTriP1())
        system = skfem.condense(laplace.assemble(basis), 4.0 * unit_load.assemble(basis), D=basis.get_dofs())
        errors.append(float(np.abs(skfem.solve(*system) - (1.0 - (points**2).sum(axis=1))).max()))
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (rates > 1.5).all()
    assert errors[-1] < 2e-3
