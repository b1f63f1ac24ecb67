"""Points that lie more densely where the residual of the equation is large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pdekan.domains.quadrature import Quadrature
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import terms


@torch.no_grad()
def resampled(
    problem: Problem, network: Network, sampling: Sampling, device: torch.device, candidates: int = 4, even: float = 0.5
) -> Quadrature:
    """About as many points as the sampling has, or fewer, drawn in proportion to even/|Ω| + (1 - even) |r| / ∫|r|.

    Weights are divided by the density, so that sums over the points still approximate integrals. The density is that of Wu,
    Zhu, Tan, Kartha and Lu, Comput. Methods Appl. Mech. Eng. 403 (2023) 115671, eq. 2 with k = 1 and c = 1, and r the length
    of the vector of all equations' residuals; even = 1/2 is c = 1. candidates: for each point, so that few are drawn with
    certainty.
    """
    refined = 2 if problem.domain.dimension < 3 else 1
    finer = replace(
        sampling,
        cells=refined * sampling.cells,
        order=sampling.order + 1,
        count=candidates * sampling.count,
        seed=sampling.seed + 7,
    )
    rule = finer.inside(problem.domain)
    chosen = [term for term in terms(problem, finer, device, rule) if term.group == "equation"]
    squares = sum(term.residual(evaluate(network, term.points, term.frame)).square() for term in chosen)
    assert isinstance(squares, torch.Tensor)
    size = squares.sqrt().cpu().numpy()
    share = rule.weights / rule.weights.sum()
    density = even + (1.0 - even) * size / max(float(share @ size), 1e-300)
    wanted = len(sampling.inside(problem.domain).points)
    chance = np.minimum(1.0, share * density * wanted)
    generator = np.random.default_rng(sampling.seed)
    kept = generator.random(len(chance)) < chance
    return Quadrature(rule.points[kept], rule.weights[kept] / chance[kept])
