"""Figures: what is on them, on which scales, and that awkward fields can be drawn."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from meshes import any_box, kuhn, square_with_hole

from pdekan.output import figures
from pdekan.output.labels import cut_text, number, symbol
from pdekan.output.samples import Axis, Grid, Mesh, OutputError, Samples


def samples_of(function: Any, cut: dict[str, float] | None = None, error: float = 1e-6, **axes: np.ndarray) -> Samples:
    """Samples of an exact solution and of a solution that is off by a constant."""
    exact = function(*np.meshgrid(*axes.values(), indexing="ij"))
    grid = Grid(tuple(Axis(name, values) for name, values in axes.items()), cut or {})
    return Samples(grid, {"u": exact + error, "exact": exact, "error": np.full_like(exact, error)})


def pixels_of(figure: Figure) -> Any:
    """The drawn figure, (height, width, 3), 0 to 255."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).astype(float)[..., :3]


def colour_norm(figure: Figure) -> Any:
    return figure.axes[0].collections[0].norm


X, Y = np.linspace(-1.0, 1.0, 21), np.linspace(0.0, 1.0, 11)
CURVE = samples_of(lambda x: np.sin(np.pi * x), x=X)
WAVE = samples_of(lambda x, y: np.sin(np.pi * x) * np.sin(np.pi * y), x=X, y=Y)
HISTORY = {
    "step": np.arange(6),
    "seconds": np.linspace(0.1, 1.2, 6),
    "stage": np.array([0, 0, 0, 1, 1, 2]),
    "loss": 10.0 ** -np.arange(6),
    "l2_mean_square": np.array([1.0, np.nan, 0.01, np.nan, np.nan, 1e-4]),
    "h1_mean_square": np.full(6, np.nan),
}


def test_all_figures_are_written_and_decode(tmp_path: Path) -> None:
    paths = figures.write_all(tmp_path, WAVE, HISTORY)
    assert list(paths) == ["solution", "exact", "error", "history"]
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())
    for path in paths.values():
        pixels = matplotlib.image.imread(path)
        assert min(pixels.shape[:2]) > 400
        assert pixels[..., :3].std() > 0.01  # not one colour


def test_without_an_exact_solution_there_is_no_error_figure(tmp_path: Path) -> None:
    known = Samples(CURVE.layout, {"u": CURVE.fields["u"]})
    assert list(figures.write_all(tmp_path, known, HISTORY)) == ["solution", "history"]
    for draw in (figures.exact, figures.error):
        with pytest.raises(OutputError, match="among the samples"):
            draw(known)


def test_svg_by_the_ending(tmp_path: Path) -> None:
    figures.save(figures.solution(CURVE), tmp_path / "u.svg")
    assert "<svg" in (tmp_path / "u.svg").read_text()
    with pytest.raises(OutputError, match=r"png, \.svg, \.pdf"):
        figures.save(figures.solution(CURVE), tmp_path / "u.jpg")


def test_curve_and_exact_solution() -> None:
    (axes,) = figures.solution(CURVE).axes
    drawn, exact = axes.lines
    np.testing.assert_array_equal(drawn.get_ydata(), CURVE.fields["u"])
    np.testing.assert_array_equal(exact.get_ydata(), CURVE.of("exact"))
    assert exact.get_linestyle() == "--"
    assert axes.get_xlim() == (-1.0, 1.0)
    assert axes.get_xlabel() == "$x$"


def test_contours_lie_where_the_field_does() -> None:
    # x alone, on a grid that is not square: a transposed field would be another picture
    figure = figures.solution(samples_of(lambda x, y: x + 0 * y, x=X, y=Y, error=0.0))
    axes = figure.axes[0]
    pixels = pixels_of(figure)

    def colour(x: float, y: float) -> Any:
        column, row = axes.transData.transform((x, y))
        return pixels[int(pixels.shape[0] - row), int(column)]

    assert np.abs(colour(-0.83, 0.13) - colour(-0.83, 0.87)).max() < 8
    assert np.abs(colour(-0.83, 0.13) - colour(0.83, 0.13)).max() > 80
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1.0, 1.0), (0.0, 1.0))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x$", "$y$")


def test_axes_to_one_scale_only_in_space() -> None:
    assert figures.solution(WAVE).axes[0].get_aspect() == 1.0
    in_time = samples_of(lambda x, t: x * t, x=X, t=Y)
    assert figures.solution(in_time).axes[0].get_aspect() == "auto"
    needle = samples_of(lambda x, y: x * y, x=10 * X, y=Y)
    assert figures.solution(needle).axes[0].get_aspect() == "auto"


def test_colours_are_centred_at_zero_where_the_sign_changes() -> None:
    changing = colour_norm(figures.solution(samples_of(lambda x, y: x + 0.5 * y, x=X, y=Y)))
    assert changing.vmin == -changing.vmax
    positive = colour_norm(figures.solution(samples_of(lambda x, y: 2 + x + 0 * y, x=X, y=Y)))
    assert (positive.vmin, positive.vmax) == (pytest.approx(1.0, abs=1e-5), pytest.approx(3.0, abs=1e-5))
    overshoot = colour_norm(figures.solution(samples_of(lambda x, y: x**2 - 1e-3 + 0 * y, x=X, y=Y)))
    assert overshoot.vmin > -0.01


def test_error_is_logarithmic_and_stops_at_round_off() -> None:
    figure = figures.error(samples_of(lambda x, y: x + y, x=X, y=Y, error=-3e-7))
    norm = colour_norm(figure)
    assert isinstance(norm, LogNorm)
    limits: Any = norm.vmin, norm.vmax
    assert limits[0] <= 3e-7 <= limits[1]
    assert r"$3 \times 10^{-7}$" in figure.axes[0].get_title()
    (axes,) = figures.error(samples_of(lambda x: 1.0 + x**2, x=X, error=0.0)).axes
    assert axes.get_yscale() == "log"
    drawn = np.asarray(axes.lines[0].get_ydata(), dtype=float)
    assert 1e-17 < drawn.min() <= drawn.max() < 1e-14


def test_error_is_computed_where_only_the_exact_solution_is_known() -> None:
    known = Samples(CURVE.layout, {"u": CURVE.fields["u"], "exact": CURVE.fields["exact"]})
    drawn = np.asarray(figures.error(known).axes[0].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, 1e-6, rtol=1e-6)


def test_three_dimensions_as_three_planes() -> None:
    box = samples_of(lambda x, y, z: np.cos(x) * np.cos(y) + z, x=X, y=Y, z=np.linspace(0.0, 3.0, 7))
    panels = figures.solution(box).axes[:3]
    assert [axes.get_title() for axes in panels] == ["$z$ = 1.5", "$y$ = 0.5", "$x$ = 0"]
    assert [(a.get_xlabel(), a.get_ylabel()) for a in panels] == [("$x$", "$y$"), ("$x$", "$z$"), ("$y$", "$z$")]


def test_planes_are_moved_off_the_zeros() -> None:
    odd = samples_of(lambda x, y, z: np.sin(np.pi * x) * (1 + y + z), x=X, y=Y, z=Y)
    titles = [axes.get_title() for axes in figures.solution(odd).axes[:3]]
    assert titles[2].endswith("0.5")
    assert titles[2] != "$x$ = 0"


def test_space_and_time_at_three_times() -> None:
    flow = samples_of(lambda x, y, t: x * y * (1 + t), x=X, y=Y, t=np.linspace(0.0, 2.0, 5))
    panels = figures.solution(flow).axes[:3]
    assert [axes.get_title() for axes in panels] == ["$t$ = 0", "$t$ = 1", "$t$ = 2"]
    assert {axes.get_ylabel() for axes in panels} == {"$y$"}


def test_slice_says_where_it_cuts() -> None:
    cut = {f"x{k}": 0.5 for k in range(3, 101)}
    title = figures.solution(samples_of(lambda x, y: x * y, cut, x1=X, x2=Y)).axes[0].get_title()
    assert "$x_{3}$ = … = $x_{100}$ = 0.5" in title


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-30, 1e300, 1.0 + 1e-15])
@pytest.mark.parametrize("axes", [{"x": X}, {"x": X, "y": Y}])
def test_constant_fields_lie_inside_of_the_range_that_is_drawn(value: float, axes: dict[str, np.ndarray]) -> None:
    """A range of no length would leave the axis, or the colours, without a scale."""
    constant = samples_of(lambda *grids: np.full(grids[0].shape, value), None, 0.0, **axes)
    figures.error(constant).canvas.draw()
    figure = figures.solution(constant)
    figure.canvas.draw()
    first = figure.axes[0]
    low, high = first.collections[0].get_clim() if first.collections else first.get_ylim()
    assert low < value < high
    assert high - low <= 2.0 * max(abs(value), 1e-300) or value == 0.0
    if not first.collections:
        assert all((line.get_ydata() == value).all() for line in first.lines)


@pytest.mark.parametrize("outside", [0.7, 0.0])
def test_points_outside_the_domain_stay_empty(outside: float) -> None:
    radius = np.hypot(*np.meshgrid(X, X, indexing="ij"))
    disk = np.where(radius < outside, 1 + radius, np.nan)
    holes = Samples(Grid((Axis("x", X), Axis("y", X))), {"u": disk, "exact": 1.01 * disk})
    figures.error(holes).canvas.draw()
    figure = figures.solution(holes)
    pixels = pixels_of(figure)
    column, row = figure.axes[0].transData.transform((-0.9, -0.9))
    assert pixels[int(pixels.shape[0] - row), int(column)].tolist() == [255, 255, 255]


def colour_at(figure: Figure, x: float, y: float, panel: int = 0) -> Any:
    pixels = pixels_of(figure)
    column, row = figure.axes[panel].transData.transform((x, y))
    return pixels[int(pixels.shape[0] - row), int(column)]


def test_a_mesh_is_drawn_where_it_is_and_outlined() -> None:
    mesh = square_with_hole()
    figure = figures.solution(Samples(mesh, {"u": mesh.points[:, 0]}))
    axes = figure.axes[0]
    assert np.abs(colour_at(figure, 0.6, 0.55) - colour_at(figure, 0.6, 2.45)).max() < 8
    assert np.abs(colour_at(figure, 0.6, 0.55) - colour_at(figure, 2.4, 0.55)).max() > 80
    assert colour_at(figure, 1.5, 1.5).tolist() == [255, 255, 255]
    assert max(colour_at(figure, 1.0, 1.5)) < 100  # the hole's edge
    assert axes.get_aspect() == 1.0
    low, high = axes.get_xlim()
    assert low < 0.0
    assert high > 3.0
    (edges,) = [drawn for drawn in axes.collections if type(drawn) is LineCollection]
    assert len(edges.get_segments()) == 12 + 4


def test_tetrahedra_as_three_sections() -> None:
    mesh = any_box(3)
    figure = figures.solution(Samples(mesh, {"u": 1.0 + mesh.points[:, 1]}))
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["$z$ = 1.5", "$y$ = 1", "$x$ = 0.5"]
    assert [(a.get_xlabel(), a.get_ylabel()) for a in panels] == [("$x$", "$y$"), ("$x$", "$z$"), ("$y$", "$z$")]
    assert np.abs(colour_at(figure, 0.3, 0.3) - colour_at(figure, 0.3, 1.7)).max() > 80
    assert np.abs(colour_at(figure, 0.3, 0.3, 1) - colour_at(figure, 0.8, 2.6, 1)).max() < 8


@pytest.mark.parametrize("mesh", [square_with_hole(), any_box(3)], ids=["triangles", "tetrahedra"])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_constant_and_undefined_fields_on_meshes(mesh: Mesh, value: float) -> None:
    constant = Samples(mesh, {"u": np.full(mesh.shape, value), "exact": np.full(mesh.shape, value)})
    figures.solution(constant).canvas.draw()
    figures.error(constant).canvas.draw()


def test_undefined_points_of_a_mesh_stay_empty() -> None:
    points, cells = kuhn((3, 3))
    u = np.where((points == 0.0).all(axis=1), np.nan, 1.0 + points[:, 0])
    figure = figures.solution(Samples(Mesh(("x", "y"), points, cells), {"u": u}))
    assert colour_at(figure, 0.5, 0.4).tolist() == [255, 255, 255]
    assert colour_at(figure, 1.5, 1.4).tolist() != [255, 255, 255]


def test_each_unknown_has_its_figures(tmp_path: Path) -> None:
    u, v = WAVE.fields["u"], 1.0 + WAVE.fields["u"] ** 2
    both = Samples(WAVE.layout, {"u": u, "v": v, "v_exact": v + 1e-3, "u_error": 0 * u}, ("u", "v"))
    paths = figures.write_all(tmp_path, both, HISTORY)
    assert list(paths) == ["solution_u", "solution_v", "exact_v", "error_v", "history"]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in paths}
    assert "$v$" in figures.solution(both, "v").axes[0].get_title()
    assert colour_norm(figures.solution(both, "v")).vmin > 0.9
    assert colour_norm(figures.exact(both, "v")).vmin > 0.9
    assert r"$1 \times 10^{-3}$" in figures.error(both, "v").axes[0].get_title()
    assert "$u$" in figures.solution(both).axes[0].get_title()
    with pytest.raises(OutputError, match="'u'"):
        figures.exact(both, "u")


def dots(figure: Figure, panel: int = 0) -> list[list[float]]:
    return [list(point) for line in figure.axes[panel].lines if line.get_marker() == "o" for point in line.get_xydata()]


def test_measured_points_are_marked() -> None:
    assert dots(figures.solution(CURVE)) == []
    on_curve = dots(figures.solution(CURVE, marks=np.array([[-1.0], [0.05]])))
    np.testing.assert_allclose(on_curve, [[-1.0, 1e-6], [0.05, np.sin(0.1 * np.pi) / 2 + 1e-6]], atol=1e-12)
    places = np.array([[0.1, 0.2], [-0.7, 0.9]])
    assert dots(figures.solution(WAVE, marks=places)) == places.tolist()
    assert dots(figures.solution(Samples(any_box(2), {"u": np.ones(64)}), marks=places)) == places.tolist()
    assert dots(figures.solution(WAVE, marks=np.empty((0, 2)))) == []
    with pytest.raises(OutputError, match=r"\(n, 2\), columns x, y"):
        figures.solution(WAVE, marks=np.zeros((3, 1)))


def test_points_are_marked_on_the_planes_that_they_lie_on() -> None:
    flow = samples_of(lambda x, y, t: 1 + x * y * t, x=X, y=Y, t=np.linspace(0.0, 2.0, 5))
    figure = figures.solution(flow, marks=np.array([[0.1, 0.2, 0.0], [0.3, 0.4, 1.0], [0.5, 0.6, 1.001], [0.7, 0.8, 1.7]]))
    assert [dots(figure, panel) for panel in range(3)] == [[[0.1, 0.2]], [[0.3, 0.4], [0.5, 0.6]], []]
    slice_ = samples_of(lambda x, y: x * y, {"z": 0.5}, x=X, y=Y)
    assert dots(figures.solution(slice_, marks=np.array([[0.1, 0.2, 0.5], [0.3, 0.4, 0.9]]))) == [[0.1, 0.2]]


def measured(lines: Iterable[Line2D], label: str) -> list[float]:
    return [float(x) for line in lines if label in str(line.get_label()) for x in np.asarray(line.get_xdata())]


def test_history_shows_what_was_measured_and_where_stages_begin() -> None:
    (axes,) = figures.history(HISTORY).axes
    assert axes.get_yscale() == "log"
    assert measured(axes.lines, "loss") == [0, 1, 2, 3, 4, 5]
    assert measured(axes.lines, "L^2") == [0, 2, 5]
    assert measured(axes.lines, "H^1") == []
    starts = [np.asarray(line.get_xdata())[0] for line in axes.lines if str(line.get_label()).startswith("_")]
    assert starts == [3, 5]
    assert "1.2 s" in axes.get_title()


@pytest.mark.parametrize("rows", [0, 1])
def test_history_of_no_step_and_of_one(rows: int) -> None:
    figures.history({name: column[:rows] for name, column in HISTORY.items()}).canvas.draw()
    with pytest.raises(OutputError, match="'loss'"):
        figures.history({"step": np.arange(3)})


def test_parameters_by_step_in_a_panel_below() -> None:
    kappa = np.array([1.0, 1.5, np.nan, 1.9, 1.99, 1.996])
    figure = figures.history(HISTORY | {"parameter_kappa": kappa, "parameter_speed": -np.arange(6.0)})
    losses, below = figure.axes
    assert measured(losses.lines, "loss") == [0, 1, 2, 3, 4, 5]
    assert below.get_yscale() == "linear"
    assert measured(below.lines, "kappa") == [0, 1, 3, 4, 5]
    assert measured(below.lines, "speed") == [0, 1, 2, 3, 4, 5]
    legend: Any = below.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [r"$\kappa$ = 1.996", "speed = \N{MINUS SIGN}5"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "step"]
    assert losses.get_xlim() == below.get_xlim()
    figures.history({name: column[:0] for name, column in (HISTORY | {"parameter_kappa": kappa}).items()}).canvas.draw()


def test_global_settings_stay() -> None:
    before = dict(matplotlib.rcParams)
    figures.solution(WAVE)
    figures.history(HISTORY)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("name", "shown"),
    [("x", "$x$"), ("x12", "$x_{12}$"), ("theta", r"$\theta$"), ("sigma_1", r"$\sigma_{1}$"), ("speed", "speed")],
)
def test_symbols(name: str, shown: str) -> None:
    assert symbol(name) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.5, "0.5"), (-2.0, "\N{MINUS SIGN}2"), (12345.0, "12345"), (3.24e-9, r"$3.2 \times 10^{-9}$")],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


def test_cuts() -> None:
    assert cut_text({}) == ""
    assert cut_text({"x3": 0.5, "t": 1.0, "x4": 0.5}) == "$x_{3}$ = $x_{4}$ = 0.5, $t$ = 1"
    assert cut_text({f"x{k}": float(k % 2) for k in range(8)}) == "4 coordinates = 0, 4 coordinates = 1"
    assert cut_text({f"x{k}": k / 8 for k in range(8)}).endswith("… $x_{7}$ = 0.875")
