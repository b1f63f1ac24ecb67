"""The benchmark's problems, stated once for every peer: -div(k grad u) + b · grad u + c u = f in a box, u = g on its faces.

numpy only, so that the module can be imported in every peer's environment. tests/test_peers.py holds the statements to the
problem files of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import cos, exp, pi, sin

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[[Array, Array], Array]
Pair = Callable[[Array, Array], tuple[Array, Array]]


def constant(value: float) -> Function:
    """The same number at every point."""
    return lambda x, y: np.full(np.shape(x), value)


def constants(first: float, second: float) -> Pair:
    """The same vector at every point."""
    return lambda x, y: (np.full(np.shape(x), first), np.full(np.shape(x), second))


ONE, ZERO, ZEROS = constant(1.0), constant(0.0), constants(0.0, 0.0)


@dataclass(frozen=True)
class Problem:
    """Coefficients k with its gradient, b, c, source f, exact solution u with its gradient; g is u.

    lower, upper: corners of the box. interior_weight: of the equation's mean square in the loss of networks, where that of
    the boundary is one: the KAN paper's 0.01, divided by the square of the size of k.
    """

    name: str
    lower: tuple[float, float]
    upper: tuple[float, float]
    f: Function
    u: Function
    grad_u: Pair
    k: Function = ONE
    grad_k: Pair = ZEROS
    b: Pair = ZEROS
    c: Function = ZERO
    interior_weight: float = 0.01

    def coefficients(self, points: Array) -> Array:
        """Columns p, q, r, s, f at points ``(n, 2)``, so that the equation is p Δu + q ∂u/∂x + r ∂u/∂y + s u = f."""
        x, y = points[:, 0], points[:, 1]
        (kx, ky), (bx, by) = self.grad_k(x, y), self.b(x, y)
        return np.stack([-self.k(x, y), bx - kx, by - ky, self.c(x, y), self.f(x, y)], axis=1)

    def boundary(self, points: Array) -> Array:
        """g ``(n,)`` at points ``(n, 2)`` of the boundary."""
        return self.u(points[:, 0], points[:, 1])

    def faces(self, count: int) -> Array:
        """`count` equidistant points on each of the four faces."""
        (x0, y0), (x1, y1) = self.lower, self.upper
        x, y = np.linspace(x0, x1, count), np.linspace(y0, y1, count)
        at = np.full(count, 1.0)
        sides = [(x0 * at, y), (x1 * at, y), (x, y0 * at), (x, y1 * at)]
        return np.concatenate([np.stack(side, axis=1) for side in sides])

    def grid(self, count: int) -> Array:
        """`count` × `count` equidistant points of the closed box."""
        axes = (np.linspace(a, b, count) for a, b in zip(self.lower, self.upper, strict=True))
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def _kan_paper() -> Problem:
    def f(x: Array, y: Array) -> Array:
        return pi**2 * (1 + 4 * y**2) * sin(pi * x) * sin(pi * y**2) - 2 * pi * sin(pi * x) * cos(pi * y**2)

    return Problem(
        "poisson_kan_paper",
        (-1.0, -1.0),
        (1.0, 1.0),
        f=f,
        u=lambda x, y: sin(pi * x) * sin(pi * y**2),
        grad_u=lambda x, y: (pi * cos(pi * x) * sin(pi * y**2), 2 * pi * y * sin(pi * x) * cos(pi * y**2)),
    )


def _sine() -> Problem:
    return Problem(
        "poisson_sine",
        (-1.0, -1.0),
        (1.0, 1.0),
        f=lambda x, y: 2 * pi**2 * sin(pi * x) * sin(pi * y),
        u=lambda x, y: sin(pi * x) * sin(pi * y),
        grad_u=lambda x, y: (pi * cos(pi * x) * sin(pi * y), pi * sin(pi * x) * cos(pi * y)),
    )


def _helmholtz() -> Problem:
    return Problem(
        "helmholtz",
        (-1.0, -1.0),
        (1.0, 1.0),
        c=constant(-1.0),
        f=lambda x, y: (17 * pi**2 - 1) * sin(pi * x) * sin(4 * pi * y),
        u=lambda x, y: sin(pi * x) * sin(4 * pi * y),
        grad_u=lambda x, y: (pi * cos(pi * x) * sin(4 * pi * y), 4 * pi * sin(pi * x) * cos(4 * pi * y)),
    )


def _variable_coefficient() -> Problem:
    def k(x: Array, y: Array) -> Array:
        return 1 + x + y**2 / 2

    def grad_u(x: Array, y: Array) -> tuple[Array, Array]:
        return pi * cos(pi * x) * cos(pi * y) + y, -pi * sin(pi * x) * sin(pi * y) + x

    def f(x: Array, y: Array) -> Array:
        ux, uy = grad_u(x, y)
        return 2 * pi**2 * k(x, y) * sin(pi * x) * cos(pi * y) - ux - y * uy

    return Problem(
        "variable_coefficient",
        (0.0, 0.0),
        (1.0, 1.0),
        k=k,
        grad_k=lambda x, y: (np.ones_like(x), y),
        f=f,
        u=lambda x, y: sin(pi * x) * cos(pi * y) + x * y,
        grad_u=grad_u,
    )


def _convection_diffusion() -> Problem:
    return Problem(
        "convection_diffusion",
        (0.0, 0.0),
        (1.0, 1.0),
        k=constant(0.1),
        b=constants(1.0, 1.0),
        f=ZERO,
        u=lambda x, y: exp(10 * (x - 1)) + exp(10 * (y - 1)),
        grad_u=lambda x, y: (10 * exp(10 * (x - 1)), 10 * exp(10 * (y - 1))),
        interior_weight=1.0,
    )


_ALL = (_kan_paper(), _sine(), _helmholtz(), _variable_coefficient(), _convection_diffusion())
PROBLEMS = {problem.name: problem for problem in _ALL}
