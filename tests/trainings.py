"""Cheap stand-ins for trainings, in a module that worker processes import, and a driver to be interrupted and killed."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdekan.studies.engine import Task, run


def marks(directory: Path) -> list[tuple[str, int]]:
    """What trainings have begun: their name and process, one entry a time they were run."""
    return [(path.name.split("-")[0], int(path.name.split("-")[1])) for path in directory.glob("*.mark")]


def sleep(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Leave a mark and sleep; where it is asked for, die the first time, or sleep until a file is there."""
    directory, name = Path(configuration["marks"]), configuration["name"]
    first = not list(directory.glob(f"{name}-*.mark"))
    (directory / f"{name}-{os.getpid()}-{uuid.uuid4().hex}.mark").touch()
    if first and configuration.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    while "until" in configuration and not Path(configuration["until"]).exists():
        time.sleep(0.02)
    time.sleep(configuration["seconds"])
    return {"name": name}


def troubled(configuration: Mapping[str, Any]) -> Any:
    """One kind of end or another."""
    match configuration["kind"]:
        case "threads":
            import torch

            return {"torch": torch.get_num_threads(), "variable": os.environ["OMP_NUM_THREADS"]}
        case "not finite":
            return {"error": math.nan, "history": [1.0, (-math.inf, {"x": math.inf})], "whole": 3, "name": "Größe\n"}
        case "raises":
            raise ValueError("no such width: 0")
        case "exits":
            sys.exit(3)
        case "returns nothing":
            return None
        case "returns no JSON":
            return {"network": object()}
        case "deadly":
            if not Path(configuration["antidote"]).exists():
                os.kill(os.getpid(), signal.SIGKILL)
    return {"kind": configuration["kind"]}


def drive(directory: Path, tasks: list[dict[str, Any]]) -> None:
    """Run a study on two workers; Ctrl-C leaves a note and is otherwise not heeded."""
    signal.signal(signal.SIGINT, lambda *_: (directory / "interrupted").touch())
    run(sleep, [Task(task) for task in tasks], directory, workers=2)
