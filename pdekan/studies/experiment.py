"""What an experiment is: trainings that a name stands for, and what their rows say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdekan.output.findings import Columns, Findings
from pdekan.studies.engine import Train
from pdekan.studies.rows import Row, Task


@dataclass(frozen=True)
class Experiment:
    """A study with a command of its own, `pdekan study NAME`.

    title: what is done; shows: what one learns from it; source: where the experiment was published, with its figure.
    minutes: about how long it takes on two cores; seeds: random starts where nobody says how many. tasks: from how many seeds,
    and whether a first look is enough, to the trainings, the longest first. train: a function of a module, what a worker does
    with one. findings: from the rows of trainings that came to a result, as many as there are, in the order of the tasks.
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
    """What a training came to, with nan where JSON had null for a number that was not finite."""
    assert row.result is not None
    found: dict[str, Any] = _with_nan(row.result)
    return found


def summarised(experiment: Experiment, rows: Sequence[Row]) -> Findings:
    """What the rows say together, and a table of the trainings that failed if there are any."""
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


def _with_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def _named(row: Row) -> str:
    """A training by the short ones of its settings."""
    return ", ".join(f"{name} {value}" for name, value in row.configuration.items() if len(str(value)) < 40)
