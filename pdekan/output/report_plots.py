"""Plots of a report, by Bokeh: fields with a slider, and the history; the only place that imports Bokeh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import (
    Arrow,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    NormalHead,
    Slider,
)
from bokeh.models.formatters import BasicTickFormatter, CustomJSTickFormatter, PrintfTickFormatter
from bokeh.models.ui import UIElement
from bokeh.plotting import figure
from bokeh.resources import Resources
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from pdekan.output.frames import Frames
from pdekan.output.samples import Array

INK = "#777777"  # legible on white and on black, as the colours of curves
BLUE, ORANGE, GREEN = "#3d8bd1", "#d9731a", "#2f9e62"
_DECADES = 4  # of errors and residuals below the largest
_ARROWS = 17  # along the longer side of a plane
_LENGTH = 0.75  # of an arrow, relative to their distance
_LEAST = 0.01  # of the largest size: where a vector is smaller there is no arrow
_TOOLS = "pan,wheel_zoom,box_zoom,zoom_in,zoom_out,reset,save"
# the page's own style does not reach into the elements of Bokeh
_ON_PAPER = "@media print { :host { display: none; } }"
_FOCUS = ":focus-visible, .noUi-handle:focus-visible { outline: 3px solid var(--link) !important; outline-offset: 2px; }"


# the data that are drawn, those of all steps of the slider, and the names of the columns that differ
Update = tuple[ColumnDataSource, ColumnDataSource, list[str]]


@dataclass(frozen=True)
class Shown:
    """A field in a report.

    label: of its values. sizes: whether it is not negative and drawn on a logarithmic scale. over: the name of the field that
    a curve is drawn with, dashed, and what that is called. along: of a vector's size, the fields of its components across and
    up, which are drawn as arrows.
    """

    name: str
    title: str
    label: str
    sizes: bool = False
    over: tuple[str, str] | None = None
    along: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plots:
    """Plots for a page: the script that makes them, and for each its place, an HTML element, by name."""

    script: str
    places: Mapping[str, str]


def library() -> str:
    """Bokeh's own scripts, inline."""
    resources = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])
    return "\n".join(f"<script>{script}</script>" for script in resources.js_raw)


def plots(fields: Frames, shown: Sequence[Shown], labels: Mapping[str, str], history: Mapping[str, Array]) -> Plots:
    """The plots of fields by their names, "slider" where there is one, and "history". labels: of coordinates."""
    made: dict[str, UIElement] = {}
    ranges: dict[str, Any] = {}
    updates: list[Update] = []
    for one in shown:
        draw = _image if fields.up else _lines
        made[one.name], update = draw(fields, one, labels, ranges)
        updates += update
    if fields.slider:
        made["slider"] = _slider(fields, labels, updates)
    made["history"] = _history(history)
    script, places = components(made)
    return Plots(script, places)


def _slider(fields: Frames, labels: Mapping[str, str], updates: Sequence[Update]) -> Slider:
    shown = CustomJSTickFormatter(
        args={"at": fields.at.tolist()}, code="return String(Number(at[Math.round(tick)].toPrecision(4)))"
    )
    slider = Slider(
        name="slider",
        start=0,
        end=len(fields.at) - 1,
        step=1,
        value=fields.first,
        title=labels[fields.slider],
        format=shown,
        sizing_mode="stretch_width",
        stylesheets=[_FOCUS],
    )
    slider.js_on_change(
        "value",
        CustomJS(
            args={"parts": [list(one) for one in updates], "slider": slider},
            code="""
            for (const [shown, all, names] of parts) {
                const data = {...shown.data};
                for (const name of names) data[name] = all.data[name][slider.value];
                shown.data = data;
            }""",
        ),
    )
    return slider


def _base(one: Shown, labels: Mapping[str, str], fields: Frames, ranges: dict[str, Any], **options: Any) -> figure:
    plot = figure(
        title=one.title,
        tools=_TOOLS,
        toolbar_location="below",
        active_scroll="wheel_zoom",
        sizing_mode="stretch_width",
        name=one.name,
        **options,
        **ranges,
    )
    _style(plot)
    plot.xaxis.axis_label = labels[fields.across]
    ranges.setdefault("x_range", plot.x_range)
    return plot


def _style(plot: figure) -> None:
    """Colours that are legible on white and on black paper."""
    plot.background_fill_alpha = plot.border_fill_alpha = 0.0
    plot.outline_line_color, plot.title.text_color = INK, INK
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = INK
        axis.major_tick_line_color = axis.minor_tick_line_color = INK
        axis.axis_label_text_font_style = "normal"
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = INK, 0.25
    plot.toolbar.logo, plot.toolbar.stylesheets = None, [_FOCUS, _ON_PAPER]


def _image(fields: Frames, one: Shown, labels: Mapping[str, str], ranges: dict[str, Any]) -> tuple[figure, list[Update]]:
    values = fields.values[one.name].astype(np.float32)  # less to embed
    mapper = _colours(values, one.sizes)
    (left, right), (low, high) = (fields.x[0], fields.x[-1]), (fields.y[0], fields.y[-1])
    wide, tall = (right - left) / (len(fields.x) - 1), (high - low) / (len(fields.y) - 1)
    square = bool(0.2 < (high - low) / (right - left) < 5.0)
    plot = _base(one, labels, fields, ranges, aspect_ratio=1.15, match_aspect=square)
    ranges.setdefault("y_range", plot.y_range)
    plot.yaxis.axis_label = labels[fields.up]
    shown = ColumnDataSource({"image": [values[fields.first]]})
    drawn = plot.image(
        "image",
        source=shown,
        x=left - wide / 2,
        y=low - tall / 2,
        dw=right - left + wide,
        dh=high - low + tall,
        color_mapper=mapper,
    )
    updates = [(shown, ColumnDataSource({"image": [[frame] for frame in values]}), ["image"])]
    updates += _rims(plot, fields)
    if one.along:
        updates.append(arrows(plot, fields, one.along))
    plot.add_tools(
        HoverTool(
            visible=False,
            renderers=[drawn],
            tooltips=[(labels[fields.across], "$x"), (labels[fields.up], "$y"), (one.label, "@image{0.0000e+0}")],
        )
    )
    bar = ColorBar(
        color_mapper=mapper, background_fill_alpha=0.0, major_label_text_color=INK,
        formatter=PrintfTickFormatter(format="%.0e") if one.sizes else BasicTickFormatter(),
    )  # fmt: skip
    plot.add_layout(bar, "right")
    return plot, updates


def _rims(plot: figure, fields: Frames) -> list[Update]:
    """Draw the edges of the domain."""
    if not len(fields.rims[0]):
        return []
    ends = {f"{axis}{end}": [rim[:, end, k] for rim in fields.rims] for k, axis in enumerate("xy") for end in (0, 1)}
    rim = ColumnDataSource({name: each[fields.first] for name, each in ends.items()})
    plot.segment("x0", "y0", "x1", "y1", source=rim, color=INK, line_width=2)
    return [(rim, ColumnDataSource(ends), list(ends))] if fields.moving else []


def arrows(plot: figure, fields: Frames, along: tuple[str, ...]) -> Update:
    """Draw a vector's direction, by arrows of equal length about the middles of squares that fill the plane."""
    extents = np.array([np.ptp(fields.x), np.ptp(fields.y)])
    spacing = float(extents.max()) / _ARROWS
    columns, rows = (
        ((np.arange(n) + 0.5) / n * len(axis)).astype(int)
        for n, axis in zip(np.maximum(1, np.round(extents / spacing)), (fields.x, fields.y), strict=True)
    )
    middles = np.stack(np.meshgrid(fields.x[columns], fields.y[rows]))
    parts = np.stack([fields.values[name][:, rows[:, None], columns] for name in along])
    sizes = np.linalg.norm(parts, axis=0)
    shown = sizes > _LEAST * np.nanmax(sizes, initial=0.0)
    half = 0.5 * _LENGTH * spacing * parts / np.where(shown, sizes, 1.0)
    ends = {
        f"{axis}{end}": [(middles[k] + (2 * end - 1) * half[k, step])[shown[step]] for step in range(len(shown))]
        for k, axis in enumerate("xy")
        for end in (0, 1)
    }
    drawn = ColumnDataSource({name: each[fields.first] for name, each in ends.items()})
    head = NormalHead(size=6, fill_color="white", line_color="black", line_width=0.5)
    plot.add_layout(
        Arrow(x_start="x0", y_start="y0", x_end="x1", y_end="y1", source=drawn, end=head, line_color="white", line_width=1.5)
    )
    return drawn, ColumnDataSource(ends), list(ends)


def _colours(values: NDArray[np.float32], sizes: bool) -> LinearColorMapper | LogColorMapper:
    """One scale for all frames: as figures have it."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if sizes:
        top = high or 1e-16
        return LogColorMapper("Magma256", low=top * 10.0**-_DECADES, high=top, nan_color="rgba(0,0,0,0)")
    size = max(abs(low), abs(high)) or 1.0
    if high - low <= 1e-12 * size:
        low, high = low - 0.5 * size, high + 0.5 * size
    if min(-low, high) > 0.05 * size:
        return LinearColorMapper(
            [to_hex(colour) for colour in colormaps["RdBu_r"](range(256))], low=-size, high=size, nan_color="rgba(0,0,0,0)"
        )
    return LinearColorMapper("Viridis256", low=low, high=high, nan_color="rgba(0,0,0,0)")


def _lines(fields: Frames, one: Shown, labels: Mapping[str, str], ranges: dict[str, Any]) -> tuple[figure, list[Update]]:
    values = {name: fields.values[name] for name in (one.name, *((one.over[0],) if one.over else ()))}
    if one.sizes:
        values = {name: np.where(value > 0.0, value, np.nan) for name, value in values.items()}
    all_values = np.concatenate([value[np.isfinite(value)].ravel() for value in values.values()])
    low, high = (float(all_values.min()), float(all_values.max())) if all_values.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    limits = (max(low, high * 10.0**-6), 2.0 * high) if one.sizes else (low - margin, high + margin)
    axis = "log" if one.sizes else "linear"
    plot = _base(one, labels, fields, ranges, aspect_ratio=1.4, y_axis_type=axis, y_range=limits)
    plot.yaxis.axis_label = one.label
    if one.sizes:
        plot.yaxis.formatter = PrintfTickFormatter(format="%.0e")
    shown = ColumnDataSource({"x": fields.x, **{name: value[fields.first] for name, value in values.items()}})
    colours = (BLUE, ORANGE)
    for (name, _), colour, dash in zip(values.items(), colours, ("solid", "dashed"), strict=False):
        label = {"legend_label": one.label if name == one.name else one.over[1]} if one.over else {}
        plot.line("x", name, source=shown, color=colour, line_width=2, line_dash=dash, **label)
    if len(values) > 1:
        plot.legend.background_fill_alpha = plot.legend.border_line_alpha = 0.0
        plot.legend.label_text_color = INK
    plot.add_tools(
        HoverTool(
            visible=False, tooltips=[(labels[fields.across], "@x"), (one.label, f"@{{{one.name}}}{{0.0000e+0}}")], mode="vline"
        )
    )
    every = ColumnDataSource({name: list(value) for name, value in values.items()})
    return plot, [(shown, every, list(values))]


def _history(columns: Mapping[str, Array]) -> figure:
    plot = figure(
        toolbar_location="below", y_axis_type="log", tools=_TOOLS, sizing_mode="stretch_width", aspect_ratio=1.8,
        min_height=280, name="history", x_axis_label="step",
    )  # fmt: skip
    _style(plot)
    plot.yaxis.formatter = PrintfTickFormatter(format="%.0e")
    step = np.asarray(columns["step"], dtype=float)
    for name, label, colour in (
        ("loss", "loss", BLUE), ("residual", "relative residual", ORANGE), ("l2_mean_square", "L2 error, mean square", GREEN),
    ):  # fmt: skip
        values = np.asarray(columns.get(name, ()), dtype=float)
        drawn = np.flatnonzero(np.isfinite(values) & (values > 0.0))
        if drawn.size:
            source = ColumnDataSource({"step": step[drawn], "value": values[drawn]})
            plot.line("step", "value", source=source, color=colour, line_width=2, legend_label=label)
            plot.scatter("step", "value", source=source, color=colour, size=5 if drawn.size < 60 else 2)
    plot.add_tools(HoverTool(visible=False, tooltips=[("step", "@step"), ("value", "@value{0.00e+0}")]))
    if plot.renderers:
        plot.legend.background_fill_alpha = plot.legend.border_line_alpha = 0.0
        plot.legend.label_text_color, plot.legend.orientation = INK, "horizontal"
        plot.add_layout(plot.legend[0], "above")
    return plot
