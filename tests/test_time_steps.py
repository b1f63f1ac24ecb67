"""Time as steps: what ParaView's reader, PyVista and xarray see of a run in time; times asked for; animations, profiles."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import pyvista
import xarray
from commands import command
from matplotlib.animation import FFMpegWriter
from PIL import Image
from vtkmodules.vtkIOHDF import vtkHDFReader

from pdekan import pi
from pdekan.domains.box import box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import disk
from pdekan.output import figures
from pdekan.output.animation import write_animations
from pdekan.output.record import Record
from pdekan.output.samples import TIME, Axis, Grid, Labels, OutputError, Samples
from pdekan.output.vtkhdf import read_samples, write
from pdekan.problem_files.loader import ProblemFileError, load_problem, loads
from pdekan.solutions.sampling import sample
from pdekan.solutions.solution import load_solution

RECORD = Record(None, {}, {}, {}, None, {})
HEAT = """\
schema = 1
name = "heat"

[domain]
type = "disk"
radius = 1.0
t = [0.0, 0.5]

[equation]
operator = "dt(u) - laplacian(u)"
source = "manufactured"

[[conditions]]
type = "dirichlet"
value = "exact"

[[conditions]]
type = "initial"
value = "exact"

[exact]
u = "x + exp(-t)*y"

[network]
hidden = [2]
degree = 3
intervals = 2

[units]
u = "K"
x = "mm"
y = "mm"
t = "s"

[time]
outputs = [0.0, 0.1, 0.5]
"""
DOMAINS = {
    "line": box(x=(-1, 2), t=(0, 0.5)),
    "time first": box(t=(0, 0.5), x=(-1, 2), y=(0, 1)),
    "rectangle": box(x=(-1, 2), y=(0, 1), t=(0, 0.5)),
    "block": box(x=(-1, 2), y=(0, 1), z=(0, 1), t=(0, 0.5)),
    "disk": Cylinder(disk(), 0.0, 0.5),
}
every_domain = pytest.mark.parametrize("name", list(DOMAINS))


def sampled(name: str, **options: object) -> Samples:
    """u = (1 + t)(1 + 2x + …), each coordinate with a factor of its own, and its gradient by the coordinates."""
    domain = DOMAINS[name]
    k, factors = domain.coordinates.index(TIME), np.arange(2.0, 2.0 + domain.dimension)
    factors[k] = 0.0

    def fields(points: np.ndarray) -> dict[str, np.ndarray]:
        growth, linear = 1.0 + points[:, k], 1.0 + points @ factors
        gradient = growth[:, None] * factors
        gradient[:, k] = linear
        return {"u": growth * linear, "u_gradient": gradient}

    return sample(domain, ("u",), fields, **options)  # type: ignore[arg-type]


@every_domain
def test_paraviews_reader_plays_the_steps(name: str, tmp_path: Path) -> None:
    samples = sampled(name)
    write(tmp_path / "run.vtkhdf", samples, RECORD)
    reader = vtkHDFReader()
    reader.SetFileName(str(tmp_path / "run.vtkhdf"))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == samples.times.size > 10
    space, factors = (
        [one for one in DOMAINS[name].coordinates if one != TIME],
        dict(zip(DOMAINS[name].coordinates, range(2, 9), strict=False)),
    )
    for step in (0, 3, samples.times.size - 1):
        time = samples.times[step]
        reader.UpdateTimeStep(time)
        seen = pyvista.wrap(reader.GetOutput())
        slopes = np.array([factors[one] for one in space])
        np.testing.assert_allclose(seen["u"], (1 + time) * (1 + seen.points[:, : len(space)] @ slopes), rtol=1e-12, atol=1e-12)
        # the derivative by time is no component of a vector in space
        gradient = np.pad((1 + time) * slopes, (0, 3 - len(slopes)))
        np.testing.assert_allclose(seen["u_gradient"], np.broadcast_to(gradient, (seen.n_points, 3)), rtol=1e-12, atol=1e-12)
    measured = {1: "Length", 2: "Area", 3: "Volume"}[len(space)]
    size = seen.compute_cell_sizes()[measured].sum()
    assert size == pytest.approx(np.pi if name == "disk" else 3.0, rel=2e-3)


@every_domain
def test_what_is_written_comes_back_and_pyvista_has_a_block_a_time(name: str, tmp_path: Path) -> None:
    samples = sampled(name)
    write(tmp_path / "run.vtkhdf", samples, RECORD)
    back = read_samples(tmp_path / "run.vtkhdf")
    assert (back.layout.coordinates, back.shape, list(back.fields)) == (
        samples.layout.coordinates,
        samples.shape,
        ["u", "u_gradient"],
    )
    np.testing.assert_array_equal(back.times, samples.times)
    for one, values in samples.fields.items():
        np.testing.assert_array_equal(back.fields[one], values)
    first = pyvista.read(tmp_path / "run.vtkhdf")
    blocks = sampled(name, times=(0.0, 0.25)).at(1)
    np.testing.assert_allclose(np.sort(first["u"]) * 1.25, np.sort(blocks.fields["u"].ravel()), rtol=1e-12)


def test_xarray_has_a_coordinate_of_time_and_units(tmp_path: Path) -> None:
    labels = Labels({"u": "K", "t": "s", "x": "mm"})
    samples = Samples(sampled("line").layout, sampled("line").fields, ("u",), labels)
    write(tmp_path / "run.vtkhdf", samples, RECORD)
    with xarray.open_dataset(tmp_path / "run.vtkhdf", engine="h5netcdf", group="fields") as dataset:
        assert dataset.attrs["Conventions"].startswith("CF-1.")
        assert dataset.u.dims == ("x", "t")
        assert dataset.u.attrs["units"] == "K"
        assert dataset.t.attrs["standard_name"] == "time"
        assert (dataset.t.attrs["axis"], dataset.t.attrs["units"], dataset.x.attrs["units"]) == ("T", "s", "mm")
        np.testing.assert_array_equal(dataset.coords["time"], samples.times)
        at_time = dataset.swap_dims(t="time").sel(time=0.25, method="nearest").u
        np.testing.assert_array_equal(at_time, dataset.u.sel(t=0.25, method="nearest"))
    assert read_samples(tmp_path / "run.vtkhdf").labels == labels


@pytest.mark.parametrize(
    ("outputs", "times"), [("3", [0.0, 0.25, 0.5]), ("[0.1, 0.2]", [0.1, 0.2]), ("[0.5]", [0.5]), ("1", [0.5])]
)
def test_problem_files_ask_for_times(outputs: str, times: list[float]) -> None:
    problem = loads(HEAT.replace("outputs = [0.0, 0.1, 0.5]", f"outputs = {outputs}"))
    np.testing.assert_allclose(problem.times, times)
    assert problem.units["u"] == "K"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.0, 0.1, 0.5]", "[0.0, 0.7]", "time.outputs.1: 0.7 is outside of the domain, whose t goes from 0 to 0.5"),
        ("[0.0, 0.1, 0.5]", "[0.2, 0.1]", "each time has to be above the one before"),
        ("[0.0, 0.1, 0.5]", "0", "outputs"),
        ("[0.0, 0.1, 0.5]", "true", "outputs"),
        ("[0.0, 0.1, 0.5]", "[]", "outputs"),
        ("outputs =", "steps =", "steps"),
        ('u = "K"', 'v = "K"', "units.v: is no coordinate, unknown or parameter; there are x, y, t, u"),
        ('u = "K"', 'u = ""', "units.u"),
        ('u = "K"', 'u = "$K"', "units.u: a unit is a short text"),
        ('u = "K"', "u = 3", "units.u"),
    ],
)
def test_faults_of_times_and_units_name_their_place(old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemFileError) as error:
        loads(HEAT.replace(old, new, 1))
    assert message in str(error.value)


def test_a_problem_without_time_has_no_outputs_in_time() -> None:
    with pytest.raises(ProblemFileError, match="there is no time"):
        load_problem("poisson_sine", {"time": {"outputs": 3}})


def test_times_are_in_the_domain_and_ascend() -> None:
    for times, message in (((0.7,), "goes from 0 to 0.5"), ((0.2, 0.1), "above the one before"), ((), "above the one before")):
        with pytest.raises(ValueError, match=message):
            sampled("line", times=times)
    with pytest.raises(ValueError, match="it needs a number for each of"):
        sampled("rectangle", shape=(4, 4, 4), times=(0.1,))
    with pytest.raises(ValueError, match="no time"):
        sample(box(x=(0, 1)), ("u",), lambda points: {"u": points[:, 0]}, times=(0.1,))
    assert sampled("rectangle", shape=(4, 5), times=(0.1,)).shape == (4, 5, 1)
    assert sampled("disk", shape=(9, 9, 4)).shape == (9, 9, 4)


def test_above_three_dimensions_of_space_a_slice_keeps_time() -> None:
    domain = box(a=(0, 1), b=(0, 2), c=(0, 1), d=(0, 1), t=(0, 3))
    samples = sample(domain, ("u",), lambda points: {"u": points[:, 4] + points[:, 1]}, (3, 4, 5))
    assert (samples.layout.space, samples.cut, samples.shape) == (("a", "b"), {"c": 0.5, "d": 0.5}, (3, 4, 5))
    np.testing.assert_allclose(samples.at(-1).fields["u"][0], 3 + np.linspace(0, 2, 4))


def test_time_alone_is_drawn_as_a_line(tmp_path: Path) -> None:
    samples = sample(box(t=(0, 2)), ("u",), lambda points: {"u": pi * points[:, 0]}, (5,))
    assert not samples.times.size
    write(tmp_path / "run.vtkhdf", samples, RECORD)
    np.testing.assert_allclose(pyvista.read(tmp_path / "run.vtkhdf")["u"], pi * np.linspace(0, 2, 5))


@pytest.mark.parametrize("name", ["line", "rectangle", "block", "disk"])
def test_animations_have_a_frame_a_time_and_the_frames_differ(name: str, tmp_path: Path) -> None:
    samples = sampled(name, times=(0.0, 0.1, 0.2, 0.5))
    written = write_animations(tmp_path, samples)
    assert {path.suffix for path in written.values()} == ({".gif", ".mp4"} if FFMpegWriter.isAvailable() else {".gif"})
    with Image.open(tmp_path / "animation.gif") as movie:
        assert movie.n_frames == 4
        colours = [np.asarray(movie.convert("RGB"), dtype=float) for k in range(4) if movie.seek(k) is None]
    frames = [frame.mean(axis=2) for frame in colours]
    assert np.abs(frames[3] - frames[0]).max() > 50.0
    if name != "line":  # which has no colour bar
        still = [k for k in range(colours[0].shape[1]) if all((frame[:, k] == colours[0][:, k]).all() for frame in colours)]
        assert max(len(np.unique(colours[0][:, k], axis=0)) for k in still) > 40


def test_no_animation_of_one_time() -> None:
    with pytest.raises(OutputError, match="several times"):
        write_animations(Path(), sampled("line", times=(0.1,)))
    still = Samples(Grid((Axis("x", np.arange(3.0)),)), {"u": np.ones(3)})
    with pytest.raises(OutputError, match="no time beside space"):
        write_animations(Path(), still)


def test_profiles_are_the_solution_at_their_times() -> None:
    samples = sampled("line")
    fields = {**samples.fields, "exact": samples.fields["u"]}
    figure = figures.profiles(Samples(samples.layout, fields, ("u",), Labels({"t": "s"})), "u")
    lines = figure.axes[0].lines
    assert len(lines) == 10
    for k, time in enumerate(np.linspace(0.0, 0.5, 5)):
        x, u = lines[k].get_data()
        np.testing.assert_allclose(u, (1 + time) * (1 + 2 * x))
        assert lines[k].get_label() == f"$t$ = {time:g} s"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of heat in a disk, hardly trained."""
    folder = tmp_path_factory.mktemp("heat")
    (folder / "heat.toml").write_text(HEAT)
    options = ("--set", "training.steps=3", "--no-estimate", "--output", str(folder / "run"))
    assert command("solve", str(folder / "heat.toml"), *options) in (0, 3)
    return folder / "run"


def test_a_run_is_written_and_drawn_at_the_times_asked_for(run: Path, tmp_path: Path) -> None:
    assert {"solution.png", "residual.png", "error.png", "exact.png"} <= {path.name for path in run.iterdir()}
    with h5py.File(run / "solution.vtkhdf") as file:
        np.testing.assert_array_equal(file["VTKHDF/Steps/Values"], [0.0, 0.1, 0.5])
        assert file["fields/u"].attrs["units"] == "K"
    assert command("plot", str(run), "--animate", "--to", str(tmp_path)) == 0
    assert (tmp_path / "animation.gif").stat().st_size > 1000


def test_export_at_times(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "one.vtkhdf"
    assert command("export", str(run), "--time", "0.2", "--to", str(target), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "file": str(target)}
    samples = read_samples(target)
    assert samples.times.tolist() == [0.2]
    points = np.column_stack([samples.layout.points, np.full(samples.shape[0], 0.2)])  # type: ignore[union-attr]
    np.testing.assert_allclose(samples.fields["u"][:, 0], load_solution(run)(points), rtol=1e-12)
    assert command("export", str(run), "--time", "0.1,0.3", "--grid", "5x7", "--to", str(target), "--force") == 0
    assert read_samples(target).shape == (5, 7, 2)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("0.7", "time 0.7 is not in the domain, whose t goes from 0 to 0.5"),
        ("x", "'x' is no time"),
        ("nan", "'nan' is no time"),
    ],
)
def test_export_refuses_other_times(run: Path, time: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", str(run), "--time", time, "--to", "none.vtkhdf") == 2
    assert message in capsys.readouterr().err
    assert not Path("none.vtkhdf").exists()
