"""Time marching: slabs of time solved one after the other, the end of one being the start of the next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pdekan.ansatz.time_slabs import breaks, slab
from pdekan.ansatz.unknowns import build_ansatz, inner_network
from pdekan.fields.jets import TIME
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Validation
from pdekan.solutions.solution import Solution
from pdekan.training.estimate import Comparison
from pdekan.training.goal import Goal
from pdekan.training.points import training_points, validation_points
from pdekan.training.progress import Callback, Progress
from pdekan.training.reasons import Reason
from pdekan.training.result import End, compared, measured
from pdekan.training.schedule import stages
from pdekan.training.setup import Setup
from pdekan.training.slabs.continuation import goes_on, plain, restored
from pdekan.training.slabs.estimate import compared_slabs
from pdekan.training.threads import threads
from pdekan.training.trainer import Trainer

# From best to worst: the status of a solution is that of its worst slab.
STATUSES = ("converged", "unreliable", "budget", "stalled", "interrupted")
# Of an equal share of the seconds: what a slab has where those before it took all, as their first steps may.
LEAST_SHARE = 1e-3
# A slab starts from the network of the one before only if so many of its steps fit into the slab's seconds.
LEAST_STEPS = 5
SOLVED = "every slab of the run to resume was solved; start a new one, with more seconds or other options"


def march(problem: Problem, setup: Setup, resume: Solution | None) -> Solution:
    """Solve slab after slab, each in its share of the seconds; see `pdekan.solve`."""
    times = breaks(problem)
    column, count = problem.domain.coordinates.index(TIME), problem.training.slabs
    solved, begun = ([], None) if resume is None else _resumed(problem, times, resume, setup.device)
    networks = [one.network for one in solved]
    spent, first = 0.0, len(solved)
    for k in range(first, count):
        seconds = seconds_of_slab(problem.training.seconds, spent, count - first, k - first)
        part = slab(problem, times, k, networks[-1] if networks else None, seconds)
        before = EarlierSlabs(problem, times, column, tuple(networks), tuple(solved))
        callback = None if setup.callback is None else before.shown(setup.callback, k)
        start = extrapolated(part, solved[-1]) if solved else None
        if start is not None:  # which is the only one
            part = replace(part, training=replace(part.training, starts=1))
        if begun is not None:
            start, begun = replace(begun, problem=part), None
        solution = Trainer(part, None, replace(setup, callback=callback, estimate=False), start).solution()
        solved.append(solution)
        networks.append(solution.network)
        spent += solution.seconds
        if solution.status == "interrupted":
            break
    whole = EarlierSlabs(problem, times, column, tuple(networks[:-1]), tuple(solved[:-1])).joined(solved[-1], measure=True)
    if not setup.estimate or whole.status == "interrupted":
        return whole
    with threads(setup.cores):
        residuals = [one.relative_residual for one in solved]
        comparison = compared_slabs(problem, times, networks, residuals, whole.seconds)
    return _estimated(whole, comparison)


def _estimated(whole: Solution, comparison: Comparison | str) -> Solution:
    """A solution with its estimate, by which its status is judged."""
    if isinstance(comparison, str):
        return replace(whole, estimate_reason=comparison)
    whole = replace(whole, estimate=comparison.estimates, estimate_reason=None)
    if whole.status == "unreliable":
        return whole
    reason = Reason.BUDGET if whole.status == "budget" else Reason.STALLED
    end = End(reason, whole.reason.split("; ")[0], whole.tolerance, comparison)
    relative = whole.relative_residual
    return replace(whole, status=end.status(relative), reason=end.sentence(relative, ""))


def seconds_of_slab(total: float, spent: float, count: int, k: int, most: float = 2.0, kept: float = 0.5) -> float:
    """What slab k of so many may take of the total seconds, when those before it have spent some.

    most, kept: in equal shares of the seconds, what a slab may take, and what is kept for each later one. Errors of the first
    slab grow in all others, so that more time for it pays (Allen-Cahn's equation).
    """
    share = total / count
    return max(min(most * share, total - spent - kept * share * (count - k - 1)), LEAST_SHARE * share)


def extrapolated(part: Problem, before: Solution) -> Solution | None:
    """The solution of the slab before, moved to the next one as its initial guess.

    None for networks that cannot be moved, for plane waves, for which small networks are a better start, and for networks so
    large that too few of their steps fit into the seconds of the slab.
    """
    network = deepcopy(inner_network(before.network))
    if not isinstance(network, (KAN, MLP)) or _is_of_waves(part, network) or _is_slow(part, network, before):
        return None
    network.lower.copy_(torch.tensor(part.domain.lower))
    network.upper.copy_(torch.tensor(part.domain.upper))
    empty = {name: values[:0] for name, values in before.history.items()}
    ansatz = build_ansatz(part, network)
    return replace(
        before, domain=part.domain, network=ansatz, iterations=0, seconds=0.0, history=empty, continuation=None
    )  # fmt: skip


def _is_of_waves(part: Problem, network: KAN | MLP) -> bool:
    """Whether a network has the sizes of a stage of plane waves, in the coordinates of the problem."""
    if not isinstance(network, KAN) or network.grading is not None:
        return False
    sizes = network.widths[1:-1], network.degree, network.intervals
    return any(stage.waves and (stage.hidden, stage.degree, stage.intervals) == sizes for stage in stages(part))


def _is_slow(part: Problem, network: KAN | MLP, before: Solution) -> bool:
    """Whether steps like the last one of the slab before are too long for the next one.

    In graded coordinates a slab begins with small networks in any case.
    """
    seconds = before.history["seconds"]
    if len(seconds) < 2 or (isinstance(network, KAN) and network.grading is not None):
        return False
    return LEAST_STEPS * float(seconds[-1] - seconds[-2]) > part.training.seconds


def _resumed(problem: Problem, times: Sequence[float], resume: Solution, device: str) -> tuple[list[Solution], Solution | None]:
    """The slabs that an earlier run finished, and the one that goes on.

    That is the one which was interrupted, else the first one that a limit ended: those behind it start from its end, and are
    solved again.
    """
    networks = _networks(resume, times)
    slabs = restored(resume, problem, times, networks)
    if slabs is None:
        networks = networks[: resume.stage + 1]
        if len(networks) == len(times) - 1:
            raise ProblemError(SOLVED)
        return _validated(problem, times, networks, resume, device), None
    interrupted = slabs[-1].status == "interrupted"
    first = len(slabs) - 1 if interrupted else next((k for k, one in enumerate(slabs) if goes_on(one)), None)
    if first is None:
        raise ProblemError(SOLVED)
    return slabs[:first], slabs[first]


def _networks(resume: Solution, times: Sequence[float]) -> list[Network]:
    """The networks of an earlier run's slabs. Raises ProblemError where these are others."""
    network = resume.network
    if not isinstance(network, PiecewiseInTime) or list(network.breaks) != list(times[1 : len(network.parts)]):
        raise ProblemError("the run to resume was not made with the same slabs of time; start a new one")
    return network.parts


def _validated(
    problem: Problem, times: Sequence[float], networks: Sequence[Network], resume: Solution, device: str
) -> list[Solution]:
    """The slabs of an earlier run of which only networks are known, with their residuals in this problem.

    The first one has the steps, seconds and history of all.
    """
    slabs, tolerance = list[Solution](), Goal.of(problem, None).tolerance
    for k, network in enumerate(networks):
        part = slab(problem, times, k, networks[k - 1] if k else None, 1.0)
        points = validation_points(training_points(part, stages(part)[-1], part.training.seed))
        found = Validation.of(part, points, torch.device(device)).residuals(network)
        one = replace(
            resume, domain=part.domain, problem=part, network=network, tolerance=tolerance, continuation=None,
            status="converged" if found.relative <= tolerance else "budget",
            reason=f"solved before; the {compared(found.relative, tolerance)}",
            residual=found.equation, condition_residual=found.conditions, relative_residual=found.relative,
        )  # fmt: skip
        empty = {name: column[:0] for name, column in resume.history.items()}
        slabs.append(replace(one, iterations=0, seconds=0.0, history=empty) if k else one)
    return slabs


@dataclass(frozen=True)
class EarlierSlabs:
    """The slabs before one that is being solved."""

    problem: Problem
    times: Sequence[float]
    column: int
    networks: tuple[Network, ...]
    solved: tuple[Solution, ...]

    def shown(self, callback: Callback, k: int) -> Callback:
        """A callback that learns of the progress of slab k as that of the whole."""

        def called(progress: Progress) -> str | None:
            """Tell of the progress with the slabs before added."""
            earlier = sum(one.seconds for one in self.solved)
            shown = replace(
                progress,
                stage=k * progress.stages + progress.stage,
                stages=self.problem.training.slabs * progress.stages,
                step=sum(one.iterations for one in self.solved) + progress.step,
                steps=self.problem.training.slabs * progress.steps,
                seconds=earlier + progress.seconds,
                budget=earlier + self.problem.training.seconds,
                snapshot=lambda: self.joined(progress.snapshot(), measure=False),
            )
            return callback(shown)

        return called

    def joined(self, last: Solution, measure: bool) -> Solution:
        """All slabs as one solution."""
        parts = [*self.solved, last]
        networks = [*self.networks, last.network]
        network = PiecewiseInTime(networks, self.times[1 : len(networks)], self.column)
        unsolved = last.status == "interrupted"
        k, worst = max(enumerate(parts), key=lambda pair: (STATUSES.index(pair[1].status), pair[1].relative_residual))
        errors, reference = measured(self.problem, network) if measure and not unsolved else ({}, None)
        return replace(
            last,
            domain=self.problem.domain,
            problem=self.problem,
            network=network.requires_grad_(False),
            status=worst.status,
            reason=f"slab {k + 1} of {self.problem.training.slabs}: {worst.reason}",
            iterations=sum(part.iterations for part in parts),
            seconds=sum(part.seconds for part in parts),
            residual=root_mean_square([part.residual for part in parts]),
            condition_residual=root_mean_square([part.condition_residual for part in parts]),
            relative_residual=max(part.relative_residual for part in parts),
            stage=len(networks) - 1 - unsolved,
            history=appended_histories([part.history for part in parts]),
            errors=errors or None,
            reference=reference,
            estimate_reason="not asked for",
            continuation=plain(parts),
        )


def root_mean_square(sizes: Sequence[float]) -> float:
    """The root of the mean square; 0 of none."""
    return math.sqrt(sum(size**2 for size in sizes) / max(1, len(sizes)))


def appended_histories(histories: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """Histories one after the other: steps, seconds and stages go on."""
    columns: dict[str, list[NDArray[np.float64]]] = {name: [] for name in histories[0]}
    last = dict.fromkeys(("step", "seconds", "stage"), 0.0)
    for history in histories:
        for name, values in history.items():
            columns[name].append(values + last.get(name, 0.0))
        if len(history["step"]):
            last = {name: float(columns[name][-1][-1]) + (name == "stage") for name in last}
    return {name: np.concatenate(parts) for name, parts in columns.items()}
