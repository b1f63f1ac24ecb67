"""A bound of the error in the energy norm; how it is found is in `bounds`, which imports much."""

from __future__ import annotations

from dataclasses import dataclass


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
