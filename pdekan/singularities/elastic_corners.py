"""How displacements of an isotropic elastic body behave at a corner: like r^λ.

They are those of φ = A z^λ, ψ = B z^λ in 2G (u + iv) = κ φ - z conj(φ') - conj(ψ) (Muskhelishvili, Some Basic Problems of the
Mathematical Theory of Elasticity (1953), section 32): combinations of the real and imaginary parts of z^λ and z^(λ - 1) z̄. At
an angle ω (Williams, J. Appl. Mech. 19 (1952) 526-528)

    sin² λω = λ² sin² ω                                 without traction on both sides,
    κ² sin² λω = λ² sin² ω                              where both sides are held,
    4κ sin² λω = (κ + 1)² - 4 λ² sin² ω                 with one of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array
from pdekan.fields.corner_functions import Power

STEPS, TOLERANCE = 60, 1e-10  # of Newton's method, and to which λ is one that is known
ALIKE = 1e-10  # coefficients that are the same


def kappa(tensors: Sequence[Sequence[Array]]) -> float | None:
    """κ = (λ + 3μ) / (λ + μ) of μ Δu + (λ + μ) ∇ div u; None for other equations.

    tensors: the coefficients ``(2, 2)`` of the second derivatives of unknown j in equation i. An equation may have a factor.
    """
    both = []
    for i in range(2):
        own, other = tensors[i][i], tensors[i][1 - i]
        mu, coupling = own[1 - i, 1 - i], 2.0 * other[0, 1]
        expected = mu * np.eye(2) + coupling * np.diag([float(i == 0), float(i == 1)])
        size = float(np.abs(own).max())
        if mu == 0.0 or not np.allclose(own, expected, atol=ALIKE * size) or np.abs(np.diag(other)).max() > ALIKE * size:
            return None
        both.append(coupling / mu)
    if abs(both[0] - both[1]) > ALIKE * abs(both[0]) or not both[0] > 0.0:
        return None
    return float((both[0] + 2.0) / both[0])


def exponents(opening: float, free: tuple[bool, bool], kappa: float, highest: float) -> list[complex]:
    """All λ with real part in (0, highest] and imaginary part at least zero. free: whether a side is without traction."""
    s = math.sin(opening)
    if free[0] != free[1]:
        a, b, c = 4.0 * kappa, (kappa + 1.0) ** 2, -4.0 * s * s
    else:
        a, b, c = (1.0 if free[0] else kappa**2), 0.0, s * s
    real, imaginary = np.meshgrid(np.arange(0.05, highest + 0.1, 0.05), np.arange(0.0, 2.0, 0.1))
    x: NDArray[np.complex128] = (real + 1j * imaginary).ravel()
    with np.errstate(all="ignore"):
        for _ in range(STEPS):  # of a sin² λω - b - c λ² = 0
            f = a * np.sin(x * opening) ** 2 - b - c * x * x
            x = x - f / (a * opening * np.sin(2.0 * x * opening) - 2.0 * c * x)
        good = np.abs(a * np.sin(x * opening) ** 2 - b - c * x * x) < TOLERANCE * (a + b + abs(c) * np.abs(x) ** 2)
    found: list[complex] = []
    for one in sorted(x[good & np.isfinite(x)], key=lambda z: (z.real, abs(z.imag))):
        z = complex(one.real, abs(one.imag) if abs(one.imag) > 1e-6 else 0.0)
        if 1e-3 < z.real <= highest and all(abs(z - other) > 1e-5 for other in found):
            found.append(z)
    return found


def powers(order: complex) -> list[Power]:
    """The functions r^λ cos μθ and r^λ sin μθ, μ = λ and λ - 2, of which displacements consist."""
    signs = (1.0,) if order.imag == 0.0 else (1.0, -1.0)
    return [
        Power(order.real, frequency, sine, False, sign * order.imag)
        for frequency in (order.real, order.real - 2.0)
        for sine in (False, True)
        for sign in signs
    ]
