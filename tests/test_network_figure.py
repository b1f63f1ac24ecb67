"""The picture of a network: what is drawn where, that nothing overlaps, and what of a solution goes into it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from figure_files import written_inches
from hidden_nodes import hidden_ranges
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure

import pdekan as pk
from pdekan.networks.kan import KAN
from pdekan.output.figures import save
from pdekan.output.network_figure import PRODUCT, SUM, Drawing, Edge, networks
from pdekan.output.samples import OutputError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.runs import network_drawing
from pdekan.training.solver import solve

X = np.linspace(-1.0, 1.0, 50)


def drawing(widths: list[int], score: float = 0.5, symbol: str = "", title: str = "") -> Drawing:
    layers = tuple(
        tuple(Edge(i, o, X, np.sin((1 + i + o) * X), score, symbol) for i in range(a) for o in range(b))
        for a, b in pairwise(widths)
    )
    nodes = tuple((SUM,) * w for w in widths[1:])
    return Drawing(tuple(f"x{k + 1}" for k in range(widths[0])), ("u", "v", "w")[: widths[-1]], nodes, layers, title)


def boxes(figure: Figure, axes: int = 0) -> list[tuple[float, float, float, float]]:
    """Left, lower, right and upper ends of all boxes."""
    patches = [c for c in figure.axes[axes].collections if isinstance(c, PatchCollection)]
    ends = [(*path.vertices.min(0), *path.vertices.max(0)) for c in patches for path in c.get_paths()]
    return [tuple(float(v) for v in one) for one in ends]  # type: ignore[misc]


@pytest.mark.parametrize("widths", [[2, 1, 1], [1, 4, 1], [2, 10, 1], [5, 3, 3, 1], [2, 28, 1], [3, 4, 2], [2, 1]], ids=str)
def test_every_edge_has_a_box_and_none_overlap_or_leave_the_figure(widths: list[int]) -> None:
    figure = networks([drawing(widths, title="a title")])
    found = boxes(figure)
    assert len(found) == sum(a * b for a, b in pairwise(widths))
    width, height = figure.get_size_inches()
    for k, (left, low, right, high) in enumerate(found):
        assert 0.0 <= left < right <= width
        assert 0.0 <= low < high <= height
        for other in found[k + 1 :]:
            apart = right <= other[0] or other[2] <= left or high <= other[1] or other[3] <= low
            assert apart, "boxes overlap"
    if max(a * b for a, b in pairwise(widths)) <= 30:
        assert width <= 7.5, "wider than a page"
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(texts) == sorted([*(f"$x_{{{k + 1}}}$" for k in range(widths[0])), *("$u$", "$v$")[: widths[-1]], "a title"])


def test_of_very_many_edges_those_with_the_highest_scores_have_boxes() -> None:
    layer = tuple(Edge(i, o, X, X, 0.01 * (i * 20 + o)) for i in range(10) for o in range(20))
    last = tuple(Edge(i, 0, X, X, 0.5) for i in range(20))
    wide = Drawing(tuple("abcdefghij"), ("u",), ((SUM,) * 20, (SUM,)), (layer, last))
    figure = networks([wide])
    lines = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    heights, opacities = [np.ptp(np.array(line)[:, 1]) for line in lines.get_segments()], lines.get_colors()[:, 3]
    direct = np.isclose(heights, max(heights))  # from node to node, without a box between
    lower = [one for one in boxes(figure) if one[1] < 2.0]
    assert 0 < len(lower) < 200
    assert direct.sum() == 200 - len(lower)
    assert (~direct).sum() == 2 * len(lower)  # to the box and from it
    assert opacities[direct].max() < opacities[~direct].min()


def test_what_matters_is_dark_and_what_does_not_is_faint() -> None:
    def opacity(score: float) -> float:
        (lines, *_) = [c for c in networks([drawing([1, 1], score)]).axes[0].collections if isinstance(c, LineCollection)]
        return float(lines.get_colors()[0][3])

    assert opacity(0.2) == pytest.approx(np.tanh(0.6))
    assert opacity(0.0) < 0.1 < opacity(0.1) < opacity(1.0)
    assert opacity(5.0) > 0.99


def test_symbols_stand_in_their_boxes() -> None:
    plain, named = boxes(networks([drawing([2, 2, 1])])), networks([drawing([2, 2, 1], symbol="sin")])
    words = [text for text in named.axes[0].texts if text.get_text() == "sin"]
    assert len(words) == 6
    for word in words:
        x, y = word.get_position()
        assert any(left < x < right and low < y < high for left, low, right, high in boxes(named))
    assert boxes(named)[0][3] - boxes(named)[0][1] > plain[0][3] - plain[0][1]  # with room of its own


def test_a_curve_fills_its_box_and_a_constant_is_flat() -> None:
    edges = (Edge(0, 0, X, 1e6 * X**3, 1.0), Edge(1, 0, X, 0.0 * X + 3.0, 0.0))
    figure = networks([Drawing(("x", "y"), ("u",), ((SUM,),), (edges,))])
    (rising, flat) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)][1].get_segments()
    (left, low, right, high), _ = boxes(figure)
    assert np.ptp(rising[:, 0]) > 0.7 * (right - left)
    assert np.ptp(rising[:, 1]) > 0.7 * (high - low)
    assert np.ptp(flat[:, 1]) < 1e-9


def test_networks_stand_side_by_side_while_there_is_room() -> None:
    beside = networks([drawing([2, 2, 1]), drawing([2, 1, 1])])
    below = networks([drawing([2, 10, 1]), drawing([2, 2, 1])])
    assert len(beside.axes) == len(below.axes) == 2
    assert beside.axes[0].get_position().x1 <= beside.axes[1].get_position().x0 + 1e-9
    assert below.axes[0].get_position().y0 >= below.axes[1].get_position().y1 - 1e-9


def test_edges_between_nodes_that_there_are_not_are_refused() -> None:
    with pytest.raises(OutputError, match="edge 0 -> 2: there are 1 nodes below and 1 above"):
        networks([Drawing(("x",), ("u",), ((SUM,),), ((Edge(0, 2, X, X, 1.0),),))])


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_it_is_written(suffix: str, tmp_path: Path) -> None:
    figure = networks([drawing([2, 3, 1], title="t")])
    save(figure, tmp_path / f"network.{suffix}")
    assert written_inches(tmp_path / f"network.{suffix}") == pytest.approx(figure.get_size_inches(), abs=0.01)


def test_a_solutions_picture_shows_its_activations_over_the_values_they_take() -> None:
    problem = Problem(
        domain=pk.box(x=(0, 2), y=(-1, 1)),
        equation=lambda u: -pk.laplacian(u),
        source=1.0,
        conditions=[pk.dirichlet(0.0)],
    )
    network = KAN((2, 3, 1), 3, 4, lower=(0, -1), upper=(2, 1), products=(1,), pruned=(((1, 0),), ()))
    network.initialise(torch.Generator().manual_seed(0))
    solution = solve(problem, network=network, training=TrainingOptions(points=100, steps=1))
    drawn = network_drawing.drawing(solution, "title")
    assert (drawn.inputs, drawn.outputs, drawn.title) == (("x", "y"), ("u",), "title")
    assert drawn.nodes == ((SUM, SUM, PRODUCT), (SUM,))
    assert [(edge.source, edge.target) for edge in drawn.edges[0]] == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)]
    trained = solution.network
    assert isinstance(trained, KAN)
    first, second = trained.spline_layers
    for edge in drawn.edges[0]:  # coordinates are mapped to [-1, 1], which the quadrature points nearly fill
        assert (edge.x[0], edge.x[-1]) == (pytest.approx(-1, abs=0.05), pytest.approx(1, abs=0.05))
        x = torch.zeros(len(edge.x), 2, dtype=torch.float64)
        x[:, edge.source] = torch.as_tensor(edge.x)
        expected = first.activations(first.bases(x, 0))[0][:, edge.source, edge.target]
        np.testing.assert_allclose(edge.y, expected.numpy(), rtol=1e-12, atol=1e-14)
    grid = torch.cartesian_prod(torch.linspace(0, 2, 80, dtype=torch.float64), torch.linspace(-1, 1, 80, dtype=torch.float64))
    for edge, (low, high) in zip(drawn.edges[1], zip(*hidden_ranges(trained, grid)[0], strict=True), strict=True):
        assert edge.x[0] == pytest.approx(float(low), abs=0.15)
        assert edge.x[-1] == pytest.approx(float(high), abs=0.15)
    assert second.edges == len(drawn.edges[1]) == 3
    assert all(0.0 <= edge.score <= 1.0 for layer in drawn.edges for edge in layer)


def test_only_kans_have_a_picture() -> None:
    problem = Problem(domain=pk.box(x=(0, 1)), equation=lambda u: pk.dx(pk.dx(u)), source=1.0, conditions=[pk.dirichlet(0.0)])
    options = TrainingOptions(points=50, steps=1)
    solution = solve(problem, network=NetworkOptions("mlp", (2,)), training=options)
    assert not network_drawing.can_be_drawn(solution)
    with pytest.raises(OutputError, match="MLP; what can be drawn is a KAN"):
        network_drawing.drawing(solution)
    exact = Problem(
        domain=pk.box(x=(0, 1)), equation=lambda u: pk.dx(pk.dx(u)), source=1.0,
        conditions=[pk.dirichlet(0.0, enforce="exact")],
    )  # fmt: skip
    built = solve(exact, network=NetworkOptions("kan", (2,), 3, 2), training=options)
    assert network_drawing.drawing(built).outputs == ("N(u)",)
