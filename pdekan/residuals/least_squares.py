"""The residual rows of a problem and a network: weighted so that their sum of squares is the loss, with their Jacobian.

Each term of the loss is a weighted mean square, w Σ_i ω_i r_i² / Σ_i ω_i with quadrature weights ω; row i is multiplied by the
square root of its factor, so that the sum of squares approximates the integral.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.optimizers.base import Bounds
from pdekan.problems.options import Weights
from pdekan.problems.problem import Problem
from pdekan.residuals.jacobian_products import GRAPH_MEMORY, GraphMemory, JacobianProducts, Piece, bytes_a_point
from pdekan.residuals.terms import Term, is_affine, unit

# The paper's balance (arXiv:2404.19756, section 3.4: α = 0.01), here between nondimensional residuals.
EQUATION_WEIGHT = 0.01
# Data with noise weigh so little that the solution does not follow their errors: oscillations on the scale of the domain cost
# more in the equation's residual than they gain in that of the data.
NOISY_WEIGHT = 1e-4


class Objective:
    """The least-squares problem that optimizers solve: weighted residual rows as functions of the flat parameters.

    It works on its own copy of the network; parameters ``(P,)`` are passed as vectors. block: at most so many rows of the
    Jacobian at a time. check_time: called before every block of work; what it raises ends a long step. sizes: of the terms'
    residuals, see `row_factors`.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        terms: list[Term],
        weights: Weights | None = None,
        block: int | None = None,
        check_time: Callable[[], None] = lambda: None,
        graph_memory: GraphMemory = GRAPH_MEMORY,
        sizes: list[float] | None = None,
    ) -> None:
        self.network = deepcopy(network).requires_grad_(True)
        self._check_time, self._graph_memory = check_time, graph_memory
        factors = row_factors(problem, terms, weights, sizes)
        pieces = zip(
            *(pair for term, factor in zip(terms, factors, strict=True) for pair in _pieces(term, factor, block)), strict=True
        )
        self.terms, self.factors = (list(column) for column in pieces)
        self.linear = self.network.linear_parameters
        self.affine = self.linear > 0 and all(is_affine(term, problem) for term in terms)
        self._fixed = self.affine and self.network.homogeneous
        self._groups = _grouped([len(term.target) for term in self.terms], block)
        points = [term.points for term in terms]
        self._points = torch.cat([*points, points[0].new_tensor(problem.domain.corners)])  # where no rule has points
        self.in_one_block = len(self._groups) == 1
        self.bounds = _bounds(problem, self._points)
        self._prepared: dict[int, object] = {}
        self._slopes: dict[int, tuple[Tensor, Jet]] = {}

    def load(self, theta: Tensor) -> Network:
        """The network with these parameters; valid until the next call."""
        vector_to_parameters(theta.clone(), self.network.parameters())  # which would share theta's memory
        return self.network

    @torch.no_grad()
    def rows(self, theta: Tensor, only_linear: bool = False) -> tuple[Tensor, Tensor]:
        """Residual rows ``(n,)`` and their Jacobian ``(n, P)``, or its trailing columns only."""
        residuals, jacobians = zip(*self.blocks(theta, only_linear), strict=True)
        return torch.cat(residuals), torch.cat(jacobians)

    def blocks(self, theta: Tensor, only_linear: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """The same, some rows at a time."""
        network = self.load(theta)
        linear = theta[len(theta) - self.linear :]
        for group in self._groups:
            yield self._block(network, group, linear, only_linear)

    def _block(self, network: Network, group: list[int], linear: Tensor, only_linear: bool) -> tuple[Tensor, Tensor]:
        """Residual and rows of some terms together."""
        self._check_time()
        pieces = [self._piece(network, k, linear, only_linear) for k in group]
        if len(pieces) == 1:
            return pieces[0]
        residuals, jacobians = zip(*pieces, strict=True)
        return torch.cat(residuals), torch.cat(jacobians)

    @torch.no_grad()
    def _piece(self, network: Network, k: int, linear: Tensor, only_linear: bool) -> tuple[Tensor, Tensor]:
        """Residual and rows of one term. Affine residuals follow from the rows, in which the output is linear too."""
        term, factor = self.terms[k], self.factors[k]
        trace = network.trace(self._prepare(k), only_linear)
        if self._fixed:
            residual, slope = self.at_zero(k)
        else:
            residual, slope = term.linearised(trace.jet)
            residual, slope = factor * residual, _weighted(slope, factor, term)
        rows = term.folded(trace.rows(slope))
        if self._fixed:
            residual = residual + rows[:, rows.shape[1] - self.linear :] @ linear
        return residual, rows

    def _prepare(self, k: int) -> object:
        """What the network computes once for the points of term k."""
        if k in self._prepared:
            return self._prepared[k]
        prepared = self.network.prepare(self.terms[k].points, self.terms[k].frame)
        if self.in_one_block:
            self._prepared[k] = prepared
        return prepared

    def at_zero(self, k: int) -> tuple[Tensor, Jet]:
        """Weighted residual and slope of term k for u = 0: where it is affine, the slope is the same for every u."""
        if k not in self._slopes:
            term, factor = self.terms[k], self.factors[k]
            residual, slope = term.linearised(term.zero())
            self._slopes[k] = factor * residual, _weighted(slope, factor, term)
        return self._slopes[k]

    def products(self, theta: Tensor) -> JacobianProducts:
        """The residual rows at theta and products with their Jacobian, which is not formed; theta may change afterwards."""
        network, residuals, pieces, first = deepcopy(self.load(theta)), [], [], 0
        for term, factor in zip(self.terms, self.factors, strict=True):
            frame = Frame(term.frame.coordinates, term.frame.level)
            cost = bytes_a_point(network, term.points, frame)
            jet = evaluate(network, term.points, term.frame, self._graph_memory.points_at_a_time(cost), self._check_time)
            residual, slope = term.linearised(jet)
            residuals.append(factor * residual)
            weight = _weighted(slope, factor, term)
            row = torch.arange(first, first + len(residual), device=theta.device).repeat(term.sides)
            pieces.append(Piece(term.points, frame, row, weight, cost))
            first += len(residual)
        return JacobianProducts(network, torch.cat(residuals), pieces, self._graph_memory, self._check_time)

    @torch.no_grad()
    def loss(self, theta: Tensor) -> float:
        """‖rows‖²."""
        if self._fixed and not bool(theta[len(theta) - self.linear :].any()):  # u = 0
            return sum(float(self.at_zero(k)[0].square().sum()) for k in range(len(self.terms)))
        network, total = self.load(theta), 0.0
        for k, (term, factor) in enumerate(zip(self.terms, self.factors, strict=True)):
            self._check_time()
            u = network.trace(self._prepare(k), only_linear=True).jet
            total += float((factor * term.residual(u)).square().sum())
        return total

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """‖rows‖² and its gradient ``(P,)``, by autograd through the network's jets."""
        network, loss, gradient = self.load(theta), 0.0, torch.zeros_like(theta)
        for graph in self._graphs:
            self._check_time()
            total = theta.new_zeros(())
            for term, factor in graph:
                total = total + (factor * term.residual(network.jet(term.points, term.frame))).square().sum()
            slopes = torch.autograd.grad(total, list(network.parameters()), allow_unused=True, materialize_grads=True)
            loss += float(total.detach())
            gradient = gradient + torch.cat([slope.detach().reshape(-1) for slope in slopes])
        return loss, gradient

    @cached_property
    def _graphs(self) -> list[list[tuple[Term, Tensor]]]:
        """All terms, whose graph is made at once where it fits into memory; else pieces of them, one at a time."""
        terms, memory = list(zip(self.terms, self.factors, strict=True)), self._graph_memory
        costs = [bytes_a_point(self.network, term.points, term.frame) for term, _ in terms]
        if sum(cost * len(term.points) for cost, (term, _) in zip(costs, terms, strict=True)) <= memory.kept:
            return [terms]
        sizes = [max(1, memory.points_at_a_time(cost) // term.sides) for cost, (term, _) in zip(costs, terms, strict=True)]
        return [[piece] for (term, factor), size in zip(terms, sizes, strict=True) for piece in _pieces(term, factor, size)]

    def normalise(self, theta: Tensor, lazily: bool = False) -> Tensor:
        """Hidden nodes brought back to their range over all training points; see `Network.normalise`."""
        network = self.load(theta)
        network.normalise(self._points, lazily)
        return network.flat_parameters


def triangle(rows: Tensor, ridge: float | Tensor) -> Tensor:
    """R ``(P, P)`` of the QR factorisation of rows ``(n, P)`` above ridge · identity, without which it may be singular."""
    found: Tensor = torch.linalg.qr(torch.cat([rows, ridge * torch.eye(rows.shape[1]).to(rows)]), mode="r").R
    return found


def row_factors(problem: Problem, terms: list[Term], weights: Weights | None, sizes: list[float] | None = None) -> list[Tensor]:
    """Square roots of the rows' factors, ``(n,)`` a term; weights None balances nondimensional residuals.

    sizes: of the terms' residuals, by default their `terms.unit`.
    """
    faces = max(1, sum(term.faces for term in terms if term.group == "conditions"))
    series = max(1, sum(term.group == "data" for term in terms))
    factors = []
    for k, term in enumerate(terms):
        if weights is None:
            chosen = {"equation": EQUATION_WEIGHT, "conditions": 1.0, "data": NOISY_WEIGHT if term.noise else 1.0}
            weight = chosen[term.group] / (unit(term, problem) if sizes is None else sizes[k]) ** 2
        else:
            weight = {"equation": weights.equation, "conditions": weights.conditions, "data": weights.data}[term.group]
        if term.group == "conditions":
            weight = weight * term.faces / faces
        elif term.group == "data":
            weight = weight / series
        factors.append((weight * term.share).sqrt())
    return factors


def _bounds(problem: Problem, like: Tensor) -> Bounds | None:
    """The bounds of the problem's parameters, the first entries of θ; None where none has a bound."""
    limits = [(one.lower, one.upper) for one in problem.parameters.values()]
    if all(math.isinf(end) for pair in limits for end in pair):
        return None
    lower, upper = like.new_tensor(limits).T
    return Bounds(lower, upper)


def _weighted(slope: Jet, factor: Tensor, term: Term) -> Jet:
    """A slope, each point's times the factor of its row."""
    factors = factor.repeat(term.sides)
    return slope.each(lambda part: part * factors.reshape(-1, *(1,) * (part.ndim - 1)))


def _pieces(term: Term, factor: Tensor, block: int | None) -> Iterator[tuple[Term, Tensor]]:
    """A term and its rows' factors, cut into pieces of at most `block` rows."""
    n = len(factor)
    if block is None or n <= block:
        yield term, factor
        return
    for rows in torch.arange(n, device=factor.device).split(block):
        yield term.part(rows), factor[rows]


def _grouped(sizes: list[int], block: int | None) -> list[list[int]]:
    """Successive pieces put together while they have at most `block` rows."""
    groups: list[list[int]] = [[]]
    rows = 0
    for k, size in enumerate(sizes):
        if groups[-1] and block is not None and rows + size > block:
            groups.append([])
            rows = 0
        groups[-1].append(k)
        rows += size
    return groups
