"""Networks for parts of time, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network


class Slabs(Network):
    """The first network up to breaks[0], the second from there to breaks[1], …, the last without end.

    breaks: increasing times, one fewer than networks; column: that of time among the coordinates.
    """

    def __init__(self, networks: Sequence[Network], breaks: Sequence[float], column: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.inputs, self.outputs = networks[0].inputs, networks[0].outputs
        self.breaks, self.column = tuple(breaks), column

    @property
    def parts(self) -> list[Network]:
        """The networks, first to last."""
        return cast("list[Network]", list(self.networks))

    def architecture(self) -> dict[str, Any]:
        networks = [network.architecture() for network in self.parts]
        return {"kind": "slabs", "breaks": list(self.breaks), "column": self.column, "networks": networks}

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        place = torch.bucketize(points[:, self.column].contiguous(), points.new_tensor(self.breaks))
        order, pieces = [], []
        for k, network in enumerate(self.parts):
            rows = torch.nonzero(place == k)[:, 0]
            if len(rows):
                order.append(rows)
                pieces.append(network.jet(points[rows], Frame(frame.coordinates, frame.level)))
        back = torch.argsort(torch.cat(order))

        def together(parts: list[Tensor | None]) -> Tensor | None:
            known = [part for part in parts if part is not None]
            return torch.cat(known)[back] if known else None

        value = torch.cat([piece.value for piece in pieces])[back]
        return Jet(frame, value, together([p.gradient for p in pieces]), together([p.second for p in pieces]))
