"""A network with singular functions beside it: Σ_j a_j ψ_j is added to each output, with factors a_j of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan.fields.corner_functions import CornerFunctions, Power
from pdekan.fields.diffusion_functions import DiffusionFunctions, DiffusionProducts
from pdekan.fields.functions import concatenated
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.plane_functions import PlaneFunctions
from pdekan.fields.pullbacks import pairing
from pdekan.fields.singular_functions import SingularFunctions
from pdekan.networks.base import Network, Trace

_HIGHEST = 100  # degree of stored functions, so that a file cannot ask for any memory
# the keys under which an architecture has functions, in the order of `Problem.singular`
_KINDS = {"corners": CornerFunctions, "planes": PlaneFunctions, "beginnings": DiffusionFunctions, "edges": DiffusionProducts}


class SingularNetwork(Network):
    """outputs_k = network_k + Σ_j a_kj ψ_j with singular functions ψ; see `fields.singular_functions`.

    Flat parameters: the network's, then the factors a_kj of the pairs (k, j) that the functions allow, output by output, on
    which the outputs depend linearly.
    """

    def __init__(self, network: Network, singular: Sequence[SingularFunctions]) -> None:
        super().__init__()
        self.network: Network = network
        self.singular = tuple(singular)
        self.inputs, self.outputs = network.inputs, network.outputs
        functions = [one for one in self.singular for _ in range(one.count)]
        self.pairs = [
            (k, j) for k in range(self.outputs) for j, one in enumerate(functions) if not one.outputs or k in one.outputs
        ]
        # a submodule, so that its parameters are the last ones
        self.factors = nn.ParameterList([nn.Parameter(torch.zeros(len(self.pairs), dtype=torch.float64))])

    def with_network(self, network: Network) -> SingularNetwork:
        """Another network beside the same functions with the same factors."""
        other = SingularNetwork(network, self.singular)
        with torch.no_grad():
            other.factors[0].copy_(self.factors[0])
        return other.to(network.device)

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
        stored = {key: [asdict(one) for one in self.singular if isinstance(one, kind)] for key, kind in _KINDS.items()}
        return self.network.architecture() | {key: functions for key, functions in stored.items() if functions}

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self.sum(self.network.jet(points, frame), self.functions(points, frame))

    def functions(self, points: Tensor, frame: Frame) -> Jet:
        """All functions ψ at points, one component each."""
        return concatenated([one.jet(points, frame) for one in self.singular], dim=1)

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
        outputs = itertools.groupby(self.network.pairs, key=lambda pair: pair[0])
        columns = [self._columns(cotangent[k], [j for _, j in pairs]) for k, pairs in outputs]
        return torch.cat([self.inner.rows(cotangent), *columns], dim=1)

    def _columns(self, cotangent: Jet, chosen: list[int]) -> Tensor:
        """Those of some functions' factors in one output."""
        functions = self.functions.each(lambda part: part[:, chosen])
        return pairing(cotangent.each(lambda part: part[:, None]), functions)


def singular_functions(architecture: Mapping[str, Any]) -> list[SingularFunctions]:
    """The functions of a stored architecture. Raises KeyError, TypeError or ValueError for what is none."""
    readers: dict[str, Callable[[Mapping[str, Any]], SingularFunctions]] = {
        "corners": _corner_functions,
        "planes": _plane_functions,
        "beginnings": _diffusion_functions,
        "edges": _diffusion_products,
    }
    return [read(stored) for key, read in readers.items() for stored in architecture.get(key, ())]


def _corner_functions(stored: Mapping[str, Any]) -> CornerFunctions:
    powers = tuple(
        Power(float(order), float(frequency), bool(sine), bool(log), *map(float, rest))
        for order, frequency, sine, log, *rest in stored["powers"]
    )
    outputs = tuple(map(int, stored.get("outputs", ())))
    far = float(stored.get("far", 0.0))
    return CornerFunctions(tuple(stored["point"]), tuple(stored["matrix"]), float(stored["opening"]), powers, outputs, far)


def _plane_functions(stored: Mapping[str, Any]) -> PlaneFunctions:
    point, normal, powers = (tuple(map(float, stored[key])) for key in ("point", "normal", "powers"))
    degree = int(stored["degree"])
    if not 0 <= degree <= _HIGHEST or len(point) != len(normal):
        raise ValueError(f"a degree of {degree} along a plane")
    return PlaneFunctions(point, normal, powers, degree, tuple(map(int, stored.get("outputs", ()))))


def _diffusion_functions(stored: Mapping[str, Any]) -> DiffusionFunctions:
    point, normal = (tuple(map(float, stored[key])) for key in ("point", "normal"))
    orders = tuple((int(m), int(k)) for m, k in stored["orders"])
    degree, time = int(stored["degree"]), int(stored["time"])
    small = 0 <= degree <= _HIGHEST and all(0 <= m <= _HIGHEST and 0 <= k <= _HIGHEST for m, k in orders)
    if not small or not 0 <= time < len(point) == len(normal) or not orders:
        raise ValueError(f"orders {orders} of diffusion in {len(point)} coordinates, degree {degree}")
    duration, width = float(stored["duration"]), float(stored["width"])
    rates, outputs = tuple(map(float, stored.get("rates", ()))), tuple(map(int, stored.get("outputs", ())))
    return DiffusionFunctions(point, normal, time, duration, orders, degree, width, rates, outputs)


def _diffusion_products(stored: Mapping[str, Any]) -> DiffusionProducts:
    first, second = _diffusion_functions(stored["first"]), _diffusion_functions(stored["second"])
    return DiffusionProducts(first, second, int(stored["highest"]), tuple(map(int, stored.get("outputs", ()))))
