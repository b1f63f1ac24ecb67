"""Balances of cells where coefficients jump.

A residual r moves the slopes in its cell by about h ‖r‖/κ, κ being the size of the coefficients of second derivatives. Its
integral has to flow off through other cells, those with the smallest κ among them: where a conductor is surrounded by an
insulator, it moves the slopes there by |∫ r|/κ_least. So the mean of the residual in a cell, and of a flux's jump on a face,
counts κ/κ_least times as much as the rest. This is conservation, enforced by a weight: Chang and Nelson, SIAM J. Numer. Anal.
34 (1997) 480-489. Where coefficients are the same everywhere, all factors are one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.cells.rows import along_axes, linearised, sizes
from pdekan.domains.partition import Integers
from pdekan.domains.pieces import CellGeometry
from pdekan.domains.quadrature import Quadrature
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms

POINTS = 2  # Gauss points along an axis of a cell, at which coefficients are looked at


@dataclass(frozen=True, eq=False)
class Balance:
    """Of all cells: means ``(m,)``, the factors of means; weakest: ``(m,)`` by how much larger than in the rows errors of
    slopes may be, those of functions along the axis with the largest h/c, c being the coefficient of the second derivative.
    """

    means: Tensor
    weakest: Tensor


def balance_of(problem: Problem, geometry: CellGeometry, degrees: Integers, network: Network | None) -> Balance | None:
    """The factors of a problem with interfaces, linearised about a network's function; None without interfaces."""
    if not problem.interfaces:
        return None
    means, weakest = (torch.ones(geometry.partition.count, dtype=torch.float64) for _ in range(2))
    for cells in geometry.groups(degrees):
        points, weights = geometry.rule(cells, POINTS)
        rule = Quadrature(points.reshape(-1, points.shape[2]), weights.ravel())
        sides = torch.as_tensor(geometry.high[cells] - geometry.low[cells])
        each = sides.repeat_interleave(points.shape[1], 0)
        squares, along = torch.zeros(2, len(each), dtype=torch.float64), torch.zeros_like(each)
        for term in equation_terms(problem, rule, torch.device("cpu")):
            slope = linearised(term, network).slope
            along += along_axes(slope)
            squares += torch.stack([along_axes(slope).sum(1), sizes(slope, each).sum(1)])
        c = along.reshape(len(cells), -1, len(sides[0])).mean(1).sqrt()
        means[cells], leading = squares.reshape(2, len(cells), -1).mean(2).sqrt()
        reach = torch.where(c > 0.0, sides / c.clamp_min(1e-300), 0.0).amax(1)
        weakest[cells] = (reach * leading * sides.amin(1)).clamp_min(1.0)
    active = torch.as_tensor(geometry.active)
    least = means[active].amin()
    return Balance(torch.where(active & (least > 0.0), means / least, 1.0), weakest)
