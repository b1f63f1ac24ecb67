"""Importance of edges and nodes, and removing them: against hand-made networks whose parts are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pdekan import splines
from pdekan.networks.importance import importance
from pdekan.networks.kan import KAN
from pdekan.pruning.prune import without


def points(n: int = 4000) -> Tensor:
    return 2.0 * torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1.0


def fitted(network: KAN, layer: int, i: int, o: int, values: Tensor) -> None:
    """Set an edge to a function, given at the layer's sample points."""
    one = network.spline_layers[layer]
    t = splines.sample_points(one.degree, one.intervals)
    with torch.no_grad():
        coefficients = one.dense("coefficients").clone()
        coefficients[i, o] = splines.fit(t, values, one.degree, one.intervals)
        one.set_dense("coefficients", coefficients)


def known(product: bool = False) -> tuple[KAN, Tensor]:
    """h1 = 0.8 x + 0.1 + 0.6 y, h2 = x², h3 idle; u = 3 h1 + h2, or with a product 3 h1 + h2 · (0.5 + 0.2 h1)."""
    network = KAN((2, 3, 1), 3, 4) if not product else KAN((2, 3, 2, 1), 3, 4, products=(0, 1))
    t = splines.sample_points(3, 4)
    fitted(network, 0, 0, 0, 0.8 * t + 0.1)
    fitted(network, 0, 1, 0, 0.6 * t)
    fitted(network, 0, 0, 1, t**2)
    fitted(network, 0, 1, 2, t)
    fitted(network, 1, 0, 0, 3.0 * t)
    fitted(network, 1, 1, 0, t if not product else 0.0 * t)
    if product:
        fitted(network, 1, 0, 1, 0.5 + 0.2 * t)
        fitted(network, 1, 1, 1, t)
        fitted(network, 1, 2, 1, 1.0 + 0.0 * t)
        fitted(network, 2, 0, 0, t)
        fitted(network, 2, 1, 0, t)
    return network, t


def test_scores_of_sums_are_ratios_of_standard_deviations_times_what_they_reach() -> None:
    network, _ = known()
    x = points()
    h1, h2 = 0.8 * x[:, 0] + 0.1 + 0.6 * x[:, 1], x[:, 0] ** 2
    u = 3.0 * h1 + h2
    scores = importance(network, x)
    of_h1, of_h2 = (3.0 * h1).std(correction=0) / u.std(correction=0), h2.std(correction=0) / u.std(correction=0)
    expected = torch.stack([of_h1, of_h2, torch.tensor(0.0, dtype=torch.float64)])
    torch.testing.assert_close(scores.nodes[1], expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(scores.edges[1][:, 0], expected, rtol=1e-6, atol=1e-12)
    of_x = (0.8 * x[:, 0]).std(correction=0) / h1.std(correction=0) * of_h1
    of_y = (0.6 * x[:, 1]).std(correction=0) / h1.std(correction=0) * of_h1
    torch.testing.assert_close(scores.edges[0][:, 0], torch.stack([of_x, of_y]), rtol=1e-6, atol=1e-12)
    assert scores.edges[0][1, 2] == 0.0  # a large activation into a node that reaches nothing
    torch.testing.assert_close(scores.nodes[0][0], of_x + of_h2, rtol=1e-6, atol=1e-12)
    assert scores.nodes[2].tolist() == [1.0]


def test_a_factor_matters_as_much_as_the_product_changes_without_it() -> None:
    network, _ = known(product=True)
    x = points()
    h1, h2 = 0.8 * x[:, 0] + 0.1 + 0.6 * x[:, 1], x[:, 0] ** 2
    first, second = 0.5 + 0.2 * h1, h2
    node = first * second
    share = importance(network, x)
    reach = node.std(correction=0) / (3.0 * h1 + node).std(correction=0)
    for i, change in enumerate([(first - first.mean()) * second, (second - second.mean()) * first, 0.0 * first]):
        expected = reach * change.square().mean().sqrt() / node.std(correction=0)
        torch.testing.assert_close(share.edges[1][i, 1], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("product", [False, True])
def test_scores_do_not_depend_on_how_hidden_nodes_are_scaled(product: bool) -> None:
    network, _ = known(product)
    x = points()
    before = importance(network, x)
    network.normalise(x)
    after = importance(network, x)
    for a, b in zip(before.edges, after.edges, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-9)


def test_removing_an_edge_leaves_its_mean_behind() -> None:
    network, _ = known()
    x = points()
    left = without(network, [(0, 1, 0)], x)
    assert left.network.pruned == (((1, 0),), ())
    assert left.network.widths == (2, 3, 1)
    assert left.nodes == ((0, 1), (0, 1, 2), (0,))
    h1 = 0.8 * x[:, 0] + 0.1 + 0.6 * x[:, 1].mean()
    torch.testing.assert_close(left.network(x)[:, 0], 3.0 * h1 + x[:, 0] ** 2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("edges", [[(1, 1, 0)], [(0, 0, 1), (0, 1, 1)]], ids=["its edge", "all edges into it"])
def test_a_node_that_goes_leaves_its_mean_behind(edges: list[tuple[int, int, int]]) -> None:
    network, _ = known()
    x = points()
    left = without(network, edges, x)
    assert left.network.widths == (2, 2, 1)
    assert left.nodes == ((0, 1), (0, 2), (0,))
    u = 3.0 * (0.8 * x[:, 0] + 0.1 + 0.6 * x[:, 1]) + (x[:, 0] ** 2).mean()
    torch.testing.assert_close(left.network(x)[:, 0], u, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("base", ["none", "silu"])
def test_removing_a_factor_leaves_a_multiple_of_the_others(base: str) -> None:
    network = KAN((2, 2, 1), 4, 3, base, products=(1,))
    network.initialise(torch.Generator().manual_seed(1))
    x = points(500)
    phi = network.spline_layers[0].activations(network.spline_layers[0].bases(x, 0))[0]  # the box is [-1, 1]²
    left = without(network, [(0, 0, 1)], x)
    inner = torch.stack([phi[:, :, 0].sum(1), phi[:, 0, 1].mean() * phi[:, 1, 1]], dim=1)
    last = network.spline_layers[1]
    expected = last.activations(last.bases(inner, 0))[0].sum(1)
    torch.testing.assert_close(left.network(x), expected, rtol=1e-9, atol=1e-9)
    assert left.network.products == (1,)


def test_what_goes_in_one_layer_can_take_others_along() -> None:
    network = KAN((2, 2, 2, 1), 3, 2)
    network.initialise(torch.Generator().manual_seed(0))
    left = without(network, [(2, 1, 0), (1, 1, 0)], points(100))
    # node 1 of the upper layer is idle; so is node 1 of the lower one, which reached only that and what was taken
    assert left.network.widths == (2, 1, 1, 1)
    assert left.nodes == ((0, 1), (0,), (0,), (0,))


def test_removals_that_cannot_be_are_refused() -> None:
    network, _ = known()
    with pytest.raises(ValueError, match="no node is left"):
        without(network, [(1, i, 0) for i in range(3)], points(10))
    once = without(network, [(0, 1, 0)], points(10)).network
    with pytest.raises(KeyError):
        without(once, [(0, 1, 0)], points(10))


def test_the_network_given_stays_as_it_is() -> None:
    network, _ = known()
    before = [p.clone() for p in network.parameters()]
    without(network, [(0, 1, 0)], points(10))
    importance(network, points(10))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
