"""Atomic replacement of files: after a kill, a full disk or an exception there is the old file or the new one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of an empty temporary file that becomes `path` when the block ends without an exception.

    The block writes and closes the file, which is then flushed to disk and renamed; the target of a symbolic link is replaced.
    If the block raises, the temporary file is removed and `path` is unchanged. Raises OSError with `path` if its directory is
    missing or not writable, or `path` is a directory.
    """
    target = Path(os.path.realpath(path))
    # in the same directory, since a rename is atomic within a file system only
    temporary = target.parent / f".pdekan-{secrets.token_hex(8)}.tmp"
    try:
        # not tempfile, whose files only their owner can read, also after the rename
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    try:
        yield temporary
        _flush(temporary, os.O_RDWR)
        _rename(temporary, target, named=path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # Windows cannot open a directory
        _flush(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file at `path` by `text` in UTF-8 with unchanged line ends; raises OSError as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(temporary: Path, target: Path, named: str | os.PathLike[str]) -> None:
    try:
        os.replace(temporary, target)
    except OSError as error:
        error.filename, error.filename2 = os.fspath(named), None
        raise
