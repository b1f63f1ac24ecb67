"""Adaptive refinement: which cells are cut, along which axes, and which get a higher degree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdekan.cells import grading
from pdekan.cells.mesh import Mesh
from pdekan.cells.system import Solved, projected
from pdekan.domains.cell_rules import reference_rule
from pdekan.domains.partition import Integers
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import equation_terms, unit

UNSEEN = 3  # Gauss points along an axis of a cell, more than the degree: others than those of the rows


@dataclass(frozen=True)
class RefinementRule:
    """How cells are chosen and changed.

    share: of the largest indicator, above which cells are changed. steep: the decay of the Legendre coefficients, by degree,
    above which a function counts as smooth in a cell: its degree grows by `more` up to `most`, other cells are cut. (In cells
    as wide as they are away from a corner functions decay by 1.5 to 1.8.) along: an axis is cut where its highest coefficients
    have at least this share of those of the worst axis. axes: along which cells may be cut, None for all. left: of the sum of
    squares, see `_chosen`.
    """

    share: float = 0.1
    steep: float = 1.4
    more: int = 2
    most: int = 20
    along: float = 0.1
    axes: tuple[int, ...] | None = None
    left: float = 0.002

    def cut(self, tails: Array) -> Integers:
        """The axes along which a cell with such highest coefficients ``(d,)`` is cut."""
        allowed: Integers = np.array(range(len(tails)) if self.axes is None else self.axes)
        chosen: Integers = allowed[tails[allowed] >= self.along * tails[allowed].max()]
        return chosen


@dataclass(frozen=True, eq=False)
class Indicators:
    """Estimated errors. cells: ``(m,)`` of the slopes, in each cell; size: that of the solution's slopes over the domain.

    metric: see `system.Solved`.
    """

    cells: Array
    size: float
    metric: Array | None = None

    @property
    def relative(self) -> float:
        """The root of the sum of squares, relative to the size."""
        return float(np.sqrt((self.cells**2).sum())) / max(self.size, 1e-300)


@torch.no_grad()
def indicators(problem: Problem, mesh: Mesh, solution: Solved, device: torch.device) -> Indicators:
    """h ‖r‖ / (h² S) in every cell, with r the residual at points that the rows do not use, and the jumps likewise.

    h² S is the size of the operator's coefficients; for Laplace's operator this is the usual indicator (Verfürth, A Posteriori
    Error Estimation Techniques (2013), section 1.4). In one dimension the mean of a residual over a cell acts on the
    whole domain: |∫ r| √L is added.
    """
    if solution.metric is not None:
        return Indicators(solution.unmatched.sqrt().numpy(), _slopes(mesh, solution.network), solution.metric)
    network, lead, balance = solution.network, solution.lead.numpy(), solution.balance
    squares, size = solution.unmatched.numpy().copy(), 0.0
    for cells in mesh.geometry.groups(mesh.degrees):
        order, whole = int(mesh.degrees[cells[0]]) + UNSEEN, bool(mesh.geometry.whole[cells].all())
        points, weights = mesh.geometry.rule(cells, order)
        nodes = torch.as_tensor(reference_rule(points.shape[2], order)[0]).to(device)
        rule = Quadrature(points.reshape(-1, points.shape[2]), weights.ravel())
        for term in equation_terms(problem, rule, device):
            at_once = whole and not term.frame.higher
            u = network.jet_in(cells, nodes, term.frame) if at_once else evaluate(network, term.points, term.frame)
            residual = term.residual(u).cpu().numpy() / unit(term, problem)
            residual = (lead[cells] * residual.reshape(weights.shape).T).T
            squares[cells] += (weights * residual**2).sum(1)
            if balance is not None:
                mean = (weights * residual).sum(1) ** 2 / weights.sum(1)
                squares[cells] += (balance.means.numpy()[cells] ** 2 - 1.0) * mean
            if mesh.partition.dimension == 1:
                squares[cells] += (weights * residual).sum(1) ** 2 * (problem.domain.measure / weights.sum(1) ** 2)
        if u.gradient is None:
            u = evaluate(network, term.points, Frame(problem.domain.coordinates, Derivatives.GRADIENT))
        assert u.gradient is not None
        size += float(torch.as_tensor(rule.weights).to(device) @ u.gradient.square().sum((1, 2)))
    weakest = 1.0 if balance is None else balance.weakest.numpy()
    return Indicators(weakest * np.sqrt(squares), np.sqrt(size))


def _slopes(mesh: Mesh, network: CellNetwork) -> float:
    """The size of a function's slopes over the domain."""
    frame, squares = Frame(tuple(f"x{k}" for k in range(mesh.partition.dimension)), Derivatives.GRADIENT), 0.0
    for cells in mesh.geometry.groups(mesh.degrees):
        points, weights = mesh.geometry.rule(cells, int(mesh.degrees[cells[0]]) + 1)
        at = torch.as_tensor(points.reshape(-1, points.shape[2])).to(network.coefficients)
        gradient = evaluate(network, at, frame).gradient
        assert gradient is not None
        squares += float(torch.as_tensor(weights.ravel()).to(at) @ gradient.square().sum((1, 2)))
    return float(np.sqrt(squares))


def refined(problem: Problem, mesh: Mesh, network: CellNetwork, found: Indicators, goal: float, rule: RefinementRule) -> Mesh:
    """The next mesh: cells whose indicator is large are cut along the axes that need it, or get a higher degree.

    It has as many unknowns as the last one where no cell that is wide enough to be cut needs it. With a metric cells are cut
    along their longest sides alone and graded, see `grading`.
    """
    sides = mesh.geometry.high - mesh.geometry.low
    degrees, axes = mesh.degrees.copy(), {}
    blocks = network.blocks()
    for cell in _chosen(mesh, found, goal, rule).tolist():
        decay, tails = smoothness(blocks[cell].detach(), mesh.partition.dimension, int(mesh.degrees[cell]))
        if decay >= rule.steep and mesh.degrees[cell] + rule.more <= rule.most:
            degrees[cell] += rule.more
        else:
            wide = sides[cell] > mesh.geometry.smallest
            axes[cell] = [k for k in rule.cut(tails).tolist() if wide[k]]
            if found.metric is not None and axes[cell]:
                axes[cell] = grading.longest(sides[cell], found.metric[cell], axes[cell])
    partition, former = mesh.partition.refined(axes)
    if found.metric is None:
        return Mesh.of(problem, partition, degrees[former])
    points, cut = grading.crossings(problem), [cell for cell in axes if axes[cell]]
    partition, former = grading.towards(points, partition, former, cut, found.metric, mesh.geometry.smallest)
    return grading.balanced(problem, partition, degrees[former])


def _chosen(mesh: Mesh, found: Indicators, goal: float, rule: RefinementRule) -> Integers:
    """The cells to change: those with large indicators; with a metric also those that together have all but a part `left` of
    the sum of squares (Dörfler, SIAM J. Numer. Anal. 33 (1996) 1106-1124).
    """
    enough = goal * found.size / np.sqrt(len(found.cells))
    wide = (mesh.geometry.high - mesh.geometry.low).max(axis=1) > mesh.geometry.smallest
    errors = np.where(wide, found.cells, 0.0)
    least = rule.share * errors.max()
    if found.metric is not None and rule.share <= RefinementRule.share:
        order = np.sort(errors)
        rest = np.cumsum(order**2) <= rule.left * float((errors**2).sum())
        least = min(least, float(order[rest].max(initial=0.0)))
    return np.flatnonzero(errors > max(least, enough))


def representing(problem: Problem, mesh: Mesh, network: Network, goal: float, most: int) -> Mesh:
    """The mesh, cut until its polynomials represent a network's function, as far as there are at most so many cells.

    goal: of the difference in L2, relative to the function.
    """
    finer: Mesh | None = mesh
    while finer is not None and finer.partition.count <= most:
        mesh, finer = finer, _cut(problem, finer, network, goal)
    return mesh


@torch.no_grad()
def _cut(problem: Problem, mesh: Mesh, network: Network, goal: float) -> Mesh | None:
    """The mesh with those cells cut in which its polynomials differ from a network's function, None where none do."""
    fit = projected(network, mesh, len(problem.unknowns))
    wrong, size = np.zeros(mesh.partition.count), 0.0
    for cells in mesh.geometry.groups(mesh.degrees):
        points, weights = mesh.geometry.rule(cells, int(mesh.degrees[cells[0]]) + UNSEEN)
        at = torch.as_tensor(points.reshape(-1, points.shape[2])).to(fit.coefficients)
        frame = Frame(problem.domain.coordinates, Derivatives.VALUE)
        u, v = (evaluate(one, at, frame).value[:, : fit.outputs].cpu().numpy() for one in (network, fit))
        wrong[cells] = (weights * ((u - v) ** 2).sum(1).reshape(weights.shape)).sum(1)
        size += float(weights.ravel() @ (u**2).sum(1))
    axes, blocks = {}, fit.blocks()
    for cell in np.flatnonzero(wrong > goal**2 * size / len(wrong)).tolist():
        tails = smoothness(blocks[cell], mesh.partition.dimension, int(mesh.degrees[cell]))[1]
        axes[cell] = np.flatnonzero(tails >= RefinementRule.along * tails.max()).tolist()
    if not axes:
        return None
    partition, former = mesh.partition.refined(axes)
    return Mesh.of(problem, partition, mesh.degrees[former])


def enriched(problem: Problem, mesh: Mesh, more: int = 2) -> Mesh:
    """The same cells with higher degrees."""
    return Mesh.of(problem, mesh.partition, mesh.degrees + more)


def smoothness(coefficients: Tensor, dimension: int, degree: int) -> tuple[float, Array]:
    """The decay of Legendre coefficients ``(U, n)``, and how much of the highest ones is along each axis ``(d,)``.

    σ such that those of total degree j are about as large as exp(-σ j), by the slope of their logarithms from degree p/2 on
    (Mavriplis, Comput. Methods Appl. Mech. Eng. 116 (1994) 77-86). Those of the two highest degrees count for an axis in
    proportion to their degree along it.
    """
    powers = torch.as_tensor(legendre.exponents(dimension, degree))
    squares, total = coefficients.square().sum(0).cpu(), powers.sum(1)
    energy = torch.zeros(degree + 1, dtype=torch.float64).index_add(0, total, squares).sqrt().numpy()
    degrees = np.arange(degree // 2, degree + 1)
    decay = -np.polyfit(degrees, np.log(energy[degrees] + 1e-300), 1)[0] if len(degrees) > 1 else 0.0
    highest = total >= degree - 1
    along = (squares[highest, None] * powers[highest] / total[highest, None].clamp_min(1)).sum(0).sqrt()
    return float(decay), along.numpy()
