"""Ladders of networks that a benchmark trains instead of the default schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pdekan.networks.kan import KAN
from pdekan.problems.problem import Problem
from pdekan.training.goal import Goal
from pdekan.training.ladder import composed
from pdekan.training.optimizer_choice import METHODS
from pdekan.training.schedule import Stage
from pdekan.training.strategy import Strategy


@dataclass(frozen=True)
class Rung:
    """A KAN of one hidden layer: its sum nodes, then degree and intervals of the inner and of the outer splines."""

    sums: int
    inner: tuple[int, int]
    outer: tuple[int, int]
    products: int = 0

    def stage(self) -> Stage:
        """The stage of this network."""
        degree, intervals = zip(self.inner, self.outer, strict=True)
        return Stage("kan", (self.sums + self.products,), degree, intervals, "none", (self.products,))


def stage(hidden: tuple[int, ...], degree: tuple[int, ...], intervals: tuple[int, ...]) -> Stage:
    """A KAN of sum nodes with any number of hidden layers."""
    return Stage("kan", hidden, degree, intervals, "none")


def fresh(problem: Problem, stage: Stage, seed: int) -> KAN:
    """The stage's network with its initial parameters."""
    domain = problem.domain
    widths = stage.widths(domain.dimension)
    network = KAN(widths, stage.degree, stage.intervals, stage.base, domain.lower, domain.upper)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def strategy(problem: Problem, steps: Sequence[Rung | Stage]) -> Strategy:
    """Trains these networks one after the other, whatever network the problem asks for."""
    written = tuple(step.stage() if isinstance(step, Rung) else step for step in steps)
    method, starts = METHODS[problem.training.optimizer], problem.training.starts or 1
    return composed(problem, written, Goal.of(problem, None), method, starts)
