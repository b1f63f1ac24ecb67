"""How much of a function its energy controls: lower bounds of eigenvalues.

For all w that vanish where u is given, with E(w) = ∫ A∇w · ∇w + ∮ α w² and |||w|||² = E(w) + ∫ c w²,

    E(w) ≥ μ ∫ w²,      |||w|||² ≥ Λ ∮ w² over the other faces.

On a box a function of one coordinate, w on [0, L], has ∫ w'² ≥ (π/L)² ∫ w² with zeros at both ends and (π/2L)² ∫ w² with one
(Payne, SIAM Review 9 (1967) 453-488); these add up over the coordinates. Where u is given on all of the boundary, the
eigenvalue of any domain is at least that of a box around it, as w may be continued by zero. The integral of (q w²)' over [0, L]
gives the values at natural ends, with q = x/L or q = 2x/L - 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.errors.energy_problem import EnergyProblem, refused
from pdekan.fem.eigenvalues import smallest_eigenvalues

CELLS, POINTS = 16, 4  # of the rules on which the least values of A, c and α are looked for
SAFETY = 0.9  # of eigenvalues by finite elements, which are upper bounds


@dataclass(frozen=True)
class EnergyConstants:
    """μ and Λ, 0 where none is known; Λ is infinite without natural faces. source: where they are from, in words."""

    poincare: float
    trace: float
    source: str


def energy_constants(energy: EnergyProblem) -> EnergyConstants:
    """The constants of a problem. Raises ProblemError where neither conditions nor c determine the solution."""
    domain = energy.problem.domain
    least = energy.inside(domain.interior(CELLS, POINTS, 0, 0).points)
    k, c = float(np.linalg.eigvalsh(least.diffusion).min()), float(least.reaction.min())
    if not energy.natural:
        return EnergyConstants(k * _box_eigenvalue(domain, energy), math.inf, "the eigenvalue of a box around the domain")
    robin = {face: energy.on_natural(face, domain.face(face, CELLS, POINTS, 0, 0))[1] for face in energy.natural}
    if isinstance(domain, Box):
        return constants_on_box(domain, energy, k, c, {face: float(alpha.min()) for face, alpha in robin.items()})
    if not energy.essential and c == 0.0 and not any(alpha.any() for alpha in robin.values()):
        raise _undetermined()
    poincare, trace = smallest_eigenvalues(
        domain, energy.coefficients, lambda face, rule: energy.on_natural(face, rule)[1], energy.essential
    )
    return EnergyConstants(SAFETY * poincare, SAFETY * trace, "eigenvalues by finite elements, lowered by a tenth")


def _box_eigenvalue(domain: Domain, energy: EnergyProblem) -> float:
    """Σ over the coordinates of (π/L)², (π/2L)² or 0, by how many of the two faces have u given; of a box around the domain."""
    total = 0.0
    for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
        given = 2 if not isinstance(domain, Box) else sum(name + side in energy.essential for side in "-+")
        total += (0.5 * given * math.pi / (b - a)) ** 2
    return total


def _undetermined() -> Exception:
    return refused("here u is given nowhere, c is 0 and no condition involves u, so that a constant may be added")


def constants_on_box(domain: Box, energy: EnergyProblem, k: float, c: float, robin: Mapping[str, float]) -> EnergyConstants:
    """The constants on a box from lower bounds of A's eigenvalues, of c, and of α on the natural faces."""
    poincare = k * _box_eigenvalue(domain, energy)
    if poincare == 0.0:
        poincare = max(_robin_eigenvalue(domain, face, alpha, k) for face, alpha in robin.items())
    controlled = poincare + c
    if controlled == 0.0:
        raise _undetermined()
    shares = 0.0
    for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
        length, natural = b - a, sum(name + side in energy.natural for side in "-+")
        given = any(name + side in energy.essential for side in "-+")
        if natural and given:
            shares += length / k
        elif natural:
            shares += natural / (length * controlled) + 2.0 / math.sqrt(controlled * k)
    return EnergyConstants(poincare, 1.0 / shares if shares else math.inf, "closed forms on boxes")


def _robin_eigenvalue(domain: Box, face: str, alpha: float, k: float) -> float:
    """A lower bound of E(w) / ∫ w² by α on a face: w(x)² ≤ 2 w(0)² + 2 x ∫ w'²."""
    axis = domain.coordinates.index(face[:-1])
    length = domain.upper[axis] - domain.lower[axis]
    return 1.0 / max(2.0 * length / alpha, length**2 / k) if alpha > 0.0 else 0.0
