"""Figures of a run: the solution, the exact solution, the error, and how training went.

Each is a function from plain data to a matplotlib Figure, made without pyplot and without touching global settings;
`save` writes it as PNG or SVG.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pdekan.output import panels
from pdekan.output.atomic import replacing
from pdekan.output.labels import number, symbol
from pdekan.output.panels import Curve, curves_figure, field_figure, logarithmic_colours
from pdekan.output.samples import Array, OutputError, Samples

History = Mapping[str, NDArray[Any]]

# an error passes through zero along curves; so many decades below its largest value are drawn
_DECADES = 4
# more points than this on a curve are not marked one by one
_MARKED_POINTS = 60


def solution(samples: Samples) -> Figure:
    """The unknown; in one dimension with the exact solution, where known, as a dashed curve over it."""
    name = symbol(samples.unknown)
    if len(samples.axes) > 1:
        return field_figure(samples, samples.solution, f"Solution {name}")
    curves = [Curve(samples.solution, name)]
    exact_values = samples.of("exact")
    if exact_values is not None:
        curves.append(Curve(exact_values, "exact", panels.ORANGE, "--"))
    return curves_figure(samples, curves, f"Solution {name}")


def exact(samples: Samples) -> Figure:
    """The exact solution; raises OutputError where it is not among the samples."""
    values = samples.of("exact")
    if values is None:
        raise OutputError(f"the exact solution of {samples.unknown!r} is not among the samples")
    name = symbol(samples.unknown)
    if len(samples.axes) > 1:
        return field_figure(samples, values, f"Exact solution {name}")
    return curves_figure(samples, [Curve(values, name, panels.ORANGE)], f"Exact solution {name}")


def error(samples: Samples) -> Figure:
    """|u - exact| on a logarithmic scale, not below round-off; raises OutputError where the error is not known."""
    sizes = np.abs(_signed_error(samples))
    # no difference of two doubles of the solution's size means anything below this
    round_off = float(np.finfo(np.float64).eps) * (_largest(samples.solution) or 1.0)
    low = max(round_off, _largest(sizes) * 10.0**-_DECADES, _smallest(sizes))
    low = 10.0 ** np.floor(np.log10(low))  # a power of ten, so that the scale has one to name
    high = max(_largest(sizes), 10.0 * low)
    values = np.where(np.isfinite(sizes), np.maximum(sizes, low), np.nan)
    label = f"|{symbol(samples.unknown)} \N{MINUS SIGN} exact|"
    title = f"Error {label}, at most {number(_largest(sizes), 2)}"
    if len(samples.axes) > 1:
        return field_figure(samples, values, title, logarithmic_colours(low, high))
    figure = curves_figure(samples, [Curve(values, label)], title)
    figure.axes[0].set_yscale("log")
    figure.axes[0].set_ylim(low, 2.0 * high)
    return figure


def history(columns: History) -> Figure:
    """Loss and, where measured, errors against the step, with a thin line where a stage begins.

    columns: one row a step: "step" and "loss", and where known "stage", "l2_mean_square" and "h1_mean_square" (NaN at
    steps without a measurement) and "seconds". Raises OutputError where "step" or "loss" is missing.
    """
    for name in ("step", "loss"):
        if name not in columns:
            raise OutputError(f"history has no column {name!r}; it has {', '.join(columns) or 'none'}")
    figure, (axes,) = panels.empty_figure()
    step = np.asarray(columns["step"], dtype=np.float64)
    axes.set_yscale("log")
    for name, label, colour, marker in (
        ("loss", "loss", panels.BLUE, ""),
        ("h1_mean_square", "$H^1$ error, mean square", panels.GREEN, "s"),
        ("l2_mean_square", "$L^2$ error, mean square", panels.ORANGE, "o"),
    ):
        values = np.asarray(columns.get(name, ()), dtype=np.float64)
        drawn = np.flatnonzero(np.isfinite(values) & (values > 0.0))  # a logarithmic axis has no zero
        if drawn.size == 1:
            marker = marker or "o"  # a line of one point is not seen
        if drawn.size:
            mark = marker if drawn.size <= _MARKED_POINTS else ""
            axes.plot(step[drawn], values[drawn], label=label, color=colour, marker=mark, markersize=3, linewidth=1.2)
    for start in _stage_starts(columns, step):
        axes.axvline(start, color=panels.GREY, linewidth=0.6, zorder=0.5)
    if step.size > 1:
        axes.set_xlim(step.min(), step.max())
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("step", fontsize=panels.LABEL_SIZE)
    axes.set_title(_history_title(columns), fontsize=panels.TITLE_SIZE)
    panels.style_curves(axes)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by the ending of `path`, whole or not at all; raises OutputError for another."""
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise OutputError(f"{os.fspath(path)}: a figure is written as .png or .svg")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind[1:], dpi=panels.DOTS_PER_INCH)


def write_all(
    directory: str | os.PathLike[str], samples: Samples, columns: History, has_exact: bool, suffix: str = ".png"
) -> dict[str, Path]:
    """Write the figures of a run into an existing directory; their paths by name.

    "solution" and "history", with `has_exact` also "exact" and "error". Raises OutputError and OSError as these do.
    """
    figures: dict[str, Callable[[], Figure]] = {"solution": lambda: solution(samples)}
    if has_exact:
        figures |= {"exact": lambda: exact(samples), "error": lambda: error(samples)}
    figures["history"] = lambda: history(columns)
    paths = {name: Path(directory) / f"{name}{suffix}" for name in figures}
    for name, draw in figures.items():
        save(draw(), paths[name])
    return paths


def _signed_error(samples: Samples) -> Array:
    values, exact_values = samples.of("error"), samples.of("exact")
    if values is not None:
        return values
    if exact_values is None:
        raise OutputError(f"neither the error nor the exact solution of {samples.unknown!r} is among the samples")
    return samples.solution - exact_values


def _largest(values: Array) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _smallest(values: Array) -> float:
    return float(values[np.isfinite(values)].min(initial=_largest(values)))


def _stage_starts(columns: History, step: Array) -> Array:
    if "stage" not in columns:
        return np.empty(0)
    stage = np.asarray(columns["stage"])
    return step[np.flatnonzero(stage[1:] != stage[:-1]) + 1]


def _history_title(columns: History) -> str:
    seconds = np.asarray(columns.get("seconds", ()), dtype=np.float64)
    return f"Training, {number(float(seconds[-1]), 2)} s" if seconds.size and np.isfinite(seconds[-1]) else "Training"
