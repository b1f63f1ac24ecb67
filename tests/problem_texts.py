"""What tests of problem files share."""

from __future__ import annotations

import numpy as np
import torch

from pdekan.problems.problem import Problem


def random_points(problem: Problem, count: int = 50) -> torch.Tensor:
    domain = problem.domain
    fractions = np.random.default_rng(3).random((10 * count, domain.dimension))
    points = np.array(domain.lower) + fractions * np.subtract(domain.upper, domain.lower)
    return torch.as_tensor(points[domain.contains(points)][:count])
