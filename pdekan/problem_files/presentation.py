"""How results are shown: the times of outputs, units, and unknowns that are the components of a vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pdekan.domains.base import Domain
from pdekan.fields.jets import TIME
from pdekan.problem_files.reader import Source
from pdekan.problem_files.schema import ProblemFile

# fields of a run's file, beside those that begin with an unknown
FIELD_NAMES = (
    "exact",
    "error",
    "gradient",
    "residual",
    "direction",
    "component",
    "time",
    "space",
    "cells",
    "point",
    "cell",
    "corner",
)


def presentation(file: ProblemFile, source: Source, domain: Domain) -> dict[str, Any]:
    """The fields `times`, `units` and `vectors` of a problem; what is wrong with them is noted in the source."""
    faults = (*_faults_of_times(file, domain), *_faults_of_units(file, domain), *_faults_of_vectors(file, domain))
    for path, message in faults:
        source.add(path, message)
    if faults:
        return {}
    vectors = {name: tuple(parts) for name, parts in file.vectors.items()}
    return {"times": _times(file, domain), "units": dict(file.units), "vectors": vectors}


def _times(file: ProblemFile, domain: Domain) -> tuple[float, ...]:
    outputs = None if file.time is None else file.time.outputs
    if outputs is None or isinstance(outputs, list):
        return tuple(outputs or ())
    start, end = _interval(domain)
    return tuple(np.linspace(start, end, outputs).tolist()) if outputs > 1 else (end,)


def _interval(domain: Domain) -> tuple[float, float]:
    k = domain.coordinates.index(TIME)
    return domain.lower[k], domain.upper[k]


def _faults_of_times(file: ProblemFile, domain: Domain) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if file.time is None:
        return
    if TIME not in domain.coordinates:
        yield ("time",), f"there is no time: no coordinate of the domain is {TIME}; add {TIME} = [start, end] to [domain]"
    elif isinstance(file.time.outputs, list):
        start, end = _interval(domain)
        for k, time in enumerate(file.time.outputs):
            if not start <= time <= end:
                yield ("time", "outputs", k), f"{time:g} is outside of the domain, whose {TIME} goes from {start:g} to {end:g}"


def _faults_of_units(file: ProblemFile, domain: Domain) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = (*domain.coordinates, *file.unknowns, *file.parameters)
    for name in file.units:
        if name not in known:
            yield ("units", name), f"is no coordinate, unknown or parameter; there are {_listed(known)}"


def _faults_of_vectors(file: ProblemFile, domain: Domain) -> Iterator[tuple[tuple[str | int, ...], str]]:
    space = [name for name in domain.coordinates if name != TIME]
    taken = {*domain.coordinates, *file.unknowns, *file.parameters, *file.functions, *FIELD_NAMES}
    for name, parts in file.vectors.items():
        if name in taken or any(name.startswith(f"{one}_") for one in (*file.unknowns, "residual")):
            yield ("vectors", name), f"{name!r} is the name of something else in the problem or its results; choose another"
        for k, part in enumerate(parts):
            if part not in file.unknowns:
                yield ("vectors", name, k), f"{part!r} is no unknown; there are {_listed(file.unknowns)}"
        if len(parts) != len(space) or len(set(parts)) < len(parts):
            yield ("vectors", name), f"{len(parts)} components; one unknown for each of {_listed(space)} is needed, each once"
        units = {file.units.get(part, "") for part in parts}
        if len(units) > 1:
            yield ("units",), f"the components of {name!r} have different units: {', '.join(sorted(units)) or 'none'}"


def _listed(names: Mapping[str, Any] | tuple[str, ...] | list[str]) -> str:
    shown = list(names)
    return ", ".join(shown if len(shown) <= 20 else [*shown[:20], "…"])
