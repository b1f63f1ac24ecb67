"""Vectors, units, residuals and references in figures and files; sections of bodies; thumbnails."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import pyvista
import xarray
from commands import command
from matplotlib.contour import ContourSet
from matplotlib.quiver import Quiver

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import disk
from pdekan.output import figures
from pdekan.output.labels import symbol
from pdekan.output.panels import DOTS_PER_INCH
from pdekan.output.planes import outline, planes, sections
from pdekan.output.record import Record
from pdekan.output.samples import Array, Labels, OutputError, Samples
from pdekan.output.thumbnails import SIZE, thumbnail
from pdekan.output.vtkhdf import read_samples, write
from pdekan.problem_files.loader import ProblemFileError, loads
from pdekan.solutions.sampling import sample

RECORD = Record(None, {}, {}, {}, None, {})
LABELS = Labels({"x": "mm", "u": "m/s", "v": "m/s"}, {"velocity": ("u", "v")})
FLOW = """\
schema = 1
name = "flow"
unknowns = ["u", "v"]

[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]

[equation]
operator = ["laplacian(u)", "laplacian(v)"]

[[conditions]]
type = "dirichlet"
unknown = "u"
value = "y"

[[conditions]]
type = "dirichlet"
unknown = "v"
value = "0"

[vectors]
velocity = ["u", "v"]

[units]
u = "m/s"
v = "m/s"
"""


def rotation(domain: Domain, labels: Labels = LABELS) -> Samples:
    """The velocity (-y, x) of a rigid body."""
    return sample(domain, ("u", "v"), lambda points: {"u": -points[:, 1], "v": points[:, 0]}, labels=labels)


@pytest.mark.parametrize(
    ("domain", "panels"),
    [(disk(), 1), (box(x=(-1, 1), y=(-1, 1)), 1), (Cylinder(disk(), 0.0, 1.0), 3)],
    ids=["mesh", "grid", "time"],
)
def test_arrows_point_where_the_vector_does(domain: Domain, panels: int) -> None:
    figure = figures.vector(rotation(domain), "velocity")
    drawn = [one for axes in figure.axes for one in axes.collections if isinstance(one, Quiver)]
    assert len(drawn) == panels
    for arrows in drawn:
        x, y = arrows.XY.T
        assert len(x) > 200
        lengths = np.hypot(arrows.U, arrows.V)
        np.testing.assert_allclose(lengths, lengths[0])
        np.testing.assert_allclose(arrows.U * x + arrows.V * y, 0.0, atol=1e-9)  # at right angles to the radius …
        assert (arrows.V * x - arrows.U * y > 0.0).all()  # … anticlockwise
        if panels == 3 or len(figure.axes[0].collections) > 3:
            assert np.hypot(x, y).max() < 1.0
    assert figure.axes[-1].get_ylabel() == "|velocity| (m/s)"


def test_a_body_in_space_has_arrows_on_three_planes() -> None:
    domain = box(x=(-1, 1), y=(-1, 1), z=(0, 1))
    labels = Labels(vectors={"flow": ("u", "v", "w")})
    samples = sample(
        domain,
        ("u", "v", "w"),
        lambda points: {"u": -points[:, 1], "v": points[:, 0], "w": 0 * points[:, 0] + 2.0},
        labels=labels,
    )
    figure = figures.vector(samples, "flow")
    drawn = [one for axes in figure.axes for one in axes.collections if isinstance(one, Quiver)]
    assert len(drawn) == 3
    assert (drawn[1].V > 0.0).all()  # across x, up z


def test_a_vector_is_a_vector_in_the_file(tmp_path: Path) -> None:
    samples = rotation(disk())
    write(tmp_path / "flow.vtkhdf", samples, RECORD)
    mesh = pyvista.read(tmp_path / "flow.vtkhdf")
    np.testing.assert_allclose(
        mesh["velocity"], np.column_stack([-mesh.points[:, 1], mesh.points[:, 0], 0 * mesh.points[:, 0]])
    )
    with xarray.open_dataset(tmp_path / "flow.vtkhdf", engine="h5netcdf", group="fields") as dataset:
        assert dataset.velocity.dims == ("point", "component")
        assert dataset.component.values.tolist() == ["x", "y"]
        assert dataset.velocity.attrs["units"] == "m/s"
        np.testing.assert_array_equal(dataset.velocity[:, 0], dataset.u)
    back = read_samples(tmp_path / "flow.vtkhdf")
    assert (list(back.fields), back.labels) == (["u", "v"], LABELS)


def test_a_problem_with_a_vector_is_drawn_and_written(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(FLOW)
    options = ("--set", "training.steps=3", "--no-estimate", "--no-figures", "--output", str(tmp_path / "run"))
    assert command("solve", str(tmp_path / "flow.toml"), *options) in (0, 3)
    with h5py.File(tmp_path / "run" / "solution.vtkhdf") as file:
        assert file["VTKHDF/PointData/velocity"].shape == (101 * 101, 3)
    assert command("plot", str(tmp_path / "run"), "--format", "pdf") == 0
    for name in ("velocity", "residual", "solution_u"):
        assert (tmp_path / "run" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["u", "v"]\n\n[units]', '["u"]\n\n[units]', "vectors.velocity"),
        ('["u", "v"]\n\n[units]', '["u", "w"]\n\n[units]', "vectors.velocity.1: 'w' is no unknown; there are u, v"),
        (
            '["u", "v"]\n\n[units]',
            '["u", "u"]\n\n[units]',
            "vectors.velocity: 2 components; one unknown for each of x, y is needed",
        ),
        ("velocity =", "u =", "vectors.u: 'u' is the name of something else"),
        ("velocity =", "u_gradient =", "vectors.u_gradient: 'u_gradient' is the name of something else"),
        ("velocity =", "residual =", "vectors.residual: 'residual' is the name of something else"),
        ("velocity =", '"2d" =', "vectors"),
        ('v = "m/s"', 'v = "mm/s"', "units: the components of 'velocity' have different units: m/s, mm/s"),
    ],
)
def test_faults_of_vectors_name_their_place(old: str, new: str, message: str) -> None:
    assert old in FLOW
    with pytest.raises(ProblemFileError) as error:
        loads(FLOW.replace(old, new))
    assert message in str(error.value)


def plain(**fields: Array) -> Samples:
    """A curve and whatever fields are given of it."""
    domain = box(x=(0, 1))
    points = np.linspace(0.0, 1.0, 11)
    layout = sample(domain, ("u",), lambda x: {"u": x[:, 0]}, (11,)).layout
    return Samples(layout, {"u": points, **fields}, ("u",), Labels({"x": "mm", "u": "K"}, exact="reference"))


def test_a_reference_is_called_so_and_units_are_on_the_axes() -> None:
    x = np.linspace(0.0, 1.0, 11)
    samples = plain(exact=x + 1e-3)
    axes = figures.solution(samples).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x$ (mm)", "$u$ (K)")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["$u$", "reference"]
    assert figures.exact(samples).axes[0].get_title() == "Reference solution $u$"
    assert "reference|" in figures.error(samples).axes[0].get_title()


def test_colour_bars_have_the_name_and_the_unit() -> None:
    figure = figures.solution(rotation(disk()), "v")
    assert figure.axes[0].get_xlabel() == "$x$ (mm)"
    assert figure.axes[0].get_ylabel() == "$y$"
    assert figure.axes[-1].get_ylabel() == "$v$ (m/s)"


def test_the_phase_of_a_complex_unknown_has_cyclic_colours() -> None:
    """Those of -π and π are the same, and what is drawn is called by its symbol."""

    def polar(points: Array) -> dict[str, Array]:
        x, y = points.T
        return {"u_re": x, "u_im": y, "u_abs": np.hypot(x, y), "u_arg": np.arctan2(y, x)}

    figure = figures.solution(sample(box(x=(-1, 1), y=(-1, 1)), ("u_re", "u_im"), polar), "u_arg")
    image = figure.axes[0].collections[0]
    assert isinstance(image, ContourSet)
    np.testing.assert_allclose(image.cmap(0.0), image.cmap(1.0), atol=0.02)
    assert (image.norm.vmin, image.norm.vmax) == (-np.pi, np.pi)
    assert [symbol(f"u_{part}") for part in ("re", "im", "abs", "arg")] == ["Re $u$", "Im $u$", "|$u$|", "arg $u$"]
    assert symbol("heat_re") == "heat_re"


def test_the_residual_is_that_of_all_equations() -> None:
    x = np.linspace(0.0, 1.0, 11)
    line = figures.residual(plain(residual_1=3.0 * x, residual_2=-4.0 * x)).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata()[1:], 5.0 * x[1:])
    with pytest.raises(OutputError, match="no residual"):
        figures.residual(plain())


def test_vectors_are_of_unknowns() -> None:
    for parts in (("u",), ("u", "w")):
        with pytest.raises(OutputError, match="an unknown for each coordinate of space"):
            rotation(box(x=(-1, 1), y=(-1, 1)), Labels(vectors={"velocity": parts}))


def test_sections_of_a_body_have_no_edges_inside() -> None:
    samples = sample(ball(), ("u",), lambda points: {"u": points[:, 0] - 2.0})
    stray = 0
    for height, plane in ((one["u"].fixed["z"], one["u"]) for one in sections(samples, {"u": samples.fields["u"]}, 5)):
        radius = np.sqrt(1.0 - height**2)
        assert np.linalg.norm(plane.rim, axis=2).min() > 0.98 * radius
        assert np.linalg.norm(np.diff(plane.rim, axis=1), axis=2).sum() == pytest.approx(2 * np.pi * radius, rel=0.01)
        stray += len(outline(plane.triangles)) - len(plane.rim)  # type: ignore[arg-type]
    assert stray > 0  # the mesh has such edges
    drawn = planes(samples, samples.fields["u"], samples.fields["u"])[0]
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (500, 2))
    np.testing.assert_allclose(drawn.interpolation(points)(drawn.values), points[:, 0] - 2.0, atol=1e-9)


@pytest.mark.parametrize("domain", [box(x=(0, 1)), disk(), ball(), Cylinder(disk(), 0.0, 1.0), box(x=(0, 1), t=(0, 1))])
def test_thumbnails_are_pictures_without_text(domain: Domain) -> None:
    figure = thumbnail(sample(domain, ("u",), lambda points: {"u": points[:, 0] + points[:, -1]}))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    assert pixels.shape[:2] == (SIZE[1] * DOTS_PER_INCH, SIZE[0] * DOTS_PER_INCH)
    (axes,) = figure.axes
    assert not axes.axison
    covered = (pixels[..., :3].min(axis=2) < 250).mean()
    assert covered > (0.005 if domain.dimension == 1 else 0.3)
