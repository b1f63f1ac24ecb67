"""A formula drawn as a network: functions of one variable on the edges, sums and products at the nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import sympy
from scipy.stats import qmc
from sympy import Expr

from pdekan.domains.quadrature import Array
from pdekan.output.network_figure import PRODUCT, SUM, Drawing, Edge
from pdekan.symbolic.expressions import symbol
from pdekan.symbolic.templates import evaluate

CURVE_POINTS = 120  # of an activation
SAMPLES = 512  # points at which nodes are evaluated for their ranges
MAX_LABEL = 12  # characters of a label; where a function is longer, its name is the label
Z = sympy.Symbol("z", real=True)


@dataclass
class _Node:
    """A node: a coordinate, a sum, or a product. value: as an expression of the coordinates; below: its edges."""

    kind: str
    value: Expr
    below: list[tuple[Expr, _Node]] = field(default_factory=list)

    @property
    def height(self) -> int:
        """The row of the node, 0 for coordinates."""
        return 1 + max((child.height for _, child in self.below), default=-1)


def drawing(expressions: Mapping[str, Expr], coordinates: Sequence[str], lower: Array, upper: Array) -> Drawing:
    """The network of formulas of all unknowns over a box, with the edges' functions of z as symbols."""
    inputs = [_Node("", symbol(name)) for name in coordinates]
    tops = [_product(one, inputs) if one.is_Mul else _sum(one, inputs) for one in expressions.values()]
    height = max(1, *(top.height for top in tops))
    rows: list[list[_Node]] = [inputs] + [[] for _ in range(height)]
    for top in tops:
        _place(_raised(top, height), rows)
    unit = qmc.Sobol(len(coordinates), rng=np.random.default_rng(0)).random_base2(int(math.log2(SAMPLES)))
    points = lower + unit * (upper - lower)
    environment = {symbol(name): points[:, k] for k, name in enumerate(coordinates)}
    layers = []
    for below, row in pairwise(rows):
        places = {id(node): place for place, node in enumerate(below)}
        pairs = [(g, child, target) for target, node in enumerate(row) for g, child in node.below]
        layers.append(tuple(_edge(g, child, places[id(child)], target, environment) for g, child, target in pairs))
    nodes = tuple(tuple(node.kind for node in row) for row in rows[1:])
    return Drawing(tuple(coordinates), tuple(expressions), nodes, tuple(layers))


def _sum(expression: Expr, inputs: Sequence[_Node]) -> _Node:
    """The sum of an expression's terms: those of one coordinate on one edge, the others as nodes below."""
    node = _Node(SUM, expression)
    terms = [one for term in sympy.Add.make_args(expression) for one in sympy.Add.make_args(_distributed(term))]
    for own, part in _grouped(terms, sympy.Add):
        if len(own) <= 1:
            node.below.append(_edge_to(part, own, inputs))
            continue
        for term in sympy.Add.make_args(part):
            factor, rest = _constant_factor(term)
            if rest.is_Mul:
                node.below.append((factor * Z, _product(rest, inputs)))
            else:
                inner, outer = _peeled(rest)
                node.below.append((factor * outer, _sum(inner, inputs)))
    return node


def _product(expression: Expr, inputs: Sequence[_Node]) -> _Node:
    """The product of an expression's factors."""
    node = _Node(PRODUCT, expression)
    for own, part in _grouped(sympy.Mul.make_args(expression), sympy.Mul):
        if len(own) <= 1:
            node.below.append(_edge_to(part, own, inputs))
            continue
        for factor in sympy.Mul.make_args(part):
            inner, outer = _peeled(factor)
            node.below.append((outer, _sum(inner, inputs)))
    return node


def _constant_factor(term: Expr) -> tuple[Expr, Expr]:
    """The constant factor of a product, and the rest."""
    return term.as_independent(*term.free_symbols, as_Add=False) if term.free_symbols else (term, sympy.Integer(1))


def _distributed(term: Expr) -> Expr:
    """The term, or where it is a multiple of a sum that sum of multiples."""
    factor, rest = _constant_factor(term)
    return sympy.Add(*(factor * one for one in rest.args)) if rest.is_Add else term


def _grouped(parts: Sequence[Expr], join: type) -> list[tuple[frozenset[Expr], Expr]]:
    """Parts joined by the coordinates that they depend on; constants join the group of fewest coordinates."""
    groups: dict[frozenset[Expr], list[Expr]] = {}
    for part in parts:
        groups.setdefault(frozenset(part.free_symbols), []).append(part)
    constants = groups.pop(frozenset(), [])
    if not groups:
        return [(frozenset(), join(*constants))]
    first = min(groups, key=len)
    groups[first] = groups[first] + constants
    return [(own, join(*some)) for own, some in groups.items()]


def _peeled(expression: Expr) -> tuple[Expr, Expr]:
    """The argument of an expression's outermost function, and that function of z."""
    if expression.is_Pow and not expression.exp.free_symbols:
        return expression.base, Z**expression.exp
    if len(expression.args) == 1:
        return expression.args[0], expression.func(Z)
    return expression, Z


def _edge_to(expression: Expr, own: frozenset[Expr], inputs: Sequence[_Node]) -> tuple[Expr, _Node]:
    """The edge from the only coordinate of an expression; from the first for a constant."""
    node = next((one for one in inputs if one.value in own), inputs[0])
    return expression.xreplace({node.value: Z}), node


def _raised(node: _Node, height: int) -> _Node:
    """The node in the row `height`, with identity nodes on the edges to lower rows than the one below."""
    while node.height < height:
        node = _Node(SUM, node.value, [(Z, node)])
    node.below = [(g, _raised(child, height - 1) if height > 1 else child) for g, child in node.below]
    return node


def _place(node: _Node, rows: list[list[_Node]]) -> None:
    """Put a node and those below it into their rows, each once."""
    if node.height == 0:
        return
    for _, child in node.below:
        _place(child, rows)
    rows[node.height].append(node)


def _edge(g: Expr, child: _Node, source: int, target: int, environment: Mapping[Expr, Array]) -> Edge:
    with np.errstate(all="ignore"):
        values = np.broadcast_to(evaluate(child.value, environment), (SAMPLES,))
        values = values[np.isfinite(values)]
        x = np.linspace(values.min(), values.max(), CURVE_POINTS) if len(values) else np.zeros(CURVE_POINTS)
        y = np.broadcast_to(evaluate(g, {Z: x}), x.shape).astype(float)
    return Edge(source, target, x, np.nan_to_num(y), 1.0, _name(g))


def _name(g: Expr) -> str:
    """The label of an edge."""
    text = str(sympy.N(g, 3) if g.atoms(sympy.Float) else g).replace("**", "^").replace("*", "").replace("pi", "π")
    if len(text) <= MAX_LABEL:
        return text
    inner = [one for one in sympy.preorder_traversal(g) if one.is_Function]
    return str(inner[0].func.__name__) if inner else "polynomial"
