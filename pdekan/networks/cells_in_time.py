"""A network for each cell in space, whose coefficients are polynomials of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pdekan.fields.jet_parts import jet_of, parts, split
from pdekan.fields.jets import Derivatives, Frame, Jet, Level
from pdekan.fields.multi_indices import Higher, Index
from pdekan.networks import cells, legendre
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork


class CellsInTime(Network):
    """Σ_j u_j(x) √(2j + 1) P_j(τ) with τ in [-1, 1] for times from start to end, and u_j of a network of cells in space.

    space: its outputs are u_0 … u_q of one unknown after the other. column: of time among the coordinates. Before the start and
    after the end the polynomials go on.
    """

    def __init__(self, space: CellNetwork, unknowns: int, start: float, end: float, column: int) -> None:
        super().__init__()
        self.space, self.column = space, column
        self.inputs, self.outputs = space.inputs + 1, unknowns
        self.register_buffer("times", torch.tensor([start, end], dtype=torch.float64))

    @property
    def degree(self) -> int:
        """q, that of the polynomials of time."""
        return self.space.outputs // self.outputs - 1

    @property
    def linear_parameters(self) -> int:
        return self.space.linear_parameters

    @property
    def numbers_at_a_point(self) -> int:
        return self.space.numbers_at_a_point

    def architecture(self) -> dict[str, Any]:
        """That of the cells, under a kind of its own; the times are stored beside the coefficients."""
        return self.space.architecture() | {"kind": "cells_in_time", "unknowns": self.outputs, "column": self.column}

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        k = self.column
        others = [i for i in range(self.inputs) if i != k]
        start, end = self.get_buffer("times").unbind()
        scale = 2.0 / (end - start)
        along = legendre.legendre((points[:, k] - start) * scale - 1.0, self.degree, frame.order)
        in_time = [table * scale**order for order, table in enumerate(along)]
        inner = Frame(tuple(frame.coordinates[i] for i in others), _in_space(frame, k))
        series = self.space.jet(points[:, others], inner)
        known = {index: part for (index,), part in zip(parts(inner), series.flat.unbind(-1), strict=True)}

        def derivative(index: Index) -> Tensor:
            space, order = split(index, k)
            coefficients = known[space].reshape(len(points), self.outputs, -1)
            return torch.einsum("nuq,nq->nu", coefficients, in_time[order])

        return jet_of(frame, derivative)


def _in_space(frame: Frame, column: int) -> Level:
    """The derivatives in space that the derivatives of a frame have."""
    if frame.level is Derivatives.SUMMED:
        return Derivatives.DIAGONAL
    if not isinstance(frame.level, Higher):
        return frame.level
    higher = {space for space, _ in (split(index, column) for index in frame.higher) if len(space) > 2}
    return Higher(higher) if higher else Derivatives.FULL


def build(architecture: Mapping[str, Any]) -> CellsInTime:
    """A network with the numbers of an architecture; its cuts and times follow from its buffers."""
    return CellsInTime(cells.build(architecture), architecture["unknowns"], 0.0, 1.0, architecture["column"])
