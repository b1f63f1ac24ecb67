"""Drawing of fields: curves over an interval, filled contours over a plane or over three planes of three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation
from numpy.typing import ArrayLike

from pdekan.output.labels import cut_text, symbol, with_unit
from pdekan.output.planes import Plane, planes
from pdekan.output.samples import TIME, Array, Cells, Samples

DOTS_PER_INCH = 200
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 9.5, 9.0, 8.0
SMALL_SIZE = 7.5  # still seven points where a page's column is a little narrower than the figure
# distinguishable in greyscale too
BLUE, ORANGE, GREEN, GREY = "#1f5a94", "#e07b1f", "#2a8a57", "#a0a0a0"

_LEVELS = 96  # of filled contours
_MAX_ASPECT = 5.0  # of a plane whose axes have one scale
_LINE_MARGIN = 0.01  # of the range: nearer to its ends the lines of a level are small figures of the mesh's making
_OVERSHOOT = 0.05  # of the range: a field with less than this on one side of zero does not count as changing sign
_MARK_DISTANCE = 0.01  # from a plane, relative to the extent of all marks: nearer marks are drawn on it

Marks = Mapping[str, Array]  # coordinates, by name, of points drawn as dots
NO_MARKS: Marks = {}


@dataclass(frozen=True)
class Curve:
    """Values over the axis of one-dimensional samples, and the style of their line."""

    values: Array
    label: str
    colour: str = BLUE
    style: str = "-"
    width: float = 1.4


@dataclass(frozen=True)
class Colours:
    """A colour scale: norm and name of the colour map, levels of filled contours, ticks of the colour bar."""

    norm: Normalize
    map_name: str
    levels: Array
    ticks: Array


def empty_figure(size: tuple[float, float] = (5.0, 4.0), panels: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of a size in inches, by default for a page's column, and its panels row by row."""
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, panels, squeeze=False).flat)


def style_axes(axes: Axes) -> None:
    """Thin frame and legible tick labels."""
    axes.tick_params(labelsize=TICK_SIZE, width=0.6, length=3)
    axes.tick_params(which="minor", labelsize=TICK_SIZE)
    for text in (axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text()):
        text.set_fontsize(TICK_SIZE)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)


def style_curves(axes: Axes) -> None:
    """An open frame, a faint grid, and a legend where there are several labels."""
    style_axes(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(fontsize=TICK_SIZE, frameon=False)


def legend_below(figure: Figure, handles: list[Line2D], labels: list[str] | None = None) -> None:
    """One legend for all panels, below them."""
    named = {"handles": handles} if labels is None else {"handles": handles, "labels": labels}
    figure.legend(**named, loc="outside lower center", ncols=3, fontsize=SMALL_SIZE, columnspacing=1.0, frameon=False)


def curves_figure(samples: Samples, curves: Sequence[Curve], title: str, marks: Marks = NO_MARKS, label: str = "") -> Figure:
    """Curves over the one axis of space, with marks on the first curve; label: of the values, by default the first curve's."""
    figure, (axes,) = empty_figure()
    axis = next(axis for axis in samples.axes if axis.name == samples.layout.space[0])
    for curve in curves:
        values = np.where(np.isfinite(curve.values), curve.values, np.nan)
        axes.plot(axis.values, values, curve.style, label=curve.label, color=curve.colour, linewidth=curve.width)
    near = _marks_at(marks, samples.cut)
    if near:
        _draw_marks(axes, near[axis.name], np.interp(near[axis.name], axis.values, curves[0].values))
    axes.set_xlim(axis.values[0], axis.values[-1])
    axes.set_xlabel(with_unit(symbol(axis.name), samples.unit(axis.name)), fontsize=LABEL_SIZE)
    if label or len(curves) == 1:
        axes.set_ylabel(label or curves[0].label, fontsize=LABEL_SIZE)
    _set_title(axes, samples, title)
    style_curves(axes)
    return figure


def field_figure(
    samples: Samples,
    by: Array,
    values: Array,
    title: str,
    label: str,
    colours: Colours | None = None,
    marks: Marks = NO_MARKS,
) -> Figure:
    """Filled contours of values over the samples' planes, each with the marks in it.

    by: the field that planes are chosen by, see `planes`. label: of the colour bar.
    """
    return planes_figure(samples, planes(samples, values, by), title, label, colours or linear_colours(values), marks)


def planes_figure(
    samples: Samples, drawn: Sequence[Plane], title: str, label: str, colours: Colours, marks: Marks = NO_MARKS
) -> Figure:
    """Filled contours over planes of samples, each with the marks in it and what is constant on it."""
    figure, panels = empty_figure(_figure_size(drawn), len(drawn))
    for axes, plane in zip(panels, drawn, strict=True):
        _draw_plane(axes, plane, colours, samples)
        near = _marks_at(marks, {**samples.cut, **plane.fixed})
        if near:
            _draw_marks(axes, near[plane.across], near[plane.up])
    if len(drawn) == 1:
        _set_title(panels[0], samples, title)
    else:
        cut = cut_text(samples.cut, samples.labels.units)
        figure.suptitle(f"{title}   ({cut})" if cut else title, fontsize=TITLE_SIZE)
        for axes, plane in zip(panels, drawn, strict=True):
            axes.set_title(cut_text(plane.fixed, samples.labels.units), fontsize=TICK_SIZE)
    colour_bar(figure, panels, colours, label)
    return figure


def colour_bar(figure: Figure, beside: Sequence[Axes], colours: Colours, label: str) -> None:
    """The scale of colours at the right of panels."""
    bar = figure.colorbar(ScalarMappable(colours.norm, colours.map_name), ax=list(beside), ticks=colours.ticks, pad=0.02)
    bar.set_label(label, fontsize=LABEL_SIZE)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize=TICK_SIZE, width=0.6, length=3)
    bar.ax.yaxis.get_offset_text().set_fontsize(TICK_SIZE)
    bar.outline.set_linewidth(0.6)


def plane_figure(plane: Plane, samples: Samples) -> tuple[Figure, list[Axes]]:
    """A figure with the frame, the outline and the labels of one plane, without values."""
    figure, axes = empty_figure(_figure_size([plane]))
    _draw_outline(axes[0], plane)
    _frame_plane(axes[0], plane, samples)
    return figure, axes


def linear_colours(values: Array) -> Colours:
    """Viridis, or for a field that changes sign blue to red with white at zero; also for constants and NaN."""
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


def cyclic_colours() -> Colours:
    """Twilight from -π to π, whose ends are one colour."""
    ticks = np.linspace(-np.pi, np.pi, 5)
    return Colours(Normalize(-np.pi, np.pi), "twilight", _levels(-np.pi, np.pi), ticks)


def _levels(low: float, high: float) -> Array:
    # a little wider than the values: contours do not fill beyond the outer levels
    margin = 1e-6 * (high - low)
    return np.linspace(low - margin, high + margin, _LEVELS + 1)


def _inside(ticks: ArrayLike, low: float, high: float) -> Array:
    # round-off must not take away a tick at an end
    margin = 1e-9 * (high - low)
    values = np.asarray(ticks, dtype=np.float64)
    return values[(values >= low - margin) & (values <= high + margin)]


def _draw_plane(axes: Axes, plane: Plane, colours: Colours, samples: Samples) -> None:
    draw_values(axes, plane, colours)
    _frame_plane(axes, plane, samples)


def draw_values(axes: Axes, plane: Plane, colours: Colours) -> None:
    """Filled contours with lines, and the outline of a mesh."""
    if plane.triangles is None:
        _draw_grid(axes, plane, colours)
    else:
        _draw_triangles(axes, plane, plane.triangles, colours)


def _frame_plane(axes: Axes, plane: Plane, samples: Samples) -> None:
    limits = plane.limits
    if plane.triangles is not None:
        limits += 0.02 * np.diff(limits) * [-1.0, 1.0]  # so that the frame does not cover the outline
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.set_xlabel(with_unit(symbol(plane.across), samples.unit(plane.across)), fontsize=LABEL_SIZE)
    label = axes.set_ylabel(with_unit(symbol(plane.up), samples.unit(plane.up)), fontsize=LABEL_SIZE)
    if label.get_text() == symbol(plane.up) != plane.up:  # a symbol, not a word
        label.set(rotation=0, horizontalalignment="right", verticalalignment="center")
    if to_one_scale(plane):
        axes.set_aspect("equal")
    style_axes(axes)


def _draw_grid(axes: Axes, plane: Plane, colours: Colours) -> None:
    values = np.ma.masked_invalid(plane.values.T)
    _draw_levels(axes.contourf, axes.contour, (plane.x, plane.y, values), values.compressed(), colours)


def _draw_triangles(axes: Axes, plane: Plane, triangles: Cells, colours: Colours) -> None:
    undefined = ~np.isfinite(plane.values)[triangles].all(axis=1)
    mesh = Triangulation(plane.x, plane.y, triangles, mask=undefined)
    values = plane.values[triangles[~undefined]]
    _draw_levels(axes.tricontourf, axes.tricontour, (mesh, plane.values), values, colours)
    _draw_outline(axes, plane)


def _draw_outline(axes: Axes, plane: Plane) -> None:
    axes.add_collection(LineCollection(list(plane.rim), colors="black", linewidths=0.6, capstyle="round"), autolim=False)


def _draw_levels(
    fill: Callable[..., ContourSet], draw: Callable[..., ContourSet], field: Sequence[Any], values: Array, colours: Colours
) -> None:
    if not values.size:
        return
    filled = fill(*field, levels=colours.levels, norm=colours.norm, cmap=colours.map_name)
    filled.set_edgecolor("face")  # else viewers of SVG show hairlines between the levels
    filled.set_linewidth(0.3)
    lines = _lines(colours, values.min(), values.max())
    if lines:
        # dashes below zero show the sign in greyscale
        styles = ["dashed" if level < 0 else "solid" for level in lines]
        draw(*field, levels=lines, colors="black", linewidths=0.35, linestyles=styles, alpha=0.45)


def _marks_at(marks: Marks, fixed: Mapping[str, float]) -> Marks:
    """The marks with these values of the fixed coordinates."""
    for name, value in fixed.items():
        if name in marks and marks[name].size:
            near = np.abs(marks[name] - value) <= _MARK_DISTANCE * np.ptp(marks[name])
            marks = {other: places[near] for other, places in marks.items()}
    return marks


def _draw_marks(axes: Axes, across: Array, up: Array) -> None:
    axes.plot(across, up, "o", color="black", markersize=2.4, markeredgecolor="white", markeredgewidth=0.4)


def _lines(colours: Colours, low: float, high: float) -> list[float]:
    # none of a phase, which jumps by 2π, and none at zero, where a field that vanishes on a curve or an area is round-off
    if isinstance(colours.norm, LogNorm) or colours.map_name == "twilight":
        return []
    margin = _LINE_MARGIN * (high - low)
    inside = [float(level) for level in colours.ticks if low + margin < level < high - margin]
    return [level for level in inside if abs(level) > 1e-9 * (high - low)]


def _figure_size(drawn: Sequence[Plane]) -> tuple[float, float]:
    # no empty bands around the panels; the constants are the space of labels, title and colour bar
    if not all(to_one_scale(plane) for plane in drawn):
        return (5.0, 4.0) if len(drawn) == 1 else (7.5, 2.8)
    slope = max(float(np.divide(*np.ptp(plane.limits, axis=1)[::-1])) for plane in drawn)
    if len(drawn) > 1:
        return 7.5, min(1.7 * slope + 0.85, 5.0)
    if slope < 1.0:
        return 5.0, max(3.7 * slope, 0.8) + 0.75
    return max(3.3 / slope + 1.7, 3.2), 4.0


def to_one_scale(plane: Plane) -> bool:
    """Whether both axes have one scale: where both are of space, and neither is far longer than the other."""
    extents = np.ptp(plane.limits, axis=1)
    return TIME not in (plane.across, plane.up) and bool(extents.max() <= _MAX_ASPECT * extents.min())


def _set_title(axes: Axes, samples: Samples, title: str) -> None:
    cut = cut_text(samples.cut, samples.labels.units)
    axes.set_title(f"{title}\n{cut}" if cut else title, fontsize=TITLE_SIZE)
