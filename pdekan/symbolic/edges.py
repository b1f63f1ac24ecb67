"""The edges of a trained KAN as functions of the library, one by one.

As symbolic regression in arXiv:2404.19756, section 2.5.1, but here the constants of all edges are adjusted together afterwards.
The scales and shifts of hidden nodes are redundant in a formula: the largest edge into a sum has the factor one, and sums have
no constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
import torch
from sympy import Expr

from pdekan.ansatz.unknowns import inner_network
from pdekan.domains.quadrature import Array
from pdekan.networks.base import Network
from pdekan.networks.importance import layer_traces
from pdekan.networks.kan import KAN
from pdekan.networks.layers import Edge, LayerTrace
from pdekan.symbolic.sampling import Samples, gauss
from pdekan.symbolic.spans import FunctionSpan, X, multiple, ranked
from pdekan.symbolic.symbols import FAMILIES, Family
from pdekan.symbolic.templates import Template, combination, constant

MAX_SYMBOL_COST = 3.2  # of the families for single edges: no products of two
SYMBOLS = tuple(family for family in FAMILIES if family.cost <= MAX_SYMBOL_COST)
MAX_EDGES = 24  # of a network that is read edge by edge; larger ones are not sparse enough to be a formula
ROUND_OFF = 1e-9  # relative error of the activations of an exact network
EDGE_NOISE = 100.0  # relative error of an edge, in relative errors of the solution


@dataclass(frozen=True)
class Candidates:
    """Functions for an edge: names of families, the sine of the angle to each, and the member; see `spans.ranked`."""

    layer: int
    source: int
    target: int
    matches: tuple[tuple[str, float, Template], ...]


@dataclass(frozen=True)
class _Variable:
    """A node as a formula; the network's value there is scale · formula + shift, from lower to upper."""

    template: Template
    scale: float
    shift: float
    lower: float
    upper: float


def candidates(
    kan: KAN, points: Array, families: Sequence[Family] = SYMBOLS, count: int = 3, noise: float = ROUND_OFF
) -> list[Candidates]:
    """For every edge of a KAN at points ``(n, d)`` the families of the library that are nearest to its activation.

    noise: the relative error of activations, within which simpler families come first.
    """
    return [
        nearest(trace, k, (i, o), families, count, noise)
        for k, trace in enumerate(traces(kan, points))
        for i, o in trace.layer.kept.nonzero().tolist()
    ]


def nearest(
    trace: LayerTrace, layer: int, edge: Edge, families: Sequence[Family] = SYMBOLS, count: int = 3, noise: float = ROUND_OFF
) -> Candidates:
    """The families that are nearest to one edge of a layer that was evaluated at points."""
    x = trace.x.value[:, edge[0]]
    nodes, weights = gauss(float(x.min()), float(x.max()))
    phi = _activation(trace, *edge, nodes)
    span = FunctionSpan.of(nodes, weights, np.column_stack([np.ones_like(phi), phi]), noise)
    matches = ranked(span, np.ones((len(nodes), 1)), families)
    return Candidates(layer, *edge, tuple(matches[:count]))


@torch.no_grad()
def traces(kan: KAN, points: Array) -> list[LayerTrace]:
    """The layers of a KAN evaluated at points ``(n, d)``."""
    return layer_traces(kan, torch.as_tensor(points, dtype=torch.float64))


def readable(network: Network) -> KAN | None:
    """The network, if it can be a formula edge by edge: a KAN of splines alone, of few edges; else None."""
    kan = inner_network(network)
    if not isinstance(kan, KAN) or kan is not network or kan.base != "none" or kan.grading is not None:
        return None
    return kan if sum(layer.edges for layer in kan.spline_layers) <= MAX_EDGES else None


def of_network(network: Network, unknown: int, samples: Samples, families: Sequence[Family] = FAMILIES) -> Iterator[Template]:
    """The formula of one output of a small KAN, edge by edge; none where an edge is not in the library."""
    kan = readable(network)
    if kan is None:
        return
    layers = traces(kan, samples.scattered())
    variables: list[_Variable | None] = [_coordinate(samples, k, layers[0]) for k in range(kan.inputs)]
    for trace in layers[:-1]:
        variables = [_node(trace, o, variables, samples, families) for o in range(trace.layer.outputs)]
    top = _node(layers[-1], unknown, variables, samples, families)
    if top is None:
        return
    (scale, first), (shift, second) = constant(top.scale), constant(top.shift)
    values = dict(top.template.values) | first | second
    yield Template(scale * top.template.expression + shift, values)


@torch.no_grad()
def _activation(trace: LayerTrace, i: int, o: int, x: Array) -> Array:
    """An edge's values at arguments ``(n,)``."""
    layer = trace.layer
    arguments = torch.as_tensor(x)[:, None].expand(-1, layer.inputs)
    return np.asarray(layer.activations(layer.bases(arguments, 0))[0][:, i, o].numpy())


def _coordinate(samples: Samples, k: int, first: LayerTrace) -> _Variable:
    """A coordinate, mapped by the network to the knots' range."""
    raw = first.x.value[:, k]
    points = samples.scattered()[:, k]
    scale = float((raw[1] - raw[0]) / (points[1] - points[0]))
    shift = float(raw[0]) - scale * float(points[0])
    return _Variable(Template(samples.symbols[k], {}), scale, shift, float(raw.min()), float(raw.max()))


@torch.no_grad()
def _node(
    trace: LayerTrace, o: int, variables: Sequence[_Variable | None], samples: Samples, families: Sequence[Family]
) -> _Variable | None:
    """A sum or a product of functions of the variables below; None where one of them is not in the library."""
    is_sum = o < trace.layer.sums
    parts: list[tuple[Template, float, float]] = []
    for i in trace.layer.kept[:, o].nonzero()[:, 0].tolist():
        below = variables[i]
        part = None if below is None else _edge(trace, i, o, below, is_sum, EDGE_NOISE * samples.noise, families)
        if part is None:
            return None
        parts.append(part)
    if not parts:
        return None
    raw = trace.output.value[:, o]
    lower, upper = float(raw.min()), float(raw.max())
    if not is_sum:
        product: Expr = sympy.Mul(*(one.expression for one, _, _ in parts))
        values = {c: v for one, _, _ in parts for c, v in one.values.items()}
        return _Variable(Template(product, values), float(np.prod([factor for _, factor, _ in parts])), 0.0, lower, upper)
    functions, factors, shifts = zip(*parts, strict=True)
    largest = max(factors, key=abs)
    units = [k for k, factor in enumerate(factors) if factor == largest]
    template = combination(functions, [factor / largest for factor in factors], units)
    return _Variable(template, largest, sum(shifts), lower, upper)


def _edge(
    trace: LayerTrace, i: int, o: int, below: _Variable, is_sum: bool, noise: float, families: Sequence[Family]
) -> tuple[Template, float, float] | None:
    """An edge as factor · g(variable) + shift, of a product without the shift."""
    nodes, weights = gauss(below.lower, below.upper)
    phi = _activation(trace, i, o, nodes)
    x = (nodes - below.shift) / below.scale
    order = np.argsort(x)
    x, phi, weights = x[order], phi[order], weights[order]
    found = multiple(x, weights, phi, noise, families, shifted=is_sum)
    if found is None:
        return None
    member, factor, shift = found
    expression = member.expression.xreplace({X: below.template.expression})
    return Template(expression, dict(member.values) | dict(below.template.values)), factor, shift
