"""Figures of a study's findings: panels of curves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from pdekan.output import panels
from pdekan.output.figures import save_all
from pdekan.output.findings import Bar, Panel, Picture

_COLOURS = {
    "blue": panels.BLUE, "orange": panels.ORANGE, "green": panels.GREEN, "grey": panels.GREY,
    "red": "#b5362c", "purple": "#7a4d9e", "black": "#202020",
}  # fmt: skip

_ROOM = 18  # characters of ticks along an axis


def draw(picture: Picture) -> Figure:
    """The figure that a picture describes."""
    rows = -(-len(picture.panels) // picture.across)
    figure, axes_list = panels.empty_figure(picture.size, picture.across, rows)
    for axes in axes_list[len(picture.panels) :]:
        axes.set_axis_off()
    handles: dict[str, Line2D] = {}
    for axes, panel in zip(axes_list, picture.panels, strict=False):
        if picture.shared and axes is not axes_list[0]:
            axes.sharex(axes_list[0])
            axes.sharey(axes_list[0])
        handles = _draw_panel(axes, panel) | handles
    if picture.shared:
        for axes in axes_list:
            axes.label_outer()
    if picture.title:
        figure.suptitle(picture.title, fontsize=panels.TITLE_SIZE)
    if handles:
        panels.legend_below(figure, list(handles.values()), list(handles))
    return figure


def write_all(directory: str | os.PathLike[str], pictures: Iterable[Picture], suffix: str = ".png") -> dict[str, Path]:
    """Write figures into an existing directory; their paths by name. Raises as `figures.save` does."""
    return save_all(directory, {picture.name: partial(draw, picture) for picture in pictures}, suffix)


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
    if panel.bars:
        _draw_bars(axes, panel.bars)
    if panel.scale in ("log x", "log"):
        axes.set_xscale("log")
    if panel.scale in ("log y", "log"):
        axes.set_yscale("log")
    if panel.x_ticks:
        low, high = axes.get_xlim()
        shown = [tick for tick in panel.x_ticks if low <= tick <= high]
        shown = _apart(shown) if panel.scale in ("log x", "log") else shown
        axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=panel.x_limits, ylim=panel.y_limits)
    axes.set_title(panel.title, fontsize=panels.LABEL_SIZE)
    axes.set_xlabel(panel.x, fontsize=panels.TICK_SIZE)
    axes.set_ylabel(panel.y, fontsize=panels.TICK_SIZE)
    panels.style_curves(axes)
    return handles


def _apart(ticks: list[float]) -> list[float]:
    """Ticks whose labels do not touch: powers of ten alone where all have too many characters for a panel."""
    tens = [tick for tick in ticks if math.log10(tick).is_integer()] if sum(len(f"{tick:g}") for tick in ticks) > _ROOM else []
    return tens if len(tens) > 1 else ticks


def _draw_bars(axes: Axes, bars: Sequence[Bar]) -> None:
    """Draw bars with their counts beside them."""
    colours = [_COLOURS[bar.colour] for bar in bars]
    drawn = axes.barh([bar.label for bar in bars], [bar.count for bar in bars], color=colours)
    axes.bar_label(drawn, fmt="%d", padding=3.0, fontsize=panels.TICK_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
