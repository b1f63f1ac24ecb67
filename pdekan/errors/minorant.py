"""Lower bounds of the energy norm of an error, by finite elements.

With r and η as in `errors.energy_problem`, for any w that vanishes where u is given,

    |||u - v||| ≥ (∫ r w + ∮ η w) / |||w|||,

sharp for the part of u - v that vanishes there. The other part, of least energy with the values -δ, is orthogonal to it; its
finite-element approximation adds its energy, less the change from the mesh before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pdekan.errors.energy_problem import EnergyProblem
from pdekan.errors.majorant import FaceSamples
from pdekan.fem.solver import levels
from pdekan.fem.spaces import FiniteElementFunction

MORE = (3, 8)  # Gauss points than the elements' degree, for the residuals: two rules, whose difference is left out of the bound


@dataclass(frozen=True)
class LowerBound:
    """A lower bound by finite elements: w, the part of u - v with the values -δ, and that part on the mesh before."""

    inner: FiniteElementFunction
    outer: FiniteElementFunction | None
    coarser: FiniteElementFunction | None

    def value(self, energy: EnergyProblem, *faces: FaceSamples) -> float:
        """The bound, by Gauss rules in the cells of the mesh, and the least by several rules on the natural faces."""
        parts = _Integrals.of(energy, self.inner, faces)
        squares = min(parts.quotients()) ** 2
        if self.outer is not None and self.coarser is not None:
            norms = [_Integrals.of(energy, one, faces).norms() for one in (self.outer, self.coarser)]
            squares += min(max(0.0, fine - abs(fine - coarse)) for fine, coarse in zip(*norms, strict=True)) ** 2
        return math.sqrt(squares)


@dataclass(frozen=True)
class _Integrals:
    """E and ∫ c w² of a function w over the cells, ∫ r w, and those of several rules on the natural faces: ∮ α w², ∮ η w.

    unsure: how far ∫ r w is from that by the finer rule, as where the residual has kinks within the cells.
    """

    square: float
    tested: float
    unsure: float
    on_faces: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, energy: EnergyProblem, function: FiniteElementFunction, faces: Sequence[FaceSamples]) -> _Integrals:
        points, weights, value, gradient = function.quadrature(MORE[1])
        w, slope, inside = value[:, 0], gradient[:, 0], energy.inside(points)
        density = np.einsum("nij,ni,nj->n", inside.diffusion, slope, slope) + inside.reaction * w**2
        pairs = []
        for one in faces:
            on_face = function.values(one.points)[:, 0] if len(one.points) else np.empty(0)
            pairs.append((float(one.weights @ (one.robin * on_face**2)), float(one.weights @ (one.residual * on_face))))
        square, tested = float(weights @ density), float(weights @ (inside.residual * w))
        points, weights, value, _ = function.quadrature(MORE[0])
        unsure = abs(tested - float(weights @ (energy.inside(points).residual * value[:, 0])))
        return cls(square, tested, unsure, tuple(pairs))

    def norms(self) -> list[float]:
        """|||w||| by each rule."""
        return [math.sqrt(self.square + robin) for robin, _ in self.on_faces]

    def quotients(self) -> list[float]:
        """(∫ r w + ∮ η w) / |||w||| by each rule."""
        tested = [max(0.0, abs(self.tested + given) - self.unsure) for _, given in self.on_faces]
        return [one / norm if norm > 0.0 else 0.0 for one, norm in zip(tested, self.norms(), strict=True)]


def lower_bounds(energy: EnergyProblem) -> Iterator[LowerBound]:
    """Lower bounds by finer and finer meshes."""
    coarser = None
    outer = levels(energy.error_problem(inside=False, boundary=True)) if energy.essential else None
    for inner in levels(energy.error_problem(inside=True, boundary=False)):
        other = None if outer is None else next(outer, None)
        yield LowerBound(inner, other, coarser)
        coarser = other
