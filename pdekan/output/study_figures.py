"""Figures of a scaling study: the four panels of figure 3.3 of arXiv:2404.19756, and error against seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdekan.output import panels
from pdekan.output.figures import save_all
from pdekan.output.samples import Array, OutputError
from pdekan.output.study import NORMS, Norm, Run, Slope, Spread, Study

_NAMES: dict[Norm, str] = {"l2": "$L^2$", "h1_seminorm": "$H^1$ seminorm"}
_Line = Literal["-", "--", ":", ""]
_MARKER_SIZE = 4.0
_DARK, _FAINT_ALPHA = "#404040", 0.35
# by kind: colour maps from light to dark, and markers; each alone distinguishes the curves
_COLOUR_MAPS = {"kan": "Blues", "grown": "Greens", "mlp": "Oranges"}
_MARKERS = {"kan": "os^*Xh", "grown": "x", "mlp": "Dvp<P>"}
# by kind: name, line and colour of a single network
_KINDS: dict[str, tuple[str, _Line, str]] = {
    "kan": ("KAN", "-", "#1f5a94"), "grown": ("KAN", ":", "#2a7f3f"), "mlp": ("MLP", "--", "#d1620f")
}  # fmt: skip
_MINOR_LABELS_BELOW = 100.0  # ratio of an axis' limits: matplotlib then labels every minor tick, and labels overlap
_TRIANGLE_SIZE = 0.3  # largest share of a panel for the triangle of theory's slope


@dataclass(frozen=True)
class _Style:
    colour: str
    marker: str
    line: _Line


def scaling(study: Study) -> Figure:
    """Least errors so far against steps of one KAN and one MLP, and against size for all curves, in both norms.

    Against steps: the middle seed of the largest KAN and of the MLP with the lowest median error. Against size: medians with
    quartiles, theory's slope, the least errors of tensor splines, published errors with open markers. Raises OutputError where
    no run has an error.
    """
    styles = _styles(study)
    figure, (a, b, c, d) = panels.empty_figure((7.1, 6.4), 2, 2)
    shown = [run for run in (_largest_kan(study), _best_mlp(study)) if run is not None]
    for axes, norm, letter in zip((a, b), NORMS, "ab", strict=True):
        for run in shown:
            _draw_training(axes, run, norm)
        _draw_published_ends(axes, study, norm)
        _finish(axes, f"({letter}) {_NAMES[norm]} error in training", "step", "least mean square error so far")
        if axes.get_legend_handles_labels()[0]:  # of a single network too
            axes.legend(fontsize=panels.SMALL_SIZE, frameon=False)
    for axes, norm, letter in zip((c, d), NORMS, "cd", strict=True):
        for curve, style in styles.items():
            _draw_spreads(axes, [row for row in study.spreads if (row.curve, row.norm) == (curve, norm)], style)
        _draw_published(axes, study, norm, styles)
        _freeze_limits(axes)
        _draw_limit(axes, study, norm)
        _draw_theory(axes, study, norm)
        _finish(axes, f"({letter}) {_NAMES[norm]} error and size", "parameters, as the KAN paper counts", "mean square error")
    handles = _curve_handles(styles, study) + _comparison_handles(study)
    panels.legend_below(figure, handles)
    return figure


def seconds(study: Study) -> Figure:
    """The least error of a curve's trainings up to a time, in both norms, and the end of each training.

    Runs that do not count have faint markers at their ends. Raises OutputError where no run has an error.
    """
    styles = _styles(study)
    figure, both = panels.empty_figure((7.1, 4.0), 2)
    for axes, norm, letter in zip(both, NORMS, "ab", strict=True):
        for curve, style in styles.items():
            runs = [run for run in study.runs if run.curve == curve]
            axes.plot(*_least_errors(runs, norm), style.line, color=style.colour, linewidth=1.2, drawstyle="steps-post")
            for run in (run for run in runs if run.mean_square(norm) > 0.0):
                point, alpha = (run.seconds, run.mean_square(norm)), 1.0 if run.counts else _FAINT_ALPHA
                axes.plot(*point, style.marker, color=style.colour, markersize=0.8 * _MARKER_SIZE, alpha=alpha, mew=0.4)
        _finish(axes, f"({letter}) {_NAMES[norm]} error", "seconds of training", "mean square error")
    handles = [_handle(style.colour, style.marker, style.line, curve) for curve, style in styles.items()]
    handles += [_handle(_DARK, "", "-", "least error of all sizes so far"), _handle(_DARK, "o", "", "where a training ended")]
    if not all(run.counts for run in study.runs):
        handles.append(_handle("#d0d0d0", "o", "", "another optimizer did better"))
    panels.legend_below(figure, handles)
    return figure


def write_all(directory: str | os.PathLike[str], study: Study, suffix: str = ".png") -> dict[str, Path]:
    """Write the figures "scaling" and "seconds" into an existing directory; their paths by name. Raises as these and `save`."""
    return save_all(directory, {"scaling": lambda: scaling(study), "seconds": lambda: seconds(study)}, suffix)


def _styles(study: Study) -> dict[str, _Style]:
    if not any(_has_error(run) for run in study.runs):
        raise OutputError(f"nothing to draw: none of the {len(study.runs)} runs has an error")
    styles: dict[str, _Style] = {}
    for kind, (_, line, _) in _KINDS.items():
        curves = study.curves(kind)
        shades = colormaps[_COLOUR_MAPS[kind]](np.linspace(0.5, 1.0, len(curves)))
        for curve, shade, marker in zip(curves, shades, cycle(_MARKERS[kind]), strict=False):
            styles[curve] = _Style(to_hex(shade), marker, line)
    return styles


def _has_error(run: Run) -> bool:
    return run.counts and run.l2_mean_square > 0.0  # False for NaN


def _largest_kan(study: Study) -> Run | None:
    runs = [run for run in study.runs if run.kind == "kan" and _has_error(run)]
    largest = max((run.parameters_paper for run in runs), default=0)
    return _middle_run([run for run in runs if run.parameters_paper == largest])


def _best_mlp(study: Study) -> Run | None:
    rows = [r for r in study.spreads if r.norm == "l2" and r.curve in study.curves("mlp") and np.isfinite(r.median)]
    if not rows:
        return None
    best = min(rows, key=lambda row: row.median)
    return _middle_run([r for r in study.runs if (r.curve, r.parameters_paper) == (best.curve, best.size) and _has_error(r)])


def _middle_run(runs: Sequence[Run]) -> Run | None:
    ordered = sorted(runs, key=lambda run: run.l2_mean_square)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _errors_by(run: Run, norm: Norm, across: Literal["step", "seconds"]) -> tuple[Array, Array]:
    """Steps or seconds of a training and its errors there, without those that logarithmic axes cannot show."""
    if not {across, "l2_mean_square", "h1_mean_square"} <= run.history.keys():
        return np.empty(0), np.empty(0)
    l2 = run.history["l2_mean_square"]
    errors = l2 if norm == "l2" else run.history["h1_mean_square"] - l2
    drawn = np.isfinite(errors) & (errors > 0.0) & (run.history[across] > 0)
    return run.history[across][drawn], errors[drawn]


def _draw_training(axes: Axes, run: Run, norm: Norm) -> None:
    steps, errors = _errors_by(run, norm, "step")
    if not len(steps):
        return
    name, line, colour = _KINDS[run.kind]
    label = f"{name} [{','.join(map(str, run.widths))}]" + (f", {run.intervals} intervals" if run.intervals else "")
    axes.plot(steps, np.minimum.accumulate(errors), line, color=colour, linewidth=1.2, label=label)


def _draw_published_ends(axes: Axes, study: Study, norm: Norm) -> None:
    # at the edge of the panel: published steps are not comparable
    for point in study.paper:
        if point.training:
            _, _, colour = _KINDS["kan" if point.curve.startswith("KAN") else "mlp"]
            marker = "o" if point.curve.startswith("KAN") else "D"
            mark = _handle(colour, marker, "", "_", "none")
            mark.set(data=([1.0], [point.mean_square(norm)]), transform=axes.get_yaxis_transform(), clip_on=False)
            axes.add_line(mark)


def _draw_spreads(axes: Axes, rows: Sequence[Spread], style: _Style) -> None:
    rows = [row for row in rows if np.isfinite(row.median)]
    median = np.array([row.median for row in rows])
    bars = np.array([[row.median - row.lower, row.upper - row.median] for row in rows]).reshape(-1, 2).T
    sizes = [row.size for row in rows]
    axes.errorbar(
        sizes,
        median,
        bars,
        fmt=style.line + style.marker,
        color=style.colour,
        markersize=_MARKER_SIZE,
        linewidth=1.1,
        elinewidth=0.7,
        capsize=1.8,
        capthick=0.7,
    )


def _draw_published(axes: Axes, study: Study, norm: Norm, styles: Mapping[str, _Style]) -> None:
    for point in (point for point in study.paper if not point.training):
        # the curve's name may end in an optimizer, the point's in a remark
        own = (curve for curve in styles if point.curve.startswith(curve) or curve.startswith(f"{point.curve}, "))
        if (curve := next(own, None)) is not None:
            marker, colour, error = styles[curve].marker, styles[curve].colour, point.mean_square(norm)
            axes.plot(point.parameters, error, marker, color=colour, mfc="none", markersize=_MARKER_SIZE)


def _freeze_limits(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log")
    axes.autoscale_view()
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())


def _draw_limit(axes: Axes, study: Study, norm: Norm) -> None:
    points = sorted((point.unknowns, point.mean_square(norm)) for point in study.limit)
    if points:
        axes.plot(*zip(*points, strict=True), ":", color=_DARK, linewidth=1.4)


def _draw_theory(axes: Axes, study: Study, norm: Norm) -> None:
    slope = next((row.theory for row in study.slopes if row.norm == norm and np.isfinite(row.theory)), None)
    if slope is None:
        return
    # a triangle in the lower left corner, where there are no falling curves
    (left, right), (low, high) = np.log10(axes.get_xlim()), np.log10(axes.get_ylim())
    width = min(_TRIANGLE_SIZE * (right - left), _TRIANGLE_SIZE * (high - low) / -slope)
    x, y = left + 0.06 * (right - left), low + 0.08 * (high - low)
    corners = 10.0 ** np.array([[x, y], [x, y - slope * width], [x + width, y], [x, y]])
    axes.plot(*corners.T, "-", color=_DARK, linewidth=0.9)
    text = f"{slope:g}".replace("-", "\N{MINUS SIGN}")
    axes.annotate(text, corners[2], (4, 2), textcoords="offset points", fontsize=panels.SMALL_SIZE, color=_DARK)


def _least_errors(runs: Sequence[Run], norm: Norm) -> tuple[Array, Array]:
    """Seconds at which the least error of some trainings falls, and that error."""
    ends = [(np.array([run.seconds]), np.array([run.mean_square(norm)])) for run in runs if run.mean_square(norm) > 0.0]
    pieces = [*(_errors_by(run, norm, "seconds") for run in runs), *ends]
    times, errors = (np.concatenate(column) for column in zip(*pieces, strict=True)) if pieces else (np.empty(0), np.empty(0))
    order = np.lexsort((errors, times))
    times, least = times[order], np.minimum.accumulate(errors[order])
    kept = np.diff(least, prepend=np.inf) < 0.0
    kept[-1:] = True
    return times[kept], least[kept]


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xscale="log", yscale="log")
    panels.style_curves(axes)
    axes.set_title(title, fontsize=panels.LABEL_SIZE)
    axes.set_xlabel(across, fontsize=panels.TICK_SIZE)
    axes.set_ylabel(up, fontsize=panels.TICK_SIZE)
    axes.tick_params(which="both", labelsize=panels.SMALL_SIZE)
    axes.tick_params(which="minor", width=0.4, length=1.5)
    low, high = axes.get_xlim()
    if high < _MINOR_LABELS_BELOW * low:
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")


def _curve_handles(styles: Mapping[str, _Style], study: Study) -> list[Line2D]:
    slopes = {(row.curve, row.norm): row for row in study.slopes}
    return [
        _handle(style.colour, style.marker, style.line, curve + _exponents([slopes.get((curve, norm)) for norm in NORMS]))
        for curve, style in styles.items()
    ]


def _exponents(slopes: Sequence[Slope | None]) -> str:
    if all(row is None or np.isnan(row.slope) for row in slopes):
        return ", no slope"
    texts = [f"{row.slope:.1f}" if row is not None and np.isfinite(row.slope) else "none" for row in slopes]
    return (", slopes " + ", ".join(texts)).replace("-", "\N{MINUS SIGN}")


def _comparison_handles(study: Study) -> list[Line2D]:
    handles = []
    theory = {row.norm: row.theory for row in study.slopes if np.isfinite(row.theory)}
    if theory:
        exponents = ", ".join(f"{value:g}" for value in theory.values()).replace("-", "\N{MINUS SIGN}")
        handles.append(_handle(_DARK, "", "-", f"triangles: spline theory, {exponents}"))
    if study.limit:
        handles.append(_handle(_DARK, "", ":", f"best tensor splines, degree {study.limit[0].degree}"))
    if study.paper:
        handles.append(_handle(_DARK, "o", "", "KAN paper, open markers", "none"))
    return handles


def _handle(colour: str, marker: str, line: _Line, label: str, inside: str | None = None) -> Line2D:
    return Line2D(
        [], [], color=colour, marker=marker, linestyle=line, label=label, mfc=inside, markersize=_MARKER_SIZE, linewidth=1.1
    )
