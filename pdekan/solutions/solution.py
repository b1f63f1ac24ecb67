"""The solution of a problem: a trained network, evaluated anywhere, with its errors and the data of its training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pdekan.domains.base import Domain
from pdekan.errors.estimate import Bound, Estimate
from pdekan.errors.norms import Errors
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.fields.jets import Derivatives
from pdekan.networks.base import Network
from pdekan.output import views
from pdekan.output.record import Record
from pdekan.output.samples import Labels, OutputError, Samples
from pdekan.problems.formulas import Formula
from pdekan.problems.problem import Problem
from pdekan.solutions import evaluation, exports, families, integrals, sampling, storage
from pdekan.solutions.known_fields import fields_at
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

    def __post_init__(self) -> None:
        if self.outside not in ("nan", "raise"):
            raise ValueError(f"outside is {self.outside!r}; it must be one of nan, raise")

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
            return evaluation.tensor_values(self, points)
        return evaluation.joined(self, evaluation.evaluated(self, points, Derivatives.VALUE, parameters), -1)

    def gradient(self, points: ArrayLike, **parameters: ArrayLike) -> Array:
        """Gradients ``(n, d)`` at points, by every coordinate, t included; of several unknowns ``(n, unknowns, d)``."""
        return evaluation.joined(self, evaluation.evaluated(self, points, Derivatives.GRADIENT, parameters), -2)

    def hessian(self, points: ArrayLike, **parameters: ArrayLike) -> Array:
        """Second derivatives ``(n, d, d)`` at points, by pairs of coordinates; of several unknowns ``(n, unknowns, d, d)``."""
        return evaluation.joined(self, evaluation.evaluated(self, points, Derivatives.FULL, parameters), -3)

    def integral(self, formula: Formula, on: str | Sequence[str] = "domain") -> float:
        """∫ of a formula of coordinates and unknowns, such as ``lambda u: u**2``, over the domain or over faces."""
        return integrals.integral(self, formula, on)

    def flux(self, on: str | Sequence[str] = "boundary", coefficient: Formula = 1.0, unknown: str | None = None) -> float:
        """∮ k n·∇u over faces, with n the outward normal and k the coefficient, for an unknown, by default the first."""
        return integrals.flux(self, on, coefficient, unknown or self.unknowns[0])

    def sensitivity(self, points: ArrayLike, parameter: str, **parameters: ArrayLike) -> Array:
        """Derivatives ``(n,)`` of a family by one of its parameters, otherwise as the call."""
        families.family_of(self.network, parameter)
        return evaluation.evaluated(self, points, Derivatives.VALUE, parameters, parameter)

    def member(self, **parameters: float) -> Solution:
        """The solution at values of a family's parameters. Raises ValueError for other names, and outside of the ranges."""
        return replace(self, **families.member(self.network, self.problem, parameters))

    def fit(self, points: ArrayLike, values: ArrayLike, unknown: str | None = None) -> dict[str, Found]:
        """The parameters of a family at which an unknown, by default the first, is nearest to values ``(n,)`` at points.

        By least squares, with standard errors from the misfit. Raises ValueError for points outside of the domain.
        """
        place, family = self.unknowns.index(unknown or self.unknowns[0]), families.family_of(self.network)
        x, outside = evaluation.checked(self, points)
        evaluation.refuse_outside(x, outside)
        parts = np.stack([evaluation.jet(self, x, Derivatives.VALUE, one)[0][:, place] for one in family.parts])
        fitted = families.fit(family, parts, np.asarray(values, dtype=np.float64))
        return {name: Found(*one) for name, one in fitted.items()}

    @property
    def parameters(self) -> int:
        """The number of trainable parameters of the network."""
        return self.network.parameter_count

    def sample(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> Samples:
        """Solutions, gradients, and exact solutions, errors and residuals where known.

        On a mesh or a tensor grid, at times or at those that the problem asks for, see `sampling.sample`. Raises ValueError
        for a shape with the wrong number of axes, and for times that are not in the domain.
        """
        problem = self.problem
        if times is None and shape is None and problem is not None and problem.times:
            times = problem.times
        return sampling.sample(self.domain, self.unknowns, partial(fields_at, self), shape, times, _labels(problem))

    def save(
        self, path: str | os.PathLike[str], shape: Sequence[int] | None = None, times: Sequence[float] | None = None
    ) -> None:
        """Write a file of the kind that its ending names, whole or not at all.

        ".vtkhdf" is what `load_solution` and ParaView open, ".pvd" is for any ParaView, ".nc" for xarray, ".png", ".svg" and
        ".pdf" are figures, ".pt2" and ".onnx" the network for torch and ONNX; see `exports`.
        """
        exports.save(self, path, shape, times)

    def plot(
        self, unknown: str | None = None, shape: Sequence[int] | None = None, times: Sequence[float] | None = None
    ) -> Figure:
        """A matplotlib figure of an unknown, by default the first; shape: points along each axis.

        times: at which it is drawn, in one dimension of space as curves, of which there are at most five. Raises ValueError as
        `sample`.
        """
        from pdekan.output import figures  # matplotlib takes a third of a second

        samples = self.sample(shape, times)
        return figures.solution(samples, unknown) if times is None else figures.at_times(samples, unknown)

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
        stated = {} if self.problem is None else self.problem.described()
        return views.to_html(
            self.name, stated | described(self), self.plot(), f"the solution {self.unknowns[0]} of {self.name}"
        )

    def record(self) -> Record:
        """All that `load_solution` needs, as plain data."""
        return storage.record(vars(self))


def _labels(problem: Problem | None) -> Labels:
    """Units and vectors of a problem's samples, and what its errors are measured against."""
    if problem is None:
        return Labels()
    return Labels(problem.units, problem.vectors, "exact" if problem.exact_reference is None else "reference")


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
    try:
        found = {name: Found(**one) for name, one in fields.pop("found").items()}
        outputs = {name: Output(**one) for name, one in fields.pop("outputs").items()}
    except TypeError as error:  # of a name that they do not have
        raise OutputError(f"{os.fspath(path)}: the stored configuration misstates something ({error})") from None
    return Solution(**fields, found=found, outputs=outputs)
