"""Estimates of the error where no exact solution is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Estimated norms of the error of an unknown, as in `errors.norms.Errors`, and the method that computed them."""

    l2: float
    l2_relative: float
    h1_seminorm: float
    h1_seminorm_relative: float
    method: str
