"""How much every edge and node of a KAN matters at points: attribution from the outputs back to the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.kan import KAN
from pdekan.networks.layers import LayerTrace


@dataclass(frozen=True)
class Importance:
    """Scores from 0; an output has 1, and what reaches no output 0.

    edges: for every layer of edges ``(inputs, outputs)``. nodes: for every layer of nodes, inputs first, ``(width,)``.
    """

    edges: list[Tensor]
    nodes: list[Tensor]


@torch.no_grad()
def importance(network: KAN, points: Tensor) -> Importance:
    """Attribution scores at points ``(n, d)``, B = A E / N of an edge and A = Σ B of the node that it leaves.

    E is what the value of the edge's end changes by, root mean square, were the edge constant, at its mean; N is the standard
    deviation of that node, and A its own score (KAN 2.0, arXiv:2408.10205, section 4.1). An edge into a node that does not
    matter does not matter. Scores do not change with the scales of hidden nodes.
    """
    nodes = [torch.ones(network.outputs, dtype=torch.float64, device=points.device)]
    edges: list[Tensor] = []
    for trace in reversed(evaluated(network, points)):
        share = effects(trace) / trace.output.value.std(0, correction=0).clamp_min(1e-300)
        edges.insert(0, nodes[0] * torch.where(trace.layer.kept, share, 0.0))
        nodes.insert(0, edges[0].sum(1))
    return Importance(edges, nodes)


@torch.no_grad()
def evaluated(network: KAN, points: Tensor) -> list[LayerTrace]:
    """The layers at points ``(n, d)``, first to last, each with its inputs, activations and outputs."""
    frame = Frame(("",) * network.inputs, Derivatives.VALUE)
    return network.trace(network.prepare(points, frame)).layers


def effects(trace: LayerTrace) -> Tensor:
    """Root mean square ``(inputs, outputs)`` of the change of a node, were the edge into it constant, at its mean."""
    phi, sums = trace.phi[0], trace.layer.sums
    change = phi - phi.mean(0)
    if trace.layer.products:
        others = [torch.cat([phi[:, :i, sums:], phi[:, i + 1 :, sums:]], dim=1).prod(1) for i in range(phi.shape[1])]
        change[..., sums:] *= torch.stack(others, dim=1)
    found: Tensor = change.square().mean(0).sqrt()
    return found
