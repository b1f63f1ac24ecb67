"""solution.vtkhdf: what ParaView's reader, xarray and h5py see in it, and what comes back from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdekan.output.record import Record
from pdekan.output.samples import Axis, Grid, OutputError, Samples, field_name, residual_names
from pdekan.output.vtkhdf import read_record, read_samples, write

# of different lengths and not centred, so that no two axes can be exchanged unseen
VALUES = {"x": np.linspace(-1.0, 2.0, 7), "y": np.linspace(0.0, 1.0, 5) ** 2, "z": np.linspace(3.0, 5.0, 4)}
SLOPES = {"x": 2.0, "y": 3.0, "z": -5.0}


def linear_samples(*names: str) -> Samples:
    """f = 2x + 3y - 5z and its gradient on a grid over the named coordinates."""
    axes = tuple(Axis(name, VALUES[name]) for name in names)
    grids = np.meshgrid(*(axis.values for axis in axes), indexing="ij")
    slopes = np.array([SLOPES[name] for name in names])
    value = np.stack(grids, axis=-1) @ slopes
    gradient = np.broadcast_to(slopes, (*value.shape, len(names)))
    return Samples(Grid(axes), {"u": value, "error": 1e-9 * value, "u_gradient": gradient})


def slice_of_five_dimensions() -> Samples:
    grids = np.meshgrid(VALUES["x"], VALUES["y"], indexing="ij")
    components = np.arange(5.0) + 10.0 * grids[0][..., None]
    axes = Axis("x2", VALUES["x"]), Axis("x4", VALUES["y"])
    return Samples(
        Grid(axes, cut={"x1": 0.25, "x3": 0.5, "x5": 1 / 3}, coordinates=("x1", "x2", "x3", "x4", "x5")),
        {"u": 2 * grids[0] + 3 * grids[1], "u_gradient": components},
    )


def some_record(**changes: Any) -> Record:
    plain: dict[str, Any] = {
        "problem_text": 'schema = 1\r\nname = "größe"\n',
        "config": {"network": {"hidden": [2, 5], "degree": 7}, "refine": None},
        "parameters": {"layers.0.coefficients": np.array([[0.1, -0.0], [np.pi, 5e-324]]), "scale": np.array(1.5)},
        "history": {"step": np.arange(3), "loss": np.array([1.0, 1e-3, np.nan])},
        "errors": {"u": {"l2": 1.2345678901234567e-9}},
        "environment": {"seed": 0, "threads": 2},
    }
    return Record(**(plain | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "solution.vtkhdf"


@pytest.mark.parametrize("names", [("x",), ("x", "y"), ("x", "y", "z")])
def test_paraview_reader_sees_values_at_their_points(path: Path, names: tuple[str, ...]) -> None:
    pyvista = pytest.importorskip("pyvista")
    samples = linear_samples(*names)
    write(path, samples, some_record())
    mesh = pyvista.read(path)
    assert mesh.n_points == np.prod(samples.shape)
    slopes = [SLOPES[name] for name in names]
    expected = np.asarray(mesh.points)[:, : len(names)] @ slopes
    np.testing.assert_allclose(mesh.point_data["u"], expected, rtol=1e-14)
    np.testing.assert_allclose(mesh.point_data["error"], 1e-9 * expected, rtol=1e-14)
    np.testing.assert_array_equal(mesh.point_data["u_gradient"], np.tile([*slopes, 0.0, 0.0][:3], (mesh.n_points, 1)))
    np.testing.assert_array_equal(np.asarray(mesh.points)[:, len(names) :], 0.0)


@pytest.mark.parametrize(("names", "size"), [(("x",), "Length"), (("x", "y"), "Area"), (("x", "y", "z"), "Volume")])
def test_cells_fill_the_box_and_are_oriented(path: Path, names: tuple[str, ...], size: str) -> None:
    pyvista = pytest.importorskip("pyvista")
    write(path, linear_samples(*names), some_record())
    mesh = pyvista.read(path)
    sizes = np.asarray(mesh.compute_cell_sizes().cell_data[size])
    assert mesh.n_cells == np.prod([VALUES[name].size - 1 for name in names])
    assert sizes.min() > 0.0
    assert sizes.sum() == pytest.approx(np.prod([np.ptp(VALUES[name]) for name in names]), rel=1e-12)
    if len(names) == 2:  # an area has no sign: counter-clockwise quadrilaterals have their normals towards +z
        normals = mesh.extract_surface(algorithm="dataset_surface").compute_normals(
            auto_orient_normals=False, consistent_normals=False
        )
        assert np.asarray(normals.cell_data["Normals"])[:, 2].min() > 0.99


def test_vtk_interpolates_between_the_points(path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    write(path, linear_samples("x", "y", "z"), some_record())
    where = np.array([[0.3, 0.7, 4.1], [-0.9, 0.01, 3.2]])
    sampled = pyvista.PolyData(where).sample(pyvista.read(path))
    np.testing.assert_allclose(sampled.point_data["u"], where @ list(SLOPES.values()), rtol=1e-12)


@pytest.mark.parametrize("names", [("x",), ("x", "y"), ("y", "z", "x")])
def test_xarray_sees_named_coordinates(path: Path, names: tuple[str, ...]) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    samples = linear_samples(*names)
    write(path, samples, some_record())
    with xarray.open_dataset(path, engine="h5netcdf", group="fields") as dataset:
        assert dataset["u"].dims == names
        for name in names:
            np.testing.assert_array_equal(dataset[name].values, VALUES[name])
        at = {name: VALUES[name][2] for name in names}
        near = {name: value + 1e-3 for name, value in at.items()}
        expected = sum(SLOPES[name] * value for name, value in at.items())
        assert float(dataset["u"].sel(near, method="nearest")) == pytest.approx(expected, rel=1e-14)
        last = dataset["u_gradient"].sel(direction=names[-1])
        np.testing.assert_array_equal(last.values, SLOPES[names[-1]])


def test_slice_says_where_it_cuts(path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pyvista = pytest.importorskip("pyvista")
    samples = slice_of_five_dimensions()
    write(path, samples, some_record())
    with xarray.open_dataset(path, engine="h5netcdf", group="fields") as dataset:
        assert dataset["u"].dims == ("x2", "x4")
        assert {name: float(dataset["u"].coords[name]) for name in samples.cut} == samples.cut
        first = dataset["u_gradient"].isel(x2=0, x4=0)
        assert float(first.sel(direction="x5")) == 4.0 + 10.0 * VALUES["x"][0]
    # the vectors that are drawn are the derivatives along the axes that are drawn
    mesh = pyvista.read(path)
    x = np.asarray(mesh.points)[:, 0]
    np.testing.assert_allclose(mesh.point_data["u_gradient"], np.stack([1 + 10 * x, 3 + 10 * x, 0 * x], axis=1))


def test_values_are_stored_once_and_follow_the_file(path: Path, tmp_path: Path) -> None:
    write(path, linear_samples("x", "y"), some_record())
    moved = path.rename(tmp_path / "elsewhere.vtkhdf")
    with h5py.File(moved) as file:
        drawn, array = file["VTKHDF/PointData/u"], file["fields/u"]
        assert drawn.is_virtual
        assert drawn.id.get_storage_size() == 0
        np.testing.assert_array_equal(drawn[()], array[()].ravel())
        kind = file["VTKHDF"].attrs.get_id("Type").get_type()
        assert not kind.is_variable_str()
        assert kind.get_cset() == h5py.h5t.CSET_ASCII
        with h5py.File(tmp_path / "part.h5", "w") as part:
            file.copy("VTKHDF", part)
            with pytest.raises(OSError, match="component not found"):  # and not zeros that look like values
                part["VTKHDF/PointData/u"][()]


@pytest.mark.parametrize("samples", [linear_samples("x"), linear_samples("z", "x"), slice_of_five_dimensions()])
def test_samples_come_back_to_the_bit(path: Path, samples: Samples) -> None:
    write(path, samples, some_record())
    back = read_samples(path)
    assert (back.unknowns, back.cut) == (samples.unknowns, samples.cut)
    assert back.layout.coordinates == samples.layout.coordinates
    assert [axis.name for axis in back.axes] == [axis.name for axis in samples.axes]
    for ours, theirs in zip(samples.axes, back.axes, strict=True):
        assert ours.values.tobytes() == theirs.values.tobytes()
    assert list(back.fields) == list(samples.fields)
    for name, values in samples.fields.items():
        assert values.tobytes() == back.fields[name].tobytes()


def assert_same_bits(ours: Record, theirs: Record) -> None:
    for attribute in ("problem_text", "config", "errors", "environment"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    for attribute in ("parameters", "history"):
        one, other = getattr(ours, attribute), getattr(theirs, attribute)
        assert list(one) == list(other)
        for name in one:
            assert (one[name].shape, one[name].dtype) == (other[name].shape, other[name].dtype)
            assert one[name].tobytes() == other[name].tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"problem_text": None, "errors": None},
        {"problem_text": "", "parameters": {}, "history": {}, "config": {}},
        {"problem_text": "# a long comment\n" * 10_000, "config": {"long": list(range(20_000))}},
        {"parameters": {"z": np.empty((0, 3)), "a": np.array([-np.nan, np.inf, -0.0]), "flag": np.array([True])}},
    ],
)
def test_record_comes_back_to_the_bit(path: Path, changes: dict[str, Any]) -> None:
    record = some_record(**changes)
    write(path, linear_samples("x"), record)
    assert_same_bits(record, read_record(path))


@settings(max_examples=20, deadline=None)
@given(
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    number=st.floats(allow_nan=False),
    words=st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text())),
)
def test_any_text_and_number_come_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, number: float, words: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.vtkhdf"
    record = some_record(problem_text=text, errors={"l2": number}, config=words)
    write(path, linear_samples("x"), record)
    assert_same_bits(record, read_record(path))


@pytest.mark.parametrize("unknown", ["error", "exact", "residual"])
def test_unknown_with_the_name_of_a_field(path: Path, unknown: str) -> None:
    x = np.linspace(0.0, 1.0, 4)
    names = field_name("exact", unknown), field_name("error", unknown), *residual_names(1, ("x",), (unknown,))
    fields = {unknown: x, **{name: k + x for k, name in enumerate(names, start=1)}}
    assert len(fields) == 4
    assert sorted(fields) == sorted({"exact", "error", "residual"} | {unknown, f"{unknown}_{unknown}"})
    write(path, Samples(Grid((Axis("x", x),)), fields, (unknown,)), some_record())
    back = read_samples(path)
    np.testing.assert_array_equal(back.fields[unknown], x)
    np.testing.assert_array_equal(back.of("exact"), 1 + x)
    np.testing.assert_array_equal(back.of("error"), 2 + x)


def without(name: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[name]

    return spoil


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["pdekan"].attrs["schema"] = 99


@pytest.mark.parametrize(
    ("spoil", "says", "read"),
    [
        (lambda path: path.unlink(), "no such file", read_record),
        (lambda path: path.write_text("a text"), "not an HDF5 file", read_record),
        (lambda path: path.write_bytes(b""), "not an HDF5 file", read_samples),
        (cut_off, "truncated", read_record),
        (without("pdekan"), "no group /pdekan", read_record),
        (without("pdekan/config"), "no text /pdekan/config", read_record),
        (without("pdekan/parameters"), "no group /pdekan/parameters", read_record),
        (without("fields"), "no group /fields", read_samples),
        (without("fields/x"), "no coordinate /fields/x", read_samples),
        (without("fields/u"), "no field 'u'", read_samples),
        (newer, "schema 99", read_record),
    ],
)
def test_unreadable_file_is_one_clear_error(
    path: Path, spoil: Callable[[Path], None], says: str, read: Callable[[Path], Any]
) -> None:
    write(path, linear_samples("x"), some_record())
    spoil(path)
    with pytest.raises(OutputError, match=says) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_failed_write_leaves_the_old_file(path: Path) -> None:
    write(path, linear_samples("x"), some_record())
    old = path.read_bytes()
    with pytest.raises(OutputError, match="config"):
        write(path, linear_samples("x", "y"), some_record(config={"network": object()}))
    with pytest.raises(OutputError, match="NUL"):
        write(path, linear_samples("x", "y"), some_record(problem_text="a\0b"))
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fields": {"u": np.zeros((3, 4))}}, r"shape \(3, 4\)"),
        ({"fields": {"v": np.zeros((4, 3))}}, "no field 'u'"),
        ({"fields": {"u": np.zeros((4, 3)), "x": np.zeros((4, 3))}}, "both a coordinate and a field"),
        ({"unknowns": ("u", "v")}, "no field 'v'"),
        ({"unknowns": ("u", "u")}, "each once"),
        ({"unknowns": ()}, "one or more"),
        ({"fields": {"u": np.zeros((4, 3)), "a b": np.zeros((4, 3))}}, "not a name"),
    ],
)
def test_samples_that_do_not_fit_together(changes: dict[str, Any], says: str) -> None:
    grid = Grid((Axis("x", np.arange(4.0)), Axis("y", np.arange(3.0))))
    with pytest.raises(OutputError, match=says):
        Samples(**({"layout": grid, "fields": {"u": np.zeros((4, 3))}} | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cut": {"x": 1.0}}, "each once"),
        ({"coordinates": ("x", "z")}, "each once"),
        ({"axes": ()}, "1, 2 or 3 axes"),
    ],
)
def test_grids_that_do_not_fit_together(changes: dict[str, Any], says: str) -> None:
    axes = Axis("x", np.arange(4.0)), Axis("y", np.arange(3.0))
    with pytest.raises(OutputError, match=says):
        Grid(**({"axes": axes} | changes))


@pytest.mark.parametrize("values", [[0.0], [1.0, 0.0], [0.0, 0.0], [0.0, np.nan], [[0.0, 1.0]]])
def test_axis_increases(values: Any) -> None:
    with pytest.raises(OutputError, match="strictly increasing"):
        Axis("x", np.array(values))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parameters": {"a/b": np.zeros(1)}}, "separates groups"),
        ({"parameters": {"a": np.array(["text"])}}, "not real numbers"),
        ({"history": {"step": np.zeros(2), "loss": np.zeros(3)}}, "one length"),
    ],
)
def test_record_that_cannot_be_stored(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OutputError, match=says):
        some_record(**changes)
