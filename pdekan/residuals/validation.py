"""Validation: residuals on points that training does not use, and their size relative to the equation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.fields.jets import Jet
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.sizes import TINY, unknown_sizes
from pdekan.residuals.terms import Term, is_affine, local_sizes, terms, units

# The least size of an operator at a point, relative to its root mean square: where a coefficient vanishes.
LEAST = 1e-3
ROUND_OFF = 1e-12  # of sizes that are the same


@dataclass(frozen=True)
class Residuals:
    """Root mean square residuals of equations, conditions and data, and the largest of them relative to the size of its terms.

    The residual of noisy data is their noise: it does not count for `relative`, except for its excess in a regression.
    """

    equation: float = math.inf
    conditions: float = math.inf
    data: float = math.inf
    relative: float = math.inf


@dataclass(frozen=True)
class Validation:
    """Validation points of every term of a problem, the equations' first, with the sizes of data and operators there.

    data: root mean squares of the right-hand sides. units: ``(U,)`` for every term, see `terms.units`. is_constant: whether
    the size of a term's operator is the same at all points and for all functions.
    """

    problem: Problem
    terms: list[Term]
    data: list[float]
    units: list[Tensor]
    is_constant: list[bool]

    @classmethod
    def of(cls, problem: Problem, sampling: Sampling, device: torch.device) -> Validation:
        """The validation points of a problem, laid as a sampling says."""
        on_points = terms(problem, sampling, device)
        data = [_size(term, term.target) for term in on_points]
        constant = [_has_constant_size(term, problem) for term in on_points]
        return cls(problem, on_points, data, [units(term, problem) for term in on_points], constant)

    @torch.no_grad()
    def residuals(self, network: Network) -> Residuals:
        """The residuals of a network's function; infinite where they are not finite.

        The size of an equation is the larger of its source and unit · u, that of a condition is unit · u, with u the root mean
        square of every unknown or of the conditions' data for it, whichever is larger.
        """
        fields = [evaluate(network, term.points, term.frame) for term in self.terms]
        residuals = [term.residual(u) for term, u in zip(self.terms, fields, strict=True)]
        sizes = [_size(term, one) for term, one in zip(self.terms, residuals, strict=True)]
        if not math.isfinite(sum(sizes)):  # of the sum: max() may ignore a nan
            return Residuals()
        heights = unknown_sizes(self.terms, self.units, self.data, fields[0].value)
        pairs = (self._scaled(k, heights, u, residuals[k]) for k, u in enumerate(fields))
        scaled, spans = zip(*pairs, strict=True)
        if not math.isfinite(sum(scaled) + sum(spans)):
            return Residuals()
        regression, relative = self.terms[0].group != "equation", 0.0
        for term, size, span, data in zip(self.terms, scaled, spans, self.data, strict=True):
            if term.group == "equation":
                relative = max(relative, size / max(span, data))
            elif term.group == "data" and (regression or not term.noise):
                relative = max(relative, math.sqrt(max(0.0, size**2 - term.noise**2)) / span)
        kept = [k for k, term in enumerate(self.terms) if term.group == "conditions"]
        faces = [self.terms[k].faces for k in kept]
        relative = max(relative, _mean([scaled[k] / spans[k] for k in kept], faces))
        by_group = {group: [k for k, term in enumerate(self.terms) if term.group == group] for group in ("equation", "data")}
        return Residuals(
            equation=math.hypot(*(sizes[k] for k in by_group["equation"])),
            conditions=_mean([sizes[k] for k in kept], faces),
            data=_mean([sizes[k] for k in by_group["data"]], [1] * len(by_group["data"])),
            relative=relative,
        )

    def _scaled(self, k: int, heights: Tensor, u: Jet, residual: Tensor) -> tuple[float, float]:
        """The size of a residual, larger where the term's operator is smaller than on average, and the size of the operator.

        Both are measured at u. Where coefficients span powers of ten, a residual that is small beside the largest of them is
        not small beside the others, which the solution depends on as much.
        """
        term = self.terms[k]
        if self.is_constant[k]:
            return _size(term, residual), max(float((self.units[k] * heights).norm()), TINY)
        squares = local_sizes(term, self.problem, u) @ heights**2
        span = max(math.sqrt(float(term.point_share @ squares)), TINY)
        if len(residual) == 1:  # of a mean
            return _size(term, residual), span
        shares = (term.folded(squares) / term.sides).sqrt() / span
        return _size(term, residual / shares.clamp_min(LEAST)), span


def _has_constant_size(term: Term, problem: Problem) -> bool:
    """Whether a residual's derivatives are of the same size at all points, whatever the unknowns and parameters are."""
    if term.parameters or not is_affine(term, problem):
        return False
    squares = local_sizes(term, problem, term.zero())
    low, high = squares.amin(dim=0), squares.amax(dim=0)
    return bool((high - low <= ROUND_OFF * high).all())


def _size(term: Term, values: torch.Tensor) -> float:
    """Root mean square over the term's points."""
    return math.sqrt(float(term.share @ values**2))


def _mean(sizes: list[float], faces: list[int]) -> float:
    """Root mean square over faces."""
    return math.sqrt(sum(n * size**2 for n, size in zip(faces, sizes, strict=True)) / max(1, sum(faces)))
