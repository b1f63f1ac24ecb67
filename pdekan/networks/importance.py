"""Attribution scores of the edges and nodes of a KAN, from the outputs back to the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.kan import KAN
from pdekan.networks.layers import LayerTrace


@dataclass(frozen=True)
class Importance:
    """Scores, at least 0: 1 for an output, 0 for edges and nodes that no output depends on.

    edges: for every layer of edges ``(inputs, outputs)``. nodes: for every layer of nodes, inputs first, ``(width,)``.
    """

    edges: list[Tensor]
    nodes: list[Tensor]


@torch.no_grad()
def importance(network: KAN, points: Tensor) -> Importance:
    """Attribution scores at points ``(n, d)``, B = A E / N of an edge and A = Σ B of the node that it leaves.

    E is the root mean square of the change of the node that the edge leads to where the edge is replaced by its mean; N is the
    standard deviation of that node, and A its score (KAN 2.0, arXiv:2408.10205, section 4.1). Scores do not depend on the
    scales of hidden nodes.
    """
    nodes = [torch.ones(network.outputs, dtype=torch.float64, device=points.device)]
    edges: list[Tensor] = []
    for trace in reversed(layer_traces(network, points)):
        share = effects(trace) / trace.output.value.std(0, correction=0).clamp_min(1e-300)
        edges.insert(0, nodes[0] * torch.where(trace.layer.kept, share, 0.0))
        nodes.insert(0, edges[0].sum(1))
    return Importance(edges, nodes)


@torch.no_grad()
def layer_traces(network: KAN, points: Tensor) -> list[LayerTrace]:
    """The layers at points ``(n, d)``, first to last, each with its inputs, activations and outputs."""
    frame = Frame(("",) * network.inputs, Derivatives.VALUE)
    return network.trace(network.prepare(points, frame)).layers


def effects(trace: LayerTrace) -> Tensor:
    """Root mean square ``(inputs, outputs)`` of the change of a node where the edge into it is replaced by its mean."""
    phi, sums = trace.phi[0], trace.layer.sums
    change = phi - phi.mean(0)
    if trace.layer.products:
        others = [torch.cat([phi[:, :i, sums:], phi[:, i + 1 :, sums:]], dim=1).prod(1) for i in range(phi.shape[1])]
        change[..., sums:] *= torch.stack(others, dim=1)
    rms: Tensor = change.square().mean(0).sqrt()
    return rms
