"""The judgement on a network: residuals on points that training has not seen, and their size relative to the equation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pdekan.networks.base import Network
from pdekan.objective import Sampling, Term, evaluate, terms, unit
from pdekan.problems import Problem

TINY = 1e-300  # stands for a size that is zero: a residual of zero is then still one of zero


@dataclass(frozen=True)
class Residuals:
    """Root mean square residuals of equation and conditions, and the larger of both relative to the size of its terms."""

    equation: float = math.inf
    conditions: float = math.inf
    relative: float = math.inf


@dataclass(frozen=True)
class Judge:
    """Unseen points of every term of a problem, the equation's first, with the sizes of data and operators there.

    data: root mean squares of the right-hand sides. units: see `objective.unit`.
    """

    terms: list[Term]
    data: list[float]
    units: list[float]

    @classmethod
    def of(cls, problem: Problem, sampling: Sampling, device: torch.device) -> Judge:
        """A judge for networks that stand for the problem's unknown."""
        unseen = terms(problem, sampling, device)
        data = [_size(term, term.target) for term in unseen]
        return cls(unseen, data, [unit(term, problem) for term in unseen])

    @torch.no_grad()
    def residuals(self, network: Network) -> Residuals:
        """How far the network is from solving the problem; infinite where its residual is no number.

        The size of the equation is the larger of its source and unit · u, that of a condition is unit · u, with u the root
        mean square of the solution or of the conditions' data, whichever is larger.
        """
        fields = [evaluate(network, term.points, term.frame) for term in self.terms]
        sizes = [_size(term, term.residual(u)) for term, u in zip(self.terms, fields, strict=True)]
        heights = (size / one for size, one in zip(self.data[1:], self.units[1:], strict=True))
        height = max(_size(self.terms[0], fields[0].value), *heights, TINY)
        equation = sizes[0] / max(self.data[0], self.units[0] * height)
        conditions = [size / (one * height) for size, one in zip(sizes[1:], self.units[1:], strict=True)]
        faces = [term.faces for term in self.terms[1:]]
        relative = max(equation, _mean(conditions, faces))
        if not math.isfinite(sum(sizes)):  # asked of all of them: max() may pass a nan by
            return Residuals()
        return Residuals(sizes[0], _mean(sizes[1:], faces), relative)


def _size(term: Term, values: torch.Tensor) -> float:
    """Root mean square over the term's points."""
    return math.sqrt(float(term.share @ values**2))


def _mean(sizes: list[float], faces: list[int]) -> float:
    """Root mean square over faces."""
    return math.sqrt(sum(n * size**2 for n, size in zip(faces, sizes, strict=True)) / max(1, sum(faces)))
