"""The schedule of a training: which networks are trained one after the other.

Small networks are cheap and have few local minima. Each next one starts from the function of the last one and enlarges its
space: more nodes, higher degree, more intervals. Splines of the first layers are polynomials at first, one interval each: the
inner functions of a solution are often far simpler than its outer ones, and needless freedom in them adds local minima.

Not every solution has simple inner functions. Therefore wide networks come in between whose inner functions are plane waves
and stay fixed: their last layer is found by linear least squares, in a small part of the time that training would take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pdekan.ansatz.unknowns import has_ansatz, network_outputs
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import Nodes
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import is_linear, terms
from pdekan.training.reasons import Reason

DEGREE = 9
# Where the solver chooses the network: hidden nodes, degree and intervals of the inner splines, intervals of the outer ones.
# Tried in 2-D on sin πx sin πy², sin πx sin 4πy and exp(-10((x-.2)²+(y+.1)²)) cos 3xy + tanh 4(x-y).
LADDERS: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    1: ((3, 3, 1, 8), (4, 6, 1, 16), (4, 9, 2, 32), (6, 9, 4, 64), (8, 9, 8, 128), (10, 9, 16, 256)),
    2: ((6, 3, 1, 6), (10, 3, 1, 8), (10, 6, 1, 16), (16, 9, 1, 24), (16, 9, 2, 32), (24, 9, 2, 48), (28, 9, 4, 56)),
    3: ((8, 3, 1, 6), (14, 3, 1, 8), (14, 6, 1, 16), (20, 9, 1, 24), (28, 9, 2, 32), (30, 9, 2, 48)),
}
# Plane waves: places in the ladder, nodes, and intervals of the outer splines. n waves span all polynomials of degree n - 1. On
# 16 problems in 2-D, from minimal surfaces to solitons, residuals are far larger with fewer intervals than nodes, and no
# smaller with more; with 32 of both errors are 2e-8 to 1e-5, with 48 up to a hundred times less.
WAVES = {
    2: ((3, 32, 32), (5, 40, 40), (6, 48, 48), (7, 56, 56), (8, 64, 64), (9, 72, 72)),
    # n (n + 1) / 2 waves span the polynomials of degree n - 1, for which each needs about n coefficients. On a cube
    # exp(-xy) sin(2x + yz) + cos(3z - x²)/(1 + x + yz) has errors of 1.0e-7 and 7e-9; with 6 intervals 1.9e-7 and 9e-8.
    3: ((2, 90, 8), (3, 140, 10)),
}
# … and of equations that are linear, before all trained networks: nodes and intervals. Each takes less than the first trained
# network, and smooth solutions end here. The last come after a search, which takes longer than those before them.
FIRST_WAVES = {2: ((12, 12), (16, 16), (24, 24)), 3: ((36, 6), (64, 6))}
# In many dimensions: hidden nodes, degrees of inner and outer splines, intervals of both. Few nodes with fine inner splines
# represent sums of functions of one variable, more nodes with coarse ones other functions.
Many = tuple[int, tuple[int, int], tuple[int, int]]
MANY: tuple[Many, ...] = (
    (4, (3, 5), (1, 1)),
    (4, (9, 5), (8, 1)),
    (10, (3, 5), (1, 1)),
    (10, (6, 9), (1, 2)),
    (16, (6, 9), (2, 4)),
)
VERY_MANY: tuple[Many, ...] = ((1, (3, 5), (1, 1)), (4, (3, 5), (1, 1)), (7, (3, 5), (1, 2)))
VERY_MANY_DIMENSIONS = 20  # above it VERY_MANY, which was tried in 100 dimensions; MANY was in 5, 6 and 10
# Where the hidden nodes are given, but neither degree nor intervals: degree and intervals of the inner splines, intervals of
# the outer ones.
REQUESTED_NODES = ((3, 1, 8), (6, 1, 16), (9, 1, 32), (9, 2, 32))
# … and where all of them are products: degrees and intervals of both. A line behind a product is enough, and anything more gave
# local minima (tried on sin πx sin πy and sin πx sin πy²).
PRODUCT_NODES = (((6, 1), (2, 1)), ((9, 1), (8, 1)), ((9, 1), (24, 1)))


# … and where the degree alone is given, the intervals of both.
REQUESTED_INTERVALS = (4, 32)
# Where inner functions are searched for: dimensions, in more of which a step takes too long, and intervals of outer splines of
# degree 9 before those asked for. On sin πx sin πy² networks [2,5,1] end at 4e-7 and 2e-10 with them.
# Where the solver chooses the network, FOUND are those that follow a search that was successful.
SEARCHED, FINER, FOUND = (2, 3), (8, 16), 24


@dataclass(frozen=True)
class Stage:
    """One network to train, and how.

    kind: "kan", "mlp", or "given" for a network of the user's. hidden: nodes of each hidden layer, of which the last `products`
    multiply; of a given network the number of its parameters. waves: its inner functions are plane waves, and only the last
    layer is solved for. search: its inner functions are searched for among many (see `training.search`). finer: its splines are
    finer than those asked for, whose networks are compared with it. index, count: its place in a schedule, and how many stages
    that has. resample: whether it is trained on points that lie more densely where the residual is large. prolong: where given,
    training has ended for this reason, and the best network is only carried over to these sizes. start: the number of the
    restart, whose random numbers differ.
    """

    kind: str
    hidden: tuple[int, ...]
    degree: tuple[int, ...] = ()
    intervals: tuple[int, ...] = ()
    base: str = "none"
    products: tuple[int, ...] | None = None
    outputs: int = 1
    waves: bool = False
    search: bool = False
    finer: bool = False
    index: int = 0
    count: int = 1
    resample: bool = False
    prolong: Reason | None = None
    start: int = 0

    @property
    def final(self) -> bool:
        """Whether no larger network follows in the schedule."""
        return self.index == self.count - 1

    def widths(self, dimension: int) -> tuple[int, ...]:
        """[d, hidden…, outputs]."""
        return (dimension, *self.hidden, self.outputs)

    def parameters(self, dimension: int) -> int:
        """How many trainable numbers the network has."""
        if self.kind == "given":
            return self.hidden[0]
        widths = self.widths(dimension)
        if self.kind == "mlp":
            return sum((a + 1) * b for a, b in pairwise(widths))
        extra = 2 if self.base == "silu" else 0
        edges = (a * b for a, b in pairwise(widths))
        sizes = (n + k + extra for k, n in zip(self.degree, self.intervals, strict=True))
        return sum(count * size for count, size in zip(edges, sizes, strict=True))


def stages(problem: Problem) -> tuple[Stage, ...]:
    """The stages of the problem's network and training options, by default those of its dimension.

    Raises ProblemError for lists whose lengths do not fit together.
    """
    options, d, outputs = problem.network, problem.domain.dimension, network_outputs(problem)
    if is_open(problem):
        # waves solve for the last layer alone, which leaves parameters as they are; only Gauss-Newton solves for it
        waves = options.base == "none" and problem.training.optimizer == "gauss-newton" and not problem.parameters
        first, *others = _ladder(d, options.base, outputs, waves)
        # singular functions beside the waves need more points than these have; waves between data alone are anything
        quick = waves and d in FIRST_WAVES and problem.equations and not problem.singular and is_linear(problem)
        begun = [_waves(first, n, m) for n, m in FIRST_WAVES[d]] if quick else []
        if is_searchable(problem):
            found = [_with(replace(first, search=True), (3, DEGREE), (1, n)) for n in (FINER[0], FOUND)]
            return *begun[:-1], *found, *begun[-1:], *others
        return *begun, first, *others
    nodes = options.layers if options.layers is not None else (Nodes(10 if d <= VERY_MANY_DIMENSIONS else 4),)
    hidden, products = tuple(n.sum + n.product for n in nodes), tuple(n.product for n in nodes)
    if options.kind == "mlp":
        return (Stage("mlp", hidden, (), (), "none", None, outputs),)
    layers = len(hidden) + 1
    degree = _spread(options.degree if options.degree is not None else DEGREE, layers, "degree")
    first = Stage("kan", hidden, degree, (), options.base, products, outputs)
    if problem.training.refine is not None:
        return tuple(replace(first, intervals=(n,) * layers) for n in problem.training.refine)
    if is_searchable(problem):
        return _searched(first, options.degree, options.intervals)
    if options.intervals is not None:
        final = _spread(options.intervals, layers, "intervals")
        return tuple(replace(first, degree=k, intervals=n) for k, n in _ramp_to(degree, final))
    if options.degree is not None:
        return tuple(replace(first, intervals=(n,) * (layers - 1) + (m,)) for n, m in ((1, 8), (2, 16), REQUESTED_INTERVALS))
    if products == hidden:
        return tuple(_with(first, degrees, intervals) for degrees, intervals in PRODUCT_NODES)
    return tuple(_with(first, (k, DEGREE), (n, m)) for k, n, m in REQUESTED_NODES)


def is_open(problem: Problem) -> bool:
    """Whether the solver chooses the network, which then grows until the tolerance is met."""
    given = problem.network
    free = given.kind == "kan" and given.hidden is None and given.degree is None and given.intervals is None
    return free and problem.training.refine is None


def is_searchable(problem: Problem) -> bool:
    """Whether the inner functions of the first network are searched for: those of one hidden layer of sums.

    The residuals must be affine, with derivatives up to the second, and the network the unknown itself.
    """
    options, training = problem.network, problem.training
    nodes = options.layers or (Nodes(10),)
    plain = options.kind == "kan" and options.base == "none" and len(nodes) == 1 and not nodes[0].product
    alone = len(problem.unknowns) == 1 and bool(problem.equations) and not (problem.data or training.adapt or problem.narrow)
    usual = training.optimizer == "gauss-newton" and training.refine is None and problem.domain.dimension in SEARCHED
    if not (plain and alone and usual) or has_ansatz(problem) or problem.singular:
        return False
    return is_linear(problem) and not any(one.frame.higher for one in terms(problem, Sampling(2, 4, 0, 0)))


def _searched(first: Stage, degree: object, intervals: object) -> tuple[Stage, ...]:
    """The stages of a network whose inner functions are searched for, with outer functions as fine as the search's or finer.

    degree, intervals: as the user gave them; without both the outer functions grow from those of the search. Else they come
    last, beginning with polynomials inside.
    """
    if degree is None and intervals is None:
        grown = [_with(first, (k, DEGREE), (n, m)) for k, n, m in REQUESTED_NODES]
        return (replace(grown[0], search=True), *grown[1:])
    final = first.degree, _spread(intervals if intervals is not None else REQUESTED_INTERVALS, 2, "intervals")  # type: ignore[arg-type]
    finer = final[0][1] < DEGREE or final[1][1] < FINER[-1]
    fine = [replace(first, degree=(3, DEGREE), intervals=(1, n), finer=finer) for n in FINER]
    last = dict.fromkeys(((final[0], (1, final[1][1])), final))
    return (replace(fine[0], search=True), *fine[1:], *(replace(first, degree=k, intervals=n) for k, n in last))


def _ladder(dimension: int, base: str, outputs: int, waves: bool) -> tuple[Stage, ...]:
    """The default networks of a dimension, small to large; every further output has half as many nodes of its own.

    waves: whether plane waves, which outputs share, come in between.
    """
    if dimension in LADDERS:
        rungs: Sequence[Many] = [(nodes, (k, DEGREE), (n, m)) for nodes, k, n, m in LADDERS[dimension]]
    else:
        rungs = MANY if dimension <= VERY_MANY_DIMENSIONS else VERY_MANY
    plain = Stage("kan", (), (), (), base, None, outputs)
    ladder = [
        _with(replace(plain, hidden=(math.ceil(0.5 * (outputs + 1) * nodes),)), degree, intervals)
        for nodes, degree, intervals in rungs
    ]
    for place, nodes, intervals in WAVES.get(dimension, ()) if waves else ():
        ladder.insert(place, _waves(plain, nodes, intervals))
    return tuple(ladder)


def _waves(stage: Stage, nodes: int, intervals: int) -> Stage:
    """The stage with so many plane waves inside."""
    return replace(stage, hidden=(nodes,), degree=(1, DEGREE), intervals=(1, intervals), waves=True)


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
