"""Partitions of boxes into cells, their faces, and the polynomials on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre as reference

from pdekan.domains.partition import Partition
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.cells import CellNetwork, build
from pdekan.networks.legendre import count, legendre, products


def refined(dimension: int, seed: int, times: int = 4) -> Partition:
    """A partition of [0, 1] × [0, 2] × … with cells of many sizes and shapes."""
    generator = np.random.default_rng(seed)
    upper = tuple(float(k + 1) for k in range(dimension))
    partition = Partition.grid((0.0,) * dimension, upper, [int(n) for n in generator.integers(1, 4, dimension)])
    for _ in range(times):
        chosen = generator.choice(partition.count, size=max(1, partition.count // 3), replace=False)
        axes = {int(c): generator.permutation(dimension)[: generator.integers(1, dimension + 1)].tolist() for c in chosen}
        partition, former = partition.refined(axes)
        assert len(former) == partition.count
    return partition


@given(st.integers(1, 3), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_cells_fill_the_box_and_points_are_located_in_theirs(dimension: int, seed: int) -> None:
    partition = refined(dimension, seed, times=3)
    low, high = partition.cells
    assert (high - low).prod(axis=1).sum() == pytest.approx(np.prod(partition.upper))
    points = np.random.default_rng(seed).random((200, dimension)) * partition.upper
    cell = partition.locate(torch.as_tensor(points)).numpy()
    assert ((low[cell] <= points) & (points <= high[cell])).all()


@given(st.integers(1, 3), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_faces_are_those_that_all_pairs_of_cells_have(dimension: int, seed: int) -> None:
    partition = refined(dimension, seed, times=2)
    low, high = partition.cells
    expected = set()
    for a in range(partition.count):
        for b in range(partition.count):
            overlap = np.minimum(high[a], high[b]) - np.maximum(low[a], low[b])
            for k in range(dimension):
                if high[a, k] == low[b, k] and (np.delete(overlap, k) > 0).all():
                    expected.add((a, b, k))
    faces = partition.faces()
    assert set(zip(faces.first.tolist(), faces.second.tolist(), faces.axis.tolist(), strict=True)) == expected
    assert len(faces) == len(expected)
    for k in range(dimension):  # the faces and the boundary together are the sides of the cells
        others = np.arange(dimension) != k
        own = faces.axis == k
        area = (faces.upper - faces.lower)[own][:, others].prod(axis=1).sum()
        sides = (high - low)[:, others].prod(axis=1).sum()
        assert area == pytest.approx(sides - np.prod(np.array(partition.upper)[others]))


def test_periodic_faces_join_opposite_cells() -> None:
    partition, _ = Partition.grid((0.0, 0.0), (1.0, 1.0), (2, 2)).refined({3: [1]})
    faces = partition.faces(periodic=[0])
    joined = np.flatnonzero(faces.shift)
    pairs = [(faces.first[i], faces.second[i], faces.lower[i, 1], faces.upper[i, 1]) for i in joined]
    assert sorted(float(b - a) for _, _, a, b in pairs) == [0.25, 0.25, 0.5]
    assert (faces.lower[joined, 0] == 1.0).all()
    assert (faces.shift[joined] == -1.0).all()


def test_legendre_polynomials_are_those_of_numpy_with_mean_square_one() -> None:
    x = np.linspace(-1.0, 1.0, 7)
    values = [part.numpy() for part in legendre(torch.as_tensor(x), 6, 2)]
    for j in range(7):
        series = np.sqrt(2 * j + 1) * np.eye(7)[j]
        for order in range(3):
            np.testing.assert_allclose(values[order][:, j], reference.legval(x, reference.legder(series, order)), atol=1e-12)
    nodes, weights = reference.leggauss(8)
    at = legendre(torch.as_tensor(nodes), 6)[0].numpy()
    np.testing.assert_allclose(at.T @ (0.5 * weights[:, None] * at), np.eye(7), atol=1e-13)


@pytest.mark.parametrize("level", [Derivatives.SUMMED, Derivatives.DIAGONAL, Derivatives.FULL])
def test_derivatives_of_products_are_those_of_autograd(level: Derivatives) -> None:
    generator = torch.Generator().manual_seed(1)
    position = (2.0 * torch.rand(5, 2, generator=generator, dtype=torch.float64) - 1.0).requires_grad_()
    scale = torch.tensor([[2.0, 5.0]], dtype=torch.float64).expand(5, 2)
    basis = products(position, scale, 3, Frame(("x", "y"), level))
    for n in range(count(2, 3)):
        (slope,) = torch.autograd.grad(basis.value[:, n].sum(), position, create_graph=True)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        hessian = torch.stack([torch.autograd.grad(slope[:, k].sum(), position, **options)[0] for k in range(2)])
        torch.testing.assert_close(basis.gradient[:, n], slope * scale)
        xx, xy, yy = hessian[0, :, 0] * 4.0, hessian[0, :, 1] * 10.0, hessian[1, :, 1] * 25.0
        kept = {Derivatives.SUMMED: [xx + yy], Derivatives.DIAGONAL: [xx, yy], Derivatives.FULL: [xx, xy, yy]}[level]
        torch.testing.assert_close(basis.second[:, n], torch.stack(kept, 1))


def test_a_cell_network_is_each_cells_polynomial_and_is_rebuilt_from_its_state() -> None:
    partition = refined(2, seed=5)
    degrees = np.arange(partition.count) % 4
    network = CellNetwork(partition, degrees, outputs=2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        network.coefficients.copy_(torch.randn(network.coefficients.shape, generator=generator, dtype=torch.float64))
    points = torch.rand(50, 2, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 2.0])
    low, high = partition.cells
    values = network(points)
    blocks = network.blocks()
    for point, value in zip(points.numpy(), values.detach().numpy(), strict=True):
        cell = int(np.flatnonzero(((low <= point) & (point < high)).all(axis=1))[0])
        local = torch.as_tensor(2.0 * (point - low[cell]) / (high - low)[cell] - 1.0)[None]
        basis = products(local, torch.ones_like(local), int(degrees[cell]), Frame(("x", "y"), Derivatives.VALUE)).value
        np.testing.assert_allclose(value, (basis @ blocks[cell].T)[0].detach(), atol=1e-12)
    again = build(network.architecture())
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(points), values)
