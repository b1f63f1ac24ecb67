"""Problems of the benchmarks that are not in the library."""

from __future__ import annotations

import pdekan as pk
from pdekan.problem_files.loader import load_problem
from pdekan.problems.problem import Problem

LAYER = "gaussian_and_layer"


def gaussian_and_layer() -> Problem:
    """Poisson's equation, its solution neither a product nor a sum of functions of one variable: a bump and a steep layer."""

    def exact(x: pk.Jet, y: pk.Jet) -> pk.Jet:
        bump = pk.exp(-10 * ((x - 0.2) ** 2 + (y + 0.1) ** 2)) * pk.cos(3 * x * y)
        return bump + pk.tanh(4 * (x - y))

    return Problem(
        domain=pk.box(x=(-1, 1), y=(-1, 1)),
        equation=lambda u: -pk.laplacian(u),
        source=pk.EXACT,
        conditions=(pk.dirichlet(pk.EXACT),),
        exact=exact,
        name=LAYER,
    )


def target(name: str) -> Problem:
    """A problem of the library, or one of this file."""
    return gaussian_and_layer() if name == LAYER else load_problem(name)
