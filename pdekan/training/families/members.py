"""The members of a family that are solved, and all of them as one solution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pdekan.errors.estimate import Estimate, largest
from pdekan.errors.family_errors import FamilyErrors, Table
from pdekan.networks.family import FamilyNetwork, Ranges, at_node
from pdekan.networks.sparse_interpolation import Index, SparseInterpolation, neighbours
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.goal import Goal
from pdekan.training.slabs.marching import STATUSES, appended_histories, root_mean_square

METHOD = "members, and their differences from interpolation"
CARRIED = 0.1  # share of a surplus that counts for the next node in a direction: one alone may vanish by symmetry
INTERRUPTED = "interrupted"
STATED = ("status", "relative_residual", "seconds", "iterations")  # of every node in the summary


@dataclass
class Members:
    """Members by the indices of their nodes, in the order in which they were solved, each with its surpluses by unknown.

    refined: nodes whose neighbours are solved.
    """

    problem: Problem
    solved: dict[Index, Solution] = field(default_factory=dict)
    surpluses: dict[Index, dict[str, Estimate]] = field(default_factory=dict)
    refined: set[Index] = field(default_factory=set)

    @property
    def ranges(self) -> Ranges:
        """The intervals of the parameters."""
        return {name: (one.lower, one.upper) for name, one in self.problem.ranges.items()}

    def at(self, index: Index) -> dict[str, float]:
        """The values of the parameters at a node."""
        return at_node(index, self.ranges)

    def network(self) -> FamilyNetwork:
        """The polynomials through all members."""
        return FamilyNetwork([one.network for one in self.solved.values()], list(self.solved), self.ranges)

    def add(self, index: Index, one: Solution, table: Table) -> None:
        """Add a member, to the table of values too."""
        self.surpluses[index] = table.add(one.network, self.network() if self.solved else None, self.at(index))
        self.solved[index] = one

    def nearest(self, index: Index, smallest: bool = False) -> Solution | None:
        """The member whose node is nearest, relative to the ranges; smallest: among those with the fewest parameters."""
        if not self.solved:
            return None
        sizes = {one: self.solved[one].network.parameter_count for one in self.solved}
        among = [one for one, size in sizes.items() if not smallest or size == min(sizes.values())]
        nodes = SparseInterpolation((*among, index)).nodes
        return self.solved[among[int(np.argmin(((nodes[:-1] - nodes[-1]) ** 2).sum(1)))]]

    @property
    def active(self) -> list[Index]:
        """The nodes that are not refined."""
        return [index for index in self.solved if index not in self.refined]

    def size(self, index: Index) -> float:
        """The relative surplus that counts for a node: its own, or a share of those of the nodes before it."""
        lower = [tuple(k - (d == e) for e, k in enumerate(index)) for d in range(len(index)) if index[d]]
        return max([largest(self.surpluses[index]), *(CARRIED * largest(self.surpluses[one]) for one in lower)])

    @property
    def gap(self) -> float:
        """The sum of the surpluses that count, which next nodes will have about; infinite where a parameter has one node."""
        return sum(map(self.size, self.active)) if self.is_spanned else math.inf

    @property
    def is_spanned(self) -> bool:
        """Whether there are members beside the middle along every parameter."""
        return all(any(index[d] for index in self.solved) for d in range(len(self.problem.ranges)))

    @property
    def own_error(self) -> float:
        """The largest error of a member: its estimate or, where there is none, its residual times `ratio`."""
        own, ratio = self.solved.values(), self.ratio
        return max(ratio * one.relative_residual if one.estimate is None else largest(one.estimate) for one in own)

    @property
    def ratio(self) -> float:
        """The largest estimated error of a member in proportion to its residual; zero where none is known."""
        known = [(one.estimate, one.relative_residual) for one in self.solved.values()]
        return max((largest(own) / residual for own, residual in known if own is not None and residual > 0.0), default=0.0)

    def next(self) -> tuple[Index, list[Index]]:
        """The node with the largest surplus, and its neighbours, which are to be solved before it is refined."""
        while True:
            chosen = max(self.active, key=self.size)
            found = [one for one in neighbours(chosen, [*self.refined, chosen]) if one not in self.solved]
            if found:
                return chosen, found
            self.refined.add(chosen)

    def estimates(self) -> tuple[dict[str, dict[str, Estimate]] | None, str | None]:
        """By unknown the estimated errors of the worst member and the mean ones; or the reason why there are none."""
        known = [one.estimate for one in self.solved.values() if one.estimate is not None]
        if not known or not self.is_spanned:
            reason = next(iter(self.solved.values())).estimate_reason
            return None, reason or "there was no time for members along every parameter"
        between = [self.surpluses[index] for index in self.active]
        found = {}
        for name in self.problem.unknowns:
            own, gaps = [one[name] for one in known], [one[name] for one in between]
            found[name] = {"worst": _sum(own, gaps, max), "mean": _sum(own, gaps, root_mean_square)}
        return found, None


def joined(
    members: Members, reason: str, seconds: float, doubts: list[str], table: Table | None = None, estimate: bool = False
) -> Solution:
    """The family as one solution. table: of the members' values, from which errors are measured."""
    parts, problem, network = list(members.solved.values()), members.problem, members.network()
    errors = None if table is None or reason == INTERRUPTED else table.errors(network)
    estimates, unestimated = members.estimates() if estimate and reason != INTERRUPTED else (None, "not asked for")
    worst = max(parts, key=lambda one: (STATUSES.index(one.status), one.relative_residual))
    tolerance = Goal.of(problem, None).tolerance
    status, sentence = _status(members, reason, doubts, estimates, tolerance)
    return replace(
        parts[0],
        problem=problem,
        network=network.requires_grad_(False),
        status=status,
        reason=sentence,
        iterations=sum(one.iterations for one in parts),
        seconds=seconds,
        residual=root_mean_square([one.residual for one in parts]),
        condition_residual=root_mean_square([one.condition_residual for one in parts]),
        relative_residual=worst.relative_residual,
        tolerance=tolerance,
        stage=0,
        history=appended_histories([one.history for one in parts]),
        errors=None if errors is None else {name: one.all for name, one in errors.items()},
        estimate=None if estimates is None else {name: one["mean"] for name, one in estimates.items()},
        estimate_reason=unestimated,
        continuation=None,
        family=_summary(members, errors, estimates),
    )


def _status(
    members: Members, reason: str, doubts: list[str], estimates: Mapping[str, Mapping[str, Estimate]] | None, tolerance: float
) -> tuple[str, str]:
    """The status, with the reason in words: that of the worst member, or how the estimate compares with the tolerance."""
    said = f"{len(members.solved)} members; {reason}"
    worst = max(members.solved.values(), key=lambda one: (STATUSES.index(one.status), one.relative_residual))
    if reason == INTERRUPTED:
        return INTERRUPTED, said
    if doubts:
        return "unreliable", f"{'; '.join(doubts)}; {said}"
    if worst.status != "converged":
        return worst.status, f"{said}; the worst member: {worst.reason}"
    error, what = members.gap, "difference from interpolation"
    if estimates is not None:
        error, what = max(largest({"": one["worst"]}) for one in estimates.values()), "estimated error of the worst member"
    if math.isinf(error):
        return "budget" if "time" in reason else "stalled", f"{said}; there was no time for members along every parameter"
    within = "within" if error <= tolerance else "above"
    status = "converged" if error <= tolerance else "budget" if "time" in reason else "stalled"
    return status, f"{said}; the relative {what}, {error:.1e}, is {within} {tolerance:.0e}"


def _sum(own: list[Estimate], gaps: list[Estimate], of: Callable[[list[float]], float]) -> Estimate:
    """The members' own errors, and what interpolation may add."""

    def total(name: str) -> float:
        sizes = [getattr(one, name) for one in own]
        return float(of(sizes) + sum(getattr(one, name) for one in gaps))

    return Estimate(total("l2"), total("l2_relative"), total("h1_seminorm"), total("h1_seminorm_relative"), METHOD)


def _summary(
    members: Members, errors: Mapping[str, FamilyErrors] | None, estimates: Mapping[str, Mapping[str, Estimate]] | None
) -> dict[str, Any]:
    """The family as JSON: ranges, nodes, and of the errors and estimates those of the worst member and the mean ones."""
    nodes = []
    for index, one in members.solved.items():
        own = None if one.estimate is None else {name: asdict(part) for name, part in one.estimate.items()}
        nodes.append({"at": members.at(index), **{name: getattr(one, name) for name in STATED}, "estimate": own})
    return {
        "parameters": {name: list(ends) for name, ends in members.ranges.items()},
        "nodes": nodes,
        "errors": None if errors is None else {name: one.summary() for name, one in errors.items()},
        "estimate": None
        if estimates is None
        else {name: {kind: asdict(part) for kind, part in one.items()} for name, one in estimates.items()},
    }


def members_of(solution: Solution) -> dict[Index, Solution]:
    """The members that an earlier run has solved, by the indices of their nodes."""
    network, family = solution.network, solution.family
    if not isinstance(network, FamilyNetwork) or family is None:
        return {}
    empty = {name: column[:0] for name, column in solution.history.items()}
    found = {}
    for index, part, node in zip(network.interpolation.indices, network.parts, family["nodes"], strict=True):
        if node["status"] != INTERRUPTED:
            own = None if node["estimate"] is None else {name: Estimate(**one) for name, one in node["estimate"].items()}
            stated = {name: node[name] for name in STATED}
            found[index] = replace(solution, network=part, estimate=own, family=None, history=empty, **stated)
    return found


def mean_seconds(members: Members) -> float:
    """What a member has taken on average."""
    return float(np.mean([one.seconds for one in members.solved.values()]))
