"""The library: families of functions of one variable for the edges of a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import sympy
from sympy import Expr

from pdekan.domains.quadrature import Array

# start values of the constants of a family on the interval [lower, upper]: an array for each
Starts = Callable[[float, float], Sequence[Array]]

MAX_POWER = 4


@dataclass(frozen=True)
class Family:
    """All combinations a_1 g_1(x; θ) + … + a_m g_m(x; θ) of a few functions that share constants θ.

    columns: the functions of x and θ, as formulas. starts: start values for each of θ. cost: the complexity of a member; of two
    that fit, the one of lower cost is taken.
    """

    name: str
    columns: Callable[..., tuple[Expr, ...]]
    starts: Starts
    cost: float

    def grid(self, lower: float, upper: float) -> Array:
        """The grid of start values of all constants ``(g, len(θ))``."""
        axes = self.starts(lower, upper)
        return np.array(list(product(*axes))) if axes else np.zeros((1, 0))


def symbol(name: str, function: Callable[[Any], Expr], cost: float = 3.0) -> Family:
    """The family a·g(b x + c) of a function g of SymPy expressions; a constant may be added to its members."""
    return Family(name, lambda x, b, c: (function(b * x + c),), _slopes_and_centres, cost)


def _slopes(lower: float, upper: float, largest: float = 80.0, count: int = 24) -> Array:
    """Slopes b of b x, of both signs: changes over the interval from 0.3 to `largest`."""
    positive = np.geomspace(0.3, largest, count) / (upper - lower)
    return np.concatenate([-positive[::-1], positive])


def _frequencies(lower: float, upper: float) -> Array:
    """Angular frequencies, from a tenth of a wave to 25 waves over the interval."""
    return np.arange(0.6, 160.0, 0.4) / (upper - lower)


def _slopes_and_centres(lower: float, upper: float) -> Sequence[Array]:
    slopes = np.geomspace(0.5, 300.0, 30) / (upper - lower)
    return slopes, np.linspace(lower - (upper - lower), upper + (upper - lower), 61)


def _offsets(lower: float, upper: float) -> tuple[Array, Array]:
    """Constants c so that x - c > 0, and so that c - x > 0, on the interval."""
    beyond = (upper - lower) * np.concatenate([[1e-9], np.geomspace(1e-3, 30.0, 40)])
    return lower - beyond, upper + beyond


def _powers(lower: float, upper: float) -> Array:
    return np.array([-4.0, -3.0, -2.5, -2.0, -1.5, -1.0, -2 / 3, -0.5, -1 / 3, 1 / 3, 0.5, 2 / 3, 1.5, 2.5])


def _monomial(k: int) -> Family:
    return Family(f"x**{k}" if k else "constant", lambda x: (x**k,), lambda a, b: (), 0.2 * k)


FAMILIES: tuple[Family, ...] = (
    *(_monomial(k) for k in range(MAX_POWER + 1)),
    Family("polynomial", lambda x: tuple(x**k for k in range(MAX_POWER + 1)), lambda a, b: (), 1.0),
    Family("sin", lambda x, b: (sympy.sin(b * x),), lambda a, b: (_frequencies(a, b),), 1.5),
    Family("cos", lambda x, b: (sympy.cos(b * x),), lambda a, b: (_frequencies(a, b),), 1.5),
    Family("sine", lambda x, b: (sympy.sin(b * x), sympy.cos(b * x)), lambda a, b: (_frequencies(a, b),), 2.0),
    Family("exp", lambda x, b: (sympy.exp(b * x),), lambda a, b: (_slopes(a, b),), 2.0),
    Family("sinh", lambda x, b: (sympy.sinh(b * x), sympy.cosh(b * x)), lambda a, b: (_slopes(a, b)[24:],), 2.5),
    Family("abs", lambda x, c: (sympy.Abs(x - c),), lambda a, b: (np.linspace(a, b, 65)[1:-1],), 2.5),
    Family("log", lambda x, c: (sympy.log(x - c),), lambda a, b: (_offsets(a, b)[0],), 3.0),
    Family("log", lambda x, c: (sympy.log(c - x),), lambda a, b: (_offsets(a, b)[1],), 3.2),
    Family("power", lambda x, c, p: ((x - c) ** p,), lambda a, b: (_offsets(a, b)[0], _powers(a, b)), 3.0),
    Family("power", lambda x, c, p: ((c - x) ** p,), lambda a, b: (_offsets(a, b)[1], _powers(a, b)), 3.2),
    Family(
        "chirp",
        lambda x, b, c: (sympy.sin(b * x**2 + c * x), sympy.cos(b * x**2 + c * x)),
        lambda a, b: (_slopes(a, b, 40.0, 30) / max(abs(a), abs(b)), np.concatenate([[0.0], _slopes(a, b, 40.0, 20)])),
        3.5,
    ),
    Family("tanh", lambda x, b, c: (sympy.tanh(b * (x - c)),), _slopes_and_centres, 3.0),
    Family("gaussian", lambda x, b, c: (sympy.exp(-((b * (x - c)) ** 2)),), _slopes_and_centres, 3.0),
    Family("erf", lambda x, b, c: (sympy.erf(b * (x - c)),), _slopes_and_centres, 3.0),
    Family("atan", lambda x, b, c: (sympy.atan(b * (x - c)),), _slopes_and_centres, 3.0),
    Family(
        "polynomial × exp",
        lambda x, b: tuple(x**k * sympy.exp(b * x) for k in range(3)),
        lambda a, b: (_slopes(a, b, 30.0, 40),),
        4.0,
    ),
    Family(
        "polynomial × sine",
        lambda x, b: tuple(x**k * f(b * x) for k in range(3) for f in (sympy.sin, sympy.cos)),
        lambda a, b: (_frequencies(a, b)[:150],),
        4.5,
    ),
    Family("line + exp", lambda x, b: (1 + 0 * x, x, sympy.exp(b * x)), lambda a, b: (_slopes(a, b, 1000.0, 60),), 3.0),
    Family(
        "line + sine",
        lambda x, b: (1 + 0 * x, x, sympy.sin(b * x), sympy.cos(b * x)),
        lambda a, b: (_frequencies(a, b),),
        3.0,
    ),
    Family(
        "exp × sine",
        lambda x, a, b: (sympy.exp(a * x) * sympy.sin(b * x), sympy.exp(a * x) * sympy.cos(b * x)),
        lambda a, b: (_slopes(a, b, 30.0, 12), _frequencies(a, b)[:100]),
        5.0,
    ),
)
