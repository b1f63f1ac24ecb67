"""Upper bounds of the energy norm of an error, by fluxes.

With r, η and δ as in `errors.energy_problem` and E, μ, Λ as in `errors.energy_constants`, for any flux ψ in H(div), any φ that
is δ where u is given, and any 0 ≤ θ, ϑ with θ + ϑ < 1,

    |||u - v|||² ≤ ∫ A⁻¹ψ · ψ / (1 - θ - ϑ) + ∫ (r + div ψ)² / ((1 - ϑ) c + θ μ)
                   + ∮ (η - n · ψ)² / ((1 - θ - ϑ) α + ϑ Λ) + |||φ|||².

For ψ = 0 this is a weighted norm of the residuals; it is sharp for ψ = A∇(u - v). Only the residuals have to be resolved by ψ,
not the solution.

Proof: u - v is the sum of a w that vanishes where u is given and of the function of least energy that is -δ there; they are
orthogonal. The energy product of w with itself is ∫ r w + ∮ η w, which is ∫ (r + div ψ) w - ψ · ∇w + ∮ (η - n · ψ) w, and
|||w|||² is at least (1 - θ - ϑ) E(w) + (1 - ϑ) ∫ c w² + θ μ ∫ w² + ϑ Λ ∮ w². Source: Repin, A Posteriori Estimates for Partial
Differential Equations, de Gruyter 2008, sections 3.2 and 4.2; with c = 0, and ϑ = 0, the best θ gives his eq. 3.2.11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.errors.energy_constants import EnergyConstants
from pdekan.errors.energy_problem import EnergyProblem, Inside
from pdekan.errors.spline_fields import SplineBox, gram

RIDGE = 1e-13  # relative: for splines whose support is next to outside of the domain
ROUNDS = 3  # of fitting ψ and choosing θ and ϑ in turn
LEAST = 1e-4  # θ and ϑ when ψ is fitted


@dataclass(frozen=True)
class FaceSamples:
    """η and α ``(m,)`` at the points of a rule on the natural faces."""

    points: Array
    weights: Array
    normals: Array
    residual: Array
    robin: Array


@dataclass(frozen=True)
class Samples:
    """A problem at the points of a rule in the domain, and of another one on its natural faces."""

    points: Array
    weights: Array
    inside: Inside
    faces: FaceSamples

    @classmethod
    def of(cls, energy: EnergyProblem, cells: Sequence[int], order: int) -> Samples:
        """With `order` Gauss points in each of `cells` cells along an axis."""
        domain, parts = energy.problem.domain, []
        along = list(cells) if isinstance(domain, Box) else max(cells)
        rule = domain.interior(along, order, 0, 0)  # type: ignore[arg-type]
        for face in energy.natural:
            one = domain.face(face, along, order, 0, 0)  # type: ignore[arg-type]
            parts.append((one.points, one.weights, one.normals, *energy.on_natural(face, one)))
        d = domain.dimension
        empty = (np.empty((0, d)), np.empty(0), np.empty((0, d)), np.empty(0), np.empty(0))
        joined = [np.concatenate(column) for column in zip(empty, *parts, strict=True)]
        return cls(rule.points, rule.weights, energy.inside(rule.points), FaceSamples(*joined))


@dataclass(frozen=True)
class Split:
    """θ and ϑ."""

    inside: float
    faces: float

    def weights(self, samples: Samples, constants: EnergyConstants) -> tuple[float, Array, Array]:
        """The factors of the three terms of the bound: a number, and those at the points inside and on faces."""
        rest = 1.0 - self.inside - self.faces
        residual = (1.0 - self.faces) * samples.inside.reaction + self.inside * constants.poincare
        trace = self.faces * constants.trace if self.faces else 0.0
        with np.errstate(divide="ignore"):
            return 1.0 / rest, 1.0 / residual, 1.0 / (rest * samples.faces.robin + trace)


@dataclass(frozen=True)
class Flux:
    """ψ at samples: values ``(n, d)``, divergence ``(n,)``, normal component on natural faces ``(m,)``."""

    values: Array
    divergence: Array
    normal: Array

    @classmethod
    def zero(cls, samples: Samples) -> Flux:
        """No flux."""
        return cls(np.zeros_like(samples.points), np.zeros(len(samples.points)), np.zeros(len(samples.faces.points)))


@dataclass(frozen=True)
class Terms:
    """The integrands of the bound of a flux, times quadrature weights: ∫ A⁻¹ψ · ψ as a number, the others at their points."""

    samples: Samples
    constants: EnergyConstants
    flux: float
    residual: Array
    faces: Array

    @classmethod
    def of(cls, samples: Samples, constants: EnergyConstants, flux: Flux) -> Terms:
        """Those of a flux."""
        solved = np.linalg.solve(samples.inside.diffusion, flux.values[..., None])[..., 0]
        residual = samples.weights * (samples.inside.residual + flux.divergence) ** 2
        faces = samples.faces.weights * (samples.faces.residual - flux.normal) ** 2
        return cls(samples, constants, float(samples.weights @ (flux.values * solved).sum(axis=1)), residual, faces)

    def bound(self, split: Split) -> float:
        """The bound of |||w|||."""
        first, second, third = split.weights(self.samples, self.constants)
        return math.sqrt(first * self.flux + _sum(second, self.residual) + _sum(third, self.faces))

    def best(self) -> Split:
        """The θ and ϑ of the least bound, in the exponents of e^a / (1 + e^a + e^b)."""
        from scipy.optimize import minimize  # a tenth of a second, which most commands do not need

        free = [self.constants.poincare > 0.0, len(self.faces) > 0]
        start = np.full(sum(free), -2.0)

        def split(exponents: Array) -> Split:
            """The split whose free parts have these logarithms, relative to the part that is left."""
            parts = np.zeros(2)
            parts[free] = np.exp(np.clip(exponents, -30.0, 30.0))
            return Split(*(parts / (1.0 + parts.sum())).tolist())

        if not any(free):
            return Split(0.0, 0.0)
        options = {"xatol": 1e-2, "fatol": 1e-5, "maxiter": 100}
        found = minimize(lambda a: math.log(self.bound(split(a)) + 1e-300), start, method="Nelder-Mead", options=options)
        return split(found.x)

    @property
    def least(self) -> float:
        """The least bound."""
        return self.bound(self.best())


def _sum(weight: Array, squares: Array) -> float:
    """Σ weight · squares, of those that are not zero."""
    return float(np.where(squares > 0.0, weight, 0.0) @ squares)


@dataclass(frozen=True)
class FittedFlux:
    """The splines whose bound is least, as a function: coefficients ``(N,)``."""

    space: SplineBox
    coefficients: Array

    def at(self, samples: Samples) -> Flux:
        """The flux at other points."""
        values, divergence = self.space.flux(samples.points)
        normal = self.space.normal_flux(samples.faces.points, samples.faces.normals) @ self.coefficients
        components = np.stack([one @ self.coefficients for one in values], axis=1)
        return Flux(components, divergence @ self.coefficients, normal)


def fitted_flux(samples: Samples, constants: EnergyConstants, space: SplineBox) -> FittedFlux:
    """The flux that minimises the bound on samples, for θ and ϑ that are improved in turn."""
    (values, divergence), faces = space.flux(samples.points), samples.faces
    normal = space.normal_flux(faces.points, faces.normals)
    inverse = np.linalg.inv(samples.inside.diffusion) * samples.weights[:, None, None]
    pairs = [(i, j) for i, j in np.ndindex(*inverse.shape[1:]) if inverse[:, i, j].any()]
    size = sum(gram(values[i], inverse[:, i, j], values[j]) for i, j in pairs)
    split = Split(0.1 * (constants.poincare > 0.0), 0.1 * (len(faces.points) > 0))
    found = FittedFlux(space, np.zeros(divergence.shape[1]))
    for _ in range(ROUNDS):
        first, second, third = split.weights(samples, constants)
        w, m = samples.weights * second, faces.weights * third
        matrix = first * size + gram(divergence, w, divergence) + gram(normal, m, normal)
        load = -divergence.T @ (w * samples.inside.residual) + normal.T @ (m * faces.residual)
        found = FittedFlux(space, solved(csc_array(matrix), load))
        best = Terms.of(samples, constants, found.at(samples)).best()
        split = Split(*(max(part, LEAST * (part > 0.0)) for part in (best.inside, best.faces)))
    return found


def solved(matrix: csc_array, load: Array) -> Array:
    """The solution with a positive definite matrix, up to a relative RIDGE; zero for unknowns that it does not have."""
    diagonal = matrix.diagonal()
    ridge = RIDGE * diagonal.max() * diags_array(np.ones(len(diagonal)))
    factors = splu(
        csc_array(matrix + ridge), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return np.asarray(factors.solve(load))
