"""The summary of a run: what `pdekan solve --json` prints and `summary.json` holds, and the network in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pdekan.ansatz.unknowns import inner_network, without_ansatz
from pdekan.networks.kan import KAN
from pdekan.networks.singular import singular_functions
from pdekan.output.record import finite
from pdekan.solutions.solution import Solution


def of_solution(solution: Solution) -> dict[str, Any]:
    """The summary of a solution as JSON, without its files; None for numbers that are not finite."""
    network, errors, estimate = inner_network(solution.network), solution.errors, solution.estimate
    summary: dict[str, Any] = finite(
        {
            "schema": 1,
            "name": solution.name,
            "status": solution.status,
            "reason": solution.reason,
            "seed": solution.seed,
            "network": without_ansatz(solution.network).architecture(),
            "parameters": solution.parameters,
            "parameters_paper": network.parameters_paper if isinstance(network, KAN) else None,
            "iterations": solution.iterations,
            "seconds": solution.seconds,
            "residual": solution.residual,
            "condition_residual": solution.condition_residual,
            "data_residual": solution.data_residual,
            "relative_residual": solution.relative_residual,
            "tolerance": solution.tolerance,
            "errors": None if errors is None else {name: asdict(one) for name, one in errors.items()},
            "reference": None if solution.reference is None else solution.reference.name,
            "estimate": None if estimate is None else {name: asdict(one) for name, one in estimate.items()},
            "estimate_reason": solution.estimate_reason,
            "bound": None if solution.bound is None else asdict(solution.bound),
            "family": solution.family,
            "outputs": {name: one.plain() for name, one in solution.outputs.items()},
            "parameters_found": {name: asdict(one) for name, one in solution.found.items()},
        }
    )
    return summary


def of_run(solution: Solution, directory: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """The summary of a solution, with the directory, the environment and the files of its run."""
    run = {"run": os.fspath(directory), "environment": dict(solution.environment), "files": dict(files)}
    return of_solution(solution) | run


def network_in_words(architecture: dict[str, Any]) -> str:
    """The kind of a network and its sizes, in words."""
    slabs = ""
    if architecture["kind"] == "family":
        networks = architecture["networks"]
        slabs, architecture = f"{len(networks)} members, the first a ", networks[0]
    if architecture["kind"] == "slabs":
        networks = architecture["networks"]
        slabs, architecture = f"{slabs}{len(networks)} slabs of time, the last a ", networks[-1]
    if architecture["kind"] in ("cells", "cells_in_time"):
        degrees, slabs = sorted(map(int, architecture["degrees"])), slabs.removesuffix("a ")
        ends = " to ".join(dict.fromkeys(map(str, (degrees[0], degrees[-1]))))
        return f"{slabs}a network in each of {architecture['cells']} cells, degree {ends}"
    sizes = f"{architecture['kind'].upper()} {architecture.get('widths', '')}"
    if architecture["kind"] == "kan":
        sizes += f", degree {_by_layer(architecture['degree'])}, intervals {_by_layer(architecture['intervals'])}"
    functions = sum(one.count for one in singular_functions(architecture))
    return slabs + sizes + (f", {functions} singular functions" if functions else "")


def _by_layer(values: list[int]) -> str:
    """Numbers of all layers, or one where they are equal."""
    return str(values[0]) if len(set(values)) == 1 else "/".join(map(str, values))
