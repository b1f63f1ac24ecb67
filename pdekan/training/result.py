"""The solution that a training ends with: its status, its errors, its parameters with standard errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

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
from pdekan.solutions.solution import Found, Solution
from pdekan.training.reasons import Reason
from pdekan.training.state import Candidate, State

LOG = logging.getLogger(__name__)
OUT_OF_BUDGET = (Reason.BUDGET, Reason.STEPS, Reason.MEMORY)


@dataclass(frozen=True)
class End:
    """How a training ended: its reason, the words of the callback that interrupted it, and its tolerance."""

    reason: Reason
    words: str
    tolerance: float

    def status(self, relative: float) -> str:
        """converged, budget, stalled or interrupted, for a relative residual."""
        if self.reason is Reason.INTERRUPTED:
            return "interrupted"
        if relative <= self.tolerance:
            return "converged"
        return "budget" if self.reason in OUT_OF_BUDGET else "stalled"

    def sentence(self, relative: float) -> str:
        """The reason in words, and how the residual compares with the tolerance."""
        return f"{self.words or self.reason.sentence}; the {compared(relative, self.tolerance)}"


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
    return Solution(
        domain=problem.domain,
        unknowns=problem.unknowns,
        network=best.network,
        problem=problem,
        name=problem.name,
        status=end.status(best.relative),
        reason=end.sentence(best.relative),
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
    return norms.measure(problem, network, reference), reference


def with_errors(network: Network, standard_errors: Mapping[str, float]) -> dict[str, Found]:
    """The values of the trainable parameters, with their standard errors where known."""
    return {name: Found(value, standard_errors.get(name)) for name, value in parameter_values(network).items()}
