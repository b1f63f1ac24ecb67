"""The exponent of a function like c_0 + c_1 t + … + t^μ (d_0 + d_1 t + …) at t = 0.

It is found by least squares, in which all but μ are linear unknowns (variable projection: Golub and Pereyra, SIAM J. Numer.
Anal. 10 (1973) 413-432).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pdekan.domains.quadrature import Array

# How a function is looked at.
REACHES = (3e-2, 3e-3, 3e-4)  # shares of the length that is named; the first counts on which the function has the form
DECADES = 3.0  # that the points span
POINTS = 60  # on each length
SMOOTH, SINGULAR = 5, 4  # how many c_j and d_j
AGREED = 1e-8  # the relative residual of such a form
EXPONENTS = (-1.95, 3.0)  # the smallest and the largest μ
WHOLE = 0.02  # nearer to an integer, μ is none
ZERO = 1e-290  # where no value is larger there is nothing but underflow
SPREAD = 1e-100  # the least value that counts, relative to the largest


class NoPowerLawError(ValueError):
    """A function that is neither smooth nor a sum of powers."""


def exponent(values: Callable[[Array], Array], reach: float, least: float = 0.0) -> float | None:
    """μ of a function of t > 0, looked at up to `reach`; None for a smooth one. least: of values; smaller ones are zero.

    Raises NoPowerLawError where it has no such form.
    """
    for share in REACHES:
        t = np.logspace(-DECADES, 0.0, POINTS)
        f = values(reach * share * t)
        size = np.abs(f) + float(np.median(np.abs(f)))
        largest = float(size.max())
        if not np.isfinite(f).all() or not largest > max(least, ZERO):
            return None
        f, size = f / largest, np.maximum((size + least) / largest, SPREAD)
        fit = _Fit(t, f / size, 1.0 / size)
        if fit.polynomial() <= AGREED:
            return None
        from scipy.optimize import minimize_scalar  # a tenth of a second, which smooth data do not need

        grid = np.arange(*EXPONENTS, 0.05) + 0.025
        near = float(grid[np.argmin([fit.misfit(order) for order in grid])])
        order = fit.polished(minimize_scalar(fit.misfit, bounds=(near - 0.06, near + 0.06), method="bounded").x)
        while fit.misfit(order + 1.0) <= AGREED:
            order = fit.polished(order + 1.0)
        if fit.misfit(order) <= AGREED and abs(order - round(order)) > WHOLE:
            return order
    raise NoPowerLawError("no sum of powers of the distance")


@dataclass(frozen=True)
class _Fit:
    """Least squares for the values f of a function at t, whose rows have weights w."""

    t: Array
    f: Array
    w: Array

    def polynomial(self) -> float:
        """The relative residual of polynomials."""
        return self._solved(self._powers(np.arange(0.0, SMOOTH + SINGULAR)))[1]

    def misfit(self, order: float) -> float:
        """The relative residual with the exponent μ."""
        return self._solved(self._both(order))[1]

    def polished(self, order: float, steps: int = 5) -> float:
        """μ after Gauss-Newton steps, for which the derivative by μ is one column more."""
        for _ in range(steps):
            columns = self._both(order)
            found, _ = self._solved(columns)
            singular = columns[:, SMOOTH:] @ found[SMOOTH:]
            found, _ = self._solved(np.concatenate([columns, (singular * np.log(self.t))[:, None]], axis=1))
            order += float(np.clip(found[-1], -0.02, 0.02))
        return order

    def _both(self, order: float) -> Array:
        return self._powers(np.concatenate([np.arange(SMOOTH), order + np.arange(SINGULAR)]))

    def _powers(self, powers: Array) -> Array:
        return np.asarray(self.w[:, None] * self.t[:, None] ** powers)

    def _solved(self, columns: Array) -> tuple[Array, float]:
        size = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
        found = np.linalg.lstsq(columns / size, self.f, rcond=1e-15)[0]
        return found / size, float(np.linalg.norm(columns / size @ found - self.f) / np.linalg.norm(self.f))
