"""A network's values and derivatives at any number of points, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network


def points_at_a_time(network: Network, dimension: int) -> int:
    """How many points are evaluated at a time: fewer where the network has many numbers at each of them."""
    return max(64, min(8192, 2**25 // max(1, network.numbers_at_a_point), 2**17 // dimension))


@torch.no_grad()
def evaluate(
    network: Network, points: Tensor, frame: Frame, chunk: int | None = None, check_time: Callable[[], None] = lambda: None
) -> Jet:
    """The network's jet at points ``(n, d)``, `chunk` points at a time, without autograd's graph.

    check_time: called before every chunk, and may raise.
    """
    chunk = chunk or points_at_a_time(network, points.shape[1])
    inner = replace(frame, normal=None)
    jets = []
    for piece in torch.split(points, chunk):
        check_time()
        jets.append(network.jet(piece, inner).each(Tensor.detach))
    return replace(concatenated(jets), frame=frame)
