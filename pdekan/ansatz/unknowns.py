"""The ansatz: the unknowns and the parameters of a problem as functions of a network's outputs.

    u_k = g_k + φ_k N_k + Σ_j a_j ψ_j

N_k is an output of the network, g_k and φ_k build exact conditions in (`ansatz.lifting`), ψ_j are enrichments with factors a_j
that are linear parameters, as the network's last coefficients are. Every region between interfaces has outputs of its own.
Parameters of the problem are outputs too, constant in space: optimizers do not distinguish them. Where a problem has none of
this, its ansatz is the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdekan.ansatz.lifting import Lifting
from pdekan.domains.quadrature import Array
from pdekan.domains.regions import Regions
from pdekan.fields.functions import stacked, where
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.pullbacks import pairing, product_pullback
from pdekan.networks.base import Network, Trace
from pdekan.networks.cells import CellNetwork
from pdekan.networks.singular import SingularNetwork
from pdekan.problems.problem import Problem


def regions(problem: Problem) -> list[tuple[bool, ...]]:
    """The regions that interfaces cut the domain into, each by whether the interfaces' shapes contain it."""
    return list(Regions.of(problem.domain, problem.interfaces.values()).rows) if problem.interfaces else [()]


def region_numbers(problem: Problem, points: Array) -> NDArray[np.int64]:
    """The regions ``(n,)`` of points ``(n, d)``; 0 for those in regions that are too small for a sample point."""
    return Regions.of(problem.domain, problem.interfaces.values()).numbers(points)


def network_outputs(problem: Problem) -> int:
    """The number of outputs that the problem's unknowns need: one an unknown in every region."""
    return len(problem.unknowns) * len(regions(problem))


def build_ansatz(problem: Problem, network: Network) -> Network:
    """The network as the problem's ansatz: itself, where the problem asks for nothing beside its outputs."""
    if isinstance(network, CellNetwork):
        return network.within(Regions.of(problem.domain, problem.interfaces.values())) if problem.interfaces else network
    if problem.singular and not isinstance(network, SingularNetwork):
        network = SingularNetwork(network, problem.singular)
    return Ansatz(problem, network) if has_ansatz(problem) else network


def has_ansatz(problem: Problem) -> bool:
    """Whether the unknowns are more than a network's outputs."""
    exact = any(condition.is_exact for condition in problem.conditions)
    return exact or bool(problem.parameters or problem.enrichments or problem.interfaces)


def inner_network(network: Network) -> Network:
    """The network inside an ansatz, without functions of corners; a network without either itself."""
    while isinstance(network, Ansatz | SingularNetwork):
        network = network.network
    return network


def without_ansatz(network: Network) -> Network:
    """The network inside an ansatz, with its functions of corners."""
    return network.network if isinstance(network, Ansatz) else network


def replace_inner_network(network: Network, inner: Network) -> Network:
    """The same ansatz of another network; that network itself where there is no ansatz."""
    if isinstance(network, Ansatz | SingularNetwork):
        return network.with_network(replace_inner_network(network.network, inner))
    return inner


def parameter_values(network: Network) -> dict[str, float]:
    """The values of the problem's parameters in an ansatz, by name."""
    return network.parameter_values() if isinstance(network, Ansatz) else {}


@dataclass(frozen=True)
class _Fields:
    """The fields of an ansatz at points: indicators of regions ``(n, R)``, g and φ of every unknown, and the enrichments."""

    masks: Tensor | None
    values: list[Jet | None]
    factors: list[Jet | None]
    enrichments: list[Jet]
    frame: Frame
    points: Tensor


class Ansatz(Network):
    """The unknowns and parameters of a problem, in the order of `Problem.sought`, of a network with `network_outputs` outputs.

    Flat parameters: the problem's own first, then the network's, then the enrichments' factors. Raises ProblemError for
    conditions that cannot be built in, ValueError for a network with another number of outputs.
    """

    def __init__(self, problem: Problem, network: Network) -> None:
        super().__init__()
        self.problem, self._regions = problem, regions(problem)
        self.inputs, self.outputs = network.inputs, len(problem.sought)
        if network.outputs != network_outputs(problem):
            raise ValueError(f"the network has {network.outputs} outputs; the problem needs {network_outputs(problem)}")
        self._liftings = [Lifting.of(problem, unknown) for unknown in problem.unknowns]
        starts = [parameter.initial for parameter in problem.parameters.values()]
        self.values = nn.Parameter(torch.tensor(starts, dtype=torch.float64)) if starts else None
        self.network = network
        count = len(problem.enrichments)
        # a submodule, so that its parameters are the last ones
        self.factors = nn.ParameterList([nn.Parameter(torch.zeros(count, dtype=torch.float64))] if count else [])

    def with_network(self, network: Network) -> Ansatz:
        """The same ansatz of another network, with the values of the parameters and factors."""
        other = Ansatz(self.problem, network)
        with torch.no_grad():
            for old, new in ((self.values, other.values), *zip(self.factors, other.factors, strict=True)):
                if old is not None and new is not None:
                    new.copy_(old)
        return other.to(network.device)

    @property
    def linear_parameters(self) -> int:
        return self.network.linear_parameters + len(self.problem.enrichments)

    @property
    def homogeneous(self) -> bool:
        return self.values is None and not any(self._liftings)

    def parameter_values(self) -> dict[str, float]:
        """The parameters' values by name."""
        return {} if self.values is None else dict(zip(self.problem.parameters, self.values.tolist(), strict=True))

    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        self.network.normalise(points, lazily)

    def architecture(self) -> dict[str, Any]:
        """That of the network: the problem determines the rest."""
        return self.network.architecture()

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self._unknowns(self.network.jet(points, frame), self._fields(points, frame))

    def prepare(self, points: Tensor, frame: Frame) -> tuple[object, _Fields]:
        return self.network.prepare(points, frame), self._fields(points, frame)

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> AnsatzTrace:
        inner, fields = cast("tuple[object, _Fields]", prepared)
        return AnsatzTrace(self, self.network.trace(inner, only_linear), fields, only_linear)

    @torch.no_grad()
    def _fields(self, points: Tensor, frame: Frame) -> _Fields:
        problem = self.problem
        environment = problem.environment(points, frame.level, frame.normal)
        position = [environment[name] for name in problem.domain.coordinates]
        masks = None
        if len(self._regions) > 1:
            numbers = torch.as_tensor(region_numbers(problem, points.cpu().numpy())).to(points.device)
            masks = numbers[:, None] == torch.arange(len(self._regions), device=points.device)
        return _Fields(
            masks,
            [None if one is None else one.values(environment) for one in self._liftings],
            [None if one is None else one.level(position) for one in self._liftings],
            [enrichment.expression(environment) for enrichment in problem.enrichments],
            frame,
            points,
        )

    def _unknowns(self, outputs: Jet, fields: _Fields) -> Jet:
        """Unknowns and parameters ``(n, U + S)`` from the network's outputs ``(n, R U)``."""
        problem, sought = self.problem, []
        for k, unknown in enumerate(problem.unknowns):
            u = outputs[k]
            for r in range(1, len(self._regions)):
                assert fields.masks is not None
                u = where(fields.masks[:, r], outputs[r * len(problem.unknowns) + k], u)
            factor, value = fields.factors[k], fields.values[k]
            if factor is not None and value is not None:
                u = value + factor * u
            for j, enrichment in enumerate(problem.enrichments):
                if enrichment.unknown == unknown:
                    u = u + fields.enrichments[j].each(lambda part, j=j: part * self.factors[0][j])  # type: ignore[misc]
            sought.append(u)
        if self.values is not None:
            zero = fields.frame.constant(0.0, fields.points)
            sought += [replace(zero, value=p.expand(fields.points.shape[0])) for p in self.values]
        return stacked(sought)


@dataclass(frozen=True)
class AnsatzTrace:
    """An ansatz evaluated at points; see `networks.base.Trace`."""

    ansatz: Ansatz
    inner: Trace
    fields: _Fields
    only_linear: bool

    @property
    def jet(self) -> Jet:
        return self.ansatz._unknowns(self.inner.jet, self.fields)

    def rows(self, cotangent: Jet) -> Tensor:
        """The columns of the network, between those of the parameters and of the enrichments' factors."""
        ansatz, masks, factors = self.ansatz, self.fields.masks, self.fields.factors
        unknowns = ansatz.problem.unknowns
        pulled = [cotangent[k] if phi is None else product_pullback(cotangent[k], phi) for k, phi in enumerate(factors)]
        count = len(ansatz._regions)
        outputs = [u if masks is None else _masked(u, masks[:, r]) for r in range(count) for u in pulled]
        blocks = [self.inner.rows(stacked(outputs))]
        if ansatz.values is not None and not self.only_linear:
            blocks.insert(0, cotangent.value[:, len(unknowns) :])
        for enrichment, psi in zip(ansatz.problem.enrichments, self.fields.enrichments, strict=True):
            blocks.append(pairing(cotangent[unknowns.index(enrichment.unknown)], psi)[:, None])
        return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


def _masked(u: Jet, mask: Tensor) -> Jet:
    return u.each(lambda part: torch.where(mask.reshape(-1, *(1,) * (part.ndim - 1)), part, 0.0))
