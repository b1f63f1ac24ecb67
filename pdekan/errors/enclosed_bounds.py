"""Bounds of the energy norm whose integrals are enclosed: on boxes, of KANs, for data that Taylor models enclose.

The bounds are those of `errors.majorant` and `errors.bounds` for splines that were fitted by quadrature. On a cell, with L
the Cholesky factor of A at the centre and κ ≥ ‖L⁻¹AL⁻ᵀ - I‖ all over the cell, (1 - κ) LLᵀ ≤ A ≤ (1 + κ) LLᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.errors.boundary_extension import SplineFunction, blended, stiffness
from pdekan.errors.cells_of_box import Cells
from pdekan.errors.energy_constants import EnergyConstants, constants_on_box
from pdekan.errors.energy_problem import EnergyProblem, Inside
from pdekan.errors.majorant import FaceSamples, FittedFlux, Samples, Terms
from pdekan.errors.spline_fields import SplineBox
from pdekan.fields.jets import Derivatives, Frame, Jet, Level
from pdekan.fields.taylor_models import EPS, Monomials, NotEnclosed, TaylorModels, monomials
from pdekan.networks.enclosed import enclosed_jet
from pdekan.problems.formulas import Field

ORDERS = (10, 8, 6)  # of Taylor models, by dimension
AT_ONCE = 256  # cells
SAFE = 1e-12  # relative, for round-off of sums of numbers of one sign


@dataclass(frozen=True)
class EnclosedInside:
    """On n cells: A, d rows of d entries ``(n,)``, c ``(n,)``, r ``(n,)``, and the derivatives of v ``(n,)``."""

    diffusion: list[list[TaylorModels]]
    reaction: TaylorModels
    residual: TaylorModels
    slopes: list[TaylorModels]


@dataclass(frozen=True)
class EnclosedProblem:
    """What `EnergyProblem` knows at points, on cells.

    Methods raise NotEnclosed, or ProblemError of a formula, where networks and data are not enclosed.
    """

    energy: EnergyProblem
    basis: Monomials

    @property
    def box(self) -> Box:
        """The domain."""
        return cast("Box", self.energy.problem.domain)

    def inside(self, cells: Cells) -> EnclosedInside:
        """A, c and r on cells."""
        problem, sign, x = self.energy.problem, self.energy.sign, cells.coordinates(self.basis)
        equation, probe = problem.equations[0], torch.zeros(2, problem.domain.dimension, dtype=torch.float64)
        level = max(problem.level_of(equation.operator, probe), Derivatives.GRADIENT)
        frame, points = Frame(problem.domain.coordinates, level), cast("Tensor", x)
        v = enclosed_jet(self.energy.network, x, frame)
        source = problem.right_hand_side(equation.source, equation.operator, points, level, None)
        residual = (self._applied(equation.operator, x, v) - source) * -sign
        reaction = self._applied(equation.operator, x, _unit(frame, x, "value", 0)) * sign
        slopes = [cast("TaylorModels", v.gradient)[:, k] for k in range(frame.dimension)]
        return EnclosedInside(self._diffusion(x, level), reaction, residual, slopes)

    def _diffusion(self, x: TaylorModels, level: Level) -> list[list[TaylorModels]]:
        """A from the second derivatives of the equation's operator."""
        problem, d = self.energy.problem, self.energy.problem.domain.dimension
        frame, operator = Frame(problem.domain.coordinates, level), problem.equations[0].operator
        slots = [
            self._applied(operator, x, _unit(frame, x, "second", k)) * -self.energy.sign for k in range(frame.second_count)
        ]
        zero = x[:, 0] * 0.0
        if level is not Derivatives.FULL:
            return [[slots[i if len(slots) == d else 0] if i == j else zero for j in range(d)] for i in range(d)]
        by_pair = dict(zip(zip(*frame.packed, strict=True), slots, strict=True))
        return [[by_pair[i, j] if i == j else by_pair[min(i, j), max(i, j)] * 0.5 for j in range(d)] for i in range(d)]

    def on_natural(self, face: str, cells: Cells) -> tuple[TaylorModels, TaylorModels]:
        """η and α on cells that are reduced to a face where u is not given."""
        problem, one, x = self.energy.problem, self.energy.natural[face], cells.coordinates(self.basis)
        axis, side = problem.domain.coordinates.index(face[:-1]), 1.0 if face[-1] == "+" else -1.0
        normals = torch.zeros(len(x), problem.domain.dimension, dtype=torch.float64)
        normals[:, axis] = side
        frame = Frame(problem.domain.coordinates, Derivatives.GRADIENT, normals)
        equation = problem.equations[0]
        level = max(problem.level_of(equation.operator, normals[:2]), Derivatives.GRADIENT)
        slope = self._applied(one.operator, x, _unit(frame, x, "gradient", axis)) * side
        inverse = self._diffusion(x, level)[axis][axis] / slope
        v = enclosed_jet(self.energy.network, x, Frame(frame.coordinates, frame.level))
        value = problem.right_hand_side(one.value, one.operator, cast("Tensor", x), frame.level, normals)
        defect = value - self._applied(one.operator, x, Jet(frame, v.value, v.gradient))
        return defect * inverse, self._applied(one.operator, x, _unit(frame, x, "value", 0)) * inverse

    def on_essential(self, face: str, cells: Cells) -> list[TaylorModels]:
        """δ and its derivatives by every coordinate on cells that are reduced to a face where u is given."""
        problem, one = self.energy.problem, self.energy.essential[face]
        few, places = cells.unique()
        x, frame = few.coordinates(self.basis), Frame(problem.domain.coordinates, Derivatives.GRADIENT)
        v, here = enclosed_jet(self.energy.network, x, frame), problem.environment(cast("Tensor", x), frame.level)
        if isinstance(one.value, Field):
            gap = v - one.value(here)
        else:
            gap = v - one.operator(here | problem.exact_jets(cast("Tensor", x), frame.level))
        slopes = cast("TaylorModels", gap.gradient)
        return [cast("TaylorModels", gap.value)[places], *(slopes[:, k][places] for k in range(len(frame.coordinates)))]

    def _applied(self, operator: Field, x: TaylorModels, u: Jet) -> TaylorModels:
        """The value of an operator of u."""
        problem, frame = self.energy.problem, u.frame
        points = cast("Tensor", x)
        value = operator(problem.environment(points, frame.level, frame.normal, {problem.unknowns[0]: u})).value
        return x[:, 0] * 0.0 + value


def _unit(frame: Frame, x: TaylorModels, part: str, slot: int) -> Jet:
    """The jet whose value, or one of whose derivatives, is one, and all others zero."""
    n, sizes = len(x), {"value": (), "gradient": (frame.dimension,), "second": (frame.second_count,)}
    parts = {name: torch.zeros(n, *shape, dtype=torch.float64) for name, shape in sizes.items()}
    parts[part].reshape(n, -1)[:, slot] = 1.0
    second = parts["second"] if frame.level >= Derivatives.SUMMED else None
    return Jet(frame, parts["value"], parts["gradient"], second)


@dataclass(frozen=True)
class Fitted:
    """Splines found by quadrature: ψ, the φ close to δ, or None, and the coefficients of the w of the lower bound."""

    flux: FittedFlux
    extension: SplineFunction | None
    test: Array


def fitted_test(energy: EnergyProblem, samples: Samples, space: SplineBox) -> Array:
    """The scalar spline w, zero where u is given, with ⟨w, s⟩ = ∫ r s + ∮ η s for all such splines s.

    Raises NotEnclosed on other domains than boxes.
    """
    if not isinstance(energy.problem.domain, Box):
        raise NotEnclosed("on domains that are no boxes integrals are not enclosed")
    counts = tuple(n + space.degree + 1 for n in space.intervals)
    free = np.ones(counts, dtype=bool)
    for face in energy.essential:
        axis = energy.problem.domain.coordinates.index(face[:-1])
        np.moveaxis(free, axis, 0)[0 if face[-1] == "-" else -1] = False
    load = space.scalar(samples.points)[0].T @ (samples.weights * samples.inside.residual)
    load = load + space.scalar(samples.faces.points)[0].T @ (samples.faces.weights * samples.faces.residual)
    kept, found = np.flatnonzero(free.ravel()), np.zeros(free.size)
    matrix = csc_array(csc_array(stiffness(samples, space))[:, kept][kept])
    found[kept] = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(load[kept])
    return found


@dataclass(frozen=True)
class Enclosed:
    """Upper and lower bounds of |||u - v|||, a lower one of |||v|||, and the constants of the upper one."""

    upper: float
    lower: float
    size: float
    constants: EnergyConstants


@dataclass(frozen=True)
class _Whitened:
    """L⁻¹, L and κ of n cells, with lower bounds of A's eigenvalues."""

    inverse: Tensor
    factor: Tensor
    change: Tensor
    least: Tensor

    @classmethod
    def of(cls, inside: EnclosedInside) -> _Whitened:
        """Raises NotEnclosed where A is not known to be positive definite."""
        rows, d = inside.diffusion, len(inside.diffusion)
        center = torch.stack([torch.stack([one.polynomial[0] for one in row], -1) for row in rows], -2)
        factor, failed = torch.linalg.cholesky_ex(center)
        if bool(failed.any()):
            raise NotEnclosed("the coefficient of grad(u) is not known to be positive all over a cell")
        inverse = torch.linalg.inv(factor)
        squares = torch.zeros(len(center), dtype=torch.float64)
        for i in range(d):
            for j in range(d):
                pairs = ((k, m) for k in range(d) for m in range(d))
                entry = sum((rows[k][m] * (inverse[:, i, k] * inverse[:, j, m]) for k, m in pairs), start=-float(i == j))
                squares += entry.size**2  # type: ignore[union-attr]
        off = (inverse @ factor - torch.eye(d, dtype=torch.float64)).abs().sum((1, 2)) + 16.0 * d * EPS
        change = (squares.sqrt() + 4.0 * off) * (1.0 + SAFE)
        if not bool((change < 1.0).all()):
            raise NotEnclosed("the coefficient of grad(u) changes too much over a cell")
        least = torch.linalg.eigvalsh(factor @ factor.mT)[:, 0] * (1.0 - SAFE) * (1.0 - change)
        return cls(inverse, factor, change, least)

    def flux_square(self, flux: Sequence[TaylorModels]) -> Tensor:
        """An upper bound of ∫ A⁻¹ψ · ψ over the cells in t."""
        return self._square(self.inverse, flux) / (1.0 - self.change)

    def slope_square(self, slopes: Sequence[TaylorModels]) -> Tensor:
        """An upper bound of ∫ A∇w · ∇w over the cells in t."""
        return self._square(self.factor.mT, slopes) * (1.0 + self.change)

    def least_slope_square(self, slopes: Sequence[TaylorModels]) -> Tensor:
        """A lower bound of ∫ A∇w · ∇w over the cells in t."""
        products = [row.product_integral(row) for row in self._rows(self.factor.mT, slopes)]
        return torch.stack([product - error for product, error in products]).sum(0).clamp_min(0.0) * (1.0 - self.change)

    def _square(self, matrix: Tensor, vector: Sequence[TaylorModels]) -> Tensor:
        return torch.stack([row.square_integral() for row in self._rows(matrix, vector)]).sum(0)

    @staticmethod
    def _rows(matrix: Tensor, vector: Sequence[TaylorModels]) -> list[TaylorModels]:
        parts = [[one * matrix[:, i, j] for j, one in enumerate(vector)] for i in range(len(vector))]
        return [sum(row[1:], start=row[0]) for row in parts]


@dataclass
class _Sums:
    """What cells and faces add: integrands of the upper bound by cell, and sums of the others."""

    flux: float = 0.0
    extension: float = 0.0
    tested: float = 0.0
    tested_error: float = 0.0
    test: float = 0.0
    solution: float = 0.0

    def add_products(self, first: TaylorModels, second: TaylorModels, volume: float) -> None:
        """∫ first · second, with its error."""
        product, error = first.product_integral(second)
        self.tested += float(product.sum()) * volume
        self.tested_error += float((error + SAFE * product.abs()).sum()) * volume


def enclosed_bounds(energy: EnergyProblem, fitted: Fitted, space: SplineBox, parts: int) -> Enclosed:
    """Bounds with enclosed integrals on so many parts of the splines' intervals.

    Raises NotEnclosed, or ProblemError of a formula, with the reason where integrals are not enclosed.
    """
    problem = EnclosedProblem(energy, monomials(space.dimension, ORDERS[space.dimension - 1]))
    sums, box = _Sums(), problem.box
    faces = {face: _on_face(problem, fitted, _cells_on(box, face, space, parts), face, sums) for face in energy.natural}
    inside = [_in_cells(problem, fitted, cells, sums) for cells in Cells.every(space, parts).split(AT_ONCE)]
    residual, reaction, least = (np.concatenate(column) for column in zip(*inside, strict=True))
    if reaction.min() < 0.0:
        raise NotEnclosed("c is not known to be nowhere negative")
    robin = {face: float(alpha.min()) for face, (_, alpha) in faces.items()}
    known = constants_on_box(box, energy, float(least.min()), float(reaction.min()), robin)
    constants = replace(known, poincare=known.poincare * (1.0 - SAFE), trace=known.trace * (1.0 - SAFE))
    on_faces = [np.concatenate(column) for column in zip(*faces.values(), strict=True)] if faces else [np.empty(0)] * 2
    terms = _terms(sums, constants, (residual, reaction), (on_faces[0], on_faces[1]))
    upper = math.hypot(terms.least, math.sqrt(sums.extension))
    tested = max(0.0, abs(sums.tested) - sums.tested_error)
    lower = tested / math.sqrt(sums.test * (1.0 + SAFE)) if sums.test > 0.0 else 0.0
    size = math.sqrt(max(0.0, sums.solution * (1.0 - SAFE)))
    return Enclosed(upper * (1.0 + SAFE), lower * (1.0 - SAFE), size, constants)


def _cells_on(box: Box, face: str, space: SplineBox, parts: int) -> Cells:
    """The cells of a face."""
    return Cells.on_face(space, parts, box.coordinates.index(face[:-1]), 1 if face[-1] == "+" else -1)


def _terms(sums: _Sums, constants: EnergyConstants, inside: tuple[Array, Array], on_faces: tuple[Array, Array]) -> Terms:
    """The terms of the bound with one point a cell, and lower bounds of c and α as their values there."""
    (residual, reaction), (faces, robin) = inside, on_faces
    empty = np.empty(0)
    samples = Samples(
        empty, empty, Inside(empty, reaction, empty, empty, empty), FaceSamples(empty, empty, empty, empty, robin)
    )  # fmt: skip
    return Terms(samples, constants, sums.flux, residual, faces)


def _in_cells(problem: EnclosedProblem, fitted: Fitted, cells: Cells, sums: _Sums) -> tuple[Array, Array, Array]:
    """Upper bounds of ∫ (r + div ψ)² and lower bounds of c and A's eigenvalues, cell by cell."""
    inside, volume = problem.inside(cells), cells.volume
    white = _Whitened.of(inside)
    components, divergence = _flux(problem, fitted.flux, cells)
    sums.flux += float(white.flux_square(components).sum()) * volume
    residual = (inside.residual + divergence).square_integral() * volume
    value, *slopes = _scalar(problem, fitted.test, cells)
    sums.add_products(inside.residual, value, volume)
    sums.test += _energy(white, inside, value, slopes, volume)
    sums.solution += float(white.least_slope_square(inside.slopes).sum()) * volume
    if problem.energy.essential:
        value, *slopes = _extension(problem, fitted, cells)
        sums.extension += _energy(white, inside, value, slopes, volume)
    return residual.numpy(), inside.reaction.least.numpy(), white.least.numpy()


def _energy(white: _Whitened, inside: EnclosedInside, value: TaylorModels, slopes: list[TaylorModels], volume: float) -> float:
    """An upper bound of ∫ A∇w · ∇w + c w²."""
    square = white.slope_square(slopes) + inside.reaction.largest.clamp_min(0.0) * value.square_integral()
    return float(square.sum()) * volume


def _on_face(problem: EnclosedProblem, fitted: Fitted, cells: Cells, face: str, sums: _Sums) -> tuple[Array, Array]:
    """Upper bounds of ∮ (η - n · ψ)² and lower bounds of α on the cells of a natural face."""
    axis, side = problem.box.coordinates.index(face[:-1]), 1 if face[-1] == "+" else -1
    residual, robin = problem.on_natural(face, cells)
    if bool((robin.least < 0.0).any()):
        raise NotEnclosed(f"on {face} the factor of u is not known to be nowhere negative")
    outward = _flux(problem, fitted.flux, cells)[0][axis] * float(side)
    value = _scalar(problem, fitted.test, cells)[0]
    sums.add_products(residual, value, cells.volume)
    sums.test += float((robin.largest * value.square_integral()).sum()) * cells.volume
    if problem.energy.essential:
        value = _extension(problem, fitted, cells)[0]
        sums.extension += float((robin.largest * value.square_integral()).sum()) * cells.volume
    return ((residual - outward).square_integral() * cells.volume).numpy(), robin.least.numpy()


def _flux(problem: EnclosedProblem, flux: FittedFlux, cells: Cells) -> tuple[list[TaylorModels], TaylorModels]:
    """ψ, component by component, and its divergence."""
    d, start, components, slopes = cells.space.dimension, 0, [], []
    for i in range(d):
        degrees = tuple(cells.space.degree + (k == i) for k in range(d))
        size = math.prod(n + degree for n, degree in zip(cells.space.intervals, degrees, strict=True))
        own = flux.coefficients[start : start + size]
        components.append(cells.spline(problem.basis, degrees, own))
        slopes.append(cells.spline(problem.basis, degrees, own, i))
        start += size
    return components, sum(slopes[1:], start=slopes[0])


def _scalar(problem: EnclosedProblem, coefficients: Array, cells: Cells) -> list[TaylorModels]:
    """A scalar spline and its derivatives by every coordinate."""
    d = cells.space.dimension
    degrees = (cells.space.degree + 1,) * d
    return [cells.spline(problem.basis, degrees, coefficients, axis) for axis in (None, *range(d))]


def _extension(problem: EnclosedProblem, fitted: Fitted, cells: Cells) -> list[TaylorModels]:
    """φ = s + the transfinite interpolant of δ - s, and its derivatives by every coordinate."""
    spline = fitted.extension

    def given(face: str, place: Cells) -> list[Any]:
        """What the extension shall be on a face: the gaps, less the spline that is near to them."""
        gaps = problem.on_essential(face, place)
        if spline is None:
            return gaps
        return [one - near for one, near in zip(gaps, _scalar(problem, spline.coefficients, place), strict=True)]

    parts = blended(
        problem.box,
        problem.energy.essential,
        given,
        lambda place, k, side: place.moved(k, 1 if side == "+" else -1),
        lambda place, k: place.coordinates(problem.basis)[:, k],
    )(cells)
    if spline is None:
        return parts
    return [one + more for one, more in zip(_scalar(problem, spline.coefficients, cells), parts, strict=True)]
