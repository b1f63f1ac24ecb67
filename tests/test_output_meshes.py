"""solution.vtkhdf of meshes, of several unknowns and of grids that leave the domain: what every reader sees in it."""

from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from meshes import any_box, square_with_hole

from pdekan.output.record import Record
from pdekan.output.samples import Axis, Grid, Mesh, OutputError, Samples, field_name, residual_names
from pdekan.output.vtkhdf import read_samples, write

SLOPES = np.array([2.0, 3.0, -5.0])
RECORD = Record(None, {}, {}, {}, None, {})


def linear_samples(mesh: Mesh) -> Samples:
    """u = 2x + 3y - 5z with its gradient, and v = u + 1."""
    slopes = SLOPES[: len(mesh.coordinates)]
    u = mesh.points @ slopes
    fields = {"u": u, "v": u + 1.0, "u_gradient": np.tile(slopes, (len(u), 1)), "v_error": 1e-9 * u, "residual_2": -u}
    return Samples(mesh, fields, ("u", "v"))


MESHES = [square_with_hole(), any_box(2), any_box(3)]
every_mesh = pytest.mark.parametrize("mesh", MESHES, ids=["hole", "triangles", "tetrahedra"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "solution.vtkhdf"


@every_mesh
def test_paraview_reader_sees_values_at_their_points(path: Path, mesh: Mesh) -> None:
    pyvista = pytest.importorskip("pyvista")
    write(path, linear_samples(mesh), RECORD)
    seen, d = pyvista.read(path), len(mesh.coordinates)
    np.testing.assert_array_equal(seen.points[:, :d], mesh.points)
    np.testing.assert_array_equal(seen.points[:, d:], 0.0)
    np.testing.assert_allclose(seen.point_data["u"], seen.points[:, :d] @ SLOPES[:d], rtol=1e-14)
    np.testing.assert_allclose(seen.point_data["v"], seen.points[:, :d] @ SLOPES[:d] + 1.0, rtol=1e-14)
    np.testing.assert_array_equal(seen.point_data["u_gradient"][0], [*SLOPES[:d], 0.0][:3])
    assert set(seen.point_data) == {"u", "v", "u_gradient", "v_error", "residual_2"}
    assert set(seen.celltypes) == {{2: 5, 3: 10}[d]}


@pytest.mark.parametrize(("mesh", "size"), list(zip(MESHES, (8.0, 2.0, 6.0), strict=True)))
def test_cells_fill_the_domain_and_are_oriented(path: Path, mesh: Mesh, size: float) -> None:
    pyvista = pytest.importorskip("pyvista")
    write(path, linear_samples(mesh), RECORD)
    seen = pyvista.read(path)
    measured = seen.compute_cell_sizes().cell_data["Area" if len(mesh.coordinates) == 2 else "Volume"]
    assert measured.min() >= 0.0
    assert measured.sum() == pytest.approx(size, rel=1e-12)
    if len(mesh.coordinates) == 2:  # an area has no sign
        normals = seen.extract_surface(algorithm="dataset_surface").compute_normals(
            auto_orient_normals=False, consistent_normals=False
        )
        assert np.asarray(normals.cell_data["Normals"])[:, 2].min() > 0.99


@pytest.mark.parametrize("d", [2, 3])
def test_vtk_interpolates_between_the_points(path: Path, d: int) -> None:
    pyvista = pytest.importorskip("pyvista")
    write(path, linear_samples(any_box(d)), RECORD)
    where = np.zeros((20, 3))
    where[:, :d] = np.random.default_rng(1).uniform(0.1, 0.9, (20, d)) * np.arange(1, d + 1)
    sampled = pyvista.PolyData(where).sample(pyvista.read(path))
    np.testing.assert_allclose(sampled.point_data["u"], where @ SLOPES, rtol=1e-9)


@every_mesh
def test_xarray_sees_points_with_coordinates(path: Path, mesh: Mesh) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    write(path, linear_samples(mesh), RECORD)
    with xarray.open_dataset(path, engine="h5netcdf", group="fields") as dataset:
        assert dataset["u"].dims == ("point",)
        assert set(dataset.data_vars) == {"cells", "u", "v", "u_gradient", "v_error", "residual_2"}
        assert set(dataset.coords) == {*mesh.coordinates, "direction"}
        for name, values in zip(mesh.coordinates, mesh.points.T, strict=True):
            np.testing.assert_array_equal(dataset["v"].coords[name].values, values)
        assert dataset["cells"].dims == ("cell", "corner")
        np.testing.assert_array_equal(dataset["cells"].values, mesh.cells)
        np.testing.assert_array_equal(dataset["u_gradient"].sel(direction="y").values, 3.0)
        assert dataset["u"].attrs["long_name"] == "solution u"
        assert dataset["v_error"].attrs["long_name"] == "error, v less the exact solution"
        assert dataset["residual_2"].attrs["long_name"] == "residual of equation 2"


def assert_same(one: Samples, other: Samples) -> None:
    assert (one.unknowns, list(one.fields), one.layout.coordinates) == (
        other.unknowns,
        list(other.fields),
        other.layout.coordinates,
    )
    assert type(one.layout) is type(other.layout)
    if isinstance(one.layout, Mesh) and isinstance(other.layout, Mesh):
        assert one.layout.points.tobytes() == other.layout.points.tobytes()
        np.testing.assert_array_equal(one.layout.cells, other.layout.cells)
    for ours, theirs in zip(one.axes, other.axes, strict=True):
        assert (ours.name, ours.values.tobytes()) == (theirs.name, theirs.values.tobytes())
    for name, values in one.fields.items():
        assert values.tobytes() == other.fields[name].tobytes()


@every_mesh
def test_samples_come_back_to_the_bit(path: Path, mesh: Mesh) -> None:
    write(path, linear_samples(mesh), RECORD)
    assert_same(read_samples(path), linear_samples(mesh))


def test_names_that_the_file_uses_itself(path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    mesh = Mesh(("cell", "point"), any_box(2).points, any_box(2).cells)
    u = mesh.points @ SLOPES[:2]
    named = {"cells": u, "corner": 2 * u, "direction": 3 * u, "cells_gradient": mesh.points}
    samples = Samples(mesh, named, ("cells", "corner", "direction"))
    write(path, samples, RECORD)
    assert_same(read_samples(path), samples)
    with xarray.open_dataset(path, engine="h5netcdf", group="fields") as dataset:
        np.testing.assert_array_equal(dataset["corner"].values, 2 * u)
        np.testing.assert_array_equal(dataset["corner"].coords["point"].values, mesh.points[:, 1])


@pytest.mark.parametrize("missing", ["x", "cells", "v"])
def test_file_that_lacks_a_part(path: Path, missing: str) -> None:
    write(path, linear_samples(any_box(2)), RECORD)
    with h5py.File(path, "a") as file:
        del file["fields"][missing]
    with pytest.raises(OutputError, match=missing) as caught:
        read_samples(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_cell_that_comes_the_wrong_way_round_is_turned() -> None:
    points = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    mesh = Mesh(("x", "y", "z"), points, np.array([[0, 1, 2, 3], [0, 2, 1, 3]]))
    np.testing.assert_array_equal(mesh.cells, [[0, 1, 2, 3], [0, 2, 3, 1]])
    flat = Mesh(("x", "y"), points[:3, :2], np.array([[2, 1, 0], [0, 1, 2]]))
    np.testing.assert_array_equal(flat.cells, [[2, 0, 1], [0, 1, 2]])


def test_points_of_no_cell_are_left_out() -> None:
    box = any_box(2)
    stray = np.array([[100.0, -100.0]])
    mesh = Mesh(
        box.coordinates, np.concatenate([stray, box.points[:30], stray, box.points[30:]]), box.cells + 1 + (box.cells >= 30)
    )
    np.testing.assert_array_equal(mesh.points, box.points)
    np.testing.assert_array_equal(mesh.cells, box.cells)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coordinates": ("x",)}, "2 or 3 coordinates"),
        ({"coordinates": ("x", "x")}, "each once"),
        ({"points": np.zeros((3, 3))}, r"shape \(n, 2\)"),
        ({"points": np.array([[0.0, 0.0], [1.0, np.nan], [0.0, 1.0]])}, "finite"),
        ({"cells": np.array([[0, 1, 2, 0]])}, r"\(m, 3\)"),
        ({"cells": np.array([[0.0, 1.0, 2.0]])}, "whole numbers"),
        ({"cells": np.empty((0, 3), dtype=int)}, "m >= 1"),
        ({"cells": np.array([[0, 1, 3]])}, "among the 3 points"),
        ({"cells": np.array([[-1, 1, 2]])}, "among the 3 points"),
        ({"points": np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])}, "flat"),
    ],
)
def test_meshes_that_do_not_fit_together(changes: dict[str, Any], says: str) -> None:
    plain = {
        "coordinates": ("x", "y"),
        "points": np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        "cells": np.array([[0, 1, 2]]),
    }
    with pytest.raises(OutputError, match=says):
        Mesh(**(plain | changes))


X = np.linspace(-1.0, 1.0, 9)


def holed_grid(outside: np.ndarray, **changes: np.ndarray) -> Samples:
    """u = x, v = -x on [-1, 1]², not defined where `outside` holds."""
    x = np.where(outside, np.nan, X[:, None] + 0.0 * X)
    return Samples(Grid((Axis("x", X), Axis("y", X))), {"u": x, "v": -x} | changes, ("u", "v"))


def test_a_grid_has_no_cells_outside_the_domain(path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    outside = np.zeros((9, 9), dtype=bool)
    outside[0, 0] = outside[4, 4] = True  # one cell at the corner, four around the middle
    write(path, holed_grid(outside), RECORD)
    seen = pyvista.read(path)
    assert seen.n_cells == 64 - 1 - 4
    corners = np.asarray(seen.cells).reshape(-1, 5)[:, 1:]
    assert np.isfinite(seen.point_data["u"][corners]).all()
    assert_same(read_samples(path), holed_grid(outside))


@pytest.mark.parametrize("outside", [np.zeros((9, 9), dtype=bool), np.ones((9, 9), dtype=bool)], ids=["none", "all"])
def test_cells_stay_unless_no_unknown_is_defined(path: Path, outside: np.ndarray) -> None:
    pyvista = pytest.importorskip("pyvista")
    v = np.where(np.eye(9, dtype=bool), np.nan, 1.0)
    write(path, holed_grid(outside, **({} if outside.all() else {"v": v})), RECORD)
    assert pyvista.read(path).n_cells == (0 if outside.all() else 64)


def test_names_of_fields() -> None:
    one, two = ("u",), ("u", "v")
    assert [field_name(role, "u", (), one) for role in ("exact", "error", "gradient")] == ["exact", "error", "u_gradient"]
    assert [field_name(role, "v", ("x",), two) for role in ("exact", "error", "gradient")] == [
        "v_exact",
        "v_error",
        "v_gradient",
    ]
    assert field_name("error", "u", ("error", "t"), one) == "u_error"
    assert field_name("error", "u", (), ("u", "u_error")) == "u_error_"
    assert residual_names(1, ("x",), one) == residual_names(1, ("x",), two) == ("residual",)
    assert residual_names(2, ("x",), two) == ("residual_1", "residual_2")
    assert residual_names(1, ("x",), ("residual",)) == ("residual_residual",)
    assert residual_names(2, ("x", "residual_2"), ("u",)) == ("residual_1", "residual_2_")


def test_fields_of_each_unknown(path: Path) -> None:
    unknowns, x = ("u", "u_error"), np.linspace(0.0, 1.0, 4)
    names = [field_name(role, unknown, ("x",), unknowns) for unknown in unknowns for role in ("exact", "error", "gradient")]
    fields = {name: k + x for k, name in enumerate((*unknowns, *names))}
    samples = Samples(Grid((Axis("x", x),)), fields, unknowns)
    write(path, samples, RECORD)
    back = read_samples(path)
    assert_same(back, samples)
    for k, (unknown, role) in enumerate(((u, r) for u in unknowns for r in ("exact", "error", "gradient")), start=2):
        np.testing.assert_array_equal(back.of(role, unknown), k + x)  # type: ignore[arg-type]
    assert back.of("exact") is back.of("exact", "u")


def test_files_of_version_0_1_are_read(tmp_path: Path) -> None:
    """Written here by h5py alone, as that version wrote a slice of three dimensions."""
    path, x = tmp_path / "old.vtkhdf", np.linspace(0.0, 1.0, 4)
    with h5py.File(path, "w") as file:
        group = file.create_group("fields", track_order=True)
        group.attrs["unknown"], group.attrs["direction"] = "u", "direction"
        for name, value in (("axes", ["y"]), ("problem_coordinates", ["x", "y", "t"]), ("cut", ["x", "t"])):
            group.attrs.create(name, np.array(value, dtype=object), dtype=h5py.string_dtype())
        for name, values in (("y", x), ("x", 0.5), ("t", 2.0), ("u", 2 * x), ("exact", 3 * x), ("u_gradient", np.ones((4, 3)))):
            group[name] = values
        group.create_dataset("direction", data=np.array(["x", "y", "t"], dtype=object), dtype=h5py.string_dtype())
    axis = Axis("y", x)
    expected = {"u": 2 * x, "exact": 3 * x, "u_gradient": np.ones((4, 3))}
    back = read_samples(path)
    assert_same(back, Samples(Grid((axis,), {"x": 0.5, "t": 2.0}, ("x", "y", "t")), expected))
    assert back.cut == {"x": 0.5, "t": 2.0}
    # and one unknown on a grid is still written so
    write(tmp_path / "new.vtkhdf", back, RECORD)
    with h5py.File(path) as old, h5py.File(tmp_path / "new.vtkhdf") as new:
        assert list(old["fields"]) == sorted(new["fields"], key=list(old["fields"]).index)
        for name in old["fields"].attrs:
            np.testing.assert_array_equal(old["fields"].attrs[name], new["fields"].attrs[name])
        assert {*old["fields"].attrs, "Conventions"} == set(new["fields"].attrs)
