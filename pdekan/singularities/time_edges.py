"""Where time begins at a face: polynomials that satisfy the equations and conditions near it, and the diffusivities there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from pdekan.cells.rows import linearised_at, local_rows, tensors
from pdekan.domains.quadrature import Array, Quadrature, gauss
from pdekan.fields.jets import Jet
from pdekan.networks import legendre
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import Term, equation_terms, is_linear, requirement_term

# How a neighbourhood is looked at.
DEGREE = (7, 5)  # of the polynomials, by the dimension of space
POINTS = 3  # along an axis, more than the degree
STEPS = 3  # of Newton's method
WAVE = 1e6  # the wave number at which diffusivities are read off the equation, relative to 1 / length
REAL = 1e-3  # the largest imaginary part of one there, relative, which convection has
SAME = 1e-5  # a relative difference of diffusivities that is none


@dataclass(frozen=True)
class Edge:
    """Where a face of a box meets the start of time: a point there, the lengths of the box ``(d,)``, the axis across the face,
    and its direction into the domain."""

    point: Array
    lengths: Array
    axis: int
    inward: float
    time: int
    face: str
    start: str


@dataclass(frozen=True)
class Polynomials:
    """Polynomials of a degree on a box with corners low, high ``(d,)``, one for each unknown, with coefficients ``(U n,)``."""

    low: Tensor
    high: Tensor
    degree: int
    coefficients: Tensor

    def jet(self, term: Term) -> Jet:
        """Their values and derivatives at a term's points."""
        scale = (2.0 / (self.high - self.low)).expand(term.points.shape)
        basis = legendre.products((term.points - self.low) * scale - 1.0, scale, self.degree, term.frame)
        factors = self.coefficients.reshape(len(term.sought), -1)
        return basis.each(lambda part: torch.einsum("nj...,kj->nk...", part, factors))

    def rows(self, term: Term) -> Tensor:
        """The rows of a term linearised about them, the right-hand side last, divided by their largest factor."""
        corners = self.low.expand(term.points.shape), self.high.expand(term.points.shape)
        rows = local_rows(linearised_at(term, self.jet(term)), term, corners, self.degree)
        return rows / rows[:, :-1].abs().max().clamp_min(1e-300)


@dataclass(frozen=True)
class Fit:
    """Polynomials by least squares, what is left of the rows, and what its round-off is relative to."""

    polynomials: Polynomials
    left: float
    size: float


@torch.no_grad()
def fitted(problem: Problem, edge: Edge, sides: Array) -> Fit | None:
    """The polynomials on a box at an edge with sides ``(d,)``; None where rows are not finite."""
    degree = DEGREE[len(edge.point) - 2]
    low = edge.point - 0.5 * sides
    low[edge.time] = edge.point[edge.time]
    low[edge.axis] = edge.point[edge.axis] - (sides[edge.axis] if edge.inward < 0.0 else 0.0)
    terms = _terms(problem, edge, low, low + sides, degree + POINTS)
    count = len(problem.unknowns) * legendre.count(len(low), degree)
    corners = torch.as_tensor(low), torch.as_tensor(low + sides)
    found = Fit(Polynomials(*corners, degree, torch.zeros(count, dtype=torch.float64)), 0.0, 0.0)
    degrees = np.tile(legendre.exponents(len(low), degree).sum(1), len(problem.unknowns))
    # a nonlinear equation is linearised about values that satisfy the conditions, of the lowest degree that does
    few = terms[len(problem.equations) :], torch.as_tensor(0.1**degrees)
    every = terms, torch.ones(count, dtype=torch.float64)
    for chosen, weights in [every] if is_linear(problem) else [few, *[every] * STEPS]:
        rows = torch.cat([found.polynomials.rows(term) for term in chosen])
        if not bool(rows.isfinite().all()):
            return None
        matrix, right = rows[:, :-1], rows[:, -1:]
        new = weights[:, None] * torch.linalg.lstsq(matrix * weights, right, driver="gelsd").solution
        left, size = float((matrix @ new - right).norm()), float((matrix.abs() @ new.abs()).norm())
        found = Fit(replace(found.polynomials, coefficients=new[:, 0]), left, size)
    return found


def _terms(problem: Problem, edge: Edge, low: Array, high: Array, points: int) -> list[Term]:
    """The equations in a box, the conditions on its two sides that are on the face and at the start."""
    d = len(low)
    axes = [gauss(low[k], high[k], 1, points)[0] for k in range(d)]

    def rule_on(fixed: int | None, normal: float = 0.0) -> Quadrature:
        """Points in the box, or with an axis fixed at the edge and a normal along it."""
        chosen = [edge.point[k : k + 1] if k == fixed else axes[k] for k in range(d)]
        points = np.stack([part.ravel() for part in np.meshgrid(*chosen, indexing="ij")], axis=1)
        normals = None if fixed is None else normal * np.eye(d)[np.full(len(points), fixed)]
        return Quadrature.even(points, normals)

    found = equation_terms(problem, rule_on(None))
    for axis, name, normal in ((edge.axis, edge.face, -edge.inward), (edge.time, edge.start, -1.0)):
        for condition in problem.conditions:
            for one in condition.requirements(problem):
                if one.place.sides == 1 and not one.is_mean and name in one.faces:
                    found.append(requirement_term(problem, one, rule_on(axis, normal)))
    return found


def diffusivities(problem: Problem, edge: Edge, state: Callable[[Term], Jet]) -> list[float]:
    """The κ > 0 of solutions exp(iks - κk²t) for large wave numbers k of the equations linearised about a state at an edge.

    They are the eigenvalues of the pencil of the equations' symbol. Equations of second order in time have none.
    """
    place, wave = Quadrature.even(edge.point[None]), WAVE / edge.lengths[edge.axis]
    n, t, fixed, moving = edge.axis, edge.time, [], []
    for term in equation_terms(problem, place):
        value, gradient, second = _coefficients(term, linearised_at(term, state(term)).slope)
        if bool((second[:, t, t] != 0.0).any()):
            return []
        fixed.append(value + 1j * wave * gradient[:, n] - wave**2 * second[:, n, n])
        moving.append(gradient[:, t] + 2j * wave * second[:, n, t])
    symbol, rate = torch.stack(fixed).numpy(), -torch.stack(moving).numpy()
    if not (np.isfinite(symbol).all() and np.isfinite(rate).all()):  # as of a power of an unknown that is zero there
        return []
    above, below = scipy.linalg.eigvals(symbol, rate, homogeneous_eigvals=True)
    finite = np.abs(below) > 1e-9 * np.abs(below).max()
    rates = -above[finite] / below[finite] / wave**2
    least = edge.lengths[n] ** 2 / edge.lengths[t] / WAVE  # a smaller one is not felt across the domain
    real = np.sort(rates.real[(rates.real > least) & (np.abs(rates.imag) <= REAL * np.abs(rates.real))])
    return [float(one) for k, one in enumerate(real) if k == 0 or one > (1.0 + SAME) * real[k - 1]]


def lower_order(problem: Problem, edge: Edge) -> tuple[float, float]:
    """b and c of the linear equation ∂u/∂t + b ∂u/∂s - κ ∂²u/∂s² + c u = … for one unknown at an edge."""
    (term,) = equation_terms(problem, Quadrature.even(edge.point[None]))
    value, gradient, _ = _coefficients(term, linearised_at(term, term.zero()).slope)
    speed, reaction = gradient[0, edge.axis] / gradient[0, edge.time], value[0] / gradient[0, edge.time]
    return edge.inward * float(speed), float(reaction)


def _coefficients(term: Term, slope: Jet) -> tuple[Tensor, Tensor, Tensor]:
    """Those of the unknowns ``(U,)``, their first ``(U, d)`` and second ``(U, d, d)`` derivatives at a term's one point."""
    d, value = slope.frame.dimension, slope.value[0]
    gradient = value.new_zeros(len(value), d) if slope.gradient is None else slope.gradient[0]
    if slope.second is None:
        return value, gradient, value.new_zeros(len(value), d, d)
    return value, gradient, torch.stack([tensors(slope.frame, part)[0] for part in slope.second.unbind(1)])
