"""Figures of a study's findings: panels of curves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from pdekan.output import panels
from pdekan.output.figures import save
from pdekan.output.findings import Panel, Picture

_TEXT = 7.5  # points: still seven where a column makes the figure a little narrower
_COLOURS = {
    "blue": panels.BLUE, "orange": panels.ORANGE, "green": panels.GREEN, "grey": panels.GREY,
    "red": "#b5362c", "purple": "#7a4d9e", "black": "#202020",
}  # fmt: skip


def draw(picture: Picture) -> Figure:
    """The figure that a picture describes."""
    rows = -(-len(picture.panels) // picture.across)
    figure, every = panels.empty_figure(picture.size, picture.across, rows)
    for axes in every[len(picture.panels) :]:
        axes.set_axis_off()
    handles: dict[str, Line2D] = {}
    for axes, panel in zip(every, picture.panels, strict=False):
        if picture.shared and axes is not every[0]:
            axes.sharex(every[0])
            axes.sharey(every[0])
        handles = _draw_panel(axes, panel) | handles
    if picture.shared:
        for axes in every:
            axes.label_outer()
    if picture.title:
        figure.suptitle(picture.title, fontsize=panels.TITLE_SIZE)
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=_TEXT, frameon=False)
    return figure


def write_all(directory: str | os.PathLike[str], pictures: Iterable[Picture], suffix: str = ".png") -> dict[str, Path]:
    """Write figures into an existing directory; their paths by name. Raises OutputError and OSError as `figures.save` does."""
    paths = {picture.name: (picture, Path(directory) / f"{picture.name}{suffix}") for picture in pictures}
    for picture, path in paths.values():
        save(draw(picture), path)
    return {name: path for name, (_, path) in paths.items()}


def _draw_panel(axes: Axes, panel: Panel) -> dict[str, Line2D]:
    """Draw the curves; a handle for each label."""
    handles: dict[str, Line2D] = {}
    for curve in panel.curves:
        (line,) = axes.plot(
            curve.x,
            np.where(np.isfinite(curve.y), curve.y, np.nan),
            linestyle=curve.line or "none",
            marker=curve.marker,
            color=_COLOURS[curve.colour],
            linewidth=curve.width,
            markersize=3.0,
        )
        if curve.label:
            handles.setdefault(curve.label, line)
    if panel.scale in ("log x", "log"):
        axes.set_xscale("log")
    if panel.scale in ("log y", "log"):
        axes.set_yscale("log")
    if panel.x_ticks:
        low, high = axes.get_xlim()
        shown = [tick for tick in panel.x_ticks if low <= tick <= high]
        axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=panel.x_limits, ylim=panel.y_limits)
    axes.set_title(panel.title, fontsize=panels.LABEL_SIZE)
    axes.set_xlabel(panel.x, fontsize=panels.TICK_SIZE)
    axes.set_ylabel(panel.y, fontsize=panels.TICK_SIZE)
    panels.style_curves(axes)
    return handles
