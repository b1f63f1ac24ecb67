"""fit(): an optimizer at work on a least-squares problem until it ends, is stopped, or is ended in the middle of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

from torch import Tensor

from pdekan.networks.base import NoJacobian
from pdekan.optimizers.base import Optimizer, Outcome, Resumable, Step
from pdekan.problems.formulas import ProblemError
from pdekan.training.clock import StepEndedError
from pdekan.training.reasons import Reason

P = TypeVar("P")
# called after every step; a reason ends the fit
Stop = Callable[[Step], Reason | None]


def fit(objective: P, optimizer: Optimizer[P], theta: Tensor, steps: int, stop: Stop, begin: Step | None = None) -> Outcome:
    """Minimise from theta ``(P,)`` with at most so many steps; the outcome's reason is a `Reason`.

    begin: a step of such a fit, with its memory, from which it goes on.

    Where the objective raises StepEndedError in the middle of a step, the outcome is the step with the lowest loss. Raises
    ProblemError for networks whose Jacobian the optimizer needs and cannot have, ValueError for an optimizer's unknown reason.
    """
    best = begin or Step(theta, math.inf)
    taken = best.taken

    def watch(step: Step) -> Reason | None:
        """Keep the best step, and ask whether to stop."""
        nonlocal best, taken
        taken = step.taken
        if step.loss < best.loss:
            best = replace(step, theta=step.theta.clone())  # some optimizers go on in the same memory
        return stop(step)

    try:
        if begin is None:
            outcome = optimizer.minimise(objective, theta, steps, watch)
        else:
            outcome = cast("Resumable[P]", optimizer).minimise(objective, theta, steps, watch, begin.memory)
    except NoJacobian as error:
        raise ProblemError(str(error)) from error
    except StepEndedError as end:
        return Outcome(best.theta, best.loss, taken, end.reason)
    return replace(outcome, reason=Reason(outcome.reason))
