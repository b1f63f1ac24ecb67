"""Figures of a study: what is drawn is what is in the study, and it can be read, in grey and at a column's width too."""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import scaling_runs
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from pdekan.output import study_figures
from pdekan.output.samples import OutputError
from pdekan.output.study import NORMS, LimitPoint, PaperPoint, Run, Slope, Spread, Study

SEEDS = (0, 1, 2)


def history(error: float, steps: int) -> dict[str, np.ndarray]:
    step = np.arange(steps + 1.0)
    l2 = error * 10.0 ** (4 * (1 - step / steps))
    l2[steps // 2] = np.nan  # not measured
    return {"step": step, "seconds": 0.1 * step, "loss": l2, "l2_mean_square": l2, "h1_mean_square": 101.0 * l2}


def a_run(curve: str, widths: tuple[int, ...], intervals: int, size: int, seed: int, error: float, **changes: Any) -> Run:
    fields = {
        "key": f"{curve}-{size}-{seed}-{changes.get('optimizer')}",
        "curve": curve,
        "kind": "kan" if intervals else "mlp",
        "widths": widths,
        "degree": 3 if intervals else 0,
        "intervals": intervals,
        "seed": seed,
        "parameters_paper": size,
        "seconds": 0.02 * size * (1 + seed),
        "history": history(error, 40) if math.isfinite(error) else {},
    }
    return scaling_runs.a_run(error, **(fields | changes))


def kan_runs(widths: Sequence[int] = (5, 7, 10)) -> list[Run]:
    return [
        a_run(f"KAN [2,{w},1]", (2, w, 1), g, 3 * w * g, seed, 3.0 ** (seed - 1) * (w * g / 20.0) ** -4.0 * 1e-4)
        for w in widths
        for g in (5, 10, 15, 20, 30)
        for seed in SEEDS
    ]


def mlp_runs() -> list[Run]:
    return [
        a_run(f"MLP depth {d}", (2, *[w] * (d - 1), 1), 0, 3 * w + (d - 2) * w * w, seed, 2.0**seed * w**-1.5 * 10.0**-d)
        for d in (2, 3, 4)
        for w in (5, 20, 100)
        for seed in SEEDS
    ]


def spreads_of(runs: Sequence[Run]) -> tuple[Spread, ...]:
    """By hand for three seeds: the middle one, and quartiles half way to it in the logarithm."""
    rows = []
    for curve, size in dict.fromkeys((run.curve, run.parameters_paper) for run in runs if run.counts):
        for norm in NORMS:
            errors = sorted(r.mean_square(norm) for r in runs if (r.curve, r.parameters_paper) == (curve, size) and r.counts)
            low, middle, high = errors if len(errors) == 3 else errors * 3
            rows.append(Spread(curve, norm, size, 3, 0, middle, math.sqrt(low * middle), math.sqrt(middle * high)))
    return tuple(rows)


def a_study(runs: Sequence[Run], **changes: Any) -> Study:
    curves = dict.fromkeys((run.curve, run.kind) for run in runs)
    slopes = tuple(
        Slope(c, n, -4.0, -4.5, -3.5, (-8.0 if n == "l2" else -6.0) if k == "kan" else math.nan, (75, 150, 225), 9, "all sizes")
        for c, k in curves
        for n in NORMS
    )
    plain = Study(
        name="poisson",
        title="Poisson",
        problem_text="",
        command="",
        environment={},
        runs=tuple(runs),
        spreads=spreads_of(runs),
        slopes=slopes,
        limit=tuple(LimitPoint(3, g, (g + 1) ** 2, (g + 1.0) ** -8, 10 * (g + 1.0) ** -6) for g in (2, 8, 30, 1000)),
        paper=(
            PaperPoint("KAN [2,5,1]", False, 30.0, 7e-4, 4.8e-2),
            PaperPoint("KAN [2,5,1]", False, 60.0, 2.6e-5, math.nan),
            PaperPoint("KAN [2,13,1]", False, 40.0, 1e-1, 1e-1),  # no curve of the study
            PaperPoint("MLP depth 4, best", False, 5150.0, 2e-6, 4.1e-4),
            PaperPoint("KAN [2,5,1]", True, math.nan, 9e-8, 2.8e-5),
            PaperPoint("MLP [2,100,100,100,1]", True, 20300.0, 5.5e-6, 1.15e-3),
        ),
    )
    return replace(plain, **changes)


RUNS = kan_runs() + mlp_runs()
STUDY = a_study(RUNS)


@functools.cache
def scaling_of_the_study() -> Figure:
    """Drawn once for all tests that only look at it."""
    return study_figures.scaling(STUDY)


failed = a_run("KAN [2,5,1]", (2, 5, 1), 40, 600, 0, math.nan, status="failed")
single = [a_run("KAN [2,5,1]", (2, 5, 1), 5, 75, 0, 1e-5)]


def numbers(values: Any) -> list[float]:
    return [float(v) for v in np.ravel(np.asarray(values, dtype=float))]


def lines_with(axes: Axes, **properties: Any) -> list[Line2D]:
    return [line for line in axes.lines if all(getattr(line, f"get_{name}")() == value for name, value in properties.items())]


def texts_of(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(("panel", "norm"), [(2, "l2"), (3, "h1_seminorm")])
def test_medians_and_quartiles_are_those_of_the_study(panel: int, norm: Any) -> None:
    axes = scaling_of_the_study().axes[panel]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    for container, curve in zip(axes.containers, (*STUDY.curves("kan"), *STUDY.curves("mlp")), strict=True):
        rows = [row for row in STUDY.spreads if (row.curve, row.norm) == (curve, norm)]
        line, _, (bars,) = container  # type: ignore[misc]
        assert numbers(line.get_xdata()) == [row.size for row in rows]
        assert numbers(line.get_ydata()) == [row.median for row in rows]
        ends = [(segment[0][1], segment[1][1]) for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, [(row.lower, row.upper) for row in rows])


@pytest.mark.parametrize(("panel", "norm"), [(2, "l2"), (3, "h1_seminorm")])
def test_published_points_are_open_markers_of_their_curve(panel: int, norm: Any) -> None:
    axes = scaling_of_the_study().axes[panel]
    drawn = {(x, y): line for line in lines_with(axes, markerfacecolor="none") for x, y in line.get_xydata()}
    wanted = [p for p in STUDY.paper if not p.training and p.curve != "KAN [2,13,1]"]
    found = sorted(drawn)
    np.testing.assert_array_equal(found, sorted((p.parameters, p.mean_square(norm)) for p in wanted))
    first, kan = drawn[(30.0, wanted[0].mean_square(norm))], axes.containers[0][0]
    assert (first.get_marker(), first.get_color()) == (kan.get_marker(), kan.get_color())
    best, mlp = drawn[(5150.0, wanted[2].mean_square(norm))], axes.containers[5][0]
    assert (best.get_marker(), best.get_color()) == (mlp.get_marker(), mlp.get_color())


@pytest.mark.parametrize(("panel", "norm", "theory"), [(2, "l2", -8.0), (3, "h1_seminorm", -6.0)])
def test_the_limit_and_theorys_slope(panel: int, norm: Any, theory: float) -> None:
    axes = scaling_of_the_study().axes[panel]
    (limit,) = lines_with(axes, linestyle=":")
    assert limit.get_xydata().tolist() == [[p.unknowns, p.mean_square(norm)] for p in STUDY.limit]
    assert axes.get_xlim()[1] < 1e5  # which a limit of a million unknowns does not stretch
    triangles = [line for line in axes.lines if len(line.get_xydata()) == 4 and line.get_marker() == "None"]
    (triangle,) = [line for line in triangles if line is not limit]
    corners = np.log(triangle.get_xydata())
    rise = corners[2] - corners[1]
    assert rise[1] / rise[0] == pytest.approx(theory)
    inside = axes.transAxes.inverted().transform(axes.transData.transform(triangle.get_xydata()))
    assert 0.0 < inside.min() < inside.max() < 0.4  # in the lower left corner
    assert np.ptp(inside, axis=0).min() > 0.05  # and large enough to be seen
    assert axes.texts[0].get_text() == f"\N{MINUS SIGN}{-theory:g}"


def test_training_is_of_the_middle_seed_of_the_largest_kan_and_the_best_mlp() -> None:
    figure = scaling_of_the_study()
    wanted = [
        next(r for r in RUNS if (r.widths, r.intervals, r.seed) == ((2, 10, 1), 30, 1)),
        next(r for r in RUNS if (r.widths, r.seed) == ((2, 100, 100, 100, 1), 1)),
    ]
    for axes, factor in zip(figure.axes[:2], (1.0, 100.0), strict=True):
        labels = axes.get_legend_handles_labels()[1]
        assert labels == ["KAN [2,10,1], 30 intervals", "MLP [2,100,100,100,1]"]
        for line, run in zip(axes.lines, wanted, strict=False):
            measured = [1, *range(2, 20), *range(21, 41)]
            assert numbers(line.get_xdata()) == measured
            np.testing.assert_allclose(numbers(line.get_ydata()), factor * run.history["l2_mean_square"][measured])


def test_a_single_network_is_named_too() -> None:
    axes = study_figures.scaling(a_study(single)).axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["KAN [2,5,1], 5 intervals"]


@pytest.mark.parametrize("study", [STUDY, a_study(kan_runs((1,)))], ids=["within", "beyond what was reached"])
def test_published_ends_of_trainings_stand_at_the_edge(study: Study) -> None:
    for axes, values in zip(study_figures.scaling(study).axes[:2], ((9e-8, 5.5e-6), (2.8e-5, 1.15e-3)), strict=True):
        ends = lines_with(axes, markerfacecolor="none")
        assert [numbers(end.get_ydata()) for end in ends] == [[values[0]], [values[1]]]
        low, high = axes.get_ylim()
        assert low < min(values) < max(values) < high
        for end in ends:
            x, _ = axes.transAxes.inverted().transform(end.get_transform().transform(end.get_xydata()))[0]
            assert x == pytest.approx(1.0)


def many_curves() -> Study:
    return a_study(kan_runs((3, 5, 7, 10, 15, 20)) + mlp_runs())


@pytest.mark.parametrize("study", [STUDY, many_curves()], ids=["as published", "six widths"])
@pytest.mark.parametrize("draw", [study_figures.scaling, study_figures.seconds])
def test_curves_can_be_told_apart_in_grey(study: Study, draw: Any) -> None:
    handles = draw(study).legends[0].legend_handles
    assert all(isinstance(handle, Line2D) for handle in handles)
    looks = [(h.get_marker(), h.get_linestyle()) for h in handles if h.get_label().startswith(("KAN [", "MLP d"))]
    assert len(looks) == len(study.curves("kan")) + len(study.curves("mlp"))
    assert len({marker for marker, _ in looks}) == len(looks)


@pytest.mark.parametrize("study", [STUDY, many_curves()], ids=["as published", "six widths"])
@pytest.mark.parametrize("draw", [study_figures.scaling, study_figures.seconds])
def test_no_text_overlaps_another_and_all_is_large_enough(study: Study, draw: Any) -> None:
    figure = draw(study)
    figure.canvas.draw()
    assert all(text.get_fontsize() >= 7.0 for text in texts_of(figure))
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    boxes = {}
    for axes in figure.axes:
        ticks = [label for axis in (axes.xaxis, axes.yaxis) for label in shown_ticks(axis)]
        inside = axes.get_legend().get_texts() if axes.get_legend() else []
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *inside, *ticks):
            boxes[(id(text), text.get_text())] = text.get_window_extent(renderer)
    for text in figure.legends[0].get_texts():
        boxes[(id(text), text.get_text())] = text.get_window_extent(renderer)
    for name, box in boxes.items():
        assert 0 <= box.x0 < box.x1 <= width, name
        assert 0 <= box.y0 < box.y1 <= height, name
    for (a, one), (b, other) in combinations(boxes.items(), 2):
        assert not one.padded(-0.5).overlaps(other.padded(-0.5)), f"{a} over {b}"


def shown_ticks(axis: Any) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    return [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_text()]


def test_the_legend_tells_slopes_and_their_absence() -> None:
    unknown = tuple(replace(row, slope=math.nan) if row.curve.startswith("MLP") else row for row in STUDY.slopes)
    half = tuple(replace(r, slope=math.nan) if (r.curve, r.norm) == ("KAN [2,5,1]", "l2") else r for r in unknown)
    labels = [text.get_text() for text in study_figures.scaling(replace(STUDY, slopes=half)).legends[0].get_texts()]
    minus = "\N{MINUS SIGN}"
    assert labels[:4] == [
        f"KAN [2,5,1], slopes none, {minus}4.0",
        f"KAN [2,7,1], slopes {minus}4.0, {minus}4.0",
        f"KAN [2,10,1], slopes {minus}4.0, {minus}4.0",
        "MLP depth 2, no slope",
    ]
    assert labels[6:] == [
        f"triangles: spline theory, {minus}8, {minus}6",
        "best tensor splines, degree 3",
        "KAN paper, open markers",
    ]


def test_seconds_shows_where_every_run_ended_and_the_least_error_within_a_time() -> None:
    rival = a_run("MLP depth 2", (2, 5, 1), 0, 15, 0, 1e-9, optimizer="adam", counts=False)
    study = a_study([*RUNS, rival])
    figure = study_figures.seconds(study)
    for axes, norm in zip(figure.axes, NORMS, strict=True):
        points = [line for line in axes.lines if line.get_marker() != "None"]
        ends = sorted((run.seconds, run.mean_square(norm), 1.0 if run.counts else 0.35) for run in study.runs)
        assert sorted((*line.get_xydata()[0], line.get_alpha()) for line in points) == ends
        fronts = [line for line in axes.lines if line.get_marker() == "None"]
        curves = list(dict.fromkeys(run.curve for run in study.runs))
        for line, curve in zip(fronts, curves, strict=True):
            assert line.get_drawstyle() == "steps-post"
            runs = [run for run in study.runs if run.curve == curve]
            seen = [(run.seconds, run.mean_square(norm)) for run in runs]
            for run in runs:
                l2 = run.history["l2_mean_square"]
                seen += zip(run.history["seconds"], l2 if norm == "l2" else run.history["h1_mean_square"] - l2, strict=True)
            for time, least in line.get_xydata():
                assert least == pytest.approx(min(error for second, error in seen if 0.0 < second <= time), rel=1e-12)
            assert line.get_xydata()[-1][0] == max(second for second, _ in seen)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == "another optimizer did better"
    assert "another optimizer did better" not in [t.get_text() for t in study_figures.seconds(STUDY).legends[0].get_texts()]


@pytest.mark.parametrize(
    "study",
    [
        a_study(kan_runs()),
        a_study(mlp_runs()),
        a_study(single, limit=(), paper=(), slopes=()),
        a_study([replace(single[0], history={})]),
        replace(
            a_study(single),
            runs=(*single, failed),
            spreads=(*spreads_of(single), *(Spread("KAN [2,5,1]", n, 600, 0, 1, *[math.nan] * 3) for n in NORMS)),
        ),
    ],
    ids=["no MLP", "no KAN", "one run", "no history", "a failed run"],
)
def test_studies_of_little(study: Study) -> None:
    for draw in (study_figures.scaling, study_figures.seconds):
        draw(study).canvas.draw()


@pytest.mark.parametrize("run", [failed, replace(single[0], l2_mean_square=0.0), replace(single[0], counts=False)])
def test_a_study_without_an_error_that_a_logarithm_has_is_refused(run: Run) -> None:
    study = replace(a_study(single), runs=(run,))
    for draw in (study_figures.scaling, study_figures.seconds):
        with pytest.raises(OutputError, match="none of the 1 runs"):
            draw(study)


def test_all_figures_are_written(tmp_path: Path) -> None:
    paths = study_figures.write_all(tmp_path, STUDY, ".png")
    assert paths == {name: tmp_path / f"{name}.png" for name in ("scaling", "seconds")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths.values())
    with pytest.raises(OutputError, match=r"\.png, \.svg, \.pdf"):
        study_figures.write_all(tmp_path, STUDY, ".gif")
    assert len(list(tmp_path.iterdir())) == 2


def test_kinds_keep_their_hues_and_global_settings_stay() -> None:
    before = dict(matplotlib.rcParams)
    figure = study_figures.scaling(STUDY)
    assert dict(matplotlib.rcParams) == before
    for container, curve in zip(figure.axes[2].containers, STUDY.curves("kan") + STUDY.curves("mlp"), strict=True):
        red, _, blue = (int(to_hex(container[0].get_color())[k : k + 2], 16) for k in (1, 3, 5))
        assert (blue > red) == curve.startswith("KAN")
