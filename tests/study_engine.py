"""What tests of studies' engine share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pdekan.studies.rows import Row, Task

TESTS = Path(__file__).parent
PATIENCE = 60.0  # on a machine that is busy with other tests; nothing waits so long when all is well


def eventually(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def sleepers(directory: Path, count: int, seconds: float, **first: Any) -> list[dict[str, Any]]:
    (directory / "marks").mkdir(parents=True, exist_ok=True)
    tasks = [{"marks": str(directory / "marks"), "name": f"t{i}", "seconds": seconds} for i in range(count)]
    return [tasks[0] | first, *tasks[1:]]


def lines(directory: Path) -> list[dict[str, Any]]:
    path = directory / "study.jsonl"
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.exists() else ""  # it may be written just now
    return [json.loads(line) for line in whole.splitlines()]


def refuse(configuration: Mapping[str, Any]) -> dict[str, Any]:
    raise AssertionError("nothing was to be trained")


def row(number: int, **fields: Any) -> Row:
    task = Task({"n": number})
    return Row(**{"key": task.key, "configuration": task.configuration, "result": {}, "failure": None, "seconds": 1.0} | fields)
