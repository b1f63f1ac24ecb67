"""Error estimates across slabs of time: richer solutions are marched beside the solution.

The richer solution of a slab starts from the end of the richer one before, so that the difference holds the errors of earlier
slabs as the equation carries them on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pdekan.ansatz.time_slabs import slab
from pdekan.errors.estimate import Estimate, relative_to_size
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.training.estimate import AMPLIFIED, COMPARISON, Comparison, EstimateRule, compared

RULE = EstimateRule()


def compared_slabs(
    problem: Problem,
    times: Sequence[float],
    networks: Sequence[Network],
    residuals: Sequence[float],
    seconds: float,
    rule: EstimateRule = RULE,
) -> Comparison | str:
    """The comparison of the solution in all slabs, or the reason why there is none.

    residuals: relative, by slab; seconds: of the training of all.
    """
    if any(one.is_exact and one.is_initial for one in problem.conditions):
        return "initial values are built into the networks of the slabs: the error is not estimated across them"
    count, parts, before = len(networks), list[Comparison](), None
    for k, network in enumerate(networks):
        share = replace(rule, seconds=rule.seconds / count)
        one = compared(slab(problem, times, k, before, 1.0), network, residuals[k], seconds / count, share)
        if isinstance(one, str):
            return f"slab {k + 1} of {count}: {one}"
        parts.append(one)
        before = one.richer
    reliable = all(one.reliable for one in parts)
    return Comparison(
        {name: _joined([one.estimates[name] for one in parts], reliable) for name in problem.unknowns},
        reliable,
        max(one.difference for one in parts),
        max(one.amplification for one in parts),
        max(one.residual for one in parts),
    )


def _joined(parts: Sequence[Estimate], reliable: bool) -> Estimate:
    """The norms over all slabs: squares add up, of the errors and of what they are relative to."""
    l2, h1 = math.hypot(*(one.l2 for one in parts)), math.hypot(*(one.h1_seminorm for one in parts))
    size = math.hypot(*(_size(one.l2, one.l2_relative) for one in parts))
    steepness = math.hypot(*(_size(one.h1_seminorm, one.h1_seminorm_relative) for one in parts))
    return Estimate(l2, relative_to_size(l2, size), h1, relative_to_size(h1, steepness), COMPARISON if reliable else AMPLIFIED)


def _size(error: float, relative: float) -> float:
    return error / relative if relative > 0.0 else 0.0
