"""The solution of a problem: a trained network, evaluated anywhere, with its errors and the data of its training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pdekan.domains.base import Domain
from pdekan.errors.estimate import Estimate
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.output import vtkhdf
from pdekan.output.record import Record
from pdekan.output.samples import Samples, field_name, residual_names
from pdekan.problems.parameters import with_known_value
from pdekan.problems.problem import Problem
from pdekan.solutions import sampling, storage

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """The value of a parameter that was found; standard_error: due to the noise of the data, None without data."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """A trained network with the result of its training.

    status: "converged", "unreliable", "stalled", "budget" or "interrupted"; reason: the same in a sentence. residual,
    condition_residual, data_residual: root mean squares on points that training has not seen, the last None without data;
    relative_residual: the largest of them, each relative to the size of its equation's terms. tolerance: of the estimated
    relative L2 error where an estimate is reliable, else of the relative residual. errors: by
    unknown, or None without an exact solution. history: columns step, seconds, stage, loss, residual (relative),
    equation_residual, condition_residual and, where known, l2_mean_square, h1_mean_square of all unknowns together, and a
    column for each parameter. found: the parameters.
    problem: None for a loaded solution whose problem was stated in Python. reference: what the errors were measured against in
    place of formulas, None for a loaded solution. formula: the closed form that was found, see `symbolic.report`. estimate: the
    estimated errors by unknown, or None for a reason, see `training.estimate`.
    """

    domain: Domain
    unknowns: tuple[str, ...]
    network: Network
    problem: Problem | None
    name: str
    status: str
    reason: str
    seed: int
    iterations: int
    seconds: float
    residual: float
    condition_residual: float
    data_residual: float | None
    relative_residual: float
    tolerance: float
    stage: int
    history: Mapping[str, Array]
    errors: Mapping[str, Errors] | None
    environment: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    reference: ReferenceSolution | None = None
    formula: Mapping[str, Any] | None = None
    estimate: Mapping[str, Estimate] | None = None
    estimate_reason: str | None = None

    def __call__(self, points: ArrayLike) -> Array:
        """Values ``(n,)`` at points ``(n, d)``; of several unknowns ``(n, unknowns)``."""
        values = self._jet(points, Derivatives.VALUE)[0]
        return values[:, 0] if len(self.unknowns) == 1 else values

    def gradient(self, points: ArrayLike) -> Array:
        """Gradients ``(n, d)`` at points, by every coordinate, t included; of several unknowns ``(n, unknowns, d)``."""
        gradient = self._jet(points, Derivatives.GRADIENT)[1]
        return gradient[:, 0] if len(self.unknowns) == 1 else gradient

    def _jet(self, points: ArrayLike, level: Derivatives) -> tuple[Array, Array]:
        """Values ``(n, unknowns)`` and gradients ``(n, unknowns, d)``."""
        x = np.atleast_2d(np.array(points, dtype=np.float64))
        if x.ndim != 2 or x.shape[1] != self.domain.dimension:
            wanted = f"(n, {self.domain.dimension}), columns {', '.join(self.domain.coordinates)}"
            raise ValueError(f"points have shape {np.shape(points)}; needed is {wanted}")
        u, count = evaluate(self.network, self._tensor(x), Frame(self.domain.coordinates, level)), len(self.unknowns)
        gradient = np.empty((0, 0, 0)) if u.gradient is None else u.gradient[:, :count].cpu().numpy()
        return u.value[:, :count].cpu().numpy(), gradient

    def _tensor(self, points: Array) -> torch.Tensor:
        return torch.as_tensor(points, dtype=torch.float64, device=next(self.network.parameters()).device)

    @property
    def parameters(self) -> int:
        """The number of trainable parameters of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def sample(self, shape: Sequence[int] | None = None) -> Samples:
        """Solutions, gradients, and exact solutions, errors and residuals where known.

        On a mesh or a tensor grid, see `sampling.sample`. Raises ValueError for a shape with the wrong number of axes.
        """
        return sampling.sample(self.domain, self.unknowns, self._fields, shape)

    def save(self, path: str | os.PathLike[str], shape: Sequence[int] | None = None) -> None:
        """Write the HDF5 file that ParaView, xarray and `load_solution` open, whole or not at all."""
        vtkhdf.write(path, self.sample(shape), self.record())

    def record(self) -> Record:
        """All that `load_solution` needs, as plain data."""
        return storage.record(vars(self))

    def _fields(self, points: Array) -> dict[str, Array]:
        """Solutions, gradients, exact solutions, errors and residuals at points, by the names of `output.samples`."""
        coordinates, fields = self.domain.coordinates, {}
        values, gradients = self._jet(points, Derivatives.GRADIENT)
        exact = self._exact(points)
        for k, name in enumerate(self.unknowns):
            fields[name] = values[:, k]
            fields[field_name("gradient", name, coordinates, self.unknowns)] = gradients[:, k]
            if name in exact:
                fields[field_name("exact", name, coordinates, self.unknowns)] = exact[name]
                fields[field_name("error", name, coordinates, self.unknowns)] = values[:, k] - exact[name]
        return fields | self._residuals(points)

    def _exact(self, points: Array) -> dict[str, Array]:
        """The exact solutions at points, or those of the reference, by unknown; of unknowns without one there is none."""
        if self.reference is not None:
            return {name: values for name, (values, _) in self.reference(points).items()}
        if self.problem is None:
            return {}
        environment = self.problem.environment(self._tensor(points), Derivatives.VALUE)
        return {name: formula(environment).value.cpu().numpy() for name, formula in self.problem.exact_fields.items()}

    def _residuals(self, points: Array) -> dict[str, Array]:
        """The residuals of the equations at points."""
        problem = self.problem
        if problem is None:
            return {}
        x, out = self._tensor(points), {}
        names = residual_names(len(problem.equations), self.domain.coordinates, self.unknowns)
        for name, equation in zip(names, problem.equations, strict=True):
            operator, source = with_known_value(equation.operator, equation.source, problem.parameters)
            level = problem.level_of(operator, x[:2])
            parts = []
            for piece in torch.split(x, 8192):
                jet = evaluate(self.network, piece, Frame(self.domain.coordinates, level))
                sought = {one: jet[k] for k, one in enumerate(problem.sought)}
                left = operator(problem.environment(piece, level, None, sought)).value
                parts.append((left - problem.right_hand_side(source, operator, piece, level, None)).detach().cpu())
            out[name] = torch.cat(parts).numpy()
        return out


def load_solution(path: str | os.PathLike[str]) -> Solution:
    """The trained solution in a run's HDF5 file, rebuilt from that file alone.

    Raises OutputError for a file that is not one of ours, and for a solution whose network was a torch module of the user's.
    """
    fields = storage.load(path)
    found = {name: Found(**one) for name, one in fields.pop("found").items()}
    return Solution(**fields, found=found)
