"""Edges of a trained KAN become functions of the library one at a time, and all others are trained on after each.

As symbolic regression in arXiv:2404.19756, section 2.5.1. A snapped edge stays in the network: its coefficients are those of
a·g(x; θ) + d, as near as its splines come to it, and of it only a, θ and d are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import sympy
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan import splines
from pdekan.networks.kan import KAN
from pdekan.networks.layers import LayerTrace
from pdekan.residuals.least_squares import Objective
from pdekan.symbolic.edges import SYMBOLS, Candidates, candidates, nearest, traces
from pdekan.symbolic.spans import X
from pdekan.symbolic.symbols import Family
from pdekan.symbolic.templates import Template, constant, evaluate

Array = NDArray[np.float64]

LIKELY = 0.03  # sine of the angle to an activation from which on a function is not tried for it
WORSE = 10.0  # root of the loss, in that of the trained network, at which a snapped edge is taken back
EVALUATIONS = 15  # of the residuals after each edge
# Constants pass from one edge into a sum to another, and scales through a node: so much of a change is held against it.
ANCHOR = 1e-7
ROUND_OFF, HUGE = 1e-13, 1e30


@dataclass(frozen=True)
class Snap:
    """An edge of a layer, from a node to a node, as a function of the library.

    start, size: of its coefficients in the flat parameters. fit: makes them of the function's values at nodes.
    """

    layer: int
    source: int
    target: int
    template: Template
    start: int
    size: int
    nodes: Array
    fit: Tensor

    @property
    def numbers(self) -> Array:
        """The constants' values ``(m,)``."""
        return np.array(list(self.template.values.values()))

    def at(self, numbers: Array) -> Snap:
        """The same with other constants."""
        values = dict(zip(self.template.values, numbers.tolist(), strict=True))
        return replace(self, template=Template(self.template.expression, values))

    def coefficients(self) -> Tensor:
        """The edge's coefficients ``(n,)``."""
        return self.fit @ self._values(self.template.expression)

    def slopes(self) -> Tensor:
        """Their derivatives by the constants ``(n, m)``."""
        columns = [self._values(sympy.diff(self.template.expression, name)) for name in self.template.values]
        return self.fit @ torch.stack(columns, dim=1)

    def _values(self, expression: sympy.Expr) -> Tensor:
        with np.errstate(all="ignore"):
            found = evaluate(expression, {X: self.nodes} | dict(self.template.values))
        return torch.as_tensor(np.broadcast_to(np.asarray(found, dtype=float), self.nodes.shape).copy())


def snapped(
    network: KAN,
    problem: Objective,
    points: Array,
    families: Sequence[Family] = SYMBOLS,
    tick: Callable[[str], None] = lambda what: None,
) -> tuple[KAN, list[Snap]]:
    """The network with as many edges as can be made functions of the library while it solves its problem about as well.

    problem: what it was trained on. points: ``(n, d)``, which say what values edges take. The surest edge is the first; tick is
    told before each. An edge is left a spline where the loss grows too much with each of the functions that are near.
    """
    theta = parameters_to_vector(network.parameters()).detach().clone()
    best, bound = network, WORSE**2 * problem.loss(theta)
    snaps: list[Snap] = []
    ranked = [one for one in candidates(network, points, families) if one.matches]
    for edge in sorted(ranked, key=lambda one: one.matches[0][1]):
        tick(f"edge {edge.source} to {edge.target} of layer {edge.layer}")
        trace = traces(best, points)[edge.layer]
        named = [one for one in families if one.name in [name for name, _, _ in edge.matches]]
        for _, sine, member in nearest(trace, edge.layer, (edge.source, edge.target), named).matches:
            if sine > LIKELY:
                break
            trial = [*snaps, _snap(best, trace, edge, member, snaps)]
            moved, trial = _refitted(problem, theta, trial)
            if problem.loss(moved) <= bound:
                theta, snaps, best = moved, trial, cast("KAN", deepcopy(problem.load(moved)))
                break
    return best, snaps


@torch.no_grad()
def _snap(network: KAN, trace: LayerTrace, edge: Candidates, member: Template, others: Sequence[Snap]) -> Snap:
    """An edge as a·g(x; θ) + d, with a and d from its activation.

    There is no d into a product, nor into a sum that has one from another snapped edge.
    """
    layer, place = trace.layer, (edge.source, edge.target)
    x = trace.x.value[:, edge.source]
    nodes = (x.min() + 0.5 * (x.max() - x.min()) * (layer.sample_points() + 1.0)).numpy()
    design = splines.basis(torch.as_tensor(nodes), layer.degree, layer.intervals)[0]
    before = sum(p.numel() for one in network.spline_layers[: edge.layer] for p in one.parameters())
    size = layer.coefficients.shape[-1]
    index = int(layer.kept.reshape(-1)[: edge.source * layer.outputs + edge.target].sum())
    g = np.broadcast_to(evaluate(member.numeric, {X: nodes}), nodes.shape)
    columns = [g, np.ones_like(g)] if edge.target < layer.sums else [g]
    phi = (design @ layer.dense("coefficients")[place]).numpy()
    (a, scale), *offset = (constant(one) for one in np.linalg.lstsq(np.column_stack(columns), phi, rcond=None)[0])
    expression, values = a * member.expression, scale | dict(member.values)
    if offset and not any((one.layer, one.target) == (edge.layer, edge.target) for one in others):
        ((d, shift),) = offset
        expression, values = expression + d, values | shift
    fit = torch.linalg.pinv(design, rtol=ROUND_OFF)
    return Snap(edge.layer, *place, Template(expression, values), before + index * size, size, nodes, fit)


def _refitted(problem: Objective, theta: Tensor, snaps: Sequence[Snap]) -> tuple[Tensor, list[Snap]]:
    """All parameters trained together, of snapped edges their constants alone; the flat parameters and the edges."""
    free = torch.ones(len(theta), dtype=torch.bool)
    for one in snaps:
        free[one.start : one.start + one.size] = False
    ends = np.cumsum([int(free.sum()), *(len(one.numbers) for one in snaps)])[:-1]

    def whole(numbers: Array) -> tuple[Tensor, list[Snap]]:
        first, *others = np.split(numbers, ends)
        moved, present = theta.clone(), [one.at(values) for one, values in zip(snaps, others, strict=True)]
        moved[free] = torch.as_tensor(first)
        for one in present:
            moved[one.start : one.start + one.size] = one.coefficients()
        return moved, present

    def rows(numbers: Array) -> tuple[Array, Array]:
        moved, present = whole(numbers)
        residual, full = problem.rows(moved)
        columns = [full[:, free], *(full[:, one.start : one.start + one.size] @ one.slopes() for one in present)]
        return _finite(residual), _finite(torch.cat(columns, dim=1))

    start = np.concatenate([theta[free].numpy(), *(one.numbers for one in snaps)])
    anchor = ANCHOR * np.linalg.norm(rows(start)[1], axis=0)
    found = least_squares(
        lambda numbers: np.concatenate([rows(numbers)[0], anchor * (numbers - start)]),
        start,
        lambda numbers: np.concatenate([rows(numbers)[1], np.diag(anchor)]),
        method="lm",
        x_scale="jac",
        max_nfev=EVALUATIONS,
    )
    return whole(found.x)


def _finite(values: Tensor) -> Array:
    """The values with a huge one in place of what is not finite."""
    return np.asarray(np.nan_to_num(values.numpy(), nan=HUGE, posinf=HUGE, neginf=-HUGE))
