"""A network with functions of corners beside it: Σ_j a_j ψ_j is added to each output, with factors a_j of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan.fields.corner_functions import CornerFunctions
from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.pullbacks import pairing
from pdekan.networks.base import Network, Trace


class SingularNetwork(Network):
    """outputs_k = network_k + Σ_j a_kj ψ_j of points in the plane; see `fields.corner_functions` for ψ.

    Flat parameters: the network's, then the factors a_kj of the pairs (k, j) that the functions allow, output by output, on
    which the outputs depend linearly.
    """

    def __init__(self, network: Network, corners: Sequence[CornerFunctions]) -> None:
        super().__init__()
        self.network: Network = network
        self.corners = tuple(corners)
        self.inputs, self.outputs = network.inputs, network.outputs
        functions = [one for one in self.corners for _ in one.powers]
        self.pairs = [
            (k, j) for k in range(self.outputs) for j, one in enumerate(functions) if not one.outputs or k in one.outputs
        ]
        # a submodule, so that its parameters are the last ones
        self.factors = nn.ParameterList([nn.Parameter(torch.zeros(len(self.pairs), dtype=torch.float64))])

    def with_network(self, network: Network) -> SingularNetwork:
        """Another network beside the same functions with the same factors."""
        other = SingularNetwork(network, self.corners)
        with torch.no_grad():
            other.factors[0].copy_(self.factors[0])
        return other.to(next(network.parameters()).device)

    @property
    def linear_parameters(self) -> int:
        count: int = self.network.linear_parameters + self.factors[0].numel()
        return count

    @property
    def homogeneous(self) -> bool:
        return self.network.homogeneous

    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        self.network.normalise(points, lazily)

    def architecture(self) -> dict[str, Any]:
        """That of the network, and the functions as plain numbers."""
        return self.network.architecture() | {"corners": [asdict(one) for one in self.corners]}

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self.sum(self.network.jet(points, frame), self.functions(points, frame))

    def functions(self, points: Tensor, frame: Frame) -> Jet:
        """All functions ψ at points, one component each."""
        return concatenated([one.jet(points, frame) for one in self.corners], dim=1)

    def sum(self, outputs: Jet, functions: Jet) -> Jet:
        """The outputs from those of the network and the functions at the same points."""
        flat, (k, j) = self.factors[0], zip(*self.pairs, strict=True)
        factors = flat.new_zeros(self.outputs, functions.value.shape[1]).index_put((torch.tensor(k), torch.tensor(j)), flat)
        return outputs + functions.each(lambda part: torch.einsum("nj...,kj->nk...", part, factors))

    def prepare(self, points: Tensor, frame: Frame) -> tuple[object, Jet]:
        return self.network.prepare(points, frame), self.functions(points, frame)

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> SingularTrace:
        inner, functions = cast("tuple[object, Jet]", prepared)
        return SingularTrace(self, self.network.trace(inner, only_linear), functions)


@dataclass(frozen=True)
class SingularTrace:
    """A network with functions of corners evaluated at points; see `networks.base.Trace`."""

    network: SingularNetwork
    inner: Trace
    functions: Jet

    @property
    def jet(self) -> Jet:
        return self.network.sum(self.inner.jet, self.functions)

    def rows(self, cotangent: Jet) -> Tensor:
        """The columns of the network, then those of the factors, output by output."""
        columns = [pairing(cotangent[k], self.functions[j])[:, None] for k, j in self.network.pairs]
        return torch.cat([self.inner.rows(cotangent), *columns], dim=1)


def corner_functions(stored: Sequence[Mapping[str, Any]]) -> list[CornerFunctions]:
    """The functions of a stored architecture. Raises KeyError, TypeError or ValueError for what is none."""
    return [
        CornerFunctions(
            tuple(one["point"]), tuple(one["matrix"]), float(one["opening"]),
            tuple((float(order), float(frequency), bool(sine), bool(log)) for order, frequency, sine, log in one["powers"]),
            tuple(map(int, one.get("outputs", ()))),
        )
        for one in stored
    ]  # fmt: skip
