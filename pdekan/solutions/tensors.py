"""A solution at points that are a tensor, for autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.solutions.solved import Solved


def values(solution: Solved, points: Tensor) -> Tensor:
    """Values ``(n,)``, of several unknowns ``(n, unknowns)``, at points ``(n, d)``, which autograd differentiates by them.

    nan outside of the domain; ValueError there where the solution is to raise it, and for points of another shape.
    """
    dimension = solution.domain.dimension
    if points.ndim != 2 or points.shape[1] != dimension:
        wanted = f"(n, {dimension}), columns {', '.join(solution.domain.coordinates)}"
        raise ValueError(f"points have shape {tuple(points.shape)}; needed is {wanted}")
    x = points.to(next(solution.network.parameters()).device, torch.float64)
    inside = torch.as_tensor(solution.domain.contains(x.detach().cpu().numpy()), device=x.device)
    if solution.outside == "raise" and not bool(inside.all()):
        raise ValueError(f"{int((~inside).sum())} of {len(x)} points are outside of the domain")
    found = solution.network(x)[:, : len(solution.unknowns)]
    found = torch.where(inside[:, None], found, torch.nan)
    return found[:, 0] if len(solution.unknowns) == 1 else found
