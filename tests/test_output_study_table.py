"""Tables of a study: every cell is checked against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

from scaling_runs import a_run

from pdekan.output import study_table
from pdekan.output.study import LimitPoint, PaperPoint, Slope, Spread, Study

RUN = a_run(l2_mean_square=2e-9, h1_seminorm_mean_square=3e-7)
MLP = replace(RUN, key="m", curve="MLP depth 2", kind="mlp", widths=(2, 50, 1), degree=0, intervals=0, parameters_paper=150)
NAN = math.nan
STUDY = Study(
    name="p",
    title="A | title",
    problem_text="",
    command="pdekan scaling p",
    environment={},
    runs=(
        RUN,
        replace(RUN, key="b", seed=1, seconds=3.0),
        replace(RUN, key="c", seed=2, seconds=2.5, status="failed", reason="ValueError: a | b\n  c", l2_mean_square=NAN),
        replace(MLP, key="d", optimizer="lbfgs", counts=False, seconds=99.0, l2_mean_square=NAN),
        replace(MLP, key="e", optimizer="lbfgs", seconds=NAN, l2_mean_square=NAN, status="failed"),
    ),
    spreads=(
        Spread("KAN [2,5,1]", "l2", 150, 2, 1, 2.04e-9, 1e-9, 3.96e-9),
        Spread("KAN [2,5,1]", "h1_seminorm", 150, 2, 1, 3e-7, 2e-7, 4e-7),
        Spread("MLP depth 2", "l2", 150, 0, 1, NAN, NAN, NAN),
        Spread("MLP depth 2", "h1_seminorm", 150, 0, 1, NAN, NAN, NAN),
    ),
    slopes=(
        Slope("KAN [2,5,1]", "l2", -7.123, -8.5, -6.0, -8.0, (75, 150, 225), 9, "all sizes"),
        Slope("MLP depth 2", "h1_seminorm", NAN, NAN, NAN, NAN, (), 0, "no slope"),
    ),
    limit=(LimitPoint(3, 10, 121, 3.9e-7, 4.3e-4),),
    paper=(PaperPoint("KAN [2,5,1]", False, 150.0, 2.1e-6, NAN), PaperPoint("KAN [2,10,1]", True, NAN, 9e-8, 2.8e-5)),
)


def test_sizes() -> None:
    kan, mlp = study_table.sizes(STUDY).rows
    assert kan == (
        "KAN [2,5,1]", "[2,5,1] × 10", "150", "195", "2.0e-09 (1.0e-09 … 4.0e-09)", "3.0e-07 (2.0e-07 … 4.0e-07)", "2.5",
        "2", "1", "gauss-newton",
    )  # fmt: skip
    assert mlp == ("MLP depth 2", "[2,50,1]", "150", "195", "–", "–", "–", "0", "1", "")


def test_a_single_run_has_no_quartiles() -> None:
    alone = tuple(replace(spread, runs=1) for spread in STUDY.spreads[:2])
    assert study_table.sizes(replace(STUDY, spreads=alone)).rows[0][4:6] == ("2.0e-09", "3.0e-07")


def test_where_several_optimizers_count_it_says_how_often_each() -> None:
    names = ("lbfgs", "ssbroyden", "ssbroyden")
    runs = tuple(replace(RUN, key=str(k), seed=k, optimizer=name) for k, name in enumerate(names))
    assert study_table.sizes(replace(STUDY, runs=runs, spreads=STUDY.spreads[:2])).rows[0][-1] == "ssbroyden 2, lbfgs 1"


def test_networks_of_one_size_share_a_row() -> None:
    runs = (replace(MLP, widths=(2, 30, 3, 1), parameters=187), replace(MLP, key="n", widths=(2, 3, 30, 1), parameters=160))
    spreads = tuple(replace(spread, curve=MLP.curve) for spread in STUDY.spreads[:2])
    row = study_table.sizes(replace(STUDY, runs=runs, spreads=spreads)).rows[0]
    assert row[1:4] == ("[2,30,3,1] or [2,3,30,1]", "150", "160 or 187")


def test_slopes() -> None:
    assert study_table.slopes(STUDY).rows == (
        ("KAN [2,5,1]", "L2²", "-7.12", "-8.50 … -6.00", "-8", "75, 150, 225", "9", "all sizes"),
        ("MLP depth 2", "H1²", "–", "–", "–", "–", "0", "no slope"),
    )


def test_failures_are_all_there_and_no_table_stands_empty() -> None:
    assert [row[:4] for row in study_table.failures(STUDY).rows] == [
        ("KAN [2,5,1]", "[2,5,1] × 10", "gauss-newton", "2"),
        ("MLP depth 2", "[2,50,1]", "lbfgs", "0"),
        ("MLP depth 2", "[2,50,1]", "lbfgs", "0"),
    ]
    assert len(study_table.tables(STUDY)) == 3
    assert len(study_table.tables(replace(STUDY, runs=(RUN,), spreads=STUDY.spreads[:2]))) == 2
    assert study_table.comparisons(replace(STUDY, limit=(), paper=())) == ()


def test_comparisons() -> None:
    limit, paper = study_table.comparisons(STUDY)
    assert limit.rows == (("3", "10", "121", "3.9e-07", "4.3e-04"),)
    assert paper.rows == (
        ("KAN [2,5,1]", "150", "2.1e-06", "–"),
        ("KAN [2,10,1], end of training", "–", "9.0e-08", "2.8e-05"),
    )


def test_markdown_has_as_many_cells_in_every_line_of_a_table() -> None:
    text = study_table.markdown(STUDY)
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 5
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1
    assert "ValueError: a \\| b c" in text
    assert text.endswith("Made by `pdekan scaling p`.\n")
