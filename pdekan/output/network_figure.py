"""Drawings of KANs: nodes in rows from inputs to outputs, and on every edge a small box with its activation.

As figures 2.2 to 2.4 of arXiv:2404.19756: the opacity of an edge is tanh(β · score).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import tanh

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from pdekan.output.labels import symbol
from pdekan.output.panels import BLUE, DOTS_PER_INCH, GREY, LABEL_SIZE, TICK_SIZE, TITLE_SIZE
from pdekan.output.samples import Array, OutputError

SUM, PRODUCT = "+", "\N{MULTIPLICATION SIGN}"
_BETA, _MIN_OPACITY = 3.0, 0.07
# lengths in inches; boxes shrink where a figure would be wider than a page
_MAX_BOX, _MIN_BOX, _MIN_WIDTH, _PAGE_WIDTH = 0.52, 0.15, 2.2, 7.1
_BOX_SHARE = 0.8  # of the width that a box has in its row
_GAP, _NODE, _MARGIN, _CAPTION = 0.36, 0.085, 0.42, 0.17  # nodes to boxes, radius of a node, at the ends, for a symbol
_MAX_BOXES = 72  # of a layer: those of the edges with the highest scores
_THIN_LINES_ABOVE = 40  # edges of a layer
_MIN_RANGE = 0.02  # of an activation's axis, relative to the largest range of those into the same node


@dataclass(frozen=True)
class Edge:
    """An edge from a node of one row to one of the next, numbered from 0 in their rows.

    x, y: its activation over the range of its input; score: its importance, about 1 where large; symbol: such as "sin" or "".
    """

    source: int
    target: int
    x: Array
    y: Array
    score: float
    symbol: str = ""


@dataclass(frozen=True)
class Drawing:
    """A network. inputs, outputs: names. nodes: SUM or PRODUCT, for every row above the inputs; edges: below each of these."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]
    edges: tuple[tuple[Edge, ...], ...]
    title: str = ""


def networks(drawings: Sequence[Drawing]) -> Figure:
    """Networks side by side, or one below the other where that is wider than a page.

    Raises OutputError for edges between nodes that do not exist.
    """
    layouts = [_Layout.of(drawing) for drawing in drawings]
    beside = sum(one.width for one in layouts) <= _PAGE_WIDTH
    width = sum(one.width for one in layouts) if beside else max(one.width for one in layouts)
    height = max(one.height for one in layouts) if beside else sum(one.height for one in layouts)
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    left, top = 0.0, height
    for drawing, layout in zip(drawings, layouts, strict=True):
        x = left if beside else 0.5 * (width - layout.width)
        axes = figure.add_axes((x / width, (top - layout.height) / height, layout.width / width, layout.height / height))
        _draw(axes, drawing, layout)
        left, top = left + layout.width, top if beside else top - layout.height
    return figure


@dataclass(frozen=True)
class _Band:
    """The boxes of a layer of edges, in inches: y of their lower sides, their side, and the height of symbols above a curve."""

    low: float
    side: float
    caption: float

    @property
    def high(self) -> float:
        return self.low + self.side + self.caption


@dataclass(frozen=True)
class _Layout:
    """Positions in inches. nodes: x of every node, row by row; rows: y of every row of nodes; bands: between them."""

    width: float
    height: float
    nodes: list[Array]
    rows: list[float]
    bands: list[_Band]

    @classmethod
    def of(cls, drawing: Drawing) -> _Layout:
        """The layout of a drawing. Raises OutputError for edges between nodes that do not exist."""
        counts = [len(drawing.inputs), *(len(row) for row in drawing.nodes)]
        for layer, (below, above) in zip(drawing.edges, pairwise(counts), strict=True):
            for edge in layer:
                if not (0 <= edge.source < below and 0 <= edge.target < above):
                    raise OutputError(f"edge {edge.source} -> {edge.target}: there are {below} nodes below and {above} above")
        boxes = [max(1, min(len(layer), _MAX_BOXES)) for layer in drawing.edges]
        widest = max(min(_MAX_BOX, max(_MIN_BOX, _BOX_SHARE * _PAGE_WIDTH / n)) * n / _BOX_SHARE for n in boxes)
        width = max(_MIN_WIDTH, 0.2 + widest, 3.0 * _NODE * max(counts))
        gap = max(_GAP, 0.05 * width)
        rows, bands = [_MARGIN], []
        for n, layer in zip(boxes, drawing.edges, strict=True):
            side = min(_MAX_BOX, _BOX_SHARE * (width - 0.2) / n)
            caption = min(_CAPTION, 0.6 * side) if any(edge.symbol for edge in layer) else 0.0
            bands.append(_Band(rows[-1] + _NODE + gap, side, caption))
            rows.append(bands[-1].high + gap + _NODE)
        nodes = [width * (np.arange(n) + 0.5) / n for n in counts]
        return cls(width, rows[-1] + _MARGIN + (0.22 if drawing.title else 0.0), nodes, rows, bands)


def _draw(axes: Axes, drawing: Drawing, layout: _Layout) -> None:
    axes.set_xlim(0.0, layout.width)
    axes.set_ylim(0.0, layout.height)
    axes.axis("off")
    for k, layer in enumerate(drawing.edges):
        _draw_layer(axes, layer, layout, k)
    _draw_nodes(axes, drawing, layout)
    if drawing.title:
        axes.text(0.5 * layout.width, layout.height - 0.06, drawing.title, ha="center", va="top", fontsize=TITLE_SIZE)


def _draw_layer(axes: Axes, layer: Sequence[Edge], layout: _Layout, k: int) -> None:
    """The edges between two rows: a row of boxes, ordered so that few lines cross, and lines to and from them."""
    important = sorted(range(len(layer)), key=lambda e: -layer[e].score)[:_MAX_BOXES]
    order = sorted(important, key=lambda e: (layer[e].source, layer[e].target))
    if len({layer[e].source for e in important}) > len({layer[e].target for e in important}):
        order = sorted(important, key=lambda e: (layer[e].target, layer[e].source))
    places = dict(zip(order, layout.width * (np.arange(len(order)) + 0.5) / max(1, len(order)), strict=True))
    band = layout.bands[k]
    lines, opacities, width = [], [], 0.8 if len(layer) <= _THIN_LINES_ABOVE else 0.5
    for e, edge in enumerate(layer):
        start = (layout.nodes[k][edge.source], layout.rows[k])
        end = (layout.nodes[k + 1][edge.target], layout.rows[k + 1])
        x = places.get(e)
        lines += [[start, end]] if x is None else [[start, (x, band.low)], [(x, band.high), end]]
        opacities += [_opacity(edge)] * (1 if x is None else 2)
    axes.add_collection(LineCollection(lines, colors=[to_rgba("black", s) for s in opacities], linewidths=width, zorder=1))
    _draw_boxes(axes, [(layer[e], places[e]) for e in order], layer, band)


def _draw_boxes(axes: Axes, placed: Sequence[tuple[Edge, float]], layer: Sequence[Edge], band: _Band) -> None:
    low, side, inset = band.low, band.side, 0.12 * band.side
    frames, curves, colours = [], [], []
    for edge, x in placed:
        frames.append(Rectangle((x - 0.5 * side, low), side, side + band.caption))
        others = [np.ptp(other.y) for other in layer if other.target == edge.target and other.y.size]
        span = max(float(np.ptp(edge.y)), _MIN_RANGE * max(others, default=0.0)) or 1.0
        across = (edge.x - edge.x.min()) / (float(np.ptp(edge.x)) or 1.0)
        up = 0.5 + (edge.y - 0.5 * (edge.y.min() + edge.y.max())) / span
        inner = side - 2.0 * inset
        curves.append(np.column_stack([x - 0.5 * inner + inner * across, low + inset + inner * up]))
        colours.append(to_rgba(BLUE, max(0.3, _opacity(edge))))
        if edge.symbol:
            size = min(TICK_SIZE, 72.0 * 0.9 * side / (0.55 * max(len(edge.symbol), 3)))
            axes.text(x, low + side + 0.4 * band.caption, edge.symbol, ha="center", va="center", fontsize=size, zorder=4)
    edges = [to_rgba("black", max(0.25, _opacity(edge))) for edge, _ in placed]
    axes.add_collection(PatchCollection(frames, facecolors="white", edgecolors=edges, linewidths=0.6, zorder=2))
    axes.add_collection(LineCollection(curves, colors=colours, linewidths=0.7 + 0.8 * side / _MAX_BOX, zorder=3))


def _opacity(edge: Edge) -> float:
    return max(_MIN_OPACITY, tanh(_BETA * edge.score))


def _draw_nodes(axes: Axes, drawing: Drawing, layout: _Layout) -> None:
    last = len(layout.rows) - 1
    for k, (row, y) in enumerate(zip(layout.nodes, layout.rows, strict=True)):
        for j, x in enumerate(row):
            sign = drawing.nodes[k - 1][j] if k else ""
            alone = k == last and not any(edge.target == j for edge in drawing.edges[-1])
            idle = k == 0 and not any(edge.source == j for edge in drawing.edges[0])  # an input that nothing depends on
            dot = Circle((x, y), _NODE if k else 0.45 * _NODE, facecolor="white" if k else "black", edgecolor="black")
            dot.set(linewidth=0.8, zorder=4, **({"facecolor": GREY, "edgecolor": GREY} if idle else {}))
            axes.add_patch(dot)
            if sign and not alone:
                _draw_sign(axes, sign, x, y)
    for names, k, offset, align in ((drawing.inputs, 0, -0.12, "top"), (drawing.outputs, last, 0.14, "bottom")):
        for name, x in zip(names, layout.nodes[k], strict=True):
            axes.text(x, layout.rows[k] + offset, symbol(name), ha="center", va=align, fontsize=LABEL_SIZE + 1.0)


def _draw_sign(axes: Axes, sign: str, x: float, y: float) -> None:
    """A plus or a cross of two lines: text is not centred exactly in so small a circle."""
    arm = 0.55 * _NODE
    if sign == PRODUCT:
        arm /= 2.0**0.5
        ends = [(-arm, -arm, arm, arm), (-arm, arm, arm, -arm)]
    else:
        ends = [(-arm, 0.0, arm, 0.0), (0.0, -arm, 0.0, arm)]
    lines = [[(x + a, y + b), (x + c, y + d)] for a, b, c, d in ends]
    axes.add_collection(LineCollection(lines, colors="black", linewidths=0.9, zorder=5))
