"""Atomic replacement of files: after a kill, a full disk or an exception there is the old file or the new one."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".pdekan-{}.tmp"


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by data, flushed to disk; the target of a symbolic link is replaced.

    Where that fails `path` is unchanged, and no temporary file is left; one that a kill left is removed by the next call for
    the same directory. Raises OSError with `path` if its directory is missing, not writable or full, or `path` is a directory.
    """
    target = Path(os.path.realpath(path))
    remove_orphans(target.parent)
    try:
        _replace(target, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename too
    finally:
        os.close(directory)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file at `path` by text in UTF-8 with unchanged line ends; raises OSError as `write_bytes` does."""
    write_bytes(path, text.encode())


def remove_orphans(directory: Path) -> None:
    """Remove temporary files whose process has ended: their locks ended with it."""
    for path in directory.glob(TEMPORARY.format("*")):
        with suppress(OSError):  # locked by a process that writes, or the file system has no locks
            descriptor = os.open(path, os.O_WRONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _replace(target: Path, data: bytes) -> None:
    # in the same directory, since a rename is atomic within a file system only; its name is known before it exists, so that
    # a signal at any time leaves nothing
    temporary = target.parent / TEMPORARY.format(secrets.token_hex(8))
    try:
        descriptor = _created(temporary)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
            os.replace(temporary, target)
        finally:
            os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _created(path: Path) -> int:
    """A new file, locked."""
    while True:
        # not tempfile, whose files only their owner can read, also after the rename
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # before it was locked, another process took it for an orphan
