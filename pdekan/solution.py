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

import pdekan.problem_file as problem_file
from pdekan.domains.box import Box
from pdekan.errors import Errors
from pdekan.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.objective import evaluate
from pdekan.output import vtkhdf
from pdekan.output.record import Record
from pdekan.output.samples import Axis, OutputError, Samples, field_name
from pdekan.problems import Problem, as_field

Array = NDArray[np.float64]
GRID = {1: 1001, 2: 101, 3: 41}  # default points an axis
SLICE_AXES = 2  # above three dimensions a slice is sampled: its first coordinates, the others at their middle


@dataclass(frozen=True, eq=False)
class Solution:
    """A trained network with the story of its training.

    status: "converged", "stalled", "budget" or "interrupted"; reason: the same in a sentence. residual, condition_residual:
    root mean squares on points that training has not seen; relative_residual: the larger of both, each relative to the size
    of its equation's terms, which is what the tolerance is held against. errors: by unknown, or None without an exact
    solution. history: columns step, seconds, stage, loss, residual and, where known, l2_mean_square, h1_mean_square.
    problem: None for a loaded solution whose problem was stated in Python.
    """

    domain: Box
    unknown: str
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
    relative_residual: float
    tolerance: float
    stage: int
    history: Mapping[str, Array]
    errors: Mapping[str, Errors] | None
    environment: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, points: ArrayLike) -> Array:
        """Values ``(n,)`` at points ``(n, d)``."""
        return self._jet(points, Derivatives.VALUE)[0]

    def gradient(self, points: ArrayLike) -> Array:
        """Gradients ``(n, d)`` at points ``(n, d)``, by every coordinate, t included."""
        return self._jet(points, Derivatives.GRADIENT)[1]

    def _jet(self, points: ArrayLike, level: Derivatives) -> tuple[Array, Array]:
        x = np.atleast_2d(np.array(points, dtype=np.float64))
        if x.ndim != 2 or x.shape[1] != self.domain.dimension:
            wanted = f"(n, {self.domain.dimension}), columns {', '.join(self.domain.coordinates)}"
            raise ValueError(f"points have shape {np.shape(points)}; needed is {wanted}")
        u = evaluate(self.network, self._tensor(x), Frame(self.domain.coordinates, level))
        gradient = np.empty((0, 0)) if u.gradient is None else u.gradient.cpu().numpy()
        return u.value.cpu().numpy(), gradient

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
        """Solution, gradient, and exact solution, error and residual where known, on a tensor grid of the given shape.

        Up to three dimensions the grid fills the domain; above, it is a slice over the first two coordinates through the
        middle of all others. Raises ValueError for a shape with the wrong number of axes.
        """
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
        values, gradient = self._jet(points, Derivatives.GRADIENT)
        fields = {
            self.unknown: values.reshape(shape),
            field_name("gradient", self.unknown, domain.coordinates): gradient.reshape(*shape, -1),
        }
        for role, array in self._checks(points, values).items():
            fields[field_name(role, self.unknown, domain.coordinates)] = array.reshape(shape)
        return Samples(axes, fields, self.unknown, cut)

    def _checks(self, points: Array, values: Array) -> dict[Any, Array]:
        """What the problem, if it is known, says about the solution at points: exact values, error, residual."""
        if self.problem is None:
            return {}
        x, out = self._tensor(points), {}
        if self.problem.exact is not None:
            exact = self.problem.exact_jet(x, Derivatives.VALUE).value.cpu().numpy()
            out["exact"], out["error"] = exact, values - exact
        operator = as_field(self.problem.equation)
        level = self.problem.level_of(operator, x[:2])
        parts = []
        for piece in torch.split(x, 8192):
            u = evaluate(self.network, piece, Frame(self.domain.coordinates, level))
            left = operator(self.problem.environment(piece, level, None, u)).value
            parts.append(
                (left - self.problem.right_hand_side(self.problem.source, operator, piece, level, None)).detach().cpu()
            )
        out["residual"] = torch.cat(parts).numpy()
        return out

    def summary(self) -> dict[str, Any]:
        """What `pdekan solve --json` prints, less the files: JSON-able, nan as None."""
        errors = None
        if self.errors is not None:
            errors = {name: {k: _finite(v) for k, v in asdict(e).items()} for name, e in self.errors.items()}
        paper = self.network.parameters_paper if isinstance(self.network, KAN) else None
        return {
            "schema": 1,
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "seed": self.seed,
            "network": architecture(self.network),
            "parameters": self.parameters,
            "parameters_paper": paper,
            "iterations": self.iterations,
            "seconds": self.seconds,
            "residual": _finite(self.residual),
            "condition_residual": _finite(self.condition_residual),
            "relative_residual": _finite(self.relative_residual),
            "tolerance": self.tolerance,
            "errors": errors,
            "bound": None,
            "parameters_found": {},
        }

    def save(self, path: str | os.PathLike[str], shape: Sequence[int] | None = None) -> None:
        """Write the HDF5 file that ParaView, xarray and `load_solution` open, whole or not at all."""
        vtkhdf.write(path, self.sample(shape), self.record())

    def record(self) -> Record:
        """All that `load_solution` needs, as plain data."""
        state = {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        config = {
            "domain": asdict(self.domain),
            "unknown": self.unknown,
            "summary": {k: v for k, v in self.summary().items() if k != "errors"},
            "stage": self.stage,
        }
        errors = None if self.errors is None else {name: asdict(e) for name, e in self.errors.items()}
        text = None if self.problem is None else self.problem.text
        return Record(text, config, state, self.history, errors, self.environment)


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def architecture(network: Network) -> dict[str, Any]:
    """What it takes to build a network of the same kind and sizes again."""
    if isinstance(network, KAN):
        sizes = {"degree": list(network.degree), "intervals": list(network.intervals), "base": network.base}
        products = {"products": list(network.products)} if any(network.products) else {}
        return {"kind": "kan", "widths": list(network.widths), **sizes, **products}
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
        summary, box = record.config["summary"], record.config["domain"]
        network = _rebuilt(summary["network"], record.parameters, path)
        errors = None
        if record.errors is not None:
            errors = {name: Errors(**values) for name, values in record.errors.items()}
        problem = None
        if record.problem_text is not None:
            problem = problem_file.loads(record.problem_text, where=f"{os.fspath(path)} (stored problem)")
        return Solution(
            domain=Box(tuple(box["coordinates"]), tuple(box["lower"]), tuple(box["upper"]), box["vector"]),
            unknown=record.config["unknown"],
            network=network,
            problem=problem,
            name=summary["name"],
            status=summary["status"],
            reason=summary["reason"],
            seed=summary["seed"],
            iterations=summary["iterations"],
            seconds=summary["seconds"],
            residual=_number(summary["residual"]),
            condition_residual=_number(summary["condition_residual"]),
            relative_residual=_number(summary["relative_residual"]),
            tolerance=summary["tolerance"],
            stage=record.config["stage"],
            history=record.history,
            errors=errors,
            environment=record.environment,
        )
    except (KeyError, TypeError) as error:
        raise OutputError(f"{os.fspath(path)}: the stored configuration lacks or misstates {error}") from None


def _rebuilt(config: Mapping[str, Any], parameters: Mapping[str, Array], path: str | os.PathLike[str]) -> Network:
    network: Network
    if config["kind"] == "kan":
        sizes = (config["widths"], config["degree"], config["intervals"], config["base"])
        network = KAN(*sizes, products=config.get("products"))
    elif config["kind"] == "mlp":
        network = MLP(config["widths"])
    else:
        raise OutputError(f"{os.fspath(path)}: its network was a torch module given in Python, which no file can rebuild")
    network.load_state_dict({name: torch.as_tensor(values) for name, values in parameters.items()})
    return network
