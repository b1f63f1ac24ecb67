"""Why a stage or a training ended, and why a stage of a schedule was skipped."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """Why a stage, or the whole training, ended. Optimizers return some of them as plain strings."""

    TOLERANCE = "tolerance"
    STALLED = "stalled"
    STEPS = "steps"
    BUDGET = "budget"
    TOO_SLOW = "too slow"
    MEMORY = "memory"
    INTERRUPTED = "interrupted"
    SINGULAR = "singular"
    DIVERGED = "diverged"
    REGRIDDING = "regridding"

    @property
    def sentence(self) -> str:
        """The reason in words, for the summary of a run."""
        return _SENTENCES[self]

    @property
    def ends_training(self) -> bool:
        """Whether neither a further stage nor a further start can do better."""
        return self in (Reason.TOLERANCE, Reason.BUDGET, Reason.MEMORY, Reason.INTERRUPTED)


_SENTENCES = {
    Reason.TOLERANCE: "the residual on unseen points met the tolerance",
    Reason.STALLED: "no step lowers the loss any further",
    Reason.STEPS: "the steps allowed were used up",
    Reason.BUDGET: "the time allowed was used up",
    Reason.TOO_SLOW: "a step of a larger network would have taken longer than the time that was left",
    Reason.MEMORY: "no larger network fits into the memory allowed",
    Reason.INTERRUPTED: "interrupted",
    Reason.SINGULAR: "the first least-squares problem was singular or not finite",
    Reason.DIVERGED: "the loss stopped being finite",
    Reason.REGRIDDING: "the solution became too steep for its coordinates, and the steps allowed were used up",
}


class Skip(enum.Enum):
    """Why a stage of a schedule is not trained."""

    FEWER_NODES = "it has fewer nodes than the best network, which it cannot take over"
    NEAR_TARGET = "the best network is so near the target that training is sooner there than plane waves"
    LITTLE_GAIN = "plane waves are not expected to do better than the best network"
    NOT_FOUND = "the search found no small network that is nearly as good as larger ones"
    TRIED = "plane waves and searches were tried before"
    TIME = "two steps of it take longer than the time that is left"
    MEMORY = "it does not fit into the memory allowed"
