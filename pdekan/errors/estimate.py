"""Estimates and bounds of the error where no exact solution is known; how they are found imports much, and is elsewhere."""

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


def relative_to_size(error: float, size: float) -> float:
    """error / size; of a solution that vanishes zero where the error does too, else not a number."""
    return error / size if size > 0.0 else math.nan if error != 0.0 else 0.0


def largest(estimates: Mapping[str, Estimate]) -> float:
    """The largest relative L2 norm of all unknowns; infinite where one is not a number."""
    worst = max(one.l2_relative for one in estimates.values())
    return worst if math.isfinite(worst) else math.inf


@dataclass(frozen=True)
class Bound:
    """Bounds of |||u - v|||, |||w|||² = ∫ A∇w · ∇w + c w² + ∮ α w², of a solution v.

    energy_relative: the upper one relative to |||u|||, which is at least |||v||| less it; nan where that is negative. kind:
    "guaranteed" where all integrals are enclosed, "estimate" where they are taken by quadrature. assumptions: what holds if the
    bounds do.
    """

    energy_upper: float
    energy_lower: float
    energy_relative: float
    kind: str
    assumptions: tuple[str, ...]
