"""The edges of a KAN whose functions are known are named, and read together they are the network's function."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdekan import splines
from pdekan.networks.kan import KAN
from pdekan.symbolic.edges import candidates, of_network
from pdekan.symbolic.polishing import to_samples
from pdekan.symbolic.sampling import Samples
from pdekan.symbolic.symbols import FAMILIES

FEW = tuple(one for one in FAMILIES if one.name in ("constant", "x**1", "x**2", "sin", "cos", "exp", "tanh"))  # for speed


def network(products: int = 0) -> KAN:
    """A KAN [2,2,1] whose splines are fitted to sin 2z, z², exp(z/2), z below and to cos 2z, z above, or to a product below."""
    kan = KAN((2, 1 if products else 2, 1), 9, 16, products=[products], lower=(0.0, 0.0), upper=(1.0, 2.0))
    t = splines.sample_points(9, 16)
    first, second = kan.spline_layers
    inner = torch.stack([0.4 * torch.sin(2.0 * t), 0.3 * t**2, 0.3 * torch.exp(t / 2.0), 0.4 * t])
    outer = torch.stack([torch.cos(2.0 * t), t - 0.2])
    fitted = splines.fit(t, inner.T, 9, 16).T.reshape(2, 2, -1)
    above = splines.fit(t, outer.T, 9, 16).T
    with torch.no_grad():
        if products:
            first.coefficients.copy_(fitted[:, :1])
            second.coefficients.copy_(above[1][None, None])
        else:
            first.coefficients.copy_(fitted)
            second.coefficients.copy_(above[:, None])
    return kan


def sampled(kan: KAN) -> Samples:
    def value(points: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(kan(torch.as_tensor(points))[:, 0].numpy())

    return Samples(("x", "y"), np.array([0.0, 0.0]), np.array([1.0, 2.0]), value, value, 1e-9)


def test_every_edge_is_named() -> None:
    found = {
        (one.layer, one.source, one.target): one.matches[0][0]
        for one in candidates(network(), sampled(network()).scattered(), FEW)
    }
    assert found == {
        (0, 0, 0): "sin",
        (0, 0, 1): "x**2",
        (0, 1, 0): "exp",
        (0, 1, 1): "x**1",
        (1, 0, 0): "cos",
        (1, 1, 0): "x**1",
    }


@pytest.mark.parametrize("products", [0, 1])
def test_the_edges_together_are_the_function(products: int) -> None:
    kan = network(products)
    samples = sampled(kan)
    (template,) = of_network(kan, 0, samples)
    adjusted, misfit = to_samples(template, samples)
    assert misfit < 1e-8
    assert len(adjusted.values) <= (5 if products else 12)


def test_an_edge_that_the_library_lacks_ends_it() -> None:
    kan = network()
    with torch.no_grad():
        kan.spline_layers[0].coefficients[0, 0] = torch.randn(25, generator=torch.Generator().manual_seed(0)).double()
    kan.normalise(torch.rand(400, 2, generator=torch.Generator().manual_seed(1)).double())
    assert not list(of_network(kan, 0, sampled(kan)))
    assert not list(of_network(KAN((2, 9, 1)), 0, sampled(kan)))
