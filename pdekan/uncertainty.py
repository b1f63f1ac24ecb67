"""Standard errors of the parameters that were found from noisy data."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from pdekan.ansatz import Ansatz
from pdekan.objective import Objective

# Relative to the largest of each column: what the rows do not determine better than this is held where it is.
RIDGE = 1e-9


@torch.no_grad()
def standard_errors(objective: Objective) -> dict[str, float]:
    """The standard error of every parameter of the network's ansatz, in the parameter's units.

    At the least-squares solution a perturbation ε of the data moves θ by -(JᵀJ)⁻¹ Jᵀ ε, with J and ε weighted as the loss is;
    equations and conditions have no noise. So the covariance is A Σ Aᵀ with A = (JᵀJ)⁻¹ Jᵀ and Σ that of the data's rows
    (Seber and Wild, Nonlinear Regression, Wiley 1989, section 2.1, for weights that need not be the data's). Where the noise is
    not known it is taken from the data's residuals.
    """
    network = objective.network
    assert isinstance(network, Ansatz)
    theta = parameters_to_vector(network.parameters()).detach()
    residual, jacobian = objective.rows(theta)
    scale = jacobian.norm(dim=0).clamp_min(1e-300)
    scaled = jacobian / scale
    r = torch.linalg.qr(torch.cat([scaled, RIDGE * torch.eye(len(theta)).to(scaled)]), mode="r").R
    noise = _noise(objective, residual)
    slopes = network.slopes()
    found = {}
    for k, name in enumerate(network.problem.parameters):
        unit = torch.zeros(len(theta), 1).to(scaled)
        unit[k] = 1.0
        inner = torch.linalg.solve_triangular(r.T, unit, upper=False)
        influence = scaled @ torch.linalg.solve_triangular(r, inner, upper=True)[:, 0] / scale[k]
        found[name] = abs(float(slopes[k])) * math.sqrt(float((influence * noise).square().sum()))
    return found


def _noise(objective: Objective, residual: Tensor) -> Tensor:
    """The standard deviation ``(n,)`` of every weighted row; zero but for data."""
    out, first = torch.zeros_like(residual), 0
    for term, factor in zip(objective.terms, objective.factors, strict=True):
        rows = slice(first, first + len(factor))
        if term.group == "data":
            unknown = (residual[rows] / factor).square().mean().sqrt()
            out[rows] = factor * (term.noise or float(unknown))
        first += len(factor)
    return out
