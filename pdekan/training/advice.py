"""What to type next where a training did not converge, and why it may help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pdekan.cells.corners import corners
from pdekan.domains.box import Box
from pdekan.fields.jets import TIME
from pdekan.networks.cells import CellNetwork
from pdekan.solutions.solution import Solution
from pdekan.training.cells.training import refusal
from pdekan.training.estimate import COMPARISON
from pdekan.training.graded_coordinates import gradable, needed
from pdekan.training.points import DEFAULT_MEGABYTES
from pdekan.training.reasons import Reason

MORE = 10  # times the seconds that were used up
WITHIN = 30.0  # of the tolerance: a solution that may be good enough
MOST = 3  # pieces of advice


@dataclass(frozen=True)
class Advice:
    """Options of `pdekan solve`, and why they may help."""

    options: str
    reason: str


def advice(solution: Solution) -> tuple[Advice, ...]:
    """What may help a solution that is not converged, what is likeliest first."""
    if solution.status == "converged" or solution.problem is None:
        return ()
    if solution.status == "interrupted":
        return (Advice("--resume", "goes on where it was interrupted"),)
    if solution.status == "unreliable":
        return ()  # its reason says what is missing
    return tuple([*_of_the_problem(solution), *_of_the_training(solution)][:MOST])


def _of_the_problem(solution: Solution) -> Iterator[Advice]:
    """What the solution is like where a network finds it hard."""
    problem = solution.problem
    assert problem is not None
    options = problem.training
    local = isinstance(solution.network, CellNetwork) or bool(solution.network.architecture().get("corners"))
    if not local and refusal(problem) is None and (found := corners(problem.domain)):
        at = ", ".join(f"{value:g}" for value in found[0].point)
        yield Advice(
            "--set network.cells=adaptive", f"derivatives are infinite at the corner ({at}), for which cells have functions"
        )
    steep = not local and not options.adapt and gradable(problem) and needed(problem, solution.network) is not None
    if steep:
        yield Advice("--set training.adapt=true", "the solution is steep in places, which graded coordinates spread out")
    timed = TIME in problem.domain.coordinates and isinstance(problem.domain, Box)
    if steep and timed and options.slabs == 1:
        slabs = "--set training.adapt=true --set training.slabs=10"
        yield Advice(slabs, "a front that moves stands almost still in a slab of time")


def _of_the_training(solution: Solution) -> Iterator[Advice]:
    """More time, another start, or less to ask for."""
    assert solution.problem is not None
    estimates = (solution.estimate or {}).values()
    error = max((one.l2_relative for one in estimates), default=solution.relative_residual)
    if any(one.method != COMPARISON for one in estimates):  # then the residual has to be within the tolerance, too
        error = max(error, solution.relative_residual)
    options, sentence = solution.problem.training, solution.reason
    if Reason.MEMORY.sentence in sentence:
        memory = MORE * (options.memory or DEFAULT_MEGABYTES)
        yield Advice(f"--resume --memory {memory:g}", "a larger network needs more memory")
    elif Reason.STEPS.sentence in sentence and options.steps is not None:
        yield Advice(f"--resume --set training.steps={MORE * options.steps}", "the steps allowed were used up")
    elif solution.status == "budget":
        seconds = f"--resume --set training.seconds={MORE * options.seconds:g}"
        yield Advice(seconds, "the time was used up while the residual still fell")
    else:
        yield Advice(f"--seed {solution.seed + 1}", "training is not convex: another start may end lower")
    if error <= WITHIN * solution.tolerance:
        enough = float(f"{2.0 * error:.0e}")
        yield Advice(f"--tolerance {enough:g}", f"an error of {error:.0e} may be small enough")
