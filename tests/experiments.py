"""A tiny experiment, in a module that worker processes import, and the engine's stand-in for tests without workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdekan.output.findings import Columns, Curve, Findings, Panel, Picture
from pdekan.studies import engine
from pdekan.studies.experiment import Experiment, result
from pdekan.studies.rows import Row, Task, json_data

Train = Callable[[Mapping[str, Any]], dict[str, Any]]


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Squares of a few numbers."""
    return [Task({"number": n, "seed": seed}) for n in range(2 if quick else 3) for seed in range(seeds)]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """One square."""
    return {"square": configuration["number"] ** 2}


def findings(rows: Sequence[Row]) -> Findings:
    """All squares."""
    numbers = [row.configuration["number"] for row in rows]
    squares = [result(row)["square"] for row in rows]
    curve = Curve(np.array(numbers, float), np.array(squares, float), "squares", "green", "--", "o")
    picture = Picture("squares", (Panel((curve,), "a panel", "n", "n²"),))
    return Findings((f"{len(rows)} squares.",), (Columns("squares", "Squares", {"n": numbers, "n²": squares}),), (picture,))


SQUARES = Experiment("squares", "Squares of numbers", "that squares grow", "Euclid", 0.1, 2, tasks, train, findings)


def stand_in(train: Train, dashboard: str | None = None) -> Callable[..., list[Row]]:
    """The engine's `run`, one task after the other."""

    def run(_: Train, tasks: Sequence[Task], directory: Path, *, watch: engine.StudyCallback, **__: Any) -> list[Row]:
        rows: list[Row] = []
        path = directory / "study.jsonl"
        if path.exists():
            rows = [Row(**json.loads(line)) for line in path.read_text().splitlines()]

        def reason(newest: Row | None) -> str | None:
            failed = sum(row.failure is not None for row in rows)
            return watch(engine.StudyProgress(len(tasks), len(rows), failed, 1, 1.0, None, dashboard, True, newest))

        if reason(None) is not None:
            return rows
        for task in tasks:
            if task.key in {row.key for row in rows}:
                continue
            try:
                row = Row(task.key, task.configuration, json_data(train(task.configuration)), None, 0.1)
            except RuntimeError as error:
                row = Row(task.key, task.configuration, None, f"RuntimeError: {error}", 0.1)
            rows.append(row)
            path.write_text("".join(row.line for row in rows))
            if reason(row) is not None:
                break
        return rows

    return run
