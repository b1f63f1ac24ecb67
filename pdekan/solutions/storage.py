"""The record of a solution in its file: the fields of a `Solution` as plain data, and back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pdekan.ansatz.time_slabs import breaks, slab
from pdekan.ansatz.unknowns import build_ansatz
from pdekan.domains.registry import restored, stored
from pdekan.errors.estimate import Bound, Estimate
from pdekan.errors.norms import Errors
from pdekan.networks import kinds
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.family import FamilyNetwork, MemberNetwork, at_node
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.output import vtkhdf
from pdekan.output.hdf5 import DAMAGE
from pdekan.output.record import Record, finite
from pdekan.output.samples import OutputError
from pdekan.problem_files import loader
from pdekan.problems.parameters import Measurements, Parameter
from pdekan.problems.problem import Problem
from pdekan.problems.tables import Table
from pdekan.solutions.stored_data import check_numbers, check_outcome, check_sizes

# Fields that are stored under their own names. Residuals that are not finite are stored as null and read as infinite.
PLAIN = ("name", "status", "reason", "seed", "iterations", "seconds", "tolerance")
RESIDUALS = ("residual", "condition_residual", "relative_residual")


def record(solution: Mapping[str, Any]) -> Record:
    """What `load` needs to restore the fields of a solution, given by their names."""
    network, problem, errors = solution["network"], solution["problem"], solution["errors"]
    estimate = solution["estimate"]
    outcome = {name: solution[name] for name in (*PLAIN, *RESIDUALS, "data_residual")} | {
        "network": network.architecture(),
        "parameters_found": {name: asdict(one) for name, one in solution["found"].items()},
        "estimate": None if estimate is None else {name: asdict(one) for name, one in estimate.items()},
        "estimate_reason": solution["estimate_reason"],
        "family": solution["family"],
        "outputs": {name: one.plain() for name, one in solution["outputs"].items()},
        "bound": None if solution["bound"] is None else asdict(solution["bound"]),
    }
    config = {
        "domain": stored(solution["domain"]),
        "unknowns": list(solution["unknowns"]),
        "data": [] if problem is None else [_plain(one) for one in problem.data],
        **_tables(problem),
        "summary": finite(outcome),  # by this name since version 0.1.0
        "stage": solution["stage"],
    }
    return Record(
        problem_text=None if problem is None else problem.text,
        config=config,
        parameters={name: value.detach().cpu().numpy() for name, value in network.state_dict().items()},
        history=solution["history"],
        errors=None if errors is None else {name: asdict(one) for name, one in errors.items()},
        environment=solution["environment"],
        formula=solution["formula"],
        continuation=solution["continuation"],
        tables={} if problem is None else _arrays(problem.tables),
    )


FROM_PYTHON = (
    "its problem was stated in Python and has parameters, enrichments, interfaces or exact conditions, "
    "which no file can rebuild"
)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of the solution in a file by their names; those of parameters that were found as mappings.

    Raises OutputError for a file that is not one of ours, and for a network that no file can rebuild. A file may come from
    anyone: what it states is taken apart as data, and its sizes are compared before anything is made of them.
    """
    record, file = vtkhdf.read_record(path), os.fspath(path)
    try:
        return _fields(record, file)
    except OutputError as error:
        raise OutputError(f"{file}: {error}") from None
    except DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise OutputError(f"{file}: the stored configuration lacks or misstates something ({reason})") from None


def _fields(record: Record, file: str) -> dict[str, Any]:
    config, outcome = record.config, record.config["summary"]
    check_outcome(outcome)
    domain, problem = restored({"type": "box", **config["domain"]}), None  # version 0.1.0 had boxes only, without a type
    if record.problem_text is not None:
        data = [_measurements(one) for one in config.get("data", [])]
        tables = [_table(name, one, record.tables) for name, one in config.get("fields", {}).items()]
        problem = loader.loads(record.problem_text, f"{file} (stored problem)", domain=domain, data=data, tables=tables)
    errors, estimate = record.errors, outcome.get("estimate")
    unknowns = tuple(config.get("unknowns") or [config["unknown"]])  # runs of version 0.1.0 had one
    check_numbers(errors or {}, "errors")
    network = _network(outcome["network"], record.parameters, problem)
    if isinstance(network, MemberNetwork) and problem is not None:
        problem = problem.member(**network.values)
    if network.inputs != domain.dimension or (problem is not None and problem.unknowns != unknowns):
        raise OutputError("its network, its problem and its domain do not belong together")
    return {
        **{name: outcome[name] for name in PLAIN},
        **{name: _or_infinite(outcome[name]) for name in RESIDUALS},
        "data_residual": outcome.get("data_residual"),
        "domain": domain,
        "unknowns": unknowns,
        "network": network,
        "problem": problem,
        "stage": config["stage"],
        "history": record.history,
        "errors": None if errors is None else {name: Errors(**values) for name, values in errors.items()},
        "environment": record.environment,
        "found": {name: one | {"value": _or_infinite(one["value"])} for name, one in outcome["parameters_found"].items()},
        "formula": record.formula,
        "continuation": record.continuation,
        "estimate": None if estimate is None else {name: Estimate(**_or_nan(values)) for name, values in estimate.items()},
        "estimate_reason": outcome.get("estimate_reason"),
        "bound": _bound(outcome.get("bound")),
        "family": outcome.get("family"),
        "outputs": outcome.get("outputs") or {},
    }


def _bound(values: Mapping[str, Any] | None) -> Bound | None:
    return None if values is None else Bound(**_or_nan(values) | {"assumptions": tuple(values["assumptions"])})


def _or_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def _network(architecture: Mapping[str, Any], parameters: Mapping[str, NDArray[Any]], problem: Problem | None) -> Network:
    """The network with its parameters, in the ansatz of the problem where there is one."""
    check_sizes(architecture, sum(values.size for values in parameters.values()))
    network = _empty(architecture, problem)
    try:
        if not all(np.isfinite(values).all() for values in parameters.values()):
            raise OutputError("a parameter of its network is not finite: there is no solution in it; solve again with --force")
        network.load_state_dict({name: torch.as_tensor(values) for name, values in _renamed(parameters, problem).items()})
    except RuntimeError:
        raise OutputError(FROM_PYTHON) from None
    if isinstance(network, CellNetwork) and network.partition.parted.any() and network.regions is None:
        raise OutputError(FROM_PYTHON)
    return network


def _empty(architecture: Mapping[str, Any], problem: Problem | None) -> Network:
    """A network without the values of its parameters, in the ansatz of the problem where there is one."""
    if architecture["kind"] == "slabs":
        return _slabs(architecture, problem)
    if architecture["kind"] == "family":
        return _family(architecture, problem)
    bare = _bare(architecture)
    return bare if problem is None else build_ansatz(problem, bare)


def _renamed(parameters: Mapping[str, NDArray[Any]], problem: Problem | None) -> dict[str, NDArray[Any]]:
    """The parameters by their present names. Up to version 0.1.0 files have numbers s in place of the problem's parameters."""
    state = dict(parameters)
    if "scalars" in state and problem is not None:
        pairs = zip(problem.parameters.values(), state.pop("scalars").tolist(), strict=True)
        state["values"] = np.array([_between_bounds(parameter, s) for parameter, s in pairs])
    return state


def _between_bounds(parameter: Parameter, s: float) -> float:
    """s itself, a + eˢ, b - eˢ, or a + (b - a)/(1 + e⁻ˢ), by which of the bounds a and b are finite."""
    a, b = parameter.lower, parameter.upper
    if math.isinf(a) and math.isinf(b):
        return s
    if math.isinf(b):
        return a + math.exp(s)
    return b - math.exp(s) if math.isinf(a) else a + 0.5 * (b - a) * (1.0 + math.tanh(0.5 * s))


def _slabs(architecture: Mapping[str, Any], problem: Problem | None) -> PiecewiseInTime:
    networks: list[Network] = []
    times = None if problem is None or problem.training.slabs == 1 else breaks(problem)  # others have no ansatz
    for k, part in enumerate(architecture["networks"]):
        network = _bare(part)
        if problem is not None and times is not None:
            network = build_ansatz(slab(problem, times, k, networks[-1] if networks else None, 1.0), network)
        networks.append(network)
    return PiecewiseInTime(networks, architecture["breaks"], architecture["column"])


def _family(architecture: Mapping[str, Any], problem: Problem | None) -> Network:
    indices = [tuple(int(k) for k in index) for index in architecture["indices"]]
    ranges = {name: (float(a), float(b)) for name, (a, b) in architecture["ranges"].items()}
    members = [None if problem is None else problem.member(**at_node(index, ranges)) for index in indices]
    parts = [_empty(one, member) for one, member in zip(architecture["networks"], members, strict=True)]
    network = FamilyNetwork(parts, indices, ranges)
    return MemberNetwork(network, architecture["member"]) if "member" in architecture else network


def _bare(architecture: Mapping[str, Any]) -> Network:
    network = kinds.build(architecture)
    if network is None:
        raise OutputError("its network was a torch module given in Python, which no file can rebuild")
    return network


def _plain(measured: Measurements) -> dict[str, Any]:
    """Measurements as JSON, nan as None."""
    values = {name: finite(column.tolist()) for name, column in measured.values.items()}
    return {"name": measured.name, "noise": measured.noise, "points": measured.points.tolist(), "values": values}


def _measurements(plain: Mapping[str, Any]) -> Measurements:
    values = {name: np.array(column, dtype=np.float64) for name, column in plain["values"].items()}  # None becomes nan
    return Measurements(np.array(plain["points"]), values, plain["noise"], plain["name"])


def _tables(problem: Problem | None) -> dict[str, Any]:
    """What tables state beside their arrays; nothing where there are none."""
    if problem is None or not problem.tables:
        return {}
    return {
        "fields": {
            one.name: {"coordinates": list(one.coordinates), "interpolation": one.interpolation, "axes": len(one.axes)}
            for one in problem.tables
        }
    }


def _arrays(tables: Sequence[Table]) -> dict[str, NDArray[Any]]:
    """The arrays of tables by name."""
    found: dict[str, NDArray[Any]] = {}
    for one in tables:
        found[f"{one.name}.values"] = one.values
        found |= {f"{one.name}.axis{k}": axis for k, axis in enumerate(one.axes)}
        if one.points is not None:
            found[f"{one.name}.points"] = one.points
    return found


def _table(name: str, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Table:
    axes = tuple(arrays[f"{name}.axis{k}"] for k in range(plain["axes"]))
    coordinates, values = tuple(plain["coordinates"]), arrays[f"{name}.values"]
    return Table(name, coordinates, values, axes, arrays.get(f"{name}.points"), plain["interpolation"])


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
