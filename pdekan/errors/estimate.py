"""Estimates of the error where no exact solution is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Estimated norms of the error of an unknown, as in `errors.norms.Errors`, and the method that computed them."""

    l2: float
    l2_relative: float
    h1_seminorm: float
    h1_seminorm_relative: float
    method: str


def largest(estimates: Mapping[str, Estimate]) -> float:
    """The largest relative L2 norm of all unknowns; infinite where one is not a number."""
    worst = max(one.l2_relative for one in estimates.values())
    return worst if math.isfinite(worst) else math.inf
