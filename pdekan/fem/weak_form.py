"""The coefficients of an equation or a condition at points, from which a weak form is assembled.

About fields u the operator of a residual r = operator(u) - value is, point by point,

    r(u + v) = r(u) + Σ_a A_a : ∇∇v_a + b_a · ∇v_a + c_a v_a + O(v²).

One pass of autograd gives A, b and c; a second one, by the points, the divergence of A. There are no finite differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.quadrature import Array
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative
from pdekan.problems.formulas import Field, Formula, ProblemError, RightHandSide
from pdekan.problems.problem import Problem

CHUNK = 16384
SAME = 1e-9  # slopes that differ by less, their size being one, are equal


@dataclass(frozen=True)
class Coefficients:
    """A residual and its slopes at n points for U unknowns in d dimensions, in the units of the equation.

    second: A ``(n, U, d, d)``, symmetric. divergence: Σ_j ∂_j A_ij ``(n, U, d)``. first: b ``(n, U, d)``. zeroth: c ``(n, U)``.
    residual: r ``(n,)`` of fields with the values and gradients given and without second derivatives.
    """

    second: Array
    divergence: Array
    first: Array
    zeroth: Array
    residual: Array


def coefficients(
    problem: Problem,
    operator: Field,
    value: Formula | RightHandSide,
    points: Array,
    normals: Array | None = None,
    values: Array | None = None,
    gradients: Array | None = None,
) -> Coefficients:
    """The coefficients of operator - value at points ``(n, d)``, about values ``(n, U)`` and gradients ``(n, U, d)``, or zero.

    Raises ProblemError for an operator of higher than second order.
    """
    n, d, count = len(points), problem.domain.dimension, len(problem.unknowns)
    values = np.zeros((n, count)) if values is None else values
    gradients = np.zeros((n, count, d)) if gradients is None else gradients
    parts = []
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        x, u, slope = (torch.tensor(part[rows]) for part in (points, values, gradients))
        normal = None if normals is None else torch.tensor(normals[rows])
        parts.append(_linearised(problem, operator, value, x, normal, u, slope))
    return Coefficients(*(np.concatenate([part[k].detach().numpy() for part in parts]) for k in range(5)))


def _linearised(
    problem: Problem,
    operator: Field,
    value: Formula | RightHandSide,
    points: Tensor,
    normals: Tensor | None,
    u: Tensor,
    slope: Tensor,
) -> tuple[Tensor, ...]:
    """The five arrays of `Coefficients`."""
    level = problem.level_of(operator, points[:2], None if normals is None else normals[:2])
    if level > Derivatives.FULL:
        raise ProblemError('reference = "fem" knows equations of second order; give formulas, or the file of a solution')
    frame = Frame(problem.domain.coordinates, level, normals)
    target = problem.right_hand_side(value, operator, points, level, normals)
    points = points.requires_grad_()
    second = u.new_zeros(*u.shape, frame.second_count)
    leaves = [u.requires_grad_(), slope.requires_grad_(), second.requires_grad_()]
    jet = Jet(frame, u, slope if level >= Derivatives.GRADIENT else None, second if level >= Derivatives.SUMMED else None)
    sought = {name: jet[k] for k, name in enumerate(problem.unknowns)}
    residual = operator(problem.environment(points, level, normals, sought)).value - target
    c, b, packed = torch.autograd.grad(residual.sum(), leaves, create_graph=True, allow_unused=True, materialize_grads=True)
    matrix = _unpacked(frame, packed)
    return matrix, _divergence(matrix, points), b, c, residual


def _unpacked(frame: Frame, packed: Tensor) -> Tensor:
    """Symmetric matrices ``(n, U, d, d)`` A with A : H = packed · (the second derivatives that the frame keeps)."""
    d = frame.dimension
    matrix = packed.new_zeros(*packed.shape[:-1], d, d)
    if frame.level is Derivatives.FULL:
        for slot, (i, j) in enumerate(zip(*frame.packed, strict=True)):
            half = 0.5 * packed[..., slot]
            matrix[..., i, j] = matrix[..., i, j] + half
            matrix[..., j, i] = matrix[..., j, i] + half
    elif frame.level >= Derivatives.SUMMED:
        for k in frame.space:
            matrix[..., k, k] = packed[..., k if frame.level is Derivatives.DIAGONAL else 0]
    return matrix


def _divergence(matrix: Tensor, points: Tensor) -> Tensor:
    """Σ_j ∂_j A_ij ``(n, U, d)``."""
    out = torch.zeros(matrix.shape[:-1], dtype=matrix.dtype)
    if not matrix.requires_grad:
        return out
    for k, i, j in np.ndindex(*matrix.shape[1:]):
        entry = matrix[:, k, i, j].sum()
        (slopes,) = torch.autograd.grad(entry, points, retain_graph=True, allow_unused=True, materialize_grads=True)
        out[:, k, i] += slopes[:, j]
    return out


def is_affine(
    problem: Problem, operator: Field, value: Formula | RightHandSide, points: Array, normals: Array | None = None
) -> bool:
    """Whether the slopes are the same about other fields, at points ``(n, d)``: the equation is then linear.

    Raises ProblemError where those of second derivatives are not, or depend on second derivatives.
    """
    known = coefficients(problem, operator, value, points, normals)
    affine = True
    for sign in (1.0, -1.0):
        values = np.full((len(points), len(problem.unknowns)), 0.3 * sign)
        gradients = np.full((*values.shape, problem.domain.dimension), 0.7 * sign)
        other = coefficients(problem, operator, value, points, normals, values, gradients)
        if not _same(known.second, other.second):
            raise ProblemError(
                'reference = "fem" knows equations whose coefficients of second derivatives depend on position alone; here '
                "they depend on an unknown; give formulas, or the file of a solution"
            )
        affine &= _same(known.first, other.first) and _same(known.zeroth, other.zeroth)
    return affine and _is_linear_in_second(problem, operator, points, normals)


def _is_linear_in_second(problem: Problem, operator: Field, points: Array, normals: Array | None) -> bool:
    """True; raises ProblemError for an operator that is not linear in second derivatives."""
    x = torch.tensor(points)
    normal = None if normals is None else torch.tensor(normals)
    level = problem.level_of(operator, x[:2], None if normal is None else normal[:2])
    if level < Derivatives.SUMMED:
        return True
    frame = Frame(problem.domain.coordinates, level, normal)

    def at(size: float) -> Tensor:
        """The operator at a function whose second derivatives have a size."""
        n, d = x.shape
        bent = Jet(frame, x.new_full((n,), 0.3), x.new_full((n, d), 0.7), x.new_full((n, frame.second_count), size))
        try:
            return operator(problem.environment(x, level, normal, dict.fromkeys(problem.unknowns, bent))).value
        except MissingDerivative as error:
            raise ProblemError(f'reference = "fem": the equation cannot be evaluated: {error}') from None

    values = [at(size).detach().numpy() for size in (-1.0, 0.0, 2.0)]
    if not _same(2.0 * (values[1] - values[0]), values[2] - values[1]):
        raise ProblemError('reference = "fem" knows equations that are linear in second derivatives; give formulas, or a file')
    return True


def _same(a: Array, b: Array) -> bool:
    scale = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return bool(np.abs(a - b).max(initial=0.0) <= SAME * scale)
