"""Figures of a scaling study: the four panels of figure 3.3 of arXiv:2404.19756, and what an error costs in seconds."""

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
from pdekan.output.figures import save
from pdekan.output.samples import Array, OutputError
from pdekan.output.study import NORMS, Norm, Run, Slope, Spread, Study

_NAMES: dict[Norm, str] = {"l2": "$L^2$", "h1_seminorm": "$H^1$ seminorm"}
_Line = Literal["-", "--", ":", ""]
_TEXT = 7.5  # points: still seven where a column makes the figure a little narrower
_MARKER = 4.0
_DARK, _FAINT = "#404040", 0.35
# shades from light to dark, and markers: each tells a curve even without the other
_SHADES, _MARKERS = {"kan": "Blues", "mlp": "Oranges"}, {"kan": "os^*Xh", "mlp": "Dvp<P>"}
# how a kind is drawn where no size matters: line and colour
_KINDS: dict[str, tuple[str, _Line, str]] = {"kan": ("KAN", "-", "#1f5a94"), "mlp": ("MLP", "--", "#d1620f")}
_FEW_DECADES = 100.0
_GUIDE = 0.3  # of a panel, at most, for the triangle that shows a slope


@dataclass(frozen=True)
class _Look:
    colour: str
    marker: str
    line: _Line


def scaling(study: Study) -> Figure:
    """Errors against steps of one KAN and one MLP, and against size for all curves, in both norms.

    Against steps: the middle seed of the largest KAN and of the MLP with the lowest median error. Against size: medians with
    quartiles, theory's slope, the limit of tensor splines, published points with open markers. Raises OutputError where no
    run has an error.
    """
    looks = _looks(study)
    figure, (a, b, c, d) = panels.empty_figure((7.1, 6.4), 2, 2)
    shown = [run for run in (_largest_kan(study), _best_mlp(study)) if run is not None]
    for axes, norm, letter in zip((a, b), NORMS, "ab", strict=True):
        for run in shown:
            _draw_training(axes, run, norm)
        _draw_paper_ends(axes, study, norm)
        _finish(axes, f"({letter}) {_NAMES[norm]} error in training", "step", "mean square error")
        if axes.get_legend_handles_labels()[0]:  # a single network too has to be named
            axes.legend(fontsize=_TEXT, frameon=False)
    for axes, norm, letter in zip((c, d), NORMS, "cd", strict=True):
        for curve, look in looks.items():
            _draw_spreads(axes, [row for row in study.spreads if (row.curve, row.norm) == (curve, norm)], look)
        _draw_paper(axes, study, norm, looks)
        _keep_limits(axes)
        _draw_limit(axes, study, norm)
        _draw_theory(axes, study, norm)
        _finish(axes, f"({letter}) {_NAMES[norm]} error and size", "parameters, as the KAN paper counts", "mean square error")
    handles = _curve_handles(looks, study) + _comparison_handles(study)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=_TEXT, frameon=False)
    return figure


def seconds(study: Study) -> Figure:
    """The least error that a curve's trainings had reached within a time, in both norms, and where each of them ended.

    Runs that do not count, of an optimizer that was not the best, end in faint markers. Raises OutputError where no run has an
    error.
    """
    looks = _looks(study)
    figure, both = panels.empty_figure((7.1, 4.0), 2)
    for axes, norm, letter in zip(both, NORMS, "ab", strict=True):
        for curve, look in looks.items():
            runs = [run for run in study.runs if run.curve == curve]
            axes.plot(*_front(runs, norm), look.line, color=look.colour, linewidth=1.2, drawstyle="steps-post")
            for run in (run for run in runs if run.mean_square(norm) > 0.0):
                point, alpha = (run.seconds, run.mean_square(norm)), 1.0 if run.counts else _FAINT
                axes.plot(*point, look.marker, color=look.colour, markersize=0.8 * _MARKER, alpha=alpha, mew=0.4)
        _finish(axes, f"({letter}) {_NAMES[norm]} error", "seconds of training", "mean square error")
    handles = [_handle(look.colour, look.marker, look.line, curve) for curve, look in looks.items()]
    handles += [_handle(_DARK, "", "-", "least error of all sizes so far"), _handle(_DARK, "o", "", "where a training ended")]
    if not all(run.counts for run in study.runs):
        handles.append(_handle("#d0d0d0", "o", "", "another optimizer did better"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=_TEXT, frameon=False)
    return figure


def write_all(directory: str | os.PathLike[str], study: Study, suffix: str = ".png") -> dict[str, Path]:
    """Write the figures of a study into an existing directory; their paths by name, "scaling" and "seconds".

    Raises OutputError and OSError as these and `figures.save` do.
    """
    paths = {name: Path(directory) / f"{name}{suffix}" for name in ("scaling", "seconds")}
    for name, draw in (("scaling", scaling), ("seconds", seconds)):
        save(draw(study), paths[name])
    return paths


def _looks(study: Study) -> dict[str, _Look]:
    if not any(_known(run) for run in study.runs):
        raise OutputError(f"nothing to draw: none of the {len(study.runs)} runs has an error")
    looks: dict[str, _Look] = {}
    for kind, (_, line, _) in _KINDS.items():
        curves = study.curves(kind)
        shades = colormaps[_SHADES[kind]](np.linspace(0.5, 1.0, len(curves)))
        for curve, shade, marker in zip(curves, shades, cycle(_MARKERS[kind]), strict=False):
            looks[curve] = _Look(to_hex(shade), marker, line)
    return looks


def _known(run: Run) -> bool:
    return run.counts and run.l2_mean_square > 0.0  # which NaN is not


def _largest_kan(study: Study) -> Run | None:
    runs = [run for run in study.runs if run.kind == "kan" and _known(run)]
    largest = max((run.parameters_paper for run in runs), default=0)
    return _middle([run for run in runs if run.parameters_paper == largest])


def _best_mlp(study: Study) -> Run | None:
    rows = [r for r in study.spreads if r.norm == "l2" and r.curve in study.curves("mlp") and np.isfinite(r.median)]
    if not rows:
        return None
    best = min(rows, key=lambda row: row.median)
    return _middle([r for r in study.runs if (r.curve, r.parameters_paper) == (best.curve, best.size) and _known(r)])


def _middle(runs: Sequence[Run]) -> Run | None:
    ordered = sorted(runs, key=lambda run: run.l2_mean_square)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _course(run: Run, norm: Norm, across: Literal["step", "seconds"]) -> tuple[Array, Array]:
    """Steps or seconds of a training and the errors then, as far as logarithmic axes can show them."""
    if not {across, "l2_mean_square", "h1_mean_square"} <= run.history.keys():
        return np.empty(0), np.empty(0)
    l2 = run.history["l2_mean_square"]
    errors = l2 if norm == "l2" else run.history["h1_mean_square"] - l2
    drawn = np.isfinite(errors) & (errors > 0.0) & (run.history[across] > 0)
    return run.history[across][drawn], errors[drawn]


def _draw_training(axes: Axes, run: Run, norm: Norm) -> None:
    steps, errors = _course(run, norm, "step")
    if not len(steps):
        return
    name, line, colour = _KINDS[run.kind]
    label = f"{name} [{','.join(map(str, run.widths))}]" + (f", {run.intervals} intervals" if run.intervals else "")
    axes.plot(steps, errors, line, color=colour, linewidth=1.2, label=label)


def _draw_paper_ends(axes: Axes, study: Study, norm: Norm) -> None:
    # the steps are not ours, hence at the edge
    for point in study.paper:
        if point.training:
            _, _, colour = _KINDS["kan" if point.curve.startswith("KAN") else "mlp"]
            marker = "o" if point.curve.startswith("KAN") else "D"
            mark = _handle(colour, marker, "", "_", "none")
            mark.set(data=([1.0], [point.mean_square(norm)]), transform=axes.get_yaxis_transform(), clip_on=False)
            axes.add_line(mark)


def _draw_spreads(axes: Axes, rows: Sequence[Spread], look: _Look) -> None:
    rows = [row for row in rows if np.isfinite(row.median)]
    median = np.array([row.median for row in rows])
    bars = np.array([[row.median - row.lower, row.upper - row.median] for row in rows]).reshape(-1, 2).T
    sizes = [row.size for row in rows]
    axes.errorbar(
        sizes,
        median,
        bars,
        fmt=look.line + look.marker,
        color=look.colour,
        markersize=_MARKER,
        linewidth=1.1,
        elinewidth=0.7,
        capsize=1.8,
        capthick=0.7,
    )


def _draw_paper(axes: Axes, study: Study, norm: Norm, looks: Mapping[str, _Look]) -> None:
    for point in study.paper:
        # the curve's name may go on with an optimizer, the point's with a remark
        shared = (
            look for curve, look in looks.items() if point.curve.startswith(curve) or curve.startswith(f"{point.curve}, ")
        )
        look = next(shared, None)
        if look is not None and not point.training:
            axes.plot(point.parameters, point.mean_square(norm), look.marker, color=look.colour, mfc="none", markersize=_MARKER)


def _belongs(point: str, curve: str) -> bool:
    # a point's name may go on with a remark, a curve's with an optimizer
    return point.startswith(curve) or curve.startswith(f"{point}, ")


def _keep_limits(axes: Axes) -> None:
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
    # a triangle in the lower left corner, which curves that fall leave free
    (left, right), (low, high) = np.log10(axes.get_xlim()), np.log10(axes.get_ylim())
    width = min(_GUIDE * (right - left), _GUIDE * (high - low) / -slope)
    x, y = left + 0.06 * (right - left), low + 0.08 * (high - low)
    corners = 10.0 ** np.array([[x, y], [x, y - slope * width], [x + width, y], [x, y]])
    axes.plot(*corners.T, "-", color=_DARK, linewidth=0.9)
    text = f"{slope:g}".replace("-", "\N{MINUS SIGN}")
    axes.annotate(text, corners[2], (4, 2), textcoords="offset points", fontsize=_TEXT, color=_DARK)


def _front(runs: Sequence[Run], norm: Norm) -> tuple[Array, Array]:
    """Where the least error of some trainings falls: seconds, and the error from then on."""
    ends = [(np.array([run.seconds]), np.array([run.mean_square(norm)])) for run in runs if run.mean_square(norm) > 0.0]
    pieces = [*(_course(run, norm, "seconds") for run in runs), *ends]
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
    axes.tick_params(which="both", labelsize=_TEXT)
    axes.tick_params(which="minor", width=0.4, length=1.5)
    low, high = axes.get_xlim()
    if high < _FEW_DECADES * low:  # matplotlib would label every minor tick, one over the other
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")


def _curve_handles(looks: Mapping[str, _Look], study: Study) -> list[Line2D]:
    slopes = {(row.curve, row.norm): row for row in study.slopes}
    return [
        _handle(look.colour, look.marker, look.line, curve + _exponents([slopes.get((curve, norm)) for norm in NORMS]))
        for curve, look in looks.items()
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
        [], [], color=colour, marker=marker, linestyle=line, label=label, mfc=inside, markersize=_MARKER, linewidth=1.1
    )
