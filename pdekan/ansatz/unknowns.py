"""The ansatz: how the unknowns and the parameters of a problem come out of a network.

    u_k = g_k + φ_k N_k + Σ_j a_j ψ_j        parameters p = p(s)

N_k is the network's output, g_k and φ_k build exact conditions in (`ansatz.lifting`), ψ_j are enrichments with factors a_j that
are found like the network's last coefficients. Across interfaces every region has outputs of its own. Parameters are outputs
too, constant in space: so the optimizers need not know of them. Where a problem has none of this, its ansatz is the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdekan.ansatz.lifting import Lifting
from pdekan.domains.quadrature import Array
from pdekan.fields.functions import stacked, where
from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network, Trace
from pdekan.problems.parameters import Parameter
from pdekan.problems.problem import Problem

SAMPLES = (24, 2, 4096)  # points that tell which regions there are: cells, order, count


def regions(problem: Problem) -> list[tuple[bool, ...]]:
    """The regions that interfaces cut the domain into, as what the shapes behind them contain."""
    if not problem.interfaces:
        return [()]
    return sorted({tuple(row) for row in _inside(problem, problem.domain.interior(*SAMPLES, 0).points).tolist()})


def network_outputs(problem: Problem) -> int:
    """How many outputs a network needs for the problem's unknowns."""
    return len(problem.unknowns) * len(regions(problem))


def wrapped(problem: Problem, network: Network) -> Network:
    """The network as the problem's ansatz: itself, where the problem asks for nothing beside its outputs."""
    exact = any(condition.enforce == "exact" for condition in problem.conditions)
    plain = not (exact or problem.parameters or problem.enrichments or problem.interfaces)
    return network if plain else Ansatz(problem, network)


def bare(network: Network) -> Network:
    """The network inside an ansatz."""
    return network.network if isinstance(network, Ansatz) else network


def rewrapped(network: Network, inner: Network) -> Network:
    """Another network in the place of the one inside an ansatz; itself, where there is no ansatz."""
    return network.around(inner) if isinstance(network, Ansatz) else inner


def found(network: Network) -> dict[str, float]:
    """The values of the parameters in an ansatz, by name."""
    return network.found() if isinstance(network, Ansatz) else {}


@dataclass(frozen=True)
class _Fixed:
    """What does not change while points stay: regions ``(n, R)``, g and φ of every unknown, and the enrichments."""

    masks: Tensor | None
    values: list[Jet | None]
    levels: list[Jet | None]
    enrichments: list[Jet]
    frame: Frame
    points: Tensor


class Ansatz(Network):
    """A network with `network_outputs` outputs as the fields that a problem seeks, in the order of `Problem.sought`.

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
        starts = [_raw(parameter) for parameter in problem.parameters.values()]
        self.scalars = nn.Parameter(torch.tensor(starts, dtype=torch.float64)) if starts else None
        self.network = network
        count = len(problem.enrichments)
        # a module of its own, so that it comes last
        self.factors = nn.ParameterList([nn.Parameter(torch.zeros(count, dtype=torch.float64))] if count else [])

    def around(self, network: Network) -> Ansatz:
        """The same ansatz with another network: parameters and factors keep their values."""
        other = Ansatz(self.problem, network)
        with torch.no_grad():
            for old, new in ((self.scalars, other.scalars), *zip(self.factors, other.factors, strict=True)):
                if old is not None and new is not None:
                    new.copy_(old)
        return other.to(next(network.parameters()).device)

    @property
    def linear_parameters(self) -> int:
        return self.network.linear_parameters + len(self.problem.enrichments)

    @property
    def homogeneous(self) -> bool:
        return self.scalars is None and not any(self._liftings)

    def found(self) -> dict[str, float]:
        """The parameters' values by name."""
        return dict(zip(self.problem.parameters, self._values().tolist(), strict=True))

    def slopes(self) -> Tensor:
        """Derivatives ``(S,)`` of the parameters' values by the numbers that are trained."""
        return torch.stack([_value(parameter, s)[1] for parameter, s in self._pairs()])

    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        self.network.normalise(points, lazily)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self._fields(self.network.jet(points, frame), self._fixed(points, frame))

    def prepare(self, points: Tensor, frame: Frame) -> tuple[object, _Fixed]:
        return self.network.prepare(points, frame), self._fixed(points, frame)

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> AnsatzTrace:
        inner, fixed = cast("tuple[object, _Fixed]", prepared)
        return AnsatzTrace(self, self.network.trace(inner, only_linear), fixed, only_linear)

    def _pairs(self) -> list[tuple[Parameter, Tensor]]:
        return [] if self.scalars is None else list(zip(self.problem.parameters.values(), self.scalars, strict=True))

    def _values(self) -> Tensor:
        return torch.stack([_value(parameter, s)[0] for parameter, s in self._pairs()]) if self._pairs() else torch.empty(0)

    @torch.no_grad()
    def _fixed(self, points: Tensor, frame: Frame) -> _Fixed:
        problem = self.problem
        environment = problem.environment(points, frame.level)
        position = [environment[name] for name in problem.domain.coordinates]
        masks = None
        if len(self._regions) > 1:
            inside = _inside(problem, points.cpu().numpy())
            found = np.stack([(inside == region).all(1) for region in self._regions], axis=1)
            found[:, 0] = ~found[:, 1:].any(1)  # also in regions too small for a sample to have hit
            masks = torch.as_tensor(found)
            masks = masks.to(points.device)
        return _Fixed(
            masks,
            [None if one is None else one.values(environment) for one in self._liftings],
            [None if one is None else one.level(position) for one in self._liftings],
            [enrichment.expression(environment) for enrichment in problem.enrichments],
            frame,
            points,
        )

    def _fields(self, raw: Jet, fixed: _Fixed) -> Jet:
        """Unknowns and parameters ``(n, U + S)`` from the network's outputs ``(n, R U)``."""
        problem, fields = self.problem, []
        for k, unknown in enumerate(problem.unknowns):
            u = raw[k]
            for r in range(1, len(self._regions)):
                assert fixed.masks is not None
                u = where(fixed.masks[:, r], raw[r * len(problem.unknowns) + k], u)
            level, value = fixed.levels[k], fixed.values[k]
            if level is not None and value is not None:
                u = value + level * u
            for j, enrichment in enumerate(problem.enrichments):
                if enrichment.unknown == unknown:
                    u = u + fixed.enrichments[j].each(lambda part, j=j: part * self.factors[0][j])  # type: ignore[misc]
            fields.append(u)
        n = len(fixed.points)
        for p in self._values():
            zero = fixed.frame.constant(0.0, fixed.points)
            fields.append(Jet(fixed.frame, p.expand(n), zero.gradient, zero.second))
        return stacked(fields)


@dataclass(frozen=True)
class AnsatzTrace:
    """An ansatz evaluated at points; see `networks.base.Trace`."""

    ansatz: Ansatz
    inner: Trace
    fixed: _Fixed
    only_linear: bool

    @property
    def jet(self) -> Jet:
        return self.ansatz._fields(self.inner.jet, self.fixed)

    def rows(self, cotangent: Jet) -> Tensor:
        """Those of the network, between those of the parameters and of the enrichments' factors."""
        ansatz, fixed = self.ansatz, self.fixed
        unknowns = ansatz.problem.unknowns
        pulled = []
        for k in range(len(unknowns)):
            level = fixed.levels[k]
            pulled.append(cotangent[k] if level is None else _product_pullback(level, cotangent[k]))
        raw = [u if fixed.masks is None else _masked(u, fixed.masks[:, r]) for r in range(len(ansatz._regions)) for u in pulled]
        blocks = [self.inner.rows(stacked(raw))]
        if ansatz.scalars is not None and not self.only_linear:
            blocks.insert(0, cotangent.value[:, len(unknowns) :] * ansatz.slopes())
        for enrichment, psi in zip(ansatz.problem.enrichments, fixed.enrichments, strict=True):
            blocks.append(_pairing(cotangent[unknowns.index(enrichment.unknown)], psi)[:, None])
        return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


def _inside(problem: Problem, points: Array) -> NDArray[np.bool_]:
    """What the shapes behind the interfaces contain, ``(n, shapes)``.

    What they share with the domain's boundary is theirs: nearer than an interface's two sides are (`terms.OFF`), points
    count as inside.
    """
    size = max(b - a for a, b in zip(problem.domain.lower, problem.domain.upper, strict=True))
    return np.stack([shape.distance(points) > -1e-12 * size for shape in problem.interfaces.values()], axis=1)


def _masked(u: Jet, mask: Tensor) -> Jet:
    return u.each(lambda part: torch.where(mask.reshape(-1, *(1,) * (part.ndim - 1)), part, 0.0))


def _product_pullback(level: Jet, cotangent: Jet) -> Jet:
    """Derivative of ⟨cotangent, jet of (level · u)⟩ by the jet of u."""
    value = level.value * cotangent.value
    gradient = second = None
    if cotangent.gradient is not None and level.gradient is not None:
        value = value + (level.gradient * cotangent.gradient).sum(1)
        gradient = level.value[:, None] * cotangent.gradient
        if cotangent.second is not None and level.second is not None:
            value = value + (level.second * cotangent.second).sum(1)
            gradient = gradient + 2.0 * level.frame.pair_pullback(cotangent.second, level.gradient)
            second = level.value[:, None] * cotangent.second
    return Jet(cotangent.frame, value, gradient, second)


def _pairing(cotangent: Jet, u: Jet) -> Tensor:
    """⟨cotangent, jet⟩ ``(n,)`` of scalar fields."""
    total = cotangent.value * u.value
    for slope, part in ((cotangent.gradient, u.gradient), (cotangent.second, u.second)):
        if slope is not None and part is not None:
            total = total + (slope * part).sum(1)
    return total


def _raw(parameter: Parameter) -> float:
    """The number that is trained, from a parameter's initial value; see `_value`."""
    a, b, p = parameter.lower, parameter.upper, parameter.initial
    if math.isinf(a) and math.isinf(b):
        return p
    if math.isinf(b):
        return math.log(p - a)
    if math.isinf(a):
        return math.log(b - p)
    return math.log((p - a) / (b - p))


def _value(parameter: Parameter, s: Tensor) -> tuple[Tensor, Tensor]:
    """A parameter from the number that is trained, and its derivative: s, a + eˢ, b - eˢ, or a + (b - a)/(1 + e⁻ˢ)."""
    a, b = parameter.lower, parameter.upper
    if math.isinf(a) and math.isinf(b):
        return s, torch.ones_like(s)
    if math.isinf(b):
        return a + torch.exp(s), torch.exp(s)
    if math.isinf(a):
        return b - torch.exp(s), -torch.exp(s)
    share = torch.sigmoid(s)
    return a + (b - a) * share, (b - a) * share * (1.0 - share)
