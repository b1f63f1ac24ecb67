"""A family of problems: members at nodes in the parameters are solved one by one, and polynomials run between them.

The nodes are chosen by the surplus, the difference of a new member from the polynomial through those before it: of all nodes
whose neighbours are not all solved, the neighbours of the one with the largest surplus are next (Gerstner and Griebel,
Computing 71 (2003) 65-87). As Leja points maximise the distance from earlier nodes, the last surpluses are about the largest
errors between the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

from pdekan.ansatz.unknowns import build_ansatz, inner_network
from pdekan.errors.family_errors import Table
from pdekan.networks.kan import KAN
from pdekan.networks.sparse_interpolation import Index
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import is_linear
from pdekan.solutions.solution import Solution
from pdekan.training.families.members import INTERRUPTED, Members, joined, mean_seconds, members_of
from pdekan.training.goal import Goal
from pdekan.training.posedness.resonance import resonances
from pdekan.training.progress import Callback, Progress
from pdekan.training.setup import Setup

Solve = Callable[[Problem, None, Setup, Solution | None], Solution]
OUT_OF_TIME = "the time allowed was used up"


FIRST = 0.25  # the largest share of the seconds for a member
TARGET = 1e-7  # relative surplus at which no further member is needed, where the user names no tolerance
NOISE = 2.0  # surpluses below so many times the members' own errors say nothing


@dataclass
class FamilyTraining:
    """The training of a family. solve: for a single problem. resume: a solution whose members are taken as they are."""

    problem: Problem
    setup: Setup
    solve: Solve
    resume: Solution | None = None

    def solution(self) -> Solution:
        """Solve members until the polynomials between them meet the tolerance, or the time allowed is used up."""
        begun = 0.0 if self.resume is None else self.resume.seconds
        self.earlier = {} if self.resume is None else members_of(self.resume)
        self.clock = self.setup.clock(begun, self.problem.training.seconds)
        self.members, table = Members(self.problem), Table.of(self.problem)
        self.is_linear = is_linear(self.problem)  # all that is taken over of a network are then its inner functions
        doubts = list(resonances(self.problem)) if self.setup.estimate else []
        with self.clock.running():
            reason = self._solve_all([(0,) * len(self.problem.ranges)], table)
            while not (reason := reason or self._reached()):
                refined, waiting = self.members.next()
                reason = self._solve_all(waiting, table)
                if not reason:  # else its neighbours are not all solved
                    self.members.refined.add(refined)
        return joined(self.members, reason, self.clock.spent, doubts, table, self.setup.estimate)

    def _solve_all(self, waiting: list[Index], table: Table) -> str:
        """Solve the members of some nodes; why that ended early, or an empty text."""
        for index in waiting:
            late = self.members.solved and self.clock.spent + mean_seconds(self.members) > self.clock.budget
            if late and index not in self.earlier:
                return OUT_OF_TIME
            one = self.earlier.get(index) or self._member(index)
            if one.status != INTERRUPTED or not self.members.solved:
                self.members.add(index, one, table)
            if one.status == INTERRUPTED:
                return INTERRUPTED
        return ""

    def _member(self, index: Index) -> Solution:
        """A member, trained; its own error is estimated in the middle and at the ends of each range."""
        left = min(self.clock.budget - self.clock.spent, FIRST * self.problem.training.seconds)
        part = self.problem.member(**self.members.at(index))
        part = replace(part, training=replace(part.training, seconds=max(left, 1e-3)))
        callback = None if self.setup.callback is None else self._shown(self.setup.callback, index)
        estimate = self.setup.estimate and sum(index) <= 2 and max(index) == sum(index)
        target = 0.0 if estimate else self._sufficient()
        setup = replace(self.setup, callback=callback, estimate=estimate, target=target, measure=False)
        return self.solve(part, None, setup, self._start(part, index))

    def _sufficient(self) -> float:
        """The residual with which the error of a member is as small as the differences have to be; 0 where it is not known."""
        ratio = self.members.ratio if self.members.is_spanned else 0.0
        return min(self._target / ratio, 0.1 * Goal.of(self.problem, None).tolerance) if ratio > 0.0 else 0.0

    @property
    def _target(self) -> float:
        """The differences from interpolation at which no further member is needed."""
        tolerance = self.problem.training.tolerance
        return TARGET if tolerance is None else 0.3 * tolerance

    def _start(self, part: Problem, index: Index) -> Solution | None:
        """The nearest member that is solved, as the start of another one; None where its network cannot be taken over."""
        nearest = self.members.nearest(index, smallest=self.is_linear)
        inner = None if nearest is None else inner_network(nearest.network)
        if nearest is None or not isinstance(inner, KAN):
            return None
        empty = {name: column[:0] for name, column in nearest.history.items()}
        network = build_ansatz(part, deepcopy(inner).requires_grad_(True))
        return replace(nearest, network=network, iterations=0, seconds=0.0, history=empty, continuation=None)

    def _reached(self) -> str:
        """Why no further member is needed, or an empty text."""
        gap = self.members.gap
        if gap <= self._target:
            return "the differences from interpolation met the tolerance"
        if gap <= NOISE * self.members.own_error:
            return "the differences from interpolation are as small as the errors of the members"
        return ""

    def _shown(self, callback: Callback, index: Index) -> Callback:
        """A callback that learns of the progress of a member as that of the whole."""
        before = list(self.members.solved.values())
        steps = sum(one.iterations for one in before)

        def snapshot(progress: Progress) -> Solution:
            """The family so far as a solution."""
            if before:
                return joined(self.members, INTERRUPTED, self.clock.spent, [])
            first = Members(self.problem, {index: replace(progress.snapshot(), status=INTERRUPTED)})
            return joined(first, INTERRUPTED, 0.0, [])

        def called(progress: Progress) -> str | None:
            """The callback with the progress of the whole."""
            shown = replace(
                progress,
                stage=len(before) * progress.stages + progress.stage,
                stages=(len(before) + 1) * progress.stages,
                step=steps + progress.step,
                steps=steps + progress.steps,
                seconds=self.clock.spent,
                budget=self.clock.budget,
                snapshot=lambda: snapshot(progress),
            )
            return callback(shown)

        return called
