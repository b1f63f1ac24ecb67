"""Surfaces of bodies in space, one eighth cut away, drawn by PyVista where it is installed.

VTK ends its process where no OpenGL is found, so that it draws in one of its own.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from pdekan.output import panels
from pdekan.output.labels import cut_text, symbol, with_unit
from pdekan.output.panels import Colours
from pdekan.output.samples import Array, Samples
from pdekan.output.views import to_pyvista

if TYPE_CHECKING:
    import pyvista

    from pdekan.output.views import PyVistaData

LOG = logging.getLogger(__name__)
_PIXELS = (900, 800)
_SECONDS = 120.0  # at most, for all pictures of a run
_EDGE_ANGLE = 30.0  # between faces, in degrees, from which their edge is drawn
NORMALS = np.eye(3)
_PROGRAM = "import json, sys; from pdekan.output.surfaces import draw; draw(*json.loads(sys.argv[1]))"
BODY = "body.vtk"


def surfaces(samples: Samples, names: Sequence[str]) -> dict[str, Figure]:
    """Figures of fields on a body in space, at its last time, by name.

    Where PyVista is not installed or cannot draw there are none, and the reason is logged.
    """
    if len(samples.layout.space) != 3:
        return {}
    if importlib.util.find_spec("pyvista") is None:
        LOG.warning('no surface is drawn: PyVista is not installed; pip install "pdekan[viz]"')
        return {}
    now = samples.at(-1) if samples.times.size else samples
    colours = {name: panels.linear_colours(now.fields[name]) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        fields = [[name, one.map_name, one.norm.vmin, one.norm.vmax] for name, one in colours.items()]
        try:
            to_pyvista(now).save(Path(folder) / BODY)
            fault = _drawn_apart(folder, fields, now.layout.space)
        except ImportError as error:  # of a library that VTK needs
            fault = str(error)
        if fault:
            LOG.warning("no surface is drawn: %s", fault)
            return {}
        return {name: _figure(now, name, one, Path(folder) / f"{name}.png") for name, one in colours.items()}


def _drawn_apart(folder: str, fields: Sequence[Sequence[Any]], axes: Sequence[str]) -> str:
    """Draw pictures of the body in a folder by another process; "" or why that failed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps([folder, fields, axes])],
            capture_output=True,
            timeout=_SECONDS,
            env=os.environ | {"PYTHONPATH": paths},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"PyVista: {error}"
    if done.returncode < 0:
        return "PyVista finds no OpenGL to draw with (Debian: apt install libegl1 libgl1)"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"PyVista: {lines[-1] if lines else f'exit code {done.returncode}'}" if done.returncode else ""


def draw(folder: str, fields: Sequence[tuple[str, str, float, float]], axes: Sequence[str]) -> None:
    """Draw the body in a folder: a PNG for each field's name, map of colours, least and largest value. axes: their names."""
    import pyvista

    body = pyvista.read(Path(folder) / BODY)
    assert isinstance(body, pyvista.DataSet)
    parts, edges = opened(body)
    for name, colours, low, high in fields:
        # PyVista's own types refuse what its documentation shows
        plotter: Any = pyvista.Plotter(off_screen=True, window_size=list(_PIXELS))
        plotter.set_background("white")
        plotter.enable_anti_aliasing("ssaa")
        for part in parts:
            plotter.add_mesh(
                part, scalars=name, cmap=colours, clim=[low, high], nan_color="white", show_scalar_bar=False, ambient=0.7,
                diffuse=0.35, specular=0.0, copy_mesh=True,
            )  # fmt: skip
        for edge in edges:
            plotter.add_mesh(edge, color="black", line_width=2)
        labels = dict(zip(("xlabel", "ylabel", "zlabel"), axes, strict=True))
        plotter.add_axes(**labels, color="black", line_width=3, label_size=(0.5, 0.2))
        plotter.camera_position = "iso"
        plotter.camera.zoom(0.98)
        plotter.screenshot(Path(folder) / f"{name}.png")


def opened(body: PyVistaData) -> tuple[list[pyvista.PolyData], list[pyvista.PolyData]]:
    """The surface of a body without the eighth that is nearest to the viewer, the faces of the cut; and all their edges."""
    middle = np.array(body.center)
    surface = body.extract_surface(algorithm="dataset_surface").clean()
    ridges = surface.extract_feature_edges(_EDGE_ANGLE, manifold_edges=False)
    faces, rims = (
        [_beyond(one.slice(normal, origin=middle), middle, np.delete(NORMALS, k, axis=0)) for k, normal in enumerate(NORMALS)]
        for one in (body, surface)
    )
    parts, edges = [*_without_eighth(surface, middle), *faces], [*_without_eighth(ridges, middle), *rims]
    return [one for one in parts if one.n_cells], [one for one in edges if one.n_cells]


def _without_eighth(whole: pyvista.PolyData, middle: Array) -> list[pyvista.PolyData]:
    """What is below the middle along x, and of the rest that along y, and of the rest that along z."""
    parts = []
    for k, normal in enumerate(NORMALS):
        beyond = _beyond(whole, middle, NORMALS[:k])
        parts.append(beyond.clip(normal, origin=middle, invert=True) if beyond.n_cells else beyond)
    return parts


def _beyond(part: pyvista.PolyData, middle: Array, normals: Array) -> pyvista.PolyData:
    """What is above the middle along some axes."""
    for normal in normals:
        part = part.clip(normal, origin=middle, invert=False) if part.n_cells else part
    return part


def _figure(samples: Samples, name: str, colours: Colours, picture: Path) -> Figure:
    figure, (axes,) = panels.empty_figure()
    axes.imshow(imread(picture), interpolation="antialiased")
    axes.axis("off")
    cut = cut_text(samples.cut, samples.labels.units)
    axes.set_title(f"Solution {symbol(name)}, one eighth cut away{f', {cut}' if cut else ''}", fontsize=panels.TITLE_SIZE)
    panels.colour_bar(figure, [axes], colours, with_unit(symbol(name), samples.unit(name)))
    return figure
