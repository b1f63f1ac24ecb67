"""The search for inner functions: many small networks at once, of which the bad ones are dropped early.

Small networks have many local minima. Where the residual is affine in the network's output, the outer functions follow from the
inner ones by linear least squares, and a step takes a millisecond a network when many are computed together. The search trains
starts of several kinds with outer functions that are finer than needed, so that the inner ones are judged and not the outer
ones, and drops most of them after a few steps (successive halving: Jamieson and Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network, to_unit_box
from pdekan.networks.batch import AffineRows, KANBatch, coefficients
from pdekan.networks.kan import KAN
from pdekan.optimizers.many import ManyGaussNewton, Solved
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.sizes import TINY, sizes_at
from pdekan.residuals.terms import Term, terms
from pdekan.training.points import POINTS_PER_PARAMETER, own_points
from pdekan.training.schedule import DEGREE, Stage
from pdekan.training.starts.inner_starts import spread, starts

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """Trial steps for a share of all starts, the best of the round before, with so many intervals of the outer splines."""

    share: float
    steps: int
    intervals: int


@dataclass(frozen=True)
class Search:
    """What a search does.

    widths: of the networks that are searched for; wider ones get nodes beside those that were found. enough: a loss, relative
    to that of zero, at which a network is taken and wider ones are not tried: with needless nodes the outer functions
    become large and cancel. starts: at most, fewer where the first round of a width would take more than `work`
    multiplications, but at least `fewest`; networks of the stage's own sizes are left out where they would take more than
    `most`. wide: how many of the stage's own width, from plane waves, where it is above `widths`. waves: nodes and
    intervals of the plane waves whose solution starts are read off. hopeless: a loss, relative to that of zero, above which
    a round is the last one; needed: for a network to be returned. numbers: entries of Jacobians in memory at once. own:
    rounds with the stage's own splines, see `in_own_splines`.
    """

    widths: tuple[int, ...] = (2, 4, 6)
    enough: float = 1e-8
    starts: int = 256
    fewest: int = 16
    wide: int = 2
    work: float = 2e9
    most: float = 5e10
    waves: tuple[int, int] = (12, 12)
    numbers: int = 2**22
    hopeless: float = math.inf
    needed: float = math.inf
    rounds: tuple[Round, ...] = (Round(1.0, 10, 4), Round(0.25, 15, 4), Round(0.08, 30, 8))
    own: tuple[Round, Round] = (Round(1.0, 12, 0), Round(0.2, 40, 0))


# Before a network that grows: what takes a third of a second, and finds sums of two functions only.
BRIEF = Search(
    widths=(2,),
    starts=96,
    wide=0,
    hopeless=1e-2,
    needed=1e-6,
    rounds=(Round(1.0, 8, 4), Round(0.2, 12, 4), Round(0.06, 20, 8)),
)


@dataclass(frozen=True)
class InnerProblems:
    """The rows of a problem for networks of one shape, as `ManyGaussNewton` wants them."""

    shape: KANBatch
    rows: list[AffineRows]
    dimension: int

    @classmethod
    def of(cls, problem: Problem, stage: Stage, like: KAN, fitted: list[Term] | None = None) -> InnerProblems:
        """On the training points of a stage, for networks of its sizes on the box of another one.

        The residuals must be affine, and a network its own ansatz. fitted: the terms, by default those of the problem.
        """
        fitted = fitted or terms(problem, own_points(problem, stage, problem.training.seed), like.device)
        kan = like.resized((like.inputs, *stage.hidden, 1), stage.degree, stage.intervals, (0,), ((), ()))
        sizes = sizes_at(problem, fitted, kan, trained=False)
        objective = Objective(problem, kan, fitted, problem.training.weights, sizes=sizes)
        rows = []
        for k, term in enumerate(fitted):
            residual, slope = objective.at_zero(k)
            row = torch.arange(len(residual), device=residual.device).repeat(term.sides)
            rows.append(AffineRows.of(kan, term.points, slope, row, residual))
        none = residual.new_zeros(0, rows[0].basis.value.shape[1], *stage.hidden)
        return cls(KANBatch.of(none, stage.degree, stage.intervals), rows, like.inputs)

    @property
    def residual(self) -> Tensor:
        return torch.cat([one.residual for one in self.rows])

    @property
    def columns(self) -> int:
        """The number of coefficients of a network."""
        return self.shape.linear + self.shape.inner.shape[1] * self.shape.inner.shape[2]

    def batch(self, a: Tensor, c: Tensor | None = None) -> KANBatch:
        """The networks with these inner and outer coefficients."""
        outer = a.new_zeros(len(a), *self.shape.outer.shape[1:])
        return replace(self.shape, inner=a, outer=outer if c is None else c.reshape(outer.shape))

    def normalised(self, a: Tensor) -> Tensor:
        return self.batch(a).normalised(self.rows, self.dimension).inner

    def linear(self, a: Tensor) -> Tensor:
        return self.batch(a).linear_rows(self.rows)

    def inner(self, a: Tensor, c: Tensor) -> Tensor:
        return self.batch(a, c).inner_rows(self.rows)


class InnerSearch:
    """The search for the inner functions of a stage with one hidden layer and polynomials inside.

    like: a network with the box that the result shall have. expired: whether the time allowed has passed.
    """

    def __init__(
        self,
        problem: Problem,
        stage: Stage,
        like: KAN,
        generator: torch.Generator,
        expired: Callable[[], bool] = lambda: False,
        options: Search = Search(),
    ) -> None:
        self.problem, self.stage, self.like, self.generator = problem, stage, like, generator
        self.expired, self.options = expired, options

    @torch.no_grad()
    def network(self) -> KAN | None:
        """The best network that was found, in the sizes of the stage; None where its loss is not what is needed."""
        options, own = self.options, self.stage.hidden[0]
        found: list[tuple[float, KAN]] = []
        if options.wide and own > max(options.widths) and self._is_affordable(options.wide, options.rounds[-1].steps // 2):
            found.append(self._of_waves(own))
        position, solution = read(self.problem, self.stage, self.by_waves(*options.waves), self.like)
        for width in sorted({min(width, own) for width in options.widths}):
            if found and (found[-1][0] <= options.enough or self.expired()):
                break
            found.append(self._of_width(width, position, solution))
        loss, network = found[-1] if found[-1][0] <= options.enough else min(found, key=lambda one: one[0])
        if loss > options.needed:
            return None
        return network.widened(self.stage.hidden, self.generator).refined(self.stage.degree, self.stage.intervals)

    @torch.no_grad()
    def in_own_splines(self, finer: Network) -> KAN | None:
        """The best network with the stage's own splines, from starts of all kinds; some are read off a finer network.

        Where splines are coarse, other inner functions are better than those of the solution. None where it takes too long.
        """
        first, last = self.options.own
        if not self._is_affordable(self.options.fewest, first.steps):
            return None
        problem = InnerProblems.of(self.problem, self.stage, self.like)
        count = self._count(problem, first.steps)
        a = starts_near(self.problem, self.stage, self.like, finer, count, self.generator)
        found = self._minimised(problem, a, first.steps)
        found = self._minimised(problem, found.a[: max(1, round(last.share * count))], last.steps)
        return self._best(problem, found)[1]

    def _is_affordable(self, count: int, steps: int) -> bool:
        """Whether so many networks of the stage's sizes can be trained for so many steps."""
        parameters = self.stage.parameters(self.like.inputs)
        return 2.0 * count * steps * POINTS_PER_PARAMETER * parameters**3 <= self.options.most

    def _count(self, problem: InnerProblems, steps: int) -> int:
        """How many starts the work allowed is enough for."""
        work = 2.0 * steps * len(problem.residual) * problem.columns**2
        return round(min(self.options.starts, max(self.options.fewest, self.options.work / work)))

    def _of_waves(self, width: int) -> tuple[float, KAN]:
        """The least loss of networks with many hidden nodes, from plane waves, and the network."""
        a = coefficients(spread(self.options.wide, self.like.inputs, width, self.generator), self.stage.degree[0])
        problem = self._problem(width, self.options.rounds[-1])
        return self._best(problem, self._minimised(problem, a.to(self.like.lower), self.options.rounds[-1].steps // 2))

    def _of_width(self, width: int, position: Tensor, solution: Jet) -> tuple[float, KAN]:
        """The least loss of networks with so many hidden nodes, relative to that of zero, and the network."""
        rounds = self.options.rounds
        problem = self._problem(width, rounds[0])
        count = self._count(problem, rounds[0].steps)
        a = coefficients(starts(count, width, solution, position, self.generator), self.stage.degree[0]).to(position)
        for k, one in enumerate(rounds):
            if k > 0 and one.intervals != rounds[k - 1].intervals:
                problem = self._problem(width, one)
            found = self._minimised(problem, a[: max(2, math.ceil(one.share * count))], one.steps)
            a = found.a
            if found.loss[0] > self.options.hopeless * problem.residual.square().sum():
                break
        return self._best(problem, found)

    def _best(self, problem: InnerProblems, found: Solved) -> tuple[float, KAN]:
        """The loss of the first network, relative to that of zero, and the network."""
        loss = float(found.loss[0] / problem.residual.square().sum().clamp_min(TINY))
        network = problem.batch(found.a, found.c).network(0, self.like)
        LOG.info("search: %s leaves a relative loss of %.1e, after %d others", list(network.widths), loss, len(found.loss) - 1)
        return loss, network

    def _problem(self, width: int, one: Round) -> InnerProblems:
        sizes = {"hidden": (width,), "intervals": (1, one.intervals), "search": False}
        return InnerProblems.of(self.problem, replace(self.stage, **sizes), self.like)  # type: ignore[arg-type]

    def _minimised(self, problem: InnerProblems, a: Tensor, steps: int) -> Solved:
        return minimised(problem, a, steps, self.options.numbers, self.expired, ManyGaussNewton())

    @torch.no_grad()
    def by_waves(self, nodes: int, intervals: int) -> KAN:
        """A solution with plane waves inside."""
        stage = replace(self.stage, hidden=(nodes,), degree=(1, DEGREE), intervals=(1, intervals), waves=True)
        waves = self.like.resized((self.like.inputs, nodes, 1), stage.degree, stage.intervals, (0,), ((), ()))
        waves.initialise(self.generator)
        problem = InnerProblems.of(self.problem, stage, self.like)
        a = waves.spline_layers[0].dense("coefficients").transpose(1, 2).reshape(1, -1, nodes)
        solved = ManyGaussNewton(ridge=1e-12).minimise(problem, a, 0)
        return problem.batch(solved.a, solved.c).network(0, self.like)


def minimised(
    problem: InnerProblems,
    a: Tensor,
    steps: int,
    numbers: int,
    expired: Callable[[], bool],
    method: ManyGaussNewton,
) -> Solved:
    """The networks after so many steps, the best first, some of them at a time to bound the memory; once it is late, fewer."""
    each = max(1, numbers // (len(problem.residual) * problem.columns))
    parts: list[Solved] = []
    for part in a.split(each):
        if not parts or not expired():
            parts.append(method.minimise(problem, part, steps, expired))
    return Solved.joined(parts).best()


def read(problem: Problem, stage: Stage, network: Network, box: KAN) -> tuple[Tensor, Jet]:
    """Points of [-1, 1]^d, the box of a KAN, and another network's value and derivatives in these coordinates there."""
    points = torch.as_tensor(own_points(problem, stage, 0).inside(problem.domain).points).to(box.lower)
    frame = Frame(problem.domain.coordinates, Derivatives.DIAGONAL)
    u, half = network.jet(points, frame)[0], 0.5 * (box.upper - box.lower)
    assert u.gradient is not None
    assert u.second is not None
    scaled = replace(u, gradient=u.gradient * half, second=u.second * half**2)
    return to_unit_box(points, frame, box.lower, box.upper).value, scaled


def starts_near(problem: Problem, stage: Stage, like: KAN, finer: Network, count: int, generator: torch.Generator) -> Tensor:
    """Inner coefficients of starts of all kinds, half of them plane waves; some are read off the finer network."""
    position, solution = read(problem, stage, finer, like)
    width = stage.hidden[0]
    kinds = starts(count - count // 2, width, solution, position, generator)
    a = torch.cat([spread(count // 2, like.inputs, width, generator), kinds])
    polynomials = coefficients(a, stage.degree[0]).to(position)
    return KANBatch.of(polynomials, stage.degree, (1, stage.intervals[1])).refined(stage.degree, stage.intervals).inner
