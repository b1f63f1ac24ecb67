"""Standard errors of the parameters that were found from noisy data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import Ansatz
from pdekan.residuals.least_squares import Objective, triangle

# Relative to the largest of each column: what the rows do not determine better than this is held where it is.
RIDGE = 1e-9
# Degrees of freedom that data must leave for their noise to be told from their residuals.
FREE = 0.5
# A scaled column nearer than this to the span of the others is of a parameter that nothing determines.
APART = 10.0 * RIDGE


@torch.no_grad()
def standard_errors(objective: Objective) -> dict[str, float]:
    """The standard error of every parameter of the network's ansatz, in the parameter's units.

    At the least-squares solution a perturbation ε of the data moves θ by -(JᵀJ)⁻¹ Jᵀ ε, with J and ε weighted as the loss is;
    equations and conditions have no noise. So the covariance is A Σ Aᵀ with A = (JᵀJ)⁻¹ Jᵀ and Σ that of the data's rows
    (Seber and Wild, Nonlinear Regression, Wiley 1989, section 2.1, for weights that need not be the data's). Where the noise is
    not known it is taken from the data's residuals. A parameter that nothing determines has none, nor has one that is held on a
    bound, and none has where the residuals leave no degree of freedom to tell the noise by.
    """
    network = objective.network
    assert isinstance(network, Ansatz)
    theta = network.flat_parameters
    residual, jacobian = objective.rows(theta)
    if objective.bounds is not None:
        jacobian[:, objective.bounds.held(theta, 2.0 * jacobian.T @ residual)] = 0.0
    scale = jacobian.norm(dim=0).clamp_min(1e-300)
    scaled = jacobian / scale
    r = triangle(scaled, RIDGE)
    orthogonal = torch.linalg.solve_triangular(r, scaled, upper=True, left=False)
    noise = _noise(objective, residual, orthogonal)
    if noise is None:
        return {}
    found = {}
    for k, name in enumerate(network.problem.parameters):
        unit = torch.zeros(len(theta), 1).to(scaled)
        unit[k] = 1.0
        dual = torch.linalg.solve_triangular(r.T, unit, upper=False)[:, 0]
        if float(dual.norm()) * APART > 1.0:
            continue
        influence = orthogonal @ dual / scale[k]
        found[name] = math.sqrt(float((influence * noise).square().sum()))
    return found


def _noise(objective: Objective, residual: Tensor, orthogonal: Tensor) -> Tensor | None:
    """The standard deviation ``(n,)`` of every weighted row, zero but for data; None where it cannot be told.

    orthogonal: Q ``(n, P)`` of J = QR. Noise σ leaves residuals (I - QQᵀ) σε, whose squares add up to σ² ‖I - QQᵀ‖² on the
    rows of one series of data: the fit has taken the rest.
    """
    out, first = torch.zeros_like(residual), 0
    series: dict[str, list[tuple[slice, Tensor]]] = {}
    for term, factor in zip(objective.terms, objective.factors, strict=True):
        rows = slice(first, first + len(factor))
        if term.group == "data":
            out[rows] = factor * term.noise
            if not term.noise > 0.0:  # 0, or nan: not known
                series.setdefault(term.name, []).append((rows, factor))
        first += len(factor)
    for pieces in series.values():
        q = torch.cat([orthogonal[rows] for rows, _ in pieces])
        left = len(q) - 2.0 * float(q.square().sum()) + float((q.T @ q).square().sum())
        if left < FREE:
            return None
        squares = sum(float((residual[rows] / factor).square().sum()) for rows, factor in pieces)
        for rows, factor in pieces:
            out[rows] = factor * math.sqrt(squares / left)
    return out
