"""A network for each interval of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import JoinedNetwork, Network


class PiecewiseInTime(JoinedNetwork):
    """The first network up to breaks[0], the second from there to breaks[1], …, the last from the last break on.

    breaks: increasing times, one fewer than networks; column: that of time among the coordinates.
    """

    def __init__(self, networks: Sequence[Network], breaks: Sequence[float], column: int) -> None:
        super().__init__(networks)
        self.breaks, self.column = tuple(breaks), column

    @property
    def numbers_at_a_point(self) -> int:
        return max(network.numbers_at_a_point for network in self.parts)

    def architecture(self) -> dict[str, Any]:
        networks = [network.architecture() for network in self.parts]
        return {"kind": "slabs", "breaks": list(self.breaks), "column": self.column, "networks": networks}

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        interval = torch.bucketize(points[:, self.column].contiguous(), points.new_tensor(self.breaks))
        rows = [torch.nonzero(interval == k)[:, 0] for k in range(len(self.parts))]
        inner = replace(frame, normal=None)
        jets = [network.jet(points[own], inner) for network, own in zip(self.parts, rows, strict=True) if len(own)]
        original_order = torch.argsort(torch.cat(rows))
        return replace(concatenated(jets).each(lambda part: part[original_order]), frame=frame)
