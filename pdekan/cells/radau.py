"""Radau IIA formulas: collocation in time whose last stage is the end of the step.

With s stages they are of order 2s - 1 at the ends of steps and L-stable; the matrix of the system of all stages is
I ⊗ L + A^-1/h ⊗ M, and with A^-1 = V Λ V^-1 falls into s systems L + (λ/h) M, those of conjugate λ being conjugate. Source:
Hairer and Wanner, Solving Ordinary Differential Equations II, 2nd ed. (1996), sections IV.5 (nodes: roots of eq. 5.7) and IV.8
(transformation: eqs. 8.4 to 8.8).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array

Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Radau:
    """A formula with s stages on [0, 1].

    nodes: ``(s,)``. matrix: the coefficients A ``(s, s)``. slopes: its inverse, so that a polynomial that vanishes at 0 and has
    values W at the nodes has slopes A^-1 W there. rates: ``(r,)`` the eigenvalues of A^-1 with imaginary part ≥ 0, the real one
    first. into: ``(r, s)`` the rows of V^-1 for them. out: ``(s, r)`` such that the real part of out · into is the identity.
    """

    nodes: Array
    matrix: Array
    slopes: Array
    rates: Complex
    into: Complex
    out: Complex


@functools.cache
def radau(stages: int) -> Radau:
    """The formula with an odd number of stages. Raises ValueError for an even one, whose matrix has no real eigenvalue."""
    if stages % 2 == 0:
        raise ValueError(f"{stages} stages; an odd number is needed")
    series = np.zeros(stages + 1)
    series[-2:] = 1.0, -1.0  # P_{s-1} - P_s on [-1, 1]
    nodes = 0.5 * (1.0 + np.sort(legendre.legroots(series).real))
    nodes[-1] = 1.0
    powers = np.arange(stages)
    integrals = nodes[:, None] ** (powers + 1) / (powers + 1)
    matrix = integrals @ np.linalg.inv(nodes[:, None] ** powers)
    slopes = np.linalg.inv(matrix)
    values, vectors = np.linalg.eig(slopes)
    inverse = np.linalg.inv(vectors)
    kept = np.flatnonzero(values.imag >= -1e-9)
    kept = kept[np.argsort(values.imag[kept])]
    factors = np.where(values.imag[kept] > 1e-9, 2.0, 1.0)
    return Radau(nodes, matrix, slopes, values[kept], inverse[kept], vectors[:, kept] * factors)
