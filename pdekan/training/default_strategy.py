"""The strategy that a problem's options ask for, composed of small ones."""

from __future__ import annotations

from dataclasses import replace

from pdekan.problems.problem import Problem
from pdekan.training.cells.training import refusal
from pdekan.training.goal import Goal
from pdekan.training.ladder import Ladder
from pdekan.training.optimizer_choice import Method
from pdekan.training.schedule import Stage
from pdekan.training.strategy import AfterWaves, Regridding, RequestedNetwork, Resampling, Restarts, Strategy


def composed(problem: Problem, schedule: tuple[Stage, ...], goal: Goal, method: Method, starts: int = 1) -> Strategy:
    """The stages of a schedule, one after the other, as the options `resample`, `adapt` and `starts` want them."""
    ladder = Ladder(schedule, goal.target, method, goal.grows, noisy=goal.noisy)
    strategy: Strategy = ladder
    # where cells can be tried, they come after waves
    if any(stage.waves for stage in schedule) and goal.grows and starts == 1 and refusal(problem) is not None:
        strategy = AfterWaves(ladder, replace(ladder, trained_only=True), goal.target)
    if problem.training.resample:
        strategy = Resampling(strategy)
    if problem.training.adapt:
        strategy = Regridding(strategy)
    if not goal.grows:
        last = len(schedule) - 1
        strategy = RequestedNetwork(strategy, replace(schedule[last], index=last, count=len(schedule)), goal.target)
    return Restarts(strategy, starts) if starts > 1 else strategy
