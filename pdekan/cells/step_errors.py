"""Errors of steps in time: in space by residuals at unseen points, in time by how coefficients fall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.patches import Patch
from pdekan.cells.refinement import Indicators
from pdekan.cells.stages import Mode, State, Step, StepSystem
from pdekan.domains.quadrature import Array
from pdekan.networks import legendre

FLAT, SMALL = 0.3, 1e-2  # of coefficients two degrees before, and of the first ones: errors in space


@torch.no_grad()
def step_errors(
    system: StepSystem,
    unseen: Sequence[Sequence[Patch]],
    mode: Mode,
    state: State,
    step: Step,
    series: Tensor,
    start: float,
    length: float,
) -> tuple[Indicators, float]:
    """Errors of the slopes in every cell, as in `refinement.indicators`, and the one that is due to time.

    unseen: the equations at points that the rows do not use; residuals are taken there at a stage in the middle and at the
    last one, where those in time are zero. mode: of the real rate. series: coefficients ``(m, U, q + 1, n)`` of the step.
    """
    formula, count = system.formula, len(system.formula.nodes)
    stages = [count // 2, count - 1]
    curvature = torch.einsum("ij,jmun->imun", torch.as_tensor(formula.slopes[stages]) / length, step.slopes - state.slope)
    functions = [step.values[stages], step.slopes[stages], curvature]
    times = (start + length * formula.nodes[stages]).tolist()
    squares, lead, weight = step.unmatched.numpy().copy(), mode.weights.lead.numpy(), length / len(stages)
    size, in_time, diameter = 0.0, np.zeros(count), system.problem.domain.size
    for patches in unseen:
        cells = patches[0].index
        for patch, unit in zip(patches, system.units, strict=True):
            term = patch.term(times)
            jet = patch.jet(term.frame, [part[:, cells] for part in functions])
            residual = term.residual(jet).reshape(len(times), *patch.shape).numpy() / unit
            squares[cells] += weight * lead[cells] ** 2 * (patch.weights.numpy() * residual**2).sum((0, 2))
        size += weight * float(_slopes(patches[0], functions[0][:, cells], diameter).sum())
        in_time += length * _slopes(patches[0], _smooth(patches[0], series[cells].movedim(2, 0)[1:]), diameter)
    return Indicators(np.sqrt(squares), float(np.sqrt(size))), left_out(np.sqrt(in_time))


def left_out(sizes: Array) -> float:
    """What a series leaves out: its last coefficient times the factor by which coefficients fall.

    sizes: of the coefficients of degrees 1 to q, at least five. Errors in space leave small coefficients that do not fall; the
    factor is then that of the first ones, and the last one is what it makes of the first.
    """
    factors = np.sort(sizes[1:] / np.maximum(sizes[:-1], 1e-300))
    if FLAT * sizes[-3] < sizes[-1] < SMALL * sizes[0]:
        factor = float(np.sqrt(factors[0] * factors[1]))
        return factor * float(min(sizes[-1], sizes[0] * factor ** (len(sizes) - 1)))
    return min(1.0, float(factors[1])) * float(sizes[-1])


def _smooth(patch: Patch, functions: Tensor) -> Tensor:
    """The part of functions of at most half of the degree in space, in cells that are boxes: errors in space are rough."""
    if len(patch.nodes) > 1:
        return functions
    low = legendre.exponents(patch.nodes.shape[2], patch.degree).sum(axis=1) <= patch.degree // 2
    return functions * torch.as_tensor(low).to(functions)


def _slopes(patch: Patch, functions: Tensor, diameter: float) -> Array:
    """The squared sizes ``(t,)`` of functions' slopes in some cells, and of their values over the size of the domain."""
    total = np.zeros(len(functions))
    for index in [(), *((k,) for k in range(patch.nodes.shape[2]))]:
        squares = (patch.weights[..., None] * patch.values(index, functions).square()).sum((1, 2, 3)).numpy()
        total += squares if index else squares / diameter**2
    return total
