"""How fields are drawn: curves over an interval, filled contours over a rectangle, planes through a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from pdekan.output.labels import cut_text, number, symbol
from pdekan.output.samples import Array, Axis, Samples

DOTS_PER_INCH = 200
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 9.5, 9.0, 8.0
# a solution and what is compared with it; told apart in grey too
BLUE, ORANGE, GREEN, GREY = "#1f5a94", "#e07b1f", "#2a8a57", "#a0a0a0"

_TIME = "t"
_LEVELS = 96
# axes are drawn to one scale unless that would make a needle of the figure
_LARGEST_ASPECT = 5.0
# a field with less than this part of its range on one side of zero (an overshoot) is not one that changes sign
_OVERSHOOT = 0.05


@dataclass(frozen=True)
class Curve:
    """Values over the one axis of the samples, and how their line looks."""

    values: Array
    label: str
    colour: str = BLUE
    style: str = "-"


@dataclass(frozen=True)
class Colours:
    """From values to colours: norm and name of the colour map, levels of filled contours, ticks of the colour bar."""

    norm: Normalize
    map_name: str
    levels: Array
    ticks: Array


@dataclass(frozen=True)
class _Plane:
    across: Axis
    up: Axis
    values: Array
    where: str


def empty_figure(size: tuple[float, float] = (5.0, 4.0), panels: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of a size in inches, by default for a page's column, and its panels side by side, row by row."""
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, panels, squeeze=False).flat)


def style_axes(axes: Axes) -> None:
    """Thin frame and legible tick labels."""
    axes.tick_params(labelsize=TICK_SIZE, width=0.6, length=3)
    for text in (axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text()):
        text.set_fontsize(TICK_SIZE)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)


def style_curves(axes: Axes) -> None:
    """An open frame, a faint grid, and a legend where there is something to tell apart."""
    style_axes(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(fontsize=TICK_SIZE, frameon=False)


def curves_figure(samples: Samples, curves: Sequence[Curve], title: str) -> Figure:
    """Curves over the one axis of the samples."""
    figure, (axes,) = empty_figure()
    (axis,) = samples.axes
    for curve in curves:
        values = np.where(np.isfinite(curve.values), curve.values, np.nan)
        axes.plot(axis.values, values, curve.style, label=curve.label, color=curve.colour, linewidth=1.4)
    axes.set_xlim(axis.values[0], axis.values[-1])
    axes.set_xlabel(symbol(axis.name), fontsize=LABEL_SIZE)
    if len(curves) == 1:
        axes.set_ylabel(curves[0].label, fontsize=LABEL_SIZE)
    _set_title(axes, samples, title)
    style_curves(axes)
    return figure


def field_figure(samples: Samples, values: Array, title: str, colours: Colours | None = None) -> Figure:
    """Filled contours of a field on a grid of two axes; on three, in three planes, or at three times."""
    colours = colours or linear_colours(values)
    planes = _planes(samples, values)
    figure, panels = empty_figure(_figure_size(planes), len(planes))
    for axes, plane in zip(panels, planes, strict=True):
        _draw_plane(axes, plane, colours)
    if len(planes) == 1:
        _set_title(panels[0], samples, title)
    else:
        cut = cut_text(samples.cut)
        figure.suptitle(f"{title}   ({cut})" if cut else title, fontsize=TITLE_SIZE)
        for axes, plane in zip(panels, planes, strict=True):
            axes.set_title(plane.where, fontsize=TICK_SIZE)
    bar = figure.colorbar(ScalarMappable(colours.norm, colours.map_name), ax=panels, ticks=colours.ticks, pad=0.02)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize=TICK_SIZE, width=0.6, length=3)
    bar.ax.yaxis.get_offset_text().set_fontsize(TICK_SIZE)
    bar.outline.set_linewidth(0.6)
    return figure


def linear_colours(values: Array) -> Colours:
    """Viridis, or for a field that changes sign blue to red with white at zero; safe for constants and NaN."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low <= 1e-12 * size or size == 0.0:  # constant but for round-off
        low, high = low - (0.5 * size or 1.0), high + (0.5 * size or 1.0)
        map_name = "viridis"
    elif min(-low, high) > _OVERSHOOT * size:
        low, high, map_name = -size, size, "RdBu_r"
    else:
        map_name = "viridis"
    ticks = _inside(MaxNLocator(8).tick_values(low, high), low, high)
    return Colours(Normalize(low, high), map_name, _levels(low, high), ticks)


def logarithmic_colours(low: float, high: float) -> Colours:
    """Magma between two positive values, equal steps for equal factors."""
    levels = np.exp(_levels(float(np.log(low)), float(np.log(high))))
    return Colours(LogNorm(low, high), "magma", levels, _inside(LogLocator().tick_values(low, high), low, high))


def _levels(low: float, high: float) -> Array:
    # a little wider than the values: contours do not fill beyond the outer levels
    margin = 1e-6 * (high - low)
    return np.linspace(low - margin, high + margin, _LEVELS + 1)


def _inside(ticks: ArrayLike, low: float, high: float) -> Array:
    # round-off must not take away a tick at an end
    margin = 1e-9 * (high - low)
    values = np.asarray(ticks, dtype=np.float64)
    return values[(values >= low - margin) & (values <= high + margin)]


def _draw_plane(axes: Axes, plane: _Plane, colours: Colours) -> None:
    values = np.ma.masked_invalid(plane.values.T)
    grid = plane.across.values, plane.up.values
    if values.count():
        filled = axes.contourf(*grid, values, levels=colours.levels, norm=colours.norm, cmap=colours.map_name)
        filled.set_edgecolor("face")  # else viewers of SVG show hairlines between the levels
        filled.set_linewidth(0.3)
        lines = _lines(colours, values.min(), values.max())
        if lines:
            # with dashes below zero the sign can be told in grey
            styles = ["dashed" if level < 0 else "solid" for level in lines]
            axes.contour(*grid, values, levels=lines, colors="black", linewidths=0.35, linestyles=styles, alpha=0.45)
    axes.set_xlim(grid[0][0], grid[0][-1])
    axes.set_ylim(grid[1][0], grid[1][-1])
    axes.set_xlabel(symbol(plane.across.name), fontsize=LABEL_SIZE)
    label = axes.set_ylabel(symbol(plane.up.name), fontsize=LABEL_SIZE)
    if label.get_text() != plane.up.name:  # a letter is read more easily upright, a word takes less room on its side
        label.set(rotation=0, horizontalalignment="right", verticalalignment="center")
    if _to_one_scale(plane):
        axes.set_aspect("equal")
    style_axes(axes)


def _lines(colours: Colours, low: float, high: float) -> list[float]:
    # none on a logarithmic scale; and none at zero, where a field that vanishes along it gives scraps of round-off
    if isinstance(colours.norm, LogNorm):
        return []
    return [float(level) for level in colours.ticks if low < level < high and abs(level) > 1e-9 * (high - low)]


def _figure_size(planes: Sequence[_Plane]) -> tuple[float, float]:
    # as wide and high as the panels leave no empty bands; the constants are the room for labels, title and colour bar
    if not all(_to_one_scale(plane) for plane in planes):
        return (5.0, 4.0) if len(planes) == 1 else (7.5, 2.8)
    slope = max(float(np.ptp(plane.up.values) / np.ptp(plane.across.values)) for plane in planes)
    if len(planes) > 1:
        return 7.5, min(1.7 * slope + 0.85, 5.0)
    if slope < 1.0:
        return 5.0, max(3.7 * slope, 0.8) + 0.75
    return max(3.3 / slope + 1.7, 3.2), 4.0


def _to_one_scale(plane: _Plane) -> bool:
    extents = [float(np.ptp(axis.values)) for axis in (plane.across, plane.up)]
    return _TIME not in (plane.across.name, plane.up.name) and max(extents) <= _LARGEST_ASPECT * min(extents)


def _planes(samples: Samples, values: Array) -> list[_Plane]:
    axes = samples.axes
    if len(axes) == 2:
        return [_Plane(axes[0], axes[1], values, "")]
    names = [axis.name for axis in axes]
    if _TIME in names:
        fixed = names.index(_TIME)
        last = axes[fixed].values.size - 1
        cuts = [(fixed, index) for index in (0, last // 2, last)]
    else:
        cuts = [(fixed, _telling_index(samples, fixed)) for fixed in (2, 1, 0)]
    planes = []
    for fixed, index in cuts:
        across, up = (axis for number_, axis in enumerate(axes) if number_ != fixed)
        where = f"{symbol(names[fixed])} = {number(float(axes[fixed].values[index]))}"
        planes.append(_Plane(across, up, np.take(values, index, axis=fixed), where))
    return planes


def _telling_index(samples: Samples, fixed: int) -> int:
    # the middle, unless next to nothing is to be seen there: sin(pi x) on [-1, 1] is zero at the middle
    sizes = np.abs(np.nan_to_num(np.moveaxis(samples.solution, fixed, 0), posinf=0.0, neginf=0.0))
    largest = sizes.reshape(len(sizes), -1).max(axis=1)
    coordinate = samples.axes[fixed].values
    middle = int(np.argmin(np.abs(coordinate - (coordinate[0] + coordinate[-1]) / 2)))
    return middle if largest[middle] >= 0.1 * largest.max() else int(np.argmax(largest))


def _set_title(axes: Axes, samples: Samples, title: str) -> None:
    cut = cut_text(samples.cut)
    axes.set_title(f"{title}\n{cut}" if cut else title, fontsize=TITLE_SIZE)
