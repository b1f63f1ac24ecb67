"""The residual rows of a problem and a network: weighted so that their sum of squares is the loss, with their Jacobian.

Each term of the loss is a weighted mean square, w Σ_i ω_i r_i² / Σ_i ω_i with quadrature weights ω; row i is multiplied by the
square root of its factor, so that the sum of squares approximates the integral.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.domains.quadrature import Quadrature, joined
from pdekan.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.operators import d
from pdekan.problems import (
    Condition,
    Environment,
    Field,
    Formula,
    Problem,
    ProblemError,
    PythonField,
    RightHandSide,
    Weights,
    as_field,
)
from pdekan.products import JacobianProducts, Piece, bytes_a_point, points_at_a_time

# The paper's balance (arXiv:2404.19756, section 3.4: α = 0.01), here between nondimensional residuals.
EQUATION_WEIGHT = 0.01


@dataclass(frozen=True)
class Sampling:
    """How points are laid: `cells` × `order` Gauss points an axis up to three dimensions, else about `count` Sobol points."""

    cells: int
    order: int
    count: int
    seed: int


@dataclass(frozen=True)
class Term:
    """operator(u) - target at points; on periodic faces the points are those of both, and the residual is the jump.

    points: ``(sides · n, d)``. target, share: ``(n,)``, share being ω / Σ ω. unit: what a residual of "one" means, for
    balancing. group: "equation" or "conditions". faces: how many faces the points lie on, as many points on each.
    """

    name: str
    group: str
    operator: Field
    points: Tensor
    target: Tensor
    share: Tensor
    frame: Frame
    environment: Environment
    unknown: str
    sides: int = 1
    faces: int = 1

    def part(self, rows: Tensor) -> Term:
        """The same for some of its residuals."""
        points = torch.cat([rows + side * len(self.target) for side in range(self.sides)])
        frame = self.frame if self.frame.normal is None else replace(self.frame, normal=self.frame.normal[points])
        environment = {name: _at(jet, points, frame) for name, jet in self.environment.items()}
        return replace(
            self,
            points=self.points[points],
            target=self.target[rows],
            share=self.share[rows],
            frame=frame,
            environment=environment,
        )

    def residual(self, u: Jet) -> Tensor:
        """Unweighted residual ``(n,)`` from the unknown's jet at the points."""
        value = self.operator({**self.environment, self.unknown: u}).value
        if self.sides == 2:
            first, second = value.reshape(2, -1)
            value = first - second
        return value - self.target

    def linearised(self, u: Jet) -> tuple[Tensor, Jet]:
        """The residual, and its derivative by the unknown's jet point by point: one pass of autograd serves any operator."""
        parts = [None if p is None else p.detach().clone().requires_grad_() for p in (u.value, u.gradient, u.second)]
        wanted = [p for p in parts if p is not None]
        with torch.enable_grad():
            residual = self.residual(Jet(self.frame, *parts))  # type: ignore[arg-type]
            slopes = torch.autograd.grad(residual.sum(), wanted, allow_unused=True, materialize_grads=True)
        gradient, second = [*slopes[1:], None, None][:2]
        return residual.detach(), Jet(self.frame, slopes[0], gradient, second)


def _at(jet: Jet, points: Tensor, frame: Frame) -> Jet:
    """A jet at some of its points."""
    divergence = None if jet.divergence is None else jet.divergence[points]
    return replace(jet.each(lambda part: part[points]), frame=frame, divergence=divergence)


def terms(problem: Problem, sampling: Sampling, device: str | torch.device = "cpu") -> list[Term]:
    """The equation's term, then one for every face of every condition (two for a periodic pair).

    Above three dimensions the faces of a condition share one term: hundreds of small ones cost more than their arithmetic.
    Raises ProblemError where a right-hand side is not finite, naming the point.
    """
    domain = problem.domain
    rule = domain.interior(sampling.cells, sampling.order, sampling.count, sampling.seed)
    equation = as_field(problem.equation)
    out = [_term(problem, "equation", "equation", equation, problem.source, rule, device)]
    count = sum(len(domain.resolve(name)) for condition in problem.conditions for name in condition.on)
    share = -(-sampling.count // max(1, count))
    seeds = itertools.count(sampling.seed + 1)
    for condition in problem.conditions:
        faces = [face for name in condition.on for face in domain.resolve(name)]
        rules = [domain.face(face, sampling.cells, sampling.order, share, next(seeds)) for face in faces]
        if condition.kind == "periodic":
            for face, rule in zip(faces, rules, strict=True):
                out.extend(_periodic(problem, condition, face, rule, device) if face.endswith("-") else ())
            continue
        if domain.dimension > TENSOR_DIMENSIONS:
            labels, parts = [", ".join(condition.on)], [rules]
        else:
            labels, parts = faces, [[rule] for rule in rules]
        assert condition.operator is not None
        for label, part in zip(labels, parts, strict=True):
            name, rule = f"{condition.kind} on {label}", joined(part)
            term = _term(problem, name, "conditions", condition.operator, condition.value, rule, device)
            out.append(replace(term, faces=len(part)))
    return out


def _periodic(problem: Problem, condition: Condition, face: str, rule: Quadrature, device: str | torch.device) -> list[Term]:
    """The jumps of u and of its derivative across a pair of faces."""
    k = problem.domain.coordinates.index(face[:-1])
    opposite = rule.points.copy()
    opposite[:, k] = problem.domain.upper[k]
    pair = Quadrature(np.concatenate([rule.points, opposite]), rule.weights)
    label = f"periodic in {face[:-1]}"

    value = PythonField(lambda u: u, (problem.unknown,))
    slope = PythonField(lambda u: d(u, face[:-1]), (problem.unknown,))
    return [
        _term(problem, label, "conditions", value, 0.0, pair, device, sides=2),
        _term(problem, label + ", slope", "conditions", slope, 0.0, pair, device, sides=2),
    ]


def _term(
    problem: Problem,
    name: str,
    group: str,
    operator: Field,
    value: Formula | RightHandSide,
    rule: Quadrature,
    device: str | torch.device,
    sides: int = 1,
) -> Term:
    points = torch.as_tensor(rule.points, dtype=torch.float64, device=device)
    normals = None if rule.normals is None else torch.as_tensor(rule.normals, dtype=torch.float64, device=device)
    level = problem.level_of(operator, points[:2], None if normals is None else normals[:2])
    n = len(points) // sides
    target = problem.right_hand_side(value, operator, points[:n], level, normals)
    bad = ~torch.isfinite(target)
    if bool(bad.any()):
        where = ", ".join(f"{c} = {v:g}" for c, v in zip(problem.domain.coordinates, points[:n][bad][0].tolist(), strict=True))
        raise ProblemError(f"{name}: the right-hand side is not finite at {where}")
    share = torch.as_tensor(rule.weights / rule.weights.sum(), dtype=torch.float64, device=device)
    environment = problem.environment(points, level, normals)
    frame = Frame(problem.domain.coordinates, level, normals)
    return Term(name, group, operator, points, target, share, frame, environment, problem.unknown, sides)


def unit(term: Term, problem: Problem) -> float:
    """The size of a term's residual when u and its derivatives, in half-lengths of the domain, are of size one.

    The root mean square of ∂r/∂u, ∂r/∂∇u and ∂r/∂∇²u, each times 1/H once for each derivative, at u = a linear function:
    it makes losses nondimensional whatever the domain's size and the coefficients' units.
    """
    lower, upper = term.points.new_tensor(problem.domain.lower), term.points.new_tensor(problem.domain.upper)
    per_length = 2.0 / (upper - lower)
    position = (term.points - lower) * per_length - 1.0
    frame, n = term.frame, len(term.points)
    u = frame.constant(1.0, term.points)
    gradient = None if u.gradient is None else (per_length / len(lower)).expand(n, -1)
    slope = term.linearised(Jet(frame, 1.0 + position.mean(1), gradient, u.second))[1]
    size = slope.value**2
    if slope.gradient is not None:
        size = size + (slope.gradient * per_length).square().sum(1)
    if slope.second is not None:
        size = size + (slope.second * frame.pair(per_length, per_length)).square().sum(1)
    share = term.share.repeat(term.sides) / term.sides
    return float((share * size).sum().sqrt()) or 1.0


def is_affine(term: Term) -> bool:
    """Whether the residual is affine in the unknown's jet, tried at random jets: r((u + v)/2) = (r(u) + r(v))/2."""
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor | None) -> Tensor | None:
        return None if like is None else torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    zero = term.frame.constant(0.0, term.points)
    u = [draw(p) for p in (zero.value, zero.gradient, zero.second)]
    v = [draw(p) for p in (zero.value, zero.gradient, zero.second)]
    middle = [None if p is None or q is None else 0.5 * (p + q) for p, q in zip(u, v, strict=True)]
    ru, rv, rm = (term.residual(Jet(term.frame, *parts)) for parts in (u, v, middle))  # type: ignore[arg-type]
    scale = float(torch.maximum(ru.abs(), rv.abs()).max()) + 1e-300
    return bool(((0.5 * (ru + rv) - rm).abs() <= 1e-11 * scale).all())


class Objective:
    """The least-squares problem that optimizers see: weighted residual rows as functions of the flat parameters.

    It works on its own copy of the network; parameters ``(P,)`` go in and out as vectors. block: at most so many rows of the
    Jacobian at a time. pulse: called before every piece of work, so that one that takes long can be ended by what it raises.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        terms: list[Term],
        weights: Weights | None = None,
        block: int | None = None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self.network = deepcopy(network).requires_grad_(True)
        self._pulse = pulse
        factors = row_factors(problem, terms, weights)
        pieces = zip(
            *(pair for term, factor in zip(terms, factors, strict=True) for pair in _pieces(term, factor, block)), strict=True
        )
        self.terms, self.factors = (list(column) for column in pieces)
        self.linear = self.network.linear_parameters
        self.affine = self.linear > 0 and all(is_affine(term) for term in terms)
        self._groups = _grouped([len(term.target) for term in self.terms], block)
        self._points = torch.cat([term.points for term in terms])
        self.roomy = len(self._groups) == 1
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
        self._pulse()
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
        if self.affine:
            residual, slope = self._at_zero(k)
        else:
            residual, slope = term.linearised(trace.jet[0])
            residual, slope = factor * residual, _weighted(slope, factor, term)
        rows = trace.rows(slope.each(lambda part: part[:, None]))  # as that of a field with one component
        if term.sides == 2:
            rows = rows.reshape(2, len(factor), -1).sum(0)
        if self.affine:
            residual = residual + rows[:, rows.shape[1] - self.linear :] @ linear
        return residual, rows

    def _prepare(self, k: int) -> object:
        """What the network can work out once for the points of term k."""
        if k in self._prepared:
            return self._prepared[k]
        prepared = self.network.prepare(self.terms[k].points, self.terms[k].frame)
        if self.roomy:
            self._prepared[k] = prepared
        return prepared

    def _at_zero(self, k: int) -> tuple[Tensor, Jet]:
        """Weighted residual and slope of term k for u = 0: where it is affine, the slope is the same for every u."""
        if k not in self._slopes:
            term, factor = self.terms[k], self.factors[k]
            residual, slope = term.linearised(term.frame.constant(0.0, term.points))
            self._slopes[k] = factor * residual, _weighted(slope, factor, term)
        return self._slopes[k]

    def products(self, theta: Tensor) -> JacobianProducts:
        """The residual rows at theta and products with their Jacobian, which is not formed; theta may change afterwards."""
        network, residuals, pieces, first = deepcopy(self.load(theta)), [], [], 0
        for term, factor in zip(self.terms, self.factors, strict=True):
            frame = Frame(term.frame.coordinates, term.frame.level)
            self._pulse()
            cost = bytes_a_point(network, term.points, frame)
            jet = evaluate(network, term.points, term.frame, points_at_a_time(cost))
            residual, slope = term.linearised(jet)
            residuals.append(factor * residual)
            weight = _weighted(slope, factor, term)
            row = torch.arange(first, first + len(residual), device=theta.device).repeat(term.sides)
            pieces.append(Piece(term.points, frame, row, weight, cost))
            first += len(residual)
        return JacobianProducts(network, torch.cat(residuals), pieces, self._pulse)

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """‖rows‖² and its gradient ``(P,)``, by autograd through the network's jets."""
        self._pulse()
        network = self.load(theta)
        total = theta.new_zeros(())
        for term, factor in zip(self.terms, self.factors, strict=True):
            u = network.jet(term.points, term.frame)[0]
            total = total + (factor * term.residual(u)).square().sum()
        slopes = torch.autograd.grad(total, list(network.parameters()), allow_unused=True, materialize_grads=True)
        return float(total.detach()), torch.cat([slope.reshape(-1) for slope in slopes])

    def normalise(self, theta: Tensor) -> Tensor:
        """Hidden nodes brought back to their range over all training points; see `Network.normalise`."""
        network = self.load(theta)
        network.normalise(self._points)
        return parameters_to_vector(network.parameters()).detach()


def row_factors(problem: Problem, terms: list[Term], weights: Weights | None) -> list[Tensor]:
    """Square roots of the rows' factors, ``(n,)`` a term; weights None balances nondimensional residuals."""
    faces = max(1, sum(term.faces for term in terms if term.group == "conditions"))
    factors = []
    for term in terms:
        if weights is None:
            weight = (EQUATION_WEIGHT if term.group == "equation" else 1.0) / unit(term, problem) ** 2
        else:
            weight = weights.equation if term.group == "equation" else weights.conditions
        if term.group == "conditions":
            weight = weight * term.faces / faces
        factors.append((weight * term.share).sqrt())
    return factors


def _weighted(slope: Jet, factor: Tensor, term: Term) -> Jet:
    """A scalar's slope, each point's times the factor of its row."""
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


@torch.no_grad()
def evaluate(network: Network, points: Tensor, frame: Frame, chunk: int | None = None) -> Jet:
    """The network's scalar jet at any number of points, in chunks, without autograd's graph."""
    inner = Frame(frame.coordinates, frame.level)
    if chunk is None:  # a point's arrays have up to as many numbers as the network has parameters
        chunk = max(64, min(8192, 2**25 // max(1, sum(p.numel() for p in network.parameters()))))
    pieces = [network.jet(piece, inner)[0].each(Tensor.detach) for piece in torch.split(points, chunk)]
    gradient = second = None
    if frame.level >= Derivatives.GRADIENT:
        gradient = torch.cat([piece.gradient for piece in pieces if piece.gradient is not None])
    if frame.level > Derivatives.GRADIENT:
        second = torch.cat([piece.second for piece in pieces if piece.second is not None])
    return Jet(frame, torch.cat([piece.value for piece in pieces]), gradient, second)
