"""The plan of a training: which networks are trained one after the other, and on how many points.

Coarse networks are cheap and have few local minima; each next one takes the last one's function over and refines it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.objective import Sampling
from pdekan.problems import NetworkOptions, Problem, ProblemError

DEGREE = 9
# Hidden nodes by dimension; in many dimensions fewer, so that the first layer's parameters stay below PARAMETERS.
HIDDEN = {1: 4, 2: 10, 3: 14}
PARAMETERS = 1500
# Training points for each parameter: fewer let the network wiggle between the points (tried on Poisson's equation in 2-D).
POINTS_PER_PARAMETER = 5
LIMITS = {1: 100_000, 2: 250_000, 3: 100_000}


@dataclass(frozen=True)
class Stage:
    """One network to train. growth: taken only while the tolerance is not met."""

    kind: str
    hidden: tuple[int, ...]
    degree: tuple[int, ...]
    intervals: tuple[int, ...]
    base: str
    growth: bool = False

    def widths(self, dimension: int) -> tuple[int, ...]:
        """[d, hidden…, 1]."""
        return (dimension, *self.hidden, 1)

    def parameters(self, dimension: int) -> int:
        """How many trainable numbers the network has."""
        widths = self.widths(dimension)
        if self.kind == "mlp":
            return sum((a + 1) * b for a, b in pairwise(widths))
        extra = 2 if self.base == "silu" else 0
        edges = (a * b for a, b in pairwise(widths))
        sizes = (n + k + extra for k, n in zip(self.degree, self.intervals, strict=True))
        return sum(count * size for count, size in zip(edges, sizes, strict=True))


def stages(problem: Problem) -> tuple[Stage, ...]:
    """The plan that the problem's [network] and [training] ask for, or the default of its dimension."""
    options, d = problem.network, problem.domain.dimension
    hidden = tuple(options.hidden) if options.hidden is not None else (default_hidden(d),)
    layers = len(hidden) + 1
    degree = _spread(
        options.degree if options.degree is not None else (DEGREE if d <= TENSOR_DIMENSIONS else 7), layers, "degree"
    )
    if options.kind == "mlp":
        return (Stage("mlp", hidden, (), (), "none"),)
    first = Stage("kan", hidden, degree, (), options.base)
    if problem.training.refine is not None:
        return tuple(replace(first, intervals=(n,) * layers) for n in problem.training.refine)
    if options.intervals is not None:
        final = _spread(options.intervals, layers, "intervals")
        halved = tuple(n // 2 for n in final)
        coarse = [halved] if all(n % 2 == 0 and n >= 8 for n in final) else []
        return tuple(replace(first, intervals=n) for n in [*coarse, final])
    return _default(first, options, d)


def _default(first: Stage, options: NetworkOptions, d: int) -> tuple[Stage, ...]:
    """Inner splines of 4, then 8 intervals, outer ones of twice as many; then, while it is needed, more nodes and intervals.

    The second stage is refined anyway where it is cheap, in one and two dimensions.
    """
    inner = len(first.hidden)

    def at(n: int, hidden: tuple[int, ...] = first.hidden, growth: bool = False) -> Stage:
        return replace(first, hidden=hidden, intervals=(n,) * inner + (2 * n,), growth=growth)

    if d > TENSOR_DIMENSIONS:
        return (at(2), at(4, growth=True)) if d > 20 else (at(4), at(8, growth=True))
    plan = [at(4), at(8, growth=d == TENSOR_DIMENSIONS)]
    if options.hidden is None:
        wide = tuple(2 * n for n in first.hidden)
        plan += [at(8, wide, growth=True), at(16, wide, growth=True)]
    else:
        plan.append(at(16, growth=True))
    return tuple(plan)


def default_hidden(dimension: int) -> int:
    """Hidden nodes where nobody has said how many."""
    if dimension in HIDDEN:
        return HIDDEN[dimension]
    return max(2, min(10, PARAMETERS // (dimension * (4 + 7))))


def _spread(value: int | Sequence[int], layers: int, what: str) -> tuple[int, ...]:
    values = (value,) * layers if isinstance(value, int) else tuple(value)
    if len(values) != layers:
        raise ProblemError(f"network.{what} has {len(values)} entries; give one number, or one for each of {layers} layers")
    return values


def training_points(problem: Problem, stage: Stage, seed: int) -> Sampling:
    """Points inside, cells aligned to the first layer's knots; on every face as dense along an axis."""
    d = problem.domain.dimension
    wanted = problem.training.points or max(200, POINTS_PER_PARAMETER * stage.parameters(d))
    if d > TENSOR_DIMENSIONS:
        return Sampling(1, 1, wanted, seed)
    axis = math.ceil(min(wanted, LIMITS[d]) ** (1.0 / d))
    cells = stage.intervals[0] if stage.intervals else 4
    cells = max(1, min(cells, axis // 2))
    return Sampling(cells, math.ceil(axis / cells), 0, seed)


def unseen_points(training: Sampling) -> Sampling:
    """Points that training has not seen, about as many: other cells, another seed."""
    axis = training.cells * training.order
    cells = training.cells + 1
    order = math.ceil(1.1 * axis / cells)
    # of two odd orders both would have a point in the middle of an odd number of cells
    return Sampling(cells, max(2, order + order % 2), training.count, training.seed + 104729)


def memory(problem: Problem, stage: Stage) -> int:
    """About how many bytes a step of Gauss-Newton needs: the Jacobian's rows, and the six arrays of their size around them."""
    sampling, d = training_points(problem, stage, 0), problem.domain.dimension
    axis = sampling.cells * sampling.order
    inside, faces = axis**d, 2 * d * axis ** max(0, d - 1)
    if d > TENSOR_DIMENSIONS:
        inside = faces = 2 ** math.ceil(math.log2(sampling.count))
    return int(8 * 7 * (inside + faces) * stage.parameters(d))
