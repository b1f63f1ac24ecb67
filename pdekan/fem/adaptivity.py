"""Which cells of a mesh do not resolve a finite-element function."""

from __future__ import annotations

import math

import numpy as np

from pdekan.domains.mesh import simplex_gauss
from pdekan.fem.lagrange import Index, Lagrange
from pdekan.fem.spaces import FiniteElementFunction

REFINED_SHARE = (
    0.9  # of the sum of squared indicators, in the cells that are refined; few cells have most of it at a singularity
)


def unresolved_cells(function: FiniteElementFunction) -> Index:
    """The fewest cells that hold REFINED_SHARE of the sum over all cells K and unknowns of ∫_K |∇(u - I u)|².

    I u is the interpolant of a degree less: in a cell that resolves u the difference is small. Bulk marking: Doerfler, SIAM J.
    Numer. Anal. 33 (1996) 1106-1124, eq. 4.2. The unknowns are weighted by their H1 seminorms.
    """
    space, p = function.space, function.space.element.degree
    d = space.mesh.dim()
    lower = Lagrange(d, p - 1)
    onto, _ = space.element.shape_functions(lower.lattice[:, 1:].T / (p - 1))  # values at the nodes of the lower degree
    barycentric, share = simplex_gauss(d, p)
    _, slope = space.element.shape_functions(barycentric[:, 1:].T)
    _, lower_slope = lower.shape_functions(barycentric[:, 1:].T)
    difference = slope - np.einsum("bn,nkq->bkq", onto, lower_slope)
    corners = space.mesh.p.T[space.mesh.t.T]
    jacobian = (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    weights = np.abs(np.linalg.det(jacobian))[:, None] * share / math.factorial(d)
    inverse, values = np.linalg.inv(jacobian), function.coefficients[space.cells]
    squares = [
        np.einsum("mq,mqui,mqui->mu", weights, gradients, gradients, optimize=True)
        for gradients in (
            np.einsum("bkq,mbu,mki->mqui", table, values, inverse, optimize=True) for table in (difference, slope)
        )
    ]
    indicator = (squares[0] / np.maximum(squares[1].sum(axis=0), np.finfo(np.float64).tiny)).sum(axis=1)
    order = np.argsort(-indicator)
    count = int(np.searchsorted(np.cumsum(indicator[order]), REFINED_SHARE * indicator.sum())) + 1
    return order[:count]
