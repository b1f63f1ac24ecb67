"""A formula's network computes the formula: rows of nodes, and a function on every edge."""

from __future__ import annotations

import numpy as np
import pytest

from pdekan.output.network_figure import PRODUCT, Drawing, networks
from pdekan.symbolic.drawing import drawing
from pdekan.symbolic.writing import read

CASES = {
    "sin(pi*x)*sin(pi*y**2)": [1],
    "exp(sin(pi*x) + y**2)": [1, 1],
    "x*y + x**2 + 3": [2, 1],
    "exp(-x)*sin(pi*y) + exp(-4*x)*sin(2*pi*y)/2": [2, 1],
    "(1 - x**2 - y**2)*exp(x + y/2)": [2, 1],
    "sin(pi*(x - y))": [1, 1],
    "2": [1],
}


def computed(network: Drawing, point: np.ndarray) -> np.ndarray:
    """The network's outputs at a point, by interpolation in the curves that are drawn."""
    values = point
    for row, edges in zip(network.nodes, network.edges, strict=True):
        parts: list[list[float]] = [[] for _ in row]
        for edge in edges:
            parts[edge.target].append(float(np.interp(values[edge.source], edge.x, edge.y)))
        values = np.array([np.prod(one) if kind == PRODUCT else np.sum(one) for kind, one in zip(row, parts, strict=True)])
    return values


@pytest.mark.parametrize("text", CASES)
def test_the_network_that_is_drawn_is_the_formula(text: str) -> None:
    expression = read(text, ["x", "y"])
    network = drawing({"u": expression}, ("x", "y"), np.full(2, 0.1), np.full(2, 0.9))
    assert [len(row) for row in network.nodes] == CASES[text]
    for x, y in ((0.3, 0.6), (0.5, 0.2)):
        wanted = float(expression.subs({one: x if one.name == "x" else y for one in expression.free_symbols}))
        assert computed(network, np.array([x, y]))[0] == pytest.approx(wanted, abs=3e-3)


def test_several_unknowns_and_symbols() -> None:
    formulas = {name: read(text, ["x", "y"]) for name, text in (("u", "sin(x)*y"), ("v", "x + exp(y)"))}
    network = drawing(formulas, ("x", "y"), np.zeros(2), np.ones(2))
    assert network.outputs == ("u", "v")
    symbols = {edge.symbol for layer in network.edges for edge in layer}
    assert {"sin(z)", "exp(z)", "z"} <= symbols
    assert networks([network]).axes
