"""The sparsity penalty: the paper's formula by hand, rows against autograd, and what minimising it does to a network."""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

import pdekan as pk
from pdekan.ansatz.unknowns import build_ansatz
from pdekan.networks.base import Network
from pdekan.networks.importance import importance
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.problem import Problem
from pdekan.pruning.sparsity import Sparse, norms, penalty, root, sizes, slopes
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

ONE = torch.ones(1, dtype=torch.float64)


def problem(enforce: str = "weak", nonlinear: bool = False) -> Problem:
    return Problem(
        domain=pk.box(x=(-1, 1), y=(-1, 1)),
        equation=lambda u: -pk.laplacian(u) + (u**3 if nonlinear else 0.0 * u),
        source=lambda x, y: 2 * pk.pi**2 * pk.sin(pk.pi * x) * pk.sin(pk.pi * y),
        conditions=[pk.dirichlet(0.0, enforce=enforce)],
        exact=lambda x, y: pk.sin(pk.pi * x) * pk.sin(pk.pi * y),
    )


def start(base: str = "none", pruned: tuple[tuple[tuple[int, int], ...], ...] | None = None, hidden: int = 3) -> KAN:
    network = KAN((2, hidden, 1), 4, 3, base, pruned=pruned)
    network.initialise(torch.Generator().manual_seed(0))
    return network


def sparse(network: Network, enforce: str = "weak", strength: float = 1e-2, block: int | None = None) -> tuple[Sparse, Tensor]:
    stated = problem(enforce)
    network = build_ansatz(stated, network)
    objective = Objective(stated, network, terms(stated, Sampling(2, 4, 0, 0), torch.device("cpu")), None, block)
    theta = network.flat_parameters
    return Sparse(objective, network, 2.0 * ONE, strength), theta


def test_the_norm_of_an_activation_is_its_standard_deviation_over_the_knots() -> None:
    layer = KAN((1, 1), 3, 5).spline_layers[0]
    layer.coefficients.data = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def phi(x: float) -> float:
        return float(layer.activations(layer.bases(torch.tensor([[x]], dtype=torch.float64), 0))[0].detach())

    knots = [-1.0 + 0.4 * k for k in range(1, 5)]
    mean = quad(phi, -1, 1, points=knots)[0] / 2
    square = quad(lambda x: (phi(x) - mean) ** 2, -1, 1, points=knots)[0] / 2
    assert float((root(layer) @ layer.coefficients[0, 0]).norm().detach()) == pytest.approx(math.sqrt(square), rel=1e-9)


def test_the_penalty_is_the_papers_formula() -> None:
    first, second = [0.5, 0.25, 0.25], [2.0, 1.0, 1.0]
    by_hand = 1.0 + (0.5 * math.log(2) + 0.5 * math.log(4)) + 4.0 + (0.5 * math.log(2) + 0.5 * math.log(4))
    assert penalty([torch.tensor(first), torch.tensor(second)]) == pytest.approx(by_hand, rel=1e-6)
    assert penalty([torch.tensor([0.0, 3.0])]) == pytest.approx(3.0)  # an edge at zero has no entropy
    assert penalty([torch.zeros(2)]) == 0.0


def test_slopes_are_the_penaltys_derivative() -> None:
    n = torch.tensor([0.7, 0.2, 0.6, 1.1, 0.4], dtype=torch.float64)
    h = 1e-6
    for k, slope in enumerate(slopes([n])[0].tolist()):
        step = h * torch.eye(5, dtype=torch.float64)[k]
        assert slope == pytest.approx((penalty([n + step]) - penalty([n - step])) / (2 * h), rel=1e-6)
    # an edge that holds all there is gains by growing; it is let be
    assert slopes([torch.tensor([0.02, 0.001, 0.001], dtype=torch.float64)])[0][0] == 0.0


@pytest.mark.parametrize("base", ["none", "silu"])
@pytest.mark.parametrize("pruned", [None, (((1, 1),), ((2, 0),))])
@pytest.mark.parametrize("enforce", ["weak", "exact"])
def test_rows_agree_with_autograd_and_touch_the_penalty(base: str, pruned: None, enforce: str) -> None:
    problem, theta = sparse(start(base, pruned), enforce)
    rows, jacobian = problem.penalty_rows(theta)

    def of(parameters: Tensor) -> Tensor:
        network = deepcopy(problem.objective.network)
        named, first = {}, 0
        for name, parameter in network.named_parameters():
            named[name] = parameters[first : first + parameter.numel()].reshape(parameter.shape)
            first += parameter.numel()
        prefix = "network." if enforce == "exact" else ""
        out = []
        for k, (layer, roots) in enumerate(zip((network.network if prefix else network).layers, problem._roots, strict=True)):
            v = named[f"{prefix}layers.{k}.coefficients"].reshape(layer.edges, -1)
            if base == "silu":
                weight, other = (named[f"{prefix}layers.{k}.{n}"].reshape(-1, 1) for n in ("spline_weight", "base_weight"))
                v = torch.cat([weight * v, other], dim=1)
            out.append(torch.einsum("eab,eb->ea", roots, v).reshape(-1))
        return torch.cat(out)

    torch.testing.assert_close(rows.detach(), of(theta), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(jacobian.detach(), torch.autograd.functional.jacobian(of, theta), rtol=1e-12, atol=1e-14)
    # Σ w n at the network given, of which the rows carry one half
    kan = problem.objective.network.network if enforce == "exact" else problem.objective.network
    n = [one.detach() for one in norms(kan, 2.0 * ONE)]
    tangent = 1e-2 * sum(float((w * one).sum()) for w, one in zip(slopes(n), n, strict=True))
    assert float(rows.square().sum()) == pytest.approx(0.5 * tangent, rel=1e-9)


@pytest.mark.parametrize("block", [None, 40])
def test_it_is_a_least_squares_problem_like_the_objective(block: int | None) -> None:
    problem, theta = sparse(start(), block=block)
    residual, jacobian = problem.rows(theta)
    assert problem.loss(theta) == pytest.approx(float(residual @ residual), rel=1e-12)
    loss, gradient = problem.loss_and_gradient(theta)
    assert loss == pytest.approx(problem.loss(theta), rel=1e-9)
    torch.testing.assert_close(gradient, 2.0 * residual @ jacobian, rtol=1e-8, atol=1e-10)
    blocks = list(problem.blocks(theta, only_linear=True))
    assert problem.in_one_block == (len(blocks) == 1)
    columns = torch.cat([one for _, one in blocks])
    torch.testing.assert_close(columns, jacobian[:, -problem.linear :], rtol=1e-12, atol=1e-14)
    products = problem.products(theta)
    v, w = torch.randn(len(theta), dtype=torch.float64), torch.randn(len(residual), dtype=torch.float64)
    torch.testing.assert_close(products.residual, residual, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(products.forward(v), jacobian @ v, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(products.adjoint(w), jacobian.T @ w, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(products.linear(), jacobian[:, -problem.linear :], rtol=1e-8, atol=1e-10)
    # affine: the best linear part comes from one linear solve
    assert problem.affine
    best = theta.clone()
    best[-problem.linear :] -= torch.linalg.lstsq(
        columns, torch.cat([one for one, _ in blocks])[:, None], rcond=1e-15, driver="gelsd"
    ).solution[:, 0]
    slope = problem.loss_and_gradient(best)[1][-problem.linear :]
    assert float(slope.abs().max()) < 1e-9 * float(gradient.abs().max())


def test_minimising_it_drives_what_is_superfluous_to_nothing() -> None:
    """sin πx sin πy takes two plane waves; of five nodes three go, by the penalty alone."""
    stated, network = problem(), KAN((2, 5, 1), (3, 7), (1, 8))
    network.initialise(torch.Generator().manual_seed(0))
    training = terms(stated, Sampling(4, 5, 0, 0), torch.device("cpu"))
    objective = Objective(stated, network, training)
    theta = GaussNewton().minimise(objective, network.flat_parameters, 20, lambda _: None).theta
    points = training[0].points
    outputs = sizes(objective.load(theta), points)  # type: ignore[arg-type]
    before = importance(objective.load(theta), points).nodes[1].sort(descending=True).values  # type: ignore[arg-type]
    assert float(before[2:].sum()) > 0.2 * float(before.sum())
    penalties = [penalty(norms(objective.load(theta), outputs))]  # type: ignore[arg-type]
    strength = 1e-4 * objective.loss(torch.zeros_like(theta)) / penalties[0]
    for _ in range(6):
        majorised = Sparse(objective, objective.load(theta), outputs, strength)
        theta = GaussNewton().minimise(majorised, theta, 10, lambda _: None).theta
        penalties.append(penalty(norms(objective.load(theta), outputs)))  # type: ignore[arg-type]
    assert penalties[-1] < 0.7 * penalties[0]
    assert all(after < 1.05 * earlier for earlier, after in pairwise(penalties))
    scores = importance(objective.load(theta), points).nodes[1].sort(descending=True).values  # type: ignore[arg-type]
    assert float(scores[2:].sum()) < 0.1 * float(scores.sum())
