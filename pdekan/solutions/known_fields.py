"""Fields of a solution at points by their names: values, exact solutions, errors, and residuals of the equations."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.output.samples import field_name, polar_names, residual_names
from pdekan.problems.parameters import with_known_value
from pdekan.problems.problem import Problem
from pdekan.solutions.evaluation import jet, on_device
from pdekan.solutions.solved import Solved

Array = NDArray[np.float64]
CHUNK = 8192  # points evaluated at a time


def fields_at(solution: Solved, points: Array) -> dict[str, Array]:
    """Solutions, gradients, exact solutions, errors and residuals at points, by the names of `output.samples`."""
    coordinates, at, fields = solution.domain.coordinates, on_device(solution.network, points), {}
    values, gradients = jet(solution, points, Derivatives.GRADIENT)
    exact = exact_values(solution.problem, solution.reference, at)
    for k, name in enumerate(solution.unknowns):
        fields[name] = values[:, k]
        fields[field_name("gradient", name, coordinates, solution.unknowns)] = gradients[:, k]
        if name in exact:
            fields[field_name("exact", name, coordinates, solution.unknowns)] = exact[name]
            fields[field_name("error", name, coordinates, solution.unknowns)] = values[:, k] - exact[name]
    for name, (real, imaginary) in ({} if solution.problem is None else solution.problem.complex).items():
        modulus, phase = polar_names(name)
        fields[modulus] = np.hypot(fields[real], fields[imaginary])
        fields[phase] = np.arctan2(fields[imaginary], fields[real])
    return fields | residual_values(solution.problem, solution.network, at)


def exact_values(problem: Problem | None, reference: ReferenceSolution | None, points: Tensor) -> dict[str, Array]:
    """The exact solutions ``(n,)``, or those of the reference, by unknown; of unknowns without one there is none."""
    if reference is not None:
        return {name: values for name, (values, _) in reference(points.cpu().numpy()).items()}
    if problem is None:
        return {}
    environment = problem.environment(points, Derivatives.VALUE)
    return {name: formula(environment).value.cpu().numpy() for name, formula in problem.exact_fields.items()}


def residual_values(problem: Problem | None, network: Network, points: Tensor) -> dict[str, Array]:
    """The residuals ``(n,)`` of the equations, by the names of `output.samples`."""
    if problem is None:
        return {}
    out = {}
    names = residual_names(len(problem.equations), problem.domain.coordinates, problem.unknowns)
    for name, equation in zip(names, problem.equations, strict=True):
        operator, source = with_known_value(equation.operator, equation.source, problem.parameters)
        level = problem.level_of(operator, points[:2])
        parts = []
        for piece in torch.split(points, CHUNK):
            jet = evaluate(network, piece, Frame(problem.domain.coordinates, level))
            sought = {one: jet[k] for k, one in enumerate(problem.sought)}
            left = operator(problem.environment(piece, level, None, sought)).value
            parts.append((left - problem.right_hand_side(source, operator, piece, level, None)).detach().cpu())
        out[name] = torch.cat(parts).numpy()
    return out
