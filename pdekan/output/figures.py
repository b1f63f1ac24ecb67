"""Figures of a run: the solution, the exact solution, the error, and the training history.

Each is a function from plain data to a matplotlib Figure, without pyplot and without global settings.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pdekan.output import panels
from pdekan.output.atomic import write_bytes
from pdekan.output.labels import cut_text, number, symbol, with_unit
from pdekan.output.panels import TICK_SIZE, Curve, Marks, curves_figure, field_figure, logarithmic_colours
from pdekan.output.planes import planes
from pdekan.output.samples import TIME, Array, OutputError, Samples, evenly
from pdekan.output.vector_figures import vector

SUFFIXES = (".png", ".svg", ".pdf")
History = Mapping[str, NDArray[Any]]

_ERROR_DECADES = 4  # drawn below the largest error: an error vanishes along curves
_MAX_MARKERS = 60  # on a curve with more points they are not marked
_PARAMETER = "parameter_"  # prefix of the history's columns of parameters

_MAX_CURVES = 5
_LIGHTEST = 0.85  # of viridis: its yellow end is illegible on white


def solution(samples: Samples, unknown: str | None = None, marks: Array | None = None) -> Figure:
    """An unknown, by default the first; in one dimension with the exact solution, where known, as a dashed curve over it.

    marks: points (n, d) drawn as dots, such as those of measurements; on a plane of a slice, those in it. Raises OutputError
    for marks with another number of columns.
    """
    unknown = unknown or samples.unknowns[0]
    if unknown not in samples.fields:
        raise OutputError(f"{unknown!r} is no unknown; the unknowns are {', '.join(samples.unknowns)}")
    name, values, columns = symbol(unknown), samples.fields[unknown], _columns(samples, marks)
    label = with_unit(name, samples.unit(unknown))
    if not _is_curve(samples):
        colours = panels.cyclic_colours() if unknown in samples.polar[1::2] else None
        return field_figure(samples, values, values, f"Solution {name}", label, colours, columns)
    curves = [Curve(values, name)]
    exact_values = samples.of("exact", unknown)
    if exact_values is not None:
        curves.append(Curve(exact_values, samples.labels.exact, panels.ORANGE, "--"))
    return curves_figure(samples, curves, f"Solution {name}", columns, label)


def at_times(samples: Samples, unknown: str | None = None) -> Figure:
    """An unknown, by default the first, at the times of the samples, in one dimension of space as at most five curves."""
    one = unknown or samples.unknowns[0]
    is_curve = len(samples.layout.space) == 1 and samples.times.size > 0 and one in samples.fields
    return profiles(samples, one) if is_curve else solution(samples, one)


def exact(samples: Samples, unknown: str | None = None) -> Figure:
    """The exact or reference solution for an unknown, by default the first; raises OutputError where there is none."""
    unknown = unknown or samples.unknowns[0]
    values = samples.of("exact", unknown)
    if values is None:
        raise OutputError(f"the exact solution of {unknown!r} is not among the samples")
    name = symbol(unknown)
    title, label = f"{samples.labels.exact.capitalize()} solution {name}", with_unit(name, samples.unit(unknown))
    if not _is_curve(samples):
        return field_figure(samples, samples.fields[unknown], values, title, label)
    return curves_figure(samples, [Curve(values, name, panels.ORANGE)], title, label=label)


def error(samples: Samples, unknown: str | None = None) -> Figure:
    """|u - exact| of an unknown, by default the first, on a logarithmic scale and not below round-off.

    Raises OutputError where the error is not known.
    """
    unknown = unknown or samples.unknowns[0]
    sizes = np.abs(_signed_error(samples, unknown))
    name = f"|{symbol(unknown)} \N{MINUS SIGN} {samples.labels.exact}|"
    return _sizes(samples, samples.fields[unknown], sizes, f"Error {name}", with_unit(name, samples.unit(unknown)))


def residual(samples: Samples) -> Figure:
    """The residual's size, of several equations the root of the sum of their squares, on a logarithmic scale.

    Raises OutputError where it is not among the samples.
    """
    if not samples.residuals:
        raise OutputError("no residual is among the samples")
    sizes = np.sqrt(sum(samples.fields[name] ** 2 for name in samples.residuals))
    several = f" of {len(samples.residuals)} equations" if len(samples.residuals) > 1 else ""
    return _sizes(samples, samples.fields[samples.unknowns[0]], sizes, f"Residual{several}", "|residual|")


def _sizes(samples: Samples, by: Array, sizes: Array, name: str, label: str) -> Figure:
    """Values that are not negative, on a logarithmic scale; by: the field that sets what round-off is, and the planes."""
    drawn = [] if _is_curve(samples) else planes(samples, sizes, by)
    shown = np.concatenate([one.values.ravel() for one in drawn]) if drawn else sizes
    where = " anywhere" if _largest(sizes) > 2.0 * _largest(shown) else ""  # of a body, outside of the planes that are drawn
    title = f"{name}, at most {number(_largest(sizes), 2)}{where}"
    round_off = float(np.finfo(np.float64).eps) * (_largest(by) or 1.0)
    middle = float(np.median(shown[np.isfinite(shown)])) if np.isfinite(shown).any() else 0.0
    least = min(_largest(shown) * 10.0**-_ERROR_DECADES, 0.1 * middle)  # a few large values do not make the rest one colour
    low = max(round_off, least, (float(shown[np.isfinite(shown)].min(initial=_largest(shown)))))
    low = 10.0 ** np.floor(np.log10(low))  # a power of ten, so that the colour bar has a labelled tick
    high = max(_largest(shown), 10.0 * low)
    if drawn:
        floored = [replace(one, values=_at_least(one.values, low)) for one in drawn]
        return panels.planes_figure(samples, floored, title, label, logarithmic_colours(low, high))
    figure = curves_figure(samples, [Curve(_at_least(sizes, low), label)], title)
    figure.axes[0].set_yscale("log")
    figure.axes[0].set_ylim(low, 2.0 * high)
    return figure


def _at_least(values: Array, low: float) -> Array:
    return np.where(np.isfinite(values), np.maximum(values, low), np.nan)


def members(parts: Sequence[tuple[Mapping[str, float], Samples]], unknown: str | None = None) -> Figure:
    """A few members of a family side by side, or in one dimension as curves. parts: parameters by name, and samples."""
    first = parts[0][1]
    unknown = unknown or first.unknowns[0]
    title = f"Members of the family {symbol(unknown)}"
    if _is_curve(first):
        colours = cycle((panels.BLUE, panels.ORANGE, panels.GREEN, panels.GREY))
        curves = [
            Curve(one.fields[unknown], cut_text(at, first.labels.units), colour)
            for (at, one), colour in zip(parts, colours, strict=False)
        ]
        return curves_figure(first, curves, title)
    drawn = []
    for at, one in parts:
        all_planes = planes(one, one.fields[unknown], one.fields[unknown])
        plane = all_planes[-1 if TIME in all_planes[0].fixed else 0]  # the last time, or the first normal
        drawn.append(replace(plane, fixed={**at, **plane.fixed}))
    values = np.concatenate([plane.values.ravel() for plane in drawn])
    return panels.planes_figure(
        first, drawn, title, with_unit(symbol(unknown), first.unit(unknown)), panels.linear_colours(values)
    )


def series(columns: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Quantities against time, a panel each. columns: times and values by name."""
    figure, rows = panels.empty_figure((5.0, 0.8 + 1.6 * len(columns)), rows=len(columns))
    for axes, (name, (times, values)) in zip(rows, columns.items(), strict=True):
        axes.plot(times, values, color=panels.BLUE, linewidth=1.4)
        axes.set_ylabel(symbol(name), fontsize=panels.LABEL_SIZE)
        axes.set_xlim(times[0], times[-1])
        panels.style_curves(axes)
    rows[-1].set_xlabel(symbol(TIME), fontsize=panels.LABEL_SIZE)
    return figure


def history(columns: History) -> Figure:
    """Loss and, where measured, errors against the step, with a thin line where a stage begins.

    columns: one row a step: "step" and "loss", and where known "stage", "l2_mean_square" and "h1_mean_square" (NaN at
    steps without a measurement) and "seconds". Sought parameters, "parameter_NAME", are drawn in a second panel. Raises
    OutputError where "step" or "loss" is missing.
    """
    for name in ("step", "loss"):
        if name not in columns:
            raise OutputError(f"history has no column {name!r}; it has {', '.join(columns) or 'none'}")
    parameters = {name.removeprefix(_PARAMETER): columns[name] for name in columns if name.startswith(_PARAMETER)}
    figure, (losses, *below) = panels.empty_figure((5.0, 5.6 if parameters else 4.0), rows=2 if parameters else 1)
    step = np.asarray(columns["step"], dtype=np.float64)
    _draw_losses(losses, step, columns)
    for axes in below:
        _draw_parameters(axes, step, parameters)
    for axes in (losses, *below):
        for start in _stage_starts(columns, step):
            axes.axvline(start, color=panels.GREY, linewidth=0.6, zorder=0.5)
        if step.size > 1:
            axes.set_xlim(step.min(), step.max())
        elif not step.size:
            axes.text(0.5, 0.5, "no step of training", transform=axes.transAxes, ha="center", fontsize=panels.LABEL_SIZE)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panels.style_curves(axes)
    figure.axes[-1].set_xlabel("step", fontsize=panels.LABEL_SIZE)
    labels = losses.get_legend_handles_labels()[1]
    if len(labels) == 1:  # which has no legend
        losses.set_ylabel(labels[0], fontsize=panels.LABEL_SIZE)
    losses.set_title(_history_title(columns), fontsize=panels.TITLE_SIZE)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of `path`, atomically; raises OutputError for another suffix."""
    kind = Path(path).suffix.lower()
    if kind not in SUFFIXES:
        raise OutputError(f"{os.fspath(path)}: a figure is written as {', '.join(SUFFIXES)}")
    image = io.BytesIO()
    figure.savefig(image, format=kind[1:], dpi=panels.DOTS_PER_INCH)
    write_bytes(path, image.getvalue())


def save_all(
    directory: str | os.PathLike[str],
    figures: Mapping[str, Callable[[], Figure]],
    suffix: str,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Path]:
    """Draw and write figures, given by name, into an existing directory; their paths by name. Raises as `save` does.

    interrupted: called before every figure; once it is true no further one is drawn.
    """
    paths: dict[str, Path] = {}
    for name, draw in figures.items():
        if interrupted():
            break
        paths[name] = Path(directory) / f"{name}{suffix}"
        save(draw(), paths[name])
    return paths


def write_all(
    directory: str | os.PathLike[str],
    samples: Samples,
    columns: History,
    suffix: str = ".png",
    marks: Array | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Path]:
    """Write the figures of a run into an existing directory, until interrupted; their paths by name.

    "solution" and, with an exact solution, "exact" and "error"; "solution_u", … where there are several unknowns, and for
    modulus and phase; "profiles"
    of one dimension in time; vectors by their names; "residual" and "history". Raises OutputError and OSError.
    """
    figures: dict[str, Callable[[], Figure]] = {}
    if samples.times.size == 1:
        samples = samples.at(0)
    for unknown in samples.unknowns:
        ending = f"_{unknown}" if len(samples.unknowns) > 1 else ""
        figures[f"solution{ending}"] = partial(solution, samples, unknown, marks)
        if samples.of("exact", unknown) is not None:
            figures |= {f"{draw.__name__}{ending}": partial(draw, samples, unknown) for draw in (exact, error)}
        if samples.times.size and len(samples.layout.space) == 1:
            figures[f"profiles{ending}"] = partial(profiles, samples, unknown)
    figures |= {f"solution_{name}": partial(solution, samples, name) for name in samples.polar}
    figures |= {name: partial(vector, samples, name) for name in samples.labels.vectors}
    if samples.residuals:
        figures["residual"] = partial(residual, samples)
    figures["history"] = partial(history, columns)
    return save_all(directory, figures, suffix, interrupted)


def _is_curve(samples: Samples) -> bool:
    return len(samples.axes) == 1


def _columns(samples: Samples, marks: Array | None) -> Marks:
    """The marks' coordinates by name."""
    if marks is None:
        return panels.NO_MARKS
    coordinates = samples.layout.coordinates
    if marks.ndim != 2 or marks.shape[1] != len(coordinates):
        wanted = f"(n, {len(coordinates)}), columns {', '.join(coordinates)}"
        raise OutputError(f"marks have shape {marks.shape}; needed is {wanted}")
    return dict(zip(coordinates, marks.T, strict=True))


def _signed_error(samples: Samples, unknown: str) -> Array:
    values, exact_values = samples.of("error", unknown), samples.of("exact", unknown)
    if values is not None:
        return values
    if exact_values is None:
        raise OutputError(f"neither the error nor the exact solution of {unknown!r} is among the samples")
    return samples.fields[unknown] - exact_values


def _draw_losses(axes: Axes, step: Array, columns: History) -> None:
    axes.set_yscale("log")
    for name, label, colour, marker in (
        ("loss", "loss", panels.BLUE, ""),
        ("h1_mean_square", "$H^1$ error, mean square", panels.GREEN, "s"),
        ("l2_mean_square", "$L^2$ error, mean square", panels.ORANGE, "o"),
    ):
        values = np.asarray(columns.get(name, ()), dtype=np.float64)
        drawn = np.flatnonzero(np.isfinite(values) & (values > 0.0))  # a logarithmic axis has no zero
        _draw_line(axes, step[drawn], values[drawn], label, colour, marker)


def _draw_parameters(axes: Axes, step: Array, parameters: Mapping[str, NDArray[Any]]) -> None:
    for (name, column), colour in zip(parameters.items(), cycle((panels.BLUE, panels.ORANGE, panels.GREEN, panels.GREY))):
        values = np.asarray(column, dtype=np.float64)
        drawn = np.flatnonzero(np.isfinite(values))
        last = f" = {number(float(values[drawn[-1]]), 4)}" if drawn.size else ""
        _draw_line(axes, step[drawn], values[drawn], f"{symbol(name)}{last}", colour, "")
    if axes.lines:  # of a single line too, since it has the value
        axes.legend(fontsize=panels.TICK_SIZE, frameon=False)


def _draw_line(axes: Axes, step: Array, values: Array, label: str, colour: str, marker: str) -> None:
    if step.size == 1:
        marker = marker or "o"  # a line of one point is invisible
    if step.size:
        mark = marker if step.size <= _MAX_MARKERS else ""
        axes.plot(step, values, label=label, color=colour, marker=mark, markersize=3, linewidth=1.2)


def _largest(values: Array) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _stage_starts(columns: History, step: Array) -> Array:
    if "stage" not in columns:
        return np.empty(0)
    stage = np.asarray(columns["stage"])
    return step[np.flatnonzero(stage[1:] != stage[:-1]) + 1]


def _history_title(columns: History) -> str:
    seconds = np.asarray(columns.get("seconds", ()), dtype=np.float64)
    return f"Training, {number(float(seconds[-1]), 2)} s" if seconds.size and np.isfinite(seconds[-1]) else "Training"


def profiles(samples: Samples, unknown: str) -> Figure:
    """An unknown over space at up to five of the times, evenly chosen, with the exact solution, where known, dashed."""
    steps = evenly(samples.times.size, _MAX_CURVES)
    values, exact = samples.fields[unknown], samples.of("exact", unknown)
    shades = [to_hex(colormaps["viridis"](float(shade))) for shade in np.linspace(0.0, _LIGHTEST, len(steps))]
    curves, handles = [], []
    for step, colour in zip(steps, shades, strict=True):
        label = cut_text({TIME: float(samples.times[step])}, samples.labels.units)
        curves.append(Curve(samples.step(values, step), label, colour))
        handles.append(Line2D([], [], color=colour, label=label, linewidth=1.4))
    if exact is not None:
        curves += [(Curve(samples.step(exact, step), samples.labels.exact, "black", "--", 0.8)) for step in steps]
        handles.append(Line2D([], [], color="black", linestyle="--", label=samples.labels.exact, linewidth=0.8))
    figure = curves_figure(
        samples, curves, f"Solution {symbol(unknown)}", label=with_unit(symbol(unknown), samples.unit(unknown))
    )
    figure.axes[0].legend(handles=handles, fontsize=TICK_SIZE, frameon=False)
    return figure
