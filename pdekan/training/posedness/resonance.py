"""Resonances of a family: values of its parameters at which the equation has no solution, or many.

G(μ), by how much a residual may be amplified (`estimate.amplification`), has a pole there: 1/G falls to zero like |μ - μ₀|. It
is looked for along lines through the middle of all ranges, before any member is solved.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pdekan.problems.problem import Problem
from pdekan.training.amplification import amplification

SAMPLES = {1: 33, 2: 13}  # along a line, by the dimension of the domain
HIGHER = 3.0  # G at a sample next to a pole, relative to the median
POLE = 1e3  # … and at the pole, once it is found to PRECISION of the range, relative to the median
PRECISION = 1e-6


def resonances(problem: Problem) -> Iterator[str]:
    """Sentences on resonances in the ranges, a parameter at a time; none for nonlinear problems, and above two dimensions."""
    for name, one in problem.ranges.items():
        fixed = {other: two.middle for other, two in problem.ranges.items() if other != name}

        def smallness(value: float, name: str = name, fixed: dict[str, float] = fixed) -> float | None:
            found = amplification(problem.member(**fixed, **{name: value}))
            return None if found is None else 1.0 / found

        if smallness(one.middle) is None:
            return
        from scipy.optimize import minimize_scalar  # a tenth of a second, for families only

        places = np.linspace(one.lower, one.upper, SAMPLES[problem.domain.dimension])
        sizes = np.array([smallness(float(place)) for place in places], dtype=float)
        usual = float(np.median(sizes))
        for k in _lowest(sizes, usual / HIGHER):
            ends = places[max(0, k - 1)], places[min(len(places) - 1, k + 1)]
            least = minimize_scalar(
                smallness, bounds=ends, method="bounded", options={"xatol": PRECISION * (one.upper - one.lower)}
            )
            if least.fun < usual / POLE:
                near = "" if not fixed else " with " + ", ".join(f"{other} = {value:g}" for other, value in fixed.items())
                yield (
                    f"the family has a resonance at {name} = {least.x:.5g}{near}: there the equation has no solution, or many, "
                    "and next to it solutions grow without bound; split the range"
                )


def _lowest(sizes: np.ndarray, level: float) -> list[int]:
    """The local minima of samples below a level."""
    padded = np.concatenate([[np.inf], sizes, [np.inf]])
    return [k for k in range(len(sizes)) if sizes[k] <= level and sizes[k] <= padded[k] and sizes[k] <= padded[k + 2]]
