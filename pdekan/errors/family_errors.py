"""Errors of the members of a family, and surpluses: differences of new members from the polynomials between earlier ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pdekan.domains.quadrature import Quadrature, sobol, tensor_gauss
from pdekan.errors.estimate import Estimate, relative_to_size
from pdekan.errors.norms import Errors, Sums, errors_of, measured_unknowns
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.family import FamilyNetwork
from pdekan.problems.problem import Problem

Array = NDArray[np.float64]
# Gauss rules of the norms, by dimension: cells and points an axis in each; above, quasi-random points.
RULES, SCATTERED = {1: (61, 6, 0), 2: (19, 5, 0), 3: (6, 4, 0)}, (1, 1, 4096)
# Members whose errors are measured: Gauss points along each parameter, by their number; above, quasi-random ones. Beside them
# the corners of the ranges, of so many parameters at most.
MEMBERS, SCATTERED_MEMBERS, CORNERS = {1: 20, 2: 7, 3: 4}, 64, 6
SURPLUS = "difference from interpolation"


@dataclass(frozen=True)
class FamilyErrors:
    """all: norms of the family, squares being means over the parameters. worst: the relative errors of the member with the
    largest relative L2 error, at whose values of the parameters; mean: of the members, over the parameters. members: how many.
    """

    all: Errors
    worst: tuple[float, float]
    at: Mapping[str, float]
    mean: tuple[float, float]
    members: int

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        worst, mean = (dict(zip(("l2_relative", "h1_seminorm_relative"), one, strict=True)) for one in (self.worst, self.mean))
        return {"worst": {"at": dict(self.at), **worst}, "mean": mean, "members": self.members}


@dataclass
class Table:
    """Values and slopes of solved members at the points of a rule, ``(members, n, U)`` and ``(members, n, U, d)``."""

    problem: Problem
    rule: Quadrature
    values: list[Array] = field(default_factory=list)
    slopes: list[Array] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem) -> Table:
        """An empty table."""
        return cls(problem, problem.domain.interior(*RULES.get(problem.domain.dimension, SCATTERED), 104729))

    def add(self, network: Network, before: FamilyNetwork | None, at: Mapping[str, float]) -> dict[str, Estimate]:
        """Add a member, with its differences from the family before it, by unknown; those of the first are its own norms."""
        points = torch.as_tensor(self.rule.points, device=network.device)
        u = evaluate(network, points, Frame(self.problem.domain.coordinates, Derivatives.GRADIENT))
        assert u.gradient is not None
        new = u.value.cpu().numpy(), u.gradient.cpu().numpy()
        old = (0.0, 0.0) if before is None else self._interpolated(before, at)
        found = {}
        for k, name in enumerate(self.problem.unknowns):
            sizes, gaps = _norms(self.rule, new, k), _norms(self.rule, (new[0] - old[0], new[1] - old[1]), k)
            ratios = [relative_to_size(a, b) for a, b in zip(gaps, sizes, strict=True)]
            found[name] = Estimate(gaps[0], ratios[0], gaps[1], ratios[1], SURPLUS)
        self.values.append(new[0])
        self.slopes.append(new[1])
        return found

    def _interpolated(self, network: FamilyNetwork, at: Mapping[str, float]) -> tuple[Array, Array]:
        weights = network.weights({name: np.array([value]) for name, value in at.items()})[0]
        return np.tensordot(weights, np.stack(self.values), 1), np.tensordot(weights, np.stack(self.slopes), 1)

    def errors(self, network: FamilyNetwork) -> dict[str, FamilyErrors] | None:
        """The errors of a family through all members of the table; None where no exact solution is known."""
        names = measured_unknowns(self.problem)
        if not names:
            return None
        members, shares = _members(network)
        sums = [self.member_sums(network, at) for at in members]
        return {name: _joined([one[name] for one in sums], members, shares, self.problem.domain.measure) for name in names}

    def member_sums(self, network: FamilyNetwork, at: Mapping[str, float]) -> dict[str, Sums]:
        """The integrals of a member's errors by unknown."""
        exact = self.problem.member(**at).exact_jets(torch.as_tensor(self.rule.points), Derivatives.GRADIENT)
        value, slope = self._interpolated(network, at)
        found = {}
        for k, name in enumerate(self.problem.unknowns):
            if name not in self.problem.exact_fields:
                continue
            gradient = exact[name].gradient
            assert gradient is not None
            u, slopes = exact[name].value.numpy(), gradient.numpy()
            error = (value[:, k : k + 1] - u[:, None], slope[:, k : k + 1] - slopes[:, None])
            off, size = _norms(self.rule, error, 0), _norms(self.rule, (u[:, None], slopes[:, None]), 0)
            squares = off[0] ** 2, off[1] ** 2, size[0] ** 2, size[1] ** 2
            found[name] = Sums(*squares, float(np.abs(error[0]).max()), len(u))
        return found


def _norms(rule: Quadrature, u: tuple[Array, Array], k: int) -> tuple[float, float]:
    """L2 norms of component k and of its gradient."""
    squares = rule.weights @ u[0][:, k] ** 2, rule.weights @ (u[1][:, k] ** 2).sum(-1)
    return math.sqrt(float(squares[0])), math.sqrt(float(squares[1]))


def _members(network: FamilyNetwork) -> tuple[list[dict[str, float]], Array]:
    """Values of the parameters in their ranges, with shares that sum to one; those at corners have none."""
    lower, upper = zip(*network.ranges.values(), strict=True)
    count = len(lower)
    rule = sobol(lower, upper, SCATTERED_MEMBERS, 0)
    if count in MEMBERS:
        rule = tensor_gauss(lower, upper, [1] * count, MEMBERS[count])
    corners = np.array(list(itertools.product(*network.ranges.values())) if count <= CORNERS else []).reshape(-1, count)
    shares = np.concatenate([rule.weights / rule.weights.sum(), np.zeros(len(corners))])
    places = np.concatenate([rule.points, corners]).tolist()
    return [dict(zip(network.ranges, place, strict=True)) for place in places], shares


def _joined(parts: list[Sums], members: list[dict[str, float]], shares: Array, measure: float) -> FamilyErrors:
    errors = [errors_of(one, measure) for one in parts]
    squares = np.array([(one.error, one.error_slope, one.exact, one.exact_slope) for one in parts])
    error, slope, exact, exact_slope = (shares @ squares).tolist()
    sums = Sums(error, slope, exact, exact_slope, max(one.largest for one in parts), sum(one.points for one in parts))
    whole = errors_of(sums, measure)
    pairs = np.array([(one.l2_relative, one.h1_seminorm_relative) for one in errors])
    k = int(np.argmax(np.nan_to_num(pairs[:, 0])))
    mean = shares @ np.nan_to_num(pairs)
    return FamilyErrors(
        whole, (float(pairs[k, 0]), float(pairs[k, 1])), members[k], (float(mean[0]), float(mean[1])), len(parts)
    )
