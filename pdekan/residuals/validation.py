"""The judgement on a network: residuals on points that training has not seen, and their size relative to the equation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term, terms, units

SMALL = 1e-3
TINY = 1e-300  # stands for a size that is zero: a residual of zero is then still one of zero


@dataclass(frozen=True)
class Residuals:
    """Root mean square residuals of equations, conditions and data, and the largest of them relative to the size of its terms.

    Noisy data do not count for `relative`, their residual being their noise, but for what goes beyond it in a regression.
    """

    equation: float = math.inf
    conditions: float = math.inf
    data: float = math.inf
    relative: float = math.inf


@dataclass(frozen=True)
class Validation:
    """Unseen points of every term of a problem, the equations' first, with the sizes of data and operators there.

    data: root mean squares of the right-hand sides. units: ``(U,)`` for every term, see `terms.units`.
    """

    terms: list[Term]
    data: list[float]
    units: list[Tensor]

    @classmethod
    def of(cls, problem: Problem, sampling: Sampling, device: torch.device) -> Validation:
        """A judge for networks that stand for what the problem seeks."""
        unseen = terms(problem, sampling, device)
        data = [_size(term, term.target) for term in unseen]
        return cls(unseen, data, [units(term, problem) for term in unseen])

    @torch.no_grad()
    def residuals(self, network: Network) -> Residuals:
        """How far the network is from solving the problem; infinite where its residual is no number.

        The size of an equation is the larger of its source and unit · u, that of a condition is unit · u, with u the root mean
        square of every unknown or of the conditions' data for it, whichever is larger.
        """
        fields = [evaluate(network, term.points, term.frame) for term in self.terms]
        sizes = [_size(term, term.residual(u)) for term, u in zip(self.terms, fields, strict=True)]
        if not math.isfinite(sum(sizes)):  # asked of all of them: max() may pass a nan by
            return Residuals()
        heights = self._heights(fields[0].value)
        spans = [max(float((one * heights).norm()), TINY) for one in self.units]
        regression, relative = self.terms[0].group != "equation", 0.0
        for term, size, span, data in zip(self.terms, sizes, spans, self.data, strict=True):
            if term.group == "equation":
                relative = max(relative, size / max(span, data))
            elif term.group == "data" and (regression or not term.noise):
                relative = max(relative, math.sqrt(max(0.0, size**2 - term.noise**2)) / span)
        kept = [k for k, term in enumerate(self.terms) if term.group == "conditions"]
        faces = [self.terms[k].faces for k in kept]
        relative = max(relative, _mean([sizes[k] / spans[k] for k in kept], faces))
        by_group = {group: [k for k, term in enumerate(self.terms) if term.group == group] for group in ("equation", "data")}
        return Residuals(
            equation=math.hypot(*(sizes[k] for k in by_group["equation"])),
            conditions=_mean([sizes[k] for k in kept], faces),
            data=_mean([sizes[k] for k in by_group["data"]], [1] * len(by_group["data"])),
            relative=relative,
        )

    def _heights(self, inside: Tensor) -> Tensor:
        """The size ``(U,)`` of every unknown, at least a small part of the largest: one that vanishes is judged beside it."""
        count = len(self.units[0])
        heights = (self.terms[0].point_share @ inside[:, :count] ** 2).sqrt()
        for term, size, one in zip(self.terms, self.data, self.units, strict=True):
            alone = one > 1e-12 * one.max()
            if term.group != "equation" and int(alone.sum()) == 1:
                heights = torch.where(alone, torch.maximum(heights, size / one.clamp_min(TINY)), heights)
        return torch.maximum(heights, SMALL * heights.max()).clamp_min(TINY)


def _size(term: Term, values: torch.Tensor) -> float:
    """Root mean square over the term's points."""
    return math.sqrt(float(term.share @ values**2))


def _mean(sizes: list[float], faces: list[int]) -> float:
    """Root mean square over faces."""
    return math.sqrt(sum(n * size**2 for n, size in zip(faces, sizes, strict=True)) / max(1, sum(faces)))
