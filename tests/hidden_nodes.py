"""The values that hidden nodes take."""

from __future__ import annotations

from torch import Tensor

from pdekan.networks.importance import layer_traces
from pdekan.networks.kan import KAN


def hidden_ranges(network: KAN, points: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Least and greatest value of every hidden node over points ``(n, inputs)``, layer by layer."""
    values = [trace.output.value for trace in layer_traces(network, points)[:-1]]
    return [(value.amin(0), value.amax(0)) for value in values]
