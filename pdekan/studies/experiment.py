"""Experiments: named sets of trainings, and the findings from their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from pdekan.output.findings import Columns, Findings, Panel, Picture
from pdekan.studies.engine import Train
from pdekan.studies.rows import Row, Task, map_json

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Experiment:
    """A study with a command of its own, `pdekan study NAME`.

    title, shows, source: its subject, its question, and its publication with the figure. minutes: approximate duration on two
    cores; seeds: the default number of random starts. tasks: the trainings, the longest first, from the number of seeds and
    whether the quick version is meant. train: a worker's function for one of them, at the top of a module. findings: from the
    rows with a result, in the order of the tasks.
    """

    name: str
    title: str
    shows: str
    source: str
    minutes: float
    seeds: int
    tasks: Callable[[int, bool], list[Task]]
    train: Train
    findings: Callable[[Sequence[Row]], Findings]


def result(row: Row) -> dict[str, Any]:
    """The result of a training, with nan for JSON's null."""
    assert row.result is not None
    values: dict[str, Any] = map_json(lambda value: math.nan if value is None else value, row.result)
    return values


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Rows by a key, in the order in which the keys first occur."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def median(rows: Iterable[Row], name: str) -> float:
    """The median over rows of a number in their results."""
    return float(np.median([result(row)[name] for row in rows]))


def middle_row(rows: Sequence[Row], measure: Callable[[Row], float]) -> Row:
    """The row with the median of a measure, of two the lower one."""
    return sorted(rows, key=measure)[(len(rows) - 1) // 2]


def gallery(name: str, panels: Sequence[Panel], across: int, x: str, y: str, sizes: tuple[float, float]) -> Picture:
    """Panels of 1.9 inches, labelled by x below and y on the left. sizes: the height of a row and of the labels, in inches."""
    across = min(across, len(panels))
    below = len(panels) - across
    labelled = (replace(p, x=x if k >= below else "", y="" if k % across else y) for k, p in enumerate(panels))
    row_height, label_height = sizes
    return Picture(name, tuple(labelled), across, (1.9 * across + 0.6, row_height * -(-len(panels) // across) + label_height))


def summarised(experiment: Experiment, rows: Sequence[Row]) -> Findings:
    """The findings of an experiment, with a table of the failed trainings if there are any."""
    trained = [row for row in rows if row.result is not None]
    findings = experiment.findings(trained) if trained else Findings()
    failed = [row for row in rows if row.result is None]
    if not failed:
        return findings
    columns = {"training": [_named(row) for row in failed], "reason": [row.failure or "" for row in failed]}
    return replace(
        findings,
        sentences=(*findings.sentences, f"{len(failed)} of {len(rows)} trainings failed."),
        tables=(*findings.tables, Columns("failures", "Trainings without a result", columns)),
    )


def _named(row: Row) -> str:
    """A training by its short settings."""
    return ", ".join(f"{name} {value}" for name, value in row.configuration.items() if len(str(value)) < 40)
