"""A penalty that drives edges of a KAN to constants, for least squares: L1 and entropy of the edges' norms.

    Σ_l [ |Φ_l| + S_l ],   |Φ_l| = Σ_e n_e,   S_l = -Σ_e p_e log p_e,   p_e = n_e / |Φ_l|   (arXiv:2404.19756, eqs. 2.18-2.20)

n_e is the standard deviation of an activation over its knots, in units of the node that it enters: hidden nodes are normalised
to one size, an output's is measured. The penalty is no sum of squares: n ≤ n²/(2 n₀) + n₀/2 with equality at the present n₀, so
that a sum of squares lies above it, touches it, and is made smaller instead (iteratively reweighted least squares: Daubechies,
DeVore, Fornasier and Güntürk, Comm. Pure Appl. Math. 63 (2010) 1-38). Constants are free: they pass from edge to edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pdekan.ansatz.unknowns import inner_network
from pdekan.domains.quadrature import gauss
from pdekan.networks.base import Network
from pdekan.networks.importance import layer_traces
from pdekan.networks.kan import KAN
from pdekan.networks.layers import SplineLayer
from pdekan.optimizers.base import Bounds, Products
from pdekan.residuals.least_squares import Objective
from pdekan.training.clock import StepEndedError
from pdekan.training.retraining import Retraining

# Norms below this count as this in the weights, which would grow without bound.
SMALLEST = 1e-4

# How a network is trained with the penalty beside its loss, round by round.
# the penalty at first, as a part of the loss of zero: with less of it a network of ten nodes for sin πx sin πy² keeps seven of
# them, with more it has to be trained long afterwards
STRENGTH = 1e-4
ROUNDS, STEPS = 8, 10  # at most, and of each
GAIN = 0.02  # a round that lowers the penalty by less of it is the last one
SHARE = 0.2  # of the time that was left, after which a round is the last one too


def root(layer: SplineLayer) -> Tensor:
    """R with RᵀR = the Gram matrix of a layer's functions less their means on [-1, 1]: ‖R v‖ is the norm of Σ v_b B_b.

    The functions are the B-splines and, where there is one, the base function. Exact for splines, by Gauss points.
    """
    nodes, weights = (
        torch.as_tensor(part).to(layer.coefficients) for part in gauss(-1.0, 1.0, layer.intervals, layer.degree + 1)
    )
    weights = 0.5 * weights  # which sum to two
    bases = layer.bases(nodes[:, None], 0)
    functions = bases.local.scatter(bases.local.pieces[0])[:, 0]
    if bases.base is not None:
        functions = torch.cat([functions, bases.base[0]], dim=1)
    centred = functions - weights @ functions
    found: Tensor = torch.linalg.qr(weights.sqrt()[:, None] * centred, mode="r").R
    return found


def functions(layer: SplineLayer) -> Tensor:
    """What edges with parameters are made of: coefficients ``(edges, functions)`` of the B-splines and of the base function."""
    edges = layer.coefficients.reshape(layer.edges, -1)
    if layer.base == "none":
        return edges
    return torch.cat([layer.spline_weight.reshape(-1, 1) * edges, layer.base_weight.reshape(-1, 1)], dim=1)


@torch.no_grad()
def sizes(network: KAN, points: Tensor) -> Tensor:
    """Standard deviations ``(outputs,)`` of the outputs at points ``(n, d)``, one where there is none."""
    spread = layer_traces(network, points)[-1].output.value.std(0, correction=0)
    return torch.where(spread > 0.0, spread, 1.0)


def norms(network: KAN, outputs: Tensor) -> list[Tensor]:
    """n_e of the edges with parameters, ``(edges,)`` a layer; outputs: the sizes of the outputs ``(outputs,)``."""
    found = [(functions(layer) @ root(layer).T).norm(dim=1) for layer in network.spline_layers]
    return [*found[:-1], found[-1] / outputs[_ends(network.spline_layers[-1])]]


def penalty(norms: Sequence[Tensor]) -> float:
    """Σ_l [|Φ_l| + S_l] (arXiv:2404.19756, eq. 2.20 with μ₁ = μ₂ = 1)."""
    return sum(float((n.sum() + torch.special.entr(n / n.sum()).sum()).detach()) for n in norms if bool(n.any()))


def slopes(norms: Sequence[Tensor]) -> list[Tensor]:
    """Derivatives of the penalty by the norms: 1 - (log p_e + S_l)/|Φ_l|, or zero for edges that are rather to grow."""
    found = []
    for n in norms:
        n = n.clamp_min(SMALLEST)
        p = n / n.sum()
        found.append((1.0 - (p.log() + torch.special.entr(p).sum()) / n.sum()).clamp_min(0.0))
    return found


def _ends(layer: SplineLayer) -> Tensor:
    """The output ``(edges,)`` that every edge with parameters enters."""
    return layer.kept.nonzero()[:, 1]


class Sparse:
    """A problem's objective with strength · Σ_e w_e (n_e²/(2 n₀) + n₀/2) beside it, with w_e and n₀ those at the network given.

    It is the least-squares problem that optimizers see. Its sum of squares is that of the objective and the penalty's rows.
    """

    def __init__(self, objective: Objective, network: Network, outputs: Tensor, strength: float) -> None:
        self.objective, self.outputs = objective, outputs
        with torch.no_grad():
            present = norms(cast("KAN", inner_network(network)), outputs)
            sloped = slopes(present)
            factors = [(0.5 * strength * w / n.clamp_min(SMALLEST)).sqrt() for w, n in zip(sloped, present, strict=True)]
        kan = cast("KAN", inner_network(objective.network))
        factors[-1] = factors[-1] / outputs[_ends(kan.spline_layers[-1])]
        # R of every edge times its factor, (edges, functions, functions)
        self._roots = [f[:, None, None] * root(layer) for f, layer in zip(factors, kan.spline_layers, strict=True)]
        self._starts = _starts(objective.network)

    @property
    def linear(self) -> int:
        return self.objective.linear

    @property
    def affine(self) -> bool:
        return self.objective.affine

    @property
    def in_one_block(self) -> bool:
        return self.objective.in_one_block

    @property
    def bounds(self) -> Bounds | None:
        return self.objective.bounds

    @torch.no_grad()
    def penalty_rows(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty's rows ``(m,)`` and their Jacobian ``(m, P)``."""
        kan = cast("KAN", inner_network(self.objective.load(theta)))
        residuals, jacobians = [], []
        for layer, roots in zip(kan.spline_layers, self._roots, strict=True):
            rows = (roots @ functions(layer)[..., None])[..., 0]
            jacobian = rows.new_zeros(*rows.shape, len(theta))
            for name, parameter in layer.named_parameters():
                self._fill(jacobian, self._starts[id(parameter)], _slope(layer, roots, name))
            residuals.append(rows.reshape(-1))
            jacobians.append(jacobian.reshape(-1, len(theta)))
        return torch.cat(residuals), torch.cat(jacobians)

    @staticmethod
    def _fill(jacobian: Tensor, start: int, slope: Tensor) -> None:
        """Put the derivatives ``(edges, rows, own)`` of edges' rows by parameters of their own in their columns."""
        edges, _, own = slope.shape
        for e in range(edges):
            jacobian[e, :, start + e * own : start + (e + 1) * own] = slope[e]

    def rows(self, theta: Tensor, only_linear: bool = False) -> tuple[Tensor, Tensor]:
        """The problem's residual ``(n,)`` and Jacobian ``(n, P)``, the penalty's rows below."""
        residuals, jacobians = zip(*self.blocks(theta, only_linear), strict=True)
        return torch.cat(residuals), torch.cat(jacobians)

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """The problem's rows, and the penalty's in a block of their own, or all in one where there is room."""
        residual, jacobian = self.penalty_rows(theta)
        if only_linear:
            jacobian = jacobian[:, len(theta) - self.linear :]
        if not self.in_one_block:
            yield from self.objective.blocks(theta, only_linear)
            yield residual, jacobian
            return
        of_problem, by_problem = self.objective.rows(theta, only_linear)
        yield torch.cat([of_problem, residual]), torch.cat([by_problem, jacobian])

    def products(self, theta: Tensor) -> Products:
        return _Joined(self.objective.products(theta), *self.penalty_rows(theta), self.linear)

    def loss(self, theta: Tensor) -> float:
        return self.objective.loss(theta) + float(self.penalty_rows(theta)[0].square().sum())

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        loss, gradient = self.objective.loss_and_gradient(theta)
        residual, jacobian = self.penalty_rows(theta)
        return loss + float(residual.square().sum()), gradient + 2.0 * residual @ jacobian

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        return self.objective.normalise(theta, lazily)


@dataclass(frozen=True)
class _Joined:
    """Products with a Jacobian of which the last rows are known."""

    first: Products
    last: Tensor
    rows: Tensor
    count: int

    @property
    def residual(self) -> Tensor:
        return torch.cat([self.first.residual, self.last])

    def linear(self) -> Tensor:
        return torch.cat([self.first.linear(), self.rows[:, self.rows.shape[1] - self.count :]])

    def forward(self, v: Tensor) -> Tensor:
        return torch.cat([self.first.forward(v), self.rows @ v])

    def adjoint(self, w: Tensor) -> Tensor:
        before = len(w) - len(self.last)
        return self.first.adjoint(w[:before]) + self.rows.T @ w[before:]


def _slope(layer: SplineLayer, roots: Tensor, name: str) -> Tensor:
    """Derivatives ``(edges, rows, own)`` of every edge's rows by those of a parameter's numbers that are its own."""
    splined = layer.coefficients.shape[-1]
    if name == "base_weight":
        return roots[..., splined:]
    if name == "spline_weight":
        return roots[..., :splined] @ layer.coefficients.reshape(layer.edges, -1, 1)
    if layer.base == "none":
        return roots
    return roots[..., :splined] * layer.spline_weight.reshape(-1, 1, 1)


def _starts(network: nn.Module) -> dict[int, int]:
    """Where every parameter stands among the flat ones."""
    starts, first = {}, 0
    for parameter in network.parameters():
        starts[id(parameter)] = first
        first += parameter.numel()
    return starts


def sparsified(retraining: Retraining, network: Network) -> Network:
    """The network trained with the penalty beside its loss."""
    objective, theta, clock = retraining.timed(network), network.flat_parameters, retraining.clock
    outputs = sizes(cast("KAN", inner_network(network)), retraining.points)
    zero = theta.clone()
    zero[len(theta) - objective.linear :] = 0.0
    before, end = _penalty(network, outputs), clock.spent + SHARE * (clock.budget - clock.spent)
    with suppress(StepEndedError):
        strength = STRENGTH * objective.loss(zero) / before
        for _ in range(ROUNDS):
            problem = Sparse(objective, objective.load(theta), outputs, strength)
            theta = retraining.fitted(problem, objective, theta, STEPS)
            after = _penalty(objective.load(theta), outputs)
            if retraining.stopped or after > (1.0 - GAIN) * before or clock.spent > end:
                break
            before = after
    return objective.load(theta)


def _penalty(network: Network, outputs: Tensor) -> float:
    return penalty(norms(cast("KAN", inner_network(network)), outputs))
