"""The solution of a problem: a trained network, evaluated anywhere, with its errors and the data of its training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pdekan.domains.base import Domain
from pdekan.errors.bounds import Bound
from pdekan.errors.estimate import Estimate
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.family import FamilyNetwork
from pdekan.output import views
from pdekan.output.record import Record
from pdekan.output.samples import Labels, Samples, field_name, polar_names
from pdekan.problems.formulas import Formula
from pdekan.problems.problem import Problem
from pdekan.solutions import exports, families, integrals, sampling, storage, tensors
from pdekan.solutions.known_fields import exact_values, residual_values
from pdekan.solutions.outputs import Output
from pdekan.solutions.solved import Found

if TYPE_CHECKING:
    import xarray

    from pdekan.output.figures import Figure

SOLUTION = "solution.vtkhdf"  # the file of a run's solution in its directory
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
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
    estimated errors by unknown, or None for a reason, see `training.estimate`. bound: of the energy norm of the error, where it
    was asked for. continuation: where training goes on, see `training.continuation`. outside: what is returned at points that
    are not in the domain, "nan", or "raise" for a ValueError. family: of a family, its ranges, nodes, errors and estimates as
    `training.family_training` has them; where a single solution is asked for, it is the one in the middle of all ranges.
    outputs: the quantities that the problem names; of a family those of the member in the middle.
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
    bound: Bound | None = None
    continuation: Mapping[str, Any] | None = None
    outside: Literal["nan", "raise"] = "nan"
    family: Mapping[str, Any] | None = None
    outputs: Mapping[str, Output] = field(default_factory=dict)

    @overload
    def __call__(self, points: torch.Tensor) -> torch.Tensor: ...
    @overload
    def __call__(self, points: ArrayLike, **parameters: ArrayLike) -> Array: ...
    def __call__(self, points: torch.Tensor | ArrayLike, **parameters: ArrayLike) -> torch.Tensor | Array:
        """Values ``(n,)`` at points ``(n, d)``; of several unknowns ``(n, unknowns)``. Raises ValueError as `outside` says.

        A tensor of points gives a tensor, which autograd differentiates by them.

        parameters: of a family, a value of each; with m values there are ``(m, n)`` values of the solution. Points with further
        columns, one for each parameter, have values of their own. Values of complex unknowns are complex, with one number for
        both of their parts, and so are derivatives.
        """
        if isinstance(points, torch.Tensor) and not parameters:
            return tensors.values(self, points)
        return self._joined(self._evaluated(points, Derivatives.VALUE, parameters), -1)

    def gradient(self, points: ArrayLike, **parameters: ArrayLike) -> Array:
        """Gradients ``(n, d)`` at points, by every coordinate, t included; of several unknowns ``(n, unknowns, d)``."""
        return self._joined(self._evaluated(points, Derivatives.GRADIENT, parameters), -2)

    def hessian(self, points: ArrayLike, **parameters: ArrayLike) -> Array:
        """Second derivatives ``(n, d, d)`` at points, by pairs of coordinates; of several unknowns ``(n, unknowns, d, d)``."""
        return self._joined(self._evaluated(points, Derivatives.FULL, parameters), -3)

    def integral(self, formula: Formula, on: str | Sequence[str] = "domain") -> float:
        """∫ of a formula of coordinates and unknowns, such as ``lambda u: u**2``, over the domain or over faces."""
        return integrals.integral(self, formula, on)

    def flux(self, on: str | Sequence[str] = "boundary", coefficient: Formula = 1.0, unknown: str | None = None) -> float:
        """∮ k n·∇u over faces, with n the outward normal and k the coefficient, for an unknown, by default the first."""
        return integrals.flux(self, on, coefficient, unknown or self.unknowns[0])

    def sensitivity(self, points: ArrayLike, parameter: str, **parameters: ArrayLike) -> Array:
        """Derivatives ``(n,)`` of a family by one of its parameters, otherwise as the call."""
        families.family_of(self.network, parameter)
        return self._evaluated(points, Derivatives.VALUE, parameters, parameter)

    def member(self, **parameters: float) -> Solution:
        """The solution at values of a family's parameters. Raises ValueError for other names, and outside of the ranges."""
        return replace(self, **families.member(self.network, self.problem, parameters))

    def fit(self, points: ArrayLike, values: ArrayLike, unknown: str | None = None) -> dict[str, Found]:
        """The parameters of a family at which an unknown, by default the first, is nearest to values ``(n,)`` at points.

        By least squares, with standard errors from the misfit. Raises ValueError for points outside of the domain.
        """
        place, family = self.unknowns.index(unknown or self.unknowns[0]), families.family_of(self.network)
        x, outside = self._checked(points, self.domain.dimension)
        if outside.any():
            raise ValueError(f"{outside.sum()} of {len(x)} points are outside of the domain, the first is {x[outside][0]}")
        parts = np.stack([self._jet(x, Derivatives.VALUE, one)[0][:, place] for one in family.parts])
        fitted = families.fit(family, parts, np.asarray(values, dtype=np.float64))
        return {name: Found(*one) for name, one in fitted.items()}

    def _evaluated(
        self, points: ArrayLike, level: Derivatives, parameters: Mapping[str, ArrayLike], by: str | None = None
    ) -> Array:
        """The highest derivatives of a level at points, nan outside of the domain; by: a parameter of the family."""
        family = families.family_of(self.network) if parameters or isinstance(self.network, FamilyNetwork) else None
        d, more = self.domain.dimension, 0 if family is None or parameters else len(family.ranges)
        x, outside = self._checked(points, d, more)
        if self.outside == "raise" and outside.any():
            raise ValueError(f"{outside.sum()} of {len(x)} points are outside of the domain, the first is {x[outside][0]}")
        if family is None:
            values = self._jet(x, level)[-1]
            values[outside] = np.nan
            return values[:, 0] if len(self.unknowns) == 1 else values
        jets = np.stack([self._jet(x[:, :d], level, one)[-1] for one in family.parts])
        jets[:, outside] = np.nan
        jets = jets[:, :, 0] if len(self.unknowns) == 1 else jets
        if not parameters:
            weights = family.weights(families.checked(family, dict(zip(family.ranges, x[:, d:].T, strict=True))), by)
            return np.asarray(np.einsum("nj,jn...->n...", weights, jets))
        given = families.checked(family, parameters)
        found = np.tensordot(family.weights(given, by), jets, 1)
        return np.asarray(found[0] if all(np.ndim(value) == 0 for value in parameters.values()) else found)

    def _joined(self, values: Array, axis: int) -> Array:
        """Values with the parts of complex unknowns, which lie along an axis, made one."""
        parts = {} if self.problem is None else dict(self.problem.complex.values())
        if not parts:
            return values
        columns: list[Any] = []
        for k, name in enumerate(self.unknowns):
            if name in parts:
                columns.append(values.take(k, axis) + 1j * values.take(self.unknowns.index(parts[name]), axis))
            elif name not in parts.values():
                columns.append(values.take(k, axis))
        return np.asarray(columns[0] if len(columns) == 1 else np.stack(columns, axis))

    def _checked(self, points: ArrayLike, d: int, more: int = 0) -> tuple[Array, NDArray[np.bool_]]:
        """Points ``(n, d + more)``, and which are outside of the domain. Raises ValueError for another shape."""
        x = np.atleast_2d(np.array(points, dtype=np.float64))
        if x.ndim != 2 or x.shape[1] != d + more:
            names = (*self.domain.coordinates, *(families.family_of(self.network).ranges if more else ()))
            hint = f"; or points of {', '.join(self.domain.coordinates)}, and the parameters by name" if more else ""
            raise ValueError(
                f"points have shape {np.shape(points)}; needed is (n, {d + more}), columns {', '.join(names)}{hint}"
            )
        return x, ~self.domain.contains(x[:, :d])

    def _jet(self, points: Array, level: Derivatives, network: Network | None = None) -> list[Array]:
        """Values ``(n, unknowns)`` and, as the level has them, gradients ``(…, d)`` and second derivatives ``(…, d, d)``."""
        frame, count = Frame(self.domain.coordinates, level), len(self.unknowns)
        u = evaluate(network or self.network, self.tensor(points), frame)
        found = [u.value[:, :count].cpu().numpy()]
        if u.gradient is not None:
            found.append(u.gradient[:, :count].cpu().numpy())
        if u.second is not None:
            found.append(_unpacked(u.second[:, :count].cpu().numpy(), u.frame))
        return found

    def tensor(self, points: Array) -> torch.Tensor:
        """Points on the device of the network."""
        return torch.as_tensor(points, dtype=torch.float64, device=next(self.network.parameters()).device)

    @property
    def parameters(self) -> int:
        """The number of trainable parameters of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def sample(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> Samples:
        """Solutions, gradients, and exact solutions, errors and residuals where known.

        On a mesh or a tensor grid, at times or at those that the problem asks for, see `sampling.sample`. Raises ValueError
        for a shape with the wrong number of axes, and for times that are not in the domain.
        """
        problem = self.problem
        if times is None and shape is None and problem is not None and problem.times:
            times = problem.times
        return sampling.sample(self.domain, self.unknowns, self._fields, shape, times, _labels(problem))

    def save(
        self, path: str | os.PathLike[str], shape: Sequence[int] | None = None, times: Sequence[float] | None = None
    ) -> None:
        """Write a file of the kind that its ending names, whole or not at all.

        ".vtkhdf" is what `load_solution` and ParaView open, ".nc" is for xarray, ".png", ".svg", ".pdf" are figures, ".pt2",
        ".onnx" the network for torch and ONNX; see `exports`.
        """
        exports.save(self, path, shape, times)

    def plot(self, unknown: str | None = None, shape: Sequence[int] | None = None) -> Figure:
        """A matplotlib figure of an unknown, by default the first; shape: points along each axis."""
        from pdekan.output import figures  # matplotlib takes a third of a second

        return figures.solution(self.sample(shape), unknown)

    def to_xarray(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> xarray.Dataset:
        """The samples of `sample` as a dataset; a domain that is no box needs a shape. Raises OutputError without one."""
        return views.to_xarray(self.sample(shape, times))

    def to_pyvista(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> views.PyVistaData:
        """The samples of `sample` as a PyVista grid or mesh; where there is time beside space, a block for each time."""
        return views.to_pyvista(self.sample(shape, times))

    def __repr__(self) -> str:
        rows = "; ".join(f"{name} {text}" for name, text in described(self).items())
        return f"<Solution of {self.name}: {rows}>"

    def _repr_html_(self) -> str:
        return views.to_html(self.name, described(self), self.plot(), f"the solution {self.unknowns[0]} of {self.name}")

    def record(self) -> Record:
        """All that `load_solution` needs, as plain data."""
        return storage.record(vars(self))

    def _fields(self, points: Array) -> dict[str, Array]:
        """Solutions, gradients, exact solutions, errors and residuals at points, by the names of `output.samples`."""
        coordinates, fields = self.domain.coordinates, {}
        values, gradients = self._jet(points, Derivatives.GRADIENT)
        exact = exact_values(self.problem, self.reference, self.tensor(points))
        for k, name in enumerate(self.unknowns):
            fields[name] = values[:, k]
            fields[field_name("gradient", name, coordinates, self.unknowns)] = gradients[:, k]
            if name in exact:
                fields[field_name("exact", name, coordinates, self.unknowns)] = exact[name]
                fields[field_name("error", name, coordinates, self.unknowns)] = values[:, k] - exact[name]
        for name, (real, imaginary) in ({} if self.problem is None else self.problem.complex).items():
            modulus, phase = polar_names(name)
            fields[modulus] = np.hypot(fields[real], fields[imaginary])
            fields[phase] = np.arctan2(fields[imaginary], fields[real])
        return fields | residual_values(self.problem, self.network, self.tensor(points))


def _labels(problem: Problem | None) -> Labels:
    """Units and vectors of a problem's samples, and what its errors are measured against."""
    if problem is None:
        return Labels()
    return Labels(problem.units, problem.vectors, "exact" if problem.exact_reference is None else "reference")


def _unpacked(second: Array, frame: Frame) -> Array:
    """Symmetric matrices ``(…, d, d)`` from their packed upper triangles ``(…, s)``."""
    rows, columns = frame.packed
    full = np.empty((*second.shape[:-1], frame.dimension, frame.dimension))
    full[..., rows, columns] = full[..., columns, rows] = second
    return full


def described(solution: Solution) -> dict[str, str]:
    """A solution in short: what was solved for, how training ended, errors and estimates, by name."""
    rows = {
        "unknowns": f"{', '.join(solution.unknowns)} of {', '.join(solution.domain.coordinates)}",
        "status": solution.status,
        "relative residual": f"{solution.relative_residual:.1e}",
    }
    for what, norms in (("estimated error", solution.estimate), ("error", solution.errors)):
        for name, one in (norms or {}).items():
            rows[f"{what} of {name}"] = f"L2 {one.l2_relative:.1e}, H1 seminorm {one.h1_seminorm_relative:.1e} (relative)"
    return rows | {name: f"{one.value:.6g}" for name, one in solution.found.items()}


def load_solution(path: str | os.PathLike[str]) -> Solution:
    """The trained solution in a run's HDF5 file, or in a run's directory, rebuilt from that file alone.

    Raises OutputError for a file that is not one of ours, and for a solution whose network was a torch module of the user's.
    """
    fields = storage.load(Path(path) / SOLUTION if Path(path).is_dir() else path)
    found = {name: Found(**one) for name, one in fields.pop("found").items()}
    outputs = {name: Output(**one) for name, one in fields.pop("outputs").items()}
    return Solution(**fields, found=found, outputs=outputs)
