"""KANs: what refining, widening, pruning and normalising must keep, and growth beyond the box."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hidden_nodes import hidden_ranges
from network_jets import NAMES, assert_same_jet, generator, kan, mlp, points_for, random
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pdekan import splines
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.kan import KAN, MARGIN, SCATTERED_MARGIN
from pdekan.networks.layers import SplineLayer

BASES = ["none", "silu"]


# --- KANs: refining, widening, normalising


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("widths", [(2, 1), (2, 3, 1), (2, 3, 2, 1)], ids=str)
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_refining_to_nested_knots_keeps_the_function(base: str, widths: tuple[int, ...], ratio: int) -> None:
    coarse = kan(widths, base, 5, 4)
    before = parameters_to_vector(coarse.parameters()).clone()
    fine = coarse.refined(5, 4 * ratio)
    assert fine.intervals == (4 * ratio,) * (len(widths) - 1)
    points, frame = points_for(coarse, 40), Frame(("x", "y"))
    assert_same_jet(fine.jet(points, frame), coarse.jet(points, frame), 1e-10)
    value = coarse(points).detach()
    torch.testing.assert_close(fine(points).detach(), value, rtol=1e-12, atol=1e-12 * float(value.abs().max()))
    torch.testing.assert_close(parameters_to_vector(coarse.parameters()), before, rtol=0, atol=0)


PRUNED = {
    "sums": ((2, 3, 2), (0,), (((0, 1), (1, 2)), ((2, 0),))),
    "products": ((3, 3, 2, 1), (2, 1), (((1, 2), (0, 0)), ((2, 1), (0, 1)), ((0, 0),))),
}
every_pruned = pytest.mark.parametrize(("widths", "products", "pruned"), PRUNED.values(), ids=PRUNED.keys())


@every_pruned
@pytest.mark.parametrize("base", BASES)
def test_a_pruned_edge_is_zero_into_a_sum_and_one_into_a_product(base: str, widths: Any, products: Any, pruned: Any) -> None:
    """Against a network with all edges, of which these are set to be constant."""
    network, full = kan(widths, base, products=products, pruned=pruned), kan(widths, base, products=products)
    with torch.no_grad():
        for layer, other in zip(network.spline_layers, full.spline_layers, strict=True):
            for name, values in other.named_parameters():
                values.copy_(layer.dense(name))
            for i, o in layer.pruned:
                other.coefficients[i, o] = float(o >= layer.sums)
                if base == "silu":
                    other.spline_weight[i, o], other.base_weight[i, o] = 1.0, 0.0
    points, frame = points_for(network), Frame(NAMES[: widths[0]])
    assert_same_jet(network.jet(points, frame), full.jet(points, frame), 1e-13)


@every_pruned
@pytest.mark.parametrize("base", BASES)
def test_a_pruned_network_is_refined_widened_and_normalised_like_any(
    base: str, widths: Any, products: Any, pruned: Any
) -> None:
    network = kan(widths, base, products=products, pruned=pruned)
    points, frame = points_for(network, 60), Frame(NAMES[: widths[0]])
    finer = network.refined(5, 8)
    assert finer.pruned == network.pruned
    assert_same_jet(finer.jet(points, frame), network.jet(points, frame), 1e-9)
    wider = network.widened([w + 1 for w in widths[1:-1]], generator())
    assert_same_jet(wider.jet(points, frame), network.jet(points, frame), 1e-10)
    assert [len(edges) for edges in wider.pruned] == [len(edges) for edges in network.pruned]
    network.normalise(points)
    *_, (low, high) = hidden_ranges(network, points)
    sums = network.spline_layers[-2].sums
    torch.testing.assert_close(high[:sums].detach(), torch.full((sums,), MARGIN, dtype=torch.float64), rtol=1e-9, atol=0)
    largest = torch.maximum(high, -low)[sums:].detach()
    torch.testing.assert_close(largest, torch.full_like(largest, MARGIN), rtol=1e-9, atol=0)


def test_pruned_edges_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pruned edge \(2, 0\).*2 inputs"):
        KAN((2, 2, 1), pruned=(((2, 0),), ()))
    with pytest.raises(ValueError, match="2 layers"):
        KAN((2, 2, 1), pruned=((),))
    with pytest.raises(ValueError, match="hidden node"):
        KAN((2, 2, 1), pruned=(((0, 1), (1, 1)), ()))
    KAN((2, 2, 1), pruned=((), ((0, 0), (1, 0))))  # which vanishes


def test_raising_the_degree_of_a_well_resolved_network_all_but_keeps_it() -> None:
    coarse = KAN((2, 3, 1), 5, 12)
    fit_to_linear_waves(coarse)
    points = 2.0 * torch.rand(50, 2, generator=generator(), dtype=torch.float64) - 1.0
    finer = coarse.refined((7, 8), (16, 20))
    torch.testing.assert_close(finer(points), coarse(points), rtol=0, atol=1e-5)


def fit_to_linear_waves(network: KAN) -> None:
    """Every edge a smooth function: tame enough for fits on other knots to be accurate."""
    for k, layer in enumerate(network.layers):
        t = splines.sample_points(layer.degree, layer.intervals)
        for i in range(layer.inputs):
            for o in range(layer.outputs):
                wave = 0.4 * torch.sin((1.0 + 0.3 * i) * t + o + k) + 0.1 * t
                layer.coefficients.data[i, o] = splines.fit(t, wave, layer.degree, layer.intervals)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("widths", "hidden"), [((2, 3, 1), (7,)), ((2, 3, 1), (3,)), ((1, 2, 2, 2), (5, 4)), ((2, 3, 2, 1), (3, 6))]
)
def test_widening_keeps_the_function_exactly(base: str, widths: tuple[int, ...], hidden: tuple[int, ...]) -> None:
    network = kan(widths, base)
    wider = network.widened(hidden, generator(5))
    assert wider.widths == (widths[0], *hidden, widths[-1])
    points, frame = points_for(network, 40), Frame(NAMES[: widths[0]])
    assert_same_jet(wider.jet(points, frame), network.jet(points, frame), 1e-14)


def test_widening_keeps_product_nodes_last() -> None:
    network = kan((2, 3, 3, 1), products=(1, 2))
    wider = network.widened((5, 4), generator(5))
    assert wider.products == (1, 2)
    points, frame = points_for(network, 40), Frame(("x", "y"))
    assert_same_jet(wider.jet(points, frame), network.jet(points, frame), 1e-13)


def test_normalising_scales_product_nodes_without_shifting_them() -> None:
    network = kan((2, 3, 1), products=(2,))
    points = points_for(network, 300)
    layer = network.spline_layers[0]
    x = network.prepare(points, Frame(("x", "y"), Derivatives.VALUE))[0]
    before = layer(x).value.detach()[:, 1:]
    network.normalise(points)
    after = layer(x).value.detach()[:, 1:]
    torch.testing.assert_close(after.abs().amax(0), torch.full((2,), MARGIN, dtype=torch.float64))
    torch.testing.assert_close(after / before, (MARGIN / before.abs().amax(0)).expand(len(points), -1), rtol=1e-9, atol=0)


def test_a_product_node_multiplies_its_edges() -> None:
    network = kan((3, 1, 1), products=(1,))
    layer, x = network.spline_layers[0], 1.8 * torch.rand(20, 3, generator=generator(), dtype=torch.float64) - 0.9
    edges = [splines.basis(x[:, i], layer.degree, layer.intervals)[0] @ layer.coefficients[i, 0] for i in range(3)]
    values = layer(Frame(("x", "y", "z"), Derivatives.VALUE).position(x)).value[:, 0]
    torch.testing.assert_close(values, edges[0] * edges[1] * edges[2])


def test_widened_nodes_are_alive() -> None:
    wider = kan((2, 3, 1)).widened((6,), generator(5))
    ((low, high),) = hidden_ranges(wider, points_for(wider, 200))
    assert (high - low).min() > 0.5


@pytest.mark.parametrize("hidden", [(2,), (3, 3), ()])
def test_widening_refuses_to_lose_nodes_or_change_the_depth(hidden: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be widened"):
        kan((2, 3, 1)).widened(hidden, generator())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("widths", [(2, 4, 1), (3, 4, 3, 1)], ids=str)
def test_normalising_brings_the_last_hidden_nodes_onto_the_knots(base: str, widths: tuple[int, ...]) -> None:
    network = kan(widths, base)
    points = points_for(network, 300)
    network.normalise(points)
    low, high = hidden_ranges(network, points)[-1]
    torch.testing.assert_close(low, torch.full_like(low, -MARGIN), rtol=0, atol=1e-10)
    torch.testing.assert_close(high, torch.full_like(high, MARGIN), rtol=0, atol=1e-10)
    for low, high in hidden_ranges(network, points)[:-1]:
        assert low.min() >= -1.0
        assert high.max() <= 1.0
        assert (high - low).min() >= 1.0 - 1e-12
    once = parameters_to_vector(network.parameters()).clone()
    network.normalise(points)
    again = hidden_ranges(network, points)[-1]
    torch.testing.assert_close(again[0], torch.full_like(again[0], -MARGIN), rtol=0, atol=1e-10)
    first = network.layers[0].coefficients.numel()
    if base == "none":  # what is normalised stays as it is
        torch.testing.assert_close(parameters_to_vector(network.parameters())[:first], once[:first], rtol=1e-9, atol=1e-9)


def test_points_that_a_few_random_ones_have_not_reached_stay_on_the_knots() -> None:
    """In many dimensions 25 times as many points reach farther; beyond the knots splines go on as straight lines."""
    network = kan((10, 6, 1))
    few = points_for(network, 4000)
    network.normalise(few)
    low, high = hidden_ranges(network, few)[0]
    torch.testing.assert_close(low, torch.full_like(low, -SCATTERED_MARGIN), rtol=0, atol=1e-10)
    torch.testing.assert_close(high, torch.full_like(high, SCATTERED_MARGIN), rtol=0, atol=1e-10)
    low, high = hidden_ranges(network, points_for(network, 100_000, seed=4))[0]
    assert high.max() - low.min() > 2.0 * SCATTERED_MARGIN / MARGIN
    assert low.min() > -1.0
    assert high.max() < 1.0


def test_normalising_and_solving_again_loses_nothing() -> None:
    """Shift and scale of a hidden node are a gauge: the linear layer can undo them."""
    network = KAN((2, 3, 1), 5, (6, 24))
    fit_to_linear_waves(network)
    points = 2.0 * torch.rand(600, 2, generator=generator(), dtype=torch.float64) - 1.0
    before = network(points).detach()
    network.normalise(points)
    torch.testing.assert_close(network(points).detach(), before, rtol=0, atol=1e-3)  # the fit on the same knots
    frame = Frame(("x", "y"), Derivatives.VALUE)
    trace = network.trace(network.prepare(points, frame), only_linear=True)
    rows = trace.rows(Jet(frame, torch.ones(600, 1, dtype=torch.float64)))
    best = torch.linalg.lstsq(rows, before, driver="gelsd").solution[:, 0]
    theta = network.flat_parameters
    vector_to_parameters(torch.cat([theta[: -len(best)], best]), network.parameters())
    assert float((network(points).detach() - before).abs().max()) < 1e-7


def test_a_hidden_node_that_does_not_vary_is_left_alone() -> None:
    network = kan((2, 3, 1))
    with torch.no_grad():
        network.layers[0].coefficients[:, 1] = 0.2  # B-splines sum to one: a constant
    points = points_for(network, 50)
    network.normalise(points)
    low, high = (bound.detach() for bound in hidden_ranges(network, points)[-1])
    assert float(low[1]) == pytest.approx(0.4, abs=1e-12)
    assert float(high[0]) == pytest.approx(MARGIN)
    assert torch.isfinite(parameters_to_vector(network.parameters())).all()


def test_networks_that_need_no_normalising_are_left_alone() -> None:
    for network in (mlp((2, 4, 1)), kan((2, 1))):
        before = parameters_to_vector(network.parameters()).clone()
        network.normalise(points_for(network, 30))
        torch.testing.assert_close(parameters_to_vector(network.parameters()), before, rtol=0, atol=0)


@pytest.mark.parametrize("base", BASES)
def test_outputs_are_rescaled_exactly(base: str) -> None:
    network = kan((3, 2), base)
    points = points_for(network)
    before = network(points).detach()
    scale, shift = random(2, seed=1), random(2, seed=2)
    network.layers[0].rescale_outputs(scale, shift)
    inside = ((points >= network.lower) & (points <= network.upper)).all(1)
    assert inside.any()
    torch.testing.assert_close(network(points).detach(), scale * before + shift, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("base", BASES)
def test_inputs_are_substituted_up_to_a_fit(base: str) -> None:
    layer = SplineLayer(2, 3, 6, 20, base)
    if base == "silu":
        layer.base_weight.data.fill_(0.3)
    t = splines.sample_points(6, 20)
    for i in range(2):
        layer.coefficients.data[i] = splines.fit(t, torch.sin(t[:, None] * torch.tensor([1.0, 2.0, 3.0]) + i), 6, 20).T
    x = 1.4 * torch.rand(30, 2, generator=generator(), dtype=torch.float64) - 0.7
    frame = Frame(("x", "y"), Derivatives.VALUE)
    before = layer(Jet(frame, x)).value.detach()
    scale, shift = torch.tensor([1.1, 1.2], dtype=torch.float64), torch.tensor([0.05, -0.1], dtype=torch.float64)
    layer.substitute_inputs(scale, shift)
    torch.testing.assert_close(layer(Jet(frame, scale * x + shift)).value.detach(), before, rtol=0, atol=1e-7)


# --- Beyond the box


@pytest.mark.parametrize("network", [kan((2, 1)), kan((2, 3, 1)), kan((1, 3, 2, 1))], ids=["1 layer", "2 layers", "3 layers"])
def test_beyond_the_knots_a_kan_grows_linearly(network: KAN) -> None:
    direction = random(1, network.inputs)
    far = torch.tensor([[1e4], [2e4], [3e4]], dtype=torch.float64) * direction
    value = network(far).detach()
    # by its first differences, which a polynomial of the degree of the splines would multiply
    torch.testing.assert_close(value[2] - value[1], value[1] - value[0], rtol=1e-9, atol=1e-6)
    jet = network.jet(far, Frame(NAMES[: network.inputs]))
    assert not jet.second.any()
