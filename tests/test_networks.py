"""Networks: jets and Jacobian rows against autograd, and what refining, widening and normalising must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from hidden_nodes import hidden_ranges
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pdekan import splines
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.multi_indices import Higher, indices
from pdekan.networks.base import ModuleNetwork, Network, NoJacobian
from pdekan.networks.kan import KAN, MARGIN, SCATTERED_MARGIN
from pdekan.networks.layers import SplineLayer
from pdekan.networks.mlp import MLP

LEVELS = list(Derivatives)
NAMES = ("x", "t", "y", "z")  # the second is time: it takes no part in the summed second derivative
BASES = ["none", "silu"]
N = TypeVar("N", bound=Network)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def shaken(network: N, seed: int = 0, size: float = 0.3) -> N:
    """The network with random parameters, so that hidden nodes leave the knots here and there."""
    theta = parameters_to_vector(network.parameters()).detach()
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


NETWORKS: dict[str, Callable[[], Network]] = {
    "kan without hidden nodes": lambda: kan((2, 1)),
    "kan without hidden nodes, silu": lambda: kan((2, 2), "silu"),
    "kan, one variable": lambda: kan((1, 4, 1), degree=4),
    "kan": lambda: kan((2, 3, 1), degree=(5, 4), intervals=(4, 6)),
    "kan, silu": lambda: kan((2, 3, 1), "silu", degree=(4, 6)),
    "kan, two outputs": lambda: kan((3, 4, 2)),
    "kan, three layers": lambda: kan((3, 3, 2, 2), degree=(5, 4, 6), intervals=(2, 5, 4)),
    "kan, three layers, silu": lambda: kan((2, 3, 2, 1), "silu"),
    "kan, product nodes": lambda: kan((3, 2, 1), products=(2,)),
    "kan, sums and products": lambda: kan((2, 4, 3, 1), degree=(5, 4, 6), products=(2, 1)),
    "kan, sums and products, silu": lambda: kan((3, 3, 2), "silu", products=(1,)),
    "kan, pruned": lambda: kan((2, 3, 2), degree=(5, 4), intervals=(4, 6), pruned=(((0, 1), (1, 2)), ((2, 0),))),
    "kan, pruned, sums and products": lambda: kan(
        (3, 3, 3, 1), products=(1, 2), pruned=(((1, 2), (0, 0)), ((2, 1), (0, 2)), ())
    ),
    "kan, pruned, silu": lambda: kan((2, 3, 2), "silu", products=(1,), pruned=(((0, 2), (1, 0)), ((1, 1),))),
    "mlp without hidden nodes": lambda: mlp((2, 2)),
    "mlp": lambda: mlp((2, 5, 1)),
    "mlp, three layers": lambda: mlp((3, 4, 3, 2)),
}
every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS.keys())
every_level = pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name.lower())
every_order = pytest.mark.parametrize("level", [*LEVELS, "third", "fourth"], ids=lambda level: getattr(level, "name", level))


def frame_of(level: Derivatives | str, d: int) -> Frame:
    """A frame of d coordinates with a level, or with all derivatives of an order but those by the last coordinate alone."""
    if isinstance(level, Derivatives):
        return Frame(NAMES[:d], level)
    every = indices(d, 3, 3 if level == "third" else 4)
    return Frame(NAMES[:d], Higher(one for one in every if d == 1 or one != (d - 1,) * 4))


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


@every_network
@every_order
def test_jets_agree_with_nested_autograd_of_the_values(build: Callable[[], Network], level: Derivatives | str) -> None:
    network = build()
    points, frame = points_for(network), frame_of(level, network.inputs)
    reference = ModuleNetwork(network, network.inputs, network.outputs)
    # autograd of powers loses digits near the middle of an interval with every derivative
    tolerance = 1e-10 if isinstance(level, Derivatives) else 1e-6
    assert_same_jet(network.jet(points, frame), reference.jet(points, frame), tolerance)
    torch.testing.assert_close(network(points), network.jet(points, frame).value, rtol=1e-14, atol=1e-14)
    assert network(points).shape == (len(points), network.outputs)


@every_network
@every_order
def test_rows_in_closed_form_agree_with_autograd_row_by_row(build: Callable[[], Network], level: Derivatives | str) -> None:
    network = build()
    points, frame = points_for(network, 6), frame_of(level, network.inputs)
    trace = network.trace(network.prepare(points, frame))
    assert_same_jet(trace.jet, network.jet(points, frame), 1e-13)
    cotangent = cotangent_like(trace.jet)
    rows = trace.rows(cotangent)
    jet = network.jet(points, frame)
    products = zip(parts(cotangent), parts(jet), strict=True)
    by_point = sum((a * b).reshape(len(points), -1).sum(1) for a, b in products)
    assert isinstance(by_point, Tensor)
    for i, one in enumerate(by_point):
        slopes = torch.autograd.grad(one, list(network.parameters()), retain_graph=True, materialize_grads=True)
        expected = torch.cat([slope.reshape(-1) for slope in slopes])
        torch.testing.assert_close(rows[i], expected, rtol=1e-10, atol=1e-10 * (1.0 + float(expected.abs().max())))
    linear = network.trace(network.prepare(points, frame), only_linear=True).rows(cotangent)
    torch.testing.assert_close(linear, rows[:, -network.linear_parameters :], rtol=1e-14, atol=1e-14)


@every_network
def test_the_output_is_linear_in_the_trailing_parameters(build: Callable[[], Network]) -> None:
    network = build()
    theta = parameters_to_vector(network.parameters()).detach()
    linear = network.linear_parameters
    assert 0 < linear <= len(theta)
    points, frame = points_for(network), Frame(NAMES[: network.inputs])

    def jet_at(tail: Tensor) -> Jet:
        vector_to_parameters(torch.cat([theta[:-linear], tail]), network.parameters())
        return network.jet(points, frame)

    a, b = random(linear, seed=1), random(linear, seed=2)
    together, first, second, neither = jet_at(2.0 * a - 3.0 * b), jet_at(a), jet_at(b), jet_at(torch.zeros_like(a))
    for whole, one, other, none in zip(parts(together), parts(first), parts(second), parts(neither), strict=True):
        assert not none.any()
        torch.testing.assert_close(whole, 2.0 * one - 3.0 * other, rtol=1e-11, atol=1e-11 * float(whole.detach().abs().max()))


@every_network
def test_parameters_start_with_the_first_layer_and_are_counted(build: Callable[[], Network]) -> None:
    network = build()
    sizes = list(zip(network.widths[:-1], network.widths[1:], strict=True))
    if isinstance(network, KAN):
        extra = 2 if network.base == "silu" else 0
        edges = [a * b - len(pruned) for (a, b), pruned in zip(sizes, network.pruned, strict=True)]
        counts = [e * (k + n + extra) for e, k, n in zip(edges, network.degree, network.intervals, strict=True)]
        assert network.parameters_paper == sum(e * n for e, n in zip(edges, network.intervals, strict=True))
        trailing = counts[-1] - (edges[-1] if extra else 0)  # all but the spline's weight w_s
    else:
        counts = [(a + 1) * b for a, b in sizes]
        trailing = counts[-1]
    assert sum(p.numel() for p in network.parameters()) == sum(counts)
    assert network.linear_parameters == trailing
    assert all(p.dtype == torch.float64 for p in network.parameters())


# Module networks


class Quadratic(nn.Module):
    """Σ_ij A_ij x_i x_j + an output that does not depend on the point, and one that is linear."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: Tensor) -> Tensor:
        quadratic = torch.einsum("ni,ij,nj->n", x, self.matrix, x)
        return torch.stack([quadratic, self.matrix[0, 0].expand(len(x)), x[:, 1]], dim=1)


@every_level
def test_module_networks_differentiate_what_they_are_given(level: Derivatives) -> None:
    matrix = random(3, 3)
    symmetric = matrix + matrix.T
    points, frame = random(5, 3, seed=1), Frame(("x", "t", "y"), level)
    jet = ModuleNetwork(Quadratic(matrix), 3, 3).jet(points, frame)
    torch.testing.assert_close(jet.value[:, 0], torch.einsum("ni,ij,nj->n", points, matrix, points))
    if level >= Derivatives.GRADIENT:
        torch.testing.assert_close(jet.gradient[:, 0], points @ symmetric)
        assert not jet.gradient[:, 1].any()
        torch.testing.assert_close(jet.gradient[0, 2], torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    if level >= Derivatives.SUMMED:
        expected = {
            Derivatives.SUMMED: (symmetric[0, 0] + symmetric[2, 2])[None],
            Derivatives.DIAGONAL: symmetric.diagonal(),
            Derivatives.FULL: symmetric[[0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]],
        }[level]
        torch.testing.assert_close(jet.second[:, 0], expected.expand(5, -1))
        assert not jet.second[:, 1:].any()


def sequential_of(network: MLP) -> nn.Sequential:
    """The same tanh network, on the box [-1, 1], as torch writes it."""
    layers: list[nn.Module] = []
    for layer in network.linear_layers:
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def cotangent_like(jet: Jet) -> Jet:
    seeds = iter(range(100, 104))
    return jet.each(lambda part: random(*part.shape, seed=next(seeds)))


@every_order
@pytest.mark.parametrize("only_linear", [False, True])
@pytest.mark.parametrize("widths", [(2, 5, 1), (3, 4, 3, 2), (2, 2)], ids=str)
def test_a_modules_rows_are_those_of_the_same_network_in_closed_form(
    level: Derivatives | str, widths: tuple[int, ...], only_linear: bool
) -> None:
    network = MLP(widths)
    network.initialise(generator(1))
    points, frame = random(11, widths[0], seed=2), frame_of(level, widths[0])
    expected = network.trace(network.prepare(points, frame), only_linear)
    module = ModuleNetwork(sequential_of(network), widths[0], widths[-1], entries_at_once=100)  # a few points at a time
    assert module.linear_parameters == network.linear_parameters
    trace = module.trace(module.prepare(points, frame), only_linear)
    for part, other in zip(parts(trace.jet), parts(expected.jet), strict=True):
        torch.testing.assert_close(part, other, rtol=1e-12, atol=1e-12)
    cotangent = cotangent_like(expected.jet)
    torch.testing.assert_close(trace.rows(cotangent), expected.rows(cotangent), rtol=1e-12, atol=1e-12)


def test_a_modules_rows_know_parameters_used_twice_buffers_and_what_is_not_used() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2, dtype=torch.float64)
            self.idle = nn.Parameter(torch.ones(3, dtype=torch.float64))
            self.register_buffer("scale", torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (self.scale * self.inner(torch.sin(self.inner(x)))).sum(1, keepdim=True)

    network = ModuleNetwork(Tied(), 2)
    assert network.linear_parameters == 0
    points, frame = random(4, 2), Frame(("x", "y"))
    trace = network.trace(network.prepare(points, frame))
    cotangent = cotangent_like(trace.jet)
    rows = trace.rows(cotangent)
    for k in range(len(points)):
        jet = network.jet(points[k : k + 1], frame)
        pairing = sum((a * b[k : k + 1]).sum() for a, b in zip(parts(jet), parts(cotangent), strict=True))
        slopes = torch.autograd.grad(pairing, list(network.parameters()), allow_unused=True, materialize_grads=True)
        torch.testing.assert_close(rows[k], torch.cat([s.reshape(-1) for s in slopes]), rtol=1e-12, atol=1e-12)
    assert network.trace(network.prepare(points, frame), only_linear=True).rows(cotangent).shape == (4, 0)


def test_the_last_layer_of_a_module_is_linear_only_where_it_is_its_own() -> None:
    first, last = nn.Linear(2, 2), nn.Linear(2, 2)
    assert ModuleNetwork(nn.Sequential(first, nn.Tanh(), last), 2, 2).linear_parameters == 6
    assert ModuleNetwork(nn.Sequential(first, nn.Tanh(), first), 2, 2).linear_parameters == 0
    assert ModuleNetwork(nn.Sequential(last, nn.Tanh(), last, nn.Tanh(), last), 2, 2).linear_parameters == 0
    assert ModuleNetwork(nn.Sequential(first, nn.Tanh()), 2, 2).linear_parameters == 0
    assert ModuleNetwork(nn.Linear(2, 1), 2).linear_parameters == 0


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)


class Mixing(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


@pytest.mark.parametrize(
    "module",
    [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), Branching(), Mixing(),
     nn.Sequential(nn.Linear(2, 40), nn.Dropout(), nn.Linear(40, 1))],
    ids=["batch norm", "branching", "mixing", "dropout"],
)  # fmt: skip
def test_modules_that_have_no_rows_say_why_and_what_to_use(module: nn.Module) -> None:
    with pytest.raises(NoJacobian, match=r"point by point.*lbfgs or adam"):
        ModuleNetwork(module, 2).prepare(random(5, 2), Frame(("x", "y")))


def test_module_networks_leave_the_module_they_are_given_as_it_is() -> None:
    module = nn.Linear(2, 1)
    ModuleNetwork(module, 2)
    assert module.weight.dtype == torch.float32


# KANs: refining, widening, normalising


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
    theta = parameters_to_vector(network.parameters()).detach()
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


# Beyond the box


@pytest.mark.parametrize("network", [kan((2, 1)), kan((2, 3, 1)), kan((1, 3, 2, 1))], ids=["1 layer", "2 layers", "3 layers"])
def test_beyond_the_knots_a_kan_grows_linearly(network: KAN) -> None:
    direction = random(1, network.inputs)
    far = torch.tensor([[1e4], [2e4], [3e4]], dtype=torch.float64) * direction
    value = network(far).detach()
    # by its first differences, which a polynomial of the degree of the splines would multiply
    torch.testing.assert_close(value[2] - value[1], value[1] - value[0], rtol=1e-9, atol=1e-6)
    jet = network.jet(far, Frame(NAMES[: network.inputs]))
    assert not jet.second.any()


# Initialisation


@pytest.mark.parametrize(
    "build",
    [
        lambda: KAN((2, 5, 1), 5, 6),
        lambda: KAN((3, 4, 2, 1), 4, 3),
        lambda: KAN((2, 5, 1), 3, 5, "silu"),
        lambda: MLP((2, 8, 8, 1)),
    ],
    ids=["kan", "deep kan", "silu", "mlp"],
)
def test_initialising_depends_on_the_generator_alone(build: Callable[[], KAN | MLP]) -> None:
    state = torch.get_rng_state()
    torch.manual_seed(1)
    first, same, other = build(), build(), build()
    outside = torch.get_rng_state()
    first.initialise(generator(7))
    assert torch.equal(torch.get_rng_state(), outside)
    torch.rand(3)
    same.initialise(generator(7))
    other.initialise(generator(8))
    torch.set_rng_state(state)
    one, two, three = (parameters_to_vector(network.parameters()) for network in (first, same, other))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("build", [lambda: KAN((2, 5, 1)), lambda: MLP((2, 8, 1))], ids=["kan", "mlp"])
def test_building_a_network_leaves_the_global_generator_alone(build: Callable[[], Network]) -> None:
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


def test_first_hidden_nodes_start_as_plane_waves_in_distinct_directions() -> None:
    network = KAN((2, 6, 1), 5, 8)
    network.initialise(generator(3))
    jet = network.layers[0](network.prepare(torch.zeros(1, 2, dtype=torch.float64), Frame(("x", "y")))[0])
    angles = torch.atan2(jet.gradient[0, :, 1], jet.gradient[0, :, 0]) % torch.pi
    gaps = torch.sort(angles).values.diff()
    assert gaps.min() > 0.2 * torch.pi / 6


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2,),), "at least one node"),
        (((2, 0, 1),), "at least one node"),
        (((2, 3, 1), 5, 10, "relu"), "'none' or 'silu'"),
        (((2, 3, 1), (5, 5, 5)), "degree has 3 entries for 2 layers"),
        (((2, 3, 1), 5, (4,)), "intervals has 1 entries for 2 layers"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KAN(*arguments)


def test_an_mlp_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        MLP((2,))


def test_more_than_the_highest_degree_is_refused_when_the_network_is_built() -> None:
    with pytest.raises(ValueError, match="degree"):
        KAN((2, 3, 1), 13)
