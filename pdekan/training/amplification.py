"""By how much a residual may be amplified: G = max ‖e‖ / ‖A e‖ over the last layer's coefficients of a network.

Both e and its weighted residuals A e are relative to the solution's size, and A is balanced between nondimensional residuals: G
does not depend on units. Where the conditions do not determine the solution, or determine it badly, G is huge.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import build_ansatz, network_outputs
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.problems.options import Weights
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective, triangle
from pdekan.residuals.sizes import SMALL, TINY
from pdekan.residuals.terms import Term, terms
from pdekan.training.clock import Clock
from pdekan.training.memory import block
from pdekan.training.points import own_points
from pdekan.training.schedule import Stage

# Relative to the largest column: below it coefficients count as redundant. Steps of the power iteration.
REDUNDANT, ITERATIONS = 1e-10, 30
TRIAL = (24, 20)  # splines in one dimension and waves in two of the space that is tried before training


def estimate_objective(
    problem: Problem, network: Network, stage: Stage, fitted: list[Term], clock: Clock, weights: Weights | None
) -> Objective:
    """The least-squares problem of a network on some terms, in blocks of rows that fit into memory."""
    rows = block(network.parameter_count, stage, problem.domain.dimension, problem.training.memory)
    return Objective(problem, network, fitted, weights, rows, clock.check)


def trial_network(problem: Problem, sizes: tuple[int, ...] = TRIAL) -> tuple[Network, Stage]:
    """A small space of functions as a network whose last layer is linear in it, in one or two dimensions."""
    d, outputs = problem.domain.dimension, network_outputs(problem)
    n = sizes[d - 1]
    hidden = (n,) * (d - 1)
    stage = Stage("kan", hidden, (1,) * (d - 1) + (9,), (1,) * (d - 1) + (n,), outputs=outputs, waves=True)
    inner = KAN(stage.widths(d), stage.degree, stage.intervals, "none", problem.domain.lower, problem.domain.upper)
    inner.initialise(torch.Generator().manual_seed(problem.training.seed))
    inner.normalise(torch.as_tensor(own_points(problem, stage, problem.training.seed).inside(problem.domain).points))
    return build_ansatz(problem, inner), stage


def amplification(problem: Problem) -> float | None:
    """G in a small space before any training; None for nonlinear problems and in more than two dimensions."""
    if problem.domain.dimension > len(TRIAL) or problem.parameters or problem.data:
        return None
    network, stage = trial_network(problem)
    fitted = terms(problem, own_points(problem, stage, problem.training.seed))
    objective = estimate_objective(problem, network, stage, fitted, Clock(0.0, math.inf), None)
    sizes = unknown_sizes(objective.terms[0], network)
    return largest_amplification(objective, network.flat_parameters, network, sizes) if objective.affine else None


@torch.no_grad()
def largest_amplification(objective: Objective, theta: Tensor, network: Network, sizes: Tensor) -> float:
    """G = max ‖M c‖ / ‖A c / s‖ over the last layer's coefficients c, by power iteration with the triangle of A = QR.

    M: values of the unknowns at the first term's points, weighted, relative to their sizes there; s: the largest of these, the
    unit of A c, whose rows are balanced. A small multiple of the identity below A keeps coefficients finite that represent the
    same function.
    """
    jacobian = objective.rows(theta, only_linear=True)[1]
    r = triangle(jacobian, REDUNDANT * jacobian.norm(dim=0).max())
    values = _values(objective.terms[0], network, sizes / sizes.max())
    x = torch.linalg.vector_norm(values, dim=0) + 1e-300
    size = 0.0
    for _ in range(ITERATIONS):
        x = torch.linalg.solve_triangular(r, (x / x.norm())[:, None], upper=True)
        y = values.T @ (values @ x)
        x = torch.linalg.solve_triangular(r.T, y, upper=False)[:, 0]
        size = float(x.norm())
    return math.sqrt(size)


@torch.no_grad()
def unknown_sizes(term: Term, network: Network) -> Tensor:
    """Root mean squares ``(U,)`` of the unknowns at a term's points; one where all vanish."""
    value = evaluate(network, term.points, Frame(term.frame.coordinates, Derivatives.VALUE)).value
    largest = value.abs().max().clamp_min(TINY)
    sizes = largest * (term.point_share @ (value / largest) ** 2).sqrt()
    sizes = torch.maximum(sizes, SMALL * sizes.max())
    return torch.where(sizes > 0.0, sizes, 1.0)


def _values(term: Term, network: Network, sizes: Tensor) -> Tensor:
    """Derivatives ``(n · U, P)`` of the unknowns' values by the last layer's coefficients, weighted, relative to sizes."""
    frame = Frame(term.frame.coordinates, Derivatives.VALUE)
    trace = network.trace(network.prepare(term.points, frame), only_linear=True)
    parts = []
    for k, size in enumerate(sizes):
        cotangent = torch.zeros_like(trace.jet.value)
        cotangent[:, k] = term.point_share.sqrt() / size
        parts.append(trace.rows(Jet(frame, cotangent)))
    return torch.cat(parts)
