"""Regions in which a comparison such as abs(x - 0.3) < 1e-5 holds, and which are too narrow for any point of training to see.

Where the difference that is compared has a minimum along a line, but no change of sign at any point, the minimum is searched
for between them. Where two differences change their signs in the same interval, the region between the changes is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pdekan.problems.problem import Problem

Differences = Callable[[Tensor], Tensor]  # ``(n, c)`` that are compared with zero, at points ``(n, d)``
# Steps of a ternary search, each of which shortens the interval by a third; minima that are followed.
STEPS, MOST = 40, 60
NARROW = 1e-3  # width below which points of training miss a region, relative to the domain's extent along the axis


@dataclass(frozen=True)
class Region:
    """A narrow region: a point ``(d,)`` in it, the axis across it, its ends on the line through the point along the axis."""

    point: Tensor
    axis: int
    ends: tuple[float, float]

    @property
    def width(self) -> float:
        """Its extent along the axis."""
        return self.ends[1] - self.ends[0]

    def beside(self) -> Tensor:
        """Points ``(3, d)``: in it, and a hundredth of its width before and behind it."""
        points = self.point.repeat(3, 1)
        points[1, self.axis] = self.ends[0] - 0.01 * self.width
        points[2, self.axis] = self.ends[1] + 0.01 * self.width
        return points


@torch.no_grad()
def narrow_regions(problem: Problem, differences: Differences, lines: Callable[[int], Tensor]) -> list[Region]:
    """The narrow regions that lines meet or come near to. lines: points ``(l, n, d)`` on lines parallel to an axis."""
    found: list[Region] = []
    for k, (a, b) in enumerate(zip(problem.domain.lower, problem.domain.upper, strict=True)):
        points = lines(k)
        heights = differences(points.reshape(-1, points.shape[-1])).reshape(*points.shape[:2], -1)
        spacing = float(points[0, 1, k] - points[0, 0, k])
        found += [one for one in _between(differences, points, heights, k, spacing) if one.width < NARROW * (b - a)]
        line, place, column = _minima(heights)
        if not len(line):
            continue
        start = points[line, place]
        value = _signed(differences, column, heights[line, place, column].sign())
        x = _least(value, start, k, start[:, k] - spacing, start[:, k] + spacing)
        for j in range(problem.domain.dimension) if problem.domain.dimension > 1 else ():
            ends = (x[:, j] - spacing, x[:, j] + spacing) if j == k else _whole(problem, x, j)
            x = _least(value, x, j, *ends)
        low, high = (_end(value, x, k, side * spacing) for side in (-1.0, 1.0))
        for row in torch.nonzero((value(x) < 0.0) & (high - low < NARROW * (b - a))).flatten().tolist():
            found.append(Region(x[row], k, (float(low[row]), float(high[row]))))
    return found


def _signed(differences: Differences, column: Tensor, sign: Tensor) -> Callable[[Tensor], Tensor]:
    """A column of differences for each of some points, times a sign."""
    return lambda points: sign * differences(points).gather(1, column[:, None])[:, 0]


def _between(differences: Differences, points: Tensor, heights: Tensor, k: int, spacing: float) -> list[Region]:
    """The regions between changes of sign of two differences in the same interval of a line along axis k."""
    changed = heights[:, 1:].sign() * heights[:, :-1].sign() < 0.0
    line, place, column = torch.nonzero(changed & (changed.sum(dim=2, keepdim=True) > 1), as_tuple=True)
    line, place, column = line[:MOST], place[:MOST], column[:MOST]
    if not len(line):
        return []
    end = _end(_signed(differences, column, -heights[line, place, column].sign()), points[line, place], k, spacing)
    regions = []
    for first, second in itertools.pairwise(range(len(line))):
        if line[first] == line[second] and place[first] == place[second] and end[first] != end[second]:
            low, high = sorted((float(end[first]), float(end[second])))
            middle = points[line[first], place[first]].clone()
            middle[k] = 0.5 * (low + high)
            regions.append(Region(middle, k, (low, high)))
    return regions


def _minima(heights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lines, places and columns of the least minima of |heights| ``(l, n, c)`` in columns without a change of sign."""
    inner, before, behind = heights[:, 1:-1], heights[:, :-2], heights[:, 2:]
    size = inner.abs()
    least = (size <= before.abs()) & (size <= behind.abs()) & (size < torch.maximum(before.abs(), behind.abs()))
    unseen = (heights > 0.0).all(dim=(0, 1)) | (heights < 0.0).all(dim=(0, 1))
    line, place, column = torch.nonzero(least & unseen, as_tuple=True)
    order = (size / heights.abs().amax(dim=(0, 1)).clamp_min(1e-300))[line, place, column].argsort()[:MOST]
    return line[order], place[order] + 1, column[order]


def _whole(problem: Problem, x: Tensor, j: int) -> tuple[Tensor, Tensor]:
    """The domain's extent along an axis, for each of some points."""
    return torch.full_like(x[:, j], problem.domain.lower[j]), torch.full_like(x[:, j], problem.domain.upper[j])


def _moved(x: Tensor, axis: int, position: Tensor) -> Tensor:
    moved = x.clone()
    moved[:, axis] = position
    return moved


def _least(value: Callable[[Tensor], Tensor], x: Tensor, axis: int, low: Tensor, high: Tensor) -> Tensor:
    """Points ``(n, d)`` moved along an axis to the minima of a function between low and high, by ternary search."""
    for _ in range(STEPS):
        first, second = low + (high - low) / 3.0, high - (high - low) / 3.0
        left = value(_moved(x, axis, first)) <= value(_moved(x, axis, second))
        low, high = torch.where(left, low, first), torch.where(left, second, high)
    return _moved(x, axis, 0.5 * (low + high))


def _end(value: Callable[[Tensor], Tensor], x: Tensor, axis: int, step: float) -> Tensor:
    """Where a function changes its sign between points and those a step further along an axis, by bisection."""
    inner, outer = x[:, axis].clone(), x[:, axis] + step
    for _ in range(STEPS):
        middle = 0.5 * (inner + outer)
        within = value(_moved(x, axis, middle)) < 0.0
        inner, outer = torch.where(within, middle, inner), torch.where(within, outer, middle)
    return 0.5 * (inner + outer)
