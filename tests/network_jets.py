"""What tests of networks share."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from pdekan.fields.jets import Jet
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP

NAMES = ("x", "t", "y", "z")  # the second is time: it takes no part in the summed second derivative

N = TypeVar("N", bound=Network)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def shaken(network: N, seed: int = 0, size: float = 0.3) -> N:
    """The network with random parameters, so that hidden nodes leave the knots here and there."""
    theta = network.flat_parameters
    vector_to_parameters(theta + size * random(len(theta), seed=seed), network.parameters())
    return network


def kan(
    widths: tuple[int, ...],
    base: str = "none",
    degree: int | tuple[int, ...] = 5,
    intervals: int | tuple[int, ...] = 4,
    products: tuple[int, ...] | None = None,
    pruned: tuple[tuple[tuple[int, int], ...], ...] | None = None,
) -> KAN:
    d = widths[0]
    lower, upper = [-1.0 + 0.2 * k for k in range(d)], [1.5 + 0.3 * k for k in range(d)]
    network = KAN(widths, degree, intervals, base, lower, upper, products, pruned)
    network.initialise(generator(1))
    return shaken(network)


def mlp(widths: tuple[int, ...]) -> MLP:
    d = widths[0]
    network = MLP(widths, [-1.0 + 0.2 * k for k in range(d)], [1.5 + 0.3 * k for k in range(d)])
    network.initialise(generator(1))
    return shaken(network)


def points_for(network: Network, n: int = 9, seed: int = 3) -> Tensor:
    """Random points in the network's box and a little beyond it."""
    lower, upper = network.get_buffer("lower"), network.get_buffer("upper")
    unit = torch.rand(n, network.inputs, generator=generator(seed), dtype=torch.float64)
    return lower + (1.2 * unit - 0.1) * (upper - lower)


def parts(jet: Jet) -> list[Tensor]:
    return [part for part in (jet.value, *jet.derivatives) if part is not None]


def assert_same_jet(ours: Jet, theirs: Jet, tolerance: float) -> None:
    assert len(parts(ours)) == len(parts(theirs))
    for a, b in zip(parts(ours), parts(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * (1.0 + float(b.detach().abs().max())))
