"""Networks: jets and Jacobian rows against autograd, torch modules, initialisation, arguments that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from network_jets import NAMES, assert_same_jet, generator, kan, mlp, parts, points_for, random
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.multi_indices import Higher, indices
from pdekan.networks.base import ModuleNetwork, Network, NoJacobian
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP

LEVELS = list(Derivatives)

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
    theta = network.flat_parameters
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


# --- Module networks


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


# --- Initialisation


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


# --- Arguments


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
