"""Edges of a trained KAN are replaced by functions of the library one at a time; all others are trained after each.

As symbolic regression in arXiv:2404.19756, section 2.5.1. A snapped edge stays in the network: its coefficients are the
least-squares fit of a·g(x; θ) + d, and only a, θ and d are trained.
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
from torch import Tensor

from pdekan import splines
from pdekan.networks.kan import KAN
from pdekan.networks.layers import LayerTrace
from pdekan.optimizers.minpack import Minpack
from pdekan.residuals.least_squares import Objective
from pdekan.symbolic.edges import SYMBOLS, Candidates, candidates, nearest, traces
from pdekan.symbolic.spans import X
from pdekan.symbolic.symbols import Family
from pdekan.symbolic.templates import Template, constant, evaluate
from pdekan.training.fit import fit

Array = NDArray[np.float64]

MAX_SINE = 0.03  # of the angle between an activation and a function that is tried for it
MAX_FACTOR = 10.0  # of the root of the loss, relative to the trained network; above it a snapped edge is taken back
EVALUATIONS = 15  # of the residuals after each edge
# Weight of a change of the constants, relative to their columns. It decides between equivalent networks: constants can pass
# from one edge of a sum to another, and scales through a node.
ANCHOR = 1e-7
ROUND_OFF, HUGE = 1e-13, 1e30


@dataclass(frozen=True)
class Snap:
    """An edge of a layer, from a node to a node, as a function of the library.

    start, size: place of its coefficients in the flat parameters. fit: the matrix from the function's values at nodes to them.
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

    def at(self, numbers: Tensor) -> Snap:
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
    """The network with as many edges as possible replaced by functions of the library, while its loss stays comparable.

    problem: what it was trained on. points: ``(n, d)``, at which the activations are evaluated. Edges come in the order of the
    angle to their nearest function; tick is called before each. An edge stays a spline where the loss grows too much with each
    of the functions near it.
    """
    theta = network.flat_parameters
    best, bound = network, MAX_FACTOR**2 * problem.loss(theta)
    snaps: list[Snap] = []
    ranked = [one for one in candidates(network, points, families) if one.matches]
    for edge in sorted(ranked, key=lambda one: one.matches[0][1]):
        tick(f"edge {edge.source} to {edge.target} of layer {edge.layer}")
        trace = traces(best, points)[edge.layer]
        named = [one for one in families if one.name in [name for name, _, _ in edge.matches]]
        for _, sine, member in nearest(trace, edge.layer, (edge.source, edge.target), named).matches:
            if sine > MAX_SINE:
                break
            trial = [*snaps, _snap(best, trace, edge, member, snaps)]
            edges = SnappedEdges.of(problem, theta, trial)
            outcome = fit(edges, Minpack(), edges.start, EVALUATIONS, lambda step: None)
            moved, trial = edges.whole(outcome.theta)
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


@dataclass(frozen=True)
class SnappedEdges:
    """The least-squares problem of a network whose snapped edges have their constants as parameters.

    numbers ``(P,)``: the free parameters of the network, then the constants of every edge. start, anchor: a change from start
    is penalised by so much a column, since constants can pass from one edge of a sum to another.
    """

    objective: Objective
    theta: Tensor
    snaps: tuple[Snap, ...]
    start: Tensor
    anchor: Tensor

    @classmethod
    def of(cls, objective: Objective, theta: Tensor, snaps: Sequence[Snap]) -> SnappedEdges:
        """The problem at the parameters of a network and the constants of its snapped edges."""
        one = cls(objective, theta, tuple(snaps), torch.empty(0), torch.empty(0))
        start = torch.cat([theta[one.free], *(torch.as_tensor(snap.numbers) for snap in snaps)])
        return replace(one, start=start, anchor=ANCHOR * torch.as_tensor(np.linalg.norm(one._rows(start)[1].numpy(), axis=0)))

    @property
    def free(self) -> Tensor:
        """Which of the network's parameters ``(P,)`` are not coefficients of snapped edges."""
        free = torch.ones(len(self.theta), dtype=torch.bool)
        for one in self.snaps:
            free[one.start : one.start + one.size] = False
        return free

    def whole(self, numbers: Tensor) -> tuple[Tensor, list[Snap]]:
        """The network's parameters and the edges with their constants."""
        first, *others = numbers.split([int(self.free.sum()), *(len(one.numbers) for one in self.snaps)])
        moved, present = self.theta.clone(), [one.at(values) for one, values in zip(self.snaps, others, strict=True)]
        moved[self.free] = first
        for one in present:
            moved[one.start : one.start + one.size] = one.coefficients()
        return moved, present

    def rows(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Residual and Jacobian, with a row for each penalty."""
        residual, jacobian = self._rows(numbers)
        return torch.cat([residual, self.anchor * (numbers - self.start)]), torch.cat([jacobian, torch.diag(self.anchor)])

    def _rows(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        moved, present = self.whole(numbers)
        residual, full = self.objective.rows(moved)
        columns = [full[:, self.free], *(full[:, one.start : one.start + one.size] @ one.slopes() for one in present)]
        return _finite(residual), _finite(torch.cat(columns, dim=1))


def _finite(values: Tensor) -> Tensor:
    """The values with a huge one in place of those that are not finite."""
    return values.nan_to_num(nan=HUGE, posinf=HUGE, neginf=-HUGE)
