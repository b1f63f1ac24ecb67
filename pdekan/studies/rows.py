"""The rows of a study, one per training, in a file that survives a kill and that only one process at a time can write."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pdekan.output.atomic import write_text

FILE, LOCK = "study.jsonl", "study.lock"
LOST = "lost"  # start of the failure of a training whose workers all died
KEY_DIGITS = 16


class StudyError(ValueError):
    """A study that cannot be run or read; the message has the fault, its place, and what to try."""


@dataclass(frozen=True)
class Task:
    """One training to run, given by all that it depends on. Raises StudyError for a configuration that is not JSON data."""

    configuration: Mapping[str, Any]

    def __post_init__(self) -> None:
        try:
            text = json.dumps(self.configuration, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StudyError(
                f"configuration {self.configuration!r}: {error}; JSON takes text, finite numbers, booleans, lists and dicts"
            ) from None
        object.__setattr__(self, "configuration", json.loads(text))  # equal to what is read from the file

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the configuration, independent of the order of keys; 1 equals 1.0."""
        text = json.dumps(map_json(_integer, self.configuration), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True)
class Row:
    """The result of one training, or the reason why there is none; seconds: of the training in its worker."""

    key: str
    configuration: Mapping[str, Any]
    result: Mapping[str, Any] | None
    failure: str | None
    seconds: float | None

    @property
    def lost(self) -> bool:
        """Whether the training did not end by itself, and is run again."""
        return self.failure is not None and self.failure.startswith(f"{LOST}:")

    @property
    def line(self) -> str:
        """The row as one line of JSON, with its end."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"


def json_data(value: Any) -> Any:
    """A value after writing and reading it as JSON, with null for numbers that are not finite. Raises TypeError."""
    return json.loads(json.dumps(map_json(_finite, value), allow_nan=False))


def map_json(function: Callable[[Any], Any], value: Any) -> Any:
    """A function applied to the texts, numbers and nulls in nested dicts and lists."""
    if isinstance(value, dict):
        return {name: map_json(function, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_json(function, item) for item in value]
    return function(value)


class RowFile:
    """The rows of a study by key, in the order of their completion, and their file; an incomplete last line is removed."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one, and repair its end. Raises StudyError for a line that is not a row, OSError."""
        self._path = path
        self.rows: dict[str, Row] = {}
        text = path.read_bytes() if path.exists() else b""
        whole, _, cut = text.rpartition(b"\n")
        lines = whole.splitlines()
        for number, line in enumerate(lines, 1):
            row = _row(line, f"{path}, line {number}")
            self.rows.setdefault(row.key, row)
        if cut or len(self.rows) < len(lines):
            self._write()

    def append(self, row: Row) -> None:
        """Add a row with a new key, and flush it to the disk."""
        assert row.key not in self.rows
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(row.line)
            file.flush()
            os.fsync(file.fileno())
        self.rows[row.key] = row

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, so that their trainings are run again."""
        if keys:
            for key in keys:
                del self.rows[key]
            self._write()

    def _write(self) -> None:
        write_text(self._path, "".join(row.line for row in self.rows.values()))


@contextmanager
def row_file(directory: Path) -> Iterator[RowFile]:
    """The row file of a directory, created if missing, locked for this process. Raises StudyError if another has the lock."""
    directory.mkdir(parents=True, exist_ok=True)
    # a file of its own, because the rows' file may be replaced; the lock ends with the process
    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"{directory}: another process is at work on this study; wait for it, end it, or choose another directory"
            ) from None
        yield RowFile(directory / FILE)


def _row(line: bytes, where: str) -> Row:
    try:
        return Row(**json.loads(line))
    except (TypeError, ValueError):
        raise StudyError(f"{where}: not a row of a study; remove the line (its training is then run again)") from None


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
