"""The solution that a training ends with: its status, its errors, its parameters with standard errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pdekan.ansatz.unknowns import parameter_values
from pdekan.errors import norms
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.networks.base import Network
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.solutions import reference_files
from pdekan.solutions.environment import environment
from pdekan.solutions.outputs import Output, outputs
from pdekan.solutions.solution import Solution
from pdekan.solutions.solved import Found
from pdekan.training.estimate import Comparison
from pdekan.training.posedness.uniqueness import UNDETERMINED, cause_of_amplification, missing_conditions
from pdekan.training.reasons import Reason
from pdekan.training.state import Candidate, State

SHARE, LEAST_SECONDS = 0.1, 1.0  # of the seconds of a training, for the measurement of its errors
# The factor between the difference from a richer space and the tolerance above which a residual within the tolerance is not
# believed.
CONTRADICTION = 10.0
LOG = logging.getLogger(__name__)
OUT_OF_BUDGET = (Reason.BUDGET, Reason.TOO_SLOW, Reason.STEPS, Reason.MEMORY)


@dataclass(frozen=True)
class End:
    """How a training ended: its reason, the words of the callback that interrupted it, and its tolerance.

    comparison: with a richer space, None where there is none; unestimated: why. doubts: sentences on what makes the problem
    ill-posed, or its parameters undetermined. other: the relative difference of another solution that was found.
    """

    reason: Reason
    words: str
    tolerance: float
    comparison: Comparison | None = None
    unestimated: str | None = None
    doubts: tuple[str, ...] = ()
    other: float | None = None

    @property
    def is_undetermined(self) -> bool:
        """Whether equation and conditions leave functions of size one next to no residual."""
        return self.comparison is not None and self.comparison.amplification > UNDETERMINED

    def status(self, relative: float) -> str:
        """converged, unreliable, budget, stalled or interrupted, for a relative residual.

        The tolerance is one of the estimated error where the estimate is reliable, of both the estimated error and the residual
        where it is by a coarser network, else of the residual.
        """
        if self.reason is Reason.INTERRUPTED:
            return "interrupted"
        if self.doubts or self.is_undetermined or self._contradicts(relative):
            return "unreliable"
        if self._error(relative) <= self.tolerance:
            return "converged"
        return "budget" if self.reason in OUT_OF_BUDGET else "stalled"

    def _error(self, relative: float) -> float:
        """What has to be within the tolerance: the estimated error, the residual, or, with a coarser network, both."""
        one = self.comparison
        if one is None or not (one.reliable or one.coarser):
            return relative
        return one.worst if one.reliable else max(relative, one.worst)

    def _contradicts(self, relative: float) -> bool:
        """Whether a richer solution, with a residual within the tolerance as well, is another one."""
        if self.comparison is None or max(relative, self.comparison.residual) > self.tolerance:
            return False
        return self.comparison.difference > CONTRADICTION * self.tolerance

    def sentence(self, relative: float, cause: str) -> str:
        """The reason in words, and how estimate and residual compare with the tolerance. cause: of an unreliable one."""
        first, one = self.words or self.reason.sentence, self.comparison
        if self.doubts:
            return f"{'; '.join(self.doubts)}; {first}, and the {compared(relative, self.tolerance)}"
        if one is None:
            return f"{first}; the {compared(relative, self.tolerance)}"
        hint, residual = f" ({cause})" if cause else "", f"relative residual {relative:.1e}"
        if self.is_undetermined:
            return (
                f"equation and conditions determine the solution badly or not at all{hint}: a residual may be amplified "
                f"{one.amplification:.0e} times; estimated relative error {one.worst:.1e}, {residual}"
            )
        if self._contradicts(relative):
            return (
                f"{first}, but the solution differs by {one.difference:.1e} from one in a richer space{hint}; the "
                f"{compared(relative, self.tolerance)}"
            )
        if not (one.reliable or one.coarser):
            return f"{first}; the {compared(relative, self.tolerance)}"
        within = "within" if one.worst <= self.tolerance else "above"
        return f"{first}; the estimated relative error {one.worst:.1e} is {within} {self.tolerance:.0e}, the {residual}"


def compared(relative: float, tolerance: float) -> str:
    """How a relative residual compares with its tolerance, in words."""
    return f"relative residual {relative:.1e} is {'within' if relative <= tolerance else 'above'} {tolerance:.0e}"


def solution(
    problem: Problem,
    best: Candidate,
    state: State,
    end: End,
    history: Mapping[str, NDArray[np.float64]],
    errors: Mapping[str, Errors],
    found: Mapping[str, Found],
    made: Mapping[str, object],
) -> Solution:
    """The solution of a network. made: what is kept of the circumstances beside versions: device, seed, threads."""
    status = end.status(best.relative)
    cause = ""
    if status == "unreliable":
        cause = cause_of_amplification(problem) if end.is_undetermined else "; ".join(map(str, missing_conditions(problem)))
    return Solution(
        domain=problem.domain,
        unknowns=problem.unknowns,
        network=best.network,
        problem=problem,
        name=problem.name,
        status=status,
        reason=end.sentence(best.relative, cause) + _on_bounds(found) + _another(end),
        seed=problem.training.seed,
        iterations=state.steps,
        seconds=state.seconds,
        residual=best.residuals.equation,
        condition_residual=best.residuals.conditions,
        data_residual=best.residuals.data if problem.data else None,
        relative_residual=best.relative,
        tolerance=end.tolerance,
        stage=best.stage.index,
        history=dict(history),
        errors=dict(errors) or None,
        estimate=None if end.comparison is None else end.comparison.estimates,
        estimate_reason=end.unestimated,
        found=dict(found),
        environment=environment() | dict(made),
    )


def measured(problem: Problem, network: Network) -> tuple[dict[str, Errors], ReferenceSolution | None]:
    """The errors of a network, and the reference that they were measured against where no formula is known.

    A reference that cannot be computed is logged, and errors are given as far as formulas are known.
    """
    try:
        reference = reference_files.reference_for(problem, network)
    except ProblemError as error:
        LOG.warning("errors are not known: %s", error)
        reference = None
    seconds = max(LEAST_SECONDS, SHARE * problem.training.seconds)
    return norms.measure(problem, network, reference, seconds), reference


def outputs_of(problem: Problem, network: Network, comparison: Comparison | None = None) -> dict[str, Output]:
    """The quantities that a problem names, with estimates where there is a solution in a richer space; none where one fails."""
    richer = comparison.richer if comparison is not None and comparison.reliable else None
    try:
        return outputs(problem, network, richer)
    except ProblemError as error:
        LOG.warning("quantities are not known: %s", error)
        return {}


def with_errors(
    problem: Problem, network: Network, standard_errors: Mapping[str, float], shifts: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Found]:
    """The values of the trainable parameters, whether they are on a bound, with standard errors and shifts if known."""
    found = {}
    for name, value in parameter_values(network).items():
        bounds = problem.parameters[name].lower, problem.parameters[name].upper
        found[name] = Found(value, standard_errors.get(name), value in bounds, shifts.get(name))
    return found


def _another(end: End) -> str:
    """That the problem has another solution, in words."""
    if end.other is None:
        return ""
    return f"; the problem has another solution, which differs by {end.other:.1g} (relative L2): see where training starts"


def _on_bounds(found: Mapping[str, Found]) -> str:
    """Which parameters ended on a bound, in words."""
    held = [f"{name} = {one.value:g}" for name, one in found.items() if one.on_bound]
    if not held:
        return ""
    return f"; {' and '.join(held)} lies on its bound, beyond which the residual would be smaller"
