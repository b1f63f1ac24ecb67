"""The coefficients A of -div(A∇u) + …, of an equation whose residual is measured in the dual norm of its energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.mesh import Mesh
from pdekan.cells.rows import linearised, tensors
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import Derivatives, Jet
from pdekan.networks.base import Network
from pdekan.problems.formulas import right_hand_side
from pdekan.problems.places import OFFSET
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms, term_at

POINTS = 2  # Gauss points along an axis of a cell, at which the coefficients are looked at


@dataclass(frozen=True, eq=False)
class Principal:
    """The coefficients of an equation, linearised about a network's function or about zero. sign: that of -A in the equation.
    least: the smallest eigenvalue of A anywhere.
    """

    problem: Problem
    network: Network | None
    device: torch.device
    sign: float = 1.0
    least: float = 0.0

    @classmethod
    def of(cls, problem: Problem, mesh: Mesh, network: Network | None, device: torch.device) -> Self | None:
        """The coefficients of the only equation; None where it is not of second order, or not elliptic everywhere."""
        cells = mesh.geometry.groups(mesh.degrees)
        points = np.concatenate([mesh.geometry.rule(one, POINTS)[0].reshape(-1, mesh.partition.dimension) for one in cells])
        (term,) = equation_terms(problem, Quadrature.even(points), device)
        if term.frame.higher or term.frame.level < Derivatives.SUMMED:
            return None
        values = cls(problem, network, device).of_slope(linearised(term, network).slope)
        sign = float(values.diagonal(dim1=1, dim2=2).sum().sign())
        least = float(torch.linalg.eigvalsh(sign * values).min())
        return cls(problem, network, device, sign, least) if least > 0.0 else None

    def of_slope(self, slope: Jet) -> Tensor:
        """A ``(n, d, d)`` from the derivatives of the residual by those of the unknown."""
        assert slope.second is not None
        return self.sign * tensors(slope.frame, slope.second[:, 0])

    def beside(self, points: Array, outward: Array) -> Tensor:
        """A ``(n, d, d)`` beside points on faces, on the side that normals lead away from."""
        inside = points - OFFSET * self.problem.domain.size * outward
        operator, zero = self.problem.equations[0].operator, right_hand_side(0.0)  # the source may be infinite there
        term = term_at(self.problem, "equation", "conditions", operator, zero, Quadrature.even(inside), self.device)
        return self.of_slope(linearised(term, self.network).slope)

    def corners(self, mesh: Mesh, cells: Integers, times: int) -> tuple[Tensor, Tensor]:
        """The corners ``(m times, d)`` of the boxes around cells, each so many times."""
        low, high = (
            torch.as_tensor(part[cells]).to(self.device).repeat_interleave(times, 0)
            for part in (mesh.geometry.low, mesh.geometry.high)
        )
        return low, high
