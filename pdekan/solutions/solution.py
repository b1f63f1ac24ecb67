"""Solutions: a trained network that stands for the unknown, with what is known about its error."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pdekan.ansatz.time_slabs import breaks, slab
from pdekan.ansatz.unknowns import build_ansatz, inner_network
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.storage import restored, stored
from pdekan.domains.triangulation import triangulation
from pdekan.errors.norms import Errors
from pdekan.errors.references import Reference
from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.output import vtkhdf
from pdekan.output.record import Record
from pdekan.output.samples import Axis, Grid, Mesh, OutputError, Samples, field_name, residual_names
from pdekan.problem_files import loader
from pdekan.problems.parameters import Measurements, with_known_value
from pdekan.problems.problem import Problem

Array = NDArray[np.float64]
GRID = {1: 1001, 2: 101, 3: 41}  # default points an axis
MESH = {2: 100, 3: 24}  # edges of a mesh along the longest side of the box around it
SLICE_AXES = 2  # above three dimensions a slice is sampled: its first coordinates, the others at their middle


@dataclass(frozen=True)
class Found:
    """A parameter that was found; standard_error: by the noise of the data, None where there are none."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """A trained network with the story of its training.

    status: "converged", "stalled", "budget" or "interrupted"; reason: the same in a sentence. residual, condition_residual,
    data_residual: root mean squares on points that training has not seen, the last None without data; relative_residual: the
    largest of them, each relative to the size of its equation's terms, which is what the tolerance is held against. errors: by
    unknown, or None without an exact solution. history: columns step, seconds, stage, loss, residual (relative),
    equation_residual, condition_residual and, where known, l2_mean_square, h1_mean_square of all unknowns together, and a
    column for each parameter. found: the parameters.
    problem: None for a loaded solution whose problem was stated in Python. reference: what the errors were measured against in
    place of formulas, None for a loaded solution. formula: the closed form that was found, see `formulas.report`.
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
    reference: Reference | None = None
    formula: Mapping[str, Any] | None = None

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
        """How many trainable numbers the network has."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def sampled_axes(self) -> int:
        """How many coordinates a grid of samples spans: all of them up to three, two above."""
        return self.domain.dimension if self.domain.dimension in GRID else SLICE_AXES

    def sample(self, shape: Sequence[int] | None = None) -> Samples:
        """Solutions, gradients, and exact solutions, errors and residuals where known.

        Without a shape on the domain's mesh, where it is no box; else on a tensor grid: up to three dimensions it fills the box
        around the domain, and values are nan outside of the domain; above, it is a slice over the first two coordinates
        through the middle of all others. Raises ValueError for a shape with the wrong number of axes.
        """
        layout, points = self._mesh() if shape is None and self._is_meshed else self._grid(shape)
        outside = None if isinstance(self.domain, Box) else ~self.domain.contains(points)
        fields = self._fields(points)
        if outside is not None and isinstance(layout, Grid):
            fields = {name: np.where(outside.reshape(-1, *(1,) * (v.ndim - 1)), np.nan, v) for name, v in fields.items()}
        fields = {name: values.reshape(*layout.shape, *values.shape[1:]) for name, values in fields.items()}
        return Samples(layout, fields, self.unknowns)

    @property
    def _is_meshed(self) -> bool:
        return not isinstance(self.domain, Box) and TIME not in self.domain.coordinates

    def _mesh(self) -> tuple[Mesh, Array]:
        """Triangles or tetrahedra that fill the domain, with their corners."""
        domain = self.domain
        size = max(b - a for a, b in zip(domain.lower, domain.upper, strict=True)) / MESH[domain.dimension]
        mesh = Mesh(domain.coordinates, *triangulation(domain, size))
        return mesh, mesh.points

    def _grid(self, shape: Sequence[int] | None) -> tuple[Grid, Array]:
        """A tensor grid with its points ``(n, d)``."""
        domain = self.domain
        spanned = self.sampled_axes
        shape = tuple(shape) if shape is not None else (GRID[spanned],) * spanned
        if len(shape) != spanned or min(shape) < 2:
            raise ValueError(f"grid {'x'.join(map(str, shape))}: it needs {spanned} numbers, each at least 2")
        ends = zip(domain.coordinates, domain.lower, domain.upper, shape, strict=False)
        axes = tuple(Axis(name, np.linspace(a, b, n)) for name, a, b, n in ends)
        middle = {name: 0.5 * (a + b) for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True)}
        cut = dict(list(middle.items())[spanned:])
        mesh = np.meshgrid(*(axis.values for axis in axes), indexing="ij")
        points = np.stack([m.ravel() for m in mesh] + [np.full(mesh[0].size, v) for v in cut.values()], axis=1)
        return Grid(axes, cut), points

    def _fields(self, points: Array) -> dict[str, Array]:
        """What is known at points, by the names of `output.samples`."""
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
        """The exact values at points, or the reference's, by unknown, as far as they are known."""
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

    def summary(self) -> dict[str, Any]:
        """What `pdekan solve --json` prints, less the files: JSON-able, nan as None."""
        errors = None
        if self.errors is not None:
            errors = {name: {k: _finite(v) for k, v in asdict(e).items()} for name, e in self.errors.items()}
        network = inner_network(self.network)
        paper = network.parameters_paper if isinstance(network, KAN) else None
        return {
            "schema": 1,
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "seed": self.seed,
            "network": architecture(inner_network(self.network)),
            "parameters": self.parameters,
            "parameters_paper": paper,
            "iterations": self.iterations,
            "seconds": self.seconds,
            "residual": _finite(self.residual),
            "condition_residual": _finite(self.condition_residual),
            "data_residual": None if self.data_residual is None else _finite(self.data_residual),
            "relative_residual": _finite(self.relative_residual),
            "tolerance": self.tolerance,
            "errors": errors,
            "reference": None if self.reference is None else self.reference.name,
            "bound": None,
            "parameters_found": {name: _plain_found(one) for name, one in self.found.items()},
        }

    def save(self, path: str | os.PathLike[str], shape: Sequence[int] | None = None) -> None:
        """Write the HDF5 file that ParaView, xarray and `load_solution` open, whole or not at all."""
        vtkhdf.write(path, self.sample(shape), self.record())

    def record(self) -> Record:
        """All that `load_solution` needs, as plain data."""
        state = {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        config = {
            "domain": stored(self.domain),
            "unknowns": list(self.unknowns),
            "data": [] if self.problem is None else [_plain(one) for one in self.problem.data],
            "summary": {k: v for k, v in self.summary().items() if k != "errors"},
            "stage": self.stage,
        }
        errors = None if self.errors is None else {name: asdict(e) for name, e in self.errors.items()}
        text = None if self.problem is None else self.problem.text
        return Record(text, config, state, self.history, errors, self.environment, self.formula)


def _plain_found(found: Found) -> dict[str, float | None]:
    return {key: None if value is None else _finite(value) for key, value in asdict(found).items()}


def _read_found(plain: Mapping[str, float | None]) -> Found:
    return Found(_number(plain["value"]), plain["standard_error"])


def _plain(measured: Measurements) -> dict[str, Any]:
    """Measurements as JSON, nan as None."""
    values = {name: [_finite(v) for v in column.tolist()] for name, column in measured.values.items()}
    return {"name": measured.name, "noise": measured.noise, "points": measured.points.tolist(), "values": values}


def _measurements(plain: Mapping[str, Any]) -> Measurements:
    values = {name: np.array([_nan(v) for v in column]) for name, column in plain["values"].items()}
    return Measurements(np.array(plain["points"]), values, plain["noise"], plain["name"])


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def architecture(network: Network) -> dict[str, Any]:
    """What it takes to build a network of the same kind and sizes again."""
    if isinstance(network, KAN):
        sizes = {"degree": list(network.degree), "intervals": list(network.intervals), "base": network.base}
        products = {"products": list(network.products)} if any(network.products) else {}
        pruned = {"pruned": [[list(edge) for edge in edges] for edges in network.pruned]} if any(network.pruned) else {}
        grading = {} if network.grading is None else {"grading": network.grading.shape[1]}
        return {"kind": "kan", "widths": list(network.widths), **sizes, **products, **pruned, **grading}
    if isinstance(network, PiecewiseInTime):
        parts = [architecture(inner_network(one)) for one in network.parts]
        return {"kind": "slabs", "breaks": list(network.breaks), "column": network.column, "networks": parts}
    if isinstance(network, MLP):
        return {"kind": "mlp", "widths": list(network.widths)}
    return {"kind": "module", "inputs": network.inputs, "outputs": network.outputs}


def environment() -> dict[str, Any]:
    """Versions, threads and processor: what a result may depend on."""
    return {
        "pdekan": version("pdekan"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def load_solution(path: str | os.PathLike[str]) -> Solution:
    """The trained solution in a run's HDF5 file, rebuilt from that file alone.

    Raises OutputError for a file that is not one of ours, and for a solution whose network was a torch module of the user's.
    """
    record = vtkhdf.read_record(path)
    try:
        config, summary = record.config, record.config["summary"]
        domain = restored(config["domain"])
        problem = None
        if record.problem_text is not None:
            data = [_measurements(one) for one in config.get("data", [])]
            where = f"{os.fspath(path)} (stored problem)"
            problem = loader.loads(record.problem_text, where, domain=domain, data=data)
        errors = None
        if record.errors is not None:
            errors = {name: Errors(**values) for name, values in record.errors.items()}
        return Solution(
            domain=domain,
            unknowns=tuple(config.get("unknowns") or [config["unknown"]]),  # runs of version 0.1.0 had one
            network=_rebuilt(summary["network"], record.parameters, problem, path),
            problem=problem,
            name=summary["name"],
            status=summary["status"],
            reason=summary["reason"],
            seed=summary["seed"],
            iterations=summary["iterations"],
            seconds=summary["seconds"],
            residual=_number(summary["residual"]),
            condition_residual=_number(summary["condition_residual"]),
            data_residual=summary.get("data_residual"),
            relative_residual=_number(summary["relative_residual"]),
            tolerance=summary["tolerance"],
            stage=config["stage"],
            history=record.history,
            errors=errors,
            environment=record.environment,
            found={name: _read_found(one) for name, one in summary["parameters_found"].items()},
            formula=record.formula,
        )
    except (KeyError, TypeError) as error:
        raise OutputError(f"{os.fspath(path)}: the stored configuration lacks or misstates {error}") from None


def _rebuilt(
    config: Mapping[str, Any], parameters: Mapping[str, Array], problem: Problem | None, path: str | os.PathLike[str]
) -> Network:
    if config["kind"] == "slabs":
        network: Network = _rebuilt_slabs(config, problem, path)
    else:
        network = _bare(config, path) if problem is None else build_ansatz(problem, _bare(config, path))
    try:
        network.load_state_dict({name: torch.as_tensor(values) for name, values in parameters.items()})
    except RuntimeError:
        raise OutputError(
            f"{os.fspath(path)}: its problem was stated in Python and has parameters, enrichments, interfaces or exact "
            "conditions, which no file can rebuild"
        ) from None
    return network


def _rebuilt_slabs(config: Mapping[str, Any], problem: Problem | None, path: str | os.PathLike[str]) -> PiecewiseInTime:
    networks: list[Network] = []
    times = None if problem is None else breaks(problem)
    for k, part in enumerate(config["networks"]):
        network = _bare(part, path)
        if problem is not None and times is not None:
            network = build_ansatz(slab(problem, times, k, networks[-1] if networks else None, 1.0), network)
        networks.append(network)
    return PiecewiseInTime(networks, config["breaks"], config["column"])


def _bare(config: Mapping[str, Any], path: str | os.PathLike[str]) -> Network:
    network: Network
    if config["kind"] == "kan":
        sizes = (config["widths"], config["degree"], config["intervals"], config["base"])
        pruned = [[(i, o) for i, o in edges] for edges in config["pruned"]] if "pruned" in config else None
        grading = torch.zeros(config["widths"][0], config["grading"], dtype=torch.float64) if "grading" in config else None
        network = KAN(*sizes, products=config.get("products"), pruned=pruned, grading=grading)
    elif config["kind"] == "mlp":
        network = MLP(config["widths"])
    else:
        raise OutputError(f"{os.fspath(path)}: its network was a torch module given in Python, which no file can rebuild")
    return network
