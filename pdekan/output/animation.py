"""Animations of solutions in time: a GIF, and an MP4 where ffmpeg is."""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh, TriMesh
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from PIL import Image

from pdekan.output import panels
from pdekan.output.atomic import write_bytes
from pdekan.output.labels import cut_text, symbol, with_unit
from pdekan.output.panels import Colours, Curve, curves_figure, linear_colours
from pdekan.output.planes import Plane, planes
from pdekan.output.samples import TIME, Array, OutputError, Samples, evenly

LOG = logging.getLogger(__name__)
SECONDS = 5.0  # that an animation lasts
_MAX_FRAMES = 60
_PALETTE_FRAMES = 7  # from which the colours of all are chosen
_DOTS_PER_INCH = 100
_MARGIN = 0.05  # of the range of values, above and below curves

Frames = tuple[Figure, Callable[[int], None], int]  # a figure, what draws one of its frames, and how many there are


def write_animations(directory: Path, samples: Samples) -> dict[str, Path]:
    """Write "animation.gif" and, where ffmpeg is, "animation.mp4", of several unknowns "animation_u.gif", …; paths by name.

    Raises OutputError for samples without several times, and OSError.
    """
    if samples.times.size < 2:
        raise OutputError(
            f"an animation needs samples at several times; these have {samples.times.size or 'no time beside space'}"
        )
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for unknown in samples.unknowns:
        ending = f"_{unknown}" if len(samples.unknowns) > 1 else ""
        frames = _curves(samples, unknown) if len(samples.layout.space) == 1 else _planes(samples, unknown)
        frames[0].draw_without_rendering()
        frames[0].set_layout_engine("none")  # one layout for all frames, found once
        for suffix, writer in _writers(frames[-1] / SECONDS).items():
            path = directory / f"animation{ending}{suffix}"
            if _write(path, frames, writer):
                paths[f"animation{ending}_{suffix[1:]}"] = path
    return paths


class _OnePalette(PillowWriter):
    """GIF with the same colours in all frames: with those of each frame the colour bar would change from one to the next."""

    _frames: list[Image.Image]

    def finish(self) -> None:
        """Choose the colours from a few frames, each as often as the others and white as it is, and write."""
        frames = [frame.convert("RGB") for frame in self._frames]
        some = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, _PALETTE_FRAMES).astype(int))]
        distinct = np.unique(np.concatenate([np.asarray(one).reshape(-1, 3) for one in some]), axis=0)
        chosen = Image.fromarray(distinct[None]).quantize(255)
        chosen.putpalette([*(chosen.getpalette() or [])[: 3 * 255], 255, 255, 255])
        self._frames = [frame.quantize(palette=chosen, dither=Image.Dither.NONE) for frame in frames]
        super().finish()


def _writers(rate: float) -> dict[str, AbstractMovieWriter]:
    writers: dict[str, AbstractMovieWriter] = {".gif": _OnePalette(fps=max(1, round(rate)))}
    if FFMpegWriter.isAvailable():
        writers[".mp4"] = FFMpegWriter(fps=max(1, round(rate)))
    return writers


def _write(path: Path, frames: Frames, writer: AbstractMovieWriter) -> bool:
    """Whether the file was written: an ffmpeg without the codec is logged."""
    figure, draw, count = frames
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        try:
            with writer.saving(figure, str(file), _DOTS_PER_INCH):
                for frame in range(count):
                    draw(frame)
                    writer.grab_frame()
        except subprocess.CalledProcessError as error:
            LOG.warning("%s was not written: ffmpeg ended with %s", path, error.returncode)
            return False
        write_bytes(path, file.read_bytes())
    return True


def _title(samples: Samples, unknown: str, step: int, cut: str = "") -> str:
    time = cut_text({TIME: float(samples.times[step])}, samples.labels.units)
    return f"{symbol(unknown)} at {time}{', ' if cut else ''}{cut}"


def _curves(samples: Samples, unknown: str) -> Frames:
    values, steps = samples.fields[unknown], evenly(samples.times.size, _MAX_FRAMES).tolist()
    exact = samples.of("exact", unknown)
    curves = [Curve(samples.step(values, 0), symbol(unknown))]
    if exact is not None:
        curves.append(Curve(samples.step(exact, 0), samples.labels.exact, panels.ORANGE, "--"))
    label = with_unit(symbol(unknown), samples.unit(unknown))
    figure = curves_figure(samples, curves, _title(samples, unknown, 0), label=label)
    (axes,) = figure.axes
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = _MARGIN * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    fields = [values] if exact is None else [values, exact]

    def draw(frame: int) -> None:
        """Set the curves and the title of a frame."""
        for line, field in zip(axes.lines, fields, strict=True):
            line.set_ydata(samples.step(field, steps[frame]))
        axes.set_title(
            _title(samples, unknown, steps[frame], cut_text(samples.cut, samples.labels.units)), fontsize=panels.TITLE_SIZE
        )

    return figure, draw, len(steps)


def _planes(samples: Samples, unknown: str) -> Frames:
    """One plane, in three dimensions that normal to the last coordinate, of one colour scale at all times."""
    values, steps = samples.fields[unknown], evenly(samples.times.size, _MAX_FRAMES).tolist()
    by = samples.step(values, samples.times.size // 2)
    drawn = [planes(samples.at(step), samples.step(values, step), by)[0] for step in steps]
    colours = linear_colours(values)
    figure, (axes,) = panels.plane_figure(drawn[0], samples)
    mappable = _mappable(axes, drawn[0], colours)
    bar = figure.colorbar(ScalarMappable(colours.norm, colours.map_name), ax=axes, ticks=colours.ticks)
    bar.set_label(with_unit(symbol(unknown), samples.unit(unknown)), fontsize=panels.LABEL_SIZE)
    bar.ax.tick_params(labelsize=panels.TICK_SIZE)
    cut = cut_text({**samples.cut, **drawn[0].fixed}, samples.labels.units)

    def draw(frame: int) -> None:
        mappable.set_array(_array(drawn[frame]))
        axes.set_title(_title(samples, unknown, steps[frame], cut), fontsize=panels.TITLE_SIZE)

    return figure, draw, len(steps)


def _mappable(axes: Axes, plane: Plane, colours: Colours) -> QuadMesh | TriMesh:
    style: dict[str, Any] = {"shading": "gouraud", "cmap": colours.map_name, "norm": colours.norm}
    drawn: QuadMesh | TriMesh
    if plane.triangles is None:
        drawn = axes.pcolormesh(plane.x, plane.y, _array(plane), **style)
    else:
        drawn = axes.tripcolor(Triangulation(plane.x, plane.y, plane.triangles), _array(plane), **style)
    return drawn


def _array(plane: Plane) -> Array:
    return plane.values.T if plane.triangles is None else plane.values
