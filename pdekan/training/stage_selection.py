"""The way up the ladder: which stages of a plan are left out, and what is kept of those that were trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pdekan.networks.base import Network
from pdekan.residuals.validation import TINY, Residuals
from pdekan.training.schedule import Stage

# The trained network that comes after the first ones lowers residuals by 10 to 200 in a few steps, or by little in many. Plane
# waves come before it where it has more than this to do, and are gone on with where they gain GAIN at least, or more than the
# trained network before them. Where they do not, training may find what they cannot say: the direction of a layer, for one.
NEAR, GAIN = 300.0, 10.0
# What each next number of plane waves lowers residuals by, about: 5 to 8 on a plate with a hole, 10 to 100 elsewhere.
MORE = 10.0


@dataclass(frozen=True)
class Judged:
    """A network of a stage, with its residuals on unseen points."""

    network: Network
    stage: int
    residuals: Residuals

    @property
    def relative(self) -> float:
        return self.residuals.relative


@dataclass
class Climb:
    """One start's way through the stages of a plan, to a relative residual.

    grows: whether the plan is a ladder, on which the best network is kept, and not the way to one network that was asked for.
    best: the network that training goes on from. waves: the last plane waves tried that were not taken. gain: by how much the
    last trained network lowered the residual of the one before.
    """

    plan: tuple[Stage | None, ...]
    target: float
    grows: bool
    best: Judged | None = None
    waves: Judged | None = None
    gain: float = math.inf

    @property
    def network(self) -> Network | None:
        """The best network, where there is one."""
        return None if self.best is None else self.best.network

    def is_of_waves(self, index: int) -> bool:
        """Whether a stage of the plan is of plane waves."""
        stage = self.plan[index]
        return stage is not None and stage.waves

    def is_hopeless(self, index: int, at_once: bool) -> bool:
        """Whether a stage of plane waves would do no better than training.

        The first where the best network is so near the target that training is sooner there (of several outputs it is not:
        trained networks have nodes for each, waves share theirs), later ones where the best is already better than the waves
        before them; at_once, where waves cost one solve: better than what more of them would come to by that.
        """
        stage = self.plan[index]
        if self.best is None or stage is None or not stage.waves:
            return False
        if self.waves is not None:
            more = sum(self.is_of_waves(k) for k in range(self.waves.stage, index)) if at_once else 0
            return self.best.relative <= self.waves.relative / MORE**more
        first = not any(self.is_of_waves(k) for k in range(index))
        return first and stage.outputs == 1 and self.best.relative <= NEAR * self.target

    def keep(self, judged: Judged) -> bool:
        """Take the network that a stage came to, where it is better; whether training goes on from it."""
        waves = self.is_of_waves(judged.stage)
        if not waves and self.best is not None:
            self.gain = max(1.0, self.best.relative / max(judged.relative, TINY))
        if waves and self._is_little(judged.relative):
            self.waves = judged
            return False
        if self.grows and self.best is not None and judged.relative >= self.best.relative:
            return False
        self.best = judged
        self.waves = None if waves else self.waves
        return True

    def _is_little(self, relative: float) -> bool:
        """Whether a residual of plane waves is no reason to go on with them instead of a network that was trained."""
        if self.best is None or self.is_of_waves(self.best.stage):
            return False
        return relative > max(self.target, self.best.relative / min(GAIN, self.gain))

    def end(self) -> None:
        """At the end the best is the best, plane waves or not."""
        if self.best is not None and self.waves is not None and self.waves.relative < self.best.relative:
            self.best = self.waves
