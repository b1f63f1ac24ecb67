"""Ladders of networks that a benchmark trains instead of the default schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from pdekan.networks.kan import KAN
from pdekan.problems.problem import Problem
from pdekan.training import trainer
from pdekan.training.schedule import Stage


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


@contextmanager
def plan(steps: Sequence[Rung | Stage]) -> Iterator[None]:
    """In the block `solve` trains these networks one after the other, for any problem."""
    own = trainer.stages
    written = tuple(step.stage() if isinstance(step, Rung) else step for step in steps)
    trainer.stages = lambda problem: written
    try:
        yield
    finally:
        trainer.stages = own
