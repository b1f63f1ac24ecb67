"""The plan of a training: which networks are trained one after the other, and on how many points.

Small networks are cheap and have few local minima; each next one takes the last one's function over and enlarges its space:
more nodes, higher degree, more intervals. Splines of the first layers are polynomials at first, one interval each: the inner
functions of a solution are often far simpler than its outer ones, and what they need not have only adds local minima.

Not every solution has simple inner functions. In between, wide networks are tried whose inner functions are plane waves, fixed:
their last layer is found by linear least squares, in a small part of the time that training one of their size would take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pdekan.ansatz.unknowns import network_outputs
from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import Nodes
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling

DEGREE = 9
# Where nobody says which network: hidden nodes, degree and intervals of the inner splines, intervals of the outer ones. Tried
# in 2-D on sin πx sin πy², sin πx sin 4πy and exp(-10((x-.2)²+(y+.1)²)) cos 3xy + tanh 4(x-y).
LADDERS: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    1: ((3, 3, 1, 8), (4, 6, 1, 16), (4, 9, 2, 32), (6, 9, 4, 64), (8, 9, 8, 128), (10, 9, 16, 256)),
    2: ((6, 3, 1, 6), (10, 3, 1, 8), (10, 6, 1, 16), (16, 9, 1, 24), (16, 9, 2, 32), (24, 9, 2, 48), (28, 9, 4, 56)),
    3: ((8, 3, 1, 6), (14, 3, 1, 8), (14, 6, 1, 16), (20, 9, 1, 24), (28, 9, 2, 32), (30, 9, 2, 48)),
}
# Plane waves: places on the ladder, nodes, and intervals of the outer splines. n waves span all polynomials of degree n - 1. On
# 16 problems in 2-D, from minimal surfaces to solitons, fewer intervals than nodes leave far more, and more of them no less;
# with 32 of both errors are 2e-8 to 1e-5, with 48 up to a hundred times less.
WAVES = {2: ((3, 32, 32), (5, 40, 40), (6, 48, 48), (7, 56, 56), (8, 64, 64), (9, 72, 72))}
# In many dimensions: hidden nodes, degrees of inner and outer splines, intervals of both. Few nodes with fine inner splines
# find what is a sum of functions of one variable; more nodes with coarse ones what is not. Tried in 5, 6, 10, 100 dimensions.
Many = tuple[int, tuple[int, int], tuple[int, int]]
MANY: tuple[Many, ...] = (
    (4, (3, 5), (1, 1)),
    (4, (9, 5), (8, 1)),
    (10, (3, 5), (1, 1)),
    (10, (6, 9), (1, 2)),
    (16, (6, 9), (2, 4)),
)
VERY_MANY: tuple[Many, ...] = ((1, (3, 5), (1, 1)), (4, (3, 5), (1, 1)), (7, (3, 5), (1, 2)))
VERY = 20  # dimensions above which there are very many
# Where the hidden nodes are given, but neither degree nor intervals.
RAMP = ((3, 1, 8), (6, 1, 16), (9, 1, 32), (9, 2, 32))
# … and where all of them are products: degrees and intervals of both. A line behind a product is enough, and anything more gave
# local minima (tried on sin πx sin πy and sin πx sin πy²).
PRODUCTS = (((6, 1), (2, 1)), ((9, 1), (8, 1)), ((9, 1), (24, 1)))
# Training points for each parameter: fewer let the network wiggle between the points (tried on Poisson's equation in 2-D).
POINTS_PER_PARAMETER = 5
# … and of plane waves: with 5 errors are the same in six problems of seven, with 3 four times larger across interfaces.
POINTS_PER_WAVE_PARAMETER = 3.5
# … and points an axis for each coefficient of an edge: with as many as coefficients a product node fits them all and is wrong
# in between (tried on sin πx sin πy and sin πx sin πy²).
POINTS_PER_COEFFICIENT = 1.5
LIMITS = {1: 100_000, 2: 250_000, 3: 100_000}
# Gauss points an axis in one cell, at most: with more of them they crowd at the faces.
ORDER = 16
# Megabytes that training may take where nobody says how many.
MEMORY = 2000.0


@dataclass(frozen=True)
class Stage:
    """One network to train. hidden: nodes of each hidden layer, of which the last `products` multiply. outputs: its last.

    waves: its inner functions are plane waves, and only the last layer is solved for.
    """

    kind: str
    hidden: tuple[int, ...]
    degree: tuple[int, ...]
    intervals: tuple[int, ...]
    base: str
    products: tuple[int, ...] | None = None
    outputs: int = 1
    waves: bool = False

    def widths(self, dimension: int) -> tuple[int, ...]:
        """[d, hidden…, outputs]."""
        return (dimension, *self.hidden, self.outputs)

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
    """The plan that the problem's [network] and [training] ask for, or the default of its dimension.

    Raises ProblemError for lists whose lengths do not fit together.
    """
    options, d, outputs = problem.network, problem.domain.dimension, network_outputs(problem)
    if is_open(problem):
        # the last layer alone leaves parameters as they are, and of the optimizers one solves for it
        waves = options.base == "none" and problem.training.optimizer == "gauss-newton" and not problem.parameters
        return _ladder(d, options.base, outputs, waves)
    nodes = options.layers if options.layers is not None else (Nodes(10 if d <= VERY else 4),)
    hidden, products = tuple(n.sum + n.product for n in nodes), tuple(n.product for n in nodes)
    if options.kind == "mlp":
        return (Stage("mlp", hidden, (), (), "none", None, outputs),)
    layers = len(hidden) + 1
    degree = _spread(options.degree if options.degree is not None else DEGREE, layers, "degree")
    first = Stage("kan", hidden, degree, (), options.base, products, outputs)
    if problem.training.refine is not None:
        return tuple(replace(first, intervals=(n,) * layers) for n in problem.training.refine)
    if options.intervals is not None:
        final = _spread(options.intervals, layers, "intervals")
        return tuple(replace(first, degree=k, intervals=n) for k, n in _ramp_to(degree, final))
    if options.degree is not None:
        return tuple(replace(first, intervals=(n,) * (layers - 1) + (m,)) for n, m in ((1, 8), (2, 16), (4, 32)))
    if products == hidden:
        return tuple(_with(first, degrees, intervals) for degrees, intervals in PRODUCTS)
    return tuple(_with(first, (k, DEGREE), (n, m)) for k, n, m in RAMP)


def is_open(problem: Problem) -> bool:
    """Whether the choice of the network is left to the solver, which then grows it until the tolerance is met."""
    given = problem.network
    free = given.kind == "kan" and given.hidden is None and given.degree is None and given.intervals is None
    return free and problem.training.refine is None


def _ladder(dimension: int, base: str, outputs: int, waves: bool) -> tuple[Stage, ...]:
    """The default networks of a dimension, small to large; every further output has half as many nodes of its own.

    waves: whether plane waves, which outputs share, come in between.
    """
    if dimension in LADDERS:
        rungs: Sequence[Many] = [(nodes, (k, DEGREE), (n, m)) for nodes, k, n, m in LADDERS[dimension]]
    else:
        rungs = MANY if dimension <= VERY else VERY_MANY
    plain = Stage("kan", (), (), (), base, None, outputs)
    ladder = [
        _with(replace(plain, hidden=(math.ceil(0.5 * (outputs + 1) * nodes),)), degree, intervals)
        for nodes, degree, intervals in rungs
    ]
    for place, nodes, intervals in WAVES.get(dimension, ()) if waves else ():
        wide = replace(plain, hidden=(nodes,), degree=(1, DEGREE), intervals=(1, intervals), waves=True)
        ladder.insert(place, wide)
    return tuple(ladder)


def _with(stage: Stage, degree: tuple[int, int], intervals: tuple[int, int]) -> Stage:
    """The stage with these inner and outer splines."""
    inner = len(stage.hidden)
    return replace(stage, degree=(degree[0],) * inner + degree[1:], intervals=(intervals[0],) * inner + intervals[1:])


def _ramp_to(degree: tuple[int, ...], final: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Degrees and intervals that lead to the ones asked for: few intervals in the inner layers first, and low degree.

    Where the degree leaves nothing to raise, intervals are halved down to two, the inner layers' to a quarter of them; tried
    on sin πx sin πy² with cubic splines of 5, 10 and 20 intervals and 5, 7 and 10 nodes.
    """
    inner = len(degree) - 1
    low = [k for k in (3, 6) if k < min(degree[:-1], default=0)]
    ramp = [
        ((k,) * inner + degree[-1:], (1,) * inner + (max(1, final[-1] // divisor),))
        for k, divisor in zip(low, (4, 2), strict=False)
    ]
    if max(final[:-1], default=1) == 1:
        return [*ramp, (degree, final)]
    if not low:
        halved = [final[-1] // 2**k for k in range(final[-1].bit_length() - 1)]
        ramp = [(degree, (*(max(1, min(m, n // 4)) for m in final[:-1]), n)) for n in reversed(halved)]
        return [*ramp, (degree, (*(max(1, m // 2) for m in final[:-1]), final[-1])), (degree, final)]
    return [*ramp, (degree, tuple(max(1, n // 2) for n in final)), (degree, final)]


def _spread(value: int | Sequence[int], layers: int, what: str) -> tuple[int, ...]:
    values = (value,) * layers if isinstance(value, int) else tuple(value)
    if len(values) != layers:
        raise ProblemError(f"network.{what} has {len(values)} entries; give one number, or one for each of {layers} layers")
    return values


def training_points(problem: Problem, stage: Stage, seed: int) -> Sampling:
    """Points inside, cells aligned to the first layer's knots; on every face as dense along an axis."""
    d = problem.domain.dimension
    wanted = problem.training.points
    if wanted is None:  # a point has a row for every equation
        each = POINTS_PER_WAVE_PARAMETER if stage.waves else POINTS_PER_PARAMETER
        wanted = max(200, math.ceil(each * stage.parameters(d) / max(1, len(problem.equations))))
    if d > TENSOR_DIMENSIONS:
        return Sampling(1, 1, wanted, seed)
    axis = math.ceil((min(wanted, LIMITS[d]) / problem.domain.filling) ** (1.0 / d))
    if stage.degree and problem.training.points is None:  # a product node ties an axis' coefficients to the points along it
        axis = max(axis, math.ceil(POINTS_PER_COEFFICIENT * (stage.degree[0] + stage.intervals[0])))
    cells = stage.intervals[0] if stage.intervals else 4
    cells *= math.ceil(axis / (cells * ORDER))
    cells = max(1, min(cells, axis // 2))
    return Sampling(cells, math.ceil(axis / cells), 0, seed)


def unseen_points(training: Sampling) -> Sampling:
    """Points that training has not seen, about as many: other cells, another seed."""
    axis = training.cells * training.order
    cells = training.cells + 1
    order = math.ceil(1.1 * axis / cells)
    # of two odd orders both would have a point in the middle of an odd number of cells
    return replace(training, cells=cells, order=max(2, order + order % 2), seed=training.seed + 104729)


def block(parameters: int, stage: Stage | None, dimension: int, megabytes: float | None) -> int:
    """How many rows of the Jacobian a step of Gauss-Newton takes at a time, so that it keeps within its memory.

    stage: None for a network of the user's. Raises ProblemError where that is hardly any.
    """
    width, allowed, other = parameters + 1, megabytes or MEMORY, _beside(stage, dimension)
    rows = int((allowed * 1e6 - other) / (8 * COPIES * width)) - width
    if rows < width // 4:
        least = math.ceil((_of_rows(width // 4 + 1, width) + other) / 1e6)
        raise ProblemError(
            f"a network of {parameters} parameters needs {least} MB or more to be trained by Gauss-Newton, {allowed:g} MB are "
            "allowed; allow more (--memory), take a smaller network, or optimizer matrix-free"
        )
    return rows


# Arrays of the size of the Jacobian's rows, and the triangle they are joined to, that a step holds at its peak: fitted to what
# tests/benchmarks/cost.py measures. POINTS are evaluated at a time for the judgement.
COPIES, POINTS = 2.75, 8192


def _of_rows(rows: int, width: int) -> float:
    """Bytes for so many rows of so many numbers at a time."""
    return 8 * COPIES * (rows + width) * width


def _beside(stage: Stage | None, dimension: int) -> float:
    """Bytes beside those: local bases, what is moved to or from the points, and activations, with their derivatives."""
    if stage is None or stage.kind != "kan":
        return 35e6
    numbers = 0
    for (a, b), k, n in zip(pairwise(stage.widths(dimension)), stage.degree, stage.intervals, strict=True):
        numbers += 3 * a * (k + 1) + min(a * b * (k + 1), 3 * a * (k + n)) + 3 * a * b
    return 8.0 * POINTS * numbers


def memory(problem: Problem, stage: Stage) -> int:
    """About how many bytes a step of Gauss-Newton takes, beside what the program itself does."""
    sampling, d = training_points(problem, stage, 0), problem.domain.dimension
    axis, equations = sampling.cells * sampling.order, len(problem.equations)
    faces = problem.face_count
    measured = sum(len(values) for one in problem.data for values in one.values.values())
    if d > TENSOR_DIMENSIONS:
        share = -(-sampling.count // max(1, faces))
        rows = equations * 2 ** math.ceil(math.log2(sampling.count)) + faces * 2 ** math.ceil(math.log2(share))
    else:
        rows = math.ceil(equations * problem.domain.filling * axis**d) + faces * axis ** max(0, d - 1)
    rows += measured
    parameters = stage.parameters(d)
    try:
        at_a_time = min(rows, block(parameters, stage, d, problem.training.memory))
    except ProblemError:  # it takes more than is allowed
        at_a_time = rows
    return int(_of_rows(at_a_time, parameters + 1) + _beside(stage, d))
