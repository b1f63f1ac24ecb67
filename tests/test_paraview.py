"""What ParaView itself opens and plays; collections are read by PyVista too, where there is no ParaView."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import pyvista
from PIL import Image

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import disk
from pdekan.output import pvd, vtkhdf
from pdekan.output.record import Record
from pdekan.output.samples import TIME, Samples
from pdekan.solutions.sampling import sample

RECORD = Record(None, {}, {}, {}, None, {})
DOMAINS: dict[str, Domain] = {
    "line": box(x=(0, 1), t=(0, 0.5)),
    "rectangle": box(x=(0, 1), y=(0, 2), t=(0, 0.5)),
    "disk": Cylinder(disk(), 0.0, 0.5),
    "mesh": disk(),
    "body": ball(),
}
# reads files, says what is in them at every time, and takes pictures of the first and the last
PROGRAM = """\
import json, sys
import paraview.simple as pv
from paraview.servermanager import vtkSMProxyManager

version = [vtkSMProxyManager.GetVersionMajor(), vtkSMProxyManager.GetVersionMinor()]
said = {"version": version}
for path in sys.argv[2:]:
    old = path.endswith(".vtkhdf") and version < [5, 12]  # which knows the ending .hdf alone
    source = pv.VTKHDFReader(FileName=[path]) if old else pv.OpenDataFile(path)
    source.UpdatePipeline()
    times, ranges = list(source.TimestepValues), []
    for time in times or [0.0]:
        source.UpdatePipeline(time)
        ranges.append(list(source.PointData.GetArray("u").GetRange()))
    information = source.GetDataInformation()
    components = source.PointData.GetArray("u_gradient").GetNumberOfComponents()
    said[path] = [times, ranges, list(information.GetBounds()[:2]), information.GetNumberOfCells(), components]
    if sys.argv[1] == "pictures" and path.endswith(".pvd") and path != "line.pvd":
        view = pv.CreateRenderView(ViewSize=[300, 200])
        display = pv.Show(source, view)
        pv.ColorBy(display, ("POINTS", "u"))
        pv.GetColorTransferFunction("u").RescaleTransferFunction(0.0, 6.0)
        for name, time in (("first", (times or [0.0])[0]), ("last", (times or [0.0])[-1])):
            view.ViewTime = time
            pv.ResetCamera(view)
            pv.SaveScreenshot(f"{path}.{name}.png", view, ImageResolution=[300, 200])
        pv.Delete(view)
print(json.dumps(said))
"""


def sampled(name: str) -> Samples:
    """u = (1 + t)(1 + x) and its gradient."""
    domain = DOMAINS[name]

    def fields(points: np.ndarray) -> dict[str, np.ndarray]:
        growth = 1.0 + points[:, domain.coordinates.index(TIME)] if TIME in domain.coordinates else np.ones(len(points))
        gradient = np.zeros_like(points)
        gradient[:, 0] = growth
        return {"u": growth * (1.0 + points[:, 0]), "u_gradient": gradient}

    return sample(domain, ("u",), fields)


def opened(folder: Path) -> dict[str, list]:
    """What ParaView says of each file in a folder, by its name; with pictures where there is a display to draw on."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    # a server that stays when the first connection ends
    display = ["xvfb-run", "-a", "-s", "-noreset -screen 0 640x480x24"] if shutil.which("xvfb-run") else []
    (folder / "program.py").write_text(PROGRAM, "utf-8")
    command = [*display, "pvpython", "--force-offscreen-rendering", "program.py", "pictures" if display else "none", *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, list] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.skipif(shutil.which("pvpython") is None, reason="no ParaView here (Debian: paraview)")
def test_paraview_opens_plays_and_draws(tmp_path: Path) -> None:
    """One process for all: it takes seconds to start. Versions before 5.12 see the first step of an HDF5 file."""
    for name in DOMAINS:
        pvd.write(tmp_path / f"{name}.pvd", sampled(name))
        vtkhdf.write(tmp_path / f"{name}.vtkhdf", sampled(name), RECORD)
    said = opened(tmp_path)
    for name, ending in product(DOMAINS, ("pvd", "vtkhdf")):
        times, ranges, (low, high), cells, components = said[f"{name}.{ending}"]
        static = [0.0] if ending == "pvd" else []
        played = sampled(name).times if ending == "pvd" or said["version"] >= [5, 12] else np.array([])
        np.testing.assert_allclose(times, played if played.size else static, rtol=0, atol=1e-15)
        expected = [((1 + time) * (1 + low), (1 + time) * (1 + high)) for time in (times or [0.0])]
        np.testing.assert_allclose(ranges, expected, rtol=1e-12, atol=1e-12)
        assert high - low == pytest.approx(1.0 if name in ("line", "rectangle") else 2.0, abs=2e-3)
        assert cells > 50
        assert components == 3
    for first in tmp_path.glob("*.first.png"):
        pictures = [np.asarray(Image.open(path)) for path in (first, str(first).replace("first", "last"))]
        assert len(np.unique(pictures[0].reshape(-1, pictures[0].shape[2]), axis=0)) > 50  # colours
        assert np.array_equal(*pictures) == (first.name.split(".")[0] in ("mesh", "body"))


@pytest.mark.parametrize("name", list(DOMAINS))
def test_collections_have_the_fields_of_every_step(name: str, tmp_path: Path) -> None:
    samples = sampled(name)
    pvd.write(tmp_path / "a & b.pvd", samples)
    reader = pyvista.get_reader(tmp_path / "a & b.pvd")
    np.testing.assert_array_equal(reader.time_values, samples.times if samples.times.size else [0.0])
    for time in reader.time_values[::9]:
        reader.set_active_time_value(time)
        (grid,) = reader.read()
        np.testing.assert_allclose(grid["u"], (1 + time) * (1 + grid.points[:, 0]), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(grid["u_gradient"], [[1 + time, 0.0, 0.0]] * grid.n_points, rtol=1e-12)
    size = {1: "Length", 2: "Area", 3: "Volume"}[len(samples.layout.space)]
    whole = {"line": 1.0, "rectangle": 2.0, "disk": np.pi, "mesh": np.pi, "body": 4 / 3 * np.pi}[name]
    assert grid.compute_cell_sizes()[size].sum() == pytest.approx(whole, rel=1e-2)
