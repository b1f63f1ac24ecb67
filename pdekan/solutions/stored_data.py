"""Checks of what a solution's file states, before anything is made of it: a file may come from anyone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pdekan.output.samples import OutputError

NUMBER = (int, float)


def check_outcome(outcome: Mapping[str, Any]) -> None:
    """Raise OutputError for entries of a summary that are of other types than `storage.record` writes."""
    kinds = dict.fromkeys(("name", "status", "reason"), (str,)) | dict.fromkeys(("seed", "iterations"), (int,))
    for name, kind in (kinds | dict.fromkeys(("seconds", "tolerance"), NUMBER)).items():
        _check(outcome[name], kind, name)
    for name in ("residual", "condition_residual", "relative_residual", "data_residual"):
        _check(outcome.get(name), (*NUMBER, type(None)), name)
    check_name(outcome["name"])
    check_numbers(outcome["parameters_found"], "parameters_found")
    check_numbers(outcome.get("estimate") or {}, "estimate", ("method",))
    outputs = outcome.get("outputs") or {}
    _check(outputs, (Mapping,), "outputs")
    for name, one in outputs.items():
        _check(one, (Mapping,), f"outputs.{name}")
        series = {key: one[key] for key in ("times", "values") if key in one}
        check_numbers({name: {key: value for key, value in one.items() if key not in series}}, "outputs")
        for key, values in series.items():
            _check(values, (list,), f"outputs.{name}.{key}")
            check_numbers({key: dict(enumerate(values))}, f"outputs.{name}")


def check_name(name: str) -> None:
    """Raise OutputError for a name that is not that of a directory's entry: runs are written to outputs/NAME."""
    if not name.isprintable() or set(name) & set("/\\") or name in ("", ".", "..") or len(name) > 200:
        raise OutputError(f"the name {name[:40]!r} cannot name a directory; names are made of letters, digits, _ and -")


def check_numbers(tables: Any, what: str, texts: Sequence[str] = ()) -> None:
    """Raise OutputError unless tables by name hold numbers or null, and texts under the given names."""
    _check(tables, (Mapping,), what)
    for name, table in tables.items():
        _check(table, (Mapping,), f"{what}.{name}")
        for key, value in table.items():
            _check(value, (str,) if key in texts else (*NUMBER, type(None)), f"{what}.{name}.{key}")


def check_sizes(architecture: Mapping[str, Any], stored: int) -> None:
    """Raise OutputError for a network of more numbers than are stored.

    Every node, interval and cell has at least one; an edge of a KAN has one for each interval, and as many more as its degree.
    """
    numbers = max(_integers(architecture), default=0)
    widths = architecture.get("widths")
    if isinstance(widths, list) and all(isinstance(width, int) for width in widths):
        layers = len(widths) - 1
        pruned = architecture.get("pruned") or [[]] * layers
        degrees, intervals = (_by_layer(architecture.get(name, 0), layers) for name in ("degree", "intervals"))
        for (a, b), gone, p, n in zip(pairwise(widths), pruned, degrees, intervals, strict=True):
            numbers = max(numbers, (a * b - len(gone)) * max(1, p + n))
    if numbers > stored:
        raise OutputError(f"its network is stated to need {numbers} numbers, and {stored} are stored")


def _check(value: Any, kinds: tuple[type, ...], what: str) -> None:
    if not isinstance(value, kinds):
        raise OutputError(f"{what} is a {type(value).__name__}; it should be {' or '.join(kind.__name__ for kind in kinds)}")


def _by_layer(value: Any, layers: int) -> list[int]:
    return [value] * layers if isinstance(value, int) else list(value)


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _integers(part)
    elif isinstance(value, int):
        yield abs(value)
