"""A network's values and derivatives at any number of points, in pieces that fit into memory."""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network


@torch.no_grad()
def evaluate(network: Network, points: Tensor, frame: Frame, chunk: int | None = None) -> Jet:
    """The network's jet at any number of points, in chunks, without autograd's graph."""
    inner = Frame(frame.coordinates, frame.level)
    if chunk is None:  # a point's arrays have up to as many numbers as the network has parameters
        chunk = max(64, min(8192, 2**25 // max(1, sum(p.numel() for p in network.parameters()))))
    pieces = [network.jet(piece, inner).each(Tensor.detach) for piece in torch.split(points, chunk)]
    gradient = second = None
    if frame.level >= Derivatives.GRADIENT:
        gradient = torch.cat([piece.gradient for piece in pieces if piece.gradient is not None])
    if frame.level > Derivatives.GRADIENT:
        second = torch.cat([piece.second for piece in pieces if piece.second is not None])
    return Jet(frame, torch.cat([piece.value for piece in pieces]), gradient, second)
