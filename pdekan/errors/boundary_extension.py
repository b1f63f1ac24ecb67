"""Functions φ that take given boundary values, and their energy.

φ is a spline s of small energy close to the values δ, plus what is left: on a box the transfinite interpolant of δ - s on the
faces (Gordon, SIAM J. Numer. Anal. 8 (1971) 158-177), so that φ = δ there exactly. On other domains the energy of what is left,
ρ, is estimated by (k ‖ρ‖ ‖∂ρ‖)^½ with the derivative along the boundary: the harmonic function in a half-plane with the values
ρ has the energy Σ|ξ||ρ̂|².
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import csc_array, csr_array

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.errors.energy_problem import EnergyProblem, refused
from pdekan.errors.majorant import Samples, solved
from pdekan.errors.spline_fields import SplineBox, gram

PENALTY = 1e3  # of values on the boundary, times the largest eigenvalue of A over the width of an interval
AGREES = 1e-6  # relative to the largest value: how far values may differ where faces meet

Place = TypeVar("Place")
Values = Callable[[Array], tuple[Array, Array]]  # values (n,) and gradients (n, d) at points (n, d)


@dataclass(frozen=True)
class SplineFunction:
    """A spline on a box around the domain."""

    space: SplineBox
    coefficients: Array

    def __call__(self, points: Array) -> tuple[Array, Array]:
        """Values ``(n,)`` and gradients ``(n, d)`` at points ``(n, d)``."""
        value, slopes = self.space.scalar(points)
        return value @ self.coefficients, np.stack([one @ self.coefficients for one in slopes], axis=1)


def extension_norm(energy: EnergyProblem, spline: SplineFunction | None, samples: Samples, space: SplineBox) -> float:
    """|||φ||| of the φ = δ where u is given that is made of a spline, or of zero."""
    if not energy.essential:
        return 0.0
    zero = SplineFunction(space, np.zeros(space.scalar(samples.points[:1])[0].shape[1]))
    return _with_rest(energy, samples, zero if spline is None else spline, space, space.degree + 2)


def fitted_spline(energy: EnergyProblem, samples: Samples, space: SplineBox) -> SplineFunction | None:
    """The spline of least energy, values off δ being penalised; None where u is given nowhere."""
    if not energy.essential:
        return None
    matrix, inside = stiffness(samples, space), samples.inside
    width = min((b - a) / n for a, b, n in zip(space.lower, space.upper, space.intervals, strict=True))
    penalty = PENALTY * float(np.linalg.eigvalsh(inside.diffusion).max()) / width
    load = np.zeros(matrix.shape[0])
    for face in energy.essential:
        rule = energy.problem.domain.face(face, max(space.intervals), space.degree + 2, 0, 0)
        on_face = space.scalar(rule.points)[0]
        matrix = matrix + penalty * gram(on_face, rule.weights, on_face)
        load += penalty * (on_face.T @ (rule.weights * energy.on_essential(face, rule.points)[0]))
    return SplineFunction(space, solved(csc_array(matrix), load))


def stiffness(samples: Samples, space: SplineBox) -> csr_array:
    """The matrix of energy products of scalar splines."""
    value, slopes = space.scalar(samples.points)
    weights, inside = samples.weights, samples.inside
    matrix = gram(value, weights * inside.reaction, value)
    for i, j in np.ndindex(*inside.diffusion.shape[1:]):
        if inside.diffusion[:, i, j].any():
            matrix = matrix + gram(slopes[i], weights * inside.diffusion[:, i, j], slopes[j])
    on_natural = space.scalar(samples.faces.points)[0]
    return matrix + gram(on_natural, samples.faces.weights * samples.faces.robin, on_natural)


def _with_rest(energy: EnergyProblem, samples: Samples, spline: SplineFunction, space: SplineBox, order: int) -> float:
    """The norm of s and what is left."""
    value, slope = spline(samples.points)
    domain = energy.problem.domain
    if isinstance(domain, Box):
        rest, rest_slope = transfinite(energy, domain, spline)(samples.points)
        on_faces = spline(samples.faces.points)[0] + transfinite(energy, domain, spline)(samples.faces.points)[0]
        return energy_norm(samples, value + rest, slope + rest_slope, on_faces)
    squares = np.zeros(2)
    for face in energy.essential:
        rule = domain.face(face, 2 * max(space.intervals), order, 0, 0)
        assert rule.normals is not None
        (delta, steep), (near, near_slope) = energy.on_essential(face, rule.points), spline(rule.points)
        along = steep - near_slope
        along = along - (along * rule.normals).sum(axis=1, keepdims=True) * rule.normals
        squares += rule.weights @ np.stack([(delta - near) ** 2, (along**2).sum(axis=1)], axis=1)
    k = float(np.linalg.eigvalsh(samples.inside.diffusion).max())
    rest_norm = math.sqrt(k * math.sqrt(squares[0] * squares[1]))
    return energy_norm(samples, value, slope, spline(samples.faces.points)[0]) + rest_norm


def energy_norm(samples: Samples, value: Array, gradient: Array, on_faces: Array) -> float:
    """|||w||| from values and gradients at the points of samples, and values on the natural faces."""
    inside = samples.inside
    density = np.einsum("nij,ni,nj->n", inside.diffusion, gradient, gradient) + inside.reaction * value**2
    return math.sqrt(samples.weights @ density + samples.faces.weights @ (samples.faces.robin * on_faces**2))


def transfinite(energy: EnergyProblem, box: Box, spline: Values) -> Values:
    """The transfinite interpolant of δ - s."""

    def on_face(face: str, points: Array) -> list[Array]:
        (delta, steep), (near, slope) = energy.on_essential(face, points), spline(points)
        return [delta - near, *(steep - slope).T]

    def moved(points: Array, k: int, side: str) -> Array:
        return np.insert(np.delete(points, k, axis=1), k, (box.lower if side == "-" else box.upper)[k], axis=1)

    parts = blended(box, energy.essential, on_face, moved, lambda points, k: points[:, k])

    def interpolant(points: Array) -> tuple[Array, Array]:
        value, *slopes = parts(points)
        return value, np.stack(slopes, axis=1)

    return interpolant


def blended(
    box: Box,
    faces: Collection[str],
    given: Callable[[str, Place], list[Any]],
    moved: Callable[[Place, int, str], Place],
    coordinate: Callable[[Place, int], Any],
) -> Callable[[Place], list[Any]]:
    """The transfinite interpolant of fields on faces, φ_k = φ_(k-1) + P_k (given - φ_(k-1)), P_k linear between the faces of
    axis k: values and the derivatives by each coordinate, at places of any kind.

    given: the field on a face with its derivatives. moved: the projection of places on a face of an axis.
    """

    def upto(k: int, places: Place) -> list[Any]:
        """The extension from the faces of coordinates 0 … k: its value and derivatives at places."""
        if k < 0:
            return [0.0] * (box.dimension + 1)
        parts, name, a, b = upto(k - 1, places), box.coordinates[k], box.lower[k], box.upper[k]
        sides = [side for side in "-+" if name + side in faces]
        for side in sides:
            on_face = moved(places, k, side)
            share, steepness = 1.0, 0.0
            if len(sides) == 2:
                steepness = 1.0 / (b - a) if side == "+" else -1.0 / (b - a)
                share = (coordinate(places, k) - (a if side == "+" else b)) * steepness
            gaps = [one - known for one, known in zip(given(name + side, on_face), upto(k - 1, on_face), strict=True)]
            along = [gap * share for gap in gaps]
            along[1 + k] = gaps[0] * steepness
            parts = [one + more for one, more in zip(along, parts, strict=True)]
        return parts

    return lambda places: upto(box.dimension - 1, places)


def check_agreement(energy: EnergyProblem) -> None:
    """Raise ProblemError where values disagree at the edges where faces of a box meet."""
    box = energy.problem.domain
    if not isinstance(box, Box):
        return
    gaps, largest = [0.0], 0.0
    interpolant = transfinite(energy, box, lambda points: (np.zeros(len(points)), np.zeros_like(points)))
    for face in energy.essential:
        points = box.face(face, 8, 4, 0, 0).points
        gaps.append(float(np.abs(interpolant(points)[0] - energy.on_essential(face, points)[0]).max()))
        largest = max(largest, float(np.abs(energy.given(face, points)).max()))
    if max(gaps) > AGREES * largest + 1e-12:
        raise refused("the values of u disagree where two faces meet, so that no function of finite energy has them")
