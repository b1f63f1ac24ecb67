"""A KAN without some of its edges, as close as it gets to what it was before it is trained again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pdekan.networks.importance import layer_traces
from pdekan.networks.kan import KAN

# layer of edges, input, output
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Removed:
    """What is left of a network; nodes: which of the nodes of every layer, inputs first, are still there."""

    network: KAN
    nodes: tuple[tuple[int, ...], ...]


@torch.no_grad()
def without(network: KAN, edges: Iterable[Place], points: Tensor) -> Removed:
    """Take edges away: each is replaced by its mean over points ``(n, d)``, which another edge into the same node takes in.

    A hidden node that nothing enters is constant and one that nothing leaves is idle: they go too, with their edges. Raises
    ValueError where that leaves no node in a hidden layer, and KeyError for edges that the network does not have.
    """
    layers, traces = network.spline_layers, layer_traces(network, points)
    kept = [layer.kept.clone() for layer in layers]
    for k, i, o in edges:
        if not bool(kept[k][i, o]):
            raise KeyError((k, i, o))
        kept[k][i, o] = False
    nodes = _settled(kept)
    if not all(nodes):
        raise ValueError("no node is left in a hidden layer; a network needs one in each")
    widths = [len(one) for one in nodes]
    places = [torch.tensor(one, device=points.device) for one in nodes]
    remaining = [mask[places[k]][:, places[k + 1]] for k, mask in enumerate(kept)]
    products = [sum(o >= layer.sums for o in nodes[k + 1]) for k, layer in enumerate(layers[:-1])]
    pruned = [[(i, o) for i, o in (~mask).nonzero().tolist()] for mask in remaining]
    smaller = network.resized(widths, network.degree, network.intervals, products, pruned)
    for k, (old, new) in enumerate(zip(layers, smaller.spline_layers, strict=True)):
        lost = old.kept & ~kept[k]
        mean, sums = traces[k].phi[0].mean(0), old.sums
        values = {name: old.dense(name).clone() for name, _ in old.named_parameters()}
        heirs = kept[k].int().argmax(0)  # the first edge that is left into every node
        columns = torch.arange(old.outputs, device=points.device)
        factor = torch.where(lost, mean, 1.0).prod(0)
        shift = torch.where(lost, mean, 0.0).sum(0)
        factor[:sums], shift[sums:] = 1.0, 0.0
        if old.base == "silu":
            values["base_weight"][heirs, columns] *= factor
            shift = shift / values["spline_weight"][heirs, columns]
        coefficients = values["coefficients"]
        coefficients[heirs, columns] = coefficients[heirs, columns] * factor[:, None] + shift[:, None]  # B-splines sum to one
        for name, value in values.items():
            new.set_dense(name, value[places[k]][:, places[k + 1]])
    return Removed(smaller, nodes)


def _settled(kept: list[Tensor]) -> tuple[tuple[int, ...], ...]:
    """Take away the edges of hidden nodes that nothing enters or leaves, in place; the nodes that are left in every layer."""
    before = -1
    while (count := sum(int(mask.sum()) for mask in kept)) != before:
        before = count
        for entering, leaving in pairwise(kept):
            idle = ~(entering.any(0) & leaving.any(1))
            entering[:, idle] = False
            leaving[idle] = False
    hidden = [tuple(mask.any(0).nonzero()[:, 0].tolist()) for mask in kept[:-1]]
    return (tuple(range(kept[0].shape[0])), *hidden, tuple(range(kept[-1].shape[1])))
