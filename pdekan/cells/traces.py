"""Traces of cells' functions on the faces between them.

Both cells at a face are coupled to unknowns of the face alone, the Legendre coefficients λ of the value and of as many normal
derivatives as an equation needs to be continuous: the rows a (u₁ - λ), a (u₂ - λ) have the minimum a²/2 ‖u₁ - u₂‖² over λ, so
that they are the jump's rows. A cell then has no rows in common with another one. Source: hybridisation, Cockburn,
Gopalakrishnan and Lazarov, SIAM J. Numer. Anal. 47 (2009) 1319-1365.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.cell_rules import on_boxes, reference_rule
from pdekan.domains.partition import CellFaces, Integers
from pdekan.domains.quadrature import Array
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks import legendre


def values_count(dimension: int, degree: int) -> int:
    """How many coefficients a trace of a polynomial of a degree on a face has; -1 has none."""
    return legendre.count(dimension - 1, degree) if degree >= 0 else 0


def traces(
    faces: CellFaces, which: Integers, low: Array, high: Array, second: bool, degree: int, face_degree: int, order: int
) -> list[Tensor]:
    """Legendre coefficients ``(f, v_j, n)`` on some faces of the j-th normal derivatives of the basis of a cell at each,
    j = 0 … order.

    low, high: corners ``(f, d)`` of the cells. second: whether these are the second cells of the faces. degree: of the cells;
    face_degree: of the traces of values, by one less for each derivative.
    """
    axis, d = faces.axis[which], low.shape[1]
    points, _ = on_boxes(faces.lower[which], faces.upper[which], axis, face_degree + 1)
    if second:
        points[np.arange(len(which)), :, axis] += faces.shift[which][:, None]
    scale = np.repeat(2.0 / (high - low), points.shape[1], axis=0)
    position = (points - low[:, None]) * (2.0 / (high - low))[:, None] - 1.0
    at, normal = torch.as_tensor(position).reshape(-1, d), torch.as_tensor(np.repeat(axis, points.shape[1]))
    test = _face_functions(d - 1, face_degree)
    out = []
    for j in range(order + 1):
        basis = legendre.along(at, torch.as_tensor(scale), degree, normal, j).reshape(len(which), points.shape[1], -1)
        out.append(torch.einsum("gv,fgn->fvn", test[:, : values_count(d, face_degree - j)], basis))
    return out


def _face_functions(dimension: int, degree: int) -> Tensor:
    """The Legendre products ``(g, v)`` of a face at its Gauss points, times the weights."""
    points, weights = reference_rule(dimension, degree + 1)
    if dimension == 0:
        return torch.ones(1, 1, dtype=torch.float64)
    frame = Frame(tuple(f"s{k}" for k in range(dimension)), Derivatives.VALUE)
    at = torch.as_tensor(points)
    return legendre.products(at, torch.ones_like(at), degree, frame).value * torch.as_tensor(weights)[:, None]
