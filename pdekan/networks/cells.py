"""A network for each cell of a partition of a box."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pdekan.domains.partition import Integers, Partition
from pdekan.domains.quadrature import Array
from pdekan.domains.regions import Regions
from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks import legendre
from pdekan.networks.base import Network


class CellNetwork(Network):
    """On each cell of a box its own network, whose span is the polynomials of a total degree, see `networks.legendre`.

    partition: the m cells. degrees: ``(m,)``. boxes: ``(m, d)`` corners of what is used of each cell, all of it by default.
    Parameters: the coefficients of cell after cell, for each the outputs one after the other. On a face the network of the cell
    above it holds. Raises ValueError where degrees and cells do not match.
    """

    def __init__(
        self, partition: Partition, degrees: Integers, outputs: int = 1, boxes: tuple[Array, Array] | None = None
    ) -> None:
        super().__init__()
        if len(degrees) != partition.count:
            raise ValueError(f"{len(degrees)} degrees for {partition.count} cells")
        self.inputs, self.outputs = partition.dimension, outputs
        sizes = [outputs * legendre.count(self.inputs, int(p)) for p in degrees]
        self.coefficients = nn.Parameter(torch.zeros(sum(sizes), dtype=torch.float64))
        low, high = boxes or partition.cells
        self._partition: Partition | None = None
        self.regions: Regions | None = None
        for name, values in (
            ("lower", np.array(partition.lower)),
            ("upper", np.array(partition.upper)),
            ("axis", partition.axis),
            ("at", partition.at),
            ("degrees", np.asarray(degrees, dtype=np.int64)),
            ("low", low),
            ("high", high),
        ):
            self.register_buffer(name, torch.as_tensor(values))

    @property
    def partition(self) -> Partition:
        """The cells."""
        lower, upper, axis, at = (self.get_buffer(name).cpu().numpy() for name in ("lower", "upper", "axis", "at"))
        if self._partition is None or not (np.array_equal(self._partition.at, at)):  # buffers may have been loaded since
            self._partition = Partition(tuple(lower.tolist()), tuple(upper.tolist()), axis, at)
        return self._partition

    def within(self, regions: Regions) -> CellNetwork:
        """The network, whose cells lie in regions, which tell cells apart that interfaces cut out of the same box."""
        self.regions = regions
        return self

    def continued(self, region: int) -> CellNetwork:
        """The network whose cells in a region hold everywhere, with the same coefficients."""
        other = copy.copy(self)
        other.regions = None if self.regions is None else self.regions.everywhere(region)
        return other

    @property
    def cell_degrees(self) -> Integers:
        """The degrees ``(m,)``."""
        degrees: Integers = self.get_buffer("degrees").cpu().numpy()
        return degrees

    @property
    def linear_parameters(self) -> int:
        return self.coefficients.numel()

    @property
    def numbers_at_a_point(self) -> int:
        """Those of the largest cell."""
        return self.outputs * legendre.count(self.inputs, int(self.cell_degrees.max()))

    def architecture(self) -> dict[str, Any]:
        """The number of cells, and of cells by degree; the cuts are stored beside the coefficients."""
        degrees, counts = np.unique(self.get_buffer("degrees").cpu().numpy(), return_counts=True)
        return {
            "kind": "cells",
            "inputs": self.inputs,
            "outputs": self.outputs,
            "cells": int(counts.sum()),
            "degrees": {str(p): int(n) for p, n in zip(degrees, counts, strict=True)},
        }

    def blocks(self) -> list[Tensor]:
        """The coefficients ``(outputs, n)`` of every cell."""
        sizes = [self.outputs * legendre.count(self.inputs, p) for p in self.get_buffer("degrees").tolist()]
        return [part.reshape(self.outputs, -1) for part in self.coefficients.split(sizes)]

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        partition, degrees = self.partition, self.get_buffer("degrees")
        numbers = None if self.regions is None else torch.as_tensor(self.regions.numbers(points.detach().cpu().numpy()))
        cell = partition.locate(points, None if numbers is None else numbers.to(points.device))
        low, high = (self.get_buffer(name) for name in ("low", "high"))
        scale = 2.0 / (high - low)[cell]
        position = (points - low[cell]) * scale - 1.0
        starts = self._starts(degrees)
        order, jets = [], []
        for p in degrees[cell].unique().tolist():
            rows = torch.nonzero(degrees[cell] == p)[:, 0]
            n = legendre.count(self.inputs, p)
            index = starts[cell[rows]][:, None] + torch.arange(self.outputs * n, device=points.device)
            coefficients = self.coefficients[index].reshape(-1, self.outputs, n)
            basis = legendre.products(position[rows], scale[rows], p, frame)
            jets.append(
                basis.each(lambda part, c=coefficients: torch.einsum("nu...,nku->nk...", part, c))  # type: ignore[misc]
            )
            order.append(rows)
        back = torch.argsort(torch.cat(order))
        return concatenated(jets).each(lambda part: part[back])

    def jet_in(self, cells: Integers, nodes: Tensor, frame: Frame) -> Jet:
        """Values and derivatives, cell by cell, at points that lie in all cells as the nodes ``(g, d)`` in [-1, 1]^d.

        The cells are of one degree.
        """
        degree, blocks = int(self.cell_degrees[cells[0]]), self.blocks()
        coefficients = torch.stack([blocks[cell] for cell in cells.tolist()])
        basis = legendre.reference(nodes, degree, frame)
        low, high = (self.get_buffer(name)[torch.as_tensor(cells)] for name in ("low", "high"))
        scale = 2.0 / (high - low)

        def of(part: Tensor, factor: Tensor | None) -> Tensor:
            """Part of the basis times the coefficients of each cell, and a factor for derivatives."""
            if factor is None:
                return torch.einsum("gn,mun->mgu", part, coefficients).flatten(0, 1)
            return (torch.einsum("gns,mun->mgus", part, coefficients) * factor[:, None, None]).flatten(0, 1)

        gradient = None if basis.gradient is None else of(basis.gradient, scale)
        second = None if basis.second is None else of(basis.second, legendre.factors(scale, frame))
        if second is not None and frame.level is Derivatives.SUMMED:
            second = second[..., frame.space].sum(-1, keepdim=True)
        return Jet(frame, of(basis.value, None), gradient, second)

    def _starts(self, degrees: Tensor) -> Tensor:
        sizes = torch.tensor(
            [self.outputs * legendre.count(self.inputs, p) for p in degrees.tolist()], device=self.coefficients.device
        )
        return sizes.cumsum(0) - sizes


def build(architecture: Mapping[str, Any]) -> CellNetwork:
    """A network with the numbers of cells and degrees of an architecture; where its cuts are follows from its buffers."""
    d, degrees = architecture["inputs"], architecture["degrees"]
    repeated: Sequence[int] = [int(p) for p, n in degrees.items() for _ in range(n)]
    partition = Partition.grid((0.0,) * d, (1.0,) * d, (len(repeated),) + (1,) * (d - 1))
    return CellNetwork(partition, np.array(repeated), architecture["outputs"])
