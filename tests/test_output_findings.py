"""Findings: what their file holds, that it reads back to the same, and that figures show what they are told to."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from figure_files import written_inches

from pdekan.output import findings_figures, tables
from pdekan.output.findings import (
    Bar,
    Columns,
    Curve,
    Findings,
    Heading,
    Panel,
    Picture,
    kind_of_study,
    read_findings,
    write_findings,
)
from pdekan.output.samples import OutputError

HEADING = Heading("n", "A title", "somebody's paper", "pdekan study n", {"threads": 1})
SIZES = Columns("sizes", "By size", {"network": ["KAN", "größer"], "G": [3, 5], "RMSE": [1.25e-7, math.nan], "x": [1, 2.5]})
LINE = Curve(np.array([1.0, 10.0, 100.0]), np.array([1.0, np.nan, 1e-4]), "a line", "red", "--", "s", 2.0)
DOTS = Curve(np.array([2.0]), np.array([3.0]), "dots", "green", "", "o")
WIDE = Picture(
    "wide",
    (
        Panel((LINE, DOTS), "first", "G", "RMSE", "log", (1.0, 200.0), None, (3.0, 50.0, 1000.0)),
        Panel((DOTS,), "second", "G", "RMSE"),
        Panel((LINE,), "third", "G", "RMSE", "log y", None, (1e-5, 10.0)),
    ),
    2,
    (6.0, 5.0),
    "Over all",
)
BARS = Picture("bars", (Panel((), x="cases", bars=(Bar("right", 3, "green"), Bar("wrong", 0, "red"))),))
FINDINGS = Findings(("It falls.", "Größe ∎"), (SIZES,), (WIDE, Picture("small", (Panel((LINE,)),)), BARS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_findings(tmp_path / "study.h5", HEADING, FINDINGS)
    return tmp_path / "study.h5"


def test_columns_are_what_pandas_reads(path: Path) -> None:
    with h5py.File(path) as file:
        assert file["tables/sizes"].attrs["title"] == "By size"
        columns = file["tables/sizes"].items()
        frame = pd.DataFrame({name: c.asstr()[()] if c.dtype.kind == "S" else c[()] for name, c in columns})
    assert frame["network"].tolist() == ["KAN", "größer"]
    assert frame["G"].dtype == np.int64
    assert frame["RMSE"].iloc[0] == 1.25e-7
    assert frame["x"].tolist() == [1.0, 2.5]


def test_findings_are_read_back(path: Path) -> None:
    heading, found = read_findings(path)
    assert heading == HEADING
    assert found.sentences == FINDINGS.sentences
    (table,) = found.tables
    assert (table.name, table.title) == (SIZES.name, SIZES.title)
    assert repr(table.columns) == repr(dict(SIZES.columns) | {"x": [1.0, 2.5]})
    assert repr(found.pictures) == repr(FINDINGS.pictures)
    assert [type(value) for value in table.columns["G"]] == [int, int]


def test_nothing_at_all_is_read_back(tmp_path: Path) -> None:
    write_findings(tmp_path / "study.h5", HEADING, Findings())
    assert read_findings(tmp_path / "study.h5")[1].sentences == ()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "study.h5", "w") as file:
        file.attrs["kind"] = "scaling"
    assert kind_of_study(tmp_path / "study.h5") == "scaling"
    with pytest.raises(OutputError, match="no findings that this version of pdekan reads: kind 'scaling'"):
        read_findings(tmp_path / "study.h5")


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("t", {"a": [1], "b": [1, 2]}, "differ in length"),
        ("t", {"": [1]}, "names need letters"),
        ("t", {"a/b": [1]}, "no '/'"),
        ("a/b", {"a": [1]}, "no '/'"),
    ],
)
def test_tables_that_no_file_can_hold(name: str, columns: dict[str, list[str | int | float]], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        Columns(name, "", columns)


def test_cells() -> None:
    table = tables.table(SIZES)
    assert table.header == ("network", "G", "RMSE", "x")
    assert table.rows == (("KAN", "3", "1.25e-07", "1"), ("größer", "5", "–", "2.5"))
    text = tables.markdown("T", ("One.",), (tables.Table("t", ("a",), (("x | y\nz",),)),), "pdekan")
    assert text == "# T\n\nOne.\n\n## t\n\n| a |\n| --- |\n| x \\| y z |\n\nMade by `pdekan`.\n"


def test_a_figure_shows_its_panels() -> None:
    figure = findings_figures.draw(WIDE)
    first, second, third, nothing = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["first", "second", "third", ""]
    assert not nothing.axison
    assert (first.get_xscale(), first.get_yscale()) == ("log", "log")
    assert (second.get_xscale(), second.get_yscale()) == ("linear", "linear")
    assert (third.get_xscale(), third.get_yscale(), third.get_ylim()) == ("linear", "log", (1e-5, 10.0))
    line, dots = first.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([LINE.x, LINE.y], axis=1))
    assert (line.get_linestyle(), line.get_marker(), line.get_linewidth()) == ("--", "s", 2.0)
    assert dots.get_linestyle() == "None"
    assert first.get_xlim() == (1.0, 200.0)
    assert [label.get_text() for label in first.get_xticklabels()] == ["3", "50"]
    assert figure.get_suptitle() == "Over all"


def test_labels_of_ticks_do_not_touch() -> None:
    """From 150 to 200000 all of 1, 3, 10, … are too many characters; powers of ten are left."""
    ticks = tuple(digit * 10.0**k for k in range(-3, 7) for digit in (1.0, 3.0))
    curves = (Curve(np.array([150.0, 2e5]), np.array([1.0, 2.0]), "errors"),)
    figure = findings_figures.draw(
        Picture("errors", (Panel(curves, "", "parameters", "error", "log", x_ticks=ticks),) * 3, 3, (11.0, 3.6))
    )
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[1].get_xticklabels()]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["1000", "10000", "100000"]
    gaps = [right.x0 - left.x1 for left, right in pairwise(boxes)]
    assert min(gaps) > boxes[0].height


def test_a_label_stands_in_the_legend_once() -> None:
    (legend,) = findings_figures.draw(WIDE).legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["a line", "dots"]


def test_shared_axes_are_labelled_at_the_edges() -> None:
    panels = tuple(Panel((LINE,), x="x", y="y", x_limits=(0.0, 1.0)) for _ in range(4))
    figure = findings_figures.draw(Picture("p", panels, 2, shared=True))
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "x", "x"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["y", "", "y", ""]
    assert not findings_figures.draw(Picture("p", (Panel((Curve(LINE.x, LINE.y),)),))).legends


def test_bars_are_as_long_as_their_counts_the_first_at_the_top() -> None:
    (axes,) = findings_figures.draw(BARS).axes
    assert [bar.get_width() for bar in axes.patches] == [3, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["right", "wrong"]
    top, bottom = (axes.transData.transform((0.0, y))[1] for y in (0.0, 1.0))
    assert top > bottom


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figures_are_written_by_name(tmp_path: Path, suffix: str) -> None:
    paths = findings_figures.write_all(tmp_path, FINDINGS.pictures[1:2], suffix)
    assert paths == {"small": tmp_path / f"small{suffix}"}
    assert written_inches(paths["small"]) == pytest.approx(FINDINGS.pictures[1].size, abs=0.01)
