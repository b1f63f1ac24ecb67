"""Pruning: the smallest network that solves a problem about as well as a trained one does.

    sparsify -> take the least important nodes away -> train again -> keep it, where the error stays within bounds -> …

and then the same with single edges. Sparsified is a network on the way to the next trial alone: what is kept was trained
without a penalty. Sources: arXiv:2404.19756, section 2.5.1; arXiv:2408.10205, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import inner_network, parameter_values, regions, replace_inner_network
from pdekan.networks.importance import Importance, importance, layer_traces
from pdekan.networks.kan import KAN
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.pruning.sparsity import sparsified
from pdekan.solutions.solution import Solution
from pdekan.training.history import History
from pdekan.training.result import compared, measured, with_errors
from pdekan.training.retraining import Retrained, Retraining
from pdekan.training.standard_errors import standard_errors
from pdekan.training.threads import threads

# One digit: with fewer nodes the same splines resolve somewhat less.
FACTOR, SECONDS = 10.0, 60.0
# What is tried at first: the least important nodes or edges with at most this part of all scores.
NEGLIGIBLE = 0.1
REASONS = {
    "": "nothing more can go",
    "budget": "the time allowed was used up",
    "interrupted": "interrupted",
}

# layer of edges, input, output
Place = tuple[int, int, int]


@dataclass(frozen=True, order=True)
class Candidate:
    """Edges that may go together, with their score."""

    score: float
    places: tuple[Place, ...]


@dataclass(frozen=True)
class PruningProgress:
    """What a watcher sees after every step. trying: in words; relative_residual: of the network that is being tried."""

    seconds: float
    budget: float
    hidden: tuple[int, ...]
    edges: int
    trying: str
    relative_residual: float


# called after every step; a reason, such as "interrupted", stops the pruning
PruningCallback = Callable[[PruningProgress], str | None]


@dataclass(frozen=True)
class Removal:
    """A step that was kept: what went, "2 nodes" or "1 edge", and the network that was left."""

    what: str
    hidden: tuple[int, ...]
    edges: int
    parameters: int
    relative_residual: float


@dataclass(frozen=True)
class Pruned:
    """A solution before and after. bound: on the relative residual of every step; reason: why it ended, in a sentence."""

    before: Solution
    after: Solution
    steps: tuple[Removal, ...]
    bound: float
    reason: str
    interrupted: bool


def prune(
    solution: Solution,
    *,
    factor: float = FACTOR,
    tolerance: float | None = None,
    seconds: float = SECONDS,
    watch: PruningCallback | None = None,
) -> Pruned:
    """Take nodes and edges away from a KAN while its relative residual stays within factor times that of the solution.

    tolerance: a relative residual that is good enough in any case. Judged on points that training has not seen. What is left is
    trained on until it stalls or the seconds are used up. Raises ProblemError for what cannot be pruned, see `check`, and for
    options out of range.
    """
    problem = check(solution)
    if not factor >= 1.0:
        raise ProblemError(f"factor {factor:g}: how much the residual may grow is at least 1")
    for name, value in (("tolerance", tolerance), ("seconds", seconds)):
        if value is not None and not value > 0.0:
            raise ProblemError(f"{name} {value:g}: it must be above 0")
    with threads(1):
        return _Search(problem, solution, factor, tolerance or 0.0, seconds, watch).pruned()


def check(solution: Solution) -> Problem:
    """The problem of a solution that can be pruned. Raises ProblemError for others, and says which can."""
    network = inner_network(solution.network)
    allowed = "what can be pruned is a KAN trained for all of time at once, without interfaces"
    if not isinstance(network, KAN):
        raise ProblemError(f"the network is a {type(network).__name__}; {allowed}")
    if solution.problem is None:
        raise ProblemError("the problem was stated in Python and is not in the file; call pdekan.prune where it was solved")
    if len(regions(solution.problem)) > 1:
        raise ProblemError(f"the network has outputs for every region between interfaces; {allowed}")
    return solution.problem


class _Search:
    """One pruning: the best network so far, and how it came about."""

    def __init__(
        self,
        problem: Problem,
        solution: Solution,
        factor: float,
        tolerance: float,
        seconds: float,
        watch: PruningCallback | None,
    ) -> None:
        self.problem, self.solution, self.watch = problem, solution, watch
        self.retraining = Retraining(problem, solution.network, seconds, self._watched)
        self.best = self.retraining.validated(deepcopy(solution.network))
        self.bound = max(factor * self.best.relative, tolerance)
        self.sparse: KAN | None = None  # the best network, sparsified
        self.trained = False  # until it stalls
        self.steps: list[Removal] = []
        self.history = History(problem, solution.history)
        self.trying = "judging"

    def pruned(self) -> Pruned:
        """Nodes first, then edges."""
        with self.retraining.clock.running():
            self._reduce(_nodes, "node")
            self._reduce(_edges, "edge")
        stopped = self.retraining.stopped
        reason = REASONS.get(stopped, stopped)
        interrupted = stopped not in ("", "budget")
        return Pruned(self.solution, self._finished(reason), tuple(self.steps), self.bound, reason, interrupted)

    def _reduce(self, candidates: Callable[[KAN, Importance], list[Candidate]], what: str) -> None:
        """Take candidates away, many at a time while that goes well, until not one of them can go from what is left.

        What was kept was trained no further than the bound, where it may be stuck: it is trained on before the end is believed.
        """
        most = edges(self.best.kan)
        while not self.retraining.stopped:
            if self.sparse is None:
                self.trying = "sparsifying"
                self.sparse = cast("KAN", inner_network(sparsified(self.retraining, self.best.network)))
            sparse = self.sparse
            ranked = candidates(sparse, importance(sparse, self.retraining.points))
            gone = self._first_that_can_go(sparse, ranked, min(most, _negligible(ranked)), what)
            if not gone and not self._trained_on():
                return
            most = gone or 1

    def _first_that_can_go(self, sparse: KAN, ranked: list[Candidate], size: int, what: str) -> int:
        """Try the least important ones together, then fewer of them, then one after the other; how many went, 0 for none."""
        for first, count in _batches(len(ranked), size):
            if self.retraining.stopped:
                return 0
            self.trying = f"without {_counted(count, what)}"
            places = {place for candidate in ranked[first : first + count] for place in candidate.places}
            try:
                left = without(sparse, places, self.retraining.points)
            except ValueError:  # a hidden layer would have no node
                continue
            # many together are given up early: half of them may do
            trial = self.retraining.trained(
                replace_inner_network(self.best.network, left.network), self.bound, patient=count == 1
            )
            if trial.relative <= self.bound:
                self._keep(trial, _counted(count, what))
                return count
        return 0

    def _trained_on(self) -> bool:
        """Train the best network until it stalls; whether that halves its residual."""
        if self.retraining.stopped or self.trained:
            return False
        self.trying, self.trained, before = "training what is left", True, self.best
        trial = self.retraining.trained(before.network, 0.0, patient=True)
        if trial.relative < before.relative:
            self.best, self.sparse = trial, None
            self._write_down()
        return self.best.relative < 0.5 * before.relative

    def _keep(self, trial: Retrained, what: str) -> None:
        kan = trial.kan
        self.best, self.sparse, self.trained = trial, None, False
        self.steps.append(Removal(what, kan.widths[1:-1], edges(kan), trial.network.parameter_count, trial.relative))
        self._write_down()

    def _write_down(self) -> None:
        """A row of the history."""
        best, before = self.best, self.solution
        with self.retraining.clock.paused():
            quick = self.history.quick_errors(best.network)
        steps, spent = before.iterations + self.retraining.steps, before.seconds + self.retraining.clock.spent
        self.history.append(steps, spent, before.stage, best.loss, best.residuals, quick, parameter_values(best.network))

    def _watched(self, relative: float, spent: float) -> str | None:
        if self.watch is None:
            return None
        kan = self.best.kan
        budget = self.retraining.clock.budget
        return self.watch(PruningProgress(spent, budget, kan.widths[1:-1], edges(kan), self.trying, relative))

    def _finished(self, reason: str) -> Solution:
        """The solution that the best network makes."""
        best, before, problem = self.best, self.solution, self.problem
        network = best.network.requires_grad_(False)
        errors, reference = measured(problem, network)
        uncertainty = {}
        if problem.parameters and problem.data:
            uncertainty = standard_errors(self.retraining.objective(network))
        converged, comparison = best.relative <= before.tolerance, compared(best.relative, before.tolerance)
        return replace(
            before,
            network=network,
            status="converged" if converged else "stalled" if before.status == "converged" else before.status,
            reason=f"pruned from {before.parameters} to {network.parameter_count} parameters: {reason}; the {comparison}",
            iterations=before.iterations + self.retraining.steps,
            seconds=before.seconds + self.retraining.clock.spent,
            residual=best.residuals.equation,
            condition_residual=best.residuals.conditions,
            data_residual=best.residuals.data if problem.data else None,
            relative_residual=best.relative,
            history=self.history.arrays(),
            errors=dict(errors) or None,
            found=with_errors(problem, network, uncertainty),
            reference=reference,
        )


def edges(network: KAN) -> int:
    """How many edges have parameters."""
    return sum(layer.edges for layer in network.spline_layers)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _negligible(ranked: list[Candidate]) -> int:
    """How many of the least important candidates have at most NEGLIGIBLE of all scores together, at least one."""
    scores = torch.tensor([candidate.score for candidate in ranked])
    return max(1, int((scores.cumsum(0) <= NEGLIGIBLE * scores.sum()).sum()))


def _batches(count: int, size: int) -> Iterator[tuple[int, int]]:
    """What of a ranking is tried: the first `size` together, half of them, …, the first, and then every other one alone."""
    while size > 0:
        yield 0, size
        size = (size + 1) // 2 if size > 1 else 0
    yield from ((k, 1) for k in range(1, count))


def _nodes(network: KAN, scores: Importance) -> list[Candidate]:
    """Every hidden node, as the edges that leave it, the least important one first."""
    found = []
    for k, layer in enumerate(network.spline_layers[1:], start=1):
        for i, row in enumerate(layer.kept.tolist()):
            found.append(Candidate(float(scores.nodes[k][i]), tuple((k, i, o) for o, kept in enumerate(row) if kept)))
    return sorted(found)


def _edges(network: KAN, scores: Importance) -> list[Candidate]:
    """Every edge, the least important one first."""
    found = []
    for k, layer in enumerate(network.spline_layers):
        found += [Candidate(float(scores.edges[k][i, o]), ((k, i, o),)) for i, o in layer.kept.nonzero().tolist()]
    return sorted(found)


@dataclass(frozen=True)
class Removed:
    """What is left of a network; nodes: which of the nodes of every layer, inputs first, are still there."""

    network: KAN
    nodes: tuple[tuple[int, ...], ...]


@torch.no_grad()
def without(network: KAN, edges: Iterable[Place], points: Tensor) -> Removed:
    """Take edges away: each is replaced by its mean over points ``(n, d)``, which another edge into the same node takes in.

    A hidden node that nothing enters is constant and one that nothing leaves is idle: they go too, with their edges. Raises
    ValueError where that leaves no node in a hidden layer, and KeyError for edges that the network does not have.
    """
    layers, traces = network.spline_layers, layer_traces(network, points)
    kept = [layer.kept.clone() for layer in layers]
    for k, i, o in edges:
        if not bool(kept[k][i, o]):
            raise KeyError((k, i, o))
        kept[k][i, o] = False
    nodes = _settled(kept)
    if not all(nodes):
        raise ValueError("no node is left in a hidden layer; a network needs one in each")
    widths = [len(one) for one in nodes]
    places = [torch.tensor(one, device=points.device) for one in nodes]
    remaining = [mask[places[k]][:, places[k + 1]] for k, mask in enumerate(kept)]
    products = [sum(o >= layer.sums for o in nodes[k + 1]) for k, layer in enumerate(layers[:-1])]
    pruned = [[(i, o) for i, o in (~mask).nonzero().tolist()] for mask in remaining]
    smaller = network.resized(widths, network.degree, network.intervals, products, pruned)
    for k, (old, new) in enumerate(zip(layers, smaller.spline_layers, strict=True)):
        lost = old.kept & ~kept[k]
        mean, sums = traces[k].phi[0].mean(0), old.sums
        values = {name: old.dense(name).clone() for name, _ in old.named_parameters()}
        heirs = kept[k].int().argmax(0)  # the first edge that is left into every node
        columns = torch.arange(old.outputs, device=points.device)
        factor = torch.where(lost, mean, 1.0).prod(0)
        shift = torch.where(lost, mean, 0.0).sum(0)
        factor[:sums], shift[sums:] = 1.0, 0.0
        if old.base == "silu":
            values["base_weight"][heirs, columns] *= factor
            shift = shift / values["spline_weight"][heirs, columns]
        coefficients = values["coefficients"]
        coefficients[heirs, columns] = coefficients[heirs, columns] * factor[:, None] + shift[:, None]  # B-splines sum to one
        for name, value in values.items():
            new.set_dense(name, value[places[k]][:, places[k + 1]])
    return Removed(smaller, nodes)


def _settled(kept: list[Tensor]) -> tuple[tuple[int, ...], ...]:
    """Take away the edges of hidden nodes that nothing enters or leaves, in place; the nodes that are left in every layer."""
    before = -1
    while (count := sum(int(mask.sum()) for mask in kept)) != before:
        before = count
        for entering, leaving in pairwise(kept):
            idle = ~(entering.any(0) & leaving.any(1))
            entering[:, idle] = False
            leaving[idle] = False
    hidden = [tuple(mask.any(0).nonzero()[:, 0].tolist()) for mask in kept[:-1]]
    return (tuple(range(kept[0].shape[0])), *hidden, tuple(range(kept[-1].shape[1])))
