"""The rows of a study, one a training, in a file that a kill leaves readable and that one process at a time may write."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pdekan.output.atomic import write_text

FILE, LOCK = "study.jsonl", "study.lock"
LOST = "lost"  # what the failure of a training that outlived no worker begins with
KEY_DIGITS = 16


class StudyError(ValueError):
    """A study that cannot be run or read; the message says what, where, and what to try."""


@dataclass(frozen=True)
class Task:
    """One training to run: all that it depends on, as JSON. Raises StudyError where it cannot be written as JSON."""

    configuration: Mapping[str, Any]

    def __post_init__(self) -> None:
        try:
            text = json.dumps(self.configuration, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StudyError(
                f"configuration {self.configuration!r}: {error}; JSON takes text, finite numbers, booleans, lists and dicts"
            ) from None
        object.__setattr__(self, "configuration", json.loads(text))  # as it is when it is read back

    @cached_property
    def key(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the configuration, whatever its keys' order; 1 and 1.0 are one."""
        text = json.dumps(_integers(self.configuration), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True)
class Row:
    """What came of one training: its result, or the sentence why there is none; seconds are its own, in its worker."""

    key: str
    configuration: Mapping[str, Any]
    result: Mapping[str, Any] | None
    failure: str | None
    seconds: float | None

    @property
    def lost(self) -> bool:
        """Whether the training came to no end of its own, so that it is worth another try."""
        return self.failure is not None and self.failure.startswith(f"{LOST}:")

    @property
    def line(self) -> str:
        """The row as one line of JSON, with its end."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A value as JSON reads it back, with null for what is not finite. Raises TypeError where JSON has no word for it."""
    return json.loads(json.dumps(_finite(value), allow_nan=False))


class RowFile:
    """The rows of a study by key, in the order they came, and the file that holds them: its last line is never half there."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one, and mend it. Raises StudyError at a line that is no row, OSError if it must."""
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
        """Add a row of a key that is not there; it is on the disk when this returns."""
        assert row.key not in self.rows
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(row.line)
            file.flush()
            os.fsync(file.fileno())
        self.rows[row.key] = row

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, so that their trainings can be run again."""
        if keys:
            for key in keys:
                del self.rows[key]
            self._write()

    def _write(self) -> None:
        write_text(self._path, "".join(row.line for row in self.rows.values()))


@contextmanager
def row_file(directory: Path) -> Iterator[RowFile]:
    """The row file of a directory, which is made if need be, for this process alone. Raises StudyError if another has it."""
    directory.mkdir(parents=True, exist_ok=True)
    # beside the rows, because those may be replaced; the lock goes with the process, however that ends
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


def _integers(value: Any) -> Any:
    """Plain JSON data with whole numbers spelt one way."""
    if isinstance(value, dict):
        return {name: _integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
