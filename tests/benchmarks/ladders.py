"""Ladders of networks that a benchmark trains instead of the plan's own: the one place that knows how stages are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pdekan import solver
from pdekan.networks.kan import KAN
from pdekan.plan import Stage


@dataclass(frozen=True)
class Rung:
    """A KAN of one hidden layer: its sum nodes, then degree and intervals of the inner and of the outer splines."""

    sums: int
    inner: tuple[int, int]
    outer: tuple[int, int]
    products: int = 0

    def stage(self) -> Stage:
        """The solver's word for it."""
        if self.products:
            raise ValueError("a stage knows no product nodes; see `network`")
        degree, intervals = zip(self.inner, self.outer, strict=True)
        return Stage("kan", (self.sums,), degree, intervals, "none")

    def network(self, lower: Sequence[float], upper: Sequence[float]) -> KAN:
        """The network itself, not initialised."""
        widths = (len(lower), self.sums + self.products, 1)
        degree, intervals = zip(self.inner, self.outer, strict=True)
        return KAN(widths, degree, intervals, "none", lower, upper, (self.products,))


@contextmanager
def plan(rungs: Sequence[Rung]) -> Iterator[None]:
    """Within, `solve` trains these networks one after the other, whatever the problem asks for."""
    own = solver.stages
    solver.stages = lambda problem: tuple(rung.stage() for rung in rungs)
    try:
        yield
    finally:
        solver.stages = own
